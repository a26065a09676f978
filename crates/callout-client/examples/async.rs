//! Enqueueing from async code, and waiting for somebody to answer.
//!
//! SQLite blocks while the disk syncs, so the call belongs on a thread that may block. A connection may
//! move between threads but not be shared, hence the mutex; it is locked on that thread, never across
//! an await. With a connection pool, its own `interact` does both. Waiting takes long, so it has an outbox
//! of its own: it would hold the mutex all the time.
//!
//! `cargo run -p callout-client --example async`

#![expect(clippy::print_stdout, reason = "an example shows what happened")]

use callout_client::{AlertState, Error, Level, Message, MessageId, Outbox, Receipt};
use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

/// Cheap to clone and at home in a handler's state.
#[derive(Clone)]
struct Alerts {
    path: PathBuf,
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

    /// Returns once somebody has the alert, or how it stands when the time is up.
    ///
    /// The thread goes on looking until then even if the future is dropped, and the runtime waits for
    /// it when it ends, so be content with a few seconds and ask again.
    async fn wait_for_ack(&self, id: MessageId, timeout: Duration) -> Result<AlertState, Error> {
        let path = self.path.clone();
        let answered =
            tokio::task::spawn_blocking(move || Outbox::open(path)?.wait_for_ack(id, timeout));
        answered.await.expect("waiting does not panic and the runtime is running")
    }
}

#[tokio::main]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let folder = tempfile::tempdir()?;
    let path = folder.path().join("callout.db");
    let outbox = Arc::new(Mutex::new(Outbox::create(&path)?));
    let alerts = Alerts { path, outbox };

    let backup = alerts.enqueue(Message::new(Level::Warning, "Backup took 3 hours"));
    let disk =
        alerts.enqueue(Message::new(Level::Critical, "Disk full on db-3").with_require_ack());
    let (backup, disk) = tokio::join!(backup, disk);
    let disk = disk?.id;
    println!("stored {} and {disk}", backup?.id);

    // Nobody delivers here, so nobody answers.
    let state = alerts.wait_for_ack(disk, Duration::from_millis(100)).await?;
    println!("the full disk: {state:?}");
    Ok(())
}
