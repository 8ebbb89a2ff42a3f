//! One rskafka connection to the leader of one partition, used for one call at a time.
//!
//! rskafka retries inside itself, invisibly and for ever by default, and has no request time-outs. Here every call is a
//! single attempt: its back-off has a deadline of zero, and the caller wraps the call in a time-out. A [`Link`] lends
//! its connection out by value; only a call that succeeded gives it back. So a call that failed or was cancelled leaves
//! no connection behind, its socket is closed, and the next call looks the leader up afresh.
//!
//! What a closed socket can't undo: bytes that the kernel took before still reach a broker that was frozen, and rskafka
//! finishes a half-written request in a task of its own. The producer's documentation says why that is harmless.

use std::time::Duration;

use chrono::DateTime;
use rskafka::BackoffConfig;
use rskafka::client::error::Error;
use rskafka::client::partition::{PartitionClient, UnknownTopicHandling};
use rskafka::client::{Client, ClientBuilder};
use rskafka::record::{Record, RecordAndOffset};

use super::hedge::hedged;
use super::{Fetched, Message, Origin};

/// As the brokers' logs and quotas see us.
const CLIENT_ID: &str = "payment-delivery";

/// Connects to the cluster, one attempt.
pub(super) async fn client(bootstrap: &[String]) -> Result<Client, Error> {
    let once = BackoffConfig {
        init_backoff: Duration::from_millis(1),
        max_backoff: Duration::from_millis(2),
        base: 2.0,
        deadline: Some(Duration::ZERO),
    };
    ClientBuilder::new(bootstrap.to_vec()).client_id(CLIENT_ID).backoff_config(once).build().await
}

/// The innermost rskafka error: a deadline of zero wraps every retriable one as "all retries failed".
pub(super) fn root_cause(error: &Error) -> &Error {
    let mut error = error;
    while let Error::RetryFailed(rskafka::BackoffError::DeadlineExceded { source, .. }) = error {
        match source.downcast_ref::<Error>() {
            Some(inner) => error = inner,
            None => break,
        }
    }
    error
}

/// A connection to a partition's leader, made when it is needed.
pub(super) struct Link {
    bootstrap: Vec<String>,
    topic: String,
    partition: i32,
    client: Option<PartitionClient>,
}

impl Link {
    /// Names the partition; nothing is connected yet.
    pub(super) fn new(bootstrap: &[String], topic: &str, partition: i32) -> Self {
        Self { bootstrap: bootstrap.to_vec(), topic: topic.to_owned(), partition, client: None }
    }

    /// Takes the connection out, making it if there is none. Dropping what it returns closes the socket.
    pub(super) async fn take(&mut self) -> Result<PartitionClient, Error> {
        match self.client.take() {
            Some(client) => Ok(client),
            None => hedged(|| self.leader()).await,
        }
    }

    /// Looks the leader up and connects to it.
    async fn leader(&self) -> Result<PartitionClient, Error> {
        let cluster = client(&self.bootstrap).await?;
        cluster.partition_client(self.topic.clone(), self.partition, UnknownTopicHandling::Error).await
    }

    /// Gives the connection back after a call that succeeded.
    pub(super) fn keep(&mut self, client: PartitionClient) {
        self.client = Some(client);
    }
}

/// A message as rskafka writes it; `None` if its timestamp is no date, or if it would lose a header.
pub(super) fn to_record(message: &Message) -> Option<Record> {
    Some(Record {
        key: message.key.clone(),
        value: message.value.clone(),
        headers: message.headers.to_map()?,
        timestamp: DateTime::from_timestamp_millis(message.timestamp_ms)?,
    })
}

/// A message as rskafka read it.
pub(super) fn to_fetched(partition: i32, RecordAndOffset { record, offset }: RecordAndOffset) -> Fetched {
    Fetched {
        origin: Origin { partition, offset },
        message: Message {
            key: record.key,
            value: record.value,
            headers: record.headers.into(),
            timestamp_ms: record.timestamp.timestamp_millis(),
        },
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;
    use tokio::io::AsyncReadExt;
    use tokio::net::TcpListener;
    use tokio::time::timeout;

    #[tokio::test]
    async fn a_cancelled_call_closes_its_socket() {
        let silent = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let mut link = Link::new(&[silent.local_addr().unwrap().to_string()], "t", 0);
        let call = timeout(Duration::from_millis(200), link.take());
        let (answer, accepted) = tokio::join!(call, silent.accept());
        assert!(answer.is_err(), "a broker that says nothing answers nothing");
        let mut read = Vec::new();
        let closed = timeout(Duration::from_secs(5), accepted.unwrap().0.read_to_end(&mut read)).await;
        assert!(closed.unwrap().unwrap() > 0, "the request, then the end of the stream");
    }

    #[tokio::test]
    async fn a_bad_address_fails_at_once() {
        for address in ["nonsense", "127.0.0.1:notaport", "127.0.0.1:1"] {
            let answer = timeout(Duration::from_secs(5), client(&[address.to_owned()])).await;
            assert!(answer.expect("it must not hang").is_err(), "{address}");
        }
    }

    #[test]
    fn a_message_survives_the_trip() {
        let message = Message {
            key: Some(b"order-1".to_vec()),
            value: None,
            headers: BTreeMap::from([("due".to_owned(), vec![1, 2])]).into(),
            timestamp_ms: 1_760_000_000_123,
        };
        let record = to_record(&message).unwrap();
        let fetched = to_fetched(2, RecordAndOffset { record, offset: 7 });
        assert_eq!(fetched, Fetched { origin: Origin { partition: 2, offset: 7 }, message: message.clone() });
        assert_eq!(to_record(&Message { timestamp_ms: i64::MAX, ..message }), None);
    }
}
