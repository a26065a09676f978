//! Feishu custom bot; Lark's is the same at another `endpoint`.
//!
//! HTTP 200 says nothing; `code` does, and older servers say `StatusCode` instead. The signature stands
//! in the body beside the time, so it is added to native bodies too, and made anew for each attempt.
//!
//! The message is a card of version 2.0, which clients before 7.20 ask to be upgraded for. A message with nothing to read below the headline and nothing to
//! press is a `post`, which chats show whole in their lists; plain text is for what was refused. The
//! keyword stands in the title, for a robot looks at titles and texts. People are mentioned by open id
//! or user id; the bot knows no telephone numbers and no mail addresses, so such ids are left out. What
//! could begin a tag is parted by an invisible character, which code survives better than an escape.
//!
//! One code (19021) stands for a wrong key and for a wrong clock. The next attempt signs anew, so it is
//! transient while there is a key, as DingTalk's is; without a key nobody but the operator can mend it.
//!
//! Unverified: how long a bot stays limited, the true size limit (20 KB are documented, more was seen to
//! pass), whether `<at>` in code mentions (so code is made quiet too), and whether the bot finds its
//! keyword in the title of a card.

use crate::apprise::{self, Address, Apprise, Unfit};
use crate::channel::{HttpChannel, HttpRequest, HttpResponse, Outgoing, Refused};
use crate::fit::{self, Fence};
use crate::render::{Ack, Called, Dialect, Story};
use crate::spec::{Advice, Field, Problem, Spec, Value};
use crate::{settings, sign};
use callout_core::level::Level;
use callout_core::outcome::{Blame, Outcome, Reason};
use callout_core::secret::Secret;
use callout_core::time::Timestamp;
use serde::Deserialize;
use serde_json::{Map, Value as Json, json};
use std::time::Duration;

pub(crate) static SPEC: Spec = Spec {
    kind: "feishu",
    title: "Feishu (飞书) or Lark custom bot",
    fields: &[
        Field {
            name: "token",
            value: Value::Secret,
            required: true,
            doc: "The bot's token: the last part of its webhook address.",
        },
        Field {
            name: "sign_key",
            value: Value::Secret,
            required: false,
            doc: "The key of the security setting \"signature verification\". Default: unsigned.",
        },
        Field {
            name: "endpoint",
            value: Value::Url,
            required: false,
            doc: "Where to post, without the token. Default: https://open.feishu.cn/open-apis/bot/v2/hook (Lark: host open.larksuite.com).",
        },
        Field {
            name: "keyword",
            value: Value::Text,
            required: false,
            doc: "The keyword of the security setting; it is put in front of every title. Default: none.",
        },
    ],
    rate: "5/s, 100/min",
    types: &["interactive", "post", "text", "image", "share_chat"],
    native: true,
    body_bytes_max: BODY_BYTES_MAX,
    mentions: "everybody; people by open id or user id",
    idempotency: "none",
    ack: "link button",
    costly: false,
    rings: false,
    edit: false,
    thread: false,
    callback: None,
    advice: ADVICE,
    apprise: &[
        Apprise { scheme: "feishu", settings: from_apprise },
        Apprise { scheme: "lark", settings: from_apprise },
    ],
};

const ADVICE: &[Advice] = &[
    Advice {
        code: "19001",
        says: "",
        english: "The bot does not exist any more, or the token is wrong: copy the last part of the bot's webhook address into `token`; for Lark set `endpoint` too.",
        chinese: "机器人已被移除，或 token 不对：把机器人 webhook 地址的最后一段填入 `token`；Lark 还要设置 `endpoint`。",
    },
    Advice {
        code: "19021",
        says: "",
        english: "The signature does not fit: compare `sign_key` with the key in the bot's security settings, and check that this machine's clock is right.",
        chinese: "签名校验失败：请核对 `sign_key` 与机器人安全设置里的密钥，并检查本机时钟是否准确。",
    },
    Advice {
        code: "19022",
        says: "",
        english: "The bot does not take requests from this machine: add its public IP address to the allowlist in the bot's security settings.",
        chinese: "机器人不接受本机的请求：请在机器人安全设置的 IP 白名单中加入本机的公网 IP。",
    },
    Advice {
        code: "19024",
        says: "",
        english: "The bot wants one of its keywords in the text: add `keyword = \"…\"` to the channel.",
        chinese: "机器人要求消息包含关键词：请在该通道的配置中加上 `keyword = \"…\"`。",
    },
    Advice {
        code: "11232",
        says: "",
        english: "Too many messages for one bot: spread them over several bots, and keep scheduled ones away from full and half hours.",
        chinese: "机器人发送过于频繁：请分摊到多个机器人，定时消息避开整点和半点。",
    },
];

