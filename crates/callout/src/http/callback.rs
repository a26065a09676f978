//! `/v1/callbacks/{provider}`: providers say that somebody pressed the button in a chat, or a key.
//!
//! No token: a channel's own check of the provider's signature is the credential, and the ticket in the
//! button allows what the link in the same message allows, an acknowledgment of one alert. Whatever no
//! channel recognises gets one and the same answer, whether that provider is configured or not.
//!
//! A provider that heard no answer may ask again, and whoever listened may too. Both find what became of
//! the first call: the same answer, and never a second effect. What is remembered for that is bounded,
//! and gone with the process; then the age that a provider's signature may have is what protects.

use super::ack;
use super::answer::Failure;
use super::api::Api;
use axum::Extension;
use axum::body::Bytes;
use axum::extract::rejection::PathRejection;
use axum::extract::{ConnectInfo, DefaultBodyLimit, FromRequest as _, Path, Request, State};
use axum::http::request::Parts;
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::{MethodRouter, get};
use callout_channels::callback::{Callback, Heard, Inbound, Press, Pressed, Reply};
use callout_channels::{Channel, cut_text, harmless_line};
use callout_core::alert::{self, Via};
use callout_core::id::ChannelName;
use callout_core::message::NAME_BYTES_MAX;
use callout_core::time::Timestamp;
use callout_store::StoreError;
use callout_store::model::{Actor, Alert, Answer, Answered};
use callout_worker::LaneSetup;
use sha2::{Digest as _, Sha256};
use std::collections::HashMap;
use std::net::{IpAddr, SocketAddr};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

/// The most bytes a provider may send.
const BODY_BYTES_MAX: usize = 64 * 1024;
/// How long a press is remembered: longer than any provider's signature is good for.
const REMEMBERED: Duration = Duration::from_secs(600);
/// The most presses that are remembered. More in that time are told to try again.
const PRESSES_MAX: usize = 4096;

/// A channel that may hear its provider. Tests bring their own.
pub(crate) trait Hears: Send + Sync {
    /// How it hears, if its settings allow that.
    fn callback(&self) -> Option<&dyn Callback>;
}

impl Hears for Channel {
    fn callback(&self) -> Option<&dyn Callback> {
        Self::callback(self)
    }
}

/// One configured channel that hears its provider.
pub(crate) struct Ear {
    pub(crate) channel: ChannelName,
    /// The end of the address that the provider calls.
    pub(crate) provider: &'static str,
    pub(crate) hears: Arc<dyn Hears>,
}

/// Everybody who hears, and what was heard lately.
#[derive(Default)]
pub(crate) struct Ears {
    ears: Vec<Ear>,
    memory: Memory,
}

impl Ears {
    pub(crate) fn new(ears: Vec<Ear>) -> Self {
        Self { ears, memory: Memory::default() }
    }

    /// Those of the worker's channels that hear their provider.
    pub(crate) fn of(lanes: &[LaneSetup]) -> Self {
        let ears = lanes.iter().filter(|lane| lane.channel.callback().is_some());
        let ears = ears.filter_map(|lane| {
            let (channel, hears) = (lane.name.clone(), lane.channel.clone());
            Some(Ear { channel, provider: lane.channel.spec().callback?, hears })
        });
        Self::new(ears.collect())
    }
}

/// The route's methods.
pub(super) fn route() -> MethodRouter<Arc<Api>> {
    get(heard).post(heard).layer(DefaultBodyLimit::max(BODY_BYTES_MAX))
}

async fn heard(
    State(api): State<Arc<Api>>,
    Extension(ConnectInfo(peer)): Extension<ConnectInfo<SocketAddr>>,
    provider: Result<Path<String>, PathRejection>,
    request: Request,
) -> Result<Response, Failure> {
    let (parts, body) = request.into_parts();
    let limited = Request::from_parts(parts.clone(), body);
    let body = Bytes::from_request(limited, &()).await;
    let body = body.map_err(|e| Failure::new(e.status(), "unreadable_body", e.body_text()))?;
    let provider = provider.map(|Path(provider)| provider).unwrap_or_default();
    let now = api.clock.now();
    let Some((ear, heard)) = hear(&api, &provider, &parts, &body, now) else {
        return Err(unheard(&api, &provider, peer.ip(), now));
    };
    let press = match heard {
        Heard::Other(reply) => return Ok(response(reply)),
        Heard::Pressed(press) => press,
    };
    let pressed = pressed(&api, peer.ip(), ear, &press, now).await;
    tracing::info!(channel = %ear.channel, outcome = word(&pressed), "a button was pressed");
    let reply = |callback: &dyn Callback| callback.reply(&pressed, api.directory.locale);
    Ok(response(ear.hears.callback().map_or_else(Reply::empty, reply)))
}

/// The first channel that is certain that its own provider calls, and what it says.
fn hear<'a>(
    api: &'a Api,
    provider: &str,
    parts: &Parts,
    body: &[u8],
    at: Timestamp,
) -> Option<(&'a Ear, Heard)> {
    let called = parts.uri.path_and_query().map_or("", |called| called.as_str());
    // Behind a proxy the address that the provider used is not the one that reaches us.
    let url = format!("{}{called}", api.door.public_url());
    let header = |name: &str| parts.headers.get(name).and_then(|value| value.to_str().ok());
    let call = Inbound { method: parts.method.as_str(), url: &url, header: &header, body };
    let ears = api.ears.ears.iter().filter(|ear| ear.provider == provider);
    ears.filter_map(|ear| Some((ear, ear.hears.callback()?.hear(&call, at)?))).next()
}

