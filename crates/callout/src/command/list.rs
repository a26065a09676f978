//! `callout list`
//!
//! JSON: an array of [`json::summary`].

use super::select::{self, FilterArgs};
use super::{Failure, config, open};
use crate::cli::Output;
use crate::{json, print};
use callout_core::alert::State;
use callout_core::plan::MessageState;
use callout_store::clock::{Clock as _, SystemClock};
use callout_store::model::{AlertFilter, AlertSummary, Filter, Summary};
use callout_store::{Create, Store as _};
use std::path::Path;

/// More of a title is not shown in a table.
const TITLE_CHARS_MAX: usize = 80;

/// Arguments of `callout list`.
#[derive(Debug, clap::Args)]
pub struct Args {
    #[command(flatten)]
    filter: FilterArgs,
    #[command(flatten)]
    alert: AlertArgs,
    /// How many messages at most
    #[arg(long, value_name = "N", default_value_t = 50,
          value_parser = clap::value_parser!(u32).range(1..=100_000))]
    limit: u32,
    #[command(flatten)]
    output: Output,
}

/// How the alerts stand; one at most.
#[derive(Debug, clap::Args)]
#[group(multiple = false)]
struct AlertArgs {
    /// With an alert that nobody has acknowledged, exhausted ones included
    #[arg(long)]
    unacked: bool,
    /// With an alert that somebody has and that is not over
    #[arg(long)]
    acked: bool,
    /// With an alert that nobody has acknowledged, and nobody is left to tell
    #[arg(long)]
    exhausted: bool,
}

impl AlertArgs {
    fn filter(&self) -> Option<AlertFilter> {
        let wanted = [
            (self.unacked, AlertFilter::Unacknowledged),
            (self.acked, AlertFilter::Acknowledged),
            (self.exhausted, AlertFilter::Exhausted),
        ];
        wanted.into_iter().find(|(is_wanted, _)| *is_wanted).map(|(_, filter)| filter)
    }
}

/// Lists messages.
///
/// # Errors
/// What configuration and store say.
pub async fn run(args: &Args, named: Option<&Path>) -> Result<(), Failure> {
    let config = config(named)?;
    let store = open(&config, Create::Never)?;
    let limit = usize::try_from(args.limit).unwrap_or(usize::MAX);
    let alert = args.alert.filter();
    let filter = Filter { alert, ..args.filter.filter(SystemClock.now()) };
    let (messages, more) = select::all(&store, &filter, limit).await?;
    if args.output.json {
        print::json(&messages.iter().map(json::summary).collect());
    } else if messages.is_empty() {
        print::talk("no messages");
    } else {
        let header = ["ID", "STATE", "LEVEL", "ENQUEUED", "ALERT", "RECEIVERS", "TITLE"];
        print::table(&header, messages.iter().map(row).collect());
    }
    if asks_for_what_planning_decides(&filter) && !args.output.json {
        select::tell_unplanned(store.stats(SystemClock.now()).await?.unplanned);
    }
    if more {
        print::talk(format_args!("there are more; --limit {} shows more", limit.saturating_mul(2)));
    }
    Ok(())
}

/// Whether messages that nobody has planned yet are missing from the list although they may belong there.
fn asks_for_what_planning_decides(filter: &Filter) -> bool {
    let is_decided =
        filter.alert.is_some() || filter.receiver.is_some() || filter.channel.is_some();
    is_decided && filter.state.is_none_or(|state| state == MessageState::Pending)
}

fn row(summary: &Summary) -> Vec<String> {
    let receivers = summary.deliveries.iter().map(|(receiver, standing)| {
        let standing = standing.name();
        if standing == summary.state.name() {
            receiver.to_string()
        } else {
            format!("{receiver} ({standing})")
        }
    });
    vec![
        summary.id.clone(),
        summary.state.name().to_owned(),
        summary.level.clone(),
        print::local(summary.created_at),
        summary.alert.as_ref().map(alert).unwrap_or_default(),
        receivers.collect::<Vec<_>>().join(", "),
        print::line(&summary.title, TITLE_CHARS_MAX),
    ]
}

fn alert(alert: &AlertSummary) -> String {
    match &alert.state {
        State::Open if alert.exhausted => "exhausted".to_owned(),
        State::Open => format!("open, step {}", alert.step),
        State::Acknowledged(deed) => format!("acknowledged by {}", deed.by),
        State::Resolved(_) => alert.state.name().to_owned(),
    }
}
