//! What the page's form sends, and the cookie that remembers a name.

use axum::Form;
use axum::extract::{FromRequest as _, Request};
use axum::http::{HeaderMap, HeaderValue, StatusCode, header};
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use callout_channels::harmless_text;
use callout_core::alert::{Standing, author};
use callout_store::model::{Alert, Answer, Seen};
use serde::Deserialize;

/// The most bytes a form may have.
pub(super) const FORM_BYTES_MAX: usize = 8 * 1024;
/// The most characters of a note.
pub(super) const NOTE_CHARS_MAX: usize = 250;
/// The cookie that remembers a name.
const COOKIE: &str = "callout_name";
/// How long it is remembered, in seconds.
const COOKIE_AGE: u32 = 365 * 86_400;

/// What somebody wants to do.
#[derive(Debug)]
pub(super) struct Wish {
    pub(super) answer: Answer,
    pub(super) action: &'static str,
    pub(super) by: String,
    pub(super) note: Option<String>,
    /// As what the page showed the alert, if nothing else may be meant.
    pub(super) only: Option<Seen>,
}

/// Why a form changes nothing; the page is shown again.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Hint {
    /// There is no name.
    Name,
    /// The name cannot be taken.
    NameLong,
    /// The note is too long.
    Note,
    /// It is not what the page's form sends.
    Form,
    /// Another site sent it.
    Foreign,
    /// The store is busy.
    Busy,
    /// The disk is full.
    Full,
    /// The store cannot be written at all.
    Broken,
    /// The store does not know whether it was written.
    Unknown,
}

/// What the buttons send.
const ACTIONS: [(&str, Answer); 4] = [
    ("ack", Answer::Acknowledge),
    ("escalate", Answer::Escalate),
    ("resolve", Answer::Resolve),
    ("unack", Answer::Unacknowledge),
];

/// What was typed, for showing it again.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Typed {
    #[serde(default)]
    action: String,
    /// How the page showed the alert, as [`seen`] writes it.
    #[serde(default)]
    seen: String,
    #[serde(default)]
    pub(super) name: String,
    #[serde(default)]
    pub(super) note: String,
}

/// Reads the form of a request.
///
/// # Errors
/// What is wrong with it.
pub(super) async fn read(request: Request) -> Result<Typed, Hint> {
    match Form::<Typed>::from_request(request, &()).await {
        Ok(Form(typed)) => Ok(typed),
        Err(refused) if refused.status() == StatusCode::PAYLOAD_TOO_LARGE => Err(Hint::Note),
        Err(_) => Err(Hint::Form),
    }
}

impl Typed {
    /// Nothing but a name.
    pub(super) fn named(name: String) -> Self {
        Self { action: String::new(), seen: String::new(), name, note: String::new() }
    }

    /// What is wanted, by the word of the button, which is the command's too.
    pub(super) fn action(&self) -> Option<(&'static str, Answer)> {
        ACTIONS.into_iter().find(|(action, _)| *action == self.action)
    }

    /// What is wanted.
    ///
    /// # Errors
    /// What is wrong with it.
    pub(super) fn wish(&self) -> Result<Wish, Hint> {
        let (action, answer) = self.action().ok_or(Hint::Form)?;
        let only = match answer {
            // Pressed twice, or on a page that is old, these would undo what others did or do it again.
            Answer::Escalate | Answer::Unacknowledge => {
                Some(read_seen(&self.seen).ok_or(Hint::Form)?)
            }
            // Whatever happened meanwhile, these are meant.
            Answer::Acknowledge | Answer::Resolve => None,
        };
        if self.name.trim().is_empty() {
            return Err(Hint::Name);
        }
        let by = author(&self.name).map_err(|_| Hint::NameLong)?;
        let note = harmless_text(&self.note).trim().to_owned();
        if note.chars().count() > NOTE_CHARS_MAX {
            return Err(Hint::Note);
        }
        Ok(Wish { answer, action, by, note: (!note.is_empty()).then_some(note), only })
    }
}

/// How the page shows an alert, for its form: `open.3`.
pub(super) fn seen(alert: &Alert) -> String {
    format!("{}.{}", alert.state.name(), alert.timer.place().decision)
}

fn read_seen(text: &str) -> Option<Seen> {
    let (standing, decision) = text.split_once('.')?;
    Some(Seen { standing: Standing::from_name(standing)?, decision: decision.parse().ok()? })
}

/// Whether the browser says that another site sent this request. Without a word from it, the link alone
/// decides: it is the credential, no cookie is.
///
/// Our own pages ask for no referrer, and then browsers send `Origin: null`.
pub(super) fn is_foreign(headers: &HeaderMap, public_url: &str) -> bool {
    let text = |name: &str| headers.get(name).map(|value| value.to_str().unwrap_or("?"));
    if let Some(site) = text("sec-fetch-site") {
        return !matches!(site, "same-origin" | "none");
    }
    match text("origin") {
        None | Some("null") => false,
        Some(origin) => {
            let rest = public_url.strip_prefix(origin);
            let ours = rest.is_some_and(|rest| rest.is_empty() || rest.starts_with('/'));
            let host = origin.split_once("://").map(|(_, host)| host);
            !ours && (host.is_none() || host != text("host"))
        }
    }
}

/// The name that was typed last time on this device.
pub(super) fn remembered(headers: &HeaderMap) -> Option<String> {
    let cookies = headers.get_all(header::COOKIE).iter().filter_map(|value| value.to_str().ok());
    let pairs = cookies.flat_map(|value| value.split(';')).filter_map(|pair| pair.split_once('='));
    let value = pairs.filter(|(name, _)| name.trim() == COOKIE).map(|(_, value)| value).next()?;
    let bytes = URL_SAFE_NO_PAD.decode(value.trim()).ok()?;
    author(&String::from_utf8(bytes).ok()?).ok()
}

/// Remembers a name for a year, on this page only.
pub(super) fn remember(name: &str, public_url: &str) -> Option<HeaderValue> {
    let secure = if public_url.starts_with("https:") { "; Secure" } else { "" };
    let path = public_url
        .split_once("://")
        .and_then(|(_, rest)| rest.find('/').and_then(|at| rest.get(at..)))
        .filter(|path| path.bytes().all(|b| b.is_ascii_graphic() && b != b';'))
        .unwrap_or_default();
    let value = URL_SAFE_NO_PAD.encode(name);
    let cookie = format!(
        "{COOKIE}={value}; Path={path}/a; Max-Age={COOKIE_AGE}; HttpOnly; SameSite=Lax{secure}"
    );
    HeaderValue::from_str(&cookie).ok()
}

#[cfg(test)]
mod tests;
