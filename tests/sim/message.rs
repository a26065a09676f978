//! What producers say.

use crate::dice::Dice;
use crate::setting::Setting;
use callout_core::level::Level;
use callout_core::message::Message;
use std::time::Duration;

/// Problems that producers report again and again.
const PROBLEMS: [&str; 3] = ["disk", "memory", "network"];

pub(crate) fn draw(dice: &mut Dice, setting: &Setting) -> Message {
    let problem = *dice.pick(&PROBLEMS);
    if dice.chance(8) {
        return Message::resolved(problem);
    }
    let number = dice.below(1_000_000);
    let mut message = Message::new(*dice.pick(&Level::ALL), format!("{problem} {number}"));
    message.body = "It hurts. ".repeat(dice.below(4));
    if dice.chance(40) {
        message = message.with_dedup_key(problem);
    } else if dice.chance(30) {
        message = message.with_delay(seconds(dice, &[1, 30, 600]));
    }
    if dice.chance(20) {
        message = message.with_idempotency_key(format!("key {number}"));
    }
    if dice.chance(20) {
        message = message.with_ttl(seconds(dice, &[1, 20, 300, 3600]));
    }
    if dice.chance(30) {
        message = message.with_require_ack();
        if dice.chance(50) {
            message = message.with_ack_within(seconds(dice, &[10, 120]));
        }
    }
    if dice.chance(30) {
        message = message.with_receiver(dice.pick(&setting.receivers).clone());
    }
    message
}

fn seconds(dice: &mut Dice, choices: &[u64]) -> Duration {
    Duration::from_secs(*dice.pick(choices))
}
