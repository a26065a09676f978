//! What people and programs do about alerts over the API.

use super::answer::Failure;
use super::api::{Api, Id, find};
use crate::json;
use axum::body::Bytes;
use axum::extract::State;
use axum::extract::rejection::BytesRejection;
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use axum::{Extension, Json};
use callout_core::alert;
use callout_store::model::{Actor, Alert, Answer, AnswerRequest, Answered};
use serde::Deserialize;
use serde_json::{Value, json};
use std::sync::Arc;

/// The body, all of which may be left out.
#[derive(Default, Deserialize)]
#[serde(deny_unknown_fields)]
struct Words {
    /// Who acts; the token's name if not said.
    by: Option<String>,
    #[serde(default)]
    note: String,
}

/// Writes down an answer to the message in the address.
pub(super) async fn answer(
    Extension(answer): Extension<Answer>,
    Extension(caller): Extension<Actor>,
    State(api): State<Arc<Api>>,
    Id(id): Id,
    body: Result<Bytes, BytesRejection>,
) -> Result<Response, Failure> {
    let body = body.map_err(|e| Failure::new(e.status(), "unreadable_body", e.body_text()))?;
    let Words { by, note } = words(&body)?;
    let invalid = |error: callout_core::message::Invalid| Failure::bad_request(error.to_string());
    let by = alert::author(by.as_deref().unwrap_or(&caller.by)).map_err(invalid)?;
    let note = alert::note(&note).map_err(invalid)?;
    let message = find(&api, id).await?.summary.id;
    let answered = api
        .store
        .answer(AnswerRequest {
            now: api.clock.now(),
            directory: api.directory.clone(),
            message,
            answer,
            who: Actor { by, ..caller },
            note,
            only: None,
            epoch: None,
            entropy: api.clock.entropy(),
        })
        .await?;
    match answered {
        Answered::Done(alert) => Ok(Json(shape(&alert)).into_response()),
        Answered::Refused { alert, why } => Ok(refused(answer, &alert, &why)),
        Answered::NoAlert { why } => Err(Failure::new(StatusCode::CONFLICT, "no_alert", why)),
        Answered::Unknown => Err(Failure::not_found()),
    }
}

fn words(body: &[u8]) -> Result<Words, Failure> {
    if body.trim_ascii().is_empty() {
        return Ok(Words::default());
    }
    serde_json::from_slice(body).map_err(|e| {
        let wanted = r#"write {"by": "alice", "note": "on it"}, or nothing"#;
        Failure::bad_request(format!("the body cannot be read: {e}; {wanted}"))
    })
}

/// Why nothing has changed, and how the alert stands.
fn refused(answer: Answer, alert: &Alert, why: &str) -> Response {
    let has_it = matches!(alert.state, alert::State::Acknowledged(_));
    let code = match answer {
        Answer::Acknowledge if has_it => "already_acknowledged",
        Answer::Acknowledge | Answer::Unacknowledge | Answer::Resolve | Answer::Escalate => {
            "refused"
        }
    };
    let error = json!({ "code": code, "message": why });
    let body = json!({ "error": error, "alert": shape(alert) });
    (StatusCode::CONFLICT, Json(body)).into_response()
}

fn shape(alert: &Alert) -> Value {
    json::alert::alert(alert, &[])
}
