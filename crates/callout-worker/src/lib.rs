//! How Callout acts: leases deliveries, sends them, settles them.
//!
//! [`Worker::spawn`] runs one task. It turns in a circle: write down what ended, plan what is new,
//! lease what is due (`turn`), then sleep until one of the things in `Event` happens. All it knows
//! is in the store, so a crash at any point loses nothing and a restart changes nothing. Attempts run
//! as tasks of their own, as many for each channel as it has permits, so a channel that hangs delays no
//! other.
//!
//! The worker decides nothing about deliveries; `callout_core::delivery::step` does.

mod attempt;
mod lane;
mod presence;
mod steady;
mod turn;

pub use attempt::{GUARD, People};
pub use callout_store::clock::{Clock, SystemClock};
pub use lane::LaneSetup;
pub use presence::Presence;

use callout_channels::TimeZone;
use callout_channels::transport::Transport;
use callout_core::plan::Directory;
use callout_core::ticket::Links;
use callout_core::time::Timestamp;
use callout_store::crash::crash_point;
use callout_store::{Store, StoreError};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicI64, Ordering};
use std::time::Duration;
use tokio::sync::{mpsc, oneshot, watch};
use tokio::task::{AbortHandle, JoinHandle};
use turn::Turner;

/// How long a lease lasts. More than [`GUARD`], so that an attempt ends before its lease.
pub const LEASE: Duration = Duration::from_secs(60);
/// How long a stopping worker waits for attempts under way.
pub const DRAIN: Duration = Duration::from_secs(20);
/// How often an idle worker looks although nothing told it to.
pub const POLL: Duration = Duration::from_secs(1);
/// How long a worker leaves a store alone that could not do what it was asked.
const STORE_PAUSE: Duration = Duration::from_secs(1);
/// Requests to the worker that may wait.
const REQUESTS_MAX: usize = 64;

/// Everything a worker needs.
pub struct Setup {
    /// The memory.
    pub store: Arc<dyn Store>,
    /// Time and dice.
    pub clock: Arc<dyn Clock>,
    /// What decides.
    pub directory: Arc<Directory>,
    /// Every configured channel.
    pub lanes: Vec<LaneSetup>,
    /// The HTTP client.
    pub transport: Transport,
    /// People's ids at each provider.
    pub people: People,
    /// Where people acknowledge; `None`: only by command.
    pub links: Option<Links>,
    /// Where people are: messages show their time there.
    pub zone: TimeZone,
    /// Tells this run of the worker from all others, and dead ones from living ones.
    pub presence: Presence,
    /// How often to look although nothing told us to; [`POLL`] outside tests.
    pub poll: Duration,
}

/// Why a worker stopped by itself.
#[derive(Debug, thiserror::Error)]
pub enum WorkerError {
    /// The store cannot be used any more.
    #[error("the outbox failed")]
    Store(#[from] StoreError),
    /// The worker's task was ended from outside.
    #[error("the worker was ended")]
    Ended,
}

/// Everything a worker waits for.
enum Event {
    /// An attempt ended.
    Ended,
    /// Somebody may have enqueued something.
    Changed,
    /// The next thing is due, or it is time to look anyway.
    Due,
    /// The handle asks for something.
    Request(Request),
}

enum Request {
    /// Say when everything that is due has been dealt with.
    Idle(oneshot::Sender<()>),
    /// Take nothing new, finish what runs, and end.
    Stop,
}

/// A running worker, seen from outside. Dropping it ends the worker as a crash would.
#[derive(Debug)]
pub struct Worker {
    requests: mpsc::Sender<Request>,
    stopping: Arc<AtomicBool>,
    status: Status,
    task: JoinHandle<Result<(), WorkerError>>,
}

/// How a worker is doing; cheap to clone and to ask.
#[derive(Clone, Debug)]
pub struct Status {
    last_turn: Arc<AtomicI64>,
    task: AbortHandle,
}

impl Status {
    /// When the worker last began a turn that succeeded. Old by more than some seconds: it hangs, or the
    /// store cannot do what it is asked.
    pub fn last_turn(&self) -> Timestamp {
        Timestamp::from_unix_ms(self.last_turn.load(Ordering::Relaxed)).unwrap_or(Timestamp::EPOCH)
    }

    /// Whether the worker still runs.
    pub fn is_running(&self) -> bool {
        !self.task.is_finished()
    }
}

impl Worker {
    /// Starts a worker on the current Tokio runtime.
    ///
    /// First it takes over, at once, the leases of workers on this machine that died.
    ///
    /// # Errors
    /// If the store cannot be used.
    pub async fn spawn(setup: Setup) -> Result<Self, WorkerError> {
        let now = setup.clock.now();
        for dead in setup.presence.dead(setup.store.workers().await?) {
            let leases = setup.store.retire(dead.id, setup.directory.clone(), now).await?;
            tracing::info!(worker = %dead.id, leases, "took over from a dead worker");
            dead.bury();
        }
        crash_point("before_register");
        if let Err(error) = setup.store.register(setup.presence.id(), now).await {
            setup.presence.leave();
            return Err(error.into());
        }

        let (requests, inbox) = mpsc::channel(REQUESTS_MAX);
        let last_turn = Arc::new(AtomicI64::new(now.unix_ms()));
        let stopping = Arc::new(AtomicBool::new(false));
        let circle = Circle {
            changes: setup.store.changes(),
            inbox,
            last_turn: last_turn.clone(),
            turner: Turner::new(setup, stopping.clone()),
            idlers: Vec::new(),
        };
        let task = tokio::spawn(circle.run());
        let status = Status { last_turn, task: task.abort_handle() };
        Ok(Self { requests, stopping, status, task })
    }

