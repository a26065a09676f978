//! Rows that no check lets in, but that another program or a bad disk may leave.

use super::alerts::{answer, asks, directory, plan};
use super::{message, path, store};
use crate::clock::Reading;
use crate::model::{
    Actor, Answer, ClaimRequest, Claims, Command, CommandRequest, Filter, LaneAsk, PruneRequest,
};
use crate::sqlite::tx::Tx;
use crate::sqlite::{SqliteStore, claim};
use crate::store::Store;
use callout_core::id::WorkerId;
use callout_core::level::Level;
use callout_core::plan::MessageState;
use callout_core::rate::Rate;
use callout_core::time::Timestamp;
use rusqlite::Connection;
use std::time::Duration;

async fn claim(store: &SqliteStore) -> Claims {
    let (channel, rate) = ("a".parse().unwrap(), Rate::default());
    let ask = ClaimRequest {
        reading: Reading::default(),
        now: Timestamp::EPOCH + Duration::from_secs(60),
        directory: directory(),
        worker: WorkerId::new(Timestamp::EPOCH, [1; 10]),
        lease_until: Timestamp::LAST,
        lanes: vec![LaneAsk { channel, rate, limit: 10 }],
        plan: 0,
        entropy: crate::clock::entropy(),
    };
    store.claim(ask).await.unwrap()
}

#[tokio::test]
async fn a_lease_without_an_end_is_set_aside_and_holds_nobody_up() {
    let (folder, store) = store();
    let damaged = plan(&store, message("damaged")).await;
    assert_eq!(claim(&store).await.claimed.len(), 1);
    let database = Connection::open(path(&folder)).unwrap();
    database.pragma_update(None, "ignore_check_constraints", true).unwrap();
    database.execute("UPDATE callout_delivery SET lease_until = NULL", []).unwrap();
    plan(&store, message("bystander")).await;
    let claims = claim(&store).await;
    assert_eq!(claims.claimed.len(), 1);
    assert_eq!(claims.claimed[0].message.title, "bystander");
    let story = store.story(damaged).await.unwrap().unwrap();
    assert_eq!(story.deliveries[0].state.name(), "dead");
    assert!(!claim(&store).await.more, "there is nothing left to set aside");
}

#[tokio::test]
async fn whatever_of_an_alert_is_damaged_people_can_take_it_and_give_it_back() {
    for damage in [
        "decision = 0",
        "decision = -5",
        "decision = 4294967296",
        "state = 'opne'",
        "state = 'resolvde', by = 'fox', at = 1, via = 'page'",
        "timer = 'waitng'",
        "due_at = NULL",
        "step = -1, round = -1, late_ms = -1, epoch = -1",
        "level = 'worse', cause = '', policy = '{'",
    ] {
        let (folder, store) = store();
        let id = plan(&store, asks("damaged")).await;
        let database = Connection::open(path(&folder)).unwrap();
        database.pragma_update(None, "ignore_check_constraints", true).unwrap();
        database.execute(&format!("UPDATE callout_alert SET {damage}"), []).unwrap();
        for given in [Answer::Acknowledge, Answer::Unacknowledge, Answer::Resolve] {
            answer(&store, &id, given).await;
        }
    }
}

#[tokio::test]
async fn who_is_told_again_after_damage_is_told_by_a_decision_of_its_own() {
    let (folder, store) = store();
    let id = plan(&store, asks("damaged")).await;
    let database = Connection::open(path(&folder)).unwrap();
    database.pragma_update(None, "ignore_check_constraints", true).unwrap();
    for given in [Answer::Acknowledge, Answer::Unacknowledge] {
        answer(&store, &id, given).await;
    }
    database.execute("UPDATE callout_alert SET decision = -5", []).unwrap();
    for given in [Answer::Acknowledge, Answer::Unacknowledge] {
        answer(&store, &id, given).await;
    }
    let story = store.story(id).await.unwrap().unwrap();
    let decisions: Vec<u32> = story.deliveries.iter().filter_map(|it| it.decision).collect();
    assert_eq!(decisions, [1, 2, 3]);
}

