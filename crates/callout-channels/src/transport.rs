//! The one HTTP client.
//!
//! It alone knows whether bytes had left: what fails before is `Transient`, what fails after is
//! `Unknown`, for the provider may have heard us. It follows no redirect, asks no proxy that is not
//! configured, unpacks nothing, reads at most 64 KiB and gives up after fifteen seconds. An address is
//! a credential with most providers, so no text from here contains one.

use crate::channel::{HttpRequest, HttpResponse};
use crate::guard::{Forbidden, Guard};
use crate::login::{LOGIN_TIMEOUT, Tokens};
use callout_core::outcome::{Blame, Outcome, Reason};
use callout_core::secret::{Secret, mask};
use reqwest::header::{HeaderName, HeaderValue};
use reqwest::{Client, Method, Proxy, redirect};
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject;
use rustls::{ClientConfig, RootCertStore};
use std::error::Error;
use std::fmt;
use std::io;
use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;
use url::Url;

/// How long one request may take, from the lookup of the name to the last byte of the answer.
pub const ATTEMPT_TIMEOUT: Duration = Duration::from_secs(15);
/// How long a connection may take, from the lookup of the name to the end of the TLS handshake.
pub const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);
/// The most bytes of an answer's body that are read.
pub const ANSWER_BYTES_MAX: usize = 64 * 1024;
/// The most idle connections that are kept for one host.
const IDLE_PER_HOST_MAX: usize = 64;
/// How long an idle connection is kept; shorter than most servers wait.
const IDLE_TIMEOUT: Duration = Duration::from_secs(30);
/// Where an answer says how long to wait; the second is Feishu's own, in seconds.
const WAIT_HEADERS: [&str; 2] = ["retry-after", "x-ogw-ratelimit-reset"];
/// Who we say we are.
const USER_AGENT: &str = concat!("callout/", env!("CARGO_PKG_VERSION"));

/// What the operator may choose.
#[derive(Clone, Debug)]
pub struct Settings {
    /// A proxy for everything, such as `http://proxy:3128`; its address may hold a password. It
    /// resolves names itself, so that only literal link-local addresses can be refused.
    pub proxy: Option<Secret>,
    /// Further trusted root certificates: the contents of a PEM file.
    pub extra_roots: Option<Vec<u8>>,
    /// Link-local addresses that may be called all the same.
    pub allow: Vec<IpAddr>,
    /// How long one request may take; [`ATTEMPT_TIMEOUT`] outside tests.
    pub timeout: Duration,
}

/// No proxy, no further roots, no exceptions.
impl Default for Settings {
    fn default() -> Self {
        Self { proxy: None, extra_roots: None, allow: Vec::new(), timeout: ATTEMPT_TIMEOUT }
    }
}

