//! Bits that flip in the database or in its write-ahead log while nobody looks.
//!
//! A database in which messages wait, are delayed, were delivered and are alerts is kept; each run flips one
//! bit of a copy, opens it and lets a worker do all that is due. What the same database gives unhurt is the
//! measure: nothing else may reach a provider, and what does not arrive has to be reported by somebody.
//! `CALLOUT_FLIPS=5000` makes it longer.

use crate::crash::Dice;
use crate::stage::clock::VirtualClock;
use crate::stage::sink::{Received, Sink};
use callout_channels::{Channel, Settings, TimeZone, Transport};
use callout_client::rusqlite::{Connection, params};
use callout_core::escalation::{Policy, Step};
use callout_core::id::{MessageId, WorkerId};
use callout_core::level::Level;
use callout_core::locale::Locale;
use callout_core::message::Message;
use callout_core::plan::Directory;
use callout_core::receiver::Receiver;
use callout_core::retry::RetryPolicy;
use callout_core::route::Route;
use callout_store::clock::Clock;
use callout_store::model::NewMessage;
use callout_store::{Create, SqliteStore, Store};
use callout_worker::{LaneSetup, People, Presence, Setup, Worker};
use serde_json::{Value, json};
use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

const CHANNELS: [&str; 3] = ["hook", "lead", "desk"];
/// A run that takes longer hangs.
const STUCK: Duration = Duration::from_secs(20);
/// A worker that is not idle for so long waits for time to pass.
const PAUSE: Duration = Duration::from_millis(200);
const MINUTE: Duration = Duration::from_secs(60);
/// Runs at a time.
const AT_ONCE: u64 = 8;
/// Messages of each kind.
const EACH: usize = 6;

fn flips() -> u64 {
    std::env::var("CALLOUT_FLIPS").ok().and_then(|n| n.parse().ok()).unwrap_or(300)
}

fn directory() -> Arc<Directory> {
    let receiver = |name: &str| Receiver {
        name: name.parse().unwrap(),
        channels: vec![name.parse().unwrap()],
        failover_after: None,
        mention_all: false,
        mention: vec![],
    };
    let step = |to: &str| Step { to: vec![to.parse().unwrap()], ack_within: MINUTE * 5 };
    let night =
        Policy { name: Some("night".into()), steps: vec![step("hook"), step("lead")], repeat: 0 };
    let route = |levels: Vec<Level>, escalation| Route {
        levels,
        labels: vec![],
        to: vec!["hook".parse().unwrap()],
        escalation,
    };
    Arc::new(Directory {
        routes: vec![route(vec![Level::Critical], Some(night)), route(vec![], None)],
        receivers: CHANNELS.iter().map(|name| (name.parse().unwrap(), receiver(name))).collect(),
        operator: Some("desk".parse().unwrap()),
        retry: RetryPolicy::default(),
        follow_up: false,
        locale: Locale::English,
        costly: BTreeSet::new(),
        ringing: BTreeSet::new(),
    })
}

async fn worker(
    folder: &Path,
    store: &Arc<SqliteStore>,
    clock: &Arc<VirtualClock>,
    sink: &Sink,
    transport: &Transport,
) -> Result<Worker, String> {
    let id = WorkerId::new(clock.now(), clock.entropy());
    let lane = |name: &&str| LaneSetup {
        name: name.parse().unwrap(),
        channel: Arc::new(Channel::build("webhook", json!({ "url": sink.address(name) })).unwrap()),
        rate: "none".parse().unwrap(),
        permits: 8,
    };
    let setup = Setup {
        store: store.clone(),
        clock: clock.clone(),
        directory: directory(),
        lanes: CHANNELS.iter().map(lane).collect(),
        transport: transport.clone(),
        people: People::default(),
        links: None,
        zone: TimeZone::UTC,
        presence: Presence::beside(&folder.join("outbox.db"), id).map_err(|e| e.to_string())?,
        poll: MINUTE * 60,
    };
    Worker::spawn(setup).await.map_err(|e| e.to_string())
}

