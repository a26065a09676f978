use super::*;
use crate::outcome::Reason;
use crate::picture::{Rows, machine};
use proptest::prelude::*;

fn at(seconds: i64) -> Timestamp {
    Timestamp::from_unix_ms(1_700_000_000_000 + seconds * 1000).unwrap()
}

fn channels(names: &[&str]) -> Vec<ChannelName> {
    names.iter().map(|name| name.parse().unwrap()).collect()
}

fn lease() -> Lease {
    Lease { owner: WorkerId::new(at(0), [7; 10]), token: 1, until: at(60) }
}

/// One delivery on its way, told as a story.
struct Story {
    state: State,
    chain: Vec<ChannelName>,
    blocked: BTreeSet<ChannelName>,
    costly: BTreeSet<ChannelName>,
    retry: RetryPolicy,
    now: Timestamp,
}

impl Story {
    fn new(chain: &[&str]) -> Self {
        let (chain, blocked, retry) = (channels(chain), BTreeSet::new(), RetryPolicy::default());
        let mut story = Self {
            state: State::Cancelled { at: at(0), place: place("nowhere") },
            chain,
            blocked,
            costly: BTreeSet::new(),
            retry,
            now: at(0),
        };
        story.state = start(story.now, Wait::New, &story.given()).unwrap();
        story
    }

    fn given(&self) -> Given<'_> {
        Given {
            now: self.now,
            chain: &self.chain,
            blocked: &self.blocked,
            costly: &self.costly,
            retry: &self.retry,
            failover_after: Duration::from_secs(20),
            seed: 42,
        }
    }

    fn happens(&mut self, event: Event) -> &mut Self {
        self.state = step(&self.state, event, &self.given()).unwrap();
        self
    }

    /// Waits until it may be sent, leases it and lets the attempt end like this.
    fn attempt(&mut self, outcome: Outcome) -> &mut Self {
        let State::Ready { at, .. } = &self.state else {
            panic!("{:?} cannot be sent", self.state)
        };
        self.now = self.now.max(*at);
        self.happens(Event::Leased(lease())).happens(Event::Attempted(outcome))
    }

    fn is(&self, state: &str, channel: &str) -> &Self {
        assert_eq!(
            (self.state.name(), self.state.place().channel.as_str()),
            (state, channel),
            "{:?}",
            self.state
        );
        self
    }

    fn waits(&self, seconds: std::ops::RangeInclusive<f64>, why: Wait) -> &Self {
        let State::Ready { at, wait, .. } = &self.state else {
            panic!("{:?} does not wait", self.state)
        };
        let length = at.since(self.now).as_secs_f64();
        assert!(seconds.contains(&length) && *wait == why, "{length} s, {wait:?}");
        self
    }
}

fn place(channel: &str) -> Place {
    Place {
        channel: channel.parse().unwrap(),
        attempt: 0,
        failover_at: Some(at(20)),
        round: 0,
        plain: false,
        soft: false,
        tries: 0,
    }
}

fn accepted() -> Outcome {
    Outcome::Accepted(Reason::text("ok"))
}

fn busy() -> Outcome {
    Outcome::Transient(Reason::new(-1, "system busy"))
}

fn silent() -> Outcome {
    Outcome::Unknown(Reason::text("no answer"))
}

fn refused(blame: Blame) -> Outcome {
    Outcome::Rejected { blame, reason: Reason::new(1, "no") }
}

fn slow_down(seconds: i64) -> Outcome {
    Outcome::Throttled { until: at(seconds), reason: Reason::text("slow down") }
}

#[test]
fn an_accepted_attempt_ends_it() {
    let mut story = Story::new(&["a", "b"]);
    story.attempt(accepted()).is("accepted", "a");
    assert!(step(&story.state, Event::Cancelled, &story.given()).is_err());
}

