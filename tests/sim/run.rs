//! One simulation: what happens, in which order, and what has to be true at the end.

use crate::dice::Dice;
use crate::provider::{Mood, Robot, SPEC};
use crate::quiet::Quiet;
use crate::setting::Setting;
use crate::store::WatchedStore;
use crate::world::{Deed, World, short};
use crate::{check, message};
use callout_channels::transport::Transport;
use callout_channels::{Channel, TimeZone};
use callout_core::alert::Standing;
use callout_core::drift;
use callout_core::id::{MessageId, WorkerId};
use callout_core::message::Message;
use callout_core::time::Timestamp;
use callout_store::clock::Clock;
use callout_store::model::{
    Actor, Answer, AnswerRequest, Answered, Command, CommandRequest, NewMessage, PruneRequest,
};
use callout_store::{SqliteStore, Store};
use callout_worker::{LaneSetup, Presence, Setup, Worker};
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

/// Alarms that may go off while a simulation waits for one thing.
const ALARMS_MAX: usize = 4000;
/// Once everything works again, all is over within this time, in milliseconds.
const REST: i64 = 12 * 3_600_000;
/// How far somebody sets the clock on the wall, in milliseconds.
const CLOCK_STEPS: [i64; 10] = [
    -2_000,
    -100,
    100,
    2_000,
    -3_600_000,
    3_600_000,
    -86_400_000,
    86_400_000,
    -315_576_000_000,
    315_576_000_000,
];
/// Or what somebody sets it to: the beginning of 1970, an hour later, and the year 2100.
const CLOCKS: [i64; 3] = [0, 3_600_000, 4_102_444_800_000];
/// A step of the clock is seen and dealt with within this time, in milliseconds.
const SEEN: i64 = 60_000;

/// What a seed came to.
#[derive(Clone, Debug)]
pub(crate) struct Failure {
    pub(crate) seed: u64,
    pub(crate) step: usize,
    pub(crate) what: String,
}

/// What all simulations of one thread share.
pub(crate) struct Ground {
    /// An empty database, as a file.
    template: Arc<Vec<u8>>,
    transport: Transport,
    folder: tempfile::TempDir,
}

impl Ground {
    pub(crate) fn new(transport: Transport) -> Self {
        let fast = Path::new("/dev/shm");
        let folder = if fast.is_dir() {
            tempfile::tempdir_in(fast).unwrap()
        } else {
            tempfile::tempdir().unwrap()
        };
        let path = folder.path().join("template.db");
        drop(SqliteStore::open_inline(&path, Timestamp::EPOCH).unwrap());
        Self { template: Arc::new(fs::read(path).unwrap()), transport, folder }
    }

    /// Plays one seed through.
    pub(crate) fn play(&self, seed: u64, is_verbose: bool) -> Result<Tally, Failure> {
        let setting = Arc::new(Setting::draw(&mut Dice::new(seed, 0)));
        let world = Arc::new(World::new(seed, setting, is_verbose));
        let folder = self.folder.path().join(seed.to_string());
        let quiet = Arc::new(Quiet::default());
        let runtime = quiet.runtime();
        let playing = std::panic::AssertUnwindSafe(|| {
            runtime.block_on(async {
                let mut run = Run::start(self, &world, quiet, folder.clone(), seed).await;
                run.story().await;
            });
        });
        if let Err(panic) = std::panic::catch_unwind(playing) {
            let text = panic.downcast_ref::<String>().cloned();
            let text = text.or_else(|| panic.downcast_ref::<&str>().map(|s| (*s).to_owned()));
            world.fail(format!("a panic: {}", text.unwrap_or_default()));
        }
        drop(runtime);
        world.look_away();
        for generation in 0.. {
            if fs::remove_dir_all(folder.with_extension(generation.to_string())).is_err() {
                break;
            }
        }
        let state = world.state();
        let (step, heard, messages) = (state.steps, state.heard, state.known.len());
        match &state.broken {
            Some(what) => Err(Failure { seed, step, what: what.clone() }),
            None => Ok(Tally { steps: step, heard, messages }),
        }
    }
}

/// How much happened.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Tally {
    pub(crate) steps: usize,
    pub(crate) heard: usize,
    pub(crate) messages: usize,
}

struct Slot {
    worker: Worker,
    id: String,
}

