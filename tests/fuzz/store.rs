//! A store with an alert, a delivery under way, a dead one and a new message, to be damaged.

use crate::now;
use callout::config::{Config, ConfigErrors};
use callout_core::delivery::{Cause, State};
use callout_core::id::{MessageId, WorkerId};
use callout_core::level::Level;
use callout_core::message::Message;
use callout_core::outcome::{Outcome, Reason};
use callout_core::plan::Directory;
use callout_core::rate::Rate;
use callout_core::time::Timestamp;
use callout_store::clock::Reading;
use callout_store::model::{
    Actor, Answer, AnswerRequest, Attempt, ClaimRequest, Claimed, Command, CommandRequest,
    EscalateRequest, LaneAsk, NewMessage, PlanRequest, PruneRequest, Settlement,
};
use callout_store::{Create, SqliteStore, Store as _};
use rusqlite::types::Value;
use rusqlite::{Connection, params};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, OnceLock};
use std::time::Duration;
use tempfile::TempDir;

const CONFIG: &str = r#"
[operator]
receiver = "ops"
[channels.a]
kind = "webhook"
url = "http://127.0.0.1:9/"
[channels.b]
kind = "webhook"
url = "http://127.0.0.1:9/"
[receivers.ops]
channels = ["a", "b"]
[receivers.lead]
channels = ["b"]
[escalation.usual]
steps = [{ to = ["ops"], ack_within = "5m" }, { to = ["lead"], ack_within = "5m" }]
[[routes]]
to = ["ops"]
escalation = "usual"
"#;

/// What may be changed, each by its letter from `A` on: statements that take the value and the row.
const COLUMNS: &[(&str, &str)] = &[
    (
        "message",
        "id level title body details idempotency_key dedup_key delay_ms ttl_ms created_at checksum",
    ),
    ("progress", "state why settled_at alert again_at"),
    (
        "delivery",
        "receiver urgency expires_at state channel attempt failover_at round plain soft tries ready_at \
         wait lease_owner lease_token lease_until leased_at ended_at cause decision",
    ),
    (
        "alert",
        "level dedup_key state by at via acked_by acked_at epoch opened_at policy timer decision step \
         round cause since late_ms due_at look_at repeats last_repeat_at successor",
    ),
    ("attempt", "number channel due_at wait started_at duration_ms outcome code detail late"),
    ("step", "decision at step round cause late_ms receivers due_at"),
    ("journal", "at event detail by via origin"),
];

/// Runs `work` to its end.
pub fn block_on<T>(work: impl Future<Output = T>) -> T {
    let runtime = tokio::runtime::Builder::new_current_thread().build().expect("a runtime");
    runtime.block_on(work)
}

/// As [`block_on`], with sockets and timers.
pub fn block_on_io<T>(work: impl Future<Output = T>) -> T {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    runtime.expect("a runtime").block_on(work)
}

/// A folder with a copy of the store.
pub struct Bench {
    folder: TempDir,
    directory: Arc<Directory>,
    statements: &'static [String],
}

type Read = fn(&Path, &str) -> Result<Config, ConfigErrors>;

impl Bench {
    /// A fresh copy; `read` reads a configuration.
    pub fn new(read: Read) -> Self {
        static MADE: OnceLock<(Vec<u8>, Arc<Directory>, Vec<String>)> = OnceLock::new();
        let folder = folder();
        let (store, directory, statements) = MADE.get_or_init(|| make(read));
        std::fs::write(folder.path().join("callout.db"), store).expect("a copy");
        Self { folder, directory: directory.clone(), statements }
    }

    fn path(&self) -> PathBuf {
        self.folder.path().join("callout.db")
    }

    /// Minutes after the start.
    pub fn at(&self, minutes: u64) -> Timestamp {
        now() + Duration::from_secs(60 * minutes)
    }

    /// The same database without any checks.
    pub fn database(&self) -> Connection {
        let database = Connection::open(self.path()).expect("a database");
        let off = "PRAGMA ignore_check_constraints = ON; PRAGMA foreign_keys = OFF; \
                   DROP TRIGGER callout_step_stays; DROP TRIGGER callout_journal_stays;";
        database.execute_batch(off).expect("switched off");
        database
    }

