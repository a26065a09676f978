//! Cards and webhooks of chat programs.

use super::*;
use crate::{fit, sign};
use callout_core::message::Link;
use callout_core::outcome::{Blame, Outcome};

const KINDS: [&str; 5] = ["feishu", "teams", "googlechat", "mattermost", "rocketchat"];

/// The providers' limits for single parts, written down once more.
pub(super) fn check_limits(kind: &str, body: &Value) {
    let units = |value: &Value| fit::utf16_len(value.as_str().unwrap_or_default());
    match kind {
        "feishu" => {
            assert!(body.to_string().len() <= 20_000);
            assert!(units(&body["card"]["header"]["title"]["content"]) <= 120);
            assert!(body["card"]["elements"].is_null(), "illegal in cards of version 2.0");
        }
        "teams" => {
            assert!(body.to_string().len() <= 20_000);
            let card = &body["attachments"][0]["content"];
            assert!(card["actions"].as_array().is_none_or(|actions| actions.len() <= 6));
            let shown = card["body"].to_string();
            for entity in card["msteams"]["entities"].as_array().unwrap_or(&Vec::new()) {
                assert!(shown.contains(entity["text"].as_str().unwrap()));
            }
        }
        "googlechat" => assert!(units(&body["text"]) <= 4_000),
        "mattermost" => {
            assert!(units(&body["text"]) <= 16_383);
            assert!(fit::utf16_len(&body["attachments"].to_string()) <= 7_600);
        }
        "rocketchat" => {
            assert!(units(&body["text"]) <= 5_000);
            assert!(units(&body["attachments"][0]["text"]) <= 5_000);
        }
        _ => {}
    }
}

#[test]
fn an_address_of_another_provider_is_a_problem() {
    let hosts = [
        ("dingtalk", "https://oapi.dingtalk.com/robot/send?access_token=x"),
        ("wecom", "https://qyapi.weixin.qq.com/cgi-bin/webhook/send?key=x"),
        ("feishu", "https://open.feishu.cn/open-apis/bot/v2/hook/x"),
        ("slack", "https://hooks.slack.com/services/T/B/x"),
        ("teams", "https://prod-1.westus.logic.azure.com/workflows/x?sig=y"),
        ("teams", "https://a.b.environment.api.powerplatform.com/powerautomate/x?sig=y"),
        ("googlechat", "https://chat.googleapis.com/v1/spaces/x/messages?key=y&token=z"),
        ("discord", "https://discord.com/api/webhooks/x/y"),
    ];
    for kind in ["slack", "teams", "googlechat", "mattermost", "rocketchat"] {
        for (owner, url) in hosts {
            let found = problems(kind, json!({ "webhook_url": url }));
            let expected = format!("webhook_url: is an address for channels of kind \"{owner}\"");
            assert_eq!(found, if owner == kind { vec![] } else { vec![expected] }, "{kind} {url}");
        }
        for (url, expected) in [
            ("https://proxy.corp.example/chat/x", ""),
            ("https://nothooks.slack.com/x", ""),
            ("http://127.0.0.1:9000/x", ""),
            ("http://[::1]:9000/x", ""),
            ("http://proxy.corp.example/x", "webhook_url: has to begin with https://"),
            ("https://me:pw@proxy.example/x", "webhook_url: may not contain a user"),
            ("https://proxy.example/x#y", "webhook_url: may not contain a '#'"),
            ("nonsense", "webhook_url: is no address"),
        ] {
            check_problem(kind, json!({ "webhook_url": url }), expected);
        }
    }
    for kind in ["dingtalk", "wecom", "feishu"] {
        let expected = "endpoint: is an address for channels of kind \"slack\"";
        check_problem(kind, json!({ "endpoint": "https://hooks.slack.com/x" }), expected);
        check_problem(kind, json!({ "endpoint": "http://proxy.corp.example/x" }), "");
    }
}

/// `expected` is the beginning of the only problem; empty: there is none.
fn check_problem(kind: &str, over: Value, expected: &str) {
    let found = problems(kind, over.clone());
    match found.as_slice() {
        [] => assert_eq!(expected, "", "{kind} {over}"),
        [one] => assert!(!expected.is_empty() && one.starts_with(expected), "{kind} {over}: {one}"),
        more => panic!("{kind} {over}: {more:?}"),
    }
}

