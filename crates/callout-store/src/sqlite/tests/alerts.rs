//! What the schema itself promises about alerts, to people with `sqlite3` and to other programs.

use super::{message, open, path, store};
use crate::alert::FIND_ALERT;
use crate::clock::Reading;
use crate::model::{
    Actor, Answer, AnswerRequest, Answered, EscalateRequest, Filter, NewMessage, PlanRequest,
};
use crate::schema::{NOTE_VERSION, SQLITE, VERSION_TABLE};
use crate::sqlite::SqliteStore;
use crate::store::Store;
use callout_core::id::MessageId;
use callout_core::level::Level;
use callout_core::locale::Locale;
use callout_core::message::Message;
use callout_core::plan::{Directory, MessageState};
use callout_core::receiver::Receiver;
use callout_core::retry::RetryPolicy;
use callout_core::route::Route;
use callout_core::time::Timestamp;
use rusqlite::types::Value;
use rusqlite::{Connection, params};
use std::sync::Arc;
use std::time::Duration;

/// Everything goes to `ops`, on one channel.
pub(super) fn directory() -> Arc<Directory> {
    let receiver = Receiver {
        name: "ops".parse().unwrap(),
        channels: vec!["a".parse().unwrap()],
        failover_after: None,
        mention_all: false,
        mention: vec![],
    };
    let route =
        Route { levels: vec![], labels: vec![], to: vec![receiver.name.clone()], escalation: None };
    Arc::new(Directory {
        routes: vec![route],
        receivers: [(receiver.name.clone(), receiver)].into(),
        operator: None,
        retry: RetryPolicy::default(),
        follow_up: true,
        locale: Locale::English,
        costly: [].into(),
        ringing: [].into(),
    })
}

fn at(seconds: u64) -> Timestamp {
    Timestamp::EPOCH + Duration::from_secs(seconds)
}

pub(super) fn asks(title: &str) -> NewMessage {
    let message = Message::new(Level::Error, title).with_dedup_key("k").with_require_ack();
    NewMessage { message, ..super::message(title) }
}

pub(super) async fn plan(store: &SqliteStore, new: NewMessage) -> String {
    let id = new.id.to_string();
    store.enqueue(vec![new]).await.unwrap();
    store.plan(ask_plan()).await.unwrap();
    id
}

pub(super) fn ask_plan() -> PlanRequest {
    PlanRequest {
        reading: Reading::default(),
        now: at(1),
        directory: directory(),
        limit: 100,
        entropy: crate::clock::entropy(),
    }
}

pub(super) async fn answer(store: &SqliteStore, id: &str, answer: Answer) {
    let ask = AnswerRequest {
        now: at(2),
        directory: directory(),
        message: id.to_owned(),
        answer,
        who: Actor::at_the_command_line("fox"),
        only: None,
        note: None,
        epoch: None,
        entropy: crate::clock::entropy(),
    };
    assert!(matches!(store.answer(ask).await.unwrap(), Answered::Done(_)));
}

/// One row of a statement, in words.
fn row(connection: &Connection, sql: &str, id: &str) -> Option<String> {
    let mut statement = connection.prepare(sql).unwrap();
    let columns = statement.column_count();
    let mut rows = statement.query([id]).unwrap();
    let row = rows.next().unwrap()?;
    let words = (0..columns).map(|n| match row.get(n).unwrap() {
        Value::Null => "-".to_owned(),
        Value::Integer(n) => n.to_string(),
        Value::Text(text) => text,
        other => format!("{other:?}"),
    });
    Some(words.collect::<Vec<_>>().join(" "))
}

#[tokio::test]
async fn any_program_reads_how_an_alert_stands() {
    let (folder, store) = store();
    let reader = Connection::open(path(&folder)).unwrap();
    let find = |id: &str| row(&reader, FIND_ALERT, id);
    let new = message("new");
    store.enqueue(vec![new.clone()]).await.unwrap();
    assert_eq!(find(&new.id.to_string()).unwrap(), "new - - - - - -");
    let alert = plan(&store, asks("x")).await;
    let merged = plan(&store, asks("x")).await;
    assert_eq!(find(&new.id.to_string()).unwrap(), "pending - - - - - -");
    assert_eq!(find(&alert).unwrap(), "pending open - - 1 0 301000");
    assert_eq!(find(&merged).unwrap(), "merged open - - 1 0 301000");
    answer(&store, &alert, Answer::Acknowledge).await;
    assert_eq!(find(&merged).unwrap(), "merged acknowledged fox 2000 1 0 -");
    answer(&store, &alert, Answer::Resolve).await;
    assert_eq!(find(&alert).unwrap(), "cancelled resolved fox 2000 1 0 -");
    assert_eq!(find("nothing"), None);
}

