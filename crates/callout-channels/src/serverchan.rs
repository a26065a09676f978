//! ServerChan (Server 酱), push messages to WeChat or to its own app.
//!
//! The key tells the address: `SCT…` is one for everybody, `sctp<number>t…` has a host of its own. The
//! answer may be a failure inside HTTP 200; only `code` 0 is a success, and that is one of the service, not
//! of the telephone. There are no buttons, so the way to acknowledge is a link in the Markdown.
//!
//! Unverified: how long a title and a text may be. The title is kept to 32 characters and stands once more,
//! whole, at the head of the text. What the codes mean and the quota of each plan are unverified too: a code
//! other than 0 is worth another try, which the attempt limit ends.

use crate::apprise::{Address, Apprise, Unfit};
use crate::channel::{HttpChannel, HttpRequest, HttpResponse, Outgoing, Refused};
use crate::render::{Dialect, Story};
use crate::spec::{Advice, Field, Problem, Spec, Value};
use crate::{apprise, fit, settings};
use callout_core::outcome::{Outcome, Reason};
use callout_core::secret::Secret;
use callout_core::time::Timestamp;
use serde::Deserialize;
use serde_json::{Map, Value as Json, json};

pub(crate) static SPEC: Spec = Spec {
    kind: "serverchan",
    title: "ServerChan (Server酱)",
    fields: &[
        Field {
            name: "key",
            value: Value::Secret,
            required: true,
            doc: "The SendKey, which begins with SCT, or with sctp and a number.",
        },
        Field {
            name: "endpoint",
            value: Value::Url,
            required: false,
            doc: "What stands in front of <key>.send. Default: https://sctapi.ftqq.com/ or https://<number>.push.ft07.com/send/, as the key says.",
        },
    ],
    rate: "none",
    types: &["markdown"],
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
    apprise: &[Apprise { scheme: "schan", settings: from_apprise }],
};

static ADVICE: &[Advice] = &[
    // Before the key: both are said with the same code, and perhaps with the same first word.
    Advice {
        code: "",
        says: "超过",
        english: "The messages of this day are used up; wait for the next day, or choose a larger plan.",
        chinese: "当天的发送额度已用完；请等到次日，或升级套餐。",
    },
    Advice {
        code: "",
        says: "[auth]",
        english: "The service does not know the key; copy the SendKey from sct.ftqq.com (or, for sctp keys, from the app) into `key`.",
        chinese: "服务不认识该 SendKey；请从 sct.ftqq.com（sctp 开头的从 App）重新复制到 `key`。",
    },
    Advice {
        code: "404",
        says: "",
        english: "Nothing answers at this address; check `endpoint`, and whether the key is whole.",
        chinese: "该地址没有服务；请检查 `endpoint`，以及 SendKey 是否完整。",
    },
];

/// The most bytes of a request.
const BODY_BYTES_MAX: usize = 32 * 1024;
/// What of these our parts may take.
const BODY_BYTES_BUDGET: usize = 30_000;
/// The most UTF-16 units of a title.
const TITLE_UNITS_MAX: usize = 32;

const DIALECT: Dialect =
    Dialect { line_end: "  \n", links: true, images: true, quiet: fit::quiet_prose };

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Settings {
    key: Secret,
    endpoint: Option<Secret>,
}

#[derive(Debug)]
struct ServerChan {
    /// Key and all.
    url: Secret,
}

/// Makes a channel from settings.
pub(crate) fn build(settings: Json) -> Result<Box<dyn HttpChannel>, Vec<Problem>> {
    let Settings { key, endpoint } = settings::parse(settings)?;
    let Some(usual) = address(key.expose()) else {
        let text = "has to begin with SCT, or with sctp, a number and t; it is the key alone";
        return Err(vec![settings::problem("key", text)]);
    };
    let base = endpoint.as_ref().map_or(usual.as_str(), Secret::expose).trim();
    let url = format!("{}/{}.send", base.trim_end_matches('/'), key.expose());
    Ok(Box::new(ServerChan { url: Secret::new(url) }))
}

/// The settings that stand in an Apprise address.
fn from_apprise(address: &Address) -> Result<Map<String, Json>, Unfit> {
    address.only(&[])?;
    address.no_server()?;
    address.no_user()?;
    address.no_target(0, "says more than the key, which Callout does not honour")?;
    apprise::settings([("key", Some(address.host_or("", "key")?))])
}

/// Where messages for `key` go, or `None` if it is no key.
fn address(key: &str) -> Option<String> {
    if !key.chars().all(|c| c.is_ascii_alphanumeric()) {
        return None;
    }
    let Some(rest) = key.strip_prefix("sctp") else {
        return key.starts_with("SCT").then(|| "https://sctapi.ftqq.com/".to_owned());
    };
    let (number, _) = rest.split_once('t')?;
    let is_number = !number.is_empty() && number.bytes().all(|b| b.is_ascii_digit());
    is_number.then(|| format!("https://{number}.push.ft07.com/send/"))
}

impl HttpChannel for ServerChan {
    fn request(&self, out: &Outgoing<'_>, _at: Timestamp) -> Result<HttpRequest, Refused> {
        let story = Story::of(out).with_unsent(out, 0);
        let title = fit::utf16(&story.headline(), TITLE_UNITS_MAX);
        let body = |text: String| json!({ "title": title, "desp": text });
        let body = if out.plain {
            body(story.plain(fit::quiet, |_| true))
        } else {
            let rich = |story: &Story| body(story.markdown(&DIALECT));
            rich(&story.fit(|story| rich(story).to_string().len() <= BODY_BYTES_BUDGET))
        };
        HttpRequest::post_json(self.url.clone(), &body)
    }

    fn classify(&self, answer: &HttpResponse, at: Timestamp) -> Outcome {
        match answer.json::<Answer>() {
            Some(Answer { code: Some(code), message }) if answer.status == 200 => {
                let reason = Reason::new(code, message);
                // Which failures are for good is not documented.
                if code == 0 { Outcome::Accepted(reason) } else { Outcome::Transient(reason) }
            }
            Some(_) | None => answer.outcome_by_status(at),
        }
    }
}

#[derive(Deserialize)]
struct Answer {
    code: Option<i64>,
    #[serde(default)]
    message: String,
}
