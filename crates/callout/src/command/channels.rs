//! `callout channels`
//!
//! JSON: an array of [`json::channel`]; with `--kinds`, of [`json::kind`]; with `--kinds KIND`, that one.
//!
//! What to do about failures is said in the configuration's language, without one in that of the
//! environment; the rest is English.

use super::{Failure, config, open, select};
use crate::cli::Output;
use crate::config::{ChannelConfig, Config, locale, which_kind};
use crate::{advice, json, narrate, print, reference};
use callout_channels::{REGISTRY, Registration};
use callout_core::id::ChannelName;
use callout_core::locale::Locale;
use callout_core::time::Timestamp;
use callout_store::clock::{Clock as _, SystemClock};
use callout_store::model::Health;
use callout_store::{Create, SqliteStore, Store as _};
use std::collections::BTreeMap;
use std::path::Path;

/// Arguments of `callout channels`.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// List the kinds of channels there are and what each can do; with a KIND, its settings too
    #[arg(long, value_name = "KIND", num_args = 0..=1)]
    kinds: Option<Option<String>>,
    /// Print everything about all kinds, as the Markdown page of the documentation
    #[arg(long, conflicts_with_all = ["kinds", "json"])]
    reference: bool,
    #[command(flatten)]
    output: Output,
}

/// Lists channels.
///
/// # Errors
/// What configuration and store say.
pub async fn run(args: &Args, named: Option<&Path>) -> Result<(), Failure> {
    if args.reference {
        print::out_raw(&reference::page());
        return Ok(());
    }
    match &args.kinds {
        Some(Some(kind)) => return print_kind(kind, args.output, named),
        Some(None) => {
            print_kinds(args.output);
            return Ok(());
        }
        None => {}
    }
    let config = config(named)?;
    let store = store(&config)?;
    let health = match &store {
        Some(store) => health(store).await?,
        None => BTreeMap::new(),
    };
    let all = config.channels.iter().map(|(name, channel)| {
        let health = health.get(name);
        (name, channel, health, advice(channel, health, config.talk_locale()))
    });
    if args.output.json {
        let shapes =
            all.map(|(name, channel, health, advice)| json::channel(name, channel, health, advice));
        print::json(&shapes.collect());
        return Ok(());
    }
    let now = SystemClock.now();
    let (mut rows, mut advices) = (Vec::new(), Vec::new());
    for (name, channel, health, advice) in all {
        rows.push(row(name, channel, health, now));
        advices.extend(advice.map(|advice| advice::line(name, advice, config.talk_locale())));
    }
    let header = ["CHANNEL", "KIND", "RATE", "HEALTH", "WAITING", "LAST ACCEPTED", "LAST FAILURE"];
    print::table(&header, rows);
    if let Some(store) = store {
        select::tell_unplanned(store.stats(now).await?.unplanned);
    }
    for advice in advices {
        print::out(format_args!("\n{advice}"));
    }
    Ok(())
}

/// What to do about a channel that has accepted nothing since it last failed.
fn advice(
    channel: &ChannelConfig,
    health: Option<&Health>,
    locale: Locale,
) -> Option<&'static str> {
    let words = health.filter(|health| health.last_try_failed())?.last_failure.as_deref()?;
    advice::of_words(channel.channel.spec(), words, locale)
}

/// The store, if it exists already.
fn store(config: &Config) -> Result<Option<SqliteStore>, Failure> {
    config.store_path.exists().then(|| open(config, Create::Never)).transpose()
}

async fn health(store: &SqliteStore) -> Result<BTreeMap<ChannelName, Health>, Failure> {
    let health = store.health().await?;
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
        _ if health.last_try_failed() => "last try failed".to_owned(),
        _ => "good".to_owned(),
    }
}

fn print_kinds(output: Output) {
    let specs = REGISTRY.iter().map(|registration| registration.spec);
    if output.json {
        return print::json(&specs.map(json::kind).collect());
    }
    let yes = |yes: bool| if yes { "yes" } else { "" }.to_owned();
    let rows = specs.map(|spec| {
        let (kind, title, ack) = (spec.kind.to_owned(), spec.title.to_owned(), spec.ack.to_owned());
        let [edit, thread, native] = [spec.edit, spec.thread, spec.native].map(yes);
        vec![kind, title, ack, edit, thread, native, spec.rate.to_owned()]
    });
    let header = ["KIND", "TITLE", "ACKNOWLEDGE BY", "EDIT", "THREAD", "NATIVE", "RATE"];
    print::table(&header, rows.collect());
    print::talk("`callout channels --kinds KIND` explains one and shows its settings");
}

