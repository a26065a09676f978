//! Values that must never be seen: tokens, signing keys, webhook URLs.

use secrecy::{ExposeSecret, SecretString};
use serde::Deserialize;
use std::fmt;

/// A credential. Prints as `***` everywhere; wiped from memory when dropped.
#[derive(Clone, Deserialize)]
#[serde(transparent)]
pub struct Secret(SecretString);

impl Secret {
    /// Wraps a credential.
    pub fn new(text: impl Into<String>) -> Self {
        Self(SecretString::from(text.into()))
    }

    /// The credential itself. Call it where bytes for the wire are built and nowhere else.
    pub fn expose(&self) -> &str {
        self.0.expose_secret()
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("***")
    }
}

/// The shortest credential worth hiding in a provider's text; shorter ones would blot out words.
const MASKED_LENGTH_MIN: usize = 6;

/// Replaces every occurrence of `secrets` in `text` by `***`.
///
/// Providers echo what they were sent; this keeps such an echo out of the outbox and the log.
pub fn mask<'a>(text: &str, secrets: impl IntoIterator<Item = &'a Secret>) -> String {
    secrets.into_iter().map(Secret::expose).filter(|secret| secret.len() >= MASKED_LENGTH_MIN).fold(
        text.to_owned(),
        |text, secret| {
            if text.contains(secret) { text.replace(secret, "***") } else { text }
        },
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_secret_never_prints() {
        let secret = Secret::new("hunter2hunter2");
        assert_eq!(format!("{secret:?}"), "***");
        assert_eq!(mask("bad token hunter2hunter2!", [&secret]), "bad token ***!");
        assert_eq!(mask("ok", [&Secret::new("k")]), "ok");
    }
}
