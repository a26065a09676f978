//! What every operation costs in a large outbox, beside the same in a small one; and what it weighs.

use super::claim::{Hand, accepted};
use super::figure::{Figure, Unit, per_mille};
use super::ground::{Ground, IN_FLIGHT, Plot, enqueue, new, prefill};
use super::stock::Stock;
use crate::command::Failure;
use crate::print;
use anyhow::Context as _;
use callout_core::delivery::Event;
use callout_core::plan::MessageState;
use callout_store::clock::{Clock as _, Reading, SystemClock, stopwatch};
use callout_store::model::{EscalateRequest, Filter, PlanRequest, PruneRequest};
use std::path::PathBuf;
use std::time::Duration;

/// History and backlog for each message of a sample: 100 000 and 20 000 unless asked otherwise.
const SMALL: (usize, usize) = (5, 1);
/// Five million and one million.
const LARGE: (usize, usize) = (250, 50);
/// How often each operation is done in a round.
const SAMPLE: usize = 20;
/// Messages in a page of a list, and the most that are pruned in one go.
const PAGE: usize = 50;
const PRUNE: usize = 500;
/// How often as many messages are deleted and enqueued as a sample has.
const CYCLES: usize = 5;
/// After so long a store that rests has copied its log back.
const COPIED: Duration = Duration::from_secs(1);

/// What is done to an outbox.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Operation {
    Enqueue,
    Plan,
    Claim,
    Settle,
    Escalate,
    List,
    ListPending,
    Find,
    Story,
    Stats,
    Prune,
}

impl Operation {
    const ALL: [Self; 11] = [
        Self::Enqueue,
        Self::Plan,
        Self::Claim,
        Self::Settle,
        Self::Escalate,
        Self::List,
        Self::ListPending,
        Self::Find,
        Self::Story,
        Self::Stats,
        Self::Prune,
    ];

    fn words(self) -> (&'static str, &'static str) {
        match self {
            Self::Enqueue => ("growth_enqueue", "enqueue one"),
            Self::Plan => ("growth_plan", "plan 64"),
            Self::Claim => ("growth_claim", "claim 64"),
            Self::Settle => ("growth_settle", "settle 64"),
            Self::Escalate => ("growth_escalate", "look for due escalations"),
            Self::List => ("growth_list", "list the newest 50"),
            Self::ListPending => ("growth_list_pending", "list 50 that are pending"),
            Self::Find => ("growth_find", "find one by its id"),
            Self::Story => ("growth_story", "tell the story of one"),
            Self::Stats => ("growth_stats", "count everything"),
            Self::Prune => ("growth_prune", "delete the 500 oldest"),
        }
    }
}

fn micros(elapsed: Duration) -> f64 {
    elapsed.as_secs_f64() * 1e6
}

/// Measures.
pub(super) async fn measure(ground: &Ground) -> Result<Vec<Figure>, Failure> {
    let small = Outbox::new(ground, SMALL).await?;
    let large = Outbox::new(ground, LARGE).await?;
    let mut times = Operation::ALL.map(|operation| (operation, Vec::new(), Vec::new()));
    for _ in 0..ground.rounds {
        for (operation, of_large, of_small) in &mut times {
            of_small.push(small.sample(*operation).await?);
            of_large.push(large.sample(*operation).await?);
        }
    }
    let figures = times.into_iter().map(|(operation, large, small)| {
        let (name, what) = operation.words();
        Figure::plain(name, what, Unit::Micros, large).beside("the same in a small outbox", small)
    });
    let mut figures: Vec<Figure> = figures.collect();
    let weight = Figure::plain(
        "growth_bytes",
        "bytes on the disk for each message",
        Unit::Bytes,
        vec![large.bytes_each],
    );
    figures.push(weight.beside("the same in a small outbox", vec![small.bytes_each]));
    let (before, after) = large.turn_over(ground.messages).await?;
    let what = format!("size after {CYCLES} x {} deleted and enqueued", ground.messages);
    let steady = Figure::plain("growth_pruned", what, Unit::Bytes, vec![after]);
    figures.push(steady.beside("its size before", vec![before]));
    Ok(figures)
}

/// An outbox that was filled.
struct Outbox {
    hand: Hand,
    database: PathBuf,
    bytes_each: f64,
    // Goes last, when the file is closed.
    _plot: Plot,
}

impl Outbox {
    async fn new(ground: &Ground, (history, waiting): (usize, usize)) -> Result<Self, Failure> {
        let (history, waiting) = (ground.messages * history, ground.messages * waiting);
        print::talk(format_args!("filling an outbox with {history} delivered, {waiting} waiting"));
        let plot = ground.plot()?;
        let hand = Hand::new(&plot, Stock { history, waiting, future: 0 }).await?;
        let database = plot.file("callout.db");
        let mut outbox = Self { hand, database, bytes_each: 0.0, _plot: plot };
        outbox.bytes_each = outbox.size().await? / (history + waiting) as f64;
        Ok(outbox)
    }

