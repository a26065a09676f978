//! Asking for acknowledgment, seeing it come, and saying that it is over. Also run by
//! `scripts/client-range`.

use crate::app::App;
use callout_client::rusqlite::Connection;
use callout_client::{
    AlertState, Error, Level, Message, MessageId, Outbox, alert, enqueue, resolve, resolve_with,
    wait_for_ack,
};
use std::time::Duration;

/// Longer than any test takes; whoever waits that long waits in vain.
const LONG: Duration = Duration::from_secs(600);

fn nobody_can_pay() -> Message {
    Message::new(Level::Critical, "Nobody can pay")
        .with_dedup_key("payments")
        .with_ack_within(Duration::from_secs(300))
}

/// Opens the alert of message `id` and puts it into a state, as a worker would: `columns` are those of
/// `callout_alert` that differ from an alert which just opened.
pub(crate) fn open(conn: &Connection, id: MessageId, columns: &str) {
    let seq: i64 = conn
        .query_row("SELECT seq FROM callout_message WHERE id = ?1", [id.to_string()], |r| r.get(0))
        .unwrap();
    let planned = "INSERT INTO callout_progress (seq, state) VALUES (?1, 'pending')
                   ON CONFLICT (seq) DO UPDATE SET state = excluded.state";
    assert_eq!(conn.execute(planned, [seq]).unwrap(), 1);
    conn.execute(
        "INSERT INTO callout_alert (seq, level, state, opened_at, policy, timer, decision, step,
                round, cause, since, late_ms, due_at, look_at)
         VALUES (?1, 'critical', 'open', 1000, '{}', 'waiting', 1, 0, 0, 'opened', 1000, 0, 301000,
                301000)",
        [seq],
    )
    .unwrap();
    if !columns.is_empty() {
        let update = format!("UPDATE callout_alert SET {columns} WHERE seq = {seq}");
        conn.execute(&update, []).unwrap();
    }
}

pub(crate) const ACKNOWLEDGED: &str = "state = 'acknowledged', by = 'Ann', at = 2000, via = 'page',
    acked_by = 'Ann', acked_at = 2000, timer = 'stopped', due_at = NULL, look_at = NULL";

const RESOLVED: &str = "state = 'resolved', by = 'Bob', at = 3000, via = 'command',
    acked_by = 'Ann', acked_at = 2000, timer = 'stopped', due_at = NULL, look_at = NULL";

