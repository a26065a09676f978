//! `callout serve`: the worker and the HTTP API.
//!
//! The first signal stops it in good order: not ready any more, no new claims, what is under way ends.
//! The second one ends it where it stands, which is safe at any time.

use super::Failure;
use crate::config::{Config, Retention};
use crate::http::ack::Door;
use crate::http::api::Api;
use crate::http::auth::Gate;
use crate::http::callback::Ears;
use crate::{assemble, http, print};
use anyhow::Context as _;
use callout_core::id::MessageId;
use callout_core::plan::{self, Directory, MessageState};
use callout_core::time::Timestamp;
use callout_store::crash::crash_point;
use callout_store::model::{NewMessage, PruneRequest};
use callout_store::{Create, SqliteStore, Store, StoreError};
use callout_worker::{Clock, SystemClock, Worker};
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;
use tokio::sync::watch;

/// How often old messages are deleted.
const PRUNE_EVERY: Duration = Duration::from_secs(3600);
/// Messages looked at in one transaction.
const PRUNE_BATCH: usize = 500;
/// Between two transactions the store is left alone this many times as long as the last one took.
const PRUNE_REST: u32 = 4;
/// What a program that was told twice to stop ends with, as shells count it.
const TOLD_TWICE: i32 = 130;

/// Arguments of `callout serve`.
#[derive(Debug, Default, clap::Args)]
pub struct Args {
    /// Write the log as JSON lines.
    #[arg(long)]
    log_json: bool,
}

/// Runs until a signal says to stop.
///
/// # Errors
/// If it cannot start, or the worker ends by itself.
pub fn run(args: &Args, named: Option<&Path>) -> Result<(), Failure> {
    let config = super::config(named)?;
    start_log(args.log_json);
    let runtime = runtime()?;
    let served = runtime.block_on(serve(config));
    // A name lookup that hangs must not keep the program.
    runtime.shutdown_timeout(Duration::from_secs(1));
    served
}

/// What drives the worker: one thread drives everything; the store's writer and its readers have their own.
pub(crate) fn runtime() -> anyhow::Result<tokio::runtime::Runtime> {
    Ok(tokio::runtime::Builder::new_current_thread().enable_all().build()?)
}

/// The log goes to standard error; `RUST_LOG` says how much. Other crates log warnings only, whatever it
/// says, for at finer levels they write addresses down, and an address is a credential.
fn start_log(json: bool) {
    use tracing_subscriber::filter::{EnvFilter, LevelFilter, filter_fn};
    use tracing_subscriber::{Layer as _, layer::SubscriberExt as _, util::SubscriberInitExt as _};
    let wanted =
        EnvFilter::builder().with_default_directive(LevelFilter::INFO.into()).from_env_lossy();
    let ours = filter_fn(|meta| {
        meta.target().starts_with("callout") || *meta.level() <= tracing::Level::WARN
    });
    let lines = tracing_subscriber::fmt::layer().with_writer(std::io::stderr).with_target(false);
    let layer = if json { lines.json().boxed() } else { lines.with_ansi(false).boxed() };
    tracing_subscriber::registry().with(layer.with_filter(ours)).with(wanted).init();
}

async fn serve(config: Config) -> Result<(), Failure> {
    let clock: Arc<dyn Clock> = Arc::new(SystemClock);
    let opened = Arc::new(super::open(&config, Create::IfMissing)?);
    let store: Arc<dyn Store> = opened.clone();
    let listener = http::bind(config.server.listen)
        .await
        .with_context(|| format!("listening on {} failed", config.server.listen))?;
    if config.server.tokens.is_empty() {
        print::warning("there is no [[server.tokens]], so the HTTP API answers nobody");
    }
    let gate = Gate::new(config.server.tokens.clone());
    let retention = config.retention;
    for warning in &config.warnings {
        print::warning(warning);
    }
    let setup = assemble::worker(config, store.clone(), clock.clone())?;
    let directory = setup.directory.clone();
    let door = Door::new(setup.links.clone(), setup.zone.clone());
    let ears = Ears::of(&setup.lanes);
    let address = listener.local_addr().context("the listener has no address")?;
    greet(address, &setup, store.as_ref()).await?;
    report_loss(&opened, &directory, clock.as_ref()).await?;
    drop(opened);
    let worker = Worker::spawn(setup).await.context("the worker cannot start")?;

    let (tell, told) = watch::channel(());
    let status = worker.status();
    let api = Api::new(store.clone(), clock.clone(), directory, gate, door, ears, status);
    let api = Arc::new(api);
    let server = tokio::spawn(http::serve(listener, api.clone(), until(told)));
    let pruner = tokio::spawn(prune_for_ever(store, clock, retention));
    let ended = work(worker, &api).await;
    pruner.abort();
    drop(tell);
    server.await.context("the HTTP server failed")?;
    ended
}

