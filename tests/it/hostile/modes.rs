//! What a provider can do wrong, and what that has to be taken for: the one table.
//!
//! The outcomes hold for every kind. There are three exceptions. A webhook's receiver is the operator's
//! own, so any 2xx is its proof, and its `Retry-After` is honoured with 502 to 504 as well. Where a repetition costs
//! money or wakes people, a server that failed may have taken the message before: unknown, not transient. PagerDuty
//! says how long to wait where its answer does not: two minutes.

use crate::stage::sink::{Door, Reply, Then};
use callout_channels::spec::Spec;

/// One way to do wrong.
#[derive(Clone, Debug)]
pub(crate) struct Mode {
    pub(crate) name: &'static str,
    pub(crate) scheme: &'static str,
    pub(crate) door: Door,
    pub(crate) reply: Reply,
    /// Whether only the end of our patience ends it.
    pub(crate) hangs: bool,
    expected: &'static str,
    webhook: Option<&'static str>,
    costly: Option<&'static str>,
    pagerduty: Option<&'static str>,
}

impl Mode {
    fn new(name: &'static str, door: Door, reply: Reply, expected: &'static str) -> Self {
        Self {
            name,
            scheme: "http",
            door,
            reply,
            hangs: false,
            expected,
            webhook: None,
            costly: None,
            pagerduty: None,
        }
    }

    fn webhook(self, expected: &'static str) -> Self {
        Self { webhook: Some(expected), ..self }
    }

    fn costly(self, expected: &'static str) -> Self {
        Self { costly: Some(expected), ..self }
    }

    fn pagerduty(self, expected: &'static str) -> Self {
        Self { pagerduty: Some(expected), ..self }
    }

    fn over_tls(self) -> Self {
        Self { scheme: "https", ..self }
    }

    fn hanging(self) -> Self {
        Self { hangs: true, ..self }
    }

    /// How the outcome begins for a channel of this kind; ` or ` divides what is equally right.
    pub(crate) fn expected(&self, spec: &Spec) -> &'static str {
        let webhook = self.webhook.filter(|_| spec.kind == "webhook");
        let pagerduty = self.pagerduty.filter(|_| spec.kind == "pagerduty");
        let costly = self.costly.filter(|_| spec.costly);
        webhook.or(pagerduty).or(costly).unwrap_or(self.expected)
    }

    /// How the outcome begins if this happens to the request for a token: nobody has heard of the message,
    /// and no shorter one would help.
    pub(crate) fn at_login(&self) -> &'static str {
        match self.expected {
            expected if expected.starts_with("unknown") => "transient",
            expected if expected.starts_with("rejected") => "rejected endpoint",
            expected => expected,
        }
    }
}

/// Bytes after which the connection is closed.
fn bytes(name: &'static str, bytes: impl Into<Vec<u8>>, expected: &'static str) -> Mode {
    Mode::new(name, Door::Open, Reply::Bytes(bytes.into(), Then::Close), expected)
}

/// A beginning, and what follows it.
fn then(name: &'static str, begins: &str, then: Then, expected: &'static str) -> Mode {
    Mode::new(name, Door::Open, Reply::Bytes(begins.as_bytes().to_vec(), then), expected)
}

fn door(name: &'static str, door: Door, expected: &'static str) -> Mode {
    Mode::new(name, door, Reply::Silence, expected)
}

