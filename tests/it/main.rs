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
mod bench;
mod browser;
mod callback;
mod clock;
mod crash;
mod delivery;
#[cfg(target_os = "linux")]
mod disk;
mod escalation;
mod faults;
mod hostile;
mod kills;
mod limits;
mod mail;
mod page;
#[cfg(target_os = "linux")]
mod power;
mod program;
mod providers;
mod restart;
mod rot;
mod stage;
#[cfg(target_os = "linux")]
mod standstill;
mod tidy;
mod workers;
