//! Google Chat incoming webhook.
//!
//! The text is Chat's own markup, which is close to Slack's and knows no escapes: an invisible character
//! parts what could begin a mention. Buttons stand in a card below the text.
//! Each message begins a thread of its own, and news of an alert go into the thread that told of it
//! first. Being told again is a thread of its own too, for replies are easily missed.
//!
//! Native bodies go out as they are and so begin no such thread.
//!
//! Unverified: the largest text and the largest request (short texts are sent), the limit of one space,
//! and that a wrong `key` is told by status 400 and the words looked for here.

use crate::apprise::{self, Address, Apprise, Unfit};
use crate::channel::{HttpChannel, HttpRequest, HttpResponse, Outgoing, Refused};
use crate::render::{Ack, Called, Story, by_command};
use crate::sign;
use crate::spec::{Advice, Field, Problem, Spec, Value};
use crate::{fit, mrkdwn, settings};
use callout_core::outcome::{Blame, Outcome, Reason};
use callout_core::secret::Secret;
use callout_core::time::Timestamp;
use serde::Deserialize;
use serde_json::{Map, Value as Json, json};

pub(crate) static SPEC: Spec = Spec {
    kind: "googlechat",
    title: "Google Chat incoming webhook",
    fields: &[Field {
        name: "webhook_url",
        value: Value::Secret,
        required: true,
        doc: "The webhook's whole address, which begins with https://chat.googleapis.com/v1/spaces/ and holds key and token.",
    }],
    rate: "60/min",
    types: &["cardsV2", "text"],
    native: true,
    body_bytes_max: 32_000,
    mentions: "everybody; people by their numeric user id",
    idempotency: "none",
    ack: "link button",
    costly: false,
    rings: false,
    edit: false,
    thread: true,
    callback: None,
    advice: ADVICE,
    apprise: &[Apprise { scheme: "gchat", settings: from_apprise }],
};

const ADVICE: &[Advice] = &[
    Advice {
        code: "INVALID_ARGUMENT",
        says: API_KEY,
        english: "The address is not whole: copy `webhook_url` again, with key and token behind the question mark.",
        chinese: "地址不完整：请重新复制 `webhook_url`，包括问号后面的 key 和 token。",
    },
    Advice {
        code: "NOT_FOUND",
        says: "",
        english: "The space or the webhook does not exist any more: add a webhook to the space and put its address into `webhook_url`.",
        chinese: "聊天室或 webhook 已不存在：请在聊天室中新建 webhook，并把地址填入 `webhook_url`。",
    },
    Advice {
        code: "PERMISSION_DENIED",
        says: "",
        english: "The webhook may not post: check that the administrator allows webhooks and that key and token are those of this space.",
        chinese: "webhook 无权发送：请确认管理员允许使用 webhook，且 key 和 token 属于该聊天室。",
    },
    Advice {
        code: "UNAUTHENTICATED",
        says: "",
        english: "The token is wrong: copy `webhook_url` again from the space's settings.",
        chinese: "token 不正确：请从聊天室设置中重新复制 `webhook_url`。",
    },
    Advice {
        code: "RESOURCE_EXHAUSTED",
        says: "",
        english: "Too many messages for one space: all apps in it share one limit, so spread the messages over several spaces.",
        chinese: "该聊天室消息过多：其中所有应用共用一个限额，请分摊到多个聊天室。",
    },
];

/// Where webhooks are, unless a proxy stands before them.
const HOST: &str = "chat.googleapis.com";
/// Reply in the thread if it is there; begin one otherwise.
const REPLY: &str = "messageReplyOption=REPLY_MESSAGE_FALLBACK_TO_NEW_THREAD";
/// The most UTF-16 units of the text.
const TEXT_UNITS_MAX: usize = 4_000;
/// How many bytes our own bodies may have.
const BODY_BYTES_BUDGET: usize = 30_000;
/// How much of a label a button shows, in UTF-16 units.
const BUTTON_UNITS_MAX: usize = 60;
/// What Google says of a wrong key, in lower case.
const API_KEY: &str = "api key not valid";

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct GoogleChat {
    webhook_url: Secret,
}