/// An answer in good order.
fn answer(
    name: &'static str,
    status: u16,
    header: (&'static str, &str),
    body: &str,
    expected: &'static str,
) -> Mode {
    let headers = if header.0.is_empty() { vec![] } else { vec![(header.0, header.1.to_owned())] };
    Mode::new(name, Door::Open, Reply::Answer(status, headers, body.to_owned()), expected)
}

const NO_HEADER: (&str, &str) = ("", "");
const OK: &str = "HTTP/1.1 200 OK\r\n";
/// A hundred chunks.
const CHUNKS: &[u8] = &{
    let (chunk, mut chunks, mut at) = (b"5\r\nxxxxx\r\n", [0; 1000], 0);
    while at < chunks.len() {
        chunks[at] = chunk[at % chunk.len()];
        at += 1;
    }
    chunks
};
const PAGE: &str = "<html><body>Sign in to the guest network</body></html>";

/// All of them.
pub(crate) fn modes() -> Vec<Mode> {
    [connections(), heads(), bodies(), statuses(), redirects(), patience(), hanging()].concat()
}

fn connections() -> Vec<Mode> {
    vec![
        // Whether the request had left by then, nobody can tell.
        door("reset before reading", Door::Reset, "unknown or transient connection reset"),
        door("closed before reading", Door::Shut, "unknown or transient connection reset"),
        Mode::new("reset after reading", Door::Open, Reply::Reset, "unknown connection reset"),
        then("closed after reading", "", Then::Close, "unknown connection closed"),
        then("reset within the head", "HTTP/1.1 200 OK\r\ncont", Then::Reset, "unknown"),
        then(
            "reset within the body",
            "HTTP/1.1 200 OK\r\ncontent-length: 400\r\n\r\n{",
            Then::Reset,
            "unknown",
        ),
        door(
            "not TLS",
            Door::Blurt(b"HTTP/1.1 400 No TLS here\r\n\r\n", Then::Silence),
            "transient TLS: ",
        )
        .over_tls(),
        door(
            "garbage for TLS",
            Door::Blurt(&[0x16, 3, 3, 0, 4, 99, 0, 0, 9], Then::Silence),
            "transient",
        )
        .over_tls(),
        door("reset within TLS", Door::Reset, "transient").over_tls(),
        door("closed within TLS", Door::Shut, "transient").over_tls(),
    ]
}

fn heads() -> Vec<Mode> {
    let long = format!("{OK}x-long: {}\r\ncontent-length: 0\r\n\r\n", "x".repeat(1024 * 1024));
    let many = format!("{OK}{}content-length: 0\r\n\r\n", "x-a: b\r\n".repeat(200));
    vec![
        bytes("an answer of another protocol", "220 mail.example.com ESMTP\r\n", "unknown"),
        bytes("no head at all", "ok\n", "unknown"),
        bytes("a later protocol", "HTTP/2.0 200 OK\r\n\r\n", "unknown"),
        bytes("a status that is no number", "HTTP/1.1 OK 200\r\n\r\n", "unknown"),
        bytes("half a head", "HTTP/1.1 200 OK\r\ncontent-le", "unknown"),
        bytes("a header without a colon", "HTTP/1.1 200 OK\r\nwhat is this\r\n\r\n", "unknown"),
        bytes("a header of one megabyte", long, "unknown"),
        bytes("two hundred headers", many, "unknown"),
        then("headers without end", OK, Then::Flood(b"x-a: b\r\n"), "unknown"),
        then(
            "one header without end",
            "HTTP/1.1 200 OK\r\nx-a: ",
            Then::Flood(&[b'x'; 4096]),
            "unknown",
        ),
        bytes(
            "two lengths",
            format!("{OK}content-length: 2\r\ncontent-length: 4\r\n\r\nok"),
            "unknown",
        ),
        bytes("a length that is no number", format!("{OK}content-length: -1\r\n\r\nok"), "unknown"),
        bytes(
            "another protocol from here on",
            "HTTP/1.1 101 Go\r\nupgrade: x\r\nconnection: upgrade\r\n\r\n",
            "rejected endpoint 101",
        ),
        bytes(
            "a status beyond all",
            "HTTP/1.1 999 X\r\ncontent-length: 0\r\n\r\n",
            "rejected endpoint 999",
        ),
    ]
}

fn bodies() -> Vec<Mode> {
    let bomb = [
        b"HTTP/1.1 200 OK\r\ncontent-encoding: gzip\r\ncontent-length: 60000\r\n\r\n",
        &bomb(60_000)[..],
    ]
    .concat();
    let odd =
        [b"HTTP/1.1 200 OK\r\ncontent-length: 4\r\n\r\n", &[0xff, 0, 0xfe, b'{'][..]].concat();
    let short = "{\"errcode\":0,\"errmsg\":\"ok\"}";
    vec![
        answer("a web page", 200, ("content-type", "text/html"), PAGE, "unknown 200")
            .webhook("accepted 200"),
        answer("nothing", 200, NO_HEADER, "", "unknown 200").webhook("accepted 200"),
        bytes("204", "HTTP/1.1 204 X\r\n\r\n", "unknown 204").webhook("accepted 204"),
        answer("JSON of somebody else", 200, NO_HEADER, "{\"result\":[]}", "unknown 200")
            .webhook("accepted 200"),
        answer("JSON that is deep", 200, NO_HEADER, &"[".repeat(60_000), "unknown 200")
            .webhook("accepted 200"),
        bytes("no UTF-8", odd, "unknown 200").webhook("accepted 200"),
        bytes("a bomb", bomb, "unknown 200").webhook("accepted 200"),
        then(
            "a body without end",
            "HTTP/1.1 200 OK\r\n\r\n",
            Then::Flood(&[b'x'; 4096]),
            "unknown 200",
        ),
        then(
            "chunks without end",
            &format!("{OK}transfer-encoding: chunked\r\n\r\n"),
            Then::Flood(CHUNKS),
            "unknown 200",
        ),
        then(
            "a failure without end",
            "HTTP/1.1 500 X\r\n\r\n",
            Then::Flood(&[b'x'; 4096]),
            "transient 500",
        )
        .costly("unknown 500"),
        bytes("less than its length", format!("{OK}content-length: 400\r\n\r\n{short}"), "unknown"),
        bytes(
            "more than its length",
            format!("{OK}content-length: 5\r\n\r\n{short}"),
            "unknown 200",
        )
        .webhook("accepted 200"),
        bytes(
            "chunks that are none",
            format!("{OK}transfer-encoding: chunked\r\n\r\nzz\r\n{short}\r\n0\r\n\r\n"),
            "unknown",
        ),
        bytes(
            "a chunk beyond all",
            format!("{OK}transfer-encoding: chunked\r\n\r\nfffffffffffffffff\r\n{short}"),
            "unknown",
        ),
        bytes(
            "both lengths",
            format!("{OK}content-length: 5\r\ntransfer-encoding: chunked\r\n\r\nzz"),
            "unknown",
        ),
    ]
}

fn statuses() -> Vec<Mode> {
    vec![
        answer("500", 500, NO_HEADER, PAGE, "transient 500").costly("unknown 500"),
        answer("502", 502, NO_HEADER, PAGE, "transient 502").costly("unknown 502"),
        answer("408", 408, NO_HEADER, "", "transient 408"),
        answer("400", 400, NO_HEADER, PAGE, "rejected message 400"),
        answer("401", 401, NO_HEADER, PAGE, "rejected endpoint 401"),
        answer("403", 403, NO_HEADER, PAGE, "rejected endpoint 403"),
        answer("404", 404, NO_HEADER, PAGE, "rejected endpoint 404"),
        answer("413", 413, NO_HEADER, PAGE, "rejected message 413"),
    ]
}

fn redirects() -> Vec<Mode> {
    let inside = ("location", "/inside");
    vec![
        answer("301 to inside", 301, inside, "", "rejected endpoint 301"),
        answer("302 to inside", 302, inside, "", "rejected endpoint 302"),
        answer("303 to inside", 303, inside, "", "rejected endpoint 303"),
        answer("307 to inside", 307, inside, "", "rejected endpoint 307"),
        answer("308 to inside", 308, inside, "", "rejected endpoint 308"),
        answer("302 to itself", 302, ("location", ""), "", "rejected endpoint 302"),
        answer(
            "302 to the metadata of a cloud",
            302,
            ("location", "http://169.254.169.254/"),
            "",
            "rejected endpoint 302",
        ),
        answer("refresh to inside", 200, ("refresh", "0; url=/inside"), PAGE, "unknown 200")
            .webhook("accepted 200"),
    ]
}

fn patience() -> Vec<Mode> {
    let wait =
        |name, value: &str, expected| answer(name, 429, ("retry-after", value), "", expected);
    let busy = |name, value: &str| {
        answer(name, 503, ("retry-after", value), "", "transient 503").costly("unknown 503")
    };
    vec![
        wait("429 for seconds", "7", "throttled 7s 429"),
        // The attempt is made at 16:08:37.171.
        wait("429 until a date", "Fri, 31 May 2024 16:08:47 GMT", "throttled 9s 429"),
        wait("429 until yesterday", "Thu, 30 May 2024 16:08:47 GMT", "throttled 1s 429"),
        wait("429 until next year", "Sat, 31 May 2025 16:08:47 GMT", "throttled 3600s 429"),
        wait("429 for ever", "99999999999999999999999", "throttled 3600s 429"),
        wait("429 for no time", "0", "throttled 1s 429"),
        wait("429 for less than no time", "-5", "throttled 30s 429"),
        wait("429 for nonsense", "soon", "throttled 30s 429"),
        answer("429 without a word", 429, NO_HEADER, PAGE, "throttled 30s 429")
            .pagerduty("throttled 120s 429"),
        busy("503 for seconds", "7").webhook("throttled 7s 503"),
        busy("503 until a date", "Fri, 31 May 2024 16:08:47 GMT").webhook("throttled 9s 503"),
    ]
}

fn hanging() -> Vec<Mode> {
    let late = "unknown no answer within 5s";
    let body = format!("{OK}content-length: 4000\r\n\r\n");
    let modes = vec![
        door("deaf", Door::Deaf, late),
        then("silent", "", Then::Silence, late),
        then("silent within the head", "HTTP/1.1 200 OK\r\nx-a", Then::Silence, late),
        then("silent after the head", &body, Then::Silence, late),
        then("drips a status", "HTTP/1.1 ", Then::Drip(b"2"), "unknown"),
        then("drips headers", OK, Then::Drip(b"x"), late),
        then("drips a body", &body, Then::Drip(b"x"), late),
        then(
            "drips chunks",
            &format!("{OK}transfer-encoding: chunked\r\n\r\n"),
            Then::Drip(b"1\r\nx\r\n"),
            late,
        ),
        then("always about to answer", "", Then::Drip(b"HTTP/1.1 100 Continue\r\n\r\n"), late),
        door("deaf to TLS", Door::Deaf, "transient no connection within 2.5s").over_tls(),
        door("drips TLS", Door::Blurt(b"\x16\x03\x03\x40\x00", Then::Drip(b"\x02")), "transient")
            .over_tls(),
    ];
    modes.into_iter().map(Mode::hanging).collect()
}

/// So many bytes of gzip that unpack to 158 times as many zeros.
fn bomb(length: usize) -> Vec<u8> {
    // A block with fixed codes: a zero (00110000), then matches of 258 bytes one byte back (11000101 00000).
    let bits = "110".chars().chain("00110000".chars());
    let bits = bits.chain(std::iter::repeat("1100010100000").flat_map(str::chars));
    let mut packed = vec![0x1f, 0x8b, 8, 0, 0, 0, 0, 0, 0, 255];
    let mut bits = bits.map(|bit| u8::from(bit == '1'));
    packed.resize_with(length, || (0..8).fold(0, |byte, at| byte | (bits.next().unwrap() << at)));
    packed
}
