//! The disk fills up while messages flow, and is full for a while.
//!
//! By default the library says that it is full. `scripts/full-disk` mounts a small file system, names it in
//! `CALLOUT_FULL_DISK`, and the test really fills it.

use super::{FULL, Fault, PERMITS, Place, Program, RECOVERY, STUCK, Switch, arrivals, comes_true};
use crate::stage::sink::{Received, Sink, json};
use serde_json::Value;
use std::collections::BTreeSet;
use std::io::Write as _;
use std::path::PathBuf;
use std::sync::{Arc, Mutex};
use std::time::Duration;
use tokio::task::JoinSet;

/// Between two messages: two hundred a second.
const PACE: Duration = Duration::from_millis(5);
/// Messages before, while and after the disk is full.
const BEFORE: usize = 200;
const WHILE: usize = 600;
const AFTER: usize = 200;

/// Enqueues `count` messages at the pace, whatever the answers are. Returns the title and status of each.
async fn flow(program: &Arc<Program>, part: &str, count: usize) -> Vec<(String, u16)> {
    let mut pace = tokio::time::interval(PACE);
    let mut asked = JoinSet::new();
    for n in 0..count {
        pace.tick().await;
        let (program, title) = (program.clone(), format!("{part} {n}"));
        asked.spawn(async move {
            let (status, answer) =
                program.enqueue(&title).await.expect("every request is answered");
            if status != 202 {
                let words = answer["error"]["message"].as_str().unwrap().to_owned();
                assert!(words.contains("full") || words.contains("busy"), "{status} {answer}");
            }
            (title, status)
        });
    }
    asked.join_all().await
}

fn with(status: u16, asked: &[(String, u16)]) -> BTreeSet<String> {
    asked.iter().filter(|(_, found)| *found == status).map(|(title, _)| title.clone()).collect()
}

/// The first message is an alert; returns the path of the link that it brought.
async fn link(program: &Program, sink: &Sink) -> String {
    let alert = r#"{"level":"critical","title":"an alert","require_ack":true}"#;
    let posted = super::post(program.address(), "/v1/messages", alert).await.unwrap();
    assert_eq!(posted.0, 202, "{posted:?}");
    tokio::time::timeout(STUCK, sink.has_received("hook", 1)).await.unwrap();
    let body: Value = serde_json::from_str(&sink.received()[0].body).unwrap();
    let url = body["data"]["ack"]["url"].as_str().unwrap().to_owned();
    url.trim_start_matches("http://localhost:1").to_owned()
}

/// What fills the disk.
#[derive(Clone)]
enum Disk {
    Pretended(Arc<Switch>),
    /// Ballast in a file system that is really full.
    Real(PathBuf),
}

impl Disk {
    fn of(place: &Place) -> Self {
        let Ok(folder) = std::env::var("CALLOUT_FULL_DISK") else {
            return Self::Pretended(place.switch.clone());
        };
        let data = place.database().parent().unwrap().to_owned();
        std::fs::remove_dir(&data).unwrap();
        std::os::unix::fs::symlink(&folder, data).unwrap();
        Self::Real(PathBuf::from(folder).join("ballast"))
    }

    fn fill(&self) {
        match self {
            Self::Pretended(switch) => switch.set(FULL),
            Self::Real(ballast) => {
                let mut file = std::fs::File::create(ballast).unwrap();
                while file.write_all(&[0; 4096]).is_ok() {}
            }
        }
    }

    fn is_full(&self) -> bool {
        match self {
            Self::Pretended(switch) => switch.failed() > 0,
            Self::Real(ballast) => ballast.exists(),
        }
    }

    fn free(&self) {
        match self {
            Self::Pretended(switch) => switch.set(Fault::default()),
            Self::Real(ballast) => std::fs::remove_file(ballast).unwrap(),
        }
    }
}

/// The disk is full from the moment on that the provider reads a request, before it answers.
fn fill_at(sink: &Sink, request: usize, disk: Disk) {
    let seen = Mutex::new(0);
    sink.lives_at(
        "hook",
        Box::new(move |_: &Received| {
            let mut seen = seen.lock().unwrap();
            *seen += 1;
            if *seen == request {
                disk.fill();
            }
            json(200, "{}")
        }),
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_full_disk_loses_and_repeats_nothing_and_is_over_when_there_is_room() {
    let sink = Sink::start().await;
    let place = Place::new(&sink, "hook");
    let disk = Disk::of(&place);
    let program = Arc::new(Program::start(&place).await);
    let link = link(&program, &sink).await;
    fill_at(&sink, BEFORE / 2, disk.clone());
    let mut asked = flow(&program, "before", BEFORE).await;
    assert!(comes_true(STUCK, || disk.is_full()).await, "the disk is full");
    // All that may still arrive was on its way; its answers cannot be written down.
    let at_full = sink.count("hook");
    let full = flow(&program, "full", WHILE).await;
    // A log that has grown before may have room for some on a disk that has none.
    let taken = with(202, &full).len();
    assert!(taken == 0 || matches!(disk, Disk::Real(_)), "{taken} were acknowledged");
    assert_eq!(with(507, &full).len() + taken, WHILE);
    for path in ["/healthz", "/v1/messages", "/metrics", &link] {
        assert_eq!(program.get(path).await, Some(200), "{path}");
    }
    let meanwhile = sink.count("hook") - at_full;
    assert!(meanwhile <= PERMITS + taken, "{meanwhile} were sent that could not be written down");

    asked.extend(full);
    disk.free();
    let room = tokio::time::Instant::now();
    let first = program.enqueue("room").await.unwrap();
    assert_eq!(first.0, 202, "{first:?}");
    let acknowledged = with(202, &asked);
    let is_there = || {
        let arrived = arrivals(&sink, "hook");
        acknowledged.iter().all(|title| arrived.contains_key(title))
    };
    assert!(comes_true(RECOVERY, is_there).await, "{}", program.said());
    let recovered = room.elapsed();

    asked.extend(flow(&program, "after", AFTER).await);
    let acknowledged = with(202, &asked);
    let is_there = || {
        let arrived = arrivals(&sink, "hook");
        acknowledged.iter().all(|title| arrived.contains_key(title))
    };
    assert!(comes_true(RECOVERY, is_there).await, "{}", program.said());
    let repeated: Vec<_> = arrivals(&sink, "hook").into_iter().filter(|(_, n)| *n > 1).collect();
    assert!(repeated.is_empty(), "{repeated:?}");
    let mut program = Arc::into_inner(program).unwrap();
    assert_eq!(program.stop().await, 0, "{}", program.said());
    let kept: BTreeSet<String> = place.titles().into_iter().collect();
    assert!(with(507, &asked).is_disjoint(&kept), "what was refused is not there");
    assert!(acknowledged.is_subset(&kept));
    println!(
        "{} acknowledged, {} refused, 0 lost, 0 repeated, flowing again {} ms after there was room",
        acknowledged.len(),
        with(507, &asked).len(),
        recovered.as_millis()
    );
}
