//! `callout bench`, from outside: what it prints, what it refuses, and that it leaves nothing behind.
//!
//! How fast anything is, is not asked here.

use crate::program::{Folder, Served, callout, text};
use crate::stage::sink::Sink;
use serde_json::Value;
use std::io::{BufRead, BufReader, Read};
use std::process::{Command, Stdio};
use std::time::Duration;

/// The test is broken if it takes so long.
const STUCK: Duration = Duration::from_secs(60);

fn folder(url: &str) -> Folder {
    Folder::new(&format!("[channels.hook]\nkind = \"webhook\"\nurl = \"{url}\"\n"))
}

/// What lies in the folder besides the configuration.
fn litter(folder: &Folder) -> Vec<String> {
    let entries = std::fs::read_dir(folder.config().parent().unwrap()).unwrap();
    let names = entries.map(|entry| entry.unwrap().file_name().into_string().unwrap());
    names.filter(|name| name != "callout.toml").collect()
}

/// The names of the figures, each of which has to have sound numbers.
fn names(report: &Value) -> Vec<&str> {
    let figures = report["figures"].as_array().unwrap();
    for figure in figures {
        let rounds = figure["rounds"].as_array().unwrap();
        let all = rounds.iter().chain(figure["floor_rounds"].as_array().unwrap());
        let all: Vec<f64> = all.map(|n| n.as_f64().unwrap()).collect();
        assert!(!all.is_empty() && all.iter().all(|n| n.is_finite()), "{figure:#}");
        // An idle worker may well have done nothing at all.
        assert!(figure["name"] == "idle_processor" || all.iter().all(|n| *n > 0.0), "{figure:#}");
        let is_measured = |key: &str, rounds: &str| {
            assert_eq!(figure[key].is_null(), figure[rounds].as_array().unwrap().is_empty());
        };
        is_measured("value", "rounds");
        is_measured("floor", "floor_rounds");
        assert_eq!(figure["floor"].is_null(), figure["floor_is"].is_null(), "{figure:#}");
        let is_ratio = !figure["value"].is_null() && !figure["floor"].is_null();
        assert_eq!(figure["ratio"].is_number(), is_ratio, "{figure:#}");
    }
    figures.iter().map(|figure| figure["name"].as_str().unwrap()).collect()
}

#[test]
fn every_measurement_has_its_figures_and_leaves_nothing_behind() {
    let folder = folder("http://127.0.0.1:9/");
    let report = folder.json(&["bench", "--rounds", "1", "--messages", "20", "--json"]);
    let mut expected = vec![
        "sync",
        "enqueue_1",
        "enqueue_8",
        "enqueue_64",
        "enqueue_batch",
        "commit_p50",
        "commit_p99",
        "commit_p999",
        "commit_max",
        "claim_1",
        "claim_100",
        "drain",
        "live",
        "latency_p50",
        "latency_p99",
        "latency_across_p50",
        "latency_across_p99",
    ];
    if cfg!(target_os = "linux") {
        expected.extend(["idle_processor", "idle_memory", "peak_memory"]);
    }
    let names = names(&report);
    assert_eq!(names, expected);
    assert_eq!((&report["rounds"], &report["messages"]), (&1.into(), &20.into()));
    assert!(report["machine"]["processors"].as_u64().unwrap() > 0);
    assert_eq!(litter(&folder), [""; 0], "not even the configured outbox was made");
}

#[test]
fn the_store_alone_is_measured_without_channels() {
    let folder = folder("http://127.0.0.1:9/");
    let args = ["bench", "--channel-less", "--rounds", "2", "--messages", "10"];
    let output = folder.run(&args);
    assert_eq!(output.status.code(), Some(0), "{}", text(&output.stderr));
    let table = text(&output.stdout);
    assert!(table.contains("durable enqueue, 64 producers"), "{table}");
    assert!(table.contains("2 rounds of at most 10 messages."), "{table}");
    assert!(!table.contains("delivered"), "{table}");
    let output = folder.run(&["bench", "--channel-less", "--only", "drain"]);
    assert_eq!(output.status.code(), Some(2), "{}", text(&output.stderr));
    assert_eq!(litter(&folder), [""; 0]);
}

