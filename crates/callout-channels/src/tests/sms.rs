//! Short messages and calls.

use super::*;
use crate::callback::{Heard, Inbound, Press, Pressed};
use crate::fit;
use crate::mask::Mask;
use crate::sign::cloud;
use callout_core::outcome::Outcome;
use std::collections::BTreeMap;

const KINDS: [&str; 4] = ["aliyun_sms", "tencent_sms", "twilio_sms", "twilio_voice"];

/// The providers' limits for single parts, written down once more.
pub(super) fn check_limits(kind: &str, body: &Value) {
    let length = |value: &Value| value.as_str().unwrap_or_default().chars().count();
    match kind {
        "aliyun_sms" => {
            let params = text(&body["TemplateParam"]);
            assert!(!params.contains('\n'));
            let params: BTreeMap<String, String> = serde_json::from_str(params).unwrap();
            assert!(params.len() == 3 && params.values().all(|value| !value.is_empty()));
            assert!(params.values().all(|value| value.chars().count() <= 20));
        }
        "tencent_sms" => {
            let params = body["TemplateParamSet"].as_array().unwrap();
            assert_eq!(params.len(), 3);
            assert!(params.iter().all(|value| (1..=6).contains(&length(value))));
            assert_eq!(params[0], "CRIT");
        }
        "twilio_sms" => assert!((1..=1_600).contains(&length(&body["Body"]))),
        "twilio_voice" => {
            let script = text(&body["Twiml"]);
            assert!(script.chars().count() <= 4_000, "{script}");
            assert!(script.starts_with("<Response>") && script.ends_with("</Response>"));
            // Only what is ours opens a tag.
            let tags: Vec<&str> = script.split('<').skip(1).collect();
            let ours = ["Response>", "/Response>", "Say ", "/Say>", "Gather ", "/Gather>"];
            assert!(tags.iter().all(|tag| ours.iter().any(|known| tag.starts_with(known))));
        }
        _ => {}
    }
}

fn text(value: &Value) -> &str {
    value.as_str().unwrap()
}

fn vectors(name: &str) -> Value {
    let vectors: Value = read_json(&fixtures().join("vectors.json"));
    vectors[name].clone()
}

fn headers(vector: &Value) -> Vec<(&str, &str)> {
    let headers = vector.as_object().unwrap();
    headers.iter().map(|(name, value)| (name.as_str(), text(value))).collect()
}

