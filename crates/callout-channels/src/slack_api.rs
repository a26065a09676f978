//! Slack app, by the Web API.
//!
//! Nearly everything is answered with status 200; the truth is in `ok`, and a message counts as posted
//! only with the channel and the `ts` that find it again. These two are the receipt: news of an alert
//! stand in the thread below it, and the message of an answered alert loses its button.
//!
//! With a signing secret the button acknowledges in the chat, and Slack tells us of it; a small link
//! still leads to the page. Without one the button is a link. What is refused for its form, perhaps
//! because its thread is gone, goes out once more as short plain text on its own.
//!
//! Unverified: what Slack answers to a thread that does not exist, and whether limits count characters
//! or UTF-16 units. `internal_error` and `fatal_error` may have posted the message.

use crate::apprise::{self, Address, Apprise, Unfit};
use crate::blockkit::{self, ACKNOWLEDGE, Look};
use crate::callback::{Callback, Heard, Inbound, Press, Pressed, Reply};
use crate::channel::{Ask, HttpChannel, HttpRequest, HttpResponse, Outgoing, Refused};
use crate::render::{Called, Story};
use crate::spec::{Advice, Field, Problem, Spec, Value};
use crate::{fit, settings, sign};
use callout_core::locale::Locale;
use callout_core::outcome::{Blame, Outcome, Reason};
use callout_core::secret::Secret;
use callout_core::time::Timestamp;
use serde::Deserialize;
use serde_json::{Map, Value as Json, json};
use std::borrow::Cow;
use subtle::ConstantTimeEq;
use url::form_urlencoded;

pub(crate) static SPEC: Spec = Spec {
    kind: "slack_api",
    title: "Slack app",
    fields: &[
        Field {
            name: "bot_token",
            value: Value::Secret,
            required: true,
            doc: "The app's bot token, which begins with xoxb-; it needs the scope chat:write.",
        },
        Field {
            name: "channel",
            value: Value::Text,
            required: true,
            doc: "The channel: better its id (C…, G… or D…), which stays when it is renamed, than its #name.",
        },
        Field {
            name: "signing_secret",
            value: Value::Secret,
            required: false,
            doc: "The app's signing secret; with it the button acknowledges in the chat, if the request URL of its interactivity is the public address followed by /v1/callbacks/slack. Default: the button is a link.",
        },
        Field {
            name: "endpoint",
            value: Value::Url,
            required: false,
            doc: "The base of the Web API. Default: https://slack.com/api/.",
        },
    ],
    rate: "1/s",
    types: &["blocks", "text"],
    native: true,
    body_bytes_max: 64 * 1024,
    mentions: "everybody in the channel; people (U…) and groups (S…) by id",
    idempotency: "none",
    ack: "button in the chat, or a link button",
    costly: false,
    rings: false,
    edit: true,
    thread: true,
    callback: Some("slack"),
    advice: ADVICE,
    apprise: &[Apprise { scheme: "slack", settings: from_apprise }],
};

const TOKEN: (&str, &str) = (
    "Slack does not take the bot token: copy it anew from OAuth & Permissions of the app, and install the app again if it was removed.",
    "Slack 不接受这个 bot token：请到应用的 OAuth & Permissions 页面重新复制；如果应用已被卸载，请先重新安装。",
);
const POLICY: (&str, &str) = (
    "The workspace does not let this app post here: ask an admin of the workspace to allow it.",
    "工作区的策略不允许该应用在此发言：请联系工作区管理员放行。",
);

const ADVICE: &[Advice] = &[
    Advice::of_code("invalid_auth", TOKEN),
    Advice::of_code("not_authed", TOKEN),
    Advice::of_code("account_inactive", TOKEN),
    Advice::of_code("token_revoked", TOKEN),
    Advice::of_code("token_expired", TOKEN),
    Advice::of_code(
        "missing_scope",
        (
            "The bot token lacks a scope: add chat:write under OAuth & Permissions and install the app again.",
            "bot token 缺少权限：请在 OAuth & Permissions 中添加 chat:write，然后重新安装应用。",
        ),
    ),
    Advice::of_code(
        "not_in_channel",
        (
            "The app is not in the channel: type /invite @ and the app's name there.",
            "应用不在该频道中：请在频道里输入 /invite @应用名 邀请它加入。",
        ),
    ),
    Advice::of_code(
        "channel_not_found",
        (
            "Slack knows no such channel: set `channel` to its id (at the end of the channel's details), and invite the app if the channel is private.",
            "Slack 找不到该频道：请把 channel 设为频道 ID（见频道详情底部）；如果是私有频道，还要先邀请应用加入。",
        ),
    ),
    Advice::of_code(
        "is_archived",
        (
            "The channel is archived: unarchive it, or set `channel` to another one.",
            "该频道已归档：请取消归档，或把 channel 改为其他频道。",
        ),
    ),
    Advice::of_code(
        "messages_tab_disabled",
        (
            "The app takes no direct messages: switch on the messages tab under App Home.",
            "该应用未开启私信：请在 App Home 中打开 Messages Tab。",
        ),
    ),
    Advice::of_code("restricted_action", POLICY),
    Advice::of_code("restricted_action_read_only_channel", POLICY),
    Advice::of_code("no_permission", POLICY),
    Advice::of_code("access_denied", POLICY),
    Advice::of_code("ekm_access_denied", POLICY),
    Advice::of_code("team_access_not_granted", POLICY),
    Advice::of_code("org_login_required", POLICY),
    Advice::of_code(
        "404",
        (
            "There is no Web API at this address: check `endpoint`, or leave it out.",
            "该地址不是 Slack Web API：请检查 endpoint，或删掉这一项。",
        ),
    ),
];

