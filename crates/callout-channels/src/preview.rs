//! What would be sent, for people to look at: whole, readable, and without credentials.
//!
//! What the mask knows (settings, the address to acknowledge at, what a query carries) is hidden
//! wherever it stands. Signatures and login headers are made of credentials and contain none as text, so
//! these are hidden by their names: better a harmless value hidden than a signature shown.

use crate::channel::HttpRequest;
use crate::mask::Mask;
use callout_core::secret::Secret;
use serde_json::Value as Json;
use std::borrow::Cow;
use url::{Url, form_urlencoded};

/// What stands for a credential.
const HIDDEN: &str = "***";
/// What hides a header, a parameter, a form's field or a JSON member whose name contains it.
const TELLING: [&str; 10] = [
    "signature",
    "token",
    "secret",
    "password",
    "passwd",
    "authorization",
    "cookie",
    "apikey",
    "api_key",
    "api-key",
];
/// What hides it if it is the whole name.
const TELLING_NAMES: [&str; 3] = ["sign", "sig", "key"];
/// Login schemes that may be seen in front of what is hidden.
const SCHEMES: [&str; 3] = ["Basic", "Bearer", "GenieKey"];

/// What one channel would send for a message.
#[derive(Clone, Debug, PartialEq)]
pub enum Preview {
    /// A request, which is all that is needed for most messages.
    Http(Shown),
    /// What a channel that does not speak HTTP does, in words.
    Direct(String),
}

/// A request without credentials.
#[derive(Clone, Debug, PartialEq)]
pub struct Shown {
    /// Upper case.
    pub method: &'static str,
    /// Scheme and host as they are.
    pub url: String,
    /// Names in lower case.
    pub headers: Vec<(String, String)>,
    /// The body.
    pub body: Body,
    /// How many bytes it really has.
    pub body_bytes: usize,
    /// Whether a request for a token comes first.
    pub login: bool,
    /// Whether a request follows once it is accepted: a file, a mention, how to acknowledge.
    pub follow_up: bool,
}

/// A body by what it is.
#[derive(Clone, Debug, PartialEq)]
pub enum Body {
    /// None.
    Empty,
    /// JSON.
    Json(Json),
    /// A form: as it goes, and its fields decoded.
    Form(String, Vec<(String, String)>),
    /// The parts of a `multipart/form-data` body.
    Multipart(Vec<Part>),
    /// Any other text.
    Text(String),
    /// What is no text.
    Binary,
}

/// One part of a multipart body.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Part {
    /// The field.
    pub name: String,
    /// The file, if it is one.
    pub file: Option<String>,
    /// The type, if it says one.
    pub content_type: Option<String>,
    /// The contents of a field that is no file.
    pub text: String,
    /// How many bytes the contents have.
    pub bytes: usize,
}

impl Shown {
    /// Shows `request` through `mask`.
    pub(crate) fn of(request: &HttpRequest, mask: &Mask) -> Self {
        let header = |(name, value): &(Cow<'static, str>, Secret)| {
            (name.to_string(), header(mask, name, value.expose()))
        };
        Self {
            method: request.method,
            url: address(mask, request.url.expose()),
            headers: request.headers.iter().map(header).collect(),
            body: Body::of(request, mask),
            body_bytes: request.body.len(),
            login: false,
            follow_up: false,
        }
    }
}

impl Body {
    fn of(request: &HttpRequest, mask: &Mask) -> Self {
        let kind = request.headers.iter().find(|(name, _)| name == "content-type");
        let kind = kind.map(|(_, value)| value.expose()).unwrap_or_default();
        if request.body.is_empty() {
            return Self::Empty;
        }
        if let Some(boundary) = boundary(kind) {
            return Self::Multipart(parts(&request.body, boundary, mask));
        }
        let Ok(text) = std::str::from_utf8(&request.body) else { return Self::Binary };
        if kind.starts_with("application/x-www-form-urlencoded") {
            let fields = form_urlencoded::parse(text.as_bytes());
            let field = |(name, value): (Cow<'_, str>, Cow<'_, str>)| {
                (mask.lines(&name), value_of(mask, &name, &value))
            };
            return Self::Form(pairs(mask, text), fields.map(field).collect());
        }
        match serde_json::from_str(text) {
            Ok(mut json) => {
                hide(mask, &mut json);
                Self::Json(json)
            }
            Err(_) => Self::Text(mask.lines(text)),
        }
    }
}

fn is_telling(name: &str) -> bool {
    let name = name.to_lowercase();
    TELLING_NAMES.contains(&name.as_str()) || TELLING.iter().any(|part| name.contains(part))
}

