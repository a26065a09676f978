//! How fast messages become durable, beside raw commits.

use super::figure::{Figure, Unit, per_mille};
use super::ground::{self, BODY, Ground, enqueue, new};
use crate::command::Failure;
use anyhow::Context as _;
use callout_store::clock::stopwatch;
use callout_store::{Floor, Store};
use std::fs::File;
use std::io::Write as _;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;
use tokio::task::JoinSet;

/// How long a sample takes at most.
const SAMPLE: Duration = Duration::from_millis(500);
/// Messages in one call, where several are.
const BATCH: usize = 100;
/// How many enqueue at once.
const PRODUCERS: [usize; 3] = [1, 8, 64];
const BLOCK: [u8; 4096] = [0x5a; 4096];

pub(super) const RAW: &str = "raw SQLite commits, one row each";
const RAW_BATCH: &str = "raw SQLite commits, 100 rows each";

/// Measures.
pub(super) async fn measure(ground: &Ground) -> Result<Vec<Figure>, Failure> {
    let mut sync = Vec::new();
    let (mut raw, mut raw_batch) = (Vec::new(), Vec::new());
    let mut ours: [Vec<f64>; PRODUCERS.len()] = Default::default();
    let mut ours_batch = Vec::new();
    for _ in 0..ground.rounds {
        sync.push(syncs(ground)?);
        raw.push(commits(ground, 1)?);
        for (ours, producers) in ours.iter_mut().zip(PRODUCERS) {
            ours.push(enqueues(ground, producers, 1).await?);
        }
        raw_batch.push(commits(ground, BATCH)?);
        ours_batch.push(enqueues(ground, 1, BATCH).await?);
    }
    let synced = Figure::plain("sync", "fdatasync of 4 KiB", Unit::Micros, Vec::new())
        .beside("this disk", sync);
    let singles = ours.into_iter().zip(PRODUCERS).map(|(ours, producers)| {
        let plural = if producers == 1 { "" } else { "s" };
        let what = format!("durable enqueue, {producers} producer{plural}");
        Figure::plain(format!("enqueue_{producers}"), what, Unit::PerSecond, ours)
            .beside(RAW, raw.clone())
    });
    let batch = Figure::plain(
        "enqueue_batch",
        "durable enqueue, 100 in a call",
        Unit::PerSecond,
        ours_batch,
    );
    let batch = batch.beside(RAW_BATCH, raw_batch);
    Ok(std::iter::once(synced).chain(singles).chain([batch]).collect())
}

/// The time that half of all syncs of an overwritten block take, in microseconds.
fn syncs(ground: &Ground) -> Result<f64, Failure> {
    let plot = ground.plot()?;
    let sync = || -> std::io::Result<Vec<f64>> {
        let mut file = File::create(plot.file("block"))?;
        let (mut times, whole) = (Vec::new(), stopwatch());
        while times.len() < ground.messages && whole() < SAMPLE {
            std::io::Seek::rewind(&mut file)?;
            let one = stopwatch();
            file.write_all(&BLOCK)?;
            file.sync_data()?;
            times.push(one().as_secs_f64() * 1e6);
        }
        Ok(times)
    };
    let times = sync().context("the disk cannot be written")?;
    Ok(per_mille(&times, 500).unwrap_or(f64::NAN))
}

/// Rows a second that raw commits of `rows` rows make durable.
fn commits(ground: &Ground, rows: usize) -> Result<f64, Failure> {
    let plot = ground.plot()?;
    let mut floor = Floor::create(&plot.file("floor.db"))?;
    floor.commit(rows, BODY)?;
    let (mut done, elapsed) = (0, stopwatch());
    while done < ground.messages && elapsed() < SAMPLE {
        floor.commit(rows, BODY)?;
        done += rows;
    }
    Ok(per_second(done, elapsed()))
}

/// Messages a second that so many producers enqueue, so many in a call.
async fn enqueues(ground: &Ground, producers: usize, batch: usize) -> Result<f64, Failure> {
    let plot = ground.plot()?;
    let store = plot.store(&plot.config("http://127.0.0.1:9/")?)?;
    ground::enqueue(store.as_ref(), new(batch)).await?;
    let elapsed = stopwatch();
    let done = produce(store, producers, batch, ground.messages, SAMPLE).await?;
    Ok(per_second(done, elapsed()))
}

/// Lets producers enqueue about `messages`, for no longer than `length`. Returns how many they did.
pub(super) async fn produce(
    store: Arc<dyn Store>,
    producers: usize,
    batch: usize,
    messages: usize,
    length: Duration,
) -> Result<usize, Failure> {
    let (begun, elapsed) = (Arc::new(AtomicUsize::new(0)), Arc::new(stopwatch()));
    let mut all = JoinSet::new();
    for _ in 0..producers {
        let (store, begun, elapsed) = (store.clone(), begun.clone(), elapsed.clone());
        all.spawn(async move {
            let mut done = 0;
            while elapsed() < length && begun.fetch_add(batch, Ordering::Relaxed) < messages {
                enqueue(store.as_ref(), new(batch)).await?;
                done += batch;
            }
            Ok::<usize, Failure>(done)
        });
    }
    let mut done = 0;
    while let Some(one) = all.join_next().await {
        done += one.context("a producer failed")??;
    }
    Ok(done)
}

/// A count as a rate.
pub(super) fn per_second(n: usize, elapsed: Duration) -> f64 {
    n as f64 / elapsed.as_secs_f64()
}
