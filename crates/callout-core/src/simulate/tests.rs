use super::*;
use crate::escalation::Step;
use crate::level::Level;
use crate::locale::Locale;
use crate::receiver::Receiver;
use crate::retry::RetryPolicy;
use crate::route::Route;
use crate::time::format_duration;
use expect_test::{Expect, expect};
use proptest::prelude::*;
use std::fmt::Write as _;

fn names(names: &[&str]) -> Vec<ReceiverName> {
    names.iter().map(|name| name.parse().unwrap()).collect()
}

/// Critical: ops, then lead after 5 minutes, once more after 10. Errors: ops. The rest: nobody.
fn directory() -> Directory {
    let receiver = |name: &str, channels: &[&str]| Receiver {
        name: name.parse().unwrap(),
        channels: channels.iter().map(|name| name.parse().unwrap()).collect(),
        failover_after: None,
        mention_all: false,
        mention: vec![],
    };
    let receivers = [
        receiver("ops", &["dingtalk", "wecom"]),
        receiver("lead", &["sms"]),
        receiver("nowhere", &[]),
        receiver("desk", &["mail"]),
    ];
    let route = |level, to: &[&str], escalation| Route {
        levels: vec![level],
        labels: vec![],
        to: names(to),
        escalation,
    };
    let step = |to: &str, minutes: u64| Step {
        to: names(&[to]),
        ack_within: Duration::from_secs(minutes * 60),
    };
    let policy = Policy {
        name: Some("oncall".to_owned()),
        steps: vec![step("ops", 5), step("lead", 10)],
        repeat: 1,
    };
    Directory {
        routes: vec![
            route(Level::Critical, &["ops"], Some(policy)),
            route(Level::Error, &["ops"], None),
            route(Level::Warning, &["nowhere"], None),
            route(Level::Info, &[], None),
        ],
        receivers: receivers.into_iter().map(|r| (r.name.clone(), r)).collect(),
        operator: Some("desk".parse().unwrap()),
        retry: RetryPolicy::default(),
        follow_up: true,
        locale: Locale::English,
        costly: [].into(),
        ringing: [].into(),
    }
}

fn imagined(down: &[&str], acknowledged_after: Option<u64>) -> Options {
    Options {
        start: Timestamp::from_unix_ms(1_700_000_000_000).unwrap(),
        down: down.iter().map(|name| name.parse().unwrap()).collect(),
        acknowledged_after: acknowledged_after.map(Duration::from_secs),
        attempt_takes: ATTEMPT_TAKES,
    }
}

fn tell(what: &What) -> String {
    match what {
        What::Tried { receiver, channel, number, then } => {
            let then = match then {
                Then::Told => "told".to_owned(),
                Then::Again { channel, after, wait } => {
                    format!("{} on {channel} at +{}", wait.name(), format_duration(*after))
                }
                Then::Dead(cause) => format!("dead: {}", cause.name()),
                Then::CalledOff => "not again".to_owned(),
            };
            format!("{receiver}, try {number} on {channel}: {then}")
        }
        What::Expired { receiver, tries } => format!("{receiver}: expired after {tries} tries"),
        What::CalledOff { receiver } => format!("{receiver}: called off"),
        What::Escalated { place, to } => {
            let (step, round, cause) = (place.step + 1, place.round + 1, place.cause.name());
            let to: Vec<&str> = to.iter().map(ReceiverName::as_str).collect();
            format!("#{} {cause}: step {step} round {round}: {}", place.decision, to.join(", "))
        }
        What::Exhausted { place } => {
            format!("#{} exhausted: {}", place.decision, place.cause.name())
        }
        What::Acknowledged => "acknowledged".to_owned(),
        What::FollowedUp { to } => format!("{} hear of it", to.join(", ")),
        What::Reported { to, title } => format!("{} hears: {title}", to.join(", ")),
    }
}

fn story(message: &Message, options: &Options) -> String {
    let simulation = simulate(&directory(), message, options).unwrap();
    let mut story = format!("{}\n", simulation.why);
    for Moment { after, what } in &simulation.moments {
        _ = writeln!(story, "+{} {}", format_duration(*after), tell(what));
    }
    let ended = format_duration(simulation.ended_after);
    _ = writeln!(story, "{} at +{ended}", simulation.end.name());
    story
}

