//! Typed access to a parsed file that notes everything wrong instead of stopping at the first thing.
//!
//! A [`Section`] is one table, an [`Item`] one value; both know where they stand. A getter returns
//! `None` when it has noted a problem, and the caller goes on with the rest of the file.

use super::diagnostic::{Diagnostic, Place, Show, is_key};
use super::nearest::nearest;
use super::source::{Source, Span};
use callout_core::time::{format_duration, parse_duration};
use std::cell::{Cell, RefCell};
use std::collections::BTreeMap;
use std::fmt::Display;
use std::ops::RangeInclusive;
use std::str::FromStr;
use std::time::Duration;
use toml::de::{DeTable, DeValue};

/// Looks an environment variable up.
pub(super) type Environment<'a> = &'a dyn Fn(&str) -> Option<String>;

/// What is read, and what was found wrong with it so far.
pub(super) struct Book<'a> {
    pub(super) source: &'a Source,
    pub(super) environment: Environment<'a>,
    errors: RefCell<BTreeMap<(usize, String), Error>>,
    warnings: RefCell<Vec<(usize, Diagnostic)>>,
    /// Whether a credential stands in the file itself.
    pub(super) has_literal_secret: Cell<bool>,
}

struct Error {
    diagnostic: Diagnostic,
    about: About,
}

/// What kind of thing is wrong.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum About {
    /// The text is no TOML.
    Syntax,
    /// Something that is there.
    Presence,
    /// Something that is not there, which may be due to an error of syntax.
    Absence,
}

impl<'a> Book<'a> {
    pub(super) fn new(source: &'a Source, environment: Environment<'a>) -> Self {
        Self {
            source,
            environment,
            errors: RefCell::default(),
            warnings: RefCell::default(),
            has_literal_secret: Cell::new(false),
        }
    }

    fn error(&self, span: &Span, show: Show, about: About, problem: String, help: Option<String>) {
        let diagnostic = self.diagnostic(Some((span, show)), problem, help);
        let key = (span.start, diagnostic.problem.clone());
        self.errors.borrow_mut().entry(key).or_insert(Error { diagnostic, about });
    }

    fn diagnostic(
        &self,
        at: Option<(&Span, Show)>,
        problem: String,
        help: Option<String>,
    ) -> Diagnostic {
        let place = at.map(|(span, show)| Place::new(self.source, span, show));
        Diagnostic { file: self.source.path.clone(), place, problem: one_line(problem), help }
    }

    /// Notes that the text is no TOML. What the line says behind the place stays hidden.
    pub(super) fn bad_syntax(&self, span: &Span, problem: &str) {
        let name = problem.contains("unquoted key");
        let help = name.then(|| "put the name in quotes: [channels.\"运维\"]".to_owned());
        // What stands twice is a key, or taken for one.
        let (_, start, _) = self.source.line_at(span.start);
        let is_first = self.source.text_at(&(start..span.start)).trim().is_empty();
        let is_key = problem.contains("duplicate") && is_first && is_key(self.source.text_at(span));
        let show = if is_key { Show::UpToHere } else { Show::KeyOnly };
        self.error(span, show, About::Syntax, format!("syntax: {problem}"), help);
    }

    /// Notes that something at `span` is wrong.
    pub(super) fn wrong(&self, span: &Span, problem: impl Into<String>, help: impl Into<String>) {
        self.error(span, Show::UpToHere, About::Presence, problem.into(), Some(help.into()));
    }

    /// Notes that something that belongs to `span` is not there.
    pub(super) fn missing(&self, span: &Span, problem: impl Into<String>, help: impl Into<String>) {
        self.error(span, Show::UpToHere, About::Absence, problem.into(), Some(help.into()));
    }

    /// Notes that something the whole file should have is not there.
    pub(super) fn missing_in_file(&self, problem: impl Into<String>, help: impl Into<String>) {
        let diagnostic = self.diagnostic(None, problem.into(), Some(help.into()));
        let key = (usize::MAX, diagnostic.problem.clone());
        self.errors.borrow_mut().insert(key, Error { diagnostic, about: About::Absence });
    }

    /// Notes that something at `span`, or in the whole file, is odd.
    pub(super) fn warn(
        &self,
        span: Option<&Span>,
        problem: impl Into<String>,
        help: impl Into<String>,
    ) {
        let at = span.map(|span| (span, Show::UpToHere));
        let diagnostic = self.diagnostic(at, problem.into(), Some(help.into()));
        self.warnings.borrow_mut().push((span.map_or(usize::MAX, |span| span.start), diagnostic));
    }

