//! `callout backup FILE`
//!
//! JSON: `{"file"}`.

use super::{Failure, config, open};
use crate::cli::Output;
use crate::print;
use callout_store::{Create, Store as _};
use serde_json::json;
use std::path::{Path, PathBuf};

/// Arguments of `callout backup`.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// Where to write the copy; must not exist
    #[arg(value_name = "FILE")]
    file: PathBuf,
    #[command(flatten)]
    output: Output,
}

/// Copies the store.
///
/// # Errors
/// If the file exists, or what the store says.
pub async fn run(args: &Args, named: Option<&Path>) -> Result<(), Failure> {
    let config = config(named)?;
    if args.file.exists() {
        let problem = format!("{} exists", args.file.display());
        return Err(Failure::new(problem, "a backup never overwrites; name a new file"));
    }
    let store = open(&config, Create::Never)?;
    store.backup(&args.file).await?;
    if args.output.json {
        print::json(&json!({ "file": args.file }));
    } else {
        print::talk(format_args!("wrote {}", args.file.display()));
    }
    Ok(())
}
