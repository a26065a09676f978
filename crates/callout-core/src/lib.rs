//! What Callout decides.
//!
//! Everything here is a function of its arguments: no I/O, no clock, no dice, no SQL, no HTTP. Time
//! and jitter come in as values and decisions leave as values, so each rule can be tested as a table
//! and a restart can change nothing. `callout-store` writes the decisions down, `callout-worker`
//! acts on them.
//!
//! Start with [`message`] (what a producer says), then [`plan`] (who shall hear it), [`delivery`] (the
//! life of one obligation), [`alert`] and [`escalation`] (until somebody answers). [`simulate`] runs them
//! all on imagined time. The feature `engine` adds all but the first; the client crate goes without it.

#![cfg_attr(not(test), warn(clippy::expect_used))]
#![cfg_attr(not(test), warn(clippy::wildcard_enum_match_arm))]

pub mod id;
pub mod level;
pub mod message;
pub mod time;

#[cfg(feature = "engine")]
pub mod alert;
#[cfg(feature = "engine")]
pub mod circuit;
#[cfg(feature = "engine")]
pub mod delivery;
#[cfg(feature = "engine")]
pub mod drift;
#[cfg(feature = "engine")]
pub mod escalation;
#[cfg(feature = "engine")]
pub mod locale;
#[cfg(feature = "engine")]
pub mod outcome;
#[cfg(all(test, feature = "engine"))]
mod picture;
#[cfg(feature = "engine")]
pub mod plan;
#[cfg(feature = "engine")]
pub mod rate;
#[cfg(feature = "engine")]
pub mod receiver;
#[cfg(feature = "engine")]
pub mod retry;
#[cfg(feature = "engine")]
pub mod route;
#[cfg(feature = "engine")]
pub mod secret;
#[cfg(feature = "engine")]
pub mod simulate;
#[cfg(feature = "engine")]
pub mod ticket;
#[cfg(feature = "engine")]
mod words;
