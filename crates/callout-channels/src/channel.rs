//! What a channel is: pure functions from a message to bytes, and from an answer to an outcome.
//!
//! A channel file does no I/O, reads no clock, does not sleep, retry or log, and holds no mutable
//! state, so its fixtures need no server. Timeouts and connection errors never reach it:
//! [`crate::transport`] knows whether bytes had left and answers for itself.

use crate::callback::Callback;
use crate::login::Login;
use crate::spec::Spec;
use callout_core::alert::Regarding;
use callout_core::id::MessageId;
use callout_core::locale::Locale;
use callout_core::message::Message;
use callout_core::outcome::{Blame, Outcome, Reason};
use callout_core::secret::Secret;
use callout_core::time::Timestamp;
use jiff::tz::TimeZone;
use serde::Serialize;
use serde::de::DeserializeOwned;
use std::borrow::Cow;
use std::fmt;
use url::form_urlencoded;

/// How much of an answer is quoted where only its status counts.
const STATUS_TEXT_BYTES_MAX: usize = 200;

/// A message on its way to one channel.
#[derive(Clone, Copy, Debug)]
pub struct Outgoing<'a> {
    /// What to say.
    pub message: &'a Message,
    /// The message's id.
    pub id: MessageId,
    /// When it was enqueued.
    pub created_at: Timestamp,
    /// Whom to mention here.
    pub mentions: &'a Mentions,
    /// Short plain text only: the provider refused the rich form.
    pub plain: bool,
    /// What it asks of its reader, if somebody has to acknowledge it.
    pub ask: Option<&'a Ask>,
    /// The alert it brings news of; without receipts if this channel never told of it.
    pub about: Option<&'a Regarding>,
    /// The language of what is not the message's own.
    pub locale: Locale,
    /// Where its readers are.
    pub zone: &'a TimeZone,
}

/// What a message that somebody has to acknowledge asks of its reader.
///
/// No part of it is ever cut, so each is far shorter than any provider's limit: an address of about 600
/// bytes at most, a note of 300.
#[derive(Clone, Debug)]
pub struct Ask {
    /// Where to acknowledge. It is a credential: whoever has it may do so. `None`: only by command.
    pub url: Option<Secret>,
    /// What to type on the machine of the store, such as `callout ack 0192…`.
    pub command: String,
    /// Why the reader hears of it now, in one sentence, unless it is the first to hear.
    pub note: Option<String>,
    /// How often people have been told of this alert, this time included.
    pub telling: u32,
}

impl Ask {
    /// The end of the link: what acknowledges, whoever brings it.
    pub fn ticket(&self) -> Option<Secret> {
        let (_, ticket) = self.url.as_ref()?.expose().rsplit_once('/')?;
        Some(Secret::new(ticket))
    }

    /// Where the provider called `name` reports what its reader did, the ticket in the query.
    pub fn callback(&self, name: &str) -> Option<Secret> {
        let (base, ticket) = self.url.as_ref()?.expose().rsplit_once("/a/")?;
        Some(Secret::new(format!("{base}/v1/callbacks/{name}?ticket={ticket}")))
    }
}

impl Outgoing<'_> {
    /// What providers tell repeated requests by: the same on every try, another one each time people are
    /// told of an alert again.
    pub fn key(&self) -> String {
        match self.ask {
            // No full stop: it divides what a webhook's signature covers.
            Some(ask) if ask.telling > 1 => format!("{}-{}", self.id, ask.telling),
            Some(_) | None => self.id.to_string(),
        }
    }

    /// The title on one line, for channels that have no room for the body: news say behind it which alert
    /// they are about, unless the title does.
    pub(crate) fn headline(&self, colon: &str) -> String {
        let title = crate::fit::line(&self.message.title);
        let about = self.about.map(|about| crate::fit::line(&about.message.title));
        match about.filter(|about| !title.contains(about.as_str())) {
            Some(about) => format!("{title}{colon}{about}"),
            None => title,
        }
    }

    /// The title of news for a place where the alert's own title stands already.
    pub(crate) fn news(&self) -> &str {
        let title = self.message.title.as_str();
        let lead = self.about.and_then(|about| title.strip_suffix(about.message.title.as_str()));
        let lead = lead.map(|lead| lead.trim_end_matches([':', '：', ' ']));
        lead.filter(|lead| !lead.is_empty()).unwrap_or(title)
    }

    /// What it asks of its reader, if the message's own body goes out here and cannot say it.
    pub fn unsaid(&self, spec: &Spec) -> Option<&Ask> {
        self.ask
            .filter(|_| !self.plain && spec.native && self.message.native.contains_key(spec.kind))
    }

    /// The message's own body for channels of this kind, unless plain text is asked for.
    ///
    /// # Errors
    /// If it is larger than the provider takes; what we did not write, we cannot cut.
    pub fn native(&self, spec: &Spec) -> Result<Option<&serde_json::Value>, Refused> {
        let native = self.message.native.get(spec.kind).filter(|_| spec.native && !self.plain);
        match native.map(|body| body.to_string().len()).filter(|len| *len > spec.body_bytes_max) {
            Some(len) => Err(Refused(Reason::text(format!(
                "native.{} has {len} bytes; at most {} fit",
                spec.kind, spec.body_bytes_max
            )))),
            None => Ok(native),
        }
    }
}

