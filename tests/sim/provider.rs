//! Providers that hear, refuse, stall and forget, as the dice say.

use crate::setting::KIND;
use crate::world::{Flight, World};
use callout_channels::channel::{Outgoing, Refused};
use callout_channels::direct::DirectChannel;
use callout_channels::spec::Spec;
use callout_core::outcome::{Blame, Outcome, Reason};
use callout_core::time::Timestamp;
use std::fmt;
use std::sync::Arc;
use std::time::Duration;

pub(crate) static SPEC: Spec = Spec {
    kind: KIND,
    title: "Simulated",
    fields: &[],
    rate: "none",
    types: &["text"],
    native: false,
    body_bytes_max: 1 << 20,
    mentions: "people",
    idempotency: "none",
    costly: false,
    rings: false,
    ack: "none",
    edit: false,
    thread: false,
    callback: None,
    advice: &[],
    apprise: &[],
};

/// How a provider is disposed at present.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Mood {
    Fine,
    /// Anything may happen.
    Fickle,
    Down,
    RefusesUs,
    RefusesMessages,
    Throttles,
    /// Hears, and the answer is lost; or does not hear.
    Loses,
    Hangs,
}

/// What happens to one request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Fate {
    Accept,
    /// Not delivered, for now.
    Fail,
    RejectUs,
    RejectMessage,
    Throttle(i64),
    /// No proof comes back. Whether it was heard.
    Lose(bool),
    /// No answer comes back. Whether it was heard.
    Hang(bool),
    /// Our own code breaks.
    Panic(bool),
}

/// One request: how long until it is heard, how long until it is answered, and how.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Course {
    pub(crate) there: i64,
    pub(crate) back: i64,
    pub(crate) fate: Fate,
}

/// One simulated channel of one worker.
pub(crate) struct Robot {
    pub(crate) world: Arc<World>,
    pub(crate) channel: usize,
    /// Whose channel it is.
    pub(crate) worker: String,
}

impl fmt::Debug for Robot {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "robot {}", self.channel)
    }
}

#[async_trait::async_trait]
impl DirectChannel for Robot {
    async fn deliver(&self, out: &Outgoing<'_>, _: Timestamp) -> Outcome {
        let (flight, course) = self.world.depart(self.channel, &self.worker, out);
        self.pass(course.there).await;
        self.world.arrive(&flight, course.fate);
        self.pass(course.back).await;
        self.answer(&flight, course.fate).await
    }

    fn preview(&self, out: &Outgoing<'_>, _: Timestamp) -> Result<String, Refused> {
        Ok(out.message.title.clone())
    }
}

impl Robot {
    async fn pass(&self, length: i64) {
        if length > 0 {
            let clock = &self.world.clock;
            clock.sleep(clock.elapsed() + length).await;
        }
    }

    async fn answer(&self, flight: &Flight, fate: Fate) -> Outcome {
        let words = |text: &str| Reason::new("code", text);
        match fate {
            Fate::Accept => {
                self.world.answered(flight, true);
                Outcome::Accepted(words("fine"))
            }
            Fate::Fail => Outcome::Transient(words("not now")),
            Fate::RejectUs => {
                self.world.answered(flight, false);
                Outcome::Rejected { blame: Blame::Endpoint, reason: words("who are you?") }
            }
            Fate::RejectMessage => {
                self.world.answered(flight, false);
                Outcome::Rejected { blame: Blame::Message, reason: words("what is that?") }
            }
            Fate::Throttle(length) => {
                let length = Duration::from_millis(length.try_into().unwrap());
                let until = Timestamp::from_unix_ms(self.world.clock.wall()).unwrap() + length;
                Outcome::Throttled { until, reason: words("slow down") }
            }
            Fate::Lose(_) => Outcome::Unknown(words("lost")),
            Fate::Hang(_) => std::future::pending().await,
            Fate::Panic(_) => {
                self.world.answered(flight, false);
                // Without the hook that prints it.
                std::panic::resume_unwind(Box::new("a simulated panic"))
            }
        }
    }
}
