//! Reading beside the writer.
//!
//! A few connections that cannot write. Each read sees one moment, and none lasts: a long read would
//! keep the log from being emptied.

use super::connection;
use super::fault::broken;
use super::tx::{Db, Statements};
use crate::clock;
use crate::error::StoreError;
use rusqlite::{Connection, TransactionBehavior};
use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;
use tokio::sync::Semaphore;

/// Reads that may go on at once.
const READERS_MAX: usize = 4;
/// After this a read is cut off.
const READ_MAX: Duration = Duration::from_secs(2);
/// How many steps of SQLite's machine pass between two looks at the clock.
const STEPS: i32 = 10_000;

/// A few connections for reading, opened when they are first needed.
#[derive(Debug)]
pub(super) struct Readers {
    path: PathBuf,
    room: Arc<Semaphore>,
    idle: Arc<Mutex<Vec<Connection>>>,
    /// Whether reads run where they are asked for.
    #[cfg(feature = "conformance")]
    is_inline: bool,
}

impl Readers {
    pub(super) fn new(path: PathBuf) -> Self {
        Self {
            path,
            room: Arc::new(Semaphore::new(READERS_MAX)),
            idle: Arc::default(),
            #[cfg(feature = "conformance")]
            is_inline: false,
        }
    }

    /// Readers without threads, for a simulation.
    #[cfg(feature = "conformance")]
    pub(super) fn inline(path: PathBuf) -> Self {
        Self { is_inline: true, ..Self::new(path) }
    }

    /// Runs `work` on a thread where it may block, on one view of the database.
    pub(super) async fn read<T, F>(&self, work: F) -> Result<T, StoreError>
    where
        T: Send + 'static,
        F: FnOnce(Db<'_>) -> Result<T, StoreError> + Send + 'static,
    {
        let room = Arc::clone(&self.room);
        let permit = room.acquire_owned().await.map_err(|_| StoreError::Closed)?;
        let (path, idle) = (self.path.clone(), Arc::clone(&self.idle));
        let read = move || {
            let known = idle.lock().unwrap_or_else(PoisonError::into_inner).pop();
            let mut connection = known.map_or_else(|| connection::reader(&path), Ok)?;
            let result = view(&mut connection, work);
            idle.lock().unwrap_or_else(PoisonError::into_inner).push(connection);
            drop(permit);
            result
        };
        #[cfg(feature = "conformance")]
        if self.is_inline {
            return read();
        }
        let task = tokio::task::spawn_blocking(read);
        task.await.map_err(|e| StoreError::Broken { doing: "a read", source: Box::new(e) })?
    }
}

fn view<T>(
    connection: &mut Connection,
    work: impl FnOnce(Db<'_>) -> Result<T, StoreError>,
) -> Result<T, StoreError> {
    const DOING: &str = "read";
    let is_over = clock::deadline(READ_MAX);
    connection.progress_handler(STEPS, Some(is_over)).map_err(broken(DOING))?;
    let tx = connection
        .transaction_with_behavior(TransactionBehavior::Deferred)
        .map_err(broken(DOING))?;
    let result = work(Db::new(&Statements::of(&tx)));
    tx.finish().map_err(broken(DOING))?;
    result
}
