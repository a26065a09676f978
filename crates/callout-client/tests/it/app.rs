//! An application that keeps its outbox in its own database.

use crate::rows::rows;
use callout_client::rusqlite::{Connection, Transaction, TransactionBehavior};
use callout_client::{Level, Message, Row, enqueue, install};
use std::path::PathBuf;
use std::time::Duration;

/// An application's database with an order and a message that must not change.
pub(crate) struct App {
    folder: tempfile::TempDir,
    pub(crate) conn: Connection,
    bystander: Row,
}

impl App {
    pub(crate) fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let conn = connect(&folder.path().join("app.db"));
        install(&conn).unwrap();
        conn.execute_batch("CREATE TABLE orders (id INTEGER PRIMARY KEY)").unwrap();
        let message = Message::new(Level::Info, "bystander").with_idempotency_key("bystander");
        enqueue(&conn, &message).unwrap();
        let bystander = rows(&conn).remove(0);
        Self { folder, conn, bystander }
    }

    pub(crate) fn path(&self) -> PathBuf {
        self.folder.path().join("app.db")
    }

    pub(crate) fn begin(&mut self) -> Transaction<'_> {
        self.conn.transaction_with_behavior(TransactionBehavior::Immediate).unwrap()
    }

    /// What is there besides the bystander, which must be as it was.
    #[track_caller]
    pub(crate) fn others(&self) -> Vec<Row> {
        let mut rows = rows(&self.conn);
        assert_eq!(rows.remove(0), self.bystander);
        rows
    }

    pub(crate) fn orders(&self) -> i64 {
        self.conn.query_row("SELECT count(*) FROM orders", [], |row| row.get(0)).unwrap()
    }
}

pub(crate) fn connect(path: &std::path::Path) -> Connection {
    let conn = Connection::open(path).unwrap();
    conn.busy_timeout(Duration::from_secs(60)).unwrap();
    conn.pragma_update_and_check(None, "journal_mode", "WAL", |_| Ok(())).unwrap();
    conn.pragma_update(None, "synchronous", "FULL").unwrap();
    conn
}