#[test]
fn aliyun_signatures_match_the_vectors() {
    for vector in vectors("aliyun_acs3").as_array().unwrap() {
        let query = cloud::form(&headers(&vector["query"]));
        assert_eq!(query, text(&vector["canonical_query"]));
        let body = text(&vector["body"]).as_bytes();
        let all = headers(&vector["headers"]);
        let canonical = cloud::canonical(text(&vector["canonical_uri"]), &query, &all, body);
        assert_eq!(canonical.0, text(&vector["canonical_request"]));
        assert_eq!(canonical.1, text(&vector["signed_headers"]));
        assert_eq!(cloud::acs3_text(&canonical.0), text(&vector["string_to_sign"]));
        let (id, secret) = (&vector["access_key_id"], &vector["access_key_secret"]);
        let authorization = cloud::acs3(text(id), text(secret), &canonical);
        assert_eq!(authorization, text(&vector["authorization"]));
    }
    let last = &vectors("aliyun_acs3")[2];
    let fields = [
        ("TemplateParam", r#"{"server":"web *01~ a+b","type":"CPU 95%"}"#),
        ("PhoneNumbers", "13800000000"),
        ("TemplateCode", "SMS_123456789"),
        ("SignName", "监控系统"),
        ("OutId", "alert-0001"),
    ];
    assert_eq!(cloud::form(&fields), text(&last["body"]));
}

#[test]
fn tencent_signatures_match_the_vectors() {
    for vector in vectors("tencent_tc3").as_array().unwrap() {
        let mut all =
            vec![("content-type", text(&vector["content_type"])), ("host", text(&vector["host"]))];
        if text(&vector["signed_headers"]).contains("x-tc-action") {
            all.push(("x-tc-action", "describeinstances"));
        }
        let canonical = cloud::canonical("/", "", &all, text(&vector["payload"]).as_bytes());
        assert_eq!(canonical.0, text(&vector["canonical_request"]));
        let (service, at_s) = (text(&vector["service"]), vector["timestamp"].as_i64().unwrap());
        assert_eq!(cloud::tc3_day(at_s), text(&vector["date_utc"]));
        assert_eq!(cloud::tc3_text(service, at_s, &canonical.0), text(&vector["string_to_sign"]));
        let (id, key) = (text(&vector["secret_id"]), text(&vector["secret_key"]));
        let authorization = cloud::tc3(id, key, service, at_s, &canonical);
        assert_eq!(authorization, text(&vector["authorization"]));
    }
}

#[test]
fn twilio_signatures_match_the_vectors() {
    for vector in vectors("twilio_request_signature").as_array().unwrap() {
        let fields = headers(&vector["params"]);
        // In whatever order they come.
        for fields in [fields.clone(), fields.into_iter().rev().collect()] {
            let mut form = url::form_urlencoded::Serializer::new(String::new());
            let form = form.extend_pairs(fields).finish();
            let (token, url) = (text(&vector["auth_token"]), text(&vector["url"]));
            let signature = cloud::twilio(token, url, form.as_bytes());
            assert_eq!(signature, text(&vector["x_twilio_signature"]));
        }
    }
    let basic = vectors("twilio_basic_auth");
    let header = cloud::basic(text(&basic["account_sid"]), text(&basic["auth_token"]));
    assert_eq!(header, text(&basic["authorization"]));
}

fn build(kind: &str, over: Value) -> Channel {
    let mut settings = base_settings(kind);
    settings.extend(over.as_object().cloned().unwrap());
    Channel::build(kind, Value::Object(settings)).unwrap()
}

fn request(channel: &Channel, telling: u32, at_ms: i64) -> HttpRequest {
    let (message, mentions) = (Message::new(Level::Error, "盘满"), Mentions::default());
    let ask = ask(Some(LINK), None, telling);
    let out = Outgoing { ask: Some(&ask), ..outgoing(&message, &mentions, false) };
    channel.http().request(&out, Timestamp::from_unix_ms(at_ms).unwrap()).unwrap()
}

fn header<'a>(request: &'a HttpRequest, name: &str) -> &'a str {
    let found = request.headers.iter().find(|(have, _)| have == name);
    found.map(|(_, value)| value.expose()).unwrap()
}

#[test]
fn what_is_signed_is_what_is_sent() {
    for endpoint in ["https://sms.example.com/", "http://127.0.0.1:9000/proxy"] {
        let over = json!({ "endpoint": endpoint });
        let host = endpoint.split('/').nth(2).unwrap();
        let path = url::Url::parse(endpoint).unwrap().path().to_owned();

        let sent = request(&build("aliyun_sms", over.clone()), 1, now().unix_ms());
        assert_eq!(sent.url.expose(), endpoint);
        let mut all: Vec<(&str, &str)> = sent
            .headers
            .iter()
            .filter(|(name, _)| name != "authorization")
            .map(|(name, value)| (name.as_ref(), value.expose()))
            .collect();
        all.push(("host", host));
        let canonical = cloud::canonical(&path, "", &all, &sent.body);
        let again = cloud::acs3("LTAI5tInventedKeyId", "inventedSecretOfThatKey0123", &canonical);
        assert_eq!(header(&sent, "authorization"), again);
        assert_eq!(header(&sent, "x-acs-content-sha256"), cloud::sha256(&sent.body));

        let sent = request(&build("tencent_sms", over), 1, now().unix_ms());
        let all = [("content-type", header(&sent, "content-type")), ("host", host)];
        let canonical = cloud::canonical(&path, "", &all, &sent.body);
        let at_s = header(&sent, "x-tc-timestamp").parse().unwrap();
        let (id, key) = ("AKIDInventedSecretId", "inventedSecretKey012345");
        let again = cloud::tc3(id, key, "sms", at_s, &canonical);
        assert_eq!(header(&sent, "authorization"), again);
    }
}

