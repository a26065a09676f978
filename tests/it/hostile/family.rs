//! Channels of every kind, made from their fixtures.

use crate::stage::sink::{Reply, Sink, json};
use callout_channels::channel::{Ask, Mentions, Outgoing};
use callout_channels::preview::{Preview, Shown};
use callout_channels::spec::Spec;
use callout_channels::{Build, Channel, Delivered, REGISTRY, TimeZone, Transport};
use callout_core::alert::Regarding;
use callout_core::id::MessageId;
use callout_core::locale::Locale;
use callout_core::message::Message;
use callout_core::outcome::{Blame, Outcome};
use callout_core::time::Timestamp;
use serde_json::{Map, Value};
use std::path::{Path, PathBuf};
use std::sync::Arc;

static UTC: TimeZone = TimeZone::UTC;

/// The settings that hold a provider's address, of which every kind has one.
const ADDRESSES: [&str; 3] = ["endpoint", "webhook_url", "url"];

/// How a kind logs in.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Login {
    kind: &'static str,
    /// What the path of the request for a token contains, and no other.
    pub(crate) path: &'static str,
    answer: &'static str,
}

/// Every kind that has to log in.
const LOGINS: [Login; 1] = [Login {
    kind: "wecom_app",
    path: "/gettoken",
    answer: r#"{"errcode":0,"access_token":"t0ken-abcdefgh-0","expires_in":7200}"#,
}];

impl Login {
    /// Here is a token.
    pub(crate) fn grant(&self) -> Reply {
        json(200, self.answer)
    }
}

/// One row of a kind's table of answers.
pub(crate) struct Row {
    pub(crate) status: u16,
    retry_after: Option<String>,
    pub(crate) body: String,
    pub(crate) expected: String,
}

impl Row {
    pub(crate) fn reply(&self) -> Reply {
        let wait = self.retry_after.iter().map(|wait| ("retry-after", wait.clone()));
        let empty = self.status == 204;
        if empty {
            return Reply::Bytes(
                b"HTTP/1.1 204 X\r\n\r\n".to_vec(),
                crate::stage::sink::Then::Listen,
            );
        }
        Reply::Answer(self.status, wait.collect(), self.body.clone())
    }
}

/// One kind of channel.
pub(crate) struct Family {
    pub(crate) kind: &'static str,
    pub(crate) spec: &'static Spec,
    pub(crate) answers: Vec<Row>,
    settings: Map<String, Value>,
}

/// Every kind that speaks HTTP.
pub(crate) fn families() -> Vec<Arc<Family>> {
    let http = REGISTRY.iter().filter(|row| matches!(row.build, Build::Http(_)));
    http.map(|row| Arc::new(Family::new(row.spec))).collect()
}

/// The time of the fixtures.
pub(crate) fn now() -> Timestamp {
    Timestamp::from_unix_ms(1_717_171_717_171).unwrap()
}

fn fixtures(kind: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../crates/callout-channels/fixtures").join(kind)
}

impl Family {
    fn new(spec: &'static Spec) -> Self {
        let folder = fixtures(spec.kind);
        let settings = std::fs::read(folder.join("settings.json")).unwrap();
        let table = std::fs::read_to_string(folder.join("responses.txt")).unwrap();
        let lines = table.lines().filter(|line| !line.is_empty() && !line.starts_with('#'));
        let row = |line: &str| {
            let columns: Vec<&str> = line.split(" |").map(str::trim).collect();
            let [status, wait, body, expected] = columns[..] else { panic!("{line}") };
            Row {
                status: status.parse().unwrap(),
                retry_after: (wait != "-").then(|| wait.to_owned()),
                body: body.to_owned(),
                expected: expected.to_owned(),
            }
        };
        let (kind, answers) = (spec.kind, lines.map(row).collect());
        let family =
            Self { kind, spec, answers, settings: serde_json::from_slice(&settings).unwrap() };
        let channel = Channel::build(kind, Value::Object(family.settings.clone())).unwrap();
        let logs_in = family.shown(&channel, &super::news(), None).login;
        assert_eq!(logs_in, family.login().is_some(), "how does {kind} log in?");
        family
    }

    /// How it logs in, if it has to.
    pub(crate) fn login(&self) -> Option<Login> {
        LOGINS.into_iter().find(|login| login.kind == self.kind)
    }

