//! What stands in the database, read past the store.

use rusqlite::{Connection, OpenFlags, Row};
use std::collections::BTreeMap;
use std::path::Path;

const MESSAGES: &str = "
    SELECT m.seq, m.id,
           CASE WHEN p.seq IS NULL AND m.seq > coalesce(
                    (SELECT min(n) FROM callout_counter WHERE name LIKE 'planned%'), m.seq - 1)
                THEN 'new' ELSE p.state END,
           p.alert
      FROM callout_message m LEFT JOIN callout_progress p ON p.seq = m.seq";
const DELIVERIES: &str = "
    SELECT id, message_seq, receiver, state, channel, round, tries, lease_token, lease_owner,
           lease_until, decision, expires_at, ended_at, cause
      FROM callout_delivery";
const ATTEMPTS: &str = "SELECT delivery_id, number, channel, outcome, late FROM callout_attempt";
const ALERTS: &str = "SELECT seq, state, timer, decision, due_at, since FROM callout_alert";
const STEPS: &str = "SELECT alert, decision, at, cause, receivers, due_at FROM callout_step";
const WORKERS: &str = "SELECT id, started_at FROM callout_worker";
const COUNTERS: &str = "SELECT name, n FROM callout_counter WHERE n <> 0";

/// By how much everything was moved because the clock was set, and whether that is not over yet.
const BASE: &str = "clock:base";
const LEFT: &str = "clock:left";
/// What is counted, as the names of counts begin.
const COUNTED: [&str; 3] = ["messages:", "deliveries:", "attempts:"];

#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct MessageRow {
    pub(crate) seq: i64,
    pub(crate) state: Option<String>,
    pub(crate) alert: Option<i64>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct DeliveryRow {
    pub(crate) message: i64,
    pub(crate) receiver: String,
    pub(crate) state: String,
    pub(crate) channel: String,
    pub(crate) round: i64,
    pub(crate) tries: i64,
    pub(crate) token: i64,
    pub(crate) owner: Option<String>,
    pub(crate) until: Option<i64>,
    pub(crate) decision: Option<i64>,
    pub(crate) expires_at: i64,
    pub(crate) ended_at: Option<i64>,
    pub(crate) cause: Option<String>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct AttemptRow {
    pub(crate) channel: String,
    pub(crate) outcome: String,
    pub(crate) late: bool,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct AlertRow {
    pub(crate) state: String,
    pub(crate) timer: String,
    pub(crate) decision: i64,
    pub(crate) due_at: Option<i64>,
    pub(crate) since: i64,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct StepRow {
    pub(crate) at: i64,
    pub(crate) cause: String,
    pub(crate) receivers: Vec<String>,
    pub(crate) due_at: Option<i64>,
}

/// Everything that stands in the database at one moment.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Snapshot {
    /// By id.
    pub(crate) messages: BTreeMap<String, MessageRow>,
    pub(crate) deliveries: BTreeMap<i64, DeliveryRow>,
    /// By delivery and number.
    pub(crate) attempts: BTreeMap<(i64, i64), AttemptRow>,
    /// By the message's row.
    pub(crate) alerts: BTreeMap<i64, AlertRow>,
    /// By alert and decision.
    pub(crate) steps: BTreeMap<(i64, i64), StepRow>,
    /// When each began.
    pub(crate) workers: BTreeMap<String, i64>,
    pub(crate) counters: BTreeMap<String, i64>,
    /// By how many milliseconds what waits was moved because the clock was set.
    pub(crate) base: i64,
    /// Whether it is being moved.
    pub(crate) is_moving: bool,
}

/// A connection of its own, which only reads.
#[derive(Debug)]
pub(crate) struct Audit {
    connection: Connection,
    version: i64,
}

impl Audit {
    pub(crate) fn open(database: &Path) -> Self {
        let flags = OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_NO_MUTEX;
        let connection = Connection::open_with_flags(database, flags).unwrap();
        Self { connection, version: -1 }
    }

    /// Whatever stands there now, if anything has changed since the last look.
    pub(crate) fn look(&mut self) -> Option<Snapshot> {
        let version = self.one("PRAGMA data_version");
        if version == self.version {
            return None;
        }
        self.version = version;
        let mut counters: BTreeMap<String, i64> =
            self.all(COUNTERS, |row| Ok((row.get(0)?, row.get(1)?)));
        let (base, is_moving) = (counters.get(BASE).copied(), counters.contains_key(LEFT));
        // The others say how far the database has come.
        counters.retain(|name, _| COUNTED.iter().any(|what| name.starts_with(what)));
        Some(Snapshot {
            messages: self.all(MESSAGES, |row| {
                let message =
                    MessageRow { seq: row.get(0)?, state: row.get(2)?, alert: row.get(3)? };
                Ok((row.get(1)?, message))
            }),
            deliveries: self.all(DELIVERIES, delivery),
            attempts: self.all(ATTEMPTS, |row| {
                let attempt =
                    AttemptRow { channel: row.get(2)?, outcome: row.get(3)?, late: row.get(4)? };
                Ok(((row.get(0)?, row.get(1)?), attempt))
            }),
            alerts: self.all(ALERTS, |row| {
                let alert = AlertRow {
                    state: row.get(1)?,
                    timer: row.get(2)?,
                    decision: row.get(3)?,
                    due_at: row.get(4)?,
                    since: row.get(5)?,
                };
                Ok((row.get(0)?, alert))
            }),
            steps: self.all(STEPS, |row| {
                let receivers: String = row.get(4)?;
                let step = StepRow {
                    at: row.get(2)?,
                    cause: row.get(3)?,
                    receivers: serde_json::from_str(&receivers).unwrap(),
                    due_at: row.get(5)?,
                };
                Ok(((row.get(0)?, row.get(1)?), step))
            }),
            workers: self.all(WORKERS, |row| Ok((row.get(0)?, row.get(1)?))),
            counters,
            base: base.unwrap_or(0),
            is_moving,
        })
    }

    fn one(&self, sql: &str) -> i64 {
        self.connection.prepare_cached(sql).unwrap().query_row([], |row| row.get(0)).unwrap()
    }

    fn all<K: Ord, V>(
        &self,
        sql: &str,
        read: impl FnMut(&Row<'_>) -> rusqlite::Result<(K, V)>,
    ) -> BTreeMap<K, V> {
        let mut statement = self.connection.prepare_cached(sql).unwrap();
        let rows = statement.query_map([], read).unwrap();
        rows.collect::<Result<_, _>>().unwrap()
    }
}

fn delivery(row: &Row<'_>) -> rusqlite::Result<(i64, DeliveryRow)> {
    let delivery = DeliveryRow {
        message: row.get(1)?,
        receiver: row.get(2)?,
        state: row.get(3)?,
        channel: row.get(4)?,
        round: row.get(5)?,
        tries: row.get(6)?,
        token: row.get(7)?,
        owner: row.get(8)?,
        until: row.get(9)?,
        decision: row.get(10)?,
        expires_at: row.get(11)?,
        ended_at: row.get(12)?,
        cause: row.get(13)?,
    };
    Ok((row.get(0)?, delivery))
}
