//! One turn of the worker: settle, plan, escalate, claim, start.
//!
//! The four requests to the store go out together and share one commit. While it is being written,
//! attempts go on; what ends meanwhile is settled by the next turn, so a busy worker gathers its
//! writes without ever waiting for more of them.

use crate::attempt::{Means, People, ask, attempt};
use crate::lane::Lane;
use crate::{Clock, LEASE, Presence, Setup};
use callout_channels::transport::Transport;
use callout_channels::{Delivered, TimeZone};
use callout_core::delivery::{self, Event, Given, State};
use callout_core::id::{ChannelName, MessageId};
use callout_core::outcome::{Blame, Outcome, Reason};
use callout_core::plan::{self, Directory};
use callout_core::ticket::Links;
use callout_core::time::Timestamp;
use callout_store::model::{
    Attempt, ClaimRequest, Claimed, Claims, EscalateReport, EscalateRequest, NewMessage,
    PlanReport, PlanRequest, Settlement,
};
use callout_store::{Store, StoreError};
use std::collections::{BTreeSet, HashMap};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;
use tokio::task::{Id, JoinError, JoinSet};

/// The most new messages that one turn plans.
const PLAN_MAX: usize = 256;

/// The most alerts whose escalation one turn looks at.
const ESCALATE_MAX: usize = 256;

/// What a turn leaves to do.
pub(crate) struct Turn {
    /// Whether to turn again at once.
    pub(crate) more: bool,
    /// When to turn again at the latest.
    pub(crate) next_at: Timestamp,
}

/// The state of a running worker. Nothing in it has to outlive the process.
pub(crate) struct Turner {
    store: Arc<dyn Store>,
    clock: Arc<dyn Clock>,
    directory: Arc<Directory>,
    transport: Transport,
    people: People,
    links: Option<Links>,
    zone: TimeZone,
    presence: Presence,
    poll: Duration,
    lanes: Vec<Lane>,
    tasks: JoinSet<Delivered>,
    flights: HashMap<Id, Flight>,
    /// Ended, and not yet written down.
    unsettled: Vec<Settlement>,
    /// Whether the store could not write down what ended.
    owing: bool,
    /// Set from outside: nothing new is begun.
    stopping: Arc<AtomicBool>,
    /// Circuits that were open when the store was last asked.
    blocked: BTreeSet<ChannelName>,
}

/// An attempt under way.
struct Flight {
    claimed: Arc<Claimed>,
    lane: usize,
    started_at: Timestamp,
}

impl Turner {
    pub(crate) fn new(setup: Setup, stopping: Arc<AtomicBool>) -> Self {
        Self {
            store: setup.store,
            clock: setup.clock,
            directory: setup.directory,
            transport: setup.transport,
            people: setup.people,
            links: setup.links,
            zone: setup.zone,
            presence: setup.presence,
            poll: setup.poll,
            lanes: setup.lanes.into_iter().map(Lane::new).collect(),
            tasks: JoinSet::new(),
            flights: HashMap::new(),
            unsettled: Vec::new(),
            owing: false,
            stopping,
            blocked: BTreeSet::new(),
        }
    }

    pub(crate) fn now(&self) -> Timestamp {
        self.clock.now()
    }

    pub(crate) fn clock(&self) -> Arc<dyn Clock> {
        self.clock.clone()
    }

    /// Whether no attempt is under way and everything is written down.
    pub(crate) fn is_quiet(&self) -> bool {
        self.flights.is_empty() && self.unsettled.is_empty()
    }

    /// Settles, plans, escalates, claims and starts.
    pub(crate) async fn turn(&mut self) -> Result<Turn, StoreError> {
        if self.owing {
            // What could not be written down comes first: nothing is sent that cannot be recorded.
            self.settle_ended().await?;
            self.owing = false;
        }
        let now = self.now();
        self.collect_ended();
        let store = self.store.clone();
        let (settled, planned, escalated, claims) = tokio::join!(
            settle(store.as_ref(), now, &self.unsettled),
            self.plan(store.as_ref(), now),
            self.escalate(store.as_ref(), now),
            store.claim(self.ask(now)),
        );
        let reported = self.unsettled.iter().any(|done| done.report.is_some());
        match &settled {
            Ok(()) => self.unsettled.clear(),
            Err(_) => self.owing = true,
        }
        let claims = claims?;
        let (more, next_at) = (claims.more, claims.next_at);
        self.start(claims);
        settled?;
        let escalated = escalated?;
        if escalated.stepped > 0 {
            tracing::info!(
                alerts = escalated.stepped,
                "escalations went on, nobody had acknowledged"
            );
        }
        let due = [next_at, escalated.next_at].into_iter().flatten().min();
        Ok(Turn {
            more: more || planned?.more || escalated.more || reported,
            next_at: due.unwrap_or(Timestamp::LAST).min(now + self.poll),
        })
    }

