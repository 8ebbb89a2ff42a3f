//! The service over real TCP, on an embedded broker and SQLite: what it promises, what it refuses, and what bounds it.

#[path = "api/bed.rs"]
mod bed;
#[path = "api/bounds.rs"]
mod bounds;
#[path = "api/refused.rs"]
mod refused;
#[path = "api/serve.rs"]
mod serve;
#[path = "api/trouble.rs"]
mod trouble;

use bed::{Bed, PATIENCE, payment};
use payment_delivery::kafka::Message;
use payment_delivery::kafka::producer::{Producer, ProducerConfig};
use serde_json::{Value, json};
use tokio::task::JoinSet;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_payment_is_accepted_delivered_and_found_in_the_log() {
    let bed = Bed::new().await;
    let answer = bed.post(&payment("order 1/é", 1999), None).await;
    assert_eq!(answer.status, 202, "{answer:?}");
    assert_eq!(answer.header("location"), Some("/deliveries/order%201%2F%C3%A9"));
    assert_eq!((&answer.body["orderId"], &answer.body["revision"]), (&json!("order 1/é"), &json!(1)));
    assert_eq!((&answer.body["topic"], &answer.body["offset"]), (&json!("payments"), &json!(0)));

    // The row is there a moment before the view, and then the store answers.
    let by_view = |answer: &bed::Answer| answer.body["revision"] == 1 && answer.body["answeredBy"] == "view";
    let delivery = bed.until("/deliveries/order%201%2F%C3%A9", by_view).await;
    assert_eq!(delivery["status"], "PREPARING");
    assert_eq!(bed.post(&payment("order 1/é", 5), None).await.body["revision"], 2);
    assert_eq!(bed.delivered("order%201%2F%C3%A9", 2).await["status"], "AMENDED");

    let events = bed.get("/orders/order%201%2F%C3%A9/events").await.body;
    assert_eq!(events["partition"], answer.body["partition"]);
    let told: Vec<_> = events["events"].as_array().unwrap().iter().map(|e| &e["amountMinor"]).collect();
    assert_eq!(told, [&json!(1999), &json!(5)]);
    assert_eq!((&events["next"], &events["endOffset"]), (&Value::Null, &json!(2)));
    let first = json!({"partition": events["partition"], "offset": 0});
    assert_eq!((&events["firstPayment"], &events["from"]), (&first, &json!(0)));
    let second = bed.get("/orders/order%201%2F%C3%A9/events?from=1").await.body;
    assert_eq!(second["events"].as_array().unwrap().len(), 1, "from the second on: {second}");
    let partition = i64::from(events["partition"] == json!(0));
    let elsewhere = bed.get(&format!("/orders/order%201%2F%C3%A9/events?partition={partition}")).await.body;
    assert_eq!(
        (&elsewhere["firstPayment"], &elsewhere["events"]),
        (&first, &json!([])),
        "in another partition"
    );
    let unknown = bed.get("/orders/nobody/events").await.body;
    assert_eq!((&unknown["firstPayment"], &unknown["from"]), (&Value::Null, &json!(0)));

    let pipeline = bed.caught_up().await;
    let owned = |p: &Value| p["owner"].is_string() && p["leader"] == 1;
    assert!(pipeline["partitions"].as_array().unwrap().iter().all(owned), "{pipeline}");
    bed.until("/readyz", |answer| answer.status == 200).await;
    assert_eq!(bed.get("/healthz").await.body, json!({"status": "ok"}));

    let metrics = bed.get("/metrics").await.text;
    for line in [
        r#"payment_delivery_payments_total{outcome="accepted"} 2"#,
        r#"payment_delivery_events_total{outcome="applied"} 2"#,
        r#"payment_delivery_http_request_duration_seconds_count{route="/payments",method="POST",status="202"} 2"#,
        r#"payment_delivery_lag_records{topic="payments",partition="0"} 0"#,
        r#"payment_delivery_build_info{version="1.2.3",commit="c0ffee"} 1"#,
    ] {
        assert!(metrics.lines().any(|found| found == line), "{line} is not in\n{metrics}");
    }
    bed.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_same_key_brings_the_same_answer() {
    let bed = Bed::new().await;
    let mut at_once = JoinSet::new();
    for _ in 0..8 {
        let request = bed.payment_request(&payment("o", 7), Some("key-1"));
        at_once.spawn(async move { request.send().await.unwrap().text().await.unwrap() });
    }
    let answers = at_once.join_all().await;
    assert!(answers.iter().all(|answer| *answer == answers[0]), "{answers:?}");
    let first = bed.post(&payment("o", 7), Some("\"key-1\"")).await;
    assert_eq!((first.status, &first.text), (202, &answers[0]), "in quotation marks it is the same key");

    let other = bed.post(&payment("o", 8), Some("key-1")).await;
    assert_eq!((other.status, &other.body["type"]), (422, &json!("urn:problem:idempotency-key")));
    assert_eq!(bed.post(&payment("o", 7), Some("key-2")).await.body["revision"], 2);
    assert_eq!(bed.get("/orders/o/events").await.body["endOffset"], 2);
    bed.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn payments_of_one_order_at_once_are_numbered_in_the_order_of_the_log() {
    const PAYMENTS: u64 = 40;
    let bed = Bed::new().await;
    let mut at_once = JoinSet::new();
    for amount in 1..=PAYMENTS {
        let request = bed.payment_request(&payment("o", amount), None);
        at_once.spawn(async move { request.send().await.unwrap().json::<Value>().await.unwrap() });
    }
    let mut answers = at_once.join_all().await;
    answers.sort_by_key(|answer| answer["offset"].as_i64());
    let revisions: Vec<_> = answers.iter().map(|answer| answer["revision"].as_u64().unwrap()).collect();
    assert_eq!(revisions, (1..=PAYMENTS).collect::<Vec<_>>(), "as the answers have it");

    // And as the log has it, seven at a time.
    let (mut logged, mut from) = (Vec::new(), String::new());
    loop {
        let page = bed.get(&format!("/orders/o/events?limit=7{from}")).await.body;
        let events = page["events"].as_array().unwrap();
        assert!(events.len() <= 7);
        logged.extend(events.iter().map(|event| event["revision"].as_u64().unwrap()));
        let Some(next) = page["next"].as_i64() else { break };
        from = format!("&from={next}");
    }
    assert_eq!(logged, revisions);
    bed.delivered("o", PAYMENTS).await;
    bed.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_expected_revision_guards_against_a_payment_in_between() {
    let bed = Bed::new().await;
    let expecting = |amount, revision| {
        let mut body = payment("o", amount);
        body["revision"] = revision;
        body
    };
    let first = bed.post(&expecting(1, json!(1)), None).await;
    assert_eq!(first.status, 202);
    assert_eq!(bed.post(&expecting(1, json!(1)), None).await.text, first.text, "the same again");
    let conflict = bed.post(&expecting(2, json!(1)), None).await;
    assert_eq!((conflict.status, &conflict.body["type"]), (409, &json!("urn:problem:revision")));
    assert!(conflict.body["detail"].as_str().unwrap().contains("next revision is 2"));
    assert_eq!(bed.post(&expecting(2, json!(2)), None).await.body["revision"], 2);
    assert_eq!(bed.post(&expecting(3, Value::Null), None).await.body["revision"], 3, "null is left out");
    bed.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_no_payment_is_shown_as_such() {
    let bed = Bed::new().await;
    let answer = bed.post(&payment("o", 1), None).await;
    let config = ProducerConfig::default();
    let producer = Producer::connect(&bed.bootstrap(), bed::TOPIC, bed::PARTITIONS, config).await.unwrap();
    for value in [Some(b"{\"not\": \"a payment\"}".to_vec()), None] {
        let message = Message { key: Some(b"o".to_vec()), value, timestamp_ms: 5, ..Message::default() };
        producer.send(message, ()).await.unwrap();
    }
    producer.close().await.unwrap();
    let events = bed.get("/orders/o/events").await.body;
    let events = events["events"].as_array().unwrap();
    assert_eq!(events[0]["offset"], answer.body["offset"]);
    assert!(events[1]["undecodable"].as_str().unwrap().contains("not a payment event"), "{events:?}");
    assert!(events[2]["undecodable"].as_str().unwrap().contains("no value"), "{events:?}");
    assert_eq!(bed.get("/orders/never-paid/events").await.body["events"], json!([]));
    bed.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_stop_waits_for_what_is_in_hand() {
    let bed = Bed::new().await;
    bed.post(&payment("o", 1), None).await; // connected
    bed.cluster.delay(1, std::time::Duration::from_millis(800));
    let request = bed.payment_request(&payment("o", 2), None);
    let in_hand = tokio::spawn(async move { request.send().await.unwrap().status().as_u16() });
    tokio::time::sleep(std::time::Duration::from_millis(300)).await;
    bed.stop.cancel();
    tokio::time::sleep(std::time::Duration::from_millis(100)).await;
    assert!(tokio::net::TcpStream::connect(bed.address).await.is_err(), "nobody is let in any more");
    assert_eq!(in_hand.await.unwrap(), 202);
    let ended = tokio::time::timeout(PATIENCE, bed.served).await.unwrap().unwrap();
    ended.unwrap();
}
