//! Producing one record at a time, with any headers that Kafka allows.

use std::time::Duration;

use bytes::Bytes;
use kafka_protocol::messages::produce_request::{PartitionProduceData, ProduceRequest, TopicProduceData};
use kafka_protocol::messages::produce_response::ProduceResponse;

use super::batch::batch_of;
use super::leader::{Leader, RawError};
use crate::kafka::Message;
use crate::kafka::conn::cluster::topic_name;
use crate::kafka::conn::code::KafkaCode;

/// The first version with the broker's own words on a refused record.
const PRODUCE: i16 = 8;
const ALL_IN_SYNC: i16 = -1;

/// Writes to one partition over a connection of its own.
#[derive(Debug)]
pub(crate) struct RawWriter(Leader);

impl RawWriter {
    /// Names the partition; nothing is connected yet.
    pub(crate) fn new(bootstrap: &[String], topic: &str, partition: i32) -> Self {
        Self(Leader::new(bootstrap, topic, partition))
    }

    /// Writes a batch of `message` alone and waits until all replicas in sync have it. One attempt: after an error it may be there all
    /// the same.
    ///
    /// # Errors
    /// Each of [`RawError`] that concerns writing.
    pub(crate) async fn produce(&mut self, message: &Message, within: Duration) -> Result<(), RawError> {
        let data = PartitionProduceData::default()
            .with_index(self.0.partition)
            .with_records(Some(Bytes::from(batch_of(message))));
        let topic =
            TopicProduceData::default().with_name(topic_name(&self.0.topic)).with_partition_data(vec![data]);
        let request = ProduceRequest::default()
            .with_acks(ALL_IN_SYNC)
            .with_timeout_ms(i32::try_from(within.as_millis()).unwrap_or(i32::MAX))
            .with_topic_data(vec![topic]);
        let read = |response: ProduceResponse| {
            let answer = response.responses.iter().flat_map(|topic| &topic.partition_responses).next();
            let answer = answer.ok_or_else(|| RawError::Passing("the answer has no partition".to_owned()))?;
            Ok(KafkaCode::check(answer.error_code)?)
        };
        self.0.call(PRODUCE, &request, within, read).await
    }
}
