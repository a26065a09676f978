//! The routes.
//!
//! Each one is listed once, in [`router`], with the scope it needs; a test walks the same table with
//! every kind of credential.

use super::ack;
use super::alert;
use super::answer::Failure;
use super::auth::Gate;
use super::callback::{self, Ears};
use super::metrics;
use crate::config::Scope;
use crate::{json, narrate};
use axum::body::Bytes;
use axum::extract::{ConnectInfo, DefaultBodyLimit, FromRequestParts, Path, Query, Request, State};
use axum::http::request::Parts;
use axum::http::{HeaderMap, StatusCode, header};
use axum::middleware::{self, Next};
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use axum::{Extension, Json, Router};
use callout_core::id::{MessageId, ReceiverName};
use callout_core::message::{MESSAGE_BYTES_MAX, Message};
use callout_core::plan::{Directory, MessageState};
use callout_core::time::Timestamp;
use callout_store::model::{
    Actor, AlertFilter, Answer, Command, CommandRequest, Filter, Found, NewMessage, Story,
};
use callout_store::{Store, StoreError};
use callout_worker::{Clock, Status};
use serde::Deserialize;
use serde_json::{Value, json};
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

/// How long a client may take to send its body, and we to answer.
const REQUEST_TIMEOUT: Duration = Duration::from_secs(30);
/// A worker that has not gone round for so long is not ready.
const STALL: Duration = Duration::from_secs(30);
/// Messages on a page if the client does not say.
const PAGE: usize = 50;
/// The most messages on a page.
const PAGE_MAX: usize = 500;

/// What the routes work with.
pub(crate) struct Api {
    pub(crate) store: Arc<dyn Store>,
    pub(crate) clock: Arc<dyn Clock>,
    pub(crate) directory: Arc<Directory>,
    pub(crate) gate: Gate,
    pub(crate) door: ack::Door,
    pub(crate) ears: Ears,
    pub(crate) worker: Status,
    /// Set once the program is asked to stop.
    pub(crate) stopping: AtomicBool,
}

impl Api {
    /// Serves what this worker works on.
    pub(crate) fn new(
        store: Arc<dyn Store>,
        clock: Arc<dyn Clock>,
        directory: Arc<Directory>,
        gate: Gate,
        door: ack::Door,
        ears: Ears,
        worker: Status,
    ) -> Self {
        let stopping = AtomicBool::new(false);
        Self { store, clock, directory, gate, door, ears, worker, stopping }
    }
}

/// All routes.
pub(crate) fn router(api: Arc<Api>) -> Router {
    let guarded = |scope: Scope| middleware::from_fn_with_state((api.clone(), scope), guard);
    let answer = |answer: Answer| {
        post(alert::answer).layer(Extension(answer)).layer(guarded(Scope::Operate))
    };
    Router::new()
        .route("/v1/messages", post(enqueue).layer(guarded(Scope::Send)))
        .route("/v1/messages", get(list).layer(guarded(Scope::Read)))
        .route("/v1/messages/{id}", get(show).layer(guarded(Scope::Read)))
        .route("/v1/messages/{id}/cancel", post(cancel).layer(guarded(Scope::Operate)))
        .route("/v1/messages/{id}/replay", post(replay).layer(guarded(Scope::Operate)))
        .route("/v1/messages/{id}/ack", answer(Answer::Acknowledge))
        .route("/v1/messages/{id}/unack", answer(Answer::Unacknowledge))
        .route("/v1/messages/{id}/resolve", answer(Answer::Resolve))
        .route("/v1/messages/{id}/escalate", answer(Answer::Escalate))
        .route("/v1/callbacks/{provider}", callback::route())
        .route("/metrics", get(metrics).layer(guarded(Scope::Read)))
        .route("/healthz", get(|| async { "ok\n" }))
        .route("/readyz", get(ready))
        .fallback(|| async { Failure::not_found() })
        .method_not_allowed_fallback(|| async {
            Failure::new(
                StatusCode::METHOD_NOT_ALLOWED,
                "method_not_allowed",
                "this address has no such method",
            )
        })
        .layer(DefaultBodyLimit::max(MESSAGE_BYTES_MAX))
        .layer(middleware::from_fn_with_state(api.clone(), in_time))
        .with_state(api.clone())
        .merge(ack::router(api))
}

async fn guard(
    State((api, scope)): State<(Arc<Api>, Scope)>,
    Extension(ConnectInfo(peer)): Extension<ConnectInfo<SocketAddr>>,
    mut request: Request,
    next: Next,
) -> Response {
    match api.gate.check(request.headers(), peer.ip(), scope, api.clock.now()) {
        Ok(who) => {
            request.extensions_mut().insert(who);
            next.run(request).await
        }
        Err(failure) => failure.into_response(),
    }
}

