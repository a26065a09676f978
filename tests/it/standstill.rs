//! A program that really stands still until its lease has ended.
//!
//! `SIGSTOP` stops it while the provider keeps it waiting. Nobody waits for a minute: the programs run under
//! a library that lets time pass at once.

use crate::crash::STUCK;
use crate::program::{Folder, callout};
use crate::stage::preload::{Later, library};
use crate::stage::seconds;
use crate::stage::sink::{Reply, Sink};
use callout_client::{Level, Message, Outbox};
use callout_worker::LEASE;
use serde_json::{Value, json};
use std::process::Stdio;
use std::time::Duration;
use tokio::process::{Child, Command};

fn serve(folder: &Folder, later: &Later) -> Child {
    Command::new(callout())
        .args(["serve", "--config"])
        .arg(folder.config())
        .env("LD_PRELOAD", library("later.c"))
        .env("CALLOUT_LATER_CONTROL", &later.control)
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .kill_on_drop(true)
        .spawn()
        .unwrap()
}

fn signal(program: &Child, name: &str) {
    let id = program.id().expect("it runs").to_string();
    assert!(std::process::Command::new("kill").args([name, &id]).status().unwrap().success());
}

fn put(folder: &Folder, title: &str) -> String {
    let mut outbox = Outbox::create(folder.database()).unwrap();
    outbox.enqueue(&Message::new(Level::Error, title)).unwrap().id.to_string()
}

/// How often a message arrived.
fn arrivals(sink: &Sink, id: &str) -> usize {
    sink.received().iter().filter(|received| received.header("webhook-id") == id).count()
}

async fn has_received(sink: &Sink, n: usize) {
    let received = tokio::time::timeout(STUCK, sink.has_received("hook", n)).await;
    assert!(received.is_ok(), "{} of {n} arrived", sink.count("hook"));
}

/// Waits until a delivery's story is such a one, and returns it.
async fn comes_to(folder: &Folder, id: &str, is: impl Fn(&Value) -> bool) -> Value {
    // Every look is a program of its own; there is no need for more of them.
    let mut looks = tokio::time::interval(Duration::from_millis(50));
    let mut delivery = Value::Null;
    let looking = async {
        while !is(&delivery) {
            looks.tick().await;
            // Before it is planned there is none.
            let shown = folder.json(&["show", id, "--json"]);
            delivery = shown.pointer("/deliveries/0").cloned().unwrap_or_default();
        }
    };
    let done = tokio::time::timeout(STUCK, looking).await;
    assert!(done.is_ok(), "it does not come to that: {delivery:#}");
    delivery
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_a_stopped_program_learns_after_its_lease_is_evidence_and_changes_nothing() {
    let sink = Sink::start().await;
    sink.will("hook", [Reply::Silence]);
    let folder = Folder::new(&format!(
        "[channels.hook]\nkind = \"webhook\"\nurl = \"{}\"\n",
        sink.address("hook")
    ));
    let later = Later::within(folder.config().parent().unwrap());
    let id = put(&folder, "under way");
    let mut stopped = serve(&folder, &later);
    has_received(&sink, 1).await;
    signal(&stopped, "-STOP");

    // It is not dead, so what it has begun is left to it while its lease lasts.
    let mut other = serve(&folder, &later);
    let bystander = put(&folder, "a bystander");
    comes_to(&folder, &bystander, |delivery| delivery["state"] == "accepted").await;
    assert_eq!((arrivals(&sink, &id), arrivals(&sink, &bystander)), (1, 1));
    later.skip(LEASE + seconds(1));
    has_received(&sink, 3).await;
    let delivery = comes_to(&folder, &id, |delivery| delivery["state"] == "accepted").await;
    let tries = |delivery: &Value| -> Vec<Value> {
        let tries = delivery["attempts"].as_array().unwrap().iter();
        tries.map(|a| json!([a["number"], a["outcome"], a["late"]])).collect()
    };
    assert_eq!(tries(&delivery), [json!([1, "unknown", false]), json!([2, "accepted", false])]);

    // It goes on, and gives up waiting for an answer to what is not its own any more.
    signal(&stopped, "-CONT");
    let delivery = comes_to(&folder, &id, |delivery| delivery["attempts"][0]["late"] == true).await;
    assert_eq!(tries(&delivery), [json!([1, "unknown", true]), json!([2, "accepted", false])]);
    assert_eq!(delivery["state"], "accepted");
    // Both go on with what comes, and leave nothing behind.
    let next = put(&folder, "the next one");
    comes_to(&folder, &next, |delivery| delivery["state"] == "accepted").await;
    for program in [&mut stopped, &mut other] {
        signal(program, "-TERM");
        let ended = tokio::time::timeout(STUCK, program.wait()).await.expect("it ends").unwrap();
        assert!(ended.success(), "{ended}");
    }
    let sent = [&id, &bystander, &next].map(|id| arrivals(&sink, id));
    assert_eq!(sent, [2, 1, 1], "the first of them by both programs, and no third time");
    let delivery = folder.json(&["show", &id, "--json"])["deliveries"][0].take();
    assert_eq!((&delivery["state"], tries(&delivery).len()), (&"accepted".into(), 2));
}
