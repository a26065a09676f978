//! `callout check`
//!
//! JSON: `{"ok","file","channels","receivers","routes","policies","errors":[D],"warnings":[D]}` where D is
//! `{"file","line","column","problem","help"}`; the counts are null after an error.

use super::Failure;
use crate::cli::Output;
use crate::config::{self, Config, ConfigErrors, Diagnostic};
use crate::print;
use serde_json::{Value, json};
use std::path::{Path, PathBuf};

/// Arguments of `callout check`.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// The configuration to check instead of the usual one
    #[arg(value_name = "FILE")]
    file: Option<PathBuf>,
    #[command(flatten)]
    output: Output,
}

/// Checks the configuration.
///
/// # Errors
/// Everything that is wrong with it.
pub fn run(args: &Args, named: Option<&Path>) -> Result<(), Failure> {
    let named = args.file.as_deref().or(named);
    let checked = config::locate(named).and_then(|path| config::load(&path));
    if args.output.json {
        print::json(&report(&checked));
    }
    let config = checked?;
    for warning in &config.warnings {
        print::warning(warning);
    }
    if !args.output.json {
        print::out(format_args!("{}: {}", config.file.display(), counts(&config)));
    }
    Ok(())
}

fn counts(config: &Config) -> String {
    let channels = count(config.channels.len(), "channel");
    let receivers = count(config.directory.receivers.len(), "receiver");
    let routes = count(config.directory.routes.len(), "route");
    let policies = count(config.policies.len(), "escalation policy");
    format!("{channels}, {receivers}, {routes}, {policies}")
}

/// `1 route`, `2 routes`.
pub(super) fn count(n: usize, what: &str) -> String {
    match (n, what.strip_suffix('y')) {
        (1, _) => format!("1 {what}"),
        (_, Some(stem)) => format!("{n} {stem}ies"),
        (_, None) => format!("{n} {what}s"),
    }
}

fn report(checked: &Result<Config, ConfigErrors>) -> Value {
    match checked {
        Ok(config) => json!({
            "ok": true,
            "file": config.file,
            "channels": config.channels.len(),
            "receivers": config.directory.receivers.len(),
            "routes": config.directory.routes.len(),
            "policies": config.policies.len(),
            "errors": [],
            "warnings": config.warnings.iter().map(diagnostic).collect::<Vec<_>>(),
        }),
        Err(ConfigErrors(errors)) => json!({
            "ok": false,
            "file": errors.first().map(|error| &error.file),
            "channels": null,
            "receivers": null,
            "routes": null,
            "policies": null,
            "errors": errors.iter().map(diagnostic).collect::<Vec<_>>(),
            "warnings": [],
        }),
    }
}

fn diagnostic(diagnostic: &Diagnostic) -> Value {
    json!({
        "file": diagnostic.file,
        "line": diagnostic.place.as_ref().map(|place| place.line),
        "column": diagnostic.place.as_ref().map(|place| place.column),
        "problem": diagnostic.problem,
        "help": diagnostic.help,
    })
}