fn print_kind(kind: &str, output: Output, named: Option<&Path>) -> Result<(), Failure> {
    let Some(Registration { spec, .. }) = callout_channels::find(kind) else {
        let problem = format!("there is no kind of channel \"{kind}\"");
        return Err(Failure::usage(problem, which_kind(kind)));
    };
    if output.json {
        print::json(&json::kind(spec));
        return Ok(());
    }
    print::out(format_args!("{}  {}", spec.kind, spec.title));
    for (name, ability) in reference::abilities(spec) {
        print::out(format_args!("    {name}: {ability}"));
    }
    print::out(format_args!("\n  Settings, in [channels.NAME] with kind = \"{kind}\":"));
    for field in spec.fields {
        let need = if field.required { "required" } else { "optional" };
        let value = reference::value(field);
        print::out(format_args!("    {:<18} {need}, {value}", field.name));
        print::out(format_args!("    {:<18} {}", "", field.doc));
    }
    if !spec.advice.is_empty() {
        print::out("\n  What to do about its answers:");
    }
    // Kinds are shown without a configuration too, so one that is missing or wrong is no failure here.
    let locale = config(named).map_or_else(|_| locale(), |config| config.talk_locale());
    for advice in spec.advice {
        let (answer, what) =
            (reference::answer(advice), locale.pick(advice.english, advice.chinese));
        print::out(format_args!("    {answer}\n        {what}"));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn health() -> Health {
        Health {
            channel: "ops".parse().unwrap(),
            failures: 0,
            probe_at: None,
            throttled_until: None,
            last_accepted_at: None,
            last_failed_at: None,
            last_failure: None,
            waiting: 0,
        }
    }

    #[test]
    fn a_channel_whose_last_message_was_refused_is_not_good() {
        let now = SystemClock.now();
        let mut health = health();
        assert_eq!(condition(&health, now), "good");
        health.last_failed_at = Some(now);
        assert_eq!(condition(&health, now), "last try failed");
        health.last_accepted_at = Some(Timestamp::EPOCH);
        assert_eq!(condition(&health, now), "last try failed");
        health.throttled_until = Some(now + std::time::Duration::from_secs(60));
        assert_eq!(condition(&health, now), "throttled for 1m");
        (health.throttled_until, health.failures) = (None, 2);
        assert_eq!(condition(&health, now), "2 failed in a row");
        health.failures = 0;
        health.last_accepted_at = Some(now);
        assert_eq!(condition(&health, now), "good");
    }

    #[test]
    fn what_to_do_is_said_until_the_channel_accepts_again() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("callout.toml");
        let text = "[channels.ops]\nkind = \"dingtalk\"\naccess_token = \"abcdefghijkl\"\n\
                    [receivers.ops]\nchannels = [\"ops\"]\n[[routes]]\nto = [\"ops\"]\n";
        // The file that `init` writes is private already.
        crate::print::test::run(&["init", folder.path().to_str().unwrap()]);
        std::fs::write(&path, text).unwrap();
        let config = crate::config::load(&path).unwrap();
        let (name, channel) = config.channels.first_key_value().unwrap();
        let mut health = health();
        health.last_failed_at = Some(SystemClock.now());
        health.last_failure = Some("310000: sign not match".to_owned());
        let advice = |health: &Health| advice(channel, Some(health), Locale::Chinese);
        let said = advice(&health).unwrap();
        assert!(said.contains("加签"), "{said}");
        let shape = json::channel(name, channel, Some(&health), Some(said));
        assert_eq!((&shape["last_try_failed"], &shape["advice"]), (&true.into(), &said.into()));
        health.last_accepted_at = health.last_failed_at;
        assert_eq!(advice(&health), None);
        let shape = json::channel(name, channel, Some(&health), None);
        assert_eq!((&shape["last_try_failed"], &shape["advice"]), (&false.into(), &().into()));
    }
}
