//! Bots of chat programs: their limits, their answers, what they edit, what they are told.

use super::limits::huge;
use super::*;
use crate::callback::{Heard, Inbound, Pressed};
use crate::fit;
use crate::mask::Mask;
use crate::sign;
use callout_core::alert::{Regarding, Standing};
use callout_core::outcome::{Outcome, Reason};
use std::sync::Arc;

const BOTS: [&str; 3] = ["slack_api", "telegram", "discord"];

/// The providers' limits for single parts, written down once more.
pub(super) fn check_limits(kind: &str, body: &Value) {
    let units = |value: &Value| fit::utf16_len(value.as_str().unwrap_or_default());
    match kind {
        "telegram" => {
            let text = body["text"].as_str().unwrap();
            let seen = if body["parse_mode"] == "HTML" { read_html(text) } else { text.to_owned() };
            assert!((1..=4096).contains(&fit::utf16_len(&seen)), "{}", fit::utf16_len(&seen));
            let rows = body["reply_markup"]["inline_keyboard"].as_array();
            for button in rows.into_iter().flatten().flat_map(|row| row.as_array().unwrap()) {
                assert!(units(&button["text"]) > 0 && button["url"].is_string());
            }
        }
        "discord" => {
            assert!(units(&body["content"]) <= 2000);
            let mut sum = 0;
            for embed in body["embeds"].as_array().unwrap_or(&Vec::new()) {
                assert!((1..=256).contains(&units(&embed["title"])));
                assert!(units(&embed["description"]) <= 4096);
                assert!((1..=2048).contains(&units(&embed["footer"]["text"])));
                assert!(embed["color"].is_u64());
                let fields = embed["fields"].as_array().cloned().unwrap_or_default();
                assert!(fields.len() <= 25);
                for field in &fields {
                    assert!((1..=256).contains(&units(&field["name"])));
                    assert!((1..=1024).contains(&units(&field["value"])));
                    sum += units(&field["name"]) + units(&field["value"]);
                }
                sum += units(&embed["title"])
                    + units(&embed["description"])
                    + units(&embed["footer"]["text"]);
            }
            assert!(sum <= 6000, "{sum}");
            assert!(units(&body["content"]) + sum > 0);
        }
        _ => {}
    }
}

/// What a reader of Telegram's HTML sees. Panics at tags that Telegram does not know or that do not match.
fn read_html(html: &str) -> String {
    let (mut seen, mut open, mut rest) = (String::new(), Vec::new(), html);
    while let Some((text, tail)) = rest.split_once('<') {
        seen += text;
        let (tag, tail) = tail.split_once('>').expect("a tag that ends");
        match tag.strip_prefix('/') {
            Some(name) => assert_eq!(open.pop(), Some(name), "{html}"),
            None => open.push(tag.split(' ').next().unwrap()),
        }
        let known = ["b", "i", "s", "code", "pre", "a"];
        assert!(known.contains(&tag.trim_start_matches('/').split(' ').next().unwrap()), "{tag}");
        rest = tail;
    }
    seen += rest;
    assert!(open.is_empty(), "{open:?} stays open in {html}");
    assert!(!seen.contains('>'), "{seen}");
    let seen = seen.replace("&lt;", "<").replace("&gt;", ">").replace("&quot;", "\"");
    seen.replace("&amp;", "&")
}

fn told(message: Message, receipts: &[&str]) -> Regarding {
    Regarding {
        id: id(),
        message: Arc::new(message),
        created_at: now(),
        standing: Standing::Acknowledged,
        now: Standing::Acknowledged,
        receipts: receipts.iter().map(|receipt| (*receipt).to_owned()).collect(),
    }
}

fn receipt(kind: &str) -> &'static str {
    match kind {
        "slack_api" => "C0123456789:1717171717.000100",
        "telegram" => "-1001234567890:42",
        _ => "1245678901234567890",
    }
}

#[test]
fn the_largest_edits_fit_and_say_the_news_and_the_level() {
    for kind in BOTS {
        for body in ["告警🔥", "&", "```\nx\n"] {
            let about = told(huge(body), &[receipt(kind)]);
            let news = Message::new(Level::Info, fit::bytes(&"已由<&_*`张三🔥".repeat(99), 1024));
            let mentions = Mentions { all: true, ids: vec!["1234567".to_owned()] };
            let out = Outgoing { about: Some(&about), ..outgoing(&news, &mentions, false) };
            let sent = requests(&channel(kind), &out, &[]);
            let [_, edit] = &sent[..] else { panic!("{kind} sends {}", sent.len()) };
            let body = tree(edit);
            limits::check_limits(kind, &body);
            let said = body.to_string();
            assert!(said.contains("CRITICAL") && said.contains("已由"), "{kind} {said}");
            for call in ["<!channel>", "tg://user", "@everyone"] {
                assert!(!said.contains(call), "{kind} calls {call} in an edit");
            }
        }
    }
}

