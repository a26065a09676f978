//! Settings of channels: what `SPEC` alone can say about them.
//!
//! Every kind gets the same checks and the same care: required keys, types, blank or torn
//! credentials, addresses. No text made here contains a value, for any value may be a credential that
//! was put into the wrong place.

use crate::spec::{Field, Problem, Spec, Value};
use callout_core::secret::Secret;
use serde::de::DeserializeOwned;
use serde::{Deserialize, Deserializer};
use serde_json::{Map, Value as Json};
use std::net::IpAddr;
use url::{Host, Url, form_urlencoded};

/// The shortest part of a credential that is hidden on its own; shorter ones are mostly words.
pub(crate) const PART_BYTES_MIN: usize = 10;

/// Settings in a form that every channel of their kind can read, and what was wrong with them.
#[derive(Debug)]
pub(crate) struct Checked {
    /// The settings; something harmless stands for each that is wrong.
    pub(crate) settings: Json,
    /// Every problem that the specification can tell; if there is one, no channel may come of this.
    pub(crate) problems: Vec<Problem>,
}

impl Checked {
    /// The problems with those that `found` adds: what it says of a setting that is wrong anyway is
    /// about what stands for it.
    pub(crate) fn and(mut self, mut found: Vec<Problem>) -> Vec<Problem> {
        let known = |found: &Problem| self.problems.iter().any(|known| known.field == found.field);
        found.retain(|found| self.problems.is_empty() || found.field != "kind" && !known(found));
        self.problems.extend(found);
        self.problems
    }
}

/// Checks `settings` against `spec` and trims credentials, which mounted files end with a newline.
pub(crate) fn check(spec: &'static Spec, settings: Json) -> Checked {
    let Json::Object(mut table) = settings else {
        return check_table(spec, Map::new(), vec![problem("kind", "has to come with a table")]);
    };
    let known = |key: &str| spec.fields.iter().any(|field| field.name == key);
    let mut problems = Vec::new();
    if table.keys().any(|key| !known(key)) {
        let names = spec.fields.iter().map(|field| field.name).collect::<Vec<_>>().join(", ");
        problems.push(problem("kind", format!("has no other settings than {names}")));
        table.retain(|key, _| known(key));
    }
    check_table(spec, table, problems)
}

fn check_table(spec: &Spec, mut table: Map<String, Json>, mut problems: Vec<Problem>) -> Checked {
    for field in spec.fields {
        let wrong = match table.get_mut(field.name) {
            Some(value) => check_value(spec.kind, field, value),
            None => field.required.then(|| problem(field.name, "is missing")),
        };
        if let Some(wrong) = wrong {
            problems.push(wrong);
            table.insert(field.name.to_owned(), stand_in(field));
        }
    }
    Checked { settings: Json::Object(table), problems }
}

/// A value of the right type, so that the other settings can be looked at.
fn stand_in(field: &Field) -> Json {
    match field.value {
        Value::Secret | Value::Secrets | Value::Text | Value::List | Value::Path => "x".into(),
        Value::Url => "https://example.com/".into(),
        Value::Switch => false.into(),
        Value::Texts | Value::Table => Json::Object(Map::new()),
        Value::Number | Value::Duration => 1.into(),
    }
}
fn check_value(kind: &str, field: &Field, value: &mut Json) -> Option<Problem> {
    let wrong = |text: &str| Some(problem(field.name, text));
    match (field.value, value) {
        (Value::Secret | Value::Secrets, Json::String(text)) => check_secret(field, text),
        (Value::Secrets, Json::Array(list)) if !list.is_empty() => {
            list.iter_mut().find_map(|one| {
                let Json::String(text) = one else { return wrong("has to be a list of texts") };
                check_secret(field, text)
            })
        }
        (Value::Url, Json::String(text)) => match web_address(field.name, text) {
            Ok(url) => foreign(kind, field.name, &url),
            Err(problem) => Some(problem),
        },
        (Value::Text, Json::String(text)) if text.trim().is_empty() => wrong("is empty"),
        (Value::Text, Json::String(_)) | (Value::Switch, Json::Bool(_)) => None,
        (Value::Texts | Value::Table, Json::Object(table))
            if table.values().all(Json::is_string) =>
        {
            None
        }
        (Value::List, Json::String(text)) if !text.trim().is_empty() => None,
        (Value::List, Json::Array(list)) if !list.is_empty() && list.iter().all(is_filled) => None,
        (Value::Number | Value::Duration, Json::Number(number)) if number.is_u64() => None,
        (Value::Path, Json::String(text)) if !text.trim().is_empty() => None,
        (Value::Secret, _) => wrong("has to be a text"),
        (Value::Secrets, _) => wrong("has to be a text or a list of texts"),
        (Value::Url, _) => wrong("has to be an http:// or https:// address"),
        (Value::Text, _) => wrong("has to be a text"),
        (Value::Switch, _) => wrong("has to be true or false"),
        (Value::Texts | Value::Table, _) => wrong("has to be a table of texts"),
        (Value::List, _) => wrong("has to be a text or a list of texts, none of them empty"),
        (Value::Number, _) => wrong("has to be a whole number"),
        (Value::Duration, _) => wrong("has to be a length of time such as \"10s\""),
        (Value::Path, _) => wrong("has to be the path of a file"),
    }
}

