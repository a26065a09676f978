//! Texts of the operator with places for what a message says, such as `{{level}}: {{title}}`.
//!
//! No loops and no logic: a provider's template has its own words, and all that is left to fill in are
//! short values. They are one line each and cut to the provider's limit. Part of an address, a command or
//! an id leads nowhere, so these are there as a whole or not at all; where there is little room the level
//! becomes a shorter word and the time loses its day.

use crate::channel::Outgoing;
use crate::fit;
use crate::settings::problem;
use crate::spec::Problem;
use crate::words::Words;
use callout_core::level::Level;
use callout_core::secret::Secret;
use callout_core::time::Timestamp;
use jiff::tz::TimeZone;

/// The names there are, for whoever wrote another one.
const NAMES: &str = "title, level, body, id, time, note, link, command and labels.NAME";
/// How long a value is at most once the provider has refused the longer one: the least that any
/// provider grants.
const PLAIN_CHARS_MAX: usize = 6;
/// A value shorter than this has the short word for a level, and only the minute of a time.
const ROOMY_CHARS: usize = 15;
/// Stands for nothing: no provider says that it takes an empty value.
const NOTHING: &str = "-";
/// The longest value that may be asked for.
const CHARS_MAX: u64 = 500;

/// A text with places in it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Template(Vec<Piece>);

#[derive(Clone, Debug, PartialEq, Eq)]
enum Piece {
    Text(String),
    Title,
    Level,
    Body,
    Id,
    Time,
    Note,
    Link,
    Command,
    Label(String),
}

impl Piece {
    /// The place that is called `name`.
    fn named(name: &str) -> Option<Self> {
        Some(match name {
            "title" => Self::Title,
            "level" => Self::Level,
            "body" => Self::Body,
            "id" => Self::Id,
            "time" => Self::Time,
            "note" => Self::Note,
            "link" => Self::Link,
            "command" => Self::Command,
            _ => Self::Label(name.strip_prefix("labels.").filter(|name| !name.is_empty())?.into()),
        })
    }

    /// What stands here for `out`, on one line of which no more than `max` characters will be left.
    fn value(&self, out: &Outgoing<'_>, max: usize) -> String {
        let message = out.message;
        let ask = out.ask;
        match self {
            Self::Text(text) => text.clone(),
            Self::Title => out.headline(Words::of(out.locale).colon),
            Self::Level => level(out, max).to_owned(),
            Self::Body => fit::line(&message.body),
            Self::Id => out.id.to_string(),
            Self::Time => minute(out.created_at, out.zone, max),
            Self::Note => fit::line(ask.and_then(|ask| ask.note.as_deref()).unwrap_or_default()),
            Self::Link => {
                let url = ask.and_then(|ask| ask.url.as_ref());
                url.map_or("", Secret::expose).to_owned()
            }
            Self::Command => fit::line(ask.map_or("", |ask| &ask.command)),
            Self::Label(name) => {
                // News have no such labels, and would not tell which machine they are about.
                let about = || out.about.and_then(|about| about.message.labels.get(name));
                let value = message.labels.get(name).or_else(about);
                fit::line(value.map(String::as_str).unwrap_or_default())
            }
        }
    }

    /// Whether a part of it would be worth nothing.
    fn is_whole_or_nothing(&self) -> bool {
        matches!(self, Self::Link | Self::Command | Self::Id)
    }

    /// Whether others give way to it.
    fn is_kept(&self) -> bool {
        self.is_whole_or_nothing() || matches!(self, Self::Text(_) | Self::Level)
    }
}

impl Template {
    /// Reads `text`, which belongs to the setting `field`, at the place that `position` describes.
    ///
    /// # Errors
    /// If a `{{` is never closed, has a name in it that there is not, or if there are single braces around
    /// a name, as in the provider's own templates: they would go out as they are.
    pub(crate) fn parse(field: &'static str, position: &str, text: &str) -> Result<Self, Problem> {
        let (mut pieces, mut rest) = (Vec::new(), text);
        let words = |text: &str| match in_single_braces(text) {
            Some(name) => {
                let text = format!(
                    "{position} has {{{name}}} in single braces; write {{{{ }}}} with a name, which can be {NAMES}"
                );
                Err(problem(field, text))
            }
            None => Ok(Piece::Text(text.to_owned())),
        };
        while let Some((before, tail)) = rest.split_once("{{") {
            let Some((name, tail)) = tail.split_once("}}") else {
                return Err(problem(field, format!("{position} opens {{{{ and never closes it")));
            };
            let Some(piece) = Piece::named(name.trim()) else {
                let text =
                    format!("{position} has an unknown name in {{{{ }}}}; it can be {NAMES}");
                return Err(problem(field, text));
            };
            pieces.push(words(before)?);
            pieces.push(piece);
            rest = tail;
        }
        pieces.push(words(rest)?);
        Ok(Self(pieces))
    }

