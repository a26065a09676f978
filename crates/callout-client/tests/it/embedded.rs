//! Enqueueing inside the application's own transaction.
//!
//! `scripts/client-range` runs this file against the oldest and the newest rusqlite as well, so it
//! uses nothing that only one of them has.

use crate::app::{App, connect};
use crate::rows::rows;
use callout_client::rusqlite::{self, Connection, TransactionBehavior};
use callout_client::{
    Error, Level, Message, MessageId, Receipt, Statement, check, enqueue, enqueue_best_effort,
    install,
};
use std::time::Duration;

fn disk_full() -> Message {
    Message::new(Level::Critical, "磁盘满 disk full")
        .with_body("db-3 has **0 bytes** left")
        .with_label("host", "db-3")
        .with_link("Dashboard", "https://example.com/db-3")
        .with_image("https://example.com/db-3.png")
        .with_mention("all")
        .with_receiver("ops")
        .with_native("slack", serde_json::json!({"text": "disk full"}))
        .with_idempotency_key("db-3-full")
        .with_dedup_key("db-3/disk")
        .with_ttl(Duration::from_secs(600))
}

fn changed(change: impl FnOnce(&mut Message)) -> Message {
    let mut message = disk_full();
    change(&mut message);
    message
}

#[test]
fn the_alert_commits_with_the_order() {
    let mut app = App::new();
    let tx = app.begin();
    tx.execute("INSERT INTO orders VALUES (1)", []).unwrap();
    let receipt = enqueue(&tx, &disk_full()).unwrap();
    tx.commit().unwrap();

    assert!(receipt.fresh);
    assert_eq!(app.orders(), 1);
    let [row] = app.others().try_into().unwrap();
    assert_eq!(row.id, receipt.id.to_string());
    assert_eq!(row.message().unwrap(), disk_full());
    assert_eq!(row.checksum, Some(i64::from(row.checksum_of())));
}

#[test]
fn the_alert_rolls_back_with_the_order() {
    let mut app = App::new();
    let tx = app.begin();
    tx.execute("INSERT INTO orders VALUES (1)", []).unwrap();
    enqueue(&tx, &disk_full()).unwrap();
    drop(tx);

    assert_eq!(app.orders(), 0);
    assert_eq!(app.others(), []);
}

#[test]
fn a_savepoint_takes_only_its_own_alert_back() {
    let mut app = App::new();
    let mut tx = app.begin();
    enqueue(&tx, &disk_full()).unwrap();
    let savepoint = tx.savepoint().unwrap();
    enqueue(&savepoint, &Message::new(Level::Info, "taken back")).unwrap();
    drop(savepoint);
    tx.commit().unwrap();

    let [row] = app.others().try_into().unwrap();
    assert_eq!(row.message().unwrap(), disk_full());
}

#[test]
fn enqueueing_leaves_the_transaction_open() {
    let mut app = App::new();
    let tx = app.begin();
    enqueue(&tx, &disk_full()).unwrap();
    enqueue(&tx, &Message::new(Level::Info, "")).unwrap_err();
    enqueue(&tx, &disk_full().with_body("other")).unwrap_err();
    assert!(!tx.is_autocommit());
    tx.commit().unwrap();
    assert_eq!(app.others().len(), 1);
}

#[test]
fn the_same_request_again_is_the_same_message() {
    let app = App::new();
    let first = enqueue(&app.conn, &disk_full()).unwrap();
    let again = enqueue(&app.conn, &disk_full()).unwrap();
    assert!(first.fresh && !again.fresh);
    assert_eq!(again.id, first.id);
    assert_eq!(app.others().len(), 1);

    let without_key = changed(|message| message.idempotency_key = None);
    assert_ne!(
        enqueue(&app.conn, &without_key).unwrap().id,
        enqueue(&app.conn, &without_key).unwrap().id
    );
    assert_eq!(app.others().len(), 3);
}

#[test]
fn the_same_key_for_something_else_is_refused() {
    let app = App::new();
    let first = enqueue(&app.conn, &disk_full()).unwrap();
    let before = app.others();
    for other in [
        changed(|message| message.level = Level::Error),
        changed(|message| message.title = "disk half full".into()),
        disk_full().with_body("db-3 has **1 byte** left"),
        disk_full().with_label("host", "db-4"),
        disk_full().with_dedup_key("db-4/disk"),
        changed(|message| {
            message.dedup_key = None;
            message.delay = Some(Duration::from_secs(2));
        }),
        changed(|message| message.ttl = None),
    ] {
        match enqueue(&app.conn, &other) {
            Err(Error::KeyTaken { key, holder }) => {
                assert_eq!(key, "db-3-full");
                assert_eq!(holder, first.id.to_string());
            }
            otherwise => panic!("{other:?}: {otherwise:?}"),
        }
    }
    assert_eq!(app.others(), before);
}

