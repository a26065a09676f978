//! Places where a test may let the program die.
//!
//! `CALLOUT_CRASH_AT=name:nth` aborts the process, without unwinding, when it passes the point of that
//! name for the nth time. A release has none of this: without `debug_assertions` a point is nothing.
//! `tests/it/kills.rs` visits every point there is.

use std::sync::OnceLock;
use std::sync::atomic::{AtomicU64, Ordering};

/// What asks for a death.
const VARIABLE: &str = "CALLOUT_CRASH_AT";

/// A place where the program may die.
#[inline(always)]
pub fn crash_point(name: &str) {
    if cfg!(debug_assertions) {
        passed(name);
    }
}

/// The death that was asked for.
struct Wish {
    at: String,
    passes_left: AtomicU64,
}

impl Wish {
    fn parse(text: &str) -> Option<Self> {
        let (at, nth) = text.split_once(':')?;
        Some(Self { at: at.to_owned(), passes_left: AtomicU64::new(nth.parse().ok()?) })
    }

    /// Whether this is the passing that was meant.
    fn is_now(&self, name: &str) -> bool {
        self.at == name && self.passes_left.fetch_sub(1, Ordering::SeqCst) == 1
    }
}

#[expect(clippy::disallowed_methods, reason = "no part of the configuration, and in no release")]
fn passed(name: &str) {
    static WISH: OnceLock<Option<Wish>> = OnceLock::new();
    let wish = WISH.get_or_init(|| Wish::parse(&std::env::var(VARIABLE).ok()?));
    if wish.as_ref().is_some_and(|wish| wish.is_now(name)) {
        std::process::abort();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_nth_passing_is_the_one() {
        let wish = Wish::parse("after_commit:3").unwrap();
        let passed = ["after_commit", "x", "after_commit", "after_commit", "after_commit"];
        let died = passed.map(|name| wish.is_now(name));
        assert_eq!(died, [false, false, false, true, false]);
        assert!(Wish::parse("after_commit").is_none() && Wish::parse("x:y").is_none());
    }
}
