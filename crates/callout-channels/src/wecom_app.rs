//! WeCom application: messages to people by user id, cards with a button.
//!
//! The application logs in with its secret and is given a token, which goes into the query of every
//! call. HTTP 200 says nothing; `errcode` does, and even with `errcode` 0 a name in `invaliduser` means
//! that somebody was not told, which counts as a failure: the next channel shall be tried.
//!
//! A message is Markdown. One that has to be acknowledged at an address is a template card, whose lines
//! are short and folded by the client: [`card`]. With `callback_token` and `callback_key` the card has a
//! button that acknowledges by itself, and is changed when somebody has: [`callback`].
//!
//! The service drops a body that it has just delivered (`enable_duplicate_check`), so a body holds
//! nothing of the attempt, and something of the telling: the task id of a card, a number behind Markdown
//! and text. A native body is not ours to vary and goes without that check.
//!
//! Unverified, from memory of the vendor's documentation: the fields of a `button_interaction` card, the
//! alphabet and the 128 bytes of `task_id`, which no two messages of one application may share, and the
//! 1024 bytes of a button's key; uploading by `media/upload`; the most bytes of a whole card; that WeChat
//! shows neither Markdown nor cards to those who read WeCom there.
//!
//! Who is told more than 30 times a minute by all applications together gets nothing of the rest, and the
//! answer does not say so; hence the low `rate`.

mod advice;
mod callback;
mod card;
mod gettoken;
mod xml;

use crate::callback::Callback;
use crate::channel::{HttpChannel, HttpRequest, HttpResponse, Outgoing, Refused, filled};
use crate::login::Login;
use crate::render::{Ack, Story};
use crate::spec::{Field, Problem, Spec, Value};
use crate::wecom_parts::{
    MARKDOWN_BYTES_MAX, coloured, files, is_image, outcome, plain, story, upload,
};
use crate::{fit, settings};
use advice::ADVICE;
use callback::Listener;
use callout_core::outcome::{Blame, Outcome, Reason};
use callout_core::secret::Secret;
use callout_core::time::Timestamp;
use serde::Deserialize;
use serde_json::{Value as Json, json};
use sha2::{Digest, Sha256};

pub(crate) static SPEC: Spec = Spec {
    kind: "wecom_app",
    title: "WeCom (企业微信) application",
    fields: &[
        Field {
            name: "corp_id",
            value: Value::Text,
            required: true,
            doc: "The company's id, which usually begins with ww.",
        },
        Field {
            name: "corp_secret",
            value: Value::Secret,
            required: true,
            doc: "The application's secret.",
        },
        Field {
            name: "agent_id",
            value: Value::Number,
            required: true,
            doc: "The application's id (AgentId).",
        },
        Field {
            name: "to",
            value: Value::List,
            required: true,
            doc: "User ids of those who are told, at most 1000; or \"@all\" alone.",
        },
        Field {
            name: "endpoint",
            value: Value::Url,
            required: false,
            doc: "Where the calls begin. Default: https://qyapi.weixin.qq.com/cgi-bin/.",
        },
        Field {
            name: "callback_token",
            value: Value::Secret,
            required: false,
            doc: "The Token of the application's \"receive messages\" settings, whose address is <public_url>/v1/callbacks/wecom; together with callback_key it puts a button into the chat. Default: a link.",
        },
        Field {
            name: "callback_key",
            value: Value::Secret,
            required: false,
            doc: "The EncodingAESKey beside that Token, 43 characters.",
        },
    ],
    // What one person is told beyond 30 a minute, by all applications, is dropped without a word.
    rate: "20/min",
    types: &["template_card", "markdown", "text", "image", "file"],
    native: true,
    // An attachment is the largest thing that is sent.
    body_bytes_max: 512 * 1024,
    mentions: "none: it tells single people anyway",
    idempotency: "enable_duplicate_check, for 30 minutes",
    ack: "button in the chat, or a link button",
    costly: false,
    rings: false,
    edit: true,
    thread: false,
    callback: Some("wecom"),
    advice: ADVICE,
    apprise: &[],
};

const ENDPOINT: &str = "https://qyapi.weixin.qq.com/cgi-bin/";
/// Everybody who can see the application.
const EVERYBODY: &str = "@all";
/// The most people one message may be addressed to.
const TO_MAX: usize = 1000;
/// For how long, in seconds, the service drops a body that it has already delivered.
const DUPLICATE_SECONDS: u32 = 1800;
/// How much of the news fits the button that has been pressed, in UTF-16 units. Unverified.
const BUTTON_NEWS_UNITS_MAX: usize = 64;

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Settings {
    corp_id: String,
    corp_secret: Secret,
    agent_id: u64,
    #[serde(deserialize_with = "settings::list")]
    to: Vec<String>,
    endpoint: Option<Secret>,
    callback_token: Option<Secret>,
    callback_key: Option<Secret>,
}