    /// Changes one value, unless the type of its column forbids even that.
    pub fn change(&self, database: &Connection, column: u8, row: u8, value: Value) {
        let statement =
            &self.statements[usize::from(column.wrapping_sub(b'A')) % self.statements.len()];
        let _strict = database.execute(statement, params![value, i64::from(row % 4) + 1]);
    }

    /// Opens the store.
    pub fn open(&self) -> SqliteStore {
        SqliteStore::open(&self.path(), Create::Never, now()).expect("it opens")
    }

    /// Enqueues one more message.
    pub async fn enqueue(&self, store: &SqliteStore, title: &str) -> MessageId {
        enqueue(store, Message::new(Level::Critical, title), 99).await
    }

    /// Plans everything.
    pub async fn plan(&self, store: &SqliteStore, now: Timestamp) {
        let (directory, limit, entropy) = (self.directory.clone(), 100, entropy());
        store
            .plan(PlanRequest { now, reading: Reading::default(), directory, limit, entropy })
            .await
            .expect("a plan");
    }

    /// Lets escalations go on.
    pub async fn escalate(&self, store: &SqliteStore, now: Timestamp) {
        let (directory, limit, entropy) = (self.directory.clone(), 100, entropy());
        store
            .escalate(EscalateRequest {
                now,
                reading: Reading::default(),
                directory,
                limit,
                entropy,
            })
            .await
            .expect("escalated");
    }

    /// Claims and delivers everything that is due; returns whose messages these were.
    pub async fn deliver(&self, store: &SqliteStore, now: Timestamp) -> Vec<MessageId> {
        let claimed = claim(store, &self.directory, now).await;
        let settlements = claimed.iter().map(|claimed| accepted(claimed, now)).collect();
        store.settle(now, settlements).await.expect("settled");
        claimed.iter().map(|claimed| claimed.id).collect()
    }

    /// Counts.
    pub async fn stats(&self, store: &SqliteStore, now: Timestamp) {
        store.stats(now).await.expect("counts");
        store.health().await.expect("health");
    }

    /// Somebody answers.
    pub async fn answer(&self, store: &SqliteStore, id: &str, answer: Answer) {
        let now = self.at(25);
        let (directory, message, entropy) = (self.directory.clone(), id.to_owned(), entropy());
        let who = Actor::at_the_command_line("ada");
        let (note, only, epoch) = (None, None, None);
        let ask =
            AnswerRequest { now, directory, message, answer, who, note, only, epoch, entropy };
        store.answer(ask).await.expect("an answer");
    }

    /// Somebody cancels, and takes that back.
    pub async fn command(&self, store: &SqliteStore, id: &str) {
        for command in [Command::Cancel, Command::Replay] {
            let (now, directory) = (self.at(26), self.directory.clone());
            let (messages, who) = (vec![id.to_owned()], Actor::at_the_command_line("ada"));
            let ask = CommandRequest { now, directory, command, messages, who };
            store.command(ask).await.expect("a command");
        }
    }

    /// Deletes what is old.
    pub async fn prune(&self, store: &SqliteStore) {
        let (accepted_before, dead_before) = (self.at(100_000), self.at(100_000));
        let ask = PruneRequest { accepted_before, dead_before, after: 0, limit: 100 };
        store.prune(ask).await.expect("pruned");
    }
}

fn folder() -> TempDir {
    let memory = Path::new("/dev/shm");
    let parent = if memory.is_dir() { memory.to_owned() } else { std::env::temp_dir() };
    tempfile::tempdir_in(parent).expect("a folder")
}

