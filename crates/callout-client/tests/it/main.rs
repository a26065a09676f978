//! What the client promises to applications.

#![expect(clippy::unwrap_used, reason = "a helper of a test fails by panicking too")]

mod alerts;
mod app;
mod contract;
mod dependencies;
mod embedded;
mod outbox;
mod rows;
mod upgrade;
