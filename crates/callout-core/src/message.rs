//! What a producer says.
//!
//! A [`Message`] is plain data. [`Message::validate`] is the one gate: the client calls it before the
//! row is written and the planner calls it again after the row is read, because any program may
//! write that row. What passes is short enough to be stored, printed and cut to any channel's size.

use crate::level::Level;
use crate::time::{format_duration, parse_duration};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::fmt::Display;
use std::time::Duration;

/// The most bytes a title may have.
pub const TITLE_BYTES_MAX: usize = 1024;
/// The most bytes a body may have.
pub const BODY_BYTES_MAX: usize = 16 * 1024;
/// The most labels, and the most bytes in a label's name and in its value.
pub const LABELS_MAX: usize = 64;
/// The most bytes in a label's name, a key, a link's text, an attachment's name or a mention.
pub const NAME_BYTES_MAX: usize = 256;
/// The most bytes in a label's value.
pub const LABEL_VALUE_BYTES_MAX: usize = 1024;
/// The most links, images, attachments and native bodies; and the most mentions and receivers.
pub const LIST_MAX: usize = 16;
/// The most bytes in a URL.
pub const URL_BYTES_MAX: usize = 2048;
/// The most bytes of a whole message as JSON, attachments included.
pub const MESSAGE_BYTES_MAX: usize = 256 * 1024;
/// The longest delay.
pub const DELAY_MAX: Duration = Duration::from_secs(366 * 86_400);
/// The shortest and the longest time to live.
pub const TTL_RANGE: (Duration, Duration) =
    (Duration::from_secs(1), Duration::from_secs(30 * 86_400));
/// The shortest and the longest wait for an acknowledgment.
pub const ACK_WITHIN_RANGE: (Duration, Duration) =
    (Duration::from_secs(1), Duration::from_secs(7 * 86_400));
/// The deepest nesting in a native body.
pub const NATIVE_DEPTH_MAX: usize = 32;

/// What a producer enqueues. One row in the outbox.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
#[non_exhaustive]
pub struct Message {
    /// How bad it is.
    pub level: Level,
    /// One line that says what is wrong.
    pub title: String,
    /// The story, as Markdown. May be empty.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub body: String,
    /// Facts by name. Well known: `host`, `metric`, `value`, `threshold`. Routes match on them.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub labels: BTreeMap<String, String>,
    /// Where to look; buttons where the channel has them.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub links: Vec<Link>,
    /// Images by http(s) URL.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub images: Vec<String>,
    /// Small files, sent along where the channel can.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub attachments: Vec<Attachment>,
    /// Whom to mention: `all`, or names of people in the configuration.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub mentions: Vec<String>,
    /// Receivers by name. Empty: the routes decide.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub to: Vec<String>,
    /// A provider's own message body by channel kind, handed through untouched.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub native: BTreeMap<String, serde_json::Value>,
    /// The same key enqueues once.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub idempotency_key: Option<String>,
    /// Names the problem. While an alert is open for it, repeats are counted and not sent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub dedup_key: Option<String>,
    /// How long to wait before the first try.
    #[serde(default, skip_serializing_if = "Option::is_none", with = "duration_text")]
    pub delay: Option<Duration>,
    /// How long the message is worth delivering, counted from the first moment it may be tried.
    #[serde(default, skip_serializing_if = "Option::is_none", with = "duration_text")]
    pub ttl: Option<Duration>,
    /// Somebody has to acknowledge it; until then others are told.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub require_ack: bool,
    /// How long the first people have to acknowledge it. Only with `require_ack`.
    #[serde(default, skip_serializing_if = "Option::is_none", with = "duration_text")]
    pub ack_within: Option<Duration>,
    /// The problem named by `dedup_key` is over: its alert is resolved, and this message tells those who
    /// were told.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub resolve: bool,
}

/// A button, or a line with an address.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Link {
    /// What the button says.
    pub text: String,
    /// Where it leads; http or https.
    pub url: String,
}

/// A small file.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Attachment {
    /// File name, without a path.
    pub name: String,
    /// The contents in standard Base64 with padding.
    pub base64: String,
}

/// Why a message was refused. Nothing was written.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{field} {problem}")]
pub struct Invalid {
    /// The part that is wrong, such as `title` or `labels.host`.
    pub field: String,
    /// What is wrong with it and what would be right.
    pub problem: String,
}