const ENDPOINT: &str = "https://slack.com/api/";
/// How far Slack's clock and ours may be apart when it calls, in seconds.
const CLOCK_SKEW_S_MAX: u64 = 300;
/// How much of a user's name with the id is kept, and of the id, in UTF-16 units. What hears of presses
/// cuts names that are longer, and the end of those is the id.
const NAME_UNITS_MAX: usize = 80;
const ID_UNITS_MAX: usize = 32;

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct SlackApi {
    bot_token: Secret,
    channel: String,
    signing_secret: Option<Secret>,
    endpoint: Option<Secret>,
}

/// Makes an app's way into one channel from settings.
pub(crate) fn build(settings: Json) -> Result<Box<dyn HttpChannel>, Vec<Problem>> {
    let mut slack: SlackApi = settings::parse(settings)?;
    slack.channel = slack.channel.trim().to_owned();
    let token = slack.bot_token.expose();
    let mut problems = Vec::new();
    if !token.starts_with("xoxb-") || !token.bytes().all(|b| b.is_ascii_graphic()) {
        let text = "has to be the token of a bot, which begins with xoxb-";
        problems.push(settings::problem("bot_token", text));
    }
    let name = slack.channel.strip_prefix('#');
    let is_name = name.is_some_and(|name| !name.is_empty() && !name.contains(char::is_whitespace));
    if !is_name && !is_channel_id(&slack.channel) {
        let text = "has to be the id of a channel, such as C0123456789, or a #name";
        problems.push(settings::problem("channel", text));
    }
    if slack.endpoint.as_ref().is_some_and(|url| url.expose().contains('?')) {
        problems.push(settings::problem("endpoint", "may not contain a '?' part"));
    }
    if problems.is_empty() { Ok(Box::new(slack)) } else { Err(problems) }
}

fn is_channel_id(text: &str) -> bool {
    let legal = |b: u8| b.is_ascii_uppercase() || b.is_ascii_digit();
    text.starts_with(['C', 'G', 'D']) && text.len() > 1 && text.bytes().all(legal)
}

impl HttpChannel for SlackApi {
    fn request(&self, out: &Outgoing<'_>, _at: Timestamp) -> Result<HttpRequest, Refused> {
        let called = Called::of(out.mentions);
        let story = Story::of(out).with_unsent(out, 0);
        let ticket = out.ask.and_then(Ask::ticket).filter(|_| self.signing_secret.is_some());
        let look = Look { ticket: ticket.as_ref(), news: None };
        let body = match (out.native(&SPEC)?, out.plain) {
            (Some(native), _) => native.clone(),
            (None, true) => blockkit::unpreviewed(blockkit::plain(story, &called)),
            (None, false) => blockkit::unpreviewed(blockkit::rich(story, &called, &look)),
        };
        let thread = if out.plain { None } else { self.thread(out) };
        self.post(body, thread)
    }