#[test]
fn texts_that_double_when_they_are_escaped_fit_every_bot() {
    let mut message = Message::new(Level::Critical, "*".repeat(1000));
    message.body = "_`".repeat(1900);
    for n in 0..30 {
        message.labels.insert(format!("{n}{}", "_".repeat(200)), "*<@".repeat(300));
    }
    let news = Message::new(Level::Info, "*".repeat(1024));
    let mentions = Mentions { all: true, ids: (0..50).map(|n| format!("1234567{n:02}")).collect() };
    let mut encoded = Message::new(Level::Critical, "x");
    encoded.body = format!("https://e.example/{}", "(".repeat(500));
    for kind in BOTS {
        let sent = requests(&channel(kind), &outgoing(&encoded, &mentions, true), &[]);
        limits::check_limits(kind, &tree(&sent[0]));
        for labels in [0, 3, 30] {
            let mut message = message.clone();
            message.labels = message.labels.into_iter().take(labels).collect();
            let about = told(message.clone(), &[receipt(kind)]);
            for (message, about, plain) in
                [(&message, None, false), (&message, None, true), (&news, Some(&about), false)]
            {
                let out = Outgoing { about, ..outgoing(message, &mentions, plain) };
                let sent = requests(&channel(kind), &out, &[]);
                sent.iter().for_each(|request| limits::check_limits(kind, &tree(request)));
            }
        }
    }
}

#[test]
fn what_a_message_was_accepted_with_finds_it_again() {
    let place = |request: &HttpRequest| {
        let body = tree(request);
        let url = request.url.expose().rsplit('/').next().unwrap().to_owned();
        format!("{} {} {}", url, body["ts"], body["message_id"])
    };
    for (kind, answer, found) in [
        (
            "slack_api",
            json!({ "ok": true, "channel": "C0123456789", "ts": "1717171717.000100" }),
            "chat.update \"1717171717.000100\" null",
        ),
        (
            "telegram",
            json!({ "ok": true, "result": { "message_id": 42, "chat": { "id": -1_001_234_567_890_i64 } } }),
            "editMessageText null 42",
        ),
        ("discord", json!({ "id": "1245678901234567890" }), "1245678901234567890 null null"),
    ] {
        let channel = channel(kind);
        let outcome = judged(&channel, 200, &answer);
        let Outcome::Accepted(Reason { code: Some(code), .. }) = outcome else { panic!("{kind}") };
        assert_eq!(code, receipt(kind));
        let (message, mentions) = (Message::new(Level::Error, "x"), Mentions::default());
        let out = outgoing(&message, &mentions, false);
        let edit = channel.http().edit(&out, &code, "taken", now()).unwrap();
        assert_eq!(place(&edit), found);
        for other in ["", "ok", "200", "C1", "a:b", "12/../../7", "C1:../x", "1?x=1", ":"] {
            let edit = channel.http().edit(&out, other, "taken", now());
            let digits = kind == "discord" && other == "200";
            assert!(edit.is_none() || digits, "{kind} finds a message by {other}");
        }
    }
}

fn judged(channel: &Channel, status: u16, body: &Value) -> Outcome {
    let body = body.to_string().into_bytes();
    let answer = HttpResponse { status, retry_after: None, body };
    Channel::judge(channel.http(), &answer, &Mask::new(&[], None), now())
}

#[test]
fn a_group_that_moved_names_its_new_id_and_says_what_to_do() {
    let answer = json!({
        "ok": false, "error_code": 400,
        "description": "Bad Request: group chat was upgraded to a supergroup chat",
        "parameters": { "migrate_to_chat_id": -1_009_876_543_210_i64 },
    });
    let channel = channel("telegram");
    let (message, mentions) = (Message::new(Level::Error, "x"), Mentions::default());
    let out = outgoing(&message, &mentions, false);
    let request = channel.http().request(&out, now()).unwrap();
    let mask = channel.mask(&out).with(&request);
    let body = answer.to_string().into_bytes();
    let answer = HttpResponse { status: 400, retry_after: None, body };
    let outcome = Channel::judge(channel.http(), &answer, &mask, now());
    assert!(outcome.reason().detail.contains("chat_id -1009876543210"), "{outcome:?}");
    for locale in [Locale::English, Locale::Chinese] {
        assert!(channel.spec().advise(outcome.reason(), locale).unwrap().contains("chat_id"));
    }
}

