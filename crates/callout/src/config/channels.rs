//! Channels: every key but the three common ones comes from the kind's specification.

use super::nearest::nearest;
use super::reader::{Item, Section};
use callout_channels::Channel;
use callout_channels::channel::{Field, Spec, Value};
use callout_core::id::ChannelName;
use callout_core::rate::Rate;
use serde_json::Value as Json;
use std::collections::BTreeMap;

/// Sends at a time on one channel unless told otherwise.
pub(super) const CONCURRENCY: u32 = 4;
/// The most sends at a time on one channel.
pub(super) const CONCURRENCY_MAX: u32 = 256;

/// One configured way out.
#[derive(Debug)]
pub struct ChannelConfig {
    /// What sends.
    pub channel: Channel,
    /// How often it may be used.
    pub rate: Rate,
    /// Sends at a time.
    pub concurrency: u32,
}

pub(super) fn channels(root: &Section<'_>) -> BTreeMap<ChannelName, ChannelConfig> {
    let sections = root.named_sections("channels");
    let channels = sections.iter().filter_map(|(item, section)| {
        let name = item.key.parse();
        let name = name.map_err(|error| name_error(item, &error)).ok();
        let channel = channel(section)?;
        Some((name?, channel))
    });
    channels.collect()
}

/// Notes that a table's name is none.
pub(super) fn name_error(item: &Item<'_>, error: &callout_core::id::BadName) {
    item.book.wrong(&item.key_at, error.to_string(), "choose another name");
}

fn channel(section: &Section<'_>) -> Option<ChannelConfig> {
    let kind = section.required("kind", &format!("add kind = \"…\", one of {}", kinds()))?;
    let name = kind.text()?;
    let Some(registration) = callout_channels::find(name) else {
        let help = match nearest(name, callout_channels::kinds()) {
            Some(meant) => format!("did you mean \"{meant}\"?"),
            None => format!("the kinds are {}", kinds()),
        };
        kind.wrong(format!("\"{name}\" is not a known kind of channel"), help);
        return None;
    };
    let spec = registration.spec;
    let known = ["kind", "rate", "concurrency"].into_iter();
    let known: Vec<&'static str> =
        known.chain(spec.fields.iter().map(|field| field.name)).collect();
    section.only(&known);
    let rate = match section.get("rate") {
        Some(item) => item.parsed("write a rate such as \"20/min\", or \"none\""),
        None => spec.rate.parse().ok(),
    };
    let concurrency = match section.get("concurrency") {
        Some(item) => item.integer(1..=CONCURRENCY_MAX),
        None => Some(CONCURRENCY),
    };
    let channel = build(section, spec);
    Some(ChannelConfig { channel: channel?, rate: rate?, concurrency: concurrency? })
}

fn kinds() -> String {
    callout_channels::kinds().collect::<Vec<_>>().join(", ")
}

fn build(section: &Section<'_>, spec: &'static Spec) -> Option<Channel> {
    let mut settings = serde_json::Map::new();
    let mut sound = true;
    for field in spec.fields {
        let item = if field.required {
            section.required(field.name, field.doc)
        } else {
            section.get(field.name)
        };
        match item.as_ref().map(|item| setting(field, item)) {
            Some(Some(value)) => _ = settings.insert(field.name.to_owned(), value),
            Some(None) => sound = false,
            None => sound &= !field.required,
        }
    }
    if !sound {
        return None;
    }
    let problems = match Channel::build(spec.kind, Json::Object(settings)) {
        Ok(channel) => return Some(channel),
        Err(problems) => problems,
    };
    for problem in problems {
        let text = format!("{}.{} {}", section.path, problem.field, problem.text);
        let field = spec.fields.iter().find(|field| field.name == problem.field);
        let doc = field.map_or_else(
            || format!("`callout channels --kinds` lists the settings of {}", spec.kind),
            |field| field.doc.to_owned(),
        );
        match (section.get(problem.field), field) {
            // Any value here may hold a credential, addresses above all.
            (Some(item), Some(_)) => item.wrong_secret(text, doc),
            (Some(item), None) => item.wrong(text, doc),
            (None, _) => section.book.wrong(&section.at, text, doc),
        }
    }
    None
}

/// The value of one setting in the form that channels are built from.
fn setting(field: &Field, item: &Item<'_>) -> Option<Json> {
    match field.value {
        Value::Secret => secret(item),
        Value::Secrets if item.value.is_array() => {
            let items = item.list()?;
            let values: Vec<_> = items.iter().map(secret).collect();
            Some(Json::Array(values.into_iter().collect::<Option<_>>()?))
        }
        Value::Secrets => secret(item),
        Value::Url | Value::Text => Some(item.text()?.into()),
        Value::Switch => Some(item.switch()?.into()),
        Value::Texts => {
            let items = item.section()?.items();
            let values: Vec<_> =
                items.iter().map(|item| Some((item.key.clone(), secret(item)?))).collect();
            Some(Json::Object(values.into_iter().collect::<Option<_>>()?))
        }
    }
}

fn secret(item: &Item<'_>) -> Option<Json> {
    Some(item.secret()?.expose().into())
}