/// Makes a webhook from settings.
pub(crate) fn build(settings: Json) -> Result<Box<dyn HttpChannel>, Vec<Problem>> {
    let chat: GoogleChat = settings::parse(settings)?;
    let url = settings::webhook_url(SPEC.kind, &chat.webhook_url)?;
    let has = |name: &str| url.query_pairs().any(|(have, value)| have == name && !value.is_empty());
    if url.host_str() == Some(HOST) && !(has("key") && has("token")) {
        let text = "lacks key or token; was it copied whole, with all behind the question mark?";
        return Err(vec![settings::problem("webhook_url", text)]);
    }
    Ok(Box::new(chat))
}

impl HttpChannel for GoogleChat {
    fn request(&self, out: &Outgoing<'_>, _at: Timestamp) -> Result<HttpRequest, Refused> {
        let called = Called::of(out.mentions);
        let story = Story::of(out).with_unsent(out, 0);
        let body = match (out.native(&SPEC)?, out.plain) {
            (Some(native), _) => native.clone(),
            (None, true) => threaded(plain(story, &called), out),
            (None, false) => threaded(rich(story, &called), out),
        };
        HttpRequest::post_json(self.url(), &body)
    }

    fn classify(&self, answer: &HttpResponse, at: Timestamp) -> Outcome {
        match answer.json::<Answer>() {
            Some(Answer { error: Some(error), .. }) => refusal(&error, answer, at),
            Some(Answer { name: Some(name), .. })
                if answer.status == 200 && name.starts_with("spaces/") =>
            {
                Outcome::Accepted(Reason::new(200, name))
            }
            Some(_) | None => answer.outcome_by_status(at),
        }
    }

    fn follow_up(
        &self,
        out: &Outgoing<'_>,
        _at: Timestamp,
        answers: &[HttpResponse],
    ) -> Option<HttpRequest> {
        out.unsaid(&SPEC).filter(|_| answers.is_empty())?;
        let text = plain(Story::of(out).in_short(), &Called::NOBODY);
        HttpRequest::post_json(self.url(), &threaded(text, out)).ok()
    }
}

impl GoogleChat {
    fn url(&self) -> Secret {
        let url = self.webhook_url.expose().trim();
        match url.split_once('?') {
            Some((_, query)) if query.contains("messageReplyOption=") => Secret::new(url),
            Some(_) => Secret::new(format!("{url}&{REPLY}")),
            None => Secret::new(format!("{url}?{REPLY}")),
        }
    }
}

/// Puts `body` into the thread of the alert it is about, or into one of its own.
fn threaded(mut body: Json, out: &Outgoing<'_>) -> Json {
    let key = out.about.map_or_else(|| out.key(), |about| about.id.to_string());
    if let Some(parts) = body.as_object_mut() {
        parts.insert("thread".to_owned(), json!({ "threadKey": key }));
    }
    body
}

fn plain(story: Story, called: &Called<'_>) -> Json {
    let text = story.plain(fit::quiet, |_| true);
    let lines: Vec<String> = [text].into_iter().chain(names(called)).collect();
    json!({ "text": lines.join("\n") })
}

fn rich(story: Story, called: &Called<'_>) -> Json {
    let fits = |body: &Json| {
        let units = body.get("text").and_then(Json::as_str).map_or(0, fit::utf16_len);
        units <= TEXT_UNITS_MAX && body.to_string().len() <= BODY_BYTES_BUDGET
    };
    let story = story.fit(|story| fits(&message(story, called)));
    message(&story, called)
}

fn message(story: &Story, called: &Called<'_>) -> Json {
    let mut body = json!({ "text": text(story, called) });
    let buttons = buttons(story);
    if let Some(parts) = body.as_object_mut().filter(|_| !buttons.is_empty()) {
        let widget = json!({ "buttonList": { "buttons": buttons } });
        let card = json!({ "sections": [{ "widgets": [widget] }] });
        parts.insert("cardsV2".to_owned(), json!([{ "cardId": "links", "card": card }]));
    }
    body
}

