//! Mail, from the outbox to the server: what a broken conversation costs.

use crate::stage::mail::Act;
use crate::stage::{Stage, seconds, way};
use callout_core::level::Level;

async fn stage() -> Stage {
    Stage::new(vec![way("mail", "email"), way("wecom", "wecom")]).await
}

/// The header that tells letters apart.
fn message_id(letter: &str) -> &str {
    letter.lines().find(|line| line.starts_with("Message-ID: ")).unwrap()
}

#[tokio::test]
async fn a_letter_is_delivered_at_once() {
    let stage = stage().await;
    let id = stage.enqueue(Level::Critical, "disk full").await;
    stage.idle().await;
    assert_eq!(stage.stands(id).await, "accepted accepted mail");
    assert_eq!(stage.attempts(id).await, ["mail accepted 250"]);
    let letters = stage.mail.letters();
    assert_eq!(letters.len(), 1);
    assert!(letters[0].contains("Subject: [CRITICAL] disk full\r\n"), "{}", letters[0]);
}

#[tokio::test]
async fn a_letter_whose_answer_is_lost_goes_again_under_the_same_id() {
    let stage = stage().await;
    stage.mail.will("letter", Act::Close);
    let id = stage.enqueue(Level::Critical, "disk full").await;
    stage.idle().await;
    stage.advance(seconds(20)).await;
    assert_eq!(stage.stands(id).await, "accepted accepted mail");
    let attempts = stage.attempts(id).await;
    assert_eq!(attempts[0], "mail unknown");
    let letters = stage.mail.letters();
    let ids: Vec<&str> = letters.iter().map(|letter| message_id(letter)).collect();
    assert_eq!((ids.len(), ids[0]), (2, ids[1]));
    assert!(ids[0].contains(&id.to_string()));
}

#[tokio::test]
async fn where_every_mailbox_is_refused_the_next_channel_is_asked_at_once() {
    let stage = stage().await;
    stage.mail.will("RCPT", Act::Say("550 5.1.1 unknown"));
    let id = stage.enqueue(Level::Critical, "disk full").await;
    stage.idle().await;
    assert_eq!(stage.stands(id).await, "accepted accepted wecom");
    assert_eq!(stage.mail.letters().len(), 0);
}

#[tokio::test]
async fn a_letter_the_server_dislikes_is_tried_once_as_short_plain_text() {
    let stage = stage().await;
    stage.mail.will("letter", Act::Say("554 5.7.1 looks like spam"));
    let id = stage.enqueue(Level::Critical, "disk full").await;
    stage.advance(seconds(1)).await;
    assert_eq!(stage.stands(id).await, "accepted accepted mail");
    let letters = stage.mail.letters();
    assert!(letters[0].contains("multipart/alternative") && letters[0].contains("text/html"));
    assert!(letters[1].contains("Content-Type: text/plain") && !letters[1].contains("text/html"));
    assert_eq!(message_id(&letters[0]), message_id(&letters[1]));
}
