//! What `/metrics` says, in the Prometheus text format.
//!
//! Everything is read from the store at the moment of asking, so the numbers agree with `callout
//! stats` and survive restarts. Nothing is kept here.

use callout_core::time::Timestamp;
use callout_store::model::{Health, Stats};
use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::encoding::text::encode;
use prometheus_client::metrics::counter::ConstCounter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::registry::Registry;
use std::fmt;
use std::sync::atomic::AtomicU64;

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct ByState {
    state: String,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct ByChannel {
    channel: String,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct ByChannelAndState {
    channel: String,
    state: String,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct ByChannelAndOutcome {
    channel: String,
    outcome: String,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct ByQuantile {
    quantile: String,
}

type Count = Gauge<i64>;
type Seconds = Gauge<f64, AtomicU64>;

/// Writes the metrics down.
pub(crate) fn text(
    stats: &Stats,
    health: &[Health],
    last_turn: Timestamp,
    now: Timestamp,
) -> Result<String, fmt::Error> {
    let mut registry = Registry::with_prefix("callout");
    counts(&mut registry, stats);
    channels(&mut registry, health);
    times(&mut registry, stats, last_turn, now);
    let mut text = String::new();
    encode(&mut text, &registry)?;
    Ok(text)
}

fn count(n: u64) -> i64 {
    i64::try_from(n).unwrap_or(i64::MAX)
}

fn counts(registry: &mut Registry, stats: &Stats) {
    let messages = Family::<ByState, Count>::default();
    for (state, n) in &stats.messages {
        messages.get_or_create(&ByState { state: state.name().to_owned() }).set(count(*n));
    }
    registry.register("messages", "Messages in the outbox by state", messages);

    let deliveries = Family::<ByChannelAndState, Count>::default();
    for (channel, state, n) in &stats.deliveries {
        let labels =
            ByChannelAndState { channel: channel.to_string(), state: state.name().to_owned() };
        deliveries.get_or_create(&labels).set(count(*n));
    }
    registry.register("deliveries", "Deliveries in the outbox by channel and state", deliveries);

    let attempts = Family::<ByChannelAndOutcome, Count>::default();
    for (channel, outcome, n) in &stats.attempts {
        let labels = ByChannelAndOutcome { channel: channel.to_string(), outcome: outcome.clone() };
        attempts.get_or_create(&labels).set(count(*n));
    }
    registry.register(
        "attempts",
        "Ended attempts since the outbox was created, by channel and outcome",
        attempts,
    );
    for (name, help, n) in [
        ("alerts_open", "Alerts that nobody has acknowledged", stats.alerts.open),
        ("alerts_acknowledged", "Alerts that somebody has", stats.alerts.acknowledged),
        (
            "alerts_exhausted",
            "Open alerts whose escalation ended without an acknowledgment",
            stats.alerts.exhausted,
        ),
    ] {
        let gauge = Count::default();
        gauge.set(count(n));
        registry.register(name, help, gauge);
    }
    registry.register("build", "Always 1", ConstCounter::new(1u64));
}

fn channels(registry: &mut Registry, health: &[Health]) {
    let open = Family::<ByChannel, Count>::default();
    let waiting = Family::<ByChannel, Count>::default();
    for channel in health {
        let labels = ByChannel { channel: channel.channel.to_string() };
        open.get_or_create(&labels).set(i64::from(channel.probe_at.is_some()));
        waiting.get_or_create(&labels).set(count(channel.waiting));
    }
    registry.register("channel_circuit_open", "1 while a failing channel is left alone", open);
    registry.register("channel_waiting", "Deliveries waiting for a channel", waiting);
}

fn times(registry: &mut Registry, stats: &Stats, last_turn: Timestamp, now: Timestamp) {
    let oldest = Seconds::default();
    oldest.set(stats.oldest_due.unwrap_or_default().as_secs_f64());
    registry.register(
        "oldest_due_seconds",
        "How long the longest waiting due delivery has been due",
        oldest,
    );
    let turn = Seconds::default();
    turn.set(now.since(last_turn).as_secs_f64());
    registry.register("worker_last_turn_seconds", "How long ago the worker last went round", turn);
    let latency = Family::<ByQuantile, Seconds>::default();
    for (quantile, length) in
        ["0.5", "0.9", "0.99"].into_iter().zip(stats.accept_latency.unwrap_or_default())
    {
        latency
            .get_or_create(&ByQuantile { quantile: quantile.to_owned() })
            .set(length.as_secs_f64());
    }
    registry.register(
        "accept_latency_seconds",
        "From due to accepted, over the latest accepted deliveries",
        latency,
    );
}
