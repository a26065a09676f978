//! Until somebody answers: escalation, acknowledgment, and what stops what. The stories are told twice,
//! the second time with a crash and a restart at every step.

use crate::stage::sink::{Reply, errcode};
use crate::stage::{Stage, minutes, seconds, way};
use callout_core::alert::State;
use callout_core::escalation::Policy;
use callout_core::id::MessageId;
use callout_core::level::Level;
use callout_core::message::Message;
use callout_core::plan::{Directory, MessageState};
use callout_core::route::Route;
use callout_store::Store;
use callout_store::model::{Actor, AlertFilter, Answer, Answered, Command, CommandRequest, Filter};
use std::sync::Arc;
use std::time::Duration;

const DAY: Duration = Duration::from_secs(86_400);

/// Two steps: `ops` at once and for 5 minutes, then `lead` for 10.
async fn night(repeat: u32) -> Stage {
    Stage::escalating(vec![way("ding", "webhook")], &[("ops", 5), ("lead", 10)], repeat).await
}

fn problem(level: Level, key: &str) -> Message {
    Message::new(level, format!("{key} is full")).with_dedup_key(key)
}

/// The titles that arrived on a channel, in order.
fn arrived(stage: &Stage, channel: &str) -> Vec<String> {
    let received = stage.sink.received();
    let bodies = received.iter().filter(|received| received.channel == channel);
    bodies
        .map(|received| {
            let body: serde_json::Value = serde_json::from_str(&received.body).unwrap();
            body["data"]["title"].as_str().unwrap().to_owned()
        })
        .collect()
}

#[tokio::test]
async fn nobody_acknowledges_so_the_next_people_are_told_and_in_the_end_the_operator() {
    for stage in [night(1).await, night(1).await.restless()] {
        let id = stage.enqueue(Level::Critical, "disk full").await;
        stage.idle().await;
        assert_eq!(stage.sink.channels(), ["ding"]);
        stage.advance(minutes(5) - seconds(1)).await;
        assert_eq!(stage.sink.channels(), ["ding"], "they have five minutes");
        stage.advance(seconds(1)).await;
        assert_eq!(stage.sink.channels(), ["ding", "lead"]);
        stage.advance(minutes(10)).await;
        assert_eq!(stage.sink.channels(), ["ding", "lead", "ding"], "from the top again");
        stage.advance(DAY).await;
        assert_eq!(
            stage.steps(id).await,
            [
                "+0s ops opened",
                "+300s lead due",
                "+900s ops due",
                "+1200s lead due",
                "+1800s nobody due"
            ]
        );
        assert_eq!(stage.sink.channels(), ["ding", "lead", "ding", "lead", "desk"]);
        assert!(
            arrived(&stage, "desk")[0].contains("nobody acknowledged"),
            "{:?}",
            arrived(&stage, "desk")
        );
        let exhausted = Filter { alert: Some(AlertFilter::Exhausted), ..Filter::default() };
        assert_eq!(stage.store.list(exhausted, None, 10).await.unwrap().messages.len(), 1);
        // Late is better than never.
        assert!(matches!(stage.answer(id, Answer::Acknowledge, "fox").await, Answered::Done(_)));
    }
}

