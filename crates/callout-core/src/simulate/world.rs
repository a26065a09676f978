//! The imagined worker, its providers and the person who acknowledges.

use super::{End, Illegal, Moment, Options, Simulation, TIME_MAX, TURNS_MAX, Then, What};
use crate::alert::{self, Deed, Via};
use crate::delivery::{self, Event, Given, Lease, Notice, Standing, State, Wait};
use crate::escalation::{self, Place, Policy, Reach, Timer};
use crate::id::{ChannelName, MessageId, ReceiverName, WorkerId};
use crate::message::Message;
use crate::outcome::{Outcome, Reason};
use crate::plan::{self, Directory, MessageState, Part, Planned};
use crate::time::Timestamp;
use std::collections::BTreeSet;

/// Who acknowledges; the name is shown nowhere.
const SOMEBODY: &str = "somebody";

pub(super) struct World<'a> {
    directory: &'a Directory,
    message: &'a Message,
    options: &'a Options,
    id: MessageId,
    now: Timestamp,
    /// No circuit is ever open.
    blocked: BTreeSet<ChannelName>,
    why: String,
    deliveries: Vec<Delivery>,
    alert: Option<Alert>,
    moments: Vec<Moment>,
}

struct Delivery {
    /// Spreads its retries, as its row number would.
    seed: u64,
    receiver: ReceiverName,
    state: State,
    expires_at: Timestamp,
    /// The decision of the alert that it belongs to; the first one, if there is no alert.
    decision: u32,
    /// When the attempt under way began.
    began_at: Timestamp,
}

struct Alert {
    policy: Policy,
    timer: Timer,
    state: alert::State,
    over_at: Option<Timestamp>,
}

impl<'a> World<'a> {
    pub(super) fn new(
        directory: &'a Directory,
        message: &'a Message,
        options: &'a Options,
    ) -> Self {
        let (start, blocked) = (options.start, BTreeSet::new());
        let plan = directory.plan(message, start, start, &blocked, None);
        let alert = match plan.part {
            Part::Opens(opening) => Some(Alert {
                policy: opening.policy,
                timer: opening.timer,
                state: alert::State::Open,
                over_at: None,
            }),
            Part::None | Part::Joins | Part::Repeats | Part::Resolves => None,
        };
        let mut world = Self {
            directory,
            message,
            options,
            id: MessageId::new(start, [0; 10]),
            now: start,
            blocked,
            why: plan.why,
            deliveries: Vec::new(),
            alert,
            moments: Vec::new(),
        };
        world.add(plan.deliveries, 1);
        world
    }

    pub(super) fn run(mut self) -> Result<Simulation, Illegal> {
        let last = self.options.start + TIME_MAX;
        let mut finished = false;
        for _ in 0..TURNS_MAX {
            self.turn()?;
            match self.next_at() {
                Some(at) if at <= last => self.now = at,
                Some(_) => break,
                None => {
                    finished = true;
                    break;
                }
            }
        }
        // An attempt is written down when it ends, and told at its beginning.
        self.moments.sort_by_key(|moment| moment.after);
        let (end, at) = self.end(finished);
        Ok(Simulation {
            why: self.why,
            policy: self.alert.map(|alert| alert.policy),
            moments: self.moments,
            end,
            ended_after: at.since(self.options.start),
        })
    }

    /// What a worker does at one moment: what ended first, what begins last.
    fn turn(&mut self) -> Result<(), Illegal> {
        for n in 0..self.deliveries.len() {
            self.end_attempt(n)?;
            self.expire(n)?;
        }
        self.acknowledge()?;
        self.escalate()?;
        for n in 0..self.deliveries.len() {
            self.begin_attempt(n)?;
        }
        Ok(())
    }

    /// When something happens next; `None` if nothing is left to happen.
    fn next_at(&self) -> Option<Timestamp> {
        let deliveries = self.deliveries.iter().filter_map(|delivery| match &delivery.state {
            State::Ready { at, .. } => Some((*at).min(delivery.expires_at)),
            State::Leased { lease, .. } => Some(lease.until),
            State::Accepted { .. }
            | State::Dead { .. }
            | State::Expired { .. }
            | State::Cancelled { .. } => None,
        });
        let timer = self.alert.as_ref().and_then(|alert| alert.timer.due_at());
        deliveries.chain(timer).chain(self.acknowledged_at()).min()
    }

    /// When somebody will acknowledge, if they still can.
    fn acknowledged_at(&self) -> Option<Timestamp> {
        let open = self.alert.as_ref().is_some_and(|alert| alert.state == alert::State::Open);
        let after = self.options.acknowledged_after.filter(|_| open)?;
        Some(self.options.start + after)
    }

