//! What an application sees of its alerts through the client, while a real worker and people act.

use crate::stage::{Stage, minutes, way};
use callout_client::{AlertState, Level, Message, MessageId, Outbox};
use callout_store::model::{Answer, Answered};

async fn answer(stage: &Stage, message: MessageId, answer: Answer) {
    let answered = stage.answer(message, answer, "Ann").await;
    assert!(matches!(answered, Answered::Done(_)), "{answered:?}");
}

#[tokio::test]
async fn an_application_sees_its_alert_open_taken_and_over() {
    let stage = Stage::new(vec![way("hook", "webhook")]).await;
    let mut outbox = Outbox::open(stage.database()).unwrap();
    let down = Message::new(Level::Critical, "Nobody can pay")
        .with_dedup_key("payments")
        .with_require_ack();
    let id = outbox.enqueue(&down).unwrap().id;
    stage.sink.has_received("hook", 1).await;
    stage.idle().await;
    let alert = |id| outbox.alert(id).unwrap().unwrap();
    assert!(matches!(
        alert(id),
        AlertState::Open { step: 1, exhausted: false, next_step_at: Some(_), .. }
    ));

    // Told three times in vain.
    stage.advance(minutes(20)).await;
    let state = alert(id);
    assert!(
        matches!(state, AlertState::Open { exhausted: true, next_step_at: None, .. }),
        "{state:?}"
    );

    answer(&stage, id, Answer::Acknowledge).await;
    let taken_at = stage.clock.now();
    match outbox.wait_for_ack(id, minutes(10)).unwrap() {
        AlertState::Acknowledged { by, at, .. } => assert_eq!((by.as_str(), at), ("Ann", taken_at)),
        other => panic!("{other:?}"),
    }

    // The same problem again is the same alert; a problem nobody has to acknowledge is none.
    let again = outbox.enqueue(&down).unwrap().id;
    let bystander = outbox.enqueue(&Message::new(Level::Info, "bystander")).unwrap().id;
    stage.advance(minutes(1)).await;
    let alert = |id| outbox.alert(id).unwrap().unwrap();
    assert_eq!(alert(again), alert(id));
    assert_eq!(alert(bystander), AlertState::NotRequired);

    let over = outbox.resolve("payments").unwrap().id;
    stage.advance(minutes(1)).await;
    let alert = |id| outbox.alert(id).unwrap().unwrap();
    assert!(matches!(alert(id), AlertState::Resolved { .. }), "{:?}", alert(id));
    assert_eq!((alert(again), alert(over)), (alert(id), alert(id)));
    assert_eq!(alert(bystander), AlertState::NotRequired);
}
