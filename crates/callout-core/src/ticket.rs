//! What an acknowledge link carries.
//!
//! A ticket names one alert, one receiver and an end, and is sealed with a key that only this
//! installation has. It is worth nothing for another alert, and nothing once the alert was opened again
//! after it had been resolved. A ticket that is wrong, foreign or too old is simply none.
//!
//! Layout before Base64 (URL alphabet, no padding): one byte version, 16 bytes message id, 4 bytes
//! epoch, 6 bytes end in milliseconds (both big-endian), the receiver's name, 16 bytes HMAC-SHA256 over
//! the words "callout acknowledge link" and all before it.

use crate::id::{MessageId, ReceiverName};
use crate::secret::Secret;
use crate::time::Timestamp;
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use hmac::{Hmac, KeyInit, Mac};
use sha2::Sha256;
use std::time::Duration;

/// How long a link works after it was sent, at least.
pub const TICKET_TTL: Duration = Duration::from_secs(7 * 86_400);
/// The fewest bytes of a key.
pub const KEY_BYTES_MIN: usize = 32;

const VERSION: u8 = 1;
/// Keeps these seals apart from whatever else the key may be used for.
const PURPOSE: &[u8] = b"callout acknowledge link";
const SEAL_BYTES: usize = 16;

/// What a link stands for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Ticket {
    /// The alert's message.
    pub message: MessageId,
    /// Who was given the link.
    pub receiver: ReceiverName,
    /// How often the alert had been opened again.
    pub epoch: u32,
    /// When it stops working.
    pub expires_at: Timestamp,
}

/// Seals and checks tickets.
#[derive(Clone, Debug)]
pub struct Seal(Secret);

impl Seal {
    /// Takes the installation's key, of at least [`KEY_BYTES_MIN`] bytes.
    pub fn new(key: Secret) -> Self {
        Self(key)
    }

    /// The ticket as text that fits into a URL's path.
    pub fn ticket(&self, ticket: &Ticket) -> String {
        let mut bytes = vec![VERSION];
        bytes.extend(ticket.message.to_bytes());
        bytes.extend(ticket.epoch.to_be_bytes());
        bytes.extend(ticket.expires_at.unix_ms().to_be_bytes().iter().skip(2));
        bytes.extend(ticket.receiver.as_str().as_bytes());
        let seal = self.mac(&bytes).finalize().into_bytes();
        bytes.extend(seal.iter().take(SEAL_BYTES));
        URL_SAFE_NO_PAD.encode(bytes)
    }

    /// The ticket in `text`, if it is one of ours and not too old. Takes the same time for every
    /// wrong seal.
    pub fn open(&self, text: &str, now: Timestamp) -> Option<Ticket> {
        let bytes = URL_SAFE_NO_PAD.decode(text).ok()?;
        let (body, seal) = bytes.split_at_checked(bytes.len().checked_sub(SEAL_BYTES)?)?;
        self.mac(body).verify_truncated_left(seal).ok()?;
        let (version, rest) = body.split_first()?;
        let (message, rest) = rest.split_first_chunk::<16>()?;
        let (epoch, rest) = rest.split_first_chunk::<4>()?;
        let (end, receiver) = rest.split_first_chunk::<6>()?;
        let end = end.iter().fold(0, |ms, byte| ms << 8 | i64::from(*byte));
        let ticket = Ticket {
            message: MessageId::from_bytes(*message),
            receiver: std::str::from_utf8(receiver).ok()?.parse().ok()?,
            epoch: u32::from_be_bytes(*epoch),
            expires_at: Timestamp::from_unix_ms(end)?,
        };
        (*version == VERSION && now < ticket.expires_at).then_some(ticket)
    }

    #[expect(clippy::expect_used, reason = "HMAC takes a key of any length")]
    fn mac(&self, bytes: &[u8]) -> Hmac<Sha256> {
        Hmac::<Sha256>::new_from_slice(self.0.expose().as_bytes())
            .expect("HMAC takes a key of any length")
            .chain_update(PURPOSE)
            .chain_update(bytes)
    }
}

/// Where people acknowledge.
#[derive(Clone, Debug)]
pub struct Links {
    /// The address that people reach this installation at, without a slash at its end.
    pub public_url: String,
    /// Seals the tickets in the links.
    pub seal: Seal,
}

