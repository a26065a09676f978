//! Any input is answered with 2xx, 3xx or 4xx: never with 5xx, a panic or silence.

use super::*;
use std::path::Path;

/// How many mutated requests.
const MUTATIONS: u32 = 10_000;
/// After so many, the store is a fresh one, so that it stays small.
const PER_TARGET: u32 = 2_500;

fn request(line: &str, headers: &str, body: &[u8]) -> Vec<u8> {
    let length = if body.is_empty() { "" } else { "Content-Length: auto\r\n" };
    let head = format!("{line} HTTP/1.1\r\nHost: c.example\r\n{headers}{length}\r\n");
    [head.as_bytes(), body].concat()
}

fn post(body: impl AsRef<[u8]>) -> Vec<u8> {
    request("POST /v1/messages", "Authorization: Bearer TOKEN\r\n", body.as_ref())
}

/// The status of the only answer, whoever gave it: the routes, or the server before them.
fn status(target: &Target, bytes: &[u8]) -> u16 {
    let (answers, heard) = target.answer(&target.filled_in(bytes));
    assert!(answers.len() <= 1, "{answers:?}");
    let heard = String::from_utf8_lossy(&heard);
    let status = heard.strip_prefix("HTTP/1.1 ").and_then(|rest| rest.get(..3));
    status.unwrap_or_else(|| panic!("no answer: {heard:?}")).parse().unwrap()
}

fn message(rest: &str) -> Vec<u8> {
    post(format!("{{\"level\":\"error\",\"title\":\"x\",{rest}}}"))
}

#[test]
fn strange_messages_are_refused_with_a_reason() {
    let target = Target::new();
    let deep = |n: usize| format!("{}1{}", "[".repeat(n), "]".repeat(n));
    let native =
        |n: usize| format!("\"native\":{{\"webhook\":{}1{}}}", "{\"a\":".repeat(n), "}".repeat(n));
    assert_eq!(status(&target, &message("\"body\":\"good\"")), 202);
    assert_eq!(status(&target, &message(&native(32))), 202);
    for (bytes, expected) in [
        (post(deep(10_000)), 400),
        (post("[".repeat(10_000)), 400),
        (message(&native(10_000)), 400),
        (message(&native(33)), 400),
        (message("\"title\":\"y\""), 400),
        (message("\"body\":\"\\ud83d\""), 400),
        (message("\"body\":\"\\udc00\\ud83d\""), 400),
        (message("\"body\":\"\\u0000\""), 400),
        (message("\"dedup_key\":\"\\u0000\""), 400),
        (message("\"body\":\"\u{0}\""), 400),
        (message("\"delay\":\"99999999999999999999w\""), 400),
        (message("\"to\":[\"nobody\"]"), 400),
        (message("\"native\":{\"webhook\":{\"a\":1e999}}"), 400),
        (post(b"{\"level\":\"error\",\"title\":\"\xff\xfe\"}"), 400),
        (post(b"\xef\xbb\xbf{\"level\":\"error\",\"title\":\"x\"}"), 400),
        (post("{\"level\":\"error\",\"title\":\"x\"} {}"), 400),
        (post("null"), 400),
        (post(""), 400),
        (post(vec![b' '; 10 * 1024 * 1024]), 413),
        (post(vec![b'['; 256 * 1024]), 400),
    ] {
        let shown =
            String::from_utf8_lossy(bytes.get(..bytes.len().min(300)).unwrap()).into_owned();
        assert_eq!(status(&target, &bytes), expected, "{shown}");
    }
}