#[test]
fn asking_for_acknowledgment_is_part_of_the_message() {
    let app = App::new();
    enqueue(&app.conn, &nobody_can_pay()).unwrap();
    enqueue(&app.conn, &Message::new(Level::Error, "slow").with_require_ack()).unwrap();
    let [pay, slow] = app.others().try_into().unwrap();
    assert_eq!(pay.message().unwrap(), nobody_can_pay());
    assert_eq!(pay.details, r#"{"require_ack":true,"ack_within_ms":300000}"#);
    assert_eq!(pay.dedup_key.as_deref(), Some("payments"));
    assert_eq!(slow.details, r#"{"require_ack":true}"#);
}

#[test]
fn the_resolution_commits_with_the_order() {
    let mut app = App::new();
    let tx = app.begin();
    tx.execute("INSERT INTO orders VALUES (1)", []).unwrap();
    let receipt = resolve(&tx, "payments").unwrap();
    assert!(!tx.is_autocommit());
    tx.commit().unwrap();

    let [row] = app.others().try_into().unwrap();
    assert_eq!((row.id.clone(), receipt.fresh), (receipt.id.to_string(), true));
    assert_eq!(row.message().unwrap(), Message::resolved("payments"));
    assert_eq!(row.details, r#"{"resolve":true}"#);
    assert_eq!(row.dedup_key.as_deref(), Some("payments"));
}

#[test]
fn the_resolution_rolls_back_with_the_order() {
    let mut app = App::new();
    let tx = app.begin();
    tx.execute("INSERT INTO orders VALUES (1)", []).unwrap();
    resolve(&tx, "payments").unwrap();
    resolve_with(&tx, "payments", &Message::new(Level::Info, "People can pay")).unwrap();
    drop(tx);
    assert_eq!((app.orders(), app.others()), (0, vec![]));
}

#[test]
fn a_resolution_may_have_words_and_a_key_of_its_own() {
    let app = App::new();
    let words = Message::new(Level::Warning, "People can pay, slowly")
        .with_idempotency_key("payments-over-17")
        .with_dedup_key("something else");
    let first = resolve_with(&app.conn, "payments", &words).unwrap();
    let again = resolve_with(&app.conn, "payments", &words).unwrap();
    assert_eq!((again.id, again.fresh), (first.id, false));

    let [row] = app.others().try_into().unwrap();
    let mut expected = words.with_dedup_key("payments");
    expected.resolve = true;
    assert_eq!(row.message().unwrap(), expected);
}

#[test]
fn a_resolution_that_makes_no_sense_is_refused() {
    let app = App::new();
    for refusal in [
        resolve(&app.conn, ""),
        resolve(&app.conn, "two\nlines"),
        resolve(&app.conn, &"long".repeat(100)),
        resolve_with(&app.conn, "", &Message::new(Level::Info, "over")),
        resolve_with(&app.conn, "payments", &nobody_can_pay()),
    ] {
        assert!(matches!(refusal, Err(Error::Invalid(_))), "{refusal:?}");
    }
    assert_eq!(app.others(), []);
}

#[test]
fn an_alert_is_seen_in_each_of_its_states() {
    let app = App::new();
    let opened = |columns: &str| {
        let id =
            enqueue(&app.conn, &Message::new(Level::Critical, "x").with_require_ack()).unwrap().id;
        open(&app.conn, id, columns);
        format!("{:?}", alert(&app.conn, id).unwrap().unwrap())
    };
    assert_eq!(
        opened(""),
        "Open { step: 1, exhausted: false, next_step_at: Some(Timestamp(301000)) }"
    );
    assert_eq!(
        opened("step = 1, decision = 2, due_at = 601000, look_at = 400000"),
        "Open { step: 2, exhausted: false, next_step_at: Some(Timestamp(601000)) }"
    );
    assert_eq!(
        opened("step = 2, timer = 'exhausted', due_at = NULL, look_at = NULL"),
        "Open { step: 3, exhausted: true, next_step_at: None }"
    );
    assert_eq!(opened(ACKNOWLEDGED), r#"Acknowledged { by: "Ann", at: Timestamp(2000) }"#);
    assert_eq!(opened(RESOLVED), r#"Resolved { by: "Bob", at: Timestamp(3000) }"#);
}

#[test]
fn a_message_without_an_alert_says_so() {
    let app = App::new();
    let id = enqueue(&app.conn, &Message::new(Level::Info, "x")).unwrap().id;
    assert_eq!(alert(&app.conn, id).unwrap(), Some(AlertState::NotPlanned));
    let planned = "INSERT INTO callout_progress (seq, state, settled_at) VALUES (2, 'accepted', 1)";
    assert_eq!(app.conn.execute(planned, []).unwrap(), 1);
    assert_eq!(alert(&app.conn, id).unwrap(), Some(AlertState::NotRequired));
    assert_eq!(wait_for_ack(&app.conn, id, LONG).unwrap(), AlertState::NotRequired);
}

#[test]
fn a_message_that_was_counted_shares_the_alert_it_was_counted_with() {
    let app = App::new();
    let first = enqueue(&app.conn, &nobody_can_pay()).unwrap().id;
    let again = enqueue(&app.conn, &nobody_can_pay()).unwrap().id;
    open(&app.conn, first, ACKNOWLEDGED);
    let merged = "INSERT INTO callout_progress (seq, state, alert, settled_at)
                   VALUES (3, 'merged', 2, 1)";
    assert_eq!(app.conn.execute(merged, []).unwrap(), 1);
    let state = alert(&app.conn, again).unwrap();
    assert!(matches!(state, Some(AlertState::Acknowledged { .. })), "{state:?}");
    assert_eq!(state, alert(&app.conn, first).unwrap());
}

#[test]
fn an_unknown_message_has_no_alert() {
    let app = App::new();
    let gone = enqueue(&app.conn, &nobody_can_pay()).unwrap().id;
    app.conn.execute("DELETE FROM callout_message WHERE id = ?1", [gone.to_string()]).unwrap();
    assert_eq!(alert(&app.conn, gone).unwrap(), None);
    match wait_for_ack(&app.conn, gone, LONG) {
        Err(Error::Unknown { id }) => assert_eq!(id, gone),
        otherwise => panic!("{otherwise:?}"),
    }
}

#[test]
fn waiting_ends_at_once_if_somebody_has_it() {
    let app = App::new();
    for columns in [ACKNOWLEDGED, RESOLVED] {
        let id =
            enqueue(&app.conn, &Message::new(Level::Critical, "x").with_require_ack()).unwrap().id;
        open(&app.conn, id, columns);
        let state = wait_for_ack(&app.conn, id, LONG).unwrap();
        assert_eq!(Some(state), alert(&app.conn, id).unwrap());
    }
}

#[test]
fn waiting_ends_when_the_time_is_up() {
    let app = App::new();
    let id = enqueue(&app.conn, &nobody_can_pay()).unwrap().id;
    assert_eq!(wait_for_ack(&app.conn, id, Duration::ZERO).unwrap(), AlertState::NotPlanned);
    open(&app.conn, id, "");
    let state = wait_for_ack(&app.conn, id, Duration::ZERO).unwrap();
    assert!(matches!(state, AlertState::Open { step: 1, exhausted: false, .. }), "{state:?}");
}

#[test]
fn nobody_waits_inside_a_transaction() {
    let mut app = App::new();
    let tx = app.begin();
    let id = enqueue(&tx, &nobody_can_pay()).unwrap().id;
    assert!(matches!(wait_for_ack(&tx, id, Duration::ZERO), Err(Error::InTransaction)));
    assert_eq!(alert(&tx, id).unwrap(), Some(AlertState::NotPlanned));
    tx.commit().unwrap();
    assert_eq!(app.others().len(), 1);
}

#[test]
fn an_alert_in_a_state_nobody_knows_is_an_error() {
    let app = App::new();
    let id = enqueue(&app.conn, &nobody_can_pay()).unwrap().id;
    app.conn.execute_batch("PRAGMA ignore_check_constraints = ON").unwrap();
    for columns in ["state = 'parked'", "due_at = -1", "step = -2"] {
        app.conn.execute_batch("DELETE FROM callout_alert").unwrap();
        open(&app.conn, id, columns);
        let refusal = wait_for_ack(&app.conn, id, LONG).unwrap_err();
        assert!(matches!(refusal, Error::Database { doing: "read the alert", .. }), "{refusal:?}");
    }
}

#[test]
fn an_outbox_in_a_file_does_all_of_this() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("callout.db");
    let mut outbox = Outbox::create(&path).unwrap();
    let id = outbox.enqueue(&nobody_can_pay()).unwrap().id;
    assert_eq!(outbox.alert(id).unwrap(), Some(AlertState::NotPlanned));
    open(&Connection::open(&path).unwrap(), id, ACKNOWLEDGED);
    let state = outbox.wait_for_ack(id, LONG).unwrap();
    assert!(matches!(&state, AlertState::Acknowledged { by, .. } if by == "Ann"), "{state:?}");
    let plain = outbox.resolve("payments").unwrap();
    let words = outbox.resolve_with("payments", &Message::new(Level::Info, "over")).unwrap();
    assert!(plain.fresh && words.fresh && plain.id != words.id);
}
