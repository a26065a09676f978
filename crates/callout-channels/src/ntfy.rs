//! ntfy, on ntfy.sh or a server of one's own.
//!
//! The message goes as JSON to the root of the server; posted to the topic, it would be shown as it
//! stands. The topic is a credential: on an open server, whoever knows it reads along and writes. The level
//! is a priority and an emoji, so the title says it in a word alone.
//!
//! The first of three buttons acknowledges straight from the telephone: the app posts what the form of
//! the acknowledge page posts, as "ntfy", for it knows no names, and follows the page's redirect. The apps
//! show success only for a status that is one, and the page has one only where the alert is not open any
//! more. A browser calls that another site's request and the page refuses it, so in ntfy's web app the way
//! is to open the message, which leads to the page.
//!
//! A daily limit makes the channel wait for an hour, so that another one takes the message and nothing is
//! lost if there is none. What goes out as a native body could name addresses and telephone numbers to
//! send to, which only the configuration may do, so there are none.
//!
//! Unverified, and therefore not relied on: updates by `sequence_id`, because servers before 2.16 silently
//! show a second message; how large a body old servers take beyond the 4096 bytes of its text; whether a
//! client shows Markdown or the text as it stands.

use crate::apprise::{Address, Apprise, Unfit};
use crate::channel::{HttpChannel, HttpRequest, HttpResponse, Outgoing, Refused};
use crate::render::{Ack, Dialect, Story};
use crate::spec::{Advice, Field, Problem, Spec, Value};
use crate::{apprise, fit, settings};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use callout_core::level::Level;
use callout_core::message::Link;
use callout_core::outcome::{Blame, Outcome, Reason};
use callout_core::secret::Secret;
use callout_core::time::Timestamp;
use serde::Deserialize;
use serde_json::{Map, Value as Json, json};
use std::time::Duration;

pub(crate) static SPEC: Spec = Spec {
    kind: "ntfy",
    title: "ntfy",
    fields: &[
        Field {
            name: "topic",
            value: Value::Secret,
            required: true,
            doc: "The topic. On an open server such as ntfy.sh whoever knows it can read it, so choose one that cannot be guessed.",
        },
        Field {
            name: "endpoint",
            value: Value::Url,
            required: false,
            doc: "The server's root, without the topic. Default: https://ntfy.sh/.",
        },
        Field {
            name: "token",
            value: Value::Secret,
            required: false,
            doc: "An access token, which begins with tk_. Default: none.",
        },
        Field {
            name: "user",
            value: Value::Text,
            required: false,
            doc: "A user's name, with password, instead of a token. Default: none.",
        },
        Field {
            name: "password",
            value: Value::Secret,
            required: false,
            doc: "The user's password. Default: none.",
        },
    ],
    rate: "60/5m",
    types: &["json"],
    native: false,
    body_bytes_max: BODY_BYTES_MAX,
    mentions: "nobody",
    idempotency: "none",
    ack: "button, which acknowledges at once",
    costly: false,
    rings: false,
    edit: false,
    thread: false,
    callback: None,
    advice: ADVICE,
    apprise: &[
        Apprise { scheme: "ntfy", settings: from_apprise },
        Apprise { scheme: "ntfys", settings: from_apprise },
    ],
};