    fn end(&self, finished: bool) -> (End, Timestamp) {
        if let Some(alert) = &self.alert {
            let end = match (&alert.state, &alert.timer) {
                (alert::State::Acknowledged(_) | alert::State::Resolved(_), _) => End::Acknowledged,
                (alert::State::Open, Timer::Exhausted { .. }) => End::Exhausted,
                (alert::State::Open, Timer::Waiting { .. } | Timer::Stopped { .. }) => {
                    End::Unfinished
                }
            };
            return (end, alert.over_at.unwrap_or(self.now));
        }
        let standings = self.deliveries.iter().map(|delivery| delivery.state.standing());
        let end = match MessageState::of(standings) {
            _ if !finished => End::Unfinished,
            _ if self.deliveries.is_empty() => End::Recorded,
            MessageState::Accepted => End::Delivered,
            MessageState::Expired => End::Expired,
            MessageState::Dead => End::Dead,
            MessageState::Pending | MessageState::Merged | MessageState::Cancelled => {
                End::Unfinished
            }
        };
        (end, self.now)
    }

    fn add(&mut self, planned: Vec<Planned>, decision: u32) {
        for Planned { receiver, state, expires_at } in planned {
            let seed = u64::try_from(self.deliveries.len()).unwrap_or(u64::MAX).saturating_add(1);
            let began_at = self.now;
            let new = Delivery { seed, receiver, state, expires_at, decision, began_at };
            self.deliveries.push(new);
        }
    }

    fn note(&mut self, at: Timestamp, what: What) {
        self.moments.push(Moment { after: at.since(self.options.start), what });
    }

    fn report(&mut self, report: Option<Message>) {
        if let Some(Message { to, title, .. }) = report {
            self.note(self.now, What::Reported { to, title });
        }
    }

