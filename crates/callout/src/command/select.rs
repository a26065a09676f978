//! Which messages: by id, by the beginning of an id, or by what is true of them.

use super::Failure;
use crate::print;
use anyhow::Context as _;
use callout_core::id::{ChannelName, ReceiverName};
use callout_core::level::Level;
use callout_core::plan::MessageState;
use callout_core::time::{Timestamp, parse_duration};
use callout_store::Store;
use callout_store::model::{Filter, Found, Story, Summary};
use clap::builder::{PossibleValuesParser, TypedValueParser};
use std::time::Duration;

/// How many messages are read at a time.
pub const PAGE: usize = 200;

/// What is true of the messages.
#[derive(Clone, Debug, clap::Args)]
pub struct FilterArgs {
    /// In this state
    #[arg(long, value_parser = state_parser())]
    pub state: Option<MessageState>,
    /// Of this level
    #[arg(long, value_parser = level_parser())]
    pub level: Option<Level>,
    /// With a delivery to this receiver
    #[arg(long, value_name = "NAME")]
    pub receiver: Option<ReceiverName>,
    /// With a delivery that is, or ended, on this channel
    #[arg(long, value_name = "NAME")]
    pub channel: Option<ChannelName>,
    /// With this label; may be repeated
    #[arg(long = "label", value_name = "NAME=VALUE", value_parser = label)]
    pub labels: Vec<(String, String)>,
    /// Enqueued since: a length of time ago such as 2h, or an instant such as 2026-11-22T05:00:00Z
    #[arg(long, value_name = "WHEN", value_parser = since)]
    pub since: Option<Since>,
}

/// A beginning.
#[derive(Clone, Copy, Debug)]
pub enum Since {
    /// So long ago.
    Ago(Duration),
    /// Then.
    At(Timestamp),
}

impl FilterArgs {
    /// Whether nothing was asked for, so that every message is meant.
    pub fn is_empty(&self) -> bool {
        self.state.is_none()
            && self.level.is_none()
            && self.receiver.is_none()
            && self.channel.is_none()
            && self.labels.is_empty()
            && self.since.is_none()
    }

    /// The filter for the store.
    pub fn filter(&self, now: Timestamp) -> Filter {
        Filter {
            state: self.state,
            level: self.level,
            receiver: self.receiver.clone(),
            channel: self.channel.clone(),
            labels: self.labels.clone(),
            since: self.since.map(|since| match since {
                Since::Ago(length) => before(now, length),
                Since::At(at) => at,
            }),
            alert: None,
        }
    }
}

/// Says that there are messages of which nobody knows yet who hears of them, and on which channels.
pub fn tell_unplanned(n: u64) {
    let (n, verb, them) = match n {
        0 => return,
        1 => ("1 message".to_owned(), "is", "it"),
        n => (format!("{n} messages"), "are", "them"),
    };
    print::talk(format_args!(
        "{n} {verb} not planned yet, so nobody knows who hears of {them}: is `callout serve` running?"
    ));
}

/// The instant that was `length` before `now`.
pub fn before(now: Timestamp, length: Duration) -> Timestamp {
    let ms = i64::try_from(length.as_millis()).unwrap_or(i64::MAX);
    Timestamp::from_unix_ms(now.unix_ms().saturating_sub(ms)).unwrap_or(Timestamp::EPOCH)
}

/// Reads a level; its help names them.
pub fn level_parser() -> impl TypedValueParser<Value = Level> {
    PossibleValuesParser::new(Level::ALL.map(Level::name)).try_map(|text| text.parse::<Level>())
}

fn state_parser() -> impl TypedValueParser<Value = MessageState> {
    PossibleValuesParser::new(MessageState::ALL.map(MessageState::name))
        .try_map(|text| MessageState::from_name(&text).ok_or("not a state"))
}

/// Reads `name=value`.
///
/// # Errors
/// If there is no `=`, or nothing before it.
pub fn label(text: &str) -> Result<(String, String), String> {
    match text.split_once('=') {
        Some((name, value)) if !name.is_empty() => Ok((name.to_owned(), value.to_owned())),
        Some(_) | None => Err("write it like host=db-1".to_owned()),
    }
}

fn since(text: &str) -> Result<Since, String> {
    if let Ok(length) = parse_duration(text) {
        return Ok(Since::Ago(length));
    }
    let instant = text.parse::<jiff::Timestamp>().ok();
    instant
        .and_then(|instant| Timestamp::from_unix_ms(instant.as_millisecond()))
        .map(Since::At)
        .ok_or_else(|| {
            "write a length of time such as 2h or 7d, or 2026-11-22T05:00:00Z".to_owned()
        })
}

/// The whole id of the message that `text` is, or begins.
///
/// # Errors
/// If there is none or more than one.
pub async fn resolve(store: &dyn Store, text: &str) -> Result<String, Failure> {
    match store.find(text.to_owned()).await? {
        Found::One(id) => Ok(id),
        Found::None => Err(Failure::new(
            format_args!("no message's id begins with \"{text}\""),
            "`callout list` shows what there is",
        )),
        Found::Many(ids) => Err(Failure::new(
            format_args!("several messages' ids begin with \"{text}\""),
            format_args!("give more of it; the first few are:\n    {}", ids.join("\n    ")),
        )),
    }
}

/// Everything about the message that `text` is, or begins.
///
/// # Errors
/// If there is none or more than one.
pub async fn story(store: &dyn Store, text: &str) -> Result<Story, Failure> {
    let id = resolve(store, text).await?;
    let story = store.story(id).await?;
    Ok(story.context("the message was deleted just now")?)
}

/// Every message that fits, newest first, from all pages, but at most `most`; and whether there are more.
///
/// # Errors
/// What the store says.
pub async fn all(
    store: &dyn Store,
    filter: &Filter,
    most: usize,
) -> Result<(Vec<Summary>, bool), Failure> {
    let mut found = Vec::new();
    let mut after = None;
    loop {
        let limit = PAGE.min(most.saturating_sub(found.len()));
        let page = store.list(filter.clone(), after, limit).await?;
        found.extend(page.messages);
        match page.next {
            None => return Ok((found, false)),
            Some(_) if found.len() >= most => return Ok((found, true)),
            next => after = next,
        }
    }
}
