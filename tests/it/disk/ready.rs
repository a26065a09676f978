//! What a load balancer hears of a program that cannot write.

use super::{FULL, Fault, Place, Program, RECOVERY, STUCK, comes_true};
use crate::stage::sink::{Received, Sink, json};
use std::time::Duration;

/// A program that has written nothing for longer than this is not ready.
const PATIENCE: Duration = Duration::from_secs(30);

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_program_that_cannot_write_is_not_ready_until_there_is_room() {
    let sink = Sink::start().await;
    let place = Place::new(&sink, "hook");
    let program = Program::start(&place).await;
    assert_eq!(program.get("/readyz").await, Some(200));
    // There is no room for what came of the first attempt.
    let switch = place.switch.clone();
    let fill = move |_: &Received| {
        switch.set(FULL);
        json(200, "{}")
    };
    sink.lives_at("hook", Box::new(fill));
    assert_eq!(program.enqueue("delivered, and nobody knows").await.unwrap().0, 202);
    let failed_again = async || {
        let before = place.switch.failed();
        assert!(comes_true(STUCK, || place.switch.failed() > before).await, "{}", program.said());
    };
    failed_again().await;
    assert_eq!(program.get("/readyz").await, Some(200), "a moment without room is no reason");

    place.later.skip(PATIENCE + Duration::from_secs(1));
    // The second time it is a turn that began after all that time.
    for _ in 0..2 {
        failed_again().await;
        assert_eq!(program.get("/readyz").await, Some(503), "{}", program.said());
    }
    assert_eq!(program.get("/healthz").await, Some(200), "a restart would not help");

    place.switch.set(Fault::default());
    let is_ready = async { while program.get("/readyz").await != Some(200) {} };
    let ready = tokio::time::timeout(RECOVERY, is_ready).await;
    assert!(ready.is_ok(), "there is room:\n{}", program.said());
    assert_eq!(sink.count("hook"), 1, "what had come of it was written down");
}
