//! A simulator: the real core, worker and store, one thread, and time, providers and crashes from a seed.
//!
//! Each seed is one story that is the same each time it is told. After every step the database is held
//! against what has to be true (`check`), and what the simulated providers hear against what the store
//! has promised (`world`). `scripts/simulate N FIRST` plays as many seeds as you like; `CALLOUT_SEED=7`
//! tells one in full.

#![expect(
    clippy::indexing_slicing,
    clippy::print_stdout,
    clippy::string_slice,
    clippy::unwrap_used,
    reason = "a test expects, and fails where it is wrong"
)]

mod audit;
mod check;
mod clock;
mod dice;
mod message;
mod provider;
mod quiet;
mod run;
mod setting;
mod store;
mod world;

use callout_channels::transport::{Settings, Transport};
use run::{Failure, Ground, Tally};
use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering};

/// How many seeds are played if nobody says; `scripts/simulate` plays more, faster.
const SEEDS: u64 = 500;
/// Failures that are shown; after these it stops.
const FAILURES_MAX: usize = 8;
/// Seeds that once found something; they are played first.
const PINNED: [u64; 5] = [120, 174, 212, 376, 486];

#[expect(clippy::disallowed_methods, reason = "the script says which seeds to play")]
fn number(name: &str) -> Option<u64> {
    std::env::var(name).ok().and_then(|n| n.parse().ok())
}

#[test]
fn every_promise_is_kept_whatever_happens() {
    let transport = Transport::new(Settings::default()).unwrap();
    if let Some(seed) = number("CALLOUT_SEED") {
        let result = Ground::new(transport).play(seed, true);
        println!("{result:?}");
        result.unwrap();
        return;
    }
    let first = number("CALLOUT_FIRST_SEED").unwrap_or(0);
    let n = number("CALLOUT_SEEDS").unwrap_or(SEEDS);
    let next = AtomicU64::new(0);
    let (failures, total) = (Mutex::new(Vec::new()), Mutex::new(Tally::default()));
    let threads = std::thread::available_parallelism().map_or(1, usize::from);
    std::thread::scope(|scope| {
        for _ in 0..threads {
            scope.spawn(|| {
                let ground = Ground::new(transport.clone());
                loop {
                    let k = next.fetch_add(1, Ordering::Relaxed);
                    let pinned = usize::try_from(k).ok().and_then(|k| PINNED.get(k)).copied();
                    let later = first + k.saturating_sub(PINNED.len() as u64);
                    let seed = pinned.unwrap_or(later);
                    let is_over = pinned.is_none() && later >= first + n;
                    if is_over || failures.lock().unwrap().len() >= FAILURES_MAX {
                        return;
                    }
                    match ground.play(seed, false) {
                        Ok(tally) => add(&mut total.lock().unwrap(), tally),
                        Err(failure) => {
                            println!("{}", told(&failure));
                            failures.lock().unwrap().push(failure);
                        }
                    }
                }
            });
        }
    });
    let total = total.into_inner().unwrap();
    let (steps, messages, heard) = (total.steps, total.messages, total.heard);
    println!("{n} seeds from {first}: {messages} messages, {heard} requests heard, {steps} steps");
    let failures = failures.into_inner().unwrap();
    let texts: Vec<String> = failures.iter().map(told).collect();
    assert!(texts.is_empty(), "\n{}", texts.join("\n"));
}

#[test]
fn a_seed_is_the_same_story_each_time() {
    let ground = Ground::new(Transport::new(Settings::default()).unwrap());
    for seed in 1_000..1_020 {
        let tellings = [ground.play(seed, false).unwrap(), ground.play(seed, false).unwrap()];
        assert_eq!(tellings[0], tellings[1], "seed {seed}");
    }
}

fn add(total: &mut Tally, tally: Tally) {
    total.steps += tally.steps;
    total.messages += tally.messages;
    total.heard += tally.heard;
}

fn told(failure: &Failure) -> String {
    let Failure { seed, step, what } = failure;
    format!(
        "seed {seed}, step {step}: {what}\n  again, in full: CALLOUT_SEED={seed} ./scripts/simulate"
    )
}