/// Why there is no client.
#[derive(Debug, thiserror::Error)]
pub enum TransportError {
    /// The proxy's address is wrong. The source names no address.
    #[error("the proxy's address is not usable")]
    Proxy(#[source] reqwest::Error),
    /// The file with further roots is wrong.
    #[error("the file with further root certificates is not usable: {0}")]
    Roots(String),
    /// TLS could not be set up.
    #[error("TLS could not be set up")]
    Tls(#[source] rustls::Error),
    /// The client could not be set up.
    #[error("the HTTP client could not be set up")]
    Client(#[source] reqwest::Error),
}

/// The one HTTP client. Build one and share it.
#[derive(Clone)]
pub struct Transport {
    client: Client,
    guard: Guard,
    tokens: Tokens,
    timeout: Duration,
    connect_timeout: Duration,
}

/// Without the client, which knows the proxy's password, and the tokens.
impl fmt::Debug for Transport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { client: _, tokens: _, guard, timeout, connect_timeout } = self;
        let mut shown = f.debug_struct("Transport");
        shown.field("guard", guard).field("timeout", timeout);
        shown.field("connect_timeout", connect_timeout).finish_non_exhaustive()
    }
}

impl Transport {
    /// Sets the client up.
    ///
    /// # Errors
    /// If the proxy or the root certificates are unusable.
    pub fn new(settings: Settings) -> Result<Self, TransportError> {
        let guard = Guard::new(settings.allow);
        let timeout = settings.timeout;
        // A connection that takes too long has to be told from an answer that does.
        let connect_timeout = CONNECT_TIMEOUT.min(timeout / 2);
        let mut builder = Client::builder()
            .tls_backend_preconfigured(tls(settings.extra_roots.as_deref())?)
            .redirect(redirect::Policy::none())
            .referer(false)
            .no_proxy()
            .user_agent(USER_AGENT)
            .dns_resolver(guard.clone())
            .connect_timeout(connect_timeout)
            .timeout(timeout)
            .pool_max_idle_per_host(IDLE_PER_HOST_MAX)
            .pool_idle_timeout(IDLE_TIMEOUT);
        if let Some(proxy) = settings.proxy {
            let proxy = Proxy::all(proxy.expose());
            builder = builder.proxy(proxy.map_err(|e| TransportError::Proxy(e.without_url()))?);
        }
        let client = builder.build().map_err(|e| TransportError::Client(e.without_url()))?;
        let tokens = Tokens::new(LOGIN_TIMEOUT.min(timeout));
        Ok(Self { client, guard, tokens, timeout, connect_timeout })
    }

    /// What channels that log in have been given.
    pub(crate) fn tokens(&self) -> &Tokens {
        &self.tokens
    }

    /// How long one request may take.
    pub(crate) fn timeout(&self) -> Duration {
        self.timeout
    }

    /// Sends `request` once and reads the whole answer.
    ///
    /// # Errors
    /// The outcome, where there is no whole answer: transient if nothing can have been heard, unknown
    /// otherwise, rejected if the destination may not be called.
    pub async fn exchange(&self, request: &HttpRequest) -> Result<HttpResponse, Outcome> {
        let ready = self.prepare(request)?;
        let answer = ready.send().await.map_err(|e| self.outcome(request, &e.without_url()))?;
        let status = answer.status().as_u16();
        let wait = WAIT_HEADERS.iter().find_map(|name| answer.headers().get(*name));
        let retry_after = wait.and_then(|value| value.to_str().ok()).map(str::to_owned);
        let body = self.body(request, answer).await?;
        Ok(HttpResponse { status, retry_after, body })
    }

    fn prepare(&self, request: &HttpRequest) -> Result<reqwest::RequestBuilder, Outcome> {
        let url =
            Url::parse(request.url.expose()).map_err(|e| endpoint(format!("address: {e}")))?;
        self.guard.check_url(&url).map_err(|e| endpoint(e.to_string()))?;
        let method = Method::from_bytes(request.method.as_bytes());
        let method = method.map_err(|_| endpoint("not an HTTP method".to_owned()))?;
        let mut ready = self.client.request(method, url).body(request.body.clone());
        for (name, value) in &request.headers {
            let name = HeaderName::from_bytes(name.as_bytes());
            let name = name.map_err(|_| endpoint("a header's name is malformed".to_owned()))?;
            let mut value = HeaderValue::from_str(value.expose())
                .map_err(|_| endpoint(format!("the value of header {name} is malformed")))?;
            value.set_sensitive(true);
            ready = ready.header(name, value);
        }
        Ok(ready)
    }

    /// Reads the body. One that is too long proves nothing after a 2xx; otherwise its beginning will do.
    async fn body(
        &self,
        request: &HttpRequest,
        mut answer: reqwest::Response,
    ) -> Result<Vec<u8>, Outcome> {
        let mut body = Vec::new();
        let next = async |answer: &mut reqwest::Response| {
            answer.chunk().await.map_err(|e| self.outcome(request, &e.without_url()))
        };
        while let Some(chunk) = next(&mut answer).await? {
            body.extend_from_slice(&chunk);
            if body.len() > ANSWER_BYTES_MAX {
                if answer.status().is_success() {
                    let text = format!("the answer is longer than {ANSWER_BYTES_MAX} bytes");
                    return Err(Outcome::Unknown(Reason::new(answer.status().as_u16(), text)));
                }
                body.truncate(ANSWER_BYTES_MAX);
                break;
            }
        }
        Ok(body)
    }

