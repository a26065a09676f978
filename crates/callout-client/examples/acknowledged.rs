//! An alert that somebody has to acknowledge, and its end.
//!
//! Nobody delivers here, so the wait is short and ends in vain. Give it the path of an outbox that a
//! worker serves, and it waits ten minutes; answer the alert meanwhile.
//!
//! `cargo run -p callout-client --example acknowledged [callout.db]`

#![expect(clippy::print_stdout, reason = "an example shows what happened")]

use callout_client::{AlertState, Level, Message, Outbox};
use std::path::PathBuf;
use std::time::Duration;

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let folder = tempfile::tempdir()?;
    let (path, patience) = match std::env::args_os().nth(1) {
        Some(path) => (PathBuf::from(path), Duration::from_secs(600)),
        None => (folder.path().join("callout.db"), Duration::from_millis(100)),
    };
    let mut outbox = Outbox::create(path)?;

    let full = Message::new(Level::Critical, "Disk full on db-3")
        .with_label("host", "db-3")
        .with_dedup_key("db-3/disk")
        .with_ack_within(Duration::from_secs(300));
    let id = outbox.enqueue(&full)?.id;
    println!("message {id} asks for somebody; waiting up to {patience:?}");

    match outbox.wait_for_ack(id, patience)? {
        AlertState::NotPlanned => println!("no worker has seen it yet"),
        AlertState::Open { step, exhausted: false, .. } => println!("step {step}, nobody yet"),
        AlertState::Open { .. } => println!("everybody was told, in vain"),
        AlertState::Acknowledged { by, .. } => println!("{by} has it"),
        AlertState::Resolved { by, .. } => println!("{by} says that it is over"),
        other => println!("there is nothing to wait for: {other:?}"),
    }

    // In words of our own; `resolve` alone would do.
    let over = Message::new(Level::Info, "Disk on db-3 has space again").with_label("host", "db-3");
    let receipt = outbox.resolve_with("db-3/disk", &over)?;
    println!("message {} says that it is over", receipt.id);
    Ok(())
}