#[tokio::test]
async fn an_acknowledgment_stops_escalation_and_those_who_were_told_hear_who_has_it() {
    for stage in [night(2).await, night(2).await.restless()] {
        let id = stage.enqueue(Level::Critical, "disk full").await;
        let bystander = stage.enqueue(Level::Critical, "link down").await;
        stage.advance(minutes(6)).await;
        let Answered::Done(alert) = stage.answer(id, Answer::Acknowledge, "fox").await else {
            panic!("nobody was faster")
        };
        assert!(matches!(&alert.state, State::Acknowledged(deed) if deed.by == "fox"));
        stage.idle().await;
        assert_eq!(
            arrived(&stage, "ding"),
            ["disk full", "link down", "Acknowledged by fox: disk full"]
        );
        assert_eq!(
            arrived(&stage, "lead"),
            ["disk full", "link down", "Acknowledged by fox: disk full"]
        );
        stage.advance(DAY).await;
        assert_eq!(stage.steps(id).await, ["+0s ops opened", "+300s lead due"]);
        assert_eq!(stage.steps(bystander).await.len(), 7, "the other alert went on to its end");
        let story = stage.story(id).await;
        assert_eq!(story.summary.state, MessageState::Accepted);
        let deed = story.journal.iter().find(|entry| entry.event == "acknowledged").unwrap();
        assert_eq!((deed.by.as_deref(), deed.via.as_deref()), (Some("fox"), Some("command")));
    }
}

#[tokio::test]
async fn what_makes_no_sense_changes_nothing_and_says_so() {
    let stage = night(0).await;
    let id = stage.enqueue(Level::Critical, "disk full").await;
    stage.idle().await;
    stage.answer(id, Answer::Acknowledge, "fox").await;
    let before = stage.story(id).await;
    for answer in [Answer::Acknowledge, Answer::Escalate] {
        let refused = stage.answer(id, answer, "hare").await;
        assert!(matches!(refused, Answered::Refused { .. }), "{answer:?}: {refused:?}");
    }
    assert_eq!(stage.story(id).await.alert, before.alert);
    stage.answer(id, Answer::Resolve, "fox").await;
    for answer in [Answer::Acknowledge, Answer::Resolve, Answer::Escalate] {
        let refused = stage.answer(id, answer, "hare").await;
        assert!(matches!(refused, Answered::Refused { .. }), "{answer:?}: {refused:?}");
    }
    let quiet = Stage::new(vec![way("ding", "webhook")]).await;
    let id = quiet.enqueue(Level::Info, "report").await;
    quiet.idle().await;
    assert!(matches!(quiet.answer(id, Answer::Acknowledge, "fox").await, Answered::NoAlert { .. }));
    let nobody = MessageId::new(quiet.clock.now(), [9; 10]);
    assert_eq!(quiet.answer(nobody, Answer::Acknowledge, "fox").await, Answered::Unknown);
}

/// The story of the issue: a failing channel, backoff, failover, nobody acknowledges, escalation, and
/// then somebody does. With and without a crash after every second of it.
#[tokio::test]
async fn a_restart_at_every_step_changes_nothing_about_an_escalation() {
    let mut endings = Vec::new();
    for crashes in [false, true] {
        let ways = vec![way("ding", "dingtalk"), way("wecom", "wecom")];
        let mut stage = Stage::escalating(ways, &[("ops", 1), ("lead", 1), ("boss", 2)], 1).await;
        stage.sink.always("ding", errcode(-1));
        let id = stage.enqueue(Level::Critical, "disk full").await;
        for second in 0..420 {
            stage.advance(seconds(1)).await;
            if second == 330 {
                stage.answer(id, Answer::Acknowledge, "fox").await;
                stage.idle().await;
            }
            if crashes {
                stage.crash().await;
            }
        }
        let story = stage.story(id).await;
        let tries: Vec<_> = story
            .deliveries
            .iter()
            .flat_map(|delivery| {
                delivery.attempts.iter().map(move |a| (delivery.receiver.clone(), a))
            })
            .map(|(to, a)| (to, a.channel.clone(), a.outcome.clone(), a.number, a.started_at))
            .collect();
        let alert = stage.alert(id).await;
        endings.push((stage.steps(id).await, tries, stage.sink.channels(), alert.state));
    }
    assert_eq!(
        endings[0].0,
        ["+0s ops opened", "+60s lead due", "+120s boss due", "+240s ops due", "+300s lead due"]
    );
    assert_eq!(endings[0], endings[1]);
}

