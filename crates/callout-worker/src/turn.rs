//! One turn of the worker: settle, plan and claim, escalate, start.
//!
//! The requests to the store go out together and share one commit. While it is being written,
//! attempts go on; what ends meanwhile is settled by the next turn, so a busy worker gathers its
//! writes.

use crate::attempt::{Ended, GUARD, Means, People, ask, attempt};
use crate::lane::Lane;
use crate::steady::Steady;
use crate::{Clock, LEASE, Presence, Setup};
use callout_channels::transport::Transport;
use callout_channels::{Delivered, TimeZone};
use callout_core::delivery::{self, Event, Given};
use callout_core::drift;
use callout_core::id::{ChannelName, MessageId};
use callout_core::outcome::{Blame, Outcome, Reason};
use callout_core::plan::{self, Directory};
use callout_core::ticket::Links;
use callout_core::time::Timestamp;
use callout_store::crash::crash_point;
use callout_store::model::{
    Attempt, ClaimRequest, Claimed, Claims, EscalateReport, EscalateRequest, NewMessage,
    PlanRequest, RebaseRequest, Rebased, Settlement, Waiting,
};
use callout_store::{Store, StoreError};
use std::collections::{BTreeSet, HashMap};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;
use tokio::task::{Id, JoinError, JoinSet};

/// The most new messages that one turn plans. More would keep those waiting that are planned already.
const PLAN_MAX: usize = 128;

/// How soon to plan ahead while all lanes are full.
const AHEAD: Duration = Duration::from_millis(10);

/// The most alerts whose escalation one turn looks at.
const ESCALATE_MAX: usize = 256;

/// An attempt ends so long before its lease, so that what comes of it can be written down.
const MARGIN: Duration = Duration::from_secs(5);

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
    steady: Steady,
    /// Another worker has moved what waits.
    moved: bool,
    /// How far the store has come with looking for times that cannot be.
    mending: Option<Waiting>,
    directory: Arc<Directory>,
    transport: Transport,
    people: People,
    links: Option<Links>,
    zone: TimeZone,
    presence: Presence,
    poll: Duration,
    lanes: Vec<Lane>,
    tasks: JoinSet<Ended>,
    flights: HashMap<Id, Flight>,
    /// Ended, and not yet written down.
    unsettled: Vec<Settlement>,
    /// Whether the store could not write down what ended.
    owing: bool,
    /// If claiming with planning failed: from when on to plan new messages by themselves.
    apart_from: Option<Duration>,
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
    /// The same by the clock that nobody sets.
    started: Duration,
}

impl Turner {
    pub(crate) fn new(setup: Setup, stopping: Arc<AtomicBool>) -> Self {
        Self {
            store: setup.store,
            steady: Steady::new(setup.clock.clone()),
            moved: false,
            mending: None,
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
            apart_from: None,
            stopping,
            blocked: BTreeSet::new(),
        }
    }

    /// The present, by the time this worker goes by.
    pub(crate) fn now(&self) -> Timestamp {
        self.steady.now()
    }

    pub(crate) fn clock(&self) -> Arc<dyn Clock> {
        self.clock.clone()
    }

    /// Whether no attempt is under way and everything is written down.
    pub(crate) fn is_quiet(&self) -> bool {
        self.flights.is_empty() && self.unsettled.is_empty()
    }

    /// Settles, plans, claims, escalates and starts.
    pub(crate) async fn turn(&mut self) -> Result<Turn, StoreError> {
        self.follow_the_clock().await?;
        if self.owing {
            // What could not be written down comes first: nothing is sent that cannot be recorded.
            self.settle_ended().await?;
            self.owing = false;
        }
        let now = self.now();
        self.collect_ended();
        let store = self.store.clone();
        // What was resolved meanwhile is planned before anybody else is told of it.
        let (settled, planned, claims, escalated) = tokio::join!(
            settle(store.as_ref(), now, &self.unsettled),
            self.plan_apart(store.as_ref(), now),
            store.claim(self.ask(now)),
            self.escalate(store.as_ref(), now),
        );
        let reported = self.unsettled.iter().any(|done| done.report.is_some());
        match &settled {
            Ok(()) => {
                if !self.unsettled.is_empty() {
                    crash_point("after_settle");
                }
                self.unsettled.clear();
            }
            Err(_) => self.owing = true,
        }
        self.moved |= matches!(claims, Err(StoreError::ClockMoved));
        if let Err(error @ StoreError::Broken { .. }) = &claims
            && self.apart_from.is_none()
        {
            let error = crate::chain(error);
            tracing::error!(error, "claiming failed; new messages are planned apart from now on");
            self.apart_from = Some(Duration::ZERO);
            settled?;
            return Ok(Turn { more: true, next_at: now });
        }
        let claims = claims?;
        let (more, next_at) = (claims.more, claims.next_at);
        self.start(claims);
        settled?;
        let more_new = self.note_planned(planned)?;
        let escalated = escalated?;
        if escalated.stepped > 0 {
            crash_point("after_escalation");
            tracing::info!(
                alerts = escalated.stepped,
                "escalations went on, nobody had acknowledged"
            );
        }
        let due = [next_at, escalated.next_at].into_iter().flatten().min();
        let next_at = due.unwrap_or(Timestamp::LAST).min(now + self.poll);
        // Whom an alert is told next is claimed by the next turn.
        let escalating = escalated.more || escalated.stepped > 0;
        let more = more || more_new || escalating || reported || self.mending.is_some();
        // With nothing left to send from, most likely an attempt ends first, and one turn does for both.
        let is_full = self.lanes.iter().all(|lane| lane.ask().limit == 0);
        if more && is_full {
            return Ok(Turn { more: false, next_at: next_at.min(self.now() + AHEAD) });
        }
        Ok(Turn { more, next_at })
    }

