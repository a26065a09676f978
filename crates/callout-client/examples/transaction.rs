//! An order and the alert about it commit together.
//!
//! `cargo run -p callout-client --example transaction`

#![expect(clippy::print_stdout, reason = "an example shows what happened")]

use callout_client::rusqlite::{Connection, TransactionBehavior};
use callout_client::{Level, Message, enqueue, install};

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let folder = tempfile::tempdir()?;
    let mut shop = Connection::open(folder.path().join("shop.db"))?;
    shop.pragma_update_and_check(None, "journal_mode", "WAL", |_| Ok(()))?;
    shop.pragma_update(None, "synchronous", "FULL")?;
    shop.execute_batch("CREATE TABLE orders (id INTEGER PRIMARY KEY, state TEXT NOT NULL)")?;
    install(&shop)?;

    // Immediate: wait for other writers here, not in the middle.
    let tx = shop.transaction_with_behavior(TransactionBehavior::Immediate)?;
    tx.execute("INSERT INTO orders VALUES (4711, 'payment refused')", [])?;
    let alert = Message::new(Level::Critical, "Payment refused for order 4711")
        .with_body("The provider answered `card_declined` three times.")
        .with_label("order", "4711")
        .with_link("Open the order", "https://shop.example.com/orders/4711")
        .with_idempotency_key("order-4711-refused");
    let receipt = enqueue(&tx, &alert)?;
    tx.commit()?;
    println!("order 4711 and message {} are stored, or neither would be", receipt.id);

    // The same request again, for example because the first answer got lost on its way.
    let again = enqueue(&shop, &alert)?;
    println!("enqueued again: the same message {}, fresh: {}", again.id, again.fresh);
    assert_eq!((again.id, again.fresh), (receipt.id, false));
    Ok(())
}
