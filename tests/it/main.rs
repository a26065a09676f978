//! Whole-system tests: the real core, store, channels, worker and program.
//!
//! Most run on a [`stage`]: a real SQLite file, real HTTP over loopback, and time that moves only when
//! the test says so. [`crash`] kills the built program.

mod crash;
mod delivery;
mod faults;
mod limits;
mod program;
mod restart;
mod stage;
mod tidy;
mod workers;
