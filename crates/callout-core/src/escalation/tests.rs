use super::*;
use crate::picture::machine;
use expect_test::{Expect, expect};
use proptest::prelude::*;

fn at(seconds: u64) -> Timestamp {
    Timestamp::from_unix_ms(1_700_000_000_000).unwrap() + Duration::from_secs(seconds)
}

fn names(names: &[&str]) -> Vec<ReceiverName> {
    names.iter().map(|name| name.parse().unwrap()).collect()
}

/// These receivers, one a step, with so many seconds each.
fn policy(steps: &[(&str, u64)], repeat: u32) -> Policy {
    let step = |(to, seconds): &(&str, u64)| Step {
        to: names(&[to]),
        ack_within: Duration::from_secs(*seconds),
    };
    Policy { name: Some("p".to_owned()), steps: steps.iter().map(step).collect(), repeat }
}

/// Two steps of 5 and 10 minutes, then both once more.
fn usual() -> Policy {
    policy(&[("ops", 300), ("lead", 600)], 1)
}

fn describe(timer: &Timer) -> String {
    let place = timer.place();
    let spot = format!("step {} round {}", place.step + 1, place.round + 1);
    match timer {
        Timer::Waiting { .. } => format!("waiting, {spot} ({})", place.cause.name()),
        Timer::Stopped { .. } => "stopped".to_owned(),
        Timer::Exhausted { .. } => format!("exhausted ({})", place.cause.name()),
    }
}

/// One escalation, told as a story. Times are seconds after its beginning.
struct Story {
    timer: Timer,
    policy: Policy,
    log: String,
}

impl Story {
    fn new(policy: Policy) -> Self {
        let timer = start(&policy, at(0), at(0));
        let mut story = Self { timer, policy, log: String::new() };
        story.note(0);
        story
    }

    fn note(&mut self, now: u64) {
        let place = self.timer.place();
        let late = match place.late.as_secs() {
            0 => String::new(),
            late => format!(", {late}s late"),
        };
        let due = match self.timer.due_at() {
            Some(due) => format!(", due in {}s", due.since(at(now)).as_secs()),
            None => String::new(),
        };
        let line = format!("+{now} #{} {}{late}{due}\n", place.decision, describe(&self.timer));
        self.log.push_str(&line);
    }

    fn happens(mut self, now: u64, event: Event) -> Self {
        match step(&self.timer, event, &self.policy, at(now)) {
            Ok(timer) => {
                self.timer = timer;
                self.note(now);
            }
            Err(illegal) => self.log.push_str(&format!("+{now} {illegal}\n")),
        }
        self
    }

    fn looks(self, now: u64, reach: Reach) -> Self {
        self.happens(now, Event::Looked(reach))
    }

    fn is(self, expected: Expect) {
        expected.assert_eq(&self.log);
    }
}

use Reach::{Nobody, Told, Underway};

