//! How long one message takes from an idle producer to the provider, beside one idle commit.
//!
//! The sink is in the process that enqueues, so one clock measures. The worker is in that process, too,
//! or in another one, which has to notice that somebody wrote into its database.

use super::child::Child;
use super::drain::{end, start};
use super::figure::{Figure, Unit, per_mille};
use super::ground::{BODY, Ground, enqueue, new};
use super::sink;
use crate::command::Failure;
use anyhow::Context as _;
use callout_store::clock::{Clock as _, SystemClock, stopwatch};
use callout_store::{Floor, Store};
use std::sync::Arc;
use std::time::Duration;
use tokio::net::TcpListener;
use tokio::sync::mpsc;
use tokio::task::JoinHandle;

/// Messages in a sample at most, and those that are enqueued before it.
const SAMPLE: usize = 60;
const WARM_UP: usize = 5;
/// How long everything rests between two messages.
const REST: Duration = Duration::from_millis(15);
/// A message that takes longer is lost.
const PATIENCE: Duration = Duration::from_secs(30);

const IDLE_COMMIT: &str = "one raw SQLite commit from idle";

/// Times of one sample, in microseconds.
#[derive(Default)]
struct Times {
    p50: Vec<f64>,
    p99: Vec<f64>,
}

impl Times {
    fn add(&mut self, times: &[f64]) {
        self.p50.extend(per_mille(times, 500));
        self.p99.extend(per_mille(times, 990));
    }

    fn figures(self, name: &str, what: &str, floor: &Self) -> [Figure; 2] {
        let Self { p50, p99 } = self;
        let figure = |half: &str, ours, floor: &[f64]| {
            let (name, what) = (format!("{name}_{half}"), format!("{what}, {half}"));
            Figure::plain(name, what, Unit::Micros, ours).beside(IDLE_COMMIT, floor.to_vec())
        };
        [figure("p50", p50, &floor.p50), figure("p99", p99, &floor.p99)]
    }
}

/// Measures.
pub(super) async fn measure(ground: &Ground) -> Result<Vec<Figure>, Failure> {
    let (mut floor, mut here, mut across) = <(Times, Times, Times)>::default();
    for _ in 0..ground.rounds {
        floor.add(&commits(ground).await?);
        here.add(&in_process(ground).await?);
        across.add(&across_processes(ground).await?);
    }
    let here = here.figures("latency", "idle: enqueue to request", &floor);
    let what = "idle: enqueue to request of a worker in another process";
    Ok(here.into_iter().chain(across.figures("latency_across", what, &floor)).collect())
}

fn sample(ground: &Ground) -> usize {
    SAMPLE.min(ground.messages)
}

async fn rest() {
    SystemClock.wait_until(SystemClock.now() + REST).await;
}

/// What one commit takes, from idle.
async fn commits(ground: &Ground) -> Result<Vec<f64>, Failure> {
    let plot = ground.plot()?;
    let mut floor = Floor::create(&plot.file("floor.db"))?;
    let mut times = Vec::new();
    for n in 0..WARM_UP + sample(ground) {
        rest().await;
        let elapsed = stopwatch();
        floor.commit(1, BODY)?;
        if n >= WARM_UP {
            times.push(micros(elapsed()));
        }
    }
    Ok(times)
}

async fn in_process(ground: &Ground) -> Result<Vec<f64>, Failure> {
    let mut ear = Ear::new().await?;
    let plot = ground.plot()?;
    let config = plot.config(&ear.url)?;
    let store = plot.store(&config)?;
    let worker = start(config, &store).await?;
    let times = time(store.as_ref(), &mut ear, sample(ground)).await?;
    end(worker, store, plot, WARM_UP + times.len()).await?;
    Ok(times)
}

async fn across_processes(ground: &Ground) -> Result<Vec<f64>, Failure> {
    let mut ear = Ear::new().await?;
    let plot = ground.plot()?;
    let config = plot.config(&ear.url)?;
    let store = plot.store(&config)?;
    let worker = Child::serve(&config.file)?;
    let times = time(store.as_ref(), &mut ear, sample(ground)).await?;
    drop(worker);
    Ok(times)
}

/// Enqueues one message after the other, each after a rest, and times how long until it is heard.
async fn time(store: &dyn Store, ear: &mut Ear, n: usize) -> Result<Vec<f64>, Failure> {
    let mut times = Vec::new();
    for n in 0..WARM_UP + n {
        rest().await;
        let elapsed = stopwatch();
        enqueue(store, new(1)).await?;
        ear.next().await?;
        if n >= WARM_UP {
            times.push(micros(elapsed()));
        }
    }
    Ok(times)
}

fn micros(length: Duration) -> f64 {
    length.as_secs_f64() * 1e6
}

/// A sink that says when it hears something.
pub(super) struct Ear {
    pub(super) url: String,
    heard: mpsc::Receiver<()>,
    task: JoinHandle<()>,
}

impl Ear {
    pub(super) async fn new() -> Result<Self, Failure> {
        let listener = TcpListener::bind("127.0.0.1:0").await.context("there is no free port")?;
        let address = listener.local_addr().context("the listener has no address")?;
        let (tell, heard) = mpsc::channel(SAMPLE);
        let tell = move || {
            if tell.try_send(()).is_err() {
                tracing::debug!("more requests than messages were under way");
            }
        };
        let task = tokio::spawn(sink::serve(listener, Arc::new(tell)));
        Ok(Self { url: format!("http://{address}/"), heard, task })
    }

    /// Waits for the next request.
    pub(super) async fn next(&mut self) -> Result<(), Failure> {
        match tokio::time::timeout(PATIENCE, self.heard.recv()).await {
            Ok(Some(())) => Ok(()),
            Ok(None) | Err(_) => Err(Failure::new(
                "a message did not reach the sink",
                "run it again; if that does not help, report it",
            )),
        }
    }
}

impl Drop for Ear {
    fn drop(&mut self) {
        self.task.abort();
    }
}
