//! A database as it looks after years, made in minutes: for measurements.
//!
//! It writes the rows that planning, claiming and settling would have written, many in a transaction
//! and without waiting for the disk. Only a database that was made here is filled.

use super::attempt;
use super::counter::Count;
use super::fault::broken;
use super::plan;
use super::row::{Delivery, urgency};
use super::tx::{Db, Statements, Tx};
use super::{Create, SqliteStore, connection, enqueue, unplanned};
use crate::error::StoreError;
use crate::model::{Attempt, NewMessage};
use callout_core::delivery::{Place, Standing, State, Wait};
use callout_core::id::{ChannelName, DeliveryId, MessageId, ReceiverName};
use callout_core::message::Message;
use callout_core::outcome::{Outcome, Reason};
use callout_core::plan::MessageState;
use callout_core::time::Timestamp;
use rusqlite::{Connection, named_params};
use std::path::Path;
use std::time::Duration;

pub(super) const DELIVERY: &str = "
    INSERT INTO callout_delivery
           (message_seq, receiver, urgency, expires_at, state, channel, tries, ready_at, wait,
            lease_token, ended_at, checksum)
    VALUES (:message, :receiver, :urgency, :expires_at, :state, :channel, :tries, :ready_at, :wait,
            :token, :ended_at, :checksum)";

const BEGIN: &str = "BEGIN IMMEDIATE";
const COMMIT: &str = "COMMIT";

/// What a filled-in message has behind it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Past {
    /// It was accepted at the first try, a second after it was enqueued.
    Accepted,
    /// It waits, and may go at the given time.
    Waiting(Timestamp),
}

/// Fills a database.
#[derive(Debug)]
pub struct Filler {
    connection: Connection,
    receiver: ReceiverName,
    channel: ChannelName,
    /// For ids: none comes twice.
    count: u64,
}

impl Filler {
    /// Creates an outbox at `path`, where there must be none. All messages go to `receiver` on `channel`.
    ///
    /// # Errors
    /// What the disk says.
    pub fn create(
        path: &Path,
        receiver: ReceiverName,
        channel: ChannelName,
        now: Timestamp,
    ) -> Result<Self, StoreError> {
        if path.exists() {
            return Err(StoreError::Unfit("there is a file of that name".to_owned()));
        }
        drop(SqliteStore::open(path, Create::IfMissing, now)?);
        let connection = connection::writer(path)?;
        connection
            .pragma_update(None, "synchronous", "OFF")
            .map_err(broken("configure the database"))?;
        Ok(Self { connection, receiver, channel, count: 0 })
    }

    /// Adds `n` messages that were enqueued at `created_at`, in one transaction.
    ///
    /// # Errors
    /// What the disk says.
    pub fn add(
        &mut self,
        n: usize,
        message: &Message,
        created_at: Timestamp,
        past: Past,
    ) -> Result<(), StoreError> {
        let run = |sql: &'static str| {
            let mut statement = self.connection.prepare_cached(sql)?;
            statement.execute([]).map(drop)
        };
        run(BEGIN).map_err(broken("fill the database"))?;
        let statements = Statements::of(&self.connection);
        let mut tx = Tx::new(&statements);
        for k in 0..n {
            let entropy = entropy(self.count + u64::try_from(k).unwrap_or(0));
            let id = MessageId::new(created_at, entropy);
            let new = NewMessage { id, created_at, message: message.clone() };
            self.write(&mut tx, &new, past)?;
        }
        unplanned::reach(&tx, tx.news.message)?;
        tx.counters.write(Db::new(&statements))?;
        self.count += u64::try_from(n).unwrap_or(0);
        run(COMMIT).map_err(broken("fill the database"))
    }

    fn write(&self, tx: &mut Tx<'_>, new: &NewMessage, past: Past) -> Result<(), StoreError> {
        enqueue::insert(tx, new)?;
        let seq = tx.db.last_rowid();
        let ended_at = new.created_at + Duration::from_secs(1);
        let (state, standing, ready_at, ended_at) = match past {
            Past::Accepted => {
                (MessageState::Accepted, Standing::Accepted, new.created_at, Some(ended_at))
            }
            Past::Waiting(at) => (MessageState::Pending, Standing::Ready, at, None),
        };
        let planned = named_params! {
            ":seq": seq, ":state": state.name(), ":why": "filled in",
            ":settled_at": ended_at.map(Timestamp::unix_ms), ":alert": None::<i64>,
            ":content": None::<i64>,
        };
        tx.db.execute("fill the database", plan::PLANNED, planned)?;
        let tries = i64::from(ended_at.is_some());
        let row = self.row(seq, new, ready_at, ended_at);
        let delivery = named_params! {
            ":message": seq, ":receiver": self.receiver.as_str(),
            ":urgency": urgency(new.message.level),
            ":expires_at": (new.created_at + YEAR).unix_ms(), ":state": standing.name(),
            ":channel": self.channel.as_str(), ":tries": tries, ":ready_at": ready_at.unix_ms(),
            ":wait": row.wait.name(), ":token": tries,
            ":ended_at": ended_at.map(Timestamp::unix_ms), ":checksum": row.checksum(),
        };
        tx.db.execute("fill the database", DELIVERY, delivery)?;
        tx.counters.add(Count::Messages(state), 1);
        tx.counters.add(Count::deliveries(&self.channel, standing), 1);
        if let Some(ended_at) = ended_at {
            let delivery = DeliveryId(tx.db.last_rowid());
            attempt::write(tx, delivery, &self.attempt(new.created_at, ended_at))?;
        }
        Ok(())
    }

    fn row(
        &self,
        seq: i64,
        new: &NewMessage,
        ready_at: Timestamp,
        ended_at: Option<Timestamp>,
    ) -> Delivery {
        let tries = u32::from(ended_at.is_some());
        let channel = self.channel.clone();
        let (attempt, failover_at, round, plain, soft) = (0, None, 0, false, false);
        let place = Place { channel, attempt, failover_at, round, plain, soft, tries };
        let wait = if new.message.delay.is_some() { Wait::Delay } else { Wait::New };
        Delivery {
            id: 0,
            message: seq,
            receiver: self.receiver.clone(),
            level: new.message.level,
            expires_at: new.created_at + YEAR,
            state: match ended_at {
                Some(at) => State::Accepted { at, place },
                None => State::Ready { at: ready_at, wait, place },
            },
            ready_at,
            wait,
            token: i64::from(tries),
            leased_at: None,
            decision: None,
        }
    }

    fn attempt(&self, due_at: Timestamp, ended_at: Timestamp) -> Attempt {
        Attempt {
            number: 1,
            channel: self.channel.clone(),
            due_at,
            wait: Wait::New,
            started_at: due_at,
            duration: ended_at.since(due_at),
            outcome: Outcome::Accepted(Reason::new(200, "filled in")),
        }
    }
}

/// Longer than any measurement.
const YEAR: Duration = Duration::from_secs(365 * 24 * 3600);

/// Different for every `n`.
fn entropy(n: u64) -> [u8; 10] {
    let mut bytes = [0; 10];
    for (to, from) in bytes.iter_mut().rev().zip(n.to_le_bytes()) {
        *to = from;
    }
    bytes
}