    /// The text for `out`: one line of at most `chars_max` characters, never empty. An emoji counts as
    /// two, as it does in a short message. The plain form is still shorter and has no address in it.
    pub(crate) fn render(&self, out: &Outgoing<'_>, chars_max: usize) -> String {
        let chars_max = if out.plain { chars_max.min(PLAIN_CHARS_MAX) } else { chars_max };
        let value = |piece: &Piece| {
            let value = piece.value(out, chars_max);
            if out.plain { no_addresses(&value) } else { value }
        };
        let values = self.0.iter().map(|piece| (piece, value(piece))).collect();
        let text = fit::line(&joined(values, chars_max));
        if text.is_empty() { NOTHING.to_owned() } else { text }
    }
}

/// What looks like a name between single braces in `text`.
fn in_single_braces(text: &str) -> Option<&str> {
    let legal = |c: char| c.is_ascii_alphanumeric() || matches!(c, '_' | '.');
    let inside = text.split('{').skip(1).filter_map(|tail| tail.split_once('}'));
    let mut names = inside.map(|(name, _)| name.trim());
    names.find(|name| !name.is_empty() && name.chars().all(legal))
}

/// `values` in a row, the less important ones cut so that all of them have `max` characters at most.
fn joined(mut values: Vec<(&Piece, String)>, max: usize) -> String {
    let kept = |values: &[(&Piece, String)]| -> usize {
        let kept = values.iter().filter(|(piece, _)| piece.is_kept());
        kept.map(|(_, value)| fit::utf16_len(value)).sum()
    };
    if kept(&values) > max {
        values.retain(|(piece, _)| !piece.is_whole_or_nothing());
    }
    let mut room = max.saturating_sub(kept(&values));
    let fitted = values.into_iter().map(|(piece, value)| {
        if piece.is_kept() {
            return value;
        }
        let part = fit::utf16(&value, room);
        room = room.saturating_sub(fit::utf16_len(&part));
        part
    });
    // Too long only where the operator's own words are.
    fit::utf16(&fitted.collect::<String>(), max)
}

/// `text` without web addresses, which end where a space or a letter that is not Latin begins.
fn no_addresses(text: &str) -> String {
    let lower = text.to_ascii_lowercase();
    let starts = |at: usize| {
        let tail = lower.get(at..).unwrap_or_default();
        ["http://", "https://", "www."].iter().any(|start| tail.starts_with(start))
    };
    let mut inside = false;
    let outside = text.char_indices().filter(|(at, c)| {
        let ends = c.is_whitespace() || !c.is_ascii();
        inside = !ends && (inside || starts(*at));
        !inside
    });
    outside.map(|(_, c)| c).collect()
}

/// The level's word, or a shorter one where that would be cut.
fn level(out: &Outgoing<'_>, max: usize) -> &'static str {
    let words = Words::of(out.locale);
    match out.message.level {
        Level::Warning if max < ROOMY_CHARS => words.warning_in_short,
        Level::Critical if max < ROOMY_CHARS => words.critical_in_short,
        level @ (Level::Info | Level::Warning | Level::Error | Level::Critical) => {
            words.level(level)
        }
    }
}

/// An instant as month, day and minute where its readers are, or the minute alone.
fn minute(at: Timestamp, zone: &TimeZone, max: usize) -> String {
    let at = jiff::Timestamp::from_second(at.unix_ms() / 1000).unwrap_or_default();
    let format = match max < ROOMY_CHARS {
        true => "%H:%M",
        false if *zone == TimeZone::UTC => "%m-%d %H:%M UTC",
        false => "%m-%d %H:%M",
    };
    at.to_zoned(zone.clone()).strftime(format).to_string()
}

/// The setting `field` as a length in characters, or `default`.
///
/// # Errors
/// If it is zero or larger than any provider allows.
pub(crate) fn chars_max(
    field: &'static str,
    set: Option<u64>,
    default: usize,
) -> Result<usize, Problem> {
    let Some(set) = set else { return Ok(default) };
    let legal = usize::try_from(set).ok().filter(|_| (1..=CHARS_MAX).contains(&set));
    legal.ok_or_else(|| problem(field, format!("has to be from 1 to {CHARS_MAX}")))
}
