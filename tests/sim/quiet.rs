//! Knowing when nothing can go on without time: the runtime is about to put its thread to sleep.

use std::future::poll_fn;
use std::sync::{Arc, Mutex};
use std::task::{Poll, Waker};

#[derive(Debug, Default)]
pub(crate) struct Quiet(Mutex<(bool, Option<Waker>)>);

impl Quiet {
    /// A runtime for one simulation: one thread, no driver, one task polled at a time.
    pub(crate) fn runtime(self: &Arc<Self>) -> tokio::runtime::Runtime {
        let quiet = self.clone();
        let parked = move || {
            let mut inner = quiet.0.lock().unwrap();
            inner.0 = true;
            if let Some(waker) = inner.1.take() {
                waker.wake();
            }
        };
        tokio::runtime::Builder::new_current_thread()
            .event_interval(1)
            .on_thread_park(parked)
            .build()
            .unwrap()
    }

    /// Completes once every task waits for time, or for whoever waits here.
    pub(crate) async fn reached(&self) {
        self.0.lock().unwrap().0 = false;
        poll_fn(|context| {
            let mut inner = self.0.lock().unwrap();
            if inner.0 {
                return Poll::Ready(());
            }
            inner.1 = Some(context.waker().clone());
            Poll::Pending
        })
        .await;
    }
}
