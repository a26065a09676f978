//! What every backend can do.

use crate::error::StoreError;
use crate::model::{
    AnswerRequest, Answered, ClaimRequest, Claims, CommandRequest, Enqueued, EscalateReport,
    EscalateRequest, Filter, Found, Health, NewMessage, Page, PlanReport, PlanRequest, PruneReport,
    PruneRequest, RebaseRequest, Rebased, Settled, Settlement, Stats, Story,
};
use async_trait::async_trait;
use callout_core::id::WorkerId;
use callout_core::plan::Directory;
use callout_core::time::Timestamp;
use std::path::Path;
use std::sync::Arc;
use tokio::sync::watch;

/// The durable memory. Every method that writes returns after its commit.
///
/// A method that fails has changed nothing, but for [`StoreError::CommitUnknown`].
#[async_trait]
pub trait Store: Send + Sync {
    /// Enqueues messages, each for itself: one that is refused does not hold back the others.
    async fn enqueue(
        &self,
        messages: Vec<NewMessage>,
    ) -> Result<Vec<Result<Enqueued, StoreError>>, StoreError>;

    /// Turns new messages into deliveries, all of one message's deliveries or none.
    async fn plan(&self, ask: PlanRequest) -> Result<PlanReport, StoreError>;

    /// Tells the next people of alerts that nobody has acknowledged in time. Every decision is made
    /// once, whoever asks.
    async fn escalate(&self, ask: EscalateRequest) -> Result<EscalateReport, StoreError>;

    /// Writes down what somebody does about an alert, and calls off what makes no sense any more. A name
    /// that [`author`](callout_core::alert::author) refuses is [`StoreError::Invalid`].
    async fn answer(&self, ask: AnswerRequest) -> Result<Answered, StoreError>;

    /// The id of the message whose alert is meant by a dedup key: the one that is not resolved, or else
    /// the latest.
    async fn alert_of_key(&self, dedup_key: String) -> Result<Option<String>, StoreError>;

    /// Plans new messages, leases due deliveries and spends the channels' limits, in one transaction.
    async fn claim(&self, ask: ClaimRequest) -> Result<Claims, StoreError>;

    /// Writes down what became of claimed deliveries, in order.
    async fn settle(
        &self,
        now: Timestamp,
        settlements: Vec<Settlement>,
    ) -> Result<Vec<Settled>, StoreError>;

    /// Moves what waits along because the clock was set, a bounded number at a time, once for all workers;
    /// afterwards makes due what waits for a time that cannot be. To be asked until there is no more.
    /// Until then [`plan`](Store::plan), [`escalate`](Store::escalate) and [`claim`](Store::claim) answer
    /// workers that went by the old time with [`StoreError::ClockMoved`].
    async fn rebase(&self, ask: RebaseRequest) -> Result<Rebased, StoreError>;

    /// Notes that a worker runs.
    async fn register(&self, worker: WorkerId, now: Timestamp) -> Result<(), StoreError>;

    /// Workers that are noted as running.
    async fn workers(&self) -> Result<Vec<WorkerId>, StoreError>;

    /// Ends a worker: its leases are lost at once and it is noted no longer. Returns how many leases.
    async fn retire(
        &self,
        worker: WorkerId,
        directory: Arc<Directory>,
        now: Timestamp,
    ) -> Result<usize, StoreError>;

    /// Changes whenever somebody, in this process or another, may have enqueued something. Never the
    /// only sign: whoever waits for it also looks now and then.
    fn changes(&self) -> watch::Receiver<u64>;

    /// Lists messages, newest first. `after` is [`Page::next`]. A page looks at a bounded number of
    /// messages, so it may be short, even empty, although there is a next one.
    async fn list(
        &self,
        filter: Filter,
        after: Option<i64>,
        limit: usize,
    ) -> Result<Page, StoreError>;

    /// Finds a message by its id or the beginning of it.
    async fn find(&self, id: String) -> Result<Found, StoreError>;

    /// Tells everything about one message, by its whole id.
    async fn story(&self, id: String) -> Result<Option<Story>, StoreError>;

    /// Counts and times.
    async fn stats(&self, now: Timestamp) -> Result<Stats, StoreError>;

    /// How each channel that was ever used fares.
    async fn health(&self) -> Result<Vec<Health>, StoreError>;

    /// Carries out an operator's command. Returns how many deliveries, or messages without any, it
    /// changed. Cancelling resolves the message's alert; what was acknowledged or resolved is not replayed.
    async fn command(&self, ask: CommandRequest) -> Result<usize, StoreError>;

    /// Deletes old messages that are over, a bounded number at a time.
    async fn prune(&self, ask: PruneRequest) -> Result<PruneReport, StoreError>;

    /// Writes a consistent copy to `to`, which must not exist, while everything goes on.
    async fn backup(&self, to: &Path) -> Result<(), StoreError>;
}