#[test]
fn the_day_of_a_tencent_signature_is_that_of_its_timestamp_in_utc() {
    let midnight_ms = 1_717_200_000_000;
    for (at_ms, day) in [
        (midnight_ms - 1, "/2024-05-31/sms/"),
        (midnight_ms, "/2024-06-01/sms/"),
        // Midnight on the mainland is nothing special.
        (midnight_ms - 8 * 3_600_000, "/2024-05-31/sms/"),
        (midnight_ms + 16 * 3_600_000, "/2024-06-01/sms/"),
    ] {
        let sent = request(&channel("tencent_sms"), 1, at_ms);
        assert!(header(&sent, "authorization").contains(day), "{at_ms}");
        assert_eq!(header(&sent, "x-tc-timestamp"), (at_ms / 1000).to_string());
    }
}

#[test]
fn an_aliyun_nonce_is_never_used_twice() {
    let nonce = |over: Value, telling, at_ms| {
        let sent = request(&build("aliyun_sms", over), telling, at_ms);
        header(&sent, "x-acs-signature-nonce").to_owned()
    };
    let at = now().unix_ms();
    let first = nonce(json!({}), 1, at);
    assert_eq!(first, nonce(json!({}), 1, at));
    for (over, telling, at) in [
        (json!({}), 1, at + 1),
        (json!({}), 2, at),
        (json!({ "phones": "13900000002" }), 1, at),
        (json!({ "endpoint": "https://sms.example.com/" }), 1, at),
    ] {
        assert_ne!(first, nonce(over.clone(), telling, at), "{over}");
    }
}

