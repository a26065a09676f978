//! Discord webhook.
//!
//! Every request waits for the message to be saved: without that Discord answers 204 whether it was or
//! not. The id of the saved message is the receipt, by which the message of an answered alert is changed.
//!
//! The message is one embed, its colour the level. An embed calls nobody, so mentions stand above it,
//! and so does the link that acknowledges: webhooks that belong to no app have no buttons. Nobody is
//! called but those whom the configuration names, whatever a text says. Link previews are off.
//!
//! A channel may be limited for longer than its webhook's headers say; only the answer tells, in
//! fractions of a second.
//!
//! Unverified: whether Discord counts characters or UTF-16 units (we count the latter, which are at
//! least as many), and which markup it shows in titles; all of it is escaped there.

use crate::apprise::{self, Address, Apprise, Unfit};
use crate::channel::{HttpChannel, HttpRequest, HttpResponse, Outgoing, Refused};
use crate::render::{Ack, Called, Story, by_command};
use crate::sign;
use crate::spec::{Advice, Field, Problem, Spec, Value};
use crate::{fit, retry_after, settings};
use callout_core::level::Level;
use callout_core::outcome::{Blame, Outcome, Reason};
use callout_core::secret::Secret;
use callout_core::time::Timestamp;
use serde::Deserialize;
use serde_json::{Map, Value as Json, json};
use url::Url;

pub(crate) static SPEC: Spec = Spec {
    kind: "discord",
    title: "Discord webhook",
    fields: &[
        Field {
            name: "webhook_url",
            value: Value::Secret,
            required: true,
            doc: "The webhook's whole address: https://discord.com/api/webhooks/ID/TOKEN.",
        },
        Field {
            name: "thread_id",
            value: Value::Text,
            required: false,
            doc: "The id, in quotes, of a thread of the webhook's channel; forums need one. Default: none.",
        },
    ],
    rate: "30/min",
    types: &["embeds", "content"],
    native: true,
    body_bytes_max: 64 * 1024,
    mentions: "everybody; people by user id, roles as role:ID",
    idempotency: "none",
    ack: "link",
    costly: false,
    rings: false,
    edit: true,
    thread: false,
    callback: None,
    advice: ADVICE,
    apprise: &[Apprise { scheme: "discord", settings: from_apprise }],
};

const GONE: (&str, &str) = (
    "The webhook is gone or its token is wrong: make a new one in the channel's settings under Integrations, and copy its address whole.",
    "该 Webhook 已被删除或令牌有误：请在频道设置的“整合”中新建一个，并完整复制其地址。",
);

static ADVICE: &[Advice] = &[
    Advice::of_code("10015", GONE),
    Advice::of_code("50027", GONE),
    Advice::of_code("401", GONE),
    Advice::of_code("404", GONE),
    Advice::of_code(
        "10003",
        (
            "The channel or thread is gone: check `thread_id`, or make a webhook in another channel.",
            "频道或子区已不存在：请检查 thread_id，或在其他频道新建 Webhook。",
        ),
    ),
    Advice::of_code(
        "220001",
        (
            "The webhook belongs to a forum, which takes messages in threads only: set `thread_id`.",
            "该 Webhook 属于论坛频道，只能发到帖子里：请设置 thread_id。",
        ),
    ),
    Advice::of_code(
        "50083",
        (
            "The thread is archived: open it again, or set `thread_id` to another one.",
            "该子区已归档：请重新打开，或把 thread_id 改为其他子区。",
        ),
    ),
    Advice::of_code(
        "240000",
        (
            "Discord blocks a link in this message: see whether the public address or a link in it is on its list of harmful ones.",
            "Discord 拦截了消息中的链接：请检查对外地址或消息里的链接是否被其列为有害链接。",
        ),
    ),
];

/// The most UTF-16 units above the embed, in its title, in its text, and in all of its texts together.
const CONTENT_UNITS_MAX: usize = 2000;
const TITLE_UNITS_MAX: usize = 256;
const DESCRIPTION_UNITS_MAX: usize = 4096;
const EMBED_UNITS_MAX: usize = 6000;
/// The most fields; further facts stand in the text.
const FIELDS_MAX: usize = 25;
/// How much of a name and a value fits a field even when every character is escaped.
const FIELD_NAME_UNITS_MAX: usize = 120;
const FIELD_VALUE_UNITS_MAX: usize = 500;
/// How much of a long line fits above the embed even when every character is escaped.
const NEWS_UNITS_MAX: usize = 900;
/// What a mention of a role begins with in the configuration.
const ROLE: &str = "role:";

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Discord {
    webhook_url: Secret,
    thread_id: Option<String>,
}