    /// The size of the database once its log was copied back, in bytes.
    async fn size(&self) -> Result<f64, Failure> {
        SystemClock.wait_until(SystemClock.now() + COPIED).await;
        let about = std::fs::metadata(&self.database).context("the database is gone")?;
        Ok(about.len() as f64)
    }

    /// The time that half of all such operations take, in microseconds.
    async fn sample(&self, operation: Operation) -> Result<f64, Failure> {
        let mut times = Vec::new();
        for _ in 0..SAMPLE {
            times.push(self.time(operation).await?);
        }
        Ok(per_mille(&times, 500).unwrap_or(f64::NAN))
    }

    /// Does it once and returns the time in microseconds.
    async fn time(&self, operation: Operation) -> Result<f64, Failure> {
        match operation {
            Operation::Plan => self.time_plan().await,
            Operation::Claim => {
                let (claimed, time) = self.hand.claim().await?;
                self.hand.settle(&claimed, &Event::HandedBack).await?;
                Ok(time)
            }
            Operation::Settle => {
                let (claimed, _) = self.hand.claim().await?;
                self.hand.settle(&claimed, &Event::Attempted(accepted())).await
            }
            Operation::Escalate => self.time_escalate().await,
            Operation::Enqueue => {
                let messages = new(1);
                let elapsed = stopwatch();
                enqueue(self.hand.store.as_ref(), messages).await?;
                Ok(micros(elapsed()))
            }
            Operation::Prune => {
                let elapsed = stopwatch();
                self.prune().await?;
                Ok(micros(elapsed()))
            }
            Operation::List
            | Operation::ListPending
            | Operation::Find
            | Operation::Story
            | Operation::Stats => self.time_reading(operation).await,
        }
    }

    async fn time_plan(&self) -> Result<f64, Failure> {
        self.plan_all().await?;
        let store = self.hand.store.as_ref();
        enqueue(store, new(IN_FLIGHT)).await?;
        let ask = PlanRequest {
            now: SystemClock.now(),
            reading: Reading::default(),
            directory: self.hand.directory.clone(),
            limit: IN_FLIGHT,
            entropy: SystemClock.entropy(),
        };
        let elapsed = stopwatch();
        store.plan(ask).await?;
        Ok(micros(elapsed()))
    }

    async fn time_escalate(&self) -> Result<f64, Failure> {
        let ask = EscalateRequest {
            now: SystemClock.now(),
            reading: Reading::default(),
            directory: self.hand.directory.clone(),
            limit: IN_FLIGHT,
            entropy: SystemClock.entropy(),
        };
        let elapsed = stopwatch();
        self.hand.store.escalate(ask).await?;
        Ok(micros(elapsed()))
    }

    async fn time_reading(&self, operation: Operation) -> Result<f64, Failure> {
        let (store, now) = (self.hand.store.as_ref(), SystemClock.now());
        let newest = store.list(Filter::default(), None, 1).await?.messages.into_iter().next();
        let id = newest.context("there is no message")?.id;
        let state = (operation == Operation::ListPending).then_some(MessageState::Pending);
        let elapsed = stopwatch();
        match operation {
            Operation::Find => drop(store.find(id).await?),
            Operation::Story => drop(store.story(id).await?),
            Operation::Stats => drop(store.stats(now).await?),
            // One of the two lists.
            _ => drop(store.list(Filter { state, ..Filter::default() }, None, PAGE).await?),
        }
        Ok(micros(elapsed()))
    }

    /// Deletes some of the oldest messages. Returns how many.
    async fn prune(&self) -> Result<usize, Failure> {
        let now = SystemClock.now();
        let ask = PruneRequest { accepted_before: now, dead_before: now, after: 0, limit: PRUNE };
        Ok(self.hand.store.prune(ask).await?.deleted)
    }

    async fn plan_all(&self) -> Result<(), Failure> {
        let mut more = true;
        while more {
            let ask = PlanRequest {
                reading: Reading::default(),
                now: SystemClock.now(),
                directory: self.hand.directory.clone(),
                limit: PAGE * 10,
                entropy: SystemClock.entropy(),
            };
            more = self.hand.store.plan(ask).await?.more;
        }
        Ok(())
    }

    /// Deletes the oldest messages and enqueues as many, again and again. Returns the size before and
    /// after.
    async fn turn_over(&self, messages: usize) -> Result<(f64, f64), Failure> {
        let before = self.size().await?;
        for _ in 0..CYCLES {
            let mut gone = 0;
            while gone < messages {
                match self.prune().await? {
                    0 => break,
                    deleted => gone += deleted,
                }
            }
            prefill(self.hand.store.as_ref(), gone).await?;
            self.plan_all().await?;
        }
        Ok((before, self.size().await?))
    }
}
