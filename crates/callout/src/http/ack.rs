//! The page behind the link in a message: see an alert, say who has it.
//!
//! The link is the credential. Programs fetch links too: chat previews, mail scanners, browsers that
//! look ahead. So looking never changes anything, whatever the method; only the page's form does, and
//! it answers with a redirect, so that nothing is sent twice. A link that is forged, foreign, too old or
//! to an alert that is over leads to one and the same answer. No link is ever logged.

mod form;
mod history;
mod language;
mod page;
mod view;
mod words;

use super::answer::Failure;
use super::api::{Api, within};
use super::tries::Tries;
use axum::extract::rejection::PathRejection;
use axum::extract::{ConnectInfo, DefaultBodyLimit, Path, Request, State};
use axum::http::{HeaderMap, HeaderValue, StatusCode, header};
use axum::middleware::{self, Next};
use axum::response::{IntoResponse, Response};
use axum::routing::{any, get};
use axum::{Extension, Router};
use callout_core::alert;
use callout_core::id::MessageId;
use callout_core::ticket::{Links, Ticket};
use callout_core::time::Timestamp;
use callout_store::StoreError;
use callout_store::model::{Actor, Alert, Answer, AnswerRequest, Answered, Seen, Story};
use form::{Hint, Typed, Wish};
use jiff::tz::TimeZone;
use page::Notice;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;
use view::{Reader, Standing, Successor};

/// Links that do not work, which one address may try within a minute.
const WRONG_MAX: u32 = 20;
/// How long a link shows an alert that is over.
const OVER_SHOWN: Duration = Duration::from_secs(86_400);
/// What the page answers to.
const METHODS: HeaderValue = HeaderValue::from_static("GET, HEAD, POST, OPTIONS");

/// Opens links, and counts those that do not work.
pub(crate) struct Door {
    links: Option<Links>,
    zone: TimeZone,
    pub(super) tries: Tries,
}

impl Door {
    /// Without `links` no link works. `zone` is where the readers are.
    pub(crate) fn new(links: Option<Links>, zone: TimeZone) -> Self {
        Self { links, zone, tries: Tries::new(WRONG_MAX) }
    }

    fn open(&self, text: &str, now: Timestamp) -> Option<Ticket> {
        self.links.as_ref()?.seal.open(text, now)
    }

    /// Another ticket of ours.
    fn seal(&self, ticket: &Ticket) -> Option<String> {
        Some(self.links.as_ref()?.seal.ticket(ticket))
    }

    /// The address that people and providers reach us at; empty without links.
    pub(super) fn public_url(&self) -> &str {
        self.links.as_ref().map_or("", |links| &links.public_url)
    }
}

/// The page's routes.
pub(super) fn router(api: Arc<Api>) -> Router {
    Router::new()
        .route("/a/{ticket}", get(show).post(act).options(allow).fallback(not_allowed))
        // Chat programs write more behind a link, or lose its end.
        .route("/a", any(astray))
        .route("/a/", any(astray))
        .route("/a/{ticket}/", any(astray))
        .route("/a/{ticket}/{*more}", any(astray))
        .layer(DefaultBodyLimit::max(form::FORM_BYTES_MAX))
        .layer(middleware::from_fn_with_state(api.clone(), guard))
        .with_state(api)
}

/// Every answer comes in time and with the page's headers.
async fn guard(
    State(api): State<Arc<Api>>,
    headers: HeaderMap,
    request: Request,
    next: Next,
) -> Response {
    let answer = within(api.clock.as_ref(), next.run(request)).await;
    let late =
        || page::notice(Notice::Trouble, StatusCode::REQUEST_TIMEOUT, &reader(&api, &headers));
    page::with_headers(answer.unwrap_or_else(late))
}

async fn allow() -> Response {
    (StatusCode::NO_CONTENT, [(header::ALLOW, METHODS)]).into_response()
}

async fn not_allowed(State(api): State<Arc<Api>>, headers: HeaderMap) -> Response {
    let reader = reader(&api, &headers);
    let answer = page::notice(Notice::Method, StatusCode::METHOD_NOT_ALLOWED, &reader);
    ([(header::ALLOW, METHODS)], answer).into_response()
}

fn reader(api: &Api, headers: &HeaderMap) -> Reader {
    let accepted = headers.get(header::ACCEPT_LANGUAGE).and_then(|value| value.to_str().ok());
    let locale = language::pick(accepted.unwrap_or_default());
    Reader { words: words::words(locale), zone: api.door.zone.clone(), now: api.clock.now() }
}