#[test]
fn strange_requests_are_refused_by_whoever_reads_them() {
    let target = Target::new();
    let token = "Authorization: Bearer TOKEN\r\n";
    let get = |path: &str| request(&format!("GET {path}"), token, b"");
    let many: String = (0..200).map(|n| format!("X-{n}: y\r\n")).collect();
    let long = format!("X: {}\r\n", "y".repeat(600_000));
    for (bytes, expected) in [
        (get("/v1/messages/%ff%00"), 400),
        (get("/v1/messages/%00"), 404),
        (get("/v1/messages/%zz"), 404),
        (get("/v1/messages/..%2f..%2fetc"), 404),
        (get("/v1//messages"), 404),
        (get(&format!("/v1/messages/{}", "0".repeat(60_000))), 404),
        (get("/v1/messages?limit=18446744073709551616"), 400),
        (get("/v1/messages?limit=0&after=-9223372036854775808"), 200),
        (get("/v1/messages?label=%00=%ff"), 200),
        (get("/v1/messages?label=x"), 400),
        (get("/v1/messages?since=0000-00-00T00:00:00Z"), 400),
        (get("/v1/messages?since=-9999-01-01T00:00:00Z"), 400),
        (get("/v1/messages?nobody=1"), 400),
        (get("/v1/messages?limit=1&limit=2"), 400),
        (get("/a/%ff"), 404),
        (get("/a/TICKETx"), 404),
        (get("/a/TICKET"), 200),
        (request("PROPFIND /v1/messages", token, b""), 405),
        (request("OPTIONS *", "", b""), 404),
        (request("CONNECT c.example:443", "", b""), 404),
        (request("GET http://c.example/healthz", "", b""), 200),
        (request("GET /v1/messages", "Authorization: Bearer \u{ff}\r\n", b""), 401),
        (
            request(
                "POST /v1/messages",
                "Authorization: Bearer TOKEN\r\nIdempotency-Key: \u{e9}\r\n",
                b"{\"level\":\"info\",\"title\":\"x\"}",
            ),
            400,
        ),
        (request("GET /healthz", &many, b""), 431),
        (request("GET /healthz", &long, b""), 431),
        (request("POST /a/TICKET", "Content-Type: text/plain\r\n", b"action=ack"), 400),
        (request("POST /v1/callbacks/slack", "", &[b'x'; 100_000]), 413),
        (request("POST /v1/callbacks/%ff", "", b"x"), 401),
        (b"GET /healthz HTTP/9.9\r\n\r\n".to_vec(), 400),
        (b"GET  /healthz HTTP/1.1\r\n\r\n".to_vec(), 400),
        (b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03\r\n\r\n".to_vec(), 400),
        (b"POST /v1/messages HTTP/1.1\r\nContent-Length: -1\r\n\r\n".to_vec(), 400),
        (
            b"POST /v1/messages HTTP/1.1\r\nContent-Length: 5\r\nContent-Length: 6\r\n\r\n"
                .to_vec(),
            400,
        ),
        (b"GET / HTTP/1.1\r\n : x\r\n\r\n".to_vec(), 400),
    ] {
        let shown =
            String::from_utf8_lossy(bytes.get(..bytes.len().min(200)).unwrap()).into_owned();
        assert_eq!(status(&target, &bytes), expected, "{shown}");
    }
}

#[test]
fn a_body_that_ends_early_is_no_message() {
    let target = Target::new();
    let head = "POST /v1/messages HTTP/1.1\r\nHost: c\r\nAuthorization: Bearer TOKEN\r\n";
    for rest in [
        "Content-Length: 500\r\n\r\n{\"level\":",
        "Transfer-Encoding: chunked\r\n\r\n5\r\n{\"lev\r\nzz",
    ] {
        let (answers, _) = target.answer(&target.filled_in(format!("{head}{rest}").as_bytes()));
        assert!(answers.iter().all(|(_, status)| *status == 400), "{answers:?}");
    }
}

/// Dice that fall the same every time.
struct Dice(u64);

impl Dice {
    fn below(&mut self, n: usize) -> usize {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        usize::try_from(self.0 >> 11).unwrap() % n
    }

    fn choose<'a>(&mut self, list: &[&'a [u8]]) -> &'a [u8] {
        list[self.below(list.len())]
    }
}

/// What breaks parsers.
const PIECES: [&[u8]; 24] = [
    b"\0",
    b"\xff",
    b"\xc3\x28",
    b"\xed\xa0\x80",
    b"%00",
    b"%ff",
    b"%2f..",
    b"\\ud800",
    b"\\u0000",
    b"\r\n",
    b"\"",
    b"{\"a\":",
    b"[[[[",
    b"}",
    b"-1",
    b"9223372036854775808",
    b"1e999",
    b"null",
    b"=",
    b"&",
    b"\t",
    b"Content-Length: 3\r\n",
    b"MESSAGE",
    b"TICKET",
];

fn mutate(dice: &mut Dice, bytes: &mut Vec<u8>, other: &[u8]) {
    let at = dice.below(bytes.len() + 1);
    let to = (at + dice.below(12)).min(bytes.len());
    match dice.below(6) {
        0 => drop(bytes.drain(at..to)),
        1 => drop(bytes.splice(at..to, dice.choose(&PIECES).to_vec())),
        2 => drop(bytes.splice(at..at, dice.choose(&PIECES).to_vec())),
        3 => bytes.iter_mut().skip(at).take(1).for_each(|byte| *byte ^= 1 << dice.below(8)),
        4 => {
            let again = bytes[at..to].repeat(1 + dice.below(50));
            drop(bytes.splice(at..at, again));
        }
        _ => {
            let from = dice.below(other.len());
            bytes.truncate(at);
            bytes.extend(&other[from..]);
        }
    }
}

#[test]
fn ten_thousand_mutated_requests_break_nothing() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../tests/fuzz/seeds/api_http");
    let mut seeds: Vec<_> =
        std::fs::read_dir(folder).unwrap().map(|file| file.unwrap().path()).collect();
    seeds.sort();
    let seeds: Vec<Vec<u8>> = seeds.into_iter().map(|file| std::fs::read(file).unwrap()).collect();
    let mut dice = Dice(0x9e37_79b9_7f4a_7c15);
    let (mut target, mut good) = (Target::new(), 0);
    for n in 1..=MUTATIONS {
        let mut bytes = seeds[dice.below(seeds.len())].clone();
        for _ in 0..=dice.below(4) {
            let other = &seeds[dice.below(seeds.len())];
            mutate(&mut dice, &mut bytes, other);
        }
        let (answers, heard) = target.answer(&target.filled_in(&bytes));
        let shown = || String::from_utf8_lossy(&bytes).into_owned();
        for (path, status) in answers {
            assert!(status < 500 || path == "/readyz", "request {n}: {path} {status}\n{}", shown());
            good += u32::from(status < 400);
        }
        assert!(heard.is_empty() || heard.starts_with(b"HTTP/1."), "request {n}:\n{}", shown());
        if n % PER_TARGET == 0 {
            target = Target::new();
        }
    }
    assert!(good > MUTATIONS / 40, "hardly any request came far: {good}");
}
