//! What is known about a kind of channel, as data.
//!
//! Configuration checks, `callout channels`, the reference page, default limits, the advice of
//! `callout test`, Apprise addresses and the fixture run are all derived from a [`Spec`].

use crate::apprise::Apprise;
use callout_core::locale::Locale;
use callout_core::outcome::Reason;

/// What the registry knows about one kind of channel.
#[derive(Debug)]
pub struct Spec {
    /// The name in configuration, such as `dingtalk`.
    pub kind: &'static str,
    /// The name for people.
    pub title: &'static str,
    /// Its settings, besides those that every channel has (`kind`, `rate`, `concurrency`).
    pub fields: &'static [Field],
    /// How often the provider lets one channel speak, such as `20/min`; `none` without a limit.
    pub rate: &'static str,
    /// The provider's own message types, richest first.
    pub types: &'static [&'static str],
    /// Whether a message may bring its own body for this kind.
    pub native: bool,
    /// The most bytes a request body may have.
    pub body_bytes_max: usize,
    /// Whom it can mention.
    pub mentions: &'static str,
    /// What the provider offers against duplicates.
    pub idempotency: &'static str,
    /// An unknown outcome goes to the next channel instead of being tried again: a duplicate costs money or
    /// wakes people, and nothing keeps the provider from sending it.
    pub costly: bool,
    /// It rings a telephone. News of an alert are no reason for that: whoever has no other channel hears none.
    pub rings: bool,
    /// How its reader acknowledges, such as `link button`; `none` if only by other means.
    pub ack: &'static str,
    /// Whether the message of an answered alert is changed to say so.
    pub edit: bool,
    /// Whether news of an alert stand below its message.
    pub thread: bool,
    /// Under which name the provider calls us back (`/v1/callbacks/<name>`), if it can.
    pub callback: Option<&'static str>,
    /// What the provider's codes ask the operator to do, most telling first.
    pub advice: &'static [Advice],
    /// The Apprise schemes that mean this kind.
    pub apprise: &'static [Apprise],
}

impl Spec {
    /// What the operator can do about `reason`, in words; `None` if there is nothing to add to it.
    pub fn advise(&self, reason: &Reason, locale: Locale) -> Option<&'static str> {
        Advice::find(self.advice, reason, locale)
    }

    /// Whether a message of this kind can mention single people.
    pub fn mentions_people(&self) -> bool {
        self.mentions.contains("people") && !self.mentions.starts_with("none")
    }
}

/// What one answer of a provider asks the operator to do.
#[derive(Debug)]
pub struct Advice {
    /// The code of the answer; empty: any.
    pub code: &'static str,
    /// What its text contains, in lower case; empty: anything.
    pub says: &'static str,
    /// What to do, in English.
    pub english: &'static str,
    /// The same in Chinese.
    pub chinese: &'static str,
}

impl Advice {
    /// What to do about a code, whatever its text says: in English, and in Chinese.
    pub(crate) const fn of_code(
        code: &'static str,
        (english, chinese): (&'static str, &'static str),
    ) -> Self {
        Self { code, says: "", english, chinese }
    }

    /// The first of `all` that fits `reason`.
    pub fn find(all: &[Self], reason: &Reason, locale: Locale) -> Option<&'static str> {
        let code = reason.code.as_deref().unwrap_or_default();
        let detail = reason.detail.to_lowercase();
        let fits = |advice: &&Self| {
            (advice.code.is_empty() || advice.code == code) && detail.contains(advice.says)
        };
        let advice = all.iter().find(fits)?;
        Some(locale.pick(advice.english, advice.chinese))
    }
}

/// One setting of a channel.
#[derive(Debug)]
pub struct Field {
    /// The key.
    pub name: &'static str,
    /// What kind of value.
    pub value: Value,
    /// Whether a channel cannot do without it.
    pub required: bool,
    /// What it means, with units and default, in one line.
    pub doc: &'static str,
}

impl Field {
    /// The default that `doc` names, if it is one plain value of the right type.
    pub fn default(&self) -> Option<&'static str> {
        let (_, told) = self.doc.rsplit_once("Default: ")?;
        let (word, rest) = told.split_once(' ').unwrap_or((told, ""));
        let word = word.trim_end_matches(['.', ',']);
        let plain = match self.value {
            Value::Switch => matches!(word, "true" | "false"),
            Value::Number => word.parse::<u64>().is_ok(),
            Value::Duration => word.starts_with(|c: char| c.is_ascii_digit()),
            Value::Url => word.starts_with("http") && (rest.is_empty() || rest.starts_with('(')),
            Value::Text => rest.is_empty() && !matches!(word, "none" | "unsigned"),
            Value::Secret
            | Value::Secrets
            | Value::Texts
            | Value::List
            | Value::Table
            | Value::Path => false,
        };
        plain.then_some(word)
    }
}

/// What a setting may be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Value {
    /// A credential: literal, `{ env = "NAME" }` or `{ file = "path" }`.
    Secret,
    /// One or several credentials.
    Secrets,
    /// An http(s) address.
    Url,
    /// Any text.
    Text,
    /// `true` or `false`.
    Switch,
    /// A table of texts, any of which may be a credential.
    Texts,
    /// One or several texts.
    List,
    /// A table of texts that are no credentials.
    Table,
    /// A whole number, not negative.
    Number,
    /// A length of time, such as `10s`; handed to the channel in milliseconds.
    Duration,
    /// A file; handed to the channel as a path that starts where the worker runs, or at the root.
    Path,
}

/// What is wrong with a channel's settings, beyond their types.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Problem {
    /// The setting.
    pub field: &'static str,
    /// What is wrong and what would be right; never the value of a secret.
    pub text: String,
}
