use super::*;
use crate::cli::{Cli, Command};
use crate::print::test::{CAPTURED, Captured, run};
use callout_core::escalation::Step;
use callout_core::locale::Locale;
use callout_core::receiver::Receiver;
use callout_core::retry::RetryPolicy;
use callout_core::route::Route;
use clap::Parser as _;
use expect_test::{Expect, expect, expect_file};

fn names(names: &[&str]) -> Vec<ReceiverName> {
    names.iter().map(|name| name.parse().unwrap()).collect()
}

/// Critical: ops, then lead; both are told once more. The rest: ops.
fn directory() -> Directory {
    let receiver = |name: &str, channels: &[&str]| Receiver {
        name: name.parse().unwrap(),
        channels: channels.iter().map(|name| name.parse().unwrap()).collect(),
        failover_after: None,
        mention_all: false,
        mention: vec![],
    };
    let receivers = [
        receiver("ops", &["ops-dingtalk", "ops-wecom"]),
        receiver("lead", &["lead-sms"]),
        receiver("desk", &["desk-mail"]),
    ];
    let step = |to: &str, minutes: u64| Step {
        to: names(&[to]),
        ack_within: Duration::from_secs(minutes * 60),
    };
    let policy = Policy {
        name: Some("critical".to_owned()),
        steps: vec![step("ops", 5), step("lead", 10)],
        repeat: 1,
    };
    let route = |levels: &[Level], escalation| Route {
        levels: levels.to_vec(),
        labels: vec![],
        to: names(&["ops"]),
        escalation,
    };
    Directory {
        routes: vec![route(&[Level::Critical], Some(policy)), route(&[], None)],
        receivers: receivers.into_iter().map(|r| (r.name.clone(), r)).collect(),
        operator: Some("desk".parse().unwrap()),
        retry: RetryPolicy::default(),
        follow_up: true,
        locale: Locale::English,
        costly: [].into(),
        ringing: [].into(),
    }
}

/// What `callout simulate` with these arguments prints, and whether it failed.
fn simulated(arguments: &[&str]) -> (Option<Failure>, Captured) {
    let line = ["callout", "simulate"].iter().chain(arguments);
    let Command::Simulate(args) = Cli::try_parse_from(line).unwrap().command else {
        panic!("{arguments:?} is another command")
    };
    let channels: Vec<ChannelName> =
        ["ops-dingtalk", "ops-wecom", "lead-sms", "desk-mail", "unused"]
            .map(|name| name.parse().unwrap())
            .to_vec();
    CAPTURED.take();
    let start = Timestamp::from_unix_ms(1_700_000_000_000).unwrap();
    let failure = show(&args, &directory(), &channels.iter().collect::<Vec<_>>(), start).err();
    (failure, CAPTURED.take())
}

fn check(arguments: &[&str], expected: Expect) {
    let (failure, printed) = simulated(arguments);
    assert!(failure.is_none(), "{failure:?}");
    expected.assert_eq(&printed.out);
}

#[test]
fn the_example_in_the_help_is_what_it_prints() {
    let words = "simulate --level critical --down ops-dingtalk --ack-at 7m";
    let arguments: Vec<&str> = words.split(' ').skip(1).collect();
    let (failure, printed) = simulated(&arguments);
    assert!(failure.is_none(), "{failure:?}");
    expect_file!["example.txt"]
        .assert_eq(&format!("Example:\n\n$ callout {words}\n{}", printed.out));
    assert!(EXAMPLE.lines().all(|line| line.chars().count() <= 100), "{EXAMPLE}");
}

