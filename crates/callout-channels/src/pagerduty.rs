//! PagerDuty, Events API v2.
//!
//! Success is status 202 and `"status": "success"`, which means queued, not shown. All tellings of one
//! alert carry its message's id as `dedup_key` and so belong to one incident; news of an alert
//! acknowledge or resolve that incident. PagerDuty accepts and drops news of an incident that it does
//! not know or that is over. Whoever acknowledges in PagerDuty alone has not acknowledged here: that is
//! what the link is for.
//!
//! Unverified: the numbers of the limits as they are today, the address for Europe
//! (`https://events.eu.pagerduty.com/v2/enqueue`), and the words of a refusal that blames the key.

use crate::apprise::{self, Address, Apprise, Unfit};
use crate::channel::{HttpChannel, HttpRequest, HttpResponse, Outgoing, Refused, filled};
use crate::render::{Ack, Story, rfc3339};
use crate::spec::{Advice, Field, Problem, Spec, Value};
use crate::{fit, settings};
use callout_core::alert::Standing;
use callout_core::outcome::{Blame, Outcome, Reason};
use callout_core::secret::Secret;
use callout_core::time::Timestamp;
use serde::Deserialize;
use serde_json::{Map, Value as Json, json};
use std::time::Duration;

pub(crate) static SPEC: Spec = Spec {
    kind: "pagerduty",
    title: "PagerDuty (Events API v2)",
    fields: &[
        Field {
            name: "routing_key",
            value: Value::Secret,
            required: true,
            doc: "The integration key of the service, 32 characters.",
        },
        Field {
            name: "endpoint",
            value: Value::Url,
            required: false,
            doc: "Where to post. Default: https://events.pagerduty.com/v2/enqueue.",
        },
    ],
    rate: "120/min",
    types: &["trigger", "acknowledge", "resolve"],
    native: false,
    body_bytes_max: BODY_BYTES_MAX,
    mentions: "none: PagerDuty knows who is on call",
    idempotency: "dedup_key",
    ack: "link",
    costly: false,
    rings: false,
    edit: false,
    thread: false,
    callback: None,
    advice: ADVICE,
    apprise: &[Apprise { scheme: "pagerduty", settings: from_apprise }],
};

static ADVICE: &[Advice] = &[
    Advice {
        code: "400",
        says: "routing",
        english: "PagerDuty does not take routing_key: copy the Integration Key of an \"Events API V2\" integration of the service.",
        chinese: "PagerDuty 不接受 routing_key：请复制该服务中“Events API V2”集成的 Integration Key。",
    },
    Advice {
        code: "400",
        says: "",
        english: "PagerDuty refuses the event: its words beside the code say which part.",
        chinese: "PagerDuty 拒绝了这个事件：错误码后面的说明指出了是哪一部分。",
    },
    Advice {
        code: "404",
        says: "",
        english: "Nothing answers at this address: check `endpoint`; in Europe it begins with https://events.eu.pagerduty.com.",
        chinese: "该地址没有对应的服务：请检查 endpoint；欧洲区的地址以 https://events.eu.pagerduty.com 开头。",
    },
    Advice {
        code: "429",
        says: "",
        english: "Too many events for this key: lower `rate`, or spread the services over several integrations.",
        chinese: "该集成的事件过多：请调低 rate，或把不同服务分到多个集成。",
    },
];

const ENDPOINT: &str = "https://events.pagerduty.com/v2/enqueue";
/// The most bytes of an event.
const BODY_BYTES_MAX: usize = 512_000;
/// The most UTF-16 units of a summary.
const SUMMARY_UNITS_MAX: usize = 1024;
/// How many characters a key has.
const KEY_CHARS: usize = 32;
/// How long to wait after too many events, where the answer does not tell.
const LIMITED: Duration = Duration::from_secs(120);
/// How much of an answer's words is kept, in bytes.
const ANSWER_BYTES_KEPT: usize = 200;
/// Who raised it, to PagerDuty.
const CLIENT: &str = "Callout";
/// Where it happened, if no label tells.
const SOURCE: &str = "callout";

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct PagerDuty {
    routing_key: Secret,
    endpoint: Option<Secret>,
}

/// Makes an integration from settings.
pub(crate) fn build(settings: Json) -> Result<Box<dyn HttpChannel>, Vec<Problem>> {
    let duty: PagerDuty = settings::parse(settings)?;
    if duty.routing_key.expose().chars().count() != KEY_CHARS {
        let text = "has to have 32 characters; is it the integration key of an Events API v2?";
        return Err(vec![settings::problem("routing_key", text)]);
    }
    Ok(Box::new(duty))
}

impl HttpChannel for PagerDuty {
    fn request(&self, out: &Outgoing<'_>, _at: Timestamp) -> Result<HttpRequest, Refused> {
        let action = match out.about.map(|about| about.now) {
            Some(Standing::Acknowledged) => "acknowledge",
            Some(Standing::Resolved) => "resolve",
            Some(Standing::Open) | None => "trigger",
        };
        let mut event = Map::new();
        event.insert("routing_key".to_owned(), json!(self.routing_key.expose()));
        event.insert("event_action".to_owned(), json!(action));
        let incident = out.about.map_or(out.id, |about| about.id);
        event.insert("dedup_key".to_owned(), json!(incident));
        if action == "trigger" {
            event.extend(trigger(out));
        }
        let endpoint = self.endpoint.as_ref().map_or(ENDPOINT, Secret::expose).trim();
        HttpRequest::post_json(Secret::new(endpoint), &event)
    }

