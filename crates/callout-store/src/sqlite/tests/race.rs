//! Acknowledgments and deadlines at the same moment, from several processes.
//!
//! Every alert's deadline has come. One process fires the steps and tells people, three others
//! acknowledge. Triggers write down the order in which things were committed, and that order is the
//! witness: nothing may follow an acknowledgment.
//!
//! On a busy machine one side could be done before the other begins. So the racers go in small steps, and
//! neither side is ever more than a few of them ahead; who comes first within these is left to chance.

use super::suite::Sqlite;
use crate::clock::Reading;
use crate::conformance::bench::{Bench, accepted, at, entropy, labelled, new};
use crate::model::{Answer, Answered, EscalateRequest};
use crate::sqlite::{Create, SqliteStore};
use crate::store::Store;
use callout_core::escalation::{Policy, Step};
use std::collections::HashMap;
use std::io::{BufRead, BufReader, Write};
use std::path::Path;
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};
use std::sync::Arc;
use std::time::Duration;

const ALERTS: usize = 3000;
const RACERS: usize = 3;
/// How many alerts a racer acknowledges in one go, and how many steps are fired meanwhile.
const ACKS: usize = 2;
const STEPS: usize = 4;
/// How many goes a racer may be behind.
const LAG_MAX: usize = 8;
/// Which share of the alerts a helper process acknowledges, and in which database.
const SHARE: &str = "CALLOUT_RACE_SHARE";
const DATABASE: &str = "CALLOUT_RACE_DATABASE";

const WITNESS: &str = "
    CREATE TABLE witness (n INTEGER PRIMARY KEY, what TEXT NOT NULL, alert INTEGER NOT NULL) STRICT;
    CREATE TRIGGER witness_step AFTER INSERT ON callout_step
    BEGIN INSERT INTO witness (what, alert) VALUES ('step', new.alert); END;
    CREATE TRIGGER witness_ack AFTER UPDATE OF state ON callout_alert
    WHEN old.state = 'open' AND new.state = 'acknowledged'
    BEGIN INSERT INTO witness (what, alert) VALUES ('ack', new.seq); END;
    CREATE TRIGGER witness_planned AFTER INSERT ON callout_delivery WHEN new.decision IS NOT NULL
    BEGIN INSERT INTO witness (what, alert) VALUES ('planned', new.message_seq); END;
    CREATE TRIGGER witness_leased AFTER UPDATE OF state ON callout_delivery
    WHEN new.decision IS NOT NULL AND new.state = 'leased'
    BEGIN INSERT INTO witness (what, alert) VALUES ('leased', new.message_seq); END;";

#[tokio::test]
async fn whoever_commits_first_wins_and_nobody_is_told_after_an_acknowledgment() {
    let backend = Sqlite::new();
    let mut bench = Bench::new(&backend).await;
    let step =
        |to: &str| Step { to: vec![to.parse().unwrap()], ack_within: Duration::from_secs(300) };
    let policy = Policy { name: None, steps: vec![step("ops"), step("lead")], repeat: 0 };
    for route in &mut Arc::make_mut(&mut bench.directory).routes {
        route.escalation = Some(policy.clone());
    }
    for lane in &mut bench.lanes {
        lane.limit = 1000;
    }
    let messages = (0..ALERTS).map(|n| new(labelled(&format!("{n}"), "for", "ops"))).collect();
    bench.store.enqueue(messages).await.unwrap();
    while bench.plan(at(0)).await.more {}
    tell(&bench, at(0)).await;
    rusqlite::Connection::open(backend.path()).unwrap().execute_batch(WITNESS).unwrap();

    let mut racers: Vec<Racer> =
        (0..RACERS).map(|share| Racer::start(&backend.path(), share)).collect();
    for racer in &mut racers {
        assert!(racer.says("ready"), "a racer ended early");
    }
    // People are told only now and then, so that many an acknowledgment comes between step and telling.
    let (mut more, mut rounds) = (true, 0);
    while more {
        rounds += 1;
        for racer in &mut racers {
            assert!(rounds <= LAG_MAX || racer.says("done"), "a racer ended early");
            racer.orders.write_all(b"go\n").unwrap();
        }
        let directory = Arc::clone(&bench.directory);
        let ask = EscalateRequest {
            reading: Reading::default(),
            now: at(300),
            directory,
            limit: STEPS,
            entropy: entropy(),
        };
        more = bench.store.escalate(ask).await.unwrap().more;
        if rounds % 32 == 0 || !more {
            tell(&bench, at(300)).await;
        }
    }
    for racer in racers {
        racer.end();
    }
    judge(&backend.path());
}