#[test]
fn the_next_people_are_told_when_nobody_acknowledged_in_time_and_then_all_again() {
    Story::new(usual())
        .looks(299, Told)
        .looks(300, Told)
        .looks(300, Told)
        .looks(900, Told)
        .looks(1200, Underway)
        .looks(1800, Told)
        .looks(9999, Told)
        .is(expect![[r#"
            +0 #1 waiting, step 1 round 1 (opened), due in 300s
            +299 #1 waiting, step 1 round 1 (opened), due in 1s
            +300 #2 waiting, step 2 round 1 (due), due in 600s
            +300 #2 waiting, step 2 round 1 (due), due in 600s
            +900 #3 waiting, step 1 round 2 (due), due in 300s
            +1200 #4 waiting, step 2 round 2 (due), due in 600s
            +1800 #5 exhausted (due)
            +9999 an escalation that is exhausted cannot be looked at, told
        "#]]);
}

#[test]
fn a_message_that_is_still_on_its_way_to_somebody_does_not_hold_the_next_people_back() {
    Story::new(usual()).looks(10, Underway).looks(300, Underway).is(expect![[r#"
        +0 #1 waiting, step 1 round 1 (opened), due in 300s
        +10 #1 waiting, step 1 round 1 (opened), due in 290s
        +300 #2 waiting, step 2 round 1 (due), due in 600s
    "#]]);
}

#[test]
fn people_who_cannot_be_reached_are_not_waited_for() {
    Story::new(usual()).looks(3, Nobody).looks(4, Told).is(expect![[r#"
        +0 #1 waiting, step 1 round 1 (opened), due in 300s
        +3 #2 waiting, step 2 round 1 (unreachable), due in 600s
        +4 #2 waiting, step 2 round 1 (unreachable), due in 599s
    "#]]);
}

#[test]
fn people_who_were_out_of_reach_are_tried_again_after_a_minute_and_not_at_once() {
    Story::new(usual())
        .looks(3, Nobody)
        .looks(5, Nobody)
        .looks(6, Nobody)
        .looks(62, Nobody)
        .looks(63, Nobody)
        .looks(64, Nobody)
        .looks(65, Nobody)
        .is(expect![[r#"
            +0 #1 waiting, step 1 round 1 (opened), due in 300s
            +3 #2 waiting, step 2 round 1 (unreachable), due in 600s
            +5 #2 waiting, step 2 round 1 (unreachable), due in 58s
            +6 #2 waiting, step 2 round 1 (unreachable), due in 57s
            +62 #2 waiting, step 2 round 1 (unreachable), due in 1s
            +63 #3 waiting, step 1 round 2 (unreachable), due in 300s
            +64 #4 waiting, step 2 round 2 (unreachable), due in 600s
            +65 #5 exhausted (unreachable)
        "#]]);
    // A step that waits less than a minute does not wait longer for it.
    Story::new(policy(&[("ops", 20)], 1)).looks(1, Nobody).looks(20, Nobody).is(expect![[r#"
        +0 #1 waiting, step 1 round 1 (opened), due in 20s
        +1 #1 waiting, step 1 round 1 (opened), due in 19s
        +20 #2 waiting, step 1 round 2 (unreachable), due in 20s
    "#]]);
}

#[test]
fn the_last_people_who_cannot_be_reached_end_it_at_once() {
    Story::new(policy(&[("ops", 300)], 0)).looks(2, Nobody).is(expect![[r#"
        +0 #1 waiting, step 1 round 1 (opened), due in 300s
        +2 #2 exhausted (unreachable)
    "#]]);
}

#[test]
fn after_downtime_one_step_is_taken_at_a_time_with_a_minute_between_and_a_word_about_it() {
    let quick = policy(&[("ops", 10), ("lead", 10)], 1);
    Story::new(quick)
        .looks(3600, Told)
        .looks(3600, Told)
        .looks(3659, Told)
        .looks(3660, Told)
        .looks(3670, Told)
        .is(expect![[r#"
            +0 #1 waiting, step 1 round 1 (opened), due in 10s
            +3600 #2 waiting, step 2 round 1 (due), 3590s late, due in 60s
            +3600 #2 waiting, step 2 round 1 (due), 3590s late, due in 60s
            +3659 #2 waiting, step 2 round 1 (due), 3590s late, due in 1s
            +3660 #3 waiting, step 1 round 2 (due), due in 10s
            +3670 #4 waiting, step 2 round 2 (due), due in 10s
        "#]]);
    // Exactly a minute is still in time.
    Story::new(usual()).looks(360, Told).is(expect![[r#"
        +0 #1 waiting, step 1 round 1 (opened), due in 300s
        +360 #2 waiting, step 2 round 1 (due), due in 600s
    "#]]);
}

#[test]
fn people_whom_no_worker_told_in_time_have_a_minute_before_the_next_are_told() {
    Story::new(usual()).looks(7200, Underway).looks(7201, Told).looks(7260, Told).is(expect![[
        r#"
        +0 #1 waiting, step 1 round 1 (opened), due in 300s
        +7200 #1 waiting, step 1 round 1 (opened), 6900s late, due in 60s
        +7201 #1 waiting, step 1 round 1 (opened), 6900s late, due in 59s
        +7260 #2 waiting, step 2 round 1 (due), due in 600s
    "#
    ]]);
    // Only once: whoever is still on the way then is not waited for.
    Story::new(usual()).looks(7200, Underway).looks(7260, Underway).is(expect![[r#"
        +0 #1 waiting, step 1 round 1 (opened), due in 300s
        +7200 #1 waiting, step 1 round 1 (opened), 6900s late, due in 60s
        +7260 #2 waiting, step 2 round 1 (due), due in 600s
    "#]]);
    // Not even if no worker ran again.
    Story::new(usual()).looks(7200, Underway).looks(9000, Underway).is(expect![[r#"
        +0 #1 waiting, step 1 round 1 (opened), due in 300s
        +7200 #1 waiting, step 1 round 1 (opened), 6900s late, due in 60s
        +9000 #2 waiting, step 2 round 1 (due), 1740s late, due in 600s
    "#]]);
}

#[test]
fn unreachable_people_after_downtime_are_passed_with_a_word_about_it() {
    Story::new(usual()).looks(3900, Nobody).looks(3901, Nobody).looks(3960, Nobody).is(expect![[
        r#"
        +0 #1 waiting, step 1 round 1 (opened), due in 300s
        +3900 #2 waiting, step 2 round 1 (unreachable), 3600s late, due in 600s
        +3901 #2 waiting, step 2 round 1 (unreachable), 3600s late, due in 59s
        +3960 #3 waiting, step 1 round 2 (unreachable), due in 300s
    "#
    ]]);
}

/// The state after the clock was set back to the story's beginning at a moment long after it.
fn set_back(reach: Reach) -> Story {
    let policy = usual();
    let timer = start(&policy, at(86_400), at(86_400));
    Story { timer, policy, log: String::new() }.looks(0, reach)
}

#[test]
fn a_clock_that_was_set_back_never_makes_a_wait_longer_than_it_was() {
    set_back(Told).looks(299, Told).looks(300, Told).is(expect![[r#"
        +0 #1 waiting, step 1 round 1 (opened), due in 300s
        +299 #1 waiting, step 1 round 1 (opened), due in 1s
        +300 #2 waiting, step 2 round 1 (due), due in 600s
    "#]]);
    // Nobody being reached is seen in the same look.
    set_back(Nobody).is(expect![[r#"
        +0 #2 waiting, step 2 round 1 (unreachable), due in 600s
    "#]]);
    // Nor after downtime, when the deadline was moved once already.
    let policy = usual();
    let timer = start(&policy, at(0), at(0));
    Story { timer, policy, log: String::new() }
        .looks(864_000, Underway)
        .looks(0, Told)
        .looks(60, Told)
        .is(expect![[r#"
            +864000 #1 waiting, step 1 round 1 (opened), 863700s late, due in 60s
            +0 #1 waiting, step 1 round 1 (opened), 863700s late, due in 60s
            +60 #2 waiting, step 2 round 1 (due), due in 600s
        "#]]);
}

#[test]
fn a_person_may_always_ask_for_the_next_people_beyond_the_last_round_too() {
    Story::new(policy(&[("ops", 300), ("lead", 600)], 0))
        .happens(10, Event::Pushed)
        .happens(20, Event::Pushed)
        .looks(320, Told)
        .looks(920, Told)
        .happens(1000, Event::Pushed)
        .happens(1001, Event::Pushed)
        .looks(1601, Told)
        .is(expect![[r#"
            +0 #1 waiting, step 1 round 1 (opened), due in 300s
            +10 #2 waiting, step 2 round 1 (pushed), due in 600s
            +20 #3 waiting, step 1 round 2 (pushed), due in 300s
            +320 #4 waiting, step 2 round 2 (due), due in 600s
            +920 #5 exhausted (due)
            +1000 #6 waiting, step 1 round 3 (pushed), due in 300s
            +1001 #7 waiting, step 2 round 3 (pushed), due in 600s
            +1601 #8 exhausted (due)
        "#]]);
}

#[test]
fn after_an_acknowledgment_nobody_is_told_until_it_is_taken_back() {
    Story::new(usual())
        .looks(300, Told)
        .happens(400, Event::Stopped)
        .looks(900, Nobody)
        .happens(900, Event::Pushed)
        .happens(950, Event::Stopped)
        .happens(1000, Event::Restarted)
        .looks(1300, Told)
        .happens(1301, Event::Restarted)
        .is(expect![[r#"
            +0 #1 waiting, step 1 round 1 (opened), due in 300s
            +300 #2 waiting, step 2 round 1 (due), due in 600s
            +400 #2 stopped
            +900 an escalation that is stopped cannot be looked at, nobody reached
            +900 an escalation that is stopped cannot be pushed
            +950 #2 stopped
            +1000 #3 waiting, step 1 round 1 (restarted), due in 300s
            +1300 #4 waiting, step 2 round 1 (due), due in 600s
            +1301 an escalation that is waiting cannot be restarted
        "#]]);
}

#[test]
fn one_that_ended_in_vain_can_still_be_stopped_and_begun_again() {
    Story::new(policy(&[("ops", 300)], 0))
        .looks(300, Told)
        .happens(400, Event::Stopped)
        .happens(500, Event::Restarted)
        .is(expect![[r#"
            +0 #1 waiting, step 1 round 1 (opened), due in 300s
            +300 #2 exhausted (due)
            +400 #2 stopped
            +500 #3 waiting, step 1 round 1 (restarted), due in 300s
        "#]]);
}

#[test]
fn the_first_wait_begins_when_the_first_people_are_told() {
    let due = |told_at, now| start(&usual(), at(told_at), at(now)).due_at();
    assert_eq!(due(0, 0), Some(at(300)));
    assert_eq!(due(3600, 0), Some(at(3900)));
    // No worker ran when it was enqueued.
    assert_eq!(due(0, 3600), Some(at(3900)));
}

#[test]
fn a_message_may_say_how_long_its_first_people_have() {
    let longer = usual().with_first_wait(Some(Duration::from_secs(900)));
    assert_eq!(start(&longer, at(0), at(0)).due_at(), Some(at(900)));
    assert_eq!(usual().with_first_wait(None), usual());
    let own = Policy::of_receivers(names(&["ops", "lead"]));
    assert_eq!((own.receivers(0), own.receivers(1)), (&names(&["ops", "lead"])[..], &[][..]));
    assert_eq!((own.steps.len(), own.repeat), (1, REPEAT));
    assert_eq!(start(&own, at(0), at(0)).due_at(), Some(at(0) + ACK_WITHIN));
}

#[test]
fn a_step_has_come_as_far_as_its_best_delivery() {
    use Standing::{Accepted, Cancelled, Dead, Expired, Leased, Ready};
    for (standings, reach) in [
        (vec![], Nobody),
        (vec![Dead, Expired, Cancelled], Nobody),
        (vec![Dead, Ready], Underway),
        (vec![Leased], Underway),
        (vec![Ready, Accepted, Dead], Told),
        (vec![Accepted], Told),
    ] {
        assert_eq!(Reach::of(standings.clone()), reach, "{standings:?}");
    }
}

fn upcoming(timer: &Timer, expected: Option<(u64, &[&str], usize, u32)>) {
    let expected =
        expected.map(|(due, to, step, round)| Upcoming { at: at(due), to: names(to), step, round });
    assert_eq!(timer.upcoming(&usual()), expected, "{timer:?}");
}

#[test]
fn what_follows_if_nobody_acts_can_be_told_before() {
    let policy = usual();
    let next = |timer: &Timer, now| step(timer, Event::Looked(Told), &policy, at(now)).unwrap();
    let mut timer = start(&policy, at(0), at(0));
    upcoming(&timer, Some((300, &["lead"], 1, 0)));
    timer = next(&timer, 300);
    upcoming(&timer, Some((900, &["ops"], 0, 1)));
    timer = next(&next(&timer, 900), 1200);
    upcoming(&timer, Some((1800, &[], 1, 1)));
    timer = next(&timer, 1800);
    upcoming(&timer, None);
    upcoming(&step(&timer, Event::Stopped, &policy, at(1801)).unwrap(), None);
}

fn check_note(cause: Cause, step: usize, round: u32, late: u64, expected: Option<[&str; 2]>) {
    let since = at(300) + Duration::from_millis(41);
    let late = Duration::from_millis(late);
    let telling = Telling {
        place: Place { decision: 2, step, round, since, cause, late },
        steps: 2,
        opened_at: at(0),
        epoch: 0,
    };
    for (locale, n) in [(Locale::English, 0), (Locale::Chinese, 1)] {
        assert_eq!(telling.note(locale).as_deref(), expected.map(|texts| texts[n]));
    }
}

#[test]
fn readers_hear_why_it_is_their_turn() {
    check_note(Cause::Opened, 0, 0, 0, None);
    let due = [
        "Nobody has acknowledged this for 5m (step 2 of 2).",
        "这条告警已有 5 分钟无人确认（第 2 步，共 2 步）。",
    ];
    check_note(Cause::Due, 1, 0, 0, Some(due));
    let again = [
        "Nobody has acknowledged this for 5m (step 1 of 2, round 2).",
        "这条告警已有 5 分钟无人确认（第 1 步，共 2 步，第 2 轮）。",
    ];
    check_note(Cause::Due, 0, 1, 0, Some(again));
    let unreachable = [
        "Nobody else could be reached (step 2 of 2).",
        "前一组人员均无法送达（第 2 步，共 2 步）。",
    ];
    check_note(Cause::Unreachable, 1, 0, 0, Some(unreachable));
    let pushed = [
        "Somebody asked for help with this (step 2 of 2).",
        "有人请求支援，手动升级了这条告警（第 2 步，共 2 步）。",
    ];
    check_note(Cause::Pushed, 1, 0, 0, Some(pushed));
    let restarted =
        ["This is open again (step 1 of 2).", "这条告警已重新打开（第 1 步，共 2 步）。"];
    check_note(Cause::Restarted, 0, 0, 0, Some(restarted));
    let late = [
        "Nobody has acknowledged this for 5m (step 2 of 2, round 3), and Callout was down: \
         this comes 2h1m late.",
        "这条告警已有 5 分钟无人确认（第 2 步，共 2 步，第 3 轮）；Callout 曾停止运行，\
         本次通知晚了 2 小时 1 分钟。",
    ];
    check_note(Cause::Due, 1, 2, 7_290_017, Some(late));
}

#[test]
fn a_stored_policy_reads_back() {
    let json = serde_json::to_string(&usual()).unwrap();
    expect![[r#"{"name":"p","steps":[{"to":["ops"],"ack_within":300000},{"to":["lead"],"ack_within":600000}],"repeat":1}"#]]
    .assert_eq(&json);
    assert_eq!(serde_json::from_str::<Policy>(&json).unwrap(), usual());
    assert!(serde_json::from_str::<Policy>(&json.replace("repeat", "again")).is_err());
}

#[test]
fn every_cause_is_read_back_as_what_it_was() {
    for cause in Cause::ALL {
        assert_eq!(Cause::from_name(cause.name()), Some(*cause));
    }
}

const EVENTS: [Event; 6] = [
    Event::Looked(Told),
    Event::Looked(Underway),
    Event::Looked(Nobody),
    Event::Pushed,
    Event::Stopped,
    Event::Restarted,
];

fn states() -> Vec<(&'static str, Timer)> {
    let waiting = |step: usize, round: u32, since: u64, due: u64| {
        let (decision, cause, late) = (1, Cause::Opened, Duration::ZERO);
        let place = Place { decision, step, round, since: at(since), cause, late };
        Timer::Waiting { place, due_at: at(due) }
    };
    let end = waiting(1, 1, 9_000, 9_600).place().clone();
    vec![
        ("waiting on step 1, in time", waiting(0, 0, 9_950, 10_250)),
        ("waiting on step 1, whose time is up", waiting(0, 0, 9_700, 10_000)),
        ("waiting on step 1, whose time was up long ago: no worker ran", waiting(0, 0, 0, 300)),
        ("waiting on the last step, in time", waiting(1, 0, 9_950, 10_550)),
        ("waiting on the last step, whose time is up", waiting(1, 0, 9_400, 10_000)),
        (
            "waiting on the last step of the last round, whose time is up",
            waiting(1, 1, 9_400, 10_000),
        ),
        ("stopped", Timer::Stopped { place: end.clone() }),
        ("exhausted", Timer::Exhausted { place: end }),
    ]
}

/// This machine's part of the picture.
pub(crate) fn picture() -> String {
    let (policy, now) = (usual(), at(10_000));
    let row = |before: &Timer, event: Event| {
        let after = step(before, event, &policy, now).ok()?;
        let next = match (&after, after.due_at()) {
            (Timer::Waiting { place, .. }, Some(due))
                if place.decision == before.place().decision =>
            {
                format!("it waits, for {} more", format_duration(due.since(now)))
            }
            (Timer::Waiting { place, .. }, Some(due)) => format!(
                "{} told, round {} ({}); they have {}",
                policy.receivers(place.step).first()?,
                place.round + 1,
                place.cause.name(),
                format_duration(due.since(now)),
            ),
            _ => describe(&after),
        };
        Some((event.name().to_owned(), next))
    };
    let rows = |timer: &Timer| EVENTS.into_iter().filter_map(|event| row(timer, event)).collect();
    let states = states().iter().map(|(name, timer)| (*name, rows(timer))).collect();
    let words = "Whom to tell of an alert, and when. The policy: ops has 5 minutes, then lead has 10; both once more.";
    machine("An escalation", words, states)
}

fn policies() -> impl Strategy<Value = Policy> {
    (prop::collection::vec(1u64..2_000, 1..5), 0u32..4).prop_map(|(waits, repeat)| {
        let steps: Vec<_> = waits.into_iter().map(|seconds| ("ops", seconds)).collect();
        policy(&steps, repeat)
    })
}

/// The longest that anything may lie ahead.
fn longest(policy: &Policy) -> Duration {
    policy.steps.iter().map(|step| step.ack_within).max().unwrap().max(BREATH)
}

proptest! {
    /// Whatever happens in whatever order, with a clock that jumps.
    #[test]
    fn no_story_tells_twice_or_waits_too_long(
        policy in policies(),
        happenings in prop::collection::vec((0usize..6, -100_000i64..100_000, any::<bool>()), 1..80),
    ) {
        let mut now = at(1_000_000);
        let mut timer = start(&policy, now, now);
        for (pick, jump, jumps) in happenings {
            let pause = if jumps { jump } else { jump.rem_euclid(700) };
            now = Timestamp::from_unix_ms(now.unix_ms() + pause * 1000).unwrap();
            let event = EVENTS[pick];
            let Ok(next) = step(&timer, event, &policy, now) else { continue };
            let (before, after) = (timer.place(), next.place());
            let told = after.decision > before.decision;
            prop_assert!(after.decision == before.decision + u32::from(told));
            if let Some(due) = next.due_at() {
                prop_assert!(due.since(now) <= longest(&policy), "{next:?} at {now:?}");
                prop_assert!(after.since <= now);
            }
            match event {
                Event::Stopped => prop_assert!(!told && next.name() == "stopped"),
                Event::Pushed | Event::Restarted => prop_assert!(told),
                Event::Looked(reach) => {
                    let due = timer.due_at().unwrap();
                    prop_assert!(!told || reach == Nobody || now >= due, "{timer:?} at {now:?}");
                    // A second look at the same moment finds nothing new: the deadline is used up.
                    if reach != Nobody && next.due_at().is_some() {
                        prop_assert_eq!(&step(&next, event, &policy, now).unwrap(), &next);
                    }
                }
            }
            if told && next.due_at().is_some() {
                prop_assert!(after.step < policy.steps.len());
            }
            timer = next;
        }
    }

    /// If time goes on and nobody stops it, everybody is told exactly as often as the policy says, and
    /// once more for each time somebody pushes it beyond the end.
    #[test]
    fn every_story_that_nobody_stops_ends_in_vain(
        policy in policies(),
        happenings in prop::collection::vec((0usize..4, 0i64..3_000), 0..60),
    ) {
        let (mut now, mut rounds) = (at(0), policy.repeat + 1);
        let mut timer = start(&policy, now, now);
        let mut tellings = 1;
        let mut look = |timer: &mut Timer, event: Event, now: Timestamp| {
            let Ok(next) = step(timer, event, &policy, now) else { return };
            let beyond = policy.after(timer.place()).is_none();
            rounds += u32::from(event == Event::Pushed && beyond);
            let told = matches!(next, Timer::Waiting { .. });
            tellings += usize::from(told && next.place().decision > timer.place().decision);
            *timer = next;
        };
        for (pick, pause) in happenings {
            now = now + Duration::from_secs(u64::try_from(pause).unwrap());
            look(&mut timer, EVENTS[pick], now);
        }
        let mut looks = 0;
        while let Some(due) = timer.due_at() {
            now = now.max(due);
            look(&mut timer, Event::Looked(Told), now);
            looks += 1;
            prop_assert!(looks < 1_000);
        }
        prop_assert_eq!(timer.name(), "exhausted");
        prop_assert_eq!(tellings, policy.steps.len() * usize::try_from(rounds).unwrap());
    }
}