fn text(story: &Story, called: &Called<'_>) -> String {
    let facts = story
        .facts
        .iter()
        .map(|(name, value)| format!("*{}*{}{}", flat(name), story.words.colon, flat(value)));
    let image = |url: &String| format!("<{}|{}>", fit::link_target(url), story.words.image);
    let images = story.images.iter().map(image);
    let mut parts = vec![
        format!("*{}*", flat(&story.headline())),
        flat(&story.note),
        names(called).unwrap_or_default(),
        marked_up(&story.body),
        facts.collect::<Vec<_>>().join("\n"),
        images.collect::<Vec<_>>().join("\n"),
    ];
    if let Some(Ack::Command(command)) = &story.ack {
        parts.push(by_command(story.words, &fit::quiet(command)));
    }
    parts.push(flat(&story.foot()));
    parts.retain(|part| !part.is_empty());
    parts.join("\n\n")
}

fn buttons(story: &Story) -> Vec<Json> {
    let button = |text: &str, url: &str| {
        let text = fit::quiet(&fit::utf16(text, BUTTON_UNITS_MAX));
        json!({ "text": text, "onClick": { "openLink": { "url": url } } })
    };
    let ack = match &story.ack {
        Some(Ack::Link(url)) => Some(button(story.words.acknowledge, url.expose())),
        Some(Ack::Command(_)) | None => None,
    };
    let links = story.links.iter().map(|link| button(&link.text, &link.url));
    ack.into_iter().chain(links).collect()
}

/// Markdown as Chat's markup. Slack's is the same but for its escapes, and each of these was made once.
fn marked_up(markdown: &str) -> String {
    // The conversion takes marks away, which must not make a mention of what they parted.
    let quiet = fit::quiet(markdown).replace("<*", "<\u{200b}*").replace("<_", "<\u{200b}_");
    let slack = mrkdwn::convert(&quiet);
    slack.replace("&lt;", "<").replace("&gt;", ">").replace("&amp;", "&")
}

/// One quiet line without code.
fn flat(text: &str) -> String {
    fit::quiet(&fit::line(text).replace('`', "ˋ"))
}

fn names(called: &Called<'_>) -> Option<String> {
    // Their ids are long numbers, which telephones have elsewhere.
    let people = called.users.iter().chain(&called.mobiles).copied();
    let everybody = called.all.then_some("all");
    let names = everybody.into_iter().chain(people).map(|id| format!("<users/{id}>"));
    let names: Vec<String> = names.collect();
    (!names.is_empty()).then(|| names.join(" "))
}

/// Google's word for an error is the code, its number decides what follows.
fn refusal(error: &Refusal, answer: &HttpResponse, at: Timestamp) -> Outcome {
    let reason = Reason::new(&error.status, &*error.message);
    let wrong_key = error.message.to_lowercase().contains(API_KEY);
    if error.code == 400 && wrong_key {
        return Outcome::Rejected { blame: Blame::Endpoint, reason };
    }
    let answer = HttpResponse { status: error.code, ..answer.clone() };
    answer.outcome_by_status(at).with_reason(reason)
}

#[derive(Deserialize)]
struct Answer {
    name: Option<String>,
    error: Option<Refusal>,
}

#[derive(Deserialize)]
struct Refusal {
    code: u16,
    #[serde(default)]
    message: String,
    #[serde(default)]
    status: String,
}

/// The settings that stand in an Apprise address.
fn from_apprise(address: &Address) -> Result<Map<String, Json>, Unfit> {
    address.only(&["key", "token", "workspace"])?;
    address.no_server()?;
    address.no_user()?;
    if address.path.len() > 2 {
        return Err("names a thread, which Callout does not honour here".into());
    }
    let [space, key, token] = [
        address.host_or("workspace", "space")?,
        address.option("key").map_or_else(|| address.part(0, "key"), Ok)?,
        address.option("token").map_or_else(|| address.part(1, "token"), Ok)?,
    ]
    .map(|part| sign::percent(&part));
    let url =
        format!("https://chat.googleapis.com/v1/spaces/{space}/messages?key={key}&token={token}");
    apprise::settings([("webhook_url", Some(url))])
}