/// Makes a webhook from settings.
pub(crate) fn build(settings: Json) -> Result<Box<dyn HttpChannel>, Vec<Problem>> {
    let mut discord: Discord = settings::parse(settings)?;
    discord.thread_id = discord.thread_id.map(|id| id.trim().to_owned());
    let mut problems = Vec::new();
    match settings::web_address("webhook_url", discord.webhook_url.expose()) {
        Err(problem) => problems.push(problem),
        Ok(url) if url.scheme() != "https" && !settings::is_loopback(&url) => {
            problems.push(settings::problem("webhook_url", "has to begin with https://"));
        }
        Ok(url) if !is_webhook(&url) => {
            let text = "has to end with /webhooks/ID/TOKEN, and with nothing behind it";
            problems.push(settings::problem("webhook_url", text));
        }
        Ok(url) => discord.webhook_url = Secret::new(url.as_str().trim_end_matches('/')),
    }
    if discord.thread_id.as_deref().is_some_and(|id| !is_id(id)) {
        problems.push(settings::problem("thread_id", "has to be an id, which is a number"));
    }
    if problems.is_empty() { Ok(Box::new(discord)) } else { Err(problems) }
}

fn is_webhook(url: &Url) -> bool {
    let path = url.path().trim_end_matches('/');
    let mut parts = path.rsplit('/');
    let (token, id, word) = (parts.next(), parts.next(), parts.next());
    let whole = token.is_some_and(|token| !token.is_empty()) && id.is_some_and(is_id);
    whole && word == Some("webhooks") && url.query().is_none()
}

fn is_id(text: &str) -> bool {
    !text.is_empty() && text.bytes().all(|b| b.is_ascii_digit())
}

impl HttpChannel for Discord {
    fn request(&self, out: &Outgoing<'_>, _at: Timestamp) -> Result<HttpRequest, Refused> {
        let called = Calls::of(&Called::of(out.mentions));
        let story = Story::of(out).with_unsent(out, 0);
        let body = match (out.native(&SPEC)?, out.plain) {
            (Some(native), _) => native.clone(),
            (None, true) => plain(story, &called),
            (None, false) => rich(story, &called, None),
        };
        self.post(&body)
    }

    fn classify(&self, answer: &HttpResponse, at: Timestamp) -> Outcome {
        match answer.json::<Answer>() {
            Some(Answer { id: Some(id), .. }) if answer.status == 200 && is_id(&id) => {
                Outcome::Accepted(Reason::new(id, "ok"))
            }
            Some(Answer { code: Some(code), message, retry_after, .. })
                if !(200..300).contains(&answer.status) =>
            {
                refusal(code, &message, retry_after, answer, at)
            }
            Some(Answer { message, retry_after: Some(seconds), .. }) if answer.status == 429 => {
                let until = retry_after::after(seconds, at);
                Outcome::Throttled { until, reason: Reason::new(429, message) }
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
        self.post(&plain(Story::of(out).in_short(), &Calls::default())).ok()
    }

    /// Edits call nobody.
    fn edit(
        &self,
        out: &Outgoing<'_>,
        receipt: &str,
        news: &str,
        _at: Timestamp,
    ) -> Option<HttpRequest> {
        if !is_id(receipt) || !matches!(out.native(&SPEC), Ok(None)) {
            return None;
        }
        let story = Story::of(out).with_unsent(out, 0);
        let body = rich(story, &Calls::default(), Some(news));
        let thread = self.thread_id.as_ref().map(|id| format!("?thread_id={id}"));
        let thread = thread.unwrap_or_default();
        let url = format!("{}/messages/{receipt}{thread}", self.webhook_url.expose());
        let request = HttpRequest::post_json(Secret::new(url), &body).ok()?;
        Some(HttpRequest { method: "PATCH", ..request })
    }
}

impl Discord {
    fn post(&self, body: &Json) -> Result<HttpRequest, Refused> {
        let thread = self.thread_id.as_ref().map(|id| format!("&thread_id={id}"));
        let thread = thread.unwrap_or_default();
        let url = format!("{}?wait=true{thread}", self.webhook_url.expose());
        HttpRequest::post_json(Secret::new(url), body)
    }
}

/// Whom a message mentions, by what Discord can call.
#[derive(Debug, Default)]
struct Calls<'a> {
    all: bool,
    users: Vec<&'a str>,
    roles: Vec<&'a str>,
}

impl<'a> Calls<'a> {
    fn of(called: &Called<'a>) -> Self {
        let ids = called.users.iter().chain(&called.mobiles).copied();
        let (roles, users): (Vec<&str>, Vec<&str>) = ids.partition(|id| id.starts_with(ROLE));
        let roles = roles.into_iter().filter_map(|id| id.strip_prefix(ROLE));
        Self {
            all: called.all,
            users: users.into_iter().filter(|id| is_id(id)).collect(),
            roles: roles.filter(|id| is_id(id)).collect(),
        }
    }

