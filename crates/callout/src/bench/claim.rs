//! What taking work costs beside a large backlog, much history and many messages for tomorrow.
//!
//! What was claimed is handed back at once, so that every claim finds the same backlog.

use super::figure::{Figure, Unit, per_mille};
use super::ground::{Ground, IN_FLIGHT, NAME, Plot};
use super::stock::Stock;
use crate::command::Failure;
use anyhow::Context as _;
use callout_core::delivery::{self, Event};
use callout_core::id::WorkerId;
use callout_core::outcome::{Outcome, Reason};
use callout_core::plan::Directory;
use callout_core::rate::Rate;
use callout_store::Store;
use callout_store::clock::{Clock as _, Reading, SystemClock, stopwatch};
use callout_store::model::{Attempt, ClaimRequest, Claimed, LaneAsk, Settlement};
use callout_worker::LEASE;
use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

/// Backlogs for 20 messages of a sample: one thousand and a hundred thousand unless asked otherwise.
const BACKLOGS: [usize; 2] = [1, 100];
/// Further ones: one million and five million.
const LARGE_BACKLOGS: [usize; 2] = [1_000, 5_000];
/// There is as much history as backlog, and as much for tomorrow, up to this.
const OTHERS_MAX: usize = 1_000_000;
/// Claims in a sample.
const SAMPLE: usize = 50;

/// Measures.
pub(super) async fn measure(ground: &Ground) -> Result<Vec<Figure>, Failure> {
    let large = if ground.full { LARGE_BACKLOGS.as_slice() } else { &[] };
    let mut sites = Vec::new();
    for backlog in BACKLOGS.iter().chain(large) {
        sites.push(Site::new(ground, (ground.messages * backlog).div_ceil(20)).await?);
    }
    for _ in 0..ground.rounds {
        for site in &mut sites {
            let times = site.hand.claims(SAMPLE).await?;
            site.times.extend(per_mille(&times, 500));
        }
    }
    let first = sites.first().map(|site| site.times.clone()).unwrap_or_default();
    let second = sites.get(1).map(|site| site.times.clone()).unwrap_or_default();
    let figures = sites.into_iter().enumerate().map(|(n, site)| {
        let backlog = site.backlog;
        let what = format!("claim of {IN_FLIGHT}, a backlog of {backlog}");
        let figure = Figure::plain(format!("claim_{backlog}"), what, Unit::Micros, site.times);
        match n {
            0 => figure,
            1 => figure.beside("the smallest backlog", first.clone()),
            _ => figure.beside("the second smallest backlog", second.clone()),
        }
    });
    Ok(figures.collect())
}

/// One outbox with a backlog.
struct Site {
    backlog: usize,
    hand: Hand,
    times: Vec<f64>,
    // Goes last, when the file is closed.
    _plot: Plot,
}

impl Site {
    async fn new(ground: &Ground, backlog: usize) -> Result<Self, Failure> {
        let others = backlog.min(OTHERS_MAX);
        let plot = ground.plot()?;
        let stock = Stock { history: others, waiting: backlog, future: others };
        let hand = Hand::new(&plot, stock).await?;
        Ok(Self { backlog, hand, times: Vec::new(), _plot: plot })
    }
}

/// Does by hand what a worker does.
pub(super) struct Hand {
    pub(super) store: Arc<dyn Store>,
    pub(super) directory: Arc<Directory>,
    worker: WorkerId,
    lane: LaneAsk,
}

impl Hand {
    pub(super) async fn new(plot: &Plot, stock: Stock) -> Result<Self, Failure> {
        let config = plot.config("http://127.0.0.1:9/")?;
        stock.fill(plot, &config.store_path).await?;
        let store = plot.store(&config)?;
        let worker = WorkerId::new(SystemClock.now(), SystemClock.entropy());
        let channel = NAME.parse().context("a name is no name")?;
        let lane = LaneAsk { channel, rate: Rate::default(), limit: IN_FLIGHT };
        Ok(Self { store, directory: Arc::new(config.directory), worker, lane })
    }

    /// Claims so often, hands back, and returns the times of the claims in microseconds.
    async fn claims(&self, n: usize) -> Result<Vec<f64>, Failure> {
        let mut times = Vec::new();
        for _ in 0..n {
            let (claimed, time) = self.claim().await?;
            times.push(time);
            self.settle(&claimed, &Event::HandedBack).await?;
        }
        Ok(times)
    }

    /// Claims once. Returns the time in microseconds, too.
    pub(super) async fn claim(&self) -> Result<(Vec<Claimed>, f64), Failure> {
        let now = SystemClock.now();
        let ask = ClaimRequest {
            reading: Reading::default(),
            now,
            directory: self.directory.clone(),
            worker: self.worker,
            lease_until: now + LEASE,
            lanes: vec![self.lane.clone()],
            plan: 0,
            entropy: SystemClock.entropy(),
        };
        let elapsed = stopwatch();
        let claims = self.store.claim(ask).await?;
        let time = elapsed().as_secs_f64() * 1e6;
        if claims.claimed.is_empty() {
            return Err(Failure::new("a backlog was empty", "report it"));
        }
        Ok((claims.claimed, time))
    }

    /// Lets `event` happen to all that was claimed. Returns the time in microseconds.
    pub(super) async fn settle(&self, claimed: &[Claimed], event: &Event) -> Result<f64, Failure> {
        let now = SystemClock.now();
        let settlements = claimed.iter().map(|claimed| self.settlement(claimed, event.clone()));
        let settlements = settlements.collect::<Result<_, _>>()?;
        let elapsed = stopwatch();
        self.store.settle(now, settlements).await?;
        Ok(elapsed().as_secs_f64() * 1e6)
    }

    fn settlement(&self, claimed: &Claimed, event: Event) -> anyhow::Result<Settlement> {
        let place = claimed.state.place();
        let (now, blocked) = (SystemClock.now(), BTreeSet::new());
        let level = claimed.message.level;
        let given = self.directory.given(&claimed.receiver, level, now, &blocked, 0);
        let attempt = matches!(event, Event::Attempted(_)).then(|| Attempt {
            number: place.tries,
            channel: place.channel.clone(),
            due_at: claimed.due_at,
            wait: claimed.wait,
            started_at: now,
            duration: Duration::from_millis(1),
            outcome: accepted(),
        });
        Ok(Settlement {
            claimed: Arc::new(claimed.clone()),
            after: delivery::step(&claimed.state, event, &given)?,
            attempt,
            extra_sends: 0,
            report: None,
        })
    }
}

/// What a provider says that takes everything.
pub(super) fn accepted() -> Outcome {
    Outcome::Accepted(Reason::new(200, "ok"))
}