struct Run<'a> {
    ground: &'a Ground,
    world: Arc<World>,
    quiet: Arc<Quiet>,
    dice: Dice,
    folder: PathBuf,
    generation: usize,
    store: Arc<SqliteStore>,
    slots: Vec<Slot>,
    /// What was enqueued under an idempotency key.
    keyed: Vec<(MessageId, Message)>,
    has_steps: bool,
}

impl<'a> Run<'a> {
    async fn start(
        ground: &'a Ground,
        world: &Arc<World>,
        quiet: Arc<Quiet>,
        folder: PathBuf,
        seed: u64,
    ) -> Self {
        let first = folder.with_extension("0");
        fs::create_dir(&first).unwrap();
        let database = first.join("outbox.db");
        fs::write(&database, ground.template.as_slice()).unwrap();
        let store = Arc::new(SqliteStore::open_inline(&database, world.clock.now()).unwrap());
        world.watch(&database, store.changes());
        let mut dice = Dice::new(seed, 1);
        let mut run = Self {
            ground,
            world: world.clone(),
            quiet,
            has_steps: dice.chance(25),
            dice,
            folder,
            generation: 0,
            store,
            slots: Vec::new(),
            keyed: Vec::new(),
        };
        world.say(|| format!("{:#?}", world.setting));
        for _ in 0..world.setting.workers {
            let slot = run.spawn().await;
            run.slots.push(slot);
        }
        run
    }

    fn database(&self) -> PathBuf {
        self.folder.with_extension(self.generation.to_string()).join("outbox.db")
    }

    async fn spawn(&self) -> Slot {
        let world = &self.world;
        let id = WorkerId::new(world.clock.now(), world.clock.entropy());
        let name = id.to_string();
        let lane = |(channel, way): (usize, &crate::setting::Way)| {
            let robot = Robot { world: world.clone(), channel, worker: name.clone() };
            LaneSetup {
                name: way.name.parse().unwrap(),
                channel: Arc::new(Channel::of(&SPEC, Box::new(robot))),
                rate: way.rate().parse().unwrap(),
                permits: way.permits,
            }
        };
        let watched = WatchedStore {
            inner: self.store.clone(),
            world: world.clone(),
            worker: name.clone(),
            queue: tokio::sync::Mutex::default(),
        };
        let setup = Setup {
            store: Arc::new(watched),
            clock: world.clock.clone(),
            directory: world.setting.directory.clone(),
            lanes: world.setting.ways.iter().enumerate().map(lane).collect(),
            transport: self.ground.transport.clone(),
            people: world.setting.people.clone(),
            links: None,
            zone: TimeZone::UTC,
            presence: Presence::beside(&self.database(), id).unwrap(),
            poll: world.setting.poll,
        };
        let worker = Worker::spawn(setup).await.unwrap();
        world.say(|| format!("worker {} begins", short(&name)));
        Slot { worker, id: name }
    }

    /// Everything that happens, and the end.
    async fn story(&mut self) {
        let events = self.dice.weigh(&[(18, 2), (6, 8), (1, 40)]);
        let events = events + self.dice.below(events);
        for _ in 0..self.dice.below(self.world.setting.ways.len() + 1) {
            self.change_mood();
        }
        self.enqueue().await;
        for _ in 0..events {
            if self.world.is_broken() {
                return;
            }
            if self.dice.chance(60) {
                self.quiet.reached().await;
            } else {
                for _ in 0..self.dice.below(25) {
                    tokio::task::yield_now().await;
                }
            }
            self.event().await;
        }
        self.come_to_rest().await;
    }

    async fn event(&mut self) {
        match self.dice.below(100) {
            0..30 => self.enqueue().await,
            30..55 => {
                let length = self.dice.weigh(&[(3, 1_000), (4, 20_000), (2, 90_000), (1, 900_000)]);
                let length = self.dice.between(1, length);
                self.pass(length).await;
            }
            55..65 => self.change_mood(),
            65..76 => self.answer().await,
            76..79 => self.command().await,
            79..81 => self.prune().await,
            81..87 => self.crash().await,
            87..89 => self.crash_all().await,
            89..92 => self.stop().await,
            92..96 => self.freeze(),
            _ => self.set_clock().await,
        }
    }