/// What begins like a link and is none.
async fn astray(
    State(api): State<Arc<Api>>,
    Extension(ConnectInfo(peer)): Extension<ConnectInfo<SocketAddr>>,
    headers: HeaderMap,
) -> Response {
    let reader = reader(&api, &headers);
    let refused = open(&api, peer.ip(), None, reader.now).await.err();
    refused.unwrap_or(Refused::Gone).answer(&reader)
}

async fn show(
    State(api): State<Arc<Api>>,
    Extension(ConnectInfo(peer)): Extension<ConnectInfo<SocketAddr>>,
    ticket: Result<Path<String>, PathRejection>,
    headers: HeaderMap,
) -> Response {
    let reader = reader(&api, &headers);
    let ticket = ticket.ok().map(|Path(ticket)| ticket);
    match open(&api, peer.ip(), ticket.as_deref(), reader.now).await {
        Ok(opened) => {
            let name = form::remembered(&headers).unwrap_or_default();
            opened.page(&Typed::named(name), None, &reader)
        }
        Err(refused) => refused.answer(&reader),
    }
}

async fn act(
    State(api): State<Arc<Api>>,
    Extension(ConnectInfo(peer)): Extension<ConnectInfo<SocketAddr>>,
    ticket: Result<Path<String>, PathRejection>,
    headers: HeaderMap,
    request: Request,
) -> Response {
    let reader = reader(&api, &headers);
    let ticket = ticket.ok().map(|Path(ticket)| ticket);
    let opened = match open(&api, peer.ip(), ticket.as_deref(), reader.now).await {
        Ok(opened) => opened,
        Err(refused) => return refused.answer(&reader),
    };
    let name = form::remembered(&headers).unwrap_or_default();
    if form::is_foreign(&headers, api.door.public_url()) {
        return opened.page(&Typed::named(name), Some(Hint::Foreign), &reader);
    }
    let typed = match form::read(request).await {
        Ok(typed) => typed,
        Err(hint) => return opened.page(&Typed::named(name), Some(hint), &reader),
    };
    let wish = match typed.wish() {
        Ok(wish) => wish,
        Err(hint) => return opened.page(&typed, Some(hint), &reader),
    };
    // A second use, or a page that was open for long: the page says how it stands.
    if !Standing::of(&opened.alert).actions().contains(&wish.action) {
        return back(&api, ticket.as_deref(), &wish.by);
    }
    match answer(&api, peer.ip(), &opened, &wish).await {
        Ok(Answered::Done(_) | Answered::Refused { .. }) => back(&api, ticket.as_deref(), &wish.by),
        Ok(Answered::NoAlert { .. } | Answered::Unknown) => Refused::Gone.answer(&reader),
        Err(error) => opened.page(&typed, Some(hint_of(error)), &reader),
    }
}

/// An alert that a link leads to.
pub(super) struct Opened {
    pub(super) ticket: Ticket,
    story: Story,
    pub(super) alert: Alert,
    successor: Option<Successor>,
}

/// Why a link leads nowhere.
#[derive(Clone, Copy, Debug)]
pub(super) enum Refused {
    /// It is wrong, foreign, too old, or what it leads to is over or gone.
    Gone,
    /// The same, too often.
    TooMany,
    /// The store cannot be read.
    Trouble(StatusCode),
}

impl Refused {
    fn answer(self, reader: &Reader) -> Response {
        let (notice, status) = match self {
            Self::Gone => (Notice::Gone, StatusCode::NOT_FOUND),
            Self::TooMany => (Notice::TooMany, StatusCode::TOO_MANY_REQUESTS),
            Self::Trouble(status) => (Notice::Trouble, status),
        };
        page::notice(notice, status, reader)
    }
}

impl Opened {
    fn page(&self, typed: &Typed, hint: Option<Hint>, reader: &Reader) -> Response {
        let view = view::view(
            &self.story,
            &self.alert,
            self.successor.as_ref(),
            &self.ticket.receiver,
            reader,
        );
        page::alert(&view, typed, hint, reader)
    }
}

/// Opens a link by its ticket, wherever it came from. Wrong ones are counted.
///
/// # Errors
/// Why it leads nowhere.
pub(super) async fn open(
    api: &Api,
    peer: IpAddr,
    text: Option<&str>,
    now: Timestamp,
) -> Result<Opened, Refused> {
    let ticket = text.and_then(|text| api.door.open(text, now));
    if ticket.is_none() && api.door.tries.are_too_many(peer, now) {
        return Err(Refused::TooMany);
    }
    // A wrong link costs a look into the store like a right one.
    let id = ticket.as_ref().map_or(MessageId::from_bytes([0; 16]), |ticket| ticket.message);
    let story = match api.store.story(id.to_string()).await {
        Ok(story) => story,
        Err(error) => return Err(Refused::Trouble(Failure::from(error).status())),
    };
    if let Some((ticket, mut story)) = ticket.zip(story)
        && let Some(alert) = story.alert.take().filter(|alert| alert.epoch == ticket.epoch)
    {
        let successor = successor(api, &alert, &ticket, now).await?;
        if successor.is_some() || !is_long_over(&alert, now) {
            return Ok(Opened { ticket, story, alert, successor });
        }
    }
    let too_many = api.door.tries.are_too_many(peer, now);
    api.door.tries.note(peer, now);
    Err(if too_many { Refused::TooMany } else { Refused::Gone })
}

