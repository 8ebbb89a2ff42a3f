//! Questions that show a part to be usable: one attempt each, bounded, the refusal in words.

use std::collections::BTreeMap;
use std::time::Duration;

use bytes::{Buf, BufMut, BytesMut};
use kafka_protocol::messages::{ApiKey, MetadataRequest, MetadataResponse, RequestHeader, ResponseHeader};
use kafka_protocol::protocol::{Decodable, Encodable, HeaderVersion, StrBytes};
use sqlx::{Connection, Row};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use super::PartFacts;

/// One attempt. A part that is there answers in milliseconds; one that is starting refuses, or holds its tongue.
const ATTEMPT: Duration = Duration::from_secs(2);

/// Metadata as Kafka 3.0 and later all speak it.
const METADATA_VERSION: i16 = 12;

/// Longest answer that is read, in bytes.
const FRAME_MAX_BYTES: usize = 16 << 20;

/// PostgreSQL's settings that decide what a commit costs.
const POSTGRES_SETTINGS: [&str; 6] = [
    "fsync",
    "synchronous_commit",
    "full_page_writes",
    "shared_buffers",
    "max_connections",
    "wal_sync_method",
];

/// Whether every one of `bootstrap` knows that many brokers.
///
/// A broker appears in metadata once the elected controller has registered it and found it caught up, so all
/// of them being there says that the cluster has a controller too. Each node is asked, since one that has not
/// heard yet would deny the topic that its neighbour just made.
pub(super) async fn kafka_cluster(bootstrap: &[String]) -> Result<(), String> {
    for address in bootstrap {
        let known = kafka(address).await?;
        if known < bootstrap.len() {
            return Err(format!("{address} knows {known} of {} brokers", bootstrap.len()));
        }
    }
    Ok(())
}

/// How many brokers the one at `address` knows.
pub(super) async fn kafka(address: &str) -> Result<usize, String> {
    bounded(async {
        let mut stream = TcpStream::connect(address).await.map_err(|e| format!("{address}: {e}"))?;
        let response = metadata(&mut stream).await.map_err(|e| format!("{address}: {e}"))?;
        Ok(response.brokers.len())
    })
    .await
}

/// Asks for brokers, and for no topic.
async fn metadata(stream: &mut TcpStream) -> Result<MetadataResponse, String> {
    let unreadable = |e| format!("not an answer of a Kafka broker: {e:#}");
    let mut frame = BytesMut::new();
    frame.put_i32(0);
    RequestHeader::default()
        .with_request_api_key(ApiKey::Metadata as i16)
        .with_request_api_version(METADATA_VERSION)
        .with_client_id(Some(StrBytes::from_static_str("lanebench")))
        .encode(&mut frame, MetadataRequest::header_version(METADATA_VERSION))
        .and_then(|()| {
            let request = MetadataRequest::default().with_topics(Some(Vec::new()));
            request.encode(&mut frame, METADATA_VERSION)
        })
        .map_err(|e| format!("the request can't be encoded: {e:#}"))?;
    let length = u32::try_from(frame.len() - 4).map_err(|e| e.to_string())?;
    frame[..4].copy_from_slice(&length.to_be_bytes());
    stream.write_all(&frame).await.map_err(|e| e.to_string())?;

    let length = stream.read_i32().await.map_err(|e| e.to_string())?;
    let length = usize::try_from(length)
        .ok()
        .filter(|length| *length <= FRAME_MAX_BYTES)
        .ok_or_else(|| format!("not an answer of a Kafka broker: a length of {length} bytes"))?;
    let mut body = vec![0; length];
    stream.read_exact(&mut body).await.map_err(|e| e.to_string())?;
    let mut body = bytes::Bytes::from(body);
    ResponseHeader::decode(&mut body, MetadataResponse::header_version(METADATA_VERSION))
        .map_err(unreadable)?;
    let response = MetadataResponse::decode(&mut body, METADATA_VERSION).map_err(unreadable)?;
    if body.has_remaining() { Err("an answer with bytes too many".to_owned()) } else { Ok(response) }
}

