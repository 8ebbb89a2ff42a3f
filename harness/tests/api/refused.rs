//! Bad input: each answered, as a problem that says what is wrong.

use serde_json::json;

use crate::bed::{Answer, Bed, payment};

const TOKEN: &str = "a-token-of-the-tests";

async fn posted(bed: &Bed, kind: &str, body: impl Into<reqwest::Body>) -> Answer {
    Answer::of(bed.request("POST", "/payments").header("content-type", kind).body(body)).await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_body_that_is_no_payment_is_told_why() {
    let bed = Bed::new().await;
    for broken in ["", "{", "{\"orderId\":", "[]", "7", "\"text\"", "null", "\u{0}"] {
        let answer = posted(&bed, "application/json", broken).await;
        answer.is_problem(400, "/payments");
        assert_eq!(answer.body["type"], "urn:problem:no-json", "{broken}");
    }
    posted(&bed, "application/json", vec![0xff, 0xfe]).await.is_problem(400, "/payments");
    for kind in ["text/plain", "application/x-www-form-urlencoded", "application/jsonp"] {
        posted(&bed, kind, payment("o", 1).to_string()).await.is_problem(415, "/payments");
    }
    // Nested deeper than the parser goes.
    posted(&bed, "application/json", "[".repeat(60_000)).await.is_problem(400, "/payments");

    for (field, value, words) in [
        ("currency", json!("DEM"), "unknown currency"),
        ("currency", json!(978), "must be a string"),
        ("amountMinor", json!(0), "between 1 and"),
        ("amountMinor", json!(1e300), "whole number"),
        ("amountMinor", json!("5"), "whole number"),
        ("orderId", json!("a\u{7}b"), "no control characters"),
        ("orderId", json!("x".repeat(65)), "64 bytes"),
        ("address", json!("\u{0}"), "control characters"),
        ("address", json!("x".repeat(501)), "500 characters"),
        ("paidAtMs", json!(1), "between"),
        ("revision", json!(-1), "between"),
        ("colour", json!("red"), "not a field"),
    ] {
        let mut body = payment("o", 1);
        body[field] = value;
        let answer = bed.post(&body, None).await;
        answer.is_problem(422, "/payments");
        let error = &answer.body["errors"][0];
        assert_eq!(error["pointer"], format!("#/{field}"), "{answer:?}");
        assert!(error["detail"].as_str().unwrap().contains(words), "{answer:?}");
    }
    for key in ["", "a b", "\"", "é"] {
        let key = reqwest::header::HeaderValue::from_bytes(key.as_bytes()).unwrap();
        let request = bed.payment_request(&payment("o", 1), None).header("Idempotency-Key", key);
        let answer = Answer::of(request).await;
        answer.is_problem(422, "/payments");
        assert_eq!(answer.body["errors"][0]["parameter"], "Idempotency-Key");
    }
    assert_eq!(bed.post(&payment("o", 1), None).await.body["revision"], 1, "none of these left a trace");
    bed.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_path_or_query_that_is_none_is_told_why() {
    let bed = Bed::new().await;
    for path in ["/deliveries/a%07b", "/deliveries/a%00", "/orders/%1b%5b2J/events", "/deliveries/%ff"] {
        let answer = bed.get(path).await;
        answer.is_problem(422, path);
        assert_eq!(answer.body["errors"][0]["parameter"], "orderId");
    }
    let long = format!("/deliveries/{}", "x".repeat(65));
    bed.get(&long).await.is_problem(422, &long);
    for query in [
        "limit=0",
        "limit=1001",
        "limit=x",
        "from=-1",
        "from=9999999999999999999",
        "partition=-1",
        "partition=4096",
        "colour=red",
    ] {
        bed.get(&format!("/orders/o/events?{query}")).await.is_problem(422, "/orders/o/events");
    }
    let beyond = bed.get("/orders/o/events?from=9223372036854775807").await;
    assert_eq!((beyond.status, &beyond.body["next"]), (200, &json!(null)));
    bed.get("/deliveries/unknown").await.is_problem(404, "/deliveries/unknown");
    for path in ["/", "/nothing", "/payments/1", "/deliveries/", "/orders/o"] {
        bed.get(path).await.is_problem(404, path);
    }
    bed.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn another_method_is_told_which_there_are() {
    let bed = Bed::new().await;
    for (method, path, allow) in
        [("GET", "/payments", "POST"), ("DELETE", "/pipeline", "GET,HEAD"), ("BREW", "/healthz", "GET,HEAD")]
    {
        let answer = Answer::of(bed.request(method, path)).await;
        answer.is_problem(405, path);
        assert_eq!(answer.header("allow"), Some(allow));
    }
    let options = Answer::of(bed.request("OPTIONS", "/pipeline")).await;
    assert_eq!((options.status, options.header("allow")), (204, Some("GET,HEAD")));
    let head = Answer::of(bed.request("HEAD", "/healthz")).await;
    assert_eq!((head.status, head.text.as_str(), head.header("content-length")), (200, "", Some("15")));
    bed.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_token_is_asked_for_where_there_is_one() {
    let bed = Bed::with(Default::default(), Some(TOKEN)).await;
    assert_eq!(bed.post(&payment("o", 1), None).await.status, 202);
    let client = reqwest::Client::builder().no_proxy().build().unwrap();
    let bare = |path: &str| client.get(format!("http://{}{path}", bed.address));
    for path in ["/payments", "/deliveries/o", "/orders/o/events", "/pipeline", "/metrics", "/nothing"] {
        for wrong in [None, Some("another-token-of-mine"), Some("a-token-of-the-test")] {
            let request = wrong.map_or(bare(path), |wrong| bare(path).bearer_auth(wrong));
            let answer = Answer::of(request).await;
            answer.is_problem(401, path);
            assert_eq!(answer.header("www-authenticate"), Some("Bearer"));
            assert!(!format!("{answer:?}").contains(TOKEN));
        }
    }
    bed.caught_up().await;
    for path in ["/healthz", "/readyz", "/openapi.json"] {
        assert_eq!(Answer::of(bare(path)).await.status, 200, "{path}");
    }
    let everything = [bed.get("/metrics").await, bed.get("/pipeline").await, bed.get("/openapi.json").await];
    assert!(everything.iter().all(|answer| answer.status == 200 && !format!("{answer:?}").contains(TOKEN)));
    bed.stop().await;
}
