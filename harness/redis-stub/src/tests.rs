//! The server, asked by the client that it is there for, and by others.

use std::sync::Arc;
use std::time::{Duration, Instant};

use payment_delivery::delivery::{Status, StatusEntry};
use payment_delivery::event::OrderId;
use payment_delivery::view::redis::{RedisTimeouts, RedisView};
use payment_delivery::view::{self, StatusView};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

use super::StatusServer;

async fn view(server: &StatusServer, prefix: &str) -> RedisView {
    RedisView::connect(&server.url(), prefix, RedisTimeouts::default()).await.unwrap()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn it_keeps_the_views_contract() {
    let server = StatusServer::start().await.unwrap();
    let shared = view(&server, "one:").await;
    for (_, check) in view::contract::CHECKS {
        check(&shared).await;
    }
    let mut apart: Vec<Arc<dyn StatusView>> = Vec::new();
    for _ in 0..4 {
        apart.push(Arc::new(view(&server, "one:").await));
    }
    view::contract::writes_at_once_never_go_back(&apart).await;
    view::contract::clear_forgets_its_own_prefix(&shared, &view(&server, "two:").await).await;
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn it_keeps_the_contract_of_redis_but_for_logins() {
    // It has none, as its documentation says.
    const LOGINS: &str = "a_missing_right_or_login_is_unusable";
    let server = StatusServer::start().await.unwrap();
    let (left_out, checks): (Vec<_>, Vec<_>) =
        view::redis::contract::CHECKS.iter().partition(|(name, _)| *name == LOGINS);
    assert_eq!(left_out.len(), 1, "the check that is left out has another name now");
    for (_, check) in checks {
        check(&server.url()).await;
    }
    server.stop().await;
}

/// What the server answers to these bytes, read until it closes the connection or `enough` came.
async fn answer(server: &StatusServer, sent: &str, enough: usize) -> String {
    let address = server.url().replace("redis://", "").replace('/', "");
    let mut stream = TcpStream::connect(address).await.unwrap();
    stream.write_all(sent.as_bytes()).await.unwrap();
    let mut answer = Vec::new();
    while answer.len() < enough && stream.read_buf(&mut answer).await.unwrap() > 0 {}
    String::from_utf8(answer).unwrap()
}

#[tokio::test]
async fn what_it_does_not_know_is_said_and_what_is_no_request_ends_the_connection() {
    let server = StatusServer::start().await.unwrap();
    let unknown = "-ERR unknown command 'FLUSHALL'\r\n+PONG\r\n";
    let both = "*1\r\n$8\r\nflushall\r\n*1\r\n$4\r\nping\r\n";
    assert_eq!(answer(&server, both, unknown.len()).await, unknown, "the connection goes on");
    let refused = answer(&server, "GET / HTTP/1.1\r\n\r\n", usize::MAX).await;
    assert!(refused.starts_with("-ERR Protocol error"), "{refused}");
    let script = "*2\r\n$4\r\nEVAL\r\n$8\r\nreturn 1\r\n";
    assert!(answer(&server, script, 4).await.starts_with("-ERR this server knows no script"));
    // The words of a client come back on one line.
    let odd = answer(&server, "*1\r\n$3\r\na\r\n\r\n", 20).await;
    assert_eq!(odd, "-ERR unknown command 'A  '\r\n");
    server.stop().await;
}

#[tokio::test]
async fn stopping_and_dropping_it_close_every_connection() {
    for stop in [true, false] {
        let server = StatusServer::start().await.unwrap();
        let address = server.url().replace("redis://", "").replace('/', "");
        let mut stream = TcpStream::connect(&address).await.unwrap();
        stream.write_all(b"*1\r\n$4\r\nPING\r\n").await.unwrap();
        let mut pong = [0; 7];
        stream.read_exact(&mut pong).await.unwrap();
        if stop {
            server.stop().await;
        } else {
            drop(server);
        }
        let closed = tokio::time::timeout(Duration::from_secs(5), stream.read(&mut pong)).await.unwrap();
        assert!(matches!(closed, Ok(0) | Err(_)), "{closed:?}");
        assert!(TcpStream::connect(&address).await.is_err(), "nobody listens any more");
    }
}

/// Printed, not judged: a busy machine would fail it. Every answer is, though.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn writers_side_by_side_all_get_through() {
    const WRITERS: u32 = 8;
    const EACH: u32 = 1_000;
    let server = StatusServer::start().await.unwrap();
    let begun = Instant::now();
    let mut writers = tokio::task::JoinSet::new();
    for writer in 0..WRITERS {
        let view = view(&server, "p:").await;
        writers.spawn(async move {
            for n in 0..EACH {
                let order_id = OrderId::new(&format!("o-{writer}-{}", n % 100)).unwrap();
                let revision = n / 100 + 1;
                let entry = StatusEntry { order_id, revision, status: Status::at(revision) };
                assert_eq!(view.put_if_newer(&entry).await.unwrap().revision, revision);
            }
        });
    }
    while let Some(ended) = writers.join_next().await {
        ended.unwrap();
    }
    let rate = f64::from(WRITERS * EACH) / begun.elapsed().as_secs_f64();
    println!("{rate:.0} writes/s of {WRITERS} writers, this build");
    server.stop().await;
}
