//! Enqueueing from async code.
//!
//! SQLite blocks while the disk syncs, so the call belongs on a thread that may block. A connection may
//! move between threads but not be shared, hence the mutex; it is locked on that thread, never across
//! an await. With a connection pool, its own `interact` does both.
//!
//! `cargo run -p callout-client --example async`

#![expect(clippy::print_stdout, reason = "an example shows what happened")]

use callout_client::{Error, Level, Message, Outbox, Receipt};
use std::sync::{Arc, Mutex, PoisonError};

/// Cheap to clone and at home in a handler's state.
#[derive(Clone)]
struct Alerts {
    outbox: Arc<Mutex<Outbox>>,
}

impl Alerts {
    /// Returns once the message cannot get lost any more.
    ///
    /// Dropping the future does not take the message back: the blocking call runs to its end.
    async fn enqueue(&self, message: Message) -> Result<Receipt, Error> {
        let outbox = Arc::clone(&self.outbox);
        let enqueued = tokio::task::spawn_blocking(move || {
            // A panic elsewhere rolled its transaction back; the connection is fit for use.
            outbox.lock().unwrap_or_else(PoisonError::into_inner).enqueue(&message)
        });
        enqueued.await.expect("enqueueing does not panic and the runtime is running")
    }
}

#[tokio::main]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let folder = tempfile::tempdir()?;
    let outbox = Outbox::create(folder.path().join("callout.db"))?;
    let alerts = Alerts { outbox: Arc::new(Mutex::new(outbox)) };

    let backup = alerts.enqueue(Message::new(Level::Warning, "Backup took 3 hours"));
    let disk = alerts.enqueue(Message::new(Level::Critical, "Disk full on db-3"));
    let (backup, disk) = tokio::join!(backup, disk);
    println!("stored {} and {}", backup?.id, disk?.id);
    Ok(())
}
