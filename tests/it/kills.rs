//! The built program, killed at each of its named points, and its producers killed at random.
//!
//! `callout_store::crash` names places where the program may abort. Every one of them is visited: the
//! program runs a story until it dies there, is started again, and finishes. Whatever it had
//! acknowledged has arrived then; what arrived twice had been on its way at the death, and bears the same
//! id. A point that no story reaches fails the test. `CALLOUT_KILL_PASSES=20` visits each more often.

mod poison;
mod producers;
mod story;

use crate::program::{Folder, callout};
use crate::stage::sink::Sink;
use callout_client::Level;
use callout_store::schema::SQLITE;
use std::collections::BTreeSet;
use std::process::{Command, ExitStatus};
use story::{Death, PERMITS, Story};

/// How a point is reached.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Way {
    /// Once in the life of a database or of a worker: while `callout serve` starts for the first time.
    Start,
    /// Again and again while messages flow.
    Flow,
    /// When a worker takes over what one that died before it had begun.
    TakeOver,
    /// When the program is told to stop.
    Stop,
    /// `callout prune` while nothing else runs, once for each message.
    Prune,
    /// `callout backup` while nothing else runs.
    Backup,
}

const POINTS: &[(&str, Way)] = &[
    ("after_create", Way::Start),
    ("before_migrate", Way::Start),
    ("inside_migrate", Way::Start),
    ("before_migrate_commit", Way::Start),
    ("after_migrate", Way::Start),
    ("before_register", Way::Start),
    ("inside_register", Way::Start),
    ("between_prune_batches", Way::Start),
    ("before_commit", Way::Flow),
    ("after_commit", Way::Flow),
    ("after_answers", Way::Flow),
    ("inside_group", Way::Flow),
    ("before_checkpoint", Way::Flow),
    ("after_checkpoint", Way::Flow),
    ("before_mark_name", Way::Flow),
    ("after_mark_name", Way::Flow),
    ("inside_plan", Way::Flow),
    ("after_claim", Way::Flow),
    ("before_send", Way::Flow),
    ("after_send_before_record", Way::Flow),
    ("inside_settle", Way::Flow),
    ("after_settle", Way::Flow),
    ("inside_escalation", Way::Flow),
    ("after_escalation", Way::Flow),
    ("inside_answer", Way::Flow),
    ("after_answer", Way::Flow),
    ("inside_take_over", Way::TakeOver),
    ("inside_retire", Way::TakeOver),
    ("before_retire", Way::Stop),
    ("after_retire", Way::Stop),
    ("inside_prune", Way::Prune),
    ("after_shrink", Way::Prune),
    ("before_backup_copy", Way::Backup),
    ("before_backup_name", Way::Backup),
    ("after_backup_name", Way::Backup),
];

/// How many passings of a point in the flow are the last one.
const PASSES: usize = 3;

fn passes() -> usize {
    std::env::var("CALLOUT_KILL_PASSES").ok().and_then(|n| n.parse().ok()).unwrap_or(PASSES)
}

/// Every point of these ways, with the passing that ends the program.
fn deaths(ways: &[Way]) -> Vec<(Way, Death)> {
    let mut deaths = Vec::new();
    for (point, way) in POINTS.iter().filter(|(_, way)| ways.contains(way)) {
        let most = match way {
            Way::Flow => passes(),
            // The step from the first release to the second, and so on.
            Way::Start if *point == "inside_migrate" => SQLITE.len() - 1,
            _ => 1,
        };
        deaths.extend((1..=most).map(|nth| (*way, Death { point, nth })));
    }
    deaths
}

fn died(status: ExitStatus) -> bool {
    #[cfg(unix)]
    return std::os::unix::process::ExitStatusExt::signal(&status) == Some(6);
    #[cfg(not(unix))]
    return !status.success();
}

