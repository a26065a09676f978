use super::*;
use callout_core::delivery::Standing;
use expect_test::expect;

#[test]
fn instants_are_in_utc_with_milliseconds() {
    assert_eq!(time(Timestamp::EPOCH), "1970-01-01T00:00:00.000Z");
    assert_eq!(time(Timestamp::LAST), "9999-12-30T22:00:00.999Z");
}

#[test]
fn statistics_name_every_state() {
    let all = Stats {
        messages: vec![(MessageState::Pending, 2), (MessageState::Dead, 1)],
        deliveries: vec![("ding".parse().unwrap(), Standing::Ready, 2)],
        attempts: vec![("ding".parse().unwrap(), "throttled".to_owned(), 3)],
        oldest_due: Some(Duration::from_secs(3)),
        accept_latency: Some([1, 2, 3].map(Duration::from_millis)),
        ..Stats::default()
    };
    expect![[r#"
        {"accept_latency_ms":{"p50":1,"p90":2,"p99":3},"alerts":{"acknowledged":0,"exhausted":0,"levels":[],"open":0,"receivers":[]},"attempts":[{"channel":"ding","count":3,"outcome":"throttled"}],"clock":null,"deliveries":[{"channel":"ding","count":2,"state":"ready"}],"messages":{"accepted":0,"cancelled":0,"dead":1,"expired":0,"merged":0,"pending":2},"oldest_due_ms":3000,"unplanned":0}
    "#]].assert_eq(&format!("{}\n", stats(&all)));
    expect![[r#"
        {"accept_latency_ms":null,"alerts":{"acknowledged":0,"exhausted":0,"levels":[],"open":0,"receivers":[]},"attempts":[],"clock":null,"deliveries":[],"messages":{"accepted":0,"cancelled":0,"dead":0,"expired":0,"merged":0,"pending":0},"oldest_due_ms":null,"unplanned":0}
    "#]].assert_eq(&format!("{}\n", stats(&Stats::default())));
}

#[test]
fn the_size_of_an_attachment_is_that_of_its_contents() {
    for (base64, bytes) in [("aGk=", 2), ("aGV5", 3), ("aA==", 1)] {
        let file = Attachment { name: "x".to_owned(), base64: base64.to_owned() };
        assert_eq!(attachment(&file)["bytes"], bytes);
    }
}
