//! `callout migrate`
//!
//! JSON: `{"file","steps":[{"version","name","applied"}]}`, where `applied` says how things stood
//! before.

use super::{Failure, config, open};
use crate::cli::Output;
use crate::print;
use callout_store::{Create, SqliteStore, Step};
use serde_json::{Value, json};
use std::path::Path;

/// Arguments of `callout migrate`.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// Say what would be done, and do nothing
    #[arg(long)]
    dry_run: bool,
    #[command(flatten)]
    output: Output,
}

/// Creates the store, or brings its schema up to date.
///
/// # Errors
/// What configuration and store say.
pub async fn run(args: &Args, named: Option<&Path>) -> Result<(), Failure> {
    let config = config(named)?;
    let file = config.store_path.as_path();
    let steps = SqliteStore::schema_steps(file)?;
    if !args.dry_run {
        drop(open(&config, Create::IfMissing)?);
    }
    if args.output.json {
        print::json(&json!({ "file": file, "steps": steps.iter().map(step).collect::<Vec<_>>() }));
        return Ok(());
    }
    let done = if args.dry_run { "would be applied" } else { "applied now" };
    for step in &steps {
        let how = if step.applied { "was there already" } else { done };
        print::out(format_args!("{} {}: {how}", step.version, step.name));
    }
    Ok(())
}

fn step(step: &Step) -> Value {
    json!({ "version": step.version, "name": step.name, "applied": step.applied })
}
