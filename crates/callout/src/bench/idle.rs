//! What a worker takes while it has nothing to do, and how much memory it ever needs.

use super::child::Child;
use super::figure::{Figure, Unit};
use super::ground::{Ground, accepted, enqueue, new, prefill};
use super::latency::Ear;
use super::machine::{memory, processor_time};
use super::stock::Stock;
use crate::command::Failure;
use callout_store::clock::{Clock as _, SystemClock, stopwatch};
use std::time::Duration;

/// Messages in the outbox for each message of a sample.
const WAITING: usize = 5;
/// How long a worker is given to calm down.
const CALM: Duration = Duration::from_secs(5);
/// How long it is watched in each round.
const WATCH: Duration = Duration::from_secs(3);
/// How often to look whether the backlog is gone, and for how long at most.
const LOOK: Duration = Duration::from_millis(100);
const PATIENCE: Duration = Duration::from_secs(300);

/// Measures.
pub(super) async fn measure(ground: &Ground) -> Result<Vec<Figure>, Failure> {
    let mut figures = resting(ground).await?;
    figures.extend(working(ground).await?);
    Ok(figures)
}

/// A worker whose whole backlog is for tomorrow.
async fn resting(ground: &Ground) -> Result<Vec<Figure>, Failure> {
    let future = ground.messages * WAITING;
    let mut ear = Ear::new().await?;
    let plot = ground.plot()?;
    let config = plot.config(&ear.url)?;
    let stock = Stock { history: 0, waiting: 0, future };
    stock.fill(&plot, &config.store_path).await?;
    let store = plot.store(&config)?;
    let worker = Child::serve(&config.file)?;
    // Once it has delivered something it has begun for certain.
    enqueue(store.as_ref(), new(1)).await?;
    ear.next().await?;
    rest(CALM).await;
    let (mut busy, mut used) = (Vec::new(), Vec::new());
    for _ in 0..ground.rounds {
        let (before, elapsed) = (processor_time(worker.id()), stopwatch());
        rest(WATCH).await;
        let after = processor_time(worker.id());
        busy.extend(before.zip(after).map(|(before, after)| {
            after.saturating_sub(before).as_secs_f64() / elapsed().as_secs_f64() * 100.0
        }));
        used.extend(memory(worker.id()).map(|memory| memory.now));
    }
    let processor = format!("processor of an idle worker, {future} messages for tomorrow");
    let memory = format!("memory of an idle worker, {future} messages for tomorrow");
    Ok(vec![
        Figure::plain("idle_processor", processor, Unit::Percent, busy),
        Figure::plain("idle_memory", memory, Unit::Bytes, used),
    ])
}

/// A worker that delivers a large backlog.
async fn working(ground: &Ground) -> Result<Vec<Figure>, Failure> {
    let waiting = ground.messages * WAITING;
    let plot = ground.plot()?;
    let config = plot.config(&ground.sink_url)?;
    let store = plot.store(&config)?;
    prefill(store.as_ref(), waiting).await?;
    let worker = Child::serve(&config.file)?;
    let elapsed = stopwatch();
    while accepted(store.as_ref()).await? < waiting {
        if elapsed() > PATIENCE {
            return Err(Failure::new("the backlog was not delivered in time", "report it"));
        }
        rest(LOOK).await;
    }
    let peak = memory(worker.id()).map(|memory| memory.peak);
    let what = format!("most memory of a worker that delivers {waiting} messages");
    let peak = Figure::plain("peak_memory", what, Unit::Bytes, peak.into_iter().collect());
    Ok(vec![peak])
}

async fn rest(length: Duration) {
    SystemClock.wait_until(SystemClock.now() + length).await;
}