async fn in_time(State(api): State<Arc<Api>>, request: Request, next: Next) -> Response {
    let too_slow =
        || Failure::new(StatusCode::REQUEST_TIMEOUT, "timeout", "the request took too long");
    let response = within(api.clock.as_ref(), next.run(request)).await;
    let mut response = response.unwrap_or_else(|| too_slow().into_response());
    response
        .headers_mut()
        .insert(header::CACHE_CONTROL, header::HeaderValue::from_static("no-store"));
    let nosniff = header::HeaderValue::from_static("nosniff");
    response.headers_mut().insert(header::X_CONTENT_TYPE_OPTIONS, nosniff);
    response
}

/// The answer, unless it takes longer than [`REQUEST_TIMEOUT`].
pub(super) async fn within(
    clock: &dyn Clock,
    answer: impl Future<Output = Response>,
) -> Option<Response> {
    tokio::select! {
        response = answer => Some(response),
        () = clock.wait_until(clock.now() + REQUEST_TIMEOUT) => None,
    }
}

async fn enqueue(
    State(api): State<Arc<Api>>,
    headers: HeaderMap,
    body: Result<Bytes, axum::extract::rejection::BytesRejection>,
) -> Result<Response, Failure> {
    let body = body.map_err(|e| Failure::new(e.status(), "unreadable_body", e.body_text()))?;
    let mut message: Message = serde_json::from_slice(&body)
        .map_err(|e| Failure::bad_request(format!("the body is no message: {e}")))?;
    if let Some(key) = headers.get("idempotency-key") {
        let key = key
            .to_str()
            .map_err(|_| Failure::bad_request("the header Idempotency-Key is no plain text"))?;
        message.idempotency_key = Some(key.to_owned());
    }
    if let Some(name) = unknown_receiver(&message, &api.directory) {
        return Err(Failure::new(
            StatusCode::BAD_REQUEST,
            "unknown_receiver",
            format!("no receiver is called {name:?}"),
        ));
    }
    let created_at = api.clock.now();
    let id = MessageId::new(created_at, api.clock.entropy());
    let enqueued = api.store.enqueue(vec![NewMessage { id, created_at, message }]).await?;
    let enqueued = enqueued.into_iter().next().unwrap_or(Err(StoreError::Closed))?;
    Ok((StatusCode::ACCEPTED, Json(json!({ "id": enqueued.id.to_string() }))).into_response())
}

fn unknown_receiver<'a>(message: &'a Message, directory: &Directory) -> Option<&'a str> {
    let known = |name: &&String| {
        name.parse::<ReceiverName>().is_ok_and(|name| directory.receivers.contains_key(&name))
    };
    message.to.iter().find(|name| !known(name)).map(String::as_str)
}

/// The query of a list. `label` is `name=value`.
#[derive(Default, Deserialize)]
#[serde(deny_unknown_fields)]
struct ListQuery {
    state: Option<String>,
    level: Option<String>,
    receiver: Option<String>,
    channel: Option<String>,
    label: Option<String>,
    since: Option<String>,
    alert: Option<String>,
    limit: Option<usize>,
    after: Option<i64>,
}

impl ListQuery {
    fn filter(&self) -> Result<Filter, Failure> {
        fn read<T>(
            name: &str,
            value: Option<&String>,
            parse: impl Fn(&str) -> Option<T>,
        ) -> Result<Option<T>, Failure> {
            let bad = |value: &str| Failure::bad_request(format!("{value:?} is no {name}"));
            value.map(|value| parse(value).ok_or_else(|| bad(value))).transpose()
        }
        let label = |text: &str| {
            text.split_once('=').map(|(name, value)| (name.to_owned(), value.to_owned()))
        };
        let instant = |text: &str| {
            Timestamp::from_unix_ms(text.parse::<jiff::Timestamp>().ok()?.as_millisecond())
        };
        Ok(Filter {
            state: read("state", self.state.as_ref(), MessageState::from_name)?,
            level: read("level", self.level.as_ref(), |text| text.parse().ok())?,
            receiver: read("receiver", self.receiver.as_ref(), |text| text.parse().ok())?,
            channel: read("channel", self.channel.as_ref(), |text| text.parse().ok())?,
            labels: read("label", self.label.as_ref(), label)?.into_iter().collect(),
            since: read("RFC 3339 time", self.since.as_ref(), instant)?,
            alert: read("state of an alert", self.alert.as_ref(), alert_filter)?,
        })
    }
}

