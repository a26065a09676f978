//! What the API says when it cannot do what it was asked: one JSON shape for every error.
//!
//! `{"error": {"code": "key_taken", "message": "what, where and what to do"}}`

use axum::Json;
use axum::http::{HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use callout_store::StoreError;
use serde_json::json;
use std::error::Error as _;

/// Seconds after which to try again when the outbox was busy or full.
const RETRY_AFTER: HeaderValue = HeaderValue::from_static("5");

/// An error with its status and its stable code.
#[derive(Debug)]
pub(crate) struct Failure {
    status: StatusCode,
    code: &'static str,
    message: String,
}

impl Failure {
    pub(crate) fn new(status: StatusCode, code: &'static str, message: impl Into<String>) -> Self {
        Self { status, code, message: message.into() }
    }

    pub(crate) fn status(&self) -> StatusCode {
        self.status
    }

    pub(crate) fn bad_request(message: impl Into<String>) -> Self {
        Self::new(StatusCode::BAD_REQUEST, "bad_request", message)
    }

    pub(crate) fn not_found() -> Self {
        Self::new(StatusCode::NOT_FOUND, "not_found", "there is nothing here by that name")
    }

    pub(crate) fn too_many(message: impl Into<String>) -> Self {
        Self::new(StatusCode::TOO_MANY_REQUESTS, "too_many_requests", message)
    }
}

impl From<StoreError> for Failure {
    fn from(error: StoreError) -> Self {
        let (status, code) = match &error {
            StoreError::Invalid(_) => (StatusCode::BAD_REQUEST, "invalid_message"),
            StoreError::KeyTaken { .. } => (StatusCode::CONFLICT, "key_taken"),
            StoreError::Busy(_) | StoreError::Closed => (StatusCode::SERVICE_UNAVAILABLE, "busy"),
            StoreError::CommitUnknown(_) | StoreError::Stopped(_) => {
                (StatusCode::SERVICE_UNAVAILABLE, "unknown")
            }
            StoreError::Failing { .. } => (StatusCode::SERVICE_UNAVAILABLE, "failing"),
            StoreError::Full(_) => (StatusCode::INSUFFICIENT_STORAGE, "full"),
            _ => (StatusCode::INTERNAL_SERVER_ERROR, "internal"),
        };
        if status.is_server_error() {
            let cause = error.source().map(ToString::to_string).unwrap_or_default();
            tracing::error!(%error, cause, "the outbox could not do what the API was asked");
        }
        Self::new(status, code, error.to_string())
    }
}

impl IntoResponse for Failure {
    fn into_response(self) -> Response {
        let body = Json(json!({ "error": { "code": self.code, "message": self.message } }));
        let mut response = (self.status, body).into_response();
        let again = matches!(
            self.status,
            StatusCode::SERVICE_UNAVAILABLE
                | StatusCode::INSUFFICIENT_STORAGE
                | StatusCode::TOO_MANY_REQUESTS
        );
        if again {
            response.headers_mut().insert(header::RETRY_AFTER, RETRY_AFTER);
        }
        if self.status == StatusCode::UNAUTHORIZED {
            response
                .headers_mut()
                .insert(header::WWW_AUTHENTICATE, HeaderValue::from_static("Bearer"));
        }
        response
    }
}
