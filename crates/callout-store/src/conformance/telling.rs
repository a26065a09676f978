//! Messages that bring news of an alert know which, how it stands by them, and what is in the room.

use super::Backend;
use super::bench::{Bench, accepted, at, busy, labelled, titles};
use crate::model::{Answer, Answered, Claimed};
use callout_core::alert::{RECEIPTS_MAX, Standing};
use callout_core::level::Level;
use callout_core::message::Message;
use callout_core::outcome::{Outcome, Reason};
use callout_core::plan::EVENT_LABEL;

fn receipt(text: &str) -> Outcome {
    Outcome::Accepted(Reason::new(text, "ok"))
}

fn about(claimed: &Claimed) -> (String, Standing, Vec<&str>) {
    let about = claimed.about.as_ref().unwrap();
    let receipts = about.receipts.iter().map(String::as_str).collect();
    (about.id.to_string(), about.standing, receipts)
}

/// Tells everybody who is due, each channel with a receipt of this name.
async fn tell(bench: &Bench, seconds: u64, name: &str) {
    for claimed in bench.take(at(seconds)).await {
        bench.settle(&claimed, receipt(name), at(seconds)).await;
    }
}

async fn done(bench: &Bench, id: &str, answer: Answer, seconds: u64) {
    let answered = bench.answer(id, answer, at(seconds)).await;
    assert!(matches!(answered, Answered::Done(_)), "{answered:?}");
}

/// An alert that `ops` was told of with the receipt `r1`.
async fn told(bench: &Bench, title: &str) -> String {
    let id = bench.alert(title, at(0)).await;
    tell(bench, 0, "r1").await;
    id
}

pub async fn news_know_what_they_are_about(backend: &dyn Backend) {
    let bench = Bench::new(backend).await;
    let plain = bench.send(Level::Info, "plain").await;
    let id = bench.alert("x", at(0)).await;
    let claimed = bench.take(at(0)).await;
    assert!(claimed.iter().all(|claimed| claimed.about.is_none()), "{claimed:?}");
    for claimed in &claimed {
        bench.settle(claimed, receipt("r1"), at(0)).await;
    }
    let deeds =
        [(Answer::Acknowledge, Standing::Acknowledged), (Answer::Resolve, Standing::Resolved)];
    // Both are answered before anybody hears of either: each news says what it says.
    for (answer, _) in deeds {
        done(&bench, &id, answer, 10).await;
    }
    let news = bench.take(at(10)).await;
    assert_eq!(titles(&news), ["Acknowledged by fox: x", "Resolved by fox: x"]);
    for (news, (_, standing)) in news.iter().zip(deeds) {
        assert_eq!(about(news), (id.clone(), standing, vec!["r1"]));
        // The first of them are old by now.
        assert_eq!(news.about.as_ref().unwrap().now, Standing::Resolved);
        let about = news.about.as_ref().unwrap();
        assert_eq!((about.message.title.as_str(), about.created_at), ("x", at(0)));
        bench.settle(news, receipt("r2"), at(10)).await;
    }
    assert_eq!(bench.story(&plain).await.belongs_to, None);
    // Opened again: those who are told by that are told of an alert, not of news.
    bench.escalate(at(11)).await;
    done(&bench, &id, Answer::Unacknowledge, 12).await;
    let again = bench.take(at(12)).await;
    assert_eq!((titles(&again), &again[0].about), (vec!["x"], &None));
}

pub async fn what_ends_an_alert_knows_it_too(backend: &dyn Backend) {
    let bench = Bench::new(backend).await;
    let mut message = labelled("x", "for", "alert");
    message.dedup_key = Some("db-3".to_owned());
    let id = bench.enqueue(message).await;
    let bystander = told(&bench, "bystander").await;
    bench.enqueue(Message::resolved("db-3")).await;
    let over = bench.take(at(5)).await;
    assert_eq!(about(&over[0]), (id.clone(), Standing::Resolved, vec!["r1"]));
    // Nothing is open for that key any more, so it ends nothing.
    bench.enqueue(Message::resolved("db-3")).await;
    assert!(bench.take(at(6)).await.is_empty());
    let cancelled = bench.command(crate::model::Command::Cancel, &bystander, at(7)).await;
    let news = bench.take(at(7)).await;
    assert_eq!((cancelled, titles(&news)), (1, vec!["Cancelled by a test: bystander"]));
    assert_eq!(about(&news[0]), (bystander, Standing::Resolved, vec!["r1"]));
}