#[test]
fn addresses_of_retired_connectors_say_what_to_do() {
    for host in ["contoso.webhook.office.com", "outlook.office.com", "outlook.office365.com"] {
        let url = format!("https://{host}/webhookb2/x@y/IncomingWebhook/z");
        let found = problems("teams", json!({ "webhook_url": url }));
        assert!(found[0].contains("retired") && found[0].contains("Workflows"), "{found:?}");
    }
}

#[test]
fn addresses_that_were_not_copied_right_are_problems() {
    for (kind, over, expected) in [
        (
            "feishu",
            json!({ "token": "https://open.feishu.cn/hook/x" }),
            "token: has to be the value of token alone",
        ),
        ("feishu", json!({ "token": "open.feishu.cn/hook/x" }), "token: has to be the last"),
        ("feishu", json!({ "token": "0a1b2c3d" }), ""),
        (
            "googlechat",
            json!({ "webhook_url": "https://chat.googleapis.com/v1/spaces/x/messages?key=y" }),
            "webhook_url: lacks key or token",
        ),
        ("mattermost", json!({ "priority": "yes" }), "priority: has to be true or false"),
    ] {
        check_problem(kind, over, expected);
    }
}

#[test]
fn feishu_signatures_match_the_vectors_and_stand_in_the_body() {
    let vectors: Value = read_json(&fixtures().join("vectors.json"));
    for vector in vectors["feishu_sign"].as_array().unwrap() {
        let secret = vector["secret"].as_str().unwrap();
        let at_s: i64 = vector["timestamp_s"].as_str().unwrap().parse().unwrap();
        let sign = sign::feishu(secret, at_s);
        assert_eq!(vector["sign"], sign);
        assert_ne!(vector["wrong_if_key_and_message_swapped_like_dingtalk"], sign);
        // Some vectors have keys that no configuration takes.
        if secret.is_empty() || secret.contains(char::is_whitespace) {
            continue;
        }
        let mut settings = base_settings("feishu");
        settings.insert("sign_key".to_owned(), json!(secret));
        let channel = Channel::build("feishu", Value::Object(settings)).unwrap();
        let at = Timestamp::from_unix_ms(at_s * 1000 + 999).unwrap();
        let mut message = Message::new(Level::Info, "x");
        for native in [false, true] {
            if native {
                message.native.insert("feishu".to_owned(), json!({ "msg_type": "image" }));
            }
            let mentions = Mentions::default();
            let out = outgoing(&message, &mentions, false);
            let body = tree(&channel.http().request(&out, at).unwrap());
            assert_eq!(body["timestamp"], vector["body_fragment"]["timestamp"]);
            assert_eq!(body["sign"], vector["body_fragment"]["sign"]);
        }
    }
}

#[test]
fn a_feishu_signature_is_hidden_and_the_time_is_not() {
    let (message, mentions) = (Message::new(Level::Info, "x"), Mentions::default());
    let (channel, out) = (channel("feishu"), outgoing(&message, &mentions, false));
    let request = channel.http().request(&out, now()).unwrap();
    let sign = tree(&request)["sign"].as_str().unwrap().to_owned();
    let body = json!({ "code": 19_021, "msg": format!("no {sign} at 1717171717") }).to_string();
    let answer = HttpResponse { status: 200, retry_after: None, body: body.into_bytes() };
    let mask = channel.mask(&out).with(&request);
    let outcome = Channel::judge(channel.http(), &answer, &mask, now());
    assert_eq!(outcome.reason().detail, "no *** at 1717171717");
}

