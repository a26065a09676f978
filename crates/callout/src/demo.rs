//! `callout demo`: the main job, for real, in a temporary folder.
//!
//! Real configuration, store, worker, HTTP and acknowledge page; only the providers are stand-ins on
//! this machine (`providers`). Nothing leaves it, nothing stays on it.

mod providers;
mod teller;

use crate::command::{self, Failure, serve};
use crate::http::ack::Door;
use crate::http::api::Api;
use crate::http::auth::Gate;
use crate::http::callback::Ears;
use crate::{assemble, config, http, narrate, print};
use anyhow::Context as _;
use callout_core::alert::Standing;
use callout_core::id::MessageId;
use callout_core::level::Level;
use callout_core::message::{Link, Message};
use callout_store::model::{NewMessage, Story};
use callout_store::{Create, Store};
use callout_worker::{Clock, SystemClock, Worker};
use providers::Providers;
use std::io::IsTerminal as _;
use std::net::SocketAddr;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;
use teller::Teller;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{oneshot, watch};

/// How often the demonstration looks what has become of its message.
const LOOK: Duration = Duration::from_millis(20);
/// The demonstration is broken if it has not gone on by then.
const PATIENCE: Duration = Duration::from_secs(60);
/// How long it waits for a person to open the page.
const PERSON: Duration = Duration::from_secs(300);

/// Arguments of `callout demo`.
#[derive(Debug, clap::Args)]
pub struct Args {}

/// Lets a critical alert survive a failing provider and people who do not answer, and tells what happens
/// as it happens. On a terminal it waits for a person to acknowledge; otherwise it does so itself.
///
/// # Errors
/// If the machine lets it have no temporary folder or no port, or something is broken.
pub fn run(_args: &Args) -> Result<(), Failure> {
    command::wait_for(show())
}

async fn show() -> Result<(), Failure> {
    let folder = tempfile::tempdir().context("there is no temporary folder")?;
    let providers = Providers::start().await.context("the stand-in providers cannot start")?;
    let listener = http::bind(([127, 0, 0, 1], 0).into()).await.context("there is no free port")?;
    let address = listener.local_addr().context("the listener has no address")?;
    let file = folder.path().join("callout.toml");
    let text = configuration(&providers, address);
    write_private(&file, &text).context("the configuration cannot be written")?;
    print::out(
        "A configuration like yours, but for the endpoints, which lead to stand-ins on this machine:\n",
    );
    text.lines().for_each(|line| print::out(format_args!("    {line}")));

    let stage = Stage::start(&file, listener).await?;
    let message = alert();
    print::out(format_args!("\nAn application enqueues: {} {:?}\n", message.level, message.title));
    let id = stage.enqueue(message).await?;
    let mut teller = Teller::new(stage.clock.now());
    // The second people have been told, and the provider has said so.
    stage.until(id, &mut teller, PATIENCE, |story| accepted(story) >= 2).await?;
    let link = providers.link().context("the second people got no link")?;
    let person = acknowledge(&link, address)?;
    let taken = |story: &Story| {
        story.alert.as_ref().is_some_and(|a| a.state.standing() == Standing::Acknowledged)
    };
    let story = stage.until(id, &mut teller, PERSON, taken).await?;
    person.abort();
    let heard = |_: &Story| providers.slack_has_heard("Acknowledged by");
    stage.until(id, &mut teller, PATIENCE, heard).await?;
    print::out("\nNobody else is told, and those who were hear who has it.");
    print::out("The whole story, as `callout why` tells it:\n");
    let zone = jiff::tz::TimeZone::system();
    for line in narrate::story(&story, stage.clock.now(), &zone).lines() {
        print::out(format_args!("    {line}"));
    }
    stage.end().await?;
    print::out("\nNow for real: `callout init` writes a configuration, `callout serve` runs it.");
    Ok(())
}

/// How many deliveries the providers took.
fn accepted(story: &Story) -> usize {
    story.deliveries.iter().filter(|delivery| delivery.state.name() == "accepted").count()
}

/// The running program.
struct Stage {
    store: Arc<dyn Store>,
    clock: Arc<dyn Clock>,
    worker: Worker,
    server: tokio::task::JoinHandle<()>,
    /// Dropped when the server shall end.
    stop: watch::Sender<()>,
}

impl Stage {
    async fn start(file: &Path, listener: TcpListener) -> Result<Self, Failure> {
        let config = config::load(file)?;
        let clock: Arc<dyn Clock> = Arc::new(SystemClock);
        let store: Arc<dyn Store> = Arc::new(command::open(&config, Create::IfMissing)?);
        let gate = Gate::new(config.server.tokens.clone());
        let setup = assemble::worker(config, store.clone(), clock.clone())?;
        let (directory, door) =
            (setup.directory.clone(), Door::new(setup.links.clone(), setup.zone.clone()));
        let ears = Ears::of(&setup.lanes);
        let worker = Worker::spawn(setup).await.context("the worker cannot start")?;
        let status = worker.status();
        let api = Api::new(store.clone(), clock.clone(), directory, gate, door, ears, status);
        let (stop, stopped) = watch::channel(());
        let server = tokio::spawn(http::serve(listener, Arc::new(api), serve::until(stopped)));
        Ok(Self { store, clock, worker, server, stop })
    }