    /// Writes down what ended, and takes nothing new.
    pub(crate) async fn settle_ended(&mut self) -> Result<(), StoreError> {
        self.collect_ended();
        settle(self.store.as_ref(), self.now(), &self.unsettled).await?;
        self.unsettled.clear();
        Ok(())
    }

    async fn plan(&self, store: &dyn Store, now: Timestamp) -> Result<PlanReport, StoreError> {
        let directory = self.directory.clone();
        store
            .plan(PlanRequest { now, directory, limit: PLAN_MAX, entropy: self.clock.entropy() })
            .await
    }

    async fn escalate(
        &self,
        store: &dyn Store,
        now: Timestamp,
    ) -> Result<EscalateReport, StoreError> {
        let directory = self.directory.clone();
        let entropy = self.clock.entropy();
        store.escalate(EscalateRequest { now, directory, limit: ESCALATE_MAX, entropy }).await
    }

    fn ask(&self, now: Timestamp) -> ClaimRequest {
        ClaimRequest {
            now,
            directory: self.directory.clone(),
            worker: self.presence.id(),
            lease_until: now + LEASE,
            lanes: self.lanes.iter().map(Lane::ask).collect(),
            entropy: self.clock.entropy(),
        }
    }

    /// Begins what was claimed, or hands it back if the worker was told to stop meanwhile.
    fn start(&mut self, claims: Claims) {
        self.blocked = claims.blocked;
        for claimed in claims.claimed {
            if self.is_stopping() {
                self.hand_back(&claimed);
            } else if ends_at(&claimed.state) <= self.now() {
                // This process was suspended after its claim; somebody else has the delivery by now.
                tracing::warn!(delivery = %claimed.delivery, "a lease ended before its attempt began");
            } else {
                self.begin(claimed);
            }
        }
    }

    /// Begins an attempt. From here on a byte may leave; the lease is committed.
    fn begin(&mut self, claimed: Claimed) {
        let channel = &claimed.state.place().channel;
        let lanes = self.lanes.iter_mut().enumerate();
        let Some((number, lane)) = lanes.into_iter().find(|(_, lane)| lane.setup.name == *channel)
        else {
            tracing::error!(%channel, "the store leased a delivery for a channel nobody asked for");
            return;
        };
        let receiver = self.directory.receivers.get(&claimed.receiver);
        let mentions = self.people.mentions(&claimed, receiver, lane.setup.channel.spec().kind);
        let claimed = Arc::new(claimed);
        let means = Means {
            transport: self.transport.clone(),
            clock: self.clock.clone(),
            locale: self.directory.locale,
            zone: self.zone.clone(),
        };
        let ask = ask(&claimed, self.links.as_ref(), means.locale, self.clock.now());
        let setup = lane.setup.clone();
        let task = attempt(setup, claimed.clone(), mentions, ask, means);
        lane.busy += 1;
        let flight = Flight { claimed, lane: number, started_at: self.clock.now() };
        self.flights.insert(self.tasks.spawn(task).id(), flight);
    }

    fn hand_back(&mut self, claimed: &Claimed) {
        match delivery::step(&claimed.state, Event::HandedBack, &self.given(claimed)) {
            Ok(after) => self.unsettled.push(Settlement {
                delivery: claimed.delivery,
                token: token(&claimed.state),
                after,
                attempt: None,
                extra_sends: 0,
                report: None,
            }),
            Err(illegal) => tracing::error!(error = %illegal, "a claim could not be handed back"),
        }
    }

    /// Completes when an attempt has ended; never, if none is under way.
    pub(crate) async fn attempt_ended(&mut self) {
        match self.tasks.join_next_with_id().await {
            Some(ended) => self.note(ended),
            None => std::future::pending().await,
        }
    }