    fn change_mood(&mut self) {
        let channel = self.dice.below(self.world.setting.ways.len());
        let mood = self.dice.weigh(&[
            (3, Mood::Fine),
            (5, Mood::Fickle),
            (2, Mood::Down),
            (1, Mood::RefusesUs),
            (1, Mood::RefusesMessages),
            (1, Mood::Throttles),
            (2, Mood::Loses),
            (2, Mood::Hangs),
        ]);
        self.world.state().moods[channel] = mood;
        self.world.say(|| format!("channel c{channel} is {mood:?} from now on"));
    }

    async fn enqueue(&mut self) {
        let (id, message) = if !self.keyed.is_empty() && self.dice.chance(10) {
            let (id, message) = self.dice.pick(&self.keyed).clone();
            (Some(id), message)
        } else {
            (None, message::draw(&mut self.dice, &self.world.setting))
        };
        let clock = &self.world.clock;
        let (created_at, new) = (clock.now(), MessageId::new(clock.now(), clock.entropy()));
        let ask = NewMessage { id: new, created_at, message: message.clone() };
        let done = self.store.enqueue(vec![ask]).await.unwrap().remove(0).unwrap();
        self.world.say(|| format!("enqueued {}: {message:?}", done.id));
        let is_kept = id.is_some_and(|id| self.world.state().known.contains_key(&id.to_string()));
        if is_kept && (done.fresh || Some(done.id) != id) {
            self.world.fail("the same key made two messages");
        }
        self.keyed.retain(|(known, _)| Some(*known) != id || done.id == *known);
        if done.fresh && message.idempotency_key.is_some() {
            self.keyed.push((done.id, message.clone()));
        }
        self.world.state().known.insert(done.id.to_string(), message);
        self.world.after(&Deed::Enqueue);
        if !self.world.state().now.messages.contains_key(&done.id.to_string()) {
            self.world.fail(format!("message {} was lost at once", done.id));
        }
    }

    /// Lets time pass; everything happens when it is due.
    async fn pass(&mut self, length: i64) {
        let target = self.world.clock.elapsed() + length;
        for _ in 0..ALARMS_MAX {
            self.quiet.reached().await;
            match self.world.clock.next_alarm() {
                Some(at) if at <= target => self.world.clock.advance_to(at),
                _ => {
                    self.world.clock.advance_to(target);
                    return;
                }
            }
            if self.world.is_broken() {
                return;
            }
        }
        self.world.fail("too many alarms");
    }

    async fn answer(&mut self) {
        let id = {
            let state = self.world.state();
            let seqs: Vec<i64> = state.now.alerts.keys().copied().collect();
            if seqs.is_empty() {
                return;
            }
            let seq = *self.dice.pick(&seqs);
            let found = state.now.messages.iter().find(|(_, message)| message.seq == seq);
            found.map(|(id, _)| id.clone()).unwrap()
        };
        let answer = self.dice.weigh(&[
            (5, Answer::Acknowledge),
            (2, Answer::Unacknowledge),
            (2, Answer::Resolve),
            (2, Answer::Escalate),
        ]);
        let ask = AnswerRequest {
            now: self.world.clock.now(),
            directory: self.world.setting.directory.clone(),
            message: id.clone(),
            answer,
            who: Actor::at_the_command_line("Ada"),
            note: None,
            only: None,
            epoch: None,
            entropy: self.world.clock.entropy(),
        };
        let answered = self.store.answer(ask).await.unwrap();
        let wanted = match answer {
            Answer::Acknowledge => Standing::Acknowledged,
            Answer::Resolve => Standing::Resolved,
            Answer::Unacknowledge | Answer::Escalate => Standing::Open,
        };
        self.world.say(|| format!("somebody answers {id}: {answer:?}"));
        let is_done = matches!(&answered, Answered::Done(_));
        if let Answered::Done(alert) = answered
            && alert.state.standing() != wanted
        {
            self.world.fail(format!("{answer:?} left the alert {}", alert.state.name()));
        }
        self.world.after(&Deed::Answer(id.clone(), answer));
        let state = self.world.state();
        let seq = state.now.messages[&id].seq;
        let stands = state.now.alerts.get(&seq).map(|alert| alert.state.clone());
        drop(state);
        if is_done && stands.as_deref() != Some(wanted.name()) {
            self.world.fail(format!("{answer:?} was not written down"));
        }
    }