/// The alert that took the place of this one, with a link for the same receiver and until the same end.
async fn successor(
    api: &Api,
    alert: &Alert,
    ticket: &Ticket,
    now: Timestamp,
) -> Result<Option<Successor>, Refused> {
    let Some(id) = &alert.superseded_by else { return Ok(None) };
    let trouble = |error| Refused::Trouble(Failure::from(error).status());
    let Some(mut story) = api.store.story(id.clone()).await.map_err(trouble)? else {
        return Ok(None);
    };
    let alert = story.alert.take().filter(|alert| !is_long_over(alert, now));
    Ok(alert.zip(id.parse().ok()).and_then(|(alert, message)| {
        let ticket = Ticket { message, epoch: alert.epoch, ..ticket.clone() };
        Some(Successor { link: api.door.seal(&ticket)?, title: story.summary.title, alert })
    }))
}

fn is_long_over(alert: &Alert, now: Timestamp) -> bool {
    match &alert.state {
        alert::State::Resolved(deed) => now.since(deed.at) > OVER_SHOWN,
        alert::State::Open | alert::State::Acknowledged(_) => false,
    }
}

async fn answer(
    api: &Api,
    peer: IpAddr,
    opened: &Opened,
    wish: &Wish,
) -> Result<Answered, StoreError> {
    let ticket = &opened.ticket;
    let origin = format!("{peer}, link of {}", ticket.receiver);
    let who = Actor { by: wish.by.clone(), via: alert::Via::Page, origin: Some(origin) };
    write_down(api, ticket, wish.answer, who, wish.note.clone(), wish.only).await
}

/// Writes down what somebody with this ticket does.
pub(super) async fn write_down(
    api: &Api,
    ticket: &Ticket,
    answer: Answer,
    who: Actor,
    note: Option<String>,
    only: Option<Seen>,
) -> Result<Answered, StoreError> {
    let ask = AnswerRequest {
        now: api.clock.now(),
        directory: api.directory.clone(),
        message: ticket.message.to_string(),
        answer,
        who,
        note,
        only,
        epoch: Some(ticket.epoch),
        entropy: api.clock.entropy(),
    };
    api.store.answer(ask).await
}

fn hint_of(error: StoreError) -> Hint {
    let unknown = matches!(error, StoreError::CommitUnknown(_) | StoreError::Stopped(_));
    match Failure::from(error).status() {
        _ if unknown => Hint::Unknown,
        StatusCode::INSUFFICIENT_STORAGE => Hint::Full,
        StatusCode::SERVICE_UNAVAILABLE => Hint::Busy,
        _ => Hint::Broken,
    }
}

/// Who acts and with which note, by a form; what a browser remembers of the name, read back.
#[cfg(fuzzing)]
pub async fn form_for_fuzzing(
    request: Request,
) -> Option<(String, Option<String>, Option<String>)> {
    let headers = request.headers().clone();
    let _foreign = form::is_foreign(&headers, "https://callout.example.com/alerts");
    let language = headers.get(header::ACCEPT_LANGUAGE).and_then(|value| value.to_str().ok());
    let _locale = language::pick(language.unwrap_or_default());
    let _name = form::remembered(&headers);
    let wish = form::read(request).await.ok()?.wish().ok()?;
    let cookie = form::remember(&wish.by, "https://callout.example.com/alerts")?;
    let pair = cookie.to_str().ok()?.split(';').next()?;
    let back = HeaderMap::from_iter([(header::COOKIE, HeaderValue::from_str(pair).ok()?)]);
    Some((wish.by, wish.note, form::remembered(&back)))
}

/// Back to the page, whose address may have another path in front of a proxy.
fn back(api: &Api, ticket: Option<&str>, by: &str) -> Response {
    let ticket = ticket.and_then(|ticket| HeaderValue::from_str(ticket).ok());
    let mut answer = StatusCode::SEE_OTHER.into_response();
    let headers = answer.headers_mut();
    headers.extend(ticket.map(|ticket| (header::LOCATION, ticket)));
    headers
        .extend(form::remember(by, api.door.public_url()).map(|name| (header::SET_COOKIE, name)));
    answer
}

#[cfg(test)]
mod tests;