pub async fn a_channel_gets_its_own_receipts(backend: &dyn Backend) {
    let bench = Bench::new(backend).await;
    let other = told(&bench, "another alert").await;
    let id = bench.alert("x", at(0)).await;
    // `ops` reads it on channel a; a retry that failed left no receipt.
    let [first] = bench.take(at(0)).await.try_into().unwrap();
    bench.settle(&first, busy(), at(0)).await;
    tell(&bench, 4, "in a").await;
    // `lead` reads it on channel c.
    bench.escalate(at(300)).await;
    tell(&bench, 300, "in c").await;
    // What was accepted without a word is no receipt.
    done(&bench, &id, Answer::Escalate, 310).await;
    for claimed in bench.take(at(310)).await {
        bench.settle(&claimed, Outcome::Accepted(Reason::text("ok")), at(310)).await;
    }
    done(&bench, &id, Answer::Acknowledge, 320).await;
    let news = bench.take(at(320)).await;
    let heard: Vec<_> = news.iter().map(|n| (n.receiver.as_str(), about(n).2)).collect();
    assert_eq!(heard, [("ops", vec!["in a"]), ("lead", vec!["in c"])]);
    assert_eq!(bench.alert_of(&other).await.state.name(), "open");
}

pub async fn the_latest_receipts_are_kept(backend: &dyn Backend) {
    let bench = Bench::new(backend).await;
    let id = bench.alert("x", at(0)).await;
    let many = RECEIPTS_MAX + 3;
    for n in 0..many {
        let now = 10 * u64::try_from(n).unwrap();
        tell(&bench, now, &format!("r{n}")).await;
        // Given back, it begins again at `ops`.
        done(&bench, &id, Answer::Acknowledge, now + 1).await;
        tell(&bench, now + 1, "news").await;
        done(&bench, &id, Answer::Unacknowledge, now + 2).await;
    }
    done(&bench, &id, Answer::Acknowledge, 900).await;
    let news = bench.take(at(900)).await;
    let expected: Vec<String> = (many - RECEIPTS_MAX..many).map(|n| format!("r{n}")).collect();
    assert_eq!(about(&news[0]).2, expected);
}

pub async fn a_label_alone_ties_nothing(backend: &dyn Backend) {
    let bench = Bench::new(backend).await;
    let mut alert = labelled("x", "for", "alert");
    alert.dedup_key = Some("db-3".to_owned());
    let id = bench.enqueue(alert).await;
    tell(&bench, 0, "r1").await;
    let forged = |title: &str| {
        let mut forged = Message::new(Level::Critical, title).with_label(EVENT_LABEL, "resolved");
        forged.labels.insert("callout.message".to_owned(), id.clone());
        forged
    };
    bench.enqueue(forged("without a key")).await;
    let mut joined = forged("with its key");
    joined.dedup_key = Some("db-3".to_owned());
    let joined = bench.enqueue(joined).await;
    let claimed = bench.take(at(1)).await;
    assert_eq!(titles(&claimed), ["without a key", "with its key"]);
    assert!(claimed.iter().all(|claimed| claimed.about.is_none()));
    assert_eq!(bench.story(&joined).await.belongs_to.as_ref(), Some(&id));
    assert_eq!(bench.alert_of(&id).await.state.name(), "open");
}

pub async fn news_stand_for_their_alert(backend: &dyn Backend) {
    let bench = Bench::new(backend).await;
    let id = told(&bench, "x").await;
    done(&bench, &id, Answer::Acknowledge, 1).await;
    let news = bench.take(at(1)).await[0].id.to_string();
    assert_eq!(bench.story(&news).await.belongs_to.as_ref(), Some(&id));
    done(&bench, &news, Answer::Resolve, 2).await;
    assert_eq!(bench.alert_of(&id).await.state.name(), "resolved");
}

pub async fn nothing_calls_news_off(backend: &dyn Backend) {
    let bench = Bench::new(backend).await;
    let id = told(&bench, "x").await;
    done(&bench, &id, Answer::Acknowledge, 1).await;
    bench.plan(at(1)).await;
    done(&bench, &id, Answer::Resolve, 2).await;
    bench.plan(at(2)).await;
    let heard = bench.take(at(3)).await;
    assert_eq!(titles(&heard), ["Acknowledged by fox: x", "Resolved by fox: x"]);
    for claimed in &heard {
        bench.settle(claimed, accepted(), at(3)).await;
    }
}

pub async fn news_of_a_damaged_alert_are_sent(backend: &dyn Backend) {
    let bench = Bench::new(backend).await;
    let id = told(&bench, "x").await;
    let bystander = told(&bench, "bystander").await;
    for id in [&id, &bystander] {
        done(&bench, id, Answer::Acknowledge, 1).await;
    }
    backend.damage(&id).await;
    let news = bench.take(at(1)).await;
    assert_eq!(news.len(), 2);
    assert_eq!((&news[0].about, about(&news[1]).0), (&None, bystander));
}
