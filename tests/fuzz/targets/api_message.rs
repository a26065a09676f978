//! A message as JSON: what the API and the store's rows are made of.

#![no_main]

use callout_core::message::{MESSAGE_BYTES_MAX, Message};
use callout_fuzz::{id, is_clean, now};
use callout_store::enqueue::Row;
use libfuzzer_sys::fuzz_target;

/// The longest complaint: the name of a label, twice as long when escaped, and our words.
const COMPLAINT_BYTES_MAX: usize = 2048;

fuzz_target!(|bytes: &[u8]| {
    if bytes.len() > MESSAGE_BYTES_MAX {
        return;
    }
    let Ok(message) = serde_json::from_slice::<Message>(bytes) else { return };
    if let Err(invalid) = message.validate() {
        let text = invalid.to_string();
        assert!(text.len() <= COMPLAINT_BYTES_MAX, "{} bytes", text.len());
        assert!(is_clean(&text), "{text:?}");
        return;
    }
    let json = serde_json::to_vec(&message).expect("a message is JSON");
    assert!(json.len() <= MESSAGE_BYTES_MAX, "{} bytes", json.len());
    let again: Message = serde_json::from_slice(&json).expect("what we write, we read");
    assert_eq!(again, message);
    let row = Row::new(id(), &message, now()).expect("it was valid");
    assert_eq!(row.message().expect("what was stored, can be sent"), message);
});
