//! What became of alerts. What is open is counted by index; the rest is about the latest alerts only.

use super::alert;
use super::row::{lossy, time};
use super::stats::percentile;
use super::tx::Db;
use crate::error::StoreError;
use crate::model::{AlertCounts, AlertStats};
use callout_core::alert::Standing;
use callout_core::id::ReceiverName;
use callout_core::level::Level;
use rusqlite::named_params;
use std::collections::BTreeMap;
use std::time::Duration;

pub(super) const IN_STATE: &str = "SELECT count(*) FROM callout_alert WHERE state = :state";

pub(super) const EXHAUSTED: &str = "SELECT count(*) FROM callout_alert WHERE timer = 'exhausted'";

pub(super) const LATEST: &str = "
    SELECT a.seq, a.level, a.state, a.opened_at, a.acked_at,
           EXISTS (SELECT 1 FROM callout_step s
                    WHERE s.alert = a.seq AND (s.step > 0 OR s.round > 0)),
           EXISTS (SELECT 1 FROM callout_step s WHERE s.alert = a.seq AND s.due_at IS NULL)
      FROM callout_alert a
     ORDER BY a.seq DESC
     LIMIT 1000";

/// One of the latest alerts.
struct Latest {
    seq: i64,
    level: Option<Level>,
    open: bool,
    escalated: bool,
    exhausted: bool,
    time_to_ack: Option<Duration>,
}

/// What adds up to [`AlertCounts`].
#[derive(Default)]
struct Tally {
    counts: AlertCounts,
    times: Vec<Duration>,
}

impl Tally {
    fn add(&mut self, alert: &Latest) {
        self.counts.total += 1;
        self.counts.open += u64::from(alert.open);
        self.counts.escalated += u64::from(alert.escalated);
        self.counts.exhausted += u64::from(alert.exhausted);
        self.times.extend(alert.time_to_ack);
    }

    fn counts(mut self) -> AlertCounts {
        self.times.sort_unstable();
        let times = percentile(&self.times, 50).zip(percentile(&self.times, 90));
        AlertCounts { time_to_ack: times.map(|(p50, p90)| [p50, p90]), ..self.counts }
    }
}

/// Counts alerts.
pub(super) fn read(db: Db<'_>) -> Result<AlertStats, StoreError> {
    let (mut levels, mut receivers) = (BTreeMap::new(), BTreeMap::new());
    for alert in latest(db)? {
        if let Some(level) = alert.level {
            levels.entry(level).or_insert_with(Tally::default).add(&alert);
        }
        for name in alert::told(db, alert.seq)? {
            receivers.entry(name).or_insert_with(Tally::default).add(&alert);
        }
    }
    Ok(AlertStats {
        open: count(db, Standing::Open)?,
        acknowledged: count(db, Standing::Acknowledged)?,
        exhausted: number(db.one("count alerts", EXHAUSTED, &[], |row| row.get(0))?),
        levels: levels
            .into_iter()
            .map(|(level, tally): (Level, _)| (level, tally.counts()))
            .collect(),
        receivers: receivers
            .into_iter()
            .map(|(name, tally): (ReceiverName, _)| (name, tally.counts()))
            .collect(),
    })
}

fn latest(db: Db<'_>) -> Result<Vec<Latest>, StoreError> {
    db.all("read the latest alerts", LATEST, &[], |row| {
        // One that cannot be read must not keep the others from being counted.
        let number = |column| row.get::<_, Option<i64>>(column).unwrap_or(None);
        let opened_at = time(number(3).unwrap_or(0));
        Ok(Latest {
            seq: row.get(0)?,
            level: lossy(row, 1)?.parse().ok(),
            open: lossy(row, 2)? == Standing::Open.name(),
            escalated: row.get(5)?,
            exhausted: row.get(6)?,
            time_to_ack: number(4).map(|at| time(at).since(opened_at)),
        })
    })
}

fn count(db: Db<'_>, standing: Standing) -> Result<u64, StoreError> {
    let params = named_params! {":state": standing.name()};
    Ok(number(db.one("count alerts", IN_STATE, params, |row| row.get(0))?))
}

fn number(n: Option<i64>) -> u64 {
    n.and_then(|n| u64::try_from(n).ok()).unwrap_or(0)
}