    /// Returns once everything that is due by now has been tried and settled.
    ///
    /// # Errors
    /// If the worker has ended.
    pub async fn idle(&self) -> Result<(), WorkerError> {
        let (tell, told) = oneshot::channel();
        self.requests.send(Request::Idle(tell)).await.map_err(|_| WorkerError::Ended)?;
        told.await.map_err(|_| WorkerError::Ended)
    }

    /// How it is doing, for somebody else to ask.
    pub fn status(&self) -> Status {
        self.status.clone()
    }

    /// Asks the worker to take nothing new and to finish what runs, within [`DRAIN`]. Returns at once;
    /// [`Worker::ended`] waits. From now on no attempt begins.
    pub fn stop(&self) {
        self.stopping.store(true, Ordering::Relaxed);
        if self.requests.try_send(Request::Stop).is_err() {
            tracing::debug!("the worker has ended, or will notice when it goes round");
        }
    }

    /// Ends the worker where it stands, as a crash would.
    pub fn kill(&self) {
        self.task.abort();
    }

    /// Waits until the worker has ended.
    ///
    /// # Errors
    /// Why it ended, unless it was asked to.
    pub async fn ended(&mut self) -> Result<(), WorkerError> {
        (&mut self.task).await.unwrap_or(Err(WorkerError::Ended))
    }
}

impl Drop for Worker {
    fn drop(&mut self) {
        self.kill();
    }
}

/// The task: turn, wait, turn.
struct Circle {
    turner: Turner,
    changes: watch::Receiver<u64>,
    inbox: mpsc::Receiver<Request>,
    last_turn: Arc<AtomicI64>,
    idlers: Vec<oneshot::Sender<()>>,
}

impl Circle {
    async fn run(mut self) -> Result<(), WorkerError> {
        loop {
            let next_at = self.turn().await?;
            if self.turner.is_stopping() {
                return self.drain().await;
            }
            match self.wait(next_at).await {
                Event::Ended => self.turner.gather().await,
                Event::Changed | Event::Due => (),
                Event::Request(Request::Idle(tell)) => self.idlers.push(tell),
                Event::Request(Request::Stop) => return self.drain().await,
            }
        }
    }

    /// Turns once. Returns when to turn again at the latest, which may be now.
    async fn turn(&mut self) -> Result<Timestamp, WorkerError> {
        let now = self.turner.clock().now();
        let turned = self.turner.turn().await;
        if turned.is_ok() {
            self.last_turn.store(now.unix_ms(), Ordering::Relaxed);
        }
        match turned {
            Ok(turn) if turn.more => Ok(Timestamp::EPOCH),
            Ok(turn) => {
                if self.turner.is_quiet() {
                    self.idlers.drain(..).for_each(|tell| {
                        let _gone = tell.send(());
                    });
                }
                Ok(turn.next_at)
            }
            Err(StoreError::ClockMoved) => Ok(Timestamp::EPOCH),
            Err(error) if is_passing(&error) => {
                tracing::warn!(error = %chain(&error), "the outbox could not be used, trying again");
                Ok(self.turner.now() + STORE_PAUSE)
            }
            Err(error) => Err(error.into()),
        }
    }

    async fn wait(&mut self, next_at: Timestamp) -> Event {
        let clock = self.turner.clock();
        // The clock may be set while the worker waits; how long it waits does not change.
        let wake_at = clock.now() + next_at.since(self.turner.now());
        tokio::select! {
            biased;
            request = self.inbox.recv() => Event::Request(request.unwrap_or(Request::Stop)),
            () = self.turner.attempt_ended() => Event::Ended,
            Ok(()) = self.changes.changed() => Event::Changed,
            () = clock.wait_until(wake_at) => Event::Due,
        }
    }

    /// Lets attempts under way end, writes down what came of them, and says goodbye.
    async fn drain(mut self) -> Result<(), WorkerError> {
        let clock = self.turner.clock();
        let until = clock.elapsed() + DRAIN;
        let left = |until: Duration| until.saturating_sub(clock.elapsed());
        loop {
            match self.turner.settle_ended().await {
                Ok(()) if self.turner.is_quiet() => break,
                Ok(()) if clock.elapsed() >= until => {
                    self.turner.abandon().await;
                    continue;
                }
                Ok(()) => (),
                Err(error) if is_passing(&error) && clock.elapsed() < until => {
                    clock.wait_until(clock.now() + STORE_PAUSE).await;
                    continue;
                }
                Err(error) => return Err(error.into()),
            }
            tokio::select! {
                biased;
                () = self.turner.attempt_ended() => (),
                () = clock.wait_until(clock.now() + left(until)) => (),
            }
        }
        self.turner.retire().await?;
        Ok(())
    }
}

/// Whether the store may well work again in a moment.
fn is_passing(error: &StoreError) -> bool {
    matches!(error, StoreError::Busy(_) | StoreError::Full(_) | StoreError::CommitUnknown(_))
}

/// An error with its causes, on one line.
fn chain(error: &dyn std::error::Error) -> String {
    std::iter::successors(error.source(), |e| e.source())
        .fold(error.to_string(), |text, e| format!("{text}: {e}"))
}