static ADVICE: &[Advice] = &[
    Advice {
        code: "40101",
        says: "",
        english: "The server does not know the token, or the user with this password; make a new token in the account's settings and put it into `token`.",
        chinese: "服务器不认识该令牌，或用户名与密码不匹配；请在账户设置中新建访问令牌并填入 `token`。",
    },
    Advice {
        code: "40301",
        says: "",
        english: "The topic is protected, and this user may not write to it; grant write access with `ntfy access`, or set `token`.",
        chinese: "该主题受保护，当前用户没有写入权限；请用 `ntfy access` 授予写权限，或配置 `token`。",
    },
    Advice {
        code: "40009",
        says: "",
        english: "This is no name for a topic: at most 64 letters, digits, `-` and `_`.",
        chinese: "主题名不合法：最多 64 个字母、数字、`-` 或 `_`。",
    },
    Advice {
        code: "40010",
        says: "",
        english: "The server keeps this name for itself; choose another topic.",
        chinese: "该主题名被服务器保留；请换一个主题。",
    },
    Advice {
        code: "42908",
        says: "",
        english: "The messages of this day are used up; use an account with a higher limit, or a server of your own.",
        chinese: "当天的消息额度已用完；请使用额度更高的账户，或自建服务器。",
    },
    Advice {
        code: "42909",
        says: "",
        english: "Too many wrong logins came from this address; mend the token or the password and wait a few minutes.",
        chinese: "来自本机地址的登录失败次数过多；请更正令牌或密码，并等待几分钟。",
    },
    Advice {
        code: "42901",
        says: "",
        english: "The server's limit for this address is reached; set a lower `rate`, or raise visitor-request-limit on your own server.",
        chinese: "已达到服务器对本机地址的请求上限；请调低 `rate`，自建服务器可调高 visitor-request-limit。",
    },
    Advice {
        code: "404",
        says: "",
        english: "No ntfy server answers there; `endpoint` has to be the server's root, without the topic.",
        chinese: "该地址上没有 ntfy 服务；`endpoint` 必须是服务器的根地址，不含主题。",
    },
];

const ENDPOINT: &str = "https://ntfy.sh/";
/// The most bytes of text; a longer one would become a file.
const TEXT_BYTES_MAX: usize = 4096;
/// The most bytes of a request.
const BODY_BYTES_MAX: usize = 16 * 1024;
/// The most buttons.
const ACTIONS_MAX: usize = 3;
/// The most characters of a topic.
const TOPIC_CHARS_MAX: usize = 64;
/// How long to wait when the limit of a day is used up.
const QUOTA: Duration = Duration::from_secs(3600);

const DIALECT: Dialect =
    Dialect { line_end: "  \n", links: true, images: true, quiet: fit::quiet_prose };

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Ntfy {
    topic: Secret,
    endpoint: Option<Secret>,
    token: Option<Secret>,
    user: Option<String>,
    password: Option<Secret>,
}

/// Makes a channel from settings.
pub(crate) fn build(settings: Json) -> Result<Box<dyn HttpChannel>, Vec<Problem>> {
    let ntfy: Ntfy = settings::parse(settings)?;
    let mut problems = Vec::new();
    let mut wrong = |field, text| problems.push(settings::problem(field, text));
    let legal = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_');
    let topic = ntfy.topic.expose();
    if topic.len() > TOPIC_CHARS_MAX || !topic.chars().all(legal) {
        wrong("topic", "has to be at most 64 letters, digits, - and _; it is no address");
    }
    if ntfy.token.as_ref().is_some_and(|token| !token.expose().starts_with("tk_")) {
        wrong("token", "has to begin with tk_");
    }
    match (&ntfy.token, &ntfy.user, &ntfy.password) {
        (Some(_), Some(_), _) => wrong("user", "does not go together with token"),
        (Some(_), None, Some(_)) => wrong("password", "does not go together with token"),
        (None, Some(_), None) => wrong("user", "needs password beside it"),
        (None, None, Some(_)) => wrong("password", "needs user beside it"),
        (_, None, None) | (None, Some(_), Some(_)) => {}
    }
    // A colon divides the name from the password.
    if ntfy.user.as_ref().is_some_and(|user| user.contains(|c: char| c == ':' || c.is_control())) {
        wrong("user", "may not contain a colon or a line break");
    }
    if problems.is_empty() { Ok(Box::new(ntfy)) } else { Err(problems) }
}

