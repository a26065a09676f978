//! What Callout remembers. The only crate with SQL.
//!
//! Without features this is the enqueue statement, its values, the statement that reads an alert, and the
//! schema: what the client crate runs on the application's own connection ([`enqueue`], [`alert`],
//! [`schema`]). With `sqlite` it is the store:
//! the trait [`Store`] and its first backend [`SqliteStore`]. A second backend passes the suite in `conformance`
//! and nothing else changes.
//!
//! The store decides nothing: states come from `callout_core`, and the store writes them down under
//! compare-and-set on the lease.

pub mod alert;
pub mod clock;
#[cfg(feature = "sqlite")]
pub mod crash;
pub mod enqueue;
pub mod schema;

#[cfg(feature = "conformance")]
pub mod conformance;
#[cfg(feature = "sqlite")]
mod error;
#[cfg(feature = "sqlite")]
pub mod model;
#[cfg(feature = "sqlite")]
mod sqlite;
#[cfg(feature = "sqlite")]
mod store;

#[cfg(feature = "sqlite")]
pub use error::{BackendError, StoreError};
#[cfg(feature = "sqlite")]
pub use sqlite::{Create, ENQUEUE_MAX, Filler, Floor, Lost, Past, SqliteStore, Step};
#[cfg(feature = "sqlite")]
pub use store::Store;
