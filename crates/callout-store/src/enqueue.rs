//! The one statement that enqueues, and its values; and the one that says what people answered.
//!
//! It needs no driver: a caller binds [`Row::values`] to [`INSERT`] in order, in a transaction of its
//! own. If nothing was inserted, a message with the same idempotency key is there already;
//! [`FIND_BY_KEY`] fetches it and [`Row::is_same_request`] says whether it asks for the same thing.

use callout_core::id::MessageId;
use callout_core::level::Level;
use callout_core::message::{Attachment, Invalid, Link, Message};
use callout_core::time::Timestamp;
use serde::{Deserialize, Serialize};
use std::borrow::Cow;
use std::collections::BTreeMap;
use std::time::Duration;

/// Inserts one message; inserts nothing if its idempotency key is taken. Parameters `?1` to `?11` are
/// [`Row::values`].
pub const INSERT: &str = "
    INSERT INTO callout_message
           (id, level, title, body, details, idempotency_key, dedup_key, delay_ms, ttl_ms,
            created_at, checksum)
    VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11)
    ON CONFLICT (idempotency_key) WHERE idempotency_key IS NOT NULL DO NOTHING";

/// Fetches the message that holds an idempotency key (`?1`), columns in the order of [`Row`].
pub const FIND_BY_KEY: &str = "
    SELECT id, level, title, body, details, idempotency_key, dedup_key, delay_ms, ttl_ms,
           created_at, checksum
      FROM callout_message
     WHERE idempotency_key = ?1";

/// One row of `callout_message`, as the database holds it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Row {
    /// The message's id, hyphenated and in lower case.
    pub id: String,
    /// The level's name.
    pub level: String,
    /// The title.
    pub title: String,
    /// The body.
    pub body: String,
    /// Everything else as a JSON object.
    pub details: String,
    /// The idempotency key.
    pub idempotency_key: Option<String>,
    /// The dedup key.
    pub dedup_key: Option<String>,
    /// Milliseconds to wait before the first try.
    pub delay_ms: Option<i64>,
    /// Milliseconds the message is worth delivering.
    pub ttl_ms: Option<i64>,
    /// Milliseconds since the epoch.
    pub created_at: i64,
    /// [`Row::checksum_of`] the other columns. Optional for writers that cannot compute it.
    pub checksum: Option<i64>,
}

/// A value to bind, in terms every driver has.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Value<'a> {
    /// NULL.
    Null,
    /// A text.
    Text(&'a str),
    /// A 64-bit integer.
    Integer(i64),
}

impl<'a> Value<'a> {
    fn text(value: &'a Option<String>) -> Self {
        value.as_deref().map_or(Self::Null, Self::Text)
    }

    fn integer(value: Option<i64>) -> Self {
        value.map_or(Self::Null, Self::Integer)
    }
}

/// The `details` column: the parts of a message that no query looks at.
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Details<'m> {
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    labels: Cow<'m, BTreeMap<String, String>>,
    #[serde(default, skip_serializing_if = "<[_]>::is_empty")]
    links: Cow<'m, [Link]>,
    #[serde(default, skip_serializing_if = "<[_]>::is_empty")]
    images: Cow<'m, [String]>,
    #[serde(default, skip_serializing_if = "<[_]>::is_empty")]
    attachments: Cow<'m, [Attachment]>,
    #[serde(default, skip_serializing_if = "<[_]>::is_empty")]
    mentions: Cow<'m, [String]>,
    #[serde(default, skip_serializing_if = "<[_]>::is_empty")]
    to: Cow<'m, [String]>,
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    native: Cow<'m, BTreeMap<String, serde_json::Value>>,
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    require_ack: bool,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    ack_within_ms: Option<i64>,
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    resolve: bool,
}

/// Why a stored row is no message. It is shown to operators and never sent.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Damaged {
    /// The bytes are not those that were written.
    #[error("the stored message is damaged: its checksum is {found:08x} and should be {noted:08x}")]
    Checksum {
        /// Computed from the row.
        found: u32,
        /// Noted in the row.
        noted: i64,
    },
    /// A column cannot be read at all.
    #[error("the stored message cannot be read: {0}")]
    Unreadable(String),
    /// It can be read and breaks a rule for messages; another program wrote it.
    #[error("the stored message is not valid: {0}")]
    Invalid(#[from] Invalid),
}

impl Row {
    /// Checks `message` and lays it out as a row.
    ///
    /// # Errors
    /// What [`Message::validate`] finds.
    pub fn new(id: MessageId, message: &Message, created_at: Timestamp) -> Result<Self, Invalid> {
        message.validate()?;
        let details = Details {
            labels: Cow::Borrowed(&message.labels),
            links: Cow::Borrowed(&message.links),
            images: Cow::Borrowed(&message.images),
            attachments: Cow::Borrowed(&message.attachments),
            mentions: Cow::Borrowed(&message.mentions),
            to: Cow::Borrowed(&message.to),
            native: Cow::Borrowed(&message.native),
            require_ack: message.require_ack,
            ack_within_ms: message.ack_within.map(milliseconds),
            resolve: message.resolve,
        };
        let details = serde_json::to_string(&details).map_err(|e| Invalid {
            field: "message".into(),
            problem: format!("is no JSON: {e}"),
        })?;
        let mut row = Self {
            id: id.to_string(),
            level: message.level.name().to_owned(),
            title: message.title.clone(),
            body: message.body.clone(),
            details,
            idempotency_key: message.idempotency_key.clone(),
            dedup_key: message.dedup_key.clone(),
            delay_ms: message.delay.map(milliseconds),
            ttl_ms: message.ttl.map(milliseconds),
            created_at: created_at.unix_ms(),
            checksum: None,
        };
        row.checksum = Some(i64::from(row.checksum_of()));
        Ok(row)
    }

