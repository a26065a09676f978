//! Which server, how to reach it and as whom.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use callout_core::secret::Secret;
use rustls::ClientConfig;
use rustls::pki_types::ServerName;
use std::sync::Arc;

/// One mail server.
#[derive(Debug)]
pub(super) struct Server {
    pub(super) host: String,
    /// The same host, as its certificate has to name it.
    pub(super) name: ServerName<'static>,
    pub(super) port: u16,
    /// Whether TLS comes before the first word.
    pub(super) wrapped: bool,
    /// Whether nothing is said without TLS.
    pub(super) encrypted: bool,
    pub(super) config: Arc<ClientConfig>,
    pub(super) login: Option<Login>,
}

/// Who logs in.
#[derive(Debug)]
pub(super) struct Login {
    pub(super) user: String,
    pub(super) password: Secret,
}

impl Login {
    /// What says user and password in one word.
    pub(super) fn plain(&self) -> Secret {
        let both = format!("\0{}\0{}", self.user, self.password.expose());
        Secret::new(STANDARD.encode(both))
    }

    /// What says the user alone.
    pub(super) fn user_word(&self) -> Secret {
        Secret::new(STANDARD.encode(&self.user))
    }

    /// What says the password alone.
    pub(super) fn password_word(&self) -> Secret {
        Secret::new(STANDARD.encode(self.password.expose()))
    }

    /// Every form in which the password goes over the wire.
    pub(super) fn spellings(&self) -> Vec<Secret> {
        vec![self.plain(), self.password_word(), self.password.clone()]
    }
}