/// What a database held when nobody looked, by file name.
type Files = BTreeMap<String, Vec<u8>>;

fn read(folder: &Path) -> Files {
    let files = std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap());
    let kept = files.filter(|entry| {
        let name = entry.file_name().into_string().unwrap();
        // A mark that is being written has another name until it is whole.
        entry.file_type().unwrap().is_file() && !name.ends_with("-shm") && !name.ends_with(".new")
    });
    kept.map(|entry| {
        (entry.file_name().into_string().unwrap(), std::fs::read(entry.path()).unwrap())
    })
    .collect()
}

/// Another program's insert, which notes no checksum.
fn insert_plainly(database: &Path, clock: &VirtualClock, title: &str, delay: Option<i64>) {
    let connection = Connection::open(database).unwrap();
    let id = MessageId::new(clock.now(), clock.entropy()).to_string();
    let values = params![id, title, format!("the body of {title}"), delay, clock.now().unix_ms()];
    let sql = "INSERT INTO callout_message (id, level, title, body, delay_ms, created_at)
               VALUES (?1, 'error', ?2, ?3, ?4, ?5)";
    connection.execute(sql, values).unwrap();
}

async fn enqueue(store: &SqliteStore, clock: &VirtualClock, message: Message) {
    let created_at = clock.now();
    let id = MessageId::new(created_at, clock.entropy());
    store.enqueue(vec![NewMessage { id, created_at, message }]).await.unwrap();
}

async fn fill(store: &SqliteStore, database: &Path, clock: &VirtualClock, kind: &str, late: bool) {
    for n in 0..EACH {
        let mut message = Message::new(Level::Info, format!("{kind} {n}"));
        message.body = format!("the body of {kind} {n}");
        message.delay = late.then_some(MINUTE);
        enqueue(store, clock, message).await;
        insert_plainly(database, clock, &format!("{kind} {n}, plainly"), late.then_some(60_000));
    }
}

/// Makes the database. Some of it is only in the log if `log`.
async fn make(transport: &Transport, log: bool) -> (Files, Arc<VirtualClock>, Vec<Arrival>) {
    let (folder, sink) = (tempfile::tempdir().unwrap(), Sink::start().await);
    let (clock, database) = (Arc::new(VirtualClock::new()), folder.path().join("outbox.db"));
    let store = SqliteStore::open(&database, Create::IfMissing, clock.now()).unwrap();
    let store = Arc::new(store);
    let reader = Connection::open(&database).unwrap();
    if log {
        // Whoever reads keeps the log from being folded into the database.
        reader.execute_batch("BEGIN; SELECT count(*) FROM callout_message").unwrap();
    }
    let mut worker = worker(folder.path(), &store, &clock, &sink, transport).await.unwrap();
    fill(&store, &database, &clock, "delivered", false).await;
    fill(&store, &database, &clock, "delayed", true).await;
    for n in 0..EACH {
        enqueue(&store, &clock, Message::new(Level::Critical, format!("alert {n}"))).await;
    }
    worker.idle().await.unwrap();
    worker.stop();
    worker.ended().await.unwrap();
    fill(&store, &database, &clock, "new", false).await;
    if !log {
        drop(reader);
        drop(store);
        return (read(folder.path()), clock, arrivals(&sink));
    }
    // What the last second brought is not vouched for; nobody starts so soon.
    let vouched = async {
        while !is_vouched_for(&database) {
            tokio::task::yield_now().await;
        }
    };
    tokio::time::timeout(STUCK, vouched).await.expect("the mark soon knows everything");
    (read(folder.path()), clock, arrivals(&sink))
}