    fn collect_ended(&mut self) {
        while let Some(ended) = self.tasks.try_join_next_with_id() {
            self.note(ended);
        }
    }

    /// Gives up on attempts that are still under way; whether they were heard is unknown.
    pub(crate) async fn abandon(&mut self) {
        self.tasks.abort_all();
        while let Some(ended) = self.tasks.join_next_with_id().await {
            self.note(ended);
        }
    }

    /// Whether the worker was told to stop.
    pub(crate) fn is_stopping(&self) -> bool {
        self.stopping.load(Ordering::Relaxed)
    }

    fn note(&mut self, ended: Result<(Id, Delivered), JoinError>) {
        let (id, delivered) = match ended {
            Ok((id, delivered)) => (id, delivered),
            Err(error) => (error.id(), Delivered { outcome: outcome_of_failure(&error), sends: 1 }),
        };
        let Some(flight) = self.flights.remove(&id) else { return };
        if let Some(lane) = self.lanes.get_mut(flight.lane) {
            lane.busy = lane.busy.saturating_sub(1);
        }
        match self.settlement(&flight, delivered) {
            Ok(settlement) => self.unsettled.push(settlement),
            // The lease ends and somebody takes over; nothing is lost.
            Err(illegal) => {
                tracing::error!(error = %illegal, delivery = %flight.claimed.delivery, "an attempt ended in no state")
            }
        }
    }

    /// What follows from an attempt, by `delivery::step`.
    fn settlement(
        &self,
        flight: &Flight,
        delivered: Delivered,
    ) -> Result<Settlement, delivery::Illegal> {
        let claimed = &flight.claimed;
        let now = self.now();
        let given = self.given(claimed);
        let outcome = delivered.outcome.clone();
        let after = delivery::step(&claimed.state, Event::Attempted(outcome.clone()), &given)?;
        let report = delivery::notice(&claimed.state, &after).and_then(|notice| {
            let last = outcome.reason().to_string();
            plan::report(
                notice,
                &self.directory,
                &claimed.message,
                claimed.id,
                &claimed.receiver,
                &last,
            )
        });
        let place = claimed.state.place();
        Ok(Settlement {
            delivery: claimed.delivery,
            token: token(&claimed.state),
            after,
            attempt: Some(Attempt {
                number: place.tries,
                channel: place.channel.clone(),
                due_at: claimed.due_at,
                wait: claimed.wait,
                started_at: flight.started_at,
                duration: now.since(flight.started_at),
                outcome,
            }),
            extra_sends: usize::try_from(delivered.sends.saturating_sub(1)).unwrap_or(0),
            report: report.map(|message| NewMessage {
                id: MessageId::new(now, self.clock.entropy()),
                created_at: now,
                message,
            }),
        })
    }

    fn given(&self, claimed: &Claimed) -> Given<'_> {
        let seed = u64::try_from(claimed.delivery.0).unwrap_or(0);
        let level = claimed.message.level;
        self.directory.given(&claimed.receiver, level, self.now(), &self.blocked, seed)
    }

    /// Says goodbye to the store and to other workers.
    pub(crate) async fn retire(self) -> Result<(), StoreError> {
        let now = self.now();
        self.store.retire(self.presence.id(), self.directory.clone(), now).await?;
        self.presence.leave();
        Ok(())
    }
}

/// When the lease of a claimed delivery ends.
fn ends_at(state: &State) -> Timestamp {
    if let State::Leased { lease, .. } = state { lease.until } else { Timestamp::EPOCH }
}

/// The fencing token of a claimed delivery.
fn token(state: &State) -> i64 {
    if let State::Leased { lease, .. } = state { lease.token } else { 0 }
}

async fn settle(
    store: &dyn Store,
    now: Timestamp,
    settlements: &[Settlement],
) -> Result<(), StoreError> {
    if settlements.is_empty() {
        return Ok(());
    }
    store.settle(now, settlements.to_vec()).await.map(drop)
}

/// A panic is our fault and will happen again with the same message; an abort tells nothing.
fn outcome_of_failure(error: &JoinError) -> Outcome {
    if error.is_panic() {
        let reason = Reason::text("callout failed to build or read this message; please report it");
        Outcome::Rejected { blame: Blame::Message, reason }
    } else {
        Outcome::Unknown(Reason::text("the worker stopped before the answer came"))
    }
}
