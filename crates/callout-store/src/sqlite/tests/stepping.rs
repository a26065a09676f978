//! Somebody sets the clock.

use super::suite::Sqlite;
use crate::clock::{Clock, Reading};
use crate::conformance::bench::{Bench, LEASE, accepted, at, busy, entropy, labelled, new, worker};
use crate::error::StoreError;
use crate::model::{
    ClaimRequest, Claims, Command, EscalateRequest, NewMessage, PlanRequest, RebaseRequest,
    Rebased, Waiting,
};
use async_trait::async_trait;
use callout_core::delivery::State;
use callout_core::id::MessageId;
use callout_core::level::Level;
use callout_core::message::Message;
use callout_core::time::Timestamp;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

const HOUR: i64 = 3_600_000;
const YEARS: i64 = 10 * 365 * 24 * HOUR;

/// A clock whose time passes when a check says so.
struct Passing(AtomicU64);

#[async_trait]
impl Clock for Passing {
    fn now(&self) -> Timestamp {
        at(self.0.load(Ordering::Relaxed))
    }

    fn elapsed(&self) -> Duration {
        Duration::from_secs(self.0.load(Ordering::Relaxed))
    }

    fn entropy(&self) -> [u8; 10] {
        entropy()
    }

    async fn wait_until(&self, _at: Timestamp) {
        std::future::pending().await
    }
}

/// A worker that goes by `base`, read its clock, and then was suspended for so many seconds.
fn read(base: i64, seconds: u64) -> Reading {
    let clock = Arc::new(Passing(AtomicU64::new(1000)));
    let reading = Reading::new(clock.clone(), base);
    clock.0.fetch_add(seconds, Ordering::Relaxed);
    reading
}

impl Bench {
    async fn rebase_once(
        &self,
        now: Timestamp,
        drift_ms: i64,
        base: Option<i64>,
        after: Option<Waiting>,
    ) -> Rebased {
        let (lease, directory) = (LEASE, Arc::clone(&self.directory));
        let ask = RebaseRequest {
            now,
            reading: Reading::default(),
            drift_ms,
            base,
            lease,
            directory,
            after,
            entropy: entropy(),
        };
        self.store.rebase(ask).await.unwrap()
    }

    /// Asks until there is no more. Returns the base and how many were moved and mended.
    async fn rebase(
        &self,
        now: Timestamp,
        drift_ms: i64,
        base: Option<i64>,
    ) -> (i64, usize, usize) {
        let (mut moved, mut mended, mut after) = (0, 0, None);
        loop {
            let done = self.rebase_once(now, drift_ms, base, after).await;
            moved += done.moved;
            mended += done.mended;
            if !done.more {
                return (done.base, moved, mended);
            }
            after = done.after;
        }
    }

    async fn claim_by(&self, reading: Reading, now: Timestamp) -> Result<Claims, StoreError> {
        let ask = ClaimRequest {
            now,
            reading,
            directory: Arc::clone(&self.directory),
            worker: worker(1),
            lease_until: now + LEASE,
            lanes: self.lanes.clone(),
            plan: 0,
            entropy: entropy(),
        };
        self.store.claim(ask).await
    }

    async fn delayed(&self, title: &str, seconds: u64) -> String {
        let mut message = Message::new(Level::Error, title);
        message.delay = Some(Duration::from_secs(seconds));
        self.enqueue(message).await
    }

    /// When a message's first delivery is due; `None`: it does not wait.
    async fn due(&self, id: &str) -> Option<Timestamp> {
        match &self.story(id).await.deliveries[0].state {
            State::Ready { at, .. } => Some(*at),
            _ => None,
        }
    }
}