#[test]
fn settings_are_checked_for_what_they_mean() {
    let names = "it can be title, level, body, id, time, note, link, command and labels.NAME";
    let single = "in single braces; write {{ }} with a name, which can be title, level, body, id, time, note, link, command and labels.NAME";
    let params = |text: &str| json!({ "template_params": { "a": "{{title}}", "b": text } });
    let list = |text: &str| json!({ "template_params": ["{{title}}", text] });
    for (kind, over, expected) in [
        ("aliyun_sms", params("{{ labels.some name }} } {"), String::new()),
        ("aliyun_sms", params("{{titel}}"), format!("template_params: holds a text for b that has an unknown name in {{{{ }}}}; {names}")),
        ("aliyun_sms", params("{{labels.}}"), format!("template_params: holds a text for b that has an unknown name in {{{{ }}}}; {names}")),
        ("aliyun_sms", params("{{title} x"), "template_params: holds a text for b that opens {{ and never closes it".to_owned()),
        ("aliyun_sms", params("${host}"), format!("template_params: holds a text for b that has {{host}} {single}")),
        ("tencent_sms", list("{{level}}: {1}"), format!("template_params: holds a text at position 2 that has {{1}} {single}")),
        ("aliyun_sms", params("{} { {磁盘} a{b c}d"), String::new()),
        ("tencent_sms", list("{{}}"), format!("template_params: holds a text at position 2 that has an unknown name in {{{{ }}}}; {names}")),
        ("tencent_sms", list("{{title"), "template_params: holds a text at position 2 that opens {{ and never closes it".to_owned()),
        ("aliyun_sms", json!({ "template_code": "123456789" }), "template_code: has to be SMS_ and digits".to_owned()),
        ("aliyun_sms", json!({ "template_code": "SMS_" }), "template_code: has to be SMS_ and digits".to_owned()),
        ("aliyun_sms", json!({ "param_chars_max": 0 }), "param_chars_max: has to be from 1 to 500".to_owned()),
        ("tencent_sms", json!({ "param_chars_max": 501 }), "param_chars_max: has to be from 1 to 500".to_owned()),
        ("aliyun_sms", json!({ "phones": " 13800000000" }), String::new()),
        ("aliyun_sms", json!({ "phones": ["13800000000", "23800000000"] }), "phones: holds a phone number that is none, at position 2; write it like +8613800000000".to_owned()),
        ("tencent_sms", json!({ "phones": "13800000000" }), "phones: holds a phone number that is none, at position 1; write it like +8613800000000".to_owned()),
        ("tencent_sms", json!({ "phones": ["+8613800000000", "+15005550006"] }), "phones: mixes numbers on the mainland with others; give each kind a channel".to_owned()),
        ("aliyun_sms", json!({ "phones": ["+8613800000000", "13900000001", "13800000000 "] }), "phones: holds a phone number twice; remove the one at position 3".to_owned()),
        ("tencent_sms", json!({ "phones": ["+8613800000000", "+8613800000000"] }), "phones: holds a phone number twice; remove the one at position 2".to_owned()),
        ("tencent_sms", json!({ "phones": vec!["+8613800000000"; 201] }), "phones: holds more than 200 numbers".to_owned()),
        ("aliyun_sms", json!({ "endpoint": "https://x.example/?a=b" }), "endpoint: may not contain a '?' part".to_owned()),
        ("tencent_sms", json!({ "region": "ap\r\nx: y" }), "region: has to be like ap-guangzhou".to_owned()),
        ("tencent_sms", json!({ "template_id": "SMS_1" }), "template_id: has to be digits".to_owned()),
        ("twilio_sms", json!({ "to": "13800000000" }), "to: has to be one phone number like +8613800000000".to_owned()),
        ("twilio_sms", json!({ "to": "+0380000000" }), "to: has to be one phone number like +8613800000000".to_owned()),
        ("twilio_sms", json!({ "to": "+1234567890123456" }), "to: has to be one phone number like +8613800000000".to_owned()),
        ("twilio_voice", json!({ "from": format!("MG{}", "0".repeat(32)) }), "from: has to be a phone number like +15005550006".to_owned()),
        ("twilio_voice", json!({ "language": "en\"><Hangup/>" }), "language: has to be a language and a country, such as en-US or zh-CN".to_owned()),
        ("twilio_voice", json!({ "account_sid": "AC/../x" }), "account_sid: has to be AC and 32 digits from 0 to f".to_owned()),
        ("twilio_sms", json!({ "language": "en-US" }), "kind: has no other settings than account_sid, auth_token, from, to, endpoint".to_owned()),
    ] {
        assert_eq!(problems(kind, over.clone()).join("\n"), expected, "{kind} {over}");
    }
}

fn judged(kind: &str, body: &Value) -> Outcome {
    let body = body.to_string().into_bytes();
    let answer = HttpResponse { status: 200, retry_after: None, body };
    Channel::judge(channel(kind).http(), &answer, &Mask::new(&[], None), now())
}

#[test]
fn no_outcome_repeats_a_whole_number_that_the_provider_names() {
    let said = "The 'To' number +8613800000000 (8613800000000, 13800000000等) is not valid";
    let cases = [
        ("aliyun_sms", 200, json!({ "Code": "isv.MOBILE_NUMBER_ILLEGAL", "Message": said })),
        ("aliyun_sms", 400, json!(said)),
        (
            "tencent_sms",
            200,
            json!({ "Response": { "Error": { "Code": "FailedOperation.X", "Message": said } } }),
        ),
        ("twilio_sms", 400, json!({ "code": 21_211, "message": said })),
        ("twilio_voice", 500, json!({ "message": said })),
    ];
    for (kind, status, body) in cases {
        let answer =
            HttpResponse { status, retry_after: None, body: body.to_string().into_bytes() };
        let outcome = Channel::judge(channel(kind).http(), &answer, &Mask::new(&[], None), now());
        let detail = &outcome.reason().detail;
        assert!(detail.contains("number +…0000 (…0000, …0000等) is"), "{kind} {detail}");
    }
    // What is no number stays: ids, years, long serial numbers.
    let told =
        json!({ "Code": "X", "Message": "SM0123456789ab 2024-05-31 1045710669157053657849" });
    let detail = judged("aliyun_sms", &told).reason().detail.clone();
    assert_eq!(detail, "SM0123456789ab 2024-05-31 1045710669157053657849");
}