    /// What to bind to [`INSERT`], in order.
    pub fn values(&self) -> [Value<'_>; 11] {
        [
            Value::Text(&self.id),
            Value::Text(&self.level),
            Value::Text(&self.title),
            Value::Text(&self.body),
            Value::Text(&self.details),
            Value::text(&self.idempotency_key),
            Value::text(&self.dedup_key),
            Value::integer(self.delay_ms),
            Value::integer(self.ttl_ms),
            Value::Integer(self.created_at),
            Value::integer(self.checksum),
        ]
    }

    /// CRC-32 (IEEE, as in zlib) over all columns but the checksum, in order, each followed by the byte
    /// `0x1f`; NULL counts as empty and integers as decimal digits.
    pub fn checksum_of(&self) -> u32 {
        let mut hasher = crc32fast::Hasher::new();
        for value in self.values().iter().take(10) {
            match value {
                Value::Null => (),
                Value::Text(text) => hasher.update(text.as_bytes()),
                Value::Integer(n) => hasher.update(n.to_string().as_bytes()),
            }
            hasher.update(&[0x1f]);
        }
        hasher.finalize()
    }

    /// Whether both rows ask for the same thing: all but id, time and checksum.
    pub fn is_same_request(&self, other: &Self) -> bool {
        let anonymous =
            |row: &Self| Self { id: String::new(), created_at: 0, checksum: None, ..row.clone() };
        anonymous(self) == anonymous(other)
    }

    /// The message in this row, checked as if it had just been written.
    ///
    /// # Errors
    /// [`Damaged`] if it cannot be trusted or breaks the rules.
    pub fn message(&self) -> Result<Message, Damaged> {
        self.message_of(self.checksum_of())
    }

    /// As [`Row::message`], for whoever knows [`Row::checksum_of`] this row.
    pub(crate) fn message_of(&self, found: u32) -> Result<Message, Damaged> {
        if let Some(noted) = self.checksum.filter(|noted| *noted != i64::from(found)) {
            return Err(Damaged::Checksum { found, noted });
        }
        let unreadable = |e: &dyn std::fmt::Display| Damaged::Unreadable(e.to_string());
        let level: Level = self.level.parse().map_err(|e| unreadable(&e))?;
        let details: Details<'_> = serde_json::from_str(&self.details)
            .map_err(|e| Damaged::Unreadable(format!("details: {e}")))?;
        let mut message = Message::new(level, self.title.as_str());
        message.body.clone_from(&self.body);
        message.labels = details.labels.into_owned();
        message.links = details.links.into_owned();
        message.images = details.images.into_owned();
        message.attachments = details.attachments.into_owned();
        message.mentions = details.mentions.into_owned();
        message.to = details.to.into_owned();
        message.native = details.native.into_owned();
        message.require_ack = details.require_ack;
        message.ack_within = details.ack_within_ms.map(duration).transpose()?;
        message.resolve = details.resolve;
        message.idempotency_key.clone_from(&self.idempotency_key);
        message.dedup_key.clone_from(&self.dedup_key);
        message.delay = self.delay_ms.map(duration).transpose()?;
        message.ttl = self.ttl_ms.map(duration).transpose()?;
        message.validate()?;
        Ok(message)
    }
}

fn milliseconds(length: Duration) -> i64 {
    i64::try_from(length.as_millis()).unwrap_or(i64::MAX)
}

fn duration(ms: i64) -> Result<Duration, Damaged> {
    let ms =
        u64::try_from(ms).map_err(|_| Damaged::Unreadable(format!("{ms} is no length of time")))?;
    Ok(Duration::from_millis(ms))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn row() -> Row {
        let mut message = Message::new(Level::Critical, "磁盘满 disk full");
        message.labels.insert("host".into(), "db-1".into());
        message.idempotency_key = Some("k".into());
        message.ttl = Some(Duration::from_secs(60));
        Row::new(MessageId::new(Timestamp::EPOCH, [1; 10]), &message, Timestamp::EPOCH).unwrap()
    }

    #[test]
    fn a_row_reads_back_as_the_message_it_was() {
        let message = row().message().unwrap();
        assert_eq!(Row::new(row().id.parse().unwrap(), &message, Timestamp::EPOCH).unwrap(), row());
    }

    #[test]
    fn one_flipped_bit_anywhere_is_noticed() {
        let row = row();
        for n in 0..row.body.len().max(row.title.len()) * 8 {
            let mut bytes = row.title.clone().into_bytes();
            let Some(byte) = bytes.get_mut(n / 8) else { break };
            *byte ^= 1 << (n % 8);
            let Ok(title) = String::from_utf8(bytes) else { continue };
            let damaged = Row { title, ..row.clone() };
            assert!(matches!(damaged.message(), Err(Damaged::Checksum { .. })));
        }
        let moved = Row { ttl_ms: None, delay_ms: row.ttl_ms, ..row.clone() };
        assert!(moved.message().is_err());
    }

    #[test]
    fn a_row_without_checksum_is_trusted_but_still_checked() {
        let plain = Row { checksum: None, ..row() };
        assert!(plain.message().is_ok());
        for damaged in [
            Row { title: "a\u{7}b".into(), ..plain.clone() },
            Row { details: "[".into(), ..plain.clone() },
            Row { details: r#"{"lables":{}}"#.into(), ..plain.clone() },
            Row { level: "loud".into(), ..plain.clone() },
            Row { ttl_ms: Some(-1), ..plain.clone() },
        ] {
            assert!(damaged.message().is_err(), "{damaged:?}");
        }
    }
}
