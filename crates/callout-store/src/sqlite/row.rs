//! How rows become values. The only place that knows columns by position.

use super::counter::Count;
use crate::enqueue::{Damaged, Row as Stored};
use callout_core::delivery::{Cause, Lease, Place, Standing, State, Wait};
use callout_core::id::{ChannelName, MessageId, ReceiverName};
use callout_core::level::Level;
use callout_core::message::Message;
use callout_core::time::Timestamp;
use rusqlite::Row;
use rusqlite::types::{Type, ValueRef};
use std::str::FromStr;
use std::sync::Arc;

/// The columns [`delivery`] reads.
macro_rules! delivery_columns {
    () => {
        "id, message_seq, receiver, urgency, expires_at, state, channel, attempt, failover_at,
         round, plain, soft, tries, ready_at, wait, lease_owner, lease_token, lease_until,
         leased_at, ended_at, cause, decision, checksum"
    };
}
/// The columns [`message`] reads, after the row's number.
macro_rules! message_columns {
    () => {
        "m.seq, m.id, m.level, m.title, m.body, m.details, m.idempotency_key, m.dedup_key,
         m.delay_ms, m.ttl_ms, m.created_at, m.checksum"
    };
}
pub(super) use {delivery_columns, message_columns};

/// A row of `callout_delivery`.
#[derive(Clone, Debug)]
pub(super) struct Delivery {
    pub(super) id: i64,
    /// The message's row.
    pub(super) message: i64,
    pub(super) receiver: ReceiverName,
    pub(super) level: Level,
    pub(super) expires_at: Timestamp,
    pub(super) state: State,
    /// When it is, or had become, due.
    pub(super) ready_at: Timestamp,
    /// Why it is, or was, waiting.
    pub(super) wait: Wait,
    /// The token of the latest lease.
    pub(super) token: i64,
    pub(super) leased_at: Option<Timestamp>,
    /// Which decision of the message's alert told this receiver.
    pub(super) decision: Option<u32>,
}

impl Delivery {
    /// This row once `after` has been written to it at `now`.
    pub(super) fn became(&self, after: &State, now: Timestamp) -> Self {
        let (ready_at, wait) = match after {
            State::Ready { at, wait, .. } => (*at, *wait),
            _ => (self.ready_at, self.wait),
        };
        let lease = match after {
            State::Leased { lease, .. } => Some(lease),
            _ => None,
        };
        Self {
            state: after.clone(),
            ready_at,
            wait,
            token: lease.map_or(self.token, |lease| lease.token),
            leased_at: lease.map(|_| now),
            ..self.clone()
        }
    }

    /// CRC-32 (IEEE) over everything but the number, each value followed by the byte `0x1f`. It is kept in
    /// databases, so it stays as it is.
    pub(super) fn checksum(&self) -> u32 {
        let mut sum = Sum(crc32fast::Hasher::new());
        let place = self.state.place();
        sum.number(self.message);
        sum.text(self.receiver.as_str());
        sum.number(urgency(self.level));
        sum.number(self.expires_at.unix_ms());
        sum.text(self.state.name());
        sum.text(place.channel.as_str());
        sum.number(i64::from(place.attempt));
        sum.option(place.failover_at.map(Timestamp::unix_ms));
        sum.number(i64::from(place.round));
        sum.number(i64::from(place.plain));
        sum.number(i64::from(place.soft));
        sum.number(i64::from(place.tries));
        sum.number(self.ready_at.unix_ms());
        sum.text(self.wait.name());
        sum.number(self.token);
        sum.option(self.decision.map(i64::from));
        match &self.state {
            State::Ready { .. } => (),
            State::Leased { lease, .. } => {
                sum.text(&lease.owner.to_string());
                sum.number(lease.until.unix_ms());
                sum.option(self.leased_at.map(Timestamp::unix_ms));
            }
            State::Dead { at, cause, .. } => {
                sum.number(at.unix_ms());
                sum.text(cause.name());
            }
            State::Accepted { at, .. }
            | State::Expired { at, .. }
            | State::Cancelled { at, .. } => {
                sum.number(at.unix_ms());
            }
        }
        sum.0.finalize()
    }
}

/// Adds up what a row says.
struct Sum(crc32fast::Hasher);

impl Sum {
    fn text(&mut self, text: &str) {
        self.0.update(text.as_bytes());
        self.0.update(&[0x1f]);
    }

    fn number(&mut self, n: i64) {
        self.0.update(&n.to_le_bytes());
        self.0.update(&[0x1f]);
    }

    fn option(&mut self, n: Option<i64>) {
        match n {
            Some(n) => self.number(n),
            None => self.text(""),
        }
    }
}