    /// Has everything that waits moved along if the clock was set, and goes by the new time from then on.
    async fn follow_the_clock(&mut self) -> Result<(), StoreError> {
        let drift_ms = self.steady.drift_ms();
        if self.steady.base.is_some() && !self.moved && !drift::is_step(drift_ms) {
            self.steady.follow(drift_ms);
            if let Some(after) = self.mending.take() {
                self.rebase(0, Some(after)).await?;
            }
            return Ok(());
        }
        let mut done = self.rebase(drift_ms, None).await?;
        // All is moved before anything is decided. What cannot be is mended from turn to turn.
        while done.more && done.after.is_none() {
            done = self.rebase(drift_ms, None).await?;
        }
        self.steady.base = Some(done.base);
        self.steady.follow(drift_ms);
        self.moved = false;
        self.move_along(drift_ms);
        Ok(())
    }

    /// Asks the store to move, or to mend behind `after`, a part of what waits.
    async fn rebase(
        &mut self,
        drift_ms: i64,
        after: Option<Waiting>,
    ) -> Result<Rebased, StoreError> {
        let ask = RebaseRequest {
            now: self.now().shifted(drift_ms),
            reading: self.steady.reading(),
            // Before its first look a worker cannot tell whether others have seen to it.
            drift_ms: if self.steady.base.is_some() { drift_ms } else { 0 },
            base: self.steady.base,
            lease: LEASE,
            directory: self.directory.clone(),
            after: after.clone(),
            entropy: self.clock.entropy(),
        };
        // Whatever goes wrong, it is mended the next time.
        self.mending = after;
        let done = self.store.rebase(ask).await?;
        self.mending = done.after.clone().filter(|_| done.more);
        if done.begun_ms != 0 {
            let by_ms = done.begun_ms;
            tracing::warn!(by_ms, "the clock was set; everything that waits moves along");
        }
        if done.mended > 0 {
            tracing::warn!(n = done.mended, "what waited for a time that cannot be is due now");
        }
        Ok(done)
    }

    /// What this worker holds moves along as well.
    fn move_along(&mut self, by_ms: i64) {
        for flight in self.flights.values_mut() {
            let mut claimed = Claimed::clone(&flight.claimed);
            claimed.state = drift::shifted(&claimed.state, by_ms);
            claimed.due_at = claimed.due_at.shifted(by_ms);
            flight.claimed = Arc::new(claimed);
            flight.started_at = flight.started_at.shifted(by_ms);
        }
        for settlement in &mut self.unsettled {
            settlement.after = drift::shifted(&settlement.after, by_ms);
        }
    }

    /// Writes down what ended, and takes nothing new.
    pub(crate) async fn settle_ended(&mut self) -> Result<(), StoreError> {
        self.collect_ended();
        settle(self.store.as_ref(), self.now(), &self.unsettled).await?;
        self.unsettled.clear();
        Ok(())
    }

    /// Plans new messages, if claiming does not. Says whether there may be more; `None` if it did not try.
    async fn plan_apart(
        &self,
        store: &dyn Store,
        now: Timestamp,
    ) -> Result<Option<bool>, StoreError> {
        if self.apart_from.is_none_or(|from| from > self.clock.elapsed()) {
            return Ok(None);
        }
        let directory = self.directory.clone();
        let (reading, entropy) = (self.steady.reading(), self.clock.entropy());
        let ask = PlanRequest { now, reading, directory, limit: PLAN_MAX, entropy };
        Ok(Some(store.plan(ask).await?.more))
    }

    /// What came of planning apart, and whether there may be more to plan. What cannot be planned holds up
    /// nothing that was planned before.
    fn note_planned(
        &mut self,
        planned: Result<Option<bool>, StoreError>,
    ) -> Result<bool, StoreError> {
        match planned {
            Err(error @ StoreError::Broken { .. }) => {
                let error = crate::chain(&error);
                tracing::error!(
                    error,
                    "new messages cannot be planned and wait; what was planned before goes on: \
                     keep a copy of the database and report this"
                );
                self.apart_from = Some(self.clock.elapsed() + self.poll);
                return Ok(false);
            }
            Ok(Some(false)) => self.apart_from = None,
            _ => (),
        }
        Ok(planned? == Some(true))
    }

