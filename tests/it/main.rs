//! Whole-system tests: the real core, store, channels, worker and program.
//!
//! Most run on a [`stage`]: a real SQLite file, real HTTP over loopback, and time that moves only when
//! the test says so. [`crash`] kills the built program.

#![expect(
    clippy::disallowed_methods,
    clippy::indexing_slicing,
    clippy::let_underscore_must_use,
    clippy::string_slice,
    clippy::unwrap_used,
    reason = "a test expects, and fails where it is wrong"
)]

mod application;
mod browser;
mod callback;
mod crash;
mod delivery;
mod escalation;
mod faults;
mod limits;
mod mail;
mod page;
mod program;
mod providers;
mod restart;
mod stage;
mod tidy;
mod workers;
