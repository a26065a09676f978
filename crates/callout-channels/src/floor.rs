//! The least that any delivery over HTTP has to do: what measurements are compared with.
//!
//! The same client library, one client for all requests, and nothing else: no channel, no guard, no
//! limits, no outcome.

use crate::transport::{TransportError, tls};
use reqwest::Client;

/// Bare requests to one address.
#[derive(Clone, Debug)]
pub struct Bare {
    client: Client,
    url: String,
}

impl Bare {
    /// Sets the client up.
    ///
    /// # Errors
    /// If TLS or the client cannot be set up.
    pub fn new(url: &str) -> Result<Self, TransportError> {
        let builder = Client::builder().tls_backend_preconfigured(tls(None)?).no_proxy();
        let client = builder.build().map_err(|e| TransportError::Client(e.without_url()))?;
        Ok(Self { client, url: url.to_owned() })
    }

    /// Posts `body`, reads the whole answer and says whether it is a 200.
    ///
    /// # Errors
    /// If there is no answer.
    pub async fn post(&self, body: &'static str) -> std::io::Result<bool> {
        let request = self.client.post(&self.url).header("content-type", "application/json");
        let answer = request.body(body).send().await.map_err(std::io::Error::other)?;
        let is_ok = answer.status().as_u16() == 200;
        answer.bytes().await.map_err(std::io::Error::other)?;
        Ok(is_ok)
    }
}
