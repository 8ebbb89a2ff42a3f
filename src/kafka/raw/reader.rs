//! Fetching one partition: committed records byte for byte, and how far they reach.

use std::time::Duration;

use kafka_protocol::error::ResponseError;
use kafka_protocol::messages::BrokerId;
use kafka_protocol::messages::fetch_request::{FetchPartition, FetchRequest, FetchTopic};
use kafka_protocol::messages::fetch_response::{FetchResponse, PartitionData};
use kafka_protocol::messages::list_offsets_response::ListOffsetsResponse;

use super::batch::batches;
use super::committed::{AbortedTransaction, committed};
use super::leader::{Leader, RawError};
use crate::kafka::admin::offsets::{EARLIEST, LATEST, LIST_OFFSETS, list_offsets_request};
use crate::kafka::conn::cluster::topic_name;
use crate::kafka::conn::code::KafkaCode;
use crate::kafka::fetch::FetchConfig;
use crate::kafka::{Fetched, Origin};

/// The first version that brings batches in zstd is 10: topics that are set to it are refused below.
const FETCH: i16 = 11;
const READ_COMMITTED: i8 = 1;

/// What a fetch brought.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Read {
    /// Committed records in the order of the log.
    pub(crate) records: Vec<Fetched>,
    /// Where to go on: behind the last batch, or where the fetch began if it brought none.
    pub(crate) next_offset: i64,
    /// The offset behind the last replicated record.
    pub(crate) high_watermark: i64,
    /// Where the first transaction begins that is still open; the high watermark if none is.
    pub(crate) last_stable_offset: i64,
}

/// Reads one partition over a connection of its own.
#[derive(Debug)]
pub(crate) struct RawReader(Leader);

impl RawReader {
    /// Names the partition; nothing is connected yet.
    pub(crate) fn new(bootstrap: &[String], topic: &str, partition: i32) -> Self {
        Self(Leader::new(bootstrap, topic, partition))
    }

    /// What lies from `offset` on; nothing if there was nothing within `config.max_wait`.
    ///
    /// # Errors
    /// Each of [`RawError`] that concerns reading.
    pub(crate) async fn fetch(&mut self, offset: i64, config: &FetchConfig) -> Result<Read, RawError> {
        let partition = self.0.partition;
        let request = FetchRequest::default()
            .with_replica_id(BrokerId(-1))
            .with_max_wait_ms(i32::try_from(config.max_wait.as_millis()).unwrap_or(i32::MAX))
            .with_min_bytes(config.min_bytes)
            .with_max_bytes(config.max_bytes)
            .with_isolation_level(READ_COMMITTED)
            .with_topics(vec![FetchTopic::default().with_topic(topic_name(&self.0.topic)).with_partitions(
                vec![
                FetchPartition::default()
                    .with_partition(partition)
                    .with_fetch_offset(offset)
                    .with_partition_max_bytes(config.max_bytes),
            ],
            )]);
        let limit = config.max_wait + config.request_timeout;
        let read = |response: FetchResponse| read(offset, only_partition(response)?, partition);
        self.0.call(FETCH, &request, limit, read).await
    }

    /// The log's first offset, and the one behind its last replicated record.
    ///
    /// # Errors
    /// [`RawError::Passing`], [`RawError::Refused`].
    pub(crate) async fn range(&mut self, within: Duration) -> Result<(i64, i64), RawError> {
        Ok((self.offset_at(EARLIEST, within).await?, self.offset_at(LATEST, within).await?))
    }

    async fn offset_at(&mut self, timestamp: i64, within: Duration) -> Result<i64, RawError> {
        let request = list_offsets_request(&self.0.topic, &[self.0.partition], timestamp);
        let read = |response: ListOffsetsResponse| {
            let found = response.topics.iter().flat_map(|topic| &topic.partitions).next();
            let found = found.ok_or_else(|| RawError::Passing("the answer has no partition".to_owned()))?;
            KafkaCode::check(found.error_code)?;
            Ok(found.offset)
        };
        self.0.call(LIST_OFFSETS, &request, within, read).await
    }
}

fn only_partition(response: FetchResponse) -> Result<PartitionData, RawError> {
    KafkaCode::check(response.error_code)?;
    let partition = response.responses.into_iter().flat_map(|topic| topic.partitions).next();
    let partition = partition.ok_or_else(|| RawError::Passing("the answer has no partition".to_owned()))?;
    match KafkaCode::of(partition.error_code) {
        // Of a fetch it is no accident of the way, as it is of a produce.
        Some(code) if code.kind() == ResponseError::CorruptMessage => Err(RawError::Corrupt(code)),
        Some(code) => Err(code.into()),
        None => Ok(partition),
    }
}

fn read(offset: i64, data: PartitionData, partition: i32) -> Result<Read, RawError> {
    let aborted = data.aborted_transactions.unwrap_or_default();
    let aborted = aborted
        .into_iter()
        .map(|t| AbortedTransaction { producer_id: t.producer_id.0, first_offset: t.first_offset })
        .collect();
    let bytes = data.records.as_deref().unwrap_or_default();
    let batches = batches(bytes)?;
    if batches.is_empty() && !bytes.is_empty() {
        return Err(RawError::Passing("the first record batch came cut".to_owned()));
    }
    let (records, next_offset) = committed(batches, aborted, offset);
    let records = records
        .into_iter()
        .map(|(offset, message)| Fetched { origin: Origin { partition, offset }, message });
    // A broker that does not say where open transactions begin has none.
    let last_stable_offset =
        if data.last_stable_offset < 0 { data.high_watermark } else { data.last_stable_offset };
    Ok(Read {
        records: records.collect(),
        next_offset,
        high_watermark: data.high_watermark,
        last_stable_offset,
    })
}
