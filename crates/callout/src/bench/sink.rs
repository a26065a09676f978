//! Where measured requests end: a server that does next to nothing with each.
//!
//! It speaks just enough HTTP/1.1 for a client that keeps its connections: reads one request, answers
//! 200 with a small JSON, reads the next.

use std::sync::Arc;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};

/// A request that is longer than this is none of ours.
const REQUEST_BYTES_MAX: usize = 1024 * 1024;

const ANSWER: &[u8] =
    b"HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: 11\r\n\r\n{\"ok\":true}";

/// What is called for every request, before it is answered.
pub(super) type Heard = Arc<dyn Fn() + Send + Sync>;

/// Answers until the future is dropped.
pub(super) async fn serve(listener: TcpListener, heard: Heard) {
    let mut connections = tokio::task::JoinSet::new();
    while let Ok((stream, _)) = listener.accept().await {
        connections.spawn(converse(stream, Arc::clone(&heard)));
        while connections.try_join_next().is_some() {}
    }
}

/// Answers the requests of one connection until it ends.
async fn converse(mut stream: TcpStream, heard: Heard) {
    if stream.set_nodelay(true).is_err() {
        return;
    }
    let mut buffer = Vec::with_capacity(4096);
    loop {
        match length(&buffer) {
            Length::Whole(length) => {
                buffer.drain(..length);
                heard();
                if stream.write_all(ANSWER).await.is_err() {
                    return;
                }
            }
            Length::More if buffer.len() < REQUEST_BYTES_MAX => {
                match stream.read_buf(&mut buffer).await {
                    Ok(0) | Err(_) => return,
                    Ok(_) => {}
                }
            }
            Length::More | Length::Never => return,
        }
    }
}

/// How long the request is that a buffer begins with.
#[derive(Debug, PartialEq, Eq)]
enum Length {
    /// It ends here.
    Whole(usize),
    /// Not all of it is there.
    More,
    /// It is no request with a length.
    Never,
}

fn length(buffer: &[u8]) -> Length {
    let Some(head) = buffer.windows(4).position(|four| four == b"\r\n\r\n") else {
        return Length::More;
    };
    let lines = buffer.get(..head).unwrap_or_default().split(|byte| *byte == b'\n');
    let mut body = lines.filter_map(|line| {
        let colon = line.iter().position(|byte| *byte == b':')?;
        let (name, value) = line.split_at(colon);
        let value = name.eq_ignore_ascii_case(b"content-length").then_some(value.get(1..)?)?;
        std::str::from_utf8(value).ok()?.trim().parse::<usize>().ok()
    });
    match body.next_back() {
        Some(body) if body > REQUEST_BYTES_MAX => Length::Never,
        Some(body) if head + 4 + body <= buffer.len() => Length::Whole(head + 4 + body),
        Some(_) => Length::More,
        None => Length::Never,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_request_ends_where_its_length_says() {
        let request = b"POST / HTTP/1.1\r\nhost: x\r\nContent-Length: 3\r\n\r\nabcPOST";
        assert_eq!(length(request), Length::Whole(request.len() - 4));
        assert_eq!(length(&request[..request.len() - 5]), Length::More);
        assert_eq!(length(b"POST / HTTP/1.1\r\n"), Length::More);
        assert_eq!(length(b"POST / HTTP/1.1\r\nhost: x\r\n\r\n"), Length::Never);
        assert_eq!(length(b"POST / HTTP/1.1\r\ncontent-length: 99999999\r\n\r\n"), Length::Never);
    }
}
