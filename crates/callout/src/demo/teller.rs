//! Tells what happens to an alert as it happens, each thing once.

use crate::print;
use callout_core::delivery::{State, Wait};
use callout_core::id::{ChannelName, DeliveryId};
use callout_core::time::Timestamp;
use callout_store::model::{Alert, AttemptRecord, Delivery, JournalEntry, Story};
use std::collections::HashMap;

/// Remembers what was told already.
pub(super) struct Teller {
    start: Timestamp,
    routed: bool,
    deliveries: HashMap<DeliveryId, Told>,
    steps: usize,
    deeds: usize,
}

/// What was told of one delivery.
#[derive(Clone, Copy, Default)]
struct Told {
    attempts: usize,
    /// Whether the wait for the attempt after those was told.
    announced: bool,
}

impl Teller {
    pub(super) fn new(start: Timestamp) -> Self {
        Self { start, routed: false, deliveries: HashMap::new(), steps: 1, deeds: 0 }
    }

    pub(super) fn tell(&mut self, story: &Story) {
        if !self.routed
            && let Some(why) = &story.why
        {
            self.line(story.summary.created_at, why);
            self.routed = true;
        }
        if let Some(alert) = &story.alert {
            self.steps(alert);
        }
        for delivery in &story.deliveries {
            self.delivery(delivery);
        }
        let deeds = story.journal.iter().filter(|entry| entry.by.is_some());
        for deed in deeds.skip(self.deeds) {
            self.deed(deed);
        }
        self.deeds = story.journal.iter().filter(|entry| entry.by.is_some()).count();
    }

    fn line(&self, at: Timestamp, what: impl std::fmt::Display) {
        let seconds = at.since(self.start).as_secs_f64();
        print::out(format_args!("  +{seconds:>6.3}s  {what}"));
    }

    fn steps(&mut self, alert: &Alert) {
        for step in alert.steps.iter().skip(self.steps) {
            let to: Vec<&str> = step.to.iter().map(|name| name.as_str()).collect();
            let to = to.join(", ");
            self.line(
                step.at,
                format_args!("escalation, nobody has acknowledged: it is {to}'s turn"),
            );
        }
        self.steps = alert.steps.len().max(1);
    }

    fn delivery(&mut self, delivery: &Delivery) {
        let mut told = self.deliveries.get(&delivery.id).copied().unwrap_or_default();
        let mut last_end = self.start;
        for (n, attempt) in delivery.attempts.iter().enumerate() {
            if n >= told.attempts {
                self.announce(told, last_end, attempt.wait, attempt.due_at, &attempt.channel);
                self.attempt(attempt);
                told = Told { attempts: n + 1, announced: false };
            }
            last_end = attempt.started_at + attempt.duration;
        }
        if let State::Ready { at, wait, place } = &delivery.state {
            self.announce(told, last_end, *wait, *at, &place.channel);
            told.announced = true;
        }
        self.deliveries.insert(delivery.id, told);
    }

    fn attempt(&self, attempt: &AttemptRecord) {
        let code = attempt.code.as_deref().map(|code| format!("{code}: ")).unwrap_or_default();
        self.line(
            attempt.started_at + attempt.duration,
            format_args!("{:<14}{:<11}{code}{}", attempt.channel, attempt.outcome, attempt.detail),
        );
    }

    fn announce(
        &self,
        told: Told,
        from: Timestamp,
        wait: Wait,
        due_at: Timestamp,
        channel: &ChannelName,
    ) {
        match wait {
            _ if told.announced => (),
            Wait::New | Wait::Escalated => (),
            Wait::Failover => self.line(from, format_args!("failover to {channel}")),
            wait => {
                let seconds = due_at.since(from).as_secs_f64();
                self.line(from, format_args!("{}: {channel} again in {seconds:.1}s", wait.name()));
            }
        }
    }

    fn deed(&self, deed: &JournalEntry) {
        let by = deed.by.as_deref().unwrap_or_default();
        let via = deed.via.as_deref().unwrap_or_default();
        self.line(deed.at, format_args!("{} by {by} ({via})", deed.event));
    }
}
