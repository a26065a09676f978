//! `callout stats`
//!
//! JSON: [`json::stats`].

use super::{Failure, config, open};
use crate::cli::Output;
use crate::{json, narrate, print};
use callout_store::clock::{Clock as _, SystemClock};
use callout_store::{Create, Store as _};
use std::path::Path;

/// Arguments of `callout stats`.
#[derive(Debug, clap::Args)]
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
    if let Some(age) = stats.oldest_due {
        print::out(format_args!("\noldest delivery due for {}", narrate::length(age)));
    }
    if let Some([p50, p90, p99]) = stats.accept_latency.map(|all| all.map(narrate::length)) {
        print::out(format_args!("\naccepted within {p50} (half), {p90} (90 %), {p99} (99 %)"));
    }
    Ok(())
}
