//! Reading `callout.toml`.
//!
//! The file is parsed into a tree that knows where everything stands, and the tree is checked against
//! what the program knows: fixed sections here, channel settings from the channels' own
//! specifications. One run names everything that is wrong. The environment is read here and nowhere
//! else, for `{ env = "NAME" }` and for finding the file.

mod channels;
mod diagnostic;
mod escalation;
mod nearest;
mod reader;
mod routing;
mod secret;
mod sections;
mod source;
mod user;

pub use callout_core::locale::Locale;
pub use channels::{ChannelConfig, which_kind};
pub use diagnostic::{ConfigErrors, Diagnostic, Place};
pub use nearest::nearest;
pub use sections::{Retention, SCOPES, Scope, Server, Token};
pub use user::{locale, login_name};

use crate::print;
use callout_core::escalation::Policy;
use callout_core::id::ChannelName;
use callout_core::plan::Directory;
use jiff::tz::TimeZone;
use reader::{Book, Environment, Section};
use source::Source;
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use toml::de::DeTable;

/// Everything a configuration says, checked.
#[derive(Debug)]
pub struct Config {
    /// The file it was read from.
    pub file: PathBuf,
    /// The language for people, if the file names one.
    pub locale: Option<Locale>,
    /// Where people are, if the file says so.
    pub time_zone: Option<TimeZone>,
    /// The database.
    pub store_path: PathBuf,
    /// Whether the database may lie where locks do not hold.
    pub unsafe_disk: bool,
    /// How long messages that are over are kept.
    pub retention: Retention,
    /// The HTTP server.
    pub server: Server,
    /// The HTTP client.
    pub http: callout_channels::Settings,
    /// Routes, receivers, retries.
    pub directory: Directory,
    /// Every escalation policy by name, whether a route uses it or not.
    pub policies: BTreeMap<String, Policy>,
    /// Every configured way out.
    pub channels: BTreeMap<ChannelName, ChannelConfig>,
    /// By name, a person's ids by kind of channel.
    pub people: BTreeMap<String, BTreeMap<String, String>>,
    /// What is odd, but no error.
    pub warnings: Vec<Diagnostic>,
}

impl Config {
    /// The language of what commands say about channels: the file's, else that of the environment.
    pub fn talk_locale(&self) -> Locale {
        self.locale.unwrap_or_else(locale)
    }

    /// Where people are: the file's zone, else that of the machine.
    pub fn zone(&self) -> TimeZone {
        self.time_zone.clone().unwrap_or_else(print::zone)
    }
}

/// Reads and checks the configuration at `path`.
///
/// # Errors
/// Everything that is wrong with it.
pub fn load(path: &Path) -> Result<Config, ConfigErrors> {
    interpret(&Source::read(path)?, &environment)
}

/// Checks `text` as if it stood in a file at `path` that nobody else can read; no environment variable is set.
#[cfg(any(test, fuzzing))]
pub(crate) fn read_text(path: &Path, text: &str) -> Result<Config, ConfigErrors> {
    interpret(&Source::new(path, text, false), &|_| None)
}

/// The configuration file: the one that is named, else that in `CALLOUT_CONFIG`, else `callout.toml` in
/// the working directory, else `callout/callout.toml` in the user's configuration directory.
///
/// # Errors
/// If none is named and there is none in the usual places.
pub fn locate(named: Option<&Path>) -> Result<PathBuf, ConfigErrors> {
    locate_with(named, &environment)
}

fn locate_with(
    named: Option<&Path>,
    environment: Environment<'_>,
) -> Result<PathBuf, ConfigErrors> {
    let from_environment = || environment("CALLOUT_CONFIG").filter(|path| !path.is_empty());
    if let Some(path) = named.map(Path::to_owned).or_else(|| from_environment().map(Into::into)) {
        return Ok(path);
    }
    let folder = environment("XDG_CONFIG_HOME").filter(|path| !path.is_empty()).map(PathBuf::from);
    let folder = folder.or_else(|| Some(Path::new(&environment("HOME")?).join(".config")));
    let platform = folder.map(|folder| folder.join("callout/callout.toml"));
    let here = PathBuf::from("callout.toml");
    if let Some(found) =
        [Some(here.clone()), platform.clone()].into_iter().flatten().find(|path| path.exists())
    {
        return Ok(found);
    }
    let elsewhere = platform.map(|path| format!(", nor at {}", path.display())).unwrap_or_default();
    Err(ConfigErrors(vec![Diagnostic {
        file: here,
        place: None,
        problem: format!("there is no configuration file here{elsewhere}"),
        help: Some("`callout init` writes one; --config FILE names another".to_owned()),
    }]))
}

/// A variable of the environment, if it is set to a text.
#[expect(clippy::disallowed_methods, reason = "this is where the environment is read")]
pub fn environment(name: &str) -> Option<String> {
    std::env::var(name).ok()
}

const SECTIONS: &[&str] = &[
    "locale",
    "time_zone",
    "store",
    "server",
    "http",
    "people",
    "channels",
    "receivers",
    "escalation",
    "alerts",
    "retry",
    "operator",
    "routes",
];

fn interpret(source: &Source, environment: Environment<'_>) -> Result<Config, ConfigErrors> {
    let (tree, syntax) = DeTable::parse_recoverable(&source.text);
    let book = Book::new(source, environment);
    for error in syntax {
        book.bad_syntax(&error.span().unwrap_or(0..0), error.message());
    }
    let root = Section::root(&book, tree.get_ref());
    root.only(SECTIONS);
    let locale = sections::locale(&root);
    let time_zone = sections::time_zone(&root);
    let (store_path, retention, unsafe_disk) = sections::store(&root);
    let server = sections::server(&root);
    let http = sections::http(&root);
    let people = sections::people(&root);
    let channels = channels::channels(&root);
    let policies = escalation::policies(&root);
    let mut directory = routing::directory(&root, &people, &policies, locale.unwrap_or_default());
    if let Some(directory) = &mut directory {
        directory.costly = channels::those(&channels, |spec| spec.costly);
        directory.ringing = channels::those(&channels, |spec| spec.rings);
    }
    escalation::warn(&root, server.as_ref());
    if source.exposed && book.has_literal_secret.get() {
        let help = format!("chmod 600 {0}, or use {{ env = \"NAME\" }}", source.path.display());
        book.missing_in_file("it contains credentials and other users can read it", help);
    }
    let (errors, warnings) = book.close();
    match (errors.is_empty(), server, directory) {
        (true, Some(server), Some(directory)) => Ok(Config {
            file: source.path.clone(),
            locale,
            time_zone,
            store_path,
            retention,
            unsafe_disk,
            server,
            http,
            directory,
            policies,
            channels,
            people,
            warnings,
        }),
        _ => Err(ConfigErrors(errors)),
    }
}

#[cfg(test)]
mod tests;