#[test]
fn answers_that_an_operator_can_mend_come_with_advice() {
    let slack = |word: &str| json!({ "ok": false, "error": word });
    let telegram =
        |code: u16, text: &str| json!({ "ok": false, "error_code": code, "description": text });
    let discord = |code: i64| json!({ "code": code, "message": "no" });
    for (kind, status, answer, english, chinese) in [
        ("slack_api", 200, slack("not_in_channel"), "/invite", "/invite"),
        ("slack_api", 200, slack("missing_scope"), "chat:write", "chat:write"),
        ("slack_api", 200, slack("token_revoked"), "bot token", "bot token"),
        ("slack_api", 404, json!("x"), "endpoint", "endpoint"),
        ("telegram", 400, telegram(400, "Bad Request: chat not found"), "`chat_id`", "chat_id"),
        ("telegram", 400, telegram(400, "Bad Request: TOPIC_CLOSED"), "`thread`", "thread"),
        ("telegram", 400, telegram(400, "not enough rights to send"), "right to send", "权限"),
        (
            "telegram",
            403,
            telegram(403, "Forbidden: bot was blocked by the user"),
            "unblock",
            "屏蔽",
        ),
        ("telegram", 403, telegram(403, "Forbidden: bot was kicked"), "add it again", "加进来"),
        ("telegram", 401, telegram(401, "Unauthorized"), "@BotFather", "@BotFather"),
        ("discord", 404, discord(10_015), "make a new one", "新建"),
        ("discord", 404, json!("gone"), "make a new one", "新建"),
        ("discord", 400, discord(220_001), "`thread_id`", "thread_id"),
        ("discord", 400, discord(50_083), "archived", "归档"),
    ] {
        let channel = channel(kind);
        let outcome = judged(&channel, status, &answer);
        let advice = |locale| channel.spec().advise(outcome.reason(), locale).unwrap_or("nothing");
        assert!(
            advice(Locale::English).contains(english),
            "{outcome:?} {}",
            advice(Locale::English)
        );
        assert!(
            advice(Locale::Chinese).contains(chinese),
            "{outcome:?} {}",
            advice(Locale::Chinese)
        );
    }
}

#[test]
fn settings_of_bots_are_checked_for_what_they_mean() {
    let hook = |end: &str| json!({ "webhook_url": format!("https://discord.com/api/{end}") });
    for (kind, over, expected) in [
        (
            "slack_api",
            json!({ "bot_token": "xoxp-1-2" }),
            "bot_token: has to be the token of a bot",
        ),
        ("slack_api", json!({ "bot_token": "xoxb-é" }), "bot_token: has to be the token of a bot"),
        ("slack_api", json!({ "channel": " #ops-alerts " }), ""),
        ("slack_api", json!({ "channel": "G024BE91L" }), ""),
        ("slack_api", json!({ "channel": "ops" }), "channel: has to be the id"),
        ("slack_api", json!({ "channel": "#" }), "channel: has to be the id"),
        ("slack_api", json!({ "channel": "#two words" }), "channel: has to be the id"),
        ("slack_api", json!({ "signing_secret": " " }), "signing_secret: is empty"),
        (
            "slack_api",
            json!({ "endpoint": "https://e.example/api?x=1" }),
            "endpoint: may not contain",
        ),
        ("telegram", json!({ "endpoint": "https://e.example/?x=1" }), "endpoint: may not contain"),
        ("telegram", json!({ "bot_token": "123456789" }), "bot_token: has to be a number"),
        ("telegram", json!({ "bot_token": "bot1:abc" }), "bot_token: has to be a number"),
        ("telegram", json!({ "bot_token": "1:a/../b" }), "bot_token: has to be a number"),
        ("telegram", json!({ "chat_id": "@ops_alerts" }), ""),
        ("telegram", json!({ "chat_id": "987654321" }), ""),
        ("telegram", json!({ "chat_id": "0" }), "chat_id: has to be the number"),
        ("telegram", json!({ "chat_id": "ops" }), "chat_id: has to be the number"),
        ("telegram", json!({ "chat_id": "@" }), "chat_id: has to be the number"),
        ("telegram", json!({ "chat_id": -5 }), "chat_id: has to be a text"),
        ("telegram", json!({ "thread": "7" }), "thread: has to be a whole number"),
        ("discord", hook("webhooks/1/t"), ""),
        ("discord", hook("v10/webhooks/1/t/"), ""),
        ("discord", json!({ "webhook_url": "https://ptb.discordapp.com/api/webhooks/1/t" }), ""),
        ("discord", json!({ "webhook_url": "http://127.0.0.1:1/api/webhooks/1/t" }), ""),
        (
            "discord",
            json!({ "webhook_url": "http://discord.com/api/webhooks/1/t" }),
            "webhook_url: has to begin with https",
        ),
        ("discord", hook("webhooks/1"), "webhook_url: has to end with"),
        ("discord", hook("webhooks/one/t"), "webhook_url: has to end with"),
        ("discord", hook("webhooks/1/t/slack"), "webhook_url: has to end with"),
        ("discord", hook("webhooks/1/t?wait=true"), "webhook_url: has to end with"),
        ("discord", json!({ "thread_id": "7&x=1" }), "thread_id: has to be an id"),
    ] {
        match problems(kind, over.clone()).as_slice() {
            [] => assert_eq!(expected, "", "{kind} {over}"),
            [problem] if !expected.is_empty() => {
                assert!(problem.starts_with(expected), "{kind} {over}: {problem}");
            }
            more => panic!("{kind} {over}: {more:?}"),
        }
    }
}

