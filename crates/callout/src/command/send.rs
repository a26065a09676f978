//! `callout send`
//!
//! Writes to the store itself, so it works without a running server. JSON: `{"id","fresh"}`, where
//! `fresh` is false if the idempotency key was known; with `--wait` also `"state"`, with `--wait-ack` also
//! `"alert"`, as [`crate::json::alert::alert`] or null: the last one that was waited for, and `"answers"`,
//! `[{"what","by","via","after_ms"}]`: who acknowledged, resolved or cancelled that, in order, and how long
//! after it had opened. The same is said in words on standard error.

mod wait;

use super::select::{label, level_parser};
use super::{Failure, check_name, config, open};
use crate::cli::Output;
use crate::config::Config;
use crate::print;
use anyhow::Context as _;
use base64::Engine as _;
use callout_core::id::MessageId;
use callout_core::level::Level;
use callout_core::message::{Attachment, BODY_BYTES_MAX, Link, MESSAGE_BYTES_MAX, Message};
use callout_core::time::parse_duration;
use callout_store::clock::{Clock as _, SystemClock};
use callout_store::model::NewMessage;
use callout_store::{Create, Store as _};
use serde_json::{Map, Value, json};
use std::io::Read;
use std::path::{Path, PathBuf};
use std::time::Duration;

/// Arguments of `callout send`.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// One line that says what is wrong
    #[arg(value_name = "TITLE", required_unless_present = "title", conflicts_with = "title")]
    positional_title: Option<String>,
    /// The same as an option
    #[arg(long)]
    title: Option<String>,
    /// How bad it is
    #[arg(long, short, default_value = "error", value_parser = level_parser())]
    level: Level,
    /// The story, as Markdown; - reads it from standard input
    #[arg(long, short, value_name = "TEXT", allow_hyphen_values = true)]
    body: Option<String>,
    /// To this receiver instead of where the routes lead; may be repeated
    #[arg(long, value_name = "RECEIVER")]
    to: Vec<String>,
    /// A fact, such as host=db-1; may be repeated
    #[arg(long = "label", value_name = "NAME=VALUE", value_parser = label)]
    labels: Vec<(String, String)>,
    /// Where to look; may be repeated
    #[arg(long = "link", value_name = "TEXT=URL", value_parser = link)]
    links: Vec<Link>,
    /// An image by address; may be repeated
    #[arg(long = "image", value_name = "URL")]
    images: Vec<String>,
    /// Whom to mention: all, or a name from the section people; may be repeated
    #[arg(long = "mention", value_name = "NAME")]
    mentions: Vec<String>,
    /// A small file to send along; may be repeated
    #[arg(long = "attach", value_name = "FILE")]
    attachments: Vec<PathBuf>,
    /// Names the problem. While an alert is open for it, repeats are counted and not sent
    #[arg(long, value_name = "KEY")]
    dedup_key: Option<String>,
    /// The same key enqueues once
    #[arg(long, value_name = "KEY")]
    idempotency_key: Option<String>,
    /// Somebody has to acknowledge it; until then people are told again, or the next ones
    #[arg(long)]
    require_ack: bool,
    /// How long the first people have to acknowledge it; implies --require-ack
    #[arg(long, value_name = "TIME", value_parser = parse_duration)]
    ack_within: Option<Duration>,
    /// The problem that --dedup-key names is over: its alert is resolved, those who were told hear this
    #[arg(long, requires = "dedup_key", conflicts_with_all = ["require_ack", "ack_within"])]
    resolve: bool,
    /// Wait so long before the first try, such as 5m
    #[arg(long, value_name = "TIME", value_parser = parse_duration)]
    delay: Option<Duration>,
    /// Give up after so long; default 24h, 6h for info
    #[arg(long, value_name = "TIME", value_parser = parse_duration)]
    ttl: Option<Duration>,
    /// Wait until it is accepted or over, so long at most
    #[arg(long, value_name = "TIME", num_args = 0..=1, require_equals = true,
          default_missing_value = "60s", value_parser = parse_duration)]
    wait: Option<Duration>,
    /// Wait until somebody has acknowledged it, so long at most, and say who has; exit code 0 if somebody acknowledged or
    /// resolved it, 1 if it was cancelled, nobody is left to tell, nobody has to, or the time is over. If a
    /// worse alert for the same problem takes its place, that is waited for
    #[arg(long, value_name = "TIME", num_args = 0..=1, require_equals = true,
          default_missing_value = "1h", value_parser = parse_duration, conflicts_with = "wait")]
    wait_ack: Option<Duration>,
    #[command(flatten)]
    output: Output,
}

