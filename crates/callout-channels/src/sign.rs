//! Signatures. The test vectors, and values that must not come out, are in `fixtures/vectors.json`.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use hmac::{Hmac, KeyInit, Mac};
use sha2::Sha256;
use url::form_urlencoded;

pub(crate) mod cloud;

/// HMAC-SHA256 as standard Base64 with padding.
fn hmac_sha256(key: &[u8], message: &[u8]) -> String {
    STANDARD.encode(hmac_sha256_raw(key, message))
}

fn hmac_sha256_raw(key: &[u8], message: &[u8]) -> Vec<u8> {
    // HMAC takes keys of any length; the empty value stands in for an error that cannot happen.
    let Ok(mut mac) = Hmac::<Sha256>::new_from_slice(key) else { return Vec::new() };
    mac.update(message);
    mac.finalize().into_bytes().to_vec()
}

/// The query that signs a DingTalk request: the secret is the key, and part of the message too.
///
/// The signature is percent-encoded here, exactly once; it must not meet another encoder.
pub(crate) fn dingtalk_query(secret: &str, at_ms: i64) -> String {
    let sign = hmac_sha256(secret.as_bytes(), format!("{at_ms}\n{secret}").as_bytes());
    format!("timestamp={at_ms}&sign={}", percent(&sign))
}

/// What signs a Feishu request, for its body: the time and the secret together are the key, and the
/// message is empty. DingTalk's signature looks alike and has both the other way round.
pub(crate) fn feishu(secret: &str, at_s: i64) -> String {
    hmac_sha256(format!("{at_s}\n{secret}").as_bytes(), b"")
}

/// One entry of a Standard Webhooks signature header.
pub(crate) fn standard_webhook(key: &[u8], id: &str, at_s: i64, body: &[u8]) -> String {
    let mut message = format!("{id}.{at_s}.").into_bytes();
    message.extend_from_slice(body);
    format!("v1,{}", hmac_sha256(key, &message))
}

/// The signature with which Slack calls us; `seconds` as the call's header has them.
pub(crate) fn slack_v0(secret: &str, seconds: &str, body: &[u8]) -> String {
    let mut message = format!("v0:{seconds}:").into_bytes();
    message.extend_from_slice(body);
    let mac = hmac_sha256_raw(secret.as_bytes(), &message);
    let hex: String = mac.iter().map(|byte| format!("{byte:02x}")).collect();
    format!("v0={hex}")
}

/// `text` as one value in a query.
pub(crate) fn percent(text: &str) -> String {
    form_urlencoded::byte_serialize(text.as_bytes()).collect()
}
