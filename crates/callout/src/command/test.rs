//! `callout test CHANNEL`
//!
//! Sends past the queue, so that it works when the queue does not. JSON:
//! `{"channel","outcome","code","detail","duration_ms"}`.

use super::{Failure, config};
use crate::cli::Output;
use crate::config::nearest;
use crate::{narrate, print};
use anyhow::Context as _;
use callout_channels::Transport;
use callout_channels::channel::{Mentions, Outgoing};
use callout_core::id::MessageId;
use callout_core::level::Level;
use callout_core::message::Message;
use callout_core::outcome::Outcome;
use callout_store::clock::{Clock as _, SystemClock};
use serde_json::json;
use std::path::Path;

/// Arguments of `callout test`.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// The channel's name
    #[arg(value_name = "CHANNEL")]
    channel: String,
    #[command(flatten)]
    output: Output,
}

/// Sends one test message now.
///
/// # Errors
/// If the provider did not accept it.
pub async fn run(args: &Args, named: Option<&Path>) -> Result<(), Failure> {
    let config = config(named)?;
    let mut channels = config.channels.iter();
    let Some((name, channel)) = channels.find(|(name, _)| name.as_str() == args.channel) else {
        let names: Vec<&str> = config.channels.keys().map(|name| name.as_str()).collect();
        let help = match nearest(&args.channel, names.iter().copied()) {
            Some(meant) => format!("did you mean `callout test {meant}`?"),
            None => format!("configured: {}", names.join(", ")),
        };
        return Err(Failure::usage(format!("no channel is called \"{}\"", args.channel), help));
    };
    let transport = Transport::new(config.http.clone()).context("there is no HTTP client")?;
    let started = SystemClock.now();
    let mut message = Message::new(Level::Info, "Callout test message");
    message.body = format!("Sent by `callout test {name}` at {}.", print::local(started));
    let mentions = Mentions::default();
    let id = MessageId::new(started, SystemClock.entropy());
    let out = Outgoing {
        message: &message,
        id,
        created_at: started,
        mentions: &mentions,
        plain: false,
        ask: None,
    };
    let delivered = channel.channel.deliver(&transport, &out, &|| SystemClock.now()).await;
    let duration = SystemClock.now().since(started);
    let outcome = delivered.outcome;
    let reason = outcome.reason();
    if args.output.json {
        print::json(&json!({
            "channel": name.as_str(),
            "outcome": outcome.name(),
            "code": reason.code,
            "detail": reason.detail,
            "duration_ms": u64::try_from(duration.as_millis()).unwrap_or(u64::MAX),
        }));
    } else {
        let (outcome, took) = (outcome.name(), narrate::length(duration));
        print::out(print::clean(&format!("{name}: {outcome} after {took}: {reason}")));
    }
    if matches!(outcome, Outcome::Accepted(_)) { Ok(()) } else { Err(Failure::Said) }
}
