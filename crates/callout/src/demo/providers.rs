//! Stand-ins for two providers, on a port of this machine.
//!
//! They answer as the real ones do: HTTP 200 whatever happened, and the truth in `errcode`. DingTalk
//! has a bad day; WeCom takes everything.

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

    /// The last body WeCom took.
    pub(super) fn received_by_wecom(&self) -> String {
        self.received.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

async fn dingtalk() -> Json<Value> {
    Json(json!({ "errcode": -1, "errmsg": "system busy" }))
}

async fn wecom(State(received): State<Arc<Mutex<String>>>, body: Bytes) -> Json<Value> {
    *received.lock().unwrap_or_else(PoisonError::into_inner) =
        String::from_utf8_lossy(&body).into_owned();
    Json(json!({ "errcode": 0, "errmsg": "ok" }))
}
