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

pub mod apprise;
mod attachment;
mod blockkit;
pub mod callback;
pub mod channel;
mod deliver;
pub mod direct;
mod fit;
pub mod floor;
mod guard;
pub mod login;
mod mask;
mod mrkdwn;
mod phone;
mod placeholder;
pub mod preview;
mod render;
mod retry_after;
mod settings;
mod sign;
pub mod spec;
pub mod transport;
mod twilio;
mod wecom_parts;
mod words;

mod aliyun_sms;
mod bark;
mod command;
mod dingtalk;
mod discord;
mod email;
mod feishu;
mod file;
mod googlechat;
mod mattermost;
mod ntfy;
mod pagerduty;
mod pushplus;
mod rocketchat;
mod serverchan;
mod slack;
mod slack_api;
mod teams;
mod telegram;
mod tencent_sms;
mod twilio_sms;
mod twilio_voice;
mod webhook;
mod wecom;
mod wecom_app;

pub use deliver::{Channel, Delivered, FOLLOW_UPS_MAX, FOLLOW_UPS_TIMEOUT};
pub use fit::{line as harmless_line, text as harmless_text, utf16 as cut_text};
pub use jiff::tz::TimeZone;
pub use transport::{ATTEMPT_TIMEOUT, Settings, Transport, TransportError};

use channel::HttpChannel;
use direct::DirectChannel;
use spec::{Problem, Spec};

/// A channel, or everything that is wrong with its settings.
pub type Built<T> = Result<Box<T>, Vec<Problem>>;

/// What makes a channel from settings in which every credential is already a plain text.
#[derive(Clone, Copy, Debug)]
pub enum Build {
    /// One that speaks HTTP.
    Http(fn(serde_json::Value) -> Built<dyn HttpChannel>),
    /// One that does its own input and output.
    Direct(fn(serde_json::Value) -> Built<dyn DirectChannel>),
}

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
    Registration { spec: &dingtalk::SPEC, build: Build::Http(dingtalk::build) },
    Registration { spec: &wecom::SPEC, build: Build::Http(wecom::build) },
    Registration { spec: &wecom_app::SPEC, build: Build::Http(wecom_app::build) },
    Registration { spec: &feishu::SPEC, build: Build::Http(feishu::build) },
    Registration { spec: &slack::SPEC, build: Build::Http(slack::build) },
    Registration { spec: &slack_api::SPEC, build: Build::Http(slack_api::build) },
    Registration { spec: &teams::SPEC, build: Build::Http(teams::build) },
    Registration { spec: &telegram::SPEC, build: Build::Http(telegram::build) },
    Registration { spec: &discord::SPEC, build: Build::Http(discord::build) },
    Registration { spec: &mattermost::SPEC, build: Build::Http(mattermost::build) },
    Registration { spec: &rocketchat::SPEC, build: Build::Http(rocketchat::build) },
    Registration { spec: &googlechat::SPEC, build: Build::Http(googlechat::build) },
    Registration { spec: &aliyun_sms::SPEC, build: Build::Http(aliyun_sms::build) },
    Registration { spec: &tencent_sms::SPEC, build: Build::Http(tencent_sms::build) },
    Registration { spec: &twilio_sms::SPEC, build: Build::Http(twilio_sms::build) },
    Registration { spec: &twilio_voice::SPEC, build: Build::Http(twilio_voice::build) },
    Registration { spec: &ntfy::SPEC, build: Build::Http(ntfy::build) },
    Registration { spec: &bark::SPEC, build: Build::Http(bark::build) },
    Registration { spec: &serverchan::SPEC, build: Build::Http(serverchan::build) },
    Registration { spec: &pushplus::SPEC, build: Build::Http(pushplus::build) },
    Registration { spec: &pagerduty::SPEC, build: Build::Http(pagerduty::build) },
    Registration { spec: &webhook::SPEC, build: Build::Http(webhook::build) },
    Registration { spec: &email::SPEC, build: Build::Direct(email::build) },
    Registration { spec: &command::SPEC, build: Build::Direct(command::build) },
    Registration { spec: &file::SPEC, build: Build::Direct(file::build) },
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