/// The settings that stand in an Apprise address. The host is a topic of ntfy.sh if nothing else could be.
fn from_apprise(address: &Address) -> Result<Map<String, Json>, Unfit> {
    address.only(&["auth", "mode", "to", "token"])?;
    let target = address.target(0)?;
    let ours = address.host.eq_ignore_ascii_case("ntfy.sh");
    let private = match address.option("mode").as_deref() {
        Some("private") => true,
        Some("cloud") => false,
        Some(_) => return Err("has a `mode` that is neither private nor cloud".into()),
        None => target.is_some() && !ours,
    };
    let (topic, endpoint) = match (private, target) {
        (true, Some(topic)) => (topic, Some(address.server()? + "/")),
        (false, Some(topic)) if ours => (topic, None),
        (false, None) if !ours => (address.host_or("", "topic")?, None),
        (_, None) => return Err("has no topic".into()),
        (false, Some(_)) => return Err("names several topics; write a channel for each".into()),
    };
    if endpoint.is_none() && address.port.is_some() {
        return Err("has a port, but no server of its own".into());
    }
    let user = address.user.clone();
    let is_token = user.as_ref().is_some_and(|user| user.starts_with("tk_"));
    let (token, user, password) = match (address.option("auth").as_deref(), &address.password) {
        _ if address.option("token").is_some() => (address.option("token"), None, None),
        (Some("token"), Some(password)) => (Some(password.clone()), None, None),
        (Some("token"), None) => (user, None, None),
        (Some("basic"), password) => (None, user, password.clone()),
        (Some(_), _) => return Err("has an `auth` that is neither token nor basic".into()),
        (None, None) if is_token => (user, None, None),
        (None, password) => (None, user, password.clone()),
    };
    apprise::settings([
        ("topic", Some(topic)),
        ("endpoint", endpoint),
        ("token", token),
        ("user", user),
        ("password", password),
    ])
}

impl HttpChannel for Ntfy {
    fn request(&self, out: &Outgoing<'_>, _at: Timestamp) -> Result<HttpRequest, Refused> {
        let story = Story::of(out).with_unsent(out, 0);
        let body = if out.plain { self.plain(story) } else { self.rich(story) };
        let url = self.endpoint.as_ref().map_or(ENDPOINT, Secret::expose).trim();
        let request = HttpRequest::post_json(Secret::new(url), &body)?;
        Ok(match self.authorization() {
            Some(value) => request.with_header("authorization", value),
            None => request,
        })
    }

    fn classify(&self, answer: &HttpResponse, at: Timestamp) -> Outcome {
        match answer.json::<Answer>() {
            Some(Answer { id: Some(id), event: Some(event), .. })
                if answer.status == 200 && event == "message" && !id.is_empty() =>
            {
                Outcome::Accepted(Reason::new(200, format!("message {id}")))
            }
            Some(Answer { code: Some(code), error, .. }) if answer.status != 200 => {
                refusal(code, &error, answer, at)
            }
            Some(_) | None => answer.outcome_by_status(at),
        }
    }
}

impl Ntfy {
    fn authorization(&self) -> Option<Secret> {
        match (&self.token, &self.user, &self.password) {
            (Some(token), _, _) => Some(Secret::new(format!("Bearer {}", token.expose()))),
            (None, Some(user), Some(password)) => {
                let pair = STANDARD.encode(format!("{user}:{}", password.expose()));
                Some(Secret::new(format!("Basic {pair}")))
            }
            _ => None,
        }
    }

    fn plain(&self, story: Story) -> Json {
        let priority = priority(story.level);
        let text = story.plain(fit::quiet_names, |text| text.len() <= TEXT_BYTES_MAX);
        json!({ "topic": self.topic.expose(), "message": text, "priority": priority })
    }

    fn rich(&self, story: Story) -> Json {
        let story = story.fit(|story| {
            text(story).len() <= TEXT_BYTES_MAX
                && self.body(story).to_string().len() <= BODY_BYTES_MAX
        });
        self.body(&story)
    }

