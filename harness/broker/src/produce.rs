//! Produce: batches into logs.

use kafka_protocol::error::ResponseError;
use kafka_protocol::messages::produce_request::{PartitionProduceData, ProduceRequest};
use kafka_protocol::messages::produce_response::{
    PartitionProduceResponse, ProduceResponse, TopicProduceResponse,
};
use kafka_protocol::protocol::StrBytes;

use super::batch;
use super::connection::Ended;
use super::shared::{Node, Shared};
use super::topics::Topic;

const ALL: i16 = -1;

/// Appends what is sent; no answer to `acks=0`, whose failure closes the connection, as in Kafka.
pub(super) fn answer(
    shared: &Shared,
    node: &Node,
    request: ProduceRequest,
) -> Result<Option<ProduceResponse>, Ended> {
    let acks = request.acks;
    let mut failed = false;
    let mut responses = Vec::with_capacity(request.topic_data.len());
    for data in request.topic_data {
        let topic = shared.topics().get(&data.name);
        let partitions = data.partition_data.iter().map(|partition| {
            let appended = match &topic {
                _ if !(ALL..=1).contains(&acks) => Err((ResponseError::InvalidRequiredAcks, "")),
                _ if request.transactional_id.is_some() => {
                    Err((ResponseError::InvalidRequest, "transactions are not supported"))
                }
                Some(topic) => append(topic, node, acks, partition),
                None => Err((ResponseError::UnknownTopicOrPartition, "")),
            };
            failed |= appended.is_err();
            outcome(partition.index, appended)
        });
        let partitions = partitions.collect();
        let response =
            TopicProduceResponse::default().with_name(data.name).with_partition_responses(partitions);
        responses.push(response);
    }
    match acks {
        0 if failed => Err(Ended::Unacknowledged),
        0 => Ok(None),
        _ => Ok(Some(ProduceResponse::default().with_responses(responses))),
    }
}

/// Base offset and log start after the append.
fn append(
    topic: &Topic,
    node: &Node,
    acks: i16,
    data: &PartitionProduceData,
) -> Result<(i64, i64), batch::Refusal> {
    let plain = |error| (error, "");
    let partition = topic.partition(data.index).ok_or(plain(ResponseError::UnknownTopicOrPartition))?;
    let bytes = data.records.as_deref().unwrap_or_default();
    // Looked at before the partition is held: the checksum takes its time.
    let checked = batch::check(bytes);
    let mut state = partition.led_by(node.id, -1).map_err(plain)?;
    // As Kafka 4.1 has it: no more replicas are asked for than there are.
    if acks == ALL && state.isr.len() < topic.min_isr.min(state.replicas.len()) {
        return Err((
            ResponseError::NotEnoughReplicas,
            "fewer replicas are in sync than min.insync.replicas",
        ));
    }
    let header = checked?;
    if bytes.len() > topic.max_message_bytes {
        return Err((ResponseError::MessageTooLarge, "the batch is larger than max.message.bytes"));
    }
    let epoch = state.epoch;
    let base = state.log.append(header, bytes, epoch).map_err(|_full| {
        (ResponseError::KafkaStorageError, "the memory that the embedded broker may use for logs is full")
    })?;
    let start = state.log.start();
    drop(state);
    partition.changed.notify_waiters();
    Ok((base, start))
}

fn outcome(index: i32, appended: Result<(i64, i64), batch::Refusal>) -> PartitionProduceResponse {
    let response = PartitionProduceResponse::default().with_index(index).with_log_append_time_ms(-1);
    match appended {
        Ok((base, start)) => response.with_base_offset(base).with_log_start_offset(start),
        Err((error, reason)) => response
            .with_error_code(error.code())
            .with_base_offset(-1)
            .with_log_start_offset(-1)
            .with_error_message((!reason.is_empty()).then(|| StrBytes::from_static_str(reason))),
    }
}