/// Visits points of the running worker, one story each.
#[expect(clippy::print_stdout, reason = "how much it looked at belongs to the result")]
async fn visit(ways: &[Way]) {
    let (mut visited, mut acknowledged, mut repeated) = (0, 0, 0);
    for (way, death) in deaths(ways) {
        let mut story = Story::new().await;
        let status = match way {
            Way::Start => {
                story.begin_as_the_first_release();
                story.run_until_death(death, false).await
            }
            Way::Flow => story.run_until_death(death, true).await,
            Way::TakeOver => {
                let first = Death { point: "after_send_before_record", nth: 1 };
                assert!(died(story.run_until_death(first, true).await), "{first:?}");
                story.run_until_death(death, false).await
            }
            Way::Stop => story.stop_into(death).await,
            Way::Prune | Way::Backup => unreachable!("{way:?} is no story"),
        };
        assert!(died(status), "{death:?} was not reached: {status}");
        story.finish(death).await;
        let (known, twice) = story.judge(death);
        (visited, acknowledged, repeated) = (visited + 1, acknowledged + known, repeated + twice);
    }
    println!("{visited} deaths, {acknowledged} acknowledged, 0 lost, {repeated} repeated");
    assert!(acknowledged > visited, "the test has to have something to lose");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_death_while_it_starts_or_stops_loses_nothing() {
    visit(&[Way::Start, Way::TakeOver, Way::Stop]).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_database_that_was_never_finished_is_made_anew() {
    for (_, death) in deaths(&[Way::Start]).into_iter().filter(|(_, death)| death.nth == 1) {
        let mut story = Story::new().await;
        let status = story.run_until_death(death, false).await;
        assert!(died(status), "{death:?} was not reached: {status}");
        story.put(Level::Warning, "the first message");
        story.finish(death).await;
        story.judge(death);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_death_at_any_point_while_messages_flow_loses_nothing() {
    visit(&[Way::Flow]).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_death_between_sending_and_recording_repeats_exactly_one_message_under_its_id() {
    let mut story = Story::new().await;
    let death = Death { point: "after_send_before_record", nth: 1 };
    let id = story.put(Level::Info, "the only one").to_string();
    assert!(died(story.run_until_death(death, false).await));
    story.finish(death).await;
    let received = story.sink.received();
    let ids: Vec<&str> = received.iter().map(|r| r.header("webhook-id")).collect();
    assert_eq!(ids, [id.as_str(), id.as_str()]);
    assert_eq!(received[0].body, received[1].body);
}

/// A folder in which some messages have been delivered, and nobody runs.
async fn settled(sink: &Sink) -> (Folder, usize) {
    let mut story = Story::with(sink.clone());
    // So long that deleting them leaves the file half empty.
    for n in 0..4 * PERMITS {
        story.put(Level::Warning, &format!("message {n}: {}", "so much to say ".repeat(60)));
    }
    story.finish(Death { point: "nowhere", nth: 0 }).await;
    (story.folder.clone(), story.acknowledged())
}

fn dies(folder: &Folder, death: Death, args: &[&str]) {
    let status = Command::new(callout())
        .args(args)
        .env("CALLOUT_CONFIG", folder.config())
        .env("CALLOUT_CRASH_AT", death.wish())
        .output()
        .unwrap()
        .status;
    assert!(died(status), "{death:?} was not reached by {args:?}: {status}");
}

fn succeeds(folder: &Folder, args: &[&str]) {
    let output = folder.run(args);
    assert!(output.status.success(), "{args:?}: {}", crate::program::text(&output.stderr));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn pruning_that_dies_leaves_whole_messages() {
    let sink = Sink::start().await;
    let (folder, all) = settled(&sink).await;
    let prune = ["prune", "--yes", "--accepted-before", "1ms"];
    for (_, death) in deaths(&[Way::Prune]) {
        dies(&folder, death, &prune);
        let left = folder.json(&["list", "--limit", "1000", "--json"]);
        assert_eq!(left.as_array().unwrap().len(), all, "{death:?}: a batch is all or nothing");
    }
    succeeds(&folder, &prune);
    // The newest one always stays.
    assert_eq!(folder.json(&["list", "--json"]).as_array().unwrap().len(), 1);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_backup_that_dies_is_whole_or_absent() {
    let sink = Sink::start().await;
    let (folder, all) = settled(&sink).await;
    for (_, death) in deaths(&[Way::Backup]) {
        let copy = folder.config().with_file_name(format!("{}.db", death.point));
        let args = ["backup", copy.to_str().unwrap()];
        dies(&folder, death, &args);
        assert_eq!(copy.exists(), death.point == "after_backup_name", "{death:?}");
        if !copy.exists() {
            // What was left behind is in the way, and says so; whoever removes it gets a copy.
            std::fs::remove_file(copy.with_extension("db.unfinished")).unwrap();
            succeeds(&folder, &args);
        }
        let restored =
            Folder::new("[channels.hook]\nkind = \"webhook\"\nurl = \"http://127.0.0.1:9\"\n");
        std::fs::copy(&copy, restored.database()).unwrap();
        let listed = restored.json(&["list", "--limit", "1000", "--json"]);
        assert_eq!(listed.as_array().unwrap().len(), all, "{death:?}");
    }
}

/// The names that `crash_point` is called with.
fn declared() -> BTreeSet<String> {
    let mut names = BTreeSet::new();
    for (_, text) in crate::tidy::files("crates", &["rs"]) {
        let calls = text.split("crash_point(\"").skip(1);
        names.extend(calls.filter_map(|rest| rest.split('"').next()).map(str::to_owned));
    }
    names
}

#[test]
fn every_point_there_is_is_visited() {
    let visited: BTreeSet<String> = POINTS.iter().map(|(name, _)| (*name).to_owned()).collect();
    assert_eq!(declared(), visited);
    assert_eq!(visited.len(), POINTS.len(), "each once");
}