impl Message {
    /// A message with nothing but a level and a title.
    pub fn new(level: Level, title: impl Into<String>) -> Self {
        Self {
            level,
            title: title.into(),
            body: String::new(),
            labels: BTreeMap::new(),
            links: Vec::new(),
            images: Vec::new(),
            attachments: Vec::new(),
            mentions: Vec::new(),
            to: Vec::new(),
            native: BTreeMap::new(),
            idempotency_key: None,
            dedup_key: None,
            delay: None,
            ttl: None,
            require_ack: false,
            ack_within: None,
            resolve: false,
        }
    }

    /// Says that the problem named by `dedup_key` is over.
    pub fn resolved(dedup_key: impl Into<String>) -> Self {
        let dedup_key = dedup_key.into();
        let mut message = Self::new(Level::Info, format!("Resolved: {dedup_key}"));
        message.dedup_key = Some(dedup_key);
        message.resolve = true;
        message
    }

    /// Checks every limit of this module.
    ///
    /// # Errors
    /// The first part that breaks one.
    pub fn validate(&self) -> Result<(), Invalid> {
        line("title", &self.title, TITLE_BYTES_MAX)?;
        text("body", &self.body, BODY_BYTES_MAX)?;
        count("labels", self.labels.len(), LABELS_MAX)?;
        for (name, value) in &self.labels {
            line("labels: a label's name", name, NAME_BYTES_MAX)?;
            text(format_args!("labels.{name}"), value, LABEL_VALUE_BYTES_MAX)?;
        }
        self.validate_lists()?;
        for (field, key) in
            [("idempotency_key", &self.idempotency_key), ("dedup_key", &self.dedup_key)]
        {
            key.as_deref().map_or(Ok(()), |key| line(field, key, NAME_BYTES_MAX))?;
        }
        self.validate_times()?;
        self.validate_ack()?;
        // Every part is bounded by now. Text becomes twice as long at most where it is escaped.
        let is_short = self.text_bytes() <= MESSAGE_BYTES_MAX / 4;
        if !is_short || !self.attachments.is_empty() || !self.native.is_empty() {
            self.validate_size()?;
        }
        Ok(())
    }

    /// How much text there is in the parts that may be long.
    fn text_bytes(&self) -> usize {
        let labels = self.labels.iter().map(|(name, value)| name.len() + value.len());
        let links = self.links.iter().map(|link| link.text.len() + link.url.len());
        let images = self.images.iter().map(String::len);
        self.body.len() + labels.chain(links).chain(images).sum::<usize>()
    }

    fn validate_size(&self) -> Result<(), Invalid> {
        let json =
            serde_json::to_vec(self).map_err(|e| invalid("message", format!("is no JSON: {e}")))?;
        let bytes = json.len();
        if bytes > MESSAGE_BYTES_MAX {
            let problem = format!("has {bytes} bytes as JSON; at most {MESSAGE_BYTES_MAX} fit");
            return Err(invalid("message", problem));
        }
        Ok(())
    }

    fn validate_lists(&self) -> Result<(), Invalid> {
        count("links", self.links.len(), LIST_MAX)?;
        for (n, link) in self.links.iter().enumerate() {
            line(format_args!("links[{n}].text"), &link.text, NAME_BYTES_MAX)?;
            web_address(format_args!("links[{n}].url"), &link.url)?;
        }
        count("images", self.images.len(), LIST_MAX)?;
        for (n, image) in self.images.iter().enumerate() {
            web_address(format_args!("images[{n}]"), image)?;
        }
        count("attachments", self.attachments.len(), LIST_MAX)?;
        for (n, file) in self.attachments.iter().enumerate() {
            line(format_args!("attachments[{n}].name"), &file.name, NAME_BYTES_MAX)?;
            if file.name.contains(['/', '\\', '"']) {
                return Err(invalid(
                    format!("attachments[{n}].name"),
                    "is a file name without path or quotes",
                ));
            }
            base64("attachments", n, &file.base64)?;
        }
        for (field, names) in [("mentions", &self.mentions), ("to", &self.to)] {
            count(field, names.len(), LIST_MAX)?;
            names.iter().enumerate().try_for_each(|(n, name)| {
                line(format_args!("{field}[{n}]"), name, NAME_BYTES_MAX)
            })?;
        }
        count("native", self.native.len(), LIST_MAX)?;
        for (kind, body) in &self.native {
            line("native: a channel kind", kind, NAME_BYTES_MAX)?;
            if !body.is_object() || depth(body) > NATIVE_DEPTH_MAX {
                let problem = format!("is a JSON object nested at most {NATIVE_DEPTH_MAX} deep");
                return Err(invalid(format!("native.{kind}"), problem));
            }
        }
        Ok(())
    }