#[test]
fn news_stand_in_the_thread_that_told_of_the_alert_first() {
    let mentions = Mentions::default();
    let message = Message::new(Level::Info, "x");
    let thread = |settings: Value, telling| {
        let mut all = base_settings("googlechat");
        all.extend(settings.as_object().cloned().unwrap());
        let channel = Channel::build("googlechat", Value::Object(all)).unwrap();
        let ask = ask(None, None, telling);
        let out = Outgoing { ask: Some(&ask), ..outgoing(&message, &mentions, false) };
        let request = channel.http().request(&out, now()).unwrap();
        let key = tree(&request)["thread"]["threadKey"].as_str().unwrap().to_owned();
        (key, request.url.expose().matches("messageReplyOption=").count())
    };
    // What is `about` an alert names its thread by this id; a fixture shows that.
    assert_eq!(thread(json!({}), 1), (id().to_string(), 1));
    assert_eq!(thread(json!({}), 2), (format!("{}-2", id()), 1));
    let own = "https://proxy.example/x?messageReplyOption=REPLY_MESSAGE_OR_FAIL";
    assert_eq!(thread(json!({ "webhook_url": own }), 1).1, 1);
    assert_eq!(thread(json!({ "webhook_url": "https://proxy.example/x" }), 1).1, 1);
}

#[test]
fn a_feishu_body_that_only_fits_without_its_signature_is_refused() {
    let mut message = Message::new(Level::Info, "x");
    message.native.insert("feishu".to_owned(), json!({ "text": "x".repeat(19_950) }));
    let mentions = Mentions::default();
    let refused = channel("feishu").http().request(&outgoing(&message, &mentions, false), now());
    assert!(refused.unwrap_err().0.detail.contains("with its signature"));
}

fn read_answer(channel: &Channel, status: u16, body: &str) -> Outcome {
    let answer = HttpResponse { status, retry_after: None, body: body.as_bytes().to_vec() };
    channel.http().classify(&answer, now())
}

#[test]
fn a_feishu_signature_that_is_missing_is_not_a_matter_of_clocks() {
    let mut settings = base_settings("feishu");
    settings.remove("sign_key");
    let unsigned = Channel::build("feishu", Value::Object(settings)).unwrap();
    let body = r#"{"code":19021,"msg":"sign match fail"}"#;
    let outcome = read_answer(&unsigned, 200, body);
    assert!(matches!(outcome, Outcome::Rejected { blame: Blame::Endpoint, .. }), "{outcome:?}");
    assert!(matches!(read_answer(&channel("feishu"), 200, body), Outcome::Transient(_)));
}

#[test]
fn what_teams_has_queued_says_that_it_may_not_be_shown() {
    let outcome = read_answer(&channel("teams"), 202, "");
    assert!(matches!(&outcome, Outcome::Accepted(r) if r.detail.contains("no proof")));
}

#[test]
fn pictures_in_the_text_become_links_where_cards_show_none() {
    let mut message = Message::new(Level::Info, "x");
    message.body =
        "![a](https://e.example/1) ![](https://e.example/2)\n```\n![a](b)\n```".to_owned();
    let mentions = Mentions::default();
    for (kind, code) in [("feishu", 1), ("teams", 1), ("googlechat", 1)] {
        let out = outgoing(&message, &mentions, false);
        let body = tree(&channel(kind).http().request(&out, now()).unwrap()).to_string();
        assert_eq!(body.matches("![").count(), code, "{kind} {body}");
        assert!(body.contains("https://e.example/1") && body.contains("https://e.example/2"));
    }
}

#[test]
fn what_is_asked_comes_first_of_all_that_can_be_pressed() {
    let mut message = Message::new(Level::Critical, "x");
    let link = |n| Link { text: format!("l{n}"), url: format!("https://e.example/{n}") };
    message.links = (0..9).map(link).collect();
    let (mentions, ask) = (Mentions::default(), ask(Some(LINK), None, 1));
    for kind in KINDS {
        let out = Outgoing { ask: Some(&ask), ..outgoing(&message, &mentions, false) };
        let body = tree(&channel(kind).http().request(&out, now()).unwrap()).to_string();
        let at = |text: &str| body.find(text).unwrap_or_else(|| panic!("{kind} lacks {text}"));
        assert!((0..9).all(|n| at(LINK) < at(&format!("https://e.example/{n}"))), "{kind} {body}");
    }
}

#[test]
fn a_mattermost_priority_is_sent_only_where_it_was_asked_for() {
    let mentions = Mentions::default();
    for level in [Level::Info, Level::Warning, Level::Error, Level::Critical] {
        let message = Message::new(level, "x");
        let out = outgoing(&message, &mentions, false);
        let body = tree(&channel("mattermost").http().request(&out, now()).unwrap());
        assert!(body["priority"].is_null());
    }
}