fn is_filled(value: &Json) -> bool {
    value.as_str().is_some_and(|text| !text.trim().is_empty())
}

fn check_secret(field: &Field, text: &mut String) -> Option<Problem> {
    *text = text.trim().to_owned();
    if text.is_empty() {
        return Some(problem(field.name, "is empty"));
    }
    if let Some(problem) = pasted(field.name, text) {
        return Some(problem);
    }
    let torn = text.contains(|c: char| c.is_whitespace() || c.is_control());
    torn.then(|| problem(field.name, "contains white space; was it copied whole and alone?"))
}

/// Credentials that may look like an address.
const LIKE_ADDRESSES: [&str; 4] = ["webhook_url", "url", "smtp", "password"];

/// What is wrong with a credential that was copied together with what stands around it.
fn pasted(field: &'static str, text: &str) -> Option<Problem> {
    if LIKE_ADDRESSES.contains(&field) {
        return None;
    }
    let named = [format!("{field}="), format!("?{field}="), format!("&{field}=")];
    let [begins, first, further] = &named;
    if text.contains("://") || text.contains(first) || text.contains(further) {
        let text = format!("has to be the value of {field} alone, not the whole address");
        return Some(problem(field, text));
    }
    if text.starts_with(begins) {
        return Some(problem(
            field,
            format!("has to be the value alone, without {field}= in front"),
        ));
    }
    let scheme = text.split_whitespace().next().filter(|word| word.len() < text.len())?;
    scheme
        .eq_ignore_ascii_case("Bearer")
        .then(|| problem(field, "has to be the value alone, without the word Bearer in front"))
}

