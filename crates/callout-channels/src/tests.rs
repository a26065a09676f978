//! What holds for every registered kind, and the fixtures that show it.
//!
//! `fixtures/<kind>/settings.json` is a working channel. `<case>/message.json` holds a message, and
//! if it likes `mentions`, `plain`, `settings` (laid over the common ones; null removes a key),
//! `repeat_body` and the `answers` to what follows; `request.http` beside it is what is sent.
//! `responses.txt` says how each answer is read. `UPDATE_EXPECT=1` writes `request.http` anew.

use crate::channel::{HttpRequest, HttpResponse, Mentions, Outgoing, Problem, Value as FieldValue};
use crate::{Channel, FOLLOW_UPS_MAX, REGISTRY, fit, mrkdwn, sign};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use callout_core::id::MessageId;
use callout_core::level::Level;
use callout_core::message::{Attachment, Link, Message};
use callout_core::outcome::{Blame, Outcome, Reason};
use callout_core::secret::Secret;
use callout_core::time::Timestamp;
use serde::Deserialize;
use serde_json::{Map, Value, json};
use std::path::{Path, PathBuf};

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

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Case {
    message: Message,
    #[serde(default)]
    mentions: CaseMentions,
    #[serde(default)]
    plain: bool,
    #[serde(default)]
    settings: Map<String, Value>,
    #[serde(default)]
    repeat_body: Option<usize>,
    #[serde(default)]
    answers: Vec<Value>,
}

#[derive(Default, Deserialize)]
#[serde(deny_unknown_fields)]
struct CaseMentions {
    all: bool,
    ids: Vec<String>,
}

fn outgoing<'a>(message: &'a Message, mentions: &'a Mentions, plain: bool) -> Outgoing<'a> {
    let created_at = Timestamp::from_unix_ms(now().unix_ms() - 1_171).unwrap();
    Outgoing { message, id: id(), created_at, mentions, plain }
}

/// The request and all that follow it, answered by `answers` and then by successes.
fn requests(channel: &Channel, out: &Outgoing<'_>, answers: &[Value]) -> Vec<HttpRequest> {
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
    requests
}

fn show(request: &HttpRequest) -> String {
    let url = url::Url::parse(request.url.expose()).unwrap();
    let query = url.query().map_or(String::new(), |query| format!("?{query}"));
    let mut text = format!("{} {}{query}\nhost: {}\n", request.method, url.path(), url.authority());
    for (name, value) in &request.headers {
        text += &format!("{name}: {}\n", value.expose());
    }
    let body = match serde_json::from_slice::<Value>(&request.body) {
        Ok(json) => serde_json::to_string_pretty(&json).unwrap(),
        Err(_) => String::from_utf8_lossy(&request.body).replace('\r', ""),
    };
    text + "\n" + body.trim_end() + "\n"
}

fn run_case(kind: &str, dir: &Path) {
    let case: Case = read_json(&dir.join("message.json"));
    let mut message = case.message;
    if let Some(times) = case.repeat_body {
        message.body = fit::bytes(&message.body.repeat(times), 16 * 1024);
    }
    message.validate().unwrap_or_else(|e| panic!("{}: {e}", dir.display()));
    let mut settings = base_settings(kind);
    for (key, value) in case.settings {
        if value.is_null() {
            settings.remove(&key)
        } else {
            settings.insert(key, value)
        };
    }
    let channel = Channel::build(kind, Value::Object(settings)).unwrap();
    let mentions = Mentions { all: case.mentions.all, ids: case.mentions.ids };
    let out = outgoing(&message, &mentions, case.plain);
    let requests = requests(&channel, &out, &case.answers);
    let shown: Vec<String> = requests.iter().map(show).collect();
    expect_test::expect_file![dir.join("request.http")].assert_eq(&shown.join("\n###\n\n"));
}

#[test]
fn every_kind_builds_the_requests_of_its_fixtures() {
    for row in REGISTRY {
        let kind = row.spec.kind;
        let folder = fixtures().join(kind);
        let mut cases: Vec<PathBuf> = std::fs::read_dir(&folder)
            .unwrap_or_else(|e| panic!("{kind} has no fixtures: {e}"))
            .map(|entry| entry.unwrap().path())
            .filter(|path| path.is_dir())
            .collect();
        cases.sort();
        assert!(!cases.is_empty(), "{kind} has no fixtures");
        cases.iter().for_each(|dir| run_case(kind, dir));
    }
}