impl Links {
    /// The link for one ticket. It is a credential: whoever has it may acknowledge.
    pub fn link(&self, ticket: &Ticket) -> Secret {
        Secret::new(format!("{}/a/{}", self.public_url, self.seal.ticket(ticket)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn ticket() -> Ticket {
        Ticket {
            message: MessageId::new(Timestamp::EPOCH, [7; 10]),
            receiver: "值班-ops".parse().unwrap(),
            epoch: 3,
            expires_at: Timestamp::EPOCH + TICKET_TTL,
        }
    }

    fn seal(key: &str) -> Seal {
        Seal::new(Secret::new(key.repeat(32)))
    }

    #[test]
    fn a_ticket_opens_as_what_was_sealed_until_it_ends() {
        let text = seal("k").ticket(&ticket());
        assert!(text.chars().all(|c| c.is_ascii_alphanumeric() || c == '-' || c == '_'), "{text}");
        assert_eq!(seal("k").open(&text, Timestamp::EPOCH), Some(ticket()));
        let end = ticket().expires_at;
        assert_eq!(seal("k").open(&text, end), None);
        assert!(
            seal("k").open(&text, Timestamp::from_unix_ms(end.unix_ms() - 1).unwrap()).is_some()
        );
    }

    #[test]
    fn a_link_that_was_sent_works_with_later_versions() {
        // Once sent, its layout is a promise.
        let text = "AQAAAAAAAHcHhwcHBwcHBwcAAAADAAAkDIQA5YC854-tLW9wc2dY9KlSmjtfHPi1CcMfsyM";
        assert_eq!(seal("k").ticket(&ticket()), text);
        assert_eq!(seal("k").open(text, Timestamp::EPOCH), Some(ticket()));
    }

    #[test]
    fn the_same_key_under_another_purpose_seals_no_ticket() {
        let text = seal("k").ticket(&ticket());
        let bytes = URL_SAFE_NO_PAD.decode(text).unwrap();
        let (body, _) = bytes.split_at(bytes.len() - SEAL_BYTES);
        for purpose in ["", "something else"] {
            let foreign = Hmac::<Sha256>::new_from_slice("k".repeat(32).as_bytes())
                .unwrap()
                .chain_update(purpose)
                .chain_update(body)
                .finalize()
                .into_bytes();
            let forged = URL_SAFE_NO_PAD.encode([body, &foreign[..SEAL_BYTES]].concat());
            assert_eq!(seal("k").open(&forged, Timestamp::EPOCH), None, "{purpose:?}");
        }
    }

    /// A sealed text with this body.
    fn sealed(body: &[u8]) -> String {
        let seal = seal("k").mac(body).finalize().into_bytes();
        URL_SAFE_NO_PAD.encode([body, &seal[..SEAL_BYTES]].concat())
    }

    #[test]
    fn a_sealed_text_that_is_no_ticket_opens_nothing() {
        let whole = URL_SAFE_NO_PAD.decode(seal("k").ticket(&ticket())).unwrap();
        let body = &whole[..whole.len() - SEAL_BYTES];
        assert!(seal("k").open(&sealed(body), Timestamp::EPOCH).is_some());
        let later_version = [&[2], &body[1..]].concat();
        let bad_receiver = [body, b" "].concat();
        let bad_text = [body, b"\xff"].concat();
        let far_end = [&body[..21], &[0xff; 6], &body[27..]].concat();
        for wrong in [&later_version[..], &bad_receiver, &bad_text, &far_end, &body[..27], &[]] {
            assert_eq!(seal("k").open(&sealed(wrong), Timestamp::EPOCH), None, "{wrong:?}");
        }
    }

    #[test]
    fn there_is_one_way_to_write_a_ticket() {
        let text = seal("k").ticket(&ticket());
        let standard = text.replace('-', "+").replace('_', "/");
        for other in
            [format!("{text}="), format!(" {text}"), format!("{text}\n"), format!("{text}AAAA")]
        {
            assert_eq!(seal("k").open(&other, Timestamp::EPOCH), None, "{other:?}");
        }
        assert!(standard == text || seal("k").open(&standard, Timestamp::EPOCH).is_none());
    }

    #[test]
    fn a_link_is_shown_to_nobody_by_accident() {
        let links = Links { public_url: "https://callout.example.com".to_owned(), seal: seal("k") };
        let link = links.link(&ticket());
        let text = seal("k").ticket(&ticket());
        assert_eq!(link.expose(), format!("https://callout.example.com/a/{text}"));
        let shown = format!("{links:?} {link:?}");
        assert!(!shown.contains(&text) && !shown.contains("kkkk"), "{shown}");
    }

    proptest! {
        #[test]
        fn every_ticket_opens_as_what_was_sealed(
            bytes in any::<[u8; 16]>(),
            receiver in "[a-z0-9王小明._-]{1,64}",
            epoch in any::<u32>(),
            end in 1i64..253_402_300_799_999,
        ) {
            let ticket = Ticket {
                message: MessageId::from_bytes(bytes),
                receiver: receiver.parse().unwrap(),
                epoch,
                expires_at: Timestamp::from_unix_ms(end).unwrap(),
            };
            let text = seal("k").ticket(&ticket);
            prop_assert_eq!(seal("k").open(&text, Timestamp::EPOCH), Some(ticket));
        }

        #[test]
        fn no_text_is_too_strange(text in any::<String>()) {
            prop_assert_eq!(seal("k").open(&text, Timestamp::EPOCH), None);
        }
    }

    #[test]
    fn no_other_key_and_no_changed_bit_opens_it() {
        let text = seal("k").ticket(&ticket());
        assert_eq!(seal("l").open(&text, Timestamp::EPOCH), None);
        let bytes = URL_SAFE_NO_PAD.decode(&text).unwrap();
        for bit in 0..bytes.len() * 8 {
            let mut forged = bytes.clone();
            forged[bit / 8] ^= 1 << (bit % 8);
            let forged = URL_SAFE_NO_PAD.encode(forged);
            assert_eq!(seal("k").open(&forged, Timestamp::EPOCH), None, "bit {bit}");
        }
        for cut in 0..text.len() {
            assert_eq!(seal("k").open(text.get(..cut).unwrap(), Timestamp::EPOCH), None);
        }
    }
}
