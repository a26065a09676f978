//! One try to hand a message to one channel.
//!
//! It runs as a task of its own and touches neither the store nor any state: what it returns is all
//! that is left of it. Whoever started it knows what to do if it panics or does not end.

use crate::{Clock, LaneSetup};
use callout_channels::Delivered;
use callout_channels::channel::{Ask, Mentions, Outgoing};
use callout_channels::transport::Transport;
use callout_core::level::Level;
use callout_core::outcome::{Outcome, Reason};
use callout_core::receiver::Receiver;
use callout_core::ticket::{Links, TICKET_TTL, Ticket};
use callout_core::time::Timestamp;
use callout_store::model::Claimed;
use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

/// No attempt runs longer, whatever its channel does. Longer than one request and all that may follow
/// it, shorter than a lease.
pub const GUARD: Duration = Duration::from_secs(50);

/// People's ids: by name, then by channel kind.
#[derive(Clone, Debug, Default)]
pub struct People(pub BTreeMap<String, BTreeMap<String, String>>);

/// In a message's list of mentions: everybody.
const EVERYBODY: &str = "all";

impl People {
    /// Whom a message to `receiver` mentions on a channel of `kind`.
    pub(crate) fn mentions(
        &self,
        claimed: &Claimed,
        receiver: Option<&Receiver>,
        kind: &str,
    ) -> Mentions {
        let message = &claimed.message;
        let loud =
            message.level >= Level::Error && receiver.is_some_and(|receiver| receiver.mention_all);
        let names =
            receiver.into_iter().flat_map(|receiver| &receiver.mention).chain(&message.mentions);
        let mut ids: Vec<String> =
            names.filter_map(|name| self.0.get(name)?.get(kind).cloned()).collect();
        ids.sort();
        ids.dedup();
        Mentions { all: loud || message.mentions.iter().any(|name| name == EVERYBODY), ids }
    }
}

/// What a claimed message asks of its reader, if somebody has to acknowledge it.
pub(crate) fn ask(claimed: &Claimed, links: Option<&Links>, now: Timestamp) -> Option<Ask> {
    let telling = claimed.telling.as_ref()?;
    let ticket = || Ticket {
        message: claimed.id,
        receiver: claimed.receiver.clone(),
        epoch: telling.epoch,
        expires_at: now + TICKET_TTL,
    };
    Some(Ask {
        url: links.map(|links| links.link(&ticket())),
        command: format!("callout ack {}", claimed.id),
        note: telling.note(),
        telling: telling.place.decision,
    })
}

/// Tries once.
#[tracing::instrument(
    name = "attempt",
    skip_all,
    fields(
        message = %claimed.id,
        delivery = %claimed.delivery,
        channel = %lane.name,
        number = claimed.state.place().tries,
        outcome = tracing::field::Empty,
    )
)]
pub(crate) async fn attempt(
    lane: LaneSetup,
    claimed: Arc<Claimed>,
    mentions: Mentions,
    ask: Option<Ask>,
    transport: Transport,
    clock: Arc<dyn Clock>,
) -> Delivered {
    let out = Outgoing {
        message: &claimed.message,
        id: claimed.id,
        created_at: claimed.created_at,
        mentions: &mentions,
        plain: claimed.state.place().plain,
        ask: ask.as_ref(),
    };
    let now = || clock.now();
    let guard = clock.now() + GUARD;
    let delivered = tokio::select! {
        delivered = lane.channel.deliver(&transport, &out, &now) => delivered,
        () = clock.wait_until(guard) => Delivered { outcome: no_answer(), sends: 1 },
    };
    tracing::Span::current().record("outcome", delivered.outcome.name());
    tracing::info!(
        code = delivered.outcome.reason().code,
        detail = delivered.outcome.reason().detail,
        "attempt ended"
    );
    delivered
}

fn no_answer() -> Outcome {
    Outcome::Unknown(Reason::text(format!("no answer within {} s", GUARD.as_secs())))
}
