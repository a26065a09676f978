//! A worker that starts on a disk after a loss of power.

use super::image::Promised;
use crate::stage::clock::VirtualClock;
use crate::stage::sink::Sink;
use callout_channels::{Channel, Settings, TimeZone, Transport};
use callout_client::rusqlite::Connection;
use callout_core::id::WorkerId;
use callout_core::locale::Locale;
use callout_core::plan::Directory;
use callout_core::rate::Rate;
use callout_core::receiver::Receiver;
use callout_core::retry::RetryPolicy;
use callout_core::route::Route;
use callout_store::SqliteStore;
use callout_store::clock::{Clock, SystemClock};
use callout_worker::{LEASE, LaneSetup, People, Presence, Setup, Worker};
use serde_json::json;
use std::collections::BTreeSet;
use std::path::Path;
use std::sync::Arc;

/// A worker with the channel and the receiver that the recorded programs have.
pub(super) struct Drain {
    transport: Transport,
    directory: Arc<Directory>,
}

impl Drain {
    pub(super) fn new() -> Self {
        let ops = Receiver {
            name: "ops".parse().unwrap(),
            channels: vec!["hook".parse().unwrap()],
            failover_after: None,
            mention_all: false,
            mention: vec![],
        };
        let to = vec![ops.name.clone()];
        let directory = Directory {
            routes: vec![Route { levels: vec![], labels: vec![], to, escalation: None }],
            operator: Some(ops.name.clone()),
            receivers: [(ops.name.clone(), ops)].into(),
            retry: RetryPolicy::default(),
            follow_up: true,
            locale: Locale::English,
            costly: BTreeSet::new(),
            ringing: BTreeSet::new(),
        };
        Self {
            transport: Transport::new(Settings::default()).unwrap(),
            directory: Arc::new(directory),
        }
    }

    /// Lets a worker do all that is due once the leases of the dead have ended. Everything that was
    /// acknowledged has then reached the provider, before or after.
    pub(super) async fn run(
        &self,
        folder: &Path,
        store: SqliteStore,
        promised: &Promised<'_>,
    ) -> Result<(), String> {
        let sink = Sink::start().await;
        let database = folder.join("callout.db");
        let clock = Arc::new(VirtualClock::new());
        clock.set(SystemClock.now() + LEASE * 2);
        let id = WorkerId::new(clock.now(), clock.entropy());
        let hook = json!({ "url": sink.address("hook") });
        let setup = Setup {
            store: Arc::new(store),
            clock: clock.clone(),
            directory: self.directory.clone(),
            lanes: vec![LaneSetup {
                name: "hook".parse().unwrap(),
                channel: Arc::new(Channel::build("webhook", hook).unwrap()),
                rate: "none".parse::<Rate>().unwrap(),
                permits: 8,
            }],
            transport: self.transport.clone(),
            people: People::default(),
            links: None,
            zone: TimeZone::UTC,
            presence: Presence::beside(&database, id).map_err(|e| e.to_string())?,
            poll: LEASE,
        };
        let mut worker = Worker::spawn(setup).await.map_err(|e| e.to_string())?;
        let idle = worker.idle().await.map_err(|e| e.to_string());
        worker.stop();
        let ended = worker.ended().await.map_err(|e| e.to_string());
        idle.and(ended)?;
        let received = sink.received();
        let reached: BTreeSet<&str> =
            received.iter().map(|r| r.header("webhook-id").trim_start_matches("msg_")).collect();
        let missing: Vec<&str> = promised
            .undeleted()
            .filter(|id| !reached.contains(id) && !promised.sent.contains(id))
            .collect();
        if !missing.is_empty() {
            return Err(format!("{} messages reach nobody, such as {}", missing.len(), missing[0]));
        }
        is_nothing_left(&database)
    }
}

fn is_nothing_left(database: &Path) -> Result<(), String> {
    let waiting = "
        SELECT (SELECT count(*) FROM callout_delivery WHERE state = 'ready' OR state = 'leased')
             + (SELECT count(*) FROM callout_outbox WHERE state = 'new')";
    let connection = Connection::open(database).map_err(|e| e.to_string())?;
    let left = connection.query_row(waiting, [], |row| row.get::<_, i64>(0));
    match left.map_err(|e| e.to_string())? {
        0 => Ok(()),
        n => Err(format!("the worker left {n} things undone")),
    }
}