    /// All mentions, on one line; may be empty.
    fn line(&self) -> String {
        let everybody = self.all.then(|| "@everyone".to_owned());
        let users = self.users.iter().map(|id| format!("<@{id}>"));
        let roles = self.roles.iter().map(|id| format!("<@&{id}>"));
        everybody.into_iter().chain(users).chain(roles).collect::<Vec<_>>().join(" ")
    }

    /// Whom Discord may call at all, whatever the texts say.
    fn allowed(&self) -> Json {
        let parse: &[&str] = if self.all { &["everyone"] } else { &[] };
        json!({ "parse": parse, "users": self.users, "roles": self.roles })
    }
}

fn plain(story: Story, called: &Calls<'_>) -> Json {
    let content = |text: &str| lines([unpreviewed(text), called.line()]);
    let fits = |text: &str| fit::utf16_len(&content(text)) <= CONTENT_UNITS_MAX;
    let text = story.plain(harmless, fits);
    json!({ "content": content(&text), "allowed_mentions": called.allowed() })
}

/// The same text with brackets around its addresses, which switch off their previews. The flag that
/// does so for a whole message would hide the embed that an edit puts into it.
fn unpreviewed(text: &str) -> String {
    let bracketed = |word: &str| {
        let address = word.trim_end().trim_end_matches(['.', ',', ';', ':', '!', '?']);
        let rest = word.get(address.len()..).unwrap_or_default();
        if is_web(word) {
            format!("<{}>{rest}", fit::link_target(address))
        } else {
            word.to_owned()
        }
    };
    text.split_inclusive(char::is_whitespace).map(bracketed).collect()
}

fn is_web(word: &str) -> bool {
    word.starts_with("https://") || word.starts_with("http://")
}

fn rich(story: Story, called: &Calls<'_>, news: Option<&str>) -> Json {
    let story = story.fit(|story| fits(&embed(story)));
    json!({
        "content": content(&story, called, news),
        "embeds": [embed(&story)],
        "allowed_mentions": called.allowed(),
    })
}

/// What stands above the embed: what became of the alert, whom it calls, how to acknowledge it.
fn content(story: &Story, called: &Calls<'_>, news: Option<&str>) -> String {
    let news = news.map(|news| format!("**{}**", harmless(&fit::utf16(news, NEWS_UNITS_MAX))));
    let ack = match &story.ack {
        // The brackets around the address switch off its preview.
        Some(Ack::Link(url)) => {
            format!("[{}](<{}>)", story.words.acknowledge, fit::link_target(url.expose()))
        }
        Some(Ack::Command(command)) => by_command(story.words, &harmless(command)),
        None => String::new(),
    };
    lines([news.unwrap_or_default(), called.line(), ack])
}

fn embed(story: &Story) -> Json {
    let headline = harmless(&story.headline());
    let short = fit::utf16_len(&headline) <= TITLE_UNITS_MAX;
    // Cutting an escaped text could cut an escape; half of the limit holds any text once it is escaped.
    let title = if short {
        headline.clone()
    } else {
        harmless(&fit::utf16(&story.headline(), TITLE_UNITS_MAX / 2))
    };
    let whole = if short { String::new() } else { format!("**{}**", harmless(&story.title)) };
    let (fields, rest) = story.facts.split_at(story.facts.len().min(FIELDS_MAX));
    let rest = rest
        .iter()
        .map(|(name, value)| format!("{}{}{}", harmless(name), story.words.colon, harmless(value)));
    let link = |text: &str, url: &str| format!("[{}]({})", label(text), fit::link_target(url));
    let links = story.links.iter().map(|one| link(&one.text, &one.url));
    // An embed shows one image.
    let images = story.images.iter().skip(1).map(|url| link(story.words.image, url));
    let mut parts = vec![
        lines([whole, harmless(&story.note)]),
        fit::quiet_prose(&story.body),
        lines(rest),
        lines(links),
        lines(images),
    ];
    parts.retain(|part| !part.is_empty());
    let mut embed = json!({
        "title": title,
        "color": colour(story.level),
        "footer": { "text": story.foot() },
    });
    let optional = [
        ("description", json!(parts.join("\n\n")), !parts.is_empty()),
        ("fields", fields.iter().map(field).collect(), !fields.is_empty()),
        ("image", json!({ "url": story.images.first() }), !story.images.is_empty()),
    ];
    if let Some(embed) = embed.as_object_mut() {
        let there = optional.into_iter().filter(|(_, _, there)| *there);
        embed.extend(there.map(|(name, value, _)| (name.to_owned(), value)));
    }
    embed
}

fn fits(embed: &Json) -> bool {
    let units = |text: &Json| text.as_str().map_or(0, fit::utf16_len);
    let part = |name: &str| embed.get(name).map_or(0, units);
    let fields = embed.get("fields").and_then(Json::as_array).into_iter().flatten();
    let fields = fields.flat_map(|field| [field.get("name"), field.get("value")]);
    let fields: usize = fields.flatten().map(units).sum();
    let footer = embed.pointer("/footer/text").map_or(0, units);
    let all = part("title") + part("description") + fields + footer;
    all <= EMBED_UNITS_MAX && part("description") <= DESCRIPTION_UNITS_MAX
}

fn field((name, value): &(String, String)) -> Json {
    // Discord refuses fields without text.
    let some = |text: String| if text.is_empty() { "\u{200b}".to_owned() } else { text };
    json!({
        "name": some(harmless(&fit::utf16(name, FIELD_NAME_UNITS_MAX))),
        "value": some(harmless(&fit::utf16(value, FIELD_VALUE_UNITS_MAX))),
        "inline": true,
    })
}

fn colour(level: Level) -> u32 {
    match level {
        Level::Info => 0x34_98_DB,
        Level::Warning => 0xF1_C4_0F,
        Level::Error => 0xE6_7E_22,
        Level::Critical => 0xE7_4C_3C,
    }
}

fn lines(lines: impl IntoIterator<Item = String>) -> String {
    lines.into_iter().filter(|line| !line.is_empty()).collect::<Vec<_>>().join("\n")
}

/// Text in which no markup works and nothing mentions anybody; addresses stay whole, to be followed.
fn harmless(text: &str) -> String {
    let quiet = fit::quiet(text).replace("](", "]\u{200b}(");
    quiet.split('\n').map(harmless_line).collect::<Vec<_>>().join("\n")
}

fn harmless_line(line: &str) -> String {
    let mut done: String = line.split_inclusive(char::is_whitespace).map(harmless_word).collect();
    if done.trim_start().starts_with(['#', '-', '+']) {
        // No heading, no list.
        done.insert(0, '\u{200b}');
    }
    done
}

fn harmless_word(word: &str) -> String {
    if is_web(word) {
        return word.to_owned();
    }
    let mut done = String::with_capacity(word.len());
    for c in word.chars() {
        if matches!(c, '\\' | '*' | '_' | '~' | '`' | '|' | '>') {
            done.push('\\');
        }
        done.push(c);
    }
    done
}

/// The text of a link, which ends where it should.
fn label(text: &str) -> String {
    harmless(text).replace(['[', ']'], "\u{200b}")
}

#[derive(Deserialize)]
struct Answer {
    id: Option<String>,
    code: Option<i64>,
    #[serde(default)]
    message: String,
    retry_after: Option<f64>,
}

fn refusal(
    code: i64,
    text: &str,
    wait: Option<f64>,
    answer: &HttpResponse,
    at: Timestamp,
) -> Outcome {
    // Zero stands for "see the status".
    let reason = if code == 0 { Reason::new(answer.status, text) } else { Reason::new(code, text) };
    match (code, answer.status) {
        (20_028 | 20_029 | 40_062 | 30_046, _) | (_, 429) => {
            let until = wait.map(|seconds| retry_after::after(seconds, at));
            Outcome::Throttled { until: until.unwrap_or_else(|| answer.retry_at(at)), reason }
        }
        (10_015 | 50_027 | 10_003 | 220_001 | 50_083, _) => {
            Outcome::Rejected { blame: Blame::Endpoint, reason }
        }
        (10_008 | 50_035 | 50_006 | 50_109 | 40_005 | 240_000, _) => {
            Outcome::Rejected { blame: Blame::Message, reason }
        }
        // Any other code says less than its status: refused credentials must not be tried again and
        // again, for which Discord shuts out the whole address.
        _ => answer.outcome_by_status(at).with_reason(reason),
    }
}

/// The settings that stand in an Apprise address. The name before the `@` only looks different.
fn from_apprise(address: &Address) -> Result<Map<String, Json>, Unfit> {
    address.only(&["thread"])?;
    address.no_server()?;
    address.no_target(1, "says more than id and token, which Callout does not honour")?;
    let [id, token] = [address.host_or("", "id")?, address.part(0, "token")?];
    let [id, token] = [sign::percent(&id), sign::percent(&token)];
    let url = format!("https://discord.com/api/webhooks/{id}/{token}");
    apprise::settings([("webhook_url", Some(url)), ("thread_id", address.option("thread"))])
}
