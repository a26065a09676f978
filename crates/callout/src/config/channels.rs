//! Channels: every key but the common ones comes from the kind's specification, which `kind` names, or an
//! Apprise address with some of the settings in it.

use super::nearest::nearest;
use super::reader::{Item, Section};
use callout_channels::spec::{Field, Problem, Spec, Value};
use callout_channels::{Channel, REGISTRY, apprise};
use callout_core::id::ChannelName;
use callout_core::rate::Rate;
use serde_json::{Map, Value as Json};
use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

/// Sends at a time on one channel unless told otherwise.
pub(super) const CONCURRENCY: u32 = 4;
/// The most sends at a time on one channel.
pub(super) const CONCURRENCY_MAX: u32 = 256;

/// Where to read about addresses.
const APPRISE_HELP: &str = "the reference of the configuration lists the addresses that Callout understands; write kind = \"…\" and its settings for anything else";
/// The longest time a channel's setting may name.
const DURATION_MAX: Duration = Duration::from_secs(3600);

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

/// Those where a duplicate costs money or wakes people.
pub(super) fn those(
    channels: &BTreeMap<ChannelName, ChannelConfig>,
    are: fn(&Spec) -> bool,
) -> BTreeSet<ChannelName> {
    let those = channels.iter().filter(|(_, configured)| are(configured.channel.spec()));
    those.map(|(name, _)| name.clone()).collect()
}

/// Notes that a table's name is none.
pub(super) fn name_error(item: &Item<'_>, error: &callout_core::id::BadName) {
    item.book.wrong(&item.key_at, error.to_string(), "choose another name");
}

fn channel(section: &Section<'_>) -> Option<ChannelConfig> {
    let base = match (section.get("kind"), section.get("apprise")) {
        (Some(_), Some(apprise)) => {
            let problem = format!("{} has both `kind` and `apprise`", section.path);
            section.book.wrong(&apprise.key_at, problem, "keep one of them");
            return None;
        }
        (None, Some(apprise)) => of_apprise(apprise)?,
        (_, None) => of_kind(section)?,
    };
    let spec = base.spec;
    let known = ["kind", "apprise", "rate", "concurrency"].into_iter();
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
    let channel = build(section, base);
    Some(ChannelConfig { channel: channel?, rate: rate?, concurrency: concurrency? })
}

/// What a channel is, before its own keys are read.
struct Base<'a> {
    spec: &'static Spec,
    /// The Apprise address it comes from, and the settings in that.
    apprise: Option<Item<'a>>,
    settings: Map<String, Json>,
}

fn of_kind<'a>(section: &Section<'a>) -> Option<Base<'a>> {
    let help =
        format!("add kind = \"…\", one of {}, or apprise = \"…\" with an Apprise address", kinds());
    let kind = section.required("kind", &help)?;
    let name = kind.text()?;
    let Some(registration) = callout_channels::find(name) else {
        kind.wrong(format!("\"{name}\" is not a known kind of channel"), which_kind(name));
        return None;
    };
    Some(Base { spec: registration.spec, apprise: None, settings: Map::new() })
}