#[test]
fn growth_is_told_for_every_operation() {
    let folder = folder("http://127.0.0.1:9/");
    let args = ["bench", "--only", "growth", "--rounds", "1", "--messages", "20", "--json"];
    let report = folder.json(&args);
    let names = names(&report);
    assert_eq!(names.len(), 13, "{names:?}");
    assert!(names.contains(&"growth_prune") && names.contains(&"growth_bytes"), "{names:?}");
    assert_eq!(litter(&folder), [""; 0]);
}

#[tokio::test]
async fn an_outbox_that_is_served_is_not_slowed_down_unless_asked_for() {
    let sink = Sink::start().await;
    let folder = folder(&sink.address("hook"));
    let served = Served::start(&folder).await;
    let args = ["bench", "--channel-less", "--only", "enqueue", "--rounds", "1", "--messages", "1"];
    let refused = folder.run(&args);
    assert_eq!(refused.status.code(), Some(1), "{}", text(&refused.stdout));
    assert!(text(&refused.stderr).contains("--even-while-serving"), "{}", text(&refused.stderr));
    let told = folder.run(&[&args[..], &["--even-while-serving"]].concat());
    assert_eq!(told.status.code(), Some(0), "{}", text(&told.stderr));
    drop(served);
    assert_eq!(sink.count("hook"), 0, "the configured channel was not used");
}

#[tokio::test]
async fn a_helper_ends_with_whoever_started_it() {
    use tokio::io::AsyncBufReadExt;
    let mut sink = tokio::process::Command::new(callout())
        .args(["bench", "--role", "sink"])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .kill_on_drop(true)
        .spawn()
        .unwrap();
    let mut said = tokio::io::BufReader::new(sink.stdout.take().unwrap()).lines();
    let address = said.next_line().await.unwrap().unwrap();
    assert!(address.starts_with("127.0.0.1:"), "{address}");
    // What a process that dies leaves of its end of the pipe.
    drop(sink.stdin.take());
    let ended = tokio::time::timeout(STUCK, sink.wait()).await.expect("it ends by itself");
    assert!(ended.unwrap().success());
}

/// The processes that `parent` has started and that still run.
#[cfg(target_os = "linux")]
fn children(parent: u32) -> Vec<String> {
    let tasks = std::fs::read_dir(format!("/proc/{parent}/task")).unwrap();
    let lists = tasks.map(|task| {
        std::fs::read_to_string(task.unwrap().path().join("children")).unwrap_or_default()
    });
    lists.flat_map(|list| list.split_whitespace().map(str::to_owned).collect::<Vec<_>>()).collect()
}

#[cfg(target_os = "linux")]
#[test]
fn an_interrupted_measurement_leaves_nothing_behind() {
    let folder = folder("http://127.0.0.1:9/");
    // It would take minutes.
    let mut bench = Command::new(callout())
        .args(["bench", "--only", "drain", "--rounds", "100", "--messages", "100000"])
        .env("CALLOUT_CONFIG", folder.config())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let mut said = BufReader::new(bench.stderr.take().unwrap());
    let mut line = String::new();
    said.read_line(&mut line).unwrap();
    assert!(line.contains("measuring delivery"), "{line}");
    let helpers = children(bench.id());
    assert_eq!(helpers.len(), 1, "the sink runs: {helpers:?}");
    assert_ne!(litter(&folder), [""; 0], "there is something to tidy away");
    let id = bench.id().to_string();
    assert!(Command::new("kill").args(["-INT", &id]).status().unwrap().success());
    assert_eq!(bench.wait().unwrap().code(), Some(1));
    let mut rest = String::new();
    said.read_to_string(&mut rest).unwrap();
    assert!(rest.contains("interrupted"), "{rest}");
    assert_eq!(litter(&folder), [""; 0]);
    for helper in helpers {
        assert!(!std::path::Path::new(&format!("/proc/{helper}")).exists(), "{helper} still runs");
    }
}