const ENDPOINT: &str = "https://open.feishu.cn/open-apis/bot/v2/hook";
/// The most bytes of a request, the signature included.
const BODY_BYTES_MAX: usize = 20_000;
/// How many bytes our own bodies may have; the rest is for mentions and the signature.
const BODY_BYTES_BUDGET: usize = 18_000;
/// How much of a title the head of a card shows, in UTF-16 units; a longer one stands in the text too.
const TITLE_UNITS_MAX: usize = 120;
/// How much of a label a button shows, in UTF-16 units.
const BUTTON_UNITS_MAX: usize = 60;
/// How long to wait after too many messages: a full window of seconds many times over, and less than
/// it takes to turn to another channel.
const LIMITED: Duration = Duration::from_secs(10);

/// Pictures need a key that only an app can get, so links stand for them.
const DIALECT: Dialect = Dialect { line_end: "\n", links: false, images: false, quiet };

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Feishu {
    token: Secret,
    sign_key: Option<Secret>,
    endpoint: Option<Secret>,
    keyword: Option<String>,
}

/// Makes a bot from settings.
pub(crate) fn build(settings: Json) -> Result<Box<dyn HttpChannel>, Vec<Problem>> {
    let feishu: Feishu = settings::parse(settings)?;
    if feishu.token.expose().contains('/') {
        let text = "has to be the last part of the webhook address alone";
        return Err(vec![settings::problem("token", text)]);
    }
    Ok(Box::new(feishu))
}

impl HttpChannel for Feishu {
    fn request(&self, out: &Outgoing<'_>, at: Timestamp) -> Result<HttpRequest, Refused> {
        let called = Called::of(out.mentions);
        let story = Story::of(out).with_unsent(out, 0);
        let body = match (out.native(&SPEC)?, out.plain) {
            (Some(native), _) => native.clone(),
            (None, true) => self.text(story, &called),
            (None, false) => self.rich(story, &called),
        };
        self.post(body, at)
    }

    fn classify(&self, answer: &HttpResponse, at: Timestamp) -> Outcome {
        let Some(said) = answer.json::<Answer>() else { return answer.outcome_by_status(at) };
        let text = said.msg.or(said.status_message).unwrap_or_default();
        match said.code.or(said.status_code) {
            // A success has to be one for HTTP too.
            Some(0) if answer.status == 200 => Outcome::Accepted(Reason::new(0, text)),
            Some(0) | None => answer.outcome_by_status(at),
            Some(code) => self.outcome(code, &text, answer, at),
        }
    }

    fn follow_up(
        &self,
        out: &Outgoing<'_>,
        at: Timestamp,
        answers: &[HttpResponse],
    ) -> Option<HttpRequest> {
        out.unsaid(&SPEC).filter(|_| answers.is_empty())?;
        self.post(self.text(Story::of(out).in_short(), &Called::NOBODY), at).ok()
    }
}

impl Feishu {
    /// Signs `body` and sends it.
    fn post(&self, mut body: Json, at: Timestamp) -> Result<HttpRequest, Refused> {
        if let (Some(key), Some(parts)) = (&self.sign_key, body.as_object_mut()) {
            let at_s = at.unix_ms() / 1000;
            parts.insert("timestamp".to_owned(), json!(at_s.to_string()));
            parts.insert("sign".to_owned(), json!(sign::feishu(key.expose(), at_s)));
        }
        let endpoint = self.endpoint.as_ref().map_or(ENDPOINT, Secret::expose);
        let endpoint = endpoint.trim().trim_end_matches('/');
        let url = format!("{endpoint}/{}", sign::percent(self.token.expose()));
        let request = HttpRequest::post_json(Secret::new(url), &body)?;
        match request.body.len() {
            ..=BODY_BYTES_MAX => Ok(request),
            len => Err(Refused(Reason::text(format!(
                "native.feishu has {len} bytes with its signature; at most {BODY_BYTES_MAX} fit"
            )))),
        }
    }

    fn rich(&self, story: Story, called: &Called<'_>) -> Json {
        let form = if is_short(&story) { Self::note } else { Self::card };
        let story =
            story.fit(|story| form(self, story, called).to_string().len() <= BODY_BYTES_BUDGET);
        form(self, &story, called)
    }

    fn card(&self, story: &Story, called: &Called<'_>) -> Json {
        let headline = self.keyed(&story.headline());
        let title = fit::utf16(&headline, TITLE_UNITS_MAX);
        let mut text = match title == headline {
            true => story.markdown_below_headline(&DIALECT),
            false => story.markdown(&DIALECT),
        };
        let names: Vec<String> = ids(called).map(|id| format!("<at id={id}></at>")).collect();
        if !names.is_empty() {
            text = format!("{text}\n\n{}", names.join(" "));
        }
        let mut elements = vec![json!({ "tag": "markdown", "content": text })];
        if let Some(Ack::Link(url)) = &story.ack {
            elements.push(button(story.words.acknowledge, url.expose(), "primary"));
        }
        let links = story.links.iter();
        elements.extend(links.map(|link| button(&link.text, &link.url, "default")));
        let header = json!({ "title": plain_text(&title), "template": colour(story.level) });
        let body = json!({ "direction": "vertical", "elements": elements });
        let card = json!({ "schema": "2.0", "header": header, "body": body });
        json!({ "msg_type": "interactive", "card": card })
    }

