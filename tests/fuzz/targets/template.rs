//! Templates of the operator with places for what a message says: `{{title}}`. The first part is the
//! template, the second the title, divided by the byte 1F.

#![no_main]

use callout_channels::Channel;
use callout_channels::channel::Mentions;
use callout_core::level::Level;
use callout_core::message::Message;
use callout_fuzz::{ask, is_clean, now, outgoing, settings};
use libfuzzer_sys::fuzz_target;
use serde_json::json;

fuzz_target!(|text: &str| {
    let (template, title) = text.split_once('\u{1f}').unwrap_or((text, "title"));
    let message = Message::new(Level::Warning, title).with_label("host", title);
    if message.validate().is_err() {
        return;
    }
    let (mentions, ask) = (Mentions::default(), ask("note"));
    for (kind, field) in
        [("aliyun_sms", json!({ "text": template })), ("tencent_sms", json!([template]))]
    {
        let mut settings = settings(kind);
        settings["template_params"] = field;
        let channel = match Channel::build(kind, settings) {
            Ok(channel) => channel,
            Err(problems) => {
                for problem in problems {
                    assert!(is_clean(&problem.text) && problem.text.len() <= 1024, "{problem:?}");
                }
                continue;
            }
        };
        for (plain, ask) in [(false, None), (true, None), (false, Some(&ask)), (true, Some(&ask))] {
            let out = outgoing(&message, &mentions, ask, plain);
            let _shown = channel.preview(&out, now()).expect("a template has something to say");
        }
    }
});