#[test]
fn whom_a_message_did_not_reach_is_told_by_the_end_of_the_number() {
    let status =
        |code: &str, phone: &str| json!({ "Code": code, "PhoneNumber": phone, "Message": "m" });
    let (one, other) = ("+8613800000000", "+8613900000001");
    let limit = "LimitExceeded.PhoneNumberDailyLimit";
    let answer = |a: &str, b: &str| json!({ "Response": { "SendStatusSet": [status(a, one), status(b, other)] } });
    for (answer, expected) in [
        (answer("Ok", limit), format!("not reached: …0001 {limit}")),
        (
            answer("FailedOperation.X", "FailedOperation.Y"),
            "not reached: …0000 FailedOperation.X, …0001 FailedOperation.Y; m".to_owned(),
        ),
    ] {
        let outcome = judged("tencent_sms", &answer);
        assert_eq!(outcome.reason().detail, expected);
    }
    let outcome = judged("tencent_sms", &answer("Ok", "Ok"));
    assert!(matches!(outcome, Outcome::Accepted(reason) if reason.detail.is_empty()));
}

#[test]
fn a_value_keeps_what_cannot_be_cut() {
    let say = |params: &str, most: u64, zh: bool| {
        let over = json!({ "template_params": [params], "param_chars_max": most });
        let (message, mentions) =
            (Message::new(Level::Critical, "磁盘满🔥在主库"), Mentions::default());
        let ask = ask(Some(LINK), None, 1);
        let locale = if zh { Locale::Chinese } else { Locale::English };
        let out = Outgoing { ask: Some(&ask), locale, ..outgoing(&message, &mentions, false) };
        let request = build("tencent_sms", over).http().request(&out, now()).unwrap();
        tree(&request)["TemplateParamSet"][0].as_str().unwrap().to_owned()
    };
    assert_eq!(say("{{title}}", 9, false), "磁盘满🔥在主库");
    assert_eq!(say("{{title}}", 7, false), "磁盘满🔥在…");
    assert_eq!(say("{{title}}", 5, false), "磁盘满…");
    assert_eq!(say("{{title}}", 1, false), "…");
    assert_eq!(say("{{title}} {{level}}", 9, true), "磁盘满🔥… 严重");
    assert_eq!(say("{{title}} {{link}}", 70, false), format!("磁盘满🔥在主库 {LINK}"));
    assert_eq!(say("{{title}} {{link}}", 64, false), format!("磁盘… {LINK}"));
    assert_eq!(say("{{title}} {{link}}", 40, false), "磁盘满🔥在主库");
    assert_eq!(say("{{labels.no}}", 40, false), "-");
    assert_eq!(say("a long text of the operator", 6, false), "a lon…");
    assert_eq!(say("a\r\nb {{time}}", 40, false), "a  b 05-31 16:08 UTC");
}

const CALLED: &str = "https://callout.example.com/v1/callbacks/twilio?ticket=AQGPz2kEM3cHhwcHBwcHBwcAAAADAY&language=zh-CN";

/// What the channel hears of a call with these fields, `spoil` laid over what Twilio would send.
fn heard(fields: &[(&str, &str)], url: &str, spoil: Option<(&str, &str)>) -> Option<Heard> {
    let form = url::form_urlencoded::Serializer::new(String::new()).extend_pairs(fields).finish();
    let token = base_settings("twilio_voice")["auth_token"].as_str().unwrap().to_owned();
    let mut signature = cloud::twilio(&token, url, form.as_bytes());
    let (mut method, mut called, mut body) = ("POST", url.to_owned(), form);
    match spoil {
        Some(("method", other)) => method = other,
        Some(("url", other)) => called += other,
        Some(("body", other)) => body += other,
        Some(("token", other)) => signature = cloud::twilio(other, url, body.as_bytes()),
        Some(("signature", other)) => signature = other.to_owned(),
        Some(_) | None => {}
    }
    let header = |name: &str| {
        (name == "x-twilio-signature" && signature != "none").then_some(signature.as_str())
    };
    let inbound = Inbound { method, url: &called, header: &header, body: body.as_bytes() };
    channel("twilio_voice").callback().unwrap().hear(&inbound, now())
}