#[test]
fn an_invalid_message_changes_nothing() {
    let app = App::new();
    for (message, text) in [
        (
            Message::new(Level::Info, " "),
            "the message was refused: title is empty; give it at least one visible character",
        ),
        (
            disk_full().with_link("go", "javascript:alert(1)"),
            "the message was refused: links[1].url is not an http:// or https:// address",
        ),
        (
            disk_full().with_ttl(Duration::ZERO),
            "the message was refused: ttl is not between 1s and 30d",
        ),
    ] {
        let error = enqueue(&app.conn, &message).unwrap_err();
        assert!(matches!(error, Error::Invalid(_)));
        assert_eq!(error.to_string(), text);
    }
    assert_eq!(app.others(), []);
}

#[test]
fn a_database_without_an_outbox_is_named_as_such() {
    let folder = tempfile::tempdir().unwrap();
    let conn = connect(&folder.path().join("app.db"));
    assert!(matches!(check(&conn), Err(Error::SchemaMissing)));
    assert!(matches!(enqueue(&conn, &disk_full()), Err(Error::SchemaMissing)));
    install(&conn).unwrap();
    check(&conn).unwrap();
    assert!(enqueue(&conn, &disk_full()).unwrap().fresh);
}

#[test]
fn a_connection_that_could_lose_the_commit_is_refused() {
    let app = App::new();
    for (journal_mode, synchronous, durable) in [
        ("WAL", "OFF", false),
        ("WAL", "NORMAL", false),
        ("WAL", "FULL", true),
        ("WAL", "EXTRA", true),
        ("DELETE", "NORMAL", false),
        ("DELETE", "FULL", false),
        ("DELETE", "EXTRA", true),
        ("TRUNCATE", "NORMAL", false),
        ("TRUNCATE", "FULL", true),
        ("PERSIST", "FULL", true),
        ("MEMORY", "EXTRA", false),
        ("OFF", "EXTRA", false),
    ] {
        let before = app.others().len();
        let settings =
            format!("journal_mode={} with synchronous={synchronous}", journal_mode.to_lowercase());
        app.conn.pragma_update_and_check(None, "journal_mode", journal_mode, |_| Ok(())).unwrap();
        app.conn.pragma_update(None, "synchronous", synchronous).unwrap();
        let message = Message::new(Level::Info, &settings);
        match enqueue(&app.conn, &message) {
            Ok(receipt) => assert!(durable && receipt.fresh, "{settings}"),
            Err(Error::NotDurable(weakness)) => {
                assert!(!durable, "{settings}");
                assert_eq!(weakness.to_string(), settings);
            }
            Err(error) => panic!("{settings}: {error}"),
        }
        assert_eq!(check(&app.conn).is_ok(), durable, "{settings}");
        assert_eq!(app.others().len(), before + usize::from(durable), "{settings}");
        assert!(enqueue_best_effort(&app.conn, &message).unwrap().fresh, "{settings}");
    }
}

#[test]
fn best_effort_enqueues_in_memory() {
    let conn = Connection::open_in_memory().unwrap();
    install(&conn).unwrap();
    let refusal = enqueue(&conn, &disk_full()).unwrap_err().to_string();
    assert!(refusal.contains("journal_mode=memory"), "{refusal}");
    enqueue_best_effort(&conn, &disk_full()).unwrap();
    assert_eq!(rows(&conn).len(), 1);
}

#[test]
fn a_message_that_was_not_inserted_is_never_reported_as_enqueued() {
    let app = App::new();
    let deaf = "CREATE TRIGGER deaf BEFORE INSERT ON callout_message
                BEGIN SELECT RAISE(IGNORE); END";
    app.conn.execute_batch(deaf).unwrap();
    for message in [disk_full(), changed(|message| message.idempotency_key = None)] {
        assert!(matches!(enqueue(&app.conn, &message), Err(Error::Database { .. })));
    }
    assert_eq!(app.others(), []);
}

fn info(n: usize) -> Message {
    Message::new(Level::Info, format!("number {n}"))
}