    async fn enqueue(&self, message: Message) -> Result<MessageId, Failure> {
        let created_at = self.clock.now();
        let id = MessageId::new(created_at, self.clock.entropy());
        for enqueued in self.store.enqueue(vec![NewMessage { id, created_at, message }]).await? {
            enqueued?;
        }
        Ok(id)
    }

    /// Tells what happens until `over` holds.
    async fn until(
        &self,
        id: MessageId,
        teller: &mut Teller,
        patience: Duration,
        over: impl Fn(&Story) -> bool,
    ) -> Result<Story, Failure> {
        let start = self.clock.now();
        while self.clock.now().since(start) < patience {
            let story = self.store.story(id.to_string()).await?.context("the message is gone")?;
            teller.tell(&story);
            if over(&story) {
                return Ok(story);
            }
            self.clock.wait_until(self.clock.now() + LOOK).await;
        }
        Err(Failure::new("the demonstration did not go on", "report it, with what it printed"))
    }

    async fn end(mut self) -> Result<(), Failure> {
        self.worker.stop();
        self.worker.ended().await.context("the worker did not end in good order")?;
        drop(self.stop);
        self.server.await.context("the HTTP server failed")?;
        Ok(())
    }
}

/// Lets a person press the button, or presses it. Ends when the button is pressed by other hands.
fn acknowledge(link: &str, address: SocketAddr) -> anyhow::Result<tokio::task::JoinHandle<()>> {
    let path = link.find("/a/").and_then(|at| link.get(at..)).context("the link leads nowhere")?;
    let path = path.to_owned();
    let (press, pressed) = oneshot::channel();
    if std::io::stdin().is_terminal() && std::io::stdout().is_terminal() {
        print::out(format_args!("\nOpen the link that the second people got, and acknowledge:\n"));
        print::out(format_args!("    {link}\n\nor press Enter here.\n"));
        // Nobody waits for this thread: it may hang at the terminal for as long as it likes.
        std::thread::spawn(move || {
            if std::io::stdin().read_line(&mut String::new()).is_ok() {
                let _gone = press.send(());
            }
        });
    } else {
        let _heard = press.send(());
    }
    Ok(tokio::spawn(async move {
        if pressed.await.is_ok()
            && let Err(error) = submit(&path, address).await
        {
            print::warning(format_args!("the form could not be sent: {error}"));
        }
    }))
}

/// Sends the page's form as a browser does.
async fn submit(path: &str, address: SocketAddr) -> std::io::Result<()> {
    let form = "action=ack&name=Lin";
    let request = format!(
        "POST {path} HTTP/1.1\r\nHost: {address}\r\nConnection: close\r\n\
         Content-Type: application/x-www-form-urlencoded\r\nContent-Length: {}\r\n\r\n{form}",
        form.len()
    );
    let mut stream = TcpStream::connect(address).await?;
    stream.write_all(request.as_bytes()).await?;
    stream.read_to_end(&mut Vec::new()).await.map(drop)
}

/// The file that `show` runs on.
fn configuration(providers: &Providers, address: SocketAddr) -> String {
    format!(
        r#"[server]
listen = "{address}"
public_url = "http://{address}"        # where acknowledge links lead
ack_key = "a-key-for-this-demonstration-only"

[channels.ops-dingtalk]
kind = "dingtalk"
access_token = "demo-access-token"
sign_key = "SECdemo-sign-key"
endpoint = "{}"

[channels.ops-wecom]
kind = "wecom"
key = "demo-robot-key"
endpoint = "{}"

[channels.lead-slack]
kind = "slack"
webhook_url = "{}"

[receivers.ops]
channels = ["ops-dingtalk", "ops-wecom"]     # failover: the first that accepts

[receivers.lead]
channels = ["lead-slack"]

[escalation.night]                           # escalation: the next people
steps = [{{ to = ["ops"], ack_within = "4s" }}, {{ to = ["lead"], ack_within = "10m" }}]

[retry]
base = "1s"                                  # 2s unless you say otherwise; this is a demonstration

[operator]
receiver = "ops"

[[routes]]
to = ["ops"]
escalation = "night"
"#,
        providers.dingtalk(),
        providers.wecom(),
        providers.slack(),
    )
}

/// Writes a new file that nobody else can read.
pub(crate) fn write_private(file: &Path, text: &str) -> std::io::Result<()> {
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
