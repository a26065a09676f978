//! The real store as one worker sees it: it may take a while, fail, and leave open what it did.

use crate::world::{Deed, World};
use async_trait::async_trait;
use callout_core::id::WorkerId;
use callout_core::plan::Directory;
use callout_core::time::Timestamp;
use callout_store::model::{
    AnswerRequest, Answered, ClaimRequest, Claims, CommandRequest, Enqueued, EscalateReport,
    EscalateRequest, Filter, Found, Health, NewMessage, Page, PlanReport, PlanRequest, PruneReport,
    PruneRequest, RebaseRequest, Rebased, Settled, Settlement, Stats, Story,
};
use callout_store::{SqliteStore, Store, StoreError};
use std::path::Path;
use std::sync::Arc;
use tokio::sync::watch;

pub(crate) struct WatchedStore {
    pub(crate) inner: Arc<SqliteStore>,
    pub(crate) world: Arc<World>,
    /// Whose it is.
    pub(crate) worker: String,
    /// What one worker asks for is done in the order in which it asks.
    pub(crate) queue: tokio::sync::Mutex<()>,
}

/// What the store makes of one operation.
#[derive(Clone, Copy)]
enum Luck {
    Works,
    Busy,
    /// The commit failed; whether it was saved.
    Unclear(bool),
}

impl WatchedStore {
    /// Runs an operation, some turns of others before and after it.
    async fn around<T>(
        &self,
        deed: Deed,
        work: impl Future<Output = Result<T, StoreError>>,
    ) -> Result<T, StoreError> {
        let turn = self.queue.lock().await;
        // It has read the clock by now, and asks with a time that grows old.
        self.thaw().await;
        self.dawdle().await;
        let luck = self.luck(&deed);
        if matches!(luck, Luck::Works | Luck::Unclear(true)) {
            let result = work.await;
            self.world.after(&deed);
            drop(turn);
            if self.world.is_spinning() {
                return std::future::pending().await;
            }
            self.dawdle().await;
            if matches!(luck, Luck::Works) {
                self.thaw().await;
                return result;
            }
        }
        self.world.say(|| format!("the store fails: {deed:?}"));
        let why = "as the dice say".into();
        Err(if matches!(luck, Luck::Busy) {
            StoreError::Busy(why)
        } else {
            StoreError::CommitUnknown(why)
        })
    }

    fn luck(&self, deed: &Deed) -> Luck {
        let mut state = self.world.state();
        let faults = state.faults;
        if matches!(deed, Deed::Register | Deed::Retire(_)) || !state.lag.chance(faults) {
            return Luck::Works;
        }
        state.lag.weigh(&[(1, Luck::Busy), (1, Luck::Unclear(true)), (1, Luck::Unclear(false))])
    }

    /// As if a row could not be planned.
    fn planning_breaks(&self) -> Result<(), StoreError> {
        let mut state = self.world.state();
        let faults = state.faults;
        if !state.lag.chance(faults) {
            return Ok(());
        }
        Err(StoreError::Broken { doing: "plan", source: "as the dice say".into() })
    }

    async fn dawdle(&self) {
        let turns = self.world.state().lag.below(3);
        for _ in 0..turns {
            tokio::task::yield_now().await;
        }
    }

    /// Waits while the worker stands still.
    async fn thaw(&self) {
        let until = self.world.state().frozen.get(&self.worker).copied();
        if let Some(until) = until {
            self.world.clock.sleep(until).await;
        }
    }
}

#[async_trait]
impl Store for WatchedStore {
    async fn enqueue(
        &self,
        messages: Vec<NewMessage>,
    ) -> Result<Vec<Result<Enqueued, StoreError>>, StoreError> {
        self.inner.enqueue(messages).await
    }

    async fn plan(&self, ask: PlanRequest) -> Result<PlanReport, StoreError> {
        let plan = async {
            self.planning_breaks()?;
            self.inner.plan(ask).await
        };
        self.around(Deed::Plan, plan).await
    }

    async fn escalate(&self, ask: EscalateRequest) -> Result<EscalateReport, StoreError> {
        self.around(Deed::Escalate, self.inner.escalate(ask)).await
    }

    async fn answer(&self, ask: AnswerRequest) -> Result<Answered, StoreError> {
        self.inner.answer(ask).await
    }

    async fn alert_of_key(&self, dedup_key: String) -> Result<Option<String>, StoreError> {
        self.inner.alert_of_key(dedup_key).await
    }

    async fn claim(&self, ask: ClaimRequest) -> Result<Claims, StoreError> {
        // Looked at as soon as it is committed: what comes later does not undo a lease.
        let claim = async {
            if ask.plan > 0 {
                self.planning_breaks()?;
            }
            let claims = self.inner.claim(ask.clone()).await?;
            self.world.after(&Deed::Claim);
            self.world.claimed(&ask, &claims.claimed);
            Ok(claims)
        };
        self.around(Deed::Claim, claim).await
    }

    async fn settle(
        &self,
        now: Timestamp,
        settlements: Vec<Settlement>,
    ) -> Result<Vec<Settled>, StoreError> {
        let deed = Deed::Settle(self.worker.clone());
        self.around(deed, self.inner.settle(now, settlements)).await
    }

    async fn register(&self, worker: WorkerId, now: Timestamp) -> Result<(), StoreError> {
        self.around(Deed::Register, self.inner.register(worker, now)).await
    }

    async fn workers(&self) -> Result<Vec<WorkerId>, StoreError> {
        self.inner.workers().await
    }

    async fn retire(
        &self,
        worker: WorkerId,
        directory: Arc<Directory>,
        now: Timestamp,
    ) -> Result<usize, StoreError> {
        let deed = Deed::Retire(worker.to_string());
        self.around(deed, self.inner.retire(worker, directory, now)).await
    }

    async fn rebase(&self, ask: RebaseRequest) -> Result<Rebased, StoreError> {
        let rebased = self.around(Deed::Rebase, self.inner.rebase(ask)).await?;
        self.world.state().begun.insert(self.worker.clone());
        Ok(rebased)
    }

    fn changes(&self) -> watch::Receiver<u64> {
        self.world.subscribe()
    }

    async fn list(
        &self,
        filter: Filter,
        after: Option<i64>,
        limit: usize,
    ) -> Result<Page, StoreError> {
        self.inner.list(filter, after, limit).await
    }

    async fn find(&self, id: String) -> Result<Found, StoreError> {
        self.inner.find(id).await
    }

    async fn story(&self, id: String) -> Result<Option<Story>, StoreError> {
        self.inner.story(id).await
    }

    async fn stats(&self, now: Timestamp) -> Result<Stats, StoreError> {
        self.inner.stats(now).await
    }

    async fn health(&self) -> Result<Vec<Health>, StoreError> {
        self.inner.health().await
    }

    async fn command(&self, ask: CommandRequest) -> Result<usize, StoreError> {
        self.inner.command(ask).await
    }

    async fn prune(&self, ask: PruneRequest) -> Result<PruneReport, StoreError> {
        self.inner.prune(ask).await
    }

    async fn backup(&self, to: &Path) -> Result<(), StoreError> {
        self.inner.backup(to).await
    }
}
