//! The client against a server of a few lines, on loopback only.

use super::*;
use crate::channel::{Ask, Mentions, Outgoing};
use crate::{Channel, Delivered};
use callout_core::id::MessageId;
use callout_core::level::Level;
use callout_core::locale::Locale;
use callout_core::message::{Attachment, Message};
use callout_core::time::Timestamp;
use serde_json::json;
use std::net::SocketAddr;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::mpsc;

/// What the server does with one connection.
#[derive(Clone, Copy)]
enum Reply {
    /// Reads the request, writes this, closes.
    Bytes(&'static str),
    /// Writes this without reading.
    Blurt(&'static str),
    /// Reads the request, then writes for ever.
    Endless(&'static str),
    /// Reads the request and says nothing.
    Silence,
    /// Resets the connection before reading.
    ResetBefore,
    /// Resets the connection after reading.
    ResetAfter,
}

/// A server that gives one reply after the other, and what it read.
struct Server {
    address: SocketAddr,
    requests: mpsc::UnboundedReceiver<String>,
}

async fn serve(replies: Vec<Reply>) -> Server {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let (tell, requests) = mpsc::unbounded_channel();
    tokio::spawn(async move {
        for reply in replies {
            let (stream, _) = listener.accept().await.unwrap();
            tokio::spawn(answer(stream, reply, tell.clone()));
        }
    });
    Server { address, requests }
}

async fn answer(mut stream: TcpStream, reply: Reply, tell: mpsc::UnboundedSender<String>) {
    if matches!(reply, Reply::ResetBefore) {
        stream.set_zero_linger().unwrap();
        return;
    }
    if let Reply::Blurt(bytes) = reply {
        stream.write_all(bytes.as_bytes()).await.unwrap();
        drop(stream.read(&mut [0; 4096]).await);
        return;
    }
    tell.send(read_request(&mut stream).await).ok();
    match reply {
        Reply::Bytes(bytes) => stream.write_all(bytes.as_bytes()).await.unwrap(),
        Reply::Endless(head) => {
            stream.write_all(head.as_bytes()).await.unwrap();
            while stream.write_all(&[b'x'; 4096]).await.is_ok() {}
        }
        Reply::Silence => drop(stream.read(&mut [0]).await),
        Reply::ResetAfter => stream.set_zero_linger().unwrap(),
        Reply::ResetBefore | Reply::Blurt(_) => {}
    }
}

async fn read_request(stream: &mut TcpStream) -> String {
    let (mut read, mut buffer) = (Vec::new(), [0; 4096]);
    loop {
        let n = stream.read(&mut buffer).await.unwrap();
        read.extend_from_slice(&buffer[..n]);
        let text = String::from_utf8_lossy(&read).into_owned();
        let length = text.lines().find_map(|line| line.strip_prefix("content-length: "));
        let length: usize = length.map_or(0, |length| length.trim().parse().unwrap());
        let body = text.split_once("\r\n\r\n").map(|(_, body)| body.len());
        if n == 0 || body.is_some_and(|body| body >= length) {
            return text;
        }
    }
}

fn transport() -> Transport {
    Transport::new(Settings::default()).unwrap()
}

/// For servers that say nothing; everything else gets all the time it needs on a busy machine.
fn impatient() -> Transport {
    Transport::new(Settings { timeout: Duration::from_secs(1), ..Settings::default() }).unwrap()
}

const TOKEN: &str = "s3cr3t-token-9f";

fn request(base: &str) -> HttpRequest {
    HttpRequest::post_json(Secret::new(format!("{base}/hook/{TOKEN}")), &json!({ "a": 1 })).unwrap()
}

async fn check(reply: Reply, expected: &str) {
    let server = serve(vec![reply]).await;
    let client = if matches!(reply, Reply::Silence) { impatient() } else { transport() };
    let answer = client.exchange(&request(&format!("http://{}", server.address))).await;
    let shown = match answer {
        Ok(answer) => format!("{} {:?} {}", answer.status, answer.retry_after, answer.text()),
        Err(outcome) => format!("{} {}", outcome.name(), outcome.reason()),
    };
    assert_eq!(shown, expected);
}

#[tokio::test]
async fn a_whole_answer_arrives_whole() {
    let ok = "HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok";
    check(Reply::Bytes(ok), "200 None ok").await;
    let html = "HTTP/1.1 200 OK\r\ncontent-length: 6\r\n\r\n<html>";
    check(Reply::Bytes(html), "200 None <html>").await;
    let slow = "HTTP/1.1 429 Slow\r\nretry-after: 7\r\ncontent-length: 0\r\n\r\n";
    check(Reply::Bytes(slow), "429 Some(\"7\") ").await;
    let own = "HTTP/1.1 400 Slow\r\nx-ogw-ratelimit-reset: 9\r\ncontent-length: 0\r\n\r\n";
    check(Reply::Bytes(own), "400 Some(\"9\") ").await;
}

#[tokio::test]
async fn nothing_is_unpacked_and_no_redirect_followed() {
    let packed = "HTTP/1.1 200 OK\r\ncontent-encoding: gzip\r\ncontent-length: 2\r\n\r\nok";
    check(Reply::Bytes(packed), "200 None ok").await;
    let moved = "HTTP/1.1 307 Go\r\nlocation: http://127.0.0.1:1/\r\ncontent-length: 0\r\n\r\n";
    check(Reply::Bytes(moved), "307 None ").await;
}

#[tokio::test]
async fn what_fails_after_the_request_left_is_unknown() {
    let half = "HTTP/1.1 200 OK\r\ncontent-length: 20\r\n\r\n{\"errcode\":0";
    check(Reply::Bytes(half), "unknown end of file before message length reached").await;
    check(Reply::Bytes(""), "unknown connection closed before message completed").await;
    check(Reply::Bytes("nonsense\r\n\r\n"), "unknown invalid HTTP version parsed").await;
    check(Reply::ResetBefore, "unknown connection reset").await;
    check(Reply::ResetAfter, "unknown connection reset").await;
    check(Reply::Silence, "unknown no answer within 1s").await;
}

#[tokio::test]
async fn an_endless_success_proves_nothing_and_an_endless_failure_is_cut() {
    let text = "unknown 200: the answer is longer than 65536 bytes";
    check(Reply::Endless("HTTP/1.1 200 OK\r\n\r\n"), text).await;
    let server = serve(vec![Reply::Endless("HTTP/1.1 500 No\r\n\r\n")]).await;
    let answer = transport().exchange(&request(&format!("http://{}", server.address))).await;
    assert_eq!(answer.unwrap().body.len(), ANSWER_BYTES_MAX);
}

#[tokio::test]
async fn what_fails_before_the_request_left_is_transient() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    drop(listener);
    let refused = transport().exchange(&request(&format!("http://{address}"))).await;
    let transient = |text: &str| Outcome::Transient(Reason::text(text));
    assert_eq!(refused.unwrap_err(), transient("connection refused"));

    let server =
        serve(vec![Reply::Blurt("HTTP/1.1 400 No TLS here\r\n\r\n"), Reply::Silence]).await;
    let no_tls = transport().exchange(&request(&format!("https://{}", server.address))).await;
    let no_tls = no_tls.unwrap_err();
    assert_eq!(no_tls.name(), "transient");
    assert!(no_tls.reason().detail.starts_with("TLS: "), "{no_tls:?}");

    let silent = impatient().exchange(&request(&format!("https://{}", server.address))).await;
    assert_eq!(silent.unwrap_err(), transient("no connection within 500ms"));
}

#[tokio::test]
async fn link_local_addresses_are_refused_unless_listed() {
    for base in ["http://169.254.169.254", "http://[fe80::1]", "http://[::ffff:169.254.1.1]:80"] {
        let refused = transport().exchange(&request(base)).await.unwrap_err();
        assert!(
            matches!(&refused, Outcome::Rejected { blame: Blame::Endpoint, .. }),
            "{refused:?}"
        );
        assert!(refused.reason().detail.contains("link-local"), "{refused:?}");
    }
}

#[tokio::test]
async fn names_resolve_through_the_guard() {
    let server = serve(vec![Reply::Bytes("HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok")]).await;
    let base = format!("http://localhost:{}", server.address.port());
    assert_eq!(transport().exchange(&request(&base)).await.unwrap().text(), "ok");
}

#[tokio::test]
async fn no_error_text_contains_the_address() {
    let closed = TcpListener::bind("127.0.0.1:0").await.unwrap().local_addr().unwrap();
    for base in [
        format!("http://{closed}"),
        format!("https://{closed}"),
        "http://169.254.1.1".to_owned(),
        "nonsense".to_owned(),
        "ftp://127.0.0.1".to_owned(),
        "http://127.0.0.1:99999".to_owned(),
    ] {
        let error = transport().exchange(&request(&base)).await.unwrap_err();
        let shown = format!("{error:?}");
        assert!(!shown.contains(TOKEN) && !shown.contains("/hook"), "{shown}");
    }
}

#[tokio::test]
async fn requests_say_who_we_are_and_take_the_proxy_only_if_told() {
    let ok = Reply::Bytes("HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok");
    let mut server = serve(vec![ok, ok]).await;
    let base = format!("http://{}", server.address);
    transport().exchange(&request(&base)).await.unwrap();
    let direct = server.requests.recv().await.unwrap();
    assert!(direct.starts_with("POST /hook/s3cr3t-token-9f HTTP/1.1\r\n"), "{direct}");
    assert!(direct.contains(&format!("user-agent: {USER_AGENT}\r\n")), "{direct}");
    assert!(!direct.contains("accept-encoding") && direct.ends_with("{\"a\":1}"), "{direct}");

    let settings = Settings { proxy: Some(Secret::new(base)), ..Settings::default() };
    let proxied = Transport::new(settings).unwrap();
    proxied.exchange(&request("http://elsewhere.invalid")).await.unwrap();
    let through = server.requests.recv().await.unwrap();
    assert!(through.starts_with("POST http://elsewhere.invalid/hook/"), "{through}");
}

#[test]
fn wrong_settings_are_told_apart() {
    let new = |proxy: Option<&str>, roots: Option<&[u8]>| {
        Transport::new(Settings {
            proxy: proxy.map(Secret::new),
            extra_roots: roots.map(<[u8]>::to_vec),
            ..Settings::default()
        })
    };
    let proxy = new(Some("http://user:hunter22@:bad:"), None).unwrap_err();
    assert!(matches!(proxy, TransportError::Proxy(_)), "{proxy:?}");
    assert!(!format!("{proxy:?}").contains("hunter22"));
    assert!(matches!(new(None, Some(b"no pem")), Err(TransportError::Roots(_))));
    let broken = b"-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n";
    assert!(matches!(new(None, Some(broken)), Err(TransportError::Roots(_))));
}

async fn deliver(kind: &str, settings: serde_json::Value, message: &Message) -> Delivered {
    deliver_asking(kind, settings, message, None).await
}

async fn deliver_asking(
    kind: &str,
    settings: serde_json::Value,
    message: &Message,
    ask: Option<&Ask>,
) -> Delivered {
    let channel = Channel::build(kind, settings).unwrap();
    let now = Timestamp::from_unix_ms(1_717_171_717_171).unwrap();
    let mentions = Mentions { all: true, ids: Vec::new() };
    let id = MessageId::new(now, [7; 10]);
    let out = Outgoing {
        message,
        id,
        created_at: now,
        mentions: &mentions,
        plain: false,
        ask,
        about: None,
        locale: Locale::English,
        zone: &crate::TimeZone::UTC,
    };
    let transport = transport();
    let clock = move || now;
    let attempt = channel.deliver(&transport, &out, &clock);
    movable(attempt).await
}

/// A worker moves attempts between threads.
fn movable<T: Send>(attempt: T) -> T {
    attempt
}

#[tokio::test]
async fn what_follows_an_accepted_message_is_counted_and_its_failures_noted() {
    let ok = "HTTP/1.1 200 OK\r\ncontent-length: 27\r\nconnection: close\r\n\r\n{\"errcode\":0,\"errmsg\":\"ok\"}";
    let no = "HTTP/1.1 200 OK\r\ncontent-length: 34\r\nconnection: close\r\n\r\n{\"errcode\":40009,\"errmsg\":\"large\"}";
    let mut message = Message::new(Level::Error, "x");
    let file = |base64: &str| Attachment { name: "a.bin".into(), base64: base64.into() };
    message.attachments = vec![file("aGVsbG8sIHdvcmxkCg=="), file("iVBORw0KGgo=")];
    let mut server =
        serve(vec![Reply::Bytes(ok), Reply::Bytes(ok), Reply::Bytes(no), Reply::Bytes(ok)]).await;
    let endpoint = format!("http://{}/send", server.address);
    let settings = json!({ "key": TOKEN, "endpoint": endpoint });
    let delivered = deliver("wecom", settings, &message).await;
    assert_eq!(delivered.sends, 4);
    assert!(matches!(delivered.outcome, Outcome::Accepted(_)));
    assert_eq!(
        delivered.outcome.reason().to_string(),
        "0: ok; what should have followed failed: rejected 40009: large"
    );
    let mut paths = Vec::new();
    while let Ok(request) = server.requests.try_recv() {
        paths.push(request.split(['?', ' ']).nth(1).unwrap().to_owned());
    }
    assert_eq!(paths, ["/send", "/send", "/upload_media", "/send"]);
}

#[tokio::test]
async fn a_silent_follow_up_ends_the_rest_and_keeps_the_message_accepted() {
    let ok = "HTTP/1.1 200 OK\r\ncontent-length: 27\r\nconnection: close\r\n\r\n{\"errcode\":0,\"errmsg\":\"ok\"}";
    let server = serve(vec![Reply::Bytes(ok), Reply::ResetAfter]).await;
    let endpoint = format!("http://{}/send", server.address);
    let settings = json!({ "key": TOKEN, "endpoint": endpoint });
    let delivered = deliver("wecom", settings, &Message::new(Level::Error, "x")).await;
    assert_eq!(delivered.sends, 2);
    assert_eq!(
        delivered.outcome.reason().to_string(),
        "0: ok; what should have followed failed: unknown connection reset"
    );
    assert!(matches!(delivered.outcome, Outcome::Accepted(_)));
}

#[tokio::test]
async fn redirects_refusals_and_echoes_are_told_without_credentials() {
    let moved = "HTTP/1.1 302 Go\r\nlocation: https://e.example/\r\ncontent-length: 0\r\n\r\n";
    let echo = "HTTP/1.1 400 No\r\ncontent-length: 25\r\n\r\nno such: /s3cr3t-token-9f";
    let server = serve(vec![Reply::Bytes(moved), Reply::Bytes(echo)]).await;
    let url = format!("http://{}/{TOKEN}", server.address);
    let mut message = Message::new(Level::Info, "x");
    let redirected = deliver("webhook", json!({ "url": url }), &message).await;
    assert_eq!(
        redirected.outcome.reason().to_string(),
        "302: redirects are not followed; put the final address into the configuration"
    );
    let echoed = deliver("webhook", json!({ "url": url }), &message).await;
    assert_eq!(echoed.outcome.reason().to_string(), "400: no such: ***");

    message.native.insert("dingtalk".into(), json!({ "x": "y".repeat(30_000) }));
    let refused = deliver("dingtalk", json!({ "access_token": TOKEN }), &message).await;
    assert_eq!((refused.sends, refused.outcome.name()), (0, "rejected"));
}

#[tokio::test]
async fn an_echo_of_the_link_is_hidden_in_the_outcome_and_in_what_follows_it() {
    let ask = Ask {
        url: Some(Secret::new("https://c.example/a/t1cket-t1cket")),
        command: "callout ack 1".to_owned(),
        note: None,
        telling: 1,
    };
    let ok = "HTTP/1.1 200 OK\r\ncontent-length: 27\r\nconnection: close\r\n\r\n{\"errcode\":0,\"errmsg\":\"ok\"}";
    let echo = "HTTP/1.1 200 OK\r\ncontent-length: 50\r\nconnection: close\r\n\r\n{\"errcode\":430101,\"errmsg\":\"unsafe t1cket-t1cket\"}";
    let mut server = serve(vec![Reply::Bytes(echo), Reply::Bytes(ok), Reply::Bytes(echo)]).await;
    let endpoint = format!("http://{}/send", server.address);
    let settings = json!({ "access_token": TOKEN, "endpoint": endpoint });
    let mut message = Message::new(Level::Error, "x");
    let refused = deliver_asking("dingtalk", settings.clone(), &message, Some(&ask)).await;
    assert_eq!(refused.outcome.reason().to_string(), "430101: unsafe ***");
    message.native.insert("dingtalk".to_owned(), json!({ "own": 1 }));
    let accepted = deliver_asking("dingtalk", settings, &message, Some(&ask)).await;
    assert_eq!(accepted.sends, 2);
    assert_eq!(
        accepted.outcome.reason().to_string(),
        "0: ok; what should have followed failed: rejected 430101: unsafe ***"
    );
    server.requests.recv().await.unwrap();
    assert!(server.requests.recv().await.unwrap().ends_with("{\"own\":1}"));
    assert!(server.requests.recv().await.unwrap().contains("t1cket-t1cket"));
}