    /// What it takes for success.
    pub(crate) fn proof(&self) -> &Row {
        self.answers.iter().find(|row| row.expected.starts_with("accepted")).unwrap()
    }

    /// Every receipt in its table.
    pub(crate) fn receipts(&self) -> Vec<String> {
        let accepted = self.answers.iter().filter(|row| row.expected.starts_with("accepted"));
        accepted.filter_map(|row| Some(row.expected.split_once(' ')?.1.to_owned())).collect()
    }

    /// A channel whose provider is `sink`; the path of its address begins with its kind.
    pub(crate) fn at(&self, sink: &Sink, scheme: &str) -> Channel {
        let built = Channel::build(self.kind, Value::Object(self.settings_at(sink, scheme)));
        built.unwrap_or_else(|e| panic!("{}: {e:?}", self.kind))
    }

    /// The settings of such a channel.
    pub(crate) fn settings_at(&self, sink: &Sink, scheme: &str) -> Map<String, Value> {
        let mut settings = self.settings.clone();
        let known = |name: &&str| self.spec.fields.iter().any(|field| field.name == *name);
        let field = ADDRESSES.into_iter().find(known);
        let field = field.unwrap_or_else(|| panic!("where is the address of {}?", self.kind));
        // What follows the host may be needed: some kinds check it.
        let old = settings.get(field).and_then(Value::as_str).unwrap_or_default();
        let rest = old.splitn(4, '/').nth(3).map_or(String::new(), |rest| format!("/{rest}"));
        let base = sink.address(self.kind).replacen("http", scheme, 1);
        settings.insert(field.to_owned(), format!("{base}{rest}").into());
        settings
    }

    /// What it would send.
    pub(crate) fn shown(&self, channel: &Channel, message: &Message, ask: Option<&Ask>) -> Shown {
        let mentions = Mentions::default();
        let out = outgoing(message, &mentions, ask, None);
        match channel.preview(&out, now()).unwrap() {
            Preview::Http(shown) => shown,
            Preview::Direct(_) => panic!("{} speaks HTTP", self.kind),
        }
    }

    /// One attempt.
    pub(crate) async fn deliver(
        &self,
        channel: &Channel,
        transport: &Transport,
        message: &Message,
        ask: Option<&Ask>,
    ) -> Delivered {
        self.deliver_about(channel, transport, message, ask, None).await
    }

    /// One attempt that may bring news of an alert.
    pub(crate) async fn deliver_about(
        &self,
        channel: &Channel,
        transport: &Transport,
        message: &Message,
        ask: Option<&Ask>,
        about: Option<&Regarding>,
    ) -> Delivered {
        let mentions = Mentions::default();
        channel.deliver(transport, &outgoing(message, &mentions, ask, about), &now).await
    }
}

fn outgoing<'a>(
    message: &'a Message,
    mentions: &'a Mentions,
    ask: Option<&'a Ask>,
    about: Option<&'a Regarding>,
) -> Outgoing<'a> {
    Outgoing {
        message,
        id: MessageId::new(now(), [7; 10]),
        created_at: now(),
        mentions,
        plain: false,
        ask,
        about,
        locale: Locale::English,
        zone: &UTC,
    }
}

/// An outcome as the tables of answers write it: `throttled 7s 429`.
pub(crate) fn described(outcome: &Outcome) -> String {
    let more = match outcome {
        Outcome::Throttled { until, .. } => format!(" {}s", until.since(now()).as_secs()),
        Outcome::Rejected { blame: Blame::Message, .. } => " message".to_owned(),
        Outcome::Rejected { blame: Blame::Endpoint, .. } => " endpoint".to_owned(),
        Outcome::Accepted(_) | Outcome::Transient(_) | Outcome::Unknown(_) => String::new(),
    };
    let code = outcome.reason().code.clone().unwrap_or_default();
    format!("{}{more} {code}", outcome.name())
}

/// The same, with what is said about it.
pub(crate) fn shown(outcome: &Outcome) -> String {
    let detail = &outcome.reason().detail;
    match outcome.reason().code {
        Some(_) => format!("{}: {detail}", described(outcome)),
        None => format!("{}{detail}", described(outcome)),
    }
}