    fn classify(&self, answer: &HttpResponse, at: Timestamp) -> Outcome {
        let said = answer.json::<Answer>().unwrap_or_default();
        let words = fit::bytes(&said.words(), ANSWER_BYTES_KEPT);
        let reason = |words| Reason::new(answer.status, words);
        match answer.status {
            202 if said.status == "success" => {
                let key = said.dedup_key.filter(|key| is_word(key));
                Outcome::Accepted(key.map_or(reason(words.clone()), |key| Reason::new(key, words)))
            }
            400 if !words.is_empty() => {
                // No shorter event would make the key right.
                let key = words.to_lowercase().contains("routing");
                let blame = if key { Blame::Endpoint } else { Blame::Message };
                Outcome::Rejected { blame, reason: reason(words) }
            }
            429 if answer.retry_after.is_none() => {
                let text = if words.is_empty() { answer.text() } else { words };
                let reason = reason(fit::bytes(&text, ANSWER_BYTES_KEPT));
                Outcome::Throttled { until: at + LIMITED, reason }
            }
            _ => answer.outcome_by_status(at),
        }
    }
}

/// What makes an incident, or adds to one.
fn trigger(out: &Outgoing<'_>) -> Map<String, Json> {
    let story = Story::of(out).with_unsent(out, 0);
    if out.plain {
        return event(&story.in_short(), out);
    }
    // What stands around it: the key, the action and the braces.
    let room = BODY_BYTES_MAX - 1024;
    let story = story.fit(|story| Json::Object(event(story, out)).to_string().len() <= room);
    event(&story, out)
}

fn event(story: &Story, out: &Outgoing<'_>) -> Map<String, Json> {
    let label = |name: &str| {
        let value = out.message.labels.get(name).map(|value| fit::line(value));
        value.filter(|value| !value.is_empty())
    };
    let placed = |name: &str| label(name).filter(|_| !out.plain);
    let headline =
        format!("{}{}{}", story.words.level(story.level), story.words.colon, story.title);
    let payload = filled(json!({
        "summary": fit::utf16(&headline, SUMMARY_UNITS_MAX),
        "severity": story.level,
        "source": label("host").unwrap_or_else(|| SOURCE.to_owned()),
        "timestamp": rfc3339(out.created_at),
        "component": placed("component"),
        "group": placed("group"),
        "class": placed("class"),
        "custom_details": details(story),
    }));
    let mut event = Map::new();
    event.insert("payload".to_owned(), payload);
    event.insert("client".to_owned(), json!(CLIENT));
    for (name, list) in [("links", links(story)), ("images", images(story))] {
        if !list.is_empty() {
            event.insert(name.to_owned(), Json::Array(list));
        }
    }
    event
}

/// The address to acknowledge at, then all others.
fn links(story: &Story) -> Vec<Json> {
    let ack = match &story.ack {
        Some(Ack::Link(url)) => {
            Some(json!({ "href": url.expose(), "text": story.words.acknowledge }))
        }
        Some(Ack::Command(_)) | None => None,
    };
    let links = story.links.iter().map(|link| json!({ "href": link.url, "text": link.text }));
    ack.into_iter().chain(links).collect()
}

/// Those that PagerDuty takes.
fn images(story: &Story) -> Vec<Json> {
    let images = story.images.iter().filter(|url| url.starts_with("https://"));
    images.map(|url| json!({ "src": url, "alt": story.words.image })).collect()
}

/// What has no place of its own in an event.
fn details(story: &Story) -> Json {
    let command = match &story.ack {
        Some(Ack::Command(command)) => Some(command),
        Some(Ack::Link(_)) | None => None,
    };
    let facts: Map<String, Json> =
        story.facts.iter().map(|(name, value)| (name.clone(), json!(value))).collect();
    filled(json!({
        "note": (!story.note.is_empty()).then_some(&story.note),
        "acknowledge": command,
        "body": (!story.body.is_empty()).then_some(&story.body),
        "facts": (!facts.is_empty()).then_some(facts),
        "callout": story.foot(),
    }))
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct Answer {
    status: String,
    message: String,
    errors: Vec<String>,
    dedup_key: Option<String>,
}

impl Answer {
    fn words(&self) -> String {
        let message = Some(&self.message).filter(|message| !message.is_empty());
        message.into_iter().chain(&self.errors).cloned().collect::<Vec<_>>().join(": ")
    }
}

fn is_word(key: &str) -> bool {
    !key.is_empty() && key.chars().all(|c| c.is_ascii_graphic())
}

/// The settings that stand in an Apprise address. Its second key, behind the `@`, is one that events do
/// not need.
fn from_apprise(address: &Address) -> Result<Map<String, Json>, Unfit> {
    address.only(&["apikey", "integrationkey", "region"])?;
    address.no_server()?;
    address.no_target(0, "names a source, which Callout does not honour; leave it out")?;
    let key = address.option("integrationkey").or(address.user.clone());
    let endpoint = match address.option("region").as_deref() {
        None | Some("us") => None,
        Some("eu") => Some("https://events.eu.pagerduty.com/v2/enqueue".to_owned()),
        Some(_) => return Err("has a `region` that is neither us nor eu".into()),
    };
    let key = key.ok_or("has no integration key before the @")?;
    apprise::settings([("routing_key", Some(key)), ("endpoint", endpoint)])
}
