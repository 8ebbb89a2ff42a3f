//! ListOffsets: where a log starts and ends, and what lies at a time. DeleteRecords, which moves its start.

use kafka_protocol::error::ResponseError;
use kafka_protocol::messages::delete_records_request::{DeleteRecordsPartition, DeleteRecordsRequest};
use kafka_protocol::messages::delete_records_response::{
    DeleteRecordsPartitionResult, DeleteRecordsResponse, DeleteRecordsTopicResult,
};
use kafka_protocol::messages::list_offsets_request::{ListOffsetsPartition, ListOffsetsRequest};
use kafka_protocol::messages::list_offsets_response::{
    ListOffsetsPartitionResponse, ListOffsetsResponse, ListOffsetsTopicResponse,
};

use super::log::Found;
use super::shared::{Node, Shared};
use super::topics::Topic;

/// Timestamps that have a meaning of their own.
const LATEST: i64 = -1;
const EARLIEST: i64 = -2;
const MAX_TIMESTAMP: i64 = -3;
/// From this version on the leader epoch is told; kafka-protocol refuses to encode it before.
const WITH_EPOCH: i16 = 4;
/// What a record that was not found has for offset and timestamp.
const NONE: i64 = -1;

/// Answers for each partition that is asked for.
pub(super) fn answer(
    shared: &Shared,
    node: &Node,
    version: i16,
    request: &ListOffsetsRequest,
) -> ListOffsetsResponse {
    let topics = request.topics.iter().map(|asked| {
        let topic = shared.topics().get(&asked.name);
        let partitions = asked.partitions.iter().map(|wanted| {
            let found = match &topic {
                Some(topic) => find(topic, node, wanted),
                None => Err(ResponseError::UnknownTopicOrPartition),
            };
            let response =
                ListOffsetsPartitionResponse::default().with_partition_index(wanted.partition_index);
            match found {
                Ok(found) => response
                    .with_offset(found.offset)
                    .with_timestamp(found.timestamp)
                    .with_leader_epoch(if version >= WITH_EPOCH { found.leader_epoch } else { -1 }),
                Err(error) => response.with_error_code(error.code()),
            }
        });
        let partitions = partitions.collect();
        ListOffsetsTopicResponse::default().with_name(asked.name.clone()).with_partitions(partitions)
    });
    ListOffsetsResponse::default().with_topics(topics.collect())
}

fn find(topic: &Topic, node: &Node, wanted: &ListOffsetsPartition) -> Result<Found, ResponseError> {
    let partition = topic.partition(wanted.partition_index).ok_or(ResponseError::UnknownTopicOrPartition)?;
    let state = partition.led_by(node.id, wanted.current_leader_epoch)?;
    let edge = |offset| Found { offset, timestamp: NONE, leader_epoch: state.epoch };
    let none = Found { offset: NONE, timestamp: NONE, leader_epoch: -1 };
    match wanted.timestamp {
        LATEST => Ok(edge(state.log.end())),
        EARLIEST => Ok(edge(state.log.start())),
        MAX_TIMESTAMP => Ok(state.log.at_max_timestamp().unwrap_or(none)),
        timestamp @ 0.. => Ok(state.log.at_timestamp(timestamp).unwrap_or(none)),
        _ => Err(ResponseError::UnsupportedVersion),
    }
}

/// Moves the start of logs.
pub(super) fn delete_records(
    shared: &Shared,
    node: &Node,
    request: &DeleteRecordsRequest,
) -> DeleteRecordsResponse {
    let topics = request.topics.iter().map(|asked| {
        let topic = shared.topics().get(&asked.name);
        let partitions = asked.partitions.iter().map(|wanted| {
            let moved = match &topic {
                Some(topic) => delete_before(topic, node, wanted),
                None => Err(ResponseError::UnknownTopicOrPartition),
            };
            let result = DeleteRecordsPartitionResult::default().with_partition_index(wanted.partition_index);
            match moved {
                Ok(start) => result.with_low_watermark(start),
                Err(error) => result.with_low_watermark(NONE).with_error_code(error.code()),
            }
        });
        let partitions = partitions.collect();
        DeleteRecordsTopicResult::default().with_name(asked.name.clone()).with_partitions(partitions)
    });
    DeleteRecordsResponse::default().with_topics(topics.collect())
}

fn delete_before(topic: &Topic, node: &Node, wanted: &DeleteRecordsPartition) -> Result<i64, ResponseError> {
    let partition = topic.partition(wanted.partition_index).ok_or(ResponseError::UnknownTopicOrPartition)?;
    let mut state = partition.led_by(node.id, -1)?;
    // −1 is the end.
    let offset = if wanted.offset == -1 { state.log.end() } else { wanted.offset };
    state.log.delete_before(offset).map_err(|_| ResponseError::OffsetOutOfRange)?;
    let start = state.log.start();
    drop(state);
    partition.changed.notify_waiters();
    Ok(start)
}
