//! DingTalk group robot.
//!
//! The robot answers HTTP 200 to almost everything; the truth is in `errcode`. Its signature holds the
//! time of this attempt, so a request is signed anew each time. A mention has to stand both in the
//! `at` object and in the text, and cards have no documented way to mention anybody, so a message that
//! mentions someone is sent as Markdown with its links in the text. `feedCard` and `link` go out as
//! native bodies only; nothing is added to those, so a robot with a keyword needs it in them. What a
//! native body leaves unsaid follows it as plain text.
//!
//! Text that names somebody who is not in `at` mentions nobody, so code in it stays as it was written.
//!
//! Unverified, and therefore not relied on: how long a robot stays limited after too many messages,
//! whether `msgUuid` works on the mainland endpoint, and what exactly the 20 000 bytes count.

use crate::apprise::{Address, Apprise, Unfit};
use crate::channel::{HttpChannel, HttpRequest, HttpResponse, Outgoing, Refused};
use crate::render::{Ack, Called, Dialect, Story};
use crate::spec::{Advice, Field, Problem, Spec, Value};
use crate::{apprise, fit, settings, sign};
use callout_core::outcome::{Blame, Outcome, Reason};
use callout_core::secret::Secret;
use callout_core::time::Timestamp;
use serde::Deserialize;
use serde_json::{Map, Value as Json, json};
use std::time::Duration;

pub(crate) static SPEC: Spec = Spec {
    kind: "dingtalk",
    title: "DingTalk (钉钉) group robot",
    fields: &[
        Field {
            name: "access_token",
            value: Value::Secret,
            required: true,
            doc: "The robot's token: the value of access_token in its webhook address.",
        },
        Field {
            name: "sign_key",
            value: Value::Secret,
            required: false,
            doc: "The key of the security setting \"sign\", which begins with SEC. Default: unsigned.",
        },
        Field {
            name: "endpoint",
            value: Value::Url,
            required: false,
            doc: "Where to post. Default: https://oapi.dingtalk.com/robot/send (international tenants: host oapi.dingtalk.io).",
        },
        Field {
            name: "keyword",
            value: Value::Text,
            required: false,
            doc: "The keyword of the security setting; it is put in front of every title. Default: none.",
        },
        Field {
            name: "message_uuid",
            value: Value::Switch,
            required: false,
            doc: "Send the message's id as msgUuid, which may suppress duplicates; documented for international tenants only, unverified elsewhere. Default: false.",
        },
    ],
    rate: "20/min",
    types: &["feedCard", "actionCard", "markdown", "link", "text"],
    native: true,
    body_bytes_max: 20_000,
    mentions: "everybody; people by user id or mobile number",
    idempotency: "msgUuid, if message_uuid is on (unverified on the mainland)",
    ack: "link button, or a link where somebody is mentioned",
    costly: false,
    rings: false,
    edit: false,
    thread: false,
    callback: None,
    advice: ADVICE,
    apprise: &[Apprise { scheme: "dingtalk", settings: from_apprise }],
};

const SIGN: (&str, &str) = (
    "The signature does not fit: put the key of the security setting \"sign\", which begins with SEC, into `sign_key`.",
    "签名不匹配：请把安全设置“加签”的密钥（以 SEC 开头）填入 `sign_key`。",
);
const ADDRESS: (&str, &str) = (
    "The robot does not take requests from this machine: add its public IP address to the robot's security settings.",
    "机器人不接受本机的请求：请在机器人安全设置中加入本机的公网 IP。",
);