    fn validate_times(&self) -> Result<(), Invalid> {
        if self.delay.is_some_and(|delay| delay > DELAY_MAX) {
            return Err(invalid("delay", format!("is longer than {}", format_duration(DELAY_MAX))));
        }
        let (shortest, longest) = TTL_RANGE;
        if self.ttl.is_some_and(|ttl| ttl < shortest || ttl > longest) {
            let (shortest, longest) = (format_duration(shortest), format_duration(longest));
            return Err(invalid("ttl", format!("is not between {shortest} and {longest}")));
        }
        Ok(())
    }

    fn validate_ack(&self) -> Result<(), Invalid> {
        let (shortest, longest) = ACK_WITHIN_RANGE;
        if self.ack_within.is_some_and(|wait| wait < shortest || wait > longest) {
            let (shortest, longest) = (format_duration(shortest), format_duration(longest));
            return Err(invalid("ack_within", format!("is not between {shortest} and {longest}")));
        }
        if self.ack_within.is_some() && !self.require_ack {
            return Err(invalid("ack_within", "has a meaning only with require_ack; set that too"));
        }
        if self.resolve && self.dedup_key.is_none() {
            return Err(invalid("resolve", "needs the dedup_key of the problem that is over"));
        }
        if self.dedup_key.is_some() && self.delay.is_some() {
            let problem =
                "and delay exclude each other: whether a problem is there is known only then";
            return Err(invalid("dedup_key", problem));
        }
        if self.resolve && self.require_ack {
            return Err(invalid("resolve", "and require_ack exclude each other"));
        }
        Ok(())
    }
}

/// Optional parts, for callers who build a message in one expression.
impl Message {
    /// Tells the story, as Markdown.
    #[must_use]
    pub fn with_body(mut self, body: impl Into<String>) -> Self {
        self.body = body.into();
        self
    }

    /// Adds a fact, or replaces the one of that name.
    #[must_use]
    pub fn with_label(mut self, name: impl Into<String>, value: impl Into<String>) -> Self {
        self.labels.insert(name.into(), value.into());
        self
    }

    /// Adds a place to look.
    #[must_use]
    pub fn with_link(mut self, text: impl Into<String>, url: impl Into<String>) -> Self {
        self.links.push(Link { text: text.into(), url: url.into() });
        self
    }

    /// Adds an image by its http(s) URL.
    #[must_use]
    pub fn with_image(mut self, url: impl Into<String>) -> Self {
        self.images.push(url.into());
        self
    }

    /// Adds a small file.
    #[must_use]
    pub fn with_attachment(mut self, file: Attachment) -> Self {
        self.attachments.push(file);
        self
    }

    /// Mentions `all`, or a person by name.
    #[must_use]
    pub fn with_mention(mut self, name: impl Into<String>) -> Self {
        self.mentions.push(name.into());
        self
    }

    /// Adds a receiver; the routes are not asked then.
    #[must_use]
    pub fn with_receiver(mut self, name: impl Into<String>) -> Self {
        self.to.push(name.into());
        self
    }

    /// Hands a channel kind its provider's own message body.
    #[must_use]
    pub fn with_native(mut self, kind: impl Into<String>, body: serde_json::Value) -> Self {
        self.native.insert(kind.into(), body);
        self
    }

    /// Makes enqueueing it again harmless.
    #[must_use]
    pub fn with_idempotency_key(mut self, key: impl Into<String>) -> Self {
        self.idempotency_key = Some(key.into());
        self
    }

    /// Names the problem.
    #[must_use]
    pub fn with_dedup_key(mut self, key: impl Into<String>) -> Self {
        self.dedup_key = Some(key.into());
        self
    }

    /// Wants to be acknowledged; until then others are told.
    #[must_use]
    pub fn with_require_ack(mut self) -> Self {
        self.require_ack = true;
        self
    }

    /// Wants to be acknowledged within this time.
    #[must_use]
    pub fn with_ack_within(mut self, wait: Duration) -> Self {
        self.ack_within = Some(wait);
        self.with_require_ack()
    }

    /// Waits this long before the first try.
    #[must_use]
    pub fn with_delay(mut self, delay: Duration) -> Self {
        self.delay = Some(delay);
        self
    }

