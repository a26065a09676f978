//! A stage: a worker with a real store and real HTTP, on time that moves only when told to.

pub(crate) mod clock;
/// The mail server that the channel's own tests use.
#[expect(dead_code, reason = "these tests need no TLS and little of the script")]
#[path = "../../crates/callout-channels/src/tests/direct/sink.rs"]
pub(crate) mod mail;
#[cfg(target_os = "linux")]
pub(crate) mod preload;
pub(crate) mod provider;
pub(crate) mod sink;

use callout_channels::spec::Spec;
use callout_channels::{Channel, Settings, Transport};
use callout_core::delivery::State;
use callout_core::escalation::{Policy, Step};
use callout_core::id::{ChannelName, MessageId, WorkerId};
use callout_core::level::Level;
use callout_core::locale::Locale;
use callout_core::message::Message;
use callout_core::plan::Directory;
use callout_core::rate::Rate;
use callout_core::receiver::Receiver;
use callout_core::retry::RetryPolicy;
use callout_core::route::Route;
use callout_core::secret::Secret;
use callout_core::ticket::{Links, Seal};
use callout_store::clock::Clock;
use callout_store::model::{Actor, Alert, Answer, AnswerRequest, Answered, NewMessage, Story};
use callout_store::{Create, SqliteStore, Store};
use callout_worker::{LaneSetup, People, Presence, Setup, Worker};
use clock::VirtualClock;
use provider::Provider;
use serde_json::{Value, json};
use sink::{Received, Sink};
use std::collections::BTreeSet;
use std::sync::{Arc, Mutex};
use std::time::Duration;

/// No test waits for a poll; waking up is what is tested.
const POLL: Duration = Duration::from_secs(3600);

pub(crate) fn seconds(n: u64) -> Duration {
    Duration::from_secs(n)
}

pub(crate) fn minutes(n: u64) -> Duration {
    seconds(60 * n)
}

/// A channel's settings, given its address at the sink.
type MakeSettings = Arc<dyn Fn(&str) -> Value + Send + Sync>;

/// One channel of a stage. Its address at the sink is its name.
#[derive(Clone)]
pub(crate) struct Way {
    pub(crate) name: &'static str,
    pub(crate) kind: &'static str,
    pub(crate) rate: &'static str,
    pub(crate) permits: usize,
    /// Its settings; `None`: those that its kind needs.
    pub(crate) settings: Option<MakeSettings>,
}

/// A channel of `kind` without limits of its own.
pub(crate) fn way(name: &'static str, kind: &'static str) -> Way {
    Way { name, kind, rate: "none", permits: 4, settings: None }
}

impl Way {
    /// The same channel with these settings, given its address at the sink.
    pub(crate) fn with(self, settings: impl Fn(&str) -> Value + Send + Sync + 'static) -> Self {
        Self { settings: Some(Arc::new(settings)), ..self }
    }

    /// The same channel with the limit that its kind has by itself.
    pub(crate) fn limited(self) -> Self {
        Self { rate: self.spec().rate, ..self }
    }

    fn spec(&self) -> &'static Spec {
        callout_channels::find(self.kind).unwrap().spec
    }
}

pub(crate) struct Stage {
    pub(crate) clock: Arc<VirtualClock>,
    pub(crate) sink: Sink,
    pub(crate) mail: mail::Sink,
    pub(crate) store: Arc<SqliteStore>,
    worker: Mutex<Option<Worker>>,
    restless: bool,
    links: Option<Links>,

    ways: Vec<Way>,
    pub(crate) directory: Arc<Directory>,
    folder: tempfile::TempDir,
}

fn those(ways: &[Way], are: fn(&Spec) -> bool) -> BTreeSet<ChannelName> {
    ways.iter().filter(|way| are(way.spec())).map(|way| way.name.parse().unwrap()).collect()
}

impl Stage {
    /// A stage with the given channels, all of them in order the chain of receiver `ops`, which hears
    /// everything; each is a receiver of its own name too. The operator's receiver is `desk`, with a channel of
    /// the same name.
    pub(crate) async fn new(ways: Vec<Way>) -> Self {
        Self::build(ways, None).await
    }

    /// The same, where everything has to be acknowledged: steps with their receivers and minutes. The
    /// receivers `lead` and `boss` have a channel of the same name each.
    pub(crate) async fn escalating(ways: Vec<Way>, steps: &[(&str, u64)], repeat: u32) -> Self {
        let step = |(to, wait): &(&str, u64)| Step {
            to: vec![to.parse().unwrap()],
            ack_within: minutes(*wait),
        };
        let steps = steps.iter().map(step).collect();
        Self::build(ways, Some(Policy { name: Some("night".into()), steps, repeat })).await
    }