fn value_of(mask: &Mask, name: &str, value: &str) -> String {
    if is_telling(name) { HIDDEN.to_owned() } else { mask.lines(value) }
}

fn header(mask: &Mask, name: &str, value: &str) -> String {
    if !is_telling(name) {
        return mask.lines(value);
    }
    match value.split_once(' ') {
        Some((scheme, _)) if SCHEMES.contains(&scheme) => format!("{scheme} {HIDDEN}"),
        Some(_) | None => HIDDEN.to_owned(),
    }
}

/// An address with its scheme and host, which may be seen.
fn address(mask: &Mask, url: &str) -> String {
    let Ok(parsed) = Url::parse(url) else { return HIDDEN.to_owned() };
    let mut shown = parsed.origin().ascii_serialization();
    let path = mask.lines(parsed.path());
    if !path.starts_with('/') {
        shown.push('/');
    }
    shown += &path;
    if let Some(query) = parsed.query() {
        shown = format!("{shown}?{}", pairs(mask, query));
    }
    shown
}

/// A query or a form as it goes; only what is hidden is written anew.
fn pairs(mask: &Mask, text: &str) -> String {
    let pair = |pair: &str| {
        let Some((name, value)) = form_urlencoded::parse(pair.as_bytes()).next() else {
            return pair.to_owned();
        };
        let (hidden_name, hidden) = (mask.lines(&name), value_of(mask, &name, &value));
        if hidden == value && hidden_name == name {
            return pair.to_owned();
        }
        let mut written = form_urlencoded::Serializer::new(String::new());
        written.append_pair(&hidden_name, &hidden).finish()
    };
    text.split('&').map(pair).collect::<Vec<_>>().join("&")
}

/// Hides what is telling in every text of a JSON document, names included.
fn hide(mask: &Mask, json: &mut Json) {
    match json {
        Json::String(text) => *text = mask.lines(text),
        Json::Array(list) => list.iter_mut().for_each(|one| hide(mask, one)),
        Json::Object(table) => {
            let members = std::mem::take(table).into_iter().map(|(name, mut value)| {
                if is_telling(&name) && (value.is_string() || value.is_array()) {
                    value = HIDDEN.into();
                }
                hide(mask, &mut value);
                (mask.lines(&name), value)
            });
            *table = members.collect();
        }
        Json::Null | Json::Bool(_) | Json::Number(_) => {}
    }
}

fn boundary(content_type: &str) -> Option<&str> {
    let rest = content_type.strip_prefix("multipart/form-data")?;
    let (_, boundary) = rest.split_once("boundary=")?;
    Some(boundary.split(';').next().unwrap_or_default().trim_matches('"'))
}

/// The parts between the boundaries. What is malformed is left out; nobody but our channels writes it.
fn parts(body: &[u8], boundary: &str, mask: &Mask) -> Vec<Part> {
    let line = format!("--{boundary}");
    split(body, line.as_bytes()).into_iter().filter_map(|bytes| part(bytes, mask)).collect()
}

fn part(bytes: &[u8], mask: &Mask) -> Option<Part> {
    let bytes = bytes.strip_prefix(b"\r\n")?;
    let bytes = bytes.strip_suffix(b"\r\n").unwrap_or(bytes);
    let at = bytes.windows(4).position(|end| end == b"\r\n\r\n")?;
    let (head, body) = (bytes.get(..at)?, bytes.get(at + 4..)?);
    let head = String::from_utf8_lossy(head);
    let value = |name: &str| {
        let mut lines = head.lines().filter_map(|line| line.split_once(':'));
        lines.find(|(key, _)| key.eq_ignore_ascii_case(name)).map(|(_, value)| value.trim())
    };
    let disposition = value("content-disposition")?;
    let parameter = |name: &str| {
        let (_, rest) = disposition.split_once(&format!("; {name}=\""))?;
        Some(mask.lines(rest.split('"').next().unwrap_or_default()))
    };
    let (name, file) = (parameter("name")?, parameter("filename"));
    let text = match &file {
        Some(_) => String::new(),
        None => value_of(mask, &name, &String::from_utf8_lossy(body)),
    };
    Some(Part {
        name,
        file,
        content_type: value("content-type").map(str::to_owned),
        text,
        bytes: body.len(),
    })
}

fn split<'a>(bytes: &'a [u8], by: &[u8]) -> Vec<&'a [u8]> {
    let (mut pieces, mut rest) = (Vec::new(), bytes);
    while let Some(at) = rest.windows(by.len()).position(|window| window == by) {
        let (before, after) = rest.split_at(at);
        pieces.push(before);
        rest = after.get(by.len()..).unwrap_or_default();
    }
    pieces.push(rest);
    pieces
}

#[cfg(test)]
mod tests;