#[tokio::test]
async fn everything_that_waits_moves_along() {
    for by in [HOUR, -HOUR, YEARS, -YEARS] {
        let backend = Sqlite::new();
        let bench = Bench::new(&backend).await;
        let delayed = bench.delayed("later", 600).await;
        let alert = bench.told("help", at(0)).await;
        let failing = bench.send(Level::Error, "fails").await;
        let claimed = bench.take(at(1)).await;
        bench.settle(&claimed[0], busy(), at(1)).await;
        let (due, backoff) = (bench.due(&delayed).await, bench.due(&failing).await);
        let before = bench.alert_of(&alert).await;
        let base = bench.rebase(at(60), 0, None).await.0;
        let now = at(60).shifted(by);
        assert_eq!(bench.rebase(now, by, Some(base)).await, (base + by, 2, 0), "{by}");
        assert_eq!(bench.due(&delayed).await, due.map(|at| at.shifted(by)), "{by}");
        assert_eq!(bench.due(&failing).await, backoff.map(|at| at.shifted(by)), "{by}");
        let after = bench.alert_of(&alert).await;
        assert_eq!(after.timer.due_at(), before.timer.due_at().map(|at| at.shifted(by)), "{by}");
        assert_eq!(after.timer.place().since, before.timer.place().since.shifted(by), "{by}");
        // The expiry too: nothing expires, and nothing is due that was not.
        assert_eq!(bench.escalate(now).await.stepped, 0, "{by}");
        let titles = bench.accept_all(now).await;
        assert_eq!(titles, ["fails ops"], "{by}");
        assert_eq!(bench.accept_all(at(600).shifted(by)).await, ["later ops"], "{by}");
    }
}

/// Ten minutes after second 0 the clock is set by each of `steps` in turn, and then what was enqueued
/// nine minutes before is planned. Returns when it is due and when it expires, in seconds from then on.
async fn planned_late(steps: &[i64], delay: u64, ttl: u64, is_put_back: bool) -> [i64; 2] {
    let backend = Sqlite::new();
    let bench = Bench::new(&backend).await;
    bench.send(Level::Info, "long ago").await;
    bench.plan(at(0)).await;
    let mut message = Message::new(Level::Error, "new").with_ttl(Duration::from_secs(ttl));
    message.delay = Some(delay).filter(|delay| *delay > 0).map(Duration::from_secs);
    let new = NewMessage { created_at: at(60), ..new(message) };
    let id = new.id.to_string();
    bench.store.enqueue(vec![new]).await.unwrap();
    if is_put_back {
        bench.command(Command::Cancel, &id, at(60)).await;
        bench.command(Command::Replay, &id, at(60)).await;
    }
    let (mut base, mut now) = (bench.rebase(at(600), 0, None).await.0, at(600));
    for by in steps {
        now = now.shifted(*by);
        base = bench.rebase(now, *by, Some(base)).await.0;
    }
    bench.plan(now).await;
    let delivery = bench.story(&id).await.deliveries.remove(0);
    let State::Ready { at: due, .. } = delivery.state else { panic!("{delivery:?}") };
    [due, delivery.expires_at].map(|at| at.ms_after(now) / 1000)
}

#[tokio::test]
async fn what_nobody_has_planned_yet_gets_no_older_when_the_clock_is_set_forward() {
    for steps in [&[][..], &[HOUR], &[YEARS], &[HOUR, HOUR], &[HOUR, -HOUR]] {
        assert_eq!(planned_late(steps, 0, 3600, false).await, [-540, 3060], "{steps:?}");
        assert_eq!(planned_late(steps, 600, 300, false).await, [60, 360], "{steps:?}");
        assert_eq!(planned_late(steps, 0, 60, false).await, [-540, -480], "{steps:?}: it is over");
        assert_eq!(planned_late(steps, 0, 3600, true).await, [-540, 3060], "{steps:?}: put back");
        assert_eq!(planned_late(steps, 600, 300, true).await, [60, 360], "{steps:?}: put back");
    }
    // What lies in the future was written just now.
    for steps in [&[-HOUR][..], &[-YEARS, HOUR], &[-HOUR, HOUR]] {
        assert_eq!(planned_late(steps, 0, 3600, false).await, [0, 3600], "{steps:?}");
    }
}

/// When a message written at `created_at` and planned `now` expires, if it lives for an hour.
async fn expiry(bench: &Bench, created_at: Timestamp, now: Timestamp) -> Timestamp {
    let message = Message::new(Level::Error, "new").with_ttl(Duration::from_secs(3600));
    let new = NewMessage { created_at, ..new(message) };
    let id = new.id.to_string();
    bench.store.enqueue(vec![new]).await.unwrap();
    bench.plan(now).await;
    bench.story(&id).await.deliveries[0].expires_at
}

/// A store with one message, which waited to be planned when the clock was set by so much at second 0.
async fn set_by(by: i64) -> (Sqlite, Bench) {
    let backend = Sqlite::new();
    let bench = Bench::new(&backend).await;
    let base = bench.rebase(at(0), 0, None).await.0;
    bench.send(Level::Info, "waits").await;
    bench.rebase(at(0).shifted(by), by, Some(base)).await;
    (backend, bench)
}

