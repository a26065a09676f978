//! `callout ack`, `unack`, `resolve` and `escalate`
//!
//! JSON: an array of `{"id","result","why","alert"}`, one for each message, where `id` is the whole id,
//! what was given if that is none, or null if no alert has the `--key`; `result` is `done`, `refused`,
//! `no_alert`, `ambiguous` or `unknown`, `why` says why nothing has changed, and `alert` is as
//! [`json::alert::alert`], without what only the journal knows.

use super::{Failure, config, open, person};
use crate::cli::Output;
use crate::config::login_name;
use crate::{json, narrate, print};
use callout_core::alert;
use callout_core::plan::Directory;
use callout_store::clock::{Clock as _, SystemClock};
use callout_store::model::{Alert, Answer, AnswerRequest, Answered, Found};
use callout_store::{Create, Store};
use serde_json::{Value, json};
use std::path::Path;
use std::sync::Arc;

/// Said in the help of each of the four.
pub const EXIT_CODES: &str = "Exit codes: 0 done; 1 nothing has changed for at least one of them, \
because it is unknown or ambiguous, nobody has to acknowledge it, or it stands so already; 2 wrong usage; \
78 wrong configuration.";

/// Arguments of `callout ack`, `unack`, `resolve` and `escalate`.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// Messages by id, or the beginning of one
    #[arg(value_name = "ID", required_unless_present = "key", conflicts_with = "key")]
    ids: Vec<String>,
    /// The latest alert with this dedup key instead
    #[arg(long, value_name = "KEY")]
    key: Option<String>,
    /// Who acts; default: the login name
    #[arg(long, value_name = "NAME")]
    by: Option<String>,
    /// What whoever looks later should know
    #[arg(long, value_name = "TEXT")]
    note: Option<String>,
    #[command(flatten)]
    output: Output,
}

/// What came of it for one message.
#[derive(PartialEq)]
struct Outcome {
    /// The whole id, or what was given if it is no message's; `None` for a key that no alert has.
    id: Option<String>,
    result: &'static str,
    /// Why nothing has changed.
    why: Option<String>,
    alert: Option<Box<Alert>>,
}

/// Writes down what somebody does about alerts.
///
/// # Errors
/// If nobody is named, or nothing has changed for one of the messages.
pub async fn run(answer: Answer, args: &Args, named: Option<&Path>) -> Result<(), Failure> {
    let (by, note) = author(args)?;
    let config = config(named)?;
    let store = open(&config, Create::Never)?;
    let directory = Arc::new(config.directory);
    let mut outcomes = Vec::new();
    for id in ids(args, &store).await? {
        let ask = |id: String| request(answer, id, &by, note.clone(), directory.clone());
        let outcome = carry_out(&store, id, ask).await?;
        if !args.output.json {
            say(&outcome);
        }
        outcomes.push(outcome);
    }
    if args.output.json {
        print::json(&outcomes.iter().map(shape).collect());
    }
    let all_done = outcomes.iter().all(|outcome| outcome.why.is_none());
    if all_done { Ok(()) } else { Err(Failure::Said) }
}

/// Who acts, and what they note.
fn author(args: &Args) -> Result<(String, Option<String>), Failure> {
    let wrong = |error: callout_core::message::Invalid| {
        Failure::usage(error, "write it like --by alice --note \"restarted it\"")
    };
    let Some(by) = args.by.clone().or_else(login_name) else {
        let problem = "nobody says who acts, and the system does not know";
        return Err(Failure::usage(problem, "name yourself: --by NAME"));
    };
    let note = alert::note(args.note.as_deref().unwrap_or_default()).map_err(wrong)?;
    Ok((alert::author(&by).map_err(wrong)?, note))
}

/// What was named, each once: whole ids, or why something names no message.
async fn ids(args: &Args, store: &dyn Store) -> Result<Vec<Result<String, Outcome>>, Failure> {
    if let Some(key) = &args.key {
        let why = format!("no alert has the dedup key \"{key}\", or no worker has seen it yet");
        let id = store.alert_of_key(key.clone()).await?;
        return Ok(vec![id.ok_or_else(|| nothing(None, "unknown", why))]);
    }
    let mut ids = Vec::new();
    for text in &args.ids {
        let id = match store.find(text.clone()).await? {
            Found::One(id) => Ok(id),
            Found::None => Err(unknown(text.clone())),
            Found::Many(ids) => {
                let few = ids.join(", ");
                let why = format!("several messages' ids begin with it; the first few are {few}");
                Err(nothing(Some(text.clone()), "ambiguous", why))
            }
        };
        if !ids.contains(&id) {
            ids.push(id);
        }
    }
    Ok(ids)
}

fn unknown(text: String) -> Outcome {
    let why = format!("no message's id begins with \"{text}\"");
    nothing(Some(text), "unknown", why)
}

/// Nothing has changed, for that reason.
fn nothing(id: Option<String>, result: &'static str, why: String) -> Outcome {
    Outcome { id, result, why: Some(why), alert: None }
}

fn request(
    answer: Answer,
    message: String,
    by: &str,
    note: Option<String>,
    directory: Arc<Directory>,
) -> AnswerRequest {
    AnswerRequest {
        now: SystemClock.now(),
        directory,
        message,
        answer,
        who: person(by),
        note,
        only: None,
        epoch: None,
        entropy: SystemClock.entropy(),
    }
}

async fn carry_out(
    store: &dyn Store,
    id: Result<String, Outcome>,
    ask: impl FnOnce(String) -> AnswerRequest,
) -> Result<Outcome, Failure> {
    let id = match id {
        Ok(id) => id,
        Err(nothing) => return Ok(nothing),
    };
    let (result, why, alert) = match store.answer(ask(id.clone())).await? {
        Answered::Done(alert) => ("done", None, Some(alert)),
        Answered::Refused { alert, why } => ("refused", Some(why), Some(alert)),
        Answered::NoAlert { why } => ("no_alert", Some(why), None),
        Answered::Unknown => return Ok(unknown(id)),
    };
    Ok(Outcome { id: Some(id), result, why, alert })
}

fn say(outcome: &Outcome) {
    let Some(id) = &outcome.id else {
        print::error(print::clean(outcome.why.as_deref().unwrap_or_default()));
        print::talk("  help: `callout list` shows what there is");
        return;
    };
    let (now, zone) = (SystemClock.now(), print::zone());
    match (&outcome.why, &outcome.alert) {
        (None, Some(alert)) => {
            let standing = narrate::alert::standing(alert, now, &zone);
            let next = narrate::alert::next(alert, id, now, &zone);
            print::out(print::clean(&format!("{id} is {standing}\n  next: {next}")));
        }
        (Some(why), Some(alert)) => {
            let standing = narrate::alert::standing(alert, now, &zone);
            print::error(print::clean(&format!("{id}: {why}\n  it is {standing}")));
        }
        (why, None) => {
            let why = why.as_deref().unwrap_or_default();
            print::error(print::clean(&format!("{id}: {why}")));
        }
    }
}

fn shape(outcome: &Outcome) -> Value {
    json!({
        "id": outcome.id,
        "result": outcome.result,
        "why": outcome.why,
        "alert": outcome.alert.as_ref().map(|alert| json::alert::alert(alert, &[])),
    })
}
