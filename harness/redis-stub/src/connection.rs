//! One connection: requests in, answers out, in their order.

use std::io;

use bytes::{Buf as _, BytesMut};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

use super::frame::parse;
use super::reply::Replies;
use super::{Shared, command};

/// Answers are sent when so many bytes wait, and at the end of what was read.
const SEND_AT: usize = 64 * 1024;

/// Serves it until the client closes it. A request that is none is told so and ends it, as Redis does.
pub(super) async fn serve(mut stream: TcpStream, id: u64, shared: &Shared) -> io::Result<()> {
    stream.set_nodelay(true)?;
    let mut received = BytesMut::with_capacity(16 * 1024);
    let mut replies = Replies::default();
    while stream.read_buf(&mut received).await? > 0 {
        // A buffer never holds more than one request that is not whole, and that has a bound.
        loop {
            match parse(&received) {
                Ok(Some(frame)) => {
                    let words: Vec<&[u8]> = frame.words.iter().map(|word| &received[word.clone()]).collect();
                    command::run(shared, id, &words, &mut replies);
                    received.advance(frame.len);
                }
                Ok(None) => break,
                Err(error) => {
                    replies.error(&format!("ERR {error}"));
                    stream.write_all(replies.bytes()).await?;
                    return stream.shutdown().await;
                }
            }
            if replies.bytes().len() >= SEND_AT {
                send(&mut stream, &mut replies).await?;
            }
        }
        send(&mut stream, &mut replies).await?;
    }
    Ok(())
}

async fn send(stream: &mut TcpStream, replies: &mut Replies) -> io::Result<()> {
    stream.write_all(replies.bytes()).await?;
    replies.clear();
    Ok(())
}