#[test]
fn what_nobody_answers_is_told_to_its_end() {
    check(
        &["--level", "critical", "--down", "lead-sms"],
        expect![[r#"
            route 1 matched: level critical; somebody has to acknowledge it, by escalation policy critical
              step 1: ops, who have 5m to acknowledge
              step 2: lead, who have 10m to acknowledge
              then all of it once more

            +0s       ops is told on ops-dingtalk
            +5m       nobody has acknowledged; step 2 of 2: lead
            +5m       lead-sms fails for lead: again at +5m2s
            +5m2s     lead-sms fails for lead: again at +5m5s
            +5m5s     lead-sms fails for lead: no channel works; lead-sms again at +5m18s, and so on
            +5m6s     report to the operator, desk: Callout: not delivered to lead: no channel works yet, still trying
            +15m      nobody has acknowledged; step 1 of 2, round 2 of 2: ops
            +15m      ops is told on ops-dingtalk
            +20m      nobody has acknowledged; step 2 of 2, round 2 of 2: lead
            +20m      lead-sms fails for lead: again at +20m2s
            +20m2s    lead-sms fails for lead: again at +20m7s
            +20m7s    lead-sms fails for lead: no channel works; lead-sms again at +20m15s, and so on
            +20m8s    report to the operator, desk: Callout: not delivered to lead: no channel works yet, still trying
            +30m      nobody has acknowledged, and nobody is left to tell
            +30m      report to the operator, desk: Callout: nobody acknowledged an alert, and nobody is left to tell
            +1d5m     lead is given up after 624 tries: it was not accepted in time
            +1d5m     report to the operator, desk: Callout: not delivered to lead: it was not accepted in time
            +1d20m    lead is given up after 606 tries: it was not accepted in time
            +1d20m    report to the operator, desk: Callout: not delivered to lead: it was not accepted in time

            At +30m it is exhausted, nobody acknowledged; what was under way ends at +1d20m.
            Every try takes 1s. Left out: rate limits, open circuits, other messages.
        "#]],
    );
}

#[test]
fn what_needs_no_answer_ends_when_it_is_delivered() {
    check(
        &["--level", "info"],
        expect![[r#"
            route 2 matched: everything

            +0s       ops is told on ops-dingtalk

            At +1s it is delivered.
            Every try takes 1s. Left out: rate limits, open circuits, other messages.
        "#]],
    );
    check(
        &["--to", "lead", "--down", "lead-sms"],
        expect![[r#"
            the message names its receivers

            +0s       lead-sms fails for lead: again at +2.4s
            +2.4s     lead-sms fails for lead: again at +7.3s
            +7.3s     lead-sms fails for lead: no channel works; lead-sms again at +15.0s, and so on
            +8.3s     report to the operator, desk: Callout: not delivered to lead: no channel works yet, still trying
            +1d       lead is given up after 612 tries: it was not accepted in time
            +1d       report to the operator, desk: Callout: not delivered to lead: it was not accepted in time

            At +1d it is expired, somebody could not be told in time.
            Every try takes 1s. Left out: rate limits, open circuits, other messages.
        "#]],
    );
}

#[test]
fn a_message_may_ask_for_an_answer_by_itself() {
    check(
        &["--to", "lead", "--require-ack", "--ack-within", "90s", "--ack-at", "2m"],
        expect![[r#"
            the message names its receivers; somebody has to acknowledge it
              step 1: lead, who have 1m30s to acknowledge
              then all of it 2 times more

            +0s       lead is told on lead-sms
            +1m30s    nobody has acknowledged; step 1 of 1, round 2 of 3: lead
            +1m30s    lead is told on lead-sms
            +2m       somebody acknowledges
            +2m       follow-up to lead: somebody has it

            At +2m it is acknowledged.
            Every try takes 1s. Left out: rate limits, open circuits, other messages.
        "#]],
    );
}

#[test]
fn a_time_to_acknowledge_asks_for_an_answer_as_with_send() {
    let (failure, short) = simulated(&["--ack-within", "5m"]);
    assert!(failure.is_none(), "{failure:?}");
    let (_, long) = simulated(&["--ack-within", "5m", "--require-ack"]);
    assert!(short.out.contains("step 1: ops, who have 5m to acknowledge"), "{}", short.out);
    assert_eq!(short.out, long.out);
}

#[test]
fn news_go_to_those_who_were_reached_alone() {
    // The attempt under way fails, so nobody has heard of the alert.
    let down = ["--level", "critical", "--down", "ops-dingtalk", "--ack-at", "3s"];
    let (_, printed) = simulated(&down);
    assert!(printed.out.contains("somebody acknowledges"), "{}", printed.out);
    assert!(!printed.out.contains("follow-up"), "{}", printed.out);
    let (_, printed) = simulated(&["--level", "critical", "--ack-at", "500ms"]);
    assert!(printed.out.contains("follow-up to ops"), "{}", printed.out);
}

#[test]
fn an_answer_that_nobody_waits_for_is_warned_of() {
    let (failure, printed) = simulated(&["--ack-at", "7m"]);
    assert!(
        failure.is_none() && printed.talk.contains("--ack-at changes nothing"),
        "{}",
        printed.talk
    );
    let (_, printed) = simulated(&["--level", "critical", "--ack-at", "7m"]);
    assert_eq!(printed.talk, "");
    let (_, printed) = simulated(&["--dedup-key", "db-1/disk"]);
    for part in ["only counted", "unless it is worse", "nobody is left to tell"] {
        assert!(printed.talk.contains(part), "{part} is not in {}", printed.talk);
    }
    assert!(!printed.talk.contains("takes that alert's place"), "{}", printed.talk);
    let (_, printed) = simulated(&["--dedup-key", "db-1/disk", "--require-ack"]);
    assert!(printed.talk.contains("takes that alert's place"), "{}", printed.talk);
}

#[test]
fn json_has_every_event_in_one_shape() {
    let (failure, printed) = simulated(&[
        "--level",
        "critical",
        "--down",
        "ops-dingtalk",
        "--down",
        "ops-wecom",
        "--ack-at",
        "6m",
        "--json",
    ]);
    assert!(failure.is_none(), "{failure:?}");
    let report: Value = serde_json::from_str(&printed.out).unwrap();
    let events = report["events"].as_array().unwrap();
    let keys = |event: &Value| event.as_object().unwrap().keys().cloned().collect::<Vec<_>>();
    assert!(events.iter().all(|event| keys(event) == keys(&events[0])), "{report}");
    let short = |event: &Value| {
        let parts = event.as_object().unwrap().iter().filter(|(_, value)| !value.is_null());
        Value::Object(parts.map(|(key, value)| (key.clone(), value.clone())).collect()).to_string()
    };
    let mut told: Vec<String> = events.iter().map(short).collect();
    told.extend(
        ["why", "policy", "end", "ended_after_ms", "left_out"].map(|key| report[key].to_string()),
    );
    expect![[r#"
        {"after_ms":0,"channel":"ops-dingtalk","event":"failed","next_after_ms":2491,"next_channel":"ops-dingtalk","number":1,"receiver":"ops","wait":"backoff"}
        {"after_ms":2491,"channel":"ops-dingtalk","event":"failed","next_after_ms":7375,"next_channel":"ops-dingtalk","number":2,"receiver":"ops","wait":"backoff"}
        {"after_ms":7375,"channel":"ops-dingtalk","event":"failed","next_after_ms":8375,"next_channel":"ops-wecom","number":3,"receiver":"ops","wait":"failover"}
        {"after_ms":8375,"channel":"ops-wecom","event":"failed","next_after_ms":10263,"next_channel":"ops-wecom","number":4,"receiver":"ops","wait":"backoff"}
        {"after_ms":10263,"channel":"ops-wecom","event":"failed","next_after_ms":14314,"next_channel":"ops-wecom","number":5,"receiver":"ops","wait":"backoff"}
        {"after_ms":14314,"channel":"ops-wecom","event":"failed","next_after_ms":28474,"next_channel":"ops-dingtalk","number":6,"receiver":"ops","wait":"round"}
        {"after_ms":15314,"event":"reported","title":"Callout: not delivered to ops: no channel works yet, still trying","to":["desk"]}
        {"after_ms":300000,"cause":"due","event":"escalated","round":0,"step":2,"to":["lead"]}
        {"after_ms":300000,"channel":"lead-sms","event":"told","number":1,"receiver":"lead"}
        {"after_ms":360000,"event":"acknowledged"}
        {"after_ms":360000,"event":"cancelled","receiver":"ops"}
        {"after_ms":360000,"event":"followed_up","to":["lead"]}
        "route 1 matched: level critical; somebody has to acknowledge it, by escalation policy critical"
        {"name":"critical","repeat":1,"steps":[{"ack_within_ms":300000,"to":["ops"]},{"ack_within_ms":600000,"to":["lead"]}]}
        "acknowledged"
        360000
        ["rate_limits","circuits","other_messages"]"#]].assert_eq(&told.join("\n"));
    assert_eq!(report.as_object().unwrap().len(), 6);
}

fn refused(arguments: &[&str], expected: Expect) {
    let (failure, printed) = simulated(arguments);
    let Some(Failure::Usage { problem, help }) = failure else { panic!("{failure:?}") };
    expected.assert_eq(&format!("{problem}: {help}"));
    assert_eq!(printed.out, "");
}

#[test]
fn what_makes_no_sense_is_wrong_usage() {
    refused(&["--to", "opps"], expect![[r#"no receiver is called "opps": did you mean ops?"#]]);
    refused(
        &["--down", "ops-dingtlak"],
        expect![[r#"no channel is called "ops-dingtlak": did you mean ops-dingtalk?"#]],
    );
    refused(
        &["--down", "telegram"],
        expect![[
            r#"no channel is called "telegram": configured: ops-dingtalk, ops-wecom, lead-sms, desk-mail, unused"#
        ]],
    );
    refused(
        &["--title", " "],
        expect![
            "the message was refused: title is empty; give it at least one visible character: `callout simulate --help`"
        ],
    );
    // Configured, though no receiver has it.
    assert!(simulated(&["--down", "unused"]).0.is_none());
}

#[test]
fn it_needs_a_configuration_and_no_store() {
    let folder = tempfile::tempdir().unwrap();
    let place = folder.path().to_str().unwrap();
    assert_eq!(run(&["init", place]).0, 0);
    let config = folder.path().join("callout.toml");
    let config = config.to_str().unwrap();
    let (code, out, talk) = run(&["simulate", "--config", config]);
    assert_eq!((code, talk.as_str()), (0, ""));
    assert!(
        out.contains("ops is told on placeholder") && out.contains("At +1s it is delivered."),
        "{out}"
    );
    assert_eq!(run(&["simulate", "--down", "placehodler", "--config", config]).0, 2);
    assert!(!folder.path().join("callout.db").exists());
}