/// Enqueues a message.
///
/// # Errors
/// If it breaks a rule, names nobody, or could not be written; with `--wait`, if it is not accepted, with
/// `--wait-ack`, if nobody acknowledges it.
pub async fn run(args: &Args, named: Option<&Path>) -> Result<(), Failure> {
    let config = config(named)?;
    check_names(args, &config)?;
    let message = message(args)?;
    let is_new = !config.store_path.exists();
    let store = open(&config, Create::IfMissing)?;
    if is_new {
        let place = config.store_path.display();
        print::warning(format_args!(
            "there was no outbox at {place}; it was created, and `callout serve` delivers from it"
        ));
    }
    let clock = SystemClock;
    let created_at = clock.now();
    let id = MessageId::new(created_at, clock.entropy());
    let answers = store.enqueue(vec![NewMessage { id, created_at, message }]).await?;
    let enqueued = answers.into_iter().next().context("the store did not answer")??;
    if !enqueued.fresh {
        print::talk("this idempotency key was enqueued before; nothing was added");
    }
    // The id comes first: a script that is stopped while it waits has it.
    if !args.output.json {
        print::out(enqueued.id);
    }
    let waited = match (args.wait, args.wait_ack) {
        (Some(most), _) => Some(wait::until_accepted(&store, &clock, enqueued.id, most).await?),
        (None, Some(most)) => {
            Some(wait::until_acknowledged(&store, &clock, enqueued.id, most).await?)
        }
        (None, None) => None,
    };
    let mut shape = Map::from_iter([
        ("id".to_owned(), json!(enqueued.id)),
        ("fresh".to_owned(), json!(enqueued.fresh)),
    ]);
    let verdict = waited.map_or(Ok(()), |waited| {
        shape.extend(waited.shape);
        waited.verdict
    });
    if args.output.json {
        print::json(&Value::Object(shape));
    }
    verdict
}

fn check_names(args: &Args, config: &Config) -> Result<(), Failure> {
    let receivers: Vec<&str> = config.directory.receivers.keys().map(|n| n.as_str()).collect();
    let people: Vec<&str> = config.people.keys().map(String::as_str).chain(["all"]).collect();
    let named = args.to.iter().map(|name| (name, "receiver", &receivers));
    for (name, what, known) in named.chain(args.mentions.iter().map(|n| (n, "person", &people))) {
        check_name(name, what, known)?;
    }
    Ok(())
}

fn message(args: &Args) -> Result<Message, Failure> {
    let title = args.title.as_ref().or(args.positional_title.as_ref());
    let mut message = Message::new(args.level, title.cloned().unwrap_or_default());
    message.body = match args.body.as_deref() {
        Some("-") => standard_input()?,
        body => body.unwrap_or_default().to_owned(),
    };
    message.labels = args.labels.iter().cloned().collect();
    message.links.clone_from(&args.links);
    message.images.clone_from(&args.images);
    message.mentions.clone_from(&args.mentions);
    message.to.clone_from(&args.to);
    message.dedup_key.clone_from(&args.dedup_key);
    message.idempotency_key.clone_from(&args.idempotency_key);
    (message.delay, message.ttl) = (args.delay, args.ttl);
    message.require_ack = args.require_ack || args.ack_within.is_some();
    (message.ack_within, message.resolve) = (args.ack_within, args.resolve);
    for path in &args.attachments {
        message.attachments.push(attachment(path)?);
    }
    message.validate().map_err(|error| {
        Failure::usage(format!("the message was refused: {error}"), "`callout send --help`")
    })?;
    Ok(message)
}

fn standard_input() -> Result<String, Failure> {
    let bytes = read_bounded(std::io::stdin().lock(), BODY_BYTES_MAX)
        .context("the body cannot be read from standard input")?;
    Ok(String::from_utf8(bytes).context("the body from standard input is not UTF-8")?)
}

fn attachment(path: &Path) -> Result<Attachment, Failure> {
    let doing = || format!("{} cannot be attached", path.display());
    let file = std::fs::File::open(path).with_context(doing)?;
    let bytes = read_bounded(file, MESSAGE_BYTES_MAX).with_context(doing)?;
    let name = path.file_name().map(|name| name.to_string_lossy().into_owned());
    let base64 = base64::engine::general_purpose::STANDARD.encode(bytes);
    Ok(Attachment { name: name.unwrap_or_default(), base64 })
}

/// Reads no more than `most` bytes.
///
/// # Errors
/// If there are more, or what the system says.
pub(super) fn read_bounded(from: impl Read, most: usize) -> std::io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    let limit = u64::try_from(most).unwrap_or(u64::MAX).saturating_add(1);
    if from.take(limit).read_to_end(&mut bytes)? > most {
        return Err(std::io::Error::other(format!("it has more than {most} bytes")));
    }
    Ok(bytes)
}

fn link(text: &str) -> Result<Link, String> {
    match text.split_once('=') {
        Some((text, url)) if !text.is_empty() && !url.is_empty() => {
            Ok(Link { text: text.to_owned(), url: url.to_owned() })
        }
        Some(_) | None => Err("write it like Dashboard=https://grafana.example.com/d/1".to_owned()),
    }
}
