use super::*;
use callout_core::level::Level;
use callout_core::message::Message;
use callout_core::time::Timestamp;
use std::cell::{Cell, RefCell};
use std::path::Path;

fn open() -> Result<AlertState, Error> {
    Ok(AlertState::Open { step: 1, exhausted: true, next_step_at: None })
}

fn acknowledged() -> Result<AlertState, Error> {
    Ok(AlertState::Acknowledged { by: "Ann".into(), at: Timestamp::EPOCH })
}

fn failure(code: std::ffi::c_int) -> Error {
    let source = rusqlite::Error::SqliteFailure(rusqlite::ffi::Error::new(code), None);
    Error::Database { doing: "read the alert", source }
}

/// Waits `timeout` on a clock that only pauses move, and looks with `look`, which gets the number of
/// the look. Returns what came of it and the pauses, in milliseconds.
fn check(
    timeout: Duration,
    look: impl Fn(usize) -> Result<AlertState, Error>,
) -> (Result<AlertState, Error>, Vec<u128>) {
    let pauses = RefCell::new(Vec::new());
    let seen = watch(
        || look(pauses.borrow().len() + 1),
        timeout,
        || pauses.borrow().iter().sum(),
        |length| pauses.borrow_mut().push(length),
    );
    (seen, pauses.into_inner().iter().map(Duration::as_millis).collect())
}

#[test]
fn what_is_answered_already_is_not_waited_for() {
    let resolved = || Ok(AlertState::Resolved { by: "Ann".into(), at: Timestamp::EPOCH });
    for answer in [acknowledged, resolved, || Ok(AlertState::NotRequired)] {
        let (seen, pauses) = check(Duration::MAX, |_| answer());
        assert_eq!(seen.unwrap(), answer().unwrap());
        assert_eq!(pauses, []);
    }
}

#[test]
fn an_answer_ends_the_wait() {
    let (seen, pauses) = check(Duration::MAX, |look| match look {
        1 | 2 => Ok(AlertState::NotPlanned),
        3 => open(),
        _ => acknowledged(),
    });
    assert_eq!(seen.unwrap(), acknowledged().unwrap());
    assert_eq!(pauses, [20, 40, 80]);
}

#[test]
fn pauses_grow_to_a_second_and_end_with_the_time() {
    let (seen, pauses) = check(Duration::from_millis(4_000), |_| open());
    assert_eq!(seen.unwrap(), open().unwrap());
    assert_eq!(pauses, [20, 40, 80, 160, 320, 640, 1000, 1000, 740]);
}

#[test]
fn an_answer_in_the_last_moment_counts() {
    let timeout = Duration::from_millis(50);
    let (seen, pauses) = check(timeout, |look| if look == 3 { acknowledged() } else { open() });
    assert_eq!(seen.unwrap(), acknowledged().unwrap());
    assert_eq!(pauses, [20, 30]);
}

#[test]
fn no_time_is_one_look() {
    let (seen, pauses) = check(Duration::ZERO, |_| open());
    assert_eq!(seen.unwrap(), open().unwrap());
    assert_eq!(pauses, []);
}

#[test]
fn a_busy_database_is_asked_again_until_the_time_is_up() {
    let busy = || Err(failure(rusqlite::ffi::SQLITE_BUSY));
    let (seen, _) = check(Duration::MAX, |look| if look < 4 { busy() } else { acknowledged() });
    assert_eq!(seen.unwrap(), acknowledged().unwrap());
    let (seen, pauses) = check(Duration::from_millis(60), |_| busy());
    assert!(seen.unwrap_err().is_retryable());
    assert_eq!(pauses, [20, 40]);

    let (seen, pauses) = check(Duration::MAX, |_| Err(failure(rusqlite::ffi::SQLITE_CORRUPT)));
    assert!(matches!(seen, Err(Error::Database { .. })));
    assert_eq!(pauses, []);
}

fn connect(path: &Path) -> Connection {
    let conn = Connection::open(path).unwrap();
    conn.pragma_update_and_check(None, "journal_mode", "WAL", |_| Ok(())).unwrap();
    conn.pragma_update(None, "synchronous", "FULL").unwrap();
    conn
}

/// Whether a checkpoint could write everything back and empty the log.
fn truncates(conn: &Connection) -> bool {
    let left = |row: &rusqlite::Row<'_>| Ok((row.get::<_, i64>(0)?, row.get::<_, i64>(1)?));
    conn.query_row("PRAGMA wal_checkpoint(TRUNCATE)", [], left).unwrap() == (0, 0)
}

#[test]
fn nothing_is_held_between_two_looks() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("app.db");
    let (waiting, other) = (connect(&path), connect(&path));
    other.busy_timeout(Duration::ZERO).unwrap();
    crate::install(&other).unwrap();
    let message = Message::new(Level::Critical, "disk full").with_require_ack();
    let id = crate::enqueue(&other, &message).unwrap().id;

    let pauses = Cell::new(0);
    let between_looks = |_| {
        pauses.set(pauses.get() + 1);
        crate::enqueue(&other, &Message::new(Level::Info, "more to write back")).unwrap();
        assert!(truncates(&other));
        if pauses.get() == 3 {
            // As if a worker had found that nobody needs to acknowledge it.
            let planned = "INSERT INTO callout_progress (seq, state) VALUES (1, 'pending')";
            assert_eq!(other.execute(planned, []).unwrap(), 1);
        }
    };
    let seen = watch(|| look(&waiting, id), Duration::MAX, || Duration::ZERO, between_looks);
    assert_eq!(seen.unwrap(), AlertState::NotRequired);
    assert_eq!(pauses.get(), 3);

    // What would have been seen otherwise.
    waiting.execute_batch("BEGIN; SELECT * FROM callout_message").unwrap();
    crate::enqueue(&other, &message).unwrap();
    assert!(!truncates(&other));
}
