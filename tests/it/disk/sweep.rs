//! Every call on the database's files fails in turn: once or from then on, for good or for want of space.
//!
//! The default run takes ever longer strides; `CALLOUT_FAULTS=all` leaves nothing out.

use super::{EIO, ENOSPC, Fault, OPEN, Place, Program, RECOVERY, STUCK, SYNC, TRUNCATE, WRITE};
use super::{arrivals, comes_true};
use crate::stage::sink::Sink;
use callout_client::{Level, Message, Outbox};
use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;
use tokio::task::JoinSet;

/// Programs at once.
const RUNS: usize = 4;
/// How long to look whether messages flow in spite of a fault.
const LOOK: Duration = Duration::from_millis(2500);

/// What producers heard.
#[derive(Default)]
struct Heard {
    acknowledged: BTreeSet<String>,
    /// "The disk is full; nothing was written."
    refused: BTreeSet<String>,
}

impl Heard {
    async fn over_http(&mut self, program: &Program, titles: &[&str]) {
        for title in titles {
            match program.enqueue(title).await {
                Some((202, _)) => self.acknowledged.insert((*title).to_owned()),
                Some((507, _)) => self.refused.insert((*title).to_owned()),
                Some((503, answer)) => {
                    let code = answer["error"]["code"].as_str().unwrap_or_default();
                    assert!(["busy", "unknown", "failing"].contains(&code), "{title}: {answer}");
                    false
                }
                Some((status, answer)) => panic!("{title}: {status} {answer}"),
                None => false,
            };
        }
    }

    /// The application has no faults of its own; it shares the files with a program that does.
    fn through_the_client(&mut self, place: &Place, title: &str) {
        let Ok(mut outbox) = Outbox::open(place.database()) else { return };
        if outbox.enqueue(&Message::new(Level::Error, title)).is_ok() {
            self.acknowledged.insert(title.to_owned());
        }
    }
}

/// How a run ended.
#[derive(Debug, PartialEq, Eq, PartialOrd, Ord)]
enum End {
    /// No call failed.
    Untouched,
    /// It went on, and everything arrived without a restart.
    Served,
    /// It ended by itself with this code.
    Ended(i32),
}

async fn run(sink: &Sink, channel: &str, fault: Fault) -> End {
    let place = Place::new(sink, channel);
    let switch = place.switch.clone();
    switch.set(fault);
    let mut program = Program::start(&place).await;
    let mut heard = Heard::default();
    let all_arrived = |heard: &Heard| {
        let arrived = arrivals(sink, channel);
        heard.acknowledged.iter().all(|title| arrived.contains_key(title))
    };
    let mut serves = program.address.is_some();
    if serves {
        heard.over_http(&program, &["one", "two", "three"]).await;
        heard.through_the_client(&place, "four");
        heard.over_http(&program, &["five"]).await;
        comes_true(LOOK, || program.has_ended() || all_arrived(&heard)).await;
        // It answers, or it is about to end.
        serves = program.get("/healthz").await == Some(200);
    }
    let failed = switch.failed();
    switch.set(Fault::default());
    let arrived = comes_true(RECOVERY, || program.has_ended() || all_arrived(&heard)).await;
    let serves = serves && arrived && !program.has_ended();
    let code = if serves { program.stop().await } else { program.ends().await };
    let said = program.said();
    assert!(!said.contains("panicked"), "{said}");
    assert!([0, 1, 74].contains(&code), "{code}: {said}");
    assert!(code == 0 || said.contains("error: "), "{code}: {said}");
    let kept: BTreeSet<String> = place.titles().into_iter().collect();
    assert!(heard.acknowledged.is_subset(&kept), "{:?} acknowledged, {kept:?}", heard.acknowledged);
    assert!(heard.refused.is_disjoint(&kept), "{:?} refused, {kept:?}", heard.refused);
    if !all_arrived(&heard) || code != 0 {
        deliver_the_rest(&place, || all_arrived(&heard)).await;
    }
    for (title, times) in arrivals(sink, channel) {
        let most = if code == 0 { 1 } else { 2 };
        assert!(times <= most, "{title} arrived {times} times: {said}");
    }
    match (failed, code) {
        (0, 0) => End::Untouched,
        (_, 0) => End::Served,
        _ => End::Ended(code),
    }
}

/// Starts the program on a disk that works.
async fn deliver_the_rest(place: &Place, is_done: impl Fn() -> bool) {
    let mut program = Program::start(place).await;
    assert_eq!(program.get("/healthz").await, Some(200), "{}", program.said());
    assert!(comes_true(STUCK, is_done).await, "{}", program.said());
    assert_eq!(program.stop().await, 0);
}

/// One kind of call fails in one way, the first, the second and so on, until there is none to fail.
async fn sweep(sink: Sink, name: &'static str, fault: Fault, is_complete: bool) -> Ends {
    let mut ends = Ends::new();
    let mut fault = Fault { first: 1, ..fault };
    loop {
        let channel = format!("{name}-{}-{}-{}", fault.errno, fault.count, fault.first);
        let end = run(&sink, &channel, fault).await;
        let is_over = end == End::Untouched;
        let errno = if fault.errno == EIO { "EIO" } else { "ENOSPC" };
        let often = if fault.count == 0 { "for ever" } else { "once" };
        let key = format!("{name} {errno} {often}: {end:?}");
        *ends.entry(key).or_default() += 1;
        if is_over {
            return ends;
        }
        fault.first += if is_complete { 1 } else { 1 + fault.first };
    }
}

type Ends = BTreeMap<String, usize>;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn whatever_call_fails_nothing_acknowledged_is_lost() {
    let is_complete = std::env::var("CALLOUT_FAULTS").is_ok_and(|word| word == "all");
    let sink = Sink::start().await;
    let mut waiting = Vec::new();
    for (name, kinds) in [("open", OPEN), ("write", WRITE), ("sync", SYNC), ("truncate", TRUNCATE)]
    {
        for errno in [EIO, ENOSPC] {
            waiting.extend([0, 1].map(|count| (name, Fault { kinds, errno, count, first: 1 })));
        }
    }
    let (mut running, mut ends) = (JoinSet::new(), Ends::new());
    let mut waiting = waiting.into_iter();
    loop {
        while running.len() < RUNS
            && let Some((name, fault)) = waiting.next()
        {
            running.spawn(sweep(sink.clone(), name, fault, is_complete));
        }
        let Some(done) = running.join_next().await else { break };
        for (end, times) in done.unwrap() {
            *ends.entry(end).or_default() += times;
        }
    }
    println!("{ends:#?}\n{} runs", ends.values().sum::<usize>());
    // A disk that failed is not trusted again, and one that is only full is.
    assert!(ends.contains_key("sync EIO once: Ended(74)"), "{ends:#?}");
    assert!(ends.contains_key("write EIO for ever: Ended(74)"), "{ends:#?}");
    assert!(ends.contains_key("write ENOSPC once: Served"), "{ends:#?}");
    assert!(ends.contains_key("write ENOSPC for ever: Served"), "{ends:#?}");
}