#[tokio::test]
async fn a_step_that_reaches_nobody_is_passed_at_once() {
    for stage in [night(1).await, night(1).await.restless()] {
        stage.sink.always("ding", Reply::Answer(410, vec![], String::new()));
        let id = stage.enqueue(Level::Critical, "disk full").await;
        stage.idle().await;
        assert_eq!(stage.steps(id).await, ["+0s ops opened", "+0s lead unreachable"]);
        stage.advance(minutes(10)).await;
        assert_eq!(stage.steps(id).await[2..], ["+600s ops due", "+600s lead unreachable"]);
    }
}

#[tokio::test]
async fn when_nobody_at_all_can_be_reached_the_rounds_do_not_race() {
    for stage in [night(1).await, night(1).await.restless()] {
        for channel in ["ding", "lead"] {
            stage.sink.always(channel, Reply::Answer(410, vec![], String::new()));
        }
        let id = stage.enqueue(Level::Critical, "disk full").await;
        stage.advance(minutes(30)).await;
        assert_eq!(
            stage.steps(id).await,
            [
                "+0s ops opened",
                "+0s lead unreachable",
                "+60s ops unreachable",
                "+60s lead unreachable",
                "+60s nobody unreachable"
            ]
        );
    }
}

#[tokio::test]
async fn after_downtime_steps_come_one_at_a_time_and_say_so() {
    let mut stage =
        Stage::escalating(vec![way("ding", "webhook")], &[("ops", 5), ("lead", 5), ("boss", 5)], 0)
            .await;
    let ids =
        [stage.enqueue(Level::Critical, "one").await, stage.enqueue(Level::Critical, "two").await];
    stage.idle().await;
    stage.stop().await;
    stage.clock.set(stage.clock.now() + minutes(120));
    stage.start().await;
    stage.advance(seconds(59)).await;
    for id in ids {
        assert_eq!(
            stage.steps(id).await,
            ["+0s ops opened", "+7200s lead due"],
            "one step, not two"
        );
    }
    let told = stage.sink.received();
    let note = told.iter().find(|received| received.channel == "lead").unwrap();
    assert!(note.body.contains("1h55m late"), "{}", note.body);
    stage.advance(minutes(5)).await;
    assert_eq!(stage.steps(ids[0]).await[2..], ["+7500s boss due"]);
}

#[tokio::test]
async fn after_downtime_those_who_were_never_told_come_first() {
    let mut stage = night(0).await;
    stage.sink.always("ding", errcode(-1)); // for a webhook a 200 is enough
    stage.sink.always("ding", Reply::Answer(503, vec![], String::new()));
    let id = stage.enqueue(Level::Critical, "one").await;
    stage.idle().await;
    stage.stop().await;
    stage.sink.recovers("ding");
    stage.clock.set(stage.clock.now() + minutes(120));
    stage.start().await;
    stage.advance(seconds(30)).await;
    assert_eq!(stage.sink.count("lead"), 0, "the first people have just been told");
    assert_eq!(stage.stands(id).await, "accepted accepted ding");
    stage.advance(seconds(31)).await;
    assert_eq!(stage.sink.count("lead"), 1);
}

#[tokio::test]
async fn nothing_fires_for_an_alert_taken_long_ago_whatever_the_clock_does() {
    let mut stage = night(2).await;
    let acked = stage.enqueue(Level::Critical, "one").await;
    let resolved = stage.enqueue(Level::Critical, "two").await;
    stage.idle().await;
    stage.answer(acked, Answer::Acknowledge, "fox").await;
    stage.answer(resolved, Answer::Resolve, "fox").await;
    stage.idle().await;
    let before = stage.sink.channels().len();
    let start = stage.clock.now();
    for at in [start + 120 * DAY, start, callout_core::time::Timestamp::EPOCH, start + 20_000 * DAY]
    {
        stage.clock.step(at);
        stage.crash().await;
        stage.idle().await;
    }
    assert_eq!(stage.sink.channels().len(), before);
    assert_eq!(stage.steps(acked).await, ["+0s ops opened"]);
}