#[test]
fn every_kind_reads_the_answers_of_its_table() {
    for row in REGISTRY {
        let kind = row.spec.kind;
        let table = read(&fixtures().join(kind).join("responses.txt"));
        let lines: Vec<&str> =
            table.lines().filter(|line| !line.is_empty() && !line.starts_with('#')).collect();
        assert!(!lines.is_empty(), "{kind} has an empty table of answers");
        let channel = channel(kind);
        for line in lines {
            let columns: Vec<&str> = line.split(" |").map(str::trim).collect();
            let [status, retry_after, body, expected] = columns[..] else {
                panic!("{kind}: four columns, please: {line}")
            };
            let answer = HttpResponse {
                status: status.parse().unwrap(),
                retry_after: (retry_after != "-").then(|| retry_after.to_owned()),
                body: body.as_bytes().to_vec(),
            };
            assert_eq!(describe(&channel.judge(&answer, now())), expected, "{kind}: {line}");
        }
    }
}

fn describe(outcome: &Outcome) -> String {
    let more = match outcome {
        Outcome::Throttled { until, .. } => format!(" {}s", until.since(now()).as_secs()),
        Outcome::Rejected { blame: Blame::Message, .. } => " message".to_owned(),
        Outcome::Rejected { blame: Blame::Endpoint, .. } => " endpoint".to_owned(),
        Outcome::Accepted(_) | Outcome::Transient(_) | Outcome::Unknown(_) => String::new(),
    };
    let code = outcome.reason().code.clone().unwrap_or_default();
    format!("{}{more} {code}", outcome.name())
}

#[test]
fn a_message_only_partly_understood_is_accepted_with_a_note() {
    let body = br#"{"errcode":0,"errmsg":"Warning: wrong json format. more"}"#.to_vec();
    let answer = HttpResponse { status: 200, retry_after: None, body };
    let outcome = channel("wecom").judge(&answer, now());
    assert!(matches!(&outcome, Outcome::Accepted(r) if r.detail.starts_with("only partly")));
}

/// Every credential in a kind's fixture settings and its telling parts, found without the help of the
/// code that hides them.
fn credentials(kind: &str) -> Vec<String> {
    let spec = crate::find(kind).unwrap().spec;
    let mut texts = Vec::new();
    for field in spec.fields.iter().filter(|field| !matches!(field.value, FieldValue::Switch)) {
        strings(base_settings(kind).get(field.name).unwrap_or(&Value::Null), &mut texts);
    }
    assert!(!texts.is_empty(), "{kind} has no credential in its fixture settings");
    for text in texts.clone() {
        if let Ok(url) = url::Url::parse(&text) {
            texts.push(url.path().to_owned());
            texts.extend(url.path_segments().unwrap().next_back().map(str::to_owned));
            texts.extend(url.query().map(str::to_owned));
        }
        texts.extend(text.split(' ').next_back().map(str::to_owned));
        texts.push(text.trim_start_matches("whsec_").to_owned());
    }
    // Of an address, scheme and host may be seen.
    texts.retain(|text| !text.starts_with("http"));
    assert!(texts.iter().all(|text| text.len() >= 10), "{kind}: longer credentials, please");
    texts
}

#[test]
fn no_answer_can_put_a_credential_into_an_outcome() {
    for row in REGISTRY {
        let kind = row.spec.kind;
        let channel = channel(kind);
        for secret in credentials(kind) {
            for body in hostile_bodies(&secret) {
                for status in [200, 302, 400, 404, 429, 503] {
                    let retry_after = Some(secret.clone());
                    let answer = HttpResponse { status, retry_after, body: body.clone() };
                    let shown = format!("{:?}", channel.judge(&answer, now()));
                    let leak: String = secret.chars().take(10).collect();
                    assert!(!shown.contains(&leak), "{kind} shows {leak} in {shown}");
                }
            }
        }
    }
}

/// The credential as text, inside each provider's JSON, and where texts are cut.
fn hostile_bodies(secret: &str) -> Vec<Vec<u8>> {
    let mut bodies = vec![secret.to_owned(), format!("bad token {secret}!")];
    for code in [0, -1, 310_000, 93_000, 40_035, 123_456] {
        bodies.push(json!({ "errcode": code, "errmsg": format!("not {secret} ok") }).to_string());
    }
    bodies.push(json!({ "status": 1111, "punish": secret, "wait": 5 }).to_string());
    // Closer together than a credential is long.
    for before in (140..210).chain(430..520).step_by(5) {
        let text = "x".repeat(before) + secret + "yyy";
        bodies.push(json!({ "errcode": 40_035, "errmsg": text }).to_string());
        bodies.push(text);
    }
    bodies.into_iter().map(String::into_bytes).collect()
}

