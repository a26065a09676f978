//! Rows that another program wrote, or that were damaged. Each line changes one value, with every check
//! switched off: a letter for the column, a digit for the row, `i`, `t` or `n` for the type, the value.

#![no_main]

use callout::{fuzzing, json, narrate, print};
use callout_fuzz::store::{Bench, block_on};
use callout_store::Store as _;
use callout_store::model::{Answer, Filter};
use libfuzzer_sys::fuzz_target;
use rusqlite::types::Value;

fuzz_target!(|bytes: &[u8]| {
    let bench = Bench::new(fuzzing::config);
    let database = bench.database();
    for line in bytes.split(|byte| *byte == b'\n').take(16) {
        let [column, row, kind, text @ ..] = line else { continue };
        let number = || std::str::from_utf8(text).ok()?.trim().parse().ok();
        let value = match kind {
            b'i' => number().map_or(Value::Null, Value::Integer),
            b't' => Value::Blob(text.to_vec()),
            _ => Value::Null,
        };
        bench.change(&database, *column, *row, value);
    }
    drop(database);
    block_on(async {
        let store = bench.open();
        let fresh = bench.enqueue(&store, "a bystander").await;
        let mut heard = false;
        for minutes in [0, 6, 20] {
            let now = bench.at(minutes);
            bench.plan(&store, now).await;
            bench.escalate(&store, now).await;
            heard |= bench.deliver(&store, now).await.contains(&fresh);
            bench.stats(&store, now).await;
        }
        assert!(heard, "a damaged row keeps nobody else waiting");
        let page = store.list(Filter::default(), None, 50).await.expect("a list");
        assert!(page.messages.iter().any(|message| message.id == fresh.to_string()));
        let _shown = json::page(&page);
        for id in page.messages.iter().map(|message| &message.id) {
            let Some(story) = store.story(id.clone()).await.expect("a story") else { continue };
            let _shown = json::story(&story);
            let told = print::clean(&narrate::story(&story, bench.at(30), &jiff_utc()));
            assert!(told.chars().all(|c| !c.is_control() || c == '\n'), "{told:?}");
            for answer in [Answer::Acknowledge, Answer::Unacknowledge, Answer::Resolve] {
                bench.answer(&store, id, answer).await;
            }
            bench.command(&store, id).await;
        }
        bench.prune(&store).await;
    });
});

fn jiff_utc() -> callout_channels::TimeZone {
    callout_channels::TimeZone::UTC
}