fn alert_filter(word: &str) -> Option<AlertFilter> {
    match word {
        "unacked" => Some(AlertFilter::Unacknowledged),
        "acked" => Some(AlertFilter::Acknowledged),
        "exhausted" => Some(AlertFilter::Exhausted),
        _ => None,
    }
}

async fn list(
    State(api): State<Arc<Api>>,
    query: Result<Query<ListQuery>, axum::extract::rejection::QueryRejection>,
) -> Result<Json<Value>, Failure> {
    let Query(query) = query.map_err(|e| Failure::bad_request(e.body_text()))?;
    let limit = query.limit.unwrap_or(PAGE).clamp(1, PAGE_MAX);
    let page = api.store.list(query.filter()?, query.after, limit).await?;
    Ok(Json(json!({ "messages": json::page(&page), "next": page.next })))
}

/// The id in the address, which may be no text at all.
pub(super) struct Id(pub(super) String);

impl<S: Send + Sync> FromRequestParts<S> for Id {
    type Rejection = Failure;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Failure> {
        match Path::<String>::from_request_parts(parts, state).await {
            Ok(Path(id)) => Ok(Self(id)),
            Err(refused) => Err(Failure::bad_request(refused.body_text())),
        }
    }
}

async fn show(State(api): State<Arc<Api>>, Id(id): Id) -> Result<Json<Value>, Failure> {
    Ok(Json(json::story(&find(&api, id).await?)))
}

pub(super) async fn find(api: &Api, id: String) -> Result<Story, Failure> {
    match api.store.find(id).await? {
        Found::One(id) => api.store.story(id).await?.ok_or_else(Failure::not_found),
        Found::None => Err(Failure::not_found()),
        Found::Many(_) => {
            Err(Failure::bad_request("several messages begin like that; give more of the id"))
        }
    }
}

async fn cancel(
    State(api): State<Arc<Api>>,
    Extension(who): Extension<Actor>,
    Id(id): Id,
) -> Result<Json<Value>, Failure> {
    command(&api, who, id, Command::Cancel).await
}

async fn replay(
    State(api): State<Arc<Api>>,
    Extension(who): Extension<Actor>,
    Id(id): Id,
) -> Result<Json<Value>, Failure> {
    command(&api, who, id, Command::Replay).await
}

async fn command(
    api: &Api,
    who: Actor,
    id: String,
    command: Command,
) -> Result<Json<Value>, Failure> {
    let story = find(api, id).await?;
    let stopped = match command {
        Command::Replay => story.alert.as_ref().and_then(narrate::alert::stopped),
        Command::Cancel => None,
    };
    let ask = CommandRequest {
        now: api.clock.now(),
        directory: api.directory.clone(),
        command,
        messages: vec![story.summary.id.clone()],
        who,
    };
    let changed = api.store.command(ask).await?;
    if changed == 0 {
        let state = story.summary.state.name();
        let message =
            stopped.unwrap_or_else(|| format!("the message is {state}, so there is nothing to do"));
        return Err(Failure::new(StatusCode::CONFLICT, "nothing_to_do", message));
    }
    Ok(Json(json!({ "id": story.summary.id, "deliveries": changed })))
}

async fn metrics(State(api): State<Arc<Api>>) -> Result<Response, Failure> {
    let now = api.clock.now();
    let (stats, health) = (api.store.stats(now).await?, api.store.health().await?);
    let text = metrics::text(&stats, &health, api.worker.last_turn(), now).map_err(|_| {
        Failure::new(
            StatusCode::INTERNAL_SERVER_ERROR,
            "internal",
            "the metrics could not be written",
        )
    })?;
    let kind = "application/openmetrics-text; version=1.0.0; charset=utf-8";
    Ok(([(header::CONTENT_TYPE, kind)], text).into_response())
}

/// Ready: not stopping, the worker goes round, and the store answers.
async fn ready(State(api): State<Arc<Api>>) -> Response {
    let now = api.clock.now();
    let trouble = if api.stopping.load(Ordering::Relaxed) {
        Some("stopping".to_owned())
    } else if !api.worker.is_running() {
        Some("the worker has ended".to_owned())
    } else if now.since(api.worker.last_turn()) > STALL {
        Some("the worker hangs, or the outbox cannot be written".to_owned())
    } else {
        api.store.health().await.err().map(|error| error.to_string())
    };
    match trouble {
        None => "ready\n".into_response(),
        Some(trouble) => (StatusCode::SERVICE_UNAVAILABLE, trouble + "\n").into_response(),
    }
}
