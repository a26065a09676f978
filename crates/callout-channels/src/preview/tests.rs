use super::*;
use crate::channel::{Ask, Mentions, Outgoing};
use crate::{Channel, REGISTRY};
use callout_core::id::MessageId;
use callout_core::level::Level;
use callout_core::locale::Locale;
use callout_core::message::Message;
use callout_core::time::Timestamp;
use serde_json::json;

const TICKET: &str = "AQGPz2kEM3cHhwcHBwcHBwcAAAADAY";
const SECRET: &str = r#"quo"ted\0123456789"#;

fn mask() -> Mask {
    let ask = Ask {
        url: Some(Secret::new(format!("https://callout.example.com/a/{TICKET}"))),
        command: String::new(),
        note: None,
        telling: 1,
    };
    Mask::new(&[Secret::new(SECRET)], Some(&ask))
}

fn request(content_type: &'static str, body: &[u8]) -> HttpRequest {
    let headers = [
        ("content-type", content_type),
        ("authorization", "Basic QUM6c2VjcmV0"),
        ("webhook-signature", "v1,c2lnbmVk"),
        ("x-api-key", "abcdef"),
        ("title", "Disk full"),
        ("x-note", SECRET),
    ];
    let headers = headers
        .map(|(name, value)| (Cow::Borrowed(name), Secret::new(value)))
        .into_iter()
        .collect();
    let url =
        format!("https://api.example.com/bot/{TICKET}/send?to=%E5%80%BC&sign=c2ln&t={TICKET}");
    HttpRequest { method: "POST", url: Secret::new(url), headers, body: body.to_vec() }
}

fn body(content_type: &'static str, body: impl AsRef<[u8]>) -> Body {
    Body::of(&request(content_type, body.as_ref()), &mask())
}

#[test]
fn the_address_and_the_headers_show_all_but_credentials() {
    let shown = Shown::of(&request("text/plain", b"x"), &mask());
    assert_eq!(shown.url, "https://api.example.com/bot/***/send?to=%E5%80%BC&sign=***&t=***");
    let values: Vec<&str> = shown.headers.iter().map(|(_, value)| value.as_str()).collect();
    assert_eq!(values, ["text/plain", "Basic ***", "***", "***", "Disk full", "***"]);
}

#[test]
fn json_is_shown_as_it_is_but_for_credentials_also_escaped_ones() {
    let sent = json!({
        "text": format!("磁盘 {TICKET}"), "deep": [{ "at": SECRET, "n": 7 }], "sign": "c2ln",
        "tokens": ["abc"], "labels": { "host": "db-1" }, TICKET: true,
    });
    let expected = json!({
        "text": "磁盘 ***", "deep": [{ "at": "***", "n": 7 }], "sign": "***",
        "tokens": "***", "labels": { "host": "db-1" }, "***": true,
    });
    assert_eq!(body("application/json", sent.to_string()), Body::Json(expected));
}

#[test]
fn a_form_is_shown_as_it_goes_and_decoded() {
    let sent = format!("To=%2B86138&Body=a%20b+c&Password=x&Url=https%3A%2F%2Fx%2F{TICKET}&&odd");
    let Body::Form(raw, fields) = body("application/x-www-form-urlencoded", sent) else {
        panic!("no form")
    };
    assert_eq!(raw, "To=%2B86138&Body=a%20b+c&Password=***&Url=https%3A%2F%2Fx%2F***&&odd");
    let field = |name: &str| {
        let found = fields.iter().find(|(known, _)| known == name);
        found.map(|(_, value)| value.as_str()).unwrap()
    };
    assert_eq!((field("To"), field("Body")), ("+86138", "a b c"));
    assert_eq!((field("Password"), field("Url")), ("***", "https://x/***"));
}

#[test]
fn a_multipart_body_is_summed_up() {
    let sent = format!(
        "--b\r\nContent-Disposition: form-data; name=\"say\"\r\n\r\ntwo\r\nlines {TICKET}\r\n\
         --b\r\nContent-Disposition: form-data; name=\"media\"; filename=\"df.txt\"\r\n\
         Content-Type: text/plain\r\n\r\n\u{0}\u{1}--\r\n--b--\r\n"
    );
    let Body::Multipart(parts) = body("multipart/form-data; boundary=b", sent) else {
        panic!("no parts")
    };
    let [say, media] = &parts[..] else { panic!("{parts:?}") };
    assert_eq!((say.name.as_str(), say.text.as_str()), ("say", "two\r\nlines ***"));
    assert_eq!((media.file.as_deref(), media.bytes), (Some("df.txt"), 4));
    assert_eq!(media.content_type.as_deref(), Some("text/plain"));
}

#[test]
fn other_texts_keep_their_lines_and_what_is_no_text_is_not_shown() {
    let text = body("text/plain", format!("one\ntwo {TICKET}\n"));
    assert_eq!(text, Body::Text("one\ntwo ***\n".to_owned()));
    assert_eq!(body("text/plain", [0xff, 0xfe]), Body::Binary);
    assert_eq!(body("text/plain", ""), Body::Empty);
}

#[test]
fn no_kind_shows_a_credential_in_its_preview() {
    let folder = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("fixtures");
    for row in REGISTRY {
        let kind = row.spec.kind;
        let text = std::fs::read_to_string(folder.join(kind).join("settings.json")).unwrap();
        let settings: Json = serde_json::from_str(&text).unwrap();
        let channel = Channel::build(kind, settings.clone()).unwrap();
        let mut message = Message::new(Level::Critical, "Disk full on db-1");
        message.body = "Writes fail.".to_owned();
        let mentions = Mentions::default();
        let (at, command) = (Timestamp::EPOCH, "callout ack 0192".to_owned());
        // So long that mail breaks it.
        let url = Secret::new(format!("https://callout.example.com/behind/a/proxy/a/{TICKET}"));
        let ask = Ask { url: Some(url), command, note: None, telling: 1 };
        let out = Outgoing {
            message: &message,
            id: MessageId::new(at, [7; 10]),
            created_at: at,
            mentions: &mentions,
            plain: false,
            ask: Some(&ask),
            about: None,
            locale: Locale::English,
            zone: &crate::TimeZone::UTC,
        };
        let shown = format!("{:?}", channel.preview(&out, at).unwrap());
        let (begins, ends) = TICKET.split_at(TICKET.len() / 2);
        assert!(!shown.contains(begins) && !shown.contains(ends), "{kind}: {shown}");
        for field in
            row.spec.fields.iter().filter(|field| field.value == crate::spec::Value::Secret)
        {
            let Some(Json::String(secret)) = settings.get(field.name) else { continue };
            assert!(!shown.contains(secret.as_str()), "{kind}.{}: {shown}", field.name);
        }
    }
}
