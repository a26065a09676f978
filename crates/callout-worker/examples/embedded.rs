//! A worker inside an application: no separate process, the same guarantees.
//!
//! `cargo run -p callout-worker --example embedded -- https://example.com/hook` sends one message there;
//! without an address it sends to a port where nobody listens, and shows what is recorded of that.

#![expect(clippy::print_stdout, reason = "an example shows what happened")]

use callout_channels::{Channel, Settings, Transport};
use callout_core::id::{MessageId, WorkerId};
use callout_core::level::Level;
use callout_core::locale::Locale;
use callout_core::message::Message;
use callout_core::plan::Directory;
use callout_core::receiver::Receiver;
use callout_core::retry::RetryPolicy;
use callout_core::route::Route;
use callout_store::model::NewMessage;
use callout_store::{Create, SqliteStore, Store};
use callout_worker::{Clock, LaneSetup, POLL, People, Presence, Setup, SystemClock, Worker};
use std::error::Error;
use std::sync::Arc;

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Box<dyn Error>> {
    let url = std::env::args().nth(1).unwrap_or_else(|| "http://127.0.0.1:9/".to_owned());
    let channel = Channel::build("webhook", serde_json::json!({ "url": url }))
        .map_err(|problems| format!("{problems:?}"))?;

    // Who is told, and through what. The program builds this from callout.toml.
    let ops = Receiver {
        name: "ops".parse()?,
        channels: vec!["hook".parse()?],
        failover_after: None,
        mention_all: false,
        mention: vec![],
    };
    let directory = Directory {
        routes: vec![Route {
            levels: vec![],
            labels: vec![],
            to: vec![ops.name.clone()],
            escalation: None,
        }],
        receivers: [(ops.name.clone(), ops)].into(),
        operator: None,
        follow_up: true,
        locale: Locale::English,
        costly: [].into(),
        ringing: [].into(),
        retry: RetryPolicy::default(),
    };

    let folder = tempfile::tempdir()?;
    let database = folder.path().join("outbox.db");
    let clock = Arc::new(SystemClock);
    let store: Arc<dyn Store> =
        Arc::new(SqliteStore::open(&database, Create::IfMissing, clock.now())?);
    let mut worker = Worker::spawn(Setup {
        store: store.clone(),
        clock: clock.clone(),
        directory: Arc::new(directory),
        lanes: vec![LaneSetup {
            name: "hook".parse()?,
            channel: Arc::new(channel),
            rate: "10/s".parse()?,
            permits: 4,
        }],
        transport: Transport::new(Settings::default())?,
        people: People::default(),
        links: None,

        zone: callout_channels::TimeZone::UTC,
        presence: Presence::beside(&database, WorkerId::new(clock.now(), clock.entropy()))?,
        poll: POLL,
    })
    .await?;

    let created_at = clock.now();
    let id = MessageId::new(created_at, clock.entropy());
    let message = Message::new(Level::Warning, "Hello from inside the application");
    store.enqueue(vec![NewMessage { id, created_at, message }]).await?;
    worker.idle().await?; // everything that was due has been tried once

    let story = store.story(id.to_string()).await?.ok_or("the message is gone")?;
    for attempt in story.deliveries.iter().flat_map(|delivery| &delivery.attempts) {
        println!("{}: {} {}", attempt.channel, attempt.outcome, attempt.detail);
    }
    worker.stop();
    worker.ended().await?;
    Ok(())
}