    /// Gives up this long after the first moment it may be tried.
    #[must_use]
    pub fn with_ttl(mut self, ttl: Duration) -> Self {
        self.ttl = Some(ttl);
        self
    }
}

fn invalid(field: impl Display, problem: impl Into<String>) -> Invalid {
    Invalid { field: field.to_string(), problem: problem.into() }
}

fn count(field: &str, n: usize, most: usize) -> Result<(), Invalid> {
    if n <= most {
        Ok(())
    } else {
        Err(invalid(field, format!("has {n} entries; at most {most} fit")))
    }
}

/// One line: visible, and without any control character.
fn line(field: impl Display, value: &str, most: usize) -> Result<(), Invalid> {
    if value.trim().is_empty() {
        return Err(invalid(field, "is empty; give it at least one visible character"));
    }
    if let Some(c) = value.chars().find(|c| c.is_control()) {
        return Err(invalid(
            field,
            format!("contains the control character {c:?}; it has to be one plain line"),
        ));
    }
    length(field, value, most)
}

/// Several lines: no control characters but line feed, carriage return and tab.
fn text(field: impl Display, value: &str, most: usize) -> Result<(), Invalid> {
    let is_space = |byte| matches!(byte, b'\n' | b'\r' | b'\t');
    // One look at the bytes, without a branch for each, clears nearly every text; 0xc2 begins the
    // control characters from U+0080 on.
    let is_suspicious = value.bytes().fold(false, |found, byte| {
        found | ((byte < b' ') & !is_space(byte)) | (byte == 0x7f) | (byte == 0xc2)
    });
    let is_forbidden = |c: &char| c.is_control() && !u8::try_from(*c).is_ok_and(is_space);
    match is_suspicious.then(|| value.chars().find(is_forbidden)).flatten() {
        Some(c) => Err(invalid(
            field,
            format!(
                "contains the control character {c:?}; remove it (terminal colours, for example)"
            ),
        )),
        None => length(field, value, most),
    }
}

fn length(field: impl Display, value: &str, most: usize) -> Result<(), Invalid> {
    let bytes = value.len();
    if bytes <= most {
        Ok(())
    } else {
        Err(invalid(field, format!("has {bytes} bytes; at most {most} fit")))
    }
}

fn web_address(field: impl Display, url: &str) -> Result<(), Invalid> {
    line(&field, url, URL_BYTES_MAX)?;
    let rest = url.strip_prefix("https://").or_else(|| url.strip_prefix("http://"));
    if rest.is_none_or(|rest| rest.is_empty() || rest.starts_with('/'))
        || url.contains(char::is_whitespace)
    {
        return Err(invalid(field, "is not an http:// or https:// address"));
    }
    Ok(())
}

fn base64(field: &str, n: usize, data: &str) -> Result<(), Invalid> {
    let digits = data.trim_end_matches('=');
    let legal = digits.chars().all(|c| c.is_ascii_alphanumeric() || matches!(c, '+' | '/'));
    if data.is_empty() || !legal || !data.len().is_multiple_of(4) || data.len() - digits.len() > 2 {
        return Err(invalid(format!("{field}[{n}].base64"), "is not standard Base64 with padding"));
    }
    Ok(())
}

fn depth(value: &serde_json::Value) -> usize {
    match value {
        serde_json::Value::Array(items) => 1 + items.iter().map(depth).max().unwrap_or(0),
        serde_json::Value::Object(map) => 1 + map.values().map(depth).max().unwrap_or(0),
        serde_json::Value::Null
        | serde_json::Value::Bool(_)
        | serde_json::Value::Number(_)
        | serde_json::Value::String(_) => 0,
    }
}

/// Durations as people write them, in JSON.
mod duration_text {
    use super::{Duration, parse_duration};
    use crate::time::format_exactly;
    use serde::{Deserialize, Deserializer, Serializer, de::Error};

    #[expect(clippy::ref_option, reason = "serde's `with` fixes the signature")]
    pub(super) fn serialize<S: Serializer>(
        length: &Option<Duration>,
        to: S,
    ) -> Result<S::Ok, S::Error> {
        match length {
            Some(length) => to.serialize_str(&format_exactly(*length)),
            None => to.serialize_none(),
        }
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(
        from: D,
    ) -> Result<Option<Duration>, D::Error> {
        Option::<String>::deserialize(from)?
            .map(|text| parse_duration(&text).map_err(D::Error::custom))
            .transpose()
    }
}

#[cfg(test)]
mod tests;