#[derive(Debug)]
struct WeComApp {
    corp_id: String,
    corp_secret: Secret,
    agent_id: u64,
    to: Vec<String>,
    endpoint: Secret,
    listener: Option<Listener>,
}

/// Makes an application from settings.
pub(crate) fn build(settings: Json) -> Result<Box<dyn HttpChannel>, Vec<Problem>> {
    let given: Settings = settings::parse(settings)?;
    let to: Vec<String> = given.to.iter().map(|id| id.trim().to_owned()).collect();
    let corp_id = given.corp_id.trim().to_owned();
    let mut problems: Vec<Problem> = to_problem(&to).into_iter().collect();
    let endpoint = given.endpoint.unwrap_or_else(|| Secret::new(ENDPOINT));
    if endpoint.expose().contains('?') {
        problems.push(settings::problem("endpoint", "may not contain a '?' part"));
    }
    let listener = match (given.callback_token, given.callback_key) {
        (None, None) => None,
        (Some(token), Some(key)) => {
            Listener::new(token, key, &corp_id).map_err(|problem| problems.push(problem)).ok()
        }
        (Some(_), None) => {
            problems.push(settings::problem("callback_key", "is missing beside callback_token"));
            None
        }
        (None, Some(_)) => {
            problems.push(settings::problem("callback_token", "is missing beside callback_key"));
            None
        }
    };
    if !problems.is_empty() {
        return Err(problems);
    }
    let Settings { corp_secret, agent_id, .. } = given;
    Ok(Box::new(WeComApp { corp_id, corp_secret, agent_id, to, endpoint, listener }))
}

fn to_problem(to: &[String]) -> Option<Problem> {
    let wrong = |text: &str| Some(settings::problem("to", text));
    let torn = |c: char| c == '|' || c.is_whitespace() || c.is_control();
    if to.len() > TO_MAX {
        return wrong("holds more than 1000 user ids");
    }
    if to.len() > 1 && to.iter().any(|id| id == EVERYBODY) {
        return wrong("has to be \"@all\" alone, or user ids without it");
    }
    if to.iter().any(|id| id.contains(torn)) {
        return wrong("has to be a list of user ids, without '|' and white space");
    }
    None
}

impl HttpChannel for WeComApp {
    fn request(&self, out: &Outgoing<'_>, _at: Timestamp) -> Result<HttpRequest, Refused> {
        let body = match (out.native(&SPEC)?, out.plain) {
            (Some(native), _) => self.addressed(native)?,
            (None, true) => self.text(story(out), out),
            (None, false) => self.rich(story(out), out),
        };
        HttpRequest::post_json(self.url("message/send", ""), &body)
    }

    fn classify(&self, answer: &HttpResponse, at: Timestamp) -> Outcome {
        let Some(said) = answer.json::<Answer>() else { return answer.outcome_by_status(at) };
        let Some(code) = said.errcode else { return answer.outcome_by_status(at) };
        match (code, said.missed()) {
            // A success has to be one for HTTP too.
            (0, _) if answer.status != 200 => answer.outcome_by_status(at),
            (0, 0) => said.accepted(at),
            (0, missed) => {
                let text = format!("{missed} of the recipients could not be told");
                let reason = Reason::new("invaliduser", text);
                Outcome::Rejected { blame: Blame::Endpoint, reason }
            }
            (code, _) => outcome(code, &said.errmsg, at),
        }
    }

    fn follow_up(
        &self,
        out: &Outgoing<'_>,
        _at: Timestamp,
        answers: &[HttpResponse],
    ) -> Option<HttpRequest> {
        let mut answers = answers.iter();
        if out.unsaid(&SPEC).is_some() && answers.next().is_none() {
            return self.post(&self.text(story(out).in_short(), out));
        }
        for file in files(out) {
            let kind = if is_image(&file.bytes) { "image" } else { "file" };
            let Some(uploaded) = answers.next() else {
                let url = self.url("media/upload", &format!("?type={kind}"));
                return Some(upload(url, out, &file));
            };
            let media_id = uploaded.json::<Answer>().and_then(|answer| answer.media_id);
            if let Some(media_id) = media_id
                && answers.next().is_none()
            {
                return self.post(&self.message(kind, &json!({ "media_id": media_id })));
            }
        }
        None
    }

    fn edit(
        &self,
        out: &Outgoing<'_>,
        receipt: &str,
        news: &str,
        _at: Timestamp,
    ) -> Option<HttpRequest> {
        // Only a card with a button was accepted with anything else than the number 0.
        let code = Some(receipt.trim()).filter(|code| is_response_code(code))?;
        if out.message.native.contains_key(SPEC.kind) {
            return None;
        }
        let news = fit::utf16(&fit::quiet(&fit::line(news)), BUTTON_NEWS_UNITS_MAX);
        let all = self.to.iter().any(|id| id == EVERYBODY);
        let body = filled(json!({
            "atall": all.then_some(1),
            "userids": (!all).then_some(&self.to),
            "agentid": self.agent_id,
            "response_code": code,
            "button": { "replace_name": news },
        }));
        HttpRequest::post_json(self.url("message/update_template_card", ""), &body).ok()
    }

