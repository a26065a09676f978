//! Hiding credentials in what leaves this crate as text.
//!
//! Providers echo what they were sent, and a token in the outbox is a token in every backup of it.
//! Some credentials last as long as a channel's settings; others are made for one message (the address
//! to acknowledge at) or for one request (a signature in its address).

use crate::channel::{Ask, HttpRequest};
use crate::{fit, settings};
use callout_core::outcome::{Outcome, Reason};
use callout_core::secret::{Secret, mask};
use serde::Deserialize;
use std::sync::Arc;
use url::Url;

/// The shortest beginning of a credential that is hidden where a text was cut inside it.
const PREFIX_BYTES_MIN: usize = 6;

/// The credentials that no text about one exchange may show, longest first.
///
/// Every attempt has one, and most add nothing to what lasts, so that is shared.
#[derive(Clone, Debug)]
pub(crate) struct Mask(Arc<[Secret]>);

impl Mask {
    /// Hides what lasts, and the address in `ask` with the ticket at its end.
    pub(crate) fn new(lasting: &[Secret], ask: Option<&Ask>) -> Self {
        let mut lasting = lasting.to_vec();
        lasting.sort_by_key(|secret| std::cmp::Reverse(secret.expose().len()));
        Self(lasting.into()).asking(ask)
    }

    /// Hides also the address in `ask` with the ticket at its end.
    pub(crate) fn asking(self, ask: Option<&Ask>) -> Self {
        let url = ask.and_then(|ask| ask.url.as_ref()).map(Secret::expose);
        let ticket = url.and_then(|url| url.rsplit('/').next());
        self.and(url.into_iter().chain(ticket).map(str::to_owned).collect())
    }

    /// Hides also what the query of `request` carries, what it proves itself with, and what signs its
    /// body from within. Numbers stay: they tell when it was signed.
    pub(crate) fn with(self, request: &HttpRequest) -> Self {
        let url = Some(request.url.expose()).filter(|url| url.contains('?'));
        let url = url.and_then(|url| Url::parse(url).ok());
        let query = url.iter().flat_map(|url| url.query_pairs());
        let mut values: Vec<String> = query.map(|(_, value)| value.into_owned()).collect();
        let proofs = request.headers.iter().filter(|(name, _)| name == "authorization");
        // A name and a password in Base64, or a signature behind its name; fillers stand behind it.
        let last_word =
            |text: &str| text.rsplit([' ', '=']).find(|word| !word.is_empty()).map(str::to_owned);
        values.extend(proofs.filter_map(|(_, value)| last_word(value.expose())));
        if std::str::from_utf8(&request.body).is_ok_and(|body| body.contains(SIGN_KEY)) {
            let signed = serde_json::from_slice::<Signed>(&request.body);
            values.extend(signed.ok().and_then(|body| body.sign));
        }
        values.retain(|value| {
            value.len() >= settings::PART_BYTES_MIN && !value.bytes().all(|b| b.is_ascii_digit())
        });
        self.and(values)
    }

    /// Hides also what the provider gave us to speak with, wherever it stands in a request.
    pub(crate) fn hiding(self, token: Option<&Secret>) -> Self {
        let texts = token.map(|token| token.expose().to_owned()).into_iter();
        self.and(texts.filter(|text| !text.is_empty()).collect())
    }

    fn and(self, texts: Vec<String>) -> Self {
        if texts.is_empty() {
            return self;
        }
        let mut all = self.0.to_vec();
        all.extend(settings::spelled(texts));
        all.sort_by_key(|secret| std::cmp::Reverse(secret.expose().len()));
        Self(all.into())
    }

    /// The same outcome, its words without credentials.
    pub(crate) fn outcome(&self, outcome: Outcome) -> Outcome {
        let Reason { code, detail } = outcome.reason().clone();
        let code = code.map(|code| self.text(&code));
        let detail = self.text(&detail);
        outcome.with_reason(Reason { code, detail })
    }

    /// The text as it is, line breaks included, without credentials.
    pub(crate) fn lines(&self, text: &str) -> String {
        mask(text, self.0.iter())
    }

    /// One clean line without credentials; at its end also without the beginning of one that was cut.
    fn text(&self, text: &str) -> String {
        let text = mask(&fit::line(text), self.0.iter());
        let (body, end) = text.strip_suffix('…').map_or((text.as_str(), ""), |body| (body, "…"));
        match self.0.iter().filter_map(|secret| cut_secret(body, secret)).min() {
            Some(at) => body.get(..at).unwrap_or_default().to_owned() + "***" + end,
            None => text,
        }
    }
}

/// Where a body's own signature stands. Written with escapes it would be no key of ours.
const SIGN_KEY: &str = "\"sign\"";

/// A body that carries its own signature, as Feishu wants it.
#[derive(Deserialize)]
struct Signed {
    sign: Option<String>,
}

/// Where in `text` a beginning of `secret` starts that reaches to the end of the text.
pub(crate) fn cut_secret(text: &str, secret: &Secret) -> Option<usize> {
    let secret = secret.expose();
    // The whole of it has been found before.
    let starts = (text.len() + 1).saturating_sub(secret.len());
    let mut starts = starts..=text.len().checked_sub(PREFIX_BYTES_MIN)?;
    starts.find(|at| text.get(*at..).is_some_and(|tail| secret.starts_with(tail)))
}
