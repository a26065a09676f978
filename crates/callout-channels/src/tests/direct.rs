//! Mail, programs and files.

use super::*;
use callout_core::outcome::{Blame, Outcome, Reason};

mod command;
mod file;
mod letter;
mod mail;
mod sink;

/// An outcome in one line.
fn shown(outcome: &Outcome) -> String {
    let blame = match outcome {
        Outcome::Rejected { blame: Blame::Message, .. } => " message",
        Outcome::Rejected { blame: Blame::Endpoint, .. } => " endpoint",
        Outcome::Accepted(_)
        | Outcome::Throttled { .. }
        | Outcome::Transient(_)
        | Outcome::Unknown(_) => "",
    };
    format!("{}{blame} {}", outcome.name(), outcome.reason())
}

/// Delivers a message through the whole channel.
async fn delivered(channel: &Channel, out: &Outgoing<'_>) -> Outcome {
    let transport = crate::Transport::new(crate::Settings::default()).unwrap();
    let delivered = channel.deliver(&transport, out, &now).await;
    assert_eq!(delivered.sends, 1);
    delivered.outcome
}
