//! How an alert stands.
//!
//! Alerts open when a worker plans messages and are answered through the `callout` program; here they are
//! only read.

use crate::error::{Error, doing};
use crate::tables::{check_alerts, explain};
use callout_core::id::MessageId;
use callout_core::time::Timestamp;
use callout_store::alert::FIND_ALERT;
use rusqlite::types::{FromSql, FromSqlError, FromSqlResult, ValueRef};
use rusqlite::{Connection, OptionalExtension, Row};

/// How a message's alert stands.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum AlertState {
    /// No worker has looked at the message yet, so it is open whether somebody has to acknowledge it.
    NotPlanned,
    /// Nobody has to acknowledge the message.
    NotRequired,
    /// Nobody has it yet.
    #[non_exhaustive]
    Open {
        /// Which step of the escalation policy was told last; counts from 1.
        step: u32,
        /// Whether everybody was told as often as the policy says, in vain. It can still be acknowledged.
        exhausted: bool,
        /// When the next step follows if nobody acts; `None` if none does.
        next_step_at: Option<Timestamp>,
    },
    /// Somebody has it: nobody else is told.
    #[non_exhaustive]
    Acknowledged {
        /// Who, as they named themselves.
        by: String,
        /// When.
        at: Timestamp,
    },
    /// The problem is over.
    #[non_exhaustive]
    Resolved {
        /// Who said so; a person or a program.
        by: String,
        /// When.
        at: Timestamp,
    },
}

/// Says how the alert of message `id` stands; `None` if there is no such message.
///
/// It is one short read. Inside a transaction it sees what that sees, which may be old by then; to wait
/// for an answer there is [`wait_for_ack`](crate::wait_for_ack).
///
/// # Errors
/// [`Error::SchemaOld`], [`Error::SchemaMissing`], [`Error::Database`].
pub fn alert(conn: &Connection, id: MessageId) -> Result<Option<AlertState>, Error> {
    conn.query_row(FIND_ALERT, [id.to_string()], state)
        .optional()
        .map_err(|e| explain(check_alerts(conn), doing("read the alert")(e)))
}

fn state(row: &Row<'_>) -> rusqlite::Result<AlertState> {
    let Some(standing) = row.get("state")? else {
        let message: String = row.get("message")?;
        return Ok(if message == "new" { AlertState::NotPlanned } else { AlertState::NotRequired });
    };
    Ok(match standing {
        Standing::Open => AlertState::Open {
            step: row.get("step")?,
            exhausted: row.get("exhausted")?,
            next_step_at: row.get::<_, Option<Instant>>("next_step_at")?.map(|Instant(at)| at),
        },
        Standing::Acknowledged => {
            AlertState::Acknowledged { by: row.get("by")?, at: row.get::<_, Instant>("at")?.0 }
        }
        Standing::Resolved => {
            AlertState::Resolved { by: row.get("by")?, at: row.get::<_, Instant>("at")?.0 }
        }
    })
}

/// The words of the column `state`.
enum Standing {
    Open,
    Acknowledged,
    Resolved,
}

impl FromSql for Standing {
    fn column_result(value: ValueRef<'_>) -> FromSqlResult<Self> {
        match value.as_str()? {
            "open" => Ok(Self::Open),
            "acknowledged" => Ok(Self::Acknowledged),
            "resolved" => Ok(Self::Resolved),
            word => Err(FromSqlError::Other(format!("an alert cannot be {word:?}").into())),
        }
    }
}

/// Milliseconds since the epoch, as rusqlite reads them.
struct Instant(Timestamp);

impl FromSql for Instant {
    fn column_result(value: ValueRef<'_>) -> FromSqlResult<Self> {
        let ms = value.as_i64()?;
        Timestamp::from_unix_ms(ms).map(Self).ok_or(FromSqlError::OutOfRange(ms))
    }
}
