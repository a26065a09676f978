//! Mattermost incoming webhook.
//!
//! Success is status 200 with the body `ok`. A refusal names itself by an `id`, and that decides: servers
//! have answered a missing channel with 500. The headline and the mentions are the text, which is what
//! notifications show; everything else is an attachment, small enough that no server splits it. Links are
//! Markdown, for buttons would need a program that hears them.
//!
//! Unverified: what servers without the licence do with a priority, so it is sent only if asked for; and
//! whether a wrong channel name in the webhook is always refused: one release was seen to say nothing.

use crate::apprise::{self, Address, Apprise, Unfit};
use crate::channel::{HttpChannel, HttpRequest, HttpResponse, Outgoing, Refused};
use crate::render::{Called, Story};
use crate::sign;
use crate::spec::{Advice, Field, Problem, Spec, Value};
use crate::{attachment, fit, settings};
use callout_core::level::Level;
use callout_core::outcome::{Blame, Outcome, Reason};
use callout_core::secret::Secret;
use callout_core::time::Timestamp;
use serde::Deserialize;
use serde_json::{Map, Value as Json, json};

pub(crate) static SPEC: Spec = Spec {
    kind: "mattermost",
    title: "Mattermost incoming webhook",
    fields: &[
        Field {
            name: "webhook_url",
            value: Value::Secret,
            required: true,
            doc: "The webhook's whole address, such as https://chat.example.com/hooks/...",
        },
        Field {
            name: "priority",
            value: Value::Switch,
            required: false,
            doc: "Mark critical messages as urgent and errors as important, which needs a server that has priorities (unverified elsewhere). Default: false.",
        },
    ],
    rate: "none",
    types: &["attachments", "text"],
    native: true,
    body_bytes_max: 64 * 1024,
    mentions: "everybody in the channel; people by user name",
    idempotency: "none",
    ack: "link",
    costly: false,
    rings: false,
    edit: false,
    thread: false,
    callback: None,
    advice: ADVICE,
    apprise: &[
        Apprise { scheme: "mmost", settings: from_apprise },
        Apprise { scheme: "mmosts", settings: from_apprise },
    ],
};

const ADVICE: &[Advice] = &[
    Advice {
        code: "web.incoming_webhook.invalid.app_error",
        says: "",
        english: "The webhook was deleted, or the address is wrong: make a new incoming webhook and put its address into `webhook_url`.",
        chinese: "webhook 已被删除，或地址有误：请新建传入 webhook，并把地址填入 `webhook_url`。",
    },
    Advice {
        code: "web.incoming_webhook.channel.app_error",
        says: "",
        english: "The webhook's channel does not exist any more: choose another channel in the webhook's settings.",
        chinese: "webhook 所属的频道已不存在：请在 webhook 设置中另选频道。",
    },
    Advice {
        code: "web.incoming_webhook.disabled.app_error",
        says: "",
        english: "Incoming webhooks are turned off on this server: ask its administrator to turn them on.",
        chinese: "服务器未启用传入 webhook：请联系管理员开启。",
    },
    Advice {
        code: "web.incoming_webhook.permissions.app_error",
        says: "",
        english: "The owner of the webhook may not post in its channel: add this person to the channel, or make the webhook anew.",
        chinese: "webhook 的创建者无权在该频道发言：请将其加入频道，或重新创建 webhook。",
    },
    Advice {
        code: "web.incoming_webhook.user.app_error",
        says: "",
        english: "The owner of the webhook does not exist any more: let another person make a new webhook.",
        chinese: "webhook 的创建者已不存在：请由其他人重新创建 webhook。",
    },
];

/// The most UTF-16 units of the attachments as JSON; the smallest number that servers are known to split
/// at is a little higher.
const ATTACHMENTS_UNITS_MAX: usize = 7_000;

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Mattermost {
    webhook_url: Secret,
    #[serde(default)]
    priority: bool,
}

/// Makes a webhook from settings.
pub(crate) fn build(settings: Json) -> Result<Box<dyn HttpChannel>, Vec<Problem>> {
    let mattermost: Mattermost = settings::parse(settings)?;
    settings::webhook_url(SPEC.kind, &mattermost.webhook_url)?;
    Ok(Box::new(mattermost))
}