const ADVICE: &[Advice] = &[
    Advice {
        code: "-1",
        says: "",
        english: "DingTalk is busy. Nothing to mend here: Callout tries again.",
        chinese: "钉钉系统繁忙，本地无需修改：Callout 会自动重试。",
    },
    Advice {
        code: "310000",
        says: "keyword",
        english: "The robot wants one of its keywords in the text: add `keyword = \"…\"` to the channel.",
        chinese: "机器人要求消息包含关键词：请在该通道的配置中加上 `keyword = \"…\"`。",
    },
    Advice {
        code: "310000",
        says: "关键词",
        english: "The robot wants one of its keywords in the text: add `keyword = \"…\"` to the channel.",
        chinese: "机器人要求消息包含关键词：请在该通道的配置中加上 `keyword = \"…\"`。",
    },
    Advice { code: "310000", says: "签名不匹配", english: SIGN.0, chinese: SIGN.1 },
    Advice {
        code: "310000",
        says: "timestamp",
        english: "This machine's clock is more than an hour off: set it by a time service.",
        chinese: "本机时钟偏差超过一小时：请用时间服务校准。",
    },
    Advice {
        code: "310000",
        says: "时间戳",
        english: "This machine's clock is more than an hour off: set it by a time service.",
        chinese: "本机时钟偏差超过一小时：请用时间服务校准。",
    },
    Advice { code: "310000", says: "sign", english: SIGN.0, chinese: SIGN.1 },
    Advice { code: "310000", says: "签名", english: SIGN.0, chinese: SIGN.1 },
    Advice { code: "310000", says: "白名单", english: ADDRESS.0, chinese: ADDRESS.1 },
    Advice { code: "310000", says: "whitelist", english: ADDRESS.0, chinese: ADDRESS.1 },
    Advice {
        code: "300005",
        says: "",
        english: "The robot does not exist any more, or the token is wrong: copy the value of access_token in its webhook address into `access_token`.",
        chinese: "机器人已不存在，或 token 不对：请把 webhook 地址中 access_token 的值填入 `access_token`。",
    },
    Advice {
        code: "300001",
        says: "",
        english: "The robot does not exist any more, or the token is wrong: copy the value of access_token in its webhook address into `access_token`.",
        chinese: "机器人已不存在，或 token 不对：请把 webhook 地址中 access_token 的值填入 `access_token`。",
    },
    Advice {
        code: "400101",
        says: "",
        english: "The robot does not exist any more, or the token is wrong: copy the value of access_token in its webhook address into `access_token`.",
        chinese: "机器人已不存在，或 token 不对：请把 webhook 地址中 access_token 的值填入 `access_token`。",
    },
    Advice {
        code: "400102",
        says: "",
        english: "The robot is stopped: turn it on in the group's settings.",
        chinese: "机器人已停用：请在群设置中启用。",
    },
    Advice {
        code: "400106",
        says: "",
        english: "The robot is not in the group any more: add a robot to the group and use its token.",
        chinese: "机器人已不在群内：请重新在群里添加机器人，并使用新的 token。",
    },
    Advice {
        code: "400013",
        says: "",
        english: "The group was dissolved: add a robot to another group and use its token.",
        chinese: "群已解散：请在其他群添加机器人，并使用新的 token。",
    },
    Advice {
        code: "88",
        says: "",
        english: "The token is missing or refused: copy the value of access_token in the robot's webhook address.",
        chinese: "token 缺失或被拒绝：请重新复制机器人 webhook 地址中 access_token 的值。",
    },
    Advice {
        code: "404",
        says: "",
        english: "There is no such address: leave `endpoint` away, or correct it.",
        chinese: "地址不存在：请删除或更正 `endpoint`。",
    },
    Advice {
        code: "130101",
        says: "",
        english: "The robot has sent more than 20 messages within a minute and may rest for ten minutes: spread them over several robots.",
        chinese: "机器人一分钟内发送超过 20 条，可能被限流十分钟：请分摊到多个机器人。",
    },
    Advice {
        code: "410100",
        says: "",
        english: "The robot has sent too many messages and may rest for ten minutes: spread them over several robots.",
        chinese: "机器人发送过于频繁，可能被限流十分钟：请分摊到多个机器人。",
    },
    Advice {
        code: "90030",
        says: "",
        english: "The quota of your organisation's robots is used up: wait, or ask DingTalk for more.",
        chinese: "贵组织的机器人调用额度已用完：请等待恢复，或向钉钉申请提升额度。",
    },
];

const ENDPOINT: &str = "https://oapi.dingtalk.com/robot/send";
/// How many bytes our own bodies may have; the rest of the limit is a reserve.
const BODY_BYTES_BUDGET: usize = 18_000;
/// How long a robot is documented to stay limited after too many messages.
const LIMITED: Duration = Duration::from_secs(600);
/// How long to wait when the tenant's quota is used up.
const QUOTA: Duration = Duration::from_secs(3600);
/// The shortest wait the firewall gets.
const FIREWALL_MIN: Duration = Duration::from_secs(60);

const DIALECT: Dialect =
    Dialect { line_end: "  \n", links: true, images: true, quiet: fit::quiet_prose };
