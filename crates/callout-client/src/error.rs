//! Why the outbox did not do what it was asked.

use crate::durability::Weakness;
use callout_core::id::MessageId;
use callout_core::message::Invalid;
use rusqlite::ErrorCode;
use std::path::PathBuf;

/// Why the outbox did not do what it was asked.
///
/// Each of these left the outbox as it was, but for [`Error::Unconfirmed`].
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// The message breaks a limit. Trying again cannot help.
    #[error("the message was refused: {0}")]
    Invalid(#[from] Invalid),
    /// Another message has the same idempotency key and asks for something else.
    #[error("idempotency key {key:?} already belongs to another message, {holder}")]
    KeyTaken {
        /// The key.
        key: String,
        /// The message that holds it.
        holder: String,
    },
    /// A loss of power could undo the commit, so the promise would be empty.
    ///
    /// Mend the connection as the text says. Who wants to live with it calls
    /// [`enqueue_best_effort`](crate::enqueue_best_effort).
    #[error(
        "a loss of power could lose the message: the connection has {0}; run \
         `PRAGMA journal_mode = WAL` once and `PRAGMA synchronous = FULL` on every connection"
    )]
    NotDurable(Weakness),
    /// The database has no outbox.
    #[error(
        "the database has no table callout_message; run `callout migrate` on it, or \
         callout_client::install in your own migrations"
    )]
    SchemaMissing,
    /// The outbox was made by an older release and knows no alerts.
    ///
    /// A worker of that release would set aside a message that asks for acknowledgment or resolves,
    /// so such a message is not enqueued either.
    #[error(
        "the outbox was made by an older release and has no table callout_alert; run \
         `callout migrate` on it, or callout_client::install in your own migrations"
    )]
    SchemaOld,
    /// There is no such message: it was never committed, or `callout prune` has removed it.
    #[error("there is no message {id}")]
    Unknown {
        /// What was asked for.
        id: MessageId,
    },
    /// Waiting inside a transaction would hold it open and never see the acknowledgment.
    #[error("cannot wait for an acknowledgment inside a transaction; commit it first")]
    InTransaction,
    /// The file cannot be opened as a database. [`Outbox::create`](crate::Outbox::create) makes one.
    #[error("failed to open the outbox {}", path.display())]
    Open {
        /// The file.
        path: PathBuf,
        /// What SQLite says.
        source: rusqlite::Error,
    },
    /// The file for a new outbox cannot be made.
    #[error("failed to create the outbox {}", path.display())]
    Create {
        /// The file.
        path: PathBuf,
        /// What the system says.
        source: std::io::Error,
    },
    /// The commit failed. The message may be enqueued all the same.
    ///
    /// With an idempotency key it is safe to enqueue it again.
    #[error("failed to commit; whether the message is enqueued is not known")]
    Unconfirmed(#[source] rusqlite::Error),
    /// SQLite failed.
    #[error("failed to {doing}")]
    Database {
        /// What it was doing.
        doing: &'static str,
        /// What SQLite says.
        source: rusqlite::Error,
    },
}

impl Error {
    /// Whether the same call may succeed in a moment, with nothing changed by anybody.
    ///
    /// True while another connection holds the database. Inside a transaction of your own, roll back
    /// and run the whole transaction again: SQLite may have refused to upgrade its old snapshot.
    pub fn is_retryable(&self) -> bool {
        match self {
            Self::Open { source, .. } | Self::Database { source, .. } => matches!(
                source.sqlite_error_code(),
                Some(ErrorCode::DatabaseBusy | ErrorCode::DatabaseLocked)
            ),
            Self::Invalid(_)
            | Self::KeyTaken { .. }
            | Self::NotDurable(_)
            | Self::SchemaMissing
            | Self::SchemaOld
            | Self::Unknown { .. }
            | Self::InTransaction
            | Self::Create { .. }
            | Self::Unconfirmed(_) => false,
        }
    }
}

/// Says what SQLite was doing when it failed.
pub(crate) fn doing(doing: &'static str) -> impl FnOnce(rusqlite::Error) -> Error {
    move |source| Error::Database { doing, source }
}
