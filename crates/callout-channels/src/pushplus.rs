//! PushPlus (推送加), push messages to WeChat.
//!
//! HTTP is always 200; `code` 200 says that the message is queued, and `data` is its id. There are no
//! buttons, so the way to acknowledge is a link in the Markdown. A restricted account (900) makes the channel
//! wait for an hour: another one takes the message, and nothing is lost if there is none.
//!
//! Unverified: whether the service counts characters or UTF-16 units; we count the latter, which are more.
//! A message that is under review (909) may still be let through, so it is tried again like a failure.

use crate::apprise::{Address, Apprise, Unfit};
use crate::channel::{HttpChannel, HttpRequest, HttpResponse, Outgoing, Refused};
use crate::render::{Dialect, Story};
use crate::spec::{Advice, Field, Problem, Spec, Value};
use crate::{apprise, fit, settings};
use callout_core::outcome::{Blame, Outcome, Reason};
use callout_core::secret::Secret;
use callout_core::time::Timestamp;
use serde::Deserialize;
use serde_json::{Map, Value as Json, json};
use std::time::Duration;

pub(crate) static SPEC: Spec = Spec {
    kind: "pushplus",
    title: "PushPlus",
    fields: &[
        Field {
            name: "token",
            value: Value::Secret,
            required: true,
            doc: "The token of the user, or of a message, from pushplus.plus.",
        },
        Field {
            name: "topic",
            value: Value::Text,
            required: false,
            doc: "The code of a group; everybody in it is told. Default: the token's owner alone.",
        },
        Field {
            name: "endpoint",
            value: Value::Url,
            required: false,
            doc: "Where to post. Default: https://www.pushplus.plus/send.",
        },
    ],
    rate: "none",
    types: &["markdown", "txt"],
    native: false,
    body_bytes_max: BODY_BYTES_MAX,
    mentions: "nobody",
    idempotency: "none",
    ack: "link",
    costly: false,
    rings: false,
    edit: false,
    thread: false,
    callback: None,
    advice: ADVICE,
    apprise: &[Apprise { scheme: "pushplus", settings: from_apprise }],
};

static ADVICE: &[Advice] = &[
    Advice {
        code: "907",
        says: "",
        english: "The service does not know the token; copy it anew from pushplus.plus into `token`.",
        chinese: "服务不认识该 token；请从 pushplus.plus 重新复制到 `token`。",
    },
    Advice {
        code: "900",
        says: "",
        english: "The account is restricted, mostly for sending too much; send less or set a lower `rate`, and see at pushplus.plus until when.",
        chinese: "账户被限制，多因发送过于频繁；请减少发送或调低 `rate`，并到 pushplus.plus 查看解除时间。",
    },
    Advice {
        code: "908",
        says: "",
        english: "The account is blocked; sign in at pushplus.plus to see why.",
        chinese: "账户已被封禁；请登录 pushplus.plus 查看原因。",
    },
    Advice {
        code: "909",
        says: "",
        english: "The service reviews the message before it lets it through; sign in at pushplus.plus to see why.",
        chinese: "消息正在审核中，尚未送达；请登录 pushplus.plus 查看原因。",
    },
    Advice {
        code: "912",
        says: "",
        english: "The plan has no messages left; buy more at pushplus.plus.",
        chinese: "套餐余量不足；请到 pushplus.plus 购买。",
    },
    Advice {
        code: "905",
        says: "",
        english: "The service does not take the request; if every message fails, check `topic`.",
        chinese: "服务不接受该请求；若每条消息都失败，请检查 `topic`。",
    },
];

const ENDPOINT: &str = "https://www.pushplus.plus/send";
/// The most UTF-16 units of a title and of a text.
const TITLE_UNITS_MAX: usize = 200;
const TEXT_UNITS_MAX: usize = 20_000;
/// The most bytes of a request: each unit of the text takes six at most.
const BODY_BYTES_MAX: usize = 6 * TEXT_UNITS_MAX + 8 * 1024;
/// How long to wait when the account is restricted.
const RESTRICTED: Duration = Duration::from_secs(3600);

