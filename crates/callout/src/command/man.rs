//! `callout man`

use super::Failure;
use crate::cli::Cli;
use crate::print;
use anyhow::Context as _;
use clap::CommandFactory as _;
use std::path::PathBuf;

/// Arguments of `callout man`.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// Where to write one page for each command; without it, the main page is printed
    #[arg(value_name = "DIR")]
    folder: Option<PathBuf>,
}

/// Writes the manual pages.
///
/// # Errors
/// What the file system says.
pub fn run(args: &Args) -> Result<(), Failure> {
    let Some(folder) = &args.folder else {
        let mut page = Vec::new();
        clap_mangen::Man::new(Cli::command()).render(&mut page).context("cannot write the page")?;
        print::out_raw(&String::from_utf8_lossy(&page));
        return Ok(());
    };
    let doing = || format!("cannot write manual pages to {}", folder.display());
    std::fs::create_dir_all(folder).with_context(doing)?;
    clap_mangen::generate_to(Cli::command(), folder).with_context(doing)?;
    print::talk(format_args!("wrote the manual pages to {}", folder.display()));
    Ok(())
}