/// Claims and settles everything that is due.
async fn tell(bench: &Bench, now: callout_core::time::Timestamp) {
    loop {
        let claimed = bench.claim(now).await.claimed;
        if claimed.is_empty() {
            return;
        }
        let settlements = claimed.iter().map(|claimed| bench.settlement(claimed, accepted(), now));
        bench.store.settle(now, settlements.collect()).await.unwrap();
    }
}

/// A helper process.
struct Racer {
    child: Child,
    orders: ChildStdin,
    said: BufReader<ChildStdout>,
}

impl Racer {
    fn start(database: &Path, share: usize) -> Self {
        let mut child = Command::new(std::env::current_exe().unwrap())
            .args(["--exact", "--nocapture", "sqlite::tests::race::a_racer"])
            .env(DATABASE, database)
            .env(SHARE, share.to_string())
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let (orders, said) = (child.stdin.take().unwrap(), child.stdout.take().unwrap());
        Self { child, orders, said: BufReader::new(said) }
    }

    /// Waits until it says this; `false` if it ends before.
    fn says(&mut self, word: &str) -> bool {
        let mut line = String::new();
        while !line.contains(word) {
            line.clear();
            if self.said.read_line(&mut line).unwrap() == 0 {
                return false;
            }
        }
        true
    }

    /// Lets it do the rest at once.
    fn end(mut self) {
        drop(self.orders);
        // Or it dies of a word nobody hears.
        std::io::copy(&mut self.said, &mut std::io::sink()).unwrap();
        assert!(self.child.wait().unwrap().success());
    }
}

/// Not a test by itself: what each helper process of the one above does.
#[tokio::test]
#[expect(clippy::disallowed_methods, reason = "this is how a helper process is told what to do")]
async fn a_racer() {
    let (Ok(database), Ok(share)) = (std::env::var(DATABASE), std::env::var(SHARE)) else { return };
    let share: usize = share.parse().unwrap();
    let store = SqliteStore::open(Path::new(&database), Create::Never, at(0)).unwrap();
    let mut ids: Vec<String> = Vec::new();
    let mut after = None;
    loop {
        let page = store.list(crate::model::Filter::default(), after, 500).await.unwrap();
        ids.extend(page.messages.into_iter().map(|summary| summary.id));
        after = page.next;
        if after.is_none() {
            break;
        }
    }
    let backend = Sqlite::new();
    let bench = Bench::new(&backend).await;
    println!("ready");
    // From the middle outwards, so that neither side is always first.
    let half = ids.len() / 2;
    let (newer, older) = ids.split_at(half);
    let mixed: Vec<&String> = newer.iter().rev().zip(older).flat_map(|(a, b)| [a, b]).collect();
    let own: Vec<&String> = mixed.into_iter().skip(share).step_by(RACERS).collect();
    for ids in own.chunks(ACKS) {
        std::io::stdin().read_line(&mut String::new()).unwrap();
        for id in ids {
            let ask = bench.ask(id, Answer::Acknowledge, at(300));
            assert!(matches!(store.answer(ask).await.unwrap(), Answered::Done(_)));
        }
        println!("done");
    }
}

fn judge(database: &Path) {
    let connection = rusqlite::Connection::open(database).unwrap();
    let mut statement = connection.prepare("SELECT what, alert FROM witness ORDER BY n").unwrap();
    let events = statement.query_map([], |row| Ok((row.get(0)?, row.get(1)?))).unwrap();
    let mut alerts: HashMap<i64, Vec<String>> = HashMap::new();
    for event in events {
        let (what, alert): (String, i64) = event.unwrap();
        alerts.entry(alert).or_default().push(what);
    }
    assert_eq!(alerts.len(), ALERTS);
    let mut stepped = 0;
    for (alert, events) in &alerts {
        let acks = events.iter().filter(|what| *what == "ack").count();
        let steps = events.iter().filter(|what| *what == "step").count();
        assert_eq!(acks, 1, "alert {alert}: {events:?}");
        assert!(steps <= 1, "alert {alert}: {events:?}");
        assert_eq!(events.last().unwrap(), "ack", "nothing follows, alert {alert}: {events:?}");
        stepped += steps;
    }
    println!("{ALERTS} alerts: {stepped} times the step came first, else the acknowledgment");
    let share = ALERTS / 50;
    assert!((share..ALERTS - share).contains(&stepped), "{stepped}: there was no race");
}
