//! The API, the page and the callbacks in this process, for strange requests: bytes in, statuses out.
//!
//! The bytes take the whole way that a stranger's take, from the server's own parser to the store, but for
//! the socket. Tests and `tests/fuzz` share it.

use super::{ack::Door, api, api::Api, auth::Gate, callback::Ears};
use crate::{assemble, config};
use axum::extract::{ConnectInfo, Request, State};
use axum::middleware::{self, Next};
use axum::response::Response;
use axum::{Extension, Router};
use callout_core::id::MessageId;
use callout_core::level::Level;
use callout_core::message::Message;
use callout_core::plan::Directory;
use callout_core::ticket::{Links, TICKET_TTL, Ticket};
use callout_core::time::Timestamp;
use callout_store::clock::Reading;
use callout_store::model::{NewMessage, PlanRequest};
use callout_store::{Create, SqliteStore, Store};
use callout_worker::{Clock, SystemClock, Worker};
use hyper::server::conn::http1;
use hyper_util::rt::TokioIo;
use hyper_util::service::TowerToHyperService;
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;
use tempfile::TempDir;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::runtime::Runtime;

const CONFIG: &str = r#"
[server]
public_url = "https://callout.example.com/alerts"
ack_key = "the key that seals the links of this test"
[[server.tokens]]
name = "all"
token = "a-token-for-everything"
scopes = ["send", "read", "operate"]
[channels.hook]
kind = "webhook"
url = "http://127.0.0.1:9/"
[channels.chat]
kind = "slack_api"
bot_token = "xoxb-000000000000-000000000000-EXAMPLEexampleEXAMPLE"
channel = "C0123456789"
signing_secret = "8f742231b10eabcdef0123456789abcd"
[channels.phone]
kind = "twilio_voice"
account_sid = "AC0123456789abcdef0123456789abcdef"
auth_token = "0f1e2d3c4b5a69788796a5b4c3d2e1f0"
from = "+15005550006"
to = "+8613800000000"
[receivers.ops]
channels = ["hook", "chat", "phone"]
[[routes]]
to = ["ops"]
"#;

/// What an answer fits into, so that no end waits for the other.
const ROOM: usize = 16 * 1024 * 1024;

/// Each address asked for, with the status of the answer.
type Statuses = Arc<Mutex<Vec<(String, u16)>>>;

/// A server that answers bytes.
pub struct Target {
    runtime: Runtime,
    router: Router,
    statuses: Statuses,
    guests: AtomicU32,
    /// The open alert.
    message: MessageId,
    ticket: String,
    _folder: TempDir,
}

/// Time that goes on by a second whenever somebody asks, so that nobody is ever too fast.
struct Hasty(Mutex<Timestamp>);

impl Clock for Hasty {
    fn now(&self) -> Timestamp {
        let mut now = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        *now = *now + Duration::from_secs(1);
        *now
    }

    fn elapsed(&self) -> Duration {
        self.now().since(Timestamp::EPOCH)
    }

    fn entropy(&self) -> [u8; 10] {
        SystemClock.entropy()
    }

    // What `async fn` stands for in this trait. Nothing here is ever too late.
    fn wait_until<'a, 'b>(&'a self, _: Timestamp) -> Pin<Box<dyn Future<Output = ()> + Send + 'b>>
    where
        'a: 'b,
        Self: 'b,
    {
        Box::pin(std::future::pending())
    }
}

impl Target {
    /// A server with a token for everything and one open alert.
    pub fn new() -> Self {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
        let runtime = runtime.expect("a runtime");
        let folder = tempfile::tempdir().expect("a folder");
        let config = read(&folder);
        let now = SystemClock.now();
        let store = SqliteStore::open(&config.store_path, Create::IfMissing, now);
        let store: Arc<dyn Store> = Arc::new(store.expect("a store"));
        let clock: Arc<dyn Clock> = Arc::new(Hasty(Mutex::new(now)));
        let gate = Gate::new(config.server.tokens.clone());
        let setup = assemble::worker(config, store.clone(), clock.clone()).expect("a worker");
        let directory = setup.directory.clone();
        let links = setup.links.clone().expect("links");
        let door = Door::new(Some(links.clone()), jiff::tz::TimeZone::UTC);
        let ears = Ears::of(&setup.lanes);
        let status = runtime.block_on(async {
            // Nothing is to be delivered here.
            let mut worker = Worker::spawn(setup).await.expect("a worker");
            worker.stop();
            worker.ended().await.expect("an end");
            worker.status()
        });
        let message = runtime.block_on(open_alert(store.as_ref(), &directory, now));
        let ticket = ticket(&links, message, now);
        let api = Api::new(store, clock, directory, gate, door, ears, status);
        let statuses = Statuses::default();
        let router = api::router(Arc::new(api));
        let router = router.layer(middleware::from_fn_with_state(statuses.clone(), note));
        let guests = AtomicU32::default();
        Self { runtime, router, statuses, guests, message, ticket, _folder: folder }
    }

