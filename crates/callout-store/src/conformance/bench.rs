//! What the checks work with: a configuration, a clock that stands still, and short words.

use super::Backend;
use crate::clock::Reading;
use crate::model::{
    Actor, Alert, Answer, AnswerRequest, Answered, Attempt, ClaimRequest, Claimed, Claims, Command,
    CommandRequest, EscalateReport, EscalateRequest, LaneAsk, NewMessage, PlanReport, PlanRequest,
    Settled, Settlement, StepRecord, Story,
};
use crate::store::Store;
use callout_core::delivery::{self, Event};
use callout_core::escalation::{Policy, Step};
use callout_core::id::{ChannelName, MessageId, ReceiverName, WorkerId};
use callout_core::level::Level;
use callout_core::locale::Locale;
use callout_core::message::Message;
use callout_core::outcome::{Blame, Outcome, Reason};
use callout_core::plan::Directory;
use callout_core::rate::Rate;
use callout_core::receiver::Receiver;
use callout_core::retry::RetryPolicy;
use callout_core::route::Route;
use callout_core::time::Timestamp;
use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

/// How long a lease lasts here.
pub(crate) const LEASE: Duration = Duration::from_secs(60);

/// Seconds after the start of the check.
pub(crate) fn at(seconds: u64) -> Timestamp {
    Timestamp::from_unix_ms(1_700_000_000_000).unwrap() + Duration::from_secs(seconds)
}

/// Ten bytes nobody in this process has seen.
pub(crate) fn entropy() -> [u8; 10] {
    crate::clock::entropy()
}

pub(crate) fn worker(n: u8) -> WorkerId {
    WorkerId::new(at(0), [n; 10])
}

/// A store, its configuration and its channels' limits.
pub(crate) struct Bench {
    pub(crate) store: Arc<dyn Store>,
    pub(crate) directory: Arc<Directory>,
    pub(crate) lanes: Vec<LaneAsk>,
}

impl Bench {
    /// Two receivers: `ops` with the channels `a` and `b`, `lead` with `c`. Messages labelled
    /// `for=both` go to both, critical ones and all others to `ops`. Those labelled `for=alert` have to be
    /// acknowledged: `ops` has 5 minutes, then `lead` has 10, and that twice.
    pub(crate) async fn new(backend: &dyn Backend) -> Self {
        Self::with(backend.store().await)
    }

    /// The same on a store that is there already.
    pub(crate) fn with(store: Arc<dyn Store>) -> Self {
        let receiver = |name: &str, channels: &[&str]| {
            let name: ReceiverName = name.parse().unwrap();
            let channels = channels.iter().map(|name| name.parse().unwrap()).collect();
            let receiver = Receiver {
                name: name.clone(),
                channels,
                failover_after: None,
                mention_all: false,
                mention: vec![],
            };
            (name, receiver)
        };
        let route = |labels: &[&str], to: &[&str]| Route {
            levels: vec![],
            labels: labels.iter().map(|text| text.parse().unwrap()).collect(),
            to: to.iter().map(|name| name.parse().unwrap()).collect(),
            escalation: None,
        };
        let directory = Directory {
            routes: vec![
                route(&["for=both"], &["ops", "lead"]),
                route(&["for=nobody"], &[]),
                route(&["for=lead"], &["lead"]),
                Route { escalation: Some(policy()), ..route(&["for=alert"], &["ops"]) },
                route(&[], &["ops"]),
            ],
            receivers: [receiver("ops", &["a", "b"]), receiver("lead", &["c"])].into(),
            operator: Some("lead".parse().unwrap()),
            retry: RetryPolicy::default(),
            follow_up: true,
            locale: Locale::English,
            costly: [].into(),
            ringing: [].into(),
        };
        let lane = |name: &str| LaneAsk {
            channel: name.parse().unwrap(),
            rate: Rate::default(),
            limit: 100,
        };
        Self { store, directory: Arc::new(directory), lanes: ["a", "b", "c"].map(lane).into() }
    }

    pub(crate) fn lane(&mut self, name: &str) -> &mut LaneAsk {
        self.lanes.iter_mut().find(|lane| lane.channel.as_str() == name).unwrap()
    }

