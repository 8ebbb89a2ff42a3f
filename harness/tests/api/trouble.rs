//! Parts that are away, one after the other.

use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use payment_delivery::api::Limits;
use payment_delivery::event::OrderId;
use payment_delivery::view::StatusView as _;
use serde_json::json;

use crate::bed::{Bed, payment};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_broker_that_is_away_costs_no_payment_and_no_order() {
    let bed = Bed::new().await;
    assert_eq!(bed.post(&payment("o", 1), None).await.body["revision"], 1);
    bed.cluster.delay(1, Duration::from_secs(60));
    let (first, second) = (payment("o", 2), payment("o", 3));
    let unconfirmed = bed.post(&first, Some("second")).await;
    unconfirmed.is_problem(503, "/payments");
    assert_eq!(unconfirmed.body["type"], "urn:problem:unconfirmed", "{unconfirmed:?}");
    assert_eq!(unconfirmed.header("retry-after"), Some("1"));
    let behind = bed.post(&second, None).await;
    behind.is_problem(503, "/payments");
    assert!(behind.text.contains("accepted nothing"), "{behind:?}");

    bed.cluster.delay(1, Duration::ZERO);
    bed.cluster.drop_connections(1);
    // The service sends it by itself; who asks again with the key gets the answer that was missing.
    bed.delivered("o", 2).await;
    let confirmed = bed.post(&first, Some("second")).await;
    assert_eq!((confirmed.status, &confirmed.body["revision"]), (202, &json!(2)), "{confirmed:?}");
    assert_eq!(bed.post(&second, None).await.body["revision"], 3);
    let events = bed.get("/orders/o/events").await.body;
    let mut revisions: Vec<_> = events["events"]
        .as_array()
        .unwrap()
        .iter()
        .map(|event| event["revision"].as_u64().unwrap())
        .collect();
    assert!(revisions.is_sorted(), "a payment may lie there twice, and none before its turn: {revisions:?}");
    revisions.dedup();
    assert_eq!(revisions, [1, 2, 3]);
    assert!(bed.get("/metrics").await.text.contains("payment_delivery_payments_resent_total"));
    bed.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_view_that_is_away_leaves_the_store_to_answer() {
    let bed = Bed::new().await;
    bed.post(&payment("o", 1), None).await;
    bed.delivered("o", 1).await;
    bed.view.away.store(true, Ordering::SeqCst);
    assert_eq!(bed.get("/deliveries/o").await.body["answeredBy"], "store");
    not_ready(&bed, &["view"]).await;
    bed.view.away.store(false, Ordering::SeqCst);

    bed.view.clear().await.unwrap();
    assert_eq!(bed.get("/deliveries/o").await.body["answeredBy"], "store", "it was lost");
    assert_eq!(bed.get("/deliveries/o").await.body["answeredBy"], "view", "and refilled");
    assert_eq!(bed.view.get(&[OrderId::new("o").unwrap()]).await.unwrap()[0].as_ref().unwrap().revision, 1);
    bed.until("/readyz", |answer| answer.status == 200).await;
    bed.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_store_that_is_away_leaves_the_view_to_answer() {
    let bed = Bed::new().await;
    bed.post(&payment("o", 1), None).await;
    bed.delivered("o", 1).await;
    bed.store_away.store(true, Ordering::SeqCst);
    assert_eq!(bed.get("/deliveries/o").await.body["answeredBy"], "view");
    bed.get("/deliveries/unknown").await.is_problem(503, "/deliveries/unknown");
    let refused = bed.post(&payment("o", 2), None).await;
    refused.is_problem(503, "/payments");
    assert!(refused.text.contains("accepted nothing"), "{refused:?}");
    not_ready(&bed, &["store"]).await;
    bed.store_away.store(false, Ordering::SeqCst);
    assert_eq!(bed.post(&payment("o", 2), None).await.body["revision"], 2);
    bed.stop().await;
}

/// Payments that wait for a broker take no read's place, and nobody who only looks waits for it.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn without_a_broker_all_but_payments_are_answered() {
    let bed = Bed::with(Limits { requests: 3, ..Limits::default() }, None).await;
    bed.post(&payment("o", 1), None).await;
    bed.delivered("o", 1).await;
    bed.until("/readyz", |answer| answer.status == 200).await;
    bed.cluster.delay(1, Duration::from_secs(60));
    let in_hand: Vec<_> = (0..3)
        .map(|n| tokio::spawn(bed.payment_request(&payment(&format!("waiting-{n}"), 1), None).send()))
        .collect();
    bed.until("/pipeline", |answer| answer.status == 503).await;
    bed.post(&payment("p", 1), None).await.is_problem(503, "/payments");
    for _ in 0..20 {
        for (path, status) in [
            ("/deliveries/o", 200),
            ("/metrics", 200),
            ("/healthz", 200),
            ("/pipeline", 503),
            ("/readyz", 503),
        ] {
            let begun = Instant::now();
            let answer = bed.get(path).await;
            assert_eq!(answer.status, status, "{path}: {answer:?}");
            assert!(begun.elapsed() < Duration::from_secs(1), "{path} took {:?}", begun.elapsed());
        }
    }
    assert!(bed.get("/metrics").await.text.contains("payment_delivery_up{part=\"broker\"} 0"));
    bed.cluster.delay(1, Duration::ZERO);
    bed.cluster.drop_connections(1);
    for answer in in_hand {
        answer.await.unwrap().unwrap();
    }
    for n in 0..3 {
        bed.delivered(&format!("waiting-{n}"), 1).await;
    }
    bed.until("/pipeline", |answer| answer.status == 200).await;
    bed.stop().await;
}

/// Waited for: while the group rebalances, its consumers are among the parts that are missing.
async fn not_ready(bed: &Bed, parts: &[&str]) {
    bed.until("/readyz", |answer| {
        let named = answer.body["errors"].as_array().into_iter().flatten().map(|error| &error["parameter"]);
        answer.status == 503 && named.eq(parts)
    })
    .await;
    bed.get("/readyz").await.is_problem(503, "/readyz");
    assert_eq!(bed.get("/healthz").await.status, 200, "it lives all the same");
}
