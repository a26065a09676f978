//! Why the store did not do what it was asked.

use callout_core::message::Invalid;
use std::error::Error;
use std::path::PathBuf;

/// Whatever the database driver said.
pub type BackendError = Box<dyn Error + Send + Sync>;

/// Why the store did not do what it was asked. One variant for each thing a caller does differently.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum StoreError {
    /// The message breaks a rule. Nothing was written.
    #[error("the message was refused: {0}")]
    Invalid(#[from] Invalid),
    /// The idempotency key belongs to a different message. Nothing was written.
    #[error("idempotency key {key:?} was already used for a different message, {holder}")]
    KeyTaken {
        /// The key.
        key: String,
        /// The id of the message that holds it.
        holder: String,
    },
    /// Another process kept the database busy for too long. Nothing was written; ask again later.
    #[error("the database is busy")]
    Busy(#[source] BackendError),
    /// The clock was set and another worker has moved what waits along. Nothing was written; read the clock
    /// again.
    #[error("the clock was set, and what waits was moved along")]
    ClockMoved,
    /// The disk is full. Nothing was written.
    #[error("the disk is full")]
    Full(#[source] BackendError),
    /// The commit reported an error, which may mean that it happened or that it did not. Ask again with
    /// the same idempotency key, or look.
    #[error("whether the change was saved is unknown, because the commit failed")]
    CommitUnknown(#[source] BackendError),
    /// A newer release wrote this database. Refuse to start.
    #[error(
        "the database has schema version {found}; this program knows versions up to {known}: use a newer callout"
    )]
    SchemaTooNew {
        /// What the database says.
        found: u32,
        /// The newest version this program has.
        known: u32,
    },
    /// A step was applied in a form this program does not know. Refuse to start.
    #[error("schema step {version} in the database is not the one this program has")]
    SchemaChanged {
        /// The step.
        version: u32,
    },
    /// There is no database where it should be.
    #[error("there is no outbox at {0}; `callout serve` or `callout migrate` creates it")]
    Missing(PathBuf),
    /// The database cannot keep the promise: wrong library, wrong settings, wrong place.
    #[error("{0}")]
    Unfit(String),
    /// The disk failed, or the database on it is damaged. Nothing was written, and nothing will be: the
    /// store refuses everything until the program is started again.
    #[error("{doing} failed: the disk or the database on it is damaged")]
    Failing {
        /// What was being done.
        doing: &'static str,
        /// What the driver said.
        #[source]
        source: BackendError,
    },
    /// The store refuses everything until the program is started again. Whether the change was saved is
    /// unknown.
    #[error("the outbox has stopped: {0}")]
    Stopped(String),
    /// The database lies on a file system where SQLite's locks do not hold. Refuse to start.
    #[error(
        "the database lies on {0}, where SQLite's locks do not hold and messages get lost; keep it on a \
         disk of this machine, or set store.unsafe_disk = true"
    )]
    UnsafeDisk(&'static str),
    /// The store has been closed.
    #[error("the store is closed")]
    Closed,
    /// Nothing a caller can repair.
    #[error("{doing} failed")]
    Broken {
        /// What was being done.
        doing: &'static str,
        /// What the driver said.
        #[source]
        source: BackendError,
    },
}