    /// Enqueues a message dated at second 0 and returns its id.
    pub(crate) async fn enqueue(&self, message: Message) -> String {
        let new = new(message);
        let id = new.id.to_string();
        let results = self.store.enqueue(vec![new]).await.unwrap();
        assert!(results[0].as_ref().unwrap().fresh);
        id
    }

    pub(crate) async fn send(&self, level: Level, title: &str) -> String {
        self.enqueue(Message::new(level, title)).await
    }

    pub(crate) async fn plan(&self, now: Timestamp) -> PlanReport {
        let directory = Arc::clone(&self.directory);
        let ask = PlanRequest {
            reading: Reading::default(),
            now,
            directory,
            limit: 100,
            entropy: entropy(),
        };
        self.store.plan(ask).await.unwrap()
    }

    pub(crate) async fn escalate(&self, now: Timestamp) -> EscalateReport {
        let directory = Arc::clone(&self.directory);
        let ask = EscalateRequest {
            reading: Reading::default(),
            now,
            directory,
            limit: 100,
            entropy: entropy(),
        };
        self.store.escalate(ask).await.unwrap()
    }

    /// What `fox` says on the command line.
    pub(crate) async fn answer(&self, id: &str, answer: Answer, now: Timestamp) -> Answered {
        self.store.answer(self.ask(id, answer, now)).await.unwrap()
    }

    pub(crate) fn ask(&self, id: &str, answer: Answer, now: Timestamp) -> AnswerRequest {
        AnswerRequest {
            now,
            directory: Arc::clone(&self.directory),
            message: id.to_owned(),
            answer,
            who: Actor::at_the_command_line("fox"),
            note: None,
            only: None,
            epoch: None,
            entropy: entropy(),
        }
    }

    /// Enqueues a message that has to be acknowledged, and plans it.
    pub(crate) async fn alert(&self, title: &str, now: Timestamp) -> String {
        let id = self.enqueue(labelled(title, "for", "alert")).await;
        self.plan(now).await;
        id
    }

    /// The same, and everybody was told.
    pub(crate) async fn told(&self, title: &str, now: Timestamp) -> String {
        let id = self.alert(title, now).await;
        self.accept_all(now).await;
        id
    }

    /// Lets every due delivery be accepted. Returns `title receiver` of each, in order.
    pub(crate) async fn accept_all(&self, now: Timestamp) -> Vec<String> {
        let claimed = self.take(now).await;
        for claimed in &claimed {
            self.settle(claimed, accepted(), now).await;
        }
        let words = |c: &Claimed| format!("{} {}", c.message.title, c.receiver);
        claimed.iter().map(words).collect()
    }

    /// The alert of a message.
    pub(crate) async fn alert_of(&self, id: &str) -> Alert {
        self.story(id).await.alert.unwrap()
    }

    /// How a message's alert stands: its state, its timer's, and every decision as
    /// `number: cause to receivers`.
    pub(crate) async fn escalation(&self, id: &str) -> String {
        let alert = self.alert_of(id).await;
        let words = |step: &StepRecord| {
            let to: Vec<String> = step.to.iter().map(ToString::to_string).collect();
            format!("{} {} {}", step.decision, step.cause.name(), to.join("+"))
        };
        let steps: Vec<String> = alert.steps.iter().map(words).collect();
        format!("{} {}: {}", alert.state.name(), alert.timer.name(), steps.join(", "))
    }

    pub(crate) async fn claim_as(&self, n: u8, now: Timestamp) -> Claims {
        self.store.claim(self.claim_request(n, 0, now)).await.unwrap()
    }

    /// Plans and claims in one go.
    pub(crate) async fn take_at_once(&self, now: Timestamp) -> Vec<Claimed> {
        self.store.claim(self.claim_request(1, 100, now)).await.unwrap().claimed
    }

    fn claim_request(&self, n: u8, plan: usize, now: Timestamp) -> ClaimRequest {
        ClaimRequest {
            reading: Reading::default(),
            now,
            directory: Arc::clone(&self.directory),
            worker: worker(n),
            lease_until: now + LEASE,
            lanes: self.lanes.clone(),
            plan,
            entropy: entropy(),
        }
    }

