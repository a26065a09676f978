//! What WeCom reports: somebody pressed the button of a card.
//!
//! This is from memory of the vendor's documentation; unverified, but for signature and encryption, which
//! agree with two samples that the vendor prints (`fixtures/wecom_app/callback.json`). A call carries
//! `msg_signature`, `timestamp` and `nonce` in its query and an encrypted text: in `echostr` when the
//! address is entered in the admin console, which wants the plain text back, later in `<Encrypt>` of a
//! little XML. The signature is SHA-1 in hex over token, timestamp, nonce and encrypted text, sorted and
//! joined. The text is AES-256-CBC with the key's first half as the first block, filled up to 32 bytes;
//! inside stand 16 random bytes, a length, the message and the company's id.
//!
//! The button's key is the ticket of the acknowledge link. Anything that is not certainly WeCom's, whole
//! and recent, is not heard at all; what is, but is no press, is answered and forgotten.

use super::xml;
use crate::callback::{Callback, Heard, Inbound, Press, Pressed, Reply};
use crate::fit;
use crate::settings;
use crate::spec::Problem;
use aes::Aes256;
use base64::Engine as _;
use base64::alphabet;
use base64::engine::general_purpose::STANDARD;
use base64::engine::{GeneralPurpose, GeneralPurposeConfig};
use callout_core::locale::Locale;
use callout_core::secret::Secret;
use callout_core::time::Timestamp;
use cbc::cipher::{Array, BlockModeDecrypt, KeyIvInit};
use sha1::{Digest, Sha1};
use std::time::Duration;
use subtle::ConstantTimeEq;
use url::Url;

/// How far a call's time may be from ours, before or after.
const SKEW_MAX: Duration = Duration::from_secs(300);
/// The most bytes of a call's body and of its encrypted text.
const CALL_BYTES_MAX: usize = 64 * 1024;
/// The longest ticket.
const TICKET_BYTES_MAX: usize = 512;
/// How much of a user id is shown, in bytes.
const NAME_BYTES_MAX: usize = 64;
/// How many characters a key has, and how many bytes it stands for.
const KEY_CHARS: usize = 43;
const KEY_BYTES: usize = 32;
/// The fill at the end makes the text a multiple of this.
const FILL_BYTES: u8 = 32;
/// Random bytes before the length of the message.
const SALT_BYTES: usize = 16;

/// The key's last character holds two bits too many, and not every key has zeros there.
const LENIENT: GeneralPurpose = GeneralPurpose::new(
    &alphabet::STANDARD,
    GeneralPurposeConfig::new().with_decode_allow_trailing_bits(true),
);

/// Hears the calls of one application.
#[derive(Debug)]
pub(super) struct Listener {
    token: Secret,
    key: Secret,
    corp_id: String,
}

impl Listener {
    /// A listener with the `Token` and the `EncodingAESKey` of the admin console.
    ///
    /// # Errors
    /// If `key` is no such key.
    pub(super) fn new(token: Secret, key: Secret, corp_id: &str) -> Result<Self, Problem> {
        let listener = Self { token, key, corp_id: corp_id.to_owned() };
        match listener.key() {
            Some(_) => Ok(listener),
            None => Err(settings::problem(
                "callback_key",
                "has to be the EncodingAESKey: 43 letters and digits",
            )),
        }
    }

    fn key(&self) -> Option<[u8; KEY_BYTES]> {
        let text = self.key.expose();
        let bytes = (text.len() == KEY_CHARS).then(|| LENIENT.decode(format!("{text}=")).ok());
        bytes.flatten()?.try_into().ok()
    }

    /// The message inside a call, and its signature, if WeCom made it just now for this application.
    fn open(&self, inbound: &Inbound<'_>, at: Timestamp) -> Option<(String, String)> {
        let url = Url::parse(inbound.url).ok()?;
        let find = |name| url.query_pairs().find(|(have, _)| have == name);
        let query = |name| find(name).map(|(_, value)| value.into_owned());
        let encrypted = match inbound.method {
            // Base64 has no spaces, but a plus sign that nobody encoded becomes one.
            "GET" => query("echostr")?.replace(' ', "+"),
            "POST" => posted(inbound.body)?,
            _ => return None,
        };
        let (time, nonce) = (query("timestamp")?, query("nonce")?);
        if encrypted.len() > CALL_BYTES_MAX || !is_recent(&time, at) {
            return None;
        }
        let signature = query("msg_signature")?;
        let ours = self.sign(&time, &nonce, &encrypted);
        let genuine: bool = ours.as_bytes().ct_eq(signature.as_bytes()).into();
        let message = genuine.then(|| self.decrypt(&encrypted)).flatten()?;
        Some((message, signature))
    }

