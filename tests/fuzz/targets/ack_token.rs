//! The ticket at the end of an acknowledge link. The input's first bytes make a good one.

#![no_main]

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use callout_core::id::MessageId;
use callout_core::secret::Secret;
use callout_core::ticket::{Seal, Ticket};
use callout_core::time::Timestamp;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| {
    let (ours, foreign) =
        (Seal::new(Secret::new("q".repeat(32))), Seal::new(Secret::new("f".repeat(32))));
    let now = Timestamp::EPOCH;
    let text = String::from_utf8_lossy(bytes);
    assert_eq!(ours.open(&text, now), None, "nobody can guess a seal");
    assert_eq!(ours.open(&URL_SAFE_NO_PAD.encode(bytes), now), None);

    let Some((id, rest)) = bytes.split_first_chunk::<16>() else { return };
    let Some((numbers, rest)) = rest.split_first_chunk::<8>() else { return };
    let [a, b, c, d, end, at, change, cut] = *numbers;
    let name: String = String::from_utf8_lossy(rest).chars().take(64).collect();
    let Ok(receiver) = name.parse() else { return };
    let expires_at = Timestamp::from_unix_ms(1 + (i64::from(end) << 39)).expect("a time");
    let (message, epoch) = (MessageId::from_bytes(*id), u32::from_be_bytes([a, b, c, d]));
    let ticket = Ticket { message, receiver, epoch, expires_at };
    let sealed = ours.ticket(&ticket);
    assert_eq!(ours.open(&sealed, now), Some(ticket.clone()));
    assert_eq!(ours.open(&sealed, expires_at), None, "too old");
    assert_eq!(foreign.open(&sealed, now), None, "another installation's");

    let mut forged = URL_SAFE_NO_PAD.decode(&sealed).expect("Base64");
    let at = usize::from(at) % forged.len();
    forged[at] ^= change;
    let opens = ours.open(&URL_SAFE_NO_PAD.encode(&forged), now).is_some();
    assert_eq!(opens, change == 0, "a changed byte");
    let kept = usize::from(cut) % sealed.len();
    assert_eq!(ours.open(&sealed[..kept], now), None, "a lost end");
    assert_eq!(ours.open(&format!("{sealed}{}", name.len()), now), None, "more behind it");
});
