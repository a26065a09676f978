//! What holds for every registered kind, and the fixtures that show it.
//!
//! `fixtures/<kind>/settings.json` is a working channel. `<case>/message.json` holds a message, and
//! if it likes `mentions`, `plain`, `ask` (`url`, `note`, `telling`; all may be left out), `settings`
//! (laid over the common ones; null removes a key), `repeat_body`, the `answers` to what follows, the
//! alert it is `about` (`message`, `standing`, `receipts`) and a `locale`; `request.http` beside it is
//! what is sent: requests, edits of what was told, or what a kind that speaks no HTTP shows of itself. `responses.txt` says how each answer is read.
//! `UPDATE_EXPECT=1` writes `request.http` anew.

use crate::TimeZone;
use crate::channel::{Ask, HttpRequest, HttpResponse, Mentions, Outgoing};
use crate::spec::Problem;
use crate::{Build, Channel, FOLLOW_UPS_MAX, REGISTRY, Registration};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use callout_core::id::MessageId;
use callout_core::level::Level;
use callout_core::locale::Locale;
use callout_core::message::Message;
use callout_core::secret::Secret;
use callout_core::time::Timestamp;
use serde_json::{Map, Value, json};
use std::path::{Path, PathBuf};

mod apprise;
mod ask;
mod bots;
mod cards;
mod direct;
mod fixtures;
mod leaks;
mod limits;
mod mentions;
mod push;
mod sms;
mod vectors;
mod wecom_app;

static UTC: TimeZone = TimeZone::UTC;

fn now() -> Timestamp {
    Timestamp::from_unix_ms(1_717_171_717_171).unwrap()
}

fn id() -> MessageId {
    MessageId::new(now(), [7; 10])
}

fn fixtures() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("fixtures")
}

fn read(path: &Path) -> String {
    std::fs::read_to_string(path).unwrap_or_else(|e| panic!("{}: {e}", path.display()))
}

fn read_json<T: serde::de::DeserializeOwned>(path: &Path) -> T {
    serde_json::from_str(&read(path)).unwrap_or_else(|e| panic!("{}: {e}", path.display()))
}

fn base_settings(kind: &str) -> Map<String, Value> {
    read_json(&fixtures().join(kind).join("settings.json"))
}

fn channel(kind: &str) -> Channel {
    Channel::build(kind, Value::Object(base_settings(kind))).unwrap()
}

fn outgoing<'a>(message: &'a Message, mentions: &'a Mentions, plain: bool) -> Outgoing<'a> {
    let created_at = Timestamp::from_unix_ms(now().unix_ms() - 1_171).unwrap();
    Outgoing {
        message,
        id: id(),
        created_at,
        mentions,
        plain,
        ask: None,
        about: None,
        locale: Locale::English,
        zone: &UTC,
    }
}

fn ask(url: Option<&str>, note: Option<&str>, telling: u32) -> Ask {
    let command = format!("callout ack {}", id());
    Ask { url: url.map(Secret::new), command, note: note.map(str::to_owned), telling }
}

/// An address to acknowledge at, and the ticket at its end.
const LINK: &str = "https://callout.example.com/a/AQGPz2kEM3cHhwcHBwcHBwcAAAADAY";
const TICKET: &str = "AQGPz2kEM3cHhwcHBwcHBwcAAAADAY";

/// Whether a message of this kind shows the address or the command; a voice cannot.
fn shows_ack(spec: &crate::spec::Spec) -> bool {
    !matches!(spec.ack, "none" | "key press")
}

/// The kinds that speak HTTP.
fn http_kinds() -> impl Iterator<Item = &'static Registration> {
    REGISTRY.iter().filter(|row| matches!(row.build, Build::Http(_)))
}

/// A body as a tree: JSON, the fields of a form, or one text.
fn tree(request: &HttpRequest) -> Value {
    if let Ok(json) = serde_json::from_slice(&request.body) {
        return json;
    }
    let form = request.headers.iter().any(|(_, value)| value.expose().contains("x-www-form"));
    if form {
        let fields = url::form_urlencoded::parse(&request.body);
        return fields
            .map(|(name, value)| (name.into_owned(), Value::from(value.into_owned())))
            .collect();
    }
    String::from_utf8_lossy(&request.body).into_owned().into()
}