    /// Everything noted, in the order of the file: errors, then warnings.
    ///
    /// Beside errors of syntax, what seems to be missing or stands on a broken line does not count;
    /// under a broken first line of a table, nothing else does.
    pub(super) fn close(self) -> (Vec<Diagnostic>, Vec<Diagnostic>) {
        let errors = self.errors.into_inner();
        let line = |error: &Error| error.diagnostic.place.as_ref().map(|place| place.line);
        let syntax = || errors.values().filter(|error| error.about == About::Syntax);
        let broken: Vec<Option<usize>> = syntax().map(line).collect();
        let is_headless =
            syntax().any(|error| error.diagnostic.place.as_ref().is_some_and(Place::is_header));
        let counts = |error: &Error| match error.about {
            About::Syntax => true,
            About::Presence => !is_headless && !broken.contains(&line(error)),
            About::Absence => broken.is_empty(),
        };
        let errors = errors.into_values().filter(counts).map(|error| error.diagnostic).collect();
        let mut warnings = self.warnings.into_inner();
        warnings.sort_by_key(|(at, _)| *at);
        (errors, warnings.into_iter().map(|(_, diagnostic)| diagnostic).collect())
    }
}

/// One table.
#[derive(Clone)]
pub(super) struct Section<'a> {
    pub(super) book: &'a Book<'a>,
    table: &'a DeTable<'a>,
    /// The table's path, such as `channels.ops`; empty for the file itself.
    pub(super) path: String,
    /// Where its name stands.
    pub(super) at: Span,
}

/// One value.
#[derive(Clone)]
pub(super) struct Item<'a> {
    pub(super) book: &'a Book<'a>,
    pub(super) value: &'a DeValue<'a>,
    /// The last part of its path.
    pub(super) key: String,
    /// The whole path, such as `server.listen`.
    pub(super) path: String,
    /// Where its key stands; in a list, the value itself.
    pub(super) key_at: Span,
    /// Where the value stands.
    pub(super) at: Span,
}

impl<'a> Section<'a> {
    /// The file itself.
    pub(super) fn root(book: &'a Book<'a>, table: &'a DeTable<'a>) -> Self {
        Self { book, table, path: String::new(), at: 0..0 }
    }

    /// Notes every key that is not among `known`.
    pub(super) fn only(&self, known: &[&'static str]) {
        for key in self.table.keys() {
            let name = key.get_ref().as_ref();
            if !known.contains(&name) {
                let help = match nearest(name, known.iter().copied()) {
                    Some(meant) => format!("did you mean `{meant}`?"),
                    None => format!("known here: {}", known.join(", ")),
                };
                let place =
                    if self.path.is_empty() { String::new() } else { format!(" in {}", self.path) };
                self.book.wrong(&key.span(), format!("unknown key `{name}`{place}"), help);
            }
        }
    }

    /// All values, in the order of their keys.
    pub(super) fn items(&self) -> Vec<Item<'a>> {
        let items = self.table.iter().map(|(key, value)| {
            let name = key.get_ref().to_string();
            let path = match self.path.as_str() {
                "" => name.clone(),
                outer => format!("{outer}.{name}"),
            };
            let (key_at, at) = (key.span(), value.span());
            Item { book: self.book, value: value.get_ref(), key: name, path, key_at, at }
        });
        items.collect()
    }

    /// The value of `key`, if there is one.
    pub(super) fn get(&self, key: &str) -> Option<Item<'a>> {
        self.items().into_iter().find(|item| item.key == key)
    }

    /// The value of `key`; notes it if there is none.
    pub(super) fn required(&self, key: &str, help: &str) -> Option<Item<'a>> {
        let item = self.get(key);
        if item.is_none() {
            self.book.missing(&self.at, format!("{} has no `{key}`", self.path), help);
        }
        item
    }

    /// The table `key`, if there is one.
    pub(super) fn section(&self, key: &str) -> Option<Section<'a>> {
        self.get(key)?.section()
    }

    /// The tables in the table `key`, with their names.
    pub(super) fn named_sections(&self, key: &str) -> Vec<(Item<'a>, Section<'a>)> {
        let items = self.section(key).map(|section| section.items()).unwrap_or_default();
        items.into_iter().filter_map(|item| Some((item.clone(), item.section()?))).collect()
    }

    /// The names of the tables in the table `key`.
    pub(super) fn named_names(&self, key: &str) -> Vec<String> {
        let table = self.get(key).and_then(|item| item.value.as_table());
        let names = table.into_iter().flatten().map(|(name, _)| name.get_ref().to_string());
        names.collect()
    }

    /// The tables of the array of tables `key`.
    pub(super) fn numbered_sections(&self, key: &str) -> Vec<Section<'a>> {
        let Some(item) = self.get(key) else { return Vec::new() };
        let Some(items) = item.list() else { return Vec::new() };
        items.iter().filter_map(Item::section).collect()
    }
}

impl<'a> Item<'a> {
    /// Notes that the value is wrong.
    pub(super) fn wrong(&self, problem: impl Into<String>, help: impl Into<String>) {
        self.book.error(&self.at, Show::Line, About::Presence, problem.into(), Some(help.into()));
    }

