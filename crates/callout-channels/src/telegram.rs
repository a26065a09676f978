//! Telegram bot.
//!
//! A message counts as sent only with the chat and the number that find it again: they are the receipt.
//! News of an alert are replies to its first message, and the message of an answered alert loses its
//! button. Text is HTML, in which everything that a producer wrote is escaped; links are buttons, and
//! link previews are off. Information comes without a sound unless somebody is mentioned.
//!
//! Telegram counts what is seen: UTF-16 units once tags and entities are gone. What it refuses for its
//! form goes out once more as short plain text, whose links stand in the text.
//!
//! A group that becomes a supergroup gets another id. Nothing can be sent to the old one any more, and
//! only the configuration names destinations, so the answer's new id is shown to the operator.
//!
//! Unverified: the wording about UTF-16 units, the list of tags, which addresses a button may have
//! (some of private networks may be refused), and how long all buttons together may be.

use crate::apprise::{self, Address, Apprise, Unfit};
use crate::channel::{HttpChannel, HttpRequest, HttpResponse, Outgoing, Refused};
use crate::mrkdwn::{anchor, escape, telegram_html};
use crate::render::{Ack, Called, Story, by_command};
use crate::spec::{Advice, Field, Problem, Spec, Value};
use crate::{fit, retry_after, settings};
use callout_core::level::Level;
use callout_core::outcome::{Blame, Outcome, Reason};
use callout_core::secret::Secret;
use callout_core::time::Timestamp;
use serde::Deserialize;
use serde_json::{Map, Value as Json, json};

pub(crate) static SPEC: Spec = Spec {
    kind: "telegram",
    title: "Telegram bot",
    fields: &[
        Field {
            name: "bot_token",
            value: Value::Secret,
            required: true,
            doc: "The bot's token, as @BotFather shows it: a number, a colon and a key.",
        },
        Field {
            name: "chat_id",
            value: Value::Text,
            required: true,
            doc: "The chat, in quotes: its number (groups have a negative one), or the @name of a public channel.",
        },
        Field {
            name: "thread",
            value: Value::Number,
            required: false,
            doc: "The topic of a group with topics: its message_thread_id. Default: the general topic.",
        },
        Field {
            name: "endpoint",
            value: Value::Url,
            required: false,
            doc: "The base of the Bot API. Default: https://api.telegram.org.",
        },
    ],
    rate: "20/min",
    types: &["HTML", "text"],
    native: true,
    body_bytes_max: 160 * 1024,
    mentions: "people by user id or @name, never everybody",
    idempotency: "none",
    ack: "link button",
    costly: false,
    rings: false,
    edit: true,
    thread: true,
    callback: None,
    advice: ADVICE,
    apprise: &[Apprise { scheme: "tgram", settings: from_apprise }],
};

