//! When to leave a failing channel alone.
//!
//! A circuit opens after some failures in a row and lets one probe through now and then. It never
//! discards anything: deliveries take another channel of their receiver, or wait for the probe.

use crate::outcome::{Blame, Outcome};
use crate::time::Timestamp;
use std::time::Duration;

/// Failures in a row that open the circuit.
pub const FAILURES_MAX: u32 = 5;
/// How long an open circuit stays shut to all before the next probe.
pub const PROBE_EVERY: Duration = Duration::from_secs(15);

/// How a channel has fared lately.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Circuit {
    /// Failures since the last success.
    pub failures: u32,
    /// When the next probe may go, if the circuit is open.
    pub probe_at: Option<Timestamp>,
}

impl Circuit {
    /// Whether the circuit is open: at most a probe may go.
    pub fn is_open(&self) -> bool {
        self.probe_at.is_some()
    }

    /// The circuit after one more outcome.
    #[must_use]
    pub fn after(self, outcome: &Outcome, now: Timestamp) -> Self {
        match outcome {
            // A message the endpoint refuses proves that the endpoint works.
            Outcome::Accepted(_) | Outcome::Rejected { blame: Blame::Message, .. } => {
                Self::default()
            }
            // Asking us to wait is an answer; the channel's own pause handles it.
            Outcome::Throttled { .. } => self,
            Outcome::Transient(_)
            | Outcome::Unknown(_)
            | Outcome::Rejected { blame: Blame::Endpoint, .. } => {
                let failures = self.failures.saturating_add(1);
                Self { failures, probe_at: (failures >= FAILURES_MAX).then(|| now + PROBE_EVERY) }
            }
        }
    }

    /// The circuit once its probe has been sent: the next one has to wait its turn.
    #[must_use]
    pub fn probing(self, now: Timestamp) -> Self {
        Self { probe_at: self.probe_at.map(|_| now + PROBE_EVERY), ..self }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::outcome::Reason;

    #[test]
    fn five_failures_open_it_and_one_success_closes_it() {
        let now = Timestamp::EPOCH;
        let bad = Outcome::Transient(Reason::text("busy"));
        let mut circuit = Circuit::default();
        for _ in 1..FAILURES_MAX {
            circuit = circuit.after(&bad, now);
            assert!(!circuit.is_open());
        }
        circuit = circuit.after(&bad, now);
        assert_eq!(circuit.probe_at, Some(now + PROBE_EVERY));
        let throttled = Outcome::Throttled { until: now, reason: Reason::text("slow down") };
        assert_eq!(circuit.after(&throttled, now), circuit);
        assert!(!circuit.after(&Outcome::Accepted(Reason::text("ok")), now).is_open());
    }
}