    async fn escalate(
        &self,
        store: &dyn Store,
        now: Timestamp,
    ) -> Result<EscalateReport, StoreError> {
        let directory = self.directory.clone();
        let (reading, entropy) = (self.steady.reading(), self.clock.entropy());
        let limit = ESCALATE_MAX;
        store.escalate(EscalateRequest { now, reading, directory, limit, entropy }).await
    }

    fn ask(&self, now: Timestamp) -> ClaimRequest {
        ClaimRequest {
            now,
            reading: self.steady.reading(),
            directory: self.directory.clone(),
            worker: self.presence.id(),
            lease_until: now + LEASE,
            lanes: self.lanes.iter().map(Lane::ask).collect(),
            plan: if self.apart_from.is_some() { 0 } else { PLAN_MAX },
            entropy: self.clock.entropy(),
        }
    }

    /// Begins what was claimed, or hands it back if the worker was told to stop meanwhile.
    fn start(&mut self, claims: Claims) {
        self.blocked = claims.blocked;
        if !claims.claimed.is_empty() {
            crash_point("after_claim");
        }
        for claimed in claims.claimed.into_iter().map(Arc::new) {
            if self.is_stopping() {
                self.hand_back(claimed);
            } else if self.time_left(&claimed).is_zero() {
                // This process was suspended after its claim; somebody else may have the delivery by now.
                tracing::warn!(delivery = %claimed.delivery, "a lease ended before its attempt began");
                self.hand_back(claimed);
            } else {
                self.begin(claimed);
            }
        }
    }

    /// How long an attempt may take that begins now.
    fn time_left(&self, claimed: &Claimed) -> Duration {
        let until = claimed.lease().map_or(Timestamp::EPOCH, |lease| lease.until);
        until.since(self.now() + MARGIN).min(GUARD)
    }

    /// Begins an attempt. From here on a byte may leave; the lease is committed.
    fn begin(&mut self, claimed: Arc<Claimed>) {
        let guard = self.time_left(&claimed);
        let channel = &claimed.state.place().channel;
        let lanes = self.lanes.iter_mut().enumerate();
        let Some((number, lane)) = lanes.into_iter().find(|(_, lane)| lane.setup.name == *channel)
        else {
            tracing::error!(%channel, "the store leased a delivery for a channel nobody asked for");
            return;
        };
        let receiver = self.directory.receivers.get(&claimed.receiver);
        let mentions = self.people.mentions(&claimed, receiver, lane.setup.channel.spec().kind);
        let means = Means {
            transport: self.transport.clone(),
            clock: self.clock.clone(),
            locale: self.directory.locale,
            zone: self.zone.clone(),
            guard,
        };
        let ask = ask(&claimed, self.links.as_ref(), means.locale, self.clock.now());
        let setup = lane.setup.clone();
        let task = attempt(setup, claimed.clone(), mentions, ask, means);
        lane.busy += 1;
        let (started_at, started) = (self.steady.now(), self.clock.elapsed());
        let flight = Flight { claimed, lane: number, started_at, started };
        self.flights.insert(self.tasks.spawn(task).id(), flight);
    }

    fn hand_back(&mut self, claimed: Arc<Claimed>) {
        match delivery::step(&claimed.state, Event::HandedBack, &self.given(&claimed)) {
            Ok(after) => self.unsettled.push(Settlement {
                claimed,
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

    /// Lets more attempts end before the next turn, for many cost it little more than one: as long as some
    /// end at every glance, until a quarter has.
    pub(crate) async fn gather(&mut self) {
        self.collect_ended();
        loop {
            let ended = self.unsettled.len();
            if ended * 3 >= self.flights.len() {
                return;
            }
            tokio::task::yield_now().await;
            self.collect_ended();
            if self.unsettled.len() == ended {
                return;
            }
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

    fn note(&mut self, ended: Result<(Id, Ended), JoinError>) {
        let (id, delivered) = match ended {
            Ok((id, ended)) => (id, self.by_our_time(ended)),
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

    /// A provider's "not before" is told by the clock that people set.
    fn by_our_time(&self, ended: Ended) -> Delivered {
        let Ended { mut delivered, at } = ended;
        if let Outcome::Throttled { until, .. } = &mut delivered.outcome {
            *until = self.now() + until.since(at);
        }
        delivered
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
            claimed: claimed.clone(),
            after,
            attempt: Some(Attempt {
                number: place.tries,
                channel: place.channel.clone(),
                due_at: claimed.due_at,
                wait: claimed.wait,
                started_at: flight.started_at,
                duration: self.clock.elapsed().saturating_sub(flight.started),
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
        crash_point("before_retire");
        self.store.retire(self.presence.id(), self.directory.clone(), now).await?;
        crash_point("after_retire");
        self.presence.leave();
        Ok(())
    }
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