#[tokio::test]
async fn a_damaged_delivery_that_is_over_hides_no_other_message() {
    let (folder, store) = store();
    let damaged = plan(&store, message("damaged")).await;
    plan(&store, message("bystander")).await;
    let database = Connection::open(path(&folder)).unwrap();
    database.pragma_update(None, "ignore_check_constraints", true).unwrap();
    let change = "UPDATE callout_delivery SET channel = 'a b', state = 'accepted', ended_at = 0 WHERE id = 1";
    database.execute(change, []).unwrap();
    let page = store.list(Filter::default(), None, 10).await.unwrap();
    assert_eq!(page.messages.len(), 2);
    let story = store.story(damaged.clone()).await.unwrap().unwrap();
    assert_eq!(story.deliveries[0].state.name(), "dead");
    assert_eq!(cancel(&store, damaged).await, 0);
}

pub(super) async fn cancel(store: &SqliteStore, id: String) -> usize {
    let ask = CommandRequest {
        now: Timestamp::EPOCH,
        directory: directory(),
        command: Command::Cancel,
        messages: vec![id],
        who: Actor::at_the_command_line("ada"),
    };
    store.command(ask).await.unwrap()
}

#[tokio::test]
async fn a_damaged_try_is_shown_as_far_as_it_can_be() {
    let (folder, store) = store();
    let id = plan(&store, message("x")).await;
    let database = Connection::open(path(&folder)).unwrap();
    let insert = "INSERT INTO callout_attempt VALUES
                  (1, 1, CAST(x'88ff' AS TEXT), 0, CAST(x'ff' AS TEXT), 0, 5, 'unknown', CAST(x'32ff' AS TEXT),
                   CAST(x'61ff' AS TEXT), 0)";
    assert_eq!(database.execute(insert, []).unwrap(), 1);
    let story = store.story(id).await.unwrap().unwrap();
    let attempt = &story.deliveries[0].attempts[0];
    assert_eq!((attempt.channel.as_str(), attempt.detail.as_str()), ("unreadable", "a\u{fffd}"));
    database.pragma_update(None, "ignore_check_constraints", true).unwrap();
    database
        .execute_batch(
            "UPDATE callout_progress SET state = 'dead', settled_at = 1;
             UPDATE callout_delivery SET state = CAST(x'70ff' AS TEXT), ended_at = 1;
             INSERT INTO callout_message (id, level, title, created_at)
             VALUES ('00000000-0000-0000-0000-000000000000', 'info', 'the newest stays', 1);",
        )
        .unwrap();
    let (accepted_before, dead_before) = (Timestamp::LAST, Timestamp::LAST);
    let ask = PruneRequest { accepted_before, dead_before, after: 0, limit: 10 };
    assert_eq!(store.prune(ask).await.unwrap().deleted, 1);
}

#[tokio::test]
async fn a_worker_whose_name_is_damaged_keeps_no_other_from_starting() {
    let (folder, store) = store();
    let worker = WorkerId::new(Timestamp::EPOCH, [1; 10]);
    store.register(worker, Timestamp::EPOCH).await.unwrap();
    let database = Connection::open(path(&folder)).unwrap();
    database.execute("INSERT INTO callout_worker VALUES (CAST(x'70ff' AS TEXT), 1)", []).unwrap();
    assert_eq!(store.workers().await.unwrap(), [worker]);
}

#[tokio::test]
async fn a_message_whose_state_is_damaged_hides_no_other_and_stops_no_pruning() {
    let (folder, store) = store();
    let damaged = plan(&store, message("damaged")).await;
    plan(&store, message("bystander")).await;
    let database = Connection::open(path(&folder)).unwrap();
    database.pragma_update(None, "ignore_check_constraints", true).unwrap();
    let change =
        "UPDATE callout_progress SET state = CAST(x'70ff' AS TEXT), why = CAST(x'61ff' AS TEXT)
                   WHERE seq = 1";
    assert_eq!(database.execute(change, []).unwrap(), 1);
    let page = store.list(Filter::default(), None, 10).await.unwrap();
    let mut states = page.messages.iter().map(|summary| (summary.id.as_str(), summary.state));
    assert_eq!(states.next_back(), Some((damaged.as_str(), MessageState::Dead)));
    let story = store.story(damaged.clone()).await.unwrap().unwrap();
    assert_eq!(story.why.as_deref(), Some("a\u{fffd}"));
    assert_eq!(cancel(&store, damaged).await, 1, "its delivery can be called off");
    database.execute("INSERT INTO callout_counter VALUES (CAST(x'6dff' AS TEXT), 1)", []).unwrap();
    assert!(store.stats(Timestamp::EPOCH).await.is_ok());
    let (accepted_before, dead_before) = (Timestamp::LAST, Timestamp::LAST);
    let ask = PruneRequest { accepted_before, dead_before, after: 0, limit: 10 };
    store.prune(ask).await.unwrap();
}