#[tokio::test]
async fn people_with_sqlite3_see_alerts() {
    let (folder, store) = store();
    let reader = Connection::open(path(&folder)).unwrap();
    let id = plan(&store, asks("x")).await;
    plan(&store, asks("again")).await;
    let bystander = plan(&store, message("bystander")).await;
    let see = |id: &str| {
        row(
            &reader,
            "SELECT state, level, title, opened_utc, acked_by, acked_at, resolved_by, resolved_at,
                    step, exhausted, next_step_at, repeats FROM callout_alerts WHERE id = ?1",
            id,
        )
    };
    assert_eq!(see(&id).unwrap(), "open error x 1970-01-01 00:00:01 - - - - 1 0 301000 1");
    answer(&store, &id, Answer::Acknowledge).await;
    answer(&store, &id, Answer::Resolve).await;
    assert_eq!(see(&id).unwrap(), "resolved error x 1970-01-01 00:00:01 fox 2000 fox 2000 1 0 - 1");
    assert_eq!(see(&bystander), None);
}

#[tokio::test]
async fn deeds_and_decisions_are_never_changed() {
    let (folder, store) = store();
    let id = plan(&store, asks("x")).await;
    answer(&store, &id, Answer::Acknowledge).await;
    let bystander = plan(&store, message("bystander")).await;
    let other = Connection::open(path(&folder)).unwrap();
    for sql in [
        "UPDATE callout_journal SET by = 'somebody'",
        "DELETE FROM callout_journal",
        "UPDATE callout_step SET at = 0",
        "UPDATE callout_alert SET state = 'open'",
        "UPDATE callout_alert SET timer = 'waiting'",
        "UPDATE callout_progress SET state = 'merged', settled_at = 1",
    ] {
        other.execute_batch(sql).unwrap_err();
    }
    assert_eq!(store.story(id.clone()).await.unwrap().unwrap().journal.len(), 1);
    // A message that somebody deletes by hand takes everything along.
    for foreign_keys in ["OFF", "ON"] {
        other.execute_batch(&format!("PRAGMA foreign_keys = {foreign_keys}")).unwrap();
        let id = plan(&store, message("another")).await;
        other.execute("DELETE FROM callout_message WHERE id = ?1", [&id]).unwrap();
    }
    other.execute_batch("PRAGMA foreign_keys = OFF").unwrap();
    other.execute("DELETE FROM callout_message WHERE id = ?1", [&id]).unwrap();
    for table in ["callout_alert", "callout_step", "callout_journal"] {
        let left: i64 = other
            .query_row(&format!("SELECT count(*) FROM {table}"), [], |row| row.get(0))
            .unwrap();
        assert_eq!(left, 0, "{table}");
    }
    assert!(store.story(bystander).await.unwrap().is_some());
}

#[tokio::test]
async fn two_open_alerts_never_share_a_key() {
    let (folder, store) = store();
    let id = plan(&store, asks("x")).await;
    let other = Connection::open(path(&folder)).unwrap();
    let copy = "INSERT INTO callout_alert (seq, level, dedup_key, state, opened_at, policy, timer,
                       decision, step, round, cause, since, late_ms, due_at, look_at)
                SELECT 99, level, dedup_key, state, opened_at, policy, timer, decision, step, round,
                       cause, since, late_ms, due_at, look_at FROM callout_alert";
    other.execute_batch("PRAGMA foreign_keys = OFF").unwrap();
    let refused = other.execute(copy, []).unwrap_err();
    assert!(refused.to_string().contains("dedup_key"), "{refused}");
    answer(&store, &id, Answer::Resolve).await;
    plan(&store, asks("y")).await;
}

#[tokio::test]
async fn an_idle_store_has_nothing_to_escalate_and_writes_nothing() {
    let (_folder, store) = store();
    let id = plan(&store, asks("x")).await;
    let ask = |now| EscalateRequest {
        reading: Reading::default(),
        now,
        directory: directory(),
        limit: 10,
        entropy: crate::clock::entropy(),
    };
    let before = store.writer.write(|tx| Ok(tx.db.total_changes())).await.unwrap();
    let report = store.escalate(ask(at(300))).await.unwrap();
    assert_eq!((report.stepped, report.next_at), (0, Some(at(301))));
    assert_eq!(store.writer.write(|tx| Ok(tx.db.total_changes())).await.unwrap(), before);
    assert_eq!(store.story(id).await.unwrap().unwrap().alert.unwrap().steps.len(), 1);
}

