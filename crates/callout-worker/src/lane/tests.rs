//! How many are leased ahead, and what becomes of them.

use super::*;
use callout_core::time::Timestamp;
use serde_json::json;
use tokio::sync::Notify;

const MS: Duration = Duration::from_millis(1);

fn lane(permits: usize, rate: &str, is_costly: bool) -> Lane {
    let channel = Channel::build("webhook", json!({"url": "http://127.0.0.1:9/"})).unwrap();
    let (name, channel) = ("hook".parse().unwrap(), Arc::new(channel));
    Lane::new(LaneSetup { name, channel, rate: rate.parse().unwrap(), permits }, is_costly)
}

/// The lane after it has asked, begun `n` attempts and seen `n` of them accepted.
fn after(mut lane: Lane, n: usize) -> Lane {
    lane.ask(MS);
    lane.busy = n;
    (0..n).for_each(|_| lane.ended(true));
    lane
}

#[test]
fn as_many_are_leased_ahead_as_begin_within_five_milliseconds() {
    let ahead = |permits, n, length: u32| {
        after(lane(permits, "none", false), n).room(MS + MS * length) - permits
    };
    assert_eq!(ahead(64, 0, 1), 0, "none, while none is accepted");
    assert_eq!(ahead(64, 16, 10), 8);
    assert_eq!(ahead(64, 16, 2), 40);
    assert_eq!(ahead(64, 64, 1), 64, "no more than there are permits");
    assert_eq!(
        ahead(4, 4, 100),
        0,
        "where attempts take long, they are leased when they can begin"
    );
    assert_eq!(ahead(64, 16, 0), 0, "a pace needs time to pass");
}

#[test]
fn nothing_is_leased_ahead_after_trouble_nor_where_it_matters() {
    let soon = MS * 2;
    assert_eq!(after(lane(64, "none", false), 16).room(soon), 128);
    assert_eq!(after(lane(64, "none", true), 16).room(soon), 64, "a costly channel");
    assert_eq!(after(lane(64, "1000/min", false), 16).room(soon), 64, "a channel with limits");
    let mut lane = after(lane(64, "none", false), 16);
    lane.ended(false);
    assert_eq!(lane.room(soon), 64);
    lane.busy = 64;
    assert_eq!(lane.ask(soon).limit, 0);
}

/// A clock on which nothing passes until it is told to.
#[derive(Default)]
struct Still(Notify);

#[async_trait::async_trait]
impl Clock for Still {
    fn now(&self) -> Timestamp {
        Timestamp::EPOCH
    }
    fn elapsed(&self) -> Duration {
        Duration::ZERO
    }
    fn entropy(&self) -> [u8; 10] {
        [0; 10]
    }
    async fn wait_until(&self, at: Timestamp) {
        assert_eq!(at, Timestamp::EPOCH + PATIENCE);
        self.0.notified().await;
    }
}

async fn waits(entering: &mut (impl Future + Unpin)) -> bool {
    tokio::select! {
        biased;
        _ = entering => false,
        () = std::future::ready(()) => true,
    }
}

#[tokio::test]
async fn an_attempt_waits_for_a_permit() {
    let (gate, clock) = (lane(1, "none", false).gate(), Still::default());
    let first = gate.enter(&clock).await.unwrap();
    let mut second = Box::pin(gate.enter(&clock));
    assert!(waits(&mut second).await);
    drop(first);
    assert!(second.await.is_some());
}

#[tokio::test]
async fn what_waits_when_the_gate_closes_is_sent_back_and_what_comes_later_is_not() {
    let (gate, clock) = (lane(1, "none", false).gate(), Still::default());
    let first = gate.enter(&clock).await.unwrap();
    let mut second = Box::pin(gate.enter(&clock));
    assert!(waits(&mut second).await);
    gate.close();
    let mut third = Box::pin(gate.enter(&clock));
    assert!(waits(&mut third).await);
    drop(first);
    assert!(second.await.is_none());
    assert!(third.await.is_some());
}

#[tokio::test]
async fn nobody_waits_for_long() {
    let (gate, clock) = (lane(1, "none", false).gate(), Still::default());
    let _first = gate.enter(&clock).await.unwrap();
    let mut second = Box::pin(gate.enter(&clock));
    assert!(waits(&mut second).await);
    clock.0.notify_one();
    assert!(second.await.is_none());
}
