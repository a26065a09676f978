//! One attempt on one channel, from message to outcome.
//!
//! Every text that leaves here has been through the mask: providers echo what they were sent, and a
//! token in the outbox is a token in every backup of it. What still belongs to an accepted message
//! (a file, a mention the main form cannot carry) follows on a best-effort basis, because repeating
//! the message for its sake would be worse.

use crate::channel::{HttpChannel, HttpResponse, Outgoing, Problem, Refused, Spec};
use crate::transport::Transport;
use crate::{find, fit, kinds, settings};
use callout_core::outcome::{Blame, Outcome, Reason};
use callout_core::secret::{Secret, mask};
use callout_core::time::Timestamp;
use std::time::Duration;

/// The most requests that follow one accepted message.
pub const FOLLOW_UPS_MAX: usize = 12;
/// How long all requests that follow one accepted message may take together.
///
/// One request and these together end before a worker that was told to stop gives up waiting.
pub const FOLLOW_UPS_TIMEOUT: Duration = Duration::from_secs(4);
/// The shortest beginning of a credential that is hidden where a text was cut inside it.
const MASKED_PREFIX_MIN: usize = 6;

/// One configured way out, ready to be used.
#[derive(Debug)]
pub struct Channel {
    spec: &'static Spec,
    secrets: Vec<Secret>,
    http: Box<dyn HttpChannel>,
}

/// What became of one attempt.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Delivered {
    /// What the provider said, without any credential.
    pub outcome: Outcome,
    /// How many requests were tried; each of them counts towards the provider's rate limit.
    pub sends: u32,
}

impl Channel {
    /// Makes a channel of `kind` from settings in which every credential is already a plain text.
    ///
    /// # Errors
    /// Everything that is wrong with the settings, never with a credential in the text.
    pub fn build(kind: &str, settings: serde_json::Value) -> Result<Self, Vec<Problem>> {
        let Some(row) = find(kind) else {
            let known = kinds().collect::<Vec<_>>().join(", ");
            let text = format!("is not a known kind of channel; the kinds are {known}");
            return Err(vec![Problem { field: "kind", text }]);
        };
        let settings = settings::check(row.spec, settings)?;
        let secrets = settings::secrets(row.spec, &settings);
        Ok(Self { spec: row.spec, secrets, http: (row.build)(settings)? })
    }

    /// What is known about channels of this kind.
    pub fn spec(&self) -> &'static Spec {
        self.spec
    }

    /// Says `out` once. Never sleeps, never tries again.
    pub async fn deliver(
        &self,
        transport: &Transport,
        out: &Outgoing<'_>,
        clock: &(dyn Fn() -> Timestamp + Send + Sync),
    ) -> Delivered {
        let request = match self.http.request(out, clock()) {
            Ok(request) => request,
            Err(Refused(reason)) => {
                let outcome = Outcome::Rejected { blame: Blame::Message, reason };
                return Delivered { outcome: self.masked(outcome), sends: 0 };
            }
        };
        let outcome = match transport.exchange(&request).await {
            Ok(answer) => self.judge(&answer, clock()),
            Err(outcome) => self.masked(outcome),
        };
        let mut after = FollowUps::default();
        if matches!(outcome, Outcome::Accepted(_)) {
            let follow = self.follow_up(transport, out, clock, &mut after);
            if tokio::time::timeout(FOLLOW_UPS_TIMEOUT, follow).await.is_err() {
                after.failures.push("no time left for the rest".to_owned());
            }
        }
        Delivered { outcome: after.noted(outcome), sends: after.sends.saturating_add(1) }
    }

    /// Reads an answer and hides credentials in what it says.
    pub(crate) fn judge(&self, answer: &HttpResponse, at: Timestamp) -> Outcome {
        let outcome = match answer.status {
            300..=399 => answer.outcome_by_status(at),
            _ => self.http.classify(answer, at),
        };
        self.masked(outcome)
    }

    #[cfg(test)]
    pub(crate) fn http(&self) -> &dyn HttpChannel {
        self.http.as_ref()
    }

    async fn follow_up(
        &self,
        transport: &Transport,
        out: &Outgoing<'_>,
        clock: &(dyn Fn() -> Timestamp + Send + Sync),
        after: &mut FollowUps,
    ) {
        let mut answers = Vec::new();
        while answers.len() < FOLLOW_UPS_MAX {
            let Some(request) = self.http.follow_up(out, clock(), &answers) else { return };
            after.sends = after.sends.saturating_add(1);
            match transport.exchange(&request).await {
                Ok(answer) => {
                    after.note(&self.judge(&answer, clock()));
                    answers.push(answer);
                }
                // Whoever does not answer now will not answer to the rest either.
                Err(outcome) => return after.note(&self.masked(outcome)),
            }
        }
        after.failures.push(format!("more than {FOLLOW_UPS_MAX} requests"));
    }

    pub(crate) fn masked(&self, outcome: Outcome) -> Outcome {
        let Reason { code, detail } = outcome.reason().clone();
        let code = code.map(|code| self.masked_text(&code));
        let detail = self.masked_text(&detail);
        outcome.with_reason(Reason { code, detail })
    }

    /// One clean line without credentials; at its end also without the beginning of one that was cut.
    fn masked_text(&self, text: &str) -> String {
        let text = mask(&fit::line(text), &self.secrets);
        let (body, end) = text.strip_suffix('…').map_or((text.as_str(), ""), |body| (body, "…"));
        match self.secrets.iter().filter_map(|secret| cut_secret(body, secret)).min() {
            Some(at) => body.get(..at).unwrap_or_default().to_owned() + "***" + end,
            None => text,
        }
    }
}

/// Where in `text` a beginning of `secret` starts that reaches to the end of the text.
pub(crate) fn cut_secret(text: &str, secret: &Secret) -> Option<usize> {
    let secret = secret.expose();
    let starts = text.char_indices().map(|(at, _)| at);
    starts.filter(|at| text.len() - at >= MASKED_PREFIX_MIN).find(|at| {
        text.get(*at..).is_some_and(|tail| tail.len() < secret.len() && secret.starts_with(tail))
    })
}

/// What came of the requests after an accepted message.
#[derive(Default)]
struct FollowUps {
    sends: u32,
    failures: Vec<String>,
}

impl FollowUps {
    fn note(&mut self, outcome: &Outcome) {
        if !matches!(outcome, Outcome::Accepted(_)) {
            self.failures.push(format!("{} {}", outcome.name(), outcome.reason()));
        }
    }

    fn noted(&self, outcome: Outcome) -> Outcome {
        if self.failures.is_empty() {
            return outcome;
        }
        let Reason { code, detail } = outcome.reason().clone();
        let detail =
            format!("{detail}; what should have followed failed: {}", self.failures.join("; "));
        let detail = Reason::text(detail).detail;
        outcome.with_reason(Reason { code, detail })
    }
}