#[tokio::test]
async fn a_clock_set_back_delays_no_step_beyond_its_wait() {
    let stage = night(0).await;
    stage.enqueue(Level::Critical, "disk full").await;
    stage.advance(minutes(2)).await;
    stage.clock.step(
        callout_core::time::Timestamp::from_unix_ms(stage.clock.now().unix_ms() - 3_600_000)
            .unwrap(),
    );
    // Something has to wake the worker; outside tests it looks every second.
    stage.enqueue(Level::Critical, "another").await;
    stage.advance(minutes(5)).await;
    assert_eq!(stage.sink.count("lead"), 2, "both, five minutes after the step back");
}

#[tokio::test]
async fn an_attempt_under_way_ends_and_is_not_made_again_once_somebody_has_it() {
    let stage = night(2).await;
    stage.sink.will("ding", [Reply::Silence]);
    let id = stage.enqueue(Level::Critical, "disk full").await;
    stage.sink.has_received("ding", 1).await;
    stage.answer(id, Answer::Acknowledge, "fox").await;
    stage.clock.set(stage.clock.now() + callout_worker::GUARD);
    stage.idle().await;
    stage.advance(DAY).await;
    assert_eq!(stage.attempts(id).await, ["ding unknown"]);
    assert_eq!(stage.story(id).await.deliveries[0].state.name(), "cancelled");
}

#[tokio::test]
async fn what_still_waits_is_called_off_when_somebody_has_it() {
    for stage in [night(2).await, night(2).await.restless()] {
        stage.sink.always("ding", Reply::Answer(503, vec![], String::new()));
        let id = stage.enqueue(Level::Critical, "disk full").await;
        stage.idle().await;
        stage.answer(id, Answer::Acknowledge, "fox").await;
        assert_eq!(stage.story(id).await.deliveries[0].state.name(), "cancelled");
        stage.sink.recovers("ding");
        stage.advance(DAY).await;
        assert_eq!(
            stage.sink.channels(),
            ["ding"],
            "and nobody is told who has what they never heard of"
        );
        let replay = CommandRequest {
            now: stage.clock.now(),
            directory: stage.directory.clone(),
            command: Command::Replay,
            messages: vec![id.to_string()],
            who: Actor::at_the_command_line("the test"),
        };
        assert_eq!(stage.store.command(replay).await.unwrap(), 0, "somebody has it");
    }
}

#[tokio::test]
async fn who_gives_it_back_starts_it_again() {
    for stage in [night(0).await, night(0).await.restless()] {
        let id = stage.enqueue(Level::Critical, "disk full").await;
        stage.advance(minutes(1)).await;
        stage.answer(id, Answer::Acknowledge, "fox").await;
        stage.advance(minutes(60)).await;
        stage.answer(id, Answer::Unacknowledge, "fox").await;
        stage.advance(minutes(5)).await;
        assert_eq!(
            stage.steps(id).await,
            ["+0s ops opened", "+3660s ops restarted", "+3960s lead due"]
        );
        assert_eq!(
            arrived(&stage, "ding"),
            ["disk full", "Acknowledged by fox: disk full", "disk full"]
        );
        let sent = stage.sink.received();
        let ids: Vec<_> =
            sent.iter().map(|received| received.headers["webhook-id"].clone()).collect();
        assert_ne!(ids[0], ids[2], "told again is no repetition of the request");
    }
}

#[tokio::test]
async fn a_resolution_can_be_taken_back_and_old_links_die() {
    let stage = night(0).await;
    let id = stage.enqueue(Level::Critical, "disk full").await;
    stage.idle().await;
    stage.answer(id, Answer::Resolve, "fox").await;
    assert_eq!(stage.alert(id).await.epoch, 0);
    stage.answer(id, Answer::Unacknowledge, "fox").await;
    let alert = stage.alert(id).await;
    assert_eq!((alert.state, alert.epoch), (State::Open, 1));
}