/// Says nothing about what is configured, and slows down whoever guesses. Right calls never come here.
fn unheard(api: &Api, provider: &str, peer: IpAddr, now: Timestamp) -> Failure {
    if api.door.tries.are_too_many(peer, now) {
        return Failure::too_many("too many wrong calls from this address; wait a minute");
    }
    api.door.tries.note(peer, now);
    // Whoever set up a channel that hears sees here why its buttons do nothing.
    if let Some(ear) = api.ears.ears.iter().find(|ear| ear.provider == provider) {
        tracing::warn!(
            provider = ear.provider,
            "a callback was refused: unless a stranger made it, compare the secret that signs it, public_url and this machine's clock",
        );
    }
    let message = "no channel knows this call as one of its provider";
    Failure::new(StatusCode::UNAUTHORIZED, "unauthorized", message)
}

fn response(reply: Reply) -> Response {
    let Ok(status) = StatusCode::from_u16(reply.status) else {
        return StatusCode::INTERNAL_SERVER_ERROR.into_response();
    };
    (status, [(header::CONTENT_TYPE, reply.content_type)], reply.body).into_response()
}

/// Acknowledges for whoever pressed, unless that was done before; says how it stands then.
async fn pressed(api: &Api, peer: IpAddr, ear: &Ear, press: &Press, now: Timestamp) -> Pressed {
    let by = name(&press.by, ear.provider);
    // Before it is remembered: what opens nothing changes nothing, and would only take up room.
    let opened = match ack::open(api, peer, Some(press.ticket.expose()), now).await {
        Ok(opened) => opened,
        Err(ack::Refused::Trouble(_)) => return Pressed::Failed,
        Err(ack::Refused::Gone | ack::Refused::TooMany) => return Pressed::Gone,
    };
    let once = Once::of(ear.provider, &press.once);
    let is_new = api.ears.memory.takes(once, now);
    if !is_new || opened.alert.state != alert::State::Open {
        return standing(&opened.alert, &by);
    }
    let origin = format!("{} callback, link of {}", ear.provider, opened.ticket.receiver);
    let who = Actor { by: by.clone(), via: Via::Channel, origin: Some(origin) };
    let answered = ack::write_down(api, &opened.ticket, Answer::Acknowledge, who, None, None).await;
    if answered.as_ref().is_err_and(|error| !matches!(error, StoreError::CommitUnknown(_))) {
        api.ears.memory.forget(once);
    }
    became(answered, &by)
}

/// What became of the wish to acknowledge.
fn became(answered: Result<Answered, StoreError>, by: &str) -> Pressed {
    match answered {
        Ok(Answered::Done(_)) => Pressed::Taken,
        Ok(Answered::Refused { alert, .. }) => standing(&alert, by),
        Ok(Answered::NoAlert { .. } | Answered::Unknown) => Pressed::Gone,
        Err(error) => {
            tracing::error!(%error, "the outbox could not do what a callback asked");
            Pressed::Failed
        }
    }
}

/// How an alert stands, for one who wanted to have it.
fn standing(alert: &Alert, by: &str) -> Pressed {
    match &alert.state {
        // It is not over: a newer alert for the same problem took its place, with a button of its own.
        _ if alert.superseded_by.is_some() => Pressed::Gone,
        alert::State::Open => Pressed::Failed,
        // The answer to the first of two equal calls was lost.
        alert::State::Acknowledged(deed) if deed.by == by && deed.via == Via::Channel => {
            Pressed::Taken
        }
        alert::State::Acknowledged(deed) => {
            Pressed::Answered { by: deed.by.clone(), resolved: false }
        }
        alert::State::Resolved(deed) => Pressed::Answered { by: deed.by.clone(), resolved: true },
    }
}

/// What the journal calls whoever pressed; the provider where its name for them is none.
fn name(by: &str, provider: &str) -> String {
    // A UTF-16 unit has three bytes at most.
    let by = cut_text(&harmless_line(by), NAME_BYTES_MAX / 3);
    alert::author(&by).unwrap_or_else(|_| format!("somebody on {provider}"))
}

fn word(pressed: &Pressed) -> &'static str {
    match pressed {
        Pressed::Taken => "taken",
        Pressed::Answered { .. } => "answered before",
        Pressed::Gone => "gone",
        Pressed::Failed => "failed",
    }
}

/// Tells one press from all others, without keeping a signature.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
struct Once([u8; 32]);

impl Once {
    fn of(provider: &str, once: &str) -> Self {
        let hash = Sha256::new_with_prefix(provider).chain_update([0]).chain_update(once);
        Self(hash.finalize().into())
    }
}

/// What was pressed within [`REMEMBERED`].
#[derive(Default)]
struct Memory(Mutex<HashMap<Once, Timestamp>>);

impl Memory {
    /// Whether this press is new, and there is room to remember it.
    fn takes(&self, once: Once, now: Timestamp) -> bool {
        let mut known = self.known();
        if known.len() >= PRESSES_MAX || known.contains_key(&once) {
            known.retain(|_, at| now.since(*at) < REMEMBERED);
        }
        if known.len() >= PRESSES_MAX || known.contains_key(&once) {
            return false;
        }
        known.insert(once, now);
        true
    }

    /// Lets a press come again that changed nothing.
    fn forget(&self, once: Once) {
        self.known().remove(&once);
    }

    fn known(&self) -> MutexGuard<'_, HashMap<Once, Timestamp>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests;
