//! What a simulated Callout is configured like: channels, receivers, routes and people to escalate to.

use crate::dice::Dice;
use callout_core::delivery::Standing;
use callout_core::escalation::{Policy, Step};
use callout_core::id::ReceiverName;
use callout_core::level::Level;
use callout_core::locale::Locale;
use callout_core::message::Message;
use callout_core::plan::Directory;
use callout_core::receiver::Receiver;
use callout_core::retry::RetryPolicy;
use callout_core::route::Route;
use callout_worker::People;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

/// The kind of all simulated channels.
pub(crate) const KIND: &str = "simulated";

/// One channel.
#[derive(Clone, Debug)]
pub(crate) struct Way {
    pub(crate) name: String,
    /// Sends, and the length of the window in milliseconds.
    pub(crate) limits: Vec<(usize, i64)>,
    pub(crate) permits: usize,
    pub(crate) costly: bool,
}

impl Way {
    pub(crate) fn rate(&self) -> String {
        if self.limits.is_empty() {
            return "none".to_owned();
        }
        let limits = self.limits.iter().map(|(count, per)| format!("{count}/{}s", per / 1000));
        limits.collect::<Vec<_>>().join(", ")
    }
}

#[derive(Debug)]
pub(crate) struct Setting {
    pub(crate) ways: Vec<Way>,
    pub(crate) directory: Arc<Directory>,
    pub(crate) people: People,
    pub(crate) receivers: Vec<String>,
    pub(crate) workers: usize,
    /// How often workers look although nothing told them to.
    pub(crate) poll: Duration,
    /// How often the store fails, in per cent of its operations.
    pub(crate) faults: usize,
}

impl Setting {
    pub(crate) fn draw(dice: &mut Dice) -> Self {
        let ways: Vec<Way> = (0..=dice.below(4)).map(|n| way(dice, n)).collect();
        let receivers: Vec<String> = (0..=dice.below(4)).map(|n| format!("r{n}")).collect();
        let table = receivers.iter().map(|name| receiver(dice, name, &ways));
        let table: BTreeMap<_, _> = table.map(|r| (r.name.clone(), r)).collect();
        let policy = dice.chance(60).then(|| policy(dice, &receivers));
        let mut routes = Vec::new();
        if dice.chance(50) {
            let levels = vec![*dice.pick(&Level::ALL), *dice.pick(&Level::ALL)];
            let to = some(dice, &receivers);
            routes.push(Route { levels, labels: vec![], to, escalation: policy.clone() });
        }
        let to = some(dice, &receivers);
        let escalation = policy.filter(|_| dice.chance(50));
        routes.push(Route { levels: vec![], labels: vec![], to, escalation });
        let costly = ways.iter().filter(|way| way.costly);
        let directory = Directory {
            routes,
            operator: dice.chance(50).then(|| dice.pick(&receivers).parse().unwrap()),
            receivers: table,
            retry: RetryPolicy::default(),
            follow_up: dice.chance(70),
            locale: Locale::English,
            costly: costly.map(|way| way.name.parse().unwrap()).collect(),
            ringing: BTreeSet::new(),
        };
        let tag = |name: &String| (name.clone(), BTreeMap::from([(KIND.to_owned(), name.clone())]));
        Self {
            people: People(receivers.iter().map(tag).collect()),
            ways,
            directory: Arc::new(directory),
            receivers,
            workers: dice.weigh(&[(3, 1), (2, 2)]),
            poll: Duration::from_secs(dice.weigh(&[(1, 60), (3, 3600)])),
            faults: dice.weigh(&[(6, 0), (1, 2), (1, 10)]),
        }
    }

    /// Who has to hear a message that has nothing to do with any other.
    pub(crate) fn expected(&self, message: &Message) -> BTreeSet<String> {
        let directory = &self.directory;
        let route = directory.routes.iter();
        let route = route
            .into_iter()
            .find(|route| route.levels.is_empty() || route.levels.contains(&message.level));
        let route = route.unwrap();
        if !message.to.is_empty() {
            return message.to.iter().cloned().collect();
        }
        let first = route.escalation.as_ref().map(|policy| policy.steps[0].to.clone());
        route.to.iter().chain(&first.unwrap_or_default()).map(ToString::to_string).collect()
    }

    /// Where in the chain of `receiver` a channel stands.
    pub(crate) fn position(&self, receiver: &str, channel: &str) -> Option<usize> {
        let receiver = self.directory.receivers.get(&receiver.parse::<ReceiverName>().ok()?)?;
        receiver.channels.iter().position(|name| name.as_str() == channel)
    }
}

/// Whether a delivery that stands like this goes nowhere by itself.
pub(crate) fn is_final(state: &str) -> bool {
    !matches!(Standing::from_name(state), Some(Standing::Ready | Standing::Leased) | None)
}

fn way(dice: &mut Dice, n: usize) -> Way {
    let limits = match dice.below(4) {
        0 | 1 => vec![],
        2 => vec![(1 + dice.below(4), 1000 * dice.between(1, 60))],
        _ => vec![(1 + dice.below(2), 1000), (3 + dice.below(5), 60_000)],
    };
    let (permits, costly) = (1 + dice.below(4), dice.chance(25));
    Way { name: format!("c{n}"), limits, permits, costly }
}

fn receiver(dice: &mut Dice, name: &str, ways: &[Way]) -> Receiver {
    let mut channels: Vec<_> = ways.iter().map(|way| way.name.parse().unwrap()).collect();
    let start = dice.below(channels.len());
    channels.rotate_left(start);
    channels.truncate(1 + dice.below(ways.len()));
    Receiver {
        name: name.parse().unwrap(),
        channels,
        failover_after: dice.chance(30).then(|| Duration::from_secs(5)),
        mention_all: false,
        // Tells the provider for whom a request is.
        mention: vec![name.to_owned()],
    }
}

fn some(dice: &mut Dice, receivers: &[String]) -> Vec<ReceiverName> {
    let mut names: Vec<_> = receivers.iter().map(|name| name.parse().unwrap()).collect();
    let start = dice.below(names.len());
    names.rotate_left(start);
    names.truncate(1 + dice.below(2));
    names
}

fn policy(dice: &mut Dice, receivers: &[String]) -> Policy {
    let steps = (0..=dice.below(3)).map(|_| Step {
        to: some(dice, receivers),
        ack_within: Duration::from_secs(*dice.pick(&[20, 60, 300])),
    });
    let steps = steps.collect();
    Policy { name: Some("night".to_owned()), steps, repeat: u32::try_from(dice.below(3)).unwrap() }
}
