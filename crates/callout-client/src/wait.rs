//! Waiting until somebody has an alert.
//!
//! Whoever acknowledges does so in another process, and SQLite tells nobody, so this looks again and
//! again. Each look is one short read of its own; nothing is held in between, so checkpoints go on and
//! each look sees what was committed before it.

use crate::alert::{AlertState, alert};
use crate::error::Error;
use callout_core::id::MessageId;
use callout_store::clock;
use rusqlite::Connection;
use std::time::Duration;

/// The pause after the first look; each one is twice as long as the one before.
const PAUSE_FIRST: Duration = Duration::from_millis(20);

/// No pause is longer.
const PAUSE_MAX: Duration = Duration::from_secs(1);

/// Waits until somebody has acknowledged or resolved the alert of message `id`, for at most `timeout`.
///
/// Returns how the alert stands at the end: acknowledged or resolved; not required, as soon as that is
/// known; and open or not yet planned when the time is up. With a timeout of zero it looks once.
///
/// It blocks the thread and looks every 20 ms at first, in the end every second. No transaction is open
/// between looks. From async code call it through `spawn_blocking`, on a connection of its own.
///
/// Before you call it, commit the message and finish reading any rows on `conn`; as long as a
/// statement of yours is being read, SQLite shows `conn` the database as it was before.
///
/// # Errors
/// [`Error::InTransaction`] if `conn` has a transaction open; [`Error::Unknown`] if there is no message
/// `id`; [`Error::SchemaOld`], [`Error::SchemaMissing`], [`Error::Database`]. A busy database is an error only
/// if it is still busy when the time is up.
pub fn wait_for_ack(
    conn: &Connection,
    id: MessageId,
    timeout: Duration,
) -> Result<AlertState, Error> {
    if !conn.is_autocommit() {
        return Err(Error::InTransaction);
    }
    watch(|| look(conn, id), timeout, clock::stopwatch(), clock::pause)
}

fn look(conn: &Connection, id: MessageId) -> Result<AlertState, Error> {
    alert(conn, id)?.ok_or(Error::Unknown { id })
}

/// Looks until there is nothing to wait for or the time is up; always once more when it is.
fn watch(
    look: impl Fn() -> Result<AlertState, Error>,
    timeout: Duration,
    elapsed: impl Fn() -> Duration,
    pause: impl Fn(Duration),
) -> Result<AlertState, Error> {
    let mut length = PAUSE_FIRST;
    loop {
        let left = timeout.saturating_sub(elapsed());
        let seen = look();
        if left.is_zero() || !worth_waiting(&seen) {
            return seen;
        }
        pause(length.min(left));
        length = (length * 2).min(PAUSE_MAX);
    }
}

fn worth_waiting(seen: &Result<AlertState, Error>) -> bool {
    match seen {
        Ok(AlertState::NotPlanned | AlertState::Open { .. }) => true,
        Ok(
            AlertState::NotRequired | AlertState::Acknowledged { .. } | AlertState::Resolved { .. },
        ) => false,
        Err(error) => error.is_retryable(),
    }
}

#[cfg(test)]
mod tests;
