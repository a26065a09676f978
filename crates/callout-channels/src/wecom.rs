//! WeCom group robot.
//!
//! HTTP 200 says nothing; `errcode` does. No form carries everything: Markdown cannot mention
//! everybody, only plain text knows mobile numbers, and files travel alone after an upload. So the
//! message goes first and the rest follows it; what follows never repeats the message. A
//! `template_card` goes out as a native body only, for its fields are too short for most messages.
//! The robot has no buttons, and news show no link of their own in the text, so a message that has to
//! be acknowledged is Markdown with a link.
//!
//! Unverified: whether the limit of 20 a minute lasts longer than the minute when it is exceeded, and
//! whether `<@id>` in code mentions in `markdown`; so code is made quiet there, and stays as it is only
//! in `markdown_v2`, which mentions nobody.

use crate::apprise::{Address, Apprise, Unfit};
use crate::channel::{HttpChannel, HttpRequest, HttpResponse, Outgoing, Refused};
use crate::render::{Called, Dialect, Story};
use crate::spec::{Advice, Field, Problem, Spec, Value};
use crate::wecom_parts::{
    MARKDOWN_BYTES_MAX, V1, coloured, files, is_image, outcome, plain, story, upload,
};
use crate::{apprise, fit, settings, sign};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use callout_core::outcome::Outcome;
use callout_core::secret::Secret;
use callout_core::time::Timestamp;
use md5::{Digest, Md5};
use serde::Deserialize;
use serde_json::{Map, Value as Json, json};

pub(crate) static SPEC: Spec = Spec {
    kind: "wecom",
    title: "WeCom (企业微信) group robot",
    fields: &[
        Field {
            name: "key",
            value: Value::Secret,
            required: true,
            doc: "The robot's key: the value of key in its webhook address.",
        },
        Field {
            name: "endpoint",
            value: Value::Url,
            required: false,
            doc: "Where to post. Default: https://qyapi.weixin.qq.com/cgi-bin/webhook/send.",
        },
        Field {
            name: "markdown",
            value: Value::Text,
            required: false,
            doc: "\"v1\": colours, and people can be mentioned in the text; \"v2\": lists, tables, code and images. Default: v1.",
        },
    ],
    rate: "20/min",
    types: &["template_card", "news", "markdown", "markdown_v2", "text", "image", "file"],
    native: true,
    // Media aside, the largest form is Markdown with 4096 bytes of text; an attachment in Base64 fits too.
    body_bytes_max: 512 * 1024,
    mentions: "everybody; people by user id or mobile number",
    idempotency: "none",
    ack: "link",
    costly: false,
    rings: false,
    edit: false,
    thread: false,
    callback: None,
    advice: ADVICE,
    apprise: &[Apprise { scheme: "wecombot", settings: from_apprise }],
};

const ADVICE: &[Advice] = &[
    Advice {
        code: "-1",
        says: "",
        english: "WeCom is busy. Nothing to mend here: Callout tries again.",
        chinese: "企业微信系统繁忙，本地无需修改：Callout 会自动重试。",
    },
    Advice {
        code: "93000",
        says: "",
        english: "The robot was removed from the group, or the key is wrong: copy the value of key in its webhook address into `key`.",
        chinese: "机器人已被移出群聊，或 key 不对：请把 webhook 地址中 key 的值填入 `key`。",
    },
    Advice {
        code: "45009",
        says: "",
        english: "The robot has sent more than 20 messages within a minute: spread them over several robots.",
        chinese: "机器人一分钟内发送超过 20 条：请分摊到多个机器人。",
    },
    Advice {
        code: "60020",
        says: "",
        english: "WeCom does not take requests from this machine's address: add its public IP address to the trusted ones.",
        chinese: "企业微信不接受本机 IP 的请求：请将本机的公网 IP 加入可信 IP。",
    },
    Advice {
        code: "40058",
        says: "",
        english: "WeCom refuses a field of the message: if the message brings its own body, look there for what is too long or missing.",
        chinese: "企业微信拒绝了消息的某个参数：如果消息使用了自带的 native 内容，请检查其中超长或缺失的字段。",
    },
    Advice {
        code: "40008",
        says: "",
        english: "WeCom does not know this type of message: correct `msgtype` in the message's own body.",
        chinese: "企业微信不支持该消息类型：请更正消息 native 内容里的 `msgtype`。",
    },
    Advice {
        code: "45033",
        says: "",
        english: "Too many requests at once: lower `concurrency` of the channel.",
        chinese: "并发请求过多：请调低该通道的 `concurrency`。",
    },
];

