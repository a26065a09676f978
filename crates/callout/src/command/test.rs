//! `callout test CHANNEL`
//!
//! Sends past the queue, so that it works when the queue does not. JSON:
//! `{"channel","outcome","code","detail","advice","duration_ms"}`; `advice` says what to do about it, in
//! the configuration's language or that of the environment, null if nothing is known to help.

use super::{Failure, config};
use crate::cli::Output;
use crate::config::{ChannelConfig, Config, nearest};
use crate::{advice, narrate, print};
use anyhow::Context as _;
use callout_channels::Transport;
use callout_channels::channel::{Mentions, Outgoing};
use callout_core::id::{ChannelName, MessageId};
use callout_core::level::Level;
use callout_core::locale::Locale;
use callout_core::message::Message;
use callout_core::outcome::Outcome;
use callout_store::clock::{Clock as _, SystemClock};
use serde_json::json;
use std::path::Path;
use std::time::Duration;

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
    let (name, channel) = channel(&config, &args.channel, "test")?;
    let transport = Transport::new(config.http.clone()).context("there is no HTTP client")?;
    let started = SystemClock.now();
    let message = message("test", name, config.directory.locale);
    let mentions = Mentions::default();
    let id = MessageId::new(started, SystemClock.entropy());
    let zone = config.zone();
    let out = Outgoing {
        message: &message,
        id,
        created_at: started,
        mentions: &mentions,
        plain: false,
        ask: None,
        about: None,
        locale: config.directory.locale,
        zone: &zone,
    };
    let delivered = channel.channel.deliver(&transport, &out, &|| SystemClock.now()).await;
    let duration = SystemClock.now().since(started);
    let outcome = delivered.outcome;
    let (reason, locale) = (outcome.reason(), config.talk_locale());
    let advice = match &outcome {
        Outcome::Accepted(_) => None,
        _ => advice::of(channel.channel.spec(), reason, locale),
    };
    if args.output.json {
        print::json(&json!({
            "channel": name.as_str(),
            "outcome": outcome.name(),
            "code": reason.code,
            "detail": reason.detail,
            "advice": advice,
            "duration_ms": u64::try_from(duration.as_millis()).unwrap_or(u64::MAX),
        }));
    } else {
        print::out(print::clean(&report(name, &outcome, duration, locale)));
        if let Some(advice) = advice {
            print::out(format_args!("  {}", advice::line(name, advice, locale)));
        }
    }
    if matches!(outcome, Outcome::Accepted(_)) { Ok(()) } else { Err(Failure::Said) }
}

/// The channel of this name, or which one may be meant in `callout VERB NAME`.
///
/// # Errors
/// Wrong usage if there is none.
pub(super) fn channel<'a>(
    config: &'a Config,
    wanted: &str,
    verb: &str,
) -> Result<(&'a ChannelName, &'a ChannelConfig), Failure> {
    let mut channels = config.channels.iter();
    channels.find(|(name, _)| name.as_str() == wanted).ok_or_else(|| {
        let names: Vec<&str> = config.channels.keys().map(|name| name.as_str()).collect();
        let help = match nearest(wanted, names.iter().copied()) {
            Some(meant) => format!("did you mean `callout {verb} {meant}`?"),
            None => format!("configured: {}", names.join(", ")),
        };
        Failure::usage(format!("no channel is called \"{wanted}\""), help)
    })
}

/// A message that says that it is a test. When it was sent stands below every message.
pub(super) fn message(verb: &str, name: &ChannelName, locale: Locale) -> Message {
    let mut message =
        Message::new(Level::Info, locale.pick("Callout test message", "Callout 测试消息"));
    message.body = locale.pick(
        format!("Sent by `callout {verb} {name}`."),
        format!("由 `callout {verb} {name}` 发送。"),
    );
    message
}

fn report(name: &ChannelName, outcome: &Outcome, took: Duration, locale: Locale) -> String {
    let (took, reason) = (narrate::length(took), outcome.reason());
    let chinese = match outcome {
        Outcome::Accepted(_) => "已接受",
        Outcome::Throttled { .. } => "被限流",
        Outcome::Transient(_) => "暂时失败",
        Outcome::Rejected { .. } => "被拒绝",
        Outcome::Unknown(_) => "结果未知",
    };
    locale.pick(
        format!("{name}: {} after {took}: {reason}", outcome.name()),
        format!("{name}：{chinese}，用时 {took}：{reason}"),
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use callout_core::outcome::Reason;

    #[test]
    fn the_outcome_is_told_in_both_languages() {
        let name = "ops".parse().unwrap();
        let outcome = Outcome::Transient(Reason::new(503, "busy"));
        let told = |locale| report(&name, &outcome, Duration::from_millis(1500), locale);
        assert_eq!(told(Locale::English), "ops: transient after 1.5s: 503: busy");
        assert_eq!(told(Locale::Chinese), "ops：暂时失败，用时 1.5s：503: busy");
        let said = message("test", &name, Locale::Chinese);
        assert_eq!(said.title, "Callout 测试消息");
        assert_eq!(said.body, "由 `callout test ops` 发送。");
    }
}
