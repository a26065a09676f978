//! The built program, killed at random while messages flow in and out.
//!
//! `kill -9` gives a process no chance to say anything. Whatever it had acknowledged before has to reach
//! the provider afterwards; whatever it sent twice was in flight at a kill. The sink's log is the
//! witness. Kills are timed by events (so many requests seen since the start, or none at all), drawn
//! from a fixed seed, so nothing here sleeps. `CALLOUT_KILLS=5000` makes it longer.

use crate::program::{Folder, callout, post};
use crate::stage::sink::{Reply, Sink, json};
use callout_client::{Level, Message, Outbox};
use std::collections::{BTreeMap, BTreeSet};
use std::process::Stdio;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;
use tokio::io::{AsyncBufReadExt, BufReader};
use tokio::process::Child;

const KILLS: usize = 200;
/// Attempts that may be under way at once.
const PERMITS: usize = 8;
/// The test is broken if the program makes no progress for so long.
pub(crate) const STUCK: Duration = Duration::from_secs(60);
/// When nothing has arrived for so long, it is time to ask whether anything is left to do.
const QUIET: Duration = Duration::from_secs(1);
/// All that is left once the kills are over takes less: leases end after a minute.
const DRAIN: Duration = Duration::from_secs(180);

fn kills() -> usize {
    std::env::var("CALLOUT_KILLS").ok().and_then(|n| n.parse().ok()).unwrap_or(KILLS)
}

/// SplitMix64: the same kills on every run.
pub(crate) struct Dice(pub(crate) u64);

impl Dice {
    pub(crate) fn roll(&mut self, sides: u64) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let z = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        (z ^ (z >> 27)) % sides
    }
}

/// Starts the program, which dies at a named point if `death` says so; returns it with the address it
/// listens on once it has said so, unless it died before.
pub(crate) async fn serve(folder: &Folder, death: Option<String>) -> (Child, Option<String>) {
    let mut child = tokio::process::Command::new(callout())
        .args(["serve", "--config"])
        .arg(folder.config())
        .envs(death.map(|death| ("CALLOUT_CRASH_AT", death)))
        .stdout(Stdio::null())
        .stderr(Stdio::piped())
        .kill_on_drop(true)
        .spawn()
        .unwrap();
    let mut lines = BufReader::new(child.stderr.take().unwrap()).lines();
    let mut address = None;
    while let Some(line) = lines.next_line().await.unwrap() {
        if let Some(at) = line.split("http://").nth(1) {
            address = at.split_whitespace().next().map(str::to_owned);
            break;
        }
    }
    // Keep reading, or the program would block on a full pipe.
    tokio::spawn(async move { while let Ok(Some(_)) = lines.next_line().await {} });
    (child, address)
}

/// Enqueues through the client crate for as long as the test runs, and notes what was acknowledged.
fn embedded_producer(
    folder: &Folder,
    name: usize,
    stop: Arc<AtomicBool>,
    ledger: Arc<Mutex<BTreeSet<String>>>,
) {
    let mut outbox = Outbox::open(folder.database()).unwrap();
    let mut n = 0;
    while !stop.load(Ordering::Relaxed) {
        n += 1;
        if let Ok(receipt) =
            outbox.enqueue(&Message::new(Level::Warning, format!("producer {name}, message {n}")))
        {
            ledger.lock().unwrap().insert(receipt.id.to_string());
        }
        // Some hundred messages a second are plenty: the point is the kills.
        std::thread::park_timeout(Duration::from_millis(5));
    }
}

/// Starts the program and kills it before it has said anything.
async fn kill_while_it_starts(folder: &Folder, dice: &mut Dice) {
    let mut program = tokio::process::Command::new(callout())
        .args(["serve", "--config"])
        .arg(folder.config())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    for _ in 0..dice.roll(2000) {
        tokio::task::yield_now().await;
    }
    program.kill().await.unwrap();
}