/// Calls a channel with this signing secret, now being `at_s`.
fn call(secret: &str, at_s: i64, stamp: &str, signature: &str, body: &str) -> Option<Heard> {
    let mut settings = base_settings("slack_api");
    settings.insert("signing_secret".to_owned(), json!(secret));
    let channel = Channel::build("slack_api", Value::Object(settings)).unwrap();
    let header = |name: &str| match name {
        "x-slack-request-timestamp" => Some(stamp),
        "x-slack-signature" => Some(signature),
        _ => None,
    };
    let (url, body) = ("https://callout.example.com/v1/callbacks/slack", body.as_bytes());
    let inbound = Inbound { method: "POST", url, header: &header, body };
    let at = Timestamp::from_unix_ms(at_s * 1000 + 999).unwrap();
    channel.callback().unwrap().hear(&inbound, at)
}

#[test]
fn a_call_counts_only_with_the_signature_of_the_vectors_and_only_now() {
    let vectors: Value = read_json(&fixtures().join("vectors.json"));
    let vectors = vectors["slack_request_v0"].as_array().unwrap();
    assert_eq!(vectors.len(), 2);
    for vector in vectors {
        let text = |name: &str| vector[name].as_str().unwrap();
        let (secret, body) = (text("signing_secret"), text("raw_body"));
        let (stamp, signature) = (text("x_slack_request_timestamp"), text("x_slack_signature"));
        let at: i64 = stamp.parse().unwrap();
        for skew in [0, 300, -300] {
            assert!(call(secret, at + skew, stamp, signature, body).is_some(), "{skew}");
        }
        for skew in [301, -301, 86_400] {
            assert!(call(secret, at + skew, stamp, signature, body).is_none(), "{skew}");
        }
        let other = format!("{stamp}0");
        for (secret, stamp, signature, body) in [
            ("another-secret-of-the-app", stamp, signature, body),
            (secret, other.as_str(), signature, body),
            (secret, "soon", signature, body),
            (secret, stamp, signature.strip_suffix(char::is_alphanumeric).unwrap(), body),
            (secret, stamp, &signature.to_uppercase(), body),
            (secret, stamp, "", body),
            (secret, stamp, "v0=", body),
            (secret, stamp, signature, body.split_at(body.len() - 1).0),
        ] {
            assert!(call(secret, at, stamp, signature, body).is_none(), "{stamp} {signature}");
        }
    }
}

/// A call that Slack signed, with `payload` in the form.
fn signed(payload: &str) -> Heard {
    let body: String = url::form_urlencoded::Serializer::new(String::new())
        .append_pair("payload", payload)
        .finish();
    signed_body(&body)
}

fn signed_body(body: &str) -> Heard {
    let signature = sign::slack_v0("another-secret", "1717171717", body.as_bytes());
    call("a-signing-secret", 1_717_171_717, "1717171717", &signature, body).map_or_else(
        || {
            let signature = sign::slack_v0("a-signing-secret", "1717171717", body.as_bytes());
            call("a-signing-secret", 1_717_171_717, "1717171717", &signature, body).unwrap()
        },
        |heard| panic!("another secret is taken: {heard:?}"),
    )
}

