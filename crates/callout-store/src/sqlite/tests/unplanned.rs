//! Messages without a row that says where they stand.

use super::alerts::{ask_plan, plan};
use super::{message, path, store};
use crate::model::{Filter, PlanReport};
use crate::sqlite::SqliteStore;
use crate::store::Store;
use callout_core::plan::MessageState;
use callout_core::time::Timestamp;
use rusqlite::Connection;
use std::time::Duration;

/// Plans whatever there is, as often as it is worth it, and says how much there was.
async fn plan_all(store: &SqliteStore) -> u64 {
    let mut planned = 0;
    loop {
        let PlanReport { planned: n, more, .. } = store.plan(ask_plan()).await.unwrap();
        planned += u64::try_from(n).unwrap();
        if !more {
            return planned;
        }
    }
}

async fn waiting(store: &SqliteStore) -> u64 {
    let stats = store.stats(Timestamp::EPOCH).await.unwrap();
    let pending = stats.messages.iter().find(|(state, _)| *state == MessageState::Pending);
    pending.map_or(0, |(_, n)| *n)
}

/// Inserts messages as another program may, under numbers of its choice or under the next ones.
fn insert(database: &Connection, seqs: impl IntoIterator<Item = Option<i64>>) {
    let sql = "INSERT INTO callout_message (seq, id, level, title, created_at)
               VALUES (?1, ?2, 'error', 'x', 0)";
    let mut statement = database.prepare(sql).unwrap();
    for seq in seqs {
        statement.execute((seq, message("").id.to_string())).unwrap();
    }
}

#[tokio::test]
async fn what_comes_in_under_a_number_long_past_is_planned() {
    let (folder, store) = store();
    for _ in 0..5 {
        plan(&store, message("x")).await;
    }
    let database = Connection::open(path(&folder)).unwrap();
    database.execute("DELETE FROM callout_message WHERE seq > 2", []).unwrap();
    insert(&database, [None, None, Some(-7), Some(1_000), None]);
    assert_eq!(plan_all(&store).await, 5);
    assert_eq!(plan_all(&store).await, 0);
    insert(&database, [Some(999)]);
    assert_eq!(plan_all(&store).await, 1);
}

#[tokio::test]
async fn a_number_that_the_disk_forgot_hides_no_message_and_repeats_none() {
    let damages = [
        "UPDATE callout_counter SET n = n + 64 WHERE name = 'planned'",
        "UPDATE callout_counter SET n = n + 64 WHERE name = 'planned:copy'",
        "UPDATE callout_counter SET n = n - 2 WHERE name = 'planned:copy'",
        "UPDATE callout_counter SET name = 'plunned' WHERE name = 'planned'",
        "DELETE FROM callout_counter WHERE name LIKE 'planned%'",
        "DELETE FROM callout_counter WHERE name = 'planned'",
        "UPDATE callout_counter SET n = n - 3 WHERE name = 'planned'",
    ];
    for damage in damages {
        let (folder, store) = store();
        let database = Connection::open(path(&folder)).unwrap();
        insert(&database, [None; 7]);
        assert_eq!(plan_all(&store).await, 7);
        insert(&database, [None; 2]);
        assert!(database.execute(damage, []).unwrap() > 0);
        // The next ones get numbers that were planned before.
        database.execute("DELETE FROM callout_message WHERE seq > 6", []).unwrap();
        insert(&database, [None; 4]);
        assert_eq!(plan_all(&store).await, 4, "{damage}");
        assert_eq!(plan_all(&store).await, 0, "{damage}");
        // One of those that are planned was deleted by hand, which nobody counts.
        assert_eq!(waiting(&store).await, 7 + 4, "{damage}");
    }
}

#[tokio::test]
async fn what_is_new_is_counted_however_much_it_is() {
    let (folder, store) = store();
    plan(&store, message("x")).await;
    let mut database = Connection::open(path(&folder)).unwrap();
    for (n, counted) in [(100, 101), (9_950, 10_051), (1, 10_052)] {
        let tx = database.transaction().unwrap();
        insert(&tx, (0..n).map(|_| None));
        tx.commit().unwrap();
        assert_eq!(waiting(&store).await, counted);
    }
    let filter = Filter { state: Some(MessageState::Pending), ..Filter::default() };
    let stats = store.stats(Timestamp::EPOCH + Duration::from_secs(60)).await.unwrap();
    assert_eq!(stats.unplanned, 10_051);
    assert_eq!(stats.oldest_due, Some(Duration::from_secs(60)), "although no worker has seen it");
    let page = store.list(filter, None, 1_000).await.unwrap();
    assert_eq!(page.messages.len(), 1_000);
    let newest = page.messages[0].id.clone();
    assert_eq!(super::damage::cancel(&store, newest).await, 1);
    assert_eq!(waiting(&store).await, 10_051);
    assert_eq!(plan_all(&store).await, 10_050);
}