/// The request and all that follow it, answered by `answers` and then by successes; then the edits.
fn requests(channel: &Channel, out: &Outgoing<'_>, answers: &[Value]) -> Vec<HttpRequest> {
    if let Some(direct) = channel.direct() {
        let body = direct.preview(out, now()).unwrap().into_bytes();
        return vec![HttpRequest { method: "", url: Secret::new(""), headers: vec![], body }];
    }
    let mut requests = vec![channel.http().request(out, now()).unwrap()];
    let mut given = Vec::new();
    while let Some(request) = channel.http().follow_up(out, now(), &given) {
        assert!(given.len() < FOLLOW_UPS_MAX, "more follows than is allowed");
        requests.push(request);
        let success = json!({ "errcode": 0, "errmsg": "ok", "media_id": "MEDIA-1" });
        let answer = answers.get(given.len()).unwrap_or(&success);
        given.push(HttpResponse {
            status: 200,
            retry_after: None,
            body: answer.to_string().into_bytes(),
        });
    }
    let Some(about) = out.about else { return requests };
    let (message, id, created_at) = (&*about.message, about.id, about.created_at);
    let told = Outgoing { message, id, created_at, ask: None, about: None, plain: false, ..*out };
    let edits = about.receipts.iter();
    let edits = edits.filter_map(|r| channel.http().edit(&told, r, &out.message.title, now()));
    requests.extend(edits);
    requests
}

fn problems(kind: &str, over: Value) -> Vec<String> {
    let mut settings = base_settings(kind);
    let Value::Object(over) = over else { panic!("a table, please") };
    settings.extend(over);
    let show = |Problem { field, text }| format!("{field}: {text}");
    match Channel::build(kind, Value::Object(settings)) {
        Ok(_) => Vec::new(),
        Err(problems) => problems.into_iter().map(show).collect(),
    }
}

#[test]
fn settings_are_checked_for_what_they_mean() {
    let key = |bytes: usize| format!("whsec_{}", STANDARD.encode(vec![7; bytes]));
    for (kind, over, expected) in [
        ("dingtalk", json!({ "access_token": "token123\n" }), ""),
        ("dingtalk", json!({ "access_token": "tok en" }), "access_token: contains white space"),
        ("dingtalk", json!({ "access_token": " \n" }), "access_token: is empty"),
        ("dingtalk", json!({ "endpoint": "ftp://x/" }), "endpoint: has to begin with"),
        ("dingtalk", json!({ "endpoint": "nonsense" }), "endpoint: is no address"),
        ("dingtalk", json!({ "endpoint": "http://me@x/" }), "endpoint: may not contain a user"),
        (
            "dingtalk",
            json!({ "acess_token": "x" }),
            "kind: has no other settings than access_token",
        ),
        ("dingtalk", json!({ "message_uuid": "yes" }), "message_uuid: has to be true or false"),
        ("wecom", json!({ "markdown": "v3" }), "markdown: has to be"),
        (
            "slack",
            json!({ "webhook_url": "http://hooks.slack.com/x" }),
            "webhook_url: has to begin",
        ),
        ("slack", json!({ "webhook_url": "http://127.0.0.1:1/x" }), ""),
        (
            "webhook",
            json!({ "secret": "MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw" }),
            "secret: has to begin",
        ),
        ("webhook", json!({ "secret": "whsec_!" }), "secret: has to be standard Base64"),
        ("webhook", json!({ "secret": key(23) }), "secret: has to hold 24 to 64 bytes"),
        ("webhook", json!({ "secret": [key(24), key(64)] }), ""),
        ("webhook", json!({ "secret": [key(24), key(65)] }), "secret: has to hold 24 to 64 bytes"),
        ("webhook", json!({ "secret": [] }), "secret: has to be a text or a list"),
        ("webhook", json!({ "headers": { "Host": "x" } }), "headers: may not set host"),
        ("webhook", json!({ "headers": { "Webhook-Id": "x" } }), "headers: may not set webhook-id"),
        (
            "webhook",
            json!({ "headers": { "Callout-Ack": "x" } }),
            "headers: may not set callout-ack",
        ),
        (
            "webhook",
            json!({ "headers": { "Content-Length": "1" } }),
            "headers: may not set content-l",
        ),
        ("webhook", json!({ "headers": { "a": "x\r\nb: c" } }), "headers: holds a value for a"),
        ("webhook", json!({ "headers": { "a\r\nb": "x" } }), "headers: holds a name"),
    ] {
        let found = problems(kind, over.clone());
        match found.as_slice() {
            [] => assert_eq!(expected, "", "{kind} {over}"),
            [problem] if !expected.is_empty() => {
                assert!(problem.starts_with(expected), "{kind} {over}: {problem}");
            }
            more => panic!("{kind} {over}: {more:?}"),
        }
    }
    assert_eq!(Channel::build("pigeon", json!({})).unwrap_err()[0].field, "kind");
}

