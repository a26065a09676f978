//! One attempt on one channel, from message to outcome.
//!
//! Every text that leaves here has been through the mask. What still belongs to an accepted message
//! (a file, a mention the main form cannot carry, how to acknowledge a native body) follows on a
//! best-effort basis, because repeating the message for its sake would be worse.

use crate::channel::{HttpChannel, HttpResponse, Outgoing, Problem, Refused, Spec};
use crate::mask::Mask;
use crate::transport::Transport;
use crate::{find, kinds, settings};
use callout_core::outcome::{Blame, Outcome, Reason};
use callout_core::secret::Secret;
use callout_core::time::Timestamp;
use std::time::Duration;

/// The most requests that follow one accepted message.
pub const FOLLOW_UPS_MAX: usize = 12;
/// How long all requests that follow one accepted message may take together.
///
/// One request and these together end before a worker that was told to stop gives up waiting.
pub const FOLLOW_UPS_TIMEOUT: Duration = Duration::from_secs(4);

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
                return Delivered { outcome: self.mask(out).outcome(outcome), sends: 0 };
            }
        };
        let mask = self.mask(out).with(&request);
        let outcome = match transport.exchange(&request).await {
            Ok(answer) => self.judge(&answer, &mask, clock()),
            Err(outcome) => mask.outcome(outcome),
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
    pub(crate) fn judge(&self, answer: &HttpResponse, mask: &Mask, at: Timestamp) -> Outcome {
        let outcome = match answer.status {
            300..=399 => answer.outcome_by_status(at),
            _ => self.http.classify(answer, at),
        };
        mask.outcome(outcome)
    }

    /// Hides the credentials of the settings and of `out`.
    pub(crate) fn mask(&self, out: &Outgoing<'_>) -> Mask {
        Mask::new(&self.secrets, out.ask)
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
            let mask = self.mask(out).with(&request);
            match transport.exchange(&request).await {
                Ok(answer) => {
                    after.note(&self.judge(&answer, &mask, clock()));
                    answers.push(answer);
                }
                // Whoever does not answer now will not answer to the rest either.
                Err(outcome) => return after.note(&mask.outcome(outcome)),
            }
        }
        after.failures.push(format!("more than {FOLLOW_UPS_MAX} requests"));
    }
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