/// Kills the program once the sink has seen some more requests. Returns the id of a message that was
/// acknowledged over HTTP meanwhile.
async fn kill_while_messages_flow(folder: &Folder, sink: &Sink, dice: &mut Dice) -> Option<String> {
    let (mut program, address) = serve(folder, None).await;
    let address = address.expect("the program listens");
    if dice.roll(4) == 0 {
        sink.will("hook", [json(500, ""), Reply::Close]);
    }
    let target = sink.count("hook") + usize::try_from(dice.roll(40)).unwrap();
    let posted = post(&address, "/v1/messages", r#"{"level":"error","title":"over HTTP"}"#);
    let posted = tokio::time::timeout(STUCK, posted);
    let seen = tokio::time::timeout(STUCK, sink.has_received("hook", target));
    let (posted, seen) = tokio::join!(posted, seen);
    let posted = posted.expect("the program answers");
    seen.expect("messages flow between kills");
    program.kill().await.unwrap();
    posted
        .ok()
        .filter(|(status, _)| *status == 202)
        .map(|(_, answer)| answer["id"].as_str().unwrap().to_owned())
}

/// How often each message arrived.
fn arrivals(sink: &Sink) -> BTreeMap<String, usize> {
    let mut times = BTreeMap::new();
    for received in sink.received() {
        let id = received.headers["webhook-id"].trim_start_matches("msg_").to_owned();
        *times.entry(id).or_default() += 1;
    }
    times
}

fn pending(folder: &Folder) -> serde_json::Value {
    folder.json(&["list", "--state", "pending", "--limit", "3", "--json"])
}

/// Lets the program work until nothing is left to do.
async fn drain(folder: &Folder, sink: &Sink) {
    let (mut program, _) = serve(folder, None).await;
    let work = async {
        loop {
            let count = sink.count("hook");
            let more = tokio::time::timeout(QUIET, sink.has_received("hook", count + 1)).await;
            if more.is_err() && pending(folder) == serde_json::json!([]) {
                return;
            }
        }
    };
    if tokio::time::timeout(DRAIN, work).await.is_err() {
        panic!("{} arrived, and there is more to do: {:#}", sink.count("hook"), pending(folder));
    }
    program.kill().await.unwrap();
}

/// Puts back what was given up because its workers died. Returns how many messages that were.
fn put_back_suspects(folder: &Folder) -> usize {
    let dead = folder.json(&["list", "--state", "dead", "--limit", "1000", "--json"]);
    let ids: Vec<&str> =
        dead.as_array().unwrap().iter().map(|message| message["id"].as_str().unwrap()).collect();
    for id in &ids {
        let output = folder.run(&["replay", "--yes", id]);
        assert!(output.status.success(), "{}", crate::program::text(&output.stderr));
    }
    ids.len()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_was_acknowledged_arrives_whoever_is_killed() {
    let sink = Sink::start().await;
    let folder = Folder::new(&format!(
        "[channels.hook]\nkind = \"webhook\"\nurl = \"{}\"\nconcurrency = {PERMITS}\n",
        sink.address("hook")
    ));
    drop(serve(&folder, None).await);
    let (stop, ledger) = (Arc::new(AtomicBool::new(false)), Arc::new(Mutex::new(BTreeSet::new())));
    let producers: Vec<_> = (0..2)
        .map(|name| {
            let (folder, stop, ledger) = (folder.clone(), stop.clone(), ledger.clone());
            std::thread::spawn(move || embedded_producer(&folder, name, stop, ledger))
        })
        .collect();

    let mut dice = Dice(2026);
    for _ in 0..kills() {
        if dice.roll(8) == 0 {
            kill_while_it_starts(&folder, &mut dice).await;
        } else if let Some(id) = kill_while_messages_flow(&folder, &sink, &mut dice).await {
            ledger.lock().unwrap().insert(id);
        }
    }
    stop.store(true, Ordering::Relaxed);
    producers.into_iter().for_each(|producer| producer.join().unwrap());

    let acknowledged = ledger.lock().unwrap().clone();
    drain(&folder, &sink).await;
    // What was on its way at three kills in a row looks as if it were the cause, until somebody says no.
    let suspects = put_back_suspects(&folder);
    drain(&folder, &sink).await;
    let arrived = arrivals(&sink);
    let lost: Vec<&String> = acknowledged.iter().filter(|id| !arrived.contains_key(*id)).collect();
    assert!(lost.is_empty(), "{} of {} were lost: {lost:?}", lost.len(), acknowledged.len());
    let repeated: usize = arrived.values().map(|times| times - 1).sum();
    println!(
        "{} kills, {} acknowledged, 0 lost, {repeated} repeated, {suspects} suspected",
        kills(),
        acknowledged.len()
    );
    assert!(acknowledged.len() > kills(), "the test has to have something to lose");
    assert!(repeated <= kills() * (PERMITS + 1), "{repeated} repeats are more than were in flight");
}
