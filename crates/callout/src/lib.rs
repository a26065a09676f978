//! The one program: `main.rs` calls [`main`], tests call [`run`].
//!
//! [`cli`] names the commands and [`command`] holds one file for each; [`config`] reads the
//! configuration; [`json`] and [`narrate`] put what the store knows into JSON and into words;
//! [`mod@print`] is the only module that prints.

pub mod advice;
pub mod assemble;
pub mod bench;
pub mod cli;
pub mod command;
pub mod config;
pub mod demo;
#[cfg(fuzzing)]
pub mod fuzzing;
mod http;
pub mod json;
pub mod narrate;
pub mod print;
pub mod reference;

use clap::Parser as _;
use std::ffi::OsString;
use std::process::ExitCode;

/// Runs the program with the process's arguments.
pub fn main() -> ExitCode {
    ExitCode::from(run(std::env::args_os()))
}

/// Runs the program and returns its exit code: 0 done, 1 failed, 2 wrong usage, 74 the disk failed,
/// 78 wrong configuration.
pub fn run(arguments: impl IntoIterator<Item = impl Into<OsString> + Clone>) -> u8 {
    let cli = match cli::Cli::try_parse_from(arguments) {
        Ok(cli) => cli,
        Err(answer) => {
            let text = answer.render().ansi().to_string();
            if answer.use_stderr() {
                print::talk_raw(&text)
            } else {
                print::out_raw(&text)
            }
            return u8::try_from(answer.exit_code()).unwrap_or(command::USAGE);
        }
    };
    match command::run(cli) {
        Ok(()) => 0,
        Err(failure) => {
            failure.print();
            failure.exit_code()
        }
    }
}