#[test]
fn writers_on_two_connections_do_not_disturb_each_other() {
    const EACH: usize = 50;
    let app = App::new();
    let path = app.path();
    let write = |writer: &str| -> Vec<Receipt> {
        let mut conn = connect(&path);
        let enqueue_one = |n: usize| {
            // Every other key is one that both use.
            let writer = if n.is_multiple_of(2) { "both" } else { writer };
            let message = info(n).with_idempotency_key(format!("{writer}-{n}"));
            let tx = conn.transaction_with_behavior(TransactionBehavior::Immediate).unwrap();
            let receipt = enqueue(&tx, &message).unwrap();
            tx.commit().unwrap();
            receipt
        };
        (0..EACH).map(enqueue_one).collect()
    };
    let (mine, theirs) = std::thread::scope(|scope| {
        let theirs = scope.spawn(|| write("theirs"));
        (write("mine"), theirs.join().unwrap())
    });

    assert_eq!(app.others().len(), EACH / 2 * 3);
    for (n, (mine, theirs)) in mine.iter().zip(&theirs).enumerate() {
        assert_eq!(mine.id == theirs.id, n.is_multiple_of(2), "{n}");
        assert_eq!(mine.fresh != theirs.fresh, n.is_multiple_of(2), "{n}");
    }
    let intact: String =
        app.conn.pragma_query_value(None, "integrity_check", |row| row.get(0)).unwrap();
    assert_eq!(intact, "ok");
}

#[test]
fn waiting_for_another_writer_is_worth_a_retry() {
    let mut app = App::new();
    let other = connect(&app.path());
    other.busy_timeout(Duration::ZERO).unwrap();
    let tx = app.begin();
    let refusal = enqueue(&other, &disk_full()).unwrap_err();
    assert!(refusal.is_retryable(), "{refusal:?}");
    tx.commit().unwrap();
    assert!(enqueue(&other, &disk_full()).unwrap().fresh);
    assert!(!enqueue(&other, &disk_full().with_body("other")).unwrap_err().is_retryable());
    assert_eq!(app.others().len(), 1);
}

#[test]
fn installing_again_changes_nothing() {
    let app = App::new();
    let schema = || -> Vec<(String, String)> {
        let mut all = app
            .conn
            .prepare("SELECT name, coalesce(sql, '') FROM sqlite_schema ORDER BY name")
            .unwrap();
        let rows = all.query_map([], |row| Ok((row.get(0)?, row.get(1)?)));
        rows.unwrap().collect::<rusqlite::Result<_>>().unwrap()
    };
    let before = schema();
    install(&app.conn).unwrap();
    // As a newer release of Callout would leave it.
    app.conn
        .execute_batch(
            "ALTER TABLE callout_message ADD COLUMN later TEXT;
             INSERT INTO callout_schema VALUES (99, 'later', 0, 0);",
        )
        .unwrap();
    install(&app.conn).unwrap();
    check(&app.conn).unwrap();
    assert!(enqueue(&app.conn, &disk_full()).unwrap().fresh);
    assert_eq!(app.others().len(), 1);
    assert_eq!(schema().len(), before.len());
}

#[test]
fn installing_is_part_of_the_transaction_it_runs_in() {
    let folder = tempfile::tempdir().unwrap();
    let mut conn = connect(&folder.path().join("app.db"));
    let tx = conn.transaction().unwrap();
    install(&tx).unwrap();
    assert!(enqueue(&tx, &disk_full()).unwrap().fresh);
    drop(tx);
    assert!(matches!(check(&conn), Err(Error::SchemaMissing)));

    let tx = conn.transaction().unwrap();
    tx.execute_batch("CREATE TABLE callout_counter (n)").unwrap();
    install(&tx).unwrap_err();
    tx.commit().unwrap();
    assert!(matches!(check(&conn), Err(Error::SchemaMissing)), "half an outbox was left behind");
    let bystander = conn.execute("INSERT INTO callout_counter VALUES (1)", []);
    assert_eq!(bystander.unwrap(), 1);
}

#[test]
fn what_applications_keep_is_send_and_sync() {
    fn everywhere<T: Send + Sync + 'static>() {}
    fn movable<T: Send + 'static>() {}
    everywhere::<Message>();
    everywhere::<MessageId>();
    everywhere::<Receipt>();
    everywhere::<Statement>();
    everywhere::<Error>();
    movable::<callout_client::Outbox>();
}
