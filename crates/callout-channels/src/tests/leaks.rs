//! No text that leaves this crate shows a credential.

use super::*;
use crate::channel::Value as FieldValue;
use crate::mask::{Mask, cut_secret};
use crate::sign;
use callout_core::outcome::{Outcome, Reason};

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
            for body in hostile_bodies(&echo) {
                for status in [200, 302, 400, 404, 429, 503] {
                    let retry_after = Some(echo.clone());
                    let answer = HttpResponse { status, retry_after, body: body.clone() };
                    let shown = format!("{:?}", channel.judge(&answer, &mask, now()));
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

#[test]
fn an_answer_cannot_draw_on_the_terminal() {
    let body = "no\r\n\u{1b}[31m \u{202e}such".as_bytes().to_vec();
    let answer = HttpResponse { status: 404, retry_after: None, body };
    let outcome = channel("slack").judge(&answer, &Mask::new(&[], None), now());
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
