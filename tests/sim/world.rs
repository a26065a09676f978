//! Everything outside of Callout, which knows what Callout has to keep: who was told what, by whom, when.

use crate::audit::{Audit, Snapshot};
use crate::check;
use crate::clock::{BEGINNING, SimClock};
use crate::dice::Dice;
use crate::provider::{Course, Fate, Mood};
use crate::setting::Setting;
use callout_channels::channel::Outgoing;
use callout_core::drift;
use callout_core::message::Message;
use callout_store::model::{Answer, ClaimRequest, Claimed};
use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::sync::{Arc, Mutex, MutexGuard};
use tokio::sync::watch;

/// More operations than this without any time passing are a hot loop.
const OPERATIONS_AT_ONCE_MAX: usize = 3000;

/// What was done to the store.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Deed {
    /// A message was enqueued.
    Enqueue,
    Plan,
    Escalate,
    Claim,
    /// A worker wrote down what came of its tries; its id.
    Settle(String),
    Register,
    /// A worker had what waits moved because the clock was set.
    Rebase,
    /// A worker ended; its id.
    Retire(String),
    /// Somebody answered the alert of this message.
    Answer(String, Answer),
    /// An operator called these messages off, or put them back.
    Cancel(Vec<String>),
    Replay(Vec<String>),
    Prune,
    /// Everything died, and the files were opened again.
    Reopen,
}

/// Which telling to whom: message, receiver, decision.
pub(crate) type Telling = (String, String, Option<i64>);

/// One request under way.
#[derive(Clone, Debug)]
pub(crate) struct Flight {
    pub(crate) telling: Telling,
    pub(crate) channel: String,
    delivery: i64,
    /// In true time.
    until: i64,
    worker: String,
}

/// A lease that a worker was told of.
#[derive(Clone, Debug)]
struct Leased {
    flight: Flight,
    /// When it was claimed, in true time.
    at: i64,
    began: bool,
}

/// A message that a provider has taken, as its worker knows.
#[derive(Clone, Debug)]
struct Taken {
    worker: String,
    /// When the lease ends, in true time.
    until: i64,
}

pub(crate) struct World {
    pub(crate) clock: Arc<SimClock>,
    pub(crate) setting: Arc<Setting>,
    pub(crate) is_verbose: bool,
    state: Mutex<State>,
}

pub(crate) struct State {
    pub(crate) moods: Vec<Mood>,
    pub(crate) faults: usize,
    pub(crate) lag: Dice,
    robots: Dice,
    audit: Option<Audit>,
    /// The store's bell, and one for each worker: several who wait at one are woken in no fixed order.
    bell: Option<watch::Receiver<u64>>,
    bells: Vec<watch::Sender<u64>>,
    /// What stood in the store after the last step.
    pub(crate) now: Snapshot,
    /// What the store has said that it keeps.
    pub(crate) known: BTreeMap<String, Message>,
    pub(crate) cancelled: BTreeSet<String>,
    /// Since when each message has been there, and when it was first put back, in true time.
    pub(crate) since: BTreeMap<String, i64>,
    pub(crate) put_back: BTreeMap<String, i64>,
    /// Until when each worker's dealings with the store stand still, in true time.
    pub(crate) frozen: BTreeMap<String, i64>,
    /// Workers that died or stood still, so that what they knew may have been lost.
    excused: BTreeSet<String>,
    /// Workers that have looked at the clock once.
    pub(crate) begun: BTreeSet<String>,
    /// Until when, in true time, being late is excused by what was done to a worker.
    pub(crate) disturbed_until: i64,
    /// All small steps of the clock together, in milliseconds: these are followed, and nothing is moved.
    pub(crate) followed: i64,
    departures: Vec<Vec<i64>>,
    leases: BTreeMap<Telling, Leased>,
    taken: BTreeMap<i64, Taken>,
    /// Who was told, on which channel.
    pub(crate) accepted: BTreeSet<(Telling, String)>,
    pub(crate) rejected: BTreeSet<(Telling, String)>,
    pub(crate) heard: usize,
    pub(crate) steps: usize,
    instant: (i64, usize),
    pub(crate) broken: Option<String>,
}

