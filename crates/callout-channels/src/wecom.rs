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

use crate::channel::{
    Field, HttpChannel, HttpRequest, HttpResponse, Outgoing, Problem, Refused, Spec, Value,
};
use crate::render::{Called, Dialect, Story, marker};
use crate::{fit, settings, sign};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use callout_core::level::Level;
use callout_core::message::Attachment;
use callout_core::outcome::{Blame, Outcome, Reason};
use callout_core::secret::Secret;
use callout_core::time::Timestamp;
use md5::{Digest, Md5};
use serde::Deserialize;
use serde_json::{Value as Json, json};
use std::borrow::Cow;
use std::time::Duration;

pub(crate) static SPEC: Spec = Spec {
    kind: "wecom",
    title: "WeCom group robot",
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
    // Media aside, the largest form is Markdown with 4096 bytes of text; an attachment in Base64 fits too.
    body_bytes_max: 512 * 1024,
    mentions: "everybody; people by user id or mobile number",
    idempotency: "none",
};

const ENDPOINT: &str = "https://qyapi.weixin.qq.com/cgi-bin/webhook/send";
/// The most bytes of Markdown.
const MARKDOWN_BYTES_MAX: usize = 4096;
/// The most bytes of plain text.
const TEXT_BYTES_MAX: usize = 2048;
/// The most articles, and the most bytes in a title and in a description.
const ARTICLES_MAX: usize = 8;
const ARTICLE_TITLE_BYTES_MAX: usize = 128;
const ARTICLE_TEXT_BYTES_MAX: usize = 512;
/// How many attachments follow a message; the others are named in it.
const FILES_MAX: usize = 4;
/// How long to wait after too many messages, and after too many at once.
const LIMITED: Duration = Duration::from_secs(60);
const CROWDED: Duration = Duration::from_secs(5);

const V1: Dialect = Dialect { line_end: "\n", links: true, images: false, quiet: fit::quiet };
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

impl HttpChannel for WeCom {
    fn request(&self, out: &Outgoing<'_>, _at: Timestamp) -> Result<HttpRequest, Refused> {
        let called = Called::of(out.mentions);
        let body = match (out.native(&SPEC)?, out.plain) {
            (Some(native), _) => native.clone(),
            (None, true) => text(&plain(story(out)), &called),
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
            let content = if unsaid { plain(story(out).in_short()) } else { fit::quiet(&line()) };
            return self.post(&text(&content, &left));
        }
        for file in files(out) {
            if is_image(&file.bytes) {
                if answers.next().is_none() {
                    return self.post(&image(&file.bytes));
                }
                continue;
            }
            let Some(uploaded) = answers.next() else { return Some(self.upload(out, &file)) };
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
        let level = marker(story.level);
        let coloured = format!("<font color=\"{}\">{level}</font>", colour(story.level));
        let text = story.markdown(&V1).replacen(level, &coloured, 1);
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

    fn upload(&self, out: &Outgoing<'_>, file: &File<'_>) -> HttpRequest {
        let boundary = format!("callout-{}", out.id);
        let name = fit::line(file.name).replace(['"', '\\'], "_");
        let mut body = format!(
            "--{boundary}\r\ncontent-disposition: form-data; name=\"media\"; filename=\"{name}\"; filelength={}\r\ncontent-type: application/octet-stream\r\n\r\n",
            file.bytes.len()
        )
        .into_bytes();
        body.extend_from_slice(&file.bytes);
        body.extend_from_slice(format!("\r\n--{boundary}--\r\n").as_bytes());
        let kind = Secret::new(format!("multipart/form-data; boundary={boundary}"));
        HttpRequest {
            method: "POST",
            url: self.url("upload_media", "&type=file"),
            headers: vec![(Cow::Borrowed("content-type"), kind)],
            body,
        }
    }
}

fn story(out: &Outgoing<'_>) -> Story {
    Story::of(out).with_unsent(out, FILES_MAX)
}

fn plain(story: Story) -> String {
    story.plain(fit::quiet, |text| text.len() <= TEXT_BYTES_MAX)
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
    let facts = story.facts.iter().map(|(name, value)| format!("{name}: {value}"));
    let lines = std::iter::once(story.body.clone()).chain(facts).chain([story.foot()]);
    lines.filter(|line| !line.is_empty()).collect::<Vec<_>>().join("\n")
}

fn colour(level: Level) -> &'static str {
    match level {
        Level::Info => "info",
        Level::Warning | Level::Error | Level::Critical => "warning",
    }
}

/// An attachment, decoded.
struct File<'a> {
    name: &'a str,
    bytes: Vec<u8>,
}

fn files<'a>(out: &Outgoing<'a>) -> impl Iterator<Item = File<'a>> {
    let decoded = |file: &'a Attachment| {
        Some(File { name: &file.name, bytes: STANDARD.decode(&file.base64).ok()? })
    };
    out.message.attachments.iter().take(FILES_MAX).filter_map(decoded)
}

/// Whether these are the first bytes of a PNG or JPEG file.
fn is_image(bytes: &[u8]) -> bool {
    bytes.starts_with(b"\x89PNG\r\n\x1a\n") || bytes.starts_with(b"\xff\xd8\xff")
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

/// What the service adds to a success when it understood the JSON only in part.
const HALF_UNDERSTOOD: &str = "Warning: wrong json format";

fn outcome(code: i64, text: &str, at: Timestamp) -> Outcome {
    let reason = Reason::new(code, text);
    match code {
        // It was shown, so it must not be sent again; the operator shall see what was lost.
        0 if text.contains(HALF_UNDERSTOOD) => {
            Outcome::Accepted(Reason::new(code, format!("only partly understood: {text}")))
        }
        0 => Outcome::Accepted(reason),
        45_009 => Outcome::Throttled { until: at + LIMITED, reason },
        45_033 => Outcome::Throttled { until: at + CROWDED, reason },
        40_007 | 40_008 | 40_009 | 40_033 | 40_035 | 40_058 | 40_063 | 41_006 | 44_004 | 45_001
        | 45_002 | 45_008 => Outcome::Rejected { blame: Blame::Message, reason },
        93_000 | 40_014 | 41_001 | 42_001 | 50_003 | 60_020 | 81_013 | 301_002 => {
            Outcome::Rejected { blame: Blame::Endpoint, reason }
        }
        // Busy (-1, 6000), and codes we do not know: worth another try, which the attempt limit ends.
        _ => Outcome::Transient(reason),
    }
}