const PRESSED: [(&str, &str); 5] = [
    ("CallSid", "CA00000000000000000000000000000001"),
    ("Digits", "1"),
    ("To", "+8613800001234"),
    ("From", "+15005550006"),
    ("msg", "Gather End"),
];

#[test]
fn a_pressed_key_acknowledges_with_the_ticket_of_the_call() {
    let Some(Heard::Pressed(Press { ticket, by, once })) = heard(&PRESSED, CALLED, None) else {
        panic!("not heard")
    };
    assert_eq!((ticket.expose(), by.as_str()), (TICKET, "电话 …1234"));
    assert_eq!(once, "CA00000000000000000000000000000001 1");
    let english = CALLED.replace("zh-CN", "en-US");
    let Some(Heard::Pressed(press)) = heard(&PRESSED, &english, None) else { panic!("not heard") };
    assert_eq!(press.by, "telephone …1234");
}

#[test]
fn nothing_is_heard_that_twilio_did_not_sign() {
    for spoil in [
        ("method", "GET"),
        ("url", "x"),
        ("body", "&Digits=1"),
        ("token", "another token"),
        ("signature", ""),
        ("signature", "none"),
        ("signature", "AAAAAAAAAAAAAAAAAAAAAAAAAAA="),
    ] {
        assert!(heard(&PRESSED, CALLED, Some(spoil)).is_none(), "{spoil:?}");
    }
    // Signed, but about no call or no alert.
    assert!(heard(&PRESSED[1..], CALLED, None).is_none());
    assert!(heard(&PRESSED, "https://callout.example.com/v1/callbacks/twilio", None).is_none());
}

#[test]
fn another_key_repeats_the_question() {
    for digits in ["2", "", "11", "#"] {
        let fields = [("CallSid", "CA1"), ("Digits", digits)];
        let Some(Heard::Other(reply)) = heard(&fields, CALLED, None) else { panic!("not heard") };
        let action = CALLED.replace('&', "&amp;");
        assert_eq!(
            reply.body,
            format!(
                "<Response><Gather numDigits=\"1\" action=\"{action}\" method=\"POST\"><Say language=\"zh-CN\">按 1 确认。</Say></Gather></Response>"
            )
        );
        assert_eq!((reply.status, reply.content_type), (200, "text/xml; charset=utf-8"));
    }
}

#[test]
fn the_address_in_a_call_is_the_one_that_is_heard() {
    let (message, mentions) = (Message::new(Level::Error, "x"), Mentions::default());
    let ask = ask(Some(LINK), None, 1);
    let out = Outgoing {
        ask: Some(&ask),
        locale: Locale::Chinese,
        ..outgoing(&message, &mentions, false)
    };
    let request = channel("twilio_voice").http().request(&out, now()).unwrap();
    let script = tree(&request)["Twiml"].as_str().unwrap().to_owned();
    let action = script.split("action=\"").nth(1).unwrap().split('"').next().unwrap();
    assert_eq!(action.replace("&amp;", "&"), CALLED);
}