    async fn build(mut ways: Vec<Way>, escalation: Option<Policy>) -> Self {
        let receiver = |name: &str, channels: &[Way]| Receiver {
            name: name.parse().unwrap(),
            channels: channels.iter().map(|way| way.name.parse().unwrap()).collect(),
            failover_after: None,
            mention_all: false,
            mention: vec![],
        };
        let mut receivers = vec![receiver("ops", &ways)];
        receivers.extend(ways.iter().map(|way| receiver(way.name, std::slice::from_ref(way))));
        for name in ["desk", "lead", "boss"] {
            receivers.push(receiver(name, &[way(name, "webhook")]));
            ways.push(way(name, "webhook"));
        }
        let directory = Directory {
            routes: vec![Route {
                levels: vec![],
                labels: vec![],
                to: vec!["ops".parse().unwrap()],
                escalation,
            }],
            receivers: receivers.into_iter().map(|r| (r.name.clone(), r)).collect(),
            operator: Some("desk".parse().unwrap()),
            retry: RetryPolicy::default(),
            follow_up: true,
            locale: Locale::English,
            costly: those(&ways, |spec| spec.costly),
            ringing: those(&ways, |spec| spec.rings),
        };
        let folder = tempfile::tempdir().unwrap();
        let clock = Arc::new(VirtualClock::new());
        let store =
            SqliteStore::open(&folder.path().join("outbox.db"), Create::IfMissing, clock.now())
                .unwrap();
        let (store, directory, sink) = (Arc::new(store), Arc::new(directory), Sink::start().await);
        let (worker, mail) = (Mutex::default(), mail::Sink::start(mail::Tls::None, &[]));
        let mut stage = Self {
            clock,
            sink,
            mail,
            store,
            worker,
            restless: false,
            links: None,
            ways,
            directory,
            folder,
        };
        stage.start().await;
        stage
    }

    /// Starts a worker beside those there may be.
    pub(crate) async fn another_worker(&self) -> Worker {
        let lanes = self.ways.iter().map(|way| self.lane(way)).collect();
        let id = WorkerId::new(self.clock.now(), self.clock.entropy());
        let setup = Setup {
            store: self.store.clone(),
            clock: self.clock.clone(),
            directory: self.directory.clone(),
            lanes,
            transport: Transport::new(Settings::default()).unwrap(),
            people: People::default(),
            links: self.links.clone(),
            zone: callout_channels::TimeZone::UTC,
            presence: Presence::beside(&self.database(), id).unwrap(),
            poll: POLL,
        };
        Worker::spawn(setup).await.unwrap()
    }

    fn lane(&self, way: &Way) -> LaneSetup {
        let address = self.sink.address(way.name);
        let settings = match way.kind {
            _ if way.settings.is_some() => way.settings.as_ref().unwrap()(&address),
            "dingtalk" => json!({ "access_token": "token-of-the-robot", "endpoint": address }),
            "wecom" => json!({ "key": "key-of-the-robot", "endpoint": address }),
            "slack" => json!({ "webhook_url": address }),
            "email" => json!({
                "smtp": format!("smtp://127.0.0.1:{}", self.mail.port),
                "from": "Callout <alerts@example.com>",
                "to": "Ops <ops@example.com>",
            }),
            _ => json!({ "url": address }),
        };
        LaneSetup {
            name: way.name.parse().unwrap(),
            channel: Arc::new(Channel::build(way.kind, settings).unwrap()),
            rate: way.rate.parse::<Rate>().unwrap(),
            permits: way.permits,
        }
    }

    /// From now on this provider answers at the channel's address, on the stage's time.
    pub(crate) fn provider<P: Provider>(&self, channel: &str, provider: P) -> Arc<Mutex<P>> {
        let provider = Arc::new(Mutex::new(provider));
        let (shared, clock) = (provider.clone(), self.clock.clone());
        let answers = move |request: &Received| shared.lock().unwrap().answer(request, clock.now());
        self.sink.lives_at(channel, Box::new(answers));
        provider
    }

    pub(crate) async fn start(&mut self) {
        let worker = self.another_worker().await;
        self.hand_over(worker);
    }

    pub(crate) fn worker(&mut self) -> &mut Worker {
        self.worker.get_mut().unwrap().as_mut().unwrap()
    }

    /// From now on the worker dies, and another one starts, whenever time has moved on.
    pub(crate) fn restless(mut self) -> Self {
        self.restless = true;
        self
    }

    /// From now on messages carry links to acknowledge at.
    pub(crate) async fn linked(mut self) -> Self {
        let seal = Seal::new(Secret::new("the key that seals the links of this stage"));
        self.links = Some(Links { public_url: "https://callout.example.com".to_owned(), seal });
        self.crash().await;
        self
    }

