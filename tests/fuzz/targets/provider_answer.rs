//! What a provider answers: status, `Retry-After` and body, as every kind reads them.

#![no_main]

use callout_channels::channel::{HttpChannel, Mentions};
use callout_core::message::Message;
use callout_core::outcome::Outcome;
use callout_fuzz::{answer, ask, http_channels, now, outgoing};
use libfuzzer_sys::fuzz_target;
use serde::de::IgnoredAny;
use std::sync::LazyLock;
use std::time::Duration;

/// Kinds whose proof is a word, a status or an empty body; all others have to answer JSON.
const NEED_NO_JSON: [&str; 4] = ["mattermost", "slack", "teams", "webhook"];

static CHANNELS: LazyLock<Vec<(&str, Box<dyn HttpChannel>)>> = LazyLock::new(http_channels);
static MESSAGE: LazyLock<Message> = LazyLock::new(|| {
    let json = include_str!("../seeds/api_message/full.json");
    serde_json::from_str(json).expect("a message")
});

fuzz_target!(|bytes: &[u8]| {
    let Some(answer) = answer(bytes) else { return };
    // A text inside may be in any encoding: some providers complain in GBK.
    let is_json =
        serde_json::from_str::<IgnoredAny>(&String::from_utf8_lossy(&answer.body)).is_ok();
    let (ask, mentions) = (ask("a note"), Mentions { all: true, ids: vec!["U1".to_owned()] });
    let out = outgoing(&MESSAGE, &mentions, Some(&ask), false);
    for (kind, channel) in CHANNELS.iter() {
        let outcome = channel.classify(&answer, now());
        let reason = outcome.reason();
        assert!(reason.detail.len() <= 512, "{kind}");
        assert!(reason.code.as_ref().is_none_or(|code| code.len() <= 512), "{kind}: a long code");
        match &outcome {
            Outcome::Accepted(_) => {
                assert!(is_json || NEED_NO_JSON.contains(kind), "{kind} believes {answer:?}");
                assert!(answer.status < 400 || *kind == "telegram", "{kind} believes {answer:?}");
                let receipt = reason.code.clone().unwrap_or_default();
                channel.edit(&out, &receipt, "news", now());
            }
            Outcome::Throttled { until, .. } => {
                let wait = until.since(now());
                assert!(wait <= Duration::from_secs(86_400) && !wait.is_zero(), "{kind} {wait:?}");
            }
            Outcome::Transient(_) | Outcome::Rejected { .. } | Outcome::Unknown(_) => {}
        }
        let _sent = channel.follow_up(&out, now(), std::slice::from_ref(&answer));
        if let Some(login) = channel.login() {
            let _stale = login.is_stale(&answer);
            if let Ok(token) = login.token(&answer, now()) {
                assert!(is_json && !token.value.expose().is_empty(), "{kind}");
            }
        }
    }
});