#[tokio::test]
async fn somebody_who_needs_help_need_not_wait() {
    for stage in [night(0).await, night(0).await.restless()] {
        let id = stage.enqueue(Level::Critical, "disk full").await;
        stage.advance(minutes(1)).await;
        stage.answer(id, Answer::Escalate, "fox").await;
        stage.idle().await;
        stage.advance(minutes(60)).await;
        assert_eq!(
            stage.steps(id).await,
            ["+0s ops opened", "+60s lead pushed", "+660s nobody due"]
        );
    }
}

#[tokio::test]
async fn the_same_problem_again_is_counted_and_a_worse_one_passes() {
    for stage in [night(2).await, night(2).await.restless()] {
        let first = stage.enqueue_message(problem(Level::Warning, "disk")).await;
        stage.idle().await;
        let again = stage.enqueue_message(problem(Level::Warning, "disk")).await;
        let other = stage.enqueue_message(problem(Level::Warning, "link")).await;
        stage.idle().await;
        assert_eq!(arrived(&stage, "ding"), ["disk is full", "link is full"]);
        let story = stage.story(again).await;
        assert_eq!(story.summary.state, MessageState::Merged);
        assert_eq!(story.belongs_to, Some(first.to_string()));
        assert_eq!((stage.alert(first).await.repeats, stage.alert(other).await.repeats), (1, 0));

        stage.answer(again, Answer::Acknowledge, "fox").await;
        assert!(
            matches!(stage.alert(first).await.state, State::Acknowledged(_)),
            "either id will do"
        );
        let worse = stage.enqueue_message(problem(Level::Critical, "disk")).await;
        stage.idle().await;
        assert_eq!(stage.sink.count("ding"), 4, "the first two, who has it, and the worse one");
        assert!(
            matches!(stage.alert(first).await.state, State::Resolved(_)),
            "the worse one took its place"
        );
        assert_eq!(stage.alert(worse).await.state, State::Open);
        stage.advance(minutes(5)).await;
        assert_eq!(stage.steps(worse).await.last().unwrap(), "+300s lead due");
    }
}

#[tokio::test]
async fn a_problem_that_nobody_answered_begins_again_when_it_is_reported_again() {
    for stage in [night(0).await, night(0).await.restless()] {
        let first = stage.enqueue_message(problem(Level::Critical, "disk")).await;
        stage.advance(minutes(20)).await;
        assert_eq!(stage.steps(first).await.last().unwrap(), "+900s nobody due");
        let again = stage.enqueue_message(problem(Level::Critical, "disk")).await;
        stage.idle().await;
        assert!(matches!(stage.alert(first).await.state, State::Resolved(_)));
        assert_eq!(stage.steps(again).await, ["+0s ops opened"]);
        assert_eq!(arrived(&stage, "ding"), ["disk is full", "disk is full"]);
    }
}

#[tokio::test]
async fn what_joined_an_alert_is_called_off_with_it() {
    let mut stage = night(0).await;
    let id = stage.enqueue_message(problem(Level::Warning, "disk")).await;
    stage.idle().await;
    // From now on nobody has to acknowledge anything, so the worse one only joins.
    stage.directory = Arc::new(Directory {
        routes: vec![Route {
            levels: vec![],
            labels: vec![],
            to: vec!["ops".parse().unwrap()],
            escalation: None,
        }],
        ..Directory::clone(&stage.directory)
    });
    stage.crash().await;
    stage.sink.always("ding", Reply::Answer(503, vec![], String::new()));
    let worse = stage.enqueue_message(problem(Level::Critical, "disk")).await;
    stage.idle().await;
    assert_eq!(stage.stands(worse).await, "pending ready ding backoff");
    stage.answer(id, Answer::Acknowledge, "fox").await;
    assert_eq!(stage.stands(worse).await, "cancelled cancelled ding");
}

