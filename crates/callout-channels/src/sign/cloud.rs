//! The signatures of Aliyun, Tencent Cloud and Twilio.
//!
//! The first two sign a request in the same manner: its parts are written down in one fixed form, the
//! hash of that goes into a text, and the text is signed. They differ in whether the key is derived.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use hmac::{Hmac, KeyInit, Mac};
use sha1::Sha1;
use sha2::{Digest, Sha256};
use url::{Url, form_urlencoded};

/// The algorithms' names, which stand in what is signed and in the header.
const ACS3: &str = "ACS3-HMAC-SHA256";
const TC3: &str = "TC3-HMAC-SHA256";

/// The SHA-256 of `bytes` in lower-case hexadecimal.
pub(crate) fn sha256(bytes: &[u8]) -> String {
    hex(&Sha256::digest(bytes))
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

fn hmac_sha256(key: &[u8], message: &str) -> Vec<u8> {
    // HMAC takes keys of any length; nothing stands in for an error that cannot happen.
    let Ok(mut mac) = Hmac::<Sha256>::new_from_slice(key) else { return Vec::new() };
    mac.update(message.as_bytes());
    mac.finalize().into_bytes().to_vec()
}

/// Everything but letters, digits and `-_.~` percent-encoded; a space is `%20`, never `+`.
fn percent(text: &str) -> String {
    let unreserved = |byte: u8| byte.is_ascii_alphanumeric() || b"-_.~".contains(&byte);
    let spell = |byte: u8| match unreserved(byte) {
        true => char::from(byte).to_string(),
        false => format!("%{byte:02X}"),
    };
    text.bytes().map(spell).collect()
}

/// `fields` as a query or form the way Aliyun spells one: sorted by name, strictly encoded.
pub(crate) fn form(fields: &[(&str, &str)]) -> String {
    let mut fields = fields.to_vec();
    fields.sort_unstable();
    let pair = |(name, value): &(&str, &str)| format!("{}={}", percent(name), percent(value));
    fields.iter().map(pair).collect::<Vec<_>>().join("&")
}

/// The host as the `host` header says it: with a port if that is not the usual one.
pub(crate) fn host(url: &Url) -> String {
    let name = url.host_str().unwrap_or_default();
    url.port().map_or(name.to_owned(), |port| format!("{name}:{port}"))
}

/// What both clouds sign of a POST: its parts in one fixed form, then the names of the signed headers.
///
/// `headers` have names in lower case; `query` is encoded and sorted already.
pub(crate) fn canonical(
    path: &str,
    query: &str,
    headers: &[(&str, &str)],
    body: &[u8],
) -> (String, String) {
    let mut headers = headers.to_vec();
    headers.sort_unstable();
    let lines = headers.iter().map(|(name, value)| format!("{name}:{}\n", value.trim()));
    let lines: String = lines.collect();
    let names = headers.iter().map(|(name, _)| *name).collect::<Vec<_>>().join(";");
    let hash = sha256(body);
    (format!("POST\n{path}\n{query}\n{lines}\n{names}\n{hash}"), names)
}

/// The text that ACS3 signs for a request in its canonical form.
pub(crate) fn acs3_text(canonical: &str) -> String {
    format!("{ACS3}\n{}", sha256(canonical.as_bytes()))
}

/// The `authorization` header of a POST to Aliyun.
pub(crate) fn acs3(
    key_id: &str,
    key_secret: &str,
    (canonical, names): &(String, String),
) -> String {
    let sign = hex(&hmac_sha256(key_secret.as_bytes(), &acs3_text(canonical)));
    format!("{ACS3} Credential={key_id},SignedHeaders={names},Signature={sign}")
}

/// The day, in UTC, of an instant in seconds. Any other day spoils a TC3 signature.
pub(crate) fn tc3_day(at_s: i64) -> String {
    let at = jiff::Timestamp::from_second(at_s).unwrap_or_default();
    at.strftime("%Y-%m-%d").to_string()
}

/// The text that TC3 signs for a request in its canonical form.
pub(crate) fn tc3_text(service: &str, at_s: i64, canonical: &str) -> String {
    let hash = sha256(canonical.as_bytes());
    format!("{TC3}\n{at_s}\n{}/{service}/tc3_request\n{hash}", tc3_day(at_s))
}

/// The `authorization` header of a POST to Tencent Cloud, valid a few minutes around `at_s`.
pub(crate) fn tc3(
    key_id: &str,
    key_secret: &str,
    service: &str,
    at_s: i64,
    (canonical, names): &(String, String),
) -> String {
    let day = tc3_day(at_s);
    let key = hmac_sha256(format!("TC3{key_secret}").as_bytes(), &day);
    let key = hmac_sha256(&hmac_sha256(&key, service), "tc3_request");
    let sign = hex(&hmac_sha256(&key, &tc3_text(service, at_s, canonical)));
    let scope = format!("{day}/{service}/tc3_request");
    format!("{TC3} Credential={key_id}/{scope}, SignedHeaders={names}, Signature={sign}")
}

/// The `authorization` header that says a name and a password.
pub(crate) fn basic(name: &str, password: &str) -> String {
    format!("Basic {}", STANDARD.encode(format!("{name}:{password}")))
}

/// What Twilio signs its calls to us with: the whole address, then the fields of the form by name.
pub(crate) fn twilio(auth_token: &str, url: &str, form: &[u8]) -> String {
    let mut fields: Vec<_> = form_urlencoded::parse(form).collect();
    fields.sort_unstable();
    let fields: String = fields.iter().map(|(name, value)| format!("{name}{value}")).collect();
    let Ok(mut mac) = Hmac::<Sha1>::new_from_slice(auth_token.as_bytes()) else {
        return String::new();
    };
    mac.update(format!("{url}{fields}").as_bytes());
    STANDARD.encode(mac.finalize().into_bytes())
}