#[tokio::test]
async fn what_an_outsider_changed_keeps_no_message_from_being_planned() {
    let (folder, store) = store();
    let id = plan(&store, asks("x")).await;
    let other = Connection::open(path(&folder)).unwrap();
    other
        .execute_batch(
            "DELETE FROM callout_delivery;
             UPDATE callout_progress SET state = 'new', settled_at = NULL;
             UPDATE callout_alert SET dedup_key = NULL",
        )
        .unwrap();
    let bystander = plan(&store, message("bystander")).await;
    for id in [id, bystander] {
        let story = store.story(id).await.unwrap().unwrap();
        assert_eq!((story.summary.state, story.deliveries.len()), (MessageState::Pending, 1));
    }
}

/// A database as the first release left it, with one message in each state.
fn first_release(path: &std::path::Path) {
    let old = Connection::open(path).unwrap();
    old.execute_batch(VERSION_TABLE).unwrap();
    let first = &SQLITE[0];
    old.execute_batch(first.sql).unwrap();
    old.execute(NOTE_VERSION, params![first.version, first.name, first.checksum(), 0]).unwrap();
    for (n, state) in
        ["new", "pending", "accepted", "dead", "cancelled", "expired"].iter().enumerate()
    {
        let n = u8::try_from(n).unwrap();
        let id = MessageId::new(at(0), [n; 10]).to_string();
        old.execute(
            "INSERT INTO callout_message (id, level, title, created_at) VALUES (?1, 'error', ?2, 0)",
            [id.as_str(), state],
        )
        .unwrap();
        old.execute(
            "UPDATE callout_progress SET state = ?1, why = ?1,
                    settled_at = CASE WHEN ?1 IN ('new', 'pending') THEN NULL ELSE 7 END
              WHERE seq = last_insert_rowid()",
            [state],
        )
        .unwrap();
    }
    old.execute_batch(
        "INSERT INTO callout_delivery (message_seq, receiver, urgency, expires_at, state, channel,
                ready_at, wait)
         VALUES (2, 'ops', 2, 1000000, 'ready', 'a', 0, 'new');
         INSERT INTO callout_journal (at, message_seq, event, detail) VALUES (1, 4, 'moved', 'x');
         -- Nobody has looked at this view for years.
         CREATE TABLE app (x); CREATE VIEW broken AS SELECT y FROM app; DROP TABLE app;",
    )
    .unwrap();
}

#[tokio::test]
async fn a_database_of_the_first_release_is_brought_up_to_date() {
    let folder = tempfile::tempdir().unwrap();
    let path = path(&folder);
    first_release(&path);
    let store = open(&path);
    assert!(SqliteStore::schema_steps(&path).unwrap().iter().all(|step| step.applied));
    let page = store.list(Filter::default(), None, 10).await.unwrap();
    let stand: Vec<_> = page.messages.iter().map(|m| (m.title.as_str(), m.state.name())).collect();
    assert_eq!(
        stand,
        [
            ("expired", "expired"),
            ("cancelled", "cancelled"),
            ("dead", "dead"),
            ("accepted", "accepted"),
            ("pending", "pending"),
            ("new", "pending"),
        ]
    );
    let dead = store.story(page.messages[2].id.clone()).await.unwrap().unwrap();
    assert_eq!((dead.why.as_deref(), dead.journal[0].event.as_str()), (Some("dead"), "moved"));
    assert_eq!((dead.summary.settled_at.unwrap().unix_ms(), dead.alert), (7, None));
    let pending = store.story(page.messages[4].id.clone()).await.unwrap().unwrap();
    assert_eq!(pending.deliveries.len(), 1);
    // What was new is planned, and what comes is.
    let id = plan(&store, asks("x")).await;
    let again = plan(&store, asks("x")).await;
    let state = async |id: String| store.story(id).await.unwrap().unwrap().summary.state;
    assert_eq!(state(again).await, MessageState::Merged);
    let new = store.story(page.messages[5].id.clone()).await.unwrap().unwrap();
    assert_eq!(new.deliveries.len(), 1);
    answer(&store, &id, Answer::Acknowledge).await;
    drop(store);
    let connection = Connection::open(&path).unwrap();
    let check: String =
        connection.query_row("PRAGMA integrity_check", [], |row| row.get(0)).unwrap();
    assert_eq!(check, "ok");
    let wrong: i64 = connection
        .query_row("SELECT count(*) FROM pragma_foreign_key_check", [], |row| row.get(0))
        .unwrap();
    assert_eq!(wrong, 0);
    let left: i64 = connection
        .query_row(
            "SELECT count(*) FROM sqlite_schema WHERE name LIKE '%before_alerts%'",
            [],
            |row| row.get(0),
        )
        .unwrap();
    assert_eq!(left, 0);
}