#[test]
fn a_transient_failure_backs_off_and_then_fails_over() {
    let mut story = Story::new(&["a", "b"]);
    story.attempt(busy()).is("ready", "a").waits(0.2..=2.0, Wait::Backoff);
    story.attempt(silent()).is("ready", "a").waits(0.2..=4.0, Wait::Backoff);
    story.attempt(busy()).is("ready", "b").waits(0.0..=0.0, Wait::Failover);
    story.attempt(accepted()).is("accepted", "b");
}

#[test]
fn a_backoff_past_failover_is_not_waited_for_while_another_channel_is_left() {
    let mut story = Story::new(&["a", "b"]);
    story.now = at(20);
    story.attempt(busy()).is("ready", "b");
    story.now = at(45);
    story.attempt(busy()).is("ready", "b").waits(0.2..=2.0, Wait::Backoff);
}

#[test]
fn what_may_have_arrived_goes_elsewhere_where_a_duplicate_is_costly() {
    let costly = |chain: &[&str]| Story {
        costly: channels(&["sms"]).into_iter().collect(),
        ..Story::new(chain)
    };
    let mut story = costly(&["sms", "b"]);
    story.attempt(silent()).is("ready", "b").waits(0.0..=0.0, Wait::Failover);
    // The other channel is no such channel.
    story.attempt(silent()).is("ready", "b").waits(0.2..=2.0, Wait::Backoff);
    // What certainly did not arrive is tried again as everywhere.
    costly(&["sms", "b"]).attempt(busy()).is("ready", "sms").waits(0.2..=2.0, Wait::Backoff);
    // A worker that died in the middle knows no more than silence.
    let mut lost = costly(&["sms", "b"]);
    lost.happens(Event::Leased(lease())).happens(Event::LeaseLost(1)).is("ready", "b");
    // Where nobody else is left to tell, a duplicate is better than nothing, after a pause.
    costly(&["sms"]).attempt(silent()).is("ready", "sms").waits(0.2..=30.0, Wait::Round);
}

#[test]
fn a_rejected_endpoint_fails_over_at_once() {
    Story::new(&["a", "b"])
        .attempt(refused(Blame::Endpoint))
        .is("ready", "b")
        .waits(0.0..=0.0, Wait::Failover);
}

#[test]
fn a_rejected_message_is_sent_once_more_as_plain_text() {
    let mut story = Story::new(&["a", "b"]);
    story.attempt(refused(Blame::Message)).is("ready", "a").waits(0.0..=0.0, Wait::Plain);
    assert!(story.state.place().plain);
    story.attempt(refused(Blame::Message)).is("ready", "b");
    assert!(!story.state.place().plain);
}

#[test]
fn a_throttled_attempt_waits_and_costs_nothing() {
    let mut story = Story::new(&["a", "b"]);
    for second in 1..=15 {
        story.attempt(slow_down(second)).is("ready", "a");
    }
    assert_eq!((story.state.place().attempt, story.state.place().tries), (0, 15));
    story.attempt(slow_down(60)).is("ready", "b").waits(0.0..=0.0, Wait::Failover);
    // The last channel is waited for only as long as another one is not better.
    story.attempt(slow_down(30)).is("ready", "b").waits(1.0..=30.0, Wait::Throttled);
    story.attempt(slow_down(3600)).is("ready", "a").waits(0.2..=15.0, Wait::Round);
    let mut alone = Story::new(&["a"]);
    alone.attempt(slow_down(3600)).is("ready", "a").waits(3600.0..=3600.0, Wait::Throttled);
}