/// Whether the mark beside the database knows everything that is in it.
fn is_vouched_for(database: &Path) -> bool {
    let copy = tempfile::tempdir().unwrap();
    let files = read(database.parent().unwrap());
    let Some(log) = files.get("outbox.db-wal") else { return false };
    for (name, bytes) in &files {
        std::fs::write(copy.path().join(name), bytes).unwrap();
    }
    // Without its last commit it is behind its mark, if that knows of it.
    let cut = log.len() - 4096 - 24;
    std::fs::write(copy.path().join("outbox.db-wal"), &log[..cut]).unwrap();
    let clock = VirtualClock::new();
    let store = SqliteStore::open(&copy.path().join("outbox.db"), Create::Never, clock.now());
    store.is_ok_and(|store| store.lost().is_some())
}

/// Channel, id and contents of what arrived somewhere.
type Arrival = (String, String, Value);

/// What arrived but reports.
fn arrivals(sink: &Sink) -> Vec<Arrival> {
    let read = |received: Received| {
        let body: Value = serde_json::from_str(&received.body).unwrap();
        let mut data = body["data"].clone();
        // How late it is depends on when.
        data["ack"] = Value::Null;
        (received.channel.clone(), received.header("webhook-id").to_owned(), data)
    };
    sink.received().into_iter().map(read).filter(|(channel, ..)| channel != "desk").collect()
}

/// What became of a database.
#[derive(Debug, Default)]
struct Ending {
    arrived: Vec<Arrival>,
    /// Who said that something is wrong.
    reported: BTreeSet<&'static str>,
}

async fn run(files: &Files, from: &VirtualClock, transport: &Transport) -> Ending {
    let (folder, sink) = (tempfile::tempdir().unwrap(), Sink::start().await);
    for (name, bytes) in files {
        std::fs::write(folder.path().join(name), bytes).unwrap();
    }
    let mut ending = Ending::default();
    let worked =
        tokio::time::timeout(STUCK, work(folder.path(), from, &sink, transport, &mut ending));
    if worked.await.is_err() {
        ending.reported.insert("it hung");
    }
    ending.arrived = arrivals(&sink);
    for received in sink.received().iter().filter(|received| received.channel == "desk") {
        assert!(received.body.contains("\"title\":\"Callout"), "{} is no report", received.body);
        ending.reported.insert("the operator was told");
    }
    if let Ok(connection) = Connection::open(folder.path().join("outbox.db")) {
        let sql = "SELECT count(*) FROM callout_journal WHERE event = 'quarantined'";
        let notes: i64 = connection.query_row(sql, [], |row| row.get(0)).unwrap_or(0);
        if notes > 0 {
            ending.reported.insert("it was quarantined");
        }
    }
    sink.close();
    ending
}

async fn work(
    folder: &Path,
    from: &VirtualClock,
    sink: &Sink,
    transport: &Transport,
    ending: &mut Ending,
) {
    let (clock, database): (_, PathBuf) = (Arc::new(VirtualClock::new()), folder.join("outbox.db"));
    clock.set(from.now() + MINUTE * 2);
    let Ok(store) = SqliteStore::open(&database, Create::Never, clock.now()) else {
        ending.reported.insert("it was not opened");
        return;
    };
    if store.lost().is_some() {
        ending.reported.insert("it is behind its mark");
    }
    let store = Arc::new(store);
    let Ok(mut worker) = worker(folder, &store, &clock, sink, transport).await else {
        ending.reported.insert("the worker did not start");
        return;
    };
    let mut idle = Ok(());
    for _ in 0..3 {
        // What fails is tried again after a pause, and somebody has to let that pass.
        while let Err(_pause) =
            tokio::time::timeout(PAUSE, async { idle = worker.idle().await }).await
        {
            clock.set(clock.now() + PAUSE * 50);
        }
        if idle.is_err() {
            break;
        }
        clock.set(clock.now() + MINUTE * 4);
    }
    worker.stop();
    if worker.ended().await.and(idle).is_err() {
        ending.reported.insert("the worker stopped");
    }
}

fn flip(files: &Files, name: &str, bit: u64) -> Files {
    let mut files = files.clone();
    let bytes = files.get_mut(name).unwrap();
    let at = usize::try_from(bit / 8).unwrap();
    bytes[at] ^= 1 << (bit % 8);
    files
}