    /// Notes that the value, which may be a credential, is wrong.
    pub(super) fn wrong_secret(&self, problem: impl Into<String>, help: impl Into<String>) {
        let (problem, help) = (problem.into(), Some(help.into()));
        self.book.error(&self.at, Show::UpToBefore, About::Presence, problem, help);
    }

    /// Notes that the value names nothing that exists, and what it may have meant.
    pub(super) fn unknown<'n>(
        &self,
        what: &str,
        name: &str,
        known: impl IntoIterator<Item = &'n str>,
    ) {
        let known: Vec<&str> = known.into_iter().collect();
        let help = match nearest(name, known.iter().copied()) {
            Some(meant) => format!("did you mean \"{meant}\"?"),
            None if known.is_empty() => format!("no {what} is configured"),
            None => format!("known: {}", known.join(", ")),
        };
        let (problem, help) = (format!("no {what} is called \"{name}\""), Some(help));
        self.book.error(&self.at, Show::Line, About::Absence, problem, help);
    }

    /// Notes that the value is of another type; whatever it is may be a credential in the wrong place.
    pub(super) fn wrong_type(&self, wanted: &str) {
        let problem = format!("{} is {}", self.path, type_words(self.value));
        let (show, help) = (Show::UpToHere, Some(format!("it has to be {wanted}")));
        self.book.error(&self.key_at, show, About::Presence, problem, help);
    }

    /// A text.
    pub(super) fn text(&self) -> Option<&'a str> {
        let text = self.value.as_str();
        if text.is_none() {
            self.wrong_type("a text in quotes");
        }
        text
    }

    /// A text that means a `T`.
    pub(super) fn parsed<T: FromStr<Err: Display>>(&self, help: &str) -> Option<T> {
        let parsed = self.text()?.parse();
        parsed.map_err(|error| self.wrong(format!("{}: {error}", self.path), help)).ok()
    }

    /// A length of time within `range`.
    pub(super) fn duration(&self, range: RangeInclusive<Duration>) -> Option<Duration> {
        let text = self.text()?;
        let help = format!(
            "write a time between {} and {}, such as \"20s\", \"5m\" or \"7d\"",
            format_duration(*range.start()),
            format_duration(*range.end())
        );
        match parse_duration(text) {
            Ok(length) if range.contains(&length) => Some(length),
            Ok(_) => {
                self.wrong(format!("{} is out of range", self.path), help);
                None
            }
            Err(_) => {
                self.wrong(format!("{} is not a length of time", self.path), help);
                None
            }
        }
    }

    /// An integer within `range`.
    pub(super) fn integer(&self, range: RangeInclusive<u32>) -> Option<u32> {
        let wanted = format!("a whole number from {} to {}", range.start(), range.end());
        let Some(integer) = self.value.as_integer() else {
            self.wrong_type(&wanted);
            return None;
        };
        let n = u32::from_str_radix(integer.as_str(), integer.radix()).ok();
        let n = n.filter(|n| range.contains(n));
        if n.is_none() {
            self.wrong(format!("{} is out of range", self.path), format!("write {wanted}"));
        }
        n
    }

    /// `true` or `false`.
    pub(super) fn switch(&self) -> Option<bool> {
        let switch = self.value.as_bool();
        if switch.is_none() {
            self.wrong_type("true or false");
        }
        switch
    }

    /// The values of a list.
    pub(super) fn list(&self) -> Option<Vec<Item<'a>>> {
        let Some(values) = self.value.as_array() else {
            self.wrong_type("a list in square brackets");
            return None;
        };
        let items = values.iter().map(|value| Item {
            value: value.get_ref(),
            at: value.span(),
            key_at: value.span(),
            ..self.clone()
        });
        Some(items.collect())
    }

    /// The values of a list; a value that is none counts as a list of itself.
    pub(super) fn one_or_many(&self) -> Vec<Item<'a>> {
        if self.value.is_array() { self.list().unwrap_or_default() } else { vec![self.clone()] }
    }

    /// A table.
    pub(super) fn section(&self) -> Option<Section<'a>> {
        let Some(table) = self.value.as_table() else {
            self.wrong_type("a table");
            return None;
        };
        Some(Section { book: self.book, table, path: self.path.clone(), at: self.key_at.clone() })
    }
}

fn type_words(value: &DeValue<'_>) -> &'static str {
    match value {
        DeValue::String(_) => "a text",
        DeValue::Integer(_) => "a whole number",
        DeValue::Float(_) => "a number with a fraction",
        DeValue::Boolean(_) => "a switch (true or false)",
        DeValue::Datetime(_) => "a date",
        DeValue::Array(_) => "a list",
        DeValue::Table(_) => "a table",
    }
}

/// A text without what follows its first line. A value of several lines lacks a quote, and may have
/// swallowed the line of a credential.
fn one_line(text: String) -> String {
    let ends = [text.find('\n'), text.find("\\n")];
    match ends.into_iter().flatten().min().and_then(|end| text.get(..end)) {
        Some(first) => format!("{first} …"),
        None => text,
    }
}
