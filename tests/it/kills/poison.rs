//! A message at which the program dies every time.

use super::died;
use crate::crash::STUCK;
use crate::program::{Folder, callout, text};
use crate::stage::sink::Sink;
use callout_client::{Level, Message, Outbox};
use callout_core::delivery::LOSSES_MAX;
use std::process::Stdio;
use tokio::process::{Child, Command};

fn put(folder: &Folder, title: &str) -> String {
    let mut outbox = Outbox::create(folder.database()).unwrap();
    outbox.enqueue(&Message::new(Level::Error, title)).unwrap().id.to_string()
}

fn serve(folder: &Folder, crash_at: &str) -> Child {
    Command::new(callout())
        .args(["serve", "--config"])
        .arg(folder.config())
        .env("CALLOUT_CRASH_AT", crash_at)
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .kill_on_drop(true)
        .spawn()
        .unwrap()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_message_that_kills_its_worker_three_times_is_set_aside_and_reported() {
    let sink = Sink::start().await;
    let folder = Folder::new(&format!(
        "[channels.hook]\nkind = \"webhook\"\nurl = \"{}\"\n",
        sink.address("hook")
    ));
    let poison = put(&folder, "the poison");
    for n in 1..=LOSSES_MAX {
        let mut program = serve(&folder, "before_send:1");
        let status = tokio::time::timeout(STUCK, program.wait()).await.expect("it dies").unwrap();
        assert!(died(status), "time {n}: {status}");
    }
    let other = put(&folder, "the next one");
    let mut program = serve(&folder, "nowhere:0");
    // The other message, and the report.
    tokio::time::timeout(STUCK, sink.has_received("hook", 2)).await.expect("others flow");
    let bodies: Vec<String> = sink.received().iter().map(|r| r.body.clone()).collect();
    assert!(bodies.iter().any(|body| body.contains(&other)), "{bodies:?}");
    assert!(bodies.iter().any(|body| body.contains("every try ended its worker")), "{bodies:?}");
    let dead = folder.json(&["list", "--state", "dead", "--json"]);
    assert_eq!(dead[0]["id"], poison.as_str(), "{dead:#}");
    let why = text(&folder.run(&["why", &poison]).stdout);
    assert!(why.contains("3 workers in a row died while they tried it"), "{why}");

    // Whoever has mended the cause gives it three more.
    assert!(folder.run(&["replay", "--yes", &poison]).status.success());
    tokio::time::timeout(STUCK, sink.has_received("hook", 3)).await.expect("it is sent");
    assert_eq!(sink.received()[2].header("webhook-id"), poison);
    program.kill().await.unwrap();
}