/// Whom a message mentions on one channel.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Mentions {
    /// Everybody in the room.
    pub all: bool,
    /// Single people, by their ids at this provider.
    pub ids: Vec<String>,
}

/// Bytes for the wire. Prints without URL, header values and body, for these carry credentials.
#[derive(Clone)]
pub struct HttpRequest {
    /// Upper case, such as `POST`.
    pub method: &'static str,
    /// The whole address, which is a credential with most providers.
    pub url: Secret,
    /// Names in lower case.
    pub headers: Vec<(Cow<'static, str>, Secret)>,
    /// The body.
    pub body: Vec<u8>,
}

impl HttpRequest {
    /// A POST with a JSON body.
    ///
    /// # Errors
    /// If `body` cannot be written as JSON, which no channel's own types can.
    pub fn post_json(url: Secret, body: &impl Serialize) -> Result<Self, Refused> {
        let body =
            serde_json::to_vec(body).map_err(|e| Refused(Reason::text(format!("no JSON: {e}"))))?;
        let json = Secret::new("application/json; charset=utf-8");
        Ok(Self { method: "POST", url, headers: vec![(Cow::Borrowed("content-type"), json)], body })
    }
}

/// An object without those of its fields that are null.
pub(crate) fn filled(mut object: serde_json::Value) -> serde_json::Value {
    if let Some(table) = object.as_object_mut() {
        table.retain(|_, value| !value.is_null());
    }
    object
}

impl HttpRequest {
    /// A POST with a form as its body.
    pub fn post_form(url: Secret, fields: &[(&str, &str)]) -> Self {
        let body = form_urlencoded::Serializer::new(String::new()).extend_pairs(fields).finish();
        let form = Secret::new("application/x-www-form-urlencoded");
        let headers = vec![(Cow::Borrowed("content-type"), form)];
        Self { method: "POST", url, headers, body: body.into_bytes() }
    }

    /// The same request with one more header.
    #[must_use]
    pub fn with_header(mut self, name: &'static str, value: Secret) -> Self {
        self.headers.push((Cow::Borrowed(name), value));
        self
    }
}

impl fmt::Debug for HttpRequest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} *** ({} bytes)", self.method, self.body.len())
    }
}

/// A message this channel cannot say; becomes a rejection of the message without a request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Refused(pub Reason);

/// A whole answer: headers and a body within the size limit arrived.
#[derive(Clone, Debug, Default)]
pub struct HttpResponse {
    /// The status code.
    pub status: u16,
    /// The `Retry-After` header as sent.
    pub retry_after: Option<String>,
    /// The body.
    pub body: Vec<u8>,
}

impl HttpResponse {
    /// The body as JSON, or `None` if it is something else.
    pub fn json<T: DeserializeOwned>(&self) -> Option<T> {
        serde_json::from_slice(&self.body).ok()
    }

    /// The body as text, trimmed; what is no UTF-8 is replaced.
    pub fn text(&self) -> String {
        String::from_utf8_lossy(&self.body).trim().to_owned()
    }