/// Waits for a signal or the worker's end, then stops in good order.
async fn work(mut worker: Worker, api: &Api) -> Result<(), Failure> {
    let mut signals = Signals::new()?;
    tokio::select! {
        () = signals.next() => {
            api.stopping.store(true, Ordering::Relaxed);
            tracing::info!("stopping: no new messages are taken up, those under way end");
            worker.stop();
        }
        ended = worker.ended() => return Ok(ended.context("the worker ended")?),
    }
    tokio::select! {
        () = signals.next() => std::process::exit(TOLD_TWICE),
        ended = worker.ended() => Ok(ended.context("the worker did not end in good order")?),
    }
}

/// Completes when the sender is gone.
pub(crate) async fn until(mut told: watch::Receiver<()>) {
    while told.changed().await.is_ok() {}
}

/// Tells the operator, once, if the database lacks what it once had.
async fn report_loss(
    store: &SqliteStore,
    directory: &Directory,
    clock: &dyn Clock,
) -> Result<(), Failure> {
    let Some(lost) = store.lost() else { return Ok(()) };
    if let Some(mut message) = plan::lost(directory, &lost.to_string()) {
        message.idempotency_key = Some(lost.key());
        let now = clock.now();
        let id = MessageId::new(now, clock.entropy());
        let posted = store.enqueue(vec![NewMessage { id, created_at: now, message }]).await?;
        for result in posted {
            result?;
        }
    }
    store.loss_is_reported();
    Ok(())
}

async fn greet(
    address: std::net::SocketAddr,
    setup: &callout_worker::Setup,
    store: &dyn Store,
) -> Result<(), Failure> {
    let stats = store.stats(setup.clock.now()).await?;
    let waiting: u64 = stats
        .messages
        .iter()
        .filter(|(state, _)| *state == MessageState::Pending)
        .map(|(_, n)| n)
        .sum();
    let channels: Vec<&str> = setup.lanes.iter().map(|lane| lane.name.as_str()).collect();
    print::talk(format_args!("callout {} listens on http://{address}", env!("CARGO_PKG_VERSION")));
    print::talk(format_args!("delivers to {}", channels.join(", ")));
    print::talk(format_args!("{waiting} messages wait"));
    Ok(())
}

/// Deletes old messages now and then, gently.
async fn prune_for_ever(store: Arc<dyn Store>, clock: Arc<dyn Clock>, retention: Retention) {
    loop {
        if let Err(error) = prune(store.as_ref(), clock.as_ref(), retention).await {
            tracing::warn!(%error, "old messages could not be deleted, trying again later");
        }
        clock.wait_until(clock.now() + PRUNE_EVERY).await;
    }
}

async fn prune(
    store: &dyn Store,
    clock: &dyn Clock,
    retention: Retention,
) -> Result<(), StoreError> {
    let start = clock.now();
    let before =
        |length: Duration| Timestamp::EPOCH + start.since(Timestamp::EPOCH).saturating_sub(length);
    let mut next = Some(0);
    while let Some(after) = next {
        let began = clock.now();
        let ask = PruneRequest {
            accepted_before: before(retention.accepted),
            dead_before: before(retention.dead),
            after,
            limit: PRUNE_BATCH,
        };
        next = store.prune(ask).await?.next;
        crash_point("between_prune_batches");
        let now = clock.now();
        clock.wait_until(now + now.since(began) * PRUNE_REST).await;
    }
    Ok(())
}

/// SIGTERM and Ctrl-C.
pub(crate) struct Signals {
    #[cfg(unix)]
    terminate: tokio::signal::unix::Signal,
    #[cfg(unix)]
    interrupt: tokio::signal::unix::Signal,
}

#[cfg(unix)]
impl Signals {
    pub(crate) fn new() -> anyhow::Result<Self> {
        use tokio::signal::unix::{SignalKind, signal};
        Ok(Self {
            terminate: signal(SignalKind::terminate())?,
            interrupt: signal(SignalKind::interrupt())?,
        })
    }

    pub(crate) async fn next(&mut self) {
        tokio::select! {
            _ = self.terminate.recv() => (),
            _ = self.interrupt.recv() => (),
        }
    }
}

#[cfg(not(unix))]
impl Signals {
    pub(crate) fn new() -> anyhow::Result<Self> {
        Ok(Self {})
    }

    pub(crate) async fn next(&mut self) {
        if tokio::signal::ctrl_c().await.is_err() {
            std::future::pending().await
        }
    }
}