#[tokio::test]
async fn a_clock_that_was_set_moves_only_what_was_written_before_and_planned_after() {
    let hour = Duration::from_secs(3600);
    let (_backend, bench) = set_by(YEARS).await;
    // It was set right while no worker ran.
    assert_eq!(expiry(&bench, at(60), at(600)).await, at(60) + hour);

    let (_backend, bench) = set_by(HOUR).await;
    bench.plan(at(700) + hour).await;
    // This producer's clock is late, and what lies between is over.
    assert_eq!(expiry(&bench, at(1800), at(700) + hour).await, at(0) + hour + hour);

    let (_backend, bench) = set_by(6 * YEARS).await;
    let (early, now) = (Timestamp::from_unix_ms(20_000).unwrap(), at(600).shifted(6 * YEARS));
    assert_eq!(expiry(&bench, early, now).await, now + hour, "from before there were messages");
}

#[tokio::test]
async fn a_step_back_that_is_taken_back_makes_nothing_older() {
    let (_backend, bench) = set_by(-HOUR).await;
    bench.rebase(at(60), HOUR, Some(-HOUR)).await;
    let written = at(60).shifted(-HOUR);
    assert_eq!(expiry(&bench, written, at(60)).await, at(60) + Duration::from_secs(3600));
}

#[tokio::test]
async fn a_move_is_done_once_and_to_its_end() {
    for by in [HOUR, -HOUR] {
        let backend = Sqlite::new();
        let bench = Bench::new(&backend).await;
        let mut messages = Vec::new();
        for n in 0..1300 {
            let mut message = Message::new(Level::Info, format!("message {n}"));
            message.delay = Some(Duration::from_secs(86_400 + n));
            messages.push(new(message));
        }
        let ids: Vec<MessageId> = messages.iter().map(|message| message.id).collect();
        bench.store.enqueue(messages).await.unwrap();
        while bench.plan(at(0)).await.more {}
        let base = bench.rebase(at(0), 0, None).await.0;
        let now = at(0).shifted(by);
        let first = bench.rebase_once(now, by, Some(base), None).await;
        assert!(first.more && first.moved > 0 && first.moved < 1300, "{first:?}");
        // The worker dies in the middle, and another one finishes what it began.
        let (after, moved, mended) = bench.rebase(now, 0, None).await;
        assert_eq!((after - base, first.moved + moved, mended), (by, 1300, 0));
        // A third one had seen the clock being set as well.
        assert_eq!(bench.rebase(now, by + 3, Some(base)).await, (after, 0, 0));
        for (n, id) in ids.iter().enumerate() {
            let due = at(86_400 + u64::try_from(n).unwrap()).shifted(by);
            assert_eq!(bench.due(&id.to_string()).await, Some(due), "message {n}");
        }
        assert_eq!(bench.store.stats(now).await.unwrap().clock.unwrap().last_ms, by);
    }
}

#[tokio::test]
async fn who_goes_by_the_old_time_is_refused() {
    let backend = Sqlite::new();
    let bench = Bench::new(&backend).await;
    let id = bench.delayed("later", 600).await;
    bench.plan(at(0)).await;
    let base = bench.rebase(at(0), 0, None).await.0;
    assert_eq!(bench.rebase(at(0).shifted(-HOUR), -HOUR, Some(base)).await.0, base - HOUR);
    // By the old time an hour has passed.
    let refused = bench.claim_by(read(base, 0), at(0)).await;
    assert!(matches!(refused, Err(StoreError::ClockMoved)), "{refused:?}");
    let (now, directory) = (at(0), Arc::clone(&bench.directory));
    let ask = EscalateRequest {
        now,
        reading: read(base, 0),
        directory: directory.clone(),
        limit: 9,
        entropy: entropy(),
    };
    assert!(matches!(bench.store.escalate(ask).await, Err(StoreError::ClockMoved)));
    let ask = PlanRequest { now, reading: read(base, 0), directory, limit: 9, entropy: entropy() };
    assert!(matches!(bench.store.plan(ask).await, Err(StoreError::ClockMoved)));
    let claims = bench.claim_by(read(base - HOUR, 0), at(0).shifted(-HOUR)).await.unwrap();
    assert!(claims.claimed.is_empty(), "and by the new one nothing is due");
    assert_eq!(bench.due(&id).await, Some(at(600).shifted(-HOUR)));
}