    fn sign(&self, time: &str, nonce: &str, encrypted: &str) -> String {
        let mut parts = [self.token.expose(), time, nonce, encrypted];
        parts.sort_unstable();
        let hash = Sha1::digest(parts.concat());
        hash.iter().map(|byte| format!("{byte:02x}")).collect()
    }

    fn decrypt(&self, encrypted: &str) -> Option<String> {
        let key = self.key()?;
        let first = key.first_chunk::<16>()?;
        let mut bytes = STANDARD.decode(encrypted).ok()?;
        let (blocks, rest) = Array::slice_as_chunks_mut(&mut bytes);
        if !rest.is_empty() {
            return None;
        }
        cbc::Decryptor::<Aes256>::new(&key.into(), &(*first).into()).decrypt_blocks(blocks);
        self.message(unfilled(&bytes)?)
    }

    /// The message in a decrypted text that is for this company.
    fn message(&self, text: &[u8]) -> Option<String> {
        let (_, text) = text.split_at_checked(SALT_BYTES)?;
        let (length, text) = text.split_first_chunk::<4>()?;
        let length = usize::try_from(u32::from_be_bytes(*length)).ok()?;
        let (message, company) = text.split_at_checked(length)?;
        let ours: bool = company.ct_eq(self.corp_id.as_bytes()).into();
        ours.then(|| String::from_utf8(message.to_vec()).ok()).flatten()
    }
}

/// `text` without its fill: so many bytes as each of them says.
fn unfilled(text: &[u8]) -> Option<&[u8]> {
    let fill = *text.last()?;
    let (text, filled) = text.split_at_checked(text.len().checked_sub(usize::from(fill))?)?;
    let legal = (1..=FILL_BYTES).contains(&fill) && filled.iter().all(|byte| *byte == fill);
    legal.then_some(text)
}

fn is_recent(time: &str, at: Timestamp) -> bool {
    let Ok(then) = time.parse::<i64>() else { return false };
    let Some(then) = then.checked_mul(1000).and_then(Timestamp::from_unix_ms) else { return false };
    at <= then + SKEW_MAX && then <= at + SKEW_MAX
}

/// The encrypted text in a body.
fn posted(body: &[u8]) -> Option<String> {
    let body = std::str::from_utf8(body).ok().filter(|body| body.len() <= CALL_BYTES_MAX)?;
    xml::read(body)?.one("Encrypt")
}

/// The press in a message, if it is one.
fn press(message: &str, once: String) -> Option<Press> {
    let event = xml::read(message)?;
    let is = |name, value: &str| event.one(name).is_some_and(|have| have == value);
    if !is("MsgType", "event") || !is("Event", "template_card_event") {
        return None;
    }
    let ticket = event.one("EventKey").filter(|key| is_ticket(key))?;
    let user = fit::bytes(&fit::line(&event.one("FromUserName")?), NAME_BYTES_MAX);
    let by = format!("{user} (WeCom)");
    (!user.is_empty()).then(|| Press { ticket: Secret::new(ticket), by, once })
}

/// Whether `key` could be a ticket of ours: a button of a native body has a key of its own.
fn is_ticket(key: &str) -> bool {
    let legal = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_');
    !key.is_empty() && key.len() <= TICKET_BYTES_MAX && key.chars().all(legal)
}

impl Callback for Listener {
    fn hear(&self, inbound: &Inbound<'_>, at: Timestamp) -> Option<Heard> {
        let (message, signature) = self.open(inbound, at)?;
        if inbound.method == "GET" {
            return Some(Heard::Other(Reply { body: message, ..Reply::empty() }));
        }
        let heard = press(&message, signature).map(Heard::Pressed);
        Some(heard.unwrap_or_else(|| Heard::Other(Reply::empty())))
    }

    fn reply(&self, _pressed: &Pressed, _locale: Locale) -> Reply {
        // The card is changed by the message that brings the news.
        Reply::empty()
    }
}