    fn hand_over(&self, worker: Worker) {
        *self.worker.lock().unwrap() = Some(worker);
    }

    fn take_worker(&self) -> Worker {
        self.worker.lock().unwrap().take().unwrap()
    }

    /// The worker dies where it stands, and another one starts.
    pub(crate) async fn crash(&mut self) {
        self.kill().await;
        self.start().await;
    }

    /// The worker dies where it stands.
    pub(crate) async fn kill(&mut self) {
        let mut worker = self.take_worker();
        worker.kill();
        worker.ended().await.unwrap_err();
    }

    /// The worker is asked to stop, and stops.
    pub(crate) async fn stop(&mut self) {
        let mut worker = self.take_worker();
        worker.stop();
        worker.ended().await.unwrap();
    }

    pub(crate) async fn enqueue(&self, level: Level, title: &str) -> MessageId {
        self.enqueue_message(Message::new(level, title)).await
    }

    pub(crate) async fn enqueue_message(&self, message: Message) -> MessageId {
        let created_at = self.clock.now();
        let id = MessageId::new(created_at, self.clock.entropy());
        let done = self.store.enqueue(vec![NewMessage { id, created_at, message }]).await.unwrap();
        done.into_iter().next().unwrap().unwrap().id
    }

    /// Waits until all that is due has been tried.
    pub(crate) async fn idle(&self) {
        let worker = self.take_worker();
        worker.idle().await.unwrap();
        self.hand_over(worker);
    }

    /// Lets time pass; everything happens when it is due.
    pub(crate) async fn advance(&self, length: Duration) {
        let target = self.clock.now() + length;
        loop {
            self.idle().await;
            if self.restless {
                let mut worker = self.take_worker();
                worker.kill();
                worker.ended().await.unwrap_err();
                self.hand_over(self.another_worker().await);
                self.idle().await;
            }
            // A worker that has nothing to do always waits for something.
            let next = loop {
                match self.clock.next_alarm() {
                    Some(at) => break at,
                    None => tokio::task::yield_now().await,
                }
            };
            if next > target {
                break;
            }
            self.clock.set(next);
        }
        self.clock.set(target);
        self.idle().await;
    }

    pub(crate) async fn story(&self, id: MessageId) -> Story {
        self.store.story(id.to_string()).await.unwrap().unwrap()
    }

    /// The message's state and that of its first delivery, as words.
    pub(crate) async fn stands(&self, id: MessageId) -> String {
        let story = self.story(id).await;
        let delivery = &story.deliveries[0];
        let wait = if let State::Ready { wait, .. } = &delivery.state { wait.name() } else { "" };
        let words = [
            story.summary.state.name(),
            delivery.state.name(),
            delivery.state.place().channel.as_str(),
            wait,
        ];
        words.join(" ").trim().to_owned()
    }

    /// The ended attempts of the message's first delivery, as `channel outcome code`.
    pub(crate) async fn attempts(&self, id: MessageId) -> Vec<String> {
        let story = self.story(id).await;
        let words = story.deliveries[0].attempts.iter().map(|attempt| {
            format!(
                "{} {} {}",
                attempt.channel,
                attempt.outcome,
                attempt.code.clone().unwrap_or_default()
            )
        });
        words.map(|text| text.trim().to_owned()).collect()
    }

    /// Somebody answers an alert.
    pub(crate) async fn answer(&self, id: MessageId, answer: Answer, by: &str) -> Answered {
        let ask = AnswerRequest {
            now: self.clock.now(),
            directory: self.directory.clone(),
            message: id.to_string(),
            answer,
            who: Actor::at_the_command_line(by),
            note: None,
            only: None,
            epoch: None,
            entropy: self.clock.entropy(),
        };
        self.store.answer(ask).await.unwrap()
    }

    pub(crate) async fn alert(&self, id: MessageId) -> Alert {
        self.story(id).await.alert.expect("somebody has to acknowledge it")
    }

    /// Who was told when, as `+300s lead due`; the end as `+900s nobody due`.
    pub(crate) async fn steps(&self, id: MessageId) -> Vec<String> {
        let alert = self.alert(id).await;
        let words = alert.steps.iter().map(|step| {
            let to: Vec<&str> = step.to.iter().map(|name| name.as_str()).collect();
            let to = if to.is_empty() { "nobody".to_owned() } else { to.join("+") };
            let after = step.at.since(alert.opened_at).as_secs();
            format!("+{after}s {to} {}", step.cause.name())
        });
        words.collect()
    }

    pub(crate) fn database(&self) -> std::path::PathBuf {
        self.folder.path().join("outbox.db")
    }

    pub(crate) fn channel(name: &str) -> ChannelName {
        name.parse().unwrap()
    }
}