/// Reads [`delivery_columns`]; what is not as it was written cannot be read.
pub(super) fn delivery(row: &Row<'_>) -> rusqlite::Result<Delivery> {
    let delivery = as_found(row)?;
    let (found, noted) = (delivery.checksum(), row.get::<_, Option<i64>>(22)?);
    if let Some(noted) = noted.filter(|noted| *noted != i64::from(found)) {
        let problem = format!("its checksum is {found:08x} and should be {noted:08x}");
        return Err(strange(22, problem.into()));
    }
    Ok(delivery)
}

/// Reads [`delivery_columns`] without asking whether they are as they were written.
fn as_found(row: &Row<'_>) -> rusqlite::Result<Delivery> {
    let token = row.get(16)?;
    let (ready_at, wait) = (time(row.get(13)?), word(row, 14, Wait::from_name)?);
    let place = Place {
        channel: parsed(row, 6)?,
        attempt: row.get(7)?,
        failover_at: row.get::<_, Option<i64>>(8)?.map(time),
        round: row.get(9)?,
        plain: row.get(10)?,
        soft: row.get(11)?,
        tries: row.get(12)?,
    };
    let at = row.get::<_, Option<i64>>(19)?.map_or(Timestamp::EPOCH, time);
    let state = match word(row, 5, Standing::from_name)? {
        Standing::Ready => State::Ready { at: ready_at, wait, place },
        Standing::Leased => State::Leased {
            lease: Lease { owner: parsed(row, 15)?, token, until: time(row.get(17)?) },
            place,
        },
        Standing::Accepted => State::Accepted { at, place },
        Standing::Dead => State::Dead { at, cause: word(row, 20, Cause::from_name)?, place },
        Standing::Expired => State::Expired { at, place },
        Standing::Cancelled => State::Cancelled { at, place },
    };
    Ok(Delivery {
        id: row.get(0)?,
        message: row.get(1)?,
        receiver: parsed(row, 2)?,
        level: level(row.get(3)?),
        expires_at: Timestamp::from_unix_ms(row.get(4)?)
            .ok_or_else(|| strange(4, "expires_at is no time".into()))?,
        state,
        ready_at,
        wait,
        token,
        leased_at: row.get::<_, Option<i64>>(18)?.map(time),
        decision: row.get(21)?,
    })
}

/// Stands for a receiver or channel whose name was damaged.
pub(super) static UNREADABLE: &str = "unreadable";

/// What can still be said about a damaged row of `callout_delivery`.
#[derive(Debug)]
pub(super) struct Remains {
    pub(super) id: i64,
    /// The message's row.
    pub(super) message: i64,
    pub(super) receiver: ReceiverName,
    /// As what it was counted, if that can be told.
    pub(super) counted: Option<Count>,
    pub(super) problem: String,
}

/// Reads what is left in [`delivery_columns`].
pub(super) fn remains(row: &Row<'_>, problem: &rusqlite::Error) -> rusqlite::Result<Remains> {
    let unknown = || UNREADABLE.parse().map_err(|e| strange(2, Box::new(e)));
    let standing = Standing::from_name(&lossy(row, 5)?);
    let channel = lossy(row, 6)?.parse::<ChannelName>().ok();
    Ok(Remains {
        id: row.get(0)?,
        message: row.get(1)?,
        receiver: lossy(row, 2)?.parse().or_else(|_| unknown())?,
        counted: channel.zip(standing).map(|(c, s)| Count::deliveries(&c, s)),
        problem: problem.to_string(),
    })
}

/// Reads [`delivery_columns`] for people: as they are found, or as set aside if nothing can be made of them.
pub(super) fn shown(row: &Row<'_>) -> rusqlite::Result<Delivery> {
    as_found(row).or_else(|problem| {
        let Remains { id, message, receiver, .. } = remains(row, &problem)?;
        let channel = UNREADABLE.parse().map_err(|e| strange(6, Box::new(e)))?;
        let (failover_at, plain, soft) = (None, false, false);
        let place = Place { channel, attempt: 0, failover_at, round: 0, plain, soft, tries: 0 };
        let at = Timestamp::EPOCH;
        Ok(Delivery {
            id,
            message,
            receiver,
            level: Level::Info,
            expires_at: at,
            state: State::Dead { at, cause: Cause::Quarantined, place },
            ready_at: at,
            wait: Wait::New,
            token: 0,
            leased_at: None,
            decision: None,
        })
    })
}

/// Reads [`message_columns`]: the row's number, and its contents unless they are damaged.
pub(super) fn message(row: &Row<'_>) -> rusqlite::Result<(i64, Result<Stored, Damaged>)> {
    Ok((row.get(0)?, stored(row)))
}

