//! `callout channels`
//!
//! JSON: an array of [`json::channel`]; with `--kinds`, of [`json::kind`].

use super::{Failure, config, open};
use crate::cli::Output;
use crate::config::{ChannelConfig, Config};
use crate::{json, narrate, print};
use callout_channels::REGISTRY;
use callout_core::id::ChannelName;
use callout_core::time::Timestamp;
use callout_store::clock::{Clock as _, SystemClock};
use callout_store::model::Health;
use callout_store::{Create, Store as _};
use std::collections::BTreeMap;
use std::path::Path;

/// Arguments of `callout channels`.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// List the kinds of channels there are, with their settings, instead
    #[arg(long)]
    kinds: bool,
    #[command(flatten)]
    output: Output,
}

/// Lists channels.
///
/// # Errors
/// What configuration and store say.
pub async fn run(args: &Args, named: Option<&Path>) -> Result<(), Failure> {
    if args.kinds {
        print_kinds(args.output);
        return Ok(());
    }
    let config = config(named)?;
    let health = health(&config).await?;
    if args.output.json {
        let channels = config.channels.iter();
        print::json(&channels.map(|(name, c)| json::channel(name, c, health.get(name))).collect());
        return Ok(());
    }
    let now = SystemClock.now();
    let rows = config.channels.iter().map(|(name, c)| row(name, c, health.get(name), now));
    let header = ["CHANNEL", "KIND", "RATE", "HEALTH", "WAITING", "LAST ACCEPTED", "LAST FAILURE"];
    print::table(&header, rows.collect());
    Ok(())
}

/// A store that does not exist yet knows of no channel.
async fn health(config: &Config) -> Result<BTreeMap<ChannelName, Health>, Failure> {
    if !config.store_path.exists() {
        return Ok(BTreeMap::new());
    }
    let health = open(config, Create::Never)?.health().await?;
    Ok(health.into_iter().map(|health| (health.channel.clone(), health)).collect())
}

fn row(
    name: &ChannelName,
    channel: &ChannelConfig,
    health: Option<&Health>,
    now: Timestamp,
) -> Vec<String> {
    let failure = |health: &Health| {
        let words = health.last_failure.clone().unwrap_or_default();
        health.last_failed_at.map(|at| format!("{} {words}", print::local(at)))
    };
    vec![
        name.to_string(),
        channel.channel.spec().kind.to_owned(),
        channel.rate.to_string(),
        health.map_or_else(|| "not used yet".to_owned(), |health| condition(health, now)),
        health.map_or(0, |health| health.waiting).to_string(),
        health.and_then(|health| health.last_accepted_at).map(print::local).unwrap_or_default(),
        health.and_then(failure).unwrap_or_default(),
    ]
}

fn condition(health: &Health, now: Timestamp) -> String {
    if let Some(at) = health.probe_at {
        let next = narrate::length(at.since(now));
        return format!("failing ({} in a row), next probe in {next}", health.failures);
    }
    match health.throttled_until {
        Some(until) if until > now => {
            format!("throttled for {}", narrate::length(until.since(now)))
        }
        _ if health.failures > 0 => format!("{} failed in a row", health.failures),
        _ => "good".to_owned(),
    }
}

fn print_kinds(output: Output) {
    let specs = REGISTRY.iter().map(|registration| registration.spec);
    if output.json {
        return print::json(&specs.map(json::kind).collect());
    }
    for spec in specs {
        print::out(format_args!("{} ({}, {})", spec.kind, spec.title, spec.rate));
        for field in spec.fields {
            let need = if field.required { "required" } else { "optional" };
            print::out(format_args!("  {:<16} {need}  {}", field.name, field.doc));
        }
    }
}
