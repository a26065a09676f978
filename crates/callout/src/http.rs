//! The HTTP server: the API for producers and operators, the acknowledge page, health and metrics.
//!
//! It has an accept loop of its own because a server in front of people and strangers has to limit what
//! each of them may hold: the time a request takes, connections in all and from one address. Nothing
//! answers without a credential but `/healthz` and `/readyz`; the link to an acknowledge page is one, and
//! so is a provider's signature.

pub(crate) mod ack;
mod alert;
mod answer;
pub(crate) mod api;
pub(crate) mod auth;
pub(crate) mod callback;
mod metrics;
mod peer;
#[cfg(any(test, fuzzing))]
#[cfg_attr(test, expect(unreachable_pub, reason = "it is for `tests/fuzz` too"))]
pub(crate) mod target;
mod tries;

use api::Api;
use axum::extract::ConnectInfo;
use axum::{Extension, Router};
use hyper::server::conn::http1;
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::server::graceful::GracefulShutdown;
use hyper_util::service::TowerToHyperService;
use std::collections::HashMap;
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Semaphore;

/// How long a client may take to send its request's headers.
const HEADERS_TIMEOUT: Duration = Duration::from_secs(10);
/// The most connections at once.
const CONNECTIONS_MAX: usize = 1024;
/// The most connections at once from one address, or one network with IPv6. This machine has no such limit:
/// a proxy in front of us, and everybody's producers, are there.
const CONNECTIONS_PER_ADDRESS_MAX: usize = 64;
/// How long requests under way may take when the program stops.
const GOODBYE: Duration = Duration::from_secs(2);
/// How long to wait when the system has no room for another connection.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);

/// Serves until `stop` completes, then lets requests under way end.
pub(crate) async fn serve(listener: TcpListener, api: Arc<Api>, stop: impl Future<Output = ()>) {
    let clock = api.clock.clone();
    let router = api::router(api);
    let graceful = GracefulShutdown::new();
    let room = Arc::new(Semaphore::new(CONNECTIONS_MAX));
    let guests = Guests::default();
    let mut stop = std::pin::pin!(stop);
    loop {
        let accepted = tokio::select! {
            () = &mut stop => break,
            accepted = listener.accept() => accepted,
        };
        match accepted {
            Ok((stream, peer)) => {
                let (Ok(permit), Some(guest)) =
                    (room.clone().try_acquire_owned(), guests.admit(peer.ip()))
                else {
                    tracing::debug!(%peer, "connection refused: too many are open");
                    continue;
                };
                let connection = graceful.watch(connection(stream, peer, &router));
                tokio::spawn(async move {
                    if let Err(error) = connection.await {
                        tracing::debug!(%peer, %error, "connection ended early");
                    }
                    drop((permit, guest));
                });
            }
            Err(error) => {
                tracing::warn!(%error, "no connection could be accepted");
                clock.wait_until(clock.now() + ACCEPT_PAUSE).await;
            }
        }
    }
    drop(listener);
    tokio::select! {
        () = graceful.shutdown() => (),
        () = clock.wait_until(clock.now() + GOODBYE) => (),
    }
}

type Connection = http1::Connection<TokioIo<TcpStream>, TowerToHyperService<Router>>;

fn connection(stream: TcpStream, peer: SocketAddr, router: &Router) -> Connection {
    let router: Router = router.clone().layer(Extension(ConnectInfo(peer)));
    http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(HEADERS_TIMEOUT)
        .serve_connection(TokioIo::new(stream), TowerToHyperService::new(router))
}

/// Binds the address to listen on.
pub(crate) async fn bind(address: SocketAddr) -> io::Result<TcpListener> {
    TcpListener::bind(address).await
}

/// Open connections by address.
#[derive(Clone, Default)]
struct Guests(Arc<Mutex<HashMap<IpAddr, usize>>>);

/// One open connection; leaves when dropped.
struct Guest {
    guests: Guests,
    /// What it counts for, if it is limited.
    network: Option<IpAddr>,
}

impl Guests {
    fn admit(&self, address: IpAddr) -> Option<Guest> {
        if address.to_canonical().is_loopback() {
            return Some(Guest { guests: self.clone(), network: None });
        }
        let network = peer::network(address);
        let mut open = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let count = open.entry(network).or_default();
        if *count >= CONNECTIONS_PER_ADDRESS_MAX {
            return None;
        }
        *count += 1;
        Some(Guest { guests: self.clone(), network: Some(network) })
    }
}

impl Drop for Guest {
    fn drop(&mut self) {
        let Some(network) = self.network else { return };
        let mut open = self.guests.0.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(count) = open.get_mut(&network) {
            *count -= 1;
            if *count == 0 {
                open.remove(&network);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_network_holds_so_many_connections_and_this_machine_any_number() {
        let guests = Guests::default();
        let admit = |address: &str| guests.admit(address.parse().unwrap());
        let mut open: Vec<Guest> = (0..CONNECTIONS_PER_ADDRESS_MAX)
            .map(|n| admit(&format!("2001:db8::{n:x}")).unwrap())
            .collect();
        assert!(admit("2001:db8::ffff").is_none());
        assert!(admit("2001:db8:0:1::1").is_some());
        open.pop();
        assert!(admit("2001:db8::ffff").is_some());
        for address in ["127.0.0.1", "::1", "::ffff:127.0.0.1"] {
            open.extend((0..=CONNECTIONS_PER_ADDRESS_MAX).map(|_| admit(address).unwrap()));
        }
        drop(open);
        assert!(guests.0.lock().unwrap().is_empty());
    }
}
