//! What the targets share: working channels of every kind, a message, and an instant.

pub mod store;

use callout_channels::channel::{Ask, HttpChannel, HttpResponse, Mentions, Outgoing};
use callout_channels::{Build, REGISTRY, TimeZone};
use callout_core::id::MessageId;
use callout_core::locale::Locale;
use callout_core::message::Message;
use callout_core::secret::Secret;
use callout_core::time::Timestamp;
use hmac::{Hmac, KeyInit as _, Mac as _};
use serde_json::Value;
use sha1::Sha1;
use sha2::Sha256;
use std::path::Path;

static UTC: TimeZone = TimeZone::UTC;

/// The present.
pub fn now() -> Timestamp {
    Timestamp::from_unix_ms(1_717_171_717_171).expect("a time")
}

/// An id that is always the same.
pub fn id() -> MessageId {
    MessageId::new(now(), [7; 10])
}

/// The settings of a working channel of `kind`, the same as in its fixtures.
pub fn settings(kind: &str) -> Value {
    let fixtures =
        Path::new(env!("CARGO_MANIFEST_DIR")).join("../../crates/callout-channels/fixtures");
    let file = fixtures.join(kind).join("settings.json");
    serde_json::from_slice(&std::fs::read(file).expect("a fixture")).expect("settings")
}

/// Every kind that speaks HTTP.
pub fn http_channels() -> Vec<(&'static str, Box<dyn HttpChannel>)> {
    let build = |row: &callout_channels::Registration| match row.build {
        Build::Http(build) => {
            Some((row.spec.kind, build(settings(row.spec.kind)).expect("a channel")))
        }
        Build::Direct(_) => None,
    };
    REGISTRY.iter().filter_map(build).collect()
}

/// `message` on its way, asking for an acknowledgment if `ask` does.
pub fn outgoing<'a>(
    message: &'a Message,
    mentions: &'a Mentions,
    ask: Option<&'a Ask>,
    plain: bool,
) -> Outgoing<'a> {
    let (id, created_at) = (id(), now());
    let (about, locale, zone) = (None, Locale::English, &UTC);
    Outgoing { message, id, created_at, mentions, plain, ask, about, locale, zone }
}

/// What asks for an acknowledgment, with this note.
pub fn ask(note: &str) -> Ask {
    let url = Some(Secret::new("https://callout.example.com/a/AQGPz2kEM3cHhwcHBwcHBwcAAAADAY"));
    let command = format!("callout ack {}", id());
    Ask { url, command, note: Some(note.to_owned()), telling: 2 }
}

/// An answer written as text: the status on the first line, `Retry-After` on the second, then the body.
pub fn answer(bytes: &[u8]) -> Option<HttpResponse> {
    let mut lines = bytes.splitn(3, |byte| *byte == b'\n');
    let mut line = || lines.next().map(|line| String::from_utf8_lossy(line).into_owned());
    let (status, retry_after) = (line()?.parse().ok()?, line().filter(|text| !text.is_empty()));
    Some(HttpResponse { status, retry_after, body: lines.next()?.to_vec() })
}

/// Whether people may see `text` as it is: no control characters.
pub fn is_clean(text: &str) -> bool {
    !text.chars().any(char::is_control)
}

/// HMAC-SHA256 over all parts in a row.
pub fn mac_sha256(key: &[u8], parts: &[&[u8]]) -> Vec<u8> {
    let mac = Hmac::<Sha256>::new_from_slice(key).expect("a key");
    parts.iter().fold(mac, |mac, part| mac.chain_update(part)).finalize().into_bytes().to_vec()
}

/// HMAC-SHA1.
pub fn mac_sha1(key: &[u8], text: &[u8]) -> Vec<u8> {
    let mac = Hmac::<Sha1>::new_from_slice(key).expect("a key");
    mac.chain_update(text).finalize().into_bytes().to_vec()
}

/// Bytes in hexadecimal.
pub fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// The fields of a form.
pub fn form(text: &str) -> Vec<(String, String)> {
    url::form_urlencoded::parse(text.as_bytes()).into_owned().collect()
}
