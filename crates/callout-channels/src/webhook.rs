//! Generic webhook after the Standard Webhooks specification.
//!
//! The receiver is somebody's own program, so the message goes out whole and as data; nothing is
//! rendered. The status is the proof here, for the specification says so. `webhook-id` is the same on
//! every try and another one each time people are told of an alert again, which is how a receiver
//! recognises a repetition; the timestamp and the signature are those of this attempt.
//!
//! News of an alert say which in `data.about`: its `id`, and how it stands by them (`standing`: `open`,
//! `acknowledged` or `resolved`).
//!
//! A native body stays untouched and nothing can follow it, so what it leaves unsaid goes into the
//! header `callout-ack`, which the signature does not cover.

use crate::channel::{Ask, HttpChannel, HttpRequest, HttpResponse, Mentions, Outgoing, Refused};
use crate::render::{PLAIN_UNITS_MAX, rfc3339};
use crate::spec::{Field, Problem, Spec, Value};
use crate::{fit, settings, sign};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use callout_core::id::MessageId;
use callout_core::level::Level;
use callout_core::message::{Attachment, Link, MESSAGE_BYTES_MAX};
use callout_core::outcome::{Blame, Outcome, Reason};
use callout_core::secret::Secret;
use callout_core::time::Timestamp;
use serde::{Deserialize, Serialize};
use serde_json::{Value as Json, json};
use std::borrow::Cow;
use std::collections::BTreeMap;
use std::fmt;

/// What a message is called in the envelope.
const TYPE: &str = "callout.message";

pub(crate) static SPEC: Spec = Spec {
    kind: "webhook",
    title: "Webhook (Standard Webhooks)",
    fields: &[
        Field {
            name: "url",
            value: Value::Secret,
            required: true,
            doc: "Where to post; http or https.",
        },
        Field {
            name: "secret",
            value: Value::Secrets,
            required: false,
            doc: "What signs the requests: whsec_ and 24 to 64 bytes in Base64; several while keys are rotated. Default: unsigned.",
        },
        Field {
            name: "headers",
            value: Value::Texts,
            required: false,
            doc: "Further headers, such as { authorization = \"Bearer ...\" }. Default: none.",
        },
    ],
    rate: "none",
    types: &[TYPE],
    native: true,
    body_bytes_max: MESSAGE_BYTES_MAX + ENVELOPE_BYTES,
    mentions: "passed on as data",
    idempotency: "webhook-id, the same on every try",
    ack: "address in the body",
    costly: false,
    rings: false,
    edit: false,
    thread: false,
    callback: None,
    advice: &[],
    apprise: &[],
};

/// What the envelope, the id and the mentions add to a message at most.
const ENVELOPE_BYTES: usize = 16 * 1024;
/// How long a key may be, in bytes.
const KEY_BYTES: std::ops::RangeInclusive<usize> = 24..=64;
const KEY_PREFIX: &str = "whsec_";
/// Says beside a native body what `data.ack` says in ours.
const ACK_HEADER: &str = "callout-ack";
/// Headers that belong to the protocol or to us.
const RESERVED: [&str; 9] = [
    "host",
    "content-length",
    "content-type",
    "connection",
    "transfer-encoding",
    "te",
    "trailer",
    "upgrade",
    "expect",
];

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Settings {
    url: Secret,
    secret: Option<Keys>,
    #[serde(default)]
    headers: BTreeMap<String, Secret>,
}

#[derive(Deserialize)]
#[serde(untagged)]
enum Keys {
    One(Secret),
    Several(Vec<Secret>),
}

#[derive(Debug)]
struct Webhook {
    url: Secret,
    /// Base64 without its prefix, known to decode.
    keys: Vec<Secret>,
    headers: Vec<(String, Secret)>,
}

/// Makes a webhook from settings.
pub(crate) fn build(settings: Json) -> Result<Box<dyn HttpChannel>, Vec<Problem>> {
    let Settings { url, secret, headers } = settings::parse(settings)?;
    let mut problems: Vec<Problem> =
        settings::web_address("url", url.expose()).err().into_iter().collect();
    let keys = match secret {
        None => Vec::new(),
        Some(Keys::One(key)) => vec![key],
        Some(Keys::Several(keys)) => keys,
    };
    problems.extend(keys.iter().find_map(|key| key_bytes(key).err()));
    problems.extend(headers.iter().filter_map(|(name, value)| header_problem(name, value)));
    let headers =
        headers.into_iter().map(|(name, value)| (name.to_ascii_lowercase(), value)).collect();
    if problems.is_empty() { Ok(Box::new(Webhook { url, keys, headers })) } else { Err(problems) }
}

fn key_bytes(key: &Secret) -> Result<Vec<u8>, Problem> {
    let wrong = |text: &str| settings::problem("secret", text);
    let base64 = key.expose().strip_prefix(KEY_PREFIX);
    let base64 = base64.ok_or_else(|| wrong("has to begin with whsec_"))?;
    let bytes = STANDARD.decode(base64);
    let bytes = bytes.map_err(|_| wrong("has to be standard Base64 with padding after whsec_"))?;
    if KEY_BYTES.contains(&bytes.len()) {
        Ok(bytes)
    } else {
        Err(wrong("has to hold 24 to 64 bytes after whsec_"))
    }
}

fn header_problem(name: &str, value: &Secret) -> Option<Problem> {
    let wrong = |text: String| Some(settings::problem("headers", text));
    let lower = name.to_ascii_lowercase();
    let token = |c: char| c.is_ascii_alphanumeric() || "!#$%&'*+-.^_`|~".contains(c);
    if name.is_empty() || !name.chars().all(token) {
        return wrong("holds a name that is no header name".to_owned());
    }
    let ours = lower.starts_with("webhook-") || lower == ACK_HEADER;
    if ours || RESERVED.contains(&lower.as_str()) {
        return wrong(format!("may not set {lower}"));
    }
    let visible = |c: char| c == ' ' || c.is_ascii_graphic();
    if value.expose().is_empty() || !value.expose().chars().all(visible) {
        return wrong(format!("holds a value for {lower} that is not one line of ASCII"));
    }
    None
}

