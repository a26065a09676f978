//! Enqueueing.

use super::Backend;
use super::bench::{Bench, new};
use crate::error::StoreError;
use callout_core::level::Level;
use callout_core::message::Message;

fn keyed(title: &str) -> Message {
    let mut message = Message::new(Level::Error, title);
    message.idempotency_key = Some("k".to_owned());
    message
}

pub async fn the_same_key_enqueues_once(backend: &dyn Backend) {
    let bench = Bench::new(backend).await;
    let bystander = bench.send(Level::Info, "bystander").await;
    let first = bench.enqueue(keyed("disk full")).await;
    let again = bench.store.enqueue(vec![new(keyed("disk full"))]).await.unwrap();
    let again = again[0].as_ref().unwrap();
    assert_eq!((again.id.to_string(), again.fresh), (first.clone(), false));
    assert_eq!(bench.plan(super::bench::at(0)).await.planned, 2);
    assert_eq!(bench.story(&first).await.summary.title, "disk full");
    assert_eq!(bench.story(&bystander).await.summary.title, "bystander");
}

pub async fn a_key_belongs_to_one_request(backend: &dyn Backend) {
    let bench = Bench::new(backend).await;
    let first = bench.enqueue(keyed("disk full")).await;
    let other = bench.store.enqueue(vec![new(keyed("disk empty"))]).await.unwrap();
    match &other[0] {
        Err(StoreError::KeyTaken { key, holder }) => {
            assert_eq!((key.as_str(), holder), ("k", &first))
        }
        other => panic!("{other:?}"),
    }
    assert_eq!(bench.story(&first).await.summary.title, "disk full");
}

pub async fn the_same_id_again_is_the_same_message(backend: &dyn Backend) {
    let bench = Bench::new(backend).await;
    let message = new(Message::new(Level::Error, "disk full"));
    for fresh in [true, false] {
        let results = bench.store.enqueue(vec![message.clone()]).await.unwrap();
        let enqueued = results[0].as_ref().unwrap();
        assert_eq!((enqueued.id, enqueued.fresh), (message.id, fresh));
    }
    let mut other = message.clone();
    other.message.title = "something else".to_owned();
    assert!(bench.store.enqueue(vec![other]).await.unwrap()[0].is_err());
    assert_eq!(bench.story(&message.id.to_string()).await.summary.title, "disk full");
}

pub async fn one_refused_message_holds_back_no_other(backend: &dyn Backend) {
    let bench = Bench::new(backend).await;
    let messages = ["one", "", "three"].map(|title| new(Message::new(Level::Error, title)));
    let results = bench.store.enqueue(messages.into()).await.unwrap();
    assert!(matches!(results[1], Err(StoreError::Invalid(_))));
    assert!(results[0].is_ok() && results[2].is_ok());
    assert_eq!(bench.plan(super::bench::at(0)).await.planned, 2);
}

pub async fn enqueueing_is_announced(backend: &dyn Backend) {
    let bench = Bench::new(backend).await;
    let changes = bench.store.changes();
    bench.store.register(super::bench::worker(1), super::bench::at(0)).await.unwrap();
    assert!(!changes.has_changed().unwrap());
    bench.send(Level::Error, "disk full").await;
    assert!(changes.has_changed().unwrap());
}
