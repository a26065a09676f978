//! Whatever a stranger sends to the HTTP server: bytes on one connection.

#![no_main]

use callout::fuzzing::Target;
use libfuzzer_sys::fuzz_target;
use std::cell::{Cell, OnceCell, RefCell};

/// A server gets so many connections before a new one takes its place, or its store would grow.
const CONNECTIONS: u32 = 2000;

thread_local! {
    static TARGET: RefCell<OnceCell<Target>> = const { RefCell::new(OnceCell::new()) };
    static USED: Cell<u32> = const { Cell::new(0) };
}

fuzz_target!(|bytes: &[u8]| {
    TARGET.with_borrow_mut(|target| {
        if USED.replace(USED.get() + 1) % CONNECTIONS == 0 {
            *target = OnceCell::new();
        }
        let target = target.get_or_init(Target::new);
        let (answers, _) = target.answer(&target.filled_in(bytes));
        for (path, status) in answers {
            // Nothing is delivered here, and that is what this one says.
            assert!(status < 500 || path == "/readyz", "{path} is answered with {status}");
        }
    });
});
