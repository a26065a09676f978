//! From words to HTML, and the headers that every answer has.

use super::form::{Hint, NOTE_CHARS_MAX, Typed};
use super::view::{Reader, View};
use super::words::Words;
use crate::http::tries;
use axum::http::{HeaderName, HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use callout_channels::harmless_line;
use callout_core::message::NAME_BYTES_MAX;
use minijinja::value::Serde;
use minijinja::{AutoEscape, Environment, UndefinedBehavior};
use serde::Serialize;
use sha2::{Digest as _, Sha256};
use std::sync::LazyLock;

const TEMPLATE: &str = include_str!("page.html");
const STYLE: &str = include_str!("page.css");
/// Seconds after which to try again when the store is busy.
const RETRY_AFTER: HeaderValue = HeaderValue::from_static("5");

/// What the template fills in.
#[derive(Serialize)]
struct Context<'a> {
    words: &'static Words,
    style: &'static str,
    title: &'a str,
    alert: Option<&'a View>,
    hint: Option<&'static str>,
    /// The command that does what the form could not.
    hint_command: Option<String>,
    /// Whether the name is what is wrong.
    hint_name: bool,
    notice: Option<[&'static str; 2]>,
    /// Whether a notice ends with a command.
    notice_command: bool,
    name: String,
    note: String,
    name_max: usize,
    note_max: usize,
}

/// A page without an alert.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Notice {
    /// The link leads nowhere.
    Gone,
    /// Too many such links.
    TooMany,
    /// The store cannot be read.
    Trouble,
    /// The page has no such method.
    Method,
}

impl Notice {
    fn text(self, words: &'static Words) -> [&'static str; 2] {
        match self {
            Self::Gone => [words.gone, words.gone_means],
            Self::TooMany => [words.too_many, words.too_many_means],
            Self::Trouble => [words.trouble, words.trouble_means],
            Self::Method => [words.method, words.method_means],
        }
    }
}

impl Hint {
    fn text(self, words: &'static Words) -> &'static str {
        match self {
            Self::Name => words.hint_name,
            Self::NameLong => words.hint_name_long,
            Self::Note => words.hint_note,
            Self::Form => words.hint_form,
            Self::Foreign => words.hint_foreign,
            Self::Busy | Self::Broken => words.hint_busy,
            Self::Full => words.hint_full,
            Self::Unknown => words.hint_unknown,
        }
    }

    fn status(self) -> StatusCode {
        match self {
            Self::Name | Self::NameLong | Self::Note | Self::Form => StatusCode::BAD_REQUEST,
            Self::Foreign => StatusCode::FORBIDDEN,
            Self::Busy | Self::Unknown => StatusCode::SERVICE_UNAVAILABLE,
            Self::Full => StatusCode::INSUFFICIENT_STORAGE,
            Self::Broken => StatusCode::INTERNAL_SERVER_ERROR,
        }
    }
}

/// The page of an alert, with a hint if a form changed nothing.
pub(super) fn alert(view: &View, typed: &Typed, hint: Option<Hint>, reader: &Reader) -> Response {
    let context = Context {
        words: reader.words,
        style: STYLE,
        title: &view.title,
        alert: Some(view),
        hint: hint.map(|hint| hint.text(reader.words)),
        hint_command: typed
            .action()
            .filter(|_| hint.is_some_and(|hint| hint.status().is_server_error()))
            .map(|(action, _)| format!("callout {action} {}", view.id)),
        hint_name: matches!(hint, Some(Hint::Name | Hint::NameLong)),
        notice: None,
        notice_command: false,
        name: harmless_line(&typed.name),
        note: harmless_line(&typed.note),
        name_max: NAME_BYTES_MAX,
        note_max: NOTE_CHARS_MAX,
    };
    answer(hint.map_or(StatusCode::OK, Hint::status), &context)
}

/// A page that says why there is no alert.
pub(super) fn notice(notice: Notice, status: StatusCode, reader: &Reader) -> Response {
    let text = notice.text(reader.words);
    let context = Context {
        words: reader.words,
        style: STYLE,
        title: text[0],
        alert: None,
        hint: None,
        hint_command: None,
        hint_name: false,
        notice: Some(text),
        notice_command: matches!(notice, Notice::Gone | Notice::Trouble),
        name: String::new(),
        note: String::new(),
        name_max: NAME_BYTES_MAX,
        note_max: NOTE_CHARS_MAX,
    };
    answer(status, &context)
}

fn answer(status: StatusCode, context: &Context<'_>) -> Response {
    let html = match render(context) {
        Ok(html) => html,
        Err(error) => {
            tracing::error!(%error, "the acknowledge page could not be written");
            return StatusCode::INTERNAL_SERVER_ERROR.into_response();
        }
    };
    let kind = HeaderValue::from_static("text/html; charset=utf-8");
    let mut answer = (status, [(header::CONTENT_TYPE, kind)], html).into_response();
    let again = match status {
        StatusCode::TOO_MANY_REQUESTS => Some(HeaderValue::from(tries::WINDOW.as_secs())),
        StatusCode::SERVICE_UNAVAILABLE | StatusCode::INSUFFICIENT_STORAGE => Some(RETRY_AFTER),
        _ => None,
    };
    answer.headers_mut().extend(again.map(|again| (header::RETRY_AFTER, again)));
    answer
}

/// Everything is escaped; the style sheet, which is ours, is not.
fn render(context: &Context<'_>) -> Result<String, minijinja::Error> {
    let mut environment = Environment::new();
    environment.set_auto_escape_callback(|_| AutoEscape::Html);
    environment.set_undefined_behavior(UndefinedBehavior::Strict);
    environment.render_named_str("page.html", TEMPLATE, Serde(context))
}

/// What a browser may do with the page: show it, use its style sheet, send its form back.
static POLICY: LazyLock<Option<HeaderValue>> = LazyLock::new(|| {
    let hash = STANDARD.encode(Sha256::digest(STYLE));
    let policy = format!(
        "default-src 'none'; style-src 'sha256-{hash}'; form-action 'self'; base-uri 'none'; \
         frame-ancestors 'none'"
    );
    HeaderValue::from_str(&policy).ok()
});

/// Nothing keeps it, nothing indexes it, nothing frames it, and nobody learns where a reader came from.
pub(super) fn with_headers(mut answer: Response) -> Response {
    let headers = answer.headers_mut();
    for (name, value) in [
        (header::CACHE_CONTROL, "no-store"),
        (header::REFERRER_POLICY, "no-referrer"),
        (HeaderName::from_static("x-robots-tag"), "noindex, nofollow"),
        (header::X_CONTENT_TYPE_OPTIONS, "nosniff"),
        (header::X_FRAME_OPTIONS, "DENY"),
    ] {
        headers.insert(name, HeaderValue::from_static(value));
    }
    headers.extend(POLICY.clone().map(|policy| (header::CONTENT_SECURITY_POLICY, policy)));
    answer
}