const ENDPOINT: &str = "https://qyapi.weixin.qq.com/cgi-bin/webhook/send";
/// The most articles, and the most bytes in a title and in a description.
const ARTICLES_MAX: usize = 8;
const ARTICLE_TITLE_BYTES_MAX: usize = 128;
const ARTICLE_TEXT_BYTES_MAX: usize = 512;
const V2: Dialect = Dialect { images: true, quiet: fit::quiet_prose, ..V1 };

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
enum Style {
    #[default]
    #[serde(rename = "v1")]
    V1,
    #[serde(rename = "v2")]
    V2,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct WeCom {
    key: Secret,
    endpoint: Option<Secret>,
    #[serde(default)]
    markdown: Style,
}

/// Makes a robot from settings.
pub(crate) fn build(settings: Json) -> Result<Box<dyn HttpChannel>, Vec<Problem>> {
    let style = settings.get("markdown").and_then(Json::as_str);
    if style.is_some_and(|style| !matches!(style, "v1" | "v2")) {
        return Err(vec![settings::problem("markdown", "has to be \"v1\" or \"v2\"")]);
    }
    Ok(Box::new(settings::parse::<WeCom>(settings)?))
}

/// The settings that stand in an Apprise address.
fn from_apprise(address: &Address) -> Result<Map<String, Json>, Unfit> {
    address.only(&["key"])?;
    address.no_server()?;
    address.no_user()?;
    address.no_target(0, "names somebody behind the key, which Callout does not honour here")?;
    apprise::settings([("key", Some(address.host_or("key", "key")?))])
}

impl HttpChannel for WeCom {
    fn request(&self, out: &Outgoing<'_>, _at: Timestamp) -> Result<HttpRequest, Refused> {
        let called = Called::of(out.mentions);
        let body = match (out.native(&SPEC)?, out.plain) {
            (Some(native), _) => native.clone(),
            (None, true) => text(&plain(story(out), 0), &called),
            (None, false) => self.rich(story(out), &called),
        };
        HttpRequest::post_json(self.url("send", ""), &body)
    }

    fn classify(&self, answer: &HttpResponse, at: Timestamp) -> Outcome {
        match answer.json::<Answer>() {
            // A success has to be one for HTTP too.
            Some(Answer { errcode: Some(0), .. }) if answer.status != 200 => {
                answer.outcome_by_status(at)
            }
            Some(Answer { errcode: Some(code), errmsg, .. }) => outcome(code, &errmsg, at),
            Some(_) | None => answer.outcome_by_status(at),
        }
    }

    fn follow_up(
        &self,
        out: &Outgoing<'_>,
        _at: Timestamp,
        answers: &[HttpResponse],
    ) -> Option<HttpRequest> {
        let mut answers = answers.iter();
        let (left, unsaid) = (self.not_yet_called(out), out.unsaid(&SPEC).is_some());
        if (unsaid || !left.nobody()) && answers.next().is_none() {
            let line = || fit::bytes(&story(out).headline(), ARTICLE_TEXT_BYTES_MAX);
            let content =
                if unsaid { plain(story(out).in_short(), 0) } else { fit::quiet(&line()) };
            return self.post(&text(&content, &left));
        }
        for file in files(out) {
            if is_image(&file.bytes) {
                if answers.next().is_none() {
                    return self.post(&image(&file.bytes));
                }
                continue;
            }
            let Some(uploaded) = answers.next() else {
                return Some(upload(self.url("upload_media", "&type=file"), out, &file));
            };
            let media_id = uploaded.json::<Answer>().and_then(|answer| answer.media_id);
            if let Some(media_id) = media_id
                && answers.next().is_none()
            {
                return self.post(&json!({ "msgtype": "file", "file": { "media_id": media_id } }));
            }
        }
        None
    }
}

impl WeCom {
    fn url(&self, call: &str, query: &str) -> Secret {
        let endpoint = self.endpoint.as_ref().map_or(ENDPOINT, Secret::expose).trim();
        let base = endpoint.strip_suffix("/send").unwrap_or(endpoint);
        Secret::new(format!("{base}/{call}?key={}{query}", sign::percent(self.key.expose())))
    }