/// Whether nobody had seen the message before the bit flipped: its program noted no checksum, and it was
/// not planned. It is taken as it is found.
fn is_unnoted(data: &Value) -> bool {
    let title = data["title"].as_str().unwrap();
    title.starts_with("new") && title.ends_with("plainly")
}

/// Flips one bit of `name` again and again. Returns how many messages were lost without a word.
#[expect(clippy::print_stdout, reason = "how it ended belongs to the result")]
async fn rot(name: &str, flips: u64) -> usize {
    let transport = Transport::new(Settings::default()).unwrap();
    let (files, clock, delivered) = make(&transport, name.ends_with("-wal")).await;
    let whole = run(&files, &clock, &transport).await;
    assert!(whole.reported.is_empty(), "{:?}", whole.reported);
    assert_eq!(whole.arrived.len(), 4 * EACH + EACH, "the delayed, the new, and the second steps");
    let expected: BTreeMap<_, _> =
        whole.arrived.iter().map(|(channel, id, data)| ((channel, id), data)).collect();
    let (mut dice, mut counts) = (Dice(7), BTreeMap::<String, usize>::new());
    let mut silent = 0;
    let bits = files[name].len() as u64 * 8;
    let mut runs = VecDeque::new();
    for n in 0..flips + AT_ONCE {
        if n < flips {
            let bit = dice.roll(bits);
            let (files, clock, transport) =
                (flip(&files, name, bit), clock.clone(), transport.clone());
            let ending = tokio::spawn(async move { run(&files, &clock, &transport).await });
            runs.push_back((n, bit, ending));
        }
        if n < AT_ONCE {
            continue;
        }
        let Some((n, bit, ending)) = runs.pop_front() else { break };
        let ending = ending.await.unwrap();
        assert!(!ending.reported.contains("it hung"), "flip {n}, bit {bit}");
        let mut seen = BTreeSet::new();
        // Where the log ends early, what it said of the deliveries is lost too: they are repeated.
        let repeats = ending.reported.contains("it is behind its mark");
        for arrival in &ending.arrived {
            if repeats && delivered.contains(arrival) {
                continue;
            }
            let (channel, id, data) = arrival;
            let known = expected.get(&(channel, id));
            if known.is_some_and(|data| is_unnoted(data)) {
                seen.insert((channel, id));
                continue;
            }
            // It may be its id that changed.
            if known.is_none() && is_unnoted(data) {
                let same = expected.iter().find(|(_, known)| known["title"] == data["title"]);
                seen.extend(same.map(|(key, _)| *key));
                continue;
            }
            assert_eq!(known, Some(&data), "flip {n}, bit {bit}: {channel} got what it should not");
            assert!(seen.insert((channel, id)), "flip {n}, bit {bit}: {channel} got {id} twice");
        }
        let lost = expected.len() - seen.len();
        if lost > 0 && ending.reported.is_empty() {
            silent += 1;
            println!("flip {n}, bit {bit}: {lost} did not arrive, and nobody says so");
        }
        let what = if lost > 0 { "something was lost" } else { "all arrived" };
        let said = ending.reported.into_iter().next().unwrap_or("nothing was said");
        *counts.entry(format!("{what}: {said}")).or_default() += 1;
    }
    println!("{flips} flips of {name} ({} bytes): {counts:#?}", bits / 8);
    silent
}

#[tokio::test]
async fn a_flipped_bit_of_the_database_sends_nothing_wrong() {
    let silent = rot("outbox.db", flips()).await;
    // A page of an index or of a table may lose a row without anything noticing that it was there.
    assert!(silent as u64 * 50 <= flips(), "{silent} of {} say nothing", flips());
}

#[tokio::test]
async fn a_flipped_bit_of_the_log_sends_nothing_wrong() {
    let silent = rot("outbox.db-wal", flips() / 2).await;
    assert_eq!(silent, 0);
}