fn of_apprise(item: Item<'_>) -> Option<Base<'_>> {
    let address = item.secret()?;
    match apprise::translate(address.expose()) {
        Ok((kind, settings)) => {
            let spec = callout_channels::find(kind)?.spec;
            Some(Base { spec, apprise: Some(item), settings })
        }
        Err(text) => {
            item.wrong_secret(format!("{} {text}", item.path), APPRISE_HELP);
            None
        }
    }
}

/// Which kinds may be meant by a word that is none: those in whose name or title it stands, such as
/// `sms`, else the one that is spelled most like it.
pub fn which_kind(word: &str) -> String {
    let lower = word.to_lowercase();
    let says = |text: &str| text.to_lowercase().contains(&lower);
    let specs = REGISTRY.iter().map(|row| row.spec);
    let named: Vec<&str> =
        specs.filter(|spec| says(spec.kind) || says(spec.title)).map(|spec| spec.kind).collect();
    let near = || nearest(word, callout_channels::kinds());
    match named.as_slice() {
        [] => near().map_or_else(
            || format!("the kinds are {}", kinds()),
            |meant| format!("did you mean {meant}?"),
        ),
        named => format!("did you mean {}?", named.join(" or ")),
    }
}

fn kinds() -> String {
    callout_channels::kinds().collect::<Vec<_>>().join(", ")
}

fn build(section: &Section<'_>, base: Base<'_>) -> Option<Channel> {
    let Base { spec, apprise, mut settings } = base;
    let (mut sound, mut unread) = (true, Vec::new());
    for field in spec.fields {
        let is_given = settings.contains_key(field.name);
        let item = if field.required && !is_given {
            section.required(field.name, field.doc)
        } else {
            section.get(field.name)
        };
        if let Some(item) = item.as_ref().filter(|_| is_given) {
            let problem = format!("{} stands in the Apprise address too", item.path);
            item.book.wrong(&item.key_at, problem, "take it out here or there");
            sound = false;
            continue;
        }
        let value = match item.as_ref().map(|item| setting(field, item)) {
            Some(value) => value,
            None if is_given || !field.required => continue,
            None => None,
        };
        if value.is_none() {
            unread.push(field.name);
        }
        settings.insert(field.name.to_owned(), value.unwrap_or_default());
    }
    let problems = match Channel::build(spec.kind, Json::Object(settings)) {
        Ok(channel) => {
            if let Some(Problem { field, text }) = channel.lacks() {
                let (item, (_, doc)) = (section.get(field), about(spec, field));
                let at = item.as_ref().map_or(&section.at, |item| &item.key_at);
                section.book.warn(Some(at), format!("{}.{field} {text}", section.path), doc);
            }
            return sound.then_some(channel);
        }
        Err(problems) => problems,
    };
    // What could not be read has been noted where it was read.
    for problem in problems.iter().filter(|problem| !unread.contains(&problem.field)) {
        report(section, spec, apprise.as_ref(), problem);
    }
    None
}

/// The setting of that name, and what to say about it.
fn about(spec: &Spec, name: &str) -> (Option<&'static Field>, String) {
    let field = spec.fields.iter().find(|field| field.name == name);
    let doc = field.map_or_else(
        || format!("`callout channels --kinds {0}` shows the settings of {0}", spec.kind),
        |field| field.doc.to_owned(),
    );
    (field, doc)
}

/// Notes what the kind itself finds wrong, at the setting or at the address that it comes from.
fn report(section: &Section<'_>, spec: &Spec, apprise: Option<&Item<'_>>, problem: &Problem) {
    let text = format!("{}.{} {}", section.path, problem.field, problem.text);
    let (field, doc) = about(spec, problem.field);
    match (section.get(problem.field), apprise, field) {
        // Any value here may hold a credential, addresses above all.
        (Some(item), _, Some(_)) => item.wrong_secret(text, doc),
        (Some(item), _, None) => item.wrong(text, doc),
        (None, Some(apprise), _) => apprise.wrong_secret(text, doc),
        (None, None, _) => section.book.wrong(&section.at, text, doc),
    }
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
        Value::List if item.value.is_array() => {
            let items = item.list()?;
            let values: Vec<_> = items.iter().map(text).collect();
            Some(Json::Array(values.into_iter().collect::<Option<_>>()?))
        }
        Value::List => text(item),
        Value::Table => {
            let items = item.section()?.items();
            let values: Vec<_> =
                items.iter().map(|item| Some((item.key.clone(), text(item)?))).collect();
            Some(Json::Object(values.into_iter().collect::<Option<_>>()?))
        }
        Value::Number => Some(item.integer(0..=u32::MAX)?.into()),
        Value::Duration => {
            let length = item.duration(Duration::from_millis(1)..=DURATION_MAX)?;
            Some(u64::try_from(length.as_millis()).unwrap_or(u64::MAX).into())
        }
        Value::Path => Some(item.path()?.to_string_lossy().into_owned().into()),
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

fn text(item: &Item<'_>) -> Option<Json> {
    Some(item.text()?.into())
}
