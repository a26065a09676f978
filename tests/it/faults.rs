//! Every way a provider can misbehave ends in the right state, and none in "accepted" without proof.

use crate::stage::sink::{Reply, Then, json};
use crate::stage::{Stage, seconds, way};
use callout_channels::ATTEMPT_TIMEOUT;
use callout_core::level::Level;
use callout_core::message::Message;
use callout_store::Store;

/// One answer on one kind of channel, and what it has to be taken for.
async fn check(kind: &'static str, reply: Reply, first_attempt: &str) {
    let stage = Stage::new(vec![way(kind, kind), way("spare", "webhook")]).await;
    let bystander = stage.enqueue(Level::Info, "before").await;
    stage.idle().await;
    stage.sink.will(kind, [reply.clone()]);
    let id = stage.enqueue(Level::Critical, "disk full").await;
    stage.idle().await;
    let attempts = stage.attempts(id).await;
    assert_eq!(attempts.first().map(String::as_str), Some(first_attempt), "{kind} {reply:?}");
    // Whatever it was, the message arrives in the end, and the bystander is left alone.
    stage.advance(seconds(60)).await;
    assert!(
        stage.stands(id).await.starts_with("accepted"),
        "{kind} {reply:?}: {}",
        stage.stands(id).await
    );
    assert_eq!(stage.attempts(bystander).await.len(), 1);
}

#[tokio::test]
async fn a_connection_closed_without_an_answer_is_unknown() {
    check("dingtalk", Reply::Close, "dingtalk unknown").await;
}

#[tokio::test]
async fn half_an_answer_is_unknown() {
    check("wecom", Reply::Half, "wecom unknown").await;
}

#[tokio::test]
async fn an_answer_that_never_ends_is_unknown() {
    check("slack", Reply::Endless, "slack unknown 200").await;
}

#[tokio::test]
async fn an_answer_that_is_not_http_is_unknown() {
    check("webhook", Reply::Garbage, "webhook unknown").await;
}

#[tokio::test]
async fn a_web_page_with_status_200_is_not_taken_for_success() {
    let page =
        || Reply::Answer(200, vec![("content-type", "text/html".into())], "<html>ok</html>".into());
    check("dingtalk", page(), "dingtalk unknown 200").await;
    check("wecom", page(), "wecom unknown 200").await;
    check("slack", page(), "slack unknown 200").await;
}

#[tokio::test]
async fn a_redirect_is_refused_and_not_followed() {
    let elsewhere = Reply::Answer(302, vec![("location", "/spare".into())], String::new());
    for kind in ["dingtalk", "wecom", "slack", "webhook"] {
        let stage = Stage::new(vec![way(kind, kind)]).await;
        stage.sink.always(kind, elsewhere.clone());
        let id = stage.enqueue(Level::Info, "x").await;
        stage.idle().await;
        assert_eq!(stage.attempts(id).await, [format!("{kind} rejected 302")]);
        assert_eq!(stage.sink.count("spare"), 0);
    }
}

#[tokio::test]
async fn a_body_that_is_no_utf8_and_a_lying_status_are_survived() {
    let odd = Reply::Answer(500, vec![], "\u{fffd}\u{0}".into());
    check("dingtalk", odd.clone(), "dingtalk transient 500").await;
    check("wecom", json(502, "{\"errcode\":0}"), "wecom transient 502").await;
}

/// Who hangs is given up by the machine's time. What takes longer than that may have waited for them.
async fn before_anybody_is_given_up<T>(work: impl Future<Output = T>) -> T {
    tokio::time::timeout(ATTEMPT_TIMEOUT, work).await.expect("it waits for those who hang")
}

