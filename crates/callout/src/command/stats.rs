//! `callout stats`
//!
//! JSON: [`json::stats`].

use super::{Failure, config, open, select};
use crate::cli::Output;
use crate::{json, narrate, print};
use callout_store::clock::{Clock as _, SystemClock};
use callout_store::model::{AlertCounts, AlertStats, ClockSteps};
use callout_store::{Create, Store as _};
use std::path::Path;
use std::time::Duration;

/// The heads of the columns that count acknowledged alerts only.
const P50: &str = "TIME TO ACK p50";
const P90: &str = "p90";

const TIMES: &str = "TIME TO ACK: how long after they had opened half of the alerts (p50) and 90 % of \
them (p90) were acknowledged. Only alerts that somebody has acknowledged are in it; how many are still \
open stands beside it.";

/// Arguments of `callout stats`.
#[derive(Debug, clap::Args)]
#[command(after_long_help = TIMES)]
pub struct Args {
    #[command(flatten)]
    output: Output,
}

/// Shows counts and times.
///
/// # Errors
/// What configuration and store say.
pub async fn run(args: &Args, named: Option<&Path>) -> Result<(), Failure> {
    let config = config(named)?;
    let store = open(&config, Create::Never)?;
    let stats = store.stats(SystemClock.now()).await?;
    if args.output.json {
        print::json(&json::stats(&stats));
        return Ok(());
    }
    let row = |what: &str, channel: &str, n: u64| {
        vec![what.to_owned(), channel.to_owned(), n.to_string()]
    };
    let mut rows = Vec::new();
    for (state, n) in &stats.messages {
        rows.push(row(&format!("messages {}", state.name()), "", *n));
    }
    for (channel, standing, n) in &stats.deliveries {
        rows.push(row(&format!("deliveries {}", standing.name()), channel.as_str(), *n));
    }
    for (channel, outcome, n) in &stats.attempts {
        rows.push(row(&format!("attempts {outcome}"), channel.as_str(), *n));
    }
    print::table(&["WHAT", "CHANNEL", "COUNT"], rows);
    tell_alerts(&stats.alerts);
    select::tell_unplanned(stats.unplanned);
    if let Some(age) = stats.oldest_due {
        print::out(format_args!("\noldest delivery due for {}", narrate::length(age)));
    }
    if let Some([p50, p90, p99]) = stats.accept_latency.map(|all| all.map(narrate::length)) {
        print::out(format_args!("\naccepted within {p50} (half), {p90} (90 %), {p99} (99 %)"));
    }
    if let Some(clock) = &stats.clock {
        print::out(format_args!("\n{}", narrate_clock(clock)));
    }
    Ok(())
}

fn narrate_clock(clock: &ClockSteps) -> String {
    let length = narrate::length(Duration::from_millis(clock.last_ms.unsigned_abs()));
    let way = if clock.last_ms < 0 { "back" } else { "forward" };
    let times = clock.count;
    format!("the clock was set under the worker {times} times, the last time {way} by {length}")
}

fn tell_alerts(alerts: &AlertStats) {
    if alerts == &AlertStats::default() {
        return;
    }
    let AlertStats { open, acknowledged, exhausted, .. } = alerts;
    print::out(format_args!(
        "\nalerts: {open} open, {exhausted} of them exhausted; {acknowledged} acknowledged\n"
    ));
    let levels = alerts.levels.iter().map(|(level, n)| alert_row(level.name(), n));
    let receivers = alerts.receivers.iter().map(|(name, n)| alert_row(&format!("to {name}"), n));
    let header = ["LATEST ALERTS", "COUNT", "OPEN", "ESCALATED", "EXHAUSTED", P50, P90];
    print::table(&header, levels.chain(receivers).collect());
}

fn alert_row(of: &str, counts: &AlertCounts) -> Vec<String> {
    let numbers = [counts.total, counts.open, counts.escalated, counts.exhausted];
    let times = counts.time_to_ack.map(|times| times.map(narrate::length)).unwrap_or_default();
    let mut row = vec![of.to_owned()];
    row.extend(numbers.map(|n| n.to_string()));
    row.extend(times);
    row
}
