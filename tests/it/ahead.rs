//! What is leased before there is a permit for it: permits are kept, and what was not tried was not tried.

use callout_channels::channel::{Outgoing, Refused};
use callout_channels::direct::DirectChannel;
use callout_channels::spec::Spec;
use callout_channels::transport::{Settings, Transport};
use callout_channels::{Channel, TimeZone};
use callout_core::id::{MessageId, WorkerId};
use callout_core::level::Level;
use callout_core::locale::Locale;
use callout_core::message::Message;
use callout_core::outcome::{Outcome, Reason};
use callout_core::plan::Directory;
use callout_core::rate::Rate;
use callout_core::receiver::Receiver;
use callout_core::retry::RetryPolicy;
use callout_core::route::Route;
use callout_core::time::Timestamp;
use callout_store::model::NewMessage;
use callout_store::{Create, SqliteStore, Store as _};
use callout_worker::{Clock, LaneSetup, POLL, People, Presence, Setup, Worker};
use rusqlite::Connection;
use std::fmt;
use std::path::PathBuf;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;
use tempfile::TempDir;
use tokio::sync::Semaphore;

const PERMITS: usize = 4;
const MESSAGES: usize = 200;

/// Deliveries that count tries which were none.
const UNTRIED: &str =
    "tries <> (SELECT count(*) FROM callout_attempt WHERE delivery_id = callout_delivery.id)";

static SPEC: Spec = Spec {
    kind: "told",
    title: "Told what to say",
    fields: &[],
    rate: "none",
    types: &["text"],
    native: false,
    body_bytes_max: 1 << 20,
    mentions: "nobody",
    idempotency: "none",
    ack: "none",
    costly: false,
    rings: false,
    edit: false,
    thread: false,
    callback: None,
    advice: &[],
    apprise: &[],
};

/// A clock on which a moment passes whenever somebody looks at it, and nothing is ever waited for.
#[derive(Default)]
struct Ticking(AtomicU64);

#[async_trait::async_trait]
impl Clock for Ticking {
    fn now(&self) -> Timestamp {
        Timestamp::EPOCH + Duration::from_micros(self.0.load(Ordering::Relaxed))
    }
    fn elapsed(&self) -> Duration {
        Duration::from_micros(self.0.fetch_add(1, Ordering::Relaxed))
    }
    fn entropy(&self) -> [u8; 10] {
        let n = self.0.fetch_add(1, Ordering::Relaxed).to_be_bytes();
        std::array::from_fn(|at| n.get(at).copied().unwrap_or(7))
    }
    async fn wait_until(&self, _: Timestamp) {
        std::future::pending().await
    }
}

/// A provider that accepts so many messages and then says something else.
struct Provider {
    database: Mutex<Connection>,
    accepts: usize,
    /// What it waits for once it has accepted them.
    stuck: Option<Arc<Semaphore>>,
    called: AtomicUsize,
    under_way: AtomicUsize,
    most_under_way: AtomicUsize,
    most_leased: AtomicUsize,
}

impl fmt::Debug for Provider {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Provider")
    }
}

#[derive(Debug)]
struct Line(Arc<Provider>);

#[async_trait::async_trait]
impl DirectChannel for Line {
    async fn deliver(&self, _: &Outgoing<'_>, _: Timestamp) -> Outcome {
        let provider = &self.0;
        let under_way = provider.under_way.fetch_add(1, Ordering::SeqCst) + 1;
        provider.most_under_way.fetch_max(under_way, Ordering::SeqCst);
        let called = provider.called.fetch_add(1, Ordering::SeqCst) + 1;
        provider.most_leased.fetch_max(provider.count("state = 'leased'"), Ordering::SeqCst);
        tokio::task::yield_now().await;
        if called > provider.accepts
            && let Some(stuck) = &provider.stuck
        {
            stuck.acquire().await.unwrap().forget();
        }
        provider.under_way.fetch_sub(1, Ordering::SeqCst);
        if called > provider.accepts && provider.stuck.is_none() {
            return Outcome::Transient(Reason::text("out of order"));
        }
        Outcome::Accepted(Reason::text("heard"))
    }

    fn preview(&self, _: &Outgoing<'_>, _: Timestamp) -> Result<String, Refused> {
        Ok(String::new())
    }
}

impl Provider {
    fn count(&self, deliveries: &str) -> usize {
        self.number(&format!("SELECT count(*) FROM callout_delivery WHERE {deliveries}"))
    }

    fn attempts(&self) -> usize {
        self.number("SELECT count(*) FROM callout_attempt")
    }

    fn number(&self, sql: &str) -> usize {
        let n: i64 = self.database.lock().unwrap().query_row(sql, [], |row| row.get(0)).unwrap();
        usize::try_from(n).unwrap()
    }
}

struct Scene {
    provider: Arc<Provider>,
    store: Arc<SqliteStore>,
    clock: Arc<Ticking>,
    path: PathBuf,
    _folder: TempDir,
}

