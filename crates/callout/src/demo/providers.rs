//! Stand-ins for three providers, on a port of this machine.
//!
//! They answer as the real ones do: HTTP 200 whatever happened, and the truth in the body. DingTalk has
//! a bad day; WeCom and Slack take everything.

use axum::body::Bytes;
use axum::extract::State;
use axum::routing::post;
use axum::{Json, Router};
use serde_json::{Value, json};
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, PoisonError};
use tokio::net::TcpListener;

/// The running stand-ins. They end with the program's runtime.
pub(super) struct Providers {
    address: SocketAddr,
    received: Arc<Mutex<String>>,
}

impl Providers {
    pub(super) async fn start() -> std::io::Result<Self> {
        let listener = TcpListener::bind("127.0.0.1:0").await?;
        let address = listener.local_addr()?;
        let received = Arc::new(Mutex::default());
        let router = Router::new()
            .route("/robot/send", post(dingtalk))
            .route("/cgi-bin/webhook/send", post(wecom))
            .route("/services/T0/B0/demo", post(slack))
            .with_state(Arc::clone(&received));
        tokio::spawn(async move {
            if let Err(error) = axum::serve(listener, router).await {
                tracing::error!(%error, "the stand-in providers ended");
            }
        });
        Ok(Self { address, received })
    }

    pub(super) fn dingtalk(&self) -> String {
        format!("http://{}/robot/send", self.address)
    }

    pub(super) fn wecom(&self) -> String {
        format!("http://{}/cgi-bin/webhook/send", self.address)
    }

    pub(super) fn slack(&self) -> String {
        format!("http://{}/services/T0/B0/demo", self.address)
    }

    /// Whether the last body that Slack took says so.
    pub(super) fn slack_has_heard(&self, words: &str) -> bool {
        self.received.lock().unwrap_or_else(PoisonError::into_inner).contains(words)
    }

    /// The acknowledge link in the last body that Slack took.
    pub(super) fn link(&self) -> Option<String> {
        let body = self.received.lock().unwrap_or_else(PoisonError::into_inner).clone();
        let body: Value = serde_json::from_str(&body).ok()?;
        find_link(&body)
    }
}

/// The first text in `body` that is a link to an acknowledge page.
fn find_link(body: &Value) -> Option<String> {
    match body {
        Value::String(text) if text.starts_with("http://") && text.contains("/a/") => {
            Some(text.clone())
        }
        Value::Array(items) => items.iter().find_map(find_link),
        Value::Object(fields) => fields.values().find_map(find_link),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => None,
    }
}

async fn dingtalk() -> Json<Value> {
    Json(json!({ "errcode": -1, "errmsg": "system busy" }))
}

async fn wecom() -> Json<Value> {
    Json(json!({ "errcode": 0, "errmsg": "ok" }))
}

async fn slack(State(received): State<Arc<Mutex<String>>>, body: Bytes) -> &'static str {
    *received.lock().unwrap_or_else(PoisonError::into_inner) =
        String::from_utf8_lossy(&body).into_owned();
    "ok"
}
