//! How fast messages reach a provider that takes everything, beside bare requests to the same sink.
//!
//! The worker is put together as `serve` does it and runs on a runtime like that of `serve`, as do the
//! bare requests. The sink is a process of its own.

use super::enqueue::{per_second, produce};
use super::figure::{Figure, Unit};
use super::ground::{BODY, Ground, IN_FLIGHT, Plot, check_accepted, prefill};
use crate::assemble;
use crate::command::Failure;
use crate::config::Config;
use anyhow::Context as _;
use callout_channels::floor::Bare;
use callout_store::Store;
use callout_store::clock::stopwatch;
use callout_worker::{SystemClock, Worker};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;
use tokio::task::JoinSet;

/// How many enqueue at once while messages are delivered.
const PRODUCERS: usize = 64;
/// Nothing that is measured here takes longer.
const PATIENCE: Duration = Duration::from_secs(120);

const BARE: &str = "bare reqwest, 64 in flight";

/// Measures.
pub(super) async fn measure(ground: &Ground) -> Result<Vec<Figure>, Failure> {
    let (mut bare, mut drained, mut live) = (Vec::new(), Vec::new(), Vec::new());
    for _ in 0..ground.rounds {
        bare.push(requests(ground).await?);
        drained.push(drain(ground).await?);
        live.push(stream(ground).await?);
    }
    let drained =
        Figure::plain("drain", "a backlog delivered, 64 in flight", Unit::PerSecond, drained);
    let what = "enqueued by 64 producers and delivered at once";
    let live = Figure::plain("live", what, Unit::PerSecond, live);
    Ok(vec![drained.beside(BARE, bare.clone()), live.beside(BARE, bare)])
}

/// Bare requests a second.
async fn requests(ground: &Ground) -> Result<f64, Failure> {
    let client = Bare::new(&ground.sink_url).context("there is no HTTP client")?;
    let begun = Arc::new(AtomicUsize::new(0));
    let n = ground.messages;
    let elapsed = stopwatch();
    let mut all = JoinSet::new();
    for _ in 0..IN_FLIGHT {
        let (client, begun) = (client.clone(), begun.clone());
        all.spawn(async move {
            while begun.fetch_add(1, Ordering::Relaxed) < n {
                anyhow::ensure!(client.post(BODY).await?, "the sink refused a request");
            }
            Ok(())
        });
    }
    while let Some(one) = all.join_next().await {
        one.context("a bare request failed")?.context("a bare request failed")?;
    }
    Ok(per_second(n, elapsed()))
}

/// Messages a second of a backlog.
async fn drain(ground: &Ground) -> Result<f64, Failure> {
    let plot = ground.plot()?;
    let config = plot.config(&ground.sink_url)?;
    let store = plot.store(&config)?;
    prefill(store.as_ref(), ground.messages).await?;
    let elapsed = stopwatch();
    let worker = start(config, &store).await?;
    idle(&worker).await?;
    let took = elapsed();
    end(worker, store, plot, ground.messages).await?;
    Ok(per_second(ground.messages, took))
}

/// Messages a second, enqueued and delivered at the same time.
async fn stream(ground: &Ground) -> Result<f64, Failure> {
    let plot = ground.plot()?;
    let config = plot.config(&ground.sink_url)?;
    let store = plot.store(&config)?;
    let worker = start(config, &store).await?;
    let elapsed = stopwatch();
    let n = produce(store.clone(), PRODUCERS, 1, ground.messages, PATIENCE).await?;
    idle(&worker).await?;
    let took = elapsed();
    end(worker, store, plot, n).await?;
    Ok(per_second(n, took))
}

/// Starts a worker on an outbox.
pub(super) async fn start(config: Config, store: &Arc<dyn Store>) -> Result<Worker, Failure> {
    let setup = assemble::worker(config, store.clone(), Arc::new(SystemClock))?;
    Ok(Worker::spawn(setup).await.context("the worker cannot start")?)
}

async fn idle(worker: &Worker) -> Result<(), Failure> {
    let idle = tokio::time::timeout(PATIENCE, worker.idle()).await;
    Ok(idle.context("the backlog was not delivered in time")?.context("the worker ended")?)
}

/// Ends a worker and looks whether it delivered everything.
pub(super) async fn end(
    mut worker: Worker,
    store: Arc<dyn Store>,
    plot: Plot,
    delivered: usize,
) -> Result<(), Failure> {
    worker.stop();
    worker.ended().await.context("the worker did not end in good order")?;
    check_accepted(store.as_ref(), delivered).await?;
    // The file is closed before its folder goes.
    drop((worker, store));
    drop(plot);
    Ok(())
}
