//! Doors for `tests/fuzz` into what nobody else can call. Built by cargo-fuzz only.

use crate::config::{self, Config, ConfigErrors};
use axum::body::Body;
use axum::http::Request;
use std::path::Path;

pub use crate::http::target::Target;

/// Who acts and with which note, by what the page's form sends; and the name that a browser remembers.
pub fn form(
    header: (&str, &str),
    kind: &str,
    body: &[u8],
) -> Option<(String, Option<String>, Option<String>)> {
    let request = Request::post("/a/x").header(header.0, header.1).header("content-type", kind);
    let request = request.body(Body::from(body.to_vec())).ok()?;
    let runtime = tokio::runtime::Builder::new_current_thread().build().ok()?;
    runtime.block_on(crate::http::ack::form_for_fuzzing(request))
}

/// Checks `text` as the contents of a `callout.toml` in `folder`.
///
/// # Errors
/// Everything that is wrong with it.
pub fn config(folder: &Path, text: &str) -> Result<Config, ConfigErrors> {
    config::read_text(&folder.join("callout.toml"), text)
}