#[test]
fn no_debug_output_shows_a_credential() {
    for row in REGISTRY {
        let kind = row.spec.kind;
        let channel = channel(kind);
        let (message, mentions) = (Message::new(Level::Info, "x"), Mentions::default());
        let out = outgoing(&message, &mentions, false);
        let request = channel.http().request(&out, now()).unwrap();
        let shown = format!("{channel:?} {request:?} {:?}", channel.http());
        for secret in credentials(kind) {
            assert!(!shown.contains(&secret), "{kind} shows {secret} in {shown}");
        }
    }
}

#[test]
fn no_problem_shows_a_value_and_every_damage_is_one() {
    const CANARY: &str = "canary-5e9b";
    for row in REGISTRY {
        let kind = row.spec.kind;
        for field in row.spec.fields {
            for value in [
                json!(format!("{CANARY} \u{7} torn")),
                json!(format!("http://{CANARY}:pw@host/#{CANARY}")),
                json!([CANARY, 5]),
                json!({ "x": CANARY, "y": [CANARY] }),
                json!(7),
                json!(""),
                Value::Null,
            ] {
                let mut settings = base_settings(kind);
                settings.insert(field.name.to_owned(), value.clone());
                // Free text takes any text.
                let Err(problems) = Channel::build(kind, Value::Object(settings)) else {
                    assert!(value.is_string(), "{kind}.{} takes {value}", field.name);
                    continue;
                };
                let shown = format!("{problems:?}");
                assert!(!problems.is_empty() && !shown.contains(CANARY), "{shown}");
            }
            let mut settings = base_settings(kind);
            settings.remove(field.name);
            let built = Channel::build(kind, Value::Object(settings));
            assert_eq!(built.is_err(), field.required, "{kind} without {}", field.name);
        }
    }
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

fn huge(body: &str) -> Message {
    let mut message = Message::new(Level::Critical, fit::bytes(&"标题🔥&<".repeat(300), 1024));
    message.body = fit::bytes(&body.repeat(16 * 1024 / body.len() + 1), 16 * 1024);
    for n in 0..64 {
        message.labels.insert(format!("标签{n:02}"), fit::bytes(&"值🔥<&".repeat(200), 1024));
    }
    let url = |n: usize| format!("https://e.example/{n:02}/{}", "p".repeat(2048 - 21));
    message.links = (0..16).map(|n| Link { text: "链接&".repeat(30), url: url(n) }).collect();
    message.images = (0..16).map(url).collect();
    message.validate().unwrap();
    message
}

#[test]
fn the_largest_messages_fit_every_kind() {
    let mentions = Mentions { all: true, ids: (0..500).map(|n| format!("user{n}")).collect() };
    for row in REGISTRY {
        let channel = channel(row.spec.kind);
        for body in
            ["告警🔥", "&", "\"\\", "a\n", "```\nx\n", "**b** [l](https://e.example/x) ", "`"]
        {
            for plain in [false, true] {
                let message = huge(body);
                let out = outgoing(&message, &mentions, plain);
                for request in requests(&channel, &out, &[]) {
                    let bytes = request.body.len();
                    assert!(bytes <= row.spec.body_bytes_max, "{} {bytes}", row.spec.kind);
                    let json: Value = serde_json::from_slice(&request.body).unwrap();
                    check_limits(row.spec.kind, &json);
                    if !matches!(row.spec.kind, "webhook") && json["msgtype"] != "news" {
                        assert!(json.to_string().contains("CRITICAL"));
                    }
                }
            }
        }
    }
}

/// The providers' limits for single parts, written down once more.
fn check_limits(kind: &str, body: &Value) {
    let length = |value: &Value| value.as_str().unwrap_or_default().len();
    let units = |value: &Value| fit::utf16_len(value.as_str().unwrap_or_default());
    match kind {
        "wecom" => {
            assert!(length(&body["text"]["content"]) <= 2048);
            assert!(length(&body["markdown"]["content"]) <= 4096);
            for article in body["news"]["articles"].as_array().unwrap_or(&Vec::new()) {
                assert!(length(&article["title"]) <= 128 && length(&article["description"]) <= 512);
            }
        }
        "slack" => {
            assert!(units(&body["text"]) <= 40_000);
            assert!(fit::utf16_len(&body["blocks"].to_string()) <= 12_000);
            let blocks = body["blocks"].as_array().cloned().unwrap_or_default();
            assert!(blocks.len() <= 50);
            for block in &blocks {
                let most = if block["type"] == "header" { 150 } else { 3_000 };
                assert!(units(&block["text"]["text"]) <= most);
                for field in block["fields"].as_array().unwrap_or(&Vec::new()) {
                    assert!(units(&field["text"]) <= 2_000);
                }
                let elements = block["elements"].as_array().cloned().unwrap_or_default();
                assert!(elements.len() <= 25);
                for button in elements.iter().filter(|e| e["type"] == "button") {
                    assert!(units(&button["text"]["text"]) <= 75 && units(&button["url"]) <= 3_000);
                }
            }
        }
        _ => {}
    }
}

#[test]
fn no_text_of_a_message_can_mention_anybody() {
    let tokens = "@all @ALL @所有人 @13800000000 x@13800000000 <@user01> <@U1> <!channel> <!here> <!everyone> <!subteam^S1> <at id=all> <font color=\"warning\">x</font> ＠all";
    let mut message = Message::new(Level::Error, tokens);
    message.body = format!(
        "{tokens}\n- {tokens}\n> {tokens}\n```\n{tokens}\n```\n`{tokens}` [{tokens}](https://e.example/)"
    );
    message.labels.insert(tokens.to_owned(), tokens.to_owned());
    message.links = vec![Link { text: tokens.to_owned(), url: "https://e.example/".to_owned() }];
    message.attachments =
        vec![Attachment { name: tokens.replace(['/', '"'], ""), base64: "aGk=".to_owned() }];
    let mentions = Mentions::default();
    let dangerous = [
        "@all",
        "@ALL",
        "@所有人",
        "@138",
        "＠all",
        "<@",
        "<!",
        "<at",
        "<font color=\"warning\">x",
    ];
    for row in REGISTRY.iter().filter(|row| row.spec.kind != "webhook") {
        for plain in [false, true] {
            let out = outgoing(&message, &mentions, plain);
            let request = channel(row.spec.kind).http().request(&out, now()).unwrap();
            let body: Value = serde_json::from_slice(&request.body).unwrap();
            let mut texts = Vec::new();
            strings(&body, &mut texts);
            for text in texts {
                for token in dangerous {
                    assert!(!text.contains(token), "{}: {token} in {text}", row.spec.kind);
                }
            }
        }
    }
}

/// Every text in `value`, apart from labels of buttons, where nothing is a mention.
fn strings(value: &Value, texts: &mut Vec<String>) {
    match value {
        Value::String(text) => texts.push(text.clone()),
        Value::Array(list) => list.iter().for_each(|value| strings(value, texts)),
        Value::Object(table) if table.contains_key("url") || table.contains_key("singleURL") => {
            table
                .get("text")
                .filter(|text| text.is_string())
                .into_iter()
                .for_each(|text| strings(text, texts));
        }
        Value::Object(table) if table.get("type") == Some(&json!("plain_text")) => {}
        Value::Object(table) => table.values().for_each(|value| strings(value, texts)),
        Value::Null | Value::Bool(_) | Value::Number(_) => {}
    }
}

#[test]
fn a_native_body_that_is_too_large_is_refused() {
    for row in REGISTRY {
        let mut message = Message::new(Level::Info, "x");
        let native = json!({ "text": "x".repeat(row.spec.body_bytes_max) });
        message.native.insert(row.spec.kind.to_owned(), native);
        let mentions = Mentions::default();
        let refused = |plain| {
            channel(row.spec.kind)
                .http()
                .request(&outgoing(&message, &mentions, plain), now())
                .is_err()
        };
        assert!(refused(false) && !refused(true), "{}", row.spec.kind);
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

fn vectors() -> Value {
    read_json(&fixtures().join("vectors.json"))
}

fn text(value: &Value) -> &str {
    value.as_str().unwrap()
}

#[test]
fn dingtalk_signatures_match_the_vectors() {
    let vectors = vectors();
    for vector in vectors["dingtalk_sign"].as_array().unwrap() {
        let at_ms = text(&vector["timestamp_ms"]).parse().unwrap();
        let query = sign::dingtalk_query(text(&vector["secret"]), at_ms);
        assert_eq!(query, text(&vector["query"]));
        let sign = query.split_once("&sign=").unwrap().1;
        assert_ne!(sign, text(&vector["wrong_double_encoded"]));
        assert_ne!(sign, text(&vector["sign_base64"]));
        if text(&vector["sign_base64"]).contains('/') {
            assert_ne!(sign, text(&vector["wrong_python_quote_default"]));
        }
    }
    let trap = &vectors["dingtalk_double_encoding_trap"];
    let settings = json!({ "access_token": "abc", "sign_key": trap["secret"] });
    let channel = Channel::build("dingtalk", settings).unwrap();
    let (message, mentions) = (Message::new(Level::Info, "x"), Mentions::default());
    let at = Timestamp::from_unix_ms(text(&trap["timestamp_ms"]).parse().unwrap()).unwrap();
    let request = channel.http().request(&outgoing(&message, &mentions, false), at).unwrap();
    assert_eq!(request.url.expose(), text(&trap["correct"]));
    assert_ne!(request.url.expose(), text(&trap["wrong"]));
}

#[test]
fn webhook_signatures_match_the_vectors() {
    let vectors = vectors();
    let signature = |vector: &Value, secret: &str| {
        let key = STANDARD.decode(secret.strip_prefix("whsec_").unwrap()).unwrap();
        let at_s = text(&vector["webhook_timestamp"]).parse().unwrap();
        let body = text(&vector["body"]).as_bytes();
        sign::standard_webhook(&key, text(&vector["webhook_id"]), at_s, body)
    };
    let all = vectors["standard_webhooks"].as_array().unwrap();
    for vector in all {
        assert_eq!(signature(vector, text(&vector["secret"])), text(&vector["webhook_signature"]));
    }
    let both =
        [&all[1]["secret"], &all[2]["secret"]].map(|secret| signature(&all[1], text(secret)));
    let rotation = text(&vectors["standard_webhooks_rotation"]["webhook_signature"]);
    assert_eq!(both.join(" "), rotation);
}

#[test]
fn a_wecom_image_carries_the_checksum_of_its_raw_bytes() {
    let vectors = vectors();
    let vector = &vectors["wecom_image"];
    let mut message = Message::new(Level::Info, "x");
    let base64 = text(&vector["base64"]).to_owned();
    message.attachments = vec![Attachment { name: "x.png".to_owned(), base64 }];
    let mentions = Mentions::default();
    let all = requests(&channel("wecom"), &outgoing(&message, &mentions, false), &[]);
    let body: Value = serde_json::from_slice(&all[1].body).unwrap();
    assert_eq!(body["image"]["md5"], vector["md5_hex_of_raw_bytes"]);
    assert_eq!(body["image"]["base64"], vector["base64"]);
    assert_ne!(body["image"]["md5"], vector["wrong_md5_of_base64_text"]);
}

#[test]
fn texts_are_cut_and_escaped_as_the_vectors_say() {
    let vectors = vectors();
    for case in vectors["utf8_byte_truncation"]["cases"].as_array().unwrap() {
        let max = usize::try_from(case["max_bytes"].as_u64().unwrap()).unwrap();
        assert_eq!(fit::bytes(text(&case["input"]), max), text(&case["output"]));
    }
    for case in vectors["escaping"]["slack_mrkdwn"]["cases"].as_array().unwrap() {
        assert_eq!(mrkdwn::escape(text(&case["in"])), text(&case["out"]));
    }
}

#[test]
fn an_answer_cannot_draw_on_the_terminal() {
    let body = "no\r\n\u{1b}[31m \u{202e}such".as_bytes().to_vec();
    let answer = HttpResponse { status: 404, retry_after: None, body };
    assert_eq!(channel("slack").judge(&answer, now()).reason().detail, "no  [31m such");
}

#[test]
fn a_credential_cut_in_half_is_hidden_too() {
    let channel = channel("dingtalk");
    let detail = "xx 0123456789abcdef012".to_owned();
    let outcome = channel.masked(Outcome::Transient(Reason { code: None, detail }));
    assert_eq!(outcome.reason().detail, "xx ***");
    let secret = Secret::new("0123456789");
    assert_eq!(crate::deliver::cut_secret("a 01234", &secret), None);
}
