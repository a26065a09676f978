//! Slack incoming webhook.
//!
//! Success is status 200 with the body `ok`, and nothing else; refusals are one word of plain text.
//! There is no receipt, so such a message can never be changed; `slack_api` is the kind that can. What
//! a native body leaves unsaid follows it as plain text.
//!
//! Unverified: which status goes with each word; words are read before statuses.

use crate::apprise::{Address, Apprise, Unfit};
use crate::blockkit::{self, Look};
use crate::channel::{HttpChannel, HttpRequest, HttpResponse, Outgoing, Refused};
use crate::render::{Called, Story};
use crate::spec::{Advice, Field, Problem, Spec, Value};
use crate::{apprise, settings};
use callout_core::outcome::{Blame, Outcome, Reason};
use callout_core::secret::Secret;
use callout_core::time::Timestamp;
use serde::Deserialize;
use serde_json::{Map, Value as Json};

pub(crate) static SPEC: Spec = Spec {
    kind: "slack",
    title: "Slack incoming webhook",
    fields: &[Field {
        name: "webhook_url",
        value: Value::Secret,
        required: true,
        doc: "The webhook's whole address, which begins with https://hooks.slack.com/services/.",
    }],
    rate: "1/s",
    types: &["blocks", "text"],
    native: true,
    body_bytes_max: 64 * 1024,
    mentions: "everybody in the channel; people (U…) and groups (S…) by id",
    idempotency: "none",
    ack: "link button",
    costly: false,
    rings: false,
    edit: false,
    thread: false,
    callback: None,
    advice: ADVICE,
    apprise: &[Apprise { scheme: "slack", settings: from_apprise }],
};

const ADVICE: &[Advice] = &[
    Advice {
        code: "",
        says: "no_service",
        english: "The webhook is turned off or was removed: make a new one in the Slack app and put its address into `webhook_url`.",
        chinese: "webhook 已停用或被删除：请在 Slack 应用中新建一个，并把地址填入 `webhook_url`。",
    },
    Advice {
        code: "",
        says: "no service",
        english: "The webhook is turned off or was removed: make a new one in the Slack app and put its address into `webhook_url`.",
        chinese: "webhook 已停用或被删除：请在 Slack 应用中新建一个，并把地址填入 `webhook_url`。",
    },
    Advice {
        code: "",
        says: "no_active_hooks",
        english: "The webhook is turned off: turn it on in the Slack app, or make a new one.",
        chinese: "webhook 已停用：请在 Slack 应用中启用，或新建一个。",
    },
    Advice {
        code: "",
        says: "no_team",
        english: "The workspace is not there: copy `webhook_url` again.",
        chinese: "找不到该工作区：请重新复制 `webhook_url`。",
    },
    Advice {
        code: "",
        says: "invalid_token",
        english: "The webhook's address is wrong or was revoked: copy `webhook_url` again from the Slack app.",
        chinese: "webhook 地址有误或已被撤销：请从 Slack 应用中重新复制 `webhook_url`。",
    },
    Advice {
        code: "",
        says: "channel_is_archived",
        english: "The webhook's channel is archived: restore the channel, or make a webhook for another one.",
        chinese: "webhook 所属的频道已归档：请恢复该频道，或为其他频道新建 webhook。",
    },
    Advice {
        code: "",
        says: "channel_not_found",
        english: "The webhook's channel does not exist any more: make a webhook for another channel.",
        chinese: "webhook 所属的频道已不存在：请为其他频道新建 webhook。",
    },
    Advice {
        code: "",
        says: "action_prohibited",
        english: "An administrator does not let this webhook post: ask them to allow it.",
        chinese: "管理员限制了该 webhook 发送消息：请联系管理员放行。",
    },
    Advice {
        code: "",
        says: "posting_to_general_channel_denied",
        english: "Webhooks may not post in the general channel: make a webhook for another channel.",
        chinese: "不允许 webhook 在 general 频道发送：请为其他频道新建 webhook。",
    },
    Advice {
        code: "",
        says: "team_disabled",
        english: "The workspace is turned off: make a webhook in another one.",
        chinese: "该工作区已停用：请在其他工作区新建 webhook。",
    },
    Advice {
        code: "",
        says: "user_not_found",
        english: "The person who made the webhook is gone: let somebody else make a new one.",
        chinese: "创建 webhook 的用户已不存在：请由其他人重新创建。",
    },
    Advice {
        code: "429",
        says: "",
        english: "Slack lets a webhook post about once a second: make several webhooks, or send fewer messages.",
        chinese: "Slack 每个 webhook 大约每秒只能发送一条：请使用多个 webhook，或减少消息。",
    },
];

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Slack {
    webhook_url: Secret,
}