    fn classify(&self, answer: &HttpResponse, at: Timestamp) -> Outcome {
        match answer.json::<Answer>() {
            Some(Answer { ok: true, channel: Some(channel), ts: Some(ts), .. })
                if answer.status == 200 && is_channel_id(&channel) && is_ts(&ts) =>
            {
                Outcome::Accepted(Reason::new(format!("{channel}:{ts}"), "ok"))
            }
            Some(Answer { ok: false, error: Some(word), .. }) if answer.status != 429 => {
                refusal(&word, answer, at)
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
        let text = blockkit::plain(Story::of(out).in_short(), &Called::NOBODY);
        self.post(blockkit::unpreviewed(text), None).ok()
    }

    /// An edit calls nobody, for those who were called know by now.
    fn edit(
        &self,
        out: &Outgoing<'_>,
        receipt: &str,
        news: &str,
        _at: Timestamp,
    ) -> Option<HttpRequest> {
        let (channel, ts) = found_by(receipt)?;
        if !matches!(out.native(&SPEC), Ok(None)) {
            return None;
        }
        let look = Look { ticket: None, news: Some(news) };
        let story = Story::of(out).with_unsent(out, 0);
        let mut body = blockkit::rich(story, &Called::NOBODY, &look);
        let parts = body.as_object_mut()?;
        parts.insert("channel".to_owned(), json!(channel));
        parts.insert("ts".to_owned(), json!(ts));
        self.call("chat.update", &body).ok()
    }

    fn callback(&self) -> Option<&dyn Callback> {
        self.signing_secret.as_ref().map(|_| self as &dyn Callback)
    }
}

impl SlackApi {
    fn post(&self, mut body: Json, thread: Option<&str>) -> Result<HttpRequest, Refused> {
        let Some(parts) = body.as_object_mut() else {
            return Err(Refused(Reason::text("native.slack_api has to be a table")));
        };
        parts.insert("channel".to_owned(), json!(self.channel));
        if let Some(ts) = thread {
            parts.insert("thread_ts".to_owned(), json!(ts));
        }
        self.call("chat.postMessage", &body)
    }

    fn call(&self, method: &str, body: &Json) -> Result<HttpRequest, Refused> {
        let base = self.endpoint.as_ref().map_or(ENDPOINT, Secret::expose);
        let url = Secret::new(format!("{}/{method}", base.trim().trim_end_matches('/')));
        let bearer = Secret::new(format!("Bearer {}", self.bot_token.expose()));
        Ok(HttpRequest::post_json(url, body)?.with_header("authorization", bearer))
    }

    /// The message below which this one stands: where the alert was first told of in this channel.
    fn thread<'a>(&self, out: &Outgoing<'a>) -> Option<&'a str> {
        let mut told = out.about?.receipts.iter().filter_map(|receipt| found_by(receipt));
        // A name does not tell which channel it is; then it has not changed, we hope.
        let named = self.channel.starts_with('#');
        told.find(|(channel, _)| named || *channel == self.channel).map(|(_, ts)| ts)
    }
}

/// The channel and the `ts` in a receipt.
fn found_by(receipt: &str) -> Option<(&str, &str)> {
    receipt.split_once(':').filter(|(channel, ts)| is_channel_id(channel) && is_ts(ts))
}

fn is_ts(text: &str) -> bool {
    !text.is_empty() && text.bytes().all(|b| b.is_ascii_digit() || b == b'.')
}

#[derive(Deserialize)]
struct Answer {
    ok: bool,
    error: Option<String>,
    channel: Option<String>,
    ts: Option<String>,
}

fn refusal(word: &str, answer: &HttpResponse, at: Timestamp) -> Outcome {
    let reason = Reason::new(fit::line(word), "");
    let rejected = |blame| Outcome::Rejected { blame, reason: reason.clone() };
    match word {
        "ratelimited" | "rate_limited" | "message_limit_exceeded" => {
            Outcome::Throttled { until: answer.retry_at(at), reason }
        }
        // Slack says that part of it may have happened.
        "internal_error" | "fatal_error" => Outcome::Unknown(reason),
        "service_unavailable" | "server_error" | "request_timeout" => Outcome::Transient(reason),
        "invalid_auth"
        | "not_authed"
        | "account_inactive"
        | "token_revoked"
        | "token_expired"
        | "missing_scope"
        | "no_permission"
        | "ekm_access_denied"
        | "team_access_not_granted"
        | "org_login_required"
        | "access_denied"
        | "channel_not_found"
        | "not_in_channel"
        | "is_archived"
        | "messages_tab_disabled" => rejected(Blame::Endpoint),
        "msg_too_long"
        | "msg_blocks_too_long"
        | "no_text"
        | "invalid_arguments"
        | "invalid_arg_name"
        | "invalid_form_data"
        | "too_many_attachments"
        | "metadata_too_large"
        | "message_not_found"
        | "cant_update_message"
        | "edit_window_closed" => rejected(Blame::Message),
        word if word.starts_with("restricted_action") => rejected(Blame::Endpoint),
        word if word.starts_with("invalid_blocks") || word.starts_with("invalid_metadata_") => {
            rejected(Blame::Message)
        }
        // A word that we do not know: worth another try, which the attempt limit ends.
        _ if answer.status == 200 => Outcome::Transient(reason),
        _ => answer.outcome_by_status(at),
    }
}

#[derive(Deserialize)]
struct Call {
    #[serde(rename = "type")]
    kind: String,
    user: Option<User>,
    #[serde(default)]
    actions: Vec<Action>,
    challenge: Option<String>,
}

