use super::*;

fn names(names: &[&str]) -> Vec<ReceiverName> {
    names.iter().map(|name| name.parse().unwrap()).collect()
}

fn directory() -> Directory {
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
            Route { levels: vec![Level::Critical], labels: vec![], to: names(&["ops", "lead"]) },
            Route { levels: vec![], labels: vec!["env=test".parse().unwrap()], to: vec![] },
            Route { levels: vec![], labels: vec![], to: names(&["ops"]) },
        ],
        receivers: receivers.into_iter().map(|r| (r.name.clone(), r)).collect(),
        operator: Some("lead".parse().unwrap()),
        retry: RetryPolicy::default(),
    }
}

fn check(message: &Message, told: &[&str], why: &str) {
    let plan = directory().plan(message, Timestamp::EPOCH, &BTreeSet::new());
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
    let plan = directory().plan(&message, Timestamp::EPOCH, &BTreeSet::new());
    let [planned] = plan.deliveries.as_slice() else { panic!("{plan:?}") };
    let start = Timestamp::EPOCH + Duration::from_secs(60);
    assert!(matches!(planned.state, State::Ready { at, wait: Wait::Delay, .. } if at == start));
    assert_eq!(planned.expires_at, start + TTL_INFO);
}

#[test]
fn the_worst_delivery_speaks_for_the_message() {
    use Standing::*;
    for (standings, state) in [
        (vec![], "accepted"),
        (vec![Accepted, Accepted], "accepted"),
        (vec![Accepted, Dead, Ready], "pending"),
        (vec![Accepted, Dead, Expired], "dead"),
        (vec![Cancelled, Accepted], "cancelled"),
        (vec![Expired, Cancelled], "expired"),
    ] {
        assert_eq!(MessageState::of(standings.clone()).name(), state, "{standings:?}");
    }
}

#[test]
fn a_report_about_a_report_is_never_written() {
    let (directory, id) = (directory(), MessageId::new(Timestamp::EPOCH, [1; 10]));
    let ops = "ops".parse().unwrap();
    let about = Message::new(Level::Critical, "disk full");
    let first =
        report(Notice::Expired, &directory, &about, id, &ops, "310000: no\u{7} keyword\n").unwrap();
    assert_eq!(first.validate(), Ok(()));
    assert_eq!(first.to, ["lead"]);
    assert_eq!(report(Notice::Expired, &directory, &first, id, &ops, ""), None);
}