#[test]
fn a_chain_that_failed_for_now_starts_over_after_a_growing_pause() {
    let mut story = Story::new(&["a"]);
    let mut pauses = Vec::new();
    for _ in 0..12 {
        for _ in 0..2 {
            story.attempt(busy()).is("ready", "a");
        }
        let before = story.state.clone();
        story.attempt(busy()).is("ready", "a");
        let told = notice(&before, &story.state);
        assert_eq!(told, (pauses.is_empty()).then_some(Notice::ChainFailed));
        let State::Ready { at, wait: Wait::Round, .. } = &story.state else {
            panic!("{:?}", story.state)
        };
        pauses.push(at.since(story.now));
    }
    assert!(pauses.iter().all(|pause| *pause <= Duration::from_secs(900)));
    assert!(pauses.iter().skip(6).any(|pause| *pause > Duration::from_secs(300)), "{pauses:?}");
    assert_eq!(story.state.place().tries, 36);
}

#[test]
fn only_a_chain_that_refused_it_throughout_is_dead() {
    let mut story = Story::new(&["a", "b"]);
    story.attempt(refused(Blame::Endpoint)).attempt(refused(Blame::Endpoint)).is("dead", "b");
    let mut mixed = Story::new(&["a", "b"]);
    mixed
        .attempt(busy())
        .attempt(busy())
        .attempt(busy())
        .attempt(refused(Blame::Endpoint))
        .is("ready", "a");
    mixed.waits(0.2..=15.0, Wait::Round);
}

#[test]
fn an_open_circuit_is_passed_over_while_another_channel_is_left() {
    let mut story = Story::new(&["a", "b", "c"]);
    story.blocked = channels(&["b"]).into_iter().collect();
    story.attempt(refused(Blame::Endpoint)).is("ready", "c");
    story.attempt(refused(Blame::Endpoint)).is("ready", "a").waits(0.2..=15.0, Wait::Round);

    let mut probe = Story::new(&["a", "b"]);
    probe.happens(Event::Leased(lease()));
    probe.blocked = channels(&["a"]).into_iter().collect();
    probe.happens(Event::Attempted(busy())).is("ready", "b").waits(0.0..=0.0, Wait::Failover);

    let mut alone = Story::new(&["a"]);
    alone.blocked = channels(&["a"]).into_iter().collect();
    alone.happens(Event::Blocked(at(15))).is("ready", "a").waits(15.0..=15.0, Wait::Circuit);
}

#[test]
fn a_delivery_that_waited_too_long_for_its_turn_moves_on() {
    let mut story = Story::new(&["a", "b"]);
    assert!(step(&story.state, Event::Overdue, &story.given()).is_err());
    story.now = at(20);
    story.happens(Event::Overdue).is("ready", "b");
    story.now = at(40);
    story.happens(Event::Overdue).is("ready", "a").waits(0.2..=15.0, Wait::Round);
    let alone = Story::new(&["a"]);
    assert_eq!(alone.state.place().failover_at, None);
}

#[test]
fn a_channel_that_was_passed_over_gets_its_turn_before_anything_is_dead() {
    let mut story = Story::new(&["a", "b"]);
    story.blocked = channels(&["a"]).into_iter().collect();
    story.state = start(story.now, Wait::New, &story.given()).unwrap();
    story.is("ready", "b");
    story.attempt(refused(Blame::Endpoint)).waits(0.2..=15.0, Wait::Round);
    story.blocked.clear();
    story.attempt(refused(Blame::Endpoint)).is("ready", "a");
    story.attempt(accepted()).is("accepted", "a");
}

#[test]
fn a_try_whose_worker_died_is_repeated_at_once_then_after_a_pause_then_elsewhere_and_then_given_up()
{
    let mut story = Story::new(&["a", "b"]);
    for (n, pause) in [(1, 0.0..=0.0), (2, 0.2..=4.0)] {
        story
            .happens(Event::Leased(lease()))
            .happens(Event::LeaseLost(n))
            .is("ready", "a")
            .waits(pause, Wait::Abandoned);
        if let State::Ready { at, .. } = story.state {
            story.now = at;
        }
    }
    // Nobody is given up on while there is a channel that was not tried.
    story.happens(Event::Leased(lease())).happens(Event::LeaseLost(LOSSES_MAX)).is("ready", "b");
    let before = story.happens(Event::Leased(lease())).state.clone();
    story.happens(Event::LeaseLost(LOSSES_MAX)).is("dead", "b");
    assert_eq!(notice(&before, &story.state), Some(Notice::Dead(Cause::Poison)));
}