impl HttpChannel for Webhook {
    fn request(&self, out: &Outgoing<'_>, at: Timestamp) -> Result<HttpRequest, Refused> {
        let url = self.url.clone();
        let mut request = match out.native(&SPEC)? {
            Some(native) => HttpRequest::post_json(url, native)?,
            None => HttpRequest::post_json(url, &envelope(out))?,
        };
        if request.body.len() > SPEC.body_bytes_max {
            return Err(Refused(Reason::text("the message is larger than any message may be")));
        }
        let id = out.key();
        let at = at.unix_ms() / 1000;
        let mut add = |name, value: String| request.headers.push((name, Secret::new(value)));
        add(Cow::Borrowed("webhook-id"), id.clone());
        add(Cow::Borrowed("webhook-timestamp"), at.to_string());
        let signatures: Vec<String> = self
            .keys
            .iter()
            .filter_map(|key| key_bytes(key).ok())
            .map(|key| sign::standard_webhook(&key, &id, at, &request.body))
            .collect();
        if !signatures.is_empty() {
            let value = Secret::new(signatures.join(" "));
            request.headers.push((Cow::Borrowed("webhook-signature"), value));
        }
        if let Some(ask) = out.unsaid(&SPEC) {
            let value = Secret::new(ascii(&ack(ask)));
            request.headers.push((Cow::Borrowed(ACK_HEADER), value));
        }
        let own =
            self.headers.iter().map(|(name, value)| (Cow::Owned(name.clone()), value.clone()));
        request.headers.extend(own);
        Ok(request)
    }

    fn classify(&self, answer: &HttpResponse, at: Timestamp) -> Outcome {
        let reason = || Reason::new(answer.status, fit::bytes(&answer.text(), ANSWER_BYTES_KEPT));
        match answer.status {
            200..=299 => Outcome::Accepted(reason()),
            410 => Outcome::Rejected { blame: Blame::Endpoint, reason: reason() },
            502..=504 if answer.retry_after.is_some() => {
                Outcome::Throttled { until: answer.retry_at(at), reason: reason() }
            }
            _ => answer.outcome_by_status(at),
        }
    }
}

/// How much of an answer is kept.
const ANSWER_BYTES_KEPT: usize = 200;

/// The message as data, for whoever reads it by program. The fields stand in the order of the alphabet.
#[derive(Serialize)]
pub(crate) struct Envelope<'a> {
    data: Data<'a>,
    timestamp: String,
    r#type: &'static str,
}

#[derive(Serialize)]
struct Data<'a> {
    #[serde(skip_serializing_if = "Option::is_none")]
    about: Option<About>,
    ack: Option<Json>,
    #[serde(skip_serializing_if = "Option::is_none")]
    attachments: Option<&'a [Attachment]>,
    body: Cow<'a, str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    dedup_key: Option<Option<&'a str>>,
    id: MessageId,
    #[serde(skip_serializing_if = "Option::is_none")]
    images: Option<&'a [String]>,
    #[serde(skip_serializing_if = "Option::is_none")]
    labels: Option<&'a BTreeMap<String, String>>,
    level: Level,
    #[serde(skip_serializing_if = "Option::is_none")]
    links: Option<&'a [Link]>,
    #[serde(skip_serializing_if = "Option::is_none")]
    mentions: Option<&'a Mentions>,
    title: Cow<'a, str>,
}

#[derive(Serialize)]
struct About {
    id: MessageId,
    standing: &'static str,
}

/// `out` as data; as plain text only what cannot be left out, cut.
pub(crate) fn envelope<'a>(out: &Outgoing<'a>) -> Envelope<'a> {
    let message = out.message;
    let rich = !out.plain;
    let text = |text: &'a str| {
        if rich { Cow::Borrowed(text) } else { Cow::Owned(fit::utf16(text, PLAIN_UNITS_MAX)) }
    };
    let data = Data {
        about: out.about.map(|about| About { id: about.id, standing: about.standing.name() }),
        ack: out.ask.map(ack),
        attachments: rich.then_some(&message.attachments),
        body: text(&message.body),
        dedup_key: rich.then_some(message.dedup_key.as_deref()),
        id: out.id,
        images: rich.then_some(&message.images),
        labels: rich.then_some(&message.labels),
        level: message.level,
        links: rich.then_some(&message.links),
        mentions: rich.then_some(out.mentions),
        title: text(&message.title),
    };
    Envelope { data, timestamp: rfc3339(out.created_at), r#type: TYPE }
}

/// As JSON, on one line.
impl fmt::Display for Envelope<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&serde_json::to_string(self).map_err(|_| fmt::Error)?)
    }
}

/// What is asked of the reader; without an address it can be done only by command.
fn ack(ask: &Ask) -> Json {
    json!({
        "url": ask.url.as_ref().map(Secret::expose),
        "command": ask.command,
        "note": ask.note,
        "telling": ask.telling,
    })
}

/// JSON as a header may hold it: everything but visible ASCII is escaped.
fn ascii(json: &Json) -> String {
    let spelled = |unit| match u8::try_from(unit) {
        Ok(byte @ b' '..=b'~') => char::from(byte).to_string(),
        Ok(_) | Err(_) => format!("\\u{unit:04x}"),
    };
    json.to_string().encode_utf16().map(spelled).collect()
}
