//! `callout replay` and `callout cancel`
//!
//! Both count first, ask, and then work through everything the filter matches, not just the first
//! page. JSON: `{"messages","deliveries"}`, what was matched and what was changed.

use super::check::count;
use super::select::{self, FilterArgs};
use super::{Failure, config, open, person};
use crate::cli::Output;
use crate::config::{Config, login_name};
use crate::narrate;
use crate::print::{self, Answer};
use callout_core::alert;
use callout_core::delivery::Standing;
use callout_core::plan::MessageState;
use callout_store::clock::{Clock as _, SystemClock};
use callout_store::model::{Command, CommandRequest, Summary};
use callout_store::{Create, Store};
use serde_json::json;
use std::path::Path;
use std::sync::Arc;

/// Arguments of `callout replay` and `callout cancel`.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// Messages by id, or the beginning of one
    #[arg(value_name = "ID")]
    ids: Vec<String>,
    #[command(flatten)]
    filter: FilterArgs,
    /// Do not ask
    #[arg(long, short)]
    yes: bool,
    #[command(flatten)]
    output: Output,
}

/// What to do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verb {
    /// Put back what is over and was not accepted.
    Replay,
    /// Call off what is not over.
    Cancel,
}

impl Verb {
    fn name(self) -> &'static str {
        match self {
            Self::Replay => "replay",
            Self::Cancel => "cancel",
        }
    }

    fn past(self) -> &'static str {
        match self {
            Self::Replay => "replayed",
            Self::Cancel => "cancelled",
        }
    }

    /// Filters that make sense.
    fn example(self) -> &'static str {
        match self {
            Self::Replay => "--state dead --since 2h",
            Self::Cancel => "--state pending --since 2h",
        }
    }

    fn command(self) -> Command {
        match self {
            Self::Replay => Command::Replay,
            Self::Cancel => Command::Cancel,
        }
    }

    /// Whether the store can do it to a message that looks like this.
    fn concerns(self, summary: &Summary) -> bool {
        let concerned = |standing: &Standing| match standing {
            Standing::Ready | Standing::Leased => self == Self::Cancel,
            Standing::Dead | Standing::Expired | Standing::Cancelled => self == Self::Replay,
            Standing::Accepted => false,
        };
        match (self, summary.alert.as_ref().map(|alert| alert.state.standing())) {
            (Self::Cancel, Some(alert::Standing::Open | alert::Standing::Acknowledged)) => {
                return true;
            }
            (Self::Replay, Some(alert::Standing::Acknowledged | alert::Standing::Resolved)) => {
                return false;
            }
            (Self::Cancel, Some(alert::Standing::Resolved) | None)
            | (Self::Replay, Some(alert::Standing::Open) | None) => {}
        }
        if !summary.deliveries.is_empty() {
            return summary.deliveries.iter().any(|(_, standing)| concerned(standing));
        }
        // It was not planned yet, or could not be.
        match summary.state {
            MessageState::Pending => self == Self::Cancel,
            MessageState::Dead | MessageState::Cancelled => self == Self::Replay,
            MessageState::Accepted | MessageState::Merged | MessageState::Expired => false,
        }
    }
}

/// Replays or cancels.
///
/// # Errors
/// If nothing was named, nobody said yes, or what the store says.
pub async fn run(verb: Verb, args: &Args, named: Option<&Path>) -> Result<(), Failure> {
    let name = verb.name();
    if args.ids.is_empty() == args.filter.is_empty() {
        let problem = format!("{name} needs either ids or filters");
        let help = format!("callout {name} ID..., or such as callout {name} {}", verb.example());
        return Err(Failure::usage(problem, help));
    }
    let config = config(named)?;
    let store = open(&config, Create::Never)?;
    let ids = choose(verb, args, &store).await?;
    if ids.is_empty() {
        return Err(Failure::new(
            format_args!("there is nothing to {name}"),
            "`callout list` with the same filters shows how the messages stand",
        ));
    }
    confirm(verb, args, ids.len())?;
    let messages = ids.len();
    let deliveries = carry_out(verb, &ids, config, &store).await?;
    if deliveries == 0 {
        let problem = format!("nothing was {}", verb.past());
        for id in ids.iter().filter(|_| verb == Verb::Replay).take(select::PAGE) {
            let alert = store.story(id.clone()).await?.and_then(|story| story.alert);
            if let Some(why) = alert.as_ref().and_then(narrate::alert::stopped) {
                let help = match alert.and_then(|alert| alert.superseded_by) {
                    Some(newer) => format!("`callout why {newer}` tells of the newer one"),
                    None => format!("`callout unack {id}` opens it again, and people are told"),
                };
                return Err(Failure::new(format_args!("{problem}: {why}"), help));
            }
        }
        return Err(Failure::new(problem, "`callout show ID` shows how the message stands"));
    }
    if args.output.json {
        print::json(&json!({ "messages": messages, "deliveries": deliveries }));
    } else {
        let (deliveries, messages) = (count(deliveries, "delivery"), count(messages, "message"));
        print::out(format_args!("{} {deliveries} of {messages}", verb.past()));
    }
    Ok(())
}

/// The ids of the messages it is about, oldest first.
async fn choose(verb: Verb, args: &Args, store: &dyn Store) -> Result<Vec<String>, Failure> {
    let mut ids = Vec::new();
    for text in &args.ids {
        let id = select::resolve(store, text).await?;
        if !ids.contains(&id) {
            ids.push(id);
        }
    }
    if args.ids.is_empty() {
        let filter = args.filter.filter(SystemClock.now());
        let (messages, _) = select::all(store, &filter, usize::MAX).await?;
        let concerned = messages.into_iter().rev().filter(|summary| verb.concerns(summary));
        ids.extend(concerned.map(|summary| summary.id));
    }
    Ok(ids)
}

fn confirm(verb: Verb, args: &Args, n: usize) -> Result<(), Failure> {
    let (name, messages) = (verb.name(), count(n, "message"));
    if args.yes {
        print::talk(format_args!("about to {name} {messages}"));
        return Ok(());
    }
    match print::ask(&format!("{name} {messages}?")) {
        Answer::Yes => Ok(()),
        Answer::No => Err(Failure::new("nothing was changed", "answer y, or pass --yes")),
        Answer::Nobody => Err(Failure::usage(
            format!("about to {name} {messages}, and there is nobody to ask"),
            format!("callout {name} --yes ... does it without asking"),
        )),
    }
}

async fn carry_out(
    verb: Verb,
    ids: &[String],
    config: Config,
    store: &dyn Store,
) -> Result<usize, Failure> {
    let by = login_name().unwrap_or_else(|| "command line".to_owned());
    let ask = CommandRequest {
        now: SystemClock.now(),
        directory: Arc::new(config.directory),
        command: verb.command(),
        messages: ids.to_vec(),
        who: person(by),
    };
    Ok(store.command(ask).await?)
}