    fn body(&self, story: &Story) -> Json {
        let words = story.words;
        let title = format!("{}{}{}", words.level(story.level), words.colon, story.title);
        let mut body = json!({
            "topic": self.topic.expose(),
            "title": title,
            "message": text(story),
            "markdown": true,
            "priority": priority(story.level),
            "tags": [tag(story.level)],
        });
        let actions = actions(story);
        if let (Some(parts), Some(first)) = (body.as_object_mut(), actions.first()) {
            // What opens on a tap: the page, or where the first link leads.
            parts.insert("click".to_owned(), first.get("url").cloned().unwrap_or_default());
            parts.insert("actions".to_owned(), Json::Array(actions));
        }
        body
    }
}

/// The text below the title: what has become a button is not in it, the links left over are.
fn text(story: &Story) -> String {
    let mut story = story.clone();
    let buttons = links(&story).len();
    story.links.drain(..buttons);
    if matches!(story.ack, Some(Ack::Link(_))) {
        story.ack = None;
    }
    // The headline is the title.
    let text = story.markdown(&DIALECT);
    text.split_once("\n\n").map_or(String::new(), |(_, rest)| rest.to_owned())
}

/// The links that become buttons.
fn links(story: &Story) -> &[Link] {
    let taken = usize::from(matches!(story.ack, Some(Ack::Link(_))));
    let room = story.links.len().min(ACTIONS_MAX - taken);
    story.links.get(..room).unwrap_or_default()
}

fn actions(story: &Story) -> Vec<Json> {
    let ack = match &story.ack {
        // What the form of the page sends.
        Some(Ack::Link(url)) => Some(json!({
            "action": "http", "label": story.words.acknowledge, "url": url.expose(),
            "method": "POST",
            "headers": { "content-type": "application/x-www-form-urlencoded" },
            "body": "action=ack&name=ntfy",
            "clear": true,
        })),
        Some(Ack::Command(_)) | None => None,
    };
    let view = |link: &Link| {
        // A button without a word on it is refused.
        let label = if link.text.is_empty() { &link.url } else { &link.text };
        json!({ "action": "view", "label": label, "url": link.url })
    };
    ack.into_iter().chain(links(story).iter().map(view)).collect()
}

/// From 1, which makes no sound, to 5, which keeps ringing.
fn priority(level: Level) -> u8 {
    match level {
        Level::Info => 2,
        Level::Warning => 3,
        Level::Error => 4,
        Level::Critical => 5,
    }
}

/// The name of an emoji, which is shown in front of the title.
fn tag(level: Level) -> &'static str {
    match level {
        Level::Info => "information_source",
        Level::Warning => "warning",
        Level::Error => "red_circle",
        Level::Critical => "rotating_light",
    }
}

#[derive(Deserialize)]
struct Answer {
    id: Option<String>,
    event: Option<String>,
    code: Option<u32>,
    #[serde(default)]
    error: String,
}

/// The first three digits of a code are the status that goes with it.
fn refusal(code: u32, text: &str, answer: &HttpResponse, at: Timestamp) -> Outcome {
    let reason = Reason::new(code, text);
    match code {
        // E-mail, bandwidth, messages and calls of one day.
        42_902 | 42_905 | 42_908 | 42_910 => Outcome::Throttled { until: at + QUOTA, reason },
        42_900..=42_999 => Outcome::Throttled { until: answer.retry_at(at), reason },
        // The topic comes from the configuration.
        40_009 | 40_010 => Outcome::Rejected { blame: Blame::Endpoint, reason },
        40_000..=40_099 | 41_300..=41_399 => Outcome::Rejected { blame: Blame::Message, reason },
        40_100..=40_199 | 40_300..=40_399 | 40_400..=40_499 => {
            Outcome::Rejected { blame: Blame::Endpoint, reason }
        }
        // A fault of the server (500xx), and codes we do not know: worth another try, which the attempt
        // limit ends.
        _ => Outcome::Transient(reason),
    }
}
