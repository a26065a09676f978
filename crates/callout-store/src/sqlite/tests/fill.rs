//! A filled-in database is one that the store could have written.

use crate::conformance::bench::{Bench, accepted, at};
use crate::model::{Filter, PruneRequest};
use crate::store::Store as _;
use crate::{Create, Filler, Past, SqliteStore};
use callout_core::level::Level;
use callout_core::message::Message;
use std::sync::Arc;

#[tokio::test]
async fn what_was_filled_in_goes_on_like_everything_else() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("outbox.db");
    let message = Message::new(Level::Error, "filled in");
    let mut filler =
        Filler::create(&path, "ops".parse().unwrap(), "a".parse().unwrap(), at(0)).unwrap();
    filler.add(3, &message, at(0), Past::Accepted).unwrap();
    filler.add(2, &message, at(0), Past::Waiting(at(0))).unwrap();
    filler.add(1, &message, at(0), Past::Waiting(at(1000))).unwrap();
    drop(filler);
    assert!(
        Filler::create(&path, "ops".parse().unwrap(), "a".parse().unwrap(), at(0)).is_err(),
        "only what was made here is filled"
    );

    let store = Arc::new(SqliteStore::open(&path, Create::Never, at(10)).unwrap());
    let bench = Bench::with(store.clone());
    let claimed = bench.take(at(10)).await;
    assert_eq!(claimed.len(), 2, "those that are due");
    for claimed in &claimed {
        bench.settle(claimed, accepted(), at(11)).await;
    }
    assert_eq!(bench.claim(at(1000)).await.claimed.len(), 1, "and the other when it is");

    let page = store.list(Filter::default(), None, 10).await.unwrap();
    let states: Vec<&str> = page.messages.iter().map(|summary| summary.state.name()).collect();
    assert_eq!(states, ["pending", "accepted", "accepted", "accepted", "accepted", "accepted"]);
    let stats = store.stats(at(1000)).await.unwrap();
    let counts: Vec<_> = stats.messages.iter().map(|(state, n)| (state.name(), *n)).collect();
    assert_eq!(counts, [("pending", 1), ("accepted", 5)], "counted as they stand");
    let story = bench.story(&page.messages.last().unwrap().id).await;
    assert_eq!(story.deliveries[0].attempts[0].outcome, "accepted");
    assert!(story.message.is_ok());
}

/// Free pages, and all of them.
fn pages(path: &std::path::Path) -> (i64, i64) {
    let database = rusqlite::Connection::open(path).unwrap();
    let pragma = |name| database.pragma_query_value(None, name, |row| row.get(0)).unwrap();
    (pragma("freelist_count"), pragma("page_count"))
}

#[tokio::test]
async fn pruning_gives_back_what_is_not_needed_for_the_next_messages() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("outbox.db");
    let message = Message::new(Level::Error, "filled in").with_body("x".repeat(500));
    let mut filler =
        Filler::create(&path, "ops".parse().unwrap(), "a".parse().unwrap(), at(0)).unwrap();
    filler.add(3_000, &message, at(0), Past::Accepted).unwrap();
    drop(filler);
    let store = SqliteStore::open(&path, Create::Never, at(10)).unwrap();
    let prune = async |limit| {
        let ask = PruneRequest { accepted_before: at(9), dead_before: at(9), after: 0, limit };
        store.prune(ask).await.unwrap().deleted
    };
    let (_, all) = pages(&path);
    assert_eq!(prune(200).await, 200);
    let (free, still) = pages(&path);
    assert!(free > 30 && still == all, "{free} of {still}, and {all} before");
    while prune(200).await > 0 {}
    let (free, left) = pages(&path);
    assert!(left < all / 4 && free < left / 2, "{free} of {left}, and {all} before");
}