/// What is wrong with the signature of a text message if it stands in the brackets that providers add.
pub(crate) fn bracketed(field: &'static str, text: &str) -> Option<Problem> {
    let text = text.trim();
    (text.starts_with(['【', '[']) || text.ends_with(['】', ']']))
        .then(|| problem(field, "has to be the signature alone, without the brackets around it"))
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

/// Reads the address of a webhook of `kind`, which has to be kept from strangers on its way.
///
/// # Errors
/// If one cannot post there, it is neither https nor on this machine, or another provider's.
pub(crate) fn webhook_url(kind: &str, url: &Secret) -> Result<Url, Vec<Problem>> {
    const FIELD: &str = "webhook_url";
    let url = web_address(FIELD, url.expose()).map_err(|problem| vec![problem])?;
    if url.scheme() != "https" && !is_loopback(&url) {
        return Err(vec![problem(FIELD, "has to begin with https://")]);
    }
    foreign(kind, FIELD, &url).map_or(Ok(url), |problem| Err(vec![problem]))
}

/// Hosts that are certainly one provider's, and the kind that speaks with it. A proxy may stand anywhere
/// else, so every other host is fine for every kind.
const HOSTS: [(&str, &str); 15] = [
    ("oapi.dingtalk.com", "dingtalk"),
    ("oapi.dingtalk.io", "dingtalk"),
    ("qyapi.weixin.qq.com", "wecom"),
    ("open.feishu.cn", "feishu"),
    ("open.larksuite.com", "feishu"),
    ("hooks.slack.com", "slack"),
    ("logic.azure.com", "teams"),
    ("api.powerplatform.com", "teams"),
    ("api.powerautomate.com", "teams"),
    ("webhook.office.com", "teams"),
    ("chat.googleapis.com", "googlechat"),
    ("discord.com", "discord"),
    ("discordapp.com", "discord"),
    ("api.telegram.org", "telegram"),
    ("events.pagerduty.com", "pagerduty"),
];

/// What is wrong with `url` if it is certainly another provider's. Kinds whose names begin alike, such as
/// `wecom` and `wecom_app`, are of one provider.
fn foreign(kind: &str, field: &'static str, url: &Url) -> Option<Problem> {
    let host = url.host_str()?;
    let owner = HOSTS.iter().find(|(known, _)| is_within(host, known)).map(|(_, owner)| *owner);
    let owner = owner.filter(|owner| !kind.starts_with(owner))?;
    Some(problem(field, format!("is an address for channels of kind \"{owner}\"")))
}

/// Whether `host` is `domain` or below it.
pub(crate) fn is_within(host: &str, domain: &str) -> bool {
    let before = host.strip_suffix(domain);
    before.is_some_and(|before| before.is_empty() || before.ends_with('.'))
}

/// Reads the address in `set`, or `default`, that requests are signed for or that a path is put behind.
///
/// # Errors
/// If it is no address one can post to, or has a query.
pub(crate) fn base_address(
    field: &'static str,
    set: Option<&Secret>,
    default: &str,
) -> Result<Url, Problem> {
    let url = web_address(field, set.map_or(default, Secret::expose))?;
    if url.query().is_some() {
        return Err(problem(field, "may not contain a '?' part"));
    }
    Ok(url)
}

/// The value, or `None` and one more problem.
pub(crate) fn noted<T>(problems: &mut Vec<Problem>, result: Result<T, Problem>) -> Option<T> {
    result.map_err(|problem| problems.push(problem)).ok()
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

/// The texts of a [`Value::List`], which may be a single one.
pub(crate) fn list<'de, D: Deserializer<'de>>(from: D) -> Result<Vec<String>, D::Error> {
    #[derive(Deserialize)]
    #[serde(untagged)]
    enum OneOrMany {
        One(String),
        Many(Vec<String>),
    }
    Ok(match OneOrMany::deserialize(from)? {
        OneOrMany::One(text) => vec![text],
        OneOrMany::Many(texts) => texts,
    })
}

/// Every credential in `settings`, longest first: each as it is, in its parts, and as both look inside
/// an address.
pub(crate) fn secrets(spec: &Spec, settings: &Json) -> Vec<Secret> {
    let mut texts = Vec::new();
    for field in spec.fields {
        let hidden = match field.value {
            Value::Secret | Value::Secrets | Value::Url | Value::Texts => true,
            Value::Text
            | Value::Switch
            | Value::List
            | Value::Table
            | Value::Number
            | Value::Duration
            | Value::Path => false,
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
/// the words, of a key what follows its prefix, of a token what follows its number.
fn parts(text: &str) -> Vec<String> {
    let long = |part: &&str| part.len() >= PART_BYTES_MIN;
    let Ok(url) = Url::parse(text) else {
        // Longer parts are hidden first, so a number stays with its key where both are seen.
        let words = text.split([' ', '_']).chain(text.split([' ', '_', ':']));
        return words.filter(long).map(str::to_owned).collect();
    };
    let mut parts = vec![url.as_str().to_owned(), url.path().to_owned()];
    parts.extend(url.path().split('/').filter(long).map(str::to_owned));
    parts.extend(url.query().map(str::to_owned));
    parts.extend(url.query_pairs().map(|(_, value)| value.into_owned()));
    parts
}