fn check(level: Level, down: &[&str], acknowledged_after: Option<u64>, expected: Expect) {
    let message = Message::new(level, "disk full");
    expected.assert_eq(&story(&message, &imagined(down, acknowledged_after)));
}

#[test]
fn what_works_and_needs_no_answer_is_delivered_at_once() {
    check(
        Level::Error,
        &[],
        None,
        expect![[r#"
        route 2 matched: level error
        +0s ops, try 1 on dingtalk: told
        delivered at +1s
    "#]],
    );
}

#[test]
fn a_message_that_nobody_is_told_is_only_recorded() {
    check(
        Level::Info,
        &[],
        None,
        expect![[r#"
        route 4 matched: level info
        recorded at +0s
    "#]],
    );
    check(
        Level::Warning,
        &[],
        None,
        expect![[r#"
        route 3 matched: level warning
        recorded at +0s
    "#]],
    );
}

#[test]
fn without_an_answer_everybody_is_told_as_often_as_the_policy_says() {
    check(
        Level::Critical,
        &[],
        None,
        expect![[r#"
        route 1 matched: level critical; somebody has to acknowledge it, by escalation policy oncall
        +0s ops, try 1 on dingtalk: told
        +5m #2 due: step 2 round 1: lead
        +5m lead, try 1 on sms: told
        +15m #3 due: step 1 round 2: ops
        +15m ops, try 1 on dingtalk: told
        +20m #4 due: step 2 round 2: lead
        +20m lead, try 1 on sms: told
        +30m #5 exhausted: due
        +30m desk hears: Callout: nobody acknowledged an alert, and nobody is left to tell
        exhausted at +30m
    "#]],
    );
}

#[test]
fn nobody_is_told_after_an_acknowledgment() {
    check(
        Level::Critical,
        &[],
        Some(420),
        expect![[r#"
        route 1 matched: level critical; somebody has to acknowledge it, by escalation policy oncall
        +0s ops, try 1 on dingtalk: told
        +5m #2 due: step 2 round 1: lead
        +5m lead, try 1 on sms: told
        +7m acknowledged
        +7m lead, ops hear of it
        acknowledged at +7m
    "#]],
    );
    // In the very moment of the deadline the acknowledgment comes first.
    check(
        Level::Critical,
        &[],
        Some(300),
        expect![[r#"
        route 1 matched: level critical; somebody has to acknowledge it, by escalation policy oncall
        +0s ops, try 1 on dingtalk: told
        +5m acknowledged
        +5m ops hear of it
        acknowledged at +5m
    "#]],
    );
    // It may come when nobody is left to tell, too.
    check(
        Level::Critical,
        &[],
        Some(3600),
        expect![[r#"
        route 1 matched: level critical; somebody has to acknowledge it, by escalation policy oncall
        +0s ops, try 1 on dingtalk: told
        +5m #2 due: step 2 round 1: lead
        +5m lead, try 1 on sms: told
        +15m #3 due: step 1 round 2: ops
        +15m ops, try 1 on dingtalk: told
        +20m #4 due: step 2 round 2: lead
        +20m lead, try 1 on sms: told
        +30m #5 exhausted: due
        +30m desk hears: Callout: nobody acknowledged an alert, and nobody is left to tell
        +1h acknowledged
        +1h lead, ops hear of it
        acknowledged at +1h
    "#]],
    );
}

#[test]
fn while_one_channel_is_down_the_next_one_tells_them() {
    check(
        Level::Critical,
        &["dingtalk"],
        Some(60),
        expect![[r#"
        route 1 matched: level critical; somebody has to acknowledge it, by escalation policy oncall
        +0s ops, try 1 on dingtalk: backoff on dingtalk at +2s491ms
        +2s491ms ops, try 2 on dingtalk: backoff on dingtalk at +7s375ms
        +7s375ms ops, try 3 on dingtalk: failover on wecom at +8s375ms
        +8s375ms ops, try 4 on wecom: told
        +1m acknowledged
        +1m ops hear of it
        acknowledged at +1m
    "#]],
    );
}

#[test]
fn an_acknowledgment_calls_off_what_waits_and_what_is_under_way_is_not_tried_again() {
    check(
        Level::Critical,
        &["dingtalk"],
        Some(0),
        expect![[r#"
        route 1 matched: level critical; somebody has to acknowledge it, by escalation policy oncall
        +0s acknowledged
        +0s ops: called off
        acknowledged at +0s
    "#]],
    );
    check(
        Level::Critical,
        &["dingtalk"],
        Some(3),
        expect![[r#"
            route 1 matched: level critical; somebody has to acknowledge it, by escalation policy oncall
            +0s ops, try 1 on dingtalk: backoff on dingtalk at +2s491ms
            +2s491ms ops, try 2 on dingtalk: not again
            +3s acknowledged
            acknowledged at +3s
        "#]],
    );
    check(
        Level::Critical,
        &["dingtalk", "wecom"],
        Some(10),
        expect![[r#"
        route 1 matched: level critical; somebody has to acknowledge it, by escalation policy oncall
        +0s ops, try 1 on dingtalk: backoff on dingtalk at +2s491ms
        +2s491ms ops, try 2 on dingtalk: backoff on dingtalk at +7s375ms
        +7s375ms ops, try 3 on dingtalk: failover on wecom at +8s375ms
        +8s375ms ops, try 4 on wecom: backoff on wecom at +10s263ms
        +10s acknowledged
        +10s ops: called off
        acknowledged at +10s
    "#]],
    );
}

#[test]
fn people_whose_channels_are_all_down_hold_nobody_else_back() {
    check(
        Level::Critical,
        &["dingtalk", "wecom"],
        None,
        expect![[r#"
        route 1 matched: level critical; somebody has to acknowledge it, by escalation policy oncall
        +0s ops, try 1 on dingtalk: backoff on dingtalk at +2s491ms
        +2s491ms ops, try 2 on dingtalk: backoff on dingtalk at +7s375ms
        +7s375ms ops, try 3 on dingtalk: failover on wecom at +8s375ms
        +8s375ms ops, try 4 on wecom: backoff on wecom at +10s263ms
        +10s263ms ops, try 5 on wecom: backoff on wecom at +14s314ms
        +14s314ms ops, try 6 on wecom: round on dingtalk at +28s474ms
        +15s314ms desk hears: Callout: not delivered to ops: no channel works yet, still trying
        +5m #2 due: step 2 round 1: lead
        +5m lead, try 1 on sms: told
        +15m #3 due: step 1 round 2: ops
        +15m ops, try 1 on dingtalk: backoff on dingtalk at +15m2s
        +15m2s ops, try 2 on dingtalk: backoff on dingtalk at +15m5s
        +15m5s ops, try 3 on dingtalk: failover on wecom at +15m6s
        +15m6s ops, try 4 on wecom: backoff on wecom at +15m8s
        +15m8s ops, try 5 on wecom: backoff on wecom at +15m11s
        +15m11s ops, try 6 on wecom: round on dingtalk at +15m14s
        +15m12s desk hears: Callout: not delivered to ops: no channel works yet, still trying
        +20m #4 due: step 2 round 2: lead
        +20m lead, try 1 on sms: told
        +30m #5 exhausted: due
        +30m desk hears: Callout: nobody acknowledged an alert, and nobody is left to tell
        +1d ops: expired after 1140 tries
        +1d desk hears: Callout: not delivered to ops: it was not accepted in time
        +1d15m ops: expired after 1086 tries
        +1d15m desk hears: Callout: not delivered to ops: it was not accepted in time
        exhausted at +30m
    "#]],
    );
}

#[test]
fn what_nobody_accepts_expires() {
    check(
        Level::Error,
        &["dingtalk", "wecom"],
        None,
        expect![[r#"
        route 2 matched: level error
        +0s ops, try 1 on dingtalk: backoff on dingtalk at +2s491ms
        +2s491ms ops, try 2 on dingtalk: backoff on dingtalk at +7s375ms
        +7s375ms ops, try 3 on dingtalk: failover on wecom at +8s375ms
        +8s375ms ops, try 4 on wecom: backoff on wecom at +10s263ms
        +10s263ms ops, try 5 on wecom: backoff on wecom at +14s314ms
        +14s314ms ops, try 6 on wecom: round on dingtalk at +28s474ms
        +15s314ms desk hears: Callout: not delivered to ops: no channel works yet, still trying
        +1d ops: expired after 1140 tries
        +1d desk hears: Callout: not delivered to ops: it was not accepted in time
        expired at +1d
    "#]],
    );
}

#[test]
fn people_without_a_channel_are_passed_at_once() {
    let mut directory = directory();
    let policy = directory.routes.first_mut().unwrap().escalation.as_mut().unwrap();
    policy.steps.first_mut().unwrap().to = names(&["nowhere"]);
    directory.routes.first_mut().unwrap().to = names(&["nowhere"]);
    let message = Message::new(Level::Critical, "disk full");
    let simulation = simulate(&directory, &message, &imagined(&[], Some(30))).unwrap();
    let told: Vec<String> = simulation.moments.iter().map(|moment| tell(&moment.what)).collect();
    expect![[r#"
        #2 unreachable: step 2 round 1: lead
        lead, try 1 on sms: told
        acknowledged
        lead hear of it"#]]
    .assert_eq(&told.join("\n"));
}

#[test]
fn the_message_may_say_who_and_how_long_and_when() {
    let mut message = Message::new(Level::Warning, "disk full");
    message.to = vec!["lead".to_owned()];
    message.delay = Some(Duration::from_secs(3600));
    message.require_ack = true;
    message.ack_within = Some(Duration::from_secs(60));
    expect![[r#"
        the message names its receivers; somebody has to acknowledge it
        +1h lead, try 1 on sms: told
        +1h1m #2 due: step 1 round 2: lead
        +1h1m lead, try 1 on sms: told
        +1h2m #3 due: step 1 round 3: lead
        +1h2m lead, try 1 on sms: told
        +1h3m #4 exhausted: due
        +1h3m desk hears: Callout: nobody acknowledged an alert, and nobody is left to tell
        exhausted at +1h3m
    "#]]
    .assert_eq(&story(&message, &imagined(&[], None)));
}

#[test]
fn a_story_that_goes_on_for_too_long_says_so() {
    let mut message = Message::new(Level::Error, "disk full");
    message.delay = Some(TIME_MAX + Duration::from_secs(1));
    let simulation = simulate(&directory(), &message, &imagined(&[], None)).unwrap();
    assert_eq!((simulation.end, simulation.moments.as_slice()), (End::Unfinished, &[][..]));
}

#[test]
fn every_end_is_read_back_as_what_it_was() {
    for end in End::ALL {
        assert_eq!(End::from_name(end.name()), Some(*end));
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    /// Whatever is down and whenever somebody acknowledges.
    #[test]
    fn every_story_comes_to_its_end(
        down in prop::sample::subsequence(vec!["dingtalk", "wecom", "sms"], 0..=3),
        answer in prop::option::of(0u64..4_000),
        asks in any::<bool>(),
        level in prop::sample::select(Level::ALL.to_vec()),
    ) {
        let mut message = Message::new(level, "disk full");
        message.require_ack = asks;
        let simulation = simulate(&directory(), &message, &imagined(&down, answer)).unwrap();
        prop_assert!(simulation.moments.is_sorted_by_key(|moment| moment.after));
        prop_assert!(simulation.end != End::Unfinished);
        let acknowledged = simulation.end == End::Acknowledged;
        prop_assert_eq!(acknowledged, simulation.policy.is_some() && answer.is_some());
        for moment in &simulation.moments {
            let begins = matches!(moment.what, What::Tried { .. } | What::Escalated { .. });
            prop_assert!(!acknowledged || !begins || moment.after <= simulation.ended_after, "{moment:?}");
        }
    }
}
