//! Providers that do as providers do, over real sockets and on the stage's time.
//!
//! A script says what a test tells it to; a provider makes up its own mind. It checks what it is sent,
//! keeps its own limits, answers in its own words, and remembers what it took. It knows nothing of the
//! code that speaks to it: signatures are computed here once more, from the provider's description, so a
//! channel that signs wrong, speaks too often or believes the wrong answer is seen.

pub(crate) mod aliyun_sms;
pub(crate) mod dingtalk;
pub(crate) mod feishu;
pub(crate) mod slack_api;
pub(crate) mod tencent_sms;
pub(crate) mod wecom_app;

use super::sink::{Received, Reply};
use callout_core::time::Timestamp;
use hmac::{Hmac, KeyInit, Mac};
use serde_json::Value as Json;
use sha2::{Digest, Sha256};
use std::collections::VecDeque;
use std::time::Duration;

/// Somebody who answers requests and remembers them.
pub(crate) trait Provider: Send + 'static {
    /// Takes or refuses a request.
    fn answer(&mut self, request: &Received, now: Timestamp) -> Reply;
}

/// One message that a provider took.
#[derive(Clone, Debug)]
pub(crate) struct Taken {
    pub(crate) at: Timestamp,
    /// The name the provider gave it.
    pub(crate) id: String,
    pub(crate) body: Json,
}

/// What a provider remembers.
#[derive(Clone, Debug, Default)]
pub(crate) struct Book {
    pub(crate) taken: Vec<Taken>,
    /// When it refused something, and with which code.
    pub(crate) refused: Vec<(Timestamp, String)>,
}

impl Book {
    /// Takes a message and names it.
    fn take(&mut self, now: Timestamp, body: Json) -> String {
        let id = format!("taken-{}", self.taken.len() + 1);
        self.taken.push(Taken { at: now, id: id.clone(), body });
        id
    }

    fn refuse(&mut self, now: Timestamp, code: impl ToString) {
        self.refused.push((now, code.to_string()));
    }

    /// The most messages taken in any stretch of this length.
    pub(crate) fn most_within(&self, length: Duration) -> usize {
        let within = |from: Timestamp| {
            self.taken.iter().filter(|t| t.at >= from && t.at < from + length).count()
        };
        self.taken.iter().map(|taken| within(taken.at)).max().unwrap_or(0)
    }

    /// How many of the messages taken contain `words`.
    pub(crate) fn count(&self, words: &str) -> usize {
        self.taken.iter().filter(|taken| taken.body.to_string().contains(words)).count()
    }

    pub(crate) fn codes(&self) -> Vec<&str> {
        self.refused.iter().map(|(_, code)| code.as_str()).collect()
    }
}

/// At most so many in any stretch of this length.
#[derive(Debug)]
pub(crate) struct Window {
    length: Duration,
    most: usize,
    times: VecDeque<Timestamp>,
}

impl Window {
    pub(crate) fn new(most: usize, length: Duration) -> Self {
        Self { length, most, times: VecDeque::new() }
    }

    /// Counts one more, unless that were too many.
    fn admits(&mut self, now: Timestamp) -> bool {
        while self.times.front().is_some_and(|at| *at + self.length <= now) {
            self.times.pop_front();
        }
        let admits = self.times.len() < self.most;
        if admits {
            self.times.push_back(now);
        }
        admits
    }
}

/// How far apart two times are, whichever is the later.
fn apart(a: Timestamp, b: Timestamp) -> Duration {
    a.since(b).max(b.since(a))
}

/// The time of so many milliseconds, if it is one.
fn from_ms(text: &str, factor: i64) -> Option<Timestamp> {
    Timestamp::from_unix_ms(text.parse::<i64>().ok()?.checked_mul(factor)?)
}

fn hmac(key: &[u8], message: &[u8]) -> Vec<u8> {
    let mut mac = Hmac::<Sha256>::new_from_slice(key).unwrap();
    mac.update(message);
    mac.finalize().into_bytes().to_vec()
}

fn base64(bytes: &[u8]) -> String {
    use base64::Engine as _;
    base64::engine::general_purpose::STANDARD.encode(bytes)
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

fn sha256(bytes: &[u8]) -> String {
    hex(&Sha256::digest(bytes))
}

/// Whether a member of a JSON object is a text that says something.
fn says(value: &Json, member: &str) -> bool {
    value[member].as_str().is_some_and(|text| !text.is_empty())
}

/// A request by hand, for the providers' own tests.
#[cfg(test)]
fn by_hand(method: &str, target: &str, headers: &[(&str, &str)], body: &str) -> Received {
    Received {
        channel: "hand".to_owned(),
        method: method.to_owned(),
        path: target.split('?').next().unwrap().to_owned(),
        target: target.to_owned(),
        headers: headers.iter().map(|(k, v)| ((*k).to_owned(), (*v).to_owned())).collect(),
        body: body.to_owned(),
    }
}

/// What a provider said to that: the body, as JSON.
#[cfg(test)]
fn said(reply: Reply) -> Json {
    match reply {
        Reply::Answer(_, _, body) => serde_json::from_str(&body).unwrap(),
        other => panic!("{other:?}"),
    }
}

/// When the providers' own tests happen.
#[cfg(test)]
fn noon() -> Timestamp {
    Timestamp::from_unix_ms(1_700_000_000_000).unwrap()
}
