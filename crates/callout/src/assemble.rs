//! From a configuration to a worker.

use crate::config::Config;
use callout_channels::Transport;
use callout_store::Store;
use callout_worker::{Clock, LaneSetup, POLL, People, Presence, Setup};
use std::sync::Arc;

/// Builds what a worker needs out of what is configured.
///
/// # Errors
/// If there is no HTTP client, or the worker cannot make itself known beside the database.
pub fn worker(
    config: Config,
    store: Arc<dyn Store>,
    clock: Arc<dyn Clock>,
) -> anyhow::Result<Setup> {
    let zone = config.zone();
    let id = callout_core::id::WorkerId::new(clock.now(), clock.entropy());
    let lanes = config.channels.into_iter().map(|(name, configured)| LaneSetup {
        name,
        channel: Arc::new(configured.channel),
        rate: configured.rate,
        permits: usize::try_from(configured.concurrency).unwrap_or(1),
    });
    Ok(Setup {
        store,
        clock,
        directory: Arc::new(config.directory),
        lanes: lanes.collect(),
        transport: Transport::new(config.http)?,
        people: People(config.people),
        links: config.server.links(),

        zone,
        presence: Presence::beside(&config.store_path, id)?,
        poll: POLL,
    })
}