#[tokio::test]
async fn the_producer_says_that_it_is_over() {
    for stage in [night(2).await, night(2).await.restless()] {
        let id = stage.enqueue_message(problem(Level::Critical, "disk")).await;
        stage.advance(minutes(5)).await;
        let over = stage.enqueue_message(Message::resolved("disk")).await;
        stage.idle().await;
        assert!(matches!(stage.alert(id).await.state, State::Resolved(_)));
        assert_eq!(arrived(&stage, "ding"), ["disk is full", "Resolved: disk"]);
        assert_eq!(arrived(&stage, "lead"), ["disk is full", "Resolved: disk"]);
        assert_eq!(stage.story(over).await.belongs_to, Some(id.to_string()));
        stage.advance(DAY).await;
        assert_eq!(stage.sink.channels().len(), 4);

        let nothing = stage.enqueue_message(Message::resolved("disk")).await;
        stage.idle().await;
        let story = stage.story(nothing).await;
        assert_eq!(story.summary.state, MessageState::Accepted);
        assert!(story.deliveries.is_empty() && story.why.unwrap().contains("nothing is open"));
    }
}

#[tokio::test]
async fn a_message_may_ask_for_acknowledgment_by_itself() {
    for stage in [
        Stage::new(vec![way("ding", "webhook")]).await,
        Stage::new(vec![way("ding", "webhook")]).await.restless(),
    ] {
        let id = stage
            .enqueue_message(
                Message::new(Level::Error, "backup failed").with_ack_within(minutes(3)),
            )
            .await;
        stage.advance(minutes(60)).await;
        assert_eq!(
            stage.steps(id).await,
            ["+0s ops opened", "+180s ops due", "+360s ops due", "+540s nobody due"]
        );
    }
}

#[tokio::test]
async fn a_delayed_alert_gives_people_their_whole_time() {
    for stage in [night(0).await, night(0).await.restless()] {
        let id = stage
            .enqueue_message(Message::new(Level::Critical, "reminder").with_delay(minutes(30)))
            .await;
        stage.advance(minutes(34)).await;
        assert_eq!(stage.sink.channels(), ["ding"]);
        stage.advance(minutes(1)).await;
        assert_eq!(stage.steps(id).await, ["+0s ops opened", "+300s lead due"]);
    }
}

#[tokio::test]
async fn an_edited_policy_changes_nothing_that_is_under_way() {
    let mut stage = night(0).await;
    let id = stage.enqueue(Level::Critical, "disk full").await;
    stage.idle().await;
    let edited = Policy::of_receivers(vec!["boss".parse().unwrap()]);
    stage.directory = Arc::new(Directory {
        routes: vec![Route {
            levels: vec![],
            labels: vec![],
            to: vec!["boss".parse().unwrap()],
            escalation: Some(edited),
        }],
        ..Directory::clone(&stage.directory)
    });
    stage.crash().await;
    stage.advance(minutes(60)).await;
    assert_eq!(stage.steps(id).await, ["+0s ops opened", "+300s lead due", "+900s nobody due"]);
}

#[tokio::test]
async fn a_cancelled_alert_is_over() {
    for stage in [night(2).await, night(2).await.restless()] {
        let id = stage.enqueue(Level::Critical, "never mind").await;
        stage.idle().await;
        let cancel = CommandRequest {
            now: stage.clock.now(),
            directory: stage.directory.clone(),
            command: Command::Cancel,
            messages: vec![id.to_string()],
            who: Actor::at_the_command_line("fox"),
        };
        stage.store.command(cancel).await.unwrap();
        stage.advance(DAY).await;
        assert!(matches!(stage.alert(id).await.state, State::Resolved(_)));
        assert_eq!(stage.steps(id).await, ["+0s ops opened"]);
        assert_eq!(stage.sink.count("lead"), 0);
    }
}
