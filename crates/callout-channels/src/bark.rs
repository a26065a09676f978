//! Bark, push messages to one iPhone, through api.day.app or a server of one's own.
//!
//! A notification has no buttons: a tap opens one address, which is the acknowledge page, or else the first
//! link. What it shows is plain text. `id` makes a notification take the place of the one that has it, so
//! a repeated attempt shows nothing twice, and news of an alert take the place of the alert itself;
//! further tellings of one alert are notifications of their own, for each has to ring.
//!
//! The server answers 500 to whatever Apple refuses, even for good; it is worth another try, which the
//! attempt limit ends.
//!
//! Unverified, and therefore only a reserve: Apple's limit of 4 KB for all that a notification carries.
//! There, `&`, `<` and `>` take six bytes each. A server that asks for a name and a password is not
//! supported.

use crate::apprise::{Address, Apprise, Unfit};
use crate::channel::{HttpChannel, HttpRequest, HttpResponse, Outgoing, Refused};
use crate::render::{Ack, Story, by_command};
use crate::spec::{Advice, Field, Problem, Spec, Value};
use crate::{apprise, fit, settings};
use callout_core::level::Level;
use callout_core::outcome::{Blame, Outcome, Reason};
use callout_core::secret::Secret;
use callout_core::time::Timestamp;
use serde::Deserialize;
use serde_json::{Map, Value as Json, json};

pub(crate) static SPEC: Spec = Spec {
    kind: "bark",
    title: "Bark",
    fields: &[
        Field {
            name: "device_key",
            value: Value::Secret,
            required: true,
            doc: "The device's key, which the app shows behind the server's address.",
        },
        Field {
            name: "endpoint",
            value: Value::Url,
            required: false,
            doc: "The server's root, without the key. Default: https://api.day.app/.",
        },
    ],
    rate: "none",
    types: &["push"],
    native: false,
    body_bytes_max: BODY_BYTES_MAX,
    mentions: "nobody",
    idempotency: "id, which replaces the notification that has it",
    ack: "link",
    costly: false,
    rings: false,
    edit: false,
    thread: false,
    callback: None,
    advice: ADVICE,
    apprise: &[
        Apprise { scheme: "bark", settings: from_apprise },
        Apprise { scheme: "barks", settings: from_apprise },
    ],
};

static ADVICE: &[Advice] = &[
    Advice {
        code: "400",
        says: "",
        english: "The server does not know this device; open the app, copy the key from the address it shows, and put it into `device_key`.",
        chinese: "服务器不认识该设备；请打开 App，从其显示的地址中复制 key，填入 `device_key`。",
    },
    Advice {
        code: "500",
        says: "token",
        english: "Apple does not know this device any more; open the app so that it registers anew, and check whether its key has changed.",
        chinese: "苹果推送服务已不认识该设备；请打开 App 让其重新注册，并核对 key 是否已改变。",
    },
    Advice {
        code: "500",
        says: "",
        english: "The server could not hand the message to Apple; if that lasts, look at its log and at its way to api.push.apple.com.",
        chinese: "服务器未能把消息交给苹果推送服务；若持续出现，请查看服务器日志及其到 api.push.apple.com 的网络。",
    },
    Advice {
        code: "404",
        says: "",
        english: "No Bark server answers there; `endpoint` has to be the server's root, without the key.",
        chinese: "该地址上没有 Bark 服务；`endpoint` 必须是服务器的根地址，不含 key。",
    },
];

const ENDPOINT: &str = "https://api.day.app/";
/// The most bytes of a request.
const BODY_BYTES_MAX: usize = 4096;
/// What of these our parts may take; the rest is for what the server adds.
const BODY_BYTES_BUDGET: usize = 3800;
/// The same after a refusal.
const PLAIN_BYTES_BUDGET: usize = 2000;
/// The most bytes of the name that groups notifications.
const GROUP_BYTES_MAX: usize = 64;
/// The group of messages that have no problem in common.
const GROUP: &str = "callout";

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Bark {
    device_key: Secret,
    endpoint: Option<Secret>,
}

/// Makes a device from settings.
pub(crate) fn build(settings: Json) -> Result<Box<dyn HttpChannel>, Vec<Problem>> {
    let bark: Bark = settings::parse(settings)?;
    if !bark.device_key.expose().chars().all(|c| c.is_ascii_alphanumeric() || "-_".contains(c)) {
        let text = "has to be letters and digits; it is the key alone, not the address";
        return Err(vec![settings::problem("device_key", text)]);
    }
    Ok(Box::new(bark))
}

