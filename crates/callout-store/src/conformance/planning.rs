//! Turning messages into deliveries.

use super::Backend;
use super::bench::{Bench, at, entropy, labelled, titles};
use crate::clock::Reading;
use crate::model::PlanRequest;
use callout_core::level::Level;
use callout_core::message::Message;
use std::sync::Arc;

pub async fn routes_decide_who_hears(backend: &dyn Backend) {
    let bench = Bench::new(backend).await;
    let lead = bench.enqueue(labelled("x", "for", "lead")).await;
    let other = bench.send(Level::Info, "y").await;
    let report = bench.plan(at(0)).await;
    assert_eq!((report.planned, report.quarantined, report.more), (2, 0, false));
    assert_eq!(bench.standing(&lead).await, "pending: lead c ready");
    assert_eq!(bench.standing(&other).await, "pending: ops a ready");
    assert!(bench.story(&lead).await.why.unwrap().contains("route 3"));
    assert_eq!(bench.plan(at(1)).await.planned, 0);
}

pub async fn all_receivers_or_none(backend: &dyn Backend) {
    let bench = Bench::new(backend).await;
    let both = bench.enqueue(labelled("x", "for", "both")).await;
    assert_eq!(bench.standing(&both).await, "pending: ");
    bench.plan(at(0)).await;
    assert_eq!(bench.standing(&both).await, "pending: ops a ready, lead c ready");
}

pub async fn a_message_for_nobody_is_recorded(backend: &dyn Backend) {
    let bench = Bench::new(backend).await;
    let quiet = bench.enqueue(labelled("x", "for", "nobody")).await;
    let bystander = bench.send(Level::Info, "y").await;
    bench.plan(at(3)).await;
    assert_eq!(bench.standing(&quiet).await, "accepted: ");
    assert_eq!(bench.story(&quiet).await.summary.settled_at, Some(at(3)));
    assert_eq!(bench.standing(&bystander).await, "pending: ops a ready");
}

pub async fn a_damaged_message_is_set_aside(backend: &dyn Backend) {
    let bench = Bench::new(backend).await;
    let damaged = bench.send(Level::Critical, "disk full").await;
    let neighbour = bench.send(Level::Info, "neighbour").await;
    backend.damage(&damaged).await;
    check_set_aside(&bench, &damaged, &neighbour, "checksum").await;
}

pub async fn an_unreadable_message_is_set_aside(backend: &dyn Backend) {
    let bench = Bench::new(backend).await;
    let damaged = bench.send(Level::Critical, "disk full").await;
    let neighbour = bench.send(Level::Info, "neighbour").await;
    backend.garble(&damaged).await;
    check_set_aside(&bench, &damaged, &neighbour, "title").await;
}

async fn check_set_aside(bench: &Bench, damaged: &str, neighbour: &str, why: &str) {
    let report = bench.plan(at(0)).await;
    assert_eq!((report.planned, report.quarantined), (1, 1));
    assert_eq!(bench.standing(damaged).await, "dead: ");
    let story = bench.story(damaged).await;
    assert!(story.message.is_err());
    assert!(story.why.unwrap().contains(why));
    assert_eq!(story.journal[0].event, "quarantined");
    assert_eq!(bench.standing(neighbour).await, "pending: ops a ready");
    let claimed = bench.take(at(0)).await;
    assert_eq!(titles(&claimed)[0], "neighbour");
    assert!(titles(&claimed)[1].contains("damaged"), "{claimed:?}");
    assert_eq!(claimed[1].receiver.as_str(), "lead");
}

pub async fn no_more_than_asked_is_planned(backend: &dyn Backend) {
    let bench = Bench::new(backend).await;
    for n in 0..3 {
        bench.enqueue(Message::new(Level::Info, format!("{n}"))).await;
    }
    for (planned, more) in [(2, true), (1, false), (0, false)] {
        let directory = Arc::clone(&bench.directory);
        let ask = PlanRequest {
            reading: Reading::default(),
            now: at(0),
            directory,
            limit: 2,
            entropy: entropy(),
        };
        let report = bench.store.plan(ask).await.unwrap();
        assert_eq!((report.planned, report.more), (planned, more));
    }
}
