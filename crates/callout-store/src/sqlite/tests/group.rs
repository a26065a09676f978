//! Group commit: operations share a transaction and nothing else.

use super::{message, open, path, store};
use crate::clock::Reading;
use crate::error::StoreError;
use crate::model::Filter;
use crate::sqlite::SqliteStore;
use crate::sqlite::tx::Tx;
use crate::store::Store;
use callout_core::locale::Locale;
use std::sync::mpsc::channel;

const ORPHAN: &str =
    "INSERT INTO callout_journal (at, message_seq, event, detail) VALUES (1, 999, '', '')";
const WORKER: &str = "INSERT INTO callout_worker (id, started_at) VALUES ('w', 1)";

/// Enqueues a message before and one after `middle`, all three in one group.
async fn around<T: Send + 'static>(
    store: &SqliteStore,
    middle: impl Fn(&mut Tx<'_>) -> Result<T, StoreError> + Send + 'static,
) -> [Result<(), StoreError>; 3] {
    let (release, held) = channel::<()>();
    let (begin, begun) = tokio::sync::oneshot::channel();
    let begin = std::cell::Cell::new(Some(begin));
    let hold = store.writer.write(move |_| {
        begin.take().unwrap().send(()).unwrap();
        held.recv().unwrap();
        Ok(())
    });
    let enqueue = async |title| store.enqueue(vec![message(title)]).await.map(drop);
    let rest = async {
        begun.await.unwrap();
        tokio::join!(
            enqueue("before"),
            store.writer.write(middle),
            enqueue("after"),
            // Everything above waits in the queue by now.
            async { release.send(()).unwrap() }
        )
    };
    let (held, (before, middle, after, ())) = tokio::join!(hold, rest);
    held.unwrap();
    [before, middle.map(drop), after]
}

async fn titles(store: &SqliteStore) -> Vec<String> {
    let page = store.list(Filter::default(), None, 10).await.unwrap();
    page.messages.into_iter().map(|summary| summary.title).collect()
}

#[tokio::test]
async fn a_failing_operation_takes_back_only_its_own_changes() {
    let (_folder, store) = store();
    let results = around(&store, |tx| {
        tx.db.execute("write", WORKER, &[])?;
        tx.db.execute("fail", "INSERT INTO callout_worker (id, started_at) VALUES ('x', NULL)", &[])
    });
    let [before, failed, after] = results.await;
    assert!(before.is_ok() && after.is_ok());
    assert!(matches!(failed, Err(StoreError::Broken { doing: "fail", .. })), "{failed:?}");
    assert_eq!(titles(&store).await, ["after", "before"]);
    assert!(store.workers().await.unwrap().is_empty());
}

#[tokio::test]
async fn a_failing_operation_on_its_own_leaves_nothing() {
    let (_folder, store) = store();
    store.enqueue(vec![message("bystander")]).await.unwrap();
    let failed = store.writer.write(|tx| {
        tx.db.execute("write", WORKER, &[])?;
        tx.db.execute("fail", "INSERT INTO callout_worker (id, started_at) VALUES ('x', NULL)", &[])
    });
    let failed = failed.await;
    assert!(matches!(failed, Err(StoreError::Broken { doing: "fail", .. })), "{failed:?}");
    assert!(store.workers().await.unwrap().is_empty());
    store.enqueue(vec![message("later")]).await.unwrap()[0].as_ref().unwrap();
    assert_eq!(titles(&store).await, ["later", "bystander"]);
}

#[tokio::test]
async fn a_panicking_operation_takes_back_only_its_own_changes() {
    let (_folder, store) = store();
    let results = around::<()>(&store, |tx| {
        tx.db.execute("write", WORKER, &[])?;
        panic!("on purpose")
    });
    let [before, failed, after] = results.await;
    assert!(before.is_ok() && after.is_ok());
    assert!(matches!(failed, Err(StoreError::Broken { .. })), "{failed:?}");
    assert_eq!(titles(&store).await, ["after", "before"]);
    assert!(store.workers().await.unwrap().is_empty());
}

#[tokio::test]
async fn a_failed_commit_is_unknown_to_all_of_the_group() {
    let (_folder, store) = store();
    store.enqueue(vec![message("bystander")]).await.unwrap();
    let results = around(&store, |tx| {
        tx.db.execute("defer", "PRAGMA defer_foreign_keys = ON", &[])?;
        tx.db.execute("orphan", ORPHAN, &[])
    });
    for result in results.await {
        assert!(matches!(result, Err(StoreError::CommitUnknown(_))), "{result:?}");
    }
    assert_eq!(titles(&store).await, ["bystander"]);
    store.enqueue(vec![message("later")]).await.unwrap()[0].as_ref().unwrap();
    assert_eq!(titles(&store).await, ["later", "bystander"]);
}