#[test]
fn the_voice_says_what_became_of_the_key() {
    let by = "ada <b> & co".to_owned();
    for (pressed, english, chinese) in [
        (Pressed::Taken, "Thank you. The alert is acknowledged.", "谢谢，告警已确认。"),
        (
            Pressed::Answered { by: by.clone(), resolved: false },
            "The alert has already been acknowledged by: ada &lt;b&gt; &amp; co",
            "告警已被确认，确认人：ada &lt;b&gt; &amp; co",
        ),
        (
            Pressed::Answered { by, resolved: true },
            "The alert is already resolved.",
            "该告警已经恢复。",
        ),
        (Pressed::Gone, "This alert can no longer be acknowledged here.", "该告警已无法在此确认。"),
        (
            Pressed::Failed,
            "This could not be saved. Please acknowledge another way.",
            "确认未能保存，请用其他方式确认。",
        ),
    ] {
        let say = |language: &str, text: &str| {
            format!("<Response><Say language=\"{language}\">{text}</Say></Response>")
        };
        let channel = channel("twilio_voice");
        let reply = |locale| channel.callback().unwrap().reply(&pressed, locale).body;
        assert_eq!(reply(Locale::English), say("en-US", english));
        assert_eq!(reply(Locale::Chinese), say("zh-CN", chinese));
        let chosen = build("twilio_voice", json!({ "language": "en-GB" }));
        let reply = chosen.callback().unwrap().reply(&pressed, Locale::Chinese);
        assert_eq!(reply.body, say("en-GB", english));
    }
}

#[test]
fn a_call_says_a_note_whole_even_where_every_character_grows() {
    let mut message = Message::new(Level::Critical, "&".repeat(1024));
    message.body = "&".repeat(1000);
    let mentions = Mentions::default();
    for note in ["&".repeat(300), "\"".repeat(300), "<".repeat(300)] {
        let url = format!("https://{}.example/a/{}", "h".repeat(180), "T".repeat(399));
        let ask = ask(Some(&url), Some(&note), 2);
        let out = Outgoing { ask: Some(&ask), ..outgoing(&message, &mentions, false) };
        let body = tree(&channel("twilio_voice").http().request(&out, now()).unwrap());
        check_limits("twilio_voice", &body);
        let script = text(&body["Twiml"]).replace("&lt;", "<").replace("&quot;", "\"");
        assert!(script.replace("&amp;", "&").contains(&note));
    }
}

#[test]
fn a_short_message_in_english_keeps_to_the_old_telephone_alphabet() {
    let mut message = Message::new(Level::Critical, "Disk full ".repeat(100));
    message.body = "no room left\n".repeat(200);
    let mentions = Mentions::default();
    for plain in [false, true] {
        let out = outgoing(&message, &mentions, plain);
        let body = tree(&channel("twilio_sms").http().request(&out, now()).unwrap());
        let said = text(&body["Body"]);
        assert!(said.is_ascii() && said.contains(&id().to_string()), "{said}");
        assert!(fit::utf16_len(said) <= 1_000);
    }
}

#[test]
fn an_echo_of_what_a_request_proves_itself_with_is_hidden() {
    for kind in KINDS {
        let channel = channel(kind);
        let sent = request(&channel, 1, now().unix_ms());
        let header = header(&sent, "authorization");
        let proof = header.rsplit([' ', '=']).find(|word| !word.is_empty()).unwrap();
        assert!(proof.len() > 40 && header.trim_end_matches('=').ends_with(proof));
        let mask = Mask::new(&[], None).with(&sent);
        let body = format!("authorization: {header}").into_bytes();
        let answer = HttpResponse { status: 404, retry_after: None, body };
        let shown = format!("{:?}", Channel::judge(channel.http(), &answer, &mask, now()));
        let beginning: String = proof.chars().take(12).collect();
        assert!(!shown.contains(&beginning), "{kind} {shown}");
    }
}

#[test]
fn all_advice_is_about_codes_of_the_table() {
    for kind in KINDS {
        let table = read(&fixtures().join(kind).join("responses.txt"));
        let spec = crate::find(kind).unwrap().spec;
        assert!(spec.advice.len() > 10);
        for advice in spec.advice {
            let known = |line: &str| line.ends_with(&format!(" {}", advice.code));
            assert!(table.lines().any(known), "{kind} {}", advice.code);
            assert!(advice.english.is_ascii() && advice.english.ends_with('.'));
            assert!(!advice.chinese.is_ascii() && advice.chinese.ends_with('。'));
        }
    }
}