static ADVICE: &[Advice] = &[
    Advice {
        code: "401",
        says: "",
        english: "Telegram does not take the bot token: copy it anew from @BotFather.",
        chinese: "Telegram 不接受这个 bot token：请从 @BotFather 重新复制。",
    },
    Advice {
        code: "404",
        says: "",
        english: "There is no such bot at this address: check `bot_token`, and `endpoint` if it is set.",
        chinese: "该地址上没有这个机器人：请检查 bot_token；如果设置了 endpoint，也请一并检查。",
    },
    Advice {
        code: "400",
        says: "supergroup",
        english: "The group has become a supergroup: put the new chat_id that the answer names into the configuration.",
        chinese: "该群已升级为超级群：请把应答中给出的新 chat_id 写入配置。",
    },
    Advice {
        code: "400",
        says: "chat not found",
        english: "The bot sees no such chat: check `chat_id`, and add the bot to the group or write to it first.",
        chinese: "机器人看不到这个会话：请检查 chat_id，并先把机器人拉进群，或先给它发一条消息。",
    },
    Advice {
        code: "400",
        says: "topic_closed",
        english: "The topic is closed: open it again, or set `thread` to another one.",
        chinese: "该话题已关闭：请重新打开，或把 thread 改为其他话题。",
    },
    Advice {
        code: "400",
        says: "thread not found",
        english: "The group has no such topic: set `thread` to its message_thread_id, or leave it out.",
        chinese: "群里没有这个话题：请把 thread 设为它的 message_thread_id，或删掉这一项。",
    },
    Advice {
        code: "",
        says: "rights",
        english: "The bot may not write here: give it the right to send messages; in a channel, make it an admin.",
        chinese: "机器人无权在此发言：请授予它发送消息的权限；如果是频道，请设为管理员。",
    },
    Advice {
        code: "403",
        says: "blocked",
        english: "The user has blocked the bot: only they can unblock it.",
        chinese: "该用户已屏蔽机器人：只能由对方自己解除屏蔽。",
    },
    Advice {
        code: "403",
        says: "initiate",
        english: "A bot cannot write first: the user has to send it /start.",
        chinese: "机器人不能主动发起私聊：请让该用户先给它发送 /start。",
    },
    Advice {
        code: "403",
        says: "deactivated",
        english: "This user's account is gone: set `chat_id` to somebody else.",
        chinese: "该用户的账号已停用：请把 chat_id 改为其他人。",
    },
    Advice {
        code: "403",
        says: "",
        english: "The bot is not in this chat any more: add it again.",
        chinese: "机器人已不在该会话中：请重新把它加进来。",
    },
    Advice {
        code: "409",
        says: "",
        english: "Another program reads this bot's updates at the same time; give this channel a bot of its own.",
        chinese: "另有程序在同时读取这个机器人的更新：请为此通道单独创建一个机器人。",
    },
];

const ENDPOINT: &str = "https://api.telegram.org";
/// The most UTF-16 units of a text, tags and entities not counted.
const VISIBLE_UNITS_MAX: usize = 4096;
/// The most UTF-16 units on a button, so that it can be read on a telephone.
const BUTTON_UNITS_MAX: usize = 60;

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Telegram {
    bot_token: Secret,
    chat_id: String,
    thread: Option<u64>,
    endpoint: Option<Secret>,
}

/// Makes a bot's way into one chat from settings.
pub(crate) fn build(settings: Json) -> Result<Box<dyn HttpChannel>, Vec<Problem>> {
    let mut telegram: Telegram = settings::parse(settings)?;
    telegram.chat_id = telegram.chat_id.trim().to_owned();
    let mut problems = Vec::new();
    if !is_token(telegram.bot_token.expose()) {
        let text =
            "has to be a number, a colon and a key, as @BotFather shows it, without bot in front";
        problems.push(settings::problem("bot_token", text));
    }
    let named = telegram.chat_id.strip_prefix('@').is_some_and(is_name);
    if !named && telegram.chat_number().is_none() {
        let text = "has to be the number of a chat, such as -1001234567890, or an @name";
        problems.push(settings::problem("chat_id", text));
    }
    if telegram.endpoint.as_ref().is_some_and(|url| url.expose().contains('?')) {
        problems.push(settings::problem("endpoint", "may not contain a '?' part"));
    }
    if problems.is_empty() { Ok(Box::new(telegram)) } else { Err(problems) }
}

fn is_token(text: &str) -> bool {
    let legal = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'_' | b'-');
    text.split_once(':')
        .is_some_and(|(bot, key)| is_number(bot) && !key.is_empty() && key.bytes().all(legal))
}

fn is_number(text: &str) -> bool {
    !text.is_empty() && text.bytes().all(|b| b.is_ascii_digit())
}

/// Whether `text` can be the name of a user or a channel.
fn is_name(text: &str) -> bool {
    let legal = |b: u8| b.is_ascii_alphanumeric() || b == b'_';
    text.starts_with(|c: char| c.is_ascii_alphabetic()) && text.bytes().all(legal)
}

