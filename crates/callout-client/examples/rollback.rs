//! The alert vanishes with the transaction it was part of.
//!
//! `cargo run -p callout-client --example rollback`

#![expect(clippy::print_stdout, reason = "an example shows what happened")]

use callout_client::rusqlite::{Connection, TransactionBehavior};
use callout_client::{Level, Message, enqueue, install};

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let folder = tempfile::tempdir()?;
    let mut shop = Connection::open(folder.path().join("shop.db"))?;
    shop.pragma_update_and_check(None, "journal_mode", "WAL", |_| Ok(()))?;
    shop.pragma_update(None, "synchronous", "FULL")?;
    install(&shop)?;

    let tx = shop.transaction_with_behavior(TransactionBehavior::Immediate)?;
    let receipt = enqueue(&tx, &Message::new(Level::Info, "Order 4711 shipped"))?;
    println!("inside the transaction there is message {}: {}", receipt.id, messages(&tx)?);
    drop(tx); // The stock ran out, say; dropping a transaction rolls it back.

    let left = messages(&shop)?;
    println!("after the rollback there are {left} messages; nobody will hear of a parcel");
    assert_eq!(left, 0);
    Ok(())
}

fn messages(conn: &Connection) -> callout_client::rusqlite::Result<i64> {
    conn.query_row("SELECT count(*) FROM callout_message", [], |row| row.get(0))
}