    fn outcome(&self, request: &HttpRequest, error: &reqwest::Error) -> Outcome {
        let text = mask(&self.words(error), [&request.url]);
        if find_cause::<Forbidden>(error).is_some() || error.is_builder() {
            return endpoint(text);
        }
        if error.is_connect() {
            return Outcome::Transient(Reason::text(text));
        }
        Outcome::Unknown(Reason::text(text))
    }

    /// The error in words, without any address.
    fn words(&self, error: &reqwest::Error) -> String {
        if error.is_timeout() {
            return if error.is_connect() {
                format!("no connection within {:?}", self.connect_timeout)
            } else {
                format!("no answer within {:?}", self.timeout)
            };
        }
        if let Some(forbidden) = find_cause::<Forbidden>(error) {
            return forbidden.to_string();
        }
        if let Some(tls) = find_cause::<rustls::Error>(error) {
            return format!("TLS: {tls}");
        }
        let kind = find_cause::<io::Error>(error).map(io::Error::kind);
        match (kind, error.is_dns()) {
            (_, true) => format!("the name does not resolve: {}", root(error)),
            (Some(io::ErrorKind::ConnectionRefused), _) => "connection refused".to_owned(),
            (Some(io::ErrorKind::ConnectionReset), _) => "connection reset".to_owned(),
            _ => root(error),
        }
    }
}

fn endpoint(text: String) -> Outcome {
    Outcome::Rejected { blame: Blame::Endpoint, reason: Reason::text(text) }
}

/// TLS with a ready-made provider and the roots we ship, so that a machine without certificate files
/// works and nothing depends on a process-wide default.
pub(crate) fn tls(extra_roots: Option<&[u8]>) -> Result<ClientConfig, TransportError> {
    let mut roots = RootCertStore { roots: webpki_roots::TLS_SERVER_ROOTS.to_vec() };
    if let Some(pem) = extra_roots {
        add_roots(&mut roots, pem)?;
    }
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let config = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .map_err(TransportError::Tls)?;
    Ok(config.with_root_certificates(roots).with_no_client_auth())
}

fn add_roots(roots: &mut RootCertStore, pem: &[u8]) -> Result<(), TransportError> {
    let bad = |text: String| TransportError::Roots(text);
    let before = roots.len();
    for certificate in CertificateDer::pem_slice_iter(pem) {
        let certificate = certificate.map_err(|e| bad(e.to_string()))?;
        roots.add(certificate).map_err(|e| bad(e.to_string()))?;
    }
    if roots.len() == before { Err(bad("it holds no certificate".to_owned())) } else { Ok(()) }
}

/// The first cause of type `T`, also where an [`io::Error`] wraps it.
fn find_cause<'a, T: Error + 'static>(error: &'a (dyn Error + 'static)) -> Option<&'a T> {
    let mut next = Some(error);
    while let Some(error) = next {
        if let Some(found) = error.downcast_ref::<T>() {
            return Some(found);
        }
        next = inner(error);
    }
    None
}

/// The text of the innermost cause.
fn root(error: &(dyn Error + 'static)) -> String {
    let mut last = error;
    while let Some(next) = inner(last) {
        last = next;
    }
    last.to_string()
}

/// What an error wraps. An [`io::Error`] hides its payload from `source`.
fn inner<'a>(error: &'a (dyn Error + 'static)) -> Option<&'a (dyn Error + 'static)> {
    match error.downcast_ref::<io::Error>().and_then(io::Error::get_ref) {
        Some(payload) => Some(payload),
        None => error.source(),
    }
}

#[cfg(test)]
mod tests;
