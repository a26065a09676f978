//! Hiding credentials in what leaves this crate as text.
//!
//! Providers echo what they were sent, and a token in the outbox is a token in every backup of it.
//! Some credentials last as long as a channel's settings; others are made for one message (the address
//! to acknowledge at) or for one request (a signature in its address).

use crate::channel::{Ask, HttpRequest};
use crate::{fit, settings};
use callout_core::outcome::{Outcome, Reason};
use callout_core::secret::{Secret, mask};
use url::Url;

/// The shortest beginning of a credential that is hidden where a text was cut inside it.
const PREFIX_BYTES_MIN: usize = 6;

/// The credentials that no text about one exchange may show, longest first.
#[derive(Debug)]
pub(crate) struct Mask(Vec<Secret>);

impl Mask {
    /// Hides what lasts, and the address in `ask` with the ticket at its end.
    pub(crate) fn new(lasting: &[Secret], ask: Option<&Ask>) -> Self {
        let url = ask.and_then(|ask| ask.url.as_ref()).map(Secret::expose);
        let ticket = url.and_then(|url| url.rsplit('/').next());
        let passing = url.into_iter().chain(ticket).map(str::to_owned).collect();
        Self(lasting.to_vec()).and(passing)
    }

    /// Hides also what the query of `request` carries. Numbers stay: they tell when it was signed.
    pub(crate) fn with(self, request: &HttpRequest) -> Self {
        let Ok(url) = Url::parse(request.url.expose()) else { return self };
        let values = url.query_pairs().map(|(_, value)| value.into_owned());
        let telling = |value: &String| {
            value.len() >= settings::PART_BYTES_MIN && !value.bytes().all(|b| b.is_ascii_digit())
        };
        self.and(values.filter(telling).collect())
    }

    fn and(mut self, texts: Vec<String>) -> Self {
        self.0.extend(settings::spelled(texts));
        self.0.sort_by_key(|secret| std::cmp::Reverse(secret.expose().len()));
        self
    }

    /// The same outcome, its words without credentials.
    pub(crate) fn outcome(&self, outcome: Outcome) -> Outcome {
        let Reason { code, detail } = outcome.reason().clone();
        let code = code.map(|code| self.text(&code));
        let detail = self.text(&detail);
        outcome.with_reason(Reason { code, detail })
    }

    /// One clean line without credentials; at its end also without the beginning of one that was cut.
    fn text(&self, text: &str) -> String {
        let text = mask(&fit::line(text), &self.0);
        let (body, end) = text.strip_suffix('…').map_or((text.as_str(), ""), |body| (body, "…"));
        match self.0.iter().filter_map(|secret| cut_secret(body, secret)).min() {
            Some(at) => body.get(..at).unwrap_or_default().to_owned() + "***" + end,
            None => text,
        }
    }
}

/// Where in `text` a beginning of `secret` starts that reaches to the end of the text.
pub(crate) fn cut_secret(text: &str, secret: &Secret) -> Option<usize> {
    let secret = secret.expose();
    let starts = text.char_indices().map(|(at, _)| at);
    starts.filter(|at| text.len() - at >= PREFIX_BYTES_MIN).find(|at| {
        text.get(*at..).is_some_and(|tail| tail.len() < secret.len() && secret.starts_with(tail))
    })
}
