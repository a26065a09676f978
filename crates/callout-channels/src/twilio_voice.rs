//! Telephone calls through Twilio. What they share with short messages is in `twilio.rs`.
//!
//! The call says level, title and why the reader hears of it now, twice, for the first time is lost on
//! somebody who has just woken up. The body stays in the chat, so news say of which alert they are.
//!
//! With a public address of ours the call asks to press 1; Twilio then calls back at an address that
//! carries the ticket, and signs that call with the account's token over the address and the form. The
//! signature holds no time, so a call heard before is told by the call's id and the key.
//!
//! What Callout says is Chinese if the voice speaks Chinese, and English otherwise: no voice can read both
//! well. The voice follows the locale unless the settings choose one.
//!
//! Unverified: that the signed address is always the one we gave, also where it names a port.

use crate::callback::{Callback, Heard, Inbound, Press, Pressed, Reply};
use crate::channel::{HttpChannel, HttpRequest, HttpResponse, Outgoing, Refused};
use crate::render::Story;
use crate::sign::cloud;
use crate::spec::{Field, Problem, Spec, Value};
use crate::twilio::{self, Account};
use crate::words::Words;
use crate::{fit, phone};
use callout_core::locale::Locale;
use callout_core::outcome::Outcome;
use callout_core::secret::Secret;
use callout_core::time::Timestamp;
use serde_json::Value as Json;
use subtle::ConstantTimeEq;
use url::{Url, form_urlencoded};

pub(crate) static SPEC: Spec = Spec {
    kind: "twilio_voice",
    title: "Twilio telephone call",
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
            doc: "The account's token; it also proves that a pressed key was reported by Twilio.",
        },
        Field {
            name: "from",
            value: Value::Text,
            required: true,
            doc: "The caller: a number of the account like +15005550006.",
        },
        Field {
            name: "to",
            value: Value::Text,
            required: true,
            doc: "Whom to call: one number like +8613800000000.",
        },
        Field {
            name: "language",
            value: Value::Text,
            required: false,
            doc: "What the voice speaks, such as en-GB or zh-CN. Default: en-US, or zh-CN if the locale is zh.",
        },
        Field {
            name: "endpoint",
            value: Value::Url,
            required: false,
            doc: "Where Twilio is. Default: https://api.twilio.com.",
        },
    ],
    // An account makes one call a second unless Twilio allows more.
    rate: "1/s",
    types: &["speech"],
    native: false,
    body_bytes_max: 64 * 1024,
    mentions: "nobody",
    idempotency: "none",
    ack: "key press",
    costly: true,
    rings: true,
    edit: false,
    thread: false,
    callback: Some(CALLBACK),
    advice: twilio::ADVICE,
    apprise: &[],
};

/// Under which name Twilio calls us.
const CALLBACK: &str = "twilio";
/// The most characters of a call's script.
const TWIML_CHARS_MAX: usize = 4_000;
/// How many characters of the title are said, and how often all of it, most first. Escaping makes six
/// characters of one, and the last of these fits even so.
const SAID: [(usize, usize); 4] = [(300, 2), (120, 2), (60, 2), (60, 1)];
/// How many of these are left out once Twilio has refused a script.
const SAID_AT_LENGTH: usize = 2;
/// The key that acknowledges.
const KEY: &str = "1";

#[derive(Debug)]
struct TwilioVoice(Account);

/// Makes a channel from settings.
pub(crate) fn build(settings: Json) -> Result<Box<dyn HttpChannel>, Vec<Problem>> {
    Ok(Box::new(TwilioVoice(Account::read(settings, false)?)))
}

impl HttpChannel for TwilioVoice {
    fn request(&self, out: &Outgoing<'_>, _at: Timestamp) -> Result<HttpRequest, Refused> {
        let voice = self.voice(out.locale);
        let story = Story::of(&Outgoing { locale: voice.locale(), ..*out });
        let callback = out.ask.and_then(|ask| ask.callback(CALLBACK));
        // Which voice asked, so that the same one goes on.
        let action = callback.map(|url| format!("{}&language={}", url.expose(), voice.language));
        let script = |(title_max, times): &(usize, usize)| {
            let asks = action.is_some();
            voice.script(&voice.words(out, &story, *title_max, asks), action.as_deref(), *times)
        };
        let mut scripts = SAID.iter().skip(if out.plain { SAID_AT_LENGTH } else { 0 }).map(script);
        let fits = |script: &String| script.chars().count() <= TWIML_CHARS_MAX;
        let script = scripts.find(fits).or_else(|| SAID.last().map(script)).unwrap_or_default();
        Ok(self.0.request("Calls", &[("Twiml", &script)]))
    }

    fn classify(&self, answer: &HttpResponse, at: Timestamp) -> Outcome {
        twilio::classify(answer, &["CA"], at)
    }

