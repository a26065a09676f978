//! Settings of channels: what `SPEC` alone can say about them.
//!
//! Every kind gets the same checks and the same care: required keys, types, blank or torn
//! credentials, addresses. No text made here contains a value, for any value may be a credential that
//! was put into the wrong place.

use crate::channel::{Field, Problem, Spec, Value};
use callout_core::secret::Secret;
use serde::de::DeserializeOwned;
use serde_json::Value as Json;
use std::net::IpAddr;
use url::{Host, Url, form_urlencoded};

/// The shortest part of a credential that is hidden on its own; shorter ones are mostly words.
pub(crate) const PART_BYTES_MIN: usize = 10;

/// Checks `settings` against `spec` and trims credentials, which mounted files end with a newline.
///
/// # Errors
/// Every problem there is.
pub(crate) fn check(spec: &'static Spec, settings: Json) -> Result<Json, Vec<Problem>> {
    let Json::Object(mut table) = settings else {
        return Err(vec![Problem { field: "kind", text: "has to come with a table".to_owned() }]);
    };
    let mut problems = Vec::new();
    for field in spec.fields {
        match table.get_mut(field.name) {
            Some(value) => problems.extend(check_value(field, value)),
            None if field.required => problems.push(problem(field.name, "is missing")),
            None => {}
        }
    }
    let known = |key: &str| spec.fields.iter().any(|field| field.name == key);
    if table.keys().any(|key| !known(key)) {
        let names = spec.fields.iter().map(|field| field.name).collect::<Vec<_>>().join(", ");
        problems.push(problem("kind", format!("has no other settings than {names}")));
    }
    if problems.is_empty() { Ok(Json::Object(table)) } else { Err(problems) }
}

fn check_value(field: &Field, value: &mut Json) -> Option<Problem> {
    let wrong = |text: &str| Some(problem(field.name, text));
    match (field.value, value) {
        (Value::Secret | Value::Secrets, Json::String(text)) => check_secret(field, text),
        (Value::Secrets, Json::Array(list)) if !list.is_empty() => {
            list.iter_mut().find_map(|one| {
                let Json::String(text) = one else { return wrong("has to be a list of texts") };
                check_secret(field, text)
            })
        }
        (Value::Url, Json::String(text)) => web_address(field.name, text).err(),
        (Value::Text, Json::String(text)) if text.trim().is_empty() => wrong("is empty"),
        (Value::Text, Json::String(_)) | (Value::Switch, Json::Bool(_)) => None,
        (Value::Texts, Json::Object(table)) if table.values().all(Json::is_string) => None,
        (Value::Secret, _) => wrong("has to be a text"),
        (Value::Secrets, _) => wrong("has to be a text or a list of texts"),
        (Value::Url, _) => wrong("has to be an http:// or https:// address"),
        (Value::Text, _) => wrong("has to be a text"),
        (Value::Switch, _) => wrong("has to be true or false"),
        (Value::Texts, _) => wrong("has to be a table of texts"),
    }
}

fn check_secret(field: &Field, text: &mut String) -> Option<Problem> {
    *text = text.trim().to_owned();
    if text.is_empty() {
        return Some(problem(field.name, "is empty"));
    }
    let torn = text.contains(|c: char| c.is_whitespace() || c.is_control());
    torn.then(|| problem(field.name, "contains white space; was it copied whole and alone?"))
}

/// Reads `text` as an address one can post to.
///
/// # Errors
/// If it is no http(s) address, or carries a user name or a fragment.
pub(crate) fn web_address(field: &'static str, text: &str) -> Result<Url, Problem> {
    let url = Url::parse(text.trim()).map_err(|e| problem(field, format!("is no address: {e}")))?;
    if !matches!(url.scheme(), "http" | "https") || url.host().is_none() {
        return Err(problem(field, "has to begin with https:// or http://"));
    }
    if !url.username().is_empty() || url.password().is_some() {
        return Err(problem(field, "may not contain a user name or password"));
    }
    if url.fragment().is_some() {
        return Err(problem(field, "may not contain a '#' part"));
    }
    Ok(url)
}

/// Whether `url` stays on this machine.
pub(crate) fn is_loopback(url: &Url) -> bool {
    match url.host() {
        Some(Host::Ipv4(ip)) => IpAddr::V4(ip).is_loopback(),
        Some(Host::Ipv6(ip)) => IpAddr::V6(ip).is_loopback(),
        Some(Host::Domain(name)) => name == "localhost",
        None => false,
    }
}

/// A problem with one setting.
pub(crate) fn problem(field: &'static str, text: impl Into<String>) -> Problem {
    Problem { field, text: text.into() }
}

/// Reads checked settings into a channel's own type.
///
/// # Errors
/// If the type and its `SPEC` disagree. The cause is left out, for it may quote a credential.
pub(crate) fn parse<T: DeserializeOwned>(settings: Json) -> Result<T, Vec<Problem>> {
    serde_json::from_value(settings)
        .map_err(|_| vec![problem("kind", "comes with settings that do not fit it")])
}

/// Every credential in `settings`, longest first: each as it is, in its parts, and as both look inside
/// an address.
pub(crate) fn secrets(spec: &Spec, settings: &Json) -> Vec<Secret> {
    let mut texts = Vec::new();
    for field in spec.fields {
        let hidden = match field.value {
            Value::Secret | Value::Secrets | Value::Url | Value::Texts => true,
            Value::Text | Value::Switch => false,
        };
        if let Some(value) = settings.get(field.name).filter(|_| hidden) {
            leaves(value, &mut texts);
        }
    }
    let parts: Vec<String> = texts.iter().flat_map(|text| parts(text)).collect();
    texts.extend(parts);
    spelled(texts)
}

/// `texts` as they are and as they look inside an address, longest first.
pub(crate) fn spelled(mut texts: Vec<String>) -> Vec<Secret> {
    let encoded: Vec<String> = texts
        .iter()
        .map(|text| form_urlencoded::byte_serialize(text.as_bytes()).collect())
        .collect();
    texts.extend(encoded);
    texts.sort_by(|a, b| b.len().cmp(&a.len()).then_with(|| a.cmp(b)));
    texts.dedup();
    texts.into_iter().map(Secret::new).collect()
}

fn leaves(value: &Json, texts: &mut Vec<String>) {
    match value {
        Json::String(text) => texts.push(text.clone()),
        Json::Array(list) => list.iter().for_each(|value| leaves(value, texts)),
        Json::Object(table) => table.values().for_each(|value| leaves(value, texts)),
        Json::Null | Json::Bool(_) | Json::Number(_) => {}
    }
}

/// What of a credential gives it away on its own: of an address the path and the query, of a header
/// the words, of a key what follows its prefix.
fn parts(text: &str) -> Vec<String> {
    let long = |part: &&str| part.len() >= PART_BYTES_MIN;
    let Ok(url) = Url::parse(text) else {
        let words = text.split([' ', '_']).filter(long);
        return words.map(str::to_owned).collect();
    };
    let mut parts = vec![url.as_str().to_owned(), url.path().to_owned()];
    parts.extend(url.path().split('/').filter(long).map(str::to_owned));
    parts.extend(url.query().map(str::to_owned));
    parts.extend(url.query_pairs().map(|(_, value)| value.into_owned()));
    parts
}