/// Makes a webhook from settings.
pub(crate) fn build(settings: Json) -> Result<Box<dyn HttpChannel>, Vec<Problem>> {
    let slack: Slack = settings::parse(settings)?;
    settings::webhook_url(SPEC.kind, &slack.webhook_url)?;
    Ok(Box::new(slack))
}

/// The settings that stand in an Apprise address with the three parts of a webhook. A bot's token belongs
/// to the kind `slack_api`. The bot's name before the `@` is one of those things that only look different.
fn from_apprise(address: &Address) -> Result<Map<String, Json>, Unfit> {
    let token = address.option("token");
    if token.as_ref().unwrap_or(&address.host).starts_with("xo") {
        return Err(Unfit::Elsewhere);
    }
    address.only(&["mode", "token", "to"])?;
    address.no_server()?;
    if address.option("mode").is_some_and(|mode| mode != "webhook") {
        return Err("has another `mode` than \"webhook\", which Callout does not honour".into());
    }
    let (parts, skip) = match token {
        Some(token) => {
            let parts = token.split(['/', ',', ' ']).filter(|part| !part.is_empty());
            (parts.map(str::to_owned).collect::<Vec<_>>(), 0)
        }
        None => {
            let (b, c) = (address.part(0, "second part")?, address.part(1, "third part")?);
            (vec![address.host.clone(), b, c], 2)
        }
    };
    let channel =
        "names a channel, but a webhook has one of its own; leave it out, or use a bot's token";
    address.no_target(skip, channel)?;
    let legal = |part: &String| part.bytes().all(|b| b.is_ascii_alphanumeric()) && !part.is_empty();
    if parts.len() != 3 || !parts.iter().all(legal) {
        return Err("has to hold the three parts of a webhook, or a bot's token".into());
    }
    let url = format!("https://hooks.slack.com/services/{}", parts.join("/"));
    apprise::settings([("webhook_url", Some(url))])
}

impl HttpChannel for Slack {
    fn request(&self, out: &Outgoing<'_>, _at: Timestamp) -> Result<HttpRequest, Refused> {
        let called = Called::of(out.mentions);
        let story = Story::of(out).with_unsent(out, 0);
        let body = match (out.native(&SPEC)?, out.plain) {
            (Some(native), _) => native.clone(),
            (None, true) => blockkit::unpreviewed(blockkit::plain(story, &called)),
            (None, false) => {
                blockkit::unpreviewed(blockkit::rich(story, &called, &Look::default()))
            }
        };
        HttpRequest::post_json(self.webhook_url.clone(), &body)
    }

    fn classify(&self, answer: &HttpResponse, at: Timestamp) -> Outcome {
        let word = answer.text();
        match (answer.status, word.as_str()) {
            (200, "ok") => Outcome::Accepted(Reason::new(200, word)),
            (200 | 400..=499, word) => refusal(word).map_or_else(
                || answer.outcome_by_status(at),
                |blame| Outcome::Rejected { blame, reason: Reason::new(answer.status, word) },
            ),
            _ => answer.outcome_by_status(at),
        }
    }

    fn follow_up(
        &self,
        out: &Outgoing<'_>,
        _at: Timestamp,
        answers: &[HttpResponse],
    ) -> Option<HttpRequest> {
        out.unsaid(&SPEC).filter(|_| answers.is_empty())?;
        let text = blockkit::plain(Story::of(out).in_short(), &Called::NOBODY);
        HttpRequest::post_json(self.webhook_url.clone(), &blockkit::unpreviewed(text)).ok()
    }
}

/// Whom a refusal blames, by Slack's word for it.
fn refusal(word: &str) -> Option<Blame> {
    match word {
        "invalid_payload"
        | "no_text"
        | "too_many_attachments"
        | "invalid_blocks"
        | "invalid_blocks_format"
        | "invalid_attachments"
        | "msg_too_long"
        | "msg_blocks_too_long" => Some(Blame::Message),
        "user_not_found"
        | "invalid_token"
        | "action_prohibited"
        | "posting_to_general_channel_denied"
        | "no_service"
        | "No service"
        | "no_service_id"
        | "no_active_hooks"
        | "no_team"
        | "channel_not_found"
        | "channel_is_archived"
        | "team_disabled" => Some(Blame::Endpoint),
        _ => None,
    }
}