impl Scene {
    async fn new(accepts: usize, stuck: Option<Arc<Semaphore>>) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("outbox.db");
        let store = SqliteStore::open(&path, Create::IfMissing, Timestamp::EPOCH).unwrap();
        let clock = Arc::new(Ticking::default());
        let new = || NewMessage {
            id: MessageId::new(clock.now(), clock.entropy()),
            created_at: clock.now(),
            message: Message::new(Level::Error, "x"),
        };
        let messages = std::iter::repeat_with(new).take(MESSAGES).collect();
        for enqueued in store.enqueue(messages).await.unwrap() {
            enqueued.unwrap();
        }
        let provider = Provider {
            database: Mutex::new(Connection::open(&path).unwrap()),
            accepts,
            stuck,
            called: AtomicUsize::default(),
            under_way: AtomicUsize::default(),
            most_under_way: AtomicUsize::default(),
            most_leased: AtomicUsize::default(),
        };
        Self { provider: Arc::new(provider), store: Arc::new(store), clock, path, _folder: folder }
    }

    async fn worker(&self) -> Worker {
        let ops: callout_core::id::ReceiverName = "ops".parse().unwrap();
        let receiver = Receiver {
            name: ops.clone(),
            channels: vec!["line".parse().unwrap()],
            failover_after: None,
            mention_all: false,
            mention: vec![],
        };
        let route =
            Route { levels: vec![], labels: vec![], to: vec![ops.clone()], escalation: None };
        let directory = Directory {
            routes: vec![route],
            receivers: [(ops, receiver)].into(),
            operator: None,
            retry: RetryPolicy::default(),
            follow_up: true,
            locale: Locale::English,
            costly: [].into(),
            ringing: [].into(),
        };
        let lane = LaneSetup {
            name: "line".parse().unwrap(),
            channel: Arc::new(Channel::of(&SPEC, Box::new(Line(self.provider.clone())))),
            rate: Rate::default(),
            permits: PERMITS,
        };
        let id = WorkerId::new(self.clock.now(), self.clock.entropy());
        let setup = Setup {
            store: self.store.clone(),
            clock: self.clock.clone(),
            directory: Arc::new(directory),
            lanes: vec![lane],
            transport: Transport::new(Settings::default()).unwrap(),
            people: People::default(),
            links: None,
            zone: TimeZone::UTC,
            presence: Presence::beside(&self.path, id).unwrap(),
            poll: POLL,
        };
        Worker::spawn(setup).await.unwrap()
    }

    async fn ends(mut worker: Worker) {
        worker.stop();
        worker.ended().await.unwrap();
    }
}

#[tokio::test]
async fn more_is_leased_than_there_are_permits_and_no_more_is_sent_at_once() {
    let scene = Scene::new(MESSAGES, None).await;
    let worker = scene.worker().await;
    worker.idle().await.unwrap();
    Scene::ends(worker).await;
    let provider = &scene.provider;
    assert_eq!(provider.called.load(Ordering::SeqCst), MESSAGES, "each once");
    assert_eq!(provider.count("state = 'accepted'"), MESSAGES);
    assert_eq!(provider.most_under_way.load(Ordering::SeqCst), PERMITS);
    let most = provider.most_leased.load(Ordering::SeqCst);
    assert!(most > PERMITS && most <= 2 * PERMITS, "{most} were leased at once");
}

#[tokio::test]
async fn what_waits_for_a_permit_is_handed_back_after_a_failure_and_counts_as_not_tried() {
    let scene = Scene::new(MESSAGES / 2, None).await;
    let worker = scene.worker().await;
    worker.idle().await.unwrap();
    Scene::ends(worker).await;
    let provider = &scene.provider;
    assert_eq!(provider.count("state = 'accepted'"), MESSAGES / 2);
    assert_eq!(provider.attempts(), provider.called.load(Ordering::SeqCst));
    assert_eq!(provider.count("state = 'leased'"), 0);
    assert_eq!(provider.count(UNTRIED), 0);
    assert!(provider.most_leased.load(Ordering::SeqCst) > PERMITS, "something was leased ahead");
}

#[tokio::test]
async fn what_waits_for_a_permit_is_handed_back_when_the_worker_stops() {
    let stuck = Arc::new(Semaphore::new(0));
    let scene = Scene::new(MESSAGES / 2, Some(stuck.clone())).await;
    let worker = scene.worker().await;
    while scene.provider.called.load(Ordering::SeqCst) < MESSAGES / 2 + PERMITS
        || scene.provider.count("state = 'leased'") < 2 * PERMITS
    {
        tokio::task::yield_now().await;
    }
    // The worker hears of what was leased; if it is told to stop before, it hands that back as well.
    for _ in 0..10_000 {
        tokio::task::yield_now().await;
    }
    worker.stop();
    stuck.add_permits(MESSAGES);
    Scene::ends(worker).await;
    let provider = &scene.provider;
    assert_eq!(provider.called.load(Ordering::SeqCst), MESSAGES / 2 + PERMITS, "nothing new began");
    assert_eq!(provider.attempts(), MESSAGES / 2 + PERMITS);
    assert_eq!(provider.count("state = 'leased'"), 0);
    assert_eq!(provider.count(UNTRIED), 0);
    assert_eq!(provider.count("wait = 'handed_back'"), PERMITS);
}