#[tokio::test]
async fn a_transaction_that_is_rolled_back_fails_all_of_the_group() {
    let (_folder, store) = store();
    let results = around(&store, |tx| tx.db.execute("roll back", "ROLLBACK", &[]));
    for result in results.await {
        assert!(matches!(result, Err(StoreError::Busy(_))), "nothing was written: {result:?}");
    }
    assert!(titles(&store).await.is_empty());
    store.enqueue(vec![message("later")]).await.unwrap()[0].as_ref().unwrap();
    assert_eq!(titles(&store).await, ["later"]);
}

#[tokio::test]
async fn a_disk_that_failed_once_is_not_trusted_because_it_works_the_second_time() {
    let (_folder, store) = store();
    let is_first = std::cell::Cell::new(true);
    let results = around(&store, move |_| match is_first.take() {
        true => Err(StoreError::Failing { doing: "read", source: "the disk failed".into() }),
        false => Ok(()),
    });
    let [before, failed, after] = results.await;
    assert!(matches!(before, Err(StoreError::Stopped(_))), "{before:?}");
    assert!(matches!(failed, Err(StoreError::Failing { .. })), "{failed:?}");
    assert!(matches!(after, Err(StoreError::Stopped(_))), "{after:?}");
    assert!(titles(&store).await.is_empty());
}

#[tokio::test]
async fn what_is_queued_is_written_before_the_store_closes() {
    let (folder, store) = store();
    let (release, held) = channel::<()>();
    {
        let hold = store.writer.write(move |_| {
            held.recv().unwrap();
            Ok(())
        });
        let enqueue = store.enqueue(vec![message("in time")]);
        tokio::pin!(hold, enqueue);
        // Nobody waits for the answer any more.
        tokio::select! { biased; _ = &mut hold => {} _ = &mut enqueue => {} () = async {} => {} }
    }
    release.send(()).unwrap();
    drop(store);
    assert_eq!(titles(&open(&path(&folder))).await, ["in time"]);
}

#[tokio::test]
async fn an_idle_claim_writes_nothing() {
    use callout_core::plan::Directory;
    let (_folder, store) = store();
    let directory = Directory {
        routes: vec![],
        receivers: [].into(),
        operator: None,
        retry: callout_core::retry::RetryPolicy::default(),
        follow_up: true,
        locale: Locale::English,
        costly: [].into(),
        ringing: [].into(),
    };
    let ask = crate::model::ClaimRequest {
        reading: Reading::default(),
        now: callout_core::time::Timestamp::EPOCH,
        directory: std::sync::Arc::new(directory),
        worker: callout_core::id::WorkerId::new(callout_core::time::Timestamp::EPOCH, [1; 10]),
        lease_until: callout_core::time::Timestamp::LAST,
        lanes: vec![crate::model::LaneAsk {
            channel: "a".parse().unwrap(),
            rate: "1/min".parse().unwrap(),
            limit: 1,
        }],
        plan: 10,
        entropy: [0; 10],
    };
    let changes = async || store.writer.write(|tx| Ok(tx.db.total_changes())).await.unwrap();
    let before = changes().await;
    assert!(store.claim(ask).await.unwrap().next_at.is_none());
    assert_eq!(changes().await, before);
}

#[tokio::test]
async fn a_full_disk_fails_the_whole_call_and_passes() {
    let (_folder, store) = store();
    store.enqueue(vec![message("bystander")]).await.unwrap();
    let limit = async |sql: &'static str| {
        store.writer.write(move |tx| tx.db.all("limit", sql, &[], |_| Ok(()))).await.unwrap();
    };
    limit("PRAGMA max_page_count = 1").await;
    let many = || (0..500).map(|n| message(&n.to_string())).collect::<Vec<_>>();
    let full = store.enqueue(many()).await;
    assert!(matches!(full, Err(StoreError::Full(_))), "{full:?}");
    assert_eq!(titles(&store).await, ["bystander"]);
    limit("PRAGMA max_page_count = 1000000").await;
    assert!(store.enqueue(many()).await.unwrap().iter().all(Result::is_ok));
}
