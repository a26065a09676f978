//! Short messages: what may have arrived is not sent again by the same provider, for it costs money and
//! wakes people; whoever is told too often is told by the next channel.

use crate::stage::provider::aliyun_sms::AliyunSms;
use crate::stage::provider::tencent_sms::TencentSms;
use crate::stage::sink::Reply;
use crate::stage::{Stage, Way, minutes, seconds, way};
use callout_core::level::Level;
use serde_json::json;
use std::sync::{Arc, Mutex};

const PHONE: &str = "+8613800000000";

fn aliyun(secret: &'static str) -> Way {
    let settings = move |address: &str| {
        json!({
            "access_key_id": "id-of-the-key", "access_key_secret": secret, "sign_name": "值班",
            "template_code": "SMS_1", "template_params": { "title": "{{level}} {{title}}" },
            "phones": [PHONE], "endpoint": address,
        })
    };
    way("aliyun", "aliyun_sms").with(settings).limited()
}

fn tencent(key: &'static str) -> Way {
    let settings = move |address: &str| {
        json!({
            "secret_id": "id-of-the-key", "secret_key": key, "sdk_app_id": "1400",
            "sign_name": "值班", "template_id": "77", "template_params": ["{{title}}"],
            "phones": [PHONE], "endpoint": address,
        })
    };
    way("tencent", "tencent_sms").with(settings).limited()
}

const SECRET: &str = "secret-of-the-key";

type Providers = (Arc<Mutex<AliyunSms>>, Arc<Mutex<TencentSms>>);

fn providers(stage: &Stage) -> Providers {
    let mut aliyun = AliyunSms::new("id-of-the-key", SECRET, "值班", "SMS_1");
    aliyun.template_params = vec!["title".to_owned()];
    let tencent = TencentSms::new("id-of-the-key", SECRET, "1400", "77");
    (stage.provider("aliyun", aliyun), stage.provider("tencent", tencent))
}

#[tokio::test]
async fn both_take_what_is_signed_right() {
    for (ways, accepted) in [
        (vec![aliyun(SECRET), tencent(SECRET)], "aliyun accepted OK"),
        (vec![tencent(SECRET), aliyun(SECRET)], "tencent accepted Ok"),
    ] {
        let stage = Stage::new(ways).await;
        let (aliyun, tencent) = providers(&stage);
        let id = stage.enqueue(Level::Critical, "磁盘满了").await;
        stage.idle().await;
        assert_eq!(stage.attempts(id).await, [accepted]);
        let taken = [aliyun.lock().unwrap().book.clone(), tencent.lock().unwrap().book.clone()];
        let taken: Vec<_> = taken.iter().flat_map(|book| &book.taken).collect();
        assert_eq!(taken.len(), 1);
        assert!(taken[0].body["params"].to_string().contains("磁盘满了"), "{taken:?}");
        assert!(taken[0].body["phone"].as_str().unwrap().ends_with("13800000000"));
    }
}

#[tokio::test]
async fn a_wrong_secret_is_left_at_once() {
    for (ways, refused) in [
        (
            vec![aliyun("another-secret"), tencent(SECRET)],
            ["aliyun rejected SignatureDoesNotMatch", "tencent accepted Ok"],
        ),
        (
            vec![tencent("another-secret"), aliyun(SECRET)],
            ["tencent rejected AuthFailure.SignatureFailure", "aliyun accepted OK"],
        ),
    ] {
        let stage = Stage::new(ways).await;
        providers(&stage);
        let id = stage.enqueue(Level::Critical, "disk full").await;
        stage.idle().await;
        assert_eq!(stage.attempts(id).await, refused);
    }
}

#[tokio::test]
async fn a_phone_that_was_told_too_often_is_told_by_the_next_channel() {
    let stage = Stage::new(vec![aliyun(SECRET), tencent(SECRET)]).await;
    let (aliyun, tencent) = providers(&stage);
    let first = stage.enqueue(Level::Critical, "disk full").await;
    stage.idle().await;
    assert_eq!(stage.attempts(first).await, ["aliyun accepted OK"]);
    stage.advance(seconds(1)).await;
    let second = stage.enqueue(Level::Critical, "宕机").await;
    stage.idle().await;
    assert_eq!(
        stage.attempts(second).await,
        ["aliyun throttled isv.BUSINESS_LIMIT_CONTROL", "tencent accepted Ok"]
    );
    assert_eq!(tencent.lock().unwrap().book.count("宕机"), 1);
    // Whoever comes next does not wait to be refused too.
    let next = stage.enqueue(Level::Critical, "断网").await;
    stage.idle().await;
    assert_eq!(stage.attempts(next).await, ["tencent accepted Ok"]);
    // Once the minute is over it is the first channel's turn again.
    stage.advance(minutes(1)).await;
    let third = stage.enqueue(Level::Critical, "fan broken").await;
    stage.idle().await;
    assert_eq!(stage.attempts(third).await, ["aliyun accepted OK"]);
    assert_eq!(aliyun.lock().unwrap().book.taken.len(), 2);
}

#[tokio::test]
async fn what_may_have_arrived_goes_to_the_next_channel_and_not_to_the_same_again() {
    for (ways, first) in [
        (vec![aliyun(SECRET), tencent(SECRET)], "aliyun"),
        (vec![tencent(SECRET), aliyun(SECRET)], "tencent"),
    ] {
        let stage = Stage::new(ways).await;
        let (aliyun, tencent) = providers(&stage);
        // It is not the provider that keeps a second one away.
        aliyun.lock().unwrap().per_minute = 9;
        stage.sink.garbles(first, [Reply::Close]);
        let id = stage.enqueue(Level::Critical, "disk full").await;
        stage.idle().await;
        assert_eq!(stage.attempts(id).await[0], format!("{first} unknown"));
        assert!(stage.stands(id).await.starts_with("accepted accepted"));
        stage.advance(minutes(24 * 60)).await;
        let taken =
            (aliyun.lock().unwrap().book.taken.len(), tencent.lock().unwrap().book.taken.len());
        assert_eq!(taken, (1, 1));
        assert_eq!(stage.sink.count(first), 1);
    }
}

#[tokio::test]
async fn a_worker_that_dies_in_the_middle_has_nobody_told_twice_by_the_same_provider() {
    let mut stage = Stage::new(vec![aliyun(SECRET), tencent(SECRET)]).await;
    let (aliyun, tencent) = providers(&stage);
    // It is not the provider that keeps a second one away.
    aliyun.lock().unwrap().per_minute = 9;
    stage.sink.garbles("aliyun", [Reply::Silence]);
    let id = stage.enqueue(Level::Critical, "disk full").await;
    stage.sink.has_received("aliyun", 1).await;
    stage.crash().await;
    stage.advance(minutes(10)).await;
    assert_eq!(stage.stands(id).await, "accepted accepted tencent");
    let taken = (aliyun.lock().unwrap().book.taken.len(), tencent.lock().unwrap().book.taken.len());
    assert_eq!(taken, (1, 1));
}