#[tokio::test]
async fn a_suspended_worker_asks_with_the_time_that_it_is() {
    let backend = Sqlite::new();
    let bench = Bench::new(&backend).await;
    let alert = bench.told("help", at(0)).await;
    let second = bench.send(Level::Error, "second").await;
    bench.plan(at(0)).await;
    // It read its clock at second 1, and was suspended for ten minutes. Meanwhile `lead` was told.
    let base = bench.rebase(at(1), 0, None).await.0;
    assert_eq!(bench.escalate(at(300)).await.stepped, 1);
    let due_at = bench.alert_of(&alert).await.timer.due_at();
    let ask = EscalateRequest {
        now: at(1),
        reading: read(base, 600),
        directory: Arc::clone(&bench.directory),
        limit: 9,
        entropy: entropy(),
    };
    assert_eq!(bench.store.escalate(ask).await.unwrap().stepped, 0);
    assert_eq!(bench.alert_of(&alert).await.timer.due_at(), due_at, "its wait has not moved");
    let claims = bench.claim_by(read(base, 600), at(1)).await.unwrap();
    assert_eq!(claims.claimed.len(), 2);
    for claimed in &claims.claimed {
        let State::Leased { lease, .. } = &claimed.state else { panic!("{claimed:?}") };
        assert_eq!(lease.until, at(601) + LEASE, "the lease is a whole one");
    }
    assert!(bench.claim_as(2, at(620)).await.claimed.is_empty(), "and nobody else has it");
    assert_eq!(bench.standing(&second).await, "pending: ops a leased");
}

#[tokio::test]
async fn a_worker_that_was_suspended_before_its_first_look_ends_no_lease() {
    let backend = Sqlite::new();
    let bench = Bench::new(&backend).await;
    bench.send(Level::Error, "under way").await;
    bench.plan(at(0)).await;
    bench.rebase(at(1), 0, None).await;
    // It read its clock at second 1 and is suspended. Meanwhile another worker leases, for a whole lease.
    assert_eq!(bench.claim(at(600)).await.claimed.len(), 1);
    let ask = RebaseRequest {
        now: at(1),
        reading: read(0, 600),
        drift_ms: 0,
        base: None,
        lease: LEASE,
        directory: Arc::clone(&bench.directory),
        after: None,
        entropy: entropy(),
    };
    assert_eq!(bench.store.rebase(ask).await.unwrap().mended, 0);
    assert!(bench.claim_as(2, at(602)).await.claimed.is_empty(), "and nobody else has it");
}

#[tokio::test]
async fn no_lease_ends_because_the_clock_was_set() {
    for by in [HOUR, -HOUR, YEARS, -YEARS] {
        let backend = Sqlite::new();
        let bench = Bench::new(&backend).await;
        let id = bench.send(Level::Error, "under way").await;
        let base = bench.rebase(at(0), 0, None).await.0;
        let claimed = bench.take(at(0)).await;
        let now = at(50).shifted(by);
        bench.rebase(now, by, Some(base)).await;
        assert!(bench.claim_as(2, at(59).shifted(by)).await.claimed.is_empty(), "{by}");
        bench.settle(&claimed[0], accepted(), now).await;
        assert_eq!(bench.standing(&id).await, "accepted: ops a accepted", "{by}");
        // One whose worker is dead ends after one more length of it.
        let lost = bench.send(Level::Error, "lost").await;
        bench.take(now).await;
        let base = base + by;
        bench.rebase(now.shifted(-by), -by, Some(base)).await;
        let later = now.shifted(-by) + LEASE;
        assert_eq!(bench.claim_as(2, later).await.claimed.len(), 1, "{by}");
        bench.command(crate::model::Command::Cancel, &lost, later).await;
    }
}