    /// What stands for `TICKET`, `MESSAGE` and `TOKEN` in `request`, and for the length of the body behind
    /// `Content-Length: auto`.
    pub fn filled_in(&self, request: &[u8]) -> Vec<u8> {
        let message = self.message.to_string();
        let words = [
            ("TICKET", self.ticket.as_str()),
            ("MESSAGE", &message),
            ("TOKEN", "a-token-for-everything"),
        ];
        let mut filled = request.to_vec();
        for (word, value) in words {
            filled = replaced(&filled, word.as_bytes(), value.as_bytes());
        }
        let end = find(&filled, b"\r\n\r\n").map_or(filled.len(), |at| at + 4);
        let length = format!("Content-Length: {}", filled.len() - end);
        replaced(&filled, b"Content-Length: auto", length.as_bytes())
    }

    /// Answers everything in `bytes`, which are what one stranger sends on one connection. Returns each
    /// address asked for with the status of the answer, and the answers as they went out.
    pub fn answer(&self, bytes: &[u8]) -> (Vec<(String, u16)>, Vec<u8>) {
        let guest = self.guests.fetch_add(1, Ordering::Relaxed);
        let peer = SocketAddr::from((std::net::Ipv4Addr::from_bits(0x0b00_0000 + guest), 1000));
        let router = self.router.clone().layer(Extension(ConnectInfo(peer)));
        let heard = self.runtime.block_on(async {
            let (mut client, server) = tokio::io::duplex(ROOM);
            // A stranger who has said everything still waits for the answer.
            let connection = http1::Builder::new()
                .half_close(true)
                .serve_connection(TokioIo::new(server), TowerToHyperService::new(router));
            let talk = async {
                client.write_all(bytes).await?;
                client.shutdown().await?;
                let mut heard = Vec::new();
                client.read_to_end(&mut heard).await.map(|_| heard)
            };
            // A connection that ends in an error has told the stranger why.
            let (_, heard) = tokio::join!(connection, talk);
            heard.unwrap_or_default()
        });
        let noted =
            std::mem::take(&mut *self.statuses.lock().unwrap_or_else(PoisonError::into_inner));
        (noted, heard)
    }
}

async fn note(State(statuses): State<Statuses>, request: Request, next: Next) -> Response {
    let path = request.uri().path().to_owned();
    let response = next.run(request).await;
    let status = response.status().as_u16();
    statuses.lock().unwrap_or_else(PoisonError::into_inner).push((path, status));
    response
}

fn read(folder: &TempDir) -> config::Config {
    config::read_text(&folder.path().join("callout.toml"), CONFIG).expect("a configuration")
}

async fn open_alert(store: &dyn Store, directory: &Arc<Directory>, now: Timestamp) -> MessageId {
    let id = MessageId::new(now, SystemClock.entropy());
    let mut message = Message::new(Level::Critical, "disk full").with_body("**now**");
    message.require_ack = true;
    let new = NewMessage { id, created_at: now, message };
    let enqueued = store.enqueue(vec![new]).await.expect("enqueued");
    assert!(enqueued.iter().all(Result::is_ok));
    let directory = directory.clone();
    let ask = PlanRequest {
        now,
        reading: Reading::default(),
        directory,
        limit: 10,
        entropy: SystemClock.entropy(),
    };
    assert_eq!(store.plan(ask).await.expect("planned").planned, 1);
    id
}

fn ticket(links: &Links, message: MessageId, now: Timestamp) -> String {
    let receiver = "ops".parse().expect("a name");
    let expires_at = now + 52 * TICKET_TTL;
    links.seal.ticket(&Ticket { message, receiver, epoch: 0, expires_at })
}

fn find(bytes: &[u8], what: &[u8]) -> Option<usize> {
    bytes.windows(what.len()).position(|window| window == what)
}

fn replaced(bytes: &[u8], what: &[u8], by: &[u8]) -> Vec<u8> {
    let (mut done, mut rest) = (Vec::with_capacity(bytes.len()), bytes);
    while let Some((before, behind)) =
        find(rest, what).and_then(|at| Some((rest.get(..at)?, rest.get(at + what.len()..)?)))
    {
        done.extend_from_slice(before);
        done.extend_from_slice(by);
        rest = behind;
    }
    done.extend_from_slice(rest);
    done
}

#[cfg(test)]
mod tests;
