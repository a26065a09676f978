//! What applications link to enqueue alerts. Without the feature `rusqlite` this is [`Statement`] alone.
//!
#![cfg_attr(feature = "rusqlite", doc = include_str!("../README.md"))]

mod statement;

#[cfg(feature = "rusqlite")]
mod alert;
#[cfg(feature = "rusqlite")]
mod durability;
#[cfg(feature = "rusqlite")]
mod embedded;
#[cfg(feature = "rusqlite")]
mod error;
#[cfg(feature = "rusqlite")]
mod install;
#[cfg(feature = "rusqlite")]
mod outbox;
#[cfg(feature = "rusqlite")]
mod resolve;
#[cfg(feature = "rusqlite")]
mod tables;
#[cfg(feature = "rusqlite")]
mod wait;

pub use callout_core::id::MessageId;
pub use callout_core::level::Level;
pub use callout_core::message::{Attachment, Invalid, Link, Message};
pub use callout_core::time::Timestamp;
pub use callout_store::enqueue::{Row, Value};
pub use statement::Statement;

#[cfg(feature = "rusqlite")]
pub use alert::{AlertState, alert};
#[cfg(feature = "rusqlite")]
pub use durability::Weakness;
#[cfg(feature = "rusqlite")]
pub use embedded::{Receipt, check, enqueue, enqueue_best_effort};
#[cfg(feature = "rusqlite")]
pub use error::Error;
#[cfg(feature = "rusqlite")]
pub use install::install;
#[cfg(feature = "rusqlite")]
pub use outbox::Outbox;
#[cfg(feature = "rusqlite")]
pub use resolve::{resolve, resolve_with};
#[cfg(feature = "rusqlite")]
pub use wait::wait_for_ack;

/// The driver this was built with, so that an application can match its version.
#[cfg(feature = "rusqlite")]
pub use rusqlite;