impl HttpChannel for Telegram {
    fn request(&self, out: &Outgoing<'_>, _at: Timestamp) -> Result<HttpRequest, Refused> {
        let mentions = Called::of(out.mentions);
        let called = calls(&mentions);
        let story = Story::of(out).with_unsent(out, 0);
        let mut body = match (out.native(&SPEC)?, out.plain) {
            (Some(Json::Object(native)), _) => native.clone(),
            (Some(_), _) => {
                return Err(Refused(Reason::text("native.telegram has to be a table")));
            }
            (None, true) => plain(story, &called),
            (None, false) => {
                let (mut body, buttons) = rich(story, &called, None);
                if !buttons.is_empty() {
                    body.insert("reply_markup".to_owned(), keyboard(buttons));
                }
                body
            }
        };
        if out.message.level == Level::Info && mentions.nobody() && !is_own(out) {
            body.insert("disable_notification".to_owned(), json!(true));
        }
        if let Some(message_id) = self.first_told(out) {
            let reply = json!({ "message_id": message_id, "allow_sending_without_reply": true });
            body.insert("reply_parameters".to_owned(), reply);
        }
        self.send(body)
    }

    fn classify(&self, answer: &HttpResponse, at: Timestamp) -> Outcome {
        match answer.json::<Answer>() {
            Some(Answer { ok: true, result: Some(sent), .. }) if answer.status == 200 => {
                let receipt = format!("{}:{}", sent.chat.id, sent.message_id);
                Outcome::Accepted(Reason::new(receipt, "ok"))
            }
            Some(Answer { ok: false, error_code: Some(code), description, parameters, .. }) => {
                refusal(code, &description, &parameters.unwrap_or_default(), answer, at)
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
        self.send(plain(Story::of(out).in_short(), &[])).ok()
    }

    /// Edits call nobody. The buttons of the message's own links stay, and an empty keyboard takes away
    /// the one that acknowledges.
    fn edit(
        &self,
        out: &Outgoing<'_>,
        receipt: &str,
        news: &str,
        _at: Timestamp,
    ) -> Option<HttpRequest> {
        let (chat, message_id) = found_by(receipt)?;
        if !matches!(out.native(&SPEC), Ok(None)) {
            return None;
        }
        let story = Story::of(out).with_unsent(out, 0);
        let (mut body, buttons) = rich(story, &[], Some(news));
        body.insert("chat_id".to_owned(), json!(chat));
        body.insert("message_id".to_owned(), json!(message_id));
        body.insert("reply_markup".to_owned(), keyboard(buttons));
        self.call("editMessageText", body).ok()
    }
}

impl Telegram {
    fn chat_number(&self) -> Option<i64> {
        self.chat_id.parse().ok().filter(|id| *id != 0)
    }

    fn send(&self, mut body: Map<String, Json>) -> Result<HttpRequest, Refused> {
        let chat = self.chat_number().map_or_else(|| json!(self.chat_id), |id| json!(id));
        body.insert("chat_id".to_owned(), chat);
        if let Some(thread) = self.thread {
            body.insert("message_thread_id".to_owned(), json!(thread));
        }
        self.call("sendMessage", body)
    }

    fn call(&self, method: &str, body: Map<String, Json>) -> Result<HttpRequest, Refused> {
        let base = self.endpoint.as_ref().map_or(ENDPOINT, Secret::expose).trim();
        let base = base.trim_end_matches('/');
        let url = format!("{base}/bot{}/{method}", self.bot_token.expose());
        HttpRequest::post_json(Secret::new(url), &body)
    }

    /// The message that first told of the alert in this chat.
    fn first_told(&self, out: &Outgoing<'_>) -> Option<i64> {
        let mut told = out.about?.receipts.iter().filter_map(|receipt| found_by(receipt));
        // A name does not tell which chat it is; the message is sent even if there is nothing to reply to.
        let here = |chat: i64| self.chat_number().is_none_or(|id| id == chat);
        told.find(|(chat, _)| here(*chat)).map(|(_, message)| message)
    }
}

/// The chat and the message in a receipt.
fn found_by(receipt: &str) -> Option<(i64, i64)> {
    let (chat, message) = receipt.split_once(':')?;
    Some((chat.parse().ok()?, message.parse().ok()?))
}

/// Whether the message's own body goes out, to which nothing is added that it could have said.
fn is_own(out: &Outgoing<'_>) -> bool {
    !out.plain && out.message.native.contains_key(SPEC.kind)
}

/// One person to mention.
#[derive(Debug)]
enum Call<'a> {
    Id(&'a str),
    Name(&'a str),
}

impl Call<'_> {
    fn html(&self) -> String {
        match self {
            Self::Id(id) => format!("<a href=\"tg://user?id={id}\">{id}</a>"),
            Self::Name(name) => format!("@{name}"),
        }
    }
}

/// Whom a message can mention here. There is no way to call everybody.
fn calls<'a>(called: &Called<'a>) -> Vec<Call<'a>> {
    let ids = called.users.iter().chain(&called.mobiles);
    let call = |id: &&'a str| {
        let name = id.strip_prefix('@').unwrap_or(id);
        if is_number(id) {
            Some(Call::Id(id))
        } else if is_name(name) {
            Some(Call::Name(name))
        } else {
            None
        }
    };
    ids.filter_map(call).collect()
}

