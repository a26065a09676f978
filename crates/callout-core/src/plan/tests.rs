use super::*;
use crate::alert::{Deed, Via};
use crate::escalation::{REPEAT, Step};
use crate::locale::Locale;
use expect_test::{Expect, expect};
use std::fmt::Write as _;

pub(crate) fn names(names: &[&str]) -> Vec<ReceiverName> {
    names.iter().map(|name| name.parse().unwrap()).collect()
}

pub(crate) fn directory() -> Directory {
    let receiver = |name: &str, channels: &[&str]| Receiver {
        name: name.parse().unwrap(),
        channels: channels.iter().map(|name| name.parse().unwrap()).collect(),
        failover_after: None,
        mention_all: false,
        mention: vec![],
    };
    let receivers = [receiver("ops", &["dingtalk", "wecom"]), receiver("lead", &["sms"])];
    Directory {
        routes: vec![
            Route {
                levels: vec![Level::Critical],
                labels: vec![],
                to: names(&["ops", "lead"]),
                escalation: None,
            },
            Route {
                levels: vec![],
                labels: vec!["env=test".parse().unwrap()],
                to: vec![],
                escalation: None,
            },
            Route { levels: vec![], labels: vec![], to: names(&["ops"]), escalation: None },
        ],
        receivers: receivers.into_iter().map(|r| (r.name.clone(), r)).collect(),
        operator: Some("lead".parse().unwrap()),
        retry: RetryPolicy::default(),
        follow_up: true,
        locale: Locale::English,
        costly: [].into(),
        ringing: [].into(),
    }
}

fn check(message: &Message, told: &[&str], why: &str) {
    let plan =
        directory().plan(message, Timestamp::EPOCH, Timestamp::EPOCH, &BTreeSet::new(), None);
    let receivers: Vec<&str> = plan.deliveries.iter().map(|d| d.receiver.as_str()).collect();
    assert_eq!((receivers.as_slice(), plan.why.as_str()), (told, why));
}

#[test]
fn the_first_route_that_matches_decides() {
    check(&Message::new(Level::Critical, "x"), &["ops", "lead"], "route 1 matched: level critical");
    check(&Message::new(Level::Info, "x"), &["ops"], "route 3 matched: everything");
    let mut quiet = Message::new(Level::Info, "x");
    quiet.labels.insert("env".into(), "test".into());
    check(&quiet, &[], "route 2 matched: env=test");
}

#[test]
fn a_typing_error_in_a_receiver_never_silences_an_alert() {
    let mut message = Message::new(Level::Info, "x");
    message.to = vec!["laed".into()];
    check(&message, &["ops"], "route 3 matched: everything (no receiver is called laed)");
    message.to = vec!["laed".into(), "lead".into()];
    check(&message, &["lead"], "the message names its receivers (no receiver is called laed)");
}

#[test]
fn delay_and_ttl_count_from_when_they_should() {
    let mut message = Message::new(Level::Info, "x");
    message.delay = Some(Duration::from_secs(60));
    let plan =
        directory().plan(&message, Timestamp::EPOCH, Timestamp::EPOCH, &BTreeSet::new(), None);
    let [planned] = plan.deliveries.as_slice() else { panic!("{plan:?}") };
    let start = Timestamp::EPOCH + Duration::from_secs(60);
    assert!(matches!(planned.state, State::Ready { at, wait: Wait::Delay, .. } if at == start));
    assert_eq!(planned.expires_at, start + TTL_INFO);
}

/// The usual directory, whose critical route has a policy: lead for 5 minutes, then the boss.
fn on_call() -> Directory {
    let mut directory = directory();
    let step = |to: &[&str]| Step { to: names(to), ack_within: Duration::from_secs(300) };
    let policy = Policy {
        name: Some("oncall".to_owned()),
        steps: vec![step(&["lead", "boss"]), step(&["boss"])],
        repeat: 1,
    };
    let boss = Receiver {
        name: "boss".parse().unwrap(),
        channels: vec!["sms".parse().unwrap()],
        failover_after: None,
        mention_all: false,
        mention: vec![],
    };
    directory.receivers.insert(boss.name.clone(), boss);
    for route in directory.routes.iter_mut().filter(|route| !route.levels.is_empty()) {
        route.to = names(&["ops"]);
        route.escalation = Some(policy.clone());
    }
    directory
}

/// Says what is planned: why, who is told, what part it has, which policy.
fn planned(directory: &Directory, message: &Message, known: Option<&Known>) -> String {
    assert_eq!(message.validate(), Ok(()));
    let (now, blocked) = (Timestamp::EPOCH, BTreeSet::new());
    let plan = directory.plan(message, now, now, &blocked, known);
    let told: Vec<&str> = plan.deliveries.iter().map(|d| d.receiver.as_str()).collect();
    let told = if told.is_empty() { "nobody".to_owned() } else { told.join(", ") };
    let mut words = format!("{}\ntells {told}\n", plan.why);
    match plan.part {
        Part::Opens(Opening { policy, timer, .. }) => {
            let name = policy.name.as_deref().unwrap_or("none");
            let due = timer.due_at().unwrap().since(now);
            _ = writeln!(
                words,
                "opens: policy {name}, over again {}, due in {due:?}",
                policy.repeat
            );
            for Step { to, ack_within } in &policy.steps {
                let to: Vec<&str> = to.iter().map(ReceiverName::as_str).collect();
                _ = writeln!(words, "  {} for {ack_within:?}", to.join(", "));
            }
        }
        part => _ = writeln!(words, "{part:?}"),
    }
    words
}