const CARD_DIALECT: Dialect = Dialect { links: false, ..DIALECT };

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct DingTalk {
    access_token: Secret,
    sign_key: Option<Secret>,
    endpoint: Option<Secret>,
    keyword: Option<String>,
    #[serde(default)]
    message_uuid: bool,
}

/// Makes a robot from settings.
pub(crate) fn build(settings: Json) -> Result<Box<dyn HttpChannel>, Vec<Problem>> {
    Ok(Box::new(settings::parse::<DingTalk>(settings)?))
}

/// The settings that stand in an Apprise address.
fn from_apprise(address: &Address) -> Result<Map<String, Json>, Unfit> {
    address.only(&["token", "secret", "to"])?;
    address.no_server()?;
    let people =
        "names people to mention; list them under [people] and in the receiver's `mention`";
    address.no_target(0, people)?;
    apprise::settings([
        ("access_token", Some(address.host_or("token", "token")?)),
        ("sign_key", address.option("secret").or(address.user.clone())),
    ])
}

impl HttpChannel for DingTalk {
    fn request(&self, out: &Outgoing<'_>, at: Timestamp) -> Result<HttpRequest, Refused> {
        let body = match out.native(&SPEC)? {
            Some(native) => native.clone(),
            None => self.body(out),
        };
        HttpRequest::post_json(self.signed_url(at), &body)
    }

    fn classify(&self, answer: &HttpResponse, at: Timestamp) -> Outcome {
        match answer.json::<Answer>() {
            // A success has to be one for HTTP too.
            Some(Answer { errcode: Some(0), .. }) if answer.status != 200 => {
                answer.outcome_by_status(at)
            }
            Some(Answer { errcode: Some(code), errmsg, wait, .. }) => {
                outcome(code, &errmsg, wait, at)
            }
            Some(Answer { status: Some(status), wait, punish: Some(punish), .. }) => {
                let reason = Reason::new(status, format!("firewall: {punish}"));
                Outcome::Throttled { until: at + firewall_wait(wait), reason }
            }
            Some(_) | None => answer.outcome_by_status(at),
        }
    }

    fn follow_up(
        &self,
        out: &Outgoing<'_>,
        at: Timestamp,
        answers: &[HttpResponse],
    ) -> Option<HttpRequest> {
        out.unsaid(&SPEC).filter(|_| answers.is_empty())?;
        let text = self.text(Story::of(out).in_short(), &Called::NOBODY);
        HttpRequest::post_json(self.signed_url(at), &text).ok()
    }
}

impl DingTalk {
    fn signed_url(&self, at: Timestamp) -> Secret {
        let endpoint = self.endpoint.as_ref().map_or(ENDPOINT, Secret::expose).trim();
        let joint = if endpoint.contains('?') { '&' } else { '?' };
        let token = sign::percent(self.access_token.expose());
        let mut url = format!("{endpoint}{joint}access_token={token}");
        if let Some(key) = &self.sign_key {
            url = url + "&" + &sign::dingtalk_query(key.expose(), at.unix_ms());
        }
        Secret::new(url)
    }

    fn body(&self, out: &Outgoing<'_>) -> Json {
        let called = Called::of(out.mentions);
        let story = Story::of(out).with_unsent(out, 0);
        let mut body = if out.plain {
            self.text(story, &called)
        } else {
            let story = story.fit(|story| length(&self.rich(story, &called)) <= BODY_BYTES_BUDGET);
            self.rich(&story, &called)
        };
        if let Some(parts) = body.as_object_mut() {
            if !called.nobody() {
                parts.insert("at".to_owned(), at_object(&called));
            }
            if self.message_uuid {
                parts.insert("msgUuid".to_owned(), json!(out.key()));
            }
        }
        body
    }

    fn text(&self, story: Story, called: &Called<'_>) -> Json {
        let text = self.keyed(&story.plain(fit::quiet, |_| true));
        json!({ "msgtype": "text", "text": { "content": with_mentions(text, called) } })
    }