#[derive(Deserialize)]
struct User {
    id: String,
    username: Option<String>,
    name: Option<String>,
}

#[derive(Deserialize)]
struct Action {
    #[serde(default)]
    action_id: String,
    value: Option<String>,
}

impl Callback for SlackApi {
    /// A press of our button is one; presses of links, checks of the certificate and whatever else the
    /// app is set up for only have to be answered.
    fn hear(&self, inbound: &Inbound<'_>, at: Timestamp) -> Option<Heard> {
        let signature = self.signed(inbound, at)?;
        let form = form_urlencoded::parse(inbound.body);
        let payload = form.into_iter().find(|(name, _)| name == "payload");
        // Events are JSON, interactions a form that holds JSON.
        let json = payload.map_or_else(
            || String::from_utf8_lossy(inbound.body),
            |(_, value): (_, Cow<'_, str>)| value,
        );
        let Ok(call) = serde_json::from_str::<Call>(&json) else {
            return Some(Heard::Other(Reply::empty()));
        };
        if let ("url_verification", Some(challenge)) = (call.kind.as_str(), &call.challenge) {
            let body = fit::line(challenge);
            return Some(Heard::Other(Reply { body, ..Reply::empty() }));
        }
        let pressed = call.actions.into_iter().filter(|action| action.action_id == ACKNOWLEDGE);
        let ticket = pressed.filter_map(|action| action.value).find(|ticket| !ticket.is_empty());
        let (Some(ticket), Some(user), "block_actions") = (ticket, call.user, call.kind.as_str())
        else {
            return Some(Heard::Other(Reply::empty()));
        };
        let (ticket, by) = (Secret::new(ticket), user.named());
        Some(Heard::Pressed(Press { ticket, by, once: signature.to_owned() }))
    }

    /// Without words, for Slack shows none of the answer to a press; news of the alert come as a
    /// message. What it does show, as a warning beside the button, is a status other than 200: so
    /// nobody believes to have an alert whose ticket was refused or whose press was not written down.
    fn reply(&self, pressed: &Pressed, _locale: Locale) -> Reply {
        let status = match pressed {
            Pressed::Taken | Pressed::Answered { .. } => 200,
            Pressed::Gone => 410,
            Pressed::Failed => 503,
        };
        Reply { status, ..Reply::empty() }
    }
}

impl SlackApi {
    /// The signature of a call that Slack made just now.
    fn signed<'a>(&self, inbound: &Inbound<'a>, at: Timestamp) -> Option<&'a str> {
        let secret = self.signing_secret.as_ref()?.expose();
        let seconds = (inbound.header)("x-slack-request-timestamp")?;
        let signature = (inbound.header)("x-slack-signature")?;
        let made_at: i64 = seconds.parse().ok()?;
        let recent = (at.unix_ms() / 1000).abs_diff(made_at) <= CLOCK_SKEW_S_MAX;
        let expected = sign::slack_v0(secret, seconds, inbound.body);
        let genuine = bool::from(expected.as_bytes().ct_eq(signature.as_bytes()));
        (recent && genuine).then_some(signature)
    }
}

impl User {
    /// Such as `ada (Slack U123)`, on one line. A long name is cut, for the id is what tells people apart.
    fn named(&self) -> String {
        let name = self.username.as_deref().or(self.name.as_deref()).unwrap_or_default();
        let id = format!("Slack {}", fit::utf16(&fit::line(&self.id), ID_UNITS_MAX));
        let left = NAME_UNITS_MAX.saturating_sub(id.len() + " ()".len());
        let name = fit::utf16(&fit::line(name), left);
        if name.is_empty() { id } else { format!("{name} ({id})") }
    }
}

/// The settings that stand in an Apprise address with a bot's token. A webhook belongs to the kind `slack`.
fn from_apprise(address: &Address) -> Result<Map<String, Json>, Unfit> {
    let token = address.host_or("token", "token")?;
    if !token.starts_with("xo") {
        return Err(Unfit::Elsewhere);
    }
    address.only(&["mode", "to", "token"])?;
    address.no_server()?;
    if address.option("mode").is_some_and(|mode| mode != "bot") {
        return Err("has another `mode` than \"bot\", which Callout does not honour".into());
    }
    // With the token among the options, the host is none of the targets either.
    let channel = address.target(0)?.ok_or("names no channel")?;
    let channel = match channel.strip_prefix('+') {
        Some(id) => id.to_owned(),
        None if channel.starts_with('#') => channel,
        None if channel.contains('@') => {
            return Err("names a person, which Callout does not honour here; name a channel".into());
        }
        None => format!("#{channel}"),
    };
    apprise::settings([("bot_token", Some(token)), ("channel", Some(channel))])
}