fn make(read: Read) -> (Vec<u8>, Arc<Directory>, Vec<String>) {
    let folder = folder();
    let path = folder.path().join("callout.db");
    let config = read(folder.path(), CONFIG).expect("a configuration");
    let directory = Arc::new(config.directory);
    let store = SqliteStore::open(&path, Create::IfMissing, now()).expect("a store");
    block_on(async {
        let mut alert = Message::new(Level::Critical, "disk full").with_body("**now**");
        (alert.require_ack, alert.dedup_key) = (true, Some("disk".to_owned()));
        enqueue(&store, alert, 1).await;
        enqueue(&store, Message::new(Level::Error, "dead").with_label("a", "b"), 2).await;
        enqueue(&store, Message::new(Level::Info, "under way"), 3).await;
        let ask = PlanRequest {
            now: now(),
            reading: Reading::default(),
            directory: directory.clone(),
            limit: 9,
            entropy: [1; 10],
        };
        assert_eq!(store.plan(ask).await.expect("a plan").planned, 3);
        let claimed = claim(&store, &directory, now()).await;
        assert_eq!(claimed.len(), 3);
        let dead = |claimed: &Claimed| {
            let (at, cause, place) = (now(), Cause::Rejected, claimed.state.place().clone());
            Settlement { after: State::Dead { at, cause, place }, ..accepted(claimed, now()) }
        };
        let settled = claimed.iter().filter(|claimed| claimed.message.title == "dead").map(dead);
        store.settle(now(), settled.collect()).await.expect("settled");
        enqueue(&store, Message::new(Level::Warning, "new"), 4).await;
    });
    drop(store);
    let names = COLUMNS.iter().flat_map(|(table, names)| {
        names.split(' ').filter(|n| !n.is_empty()).map(move |n| (*table, n))
    });
    let statement = |(table, name): (&str, &str)| {
        let row = match table {
            "delivery" => "id",
            "attempt" => "delivery_id",
            "step" => "alert",
            "journal" => "message_seq",
            _ => "seq",
        };
        // A text that is no UTF-8 gets in as a BLOB.
        let value = "iif(typeof(?1) = 'blob', CAST(?1 AS TEXT), ?1)";
        format!("UPDATE callout_{table} SET {name} = {value} WHERE {row} = ?2")
    };
    (std::fs::read(&path).expect("a store"), directory, names.map(statement).collect())
}

async fn enqueue(store: &SqliteStore, message: Message, n: u8) -> MessageId {
    let (id, created_at) = (MessageId::new(now(), [n; 10]), now());
    let enqueued = store.enqueue(vec![NewMessage { id, created_at, message }]).await;
    assert!(enqueued.expect("a store").iter().all(Result::is_ok));
    id
}

async fn claim(store: &SqliteStore, directory: &Arc<Directory>, now: Timestamp) -> Vec<Claimed> {
    let lane = |name: &str| LaneAsk {
        channel: name.parse().expect("a name"),
        rate: Rate::default(),
        limit: 100,
    };
    let ask = ClaimRequest {
        reading: Reading::default(),
        now,
        directory: directory.clone(),
        worker: WorkerId::new(now, [5; 10]),
        lease_until: now + Duration::from_secs(60),
        lanes: vec![lane("a"), lane("b")],
        plan: 10,
        entropy: entropy(),
    };
    store.claim(ask).await.expect("claims").claimed
}

fn accepted(claimed: &Claimed, now: Timestamp) -> Settlement {
    let place = claimed.state.place();
    let attempt = Attempt {
        number: place.tries,
        channel: place.channel.clone(),
        due_at: claimed.due_at,
        wait: claimed.wait,
        started_at: now,
        duration: Duration::ZERO,
        outcome: Outcome::Accepted(Reason::text("ok")),
    };
    let claimed = Arc::new(claimed.clone());
    let after = State::Accepted { at: now, place: place.clone() };
    Settlement { claimed, after, attempt: Some(attempt), extra_sends: 0, report: None }
}

/// Ten bytes that nobody has seen.
fn entropy() -> [u8; 10] {
    static USED: AtomicU32 = AtomicU32::new(0);
    // In the middle: an id overwrites bits of the first three, and the store changes the last ones.
    let [a, b, c, d] = USED.fetch_add(1, Ordering::Relaxed).to_be_bytes();
    [0, 0, 0, a, b, c, d, 0, 0, 0]
}
