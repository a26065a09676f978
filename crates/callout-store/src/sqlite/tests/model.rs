//! Alerts, escalation and deliveries against a model that only knows who has what.
//!
//! The model says how each alert stands after every transition; the store has to agree, whatever was
//! acknowledged, given back, cancelled, crashed, or done to the clock. What the model does not predict
//! is held to invariants: decisions count up and are never rewritten, nobody is told of an alert that
//! somebody has, no deadline lies further ahead than the longest wait. `CALLOUT_MODEL_CASES=5000`
//! makes it longer.

use super::suite::Sqlite;
use crate::conformance::Backend;
use crate::conformance::bench::{Bench, accepted, at, busy, labelled, refused, worker};
use crate::model::{Alert, Answer, Answered, Claimed, Command, StepRecord};
use callout_core::alert::Standing;
use callout_core::delivery;
use callout_core::escalation::{BREATH, Policy, Step, Timer};
use callout_core::message::Message;
use callout_core::outcome::Outcome;
use callout_core::time::Timestamp;
use proptest::prelude::*;
use proptest_state_machine::{ReferenceStateMachine, StateMachineTest, prop_state_machine};
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;
use tokio::runtime::Runtime;

/// Where the story begins, in seconds; the clock may be set back, but never before the epoch.
const START: u64 = 1_000_000;
/// The longest wait of the policy below.
const WAIT: Duration = Duration::from_secs(120);
/// Restarts, pushes and repetitions make more decisions; none of these stories makes so many.
const DECISIONS_MAX: usize = 500;

/// One alert as the model knows it.
#[derive(Clone, Debug)]
struct Known {
    standing: Standing,
    epoch: u32,
}

/// All alerts, in the order they were raised, each with a dedup key of its own.
#[derive(Clone, Debug)]
struct Model {
    now: u64,
    alerts: Vec<Known>,
}

#[derive(Clone, Copy, Debug)]
enum Fate {
    Accepted,
    Busy,
    Refused,
    /// The worker never says what became of it.
    Forgotten,
}

#[derive(Clone, Debug)]
enum Transition {
    Raise,
    Repeat(usize),
    OverByKey(usize),
    Work(Fate),
    Forward(u64),
    Back(u64),
    Answer(usize, Answer),
    Cancel(usize),
    /// A new worker on a new store; the old one is gone without a word.
    Crash,
}

impl Model {
    /// The one that is meant, whatever number was drawn.
    fn pick(&self, n: usize) -> usize {
        n % self.alerts.len()
    }

    /// What the answer makes of an alert; `None`: it makes no sense.
    fn answered(known: &Known, answer: Answer) -> Option<Known> {
        let standing = match (known.standing, answer) {
            (Standing::Open, Answer::Acknowledge) => Standing::Acknowledged,
            (Standing::Open | Standing::Acknowledged, Answer::Resolve) => Standing::Resolved,
            (Standing::Acknowledged | Standing::Resolved, Answer::Unacknowledge)
            | (Standing::Open, Answer::Escalate) => Standing::Open,
            _ => return None,
        };
        let reopened = known.standing == Standing::Resolved;
        Some(Known { standing, epoch: known.epoch + u32::from(reopened) })
    }
}

impl ReferenceStateMachine for Model {
    type State = Self;
    type Transition = Transition;

    fn init_state() -> BoxedStrategy<Self> {
        Just(Self { now: START, alerts: Vec::new() }).boxed()
    }

    fn transitions(_: &Self) -> BoxedStrategy<Transition> {
        let fate = prop_oneof![
            4 => Just(Fate::Accepted),
            2 => Just(Fate::Busy),
            2 => Just(Fate::Refused),
            1 => Just(Fate::Forgotten),
        ];
        let answer = prop_oneof![
            3 => Just(Answer::Acknowledge),
            2 => Just(Answer::Unacknowledge),
            1 => Just(Answer::Resolve),
            2 => Just(Answer::Escalate),
        ];
        let forward = prop_oneof![4 => 0u64..150, 1 => 0u64..100_000];
        prop_oneof![
            2 => Just(Transition::Raise),
            1 => (0usize..8).prop_map(Transition::Repeat),
            1 => (0usize..8).prop_map(Transition::OverByKey),
            5 => fate.prop_map(Transition::Work),
            5 => forward.prop_map(Transition::Forward),
            1 => (0u64..10_000).prop_map(Transition::Back),
            4 => (0usize..8, answer).prop_map(|(n, answer)| Transition::Answer(n, answer)),
            1 => (0usize..8).prop_map(Transition::Cancel),
            2 => Just(Transition::Crash),
        ]
        .boxed()
    }

