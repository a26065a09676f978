//! `callout simulate`
//!
//! Needs a configuration and no store; nothing is sent or written. JSON: `{"why","policy":{"name",
//! "steps":[{"to","ack_within_ms"}],"repeat"},"events":[E],"end","ended_after_ms","left_out"}`, where
//! `policy` is null if nobody has to acknowledge and `end` is one of `recorded`, `delivered`, `expired`,
//! `dead`, `acknowledged`, `exhausted` and `unfinished`. E is `{"after_ms","event","receiver",
//! "channel","number","wait","next_channel","next_after_ms","step","round","cause","to","title"}`, where
//! `event` is one of `told`, `failed`, `dead`, `expired`, `cancelled`, `escalated`, `exhausted`,
//! `acknowledged`, `followed_up` and `reported`. `step` counts from 1; `round` is how often the policy
//! has started over. `ended_after_ms` is when `end` was reached; what was under way then may go on, so
//! events may be later.

use super::select::{label, level_parser};
use super::{Failure, check_name, config};
use crate::cli::Output;
use crate::json::ms;
use crate::{narrate, print};
use callout_core::delivery::Wait;
use callout_core::escalation::{Cause, Place, Policy};
use callout_core::id::{ChannelName, ReceiverName};
use callout_core::level::Level;
use callout_core::message::Message;
use callout_core::plan::Directory;
use callout_core::simulate::{
    ATTEMPT_TAKES, End, Moment, Options, Simulation, Then, What, simulate,
};
use callout_core::time::{Timestamp, format_duration, parse_duration};
use callout_store::clock::{Clock as _, SystemClock};
use serde_json::{Value, json};
use std::fmt::Write as _;
use std::path::Path;
use std::time::Duration;

/// Shown in the help; a test keeps it true.
const EXAMPLE: &str = include_str!("simulate/example.txt");

/// Arguments of `callout simulate`.
#[derive(Debug, clap::Args)]
#[command(after_long_help = EXAMPLE)]
pub struct Args {
    /// How bad it is
    #[arg(long, short, default_value = "error", value_parser = level_parser())]
    level: Level,
    /// A fact, such as host=db-1; may be repeated
    #[arg(long = "label", value_name = "NAME=VALUE", value_parser = label)]
    labels: Vec<(String, String)>,
    /// One line that says what is wrong
    #[arg(long, default_value = "A simulated message")]
    title: String,
    /// To this receiver instead of where the routes lead; may be repeated
    #[arg(long, value_name = "RECEIVER")]
    to: Vec<String>,
    /// Somebody has to acknowledge it, whatever its route says
    #[arg(long)]
    require_ack: bool,
    /// How long the first people have to acknowledge it; implies --require-ack
    #[arg(long, value_name = "TIME", value_parser = parse_duration)]
    ack_within: Option<Duration>,
    /// Names the problem
    #[arg(long, value_name = "KEY")]
    dedup_key: Option<String>,
    /// As if every try on this channel failed; may be repeated
    #[arg(long, value_name = "CHANNEL")]
    down: Vec<String>,
    /// As if somebody acknowledged after so long, such as 7m
    #[arg(long, value_name = "TIME", value_parser = parse_duration)]
    ack_at: Option<Duration>,
    #[command(flatten)]
    output: Output,
}

/// Shows what would happen to a message.
///
/// # Errors
/// If it breaks a rule or names nobody.
pub fn run(args: &Args, named: Option<&Path>) -> Result<(), Failure> {
    let config = config(named)?;
    let channels: Vec<&ChannelName> = config.channels.keys().collect();
    show(args, &config.directory, &channels, SystemClock.now())
}

fn show(
    args: &Args,
    directory: &Directory,
    channels: &[&ChannelName],
    start: Timestamp,
) -> Result<(), Failure> {
    check_names(args, directory, channels)?;
    let options = Options {
        start,
        down: args.down.iter().filter_map(|name| name.parse().ok()).collect(),
        acknowledged_after: args.ack_at,
        attempt_takes: ATTEMPT_TAKES,
    };
    let simulation = simulate(directory, &message(args)?, &options).map_err(anyhow::Error::from)?;
    if args.ack_at.is_some() && simulation.policy.is_none() {
        print::warning(
            "nobody has to acknowledge this message, so --ack-at changes nothing; --require-ack asks for it",
        );
    }
    if args.dedup_key.is_some() {
        let place = if simulation.policy.is_some() { ", and takes that alert's place" } else { "" };
        print::talk(format_args!(
            "if an alert with this dedup key is open or acknowledged already, the message is only counted with \
             it and sent to nobody; unless it is worse, or as bad and nobody is left to tell of that alert: \
             then it goes like this{place}"
        ));
    }
    if args.output.json {
        print::json(&report(&simulation));
    } else {
        print::out_raw(&print::clean(&story(&simulation)));
    }
    Ok(())
}

