//! The suite that every backend has to pass.

use crate::conformance::Backend;
use crate::sqlite::{Create, SqliteStore};
use crate::store::Store;
use async_trait::async_trait;
use callout_core::time::Timestamp;
use std::path::PathBuf;
use std::sync::Arc;

pub(super) struct Sqlite(tempfile::TempDir);

impl Sqlite {
    pub(super) fn new() -> Self {
        Self(tempfile::tempdir().unwrap())
    }

    pub(super) fn path(&self) -> PathBuf {
        self.0.path().join("callout.db")
    }

    fn change(&self, sql: &str, id: &str) {
        let connection = rusqlite::Connection::open(self.path()).unwrap();
        assert_eq!(connection.execute(sql, [id]).unwrap(), 1);
    }
}

#[async_trait]
impl Backend for Sqlite {
    async fn store(&self) -> Arc<dyn Store> {
        Arc::new(SqliteStore::open(&self.path(), Create::IfMissing, Timestamp::EPOCH).unwrap())
    }

    async fn damage(&self, id: &str) {
        self.change("UPDATE callout_message SET title = title || '!' WHERE id = ?1", id);
    }

    async fn garble(&self, id: &str) {
        self.change("UPDATE callout_message SET title = CAST(x'fffe41' AS TEXT) WHERE id = ?1", id);
    }

    async fn garble_policy(&self, id: &str) {
        let alert = "(SELECT seq FROM callout_message WHERE id = ?1)";
        self.change(&format!("UPDATE callout_alert SET policy = '[' WHERE seq = {alert}"), id);
    }

    async fn revive(&self, id: &str) {
        let message = "(SELECT seq FROM callout_message WHERE id = ?1)";
        let sql = "UPDATE callout_delivery SET state = 'ready', ended_at = NULL, checksum = NULL WHERE message_seq =";
        self.change(&format!("{sql} {message}"), id);
    }

    fn spare_path(&self) -> PathBuf {
        self.0.path().join("backup.db")
    }
}

crate::conformance!(Sqlite::new());