#[tokio::test]
async fn a_provider_that_hangs_delays_no_other_channel() {
    let stage = Stage::new(vec![way("hang", "webhook"), way("spare", "webhook")]).await;
    stage.sink.always("hang", Reply::Silence);
    let mut ids = Vec::new();
    for n in 0..8 {
        ids.push(stage.enqueue(Level::Critical, &format!("message {n}")).await);
    }
    before_anybody_is_given_up(stage.sink.has_received("hang", 4)).await;
    // All permits of the hanging channel are taken. Somebody else's message goes through at once.
    let mut other = Message::new(Level::Info, "for the desk");
    other.to = vec!["desk".into()];
    stage.enqueue_message(other).await;
    before_anybody_is_given_up(stage.sink.has_received("desk", 1)).await;
    // Those that wait for a permit move on when their time with this channel is up, though it still hangs.
    let start = stage.clock.now();
    stage.clock.set(start + seconds(21));
    stage.sink.has_received("spare", 4).await;
    // And the hanging ones do when nothing has come for too long.
    stage.clock.set(start + seconds(60));
    stage.sink.has_received("spare", 8).await;
    stage.sink.recovers("hang");
    stage.idle().await;
    for id in ids {
        assert_eq!(stage.stands(id).await, "accepted accepted spare");
    }
}

#[tokio::test]
async fn fifty_providers_that_hang_and_twenty_that_drip_delay_nobody_else() {
    let names: Vec<&'static str> = (0..70).map(|n| &*format!("sick{n}").leak()).collect();
    let ways = names.iter().map(|name| way(name, "webhook")).chain([way("well", "webhook")]);
    let stage = Stage::new(ways.collect()).await;
    let dripping = b"HTTP/1.1 200 OK\r\ncontent-length: 1000\r\n\r\n".to_vec();
    for (n, name) in names.iter().enumerate() {
        let drips = Reply::Bytes(dripping.clone(), Then::Drip(b"x"));
        stage.sink.always(name, if n < 50 { Reply::Silence } else { drips });
    }
    let to = async |name: &str, title: String| {
        let mut message = Message::new(Level::Critical, title);
        message.to = vec![name.into()];
        stage.enqueue_message(message).await
    };
    let start = stage.clock.now();
    // More than each of them has permits for.
    for n in 0..6 {
        for name in &names {
            to(name, format!("message {n}")).await;
        }
    }
    let flow = async {
        for name in &names {
            stage.sink.has_received(name, 4).await;
        }
        let mut ids = Vec::new();
        for n in 1..=30 {
            ids.push(to("well", format!("message {n}")).await);
            stage.sink.has_received("well", n).await;
        }
        ids
    };
    let ids = before_anybody_is_given_up(flow).await;
    // No time has passed, and each message took one request.
    assert_eq!(stage.clock.now(), start);
    assert_eq!(stage.sink.count("well"), 30);
    // What was answered is written down too; the last may still be on its way there.
    for id in &ids[..29] {
        assert_eq!(stage.attempts(*id).await, ["well accepted 200"]);
    }
}

#[tokio::test]
async fn a_channel_that_keeps_failing_is_left_alone_but_for_a_probe() {
    let stage = Stage::new(vec![way("sick", "webhook"), way("spare", "webhook")]).await;
    stage.sink.always("sick", json(500, ""));
    for n in 0..3 {
        stage.enqueue(Level::Critical, &format!("message {n}")).await;
        stage.advance(seconds(10)).await;
    }
    let asked = stage.sink.count("sick");
    let health = stage.store.health().await.unwrap();
    let sick = health.iter().find(|h| h.channel == Stage::channel("sick")).unwrap();
    assert!(sick.probe_at.is_some(), "its circuit is open after {asked} failures");
    for n in 0..20 {
        let id = stage.enqueue(Level::Critical, &format!("more {n}")).await;
        stage.idle().await;
        assert_eq!(stage.stands(id).await, "accepted accepted spare");
    }
    assert!(stage.sink.count("sick") <= asked + 1, "all but one probe pass it by");

    stage.sink.recovers("sick");
    stage.advance(seconds(16)).await;
    let mut alone = Message::new(Level::Critical, "probe");
    alone.to = vec!["ops".into()];
    stage.enqueue_message(alone).await;
    stage.idle().await;
    let health = stage.store.health().await.unwrap();
    let sick = health.iter().find(|h| h.channel == Stage::channel("sick")).unwrap();
    assert_eq!(sick.probe_at, None, "one success closes it");
}