    fn post(&self, body: &Json) -> Option<HttpRequest> {
        HttpRequest::post_json(self.url("send", ""), body).ok()
    }

    fn rich(&self, story: Story, called: &Called<'_>) -> Json {
        if is_news(&story, called) {
            return news(story);
        }
        let story = story.fit(|story| self.markdown(story, called).len() <= MARKDOWN_BYTES_MAX);
        let content = self.markdown(&story, called);
        match self.markdown {
            Style::V1 => json!({ "msgtype": "markdown", "markdown": { "content": content } }),
            Style::V2 => json!({ "msgtype": "markdown_v2", "markdown_v2": { "content": content } }),
        }
    }

    fn markdown(&self, story: &Story, called: &Called<'_>) -> String {
        if self.markdown == Style::V2 {
            return story.markdown(&V2);
        }
        let text = coloured(story);
        let names: Vec<String> = called.users.iter().map(|id| format!("<@{id}>")).collect();
        if names.is_empty() { text } else { format!("{text}\n\n{}", names.join(" ")) }
    }

    /// Whom the main form of `out` cannot mention.
    fn not_yet_called<'a>(&self, out: &Outgoing<'a>) -> Called<'a> {
        let mut called = Called::of(out.mentions);
        let native = out.message.native.contains_key(SPEC.kind);
        if out.plain {
            return Called::NOBODY;
        }
        if !native && self.markdown == Style::V1 {
            called.users.clear();
        }
        called
    }
}

fn text(content: &str, called: &Called<'_>) -> Json {
    let everybody = called.all.then_some("@all");
    let users: Vec<&str> = everybody.into_iter().chain(called.users.iter().copied()).collect();
    let lists = json!({
        "content": content, "mentioned_list": users, "mentioned_mobile_list": called.mobiles,
    });
    json!({ "msgtype": "text", "text": lists })
}

/// A picture and somewhere to go make news, unless a person has to be mentioned or to acknowledge:
/// news can do neither.
fn is_news(story: &Story, called: &Called<'_>) -> bool {
    let told_only = called.users.is_empty() && story.ack.is_none();
    told_only && !story.images.is_empty() && !story.links.is_empty()
}

/// The message as the first article, leading to the first link; the other links as further articles.
fn news(mut story: Story) -> Json {
    let title = fit::bytes(&story.headline(), ARTICLE_TITLE_BYTES_MAX);
    let (links, images) = (std::mem::take(&mut story.links), std::mem::take(&mut story.images));
    let story = story.fit(|story| description(story).len() <= ARTICLE_TEXT_BYTES_MAX);
    let articles = links.iter().take(ARTICLES_MAX).enumerate().map(|(n, link)| match n {
        0 => json!({
            "title": title, "description": description(&story),
            "url": link.url, "picurl": images.first(),
        }),
        _ => json!({
            "title": fit::bytes(&link.text, ARTICLE_TITLE_BYTES_MAX), "url": link.url,
        }),
    });
    json!({ "msgtype": "news", "news": { "articles": articles.collect::<Vec<_>>() } })
}

fn description(story: &Story) -> String {
    let facts =
        story.facts.iter().map(|(name, value)| format!("{name}{}{value}", story.words.colon));
    let lines = std::iter::once(story.body.clone()).chain(facts).chain([story.foot()]);
    lines.filter(|line| !line.is_empty()).collect::<Vec<_>>().join("\n")
}

/// The checksum is that of the file, not of its Base64.
fn image(bytes: &[u8]) -> Json {
    let md5: String = Md5::digest(bytes).iter().map(|byte| format!("{byte:02x}")).collect();
    json!({ "msgtype": "image", "image": { "base64": STANDARD.encode(bytes), "md5": md5 } })
}

#[derive(Deserialize)]
struct Answer {
    errcode: Option<i64>,
    #[serde(default)]
    errmsg: String,
    media_id: Option<String>,
}
