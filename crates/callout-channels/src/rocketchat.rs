//! Rocket.Chat incoming webhook.
//!
//! Success is `{"success":true}`; a refusal comes with status 400, or with 200 and `"success":false`.
//! The headline and the mentions are the text, everything else is an attachment; links are Markdown.
//!
//! Unverified: the limits of rate and length, which each server sets for itself (texts stay below what
//! servers come with), and the words of refusals beyond those listed here.

use crate::apprise::{self, Address, Apprise, Unfit};
use crate::channel::{HttpChannel, HttpRequest, HttpResponse, Outgoing, Refused};
use crate::render::{Called, Story};
use crate::spec::{Advice, Field, Problem, Spec, Value};
use crate::{attachment, fit, settings};
use callout_core::outcome::{Blame, Outcome, Reason};
use callout_core::secret::Secret;
use callout_core::time::Timestamp;
use serde::Deserialize;
use serde_json::{Map, Value as Json};

pub(crate) static SPEC: Spec = Spec {
    kind: "rocketchat",
    title: "Rocket.Chat incoming webhook",
    fields: &[Field {
        name: "webhook_url",
        value: Value::Secret,
        required: true,
        doc: "The webhook's whole address, such as https://chat.example.com/hooks/<id>/<token>.",
    }],
    rate: "none",
    types: &["attachments", "text"],
    native: true,
    body_bytes_max: 32 * 1024,
    mentions: "everybody in the room; people by user name",
    idempotency: "none",
    ack: "link",
    costly: false,
    rings: false,
    edit: false,
    thread: false,
    callback: None,
    advice: ADVICE,
    apprise: &[
        Apprise { scheme: "rocket", settings: from_apprise },
        Apprise { scheme: "rockets", settings: from_apprise },
    ],
};

const ADVICE: &[Advice] = &[
    Advice {
        code: "error-not-allowed",
        says: "",
        english: "The webhook's user may not post in the room: add this user to the room.",
        chinese: "webhook 指定的用户无权在该房间发言：请将该用户加入房间。",
    },
    Advice {
        code: "invalid-channel",
        says: "",
        english: "The webhook's room does not exist: correct the channel in the webhook's settings.",
        chinese: "webhook 指定的房间不存在：请在 webhook 设置中更正频道。",
    },
    Advice {
        code: "404",
        says: "",
        english: "The webhook is not there: check that it is enabled and that `webhook_url` was copied whole.",
        chinese: "找不到该 webhook：请确认它已启用，且 `webhook_url` 复制完整。",
    },
];

/// The most UTF-16 units of the attachment's text; servers come with a limit of 5000 characters.
const TEXT_UNITS_MAX: usize = 4_500;
/// How many bytes our own bodies may have.
const BODY_BYTES_BUDGET: usize = 24 * 1024;

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct RocketChat {
    webhook_url: Secret,
}

/// Makes a webhook from settings.
pub(crate) fn build(settings: Json) -> Result<Box<dyn HttpChannel>, Vec<Problem>> {
    let rocket: RocketChat = settings::parse(settings)?;
    settings::webhook_url(SPEC.kind, &rocket.webhook_url)?;
    Ok(Box::new(rocket))
}

impl HttpChannel for RocketChat {
    fn request(&self, out: &Outgoing<'_>, _at: Timestamp) -> Result<HttpRequest, Refused> {
        let names = names(&Called::of(out.mentions));
        let story = Story::of(out).with_unsent(out, 0);
        let body = match (out.native(&SPEC)?, out.plain) {
            (Some(native), _) => native.clone(),
            (None, true) => attachment::plain(story, &names),
            (None, false) => rich(story, &names),
        };
        HttpRequest::post_json(self.webhook_url.clone(), &body)
    }

    fn classify(&self, answer: &HttpResponse, at: Timestamp) -> Outcome {
        match answer.json::<Answer>() {
            Some(Answer { success: true, .. }) if answer.status == 200 => {
                Outcome::Accepted(Reason::new(200, "success"))
            }
            Some(Answer { success: false, error: Some(error) }) => refusal(error, answer, at),
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
        let text = attachment::plain(Story::of(out).in_short(), &[]);
        HttpRequest::post_json(self.webhook_url.clone(), &text).ok()
    }
}

fn rich(story: Story, names: &[String]) -> Json {
    let fits = |body: Json| {
        let text = body.pointer("/attachments/0/text").and_then(Json::as_str).unwrap_or_default();
        fit::utf16_len(text) <= TEXT_UNITS_MAX && body.to_string().len() <= BODY_BYTES_BUDGET
    };
    let story = story.fit(|story| fits(attachment::message(story, names)));
    attachment::message(&story, names)
}

fn names(called: &Called<'_>) -> Vec<String> {
    let everybody = called.all.then_some("all");
    everybody.into_iter().chain(called.users.iter().copied()).map(|id| format!("@{id}")).collect()
}

fn refusal(error: String, answer: &HttpResponse, at: Timestamp) -> Outcome {
    let blame = match error.as_str() {
        "error-not-allowed"
        | "invalid-channel"
        | "error-invalid-channel"
        | "error-invalid-room" => Blame::Endpoint,
        "error-message-size-exceeded" => Blame::Message,
        // Words we do not know: worth another try unless the status says more.
        _ if answer.status == 200 => {
            return Outcome::Transient(Reason::new(fit::bytes(&error, WORD_BYTES_MAX), error));
        }
        _ => {
            let reason = Reason::new(answer.status, error);
            return answer.outcome_by_status(at).with_reason(reason);
        }
    };
    let reason = Reason::new(&error, &*error);
    Outcome::Rejected { blame, reason }
}

/// How much of an unknown word stands as the code.
const WORD_BYTES_MAX: usize = 60;

#[derive(Deserialize)]
struct Answer {
    success: bool,
    error: Option<String>,
}

/// The settings that stand in an Apprise address with the two halves of a webhook before the `@`.
fn from_apprise(address: &Address) -> Result<Map<String, Json>, Unfit> {
    address.only(&["mode", "webhook"])?;
    let webhook = address.option("webhook").or(address.password.clone()).or(address.user.clone());
    let halves = webhook.as_deref().and_then(|webhook| webhook.split_once('/'));
    let legal = |half: &str| !half.is_empty() && half.bytes().all(|b| b.is_ascii_alphanumeric());
    let halves = halves.filter(|(one, two)| legal(one) && legal(two));
    let (one, two) =
        halves.filter(|_| address.option("mode").is_none_or(|mode| mode == "webhook")).ok_or(
            "is not that of a webhook, rockets://<id>/<token>@<host>; only these are supported",
        )?;
    address.no_target(0, "names a room, but a webhook has one of its own; leave it out")?;
    let url = format!("{}/hooks/{one}/{two}", address.server()?);
    apprise::settings([("webhook_url", Some(url))])
}
