//! Producers that die, alone and together with the worker.
//!
//! A producer is this test's own program, run once more with a database to fill; it prints an id when it
//! was told that the message is safe. `kill -9` ends it somewhere in its next message. What it printed has
//! to arrive.

use super::story::{Death, Story};
use crate::crash::{Dice, STUCK};
use callout_client::{Level, Message, Outbox};
use std::io::Write as _;
use std::process::Stdio;
use tokio::io::{AsyncBufReadExt, BufReader};

/// Names the database to fill.
const VARIABLE: &str = "CALLOUT_TEST_PRODUCE";
const ROUNDS: usize = 12;
/// Producers that run at once.
const PRODUCERS: usize = 2;

/// No test unless it was asked: the producer.
#[test]
fn produces_when_it_is_asked_to() {
    let Some(database) = std::env::var_os(VARIABLE) else { return };
    let mut outbox = Outbox::open(database).unwrap();
    for n in 0.. {
        let title = format!("message {n} of {}", std::process::id());
        let receipt = outbox.enqueue(&Message::new(Level::Warning, &title)).unwrap();
        let mut told = std::io::stdout().lock();
        writeln!(told, "told {} {title}", receipt.id).unwrap();
        told.flush().unwrap();
    }
}

/// Runs a producer until it has been told of `n` messages. Returns ids and titles of all it was told of.
async fn produce_and_die(story: &Story, n: u64) -> Vec<(String, String)> {
    let mut child = tokio::process::Command::new(std::env::current_exe().unwrap())
        .args(["--exact", "kills::producers::produces_when_it_is_asked_to", "--nocapture"])
        .env(VARIABLE, story.folder.database())
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .kill_on_drop(true)
        .spawn()
        .unwrap();
    let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
    let mut told = Vec::new();
    while let Some(line) = lines.next_line().await.unwrap() {
        // The first one follows the name of the test on the same line.
        let Some((_, what)) = line.split_once("told ") else { continue };
        let Some((id, title)) = what.split_once(' ') else { continue };
        told.push((id.to_owned(), title.to_owned()));
        if told.len() as u64 == n {
            child.start_kill().unwrap();
        }
    }
    child.wait().await.unwrap();
    told
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_a_killed_producer_was_told_is_safe_arrives() {
    let mut story = Story::new().await;
    let nowhere = Death { point: "nowhere", nth: 0 };
    let mut dice = Dice(2027);
    let mut worker = story.start(nowhere).await.0;
    for _ in 0..ROUNDS {
        let lengths: [u64; PRODUCERS] = std::array::from_fn(|_| dice.roll(20) + 1);
        let both = async {
            let [first, second] = lengths;
            tokio::join!(produce_and_die(&story, first), produce_and_die(&story, second))
        };
        let (first, second) = if dice.roll(3) == 0 {
            // The worker goes down in the midst of it.
            let (told, killed) = tokio::join!(both, worker.kill());
            killed.unwrap();
            story.note_death();
            worker = story.start(nowhere).await.0;
            told
        } else {
            tokio::time::timeout(STUCK, both).await.expect("producers are told")
        };
        assert!(first.len() as u64 >= lengths[0] && second.len() as u64 >= lengths[1]);
        first.into_iter().chain(second).for_each(|(id, title)| story.was_told(id, title));
    }
    worker.kill().await.unwrap();
    story.note_death();
    story.finish(nowhere).await;
    let (known, _) = story.judge(nowhere);
    println!("{} producers killed, {known} acknowledged, 0 lost", ROUNDS * PRODUCERS);
}