    /// The outcome when the status is all we have: never `Accepted`, for a status proves nothing.
    ///
    /// A 2xx without the provider's proof is `Unknown`; 408, 425 and 5xx are transient; 429 throttles;
    /// 400, 411, 413, 414, 415, 422 and 431 blame the message; redirects and all others the endpoint.
    pub fn outcome_by_status(&self, at: Timestamp) -> Outcome {
        let text = crate::fit::bytes(&self.text(), STATUS_TEXT_BYTES_MAX);
        let reason = |text: String| Reason::new(self.status, text);
        match self.status {
            200..=299 => {
                Outcome::Unknown(reason(format!("the answer is not the provider's: {text}")))
            }
            300..=399 => Outcome::Rejected {
                blame: Blame::Endpoint,
                reason: reason(
                    "redirects are not followed; put the final address into the configuration"
                        .to_owned(),
                ),
            },
            429 => Outcome::Throttled { until: self.retry_at(at), reason: reason(text) },
            408 | 425 | 500..=599 => Outcome::Transient(reason(text)),
            400 | 411 | 413 | 414 | 415 | 422 | 431 => {
                Outcome::Rejected { blame: Blame::Message, reason: reason(text) }
            }
            _ => Outcome::Rejected { blame: Blame::Endpoint, reason: reason(text) },
        }
    }

    /// As [`HttpResponse::outcome_by_status`] where a repetition costs money: a server that failed (5xx) may
    /// have failed after it took the message, so that is `Unknown`.
    pub fn outcome_by_status_if_costly(&self, at: Timestamp) -> Outcome {
        let outcome = self.outcome_by_status(at);
        match self.status {
            500..=599 => Outcome::Unknown(outcome.reason().clone()),
            _ => outcome,
        }
    }

    /// When `Retry-After` allows the next try: seconds or an HTTP date, kept between one second and one
    /// hour from `at`; 30 seconds if it is missing or garbage.
    pub fn retry_at(&self, at: Timestamp) -> Timestamp {
        crate::retry_after::parse(self.retry_after.as_deref(), at)
    }
}

/// A channel that speaks HTTP.
pub trait HttpChannel: Send + Sync + fmt::Debug {
    /// Builds the request that says `out`, signed for the instant `at`.
    ///
    /// # Errors
    /// [`Refused`] if this channel has no way to say it.
    fn request(&self, out: &Outgoing<'_>, at: Timestamp) -> Result<HttpRequest, Refused>;

    /// Reads the answer. Accepted only with the proof that the provider documents.
    fn classify(&self, answer: &HttpResponse, at: Timestamp) -> Outcome;

    /// What still belongs to an accepted message: an image, a file, a mention the main form cannot
    /// carry, what a native body leaves unsaid ([`Outgoing::unsaid`]). `answers` are the answers to the
    /// follow-ups sent so far. A follow-up that fails is noted with the attempt and never repeats the
    /// message.
    fn follow_up(
        &self,
        _out: &Outgoing<'_>,
        _at: Timestamp,
        _answers: &[HttpResponse],
    ) -> Option<HttpRequest> {
        None
    }

    /// The request that changes a message this channel has accepted, to say what became of its alert.
    /// [`HttpChannel::classify`] reads its answer too.
    ///
    /// `out` is what was said, its `ask` taken away: an answered alert needs no button. `news` is one
    /// plain line, to be escaped like any text. `receipt` is what [`HttpChannel::classify`] accepted the
    /// message with, read back from the outbox, perhaps by another process. All that finds the message
    /// again (Slack's channel and `ts`) stands in the `code` of that outcome, as one word: `detail` is
    /// for people, may be cut, and gets a note when a follow-up fails.
    ///
    /// The news itself is a message of its own, which comes first. `None` where there is nothing to find
    /// the message by, where the message's own body went out, and where the provider cannot change what
    /// it has taken.
    fn edit(
        &self,
        _out: &Outgoing<'_>,
        _receipt: &str,
        _news: &str,
        _at: Timestamp,
    ) -> Option<HttpRequest> {
        None
    }

    /// How it logs in, if it has to.
    fn login(&self) -> Option<&(dyn Login + Sync)> {
        None
    }

    /// How it hears what its provider reports, if the settings allow that.
    fn callback(&self) -> Option<&dyn Callback> {
        None
    }
}