/// Whether the server at `url` runs a query; its version and settings if so.
pub(super) async fn postgres(url: &str) -> Result<PartFacts, String> {
    bounded(async {
        let said = |e: sqlx::Error| e.to_string();
        let mut connection = sqlx::PgConnection::connect(url).await.map_err(said)?;
        let version: String =
            sqlx::query_scalar("show server_version").fetch_one(&mut connection).await.map_err(said)?;
        let rows = sqlx::query("select name, current_setting(name) from pg_settings where name = any($1)")
            .bind(&POSTGRES_SETTINGS[..])
            .fetch_all(&mut connection)
            .await
            .map_err(said)?;
        let mut settings = BTreeMap::new();
        for row in rows {
            settings.insert(row.try_get(0).map_err(said)?, row.try_get(1).map_err(said)?);
        }
        // Debian appends its own version in brackets.
        let version = version.split_whitespace().next().map(str::to_owned);
        connection.close().await.map_err(said)?;
        Ok(PartFacts { name: "postgresql", version, settings })
    })
    .await
}

/// Whether the server at `url` answers PING; its version and settings if so.
pub(super) async fn redis(url: &str) -> Result<PartFacts, String> {
    bounded(async {
        let said = |e: redis::RedisError| e.to_string();
        let client = redis::Client::open(url).map_err(said)?;
        let mut connection = client.get_multiplexed_async_connection().await.map_err(said)?;
        let pong: String = redis::cmd("PING").query_async(&mut connection).await.map_err(said)?;
        if pong != "PONG" {
            return Err(format!("PING was answered by {pong:?}"));
        }
        let info: String = redis::cmd("INFO").query_async(&mut connection).await.map_err(said)?;
        let line = |name: &str| {
            info.lines()
                .find_map(|line| line.strip_prefix(name)?.strip_prefix(':').map(|v| v.trim().to_owned()))
        };
        let mut settings = BTreeMap::new();
        for name in ["aof_enabled", "maxmemory_policy"] {
            settings.extend(line(name).map(|value| (name.to_owned(), value)));
        }
        Ok(PartFacts { name: "redis", version: line("redis_version"), settings })
    })
    .await
}

async fn bounded<T>(question: impl Future<Output = Result<T, String>>) -> Result<T, String> {
    match tokio::time::timeout(ATTEMPT, question).await {
        Ok(answer) => answer,
        Err(_) => Err(format!("no answer within {} s", ATTEMPT.as_secs())),
    }
}

#[cfg(test)]
mod tests {
    use tokio::net::TcpListener;

    use super::*;

    /// A server that answers whatever comes with `bytes` and closes.
    async fn stranger(bytes: &'static [u8]) -> String {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap().to_string();
        tokio::spawn(async move {
            while let Ok((mut stream, _)) = listener.accept().await {
                let mut some = [0; 64];
                let _ = stream.read(&mut some).await;
                let _ = stream.write_all(bytes).await;
            }
        });
        address
    }

    #[tokio::test]
    async fn a_stranger_is_not_taken_for_a_broker() {
        let address = stranger(b"HTTP/1.1 400 Bad Request\r\n\r\n").await;
        let refusal = kafka(&address).await.unwrap_err();
        assert!(refusal.contains("not an answer of a Kafka broker"), "{refusal}");
        let address = stranger(&[0, 0, 0, 6, 0, 0, 0, 0, 0, 1]).await;
        let refusal = kafka(&address).await.unwrap_err();
        assert!(refusal.contains("not an answer of a Kafka broker"), "{refusal}");
    }

    #[tokio::test]
    async fn a_stranger_is_not_taken_for_redis() {
        let address = stranger(b"+HELLO\r\n").await;
        redis(&format!("redis://{address}")).await.unwrap_err();
    }

    #[tokio::test]
    async fn nobody_there_is_said_with_the_address() {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap().to_string();
        drop(listener);
        assert!(kafka(&address).await.unwrap_err().starts_with(&address));
        let refusal = postgres(&format!("postgres://app:secret@{address}/pay")).await.unwrap_err();
        assert!(!refusal.contains("secret"), "{refusal}");
    }
}