#[test]
fn what_was_copied_along_with_a_credential_is_told() {
    let whole = "has to be the value of ";
    for (kind, field, value, expected) in [
        ("dingtalk", "access_token", "https://oapi.dingtalk.com/robot/send?access_token=a1", whole),
        ("dingtalk", "access_token", "oapi.dingtalk.com/robot/send?access_token=a1", whole),
        ("dingtalk", "access_token", "access_token=a1b2", "has to be the value alone, without acc"),
        ("feishu", "token", "https://open.feishu.cn/open-apis/bot/v2/hook/a1", whole),
        ("wecom", "key", "https://qyapi.weixin.qq.com/cgi-bin/webhook/send?key=a1", whole),
        ("serverchan", "key", "https://sctapi.ftqq.com/SCT1.send", whole),
        ("pushplus", "token", "https://www.pushplus.plus/send?token=a1", whole),
        ("bark", "device_key", "https://api.day.app/a1/", whole),
        ("ntfy", "topic", "https://ntfy.sh/a1", whole),
        ("telegram", "bot_token", "https://api.telegram.org/bot123456:AAbb/", whole),
        ("telegram", "bot_token", "bot123456:AAHdqTcvCH1vGWJxfSeofSAs0K5PALDsaw", "has to be a nu"),
        ("slack_api", "bot_token", "Bearer xoxb-1", "has to be the value alone, without the word"),
        ("aliyun_sms", "sign_name", "【运维】", "has to be the signature alone"),
        ("tencent_sms", "sign_name", "【运维】", "has to be the signature alone"),
    ] {
        let found = problems(kind, json!({ field: value }));
        let [problem] = &found[..] else { panic!("{kind}.{field}: {found:?}") };
        assert!(problem.starts_with(&format!("{field}: {expected}")), "{problem}");
    }
    assert_eq!(
        problems("slack", json!({ "webhook_url": "https://127.0.0.1/x?webhook_url=1" })),
        [""; 0]
    );
}

#[test]
fn one_wrong_setting_hides_no_other() {
    let over = json!({ "smtp": "mail.example.com:25", "from": "nobody", "to": [], "tls": "no", "roots": "/x" });
    let found = problems("email", over);
    let fields: Vec<&str> = found.iter().filter_map(|text| text.split(':').next()).collect();
    assert_eq!(fields, ["to", "tls", "roots", "smtp", "from"], "{found:?}");
    // What is asked of a wrong setting is not asked of what stands for it.
    assert_eq!(problems("email", json!({ "smtp": "", "tls": 5 })).len(), 2);
    let found = problems("dingtalk", json!({ "acess_token": "x", "access_token": "" }));
    assert_eq!(found.len(), 2, "{found:?}");
    for row in REGISTRY {
        let nothing = Channel::build(row.spec.kind, json!({})).unwrap_err();
        let missing = row.spec.fields.iter().filter(|field| field.required);
        let expected: Vec<&str> = missing.map(|field| field.name).collect();
        let found: Vec<&str> = nothing.iter().map(|problem| problem.field).collect();
        assert_eq!(found, expected, "{nothing:?}");
    }
}

/// Every text in `value`.
fn strings(value: &Value, texts: &mut Vec<String>) {
    match value {
        Value::String(text) => texts.push(text.clone()),
        Value::Array(list) => list.iter().for_each(|value| strings(value, texts)),
        Value::Object(table) => table.values().for_each(|value| strings(value, texts)),
        Value::Null | Value::Bool(_) | Value::Number(_) => {}
    }
}

#[test]
fn every_advice_is_the_answer_to_something_and_is_in_both_languages() {
    for row in REGISTRY {
        let kind = row.spec.kind;
        for advice in row.spec.advice {
            let (english, chinese) = (advice.english, advice.chinese);
            assert_eq!(advice.says, advice.says.to_lowercase(), "{kind}: {english}");
            assert!(english.is_ascii() || !english.contains(|c: char| c > '\u{2fff}'), "{english}");
            assert!(english.ends_with('.') && english.len() > 20, "{kind}: {english}");
            let han = |c: char| ('\u{4e00}'..='\u{9fff}').contains(&c);
            assert!(chinese.ends_with('。') && chinese.contains(han), "{kind}: {chinese}");
        }
    }
    for row in http_kinds() {
        let given: Vec<&str> = fixtures::reasons(row.spec.kind)
            .iter()
            .filter_map(|reason| row.spec.advise(reason, Locale::English))
            .collect();
        for advice in row.spec.advice {
            let said = given.contains(&advice.english);
            assert!(said, "{}: no answer of its table asks for: {}", row.spec.kind, advice.english);
        }
    }
}

#[test]
fn every_spec_can_be_read() {
    for row in REGISTRY {
        row.spec.rate.parse::<callout_core::rate::Rate>().unwrap();
        assert_eq!(crate::find(row.spec.kind).unwrap().spec.kind, row.spec.kind);
        assert!(
            row.spec
                .fields
                .iter()
                .all(|field| field.doc.ends_with('.') && !field.doc.contains('\n'))
        );
    }
    assert_eq!(crate::kinds().count(), REGISTRY.len());
}