/// All mentions, on one line.
fn line_of(called: &[Call<'_>]) -> Option<String> {
    let names: Vec<String> = called.iter().map(Call::html).collect();
    (!names.is_empty()).then(|| names.join(" "))
}

fn plain(story: Story, called: &[Call<'_>]) -> Map<String, Json> {
    let text = story.plain(fit::quiet, |_| true);
    let mut body = Map::new();
    // Only markup can mention somebody by number. Escaped text beside it has nothing to be refused for.
    let (text, marked) = if called.iter().any(|call| matches!(call, Call::Id(_))) {
        (escape(&text), true)
    } else {
        (text, false)
    };
    let lines: Vec<String> = [text].into_iter().chain(line_of(called)).collect();
    body.insert("text".to_owned(), json!(lines.join("\n")));
    if marked {
        body.insert("parse_mode".to_owned(), json!("HTML"));
    }
    unpreviewed(body)
}

/// The text, cut to what fits, and the buttons below it.
fn rich(story: Story, called: &[Call<'_>], news: Option<&str>) -> (Map<String, Json>, Vec<Json>) {
    let fits = |story: &Story| visible_units(&html(story, called, news)) <= VISIBLE_UNITS_MAX;
    let story = story.fit(fits);
    let mut body = Map::new();
    body.insert("text".to_owned(), json!(html(&story, called, news)));
    body.insert("parse_mode".to_owned(), json!("HTML"));
    (unpreviewed(body), buttons(&story))
}

fn unpreviewed(mut body: Map<String, Json>) -> Map<String, Json> {
    body.insert("link_preview_options".to_owned(), json!({ "is_disabled": true }));
    body
}

fn html(story: &Story, called: &[Call<'_>], news: Option<&str>) -> String {
    let bold = |text: &str| format!("<b>{}</b>", harmless(text));
    let facts = story.facts.iter();
    let facts = facts
        .map(|(name, value)| format!("{}{}{}", bold(name), story.words.colon, harmless(value)));
    let images = story.images.iter().map(|url| anchor(url, story.words.image));
    let command = match &story.ack {
        Some(Ack::Command(command)) => escape(&by_command(story.words, command)),
        Some(Ack::Link(_)) | None => String::new(),
    };
    let head = [news.map(bold).unwrap_or_default(), bold(&story.headline()), harmless(&story.note)];
    let mut parts = vec![
        together(head),
        line_of(called).unwrap_or_default(),
        telegram_html(&fit::quiet_names(&story.body)),
        together(facts),
        command,
        together(images),
        harmless(&story.foot()),
    ];
    parts.retain(|part| !part.is_empty());
    parts.join("\n\n")
}

fn together(lines: impl IntoIterator<Item = String>) -> String {
    lines.into_iter().filter(|line| !line.is_empty()).collect::<Vec<_>>().join("\n")
}

/// Text as HTML in which nothing mentions anybody.
fn harmless(text: &str) -> String {
    escape(&fit::quiet_names(text))
}

/// How many UTF-16 units are left of our own HTML once Telegram has read it.
fn visible_units(html: &str) -> usize {
    let (mut units, mut rest) = (0, html);
    while let Some(at) = rest.find(['<', '&']) {
        let (text, markup) = rest.split_at(at);
        let (end, shown) = if markup.starts_with('<') { ('>', 0) } else { (';', 1) };
        units += fit::utf16_len(text) + shown;
        rest = markup.split_once(end).map_or("", |(_, rest)| rest);
    }
    units + fit::utf16_len(rest)
}

/// A row for each address: what is asked of the reader comes first.
fn buttons(story: &Story) -> Vec<Json> {
    let button = |text: &str, url: &str| json!([{ "text": fit::utf16(&fit::quiet(text), BUTTON_UNITS_MAX), "url": url }]);
    let ack = match &story.ack {
        Some(Ack::Link(url)) => Some(button(story.words.acknowledge, url.expose())),
        Some(Ack::Command(_)) | None => None,
    };
    // An address that Telegram cannot read would make it refuse the message.
    let links = story.links.iter().map(|link| button(&link.text, &fit::link_target(&link.url)));
    ack.into_iter().chain(links).collect()
}

fn keyboard(rows: Vec<Json>) -> Json {
    json!({ "inline_keyboard": rows })
}

#[derive(Deserialize)]
struct Answer {
    ok: bool,
    result: Option<Sent>,
    error_code: Option<u16>,
    #[serde(default)]
    description: String,
    parameters: Option<Parameters>,
}

#[derive(Deserialize)]
struct Sent {
    message_id: i64,
    chat: Chat,
}

#[derive(Deserialize)]
struct Chat {
    id: i64,
}

#[derive(Default, Deserialize)]
struct Parameters {
    retry_after: Option<f64>,
    migrate_to_chat_id: Option<i64>,
}

/// What is wrong with the chat or our place in it, among the many things that are a 400.
const ABOUT_THE_CHAT: [&str; 5] = [
    "chat not found",
    "topic_closed",
    "thread not found",
    "not enough rights",
    "no rights to send",
];

fn refusal(
    code: u16,
    text: &str,
    more: &Parameters,
    answer: &HttpResponse,
    at: Timestamp,
) -> Outcome {
    let reason = Reason::new(code, text);
    let endpoint = |reason| Outcome::Rejected { blame: Blame::Endpoint, reason };
    let says = text.to_lowercase();
    match code {
        429 => {
            let until = more.retry_after.map(|seconds| retry_after::after(seconds, at));
            Outcome::Throttled { until: until.unwrap_or_else(|| answer.retry_at(at)), reason }
        }
        400 if says.contains("message is not modified") => Outcome::Accepted(reason),
        400 => match more.migrate_to_chat_id {
            Some(id) => {
                let text = format!("the group is a supergroup now and its chat_id {id}: {text}");
                endpoint(Reason::new(code, text))
            }
            None if ABOUT_THE_CHAT.iter().any(|words| says.contains(words)) => endpoint(reason),
            None => Outcome::Rejected { blame: Blame::Message, reason },
        },
        413 => Outcome::Rejected { blame: Blame::Message, reason },
        401 | 403 | 404 => endpoint(reason),
        // Its own troubles, and codes that we do not know: worth another try.
        _ => Outcome::Transient(reason),
    }
}

/// The settings that stand in an Apprise address; a topic stands behind the chat's colon or in an option.
fn from_apprise(address: &Address) -> Result<Map<String, Json>, Unfit> {
    address.only(&["to", "topic", "thread"])?;
    address.no_user()?;
    if address.port.is_some() || !address.host.contains(':') {
        return Err("has no bot's token, which is a number, a colon and a key".into());
    }
    let target = address.target(0)?.ok_or("names no chat; Callout does not look for the owner")?;
    let (chat, topic) = match target.split_once(':') {
        Some((chat, topic)) => (chat.to_owned(), Some(topic.to_owned())),
        None => (target, address.option("topic").or(address.option("thread"))),
    };
    let is_name = chat.starts_with(|c: char| c.is_alphabetic());
    let chat = if is_name { format!("@{chat}") } else { chat };
    let token = address.host.strip_prefix("bot").unwrap_or(&address.host);
    let mut settings =
        apprise::settings([("bot_token", Some(token.to_owned())), ("chat_id", Some(chat))])?;
    if let Some(topic) = topic {
        let topic: u32 = topic.parse().map_err(|_| Unfit::from("has a topic that is no number"))?;
        settings.insert("thread".to_owned(), topic.into());
    }
    Ok(settings)
}