    async fn command(&mut self) {
        let ids: Vec<String> = self.world.state().now.messages.keys().cloned().collect();
        if ids.is_empty() {
            return;
        }
        let mut messages: Vec<String> =
            (0..=self.dice.below(3)).map(|_| self.dice.pick(&ids).clone()).collect();
        messages.dedup();
        let command = self.dice.weigh(&[(1, false), (2, true)]);
        let (command, deed) = if command {
            (Command::Replay, Deed::Replay(messages.clone()))
        } else {
            self.world.state().cancelled.extend(messages.iter().cloned());
            (Command::Cancel, Deed::Cancel(messages.clone()))
        };
        self.world.say(|| format!("an operator: {deed:?}"));
        let ask = CommandRequest {
            now: self.world.clock.now(),
            directory: self.world.setting.directory.clone(),
            command,
            messages,
            who: Actor::at_the_command_line("Ada"),
        };
        self.store.command(ask).await.unwrap();
        self.world.after(&deed);
    }

    async fn prune(&mut self) {
        let age = Duration::from_secs(*self.dice.pick(&[0, 60, 600]));
        let age = i64::try_from(age.as_millis()).unwrap();
        let before = Timestamp::from_unix_ms((self.world.clock.wall() - age).max(0)).unwrap();
        let ask =
            PruneRequest { accepted_before: before, dead_before: before, after: 0, limit: 100 };
        let report = self.store.prune(ask).await.unwrap();
        self.world.say(|| format!("pruned {}", report.deleted));
        self.world.after(&Deed::Prune);
        let mut state = self.world.state();
        let state = &mut *state;
        state.known.retain(|id, _| state.now.messages.contains_key(id));
        self.keyed.retain(|(id, _)| state.known.contains_key(&id.to_string()));
    }

    /// One worker dies where it stands, and another one begins.
    async fn crash(&mut self) {
        let n = self.dice.below(self.slots.len());
        self.kill(n).await;
        self.slots[n] = self.spawn().await;
    }

    async fn kill(&mut self, n: usize) {
        let slot = &mut self.slots[n];
        self.world.say(|| format!("worker {} dies", short(&slot.id)));
        self.world.excuse(&slot.id);
        slot.worker.kill();
        if slot.worker.ended().await.is_ok() {
            self.world.fail("a worker that was killed ended in peace");
        }
    }

    /// Everything dies; what the disk holds is opened again.
    async fn crash_all(&mut self) {
        for n in 0..self.slots.len() {
            self.kill(n).await;
        }
        self.slots.clear();
        self.world.look_away();
        let old = self.folder.with_extension(self.generation.to_string());
        self.generation += 1;
        let new = self.folder.with_extension(self.generation.to_string());
        fs::create_dir(&new).unwrap();
        for file in fs::read_dir(&old).unwrap() {
            let file = file.unwrap();
            // The index of the log is memory, and memory is lost.
            if !file.file_name().to_string_lossy().ends_with("-shm") {
                fs::copy(file.path(), new.join(file.file_name())).unwrap();
            }
        }
        let database = self.database();
        let opened = SqliteStore::open_inline(&database, self.world.clock.now()).unwrap();
        self.store = Arc::new(opened);
        self.world.watch(&database, self.store.changes());
        self.world.say(|| "everything dies, and begins again".to_owned());
        self.world.after(&Deed::Reopen);
        for _ in 0..self.world.setting.workers {
            let slot = self.spawn().await;
            self.slots.push(slot);
        }
    }

    /// One worker stops in good order, and another one begins.
    async fn stop(&mut self) {
        let n = self.dice.below(self.slots.len());
        let mut slot = self.slots.remove(n);
        self.world.say(|| format!("worker {} is told to stop", short(&slot.id)));
        self.world.disturb(30_000);
        slot.worker.stop();
        for _ in 0..ALARMS_MAX {
            self.quiet.reached().await;
            if !slot.worker.status().is_running() {
                break;
            }
            match self.world.clock.next_alarm() {
                Some(at) => self.world.clock.advance_to(at),
                None => return self.world.fail("a worker that was told to stop waits for nothing"),
            }
        }
        if let Err(error) = slot.worker.ended().await
            && self.world.state().faults == 0
        {
            self.world.fail(format!("a worker could not stop: {error:?}"));
        }
        self.world.state().frozen.remove(&slot.id);
        let slot = self.spawn().await;
        self.slots.insert(n, slot);
    }