    fn preconditions(state: &Self, transition: &Transition) -> bool {
        match transition {
            Transition::Raise => state.alerts.len() < 4,
            Transition::Repeat(n) => {
                !state.alerts.is_empty()
                    && state.alerts[state.pick(*n)].standing != Standing::Resolved
            }
            Transition::OverByKey(_) | Transition::Answer(..) | Transition::Cancel(_) => {
                !state.alerts.is_empty()
            }
            _ => true,
        }
    }

    fn apply(mut state: Self, transition: &Transition) -> Self {
        match transition {
            Transition::Raise => state.alerts.push(Known { standing: Standing::Open, epoch: 0 }),
            Transition::Forward(seconds) => state.now += seconds,
            Transition::Back(seconds) => state.now -= seconds.min(&(state.now - START / 2)),
            Transition::OverByKey(n) | Transition::Cancel(n) => {
                let n = state.pick(*n);
                state.alerts[n].standing = Standing::Resolved;
            }
            Transition::Answer(n, answer) => {
                let n = state.pick(*n);
                if let Some(known) = Self::answered(&state.alerts[n], *answer) {
                    state.alerts[n] = known;
                }
            }
            Transition::Repeat(_) | Transition::Work(_) | Transition::Crash => {}
        }
        state
    }
}

/// The store, and what it has said so far.
struct Real {
    runtime: Rc<Runtime>,
    backend: Sqlite,
    bench: Bench,
    now: Timestamp,
    ids: Vec<String>,
    /// The decisions about each alert when it was last looked at.
    steps: Vec<Vec<StepRecord>>,
    workers: u8,
}

impl StateMachineTest for Real {
    type SystemUnderTest = Self;
    type Reference = Model;

    fn init_test(model: &Model) -> Self {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        let backend = Sqlite::new();
        let mut bench = runtime.block_on(Bench::new(&backend));
        let step = |to: &str, wait| Step {
            to: vec![to.parse().unwrap()],
            ack_within: Duration::from_secs(wait),
        };
        let steps = vec![step("ops", 30), step("lead", 120)];
        let policy = Policy { name: Some("night".to_owned()), steps, repeat: 1 };
        for route in &mut Arc::make_mut(&mut bench.directory).routes {
            route.escalation = Some(policy.clone());
        }
        Self {
            runtime: Rc::new(runtime),
            backend,
            bench,
            now: at(model.now),
            ids: vec![],
            steps: vec![],
            workers: 1,
        }
    }

    /// `model` is already what it becomes.
    fn apply(mut real: Self, model: &Model, transition: Transition) -> Self {
        let runtime = Rc::clone(&real.runtime);
        runtime.block_on(async {
            real.carry_out(model, transition).await;
            real.remember(model).await;
        });
        real
    }

    fn check_invariants(real: &Self, model: &Model) {
        real.runtime.block_on(real.check(model));
    }
}

impl Real {
    async fn carry_out(&mut self, model: &Model, transition: Transition) {
        match transition {
            Transition::Raise => {
                let key = format!("problem {}", self.ids.len());
                let message = labelled("down", "for", "ops").with_dedup_key(key);
                let id = self.bench.enqueue(message).await;
                self.bench.plan(self.now).await;
                self.ids.push(id);
                self.steps.push(Vec::new());
            }
            Transition::Repeat(n) => {
                let n = model.pick(n);
                let alert = self.alert(n).await;
                if matches!(alert.timer, Timer::Exhausted { .. }) {
                    return; // It would begin another alert, which the model does not follow.
                }
                let before = alert.repeats;
                let again = labelled("down", "for", "ops").with_dedup_key(format!("problem {n}"));
                self.bench.enqueue(again).await;
                self.bench.plan(self.now).await;
                assert_eq!(self.alert(n).await.repeats, before + 1);
            }
            Transition::OverByKey(n) => {
                let n = model.pick(n);
                self.bench.enqueue(Message::resolved(format!("problem {n}"))).await;
                self.bench.plan(self.now).await;
            }
            Transition::Work(fate) => self.work(model, fate).await,
            Transition::Forward(_) | Transition::Back(_) => self.now = at(model.now),
            Transition::Answer(n, answer) => self.answer(model.pick(n), answer).await,
            Transition::Cancel(n) => {
                let id = self.ids[model.pick(n)].clone();
                self.bench.command(Command::Cancel, &id, self.now).await;
            }
            Transition::Crash => {
                let died = worker(self.workers);
                self.workers += 1;
                self.bench.store = self.backend.store().await;
                let directory = Arc::clone(&self.bench.directory);
                self.bench.store.retire(died, directory, self.now).await.unwrap();
            }
        }
    }

