//! The WeCom application and PagerDuty.

mod callback;

use super::*;
use crate::fit;
use callout_core::alert::{Regarding, Standing};
use callout_core::outcome::{Blame, Outcome};
use std::sync::Arc;

const TOKEN: &str = "QDG6eK3wXt9";
const KEY: &str = "jWmYm7qr5nMoAUwZRjGtBxmz3KA1tkAj3ykkR6q2B2C";

/// The providers' limits for single parts, written down once more.
pub(super) fn check_limits(kind: &str, body: &Value) {
    let length = |value: &Value| value.as_str().unwrap_or_default().len();
    let units = |value: &Value| fit::utf16_len(value.as_str().unwrap_or_default());
    let count = |value: &Value| value.as_array().map_or(0, Vec::len);
    match kind {
        "wecom_app" => {
            assert!(length(&body["text"]["content"]) <= 2048);
            assert!(length(&body["markdown"]["content"]) <= 4096);
            let card = &body["template_card"];
            assert!(card.to_string().len() <= 8192);
            assert!(count(&card["horizontal_content_list"]) <= 6);
            assert!(count(&card["jump_list"]) <= 3 && count(&card["button_list"]) <= 6);
            assert!(length(&card["task_id"]) <= 128);
            if card.is_object() {
                assert!(card["card_action"]["url"].is_string(), "a card needs somewhere to lead");
            }
        }
        "pagerduty" => {
            assert!(units(&body["payload"]["summary"]) <= 1024);
            assert!(length(&body["dedup_key"]) <= 255 && length(&body["routing_key"]) == 32);
            for image in body["images"].as_array().unwrap_or(&Vec::new()) {
                assert!(image["src"].as_str().unwrap().starts_with("https://"));
            }
        }
        _ => {}
    }
}

fn with(kind: &str, over: Value) -> Channel {
    let mut settings = base_settings(kind);
    settings.extend(over.as_object().unwrap().clone());
    Channel::build(kind, Value::Object(settings)).unwrap()
}

fn button() -> Channel {
    with("wecom_app", json!({ "callback_token": TOKEN, "callback_key": KEY }))
}

fn body(channel: &Channel, out: &Outgoing<'_>, at: Timestamp) -> Value {
    tree(&channel.http().request(out, at).unwrap())
}

fn answer(status: u16, body: &Value) -> HttpResponse {
    HttpResponse { status, retry_after: None, body: body.to_string().into_bytes() }
}

#[test]
fn settings_say_what_they_mean() {
    let many: Vec<String> = (0..1001).map(|n| format!("user{n}")).collect();
    let key = |key: &str| json!({ "callback_token": TOKEN, "callback_key": key });
    for (kind, over, expected) in [
        ("wecom_app", json!({ "to": "@all" }), ""),
        ("wecom_app", json!({ "to": [" ada ", "bob"] }), ""),
        ("wecom_app", json!({ "to": many[1..] }), ""),
        ("wecom_app", json!({ "to": many }), "to: holds more than 1000"),
        ("wecom_app", json!({ "to": ["ada", "@all"] }), "to: has to be \"@all\" alone"),
        ("wecom_app", json!({ "to": "ada|bob" }), "to: has to be a list of user ids"),
        ("wecom_app", json!({ "to": "ada bob" }), "to: has to be a list of user ids"),
        ("wecom_app", json!({ "to": [] }), "to: has to be a text or a list"),
        ("wecom_app", json!({ "agent_id": "7" }), "agent_id: has to be a whole number"),
        ("wecom_app", json!({ "endpoint": "http://x/?a=b" }), "endpoint: may not contain a '?'"),
        ("wecom_app", json!({ "callback_token": TOKEN }), "callback_key: is missing beside"),
        ("wecom_app", json!({ "callback_key": KEY }), "callback_token: is missing beside"),
        ("wecom_app", key(KEY), ""),
        // The last character of a key may hold bits that stand for nothing.
        ("wecom_app", key(&KEY.replace("B2C", "B2D")), ""),
        (
            "wecom_app",
            key(KEY.strip_prefix('j').unwrap()),
            "callback_key: has to be the EncodingAESKey",
        ),
        ("wecom_app", key(&KEY.replace('j', "-")), "callback_key: has to be the EncodingAESKey"),
        ("pagerduty", json!({ "routing_key": "x".repeat(31) }), "routing_key: has to have 32"),
        ("pagerduty", json!({ "routing_key": "x".repeat(33) }), "routing_key: has to have 32"),
    ] {
        let found = problems(kind, over.clone()).join("; ");
        assert!(found.starts_with(expected) && found.is_empty() == expected.is_empty(), "{found}");
    }
}