#[tokio::test]
async fn what_waits_for_a_time_that_cannot_be_is_due() {
    let backend = Sqlite::new();
    let bench = Bench::new(&backend).await;
    let due = bench.send(Level::Error, "due").await;
    let delayed = bench.delayed("later", 600).await;
    let far = bench.delayed("much later", 2 * 3600).await;
    bench.plan(at(0)).await;
    let failing = bench.send(Level::Error, "fails").await;
    bench.plan(at(0)).await;
    let claimed = bench.claim(at(1)).await.claimed;
    let fails = claimed.iter().find(|claimed| claimed.message.title == "fails").unwrap();
    bench.settle(fails, busy(), at(1)).await;
    // Nobody runs, and the clock is set back. The worker that held a lease left no trace.
    let now = at(0).shifted(-HOUR);
    assert_eq!(bench.rebase(now, 0, None).await, (0, 0, 4));
    assert_eq!(bench.due(&failing).await, Some(now), "no retry is an hour away");
    assert_eq!(bench.due(&delayed).await, Some(now + Duration::from_secs(600)), "as it asked");
    assert_eq!(bench.due(&far).await, Some(now + Duration::from_secs(7200)), "as it asked");
    assert_eq!(bench.accept_all(now).await, ["fails ops"]);
    assert_eq!(bench.accept_all(now + LEASE).await, ["due ops"], "a lease is no longer than this");
    assert_eq!(bench.standing(&due).await, "accepted: ops a accepted");
    assert_eq!(bench.rebase(now + LEASE, 0, None).await, (0, 0, 0), "and all is well");
}

#[tokio::test]
async fn limits_hold_while_the_clock_is_set() {
    for by in [HOUR, -HOUR, YEARS, -YEARS] {
        let backend = Sqlite::new();
        let mut bench = Bench::new(&backend).await;
        bench.lane("a").rate = "2/min".parse().unwrap();
        for n in 0..4 {
            let mut message = labelled(&format!("message {n}"), "for", "ops");
            message.level = Level::Critical;
            bench.enqueue(message).await;
        }
        let base = bench.rebase(at(0), 0, None).await.0;
        assert_eq!(bench.take(at(0)).await.len(), 2);
        bench.rebase(at(10).shifted(by), by, Some(base)).await;
        let on_a = |claims: &Claims| {
            let a = |c: &&crate::model::Claimed| c.state.place().channel.as_str() == "a";
            claims.claimed.iter().filter(a).count()
        };
        assert_eq!(on_a(&bench.claim(at(11).shifted(by)).await), 0, "{by}");
        assert_eq!(on_a(&bench.claim(at(60).shifted(by)).await), 2, "{by}");
    }
}

#[tokio::test]
async fn a_producer_whose_clock_is_wrong_loses_nothing() {
    for wrong in [0, 1, 946_684_800_000, 4_102_444_800_000, 253_402_300_799_999] {
        let backend = Sqlite::new();
        let bench = Bench::new(&backend).await;
        let before = bench.send(Level::Error, "before").await;
        bench.plan(at(0)).await;
        let created_at = Timestamp::from_unix_ms(wrong).unwrap();
        let mut message = Message::new(Level::Error, "by a wrong clock");
        message.delay = Some(Duration::from_secs(60));
        let mut odd = new(message);
        odd.created_at = created_at;
        let id = odd.id.to_string();
        bench.store.enqueue(vec![odd]).await.unwrap();
        bench.plan(at(5)).await;
        assert_eq!(bench.due(&id).await, Some(at(65)), "{wrong}");
        assert_eq!(bench.accept_all(at(65)).await.len(), 2, "{wrong}");
        assert_eq!(bench.standing(&before).await, "accepted: ops a accepted");
    }
    // It is a year behind, which the message written before it tells.
    let backend = Sqlite::new();
    let bench = Bench::new(&backend).await;
    bench.send(Level::Error, "before").await;
    bench.accept_all(at(0)).await;
    let mut behind = new(Message::new(Level::Error, "a year ago"));
    behind.created_at = at(0).shifted(-365 * 24 * HOUR);
    bench.store.enqueue(vec![behind]).await.unwrap();
    assert_eq!(bench.accept_all(at(70)).await, ["a year ago ops"]);
}

#[tokio::test]
async fn what_was_moved_while_it_was_under_way_is_settled_as_it_is_now() {
    let backend = Sqlite::new();
    let bench = Bench::new(&backend).await;
    let id = bench.send(Level::Error, "x").await;
    let claimed = bench.take(at(0)).await.remove(0);
    // Another worker saw the clock go forward; this one settles by what it was given.
    bench.rebase(at(3600), HOUR, Some(0)).await;
    bench.settle(&claimed, busy(), at(1)).await;
    assert_eq!(bench.standing(&id).await, "pending: ops a ready");
    let again = bench.claim(at(3700)).await.claimed;
    assert_eq!(again.len(), 1, "its row is as it was written");
    assert_eq!(again[0].entry.expires_at.ms_after(claimed.entry.expires_at), HOUR);
    bench.settle(&again[0], accepted(), at(3701)).await;
    assert!(bench.standing(&id).await.starts_with("accepted"));
}
