//! `callout init`
//!
//! Writes a configuration that is valid as it stands, the key that signs links, and an API token, all
//! for this user's eyes only. Overwrites nothing. JSON: `{"config","ack_key","api_token"}`.

mod template;

pub use template::template;

use super::Failure;
use crate::cli::Output;
use crate::config::which_kind;
use crate::print;
use anyhow::Context as _;
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use callout_channels::spec::Spec;
use serde_json::json;
use std::fs::{File, OpenOptions};
use std::io::{Read as _, Write as _};
use std::path::{Path, PathBuf};

/// The random bytes of a key or token.
const KEY_BYTES: usize = 32;

/// Arguments of `callout init`.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// The folder to write callout.toml and its keys to
    #[arg(value_name = "DIR", default_value = ".", conflicts_with = "file")]
    folder: PathBuf,
    /// The configuration file to write instead; the keys go beside it
    #[arg(long, value_name = "FILE")]
    file: Option<PathBuf>,
    /// Write a commented section for this kind of channel, such as slack; may be repeated
    #[arg(long = "channel", value_name = "KIND", value_parser = kind)]
    channels: Vec<&'static Spec>,
    #[command(flatten)]
    output: Output,
}

/// Writes the files.
///
/// # Errors
/// If one exists, or what the file system says.
pub fn run(args: &Args) -> Result<(), Failure> {
    let config = args.file.clone().unwrap_or_else(|| args.folder.join("callout.toml"));
    let folder = config.parent().unwrap_or(Path::new(""));
    let (ack_key, api_token) = (folder.join("ack.key"), folder.join("api.token"));
    for path in [&config, &ack_key, &api_token] {
        if path.exists() {
            let problem = format!("{} exists", path.display());
            return Err(Failure::new(problem, "init overwrites nothing; name another folder"));
        }
    }
    if !folder.as_os_str().is_empty() {
        std::fs::create_dir_all(folder)
            .with_context(|| format!("cannot create {}", folder.display()))?;
    }
    write_private(&ack_key, &format!("{}\n", random_text()?))?;
    write_private(&api_token, &format!("{}\n", random_text()?))?;
    write_private(&config, &template(&args.channels))?;
    if args.output.json {
        let files = json!({ "config": config, "ack_key": ack_key, "api_token": api_token });
        print::json(&files);
    } else {
        for path in [&config, &ack_key, &api_token] {
            print::out(path.display());
        }
        let config = config.display();
        print::talk(format_args!(
            "edit {config}, then run `callout check {config}` and `callout serve --config {config}`"
        ));
    }
    Ok(())
}

/// A kind of channel by its name.
fn kind(name: &str) -> Result<&'static Spec, String> {
    let find = callout_channels::find(name).map(|row| row.spec);
    find.ok_or_else(|| format!("there is no such kind of channel; {}", which_kind(name)))
}

fn random_text() -> Result<String, Failure> {
    let mut bytes = [0; KEY_BYTES];
    let read = File::open("/dev/urandom").and_then(|mut dice| dice.read_exact(&mut bytes));
    read.context("this system gives no random bytes (/dev/urandom)")?;
    Ok(URL_SAFE_NO_PAD.encode(bytes))
}

fn write_private(path: &Path, text: &str) -> Result<(), Failure> {
    let mut options = OpenOptions::new();
    options.write(true).create_new(true);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    let written = options.open(path).and_then(|mut file| {
        file.write_all(text.as_bytes())?;
        file.sync_all()
    });
    written.with_context(|| format!("cannot write {}", path.display()))?;
    Ok(())
}

#[cfg(test)]
mod tests;
