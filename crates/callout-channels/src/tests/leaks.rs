//! No text that leaves this crate shows a credential.

use super::*;
use crate::mask::{Mask, cut_secret};
use crate::preview::Preview;
use crate::sign;
use crate::spec::Value as FieldValue;
use callout_core::outcome::{Outcome, Reason};

/// What every address of a kind begins or ends with.
const PUBLIC: [&str; 5] = [
    "/workflows/",
    "/v1/spaces/",
    "messages",
    "invoke",
    "api-version=2016-06-01&sp=%2Ftriggers%2Fmanual%2Frun&sv=1.0&",
];

/// Every credential in a kind's fixture settings and its telling parts, found without the help of the
/// code that hides them.
fn credentials(kind: &str) -> Vec<String> {
    let spec = crate::find(kind).unwrap().spec;
    let mut texts = Vec::new();
    let secret = |value| {
        matches!(
            value,
            FieldValue::Secret | FieldValue::Secrets | FieldValue::Url | FieldValue::Texts
        )
    };
    for field in spec.fields.iter().filter(|field| secret(field.value)) {
        strings(base_settings(kind).get(field.name).unwrap_or(&Value::Null), &mut texts);
    }
    assert!(!texts.is_empty(), "{kind} has no credential in its fixture settings");
    for text in texts.clone() {
        if let Ok(url) = url::Url::parse(&text) {
            let own = |part: &str| {
                let own = PUBLIC.iter().fold(part, |part, word| part.trim_start_matches(word));
                own.to_owned()
            };
            texts.push(own(url.path()));
            texts.extend(url.path_segments().unwrap().next_back().map(str::to_owned));
            texts.extend(url.query().map(own));
        }
        texts.extend(text.split(' ').next_back().map(str::to_owned));
        texts.push(text.trim_start_matches("whsec_").to_owned());
    }
    // Of an address, scheme and host may be seen.
    texts.retain(|text| !text.starts_with("http") && !PUBLIC.contains(&&**text));
    assert!(texts.iter().all(|text| text.len() >= 10), "{kind}: longer credentials, please");
    texts
}

#[test]
fn no_answer_can_put_a_credential_into_an_outcome() {
    for row in http_kinds() {
        let kind = row.spec.kind;
        let channel = channel(kind);
        let (message, mentions) = (Message::new(Level::Info, "x"), Mentions::default());
        let ask = ask(Some(LINK), None, 1);
        let out = Outgoing { ask: Some(&ask), ..outgoing(&message, &mentions, false) };
        let request = channel.http().request(&out, now()).unwrap();
        let mask = channel.mask(&out).with(&request);
        let settings = credentials(kind).into_iter().chain(signature(&request));
        let mut echoed: Vec<(String, String)> =
            settings.map(|secret| (secret.clone(), secret)).collect();
        for echo in [LINK, TICKET, &sign::percent(LINK)] {
            echoed.push((echo.to_owned(), TICKET.to_owned()));
        }
        for (echo, secret) in echoed {
            let leak: String = secret.chars().take(10).collect();
            for body in hostile_bodies(kind, &echo) {
                for status in [200, 302, 400, 404, 429, 503] {
                    let retry_after = Some(echo.clone());
                    let answer = HttpResponse { status, retry_after, body: body.clone() };
                    let shown =
                        format!("{:?}", Channel::judge(channel.http(), &answer, &mask, now()));
                    assert!(!shown.contains(&leak), "{kind} shows {leak} in {shown}");
                }
            }
        }
    }
}

/// What signs a request in its address, as it is and as it stands there.
fn signature(request: &HttpRequest) -> Vec<String> {
    let url = url::Url::parse(request.url.expose()).unwrap();
    let found = url.query_pairs().find(|(name, _)| name == "sign");
    let sign = found.map(|(_, value)| value.into_owned());
    sign.into_iter().flat_map(|sign| [sign::percent(&sign), sign]).collect()
}

#[test]
fn a_dingtalk_signature_is_found_and_hidden_and_the_time_is_not() {
    let (message, mentions) = (Message::new(Level::Info, "x"), Mentions::default());
    let (channel, out) = (channel("dingtalk"), outgoing(&message, &mentions, false));
    let request = channel.http().request(&out, now()).unwrap();
    let [encoded, sign] = &signature(&request)[..] else { panic!("not signed") };
    assert!(encoded.len() > sign.len() && sign.len() == 44);
    let detail = format!("no {sign} nor {encoded} at 1717171717171");
    let outcome = Outcome::Transient(Reason { code: None, detail });
    let hidden = channel.mask(&out).with(&request).outcome(outcome);
    assert_eq!(hidden.reason().detail, "no *** nor *** at 1717171717171");
}

/// Puts `words` at the end of every text in `value`.
fn say(value: &mut Value, words: &str) {
    match value {
        Value::String(text) => *text += &format!(" {words}"),
        Value::Array(list) => list.iter_mut().for_each(|value| say(value, words)),
        Value::Object(table) => table.values_mut().for_each(|value| say(value, words)),
        Value::Null | Value::Bool(_) | Value::Number(_) => {}
    }
}