    fn login(&self) -> Option<&(dyn Login + Sync)> {
        Some(self)
    }

    fn callback(&self) -> Option<&dyn Callback> {
        self.listener.as_ref().map(|listener| listener as &dyn Callback)
    }
}

impl WeComApp {
    fn url(&self, call: &str, query: &str) -> Secret {
        let base = self.endpoint.expose().trim().trim_end_matches('/');
        Secret::new(format!("{base}/{call}{query}"))
    }

    fn post(&self, body: &Json) -> Option<HttpRequest> {
        HttpRequest::post_json(self.url("message/send", ""), body).ok()
    }

    fn message(&self, kind: &str, content: &Json) -> Json {
        json!({
            "touser": self.to.join("|"), "agentid": self.agent_id, "msgtype": kind, kind: content,
            "enable_duplicate_check": 1, "duplicate_check_interval": DUPLICATE_SECONDS,
        })
    }

    /// A native body with the address of the configuration, the only one that counts.
    fn addressed(&self, native: &Json) -> Result<Json, Refused> {
        let Json::Object(own) = native else {
            return Err(Refused(Reason::text("native.wecom_app is no object")));
        };
        let mut body = own.clone();
        body.remove("toparty");
        body.remove("totag");
        body.insert("touser".to_owned(), json!(self.to.join("|")));
        body.insert("agentid".to_owned(), json!(self.agent_id));
        Ok(Json::Object(body))
    }

    fn text(&self, story: Story, out: &Outgoing<'_>) -> Json {
        let mark = telling(out);
        let content = plain(story, mark.len()) + &mark;
        self.message("text", &json!({ "content": content }))
    }

    fn rich(&self, story: Story, out: &Outgoing<'_>) -> Json {
        if let Some(Ack::Link(url)) = story.ack.clone() {
            let ticket = out.ask.and_then(|ask| ask.ticket()).filter(|_| self.listener.is_some());
            let card = card::card(story, &url, ticket.as_ref(), &self.task(out));
            return self.message("template_card", &card);
        }
        let mark = telling(out);
        let fits = |story: &Story| coloured(story).len() + mark.len() <= MARKDOWN_BYTES_MAX;
        let content = coloured(&story.fit(fits)) + &mark;
        self.message("markdown", &json!({ "content": content }))
    }

    /// Names this telling to these people: no other card of the application may have the same name.
    fn task(&self, out: &Outgoing<'_>) -> String {
        let people = Sha256::digest(self.to.join("|"));
        let people: String = people.iter().take(4).map(|byte| format!("{byte:02x}")).collect();
        format!("{}-{people}", out.key())
    }
}

/// Tells repeated tellings of one alert apart, for the service drops a text that it has just delivered.
fn telling(out: &Outgoing<'_>) -> String {
    match out.ask {
        Some(ask) if ask.telling > 1 => format!(" · #{}", ask.telling),
        Some(_) | None => String::new(),
    }
}

#[derive(Deserialize)]
struct Answer {
    errcode: Option<i64>,
    #[serde(default)]
    errmsg: String,
    media_id: Option<String>,
    response_code: Option<String>,
    #[serde(default)]
    invaliduser: Json,
    #[serde(default)]
    invalidparty: Json,
    #[serde(default)]
    invalidtag: Json,
    #[serde(default)]
    unlicenseduser: Json,
}

impl Answer {
    /// How many of the recipients were not told.
    fn missed(&self) -> usize {
        let lists = [&self.invaliduser, &self.invalidparty, &self.invalidtag, &self.unlicenseduser];
        lists.into_iter().map(names).sum()
    }

    /// The code of the outcome is what finds the card again.
    fn accepted(&self, at: Timestamp) -> Outcome {
        let accepted = outcome(0, &self.errmsg, at);
        let detail = accepted.reason().detail.clone();
        match self.response_code.as_deref().filter(|code| is_response_code(code)) {
            Some(code) => accepted.with_reason(Reason::new(code, detail)),
            None => accepted,
        }
    }
}

/// How many names there are: the service writes `a|b` in one call and a list in another.
fn names(list: &Json) -> usize {
    match list {
        Json::String(text) => text.split('|').filter(|name| !name.trim().is_empty()).count(),
        Json::Array(list) => list.len(),
        Json::Null | Json::Bool(_) | Json::Number(_) | Json::Object(_) => 0,
    }
}

/// Whether this is one word, and no `errcode`.
fn is_response_code(code: &str) -> bool {
    !code.is_empty() && code.parse::<i64>().is_err() && code.chars().all(|c| c.is_ascii_graphic())
}