fn check_plan(change: impl FnOnce(&mut Message), known: Option<&Known>, expected: Expect) {
    let mut message = Message::new(Level::Critical, "disk full");
    change(&mut message);
    expected.assert_eq(&planned(&on_call(), &message, known));
}

fn known(level: Level, state: alert::State) -> Known {
    Known {
        id: MessageId::new(Timestamp::EPOCH, [1; 10]),
        level,
        state,
        exhausted: false,
        told: names(&["ops", "gone", "lead"]),
    }
}

fn open(level: Level) -> Known {
    known(level, alert::State::Open)
}

#[test]
fn a_route_with_a_policy_tells_its_receivers_and_those_of_the_first_step_at_once() {
    check_plan(
        |_| (),
        None,
        expect![[r#"
        route 1 matched: level critical; somebody has to acknowledge it, by escalation policy oncall
        tells ops, lead, boss
        opens: policy oncall, over again 1, due in 300s
          lead, boss for 300s
          boss for 300s
    "#]],
    );
    // A route that tells nobody by itself leaves it to the policy.
    let mut directory = on_call();
    directory.routes.first_mut().unwrap().to.clear();
    let message = Message::new(Level::Critical, "disk full");
    expect![[r#"
        route 1 matched: level critical; somebody has to acknowledge it, by escalation policy oncall
        tells lead, boss
        opens: policy oncall, over again 1, due in 300s
          lead, boss for 300s
          boss for 300s
    "#]]
    .assert_eq(&planned(&directory, &message, None));
}

#[test]
fn a_message_that_asks_for_an_answer_without_a_policy_tells_the_same_people_again() {
    let ask = |message: &mut Message| {
        message.level = Level::Info;
        message.require_ack = true;
    };
    check_plan(
        ask,
        None,
        expect![[r#"
        route 3 matched: everything; somebody has to acknowledge it
        tells ops
        opens: policy none, over again 2, due in 300s
          ops for 300s
    "#]],
    );
    let named = |message: &mut Message| {
        message.to = vec!["lead".into(), "ops".into(), "lead".into()];
        message.require_ack = true;
    };
    check_plan(
        named,
        None,
        expect![[r#"
        the message names its receivers; somebody has to acknowledge it
        tells lead, ops
        opens: policy none, over again 2, due in 300s
          lead, ops for 300s
    "#]],
    );
    assert_eq!(REPEAT, 2);
    // Nobody can answer what nobody is told.
    let unheard = |message: &mut Message| {
        message.level = Level::Info;
        message.labels.insert("env".into(), "test".into());
        message.require_ack = true;
    };
    check_plan(
        unheard,
        None,
        expect![[r#"
        route 2 matched: env=test
        tells nobody
        None
    "#]],
    );
}

#[test]
fn a_message_may_say_how_long_its_first_people_have() {
    let hurry = |message: &mut Message| {
        message.require_ack = true;
        message.ack_within = Some(Duration::from_secs(60));
    };
    check_plan(
        hurry,
        None,
        expect![[r#"
        route 1 matched: level critical; somebody has to acknowledge it, by escalation policy oncall
        tells ops, lead, boss
        opens: policy oncall, over again 1, due in 60s
          lead, boss for 60s
          boss for 300s
    "#]],
    );
    let later = |message: &mut Message| message.delay = Some(Duration::from_secs(3600));
    check_plan(
        later,
        None,
        expect![[r#"
        route 1 matched: level critical; somebody has to acknowledge it, by escalation policy oncall
        tells ops, lead, boss
        opens: policy oncall, over again 1, due in 3900s
          lead, boss for 300s
          boss for 300s
    "#]],
    );
}

#[test]
fn naming_receivers_leaves_the_routes_and_their_policies_aside_unless_none_is_known() {
    check_plan(
        |message| message.to = vec!["ops".into()],
        None,
        expect![[r#"
        the message names its receivers
        tells ops
        None
    "#]],
    );
    check_plan(
        |message| message.to = vec!["opps".into()],
        None,
        expect![[r#"
        route 1 matched: level critical (no receiver is called opps); somebody has to acknowledge it, by escalation policy oncall
        tells ops, lead, boss
        opens: policy oncall, over again 1, due in 300s
          lead, boss for 300s
          boss for 300s
    "#]],
    );
}

#[test]
fn what_callout_itself_says_never_has_to_be_acknowledged() {
    let event = |message: &mut Message| {
        message.labels.insert(EVENT_LABEL.into(), "exhausted".into());
        message.to = vec!["gone".into()];
    };
    check_plan(
        event,
        None,
        expect![[r#"
        route 1 matched: level critical (no receiver is called gone)
        tells ops
        None
    "#]],
    );
    // A producer that copies the label, and leaves it to the routes, is not Callout.
    let labelled = |message: &mut Message| {
        event(message);
        message.to.clear();
    };
    check_plan(
        labelled,
        None,
        expect![[r#"
        route 1 matched: level critical; somebody has to acknowledge it, by escalation policy oncall
        tells ops, lead, boss
        opens: policy oncall, over again 1, due in 300s
          lead, boss for 300s
          boss for 300s
    "#]],
    );
    // Nor is one that copies the label and asks for acknowledgment.
    let copied = |message: &mut Message| {
        event(message);
        message.require_ack = true;
    };
    check_plan(
        copied,
        None,
        expect![[r#"
            route 1 matched: level critical (no receiver is called gone); somebody has to acknowledge it, by escalation policy oncall
            tells ops, lead, boss
            opens: policy oncall, over again 1, due in 300s
              lead, boss for 300s
              boss for 300s
        "#]],
    );
}

#[test]
fn a_problem_that_is_known_is_counted_and_sent_to_nobody() {
    check_plan(
        |_| (),
        Some(&open(Level::Critical)),
        expect![[r#"
        it repeats 00000000-0000-7101-8101-010101010101, which is open
        tells nobody
        Repeats
    "#]],
    );
    let deed = Deed { by: "lin".to_owned(), at: Timestamp::EPOCH, via: Via::Command };
    let taken = known(Level::Critical, alert::State::Acknowledged(deed));
    check_plan(
        |message| message.level = Level::Info,
        Some(&taken),
        expect![[r#"
        it repeats 00000000-0000-7101-8101-010101010101, which is acknowledged
        tells nobody
        Repeats
    "#]],
    );
}

#[test]
fn a_problem_that_nobody_answered_begins_again_when_it_is_reported_again() {
    check_plan(
        |_| (),
        Some(&Known { exhausted: true, ..open(Level::Critical) }),
        expect![[r#"
            route 1 matched: level critical; somebody has to acknowledge it, by escalation policy oncall; nobody has answered 00000000-0000-7101-8101-010101010101, whose place it takes
            tells ops, lead, boss
            opens: policy oncall, over again 1, due in 300s
              lead, boss for 300s
              boss for 300s
        "#]],
    );
}

#[test]
fn a_lesser_problem_never_ends_a_worse_one_that_nobody_answered() {
    check_plan(
        |message| {
            message.level = Level::Warning;
            message.require_ack = true;
        },
        Some(&Known { exhausted: true, ..open(Level::Critical) }),
        expect![[r#"
            route 3 matched: everything
            tells ops
            Joins
        "#]],
    );
}

#[test]
fn a_problem_that_became_worse_is_told() {
    check_plan(
        |_| (),
        Some(&open(Level::Error)),
        expect![[r#"
            route 1 matched: level critical; somebody has to acknowledge it, by escalation policy oncall; it is worse than 00000000-0000-7101-8101-010101010101, whose place it takes
            tells ops, lead, boss
            opens: policy oncall, over again 1, due in 300s
              lead, boss for 300s
              boss for 300s
        "#]],
    );
    // Nobody has to acknowledge the worse one, so the alert stays the one that it was.
    check_plan(
        |message| message.level = Level::Error,
        Some(&open(Level::Info)),
        expect![[r#"
        route 3 matched: everything
        tells ops
        Joins
    "#]],
    );
}

#[test]
fn the_end_of_a_problem_is_told_to_those_who_heard_of_it() {
    let over = |message: &mut Message| *message = Message::resolved("db-1/disk");
    check_plan(
        over,
        Some(&open(Level::Critical)),
        expect![[r#"
        it resolves 00000000-0000-7101-8101-010101010101; those who were told hear of it
        tells ops, lead
        Resolves
    "#]],
    );
    check_plan(
        over,
        None,
        expect![[r#"
        nothing is open for its dedup key; it is only recorded
        tells nobody
        None
    "#]],
    );
    let worse = |message: &mut Message| {
        over(message);
        message.level = Level::Critical;
        message.to = vec!["boss".into()];
    };
    check_plan(
        worse,
        Some(&open(Level::Error)),
        expect![[r#"
        it resolves 00000000-0000-7101-8101-010101010101; those who were told hear of it
        tells ops, lead
        Resolves
    "#]],
    );
}

#[test]
fn the_worst_delivery_speaks_for_the_message() {
    use Standing::*;
    for (standings, state) in [
        (vec![], "accepted"),
        (vec![Accepted, Accepted], "accepted"),
        (vec![Accepted, Dead, Ready], "pending"),
        (vec![Accepted, Dead, Expired], "dead"),
        (vec![Cancelled, Accepted], "accepted"),
        (vec![Cancelled, Cancelled], "cancelled"),
        (vec![Expired, Cancelled], "expired"),
    ] {
        assert_eq!(MessageState::of(standings.clone()).name(), state, "{standings:?}");
    }
}
