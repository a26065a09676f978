//! How Callout speaks: one file for each provider, and the one HTTP client.
//!
//! # Adding a channel
//! 1. One file `src/<kind>.rs`: a settings struct, `request`, `classify`, a `SPEC`.
//! 2. Two lines here: the `mod` line and the registry row.
//! 3. One folder `fixtures/<kind>/`.
//!
//! Configuration keys, `callout channels`, the reference page, default limits, the fixture run and the
//! no-secret-leak check follow from `SPEC`.

#![cfg_attr(not(test), warn(clippy::expect_used))]
#![warn(clippy::wildcard_enum_match_arm)]

pub mod channel;
mod deliver;
mod fit;
mod guard;
mod mask;
mod mrkdwn;
mod render;
mod retry_after;
mod settings;
mod sign;
pub mod transport;

mod dingtalk;
mod slack;
mod webhook;
mod wecom;

pub use deliver::{Channel, Delivered, FOLLOW_UPS_MAX, FOLLOW_UPS_TIMEOUT};
pub use fit::{line as harmless_line, text as harmless_text, utf16 as cut_text};
pub use transport::{ATTEMPT_TIMEOUT, Settings, Transport, TransportError};

use channel::{HttpChannel, Problem, Spec};

/// Makes a channel from settings in which every credential is already a plain text.
pub type Build = fn(serde_json::Value) -> Result<Box<dyn HttpChannel>, Vec<Problem>>;

/// One kind of channel: what is known about it, and how to make one.
#[derive(Debug)]
pub struct Registration {
    /// What is known about it.
    pub spec: &'static Spec,
    /// Makes one. [`Channel::build`] checks the settings first.
    pub build: Build,
}

/// Every kind of channel.
pub static REGISTRY: &[Registration] = &[
    Registration { spec: &dingtalk::SPEC, build: dingtalk::build },
    Registration { spec: &wecom::SPEC, build: wecom::build },
    Registration { spec: &slack::SPEC, build: slack::build },
    Registration { spec: &webhook::SPEC, build: webhook::build },
];

/// The registry row of `kind`.
pub fn find(kind: &str) -> Option<&'static Registration> {
    REGISTRY.iter().find(|row| row.spec.kind == kind)
}

/// The names of all kinds.
pub fn kinds() -> impl Iterator<Item = &'static str> {
    REGISTRY.iter().map(|row| row.spec.kind)
}

#[cfg(test)]
mod tests;
