//! Short messages through Twilio. What it shares with calls is in `twilio.rs`.
//!
//! One message goes to one number. It is plain text with the address to acknowledge at alone on a line.
//! Text is billed by parts of 160 characters, or of 70 if there is one letter in it that the old telephone
//! alphabet lacks; so what Callout adds in English keeps to that alphabet. A message that could not be
//! delivered within ten minutes is dropped by Twilio, for by then others have been told.

use crate::apprise::{self, Address, Apprise, Unfit};
use crate::channel::{HttpChannel, HttpRequest, HttpResponse, Outgoing, Refused};
use crate::fit;
use crate::render::Story;
use crate::spec::{Field, Problem, Spec, Value};
use crate::twilio::{self, Account};
use callout_core::outcome::Outcome;
use callout_core::time::Timestamp;
use serde_json::{Map, Value as Json};

pub(crate) static SPEC: Spec = Spec {
    kind: "twilio_sms",
    title: "Twilio SMS",
    fields: &[
        Field {
            name: "account_sid",
            value: Value::Text,
            required: true,
            doc: "The account's id: AC and 32 digits from 0 to f.",
        },
        Field {
            name: "auth_token",
            value: Value::Secret,
            required: true,
            doc: "The account's token.",
        },
        Field {
            name: "from",
            value: Value::Text,
            required: true,
            doc: "The sender: a number of the account like +15005550006, or a messaging service: MG and 32 digits from 0 to f.",
        },
        Field {
            name: "to",
            value: Value::Text,
            required: true,
            doc: "Whom to tell: one number like +8613800000000.",
        },
        Field {
            name: "endpoint",
            value: Value::Url,
            required: false,
            doc: "Where Twilio is. Default: https://api.twilio.com.",
        },
    ],
    // About what one American number may send; more would only wait in Twilio's queue.
    rate: "1/s",
    types: &["text"],
    native: false,
    body_bytes_max: 16 * 1024,
    mentions: "nobody",
    idempotency: "none",
    ack: "link",
    costly: true,
    rings: false,
    edit: false,
    thread: false,
    callback: None,
    advice: twilio::ADVICE,
    apprise: &[Apprise { scheme: "twilio", settings: from_apprise }],
};

/// The most characters of a text.
const TEXT_CHARS_MAX: usize = 1_600;
/// How long Twilio keeps trying, in seconds.
const VALID_S: &str = "600";
/// The colours that stand before a level elsewhere; one of them would double the price of a message.
const COLOURS: [&str; 4] = ["🔵 ", "🟡 ", "🟠 ", "🔴 "];

#[derive(Debug)]
struct TwilioSms(Account);

/// Makes a channel from settings.
pub(crate) fn build(settings: Json) -> Result<Box<dyn HttpChannel>, Vec<Problem>> {
    Ok(Box::new(TwilioSms(Account::read(settings, true)?)))
}

impl HttpChannel for TwilioSms {
    fn request(&self, out: &Outgoing<'_>, _at: Timestamp) -> Result<HttpRequest, Refused> {
        let story = Story::of(out).with_unsent(out, 0);
        let story = if out.plain { story.in_short() } else { story };
        let text = story.plain(sober, |text| fit::utf16_len(text) <= TEXT_CHARS_MAX);
        Ok(self.0.request("Messages", &[("Body", &text), ("ValidityPeriod", VALID_S)]))
    }

    fn classify(&self, answer: &HttpResponse, at: Timestamp) -> Outcome {
        twilio::classify(answer, &["SM", "MM"], at)
    }
}

/// `text` without the letters of ours that the old telephone alphabet lacks, unless it has others anyway.
fn sober(text: &str) -> String {
    let bare = COLOURS.iter().find_map(|colour| text.strip_prefix(colour)).unwrap_or(text);
    let plain = bare.replace('…', "...").replace('·', "-");
    if plain.is_ascii() { plain } else { bare.to_owned() }
}

/// The settings that stand in an Apprise address; numbers may be written without their plus.
fn from_apprise(address: &Address) -> Result<Map<String, Json>, Unfit> {
    address.only(&["from", "method", "sid", "source", "to", "token"])?;
    if address.option("method").is_some_and(|method| method != "sms") {
        return Err("has another `method` than sms, which Callout does not honour here".into());
    }
    if address.port.is_some() {
        return Err("has a port, which this service does not take".into());
    }
    let number = |text: String| {
        let digits = text.bytes().all(|b| b.is_ascii_digit());
        if digits && text.len() > SHORT_CODE_DIGITS_MAX { format!("+{text}") } else { text }
    };
    let sid = address.option("sid").or(address.user.clone());
    let token = address.option("token").or(address.password.clone());
    let from = address.option("source").map_or_else(|| address.host_or("from", "sender"), Ok)?;
    let to = address.target(0)?.ok_or("names nobody to tell")?;
    apprise::settings([
        ("account_sid", Some(sid.ok_or("has no account before the @")?)),
        ("auth_token", Some(token.ok_or("has no token before the @")?)),
        ("from", Some(number(from))),
        ("to", Some(number(to))),
    ])
}

/// A sender with so few digits is no telephone number.
const SHORT_CODE_DIGITS_MAX: usize = 6;