#[test]
fn those_that_were_on_their_way_together_are_tried_apart() {
    let place = Place { tries: 2, attempt: 1, ..place("a") };
    let leased = State::Leased { lease: lease(), place };
    let story = Story::new(&["a"]);
    let again_at = |seed| match step(&leased, Event::LeaseLost(2), &Given { seed, ..story.given() })
    {
        Ok(State::Ready { at, .. }) => at,
        other => panic!("{other:?}"),
    };
    let times: std::collections::BTreeSet<_> = (0..8).map(again_at).collect();
    assert_eq!(times.len(), 8);
}

#[test]
fn handing_back_changes_nothing_but_the_owner() {
    let mut story = Story::new(&["a", "b"]);
    let before = story.state.place().clone();
    story.happens(Event::Leased(lease())).happens(Event::HandedBack);
    assert_eq!(*story.state.place(), before);
}

#[test]
fn what_ended_badly_can_be_put_back() {
    let mut story = Story::new(&["a", "b"]);
    story.happens(Event::Expired).happens(Event::Replayed).is("ready", "a");
    story.happens(Event::Leased(lease())).happens(Event::Cancelled).is("cancelled", "a");
    story
        .happens(Event::Replayed)
        .attempt(refused(Blame::Endpoint))
        .attempt(refused(Blame::Endpoint))
        .is("dead", "b");
    story.happens(Event::Replayed).is("ready", "a").waits(0.0..=0.0, Wait::Replayed);
    assert_eq!(story.state.place().tries, 3);
}

#[test]
fn a_removed_channel_hands_its_deliveries_to_the_chain_that_is_left() {
    let mut story = Story::new(&["old"]);
    story.chain = channels(&["new"]);
    story.happens(Event::ChannelGone).is("ready", "new");
    story.chain.clear();
    story.happens(Event::ChannelGone).is("dead", "new");
}

fn outcomes() -> Vec<(&'static str, Outcome)> {
    vec![
        ("accepted", accepted()),
        ("throttled, briefly", slow_down(10)),
        ("throttled past failover_at", slow_down(600)),
        ("transient", busy()),
        ("unknown", silent()),
        ("rejected: this message", refused(Blame::Message)),
        ("rejected: this endpoint", refused(Blame::Endpoint)),
    ]
}

fn events() -> Vec<(String, Event)> {
    let mut events: Vec<(String, Event)> = vec![("leased".into(), Event::Leased(lease()))];
    events.extend(
        outcomes().into_iter().map(|(name, o)| (format!("attempted: {name}"), Event::Attempted(o))),
    );
    for event in [
        Event::LeaseLost(1),
        Event::HandedBack,
        Event::Overdue,
        Event::Blocked(at(40)),
        Event::ChannelGone,
        Event::Expired,
        Event::Quarantined,
        Event::Cancelled,
        Event::Replayed,
    ] {
        events.push((event.name().into(), event));
    }
    let last = Event::LeaseLost(LOSSES_MAX);
    events.push((format!("{} for the third time in a row", last.name()), last));
    events
}