#[test]
fn a_press_says_who_and_brings_the_ticket_and_all_else_is_only_answered() {
    let press = |user: Value, actions: Value| {
        json!({ "type": "block_actions", "user": user, "actions": actions, "trigger_id": "1.2" })
            .to_string()
    };
    let action = json!([{ "action_id": "acknowledge", "value": TICKET, "type": "button" }]);
    for (user, by) in [
        (json!({ "id": "U123", "username": "ada", "name": "x" }), "ada (Slack U123)"),
        (json!({ "id": "U123", "name": "ada" }), "ada (Slack U123)"),
        (json!({ "id": "U123" }), "Slack U123"),
        (
            json!({ "id": "U0123456789", "username": "bob ".repeat(40) }),
            &*format!("{}bob… (Slack U0123456789)", "bob ".repeat(14)),
        ),
        (
            json!({ "id": "U0123456789", "username": "张".repeat(80) }),
            &*format!("{}… (Slack U0123456789)", "张".repeat(59)),
        ),
        (json!({ "id": "U1\r\n23", "username": "\u{202e}a\nda\u{7}" }), "a da (Slack U1  23)"),
    ] {
        let Heard::Pressed(press) = signed(&press(user, action.clone())) else { panic!("{by}") };
        assert_eq!(press.by, by);
        assert_eq!(press.ticket.expose(), TICKET);
        assert!(press.once.starts_with("v0=") && press.once.len() == 67);
        assert!(!format!("{press:?}").contains(TICKET));
    }
    let user = json!({ "id": "U123", "username": "ada" });
    let link = json!([{ "action_id": "link-0", "type": "button" }]);
    let old_link = json!([{ "action_id": "acknowledge", "type": "button" }]);
    for payload in [
        press(user.clone(), link),
        press(user.clone(), old_link),
        press(user.clone(), json!([])),
        press(json!(null), action.clone()),
        press(user.clone(), action.clone()).replace("block_actions", "view_submission"),
        "{}".to_owned(),
        "no JSON".to_owned(),
    ] {
        let Heard::Other(reply) = signed(&payload) else { panic!("{payload}") };
        assert_eq!((reply.status, reply.body.as_str()), (200, ""), "{payload}");
    }
    for (body, answer) in [
        ("ssl_check=1&token=x", ""),
        ("", ""),
        (r#"{"type":"url_verification","challenge":"3eZbrw1a"}"#, "3eZbrw1a"),
        (r#"{"type":"event_callback","challenge":"3eZbrw1a"}"#, ""),
    ] {
        let Heard::Other(reply) = signed_body(body) else { panic!("{body}") };
        assert_eq!((reply.status, reply.body.as_str()), (200, answer), "{body}");
    }
}

#[test]
fn only_a_channel_with_a_signing_secret_is_called_and_shows_a_button_to_press() {
    let mut settings = base_settings("slack_api");
    let signing = Channel::build("slack_api", Value::Object(settings.clone())).unwrap();
    settings.remove("signing_secret");
    let plain = Channel::build("slack_api", Value::Object(settings)).unwrap();
    assert!(signing.callback().is_some() && plain.callback().is_none());
    let status = |pressed| signing.callback().unwrap().reply(&pressed, Locale::English).status;
    let by = "ada".to_owned();
    assert_eq!(status(Pressed::Taken), 200);
    assert_eq!(status(Pressed::Answered { by, resolved: true }), 200);
    assert!(status(Pressed::Gone) >= 400 && status(Pressed::Failed) >= 500);
}

#[test]
fn telegram_shows_nobody_what_it_escapes() {
    let vectors: Value = read_json(&fixtures().join("vectors.json"));
    for case in vectors["escaping"]["telegram_html"]["cases"].as_array().unwrap() {
        let (text, html) = (case["in"].as_str().unwrap(), case["out"].as_str().unwrap());
        assert_eq!(crate::mrkdwn::escape(text), html);
        assert_eq!(crate::mrkdwn::telegram_html(text), html);
        assert_eq!(read_html(html), text);
    }
}

#[test]
fn news_say_once_which_alert_they_are_about() {
    let about = told(Message::new(Level::Critical, "db-1 `磁盘`已满"), &[]);
    let mentions = Mentions::default();
    for (title, headline, news) in [
        ("张三已确认：db-1 `磁盘`已满", "张三已确认：db-1 `磁盘`已满", "张三已确认"),
        ("Resolved by Lin: db-1 `磁盘`已满", "Resolved by Lin: db-1 `磁盘`已满", "Resolved by Lin"),
        // What a producer says does not name it, or is nothing else.
        ("Room again", "Room again: db-1 `磁盘`已满", "Room again"),
        ("db-1 `磁盘`已满", "db-1 `磁盘`已满", "db-1 `磁盘`已满"),
    ] {
        let message = Message::new(Level::Info, title);
        let out = Outgoing { about: Some(&about), ..outgoing(&message, &mentions, false) };
        assert_eq!((&*out.headline(": "), out.news()), (headline, news));
    }
}
