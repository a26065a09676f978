//! What is wrong with a configuration, and where, in the words that people see.
//!
//! A literal credential never leaves the file: a diagnostic about one shows `***` in its place, and
//! one about a misspelt key shows the key alone, for what follows it may be a credential as well.

use super::source::{Source, Span};
use std::fmt;
use std::path::PathBuf;
use unicode_width::UnicodeWidthStr as _;

/// One thing that is wrong, or at least odd.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Diagnostic {
    /// The file it is about.
    pub file: PathBuf,
    /// Where in the file; `None` if it is about the file as a whole.
    pub place: Option<Place>,
    /// What is wrong.
    pub problem: String,
    /// What to do about it.
    pub help: Option<String>,
}

/// A place in a text file.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Place {
    /// Counts from 1.
    pub line: usize,
    /// In characters, counts from 1.
    pub column: usize,
    /// The line as it may be shown.
    excerpt: String,
    /// Where the caret goes below the excerpt, and how wide it is, in columns of a terminal.
    caret: (usize, usize),
}

/// How much of the source line may be shown.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Show {
    /// All of it, unless further values follow.
    Line,
    /// The place itself, such as a misspelt key, and nothing behind it.
    UpToHere,
    /// All but the place itself and what is behind it, which is a credential.
    UpToBefore,
    /// The key at most, for the place may be in the middle of a credential.
    KeyOnly,
}

impl Place {
    /// Whether the line begins a table.
    pub(super) fn is_header(&self) -> bool {
        is_header(&self.excerpt)
    }

    pub(super) fn new(source: &Source, span: &Span, show: Show) -> Self {
        let (line, start, text) = source.line_at(span.start);
        let at = span.start.saturating_sub(start).min(text.len());
        let before = text.get(..at).unwrap_or_default();
        let column = before.chars().count() + 1;
        let end = span.end.saturating_sub(start).clamp(at, text.len());
        let marked = text.get(at..end).unwrap_or_default();
        let after = text.get(end..).unwrap_or_default();
        let (before, marked, after) = match show {
            Show::Line if is_plain(before) || !after.contains(['"', '\'']) => {
                (before, marked, after)
            }
            Show::UpToHere | Show::KeyOnly if is_header(text) => (before, marked, after),
            Show::Line | Show::UpToHere => {
                (before, marked, if after.is_empty() { "" } else { " …" })
            }
            Show::UpToBefore => (before, "***", ""),
            Show::KeyOnly => (key_of(text), "***", ""),
        };
        let before_shown = visible(&masked(before).replace('\t', "    "));
        let (marked, after) = (visible(marked), visible(after));
        let caret = (before_shown.width(), marked.width().max(1));
        Self {
            line,
            column,
            excerpt: format!("{before_shown}{marked}{after}").trim_end().to_owned(),
            caret,
        }
    }
}

/// Keys of lists and tables that hold names and no credentials.
const PLAIN_KEYS: [&str; 8] =
    ["allow_link_local", "channels", "match", "mention", "retention", "scopes", "steps", "to"];

/// The longest key of ours, and some room for mistakes.
const KEY_CHARS_MAX: usize = 24;

/// The line up to its first value, if what stands there looks like a key.
fn key_of(line: &str) -> &str {
    let sign = line.find('=').unwrap_or(0);
    let end = line.len() - line.get(sign + 1..).unwrap_or_default().trim_start().len();
    let is_key = is_key(line.get(..sign).unwrap_or_default().trim());
    if is_key { line.get(..end).unwrap_or_default() } else { "" }
}

/// Whether it looks like a key of ours. Where quotes are missing a parser takes credentials for keys.
pub(super) fn is_key(text: &str) -> bool {
    let fits = (1..=KEY_CHARS_MAX).contains(&text.len());
    fits && text.chars().all(|c| c.is_ascii_lowercase() || matches!(c, '_' | '.'))
}

fn is_plain(line: &str) -> bool {
    let key = line.split_once('=').map(|(key, _)| key.trim_start_matches([' ', '\t', '{']).trim());
    key.is_some_and(|key| PLAIN_KEYS.contains(&key))
}

/// `text` with `***` for every quoted value in it, for any of them may be a credential.
fn masked(text: &str) -> String {
    let Some((key, values)) = text.split_once('=').filter(|_| !is_plain(text)) else {
        return text.to_owned();
    };
    let mut shown = format!("{key}=");
    let mut inside = None;
    let mut is_escaped = false;
    for c in values.chars() {
        match inside {
            None if matches!(c, '"' | '\'') => {
                inside = Some(c);
                shown.push_str("***");
            }
            None => shown.push(c),
            Some(_) if is_escaped => is_escaped = false,
            Some('"') if c == '\\' => is_escaped = true,
            Some(quote) if quote == c => inside = None,
            Some(_) => {}
        }
    }
    shown
}

/// `text` with a sign for each control character: a file may come from anybody, and a terminal obeys them.
fn visible(text: &str) -> String {
    let sign = |c: char| if c.is_control() && c != '\n' { char::REPLACEMENT_CHARACTER } else { c };
    text.chars().map(sign).collect()
}

/// Whether this is the first line of a table, which holds no values.
fn is_header(line: &str) -> bool {
    line.starts_with('[') && !line.contains('=')
}

impl fmt::Display for Diagnostic {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}\n  {}", visible(&self.problem), self.file.display())?;
        if let Some(Place { line, column, excerpt, caret: (pad, width) }) = &self.place {
            write!(f, ":{line}:{column}")?;
            let margin = " ".repeat(line.to_string().len());
            let (pad, carets) = (" ".repeat(*pad), "^".repeat(*width));
            write!(f, "\n    {line} | {excerpt}\n    {margin} | {pad}{carets}")?;
        }
        match &self.help {
            Some(help) => write!(f, "\n  help: {}", visible(help)),
            None => Ok(()),
        }
    }
}

/// Everything that is wrong with a configuration, in the order of the file. Never empty.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ConfigErrors(pub Vec<Diagnostic>);

impl fmt::Display for ConfigErrors {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (n, diagnostic) in self.0.iter().enumerate() {
            let gap = if n > 0 { "\n\n" } else { "" };
            write!(f, "{gap}error: {diagnostic}")?;
        }
        Ok(())
    }
}

impl std::error::Error for ConfigErrors {}