fn stored(row: &Row<'_>) -> Result<Stored, Damaged> {
    Ok(Stored {
        id: text(row, 1)?,
        level: text(row, 2)?,
        title: text(row, 3)?,
        body: text(row, 4)?,
        details: text(row, 5)?,
        idempotency_key: optional_text(row, 6)?,
        dedup_key: optional_text(row, 7)?,
        delay_ms: integer(row, 8)?,
        ttl_ms: integer(row, 9)?,
        created_at: integer(row, 10)?.ok_or_else(|| unreadable(10, "it is missing"))?,
        checksum: integer(row, 11)?,
    })
}

fn text(row: &Row<'_>, column: usize) -> Result<String, Damaged> {
    optional_text(row, column)?.ok_or_else(|| unreadable(column, "it is missing"))
}

fn optional_text(row: &Row<'_>, column: usize) -> Result<Option<String>, Damaged> {
    match row.get_ref(column).map_err(|e| unreadable(column, e))? {
        ValueRef::Null => Ok(None),
        ValueRef::Text(bytes) => {
            let text = std::str::from_utf8(bytes).map_err(|e| unreadable(column, e))?;
            Ok(Some(text.to_owned()))
        }
        ValueRef::Integer(_) | ValueRef::Real(_) | ValueRef::Blob(_) => {
            Err(unreadable(column, "it is no text"))
        }
    }
}

fn integer(row: &Row<'_>, column: usize) -> Result<Option<i64>, Damaged> {
    row.get(column).map_err(|e| unreadable(column, e))
}

fn unreadable(column: usize, problem: impl std::fmt::Display) -> Damaged {
    let name = ["seq", "id", "level", "title", "body", "details"].get(column).copied();
    Damaged::Unreadable(format!("{}: {problem}", name.unwrap_or("another column")))
}

/// A message that can be trusted.
#[derive(Clone, Debug)]
pub(super) struct Trusted {
    pub(super) id: MessageId,
    pub(super) created_at: Timestamp,
    pub(super) message: Arc<Message>,
    /// CRC-32 over all of it.
    pub(super) content: u32,
}

/// Checks a row as if it had just been written.
pub(super) fn trusted(row: Result<Stored, Damaged>) -> Result<Trusted, Damaged> {
    let row = row?;
    let content = row.checksum_of();
    let message = Arc::new(row.message_of(content)?);
    let id = row.id.parse().map_err(|e| Damaged::Unreadable(format!("id: {e}")))?;
    let created_at = Timestamp::from_unix_ms(row.created_at)
        .ok_or_else(|| Damaged::Unreadable("created_at is no time".to_owned()))?;
    Ok(Trusted { id, created_at, message, content })
}

/// A column as text, with whatever is no UTF-8 replaced.
pub(super) fn lossy(row: &Row<'_>, column: usize) -> rusqlite::Result<String> {
    Ok(match row.get_ref(column)? {
        ValueRef::Text(bytes) | ValueRef::Blob(bytes) => {
            String::from_utf8_lossy(bytes).into_owned()
        }
        ValueRef::Integer(n) => n.to_string(),
        ValueRef::Null | ValueRef::Real(_) => String::new(),
    })
}

/// A time; one outside the calendar becomes its nearest end.
pub(super) fn time(ms: i64) -> Timestamp {
    Timestamp::from_unix_ms(ms).unwrap_or(if ms < 0 { Timestamp::EPOCH } else { Timestamp::LAST })
}

/// A level as the number that urgency is sorted by.
pub(super) fn urgency(level: Level) -> i64 {
    match level {
        Level::Info => 0,
        Level::Warning => 1,
        Level::Error => 2,
        Level::Critical => 3,
    }
}

fn level(urgency: i64) -> Level {
    match urgency {
        ..=0 => Level::Info,
        1 => Level::Warning,
        2 => Level::Error,
        3.. => Level::Critical,
    }
}

/// A column whose words are fixed.
pub(super) fn word<T>(
    row: &Row<'_>,
    column: usize,
    read: impl FnOnce(&str) -> Option<T>,
) -> rusqlite::Result<T> {
    let text = row.get_ref(column)?.as_str()?;
    read(text).ok_or_else(|| strange(column, format!("{text:?} is no word known here").into()))
}

/// A column that holds a channel's name, which may be damaged.
pub(super) fn named(row: &Row<'_>, column: usize) -> rusqlite::Result<ChannelName> {
    let name = lossy(row, column)?.parse();
    name.or_else(|_| UNREADABLE.parse()).map_err(|e| strange(column, Box::new(e)))
}

/// A column that holds a name.
pub(super) fn parsed<T: FromStr>(row: &Row<'_>, column: usize) -> rusqlite::Result<T>
where
    T::Err: std::error::Error + Send + Sync + 'static,
{
    row.get_ref(column)?.as_str()?.parse().map_err(|e: T::Err| strange(column, Box::new(e)))
}

fn strange(column: usize, problem: crate::error::BackendError) -> rusqlite::Error {
    rusqlite::Error::FromSqlConversionFailure(column, Type::Text, problem)
}