fn check_names(
    args: &Args,
    directory: &Directory,
    channels: &[&ChannelName],
) -> Result<(), Failure> {
    let receivers: Vec<&str> = directory.receivers.keys().map(ReceiverName::as_str).collect();
    let channels: Vec<&str> = channels.iter().map(|name| name.as_str()).collect();
    args.to.iter().try_for_each(|name| check_name(name, "receiver", &receivers))?;
    args.down.iter().try_for_each(|name| check_name(name, "channel", &channels))
}

fn message(args: &Args) -> Result<Message, Failure> {
    let mut message = Message::new(args.level, args.title.clone());
    message.labels = args.labels.iter().cloned().collect();
    message.to.clone_from(&args.to);
    message.dedup_key.clone_from(&args.dedup_key);
    message.require_ack = args.require_ack || args.ack_within.is_some();
    message.ack_within = args.ack_within;
    message.validate().map_err(|error| {
        Failure::usage(format!("the message was refused: {error}"), "`callout simulate --help`")
    })?;
    Ok(message)
}

/// The simulation for people.
fn story(simulation: &Simulation) -> String {
    let mut text = format!("{}\n", simulation.why);
    if let Some(policy) = &simulation.policy {
        tell_policy(&mut text, policy);
    }
    text.push('\n');
    for Moment { after, what } in &simulation.moments {
        let line = tell(what, simulation.policy.as_ref());
        _ = writeln!(text, "{:<9} {line}", offset(*after));
    }
    _ = writeln!(text, "\n{}", verdict(simulation));
    let takes = format_duration(ATTEMPT_TAKES);
    _ = writeln!(
        text,
        "Every try takes {takes}. Left out: rate limits, open circuits, other messages."
    );
    text
}

/// `At +30m it is exhausted, nobody acknowledged; what was under way ends at +1d.`
fn verdict(simulation: &Simulation) -> String {
    let (at, end) = (offset(simulation.ended_after), ending(simulation.end));
    let last = simulation.moments.last().map(|moment| moment.after);
    match last.filter(|last| *last > simulation.ended_after) {
        Some(last) => format!("At {at} it is {end}; what was under way ends at {}.", offset(last)),
        None => format!("At {at} it is {end}."),
    }
}

fn tell_policy(text: &mut String, policy: &Policy) {
    for (n, step) in policy.steps.iter().enumerate() {
        let (to, wait) = (list(&step.to), format_duration(step.ack_within));
        _ = writeln!(text, "  step {}: {to}, who have {wait} to acknowledge", n + 1);
    }
    match policy.repeat {
        0 => {}
        1 => text.push_str("  then all of it once more\n"),
        n => _ = writeln!(text, "  then all of it {n} times more"),
    }
}

/// One moment in words.
fn tell(what: &What, policy: Option<&Policy>) -> String {
    match what {
        What::Tried { receiver, channel, number, then } => {
            tell_try(receiver, channel, *number, then)
        }
        What::Expired { receiver, tries } => {
            format!("{receiver} is given up after {tries} tries: it was not accepted in time")
        }
        What::CalledOff { receiver } => format!("{receiver} is not told any more"),
        What::Escalated { place, to } => format!("{}: {}", turn(place, policy), list(to)),
        What::Exhausted { place } => {
            format!("{}, and nobody is left to tell", why(place.cause))
        }
        What::Acknowledged => "somebody acknowledges".to_owned(),
        What::FollowedUp { to } => format!("follow-up to {}: somebody has it", to.join(", ")),
        What::Reported { to, title } => {
            format!("report to the operator, {}: {title}", to.join(", "))
        }
    }
}

fn tell_try(receiver: &ReceiverName, channel: &ChannelName, number: u32, then: &Then) -> String {
    match then {
        Then::Told if number == 1 => format!("{receiver} is told on {channel}"),
        Then::Told => format!("{receiver} is told on {channel}, by try {number}"),
        Then::Again { channel: next, after, wait } => {
            format!("{channel} fails for {receiver}: {}", again(next, *after, *wait))
        }
        Then::Dead(cause) => {
            format!("{channel} fails for {receiver}, and no channel is left: {}", cause.name())
        }
        Then::CalledOff => {
            format!("{channel} fails for {receiver}; not tried again, somebody has it by then")
        }
    }
}

/// When and where a failed try is followed by another.
fn again(next: &ChannelName, after: Duration, wait: Wait) -> String {
    let at = offset(after);
    match wait {
        Wait::Backoff => format!("again at {at}"),
        Wait::Failover => format!("{next} is next"),
        Wait::Round => format!("no channel works; {next} again at {at}, and so on"),
        other => format!("{next} at {at}, {}", narrate::reason(other)),
    }
}