/// The settings that stand in an Apprise address.
fn from_apprise(address: &Address) -> Result<Map<String, Json>, Unfit> {
    address.only(&["to"])?;
    if address.user.is_some() {
        return Err("has a user; a Bark server that asks for one is not supported".into());
    }
    let key = address.target(0)?;
    apprise::settings([
        ("device_key", Some(key.ok_or("has no device key behind the host")?)),
        ("endpoint", Some(address.server()? + "/")),
    ])
}

impl HttpChannel for Bark {
    fn request(&self, out: &Outgoing<'_>, _at: Timestamp) -> Result<HttpRequest, Refused> {
        let story = Story::of(out).with_unsent(out, 0);
        let budget = if out.plain { PLAIN_BYTES_BUDGET } else { BODY_BYTES_BUDGET };
        let story = story.fit(|story| weight(&self.body(story, out)) <= budget);
        let endpoint = self.endpoint.as_ref().map_or(ENDPOINT, Secret::expose).trim();
        let url = Secret::new(format!("{}/push", endpoint.trim_end_matches('/')));
        HttpRequest::post_json(url, &self.body(&story, out))
    }

    fn classify(&self, answer: &HttpResponse, at: Timestamp) -> Outcome {
        let Some(Answer { code: Some(code), message }) = answer.json::<Answer>() else {
            return answer.outcome_by_status(at);
        };
        let reason = Reason::new(code, message);
        match (code, answer.status) {
            (200, 200) => Outcome::Accepted(reason),
            (200, _) => answer.outcome_by_status(at),
            (_, 429) | (429, _) => Outcome::Throttled { until: answer.retry_at(at), reason },
            // The key is missing or unknown.
            (400 | 401 | 403 | 404, _) => Outcome::Rejected { blame: Blame::Endpoint, reason },
            (413, _) => Outcome::Rejected { blame: Blame::Message, reason },
            // Whatever Apple refuses (500), and codes we do not know.
            _ => Outcome::Transient(reason),
        }
    }
}

impl Bark {
    fn body(&self, story: &Story, out: &Outgoing<'_>) -> Json {
        let mut body = json!({
            "device_key": self.device_key.expose(),
            "title": story.headline(),
            "body": text(story),
            "level": level(story.level),
            "group": group(out),
            "id": id(out),
        });
        if let (Some(parts), Some(url)) = (body.as_object_mut(), address(story)) {
            parts.insert("url".to_owned(), json!(url));
        }
        body
    }
}

/// Where a tap leads.
fn address(story: &Story) -> Option<&str> {
    match &story.ack {
        Some(Ack::Link(url)) => Some(url.expose()),
        Some(Ack::Command(_)) | None => story.links.first().map(|link| link.url.as_str()),
    }
}

/// What stands below the title. The address to acknowledge at is where a tap leads, and not repeated.
fn text(story: &Story) -> String {
    let mut lines = vec![story.note.clone(), story.body.clone()];
    if let Some(Ack::Command(command)) = &story.ack {
        lines.push(by_command(story.words, command));
    }
    lines.extend(story.links.iter().map(|link| format!("{}: {}", link.text, link.url)));
    lines.extend(story.facts.iter().map(|(name, value)| format!("{name}: {value}")));
    lines.extend(story.images.iter().cloned());
    lines.push(story.foot());
    lines.retain(|line| !line.is_empty());
    lines.join("\n")
}

/// How much of Apple's limit `body` takes.
fn weight(body: &Json) -> usize {
    let body = body.to_string();
    let spelled = body.bytes().filter(|byte| matches!(byte, b'&' | b'<' | b'>')).count();
    body.len() + 5 * spelled
}

/// Whether it rings: always, in spite of a focus, now, or not at all.
fn level(level: Level) -> &'static str {
    match level {
        Level::Info => "passive",
        Level::Warning => "active",
        Level::Error => "timeSensitive",
        Level::Critical => "critical",
    }
}

/// Notifications of one problem lie together.
fn group(out: &Outgoing<'_>) -> String {
    let message = out.about.map_or(out.message, |about| &about.message);
    let key = message.dedup_key.as_deref().map(fit::line).filter(|key| !key.is_empty());
    key.map_or(GROUP.to_owned(), |key| fit::bytes(&key, GROUP_BYTES_MAX))
}

/// News take the place of the alert that they are about, unless newer ones have.
fn id(out: &Outgoing<'_>) -> String {
    let about = out.about.filter(|about| about.is_current());
    about.map_or_else(|| out.key(), |about| about.id.to_string())
}

#[derive(Deserialize)]
struct Answer {
    code: Option<i64>,
    #[serde(default)]
    message: String,
}