    /// One worker's dealings with the store stand still for a while, even past its leases.
    fn freeze(&mut self) {
        let id = self.dice.pick(&self.slots).id.clone();
        let length = self.dice.between(1_000, 150_000);
        self.world.say(|| format!("worker {} stands still for {length} ms", short(&id)));
        self.world.excuse(&id);
        self.world.disturb(length);
        let until = self.world.clock.elapsed() + length;
        self.world.state().frozen.insert(id, until);
    }

    /// Somebody sets the clock, and everything that waits moves along, even what nobody has planned yet. All
    /// workers have looked at the clock before, and at least one of them goes on.
    async fn set_clock(&mut self) {
        let now = self.world.clock.elapsed();
        let is_awake =
            |slot: &Slot| self.world.state().frozen.get(&slot.id).is_none_or(|until| *until <= now);
        let has_begun = |slot: &Slot| self.world.state().begun.contains(&slot.id);
        let can_be_seen = self.slots.iter().any(is_awake) && self.slots.iter().all(has_begun);
        if !self.has_steps || !can_be_seen {
            return;
        }
        let wall = self.world.clock.wall();
        let by = if self.dice.chance(20) {
            *self.dice.pick(&CLOCKS) - wall
        } else {
            (*self.dice.pick(&CLOCK_STEPS)).max(-wall)
        };
        self.quiet.reached().await;
        if self.dice.chance(30) {
            self.enqueue().await;
        }
        let wanted = self.world.state().now.base + by;
        self.world.set_clock(by);
        if !drift::is_step(by) {
            return;
        }
        let until = now + SEEN;
        // Small steps before may be seen together with this one.
        let slack = self.world.state().followed;
        loop {
            self.quiet.reached().await;
            let (base, is_moving) = {
                let state = self.world.state();
                (state.now.base, state.now.is_moving)
            };
            if self.world.is_broken() || ((base - wanted).abs() <= slack && !is_moving) {
                return;
            }
            match self.world.clock.next_alarm() {
                Some(at) if at <= until => self.world.clock.advance_to(at),
                _ => {
                    return self.world.fail(format!("{} ms are not followed", base - wanted));
                }
            }
        }
    }

    /// Everything works from now on, and time passes until all is over.
    async fn come_to_rest(&mut self) {
        self.world.say(|| "from now on everything works".to_owned());
        {
            let mut state = self.world.state();
            state.moods.fill(Mood::Fine);
            state.faults = 0;
        }
        let deadline = self.world.clock.elapsed() + REST;
        for _ in 0..ALARMS_MAX {
            self.quiet.reached().await;
            if self.world.is_broken() {
                return;
            }
            if self.is_over() {
                return self.judge().await;
            }
            if let Some(why) = self.ended_by_itself().await {
                return self.world.fail(why);
            }
            match self.world.clock.next_alarm() {
                Some(at) if at <= deadline => self.world.clock.advance_to(at),
                _ => return self.world.fail("it does not come to rest"),
            }
        }
        self.world.fail("too many alarms at the end");
    }

    async fn ended_by_itself(&mut self) -> Option<String> {
        let slot = self.slots.iter_mut().find(|slot| !slot.worker.status().is_running())?;
        let ended = slot.worker.ended().await;
        Some(format!("worker {} ended by itself: {ended:?}", short(&slot.id)))
    }

    fn is_over(&self) -> bool {
        let state = self.world.state();
        let is_on = |word: &Option<String>| matches!(word.as_deref(), Some("new" | "pending"));
        !state.now.messages.values().any(|message| is_on(&message.state))
            && !state.now.alerts.values().any(|alert| alert.timer == "waiting")
    }

    async fn judge(&mut self) {
        let checked = check::end(&self.world.setting, &self.world.state());
        if let Err(what) = checked {
            return self.world.fail(what);
        }
        let known = self.world.state().known.clone();
        for (id, message) in known {
            let story = self.store.story(id.clone()).await.unwrap();
            if story.and_then(|story| story.message.ok()).as_ref() != Some(&message) {
                self.world.fail(format!("message {id} is not what was enqueued"));
            }
        }
    }
}