#[test]
fn a_body_is_the_same_on_every_try_and_another_one_for_every_telling() {
    let (message, mentions) = (Message::new(Level::Critical, "Disk full"), Mentions::default());
    let later = now() + std::time::Duration::from_secs(600);
    for channel in [channel("wecom_app"), button()] {
        for (url, plain) in [(Some(LINK), false), (None, false), (Some(LINK), true), (None, true)] {
            let mut said = Vec::new();
            for telling in 1..=3 {
                // Not even the note tells them apart.
                let ask = ask(url, None, telling);
                let out = Outgoing { ask: Some(&ask), ..outgoing(&message, &mentions, plain) };
                let first = body(&channel, &out, now());
                assert_eq!(first, body(&channel, &out, later));
                assert_eq!(
                    (&first["enable_duplicate_check"], &first["duplicate_check_interval"]),
                    (&json!(1), &json!(1800))
                );
                assert!(!said.contains(&first), "{first}");
                said.push(first);
            }
        }
    }
}

#[test]
fn two_channels_of_one_application_never_share_a_task() {
    let (message, mentions) = (Message::new(Level::Error, "x"), Mentions::default());
    let ask = ask(Some(LINK), None, 2);
    let out = Outgoing { ask: Some(&ask), ..outgoing(&message, &mentions, false) };
    let task = |to: &str| {
        let body = body(&with("wecom_app", json!({ "to": to })), &out, now());
        body["template_card"]["task_id"].as_str().unwrap().to_owned()
    };
    assert_ne!(task("ada"), task("bob"));
    let legal = |c: char| c.is_ascii_alphanumeric() || matches!(c, '_' | '-' | '@');
    assert!(task("ada").chars().all(legal) && task("ada").starts_with(&out.key()));
}

#[test]
fn a_ticket_is_the_key_of_the_button_only_where_somebody_listens() {
    let (message, mentions) = (Message::new(Level::Error, "x"), Mentions::default());
    let card = |channel: &Channel, url: &str| {
        let ask = ask(Some(url), None, 1);
        let out = Outgoing { ask: Some(&ask), ..outgoing(&message, &mentions, false) };
        body(channel, &out, now())["template_card"].clone()
    };
    assert_eq!(card(&button(), LINK)["button_list"][0]["key"], TICKET);
    assert_eq!(card(&button(), LINK)["card_type"], "button_interaction");
    assert_eq!(card(&channel("wecom_app"), LINK)["card_type"], "text_notice");
    // What could not be a key becomes a link.
    for ticket in ["a b".to_owned(), "x".repeat(1025), String::new()] {
        let url = format!("https://c.example/a/{ticket}");
        let card = card(&button(), &url);
        assert_eq!(
            (&card["card_type"], &card["jump_list"][0]["url"]),
            (&json!("text_notice"), &json!(url))
        );
    }
}

#[test]
fn the_largest_button_card_fits_and_keeps_what_is_asked() {
    let mut message = Message::new(Level::Critical, "标题🔥".repeat(90));
    message.body = fit::bytes(&"告警\"\n".repeat(4000), 16 * 1024);
    for n in 0..40 {
        message.labels.insert(format!("标签{n:02}"), "值🔥".repeat(100));
    }
    let url = format!("https://{}.example/a/{}", "h".repeat(60), "T".repeat(399));
    let (mentions, note) = (Mentions::default(), "告警升级".repeat(25));
    let ask = ask(Some(&url), Some(&note), 2);
    let out = Outgoing { ask: Some(&ask), ..outgoing(&message, &mentions, false) };
    let body = body(&button(), &out, now());
    check_limits("wecom_app", &body);
    let card = &body["template_card"];
    assert_eq!(card["main_title"]["desc"], note);
    assert_eq!(card["button_list"][0]["key"], "T".repeat(399));
    assert_eq!(card["card_action"]["url"], url);
    assert!(card["main_title"]["title"].as_str().unwrap().ends_with(&message.title));
    assert!(card["quote_area"]["quote_text"].as_str().unwrap().contains(&id().to_string()));
    assert!(card["sub_title_text"].as_str().unwrap().contains('…'));
}

#[test]
fn only_a_card_with_a_button_can_be_changed() {
    let channel = button();
    let judge = |body: Value| channel.http().classify(&answer(200, &body), now());
    let ok = json!({ "errcode": 0, "errmsg": "ok" });
    let (message, mentions) = (Message::new(Level::Error, "x"), Mentions::default());
    let told = outgoing(&message, &mentions, false);
    let edit = |receipt: &str| channel.http().edit(&told, receipt, "Ada has it", now());
    let receipt = |outcome: &Outcome| outcome.reason().code.clone().unwrap();
    assert!(edit(&receipt(&judge(ok.clone()))).is_none());
    let mut carded = ok;
    carded["response_code"] = json!("RC_5f-3a");
    let edited = tree(&edit(&receipt(&judge(carded))).unwrap());
    assert_eq!(edited["response_code"], "RC_5f-3a");
    assert_eq!(edited["userids"], json!(["zhangsan", "lisi"]));
    assert_eq!(edited["button"], json!({ "replace_name": "Ada has it" }));
    for nothing in ["", "0", "-1", "two words", "123"] {
        assert!(edit(nothing).is_none(), "{nothing}");
    }
}

