//! A connection to the leader of one partition, and why a request to it brought nothing.

use std::num::NonZeroU32;
use std::time::Duration;

use kafka_protocol::error::ResponseError;
use kafka_protocol::protocol::Request;
use tokio::time::Instant;

use super::batch::BatchError;
use crate::kafka::conn::cluster::Cluster;
use crate::kafka::conn::code::KafkaCode;
use crate::kafka::conn::{ConnError, Connection};
use crate::kafka::hedge::hedged;

const CLIENT_ID: &str = "payment-delivery";

/// A broker may be set to take batches of any size; this is what a response may have here.
const FRAME_MAX_BYTES: usize = 256 << 20;

/// Why a request to a partition's leader brought nothing.
#[derive(Debug, thiserror::Error)]
pub(crate) enum RawError {
    /// It may work the next time.
    #[error("{0}")]
    Passing(String),
    /// The offset is not in the log.
    #[error("the offset is out of range")]
    OutOfRange,
    /// There is no such topic or partition, or the broker has not heard of it yet.
    #[error("{0}")]
    NoSuchPartition(KafkaCode),
    /// A batch that nobody can read.
    #[error(transparent)]
    Unreadable(#[from] BatchError),
    /// The broker finds the batch damaged where it lies.
    #[error("the broker finds the record batch damaged ({0})")]
    Corrupt(KafkaCode),
    /// The record is larger than the topic allows.
    #[error("the record is larger than the topic allows ({0})")]
    TooLarge(KafkaCode),
    /// The topic allows no such timestamp.
    #[error("the topic refuses the record's timestamp ({0})")]
    Timestamp(KafkaCode),
    /// The broker refuses, and would again.
    #[error("{0}")]
    Refused(KafkaCode),
}

impl From<ConnError> for RawError {
    fn from(error: ConnError) -> Self {
        Self::Passing(error.to_string())
    }
}

impl From<KafkaCode> for RawError {
    fn from(code: KafkaCode) -> Self {
        use ResponseError as E;
        match code.kind() {
            E::OffsetOutOfRange => Self::OutOfRange,
            E::MessageTooLarge | E::RecordListTooLarge => Self::TooLarge(code),
            E::InvalidTimestamp => Self::Timestamp(code),
            E::UnknownTopicOrPartition => Self::NoSuchPartition(code),
            // A broker that does not know what is wrong with it; Kafka's own clients try again.
            E::UnknownServerError => Self::Passing(code.to_string()),
            _ if code.is_retriable() => Self::Passing(code.to_string()),
            _ => Self::Refused(code),
        }
    }
}

/// How many partitions `topic` has.
pub(crate) async fn partition_count(
    bootstrap: &[String],
    topic: &str,
    limit: Duration,
) -> Result<NonZeroU32, RawError> {
    let cluster = Cluster::new(bootstrap.to_vec(), CLIENT_ID.to_owned());
    let metadata = cluster.metadata(&[topic.to_owned()], limit).await?;
    let found =
        metadata.topics.first().ok_or_else(|| RawError::Passing("the topic is in no answer".to_owned()))?;
    KafkaCode::check(found.error_code)?;
    let count = u32::try_from(found.partitions.len()).ok().and_then(NonZeroU32::new);
    count.ok_or_else(|| RawError::Passing("the topic has no partition yet".to_owned()))
}

/// Knows a partition's leader, and has a connection to it while that is whole.
#[derive(Debug)]
pub(super) struct Leader {
    cluster: Cluster,
    pub(super) topic: String,
    pub(super) partition: i32,
    conn: Option<Connection>,
}

impl Leader {
    /// Names the partition; nothing is connected yet.
    pub(super) fn new(bootstrap: &[String], topic: &str, partition: i32) -> Self {
        let cluster = Cluster::new(bootstrap.to_vec(), CLIENT_ID.to_owned());
        Self { cluster, topic: topic.to_owned(), partition, conn: None }
    }

    /// Sends `request` to the leader and reads its answer, all within `limit`. An error of either, and dropping the future, leaves
    /// no connection behind: the next call asks who leads.
    pub(super) async fn call<R: Request, T>(
        &mut self,
        version: i16,
        request: &R,
        limit: Duration,
        read: impl FnOnce(R::Response) -> Result<T, RawError>,
    ) -> Result<T, RawError> {
        let deadline = Instant::now() + limit;
        let left = || deadline.saturating_duration_since(Instant::now());
        let mut conn = match self.conn.take() {
            Some(conn) if conn.is_open() => conn,
            _ => hedged(|| self.connect(left())).await?,
        };
        let answer = read(conn.call(version, request, left()).await?)?;
        self.conn = Some(conn);
        Ok(answer)
    }

    async fn connect(&self, limit: Duration) -> Result<Connection, RawError> {
        let deadline = Instant::now() + limit;
        let metadata = self.cluster.metadata(std::slice::from_ref(&self.topic), limit).await?;
        let passing = |why: &str| RawError::Passing(format!("partition {} {why}", self.partition));
        let topic = metadata.topics.first().ok_or_else(|| passing("is in no answer"))?;
        KafkaCode::check(topic.error_code)?;
        let partition = topic.partitions.iter().find(|p| p.partition_index == self.partition);
        let partition = partition.ok_or(KafkaCode::from(ResponseError::UnknownTopicOrPartition))?;
        KafkaCode::check(partition.error_code)?;
        let address = self.cluster.address(partition.leader_id.0).ok_or_else(|| passing("has no leader"))?;
        let left = deadline.saturating_duration_since(Instant::now());
        Ok(Connection::connect(&address, CLIENT_ID, left).await?.with_frame_max(FRAME_MAX_BYTES))
    }
}