fn states() -> Vec<(&'static str, State)> {
    let first = Place { failover_at: Some(at(25)), ..place("a") };
    let tired = Place { failover_at: None, attempt: 2, soft: true, tries: 3, ..place("b") };
    vec![
        (
            "ready on a",
            State::Ready {
                at: at(0),
                wait: Wait::New,
                place: Place { failover_at: Some(at(5)), ..first.clone() },
            },
        ),
        (
            "leased on a (first try)",
            State::Leased { lease: lease(), place: Place { tries: 1, ..first.clone() } },
        ),
        (
            "leased on b (last channel, last try)",
            State::Leased { lease: lease(), place: tired.clone() },
        ),
        (
            "leased on b (all others refused)",
            State::Leased {
                lease: lease(),
                place: Place { plain: true, soft: false, attempt: 0, ..tired.clone() },
            },
        ),
        ("accepted", State::Accepted { at: at(0), place: first.clone() }),
        ("dead", State::Dead { at: at(0), cause: Cause::Rejected, place: first.clone() }),
        ("expired", State::Expired { at: at(0), place: first.clone() }),
        ("cancelled", State::Cancelled { at: at(0), place: first }),
    ]
}

fn describe(state: &State) -> String {
    match state {
        State::Ready { wait, place, .. } => {
            let form = if place.plain { ", plain text" } else { "" };
            let round = if place.round > 0 { ", next round" } else { "" };
            format!("ready on {} ({}{form}{round})", place.channel, wait.name())
        }
        State::Leased { place, .. } => format!("leased on {}", place.channel),
        State::Dead { cause, .. } => format!("dead ({})", cause.name()),
        State::Accepted { .. } | State::Expired { .. } | State::Cancelled { .. } => {
            state.name().to_owned()
        }
    }
}

fn rows_of(state: &State, given: &Given<'_>) -> Rows {
    let next = |(name, event)| Some((name, describe(&step(state, event, given).ok()?)));
    events().into_iter().filter_map(next).collect()
}

/// This machine's part of the picture.
pub(crate) fn picture() -> String {
    let story = Story::new(&["a", "b"]);
    let given = Given { now: at(20), ..story.given() };
    let rows = |state: &State| rows_of(state, &given);
    let mut states: Vec<_> = states().iter().map(|(name, state)| (*name, rows(state))).collect();
    let costly = channels(&["a"]).into_iter().collect();
    let given = Given { costly: &costly, ..given };
    let first = Place { tries: 1, ..place("a") };
    let leased = State::Leased { lease: lease(), place: first };
    states.insert(2, ("leased on a (first try, a duplicate is costly)", rows_of(&leased, &given)));
    machine("A delivery", "One message on its way to one receiver, whose chain is a, b.", states)
}

proptest! {
    /// Whatever happens in whatever order: it ends only where it may, and never waits without end.
    #[test]
    fn no_story_loses_the_delivery(picks in prop::collection::vec((0usize..17, 0i64..100, any::<bool>()), 1..80), costly in any::<bool>()) {
        let mut story = Story::new(&["a", "b", "c"]);
        story.costly = channels(if costly { &["a", "c"] } else { &[] }).into_iter().collect();
        for (pick, pause, block) in picks {
            story.now = story.now + Duration::from_secs(u64::try_from(pause).unwrap());
            story.blocked = if block { channels(&["b"]).into_iter().collect() } else { BTreeSet::new() };
            let event = match events().swap_remove(pick).1 {
                Event::Attempted(Outcome::Throttled { reason, .. }) => {
                    Event::Attempted(Outcome::Throttled { until: story.now + Duration::from_secs(60), reason })
                }
                Event::Blocked(_) => Event::Blocked(story.now + Duration::from_secs(15)),
                event => event,
            };
            let human = matches!(event, Event::Cancelled | Event::Quarantined | Event::Expired);
            let refused = matches!(event, Event::Attempted(Outcome::Rejected { .. }));
            let accepted = matches!(event, Event::Attempted(Outcome::Accepted(_)));
            if let Ok(next) = step(&story.state, event, &story.given()) {
                if next.is_final() && !story.state.is_final() {
                    prop_assert!(human || refused || accepted, "{:?} -> {next:?}", story.state);
                }
                if let State::Ready { at, .. } = &next {
                    prop_assert!(at.since(story.now) <= Duration::from_secs(900));
                }
                story.state = next;
            }
        }
    }
}