    fn rich(&self, story: &Story, called: &Called<'_>) -> Json {
        let title = self.keyed(&fit::quiet(&story.headline()));
        let buttons = buttons(story);
        if buttons.is_empty() || !called.nobody() {
            let text = with_mentions(self.keyed_markdown(story, &DIALECT), called);
            return json!({ "msgtype": "markdown", "markdown": { "title": title, "text": text } });
        }
        let text = self.keyed_markdown(story, &CARD_DIALECT);
        let mut card = json!({ "title": title, "text": text, "btnOrientation": "0" });
        let buttons = match buttons.as_slice() {
            [(text, url)] => json!({ "singleTitle": text, "singleURL": url }),
            several => {
                let button = |(text, url): &_| json!({ "title": text, "actionURL": url });
                json!({ "btns": several.iter().map(button).collect::<Vec<_>>() })
            }
        };
        if let (Some(card), Json::Object(buttons)) = (card.as_object_mut(), buttons) {
            card.extend(buttons);
        }
        json!({ "msgtype": "actionCard", "actionCard": card })
    }

    /// Puts the keyword in front, or the robot refuses the message.
    fn keyed(&self, text: &str) -> String {
        self.keyword.as_ref().map_or(text.to_owned(), |keyword| format!("{keyword} {text}"))
    }

    fn keyed_markdown(&self, story: &Story, dialect: &Dialect) -> String {
        let text = story.markdown(dialect);
        match (&self.keyword, text.strip_prefix("### ")) {
            (Some(keyword), Some(rest)) => format!("### {keyword} {rest}"),
            _ => text,
        }
    }
}

/// What the buttons of a card say and where they lead: what is asked of the reader comes first.
fn buttons(story: &Story) -> Vec<(&str, &str)> {
    let ack = match &story.ack {
        Some(Ack::Link(url)) => Some((story.words.acknowledge, url.expose())),
        Some(Ack::Command(_)) | None => None,
    };
    let links = story.links.iter().map(|link| (link.text.as_str(), link.url.as_str()));
    ack.into_iter().chain(links).collect()
}

fn length(body: &Json) -> usize {
    // What the mentions and the id add is far below the reserve.
    body.to_string().len()
}

fn at_object(called: &Called<'_>) -> Json {
    json!({ "atMobiles": called.mobiles, "atUserIds": called.users, "isAtAll": called.all })
}

fn with_mentions(text: String, called: &Called<'_>) -> String {
    let everybody = called.all.then_some("all");
    let names = everybody.iter().chain(&called.mobiles).chain(&called.users);
    let names: Vec<String> = names.map(|name| format!("@{name}")).collect();
    if names.is_empty() { text } else { format!("{text}\n\n{}", names.join(" ")) }
}

#[derive(Deserialize)]
struct Answer {
    errcode: Option<i64>,
    #[serde(default)]
    errmsg: String,
    /// These three come from the firewall in front of the service.
    status: Option<i64>,
    wait: Option<u64>,
    punish: Option<String>,
}

fn outcome(code: i64, text: &str, wait: Option<u64>, at: Timestamp) -> Outcome {
    let reason = Reason::new(code, text);
    match code {
        0 => Outcome::Accepted(reason),
        130_101 | 410_100 => {
            Outcome::Throttled { until: at + LIMITED.max(firewall_wait(wait)), reason }
        }
        90_030 => Outcome::Throttled { until: at + QUOTA, reason },
        310_000 => security(text, reason),
        400_105 | 430_101..=430_104 | 460_101 | 40_035 | 43_002 | 43_004 => {
            Outcome::Rejected { blame: Blame::Message, reason }
        }
        400_013 | 400_101 | 400_102 | 400_106 | 300_001 | 300_005 | 88 | 404 => {
            Outcome::Rejected { blame: Blame::Endpoint, reason }
        }
        // Busy (-1), and codes we do not know: worth another try, which the attempt limit ends.
        _ => Outcome::Transient(reason),
    }
}

/// One code for four security settings; the text, in English or Chinese, tells which.
fn security(text: &str, reason: Reason) -> Outcome {
    // Behind the description stands what to do, which names other settings too.
    let text = text.to_lowercase();
    let (description, _) = text.split_once(";solution").unwrap_or((&text, ""));
    let says = |words: &[&str]| words.iter().any(|word| description.contains(word));
    if says(&["timestamp", "时间戳", "过期"]) {
        // The next attempt signs anew.
        Outcome::Transient(reason)
    } else if says(&["keyword", "关键词"]) {
        Outcome::Rejected { blame: Blame::Message, reason }
    } else {
        Outcome::Rejected { blame: Blame::Endpoint, reason }
    }
}

fn firewall_wait(wait: Option<u64>) -> Duration {
    Duration::from_secs(wait.unwrap_or(0)).clamp(FIREWALL_MIN, QUOTA)
}