const DIALECT: Dialect =
    Dialect { line_end: "  \n", links: true, images: true, quiet: fit::quiet_prose };

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct PushPlus {
    token: Secret,
    topic: Option<String>,
    endpoint: Option<Secret>,
}

/// Makes a channel from settings.
pub(crate) fn build(settings: Json) -> Result<Box<dyn HttpChannel>, Vec<Problem>> {
    Ok(Box::new(settings::parse::<PushPlus>(settings)?))
}

/// The settings that stand in an Apprise address.
fn from_apprise(address: &Address) -> Result<Map<String, Json>, Unfit> {
    address.only(&["channel", "mode", "to", "token", "topic"])?;
    address.no_server()?;
    let way = address.option("channel").or(address.option("mode"));
    if address.user.is_some() || way.is_some_and(|way| way != "wechat") {
        return Err("asks for another way than WeChat, which Callout does not honour".into());
    }
    let (topic, target) = (address.option("topic"), address.target(0)?);
    if topic.is_some() && target.is_some() {
        return Err("names several groups; write a channel for each".into());
    }
    apprise::settings([
        ("token", Some(address.host_or("token", "token")?)),
        ("topic", topic.or(target)),
    ])
}

impl HttpChannel for PushPlus {
    fn request(&self, out: &Outgoing<'_>, _at: Timestamp) -> Result<HttpRequest, Refused> {
        let story = Story::of(out).with_unsent(out, 0);
        let title = fit::utf16(&story.headline(), TITLE_UNITS_MAX);
        let (template, text) = if out.plain {
            ("txt", story.plain(fit::quiet_names, |_| true))
        } else {
            let rich = |story: &Story| story.markdown(&DIALECT);
            let fits = |story: &Story| fit::utf16_len(&rich(story)) <= TEXT_UNITS_MAX;
            ("markdown", rich(&story.fit(fits)))
        };
        let token = self.token.expose();
        let mut body =
            json!({ "token": token, "title": title, "content": text, "template": template });
        if let (Some(parts), Some(topic)) = (body.as_object_mut(), &self.topic) {
            parts.insert("topic".to_owned(), json!(topic.trim()));
        }
        let url = self.endpoint.as_ref().map_or(ENDPOINT, Secret::expose).trim();
        HttpRequest::post_json(Secret::new(url), &body)
    }

    fn classify(&self, answer: &HttpResponse, at: Timestamp) -> Outcome {
        match answer.json::<Answer>() {
            // A success has to be one for HTTP too.
            Some(Answer { code: Some(code), msg, data }) if answer.status == 200 => {
                outcome(code, msg, &data, at)
            }
            Some(_) | None => answer.outcome_by_status(at),
        }
    }
}

#[derive(Deserialize)]
struct Answer {
    code: Option<i64>,
    #[serde(default)]
    msg: String,
    #[serde(default)]
    data: Json,
}

fn outcome(code: i64, text: String, data: &Json, at: Timestamp) -> Outcome {
    let reason = Reason::new(code, text);
    match (code, data.as_str()) {
        (200, Some(id)) => Outcome::Accepted(Reason::new(code, format!("queued as {id}"))),
        (200, None) => Outcome::Accepted(reason),
        (code, _) => refusal(code, reason, at),
    }
}

fn refusal(code: i64, reason: Reason, at: Timestamp) -> Outcome {
    match code {
        900 => Outcome::Throttled { until: at + RESTRICTED, reason },
        905 => Outcome::Rejected { blame: Blame::Message, reason },
        907 | 908 | 912 => Outcome::Rejected { blame: Blame::Endpoint, reason },
        // It could not be sent (903), it is under review (909), and codes we do not know: worth another
        // try, which the attempt limit ends.
        _ => Outcome::Transient(reason),
    }
}