/// `nobody has acknowledged; step 1 of 2, round 2 of 3`.
fn turn(place: &Place, policy: Option<&Policy>) -> String {
    let (steps, rounds) = policy.map_or((0, 0), |policy| (policy.steps.len(), policy.repeat));
    let step = format!("{}; step {} of {steps}", why(place.cause), place.step + 1);
    match place.round {
        0 => step,
        round => {
            format!("{step}, round {} of {}", u64::from(round) + 1, u64::from(rounds) + 1)
        }
    }
}

/// Why it is the next people's turn.
fn why(cause: Cause) -> &'static str {
    match cause {
        Cause::Opened => "it is new",
        Cause::Due => "nobody has acknowledged",
        Cause::Unreachable => "nobody could be reached",
        Cause::Pushed => "somebody asks for help",
        Cause::Restarted => "it is open again",
    }
}

fn ending(end: End) -> &'static str {
    match end {
        End::Recorded => "only recorded, nobody is told",
        End::Delivered => "delivered",
        End::Expired => "expired, somebody could not be told in time",
        End::Dead => "dead, somebody could not be told at all",
        End::Acknowledged => "acknowledged",
        End::Exhausted => "exhausted, nobody acknowledged",
        End::Unfinished => "still going on, and nothing later was looked at",
    }
}

/// `+0s`, `+2.4s`, `+5m`.
fn offset(after: Duration) -> String {
    match after.subsec_millis() {
        0 => format!("+{}", format_duration(after)),
        _ => format!("+{}", narrate::length(after)),
    }
}

fn list(names: &[ReceiverName]) -> String {
    names.iter().map(ReceiverName::as_str).collect::<Vec<_>>().join(", ")
}

/// The simulation as JSON.
fn report(simulation: &Simulation) -> Value {
    let policy = simulation.policy.as_ref().map(|policy| {
        let steps = policy
            .steps
            .iter()
            .map(|step| json!({ "to": step.to, "ack_within_ms": ms(step.ack_within) }));
        json!({
            "name": policy.name,
            "steps": steps.collect::<Vec<_>>(),
            "repeat": policy.repeat,
        })
    });
    json!({
        "why": simulation.why,
        "policy": policy,
        "events": simulation.moments.iter().map(event).collect::<Vec<_>>(),
        "end": simulation.end.name(),
        "ended_after_ms": ms(simulation.ended_after),
        "left_out": ["rate_limits", "circuits", "other_messages"],
    })
}

fn event(Moment { after, what }: &Moment) -> Value {
    let mut event = json!({
        "after_ms": ms(*after), "event": null, "receiver": null, "channel": null, "number": null,
        "wait": null, "next_channel": null, "next_after_ms": null, "step": null, "round": null,
        "cause": null, "to": null, "title": null,
    });
    let parts = match what {
        What::Tried { receiver, channel, number, then } => {
            let mut parts = then_parts(then);
            if let Some(parts) = parts.as_object_mut() {
                parts.insert("receiver".to_owned(), json!(receiver));
                parts.insert("channel".to_owned(), json!(channel));
                parts.insert("number".to_owned(), json!(number));
            }
            parts
        }
        What::Expired { receiver, tries } => {
            json!({ "event": "expired", "receiver": receiver, "number": tries })
        }
        What::CalledOff { receiver } => json!({ "event": "cancelled", "receiver": receiver }),
        What::Escalated { place, to } => json!({
            "event": "escalated", "step": place.step + 1, "round": place.round,
            "cause": place.cause.name(), "to": to,
        }),
        What::Exhausted { place } => {
            json!({ "event": "exhausted", "cause": place.cause.name() })
        }
        What::Acknowledged => json!({ "event": "acknowledged" }),
        What::FollowedUp { to } => json!({ "event": "followed_up", "to": to }),
        What::Reported { to, title } => json!({ "event": "reported", "to": to, "title": title }),
    };
    if let (Some(event), Value::Object(parts)) = (event.as_object_mut(), parts) {
        event.extend(parts);
    }
    event
}

fn then_parts(then: &Then) -> Value {
    match then {
        Then::Told => json!({ "event": "told" }),
        Then::Again { channel, after, wait } => json!({
            "event": "failed", "wait": wait.name(), "next_channel": channel,
            "next_after_ms": ms(*after),
        }),
        Then::Dead(cause) => json!({ "event": "dead", "cause": cause.name() }),
        Then::CalledOff => json!({ "event": "failed" }),
    }
}

#[cfg(test)]
mod tests;