impl HttpChannel for Mattermost {
    fn request(&self, out: &Outgoing<'_>, _at: Timestamp) -> Result<HttpRequest, Refused> {
        let names = names(&Called::of(out.mentions));
        let story = Story::of(out).with_unsent(out, 0);
        let body = match (out.native(&SPEC)?, out.plain) {
            (Some(native), _) => native.clone(),
            (None, true) => self.marked(attachment::plain(story, &names), out),
            (None, false) => self.marked(rich(story, &names), out),
        };
        HttpRequest::post_json(self.webhook_url.clone(), &body)
    }

    fn classify(&self, answer: &HttpResponse, at: Timestamp) -> Outcome {
        if answer.status == 200 && answer.text() == "ok" {
            return Outcome::Accepted(Reason::new(200, "ok"));
        }
        let Some(Refusal { id, message }) = answer.json() else {
            return answer.outcome_by_status(at);
        };
        let blame = refusal(&id);
        let reason = Reason::new(id, message);
        match blame {
            Some(blame) => Outcome::Rejected { blame, reason },
            None => answer.outcome_by_status(at).with_reason(reason),
        }
    }

    fn follow_up(
        &self,
        out: &Outgoing<'_>,
        _at: Timestamp,
        answers: &[HttpResponse],
    ) -> Option<HttpRequest> {
        out.unsaid(&SPEC).filter(|_| answers.is_empty())?;
        let text = attachment::plain(Story::of(out).in_short(), &[]);
        HttpRequest::post_json(self.webhook_url.clone(), &text).ok()
    }
}

impl Mattermost {
    /// Puts the mark of the message's level on `body`.
    fn marked(&self, mut body: Json, out: &Outgoing<'_>) -> Json {
        let priority = match out.message.level {
            Level::Critical => Some("urgent"),
            Level::Error => Some("important"),
            Level::Info | Level::Warning => None,
        };
        if let (Some(priority), Some(parts)) =
            (priority, body.as_object_mut().filter(|_| self.priority))
        {
            parts.insert("priority".to_owned(), json!({ "priority": priority }));
        }
        body
    }
}

fn rich(story: Story, names: &[String]) -> Json {
    let fits = |body: Json| {
        let attachments = body.get("attachments").map(ToString::to_string).unwrap_or_default();
        fit::utf16_len(&attachments) <= ATTACHMENTS_UNITS_MAX
    };
    let story = story.fit(|story| fits(attachment::message(story, names)));
    attachment::message(&story, names)
}

fn names(called: &Called<'_>) -> Vec<String> {
    let everybody = called.all.then_some("channel");
    everybody.into_iter().chain(called.users.iter().copied()).map(|id| format!("@{id}")).collect()
}

/// Whom a refusal blames, by the server's id for it, whatever the status.
fn refusal(id: &str) -> Option<Blame> {
    let word = id.strip_prefix("web.incoming_webhook.")?.strip_suffix(".app_error")?;
    match word {
        "channel" | "channel_locked" | "user" | "disabled" | "invalid" | "permissions" => {
            Some(Blame::Endpoint)
        }
        "text" | "parse" | "decode" | "split_props_length" => Some(Blame::Message),
        _ => None,
    }
}

#[derive(Deserialize)]
struct Refusal {
    id: String,
    #[serde(default)]
    message: String,
}

/// The settings that stand in an Apprise address. The name before the `@` only looks different.
fn from_apprise(address: &Address) -> Result<Map<String, Json>, Unfit> {
    address.only(&["mode"])?;
    if address.password.is_some() || address.option("mode").is_some_and(|mode| mode != "webhook") {
        return Err("is not that of a webhook; only these are supported".into());
    }
    let (token, folder) = address.path.split_last().ok_or("has no token behind the host")?;
    let folder: String = folder.iter().map(|part| format!("/{}", sign::percent(part))).collect();
    let url = format!("{}{folder}/hooks/{}", address.server()?, sign::percent(token));
    apprise::settings([("webhook_url", Some(url))])
}
