//! Clients that are slow, many, or want too much: each is bounded, and answered where an answer can still be read.

use std::time::Duration;

use payment_delivery::api::Limits;
use serde_json::json;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::time::{Instant, sleep, timeout};

use crate::bed::{Answer, Bed, PATIENCE, payment};

/// A connection on which requests are written by hand.
async fn connected(bed: &Bed) -> TcpStream {
    TcpStream::connect(bed.address).await.unwrap()
}

/// What comes until the other side closes.
async fn rest(mut stream: TcpStream) -> String {
    let mut text = Vec::new();
    // A reset after the answer is an end, too.
    let _ = timeout(PATIENCE, stream.read_to_end(&mut text)).await.expect("it is closed");
    String::from_utf8_lossy(&text).into_owned()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_body_or_headers_that_are_too_large_are_refused() {
    let bed = Bed::new().await;
    let mut body = payment("o", 1);
    body["address"] = json!("x".repeat(70_000));
    let answer = bed.post(&body, None).await;
    answer.is_problem(413, "/payments");
    assert!(answer.text.contains("65536 bytes"), "{answer:?}");

    // Without a length that would give it away.
    let mut stream = connected(&bed).await;
    let head = "POST /payments HTTP/1.1\r\nhost: x\r\ncontent-type: application/json\r\ntransfer-encoding: chunked\r\n\r\n";
    stream.write_all(head.as_bytes()).await.unwrap();
    let chunk = format!("1000\r\n{}\r\n", " ".repeat(4096));
    for _ in 0..20 {
        if stream.write_all(chunk.as_bytes()).await.is_err() {
            break; // it has heard enough
        }
    }
    assert!(rest(stream).await.starts_with("HTTP/1.1 413"));

    let mut stream = connected(&bed).await;
    let header = format!("GET /healthz HTTP/1.1\r\nhost: x\r\nx: {}\r\n\r\n", "y".repeat(20_000));
    stream.write_all(header.as_bytes()).await.unwrap();
    assert!(rest(stream).await.starts_with("HTTP/1.1 431"));
    bed.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_client_that_trickles_is_cut_off() {
    let limits = Limits {
        header_timeout: Duration::from_secs(1),
        body_timeout: Duration::from_secs(1),
        ..Limits::default()
    };
    let bed = Bed::with(limits, None).await;
    // Headers, a byte at a time.
    let begun = Instant::now();
    let mut stream = connected(&bed).await;
    for byte in b"GET /healthz HTTP/1.1\r\nhost: x\r\nx-long: ".iter().chain([b'y'; 200].iter()) {
        if stream.write_all(&[*byte]).await.is_err() {
            break;
        }
        sleep(Duration::from_millis(50)).await;
    }
    assert!(begun.elapsed() < Duration::from_secs(5), "it was let to go on for {:?}", begun.elapsed());

    // A body that never ends.
    let mut stream = connected(&bed).await;
    let head = "POST /payments HTTP/1.1\r\nhost: x\r\ncontent-type: application/json\r\ncontent-length: 100\r\n\r\n{";
    stream.write_all(head.as_bytes()).await.unwrap();
    let begun = Instant::now();
    let answer = rest(stream).await;
    assert!(answer.starts_with("HTTP/1.1 408"), "{answer}");
    assert!(answer.contains("application/problem+json") && answer.contains("connection: close"), "{answer}");
    assert!(begun.elapsed() < Duration::from_secs(3), "after {:?}", begun.elapsed());

    // A connection on which nothing is said.
    assert_eq!(rest(connected(&bed).await).await, "");
    assert_eq!(bed.get("/healthz").await.status, 200);
    bed.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn one_connection_too_many_is_told_so() {
    let bed = Bed::with(Limits { connections: 3, ..Limits::default() }, None).await;
    let mut idle = Vec::new();
    for _ in 0..3 {
        let mut stream = connected(&bed).await;
        stream.write_all(b"GET /healthz HTTP/1.1\r\nhost: x\r\n\r\n").await.unwrap();
        let mut head = [0; 15];
        stream.read_exact(&mut head).await.unwrap();
        assert_eq!(&head, b"HTTP/1.1 200 OK");
        idle.push(stream);
    }
    let mut stream = connected(&bed).await;
    stream.write_all(b"GET /healthz HTTP/1.1\r\nhost: x\r\n\r\n").await.unwrap();
    let answer = rest(stream).await;
    assert!(answer.starts_with("HTTP/1.1 503") && answer.contains("too many connections"), "{answer}");
    drop(idle);
    // By hand: until the three are gone this one may be told before it has asked, which a proper client takes for an error.
    let begun = Instant::now();
    loop {
        let mut stream = connected(&bed).await;
        let asked = stream.write_all(b"GET /healthz HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n").await;
        let answer = rest(stream).await;
        if asked.is_ok() && answer.starts_with("HTTP/1.1 200") {
            break;
        }
        assert!(begun.elapsed() < PATIENCE, "there should be room again: {answer}");
        sleep(Duration::from_millis(20)).await;
    }
    bed.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn one_request_too_many_is_told_so() {
    let bed = Bed::with(Limits { requests: 1, ..Limits::default() }, None).await;
    assert_eq!(bed.post(&payment("o", 1), None).await.status, 202);
    bed.cluster.delay(1, Duration::from_millis(700));
    let request = bed.payment_request(&payment("o", 2), None);
    let in_hand = tokio::spawn(async move { request.send().await.unwrap().status().as_u16() });
    sleep(Duration::from_millis(200)).await;
    let refused = bed.post(&payment("p", 1), None).await;
    refused.is_problem(503, "/payments");
    assert!(refused.text.contains("1 payments are in hand already"), "{refused:?}");
    assert_eq!(refused.header("retry-after"), Some("1"));
    assert_ne!(bed.get("/deliveries/o").await.status, 503, "reads have places of their own");
    for path in ["/healthz", "/metrics"] {
        assert_eq!(bed.get(path).await.status, 200, "{path} is always told");
    }
    assert_eq!(in_hand.await.unwrap(), 202);
    bed.cluster.delay(1, Duration::ZERO);
    bed.until("/deliveries/o", |answer| answer.status == 200).await;
    bed.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_request_is_answered_in_its_time_and_what_it_began_goes_on() {
    let limits = Limits { request_timeout: Duration::from_millis(300), ..Limits::default() };
    let bed = Bed::with(limits, None).await;
    assert_eq!(bed.until("/deliveries/x", |answer| answer.status == 404).await["status"], 404);
    bed.cluster.delay(1, Duration::from_millis(600));
    let begun = Instant::now();
    let answer = Answer::of(bed.payment_request(&payment("o", 1), Some("k"))).await;
    answer.is_problem(503, "/payments");
    assert_eq!(answer.body["type"], "urn:problem:unconfirmed");
    assert!(begun.elapsed() < Duration::from_secs(2), "{:?}", begun.elapsed());
    bed.cluster.delay(1, Duration::ZERO);
    bed.delivered("o", 1).await;
    assert_eq!(bed.post(&payment("o", 1), Some("k")).await.body["revision"], 1);
    bed.stop().await;
}