    pub(crate) async fn claim(&self, now: Timestamp) -> Claims {
        self.claim_as(1, now).await
    }

    /// Plans and claims.
    pub(crate) async fn take(&self, now: Timestamp) -> Vec<Claimed> {
        self.plan(now).await;
        self.claim(now).await.claimed
    }

    /// Decides what follows from `outcome`, as a worker does.
    pub(crate) fn settlement(
        &self,
        claimed: &Claimed,
        outcome: Outcome,
        now: Timestamp,
    ) -> Settlement {
        let place = claimed.state.place();
        let blocked = BTreeSet::new();
        let given =
            self.directory.given(&claimed.receiver, claimed.message.level, now, &blocked, 0);
        let event = Event::Attempted(outcome.clone());
        Settlement {
            claimed: Arc::new(claimed.clone()),
            after: delivery::step(&claimed.state, event, &given).unwrap(),
            attempt: Some(Attempt {
                number: place.tries,
                channel: place.channel.clone(),
                due_at: claimed.due_at,
                wait: claimed.wait,
                started_at: now,
                duration: Duration::from_millis(5),
                outcome,
            }),
            extra_sends: 0,
            report: None,
        }
    }

    pub(crate) async fn settle(
        &self,
        claimed: &Claimed,
        outcome: Outcome,
        now: Timestamp,
    ) -> Settled {
        let settlement = self.settlement(claimed, outcome, now);
        self.store.settle(now, vec![settlement]).await.unwrap()[0]
    }

    pub(crate) async fn story(&self, id: &str) -> Story {
        self.store.story(id.to_owned()).await.unwrap().unwrap()
    }

    pub(crate) async fn command(&self, command: Command, id: &str, now: Timestamp) -> usize {
        let ask = CommandRequest {
            now,
            directory: Arc::clone(&self.directory),
            command,
            messages: vec![id.to_owned()],
            who: Actor::at_the_command_line("a test"),
        };
        self.store.command(ask).await.unwrap()
    }

    /// The titles of messages that tell the operator something.
    pub(crate) async fn reports(&self) -> Vec<String> {
        let page = self.store.list(crate::model::Filter::default(), None, 100).await.unwrap();
        let titles = page.messages.into_iter().map(|summary| summary.title);
        titles.filter(|title| title.starts_with("Callout:")).collect()
    }

    /// How a message's deliveries stand: `receiver channel state`, in order.
    pub(crate) async fn standing(&self, id: &str) -> String {
        let story = self.story(id).await;
        let word = |delivery: &crate::model::Delivery| {
            let channel: &ChannelName = &delivery.state.place().channel;
            format!("{} {channel} {}", delivery.receiver, delivery.state.name())
        };
        let words: Vec<String> = story.deliveries.iter().map(word).collect();
        format!("{}: {}", story.summary.state.name(), words.join(", "))
    }
}

/// `ops` has 5 minutes, `lead` has 10, and it starts over once.
pub(crate) fn policy() -> Policy {
    let step = |name: &str, minutes: u64| Step {
        to: vec![name.parse().unwrap()],
        ack_within: Duration::from_secs(60 * minutes),
    };
    Policy {
        name: Some("two".to_owned()),
        steps: vec![step("ops", 5), step("lead", 10)],
        repeat: 1,
    }
}

pub(crate) fn new(message: Message) -> NewMessage {
    NewMessage { id: MessageId::new(at(0), entropy()), created_at: at(0), message }
}

pub(crate) fn labelled(title: &str, label: &str, value: &str) -> Message {
    let mut message = Message::new(Level::Error, title);
    message.labels.insert(label.to_owned(), value.to_owned());
    message
}

pub(crate) fn accepted() -> Outcome {
    Outcome::Accepted(Reason::new(0, "ok"))
}

pub(crate) fn busy() -> Outcome {
    Outcome::Transient(Reason::new(503, "busy"))
}

pub(crate) fn refused() -> Outcome {
    Outcome::Rejected { blame: Blame::Endpoint, reason: Reason::new(403, "no") }
}

pub(crate) fn titles(claimed: &[Claimed]) -> Vec<&str> {
    claimed.iter().map(|claimed| claimed.message.title.as_str()).collect()
}
