//! `callout demo`: the main job, for real, in a temporary folder.
//!
//! Real configuration, store, worker and HTTP; only the providers are stand-ins on this machine
//! (`providers`). Nothing leaves it, nothing stays on it.

mod providers;

use crate::command::{self, Failure};
use crate::{assemble, config, print};
use anyhow::Context as _;
use callout_core::delivery::{State, Wait};
use callout_core::id::{ChannelName, MessageId};
use callout_core::level::Level;
use callout_core::message::{Link, Message};
use callout_core::time::Timestamp;
use callout_store::model::{AttemptRecord, NewMessage, Story};
use callout_store::{Create, Store};
use callout_worker::{Clock, SystemClock, Worker};
use providers::Providers;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

/// How often the demonstration looks what has become of its message.
const LOOK: Duration = Duration::from_millis(20);
/// The demonstration is broken if it has not ended by then.
const PATIENCE: Duration = Duration::from_secs(60);

/// Arguments of `callout demo`.
#[derive(Debug, clap::Args)]
pub struct Args {}

/// Lets a critical alert survive a failing provider, and tells what happens as it happens.
///
/// # Errors
/// If the machine lets it have no temporary folder or no port, or something is broken.
pub fn run(_args: &Args) -> Result<(), Failure> {
    command::wait_for(show())
}

async fn show() -> Result<(), Failure> {
    let folder = tempfile::tempdir().context("there is no temporary folder")?;
    let providers = Providers::start().await.context("the stand-in providers cannot start")?;
    let file = folder.path().join("callout.toml");
    let text = configuration(&providers);
    write_private(&file, &text).context("the configuration cannot be written")?;
    print::out(
        "A configuration like yours, but for the endpoints, which lead to stand-ins on this machine:\n",
    );
    text.lines().for_each(|line| print::out(format_args!("    {line}")));

    let config = config::load(&file)?;
    let clock: Arc<dyn Clock> = Arc::new(SystemClock);
    let store: Arc<dyn Store> = Arc::new(command::open(&config, Create::IfMissing)?);
    let mut worker = Worker::spawn(assemble::worker(config, store.clone(), clock.clone())?)
        .await
        .context("the worker cannot start")?;

    let message = alert();
    let created_at = clock.now();
    print::out(format_args!("\nAn application enqueues: {} {:?}\n", message.level, message.title));
    let id = MessageId::new(created_at, clock.entropy());
    for enqueued in store.enqueue(vec![NewMessage { id, created_at, message }]).await? {
        enqueued?;
    }
    follow(store.as_ref(), clock.as_ref(), id).await?;
    worker.stop();
    worker.ended().await.context("the worker did not end in good order")?;
    print::out(format_args!(
        "\nWhat the stand-in for WeCom received:\n\n    {}",
        providers.received_by_wecom()
    ));
    print::out("\nNow for real: `callout init` writes a configuration, `callout serve` runs it.");
    Ok(())
}

/// The file that `show` runs on.
fn configuration(providers: &Providers) -> String {
    format!(
        r#"[channels.ops-dingtalk]
kind = "dingtalk"
access_token = "demo-access-token"
sign_key = "SECdemo-sign-key"
endpoint = "{}"

[channels.ops-wecom]
kind = "wecom"
key = "demo-robot-key"
endpoint = "{}"

[receivers.ops]
channels = ["ops-dingtalk", "ops-wecom"]

[retry]
base = "1s"                  # 2s unless you say otherwise; this is a demonstration

[operator]
receiver = "ops"

[[routes]]
to = ["ops"]
"#,
        providers.dingtalk(),
        providers.wecom(),
    )
}

fn write_private(file: &Path, text: &str) -> std::io::Result<()> {
    use std::io::Write as _;
    let mut options = std::fs::OpenOptions::new();
    options.write(true).create_new(true);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    options.open(file)?.write_all(text.as_bytes())
}

fn alert() -> Message {
    let mut message = Message::new(Level::Critical, "Disk full on db-1");
    message.body = "Writes fail since **03:12**. 写入失败。".to_owned();
    message.labels.insert("host".to_owned(), "db-1".to_owned());
    message.labels.insert("value".to_owned(), "100 %".to_owned());
    let url = "https://wiki.example.com/runbooks/disk".to_owned();
    message.links.push(Link { text: "Runbook".to_owned(), url });
    message
}

/// Tells what happens to a message as it happens, until it is over.
async fn follow(store: &dyn Store, clock: &dyn Clock, id: MessageId) -> Result<(), Failure> {
    let start = clock.now();
    let mut teller = Teller { start, routed: false, told: 0, announced: false };
    while clock.now().since(start) < PATIENCE {
        let story = store.story(id.to_string()).await?.context("the message is gone")?;
        teller.tell(&story);
        if let Some(settled_at) = story.summary.settled_at {
            teller.line(settled_at, format_args!("the message is {}", story.summary.state.name()));
            return match story.summary.state {
                callout_core::plan::MessageState::Accepted => Ok(()),
                _ => Err(Failure::new(
                    "the demonstration did not end well",
                    format_args!("report it, with: {story:?}"),
                )),
            };
        }
        clock.wait_until(clock.now() + LOOK).await;
    }
    Err(Failure::new("the demonstration did not end", "report it, with what it printed"))
}

/// Remembers what was told already.
struct Teller {
    start: Timestamp,
    routed: bool,
    /// Attempts told.
    told: usize,
    /// Whether the wait for the attempt after those was told.
    announced: bool,
}

impl Teller {
    fn line(&self, at: Timestamp, what: impl std::fmt::Display) {
        let seconds = at.since(self.start).as_secs_f64();
        print::out(format_args!("  +{seconds:>6.3}s  {what}"));
    }

    fn tell(&mut self, story: &Story) {
        let Some(delivery) = story.deliveries.first() else { return };
        if !self.routed {
            let why = story.why.as_deref().unwrap_or_default();
            self.line(
                story.summary.created_at,
                format_args!("{why}, so {} is told", delivery.receiver),
            );
            self.routed = true;
        }
        let mut last_end = self.start;
        for (n, attempt) in delivery.attempts.iter().enumerate() {
            if n >= self.told {
                self.announce(last_end, attempt.wait, attempt.due_at, &attempt.channel);
                self.attempt(attempt);
                self.told = n + 1;
                self.announced = false;
            }
            last_end = attempt.started_at + attempt.duration;
        }
        if let State::Ready { at, wait, place } = &delivery.state {
            self.announce(last_end, *wait, *at, &place.channel);
            self.announced = true;
        }
    }

    fn attempt(&self, attempt: &AttemptRecord) {
        let code = attempt.code.as_deref().map(|code| format!("{code}: ")).unwrap_or_default();
        self.line(
            attempt.started_at + attempt.duration,
            format_args!("{:<14}{:<11}{code}{}", attempt.channel, attempt.outcome, attempt.detail),
        );
    }

    fn announce(&self, from: Timestamp, wait: Wait, due_at: Timestamp, channel: &ChannelName) {
        match wait {
            _ if self.announced => (),
            Wait::New => (),
            Wait::Failover => self.line(from, format_args!("failover to {channel}")),
            wait => {
                let seconds = due_at.since(from).as_secs_f64();
                self.line(from, format_args!("{}: {channel} again in {seconds:.1}s", wait.name()));
            }
        }
    }
}
