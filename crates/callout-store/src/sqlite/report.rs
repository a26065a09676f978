//! Telling the operator about what the store itself had to decide.

use super::body;
use super::delivery::Scene;
use super::enqueue;
use super::news;
use super::row::Delivery;
use super::tx::Tx;
use crate::error::StoreError;
use crate::model::NewMessage;
use callout_core::delivery::Notice;
use callout_core::id::{MessageId, ReceiverName, WorkerId};
use callout_core::level::Level;
use callout_core::message::{Message, TITLE_BYTES_MAX};
use callout_core::outcome::Reason;
use callout_core::plan;
use callout_core::time::Timestamp;
use rusqlite::named_params;

pub(super) const LAST_WORDS: &str = "
    SELECT code, detail FROM callout_attempt WHERE delivery_id = :delivery
     ORDER BY number DESC LIMIT 1";

/// Makes ids for reports from dice that were rolled elsewhere.
#[derive(Debug)]
pub(super) struct Ids {
    entropy: [u8; 10],
    made: u64,
}

impl Ids {
    pub(super) fn new(entropy: [u8; 10]) -> Self {
        Self { entropy, made: 0 }
    }

    /// Where nobody rolled dice: a worker's id is random, and each worker ends once.
    pub(super) fn of_worker(worker: WorkerId) -> Self {
        let digits = worker.to_string();
        let byte = |n: usize| digits.get(2 * n..2 * n + 2);
        let entropy = std::array::from_fn(|n| {
            byte(n + 6).and_then(|hex| u8::from_str_radix(hex, 16).ok()).unwrap_or(0)
        });
        Self::new(entropy)
    }

    /// For news of an alert that ends only once: its message's id is random.
    pub(super) fn of_message(id: MessageId) -> Self {
        let bytes = id.to_bytes();
        Self::new(std::array::from_fn(|n| bytes.get(n + 6).copied().unwrap_or(0)))
    }

    fn next(&mut self, now: Timestamp) -> MessageId {
        self.made += 1;
        let mut entropy = self.entropy;
        // From the end, where an id carries neither its version nor its variant.
        for (byte, count) in entropy.iter_mut().rev().zip(self.made.to_le_bytes()) {
            *byte ^= count;
        }
        MessageId::new(now, entropy)
    }
}

/// Reports on a delivery.
pub(super) fn delivery(
    tx: &mut Tx<'_>,
    scene: &mut Scene<'_>,
    notice: Notice,
    row: &Delivery,
) -> Result<(), StoreError> {
    let last_words = tx.db.one(
        "read the last answer",
        LAST_WORDS,
        named_params! {":delivery": row.id},
        |row| Ok(Reason { code: row.get(0)?, detail: row.get(1)? }.to_string()),
    )?;
    let about = body::rescued(tx, row.message)?;
    let last_words = last_words.unwrap_or_default();
    send(tx, scene, notice, &about, &row.receiver, &last_words)
}

/// Enqueues a report, if there is an operator to hear it.
pub(super) fn send(
    tx: &mut Tx<'_>,
    scene: &mut Scene<'_>,
    notice: Notice,
    about: &About,
    receiver: &ReceiverName,
    last_words: &str,
) -> Result<(), StoreError> {
    let About { id, message } = about;
    let Some(message) = plan::report(notice, scene.directory, message, *id, receiver, last_words)
    else {
        return Ok(());
    };
    post(tx, scene, message)
}

/// Enqueues news of the alert in row `alert`.
pub(super) fn post_about(
    tx: &mut Tx<'_>,
    scene: &mut Scene<'_>,
    message: Message,
    alert: i64,
) -> Result<(), StoreError> {
    match insert(tx, scene, message)? {
        Some(seq) => news::tie(tx, seq, alert),
        None => Ok(()),
    }
}

/// Enqueues a message of our own.
pub(super) fn post(
    tx: &mut Tx<'_>,
    scene: &mut Scene<'_>,
    message: Message,
) -> Result<(), StoreError> {
    insert(tx, scene, message).map(drop)
}

/// Enqueues a message and returns its row, if that is new. One that breaks a rule is dropped; what it is
/// about stands.
fn insert(
    tx: &mut Tx<'_>,
    scene: &mut Scene<'_>,
    message: Message,
) -> Result<Option<i64>, StoreError> {
    let report = NewMessage { id: scene.ids.next(scene.now), created_at: scene.now, message };
    match enqueue::insert(tx, &report) {
        Err(StoreError::Invalid(invalid)) => {
            tracing::error!(error = %invalid, "a report could not be enqueued");
            Ok(None)
        }
        result => Ok(result?.fresh.then(|| tx.db.last_rowid())),
    }
}

/// A message to report on, as far as it can be read.
#[derive(Clone, Debug)]
pub(super) struct About {
    pub(super) id: MessageId,
    pub(super) message: Message,
}

impl About {
    /// What is left of a damaged row: enough to recognise it by.
    pub(super) fn remains(id: &str, level: &str, title: &str) -> Self {
        let mut clean = String::new();
        for c in title.chars().filter(|c| !c.is_control()) {
            if clean.len() + c.len_utf8() > TITLE_BYTES_MAX {
                break;
            }
            clean.push(c);
        }
        let message = Message::new(level.parse().unwrap_or(Level::Error), clean);
        let id = id.parse().unwrap_or_else(|_| MessageId::new(Timestamp::EPOCH, [0; 10]));
        Self { id, message }
    }
}