    async fn work(&mut self, model: &Model, fate: Fate) {
        self.bench.plan(self.now).await;
        self.bench.escalate(self.now).await;
        for claimed in self.bench.claim_as(self.workers, self.now).await.claimed {
            self.nobody_is_told_of_what_somebody_has(model, &claimed);
            let outcome: Outcome = match fate {
                Fate::Accepted => accepted(),
                Fate::Busy => busy(),
                Fate::Refused => refused(),
                Fate::Forgotten => continue,
            };
            self.bench.settle(&claimed, outcome, self.now).await;
        }
        self.bench.escalate(self.now).await;
    }

    fn nobody_is_told_of_what_somebody_has(&self, model: &Model, claimed: &Claimed) {
        let id = claimed.id.to_string();
        if let Some(n) = self.ids.iter().position(|known| *known == id) {
            assert_eq!(model.alerts[n].standing, Standing::Open, "{id} is told of");
        }
    }

    async fn answer(&mut self, n: usize, answer: Answer) {
        let before = self.alert(n).await;
        let known = Known { standing: before.state.standing(), epoch: before.epoch };
        let answered = self.bench.answer(&self.ids[n], answer, self.now).await;
        match Model::answered(&known, answer) {
            Some(_) => assert!(matches!(answered, Answered::Done(_)), "{answer:?}: {answered:?}"),
            None => {
                assert!(matches!(answered, Answered::Refused { .. }), "{answer:?}: {answered:?}");
                assert_eq!(self.alert(n).await, before);
            }
        }
    }

    /// Decisions that were made stay as they were, and come only while nobody has the alert.
    async fn remember(&mut self, model: &Model) {
        for (n, known) in model.alerts.iter().enumerate() {
            let steps = self.alert(n).await.steps;
            let before = std::mem::replace(&mut self.steps[n], steps);
            let steps = &self.steps[n];
            assert_eq!(steps[..before.len()], before, "decisions are made once");
            assert!(known.standing == Standing::Open || steps.len() == before.len().max(1));
        }
    }

    async fn alert(&self, n: usize) -> Alert {
        self.bench.story(&self.ids[n]).await.alert.unwrap()
    }

    async fn check(&self, model: &Model) {
        for (n, known) in model.alerts.iter().enumerate() {
            let story = self.bench.story(&self.ids[n]).await;
            let alert = story.alert.unwrap();
            assert_eq!(alert.state.standing(), known.standing, "alert {n}");
            assert_eq!(alert.epoch, known.epoch, "alert {n}");
            let numbers: Vec<usize> =
                alert.steps.iter().map(|step| usize::try_from(step.decision).unwrap()).collect();
            assert_eq!(numbers, (1..=numbers.len()).collect::<Vec<_>>());
            assert_eq!(alert.timer.place().decision, alert.steps.last().unwrap().decision);
            assert!(numbers.len() < DECISIONS_MAX);
            if let Some(due_at) = alert.timer.due_at() {
                assert_eq!(known.standing, Standing::Open, "a timer runs");
                assert!(due_at <= alert.timer.place().since + WAIT.max(BREATH), "{alert:?}");
            }
            if known.standing != Standing::Open {
                let waiting = story
                    .deliveries
                    .iter()
                    .filter(|delivery| matches!(delivery.state, delivery::State::Ready { .. }));
                assert_eq!(waiting.count(), 0, "nothing waits to be told");
            }
        }
    }
}

prop_state_machine! {
    #![proptest_config(ProptestConfig {
        cases: cases(),
        failure_persistence: None,
        ..ProptestConfig::default()
    })]

    #[test]
    fn the_store_agrees_with_the_model(sequential 1..40 => Real);
}

#[expect(clippy::disallowed_methods, reason = "a longer run is asked for in the environment")]
fn cases() -> u32 {
    std::env::var("CALLOUT_MODEL_CASES").ok().and_then(|n| n.parse().ok()).unwrap_or(100)
}