#[test]
fn a_success_that_left_somebody_out_is_none() {
    let channel = channel("wecom_app");
    for (field, names, missed) in [
        ("invaliduser", json!("lisi"), 1),
        ("invaliduser", json!("lisi|zhangsan"), 2),
        ("invaliduser", json!(["lisi"]), 1),
        ("invalidparty", json!("2|3"), 2),
        ("invalidtag", json!("1"), 1),
    ] {
        let body = json!({ "errcode": 0, "errmsg": "ok", field: names });
        let outcome = channel.http().classify(&answer(200, &body), now());
        assert!(matches!(outcome, Outcome::Rejected { blame: Blame::Endpoint, .. }), "{outcome:?}");
        let expected = format!("{missed} of the recipients could not be told");
        assert_eq!(outcome.reason().detail, expected);
    }
}

#[test]
fn a_login_asks_for_a_token_and_puts_it_into_every_address() {
    let channel = with("wecom_app", json!({ "corp_secret": "s/cret+with&signs" }));
    let login = channel.http().login().unwrap();
    let request = login.request(now());
    assert_eq!(
        (request.method, request.url.expose()),
        (
            "GET",
            "https://qyapi.weixin.qq.com/cgi-bin/gettoken?corpid=ww0123456789abcdef&corpsecret=s%2Fcret%2Bwith%26signs"
        )
    );
    let (message, mentions) = (Message::new(Level::Error, "x"), Mentions::default());
    let sent = channel.http().request(&outgoing(&message, &mentions, false), now()).unwrap();
    let token = Secret::new("t+k/n&");
    let authorized = login.authorize(sent, &token).url;
    assert!(authorized.expose().ends_with("/message/send?access_token=t%2Bk%2Fn%26"));
    let upload = HttpRequest { url: Secret::new("http://x/upload?type=file"), ..request };
    let authorized = login.authorize(upload, &token).url;
    assert_eq!(authorized.expose(), "http://x/upload?type=file&access_token=t%2Bk%2Fn%26");
    for (code, stale) in
        [(40_014, true), (42_001, true), (40_001, true), (40_013, false), (0, false)]
    {
        let answer = answer(200, &json!({ "errcode": code, "errmsg": "x" }));
        assert_eq!(login.is_stale(&answer), stale, "{code}");
    }
}

#[test]
fn all_tellings_and_news_of_one_alert_are_one_incident() {
    let (message, mentions) = (Message::new(Level::Error, "x"), Mentions::default());
    let channel = channel("pagerduty");
    for telling in 1..=3 {
        let ask = ask(Some(LINK), None, telling);
        let out = Outgoing { ask: Some(&ask), ..outgoing(&message, &mentions, telling == 2) };
        assert_eq!(body(&channel, &out, now())["dedup_key"], id().to_string());
    }
    let alert = MessageId::new(now(), [3; 10]);
    // Old news that come after newer ones say how it stands now: nobody is called for what is over.
    for (standing, now_it_is, action) in [
        (Standing::Open, Standing::Open, "trigger"),
        (Standing::Acknowledged, Standing::Acknowledged, "acknowledge"),
        (Standing::Resolved, Standing::Resolved, "resolve"),
        (Standing::Open, Standing::Resolved, "resolve"),
        (Standing::Acknowledged, Standing::Open, "trigger"),
    ] {
        let told = Arc::new(message.clone());
        let about = Regarding {
            id: alert,
            message: told,
            created_at: now(),
            standing,
            now: now_it_is,
            receipts: Vec::new(),
        };
        let out = Outgoing { about: Some(&about), ..outgoing(&message, &mentions, false) };
        let body = body(&channel, &out, now());
        assert_eq!((&body["event_action"], &body["dedup_key"]), (&json!(action), &json!(alert)));
        assert_eq!(body["payload"].is_object(), action == "trigger");
    }
}

#[test]
fn advice_is_given_in_both_languages() {
    for (kind, code, detail, says) in [
        ("wecom_app", "60020", "not allow to access from your ip", "可信"),
        ("wecom_app", "invaliduser", "1 of the recipients", "可见范围"),
        ("pagerduty", "400", "Length of 'routing_key' is incorrect", "routing_key"),
        ("pagerduty", "400", "Event object is invalid", "哪一部分"),
    ] {
        let spec = crate::find(kind).unwrap().spec;
        let reason = callout_core::outcome::Reason::new(code, detail);
        assert!(spec.advise(&reason, Locale::Chinese).unwrap().contains(says), "{code}");
        assert!(spec.advise(&reason, Locale::English).unwrap().is_ascii(), "{code}");
    }
}
