//! One try to hand a message to one channel.
//!
//! It runs as a task of its own and touches neither the store nor any state: what it returns is all
//! that is left of it. Whoever started it knows what to do if it panics or does not end.

use crate::{Clock, LaneSetup};
use callout_channels::Delivered;
use callout_channels::TimeZone;
use callout_channels::channel::{Ask, Mentions, Outgoing};
use callout_channels::transport::Transport;
use callout_core::level::Level;
use callout_core::locale::Locale;
use callout_core::outcome::{Outcome, Reason};
use callout_core::receiver::Receiver;
use callout_core::ticket::{Links, TICKET_TTL, Ticket};
use callout_core::time::Timestamp;
use callout_store::crash::crash_point;
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
pub(crate) fn ask(
    claimed: &Claimed,
    links: Option<&Links>,
    locale: Locale,
    now: Timestamp,
) -> Option<Ask> {
    let telling = claimed.telling.as_ref()?;
    let ticket = || Ticket {
        message: claimed.id,
        receiver: claimed.receiver.clone(),
        epoch: telling.epoch,
        expires_at: link_end(now),
    };
    Some(Ask {
        url: links.map(|links| links.link(&ticket())),
        command: format!("callout ack {}", claimed.id),
        note: telling.note(locale),
        telling: telling.place.decision,
    })
}

const HOUR_MS: u64 = 3_600_000;

/// When a link sent at `now` stops working: at the end of an hour, for a provider that drops what it has
/// just delivered has to see the same message when it is tried again.
fn link_end(now: Timestamp) -> Timestamp {
    let past = u64::try_from(now.unix_ms()).unwrap_or_default() % HOUR_MS;
    now + TICKET_TTL + Duration::from_millis(HOUR_MS - past)
}

/// What every attempt works with.
#[derive(Clone)]
pub(crate) struct Means {
    pub(crate) transport: Transport,
    pub(crate) clock: Arc<dyn Clock>,
    pub(crate) locale: Locale,
    pub(crate) zone: TimeZone,
    /// How long the attempt may take.
    pub(crate) guard: Duration,
}

/// How an attempt ended.
pub(crate) struct Ended {
    pub(crate) delivered: Delivered,
    /// What the clock said then, by which a provider's "not before" is meant.
    pub(crate) at: Timestamp,
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
    means: Means,
) -> Ended {
    let Means { transport, clock, locale, zone, guard } = means;
    let out = Outgoing {
        message: &claimed.message,
        id: claimed.id,
        created_at: claimed.created_at,
        mentions: &mentions,
        plain: claimed.state.place().plain,
        ask: ask.as_ref(),
        about: claimed.about.as_ref(),
        locale,
        zone: &zone,
    };
    let now = || clock.now();
    let guard = clock.now() + guard;
    crash_point("before_send");
    let delivered = tokio::select! {
        // An answer that is there counts, even at the last moment.
        biased;
        delivered = lane.channel.deliver(&transport, &out, &now) => delivered,
        () = clock.wait_until(guard) => Delivered { outcome: no_answer(), sends: 1 },
    };
    crash_point("after_send_before_record");
    tracing::Span::current().record("outcome", delivered.outcome.name());
    tracing::info!(
        code = delivered.outcome.reason().code,
        detail = delivered.outcome.reason().detail,
        "attempt ended"
    );
    Ended { delivered, at: clock.now() }
}

fn no_answer() -> Outcome {
    Outcome::Unknown(Reason::text(format!("no answer within {} s", GUARD.as_secs())))
}

#[cfg(test)]
mod tests;
