//! What a mail server says, one part after the other, divided by zero bytes.

#![no_main]

use callout_channels::Build;
use callout_channels::channel::Mentions;
use callout_channels::direct::DirectChannel;
use callout_core::level::Level;
use callout_core::message::Message;
use callout_core::outcome::Outcome;
use callout_fuzz::{now, outgoing, store::block_on_io};
use libfuzzer_sys::fuzz_target;
use serde_json::json;
use std::time::Duration;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpListener;
use tokio::time::timeout;

fn mail(port: u16) -> Box<dyn DirectChannel> {
    let row = callout_channels::find("email").expect("a kind");
    let Build::Direct(build) = row.build else { panic!("mail speaks no HTTP") };
    let to = ["a@example.com", "b@example.com"];
    build(json!({ "smtp": format!("smtp://u:p4ssw0rd@127.0.0.1:{port}"), "from": "c@example.com", "to": to }))
        .expect("a channel")
}

fuzz_target!(|bytes: &[u8]| {
    let outcome = block_on_io(async {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let channel = mail(listener.local_addr().expect("an address").port());
        let (message, mentions) = (Message::new(Level::Info, "x"), Mentions::default());
        let out = outgoing(&message, &mentions, None, false);
        let server = async {
            let (mut stream, _) = listener.accept().await.expect("a client");
            // Nothing stays behind in the kernel.
            stream.set_zero_linger().expect("a socket");
            let mut heard = [0; 16 * 1024];
            for part in bytes.split(|byte| *byte == 0) {
                let said = stream.write_all(part).await;
                // A client that goes on waiting for the rest of a line has nothing to say.
                let read = timeout(Duration::from_millis(20), stream.read(&mut heard)).await;
                if said.is_err() || !matches!(read, Ok(Ok(1..))) {
                    break;
                }
            }
        };
        tokio::join!(channel.deliver(&out, now()), server).0
    });
    let reason = outcome.reason();
    assert!(reason.detail.len() <= 512 && !reason.detail.contains("p4ssw0rd"), "{reason}");
    if let Outcome::Accepted(_) = outcome {
        let says = |code: &[u8]| bytes.windows(3).any(|word| word == code);
        assert!(says(b"220") && says(b"250") && says(b"354"), "it said no such thing: {outcome:?}");
    }
});