/// The credential as text, inside each provider's JSON, and where texts are cut.
fn hostile_bodies(kind: &str, secret: &str) -> Vec<Vec<u8>> {
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
    // Each answer of the provider's table, saying the credential wherever it says anything.
    let table = read(&fixtures().join(kind).join("responses.txt"));
    for line in table.lines().filter(|line| !line.is_empty() && !line.starts_with('#')) {
        let body = line.split(" |").nth(2).unwrap_or_default().trim();
        if let Ok(mut json) = serde_json::from_str::<Value>(body) {
            say(&mut json, secret);
            bodies.push(json.to_string());
        }
    }
    bodies.into_iter().map(String::into_bytes).collect()
}

/// `secret` as it looks in other clothes: of Base64 what does not depend on what stands around it.
fn disguises(secret: &str) -> Vec<String> {
    let shifted = |by: usize| {
        let text = STANDARD.encode("x".repeat(by) + secret);
        text.get(4..text.len() - 4).unwrap().to_owned()
    };
    let mut all: Vec<String> = (0..3).map(shifted).collect();
    let hex: String = secret.bytes().map(|byte| format!("%{byte:02X}")).collect();
    all.extend([secret.to_owned(), sign::percent(secret), hex.replace('%', "="), hex]);
    all
}

#[test]
fn no_preview_of_a_kind_without_http_shows_a_credential_in_any_encoding() {
    const PASSWORD: &str = "mail+password/0001";
    for row in REGISTRY.iter().filter(|row| matches!(row.build, Build::Direct(_))) {
        let kind = row.spec.kind;
        let mut settings = base_settings(kind);
        if kind == "email" {
            settings.insert("smtp".to_owned(), json!("smtp://a@mail.example.com"));
            settings.insert("password".to_owned(), json!(PASSWORD));
        }
        let channel = Channel::build(kind, Value::Object(settings)).unwrap();
        let mentions = Mentions::default();
        for before in 0..80 {
            let mut message = Message::new(Level::Info, "x");
            let said = if before % 2 == 0 { PASSWORD } else { "磁盘" };
            // Wherever an encoding breaks its lines, what it carries may be broken too.
            message.body = format!("{}{LINK} {said}", "y".repeat(before));
            let ask = ask(Some(LINK), None, 1);
            for plain in [false, true] {
                let out = Outgoing { ask: Some(&ask), ..outgoing(&message, &mentions, plain) };
                let shown = match channel.preview(&out, now()).unwrap() {
                    Preview::Direct(text) => text,
                    Preview::Http(shown) => panic!("{shown:?}"),
                };
                let joined = shown.replace('\r', "").replace("=\n", "").replace('\n', "");
                let secrets: &[&str] =
                    if kind == "email" { &[TICKET, PASSWORD] } else { &[TICKET] };
                for disguise in secrets.iter().flat_map(|secret| disguises(secret)) {
                    let found = shown.contains(&disguise) || joined.contains(&disguise);
                    assert!(!found, "{kind} shows {disguise} in {shown}");
                }
            }
        }
    }
}

#[test]
fn no_debug_output_shows_a_credential() {
    for row in http_kinds() {
        let kind = row.spec.kind;
        let channel = channel(kind);
        let (message, mentions) = (Message::new(Level::Info, "x"), Mentions::default());
        let ask = ask(Some(LINK), None, 1);
        let out = Outgoing { ask: Some(&ask), ..outgoing(&message, &mentions, false) };
        let request = channel.http().request(&out, now()).unwrap();
        let mask = channel.mask(&out);
        let shown = format!("{channel:?} {request:?} {:?} {out:?} {mask:?}", channel.http());
        for secret in credentials(kind).into_iter().chain([TICKET.to_owned()]) {
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
                    let number = matches!(field.value, FieldValue::Number | FieldValue::Duration);
                    let legal = value.is_string() || number && value.is_number();
                    assert!(legal, "{kind}.{} takes {value}", field.name);
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

#[test]
fn an_answer_cannot_draw_on_the_terminal() {
    let body = "no\r\n\u{1b}[31m \u{202e}such".as_bytes().to_vec();
    let answer = HttpResponse { status: 404, retry_after: None, body };
    let outcome = Channel::judge(channel("slack").http(), &answer, &Mask::new(&[], None), now());
    assert_eq!(outcome.reason().detail, "no  [31m such");
}

#[test]
fn a_credential_cut_in_half_is_hidden_too() {
    let secret = Secret::new("0123456789");
    let mask = Mask::new(std::slice::from_ref(&secret), None);
    let detail = "xx 01234567".to_owned();
    let outcome = mask.outcome(Outcome::Transient(Reason { code: None, detail }));
    assert_eq!(outcome.reason().detail, "xx ***");
    assert_eq!(cut_secret("a 01234", &secret), None);
}