#[tokio::test]
async fn damaged_rows_are_set_aside_and_reported_and_the_rest_flows() {
    let damages = [
        "wait = 'nonsense'",
        "channel = 'no name!'",
        "receiver = ''",
        "state = 'redy'",
        // What can be read, and is not what was written.
        "channel = 'desk'",
        "receiver = 'desk'",
        "message_seq = 1",
        "ready_at = ready_at - 1",
        "expires_at = expires_at + 1",
        "attempt = 1",
        "checksum = checksum + 1",
    ];
    for damage in damages {
        let stage = Stage::new(vec![way("hook", "webhook")]).await;
        let mut ids = Vec::new();
        for n in 0..3 {
            let mut message = Message::new(Level::Info, format!("message {n}"));
            message.delay = Some(seconds(60));
            ids.push(stage.enqueue_message(message).await);
        }
        stage.idle().await;
        let database = callout_client::rusqlite::Connection::open(stage.database()).unwrap();
        database.execute_batch("PRAGMA ignore_check_constraints = ON").unwrap();
        let damaged =
            database.execute(&format!("UPDATE callout_delivery SET {damage} WHERE id = 2"), []);
        assert_eq!(damaged.unwrap(), 1);
        drop(database);
        stage.advance(seconds(60)).await;
        if !damage.starts_with("message_seq") {
            assert_eq!(stage.stands(ids[0]).await, "accepted accepted hook", "{damage}");
        }
        assert_eq!(stage.stands(ids[2]).await, "accepted accepted hook", "{damage}");
        if damage.starts_with("state") {
            continue; // Nothing finds such a row but somebody who looks at its message.
        }
        if damage.starts_with("message_seq") {
            assert_eq!(
                stage.sink.count("hook"),
                2,
                "it is not known whose it is, and nobody gets it"
            );
            continue;
        }
        assert_eq!(stage.stands(ids[1]).await, "dead dead unreadable", "{damage}");
        assert_eq!(stage.sink.count("desk"), 1, "{damage}");
    }
}

#[tokio::test]
async fn a_message_that_changed_after_it_was_planned_is_not_sent() {
    let stage = Stage::new(vec![way("hook", "webhook")]).await;
    let database = callout_client::rusqlite::Connection::open(stage.database()).unwrap();
    let insert = "INSERT INTO callout_message (id, level, title, body, delay_ms, created_at)
                  VALUES ('018bcfe5-6800-7000-8000-00000000000a', 'error', 'disk', 'full', 60000, 1700000000000)";
    database.execute(insert, []).unwrap();
    let id = "018bcfe5-6800-7000-8000-00000000000a".parse().unwrap();
    // Whatever else there is to do, it finds the message of the other program too.
    stage.enqueue(Level::Info, "before").await;
    stage.idle().await;
    let changed =
        database.execute("UPDATE callout_message SET body = 'fulm' WHERE body = 'full'", []);
    assert_eq!(changed.unwrap(), 1);
    stage.advance(seconds(61)).await;
    assert_eq!(stage.stands(id).await, "dead dead hook");
    assert_eq!((stage.sink.count("hook"), stage.sink.count("desk")), (1, 1));
}

#[tokio::test]
async fn a_message_that_somebody_deletes_by_hand_takes_everything_along() {
    let stage = Stage::new(vec![way("hook", "webhook")]).await;
    let mut message = Message::new(Level::Info, "gone");
    message.delay = Some(seconds(60));
    stage.enqueue_message(message).await;
    stage.idle().await;
    let database = callout_client::rusqlite::Connection::open(stage.database()).unwrap();
    database.execute_batch("PRAGMA foreign_keys = OFF; DELETE FROM callout_message").unwrap();
    drop(database);
    let id = stage.enqueue(Level::Critical, "still here").await;
    stage.advance(seconds(61)).await;
    assert_eq!(stage.stands(id).await, "accepted accepted hook");
    assert_eq!(stage.sink.count("hook"), 1);
}