    /// A `post`, in the one language that every client shows.
    fn note(&self, story: &Story, called: &Called<'_>) -> Json {
        let facts =
            story.facts.iter().map(|(name, value)| format!("{name}{}{value}", story.words.colon));
        let lines = std::iter::once(story.note.clone()).chain(facts).chain([story.foot()]);
        let lines = lines.filter(|line| !line.is_empty());
        let text = |line: String| json!([{ "tag": "text", "text": fit::quiet(&line) }]);
        let mut content: Vec<Json> = lines.map(text).collect();
        let names: Vec<Json> =
            ids(called).map(|id| json!({ "tag": "at", "user_id": id })).collect();
        if !names.is_empty() {
            content.push(Json::Array(names));
        }
        let title = fit::quiet(&self.keyed(&story.headline()));
        let post = json!({ "zh_cn": { "title": title, "content": content } });
        json!({ "msg_type": "post", "content": { "post": post } })
    }

    fn text(&self, story: Story, called: &Called<'_>) -> Json {
        let text = self.keyed(&story.plain(fit::quiet, |_| true));
        let names = ids(called).map(|id| format!("<at user_id=\"{id}\">{id}</at>"));
        let names = names.collect::<Vec<_>>().join(" ");
        let text = if names.is_empty() { text } else { format!("{text}\n{names}") };
        json!({ "msg_type": "text", "content": { "text": text } })
    }

    /// Puts the keyword in front, or the bot refuses the message.
    fn keyed(&self, text: &str) -> String {
        self.keyword.as_ref().map_or(text.to_owned(), |keyword| format!("{keyword} {text}"))
    }

    fn outcome(&self, code: i64, text: &str, answer: &HttpResponse, at: Timestamp) -> Outcome {
        let reason = Reason::new(code, text);
        match code {
            11_232 => Outcome::Throttled { until: at + LIMITED, reason },
            99_991_400 => Outcome::Throttled { until: answer.retry_at(at), reason },
            19_021 if self.sign_key.is_some() => Outcome::Transient(reason),
            9_499 | 19_002 | 19_024 | 19_036 | 11_246 | 230_099 => {
                Outcome::Rejected { blame: Blame::Message, reason }
            }
            19_001 | 19_021 | 19_022 => Outcome::Rejected { blame: Blame::Endpoint, reason },
            _ if text.contains(CARD_ERROR) => Outcome::Rejected { blame: Blame::Message, reason },
            _ if answer.status == 429 => answer.outcome_by_status(at).with_reason(reason),
            // Codes we do not know: worth another try, which the attempt limit ends.
            _ => Outcome::Transient(reason),
        }
    }
}

/// The body without what could mention or open a tag, and without pictures: a card with an address where
/// a key should be is refused.
fn quiet(markdown: &str) -> String {
    let mut fence = Fence::default();
    let line = |line| if fence.takes(line) { line.to_owned() } else { fit::image_links(line) };
    fit::quiet(&markdown.split('\n').map(line).collect::<Vec<_>>().join("\n"))
}

/// The beginning of the inner code when a card could not be built, whatever code stands around it.
const CARD_ERROR: &str = "ErrCode: 2006";

/// Whether nothing is to be read below the headline but facts, and there is nothing to press.
fn is_short(story: &Story) -> bool {
    let silent = story.body.is_empty() && story.ack.is_none();
    silent && story.links.is_empty() && story.images.is_empty()
}

/// Everybody and the people that a bot can mention.
fn ids<'a>(called: &'a Called<'a>) -> impl Iterator<Item = &'a str> {
    let people = called.users.iter().copied().filter(|id| !id.contains('@'));
    called.all.then_some("all").into_iter().chain(people)
}

fn button(text: &str, url: &str, style: &str) -> Json {
    json!({
        "tag": "button", "text": plain_text(&fit::utf16(text, BUTTON_UNITS_MAX)), "type": style,
        "behaviors": [{ "type": "open_url", "default_url": url }],
    })
}

fn plain_text(text: &str) -> Json {
    json!({ "tag": "plain_text", "content": fit::quiet(text) })
}

fn colour(level: Level) -> &'static str {
    match level {
        Level::Info => "blue",
        Level::Warning => "yellow",
        Level::Error => "orange",
        Level::Critical => "red",
    }
}

#[derive(Deserialize)]
struct Answer {
    code: Option<i64>,
    msg: Option<String>,
    /// What older servers say instead.
    #[serde(rename = "StatusCode")]
    status_code: Option<i64>,
    #[serde(rename = "StatusMessage")]
    status_message: Option<String>,
}

/// The settings that stand in an Apprise address; Lark's host is another one.
fn from_apprise(address: &Address) -> Result<Map<String, Json>, Unfit> {
    address.only(&["token"])?;
    address.no_server()?;
    address.no_user()?;
    address.no_target(0, "says more than the token, which Callout does not honour")?;
    let lark = address.scheme == "lark";
    apprise::settings([
        ("token", Some(address.host_or("token", "token")?)),
        ("endpoint", lark.then(|| "https://open.larksuite.com/open-apis/bot/v2/hook".to_owned())),
    ])
}
