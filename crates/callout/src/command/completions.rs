//! `callout completions SHELL`

use super::Failure;
use crate::cli::Cli;
use crate::print;
use clap::CommandFactory as _;

/// Arguments of `callout completions`.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// For which shell
    #[arg(value_enum)]
    shell: clap_complete::Shell,
}

/// Prints a completion script.
///
/// # Errors
/// None.
pub fn run(args: &Args) -> Result<(), Failure> {
    let mut script = Vec::new();
    clap_complete::generate(args.shell, &mut Cli::command(), "callout", &mut script);
    print::out_raw(&String::from_utf8_lossy(&script));
    Ok(())
}