    fn callback(&self) -> Option<&dyn Callback> {
        Some(self)
    }
}

impl TwilioVoice {
    fn voice(&self, locale: Locale) -> Voice<'_> {
        let language = self.0.language.as_deref();
        Voice { language: language.unwrap_or(locale.pick("en-US", "zh-CN")) }
    }
}

impl Callback for TwilioVoice {
    fn hear(&self, inbound: &Inbound<'_>, _at: Timestamp) -> Option<Heard> {
        let claimed = (inbound.header)("x-twilio-signature")?;
        let token = self.0.auth_token.expose();
        let signature = cloud::twilio(token, inbound.url, inbound.body);
        let genuine = bool::from(signature.as_bytes().ct_eq(claimed.as_bytes()));
        if !genuine || inbound.method != "POST" {
            return None;
        }
        let url = Url::parse(inbound.url).ok()?;
        let asked = |name: &str| {
            let mut query = url.query_pairs();
            query.find(|(found, _)| found == name).map(|(_, value)| value.into_owned())
        };
        let said = |name: &str| {
            let mut form = form_urlencoded::parse(inbound.body);
            form.find(|(found, _)| found == name).map(|(_, value)| value.into_owned())
        };
        let language = asked("language").filter(|language| twilio::is_language(language));
        let voice = Voice { language: language.as_deref().unwrap_or("en-US") };
        let (ticket, call) = (asked("ticket")?, said("CallSid")?);
        let digits = said("Digits").unwrap_or_default();
        if digits != KEY {
            let words = Words::of(voice.locale());
            let again = voice.script(words.call_press, Some(inbound.url), 1);
            return Some(Heard::Other(twiml(again)));
        }
        let whose = phone::ending(&said("To").unwrap_or_default());
        Some(Heard::Pressed(Press {
            ticket: Secret::new(ticket),
            by: format!("{} {whose}", Words::of(voice.locale()).telephone),
            once: format!("{call} {digits}"),
        }))
    }

    fn reply(&self, pressed: &Pressed, locale: Locale) -> Reply {
        let voice = self.voice(locale);
        let words = Words::of(voice.locale());
        let text = match pressed {
            Pressed::Taken => words.call_taken.to_owned(),
            Pressed::Answered { resolved: true, .. } => words.call_over.to_owned(),
            Pressed::Answered { by, resolved: false } => {
                format!("{}{}{}", words.call_answered, words.colon, fit::line(by))
            }
            Pressed::Gone => words.call_gone.to_owned(),
            Pressed::Failed => words.call_failed.to_owned(),
        };
        twiml(voice.script(&text, None, 1))
    }
}

fn twiml(script: String) -> Reply {
    Reply { status: 200, content_type: "text/xml; charset=utf-8", body: script }
}

/// Who speaks.
#[derive(Clone, Copy, Debug)]
struct Voice<'a> {
    /// Such as `en-US`.
    language: &'a str,
}

impl Voice<'_> {
    /// The language of the words that it can say.
    fn locale(self) -> Locale {
        let family = self.language.split('-').next().unwrap_or_default().to_ascii_lowercase();
        if matches!(family.as_str(), "zh" | "cmn" | "yue") {
            Locale::Chinese
        } else {
            Locale::English
        }
    }

    /// What a call says of `story`: level, title and note, and, if it `asks`, which key to press. News say
    /// of which alert they are, and no level, for theirs is not the alert's.
    fn words(self, out: &Outgoing<'_>, story: &Story, title_max: usize, asks: bool) -> String {
        let words = story.words;
        let stop = self.locale().pick(". ", "。");
        let opening = match out.about {
            Some(_) => words.call_news.to_owned(),
            None => {
                let level = words.level(story.level);
                format!("{}{}{}{level}{stop}", words.call_opening, words.call_level, words.colon)
            }
        };
        let title = fit::utf16(&out.headline(words.colon), title_max);
        let mut said = format!("{opening}{title}{stop}{}", story.note);
        if asks {
            said =
                format!("{}{}{}", said.trim_end(), self.locale().pick(" ", ""), words.call_press);
        }
        said.trim_end().to_owned()
    }

    /// A script that says `text` so often, and with an `action` takes a key meanwhile and reports it there.
    fn script(self, text: &str, action: Option<&str>, times: usize) -> String {
        let said = format!("<Say language=\"{}\">{}</Say>", self.language, escape(text));
        let said = said.repeat(times);
        match action {
            Some(action) => format!(
                "<Response><Gather numDigits=\"1\" action=\"{}\" method=\"POST\">{said}</Gather></Response>",
                escape(action)
            ),
            None => format!("<Response>{said}</Response>"),
        }
    }
}

/// `text` as it stands in XML, in a text or between quotation marks.
fn escape(text: &str) -> String {
    let text = text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;");
    text.replace('"', "&quot;")
}