/// Changes a row behind the back of an index.
fn change_unindexed(database: &Connection, index: &str, change: &str) {
    database
        .execute_batch(&format!(
            "CREATE TEMP TABLE hidden AS SELECT * FROM sqlite_schema WHERE name = '{index}';
             PRAGMA writable_schema = ON;
             DELETE FROM sqlite_schema WHERE name = '{index}';
             PRAGMA writable_schema = RESET;
             {change};
             PRAGMA writable_schema = ON;
             INSERT INTO sqlite_schema SELECT * FROM hidden;
             PRAGMA writable_schema = RESET; DROP TABLE hidden;"
        ))
        .unwrap();
}

/// Makes an index say that the only delivery, which is cancelled, is ready.
fn mislead(database: &Connection, checksum: &str) {
    let kept = "SELECT ended_at, checksum FROM callout_delivery";
    let (ended_at, sum): (i64, i64) =
        database.query_row(kept, [], |row| Ok((row.get(0)?, row.get(1)?))).unwrap();
    let again = "UPDATE callout_delivery SET state = 'ready', ended_at = NULL, checksum = NULL";
    assert_eq!(database.execute(again, []).unwrap(), 1);
    let back = format!(
        "UPDATE callout_delivery SET state = 'cancelled', ended_at = {ended_at}, checksum = {sum};
         UPDATE callout_delivery SET checksum = {checksum}"
    );
    change_unindexed(database, "callout_delivery_ready", &back);
}

#[tokio::test]
async fn what_an_index_hid_behind_a_wrong_delivery_is_found_at_once() {
    let (folder, store) = store();
    let over = plan(&store, message("over")).await;
    assert_eq!(cancel(&store, over).await, 1);
    mislead(&Connection::open(path(&folder)).unwrap(), "checksum");
    plan(&store, message("bystander")).await;
    let due = |tx: &mut Tx<'_>| {
        let now = Timestamp::EPOCH + Duration::from_secs(60);
        claim::due(tx, &"a".parse().unwrap(), Level::Error, now, 1)
    };
    let found = store.writer.write(due).await.unwrap();
    assert_eq!(found.iter().map(|row| row.id).collect::<Vec<_>>(), [2]);
}

#[tokio::test]
async fn an_index_that_names_the_wrong_delivery_changes_and_holds_up_nothing() {
    for checksum in ["checksum", "NULL"] {
        let (folder, store) = store();
        let over = plan(&store, message("over")).await;
        let database = Connection::open(path(&folder)).unwrap();
        assert_eq!(cancel(&store, over.clone()).await, 1);
        mislead(&database, checksum);
        let indexed = || -> i64 {
            let count = "SELECT count(*) FROM callout_delivery INDEXED BY callout_delivery_ready
                          WHERE state = 'ready' AND channel = 'a'";
            let fresh = Connection::open(path(&folder)).unwrap();
            fresh.query_row(count, [], |row| row.get(0)).unwrap()
        };
        assert_eq!(indexed(), 1, "the index says what its row does not");

        let bystander = plan(&store, message("bystander")).await;
        let mut claims = claim(&store).await;
        let mut claimed = std::mem::take(&mut claims.claimed);
        while claims.more {
            claims = claim(&store).await;
            claimed.append(&mut claims.claimed);
        }
        let ids: Vec<_> = claimed.iter().map(|claimed| claimed.id.to_string()).collect();
        assert_eq!(ids, [bystander]);
        let story = store.story(over).await.unwrap().unwrap();
        assert_eq!(story.deliveries[0].state.name(), "cancelled");
        assert_eq!(indexed(), 0, "the index was made anew");
    }
}
