//! What passes, and what does not.

use std::net::Ipv4Addr;
use std::sync::atomic::{AtomicU16, Ordering};

use tokio::io::{AsyncBufReadExt as _, BufReader};

use super::*;

/// Of those that the system gives to nobody by itself, so that one which is free again stays so.
fn any_port() -> std::net::TcpListener {
    static NEXT: AtomicU16 = AtomicU16::new(0);
    let first = 12_000 + (std::process::id() % 4_000) as u16;
    loop {
        let port = first + NEXT.fetch_add(1, Ordering::Relaxed);
        if let Ok(listener) = std::net::TcpListener::bind((Ipv4Addr::LOCALHOST, port)) {
            return listener;
        }
    }
}

/// A server that gives every line back, and the proxy in front of it.
fn echo() -> Proxy {
    let listener = any_port();
    let to = listener.local_addr().unwrap();
    listener.set_nonblocking(true).unwrap();
    let listener = TcpListener::from_std(listener).unwrap();
    tokio::spawn(async move {
        while let Ok((mut stream, _)) = listener.accept().await {
            tokio::spawn(async move {
                let (mut from, mut to) = stream.split();
                let _ended = tokio::io::copy(&mut from, &mut to).await;
            });
        }
    });
    Proxy::start(any_port(), to).unwrap()
}

async fn client(proxy: &Proxy) -> io::Result<BufReader<TcpStream>> {
    TcpStream::connect(proxy.address()).await.map(BufReader::new)
}

/// Sends a line and reads what comes back.
async fn asked(client: &mut BufReader<TcpStream>, line: &str) -> io::Result<String> {
    client.write_all(line.as_bytes()).await?;
    let mut answer = String::new();
    if client.read_line(&mut answer).await? == 0 {
        return Err(io::ErrorKind::UnexpectedEof.into());
    }
    Ok(answer)
}

#[track_caller]
fn check_reset(answer: io::Result<String>) {
    assert_eq!(answer.unwrap_err().kind(), io::ErrorKind::ConnectionReset);
}

#[tokio::test]
async fn what_is_sent_passes_whole_and_in_order_until_both_sides_have_closed() {
    let proxy = echo();
    let mut client = client(&proxy).await.unwrap();
    let sent: Vec<u8> = (0..1_000_000_u32).flat_map(u32::to_le_bytes).collect();
    let (mut from, mut to) = client.get_mut().split();
    let mut back = Vec::new();
    let send = async {
        to.write_all(&sent).await.unwrap();
        to.shutdown().await.unwrap();
    };
    let ((), read) = tokio::join!(send, from.read_to_end(&mut back));
    read.unwrap();
    assert!(back == sent);
}

#[tokio::test]
async fn a_cut_resets_what_is_open_and_takes_what_comes_next() {
    let proxy = echo();
    let (mut one, mut other) = (client(&proxy).await.unwrap(), client(&proxy).await.unwrap());
    assert_eq!(asked(&mut one, "one\n").await.unwrap(), "one\n");
    assert_eq!(asked(&mut other, "other\n").await.unwrap(), "other\n");
    proxy.cut();
    let mut told = String::new();
    assert_eq!(one.read_line(&mut told).await.unwrap_err().kind(), io::ErrorKind::ConnectionReset);
    assert_eq!(other.read_line(&mut told).await.unwrap_err().kind(), io::ErrorKind::ConnectionReset);
    let mut next = client(&proxy).await.unwrap();
    assert_eq!(asked(&mut next, "next\n").await.unwrap(), "next\n");
}

#[tokio::test]
async fn what_is_refused_is_refused_until_it_is_accepted_again() {
    let proxy = echo();
    let mut before = client(&proxy).await.unwrap();
    assert_eq!(asked(&mut before, "before\n").await.unwrap(), "before\n");
    for _ in 0..2 {
        proxy.refuse().await;
        assert_eq!(client(&proxy).await.unwrap_err().kind(), io::ErrorKind::ConnectionRefused);
    }
    let mut told = String::new();
    assert_eq!(before.read_line(&mut told).await.unwrap_err().kind(), io::ErrorKind::ConnectionReset);
    for _ in 0..2 {
        proxy.accept().await.unwrap();
        let mut after = client(&proxy).await.unwrap();
        assert_eq!(asked(&mut after, "after\n").await.unwrap(), "after\n");
    }
}

#[tokio::test(start_paused = true)]
async fn what_is_slowed_comes_later_each_way_and_at_once_when_that_ends() {
    let proxy = echo();
    let mut client = client(&proxy).await.unwrap();
    assert_eq!(asked(&mut client, "soon\n").await.unwrap(), "soon\n");
    proxy.slow(Duration::from_secs(3));
    let begun = Instant::now();
    assert_eq!(asked(&mut client, "late\n").await.unwrap(), "late\n");
    let took = begun.elapsed();
    assert!((6.0..6.5).contains(&took.as_secs_f64()), "{took:?}");
    proxy.slow(Duration::from_secs(3_600));
    let begun = Instant::now();
    let answer = asked(&mut client, "held\n");
    let ended = async {
        tokio::time::sleep(Duration::from_secs(5)).await;
        proxy.slow(Duration::ZERO);
    };
    let (answer, ()) = tokio::join!(answer, ended);
    assert_eq!(answer.unwrap(), "held\n");
    let took = begun.elapsed();
    assert!((5.0..5.5).contains(&took.as_secs_f64()), "{took:?}");
}

#[tokio::test]
async fn a_client_of_a_server_that_is_gone_is_reset() {
    let gone = any_port();
    let to = gone.local_addr().unwrap();
    drop(gone);
    let proxy = Proxy::start(any_port(), to).unwrap();
    let mut client = client(&proxy).await.unwrap();
    check_reset(asked(&mut client, "anybody?\n").await);
}

#[tokio::test]
async fn dropped_it_leaves_nothing_open() {
    let proxy = echo();
    let address = proxy.address();
    let mut client = client(&proxy).await.unwrap();
    assert_eq!(asked(&mut client, "here\n").await.unwrap(), "here\n");
    drop(proxy);
    let mut told = String::new();
    assert_eq!(client.read_line(&mut told).await.unwrap_err().kind(), io::ErrorKind::ConnectionReset);
    // Its task ends soon.
    for _ in 0..500 {
        match TcpStream::connect(address).await {
            Err(error) => return assert_eq!(error.kind(), io::ErrorKind::ConnectionRefused),
            Ok(_) => tokio::time::sleep(Duration::from_millis(10)).await,
        }
    }
    panic!("its port is still open");
}
