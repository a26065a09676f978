//! How Callout speaks: one file for each provider, and the one HTTP client.
//!
//! # Adding a channel
//! 1. One file `src/<kind>.rs`: a settings struct, `request`, `classify`, a `SPEC`.
//! 2. Two lines here: the `mod` line and the registry row.
//! 3. One folder `fixtures/<kind>/`.
//!
//! Configuration keys, `callout channels`, the reference page, default limits, the fixture run and the
//! no-secret-leak check follow from `SPEC`.
