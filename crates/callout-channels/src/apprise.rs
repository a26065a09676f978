//! Apprise addresses: one line that holds a service and its credentials.
//!
//! The schemes that a kind answers to, and how its settings stand in such an address, are in the kind's
//! own file ([`Spec::apprise`](crate::spec::Spec)). An address is a credential, so no text made here
//! contains one.
//!
//! What an address says is done or refused, never ignored; only what changes nothing but looks, or how
//! Apprise itself tries again, is left aside.

mod address;

use crate::REGISTRY;
use serde_json::{Map, Value as Json};

/// One Apprise scheme of a kind of channel.
#[derive(Debug)]
pub struct Apprise {
    /// What stands before `://`, in lower case.
    pub scheme: &'static str,
    /// How the kind's settings are found in an address. Several kinds may share a scheme.
    pub settings: fn(&Address) -> Result<Map<String, Json>, Unfit>,
}

/// Why a kind finds no settings in an address.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Unfit {
    /// It is the address of another kind with the same scheme.
    Elsewhere,
    /// It is wrong, or says what Callout cannot honour; in words that follow the name of the setting and
    /// quote nothing.
    Wrong(String),
}

impl From<&str> for Unfit {
    fn from(text: &str) -> Self {
        Self::Wrong(text.to_owned())
    }
}

/// The parts of an Apprise address, percent-decoded.
#[derive(Clone, Default)]
pub struct Address {
    /// What stands before `://`, in lower case.
    pub scheme: String,
    /// Before the `@`, if there is one.
    pub user: Option<String>,
    /// Behind the user's colon.
    pub password: Option<String>,
    /// As it is written, for some services keep credentials there, whose case matters.
    pub host: String,
    /// Behind the host's colon.
    pub port: Option<u16>,
    /// The parts of the path, empty ones left out.
    pub path: Vec<String>,
    /// What stands behind `?`, names in lower case.
    pub query: Vec<(String, String)>,
}

/// Without any part, for each may be a credential.
impl std::fmt::Debug for Address {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}://***", self.scheme)
    }
}

/// The kind of channel that an Apprise address means, and its settings.
///
/// # Errors
/// What is wrong with it, in words that follow the name of the setting and quote nothing.
pub fn translate(address: &str) -> Result<(&'static str, Map<String, Json>), String> {
    let address = Address::parse(address)?;
    let rows = REGISTRY.iter().flat_map(|row| {
        let fitting = row.spec.apprise.iter().filter(|known| known.scheme == address.scheme);
        fitting.map(|known| (row.spec.kind, known.settings))
    });
    let mut is_known = false;
    for (kind, settings) in rows {
        is_known = true;
        match settings(&address) {
            Ok(settings) => return Ok((kind, settings)),
            Err(Unfit::Elsewhere) => {}
            Err(Unfit::Wrong(text)) => return Err(text),
        }
    }
    Err(if is_known {
        "is an address of a form that Callout does not know".to_owned()
    } else {
        format!("begins with no scheme that Callout knows; it knows {}", schemes().join(", "))
    })
}

/// All schemes, each once, in the order of the kinds.
pub fn schemes() -> Vec<&'static str> {
    let mut schemes: Vec<&'static str> = Vec::new();
    for known in REGISTRY.iter().flat_map(|row| row.spec.apprise) {
        if !schemes.contains(&known.scheme) {
            schemes.push(known.scheme);
        }
    }
    schemes
}

/// Settings out of names and texts; what is not there is left out.
pub(crate) fn settings<const N: usize>(
    pairs: [(&str, Option<String>); N],
) -> Result<Map<String, Json>, Unfit> {
    let there = pairs.into_iter().filter_map(|(name, text)| Some((name.to_owned(), text?.into())));
    Ok(there.collect())
}