impl World {
    pub(crate) fn new(seed: u64, setting: Arc<Setting>, is_verbose: bool) -> Self {
        let state = State {
            moods: vec![Mood::Fine; setting.ways.len()],
            faults: setting.faults,
            lag: Dice::new(seed, 2),
            robots: Dice::new(seed, 3),
            audit: None,
            bell: None,
            bells: Vec::new(),
            now: Snapshot::default(),
            known: BTreeMap::new(),
            cancelled: BTreeSet::new(),
            since: BTreeMap::new(),
            put_back: BTreeMap::new(),
            frozen: BTreeMap::new(),
            excused: BTreeSet::new(),
            begun: BTreeSet::new(),
            disturbed_until: 0,
            followed: 0,
            departures: vec![Vec::new(); setting.ways.len()],
            leases: BTreeMap::new(),
            taken: BTreeMap::new(),
            accepted: BTreeSet::new(),
            rejected: BTreeSet::new(),
            heard: 0,
            steps: 0,
            instant: (0, 0),
            broken: None,
        };
        let clock = Arc::new(SimClock::new(seed));
        Self { clock, setting, is_verbose, state: Mutex::new(state) }
    }

    pub(crate) fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap()
    }

    /// Tells whoever replays a seed what happens.
    pub(crate) fn say(&self, what: impl FnOnce() -> String) {
        if self.is_verbose {
            let at = self.clock.elapsed();
            println!("{:>8}.{:03} {}", at / 1000, at % 1000, what());
        }
    }

    /// Notes the first thing that should not have happened.
    pub(crate) fn fail(&self, what: impl Into<String>) {
        self.fail_with(&mut self.state(), what.into());
    }

    fn fail_with(&self, state: &mut State, what: String) {
        self.say(|| format!("VIOLATED: {what}"));
        state.broken.get_or_insert(what);
    }

    pub(crate) fn is_broken(&self) -> bool {
        self.state().broken.is_some()
    }

    /// From now on the database is this one.
    pub(crate) fn watch(&self, database: &Path, bell: watch::Receiver<u64>) {
        let mut state = self.state();
        state.audit = Some(Audit::open(database));
        state.bell = Some(bell);
    }

    /// A bell of its own for a worker.
    pub(crate) fn subscribe(&self) -> watch::Receiver<u64> {
        let (bell, ear) = watch::channel(0);
        self.state().bells.push(bell);
        ear
    }

    /// Before the files of the database are taken away.
    pub(crate) fn look_away(&self) {
        self.state().audit = None;
    }

    /// Holds what stands in the store now against what stood there before.
    pub(crate) fn after(&self, deed: &Deed) {
        let mut guard = self.state();
        let state = &mut *guard;
        state.steps += 1;
        if state.bell.as_mut().is_some_and(|bell| bell.has_changed().unwrap_or(false)) {
            state.bell.as_mut().map(watch::Receiver::mark_unchanged);
            state.bells.retain(|bell| !bell.is_closed());
            state.bells.iter().for_each(|bell| bell.send_modify(|n| *n += 1));
        }
        let now = self.clock.elapsed();
        state.instant = if state.instant.0 == now { (now, state.instant.1 + 1) } else { (now, 1) };
        if state.instant.1 > OPERATIONS_AT_ONCE_MAX {
            self.fail_with(state, "the worker goes round and round".to_owned());
        }
        let Some(new) = state.audit.as_mut().and_then(Audit::look) else { return };
        self.tell_changes(&state.now, &new);
        for id in new.messages.keys() {
            state.since.entry(id.clone()).or_insert(now);
        }
        let checked = check::step(&self.setting, state, &new, deed, now);
        if let Err(what) = checked {
            self.fail_with(state, format!("{what} (after {deed:?})"));
        }
        if let Deed::Replay(messages) = deed {
            for id in messages {
                state.put_back.entry(id.clone()).or_insert(now);
            }
            let seqs: Vec<i64> =
                messages.iter().filter_map(|id| Some(new.messages.get(id)?.seq)).collect();
            let of = |id: &i64| new.deliveries.get(id).is_some_and(|d| seqs.contains(&d.message));
            state.taken.retain(|delivery, _| !of(delivery));
        }
        if *deed == Deed::Prune {
            // The numbers of what is gone may be given anew.
            state.taken.retain(|delivery, _| new.deliveries.contains_key(delivery));
        }
        state.now = new;
    }

    /// Whether there is no point in going on.
    pub(crate) fn is_spinning(&self) -> bool {
        self.state().instant.1 > OPERATIONS_AT_ONCE_MAX
    }

    fn tell_changes(&self, old: &Snapshot, new: &Snapshot) {
        if !self.is_verbose {
            return;
        }
        for (id, delivery) in &new.deliveries {
            if old.deliveries.get(id) != Some(delivery) {
                let d = delivery;
                self.say(|| {
                    format!(
                        "  delivery {id} of message {} to {}: {} on {}, round {}, try {}, token {}",
                        d.message, d.receiver, d.state, d.channel, d.round, d.tries, d.token
                    )
                });
            }
        }
        for (seq, alert) in new.alerts.iter().filter(|(seq, a)| old.alerts.get(seq) != Some(a)) {
            self.say(|| format!("  alert {seq}: {alert:?}"));
        }
        for (key, step) in new.steps.iter().filter(|(key, _)| !old.steps.contains_key(key)) {
            self.say(|| format!("  decision {key:?}: {step:?}"));
        }
    }

    /// A claim was committed. The worker that asked for it may never hear of it.
    pub(crate) fn claimed(&self, ask: &ClaimRequest, claimed: &[Claimed]) {
        let mut guard = self.state();
        let state = &mut *guard;
        for lane in &ask.lanes {
            let on_lane = |c: &&Claimed| c.state.place().channel == lane.channel;
            let n = claimed.iter().filter(on_lane).count();
            if n > lane.limit {
                let most = lane.limit;
                self.fail_with(state, format!("{n} leased on {}, {most} asked", lane.channel));
            }
        }
        for claim in claimed {
            if let Err(what) = self.claim(state, ask, claim) {
                self.fail_with(state, format!("{what} (a claim of delivery {})", claim.delivery));
            }
        }
    }

    fn claim(&self, state: &mut State, ask: &ClaimRequest, claim: &Claimed) -> Result<(), String> {
        let id = claim.delivery.0;
        let row = state.now.deliveries.get(&id).ok_or("it does not exist")?;
        let worker = ask.worker.to_string();
        if row.state != "leased" || row.owner.as_ref() != Some(&worker) {
            return Err("it is not leased to whom it was given".to_owned());
        }
        let frame = BEGINNING + state.now.base;
        if row.expires_at <= ask.now.unix_ms() {
            return Err("it has expired".to_owned());
        }
        let alert = row.decision.and_then(|_| state.now.alerts.get(&row.message));
        if let Some(alert) = alert.filter(|alert| alert.state != "open") {
            return Err(format!("its alert is {}", alert.state));
        }
        if let Some(taken) = state.taken.get(&id) {
            let is_lost = state.faults > 0 && taken.until <= self.clock.elapsed();
            if !is_lost && !state.excused.contains(&taken.worker) {
                return Err("it was taken by a provider before, and nothing had happened".into());
            }
        }
        let decision = claim.telling.as_ref().map(|telling| i64::from(telling.place.decision));
        let telling = (claim.id.to_string(), claim.receiver.to_string(), decision);
        let flight = Flight {
            telling: telling.clone(),
            channel: claim.state.place().channel.to_string(),
            delivery: id,
            until: row.until.unwrap_or_default() - frame,
            worker,
        };
        let leased = Leased { flight, at: self.clock.elapsed(), began: false };
        state.leases.insert(telling, leased);
        Ok(())
    }

    /// A request leaves for a provider. Says what will become of it.
    pub(crate) fn depart(
        &self,
        channel: usize,
        worker: &str,
        out: &Outgoing<'_>,
    ) -> (Flight, Course) {
        let mut guard = self.state();
        let state = &mut *guard;
        let receiver = out.mentions.ids.first().cloned().unwrap_or_default();
        let decision = out.ask.map(|ask| i64::from(ask.telling));
        let telling = (out.id.to_string(), receiver, decision);
        let name = self.setting.ways[channel].name.clone();
        let course = course(&mut state.robots, state.moods[channel]);
        self.say(|| format!("{name} is sent {telling:?} by {}: {course:?}", short(worker)));
        let flight = match self.departing(state, channel, worker, &telling, out) {
            Ok(flight) => flight,
            Err(what) => {
                self.fail_with(state, format!("{what}: {telling:?} on {name}"));
                let (until, worker) = (0, worker.to_owned());
                Flight { telling, channel: name, delivery: 0, until, worker }
            }
        };
        (flight, course)
    }

    fn departing(
        &self,
        state: &mut State,
        channel: usize,
        worker: &str,
        telling: &Telling,
        out: &Outgoing<'_>,
    ) -> Result<Flight, String> {
        let way = &self.setting.ways[channel];
        let leased = state.leases.get_mut(telling).ok_or("sent without a lease")?;
        let flight = leased.flight.clone();
        if flight.channel != way.name || flight.worker != worker {
            return Err("sent without a lease for this channel and worker".to_owned());
        }
        if std::mem::replace(&mut leased.began, true) {
            return Err("sent twice under one lease".to_owned());
        }
        if flight.until <= self.clock.elapsed() - state.followed {
            return Err("sent after its lease had ended".to_owned());
        }
        if state.known.get(&telling.0).is_some_and(|known| known != out.message) {
            return Err("sent with another text than was enqueued".to_owned());
        }
        // The limit is spent with the claim. What a worker sends after it stood still counts as sent then.
        let at = leased.at;
        let departures = &mut state.departures[channel];
        departures.push(at);
        departures.sort_unstable();
        for (count, per) in &way.limits {
            let inside = departures.iter().filter(|then| **then > at - per && **then <= at);
            let n = inside.count();
            if n > *count {
                return Err(format!("{n} requests within {per} ms, {count} allowed"));
            }
        }
        Ok(flight)
    }

    /// A provider hears a request, or not.
    pub(crate) fn arrive(&self, flight: &Flight, fate: Fate) {
        if matches!(fate, Fate::Accept | Fate::Lose(true) | Fate::Hang(true) | Fate::Panic(true)) {
            let mut state = self.state();
            state.heard += 1;
            if state.accepted.insert((flight.telling.clone(), flight.channel.clone())) {
                drop(state);
                self.say(|| format!("{} hears {:?}", flight.channel, flight.telling));
            }
        }
    }

    /// The worker gets a provider's answer.
    pub(crate) fn answered(&self, flight: &Flight, is_accepted: bool) {
        let mut state = self.state();
        if is_accepted {
            let taken = Taken { worker: flight.worker.clone(), until: flight.until };
            state.taken.insert(flight.delivery, taken);
        } else {
            state.rejected.insert((flight.telling.clone(), flight.channel.clone()));
        }
    }

    /// What this worker knows may be lost from now on.
    pub(crate) fn excuse(&self, worker: &str) {
        self.state().excused.insert(worker.to_owned());
    }

    /// For so long, no worker may be there to do what is due.
    pub(crate) fn disturb(&self, length: i64) {
        let until = self.clock.elapsed() + length;
        let mut state = self.state();
        state.disturbed_until = state.disturbed_until.max(until);
    }

    /// Sets the wall clock, and has all workers look at it, as they do every second.
    pub(crate) fn set_clock(&self, by: i64) {
        self.say(|| format!("the clock on the wall is set by {by} ms"));
        self.clock.step(by);
        let mut guard = self.state();
        let state = &mut *guard;
        if !drift::is_step(by) {
            state.followed += by.abs();
            // What was sent before looks as much longer ago as the clock was set forward.
            let departures = state.departures.iter_mut().flatten();
            departures.for_each(|at| *at -= by.max(0));
            state.leases.values_mut().for_each(|leased| leased.at -= by.max(0));
        }
        state.bells.iter().for_each(|bell| bell.send_modify(|n| *n += 1));
    }
}

