//! One channel's share of the worker: how many attempts it may have under way.
//!
//! Limits and circuits live in the store, where they outlast the worker; permits are all that is left.

use callout_channels::Channel;
use callout_core::id::ChannelName;
use callout_core::rate::Rate;
use callout_store::model::LaneAsk;
use std::sync::Arc;

/// One configured channel.
#[derive(Clone, Debug)]
pub struct LaneSetup {
    /// Its name in the configuration.
    pub name: ChannelName,
    /// How it speaks.
    pub channel: Arc<Channel>,
    /// How often it may be used.
    pub rate: Rate,
    /// How many attempts may be under way at once, at least 1.
    pub permits: usize,
}

/// A channel with the permits it has given out.
#[derive(Debug)]
pub(crate) struct Lane {
    pub(crate) setup: LaneSetup,
    pub(crate) busy: usize,
}

impl Lane {
    pub(crate) fn new(setup: LaneSetup) -> Self {
        Self { setup, busy: 0 }
    }

    /// What this lane could take now.
    pub(crate) fn ask(&self) -> LaneAsk {
        LaneAsk {
            channel: self.setup.name.clone(),
            rate: self.setup.rate.clone(),
            limit: self.setup.permits.saturating_sub(self.busy),
        }
    }
}