    /// Gives an event to a delivery and returns the state before.
    fn happen(&mut self, n: usize, event: Event) -> Result<Option<State>, Illegal> {
        let Some(delivery) = self.deliveries.get_mut(n) else { return Ok(None) };
        let given: Given<'_> = self.directory.given(
            &delivery.receiver,
            self.message.level,
            self.now,
            &self.blocked,
            delivery.seed,
        );
        let after = delivery::step(&delivery.state, event, &given)?;
        let before = std::mem::replace(&mut delivery.state, after);
        let notice = delivery::notice(&before, &delivery.state);
        let receiver = delivery.receiver.clone();
        if let Some(notice) = notice {
            self.notice(notice, &receiver);
        }
        Ok(Some(before))
    }

    fn notice(&mut self, notice: Notice, receiver: &ReceiverName) {
        let (directory, message) = (self.directory, self.message);
        self.report(plan::report(notice, directory, message, self.id, receiver, ""));
    }

    fn begin_attempt(&mut self, n: usize) -> Result<(), Illegal> {
        let (start, now) = (self.options.start, self.now);
        let Some(delivery) = self.deliveries.get_mut(n) else { return Ok(()) };
        let State::Ready { at, place, .. } = &delivery.state else { return Ok(()) };
        if *at > now {
            return Ok(());
        }
        delivery.began_at = now;
        let lease = Lease {
            owner: WorkerId::new(start, [0; 10]),
            token: i64::from(place.tries) + 1,
            until: now + self.options.attempt_takes,
        };
        self.happen(n, Event::Leased(lease)).map(drop)
    }

    fn end_attempt(&mut self, n: usize) -> Result<(), Illegal> {
        let Some(delivery) = self.deliveries.get(n) else { return Ok(()) };
        let (receiver, began_at) = (delivery.receiver.clone(), delivery.began_at);
        let State::Leased { lease, place } = &delivery.state else { return Ok(()) };
        if lease.until > self.now {
            return Ok(());
        }
        let place = place.clone();
        let outcome = if self.options.down.contains(&place.channel) {
            Outcome::Transient(Reason::text("down"))
        } else {
            Outcome::Accepted(Reason::default())
        };
        self.happen(n, Event::Attempted(outcome))?;
        let called_off = self.is_acknowledged() && self.call_off(n)?;
        let Some(then) = self.then(n, called_off) else { return Ok(()) };
        if place.round == 0 || !matches!(then, Then::Again { .. }) {
            let (channel, number) = (place.channel, place.tries);
            self.note(began_at, What::Tried { receiver, channel, number, then });
        }
        Ok(())
    }

    /// What follows from an attempt that has just ended.
    fn then(&self, n: usize, called_off: bool) -> Option<Then> {
        match &self.deliveries.get(n)?.state {
            State::Accepted { .. } => Some(Then::Told),
            State::Ready { at, wait, place } => Some(Then::Again {
                channel: place.channel.clone(),
                after: at.since(self.options.start),
                wait: *wait,
            }),
            State::Dead { cause, .. } => Some(Then::Dead(*cause)),
            State::Cancelled { .. } => called_off.then_some(Then::CalledOff),
            State::Leased { .. } | State::Expired { .. } => None,
        }
    }

    fn expire(&mut self, n: usize) -> Result<(), Illegal> {
        let Some(delivery) = self.deliveries.get(n) else { return Ok(()) };
        let (receiver, tries) = (delivery.receiver.clone(), delivery.state.place().tries);
        if delivery.state.standing() == Standing::Ready && delivery.expires_at <= self.now {
            self.note(self.now, What::Expired { receiver, tries });
            self.happen(n, Event::Expired)?;
        }
        Ok(())
    }

    fn is_acknowledged(&self) -> bool {
        self.alert.as_ref().is_some_and(|alert| alert.state != alert::State::Open)
    }

    /// Calls a delivery off if it waits; says whether it did.
    fn call_off(&mut self, n: usize) -> Result<bool, Illegal> {
        let state = self.deliveries.get(n).map(|delivery| delivery.state.standing());
        if state != Some(Standing::Ready) {
            return Ok(false);
        }
        self.happen(n, Event::Cancelled)?;
        Ok(true)
    }

    fn acknowledge(&mut self) -> Result<(), Illegal> {
        let now = self.now;
        if self.acknowledged_at().is_none_or(|at| at > now) {
            return Ok(());
        }
        let Some(alert) = &mut self.alert else { return Ok(()) };
        let deed = Deed { by: SOMEBODY.to_owned(), at: now, via: Via::Page };
        let event = alert::Event::Acknowledged(deed);
        alert.state = alert::step(&alert.state, event.clone())?;
        alert.timer =
            escalation::step(&alert.timer, escalation::Event::Stopped, &alert.policy, now)?;
        alert.over_at = Some(now);
        self.note(now, What::Acknowledged);
        for n in 0..self.deliveries.len() {
            if self.call_off(n)?
                && let Some(delivery) = self.deliveries.get(n)
            {
                let receiver = delivery.receiver.clone();
                self.note(now, What::CalledOff { receiver });
            }
        }
        self.follow_up(&event);
        Ok(())
    }

    /// Those whom it has reached, and those whom the attempt under way will reach.
    fn told(&self) -> Vec<ReceiverName> {
        let reached = self.deliveries.iter().filter(|delivery| match &delivery.state {
            State::Accepted { .. } => true,
            State::Leased { place, .. } => !self.options.down.contains(&place.channel),
            State::Ready { .. }
            | State::Dead { .. }
            | State::Expired { .. }
            | State::Cancelled { .. } => false,
        });
        let told: BTreeSet<_> = reached.map(|delivery| delivery.receiver.clone()).collect();
        told.into_iter().collect()
    }

    /// They hear of it.
    fn follow_up(&mut self, event: &alert::Event) {
        let told = self.told();
        let (directory, message) = (self.directory, self.message);
        if let Some(Message { to, .. }) =
            plan::follow_up(directory, message, self.id, event, SOMEBODY, None, &told)
        {
            self.note(self.now, What::FollowedUp { to });
        }
    }

    /// Takes the steps that are due. A step that has nobody to tell is followed by the next at once.
    fn escalate(&mut self) -> Result<(), Illegal> {
        for _ in 0..=escalation::STEPS_MAX {
            let Some(alert) = &mut self.alert else { return Ok(()) };
            let Timer::Waiting { place: Place { decision, .. }, .. } = alert.timer else {
                return Ok(());
            };
            let step = self.deliveries.iter().filter(|delivery| delivery.decision == decision);
            let reach = Reach::of(step.map(|delivery| delivery.state.standing()));
            let event = escalation::Event::Looked(reach);
            alert.timer = escalation::step(&alert.timer, event, &alert.policy, self.now)?;
            let place = alert.timer.place().clone();
            if place.decision == decision {
                return Ok(());
            }
            match &alert.timer {
                Timer::Waiting { .. } => {
                    let to = alert.policy.receivers(place.step).to_vec();
                    self.tell(place, to);
                }
                Timer::Exhausted { .. } | Timer::Stopped { .. } => {
                    alert.over_at = Some(self.now);
                    self.note(self.now, What::Exhausted { place });
                    self.report(plan::exhausted(
                        self.directory,
                        self.message,
                        self.id,
                        &self.told(),
                    ));
                }
            }
        }
        Ok(())
    }

    fn tell(&mut self, place: Place, to: Vec<ReceiverName>) {
        let (directory, now, decision) = (self.directory, self.now, place.decision);
        let wait = Wait::Escalated;
        let planned = directory.deliveries(self.message, &to, now, wait, &self.blocked);
        self.note(now, What::Escalated { place, to });
        self.add(planned, decision);
    }
}