/// The end of an id, which tells it from others.
pub(crate) fn short(id: &str) -> &str {
    &id[id.len().saturating_sub(4)..]
}

/// What becomes of a request to a provider in this mood.
fn course(dice: &mut Dice, mood: Mood) -> Course {
    let heard = dice.chance(50);
    let fate = match mood {
        Mood::Fine => Fate::Accept,
        Mood::Down => Fate::Fail,
        Mood::RefusesUs => Fate::RejectUs,
        Mood::RefusesMessages => Fate::RejectMessage,
        Mood::Throttles => Fate::Throttle(dice.between(1, 120) * 1000),
        Mood::Loses => Fate::Lose(heard),
        Mood::Hangs => Fate::Hang(heard),
        Mood::Fickle => dice.weigh(&[
            (6, Fate::Accept),
            (3, Fate::Fail),
            (1, Fate::RejectUs),
            (2, Fate::RejectMessage),
            (1, Fate::Throttle(5_000)),
            (2, Fate::Lose(heard)),
            (1, Fate::Hang(heard)),
            (1, Fate::Panic(heard)),
        ]),
    };
    let slow = dice.chance(30);
    let there = if slow { dice.between(1, 3_000) } else { 0 };
    let back = if dice.chance(20) { dice.between(1, 20_000) } else { 0 };
    Course { there, back, fate }
}
