//! OffsetCommit and OffsetFetch: how far each group has come.

use std::collections::BTreeMap;

use kafka_protocol::error::ResponseError;
use kafka_protocol::messages::TopicName;
use kafka_protocol::messages::offset_commit_request::{OffsetCommitRequest, OffsetCommitRequestPartition};
use kafka_protocol::messages::offset_commit_response::{
    OffsetCommitResponse, OffsetCommitResponsePartition, OffsetCommitResponseTopic,
};
use kafka_protocol::messages::offset_fetch_request::OffsetFetchRequest;
use kafka_protocol::messages::offset_fetch_response::{
    OffsetFetchResponse, OffsetFetchResponseGroup, OffsetFetchResponsePartition,
    OffsetFetchResponsePartitions, OffsetFetchResponseTopic, OffsetFetchResponseTopics,
};
use kafka_protocol::protocol::StrBytes;

use super::group::{Group, Sender, check_node};
use super::shared::{Node, Shared};

/// Longest note beside an offset: Kafka's `offset.metadata.max.bytes`.
const METADATA_MAX_BYTES: usize = 4_096;
/// From this version of OffsetFetch on, several groups are asked at once.
const FETCH_SEVERAL: i16 = 8;
/// From this version of OffsetFetch on, an error of the whole group has a place of its own.
const WITH_GROUP_ERROR: i16 = 2;
/// Where a group has not committed.
const NONE: i64 = -1;

/// One committed offset.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Committed {
    /// The next to read.
    pub(super) offset: i64,
    /// Of the record before it, as the client knew it; −1 if it did not.
    pub(super) leader_epoch: i32,
    /// The client's own note.
    pub(super) metadata: String,
}

/// Commits, if the group allows it; then each partition for itself.
pub(super) fn commit(shared: &Shared, node: &Node, request: &OffsetCommitRequest) -> OffsetCommitResponse {
    let generation = request.generation_id_or_member_epoch;
    let sender = Sender { member_id: &request.member_id, instance_id: request.group_instance_id.as_deref() };
    let known: BTreeMap<&TopicName, usize> = {
        let topics = shared.topics();
        let partitions = |name: &TopicName| topics.get(name).map_or(0, |topic| topic.partitions.len());
        request.topics.iter().map(|topic| (&topic.name, partitions(&topic.name))).collect()
    };
    let act = |group: &mut Group, now| {
        group.may_commit(now, sender, generation)?;
        let mut codes = Vec::new();
        for topic in &request.topics {
            for partition in &topic.partitions {
                let kept = check(partition, known[&topic.name]).map(|committed| {
                    let offsets = group.offsets.entry(topic.name.to_string()).or_default();
                    offsets.insert(partition.partition_index, committed);
                });
                codes.push(kept.map_or_else(|error| error.code(), |()| 0));
            }
        }
        Ok(codes)
    };
    let committed = check_node(shared, node, &request.group_id).and_then(|()| {
        if request.group_id.is_empty() {
            return Err(ResponseError::InvalidGroupId);
        }
        if generation < 0 {
            let made = shared.coordinator.with_or_new(&request.group_id, act);
            made.unwrap_or(Err(ResponseError::GroupMaxSizeReached))
        } else {
            shared.coordinator.with(&request.group_id, act).unwrap_or(Err(ResponseError::IllegalGeneration))
        }
    });
    let mut codes = committed.as_deref().unwrap_or_default().iter().copied();
    let refused = committed.as_ref().err().copied();
    let topics = request.topics.iter().map(|topic| {
        let partitions = topic.partitions.iter().map(|partition| {
            // Kafka looks for the topic before it looks for the group.
            let refused = if is_there(partition, known[&topic.name]) {
                refused
            } else {
                Some(ResponseError::UnknownTopicOrPartition)
            };
            let code = codes.next().unwrap_or_else(|| refused.map_or(0, |error| error.code()));
            OffsetCommitResponsePartition::default()
                .with_partition_index(partition.partition_index)
                .with_error_code(code)
        });
        let partitions = partitions.collect();
        OffsetCommitResponseTopic::default().with_name(topic.name.clone()).with_partitions(partitions)
    });
    OffsetCommitResponse::default().with_topics(topics.collect())
}

fn is_there(wanted: &OffsetCommitRequestPartition, partitions: usize) -> bool {
    usize::try_from(wanted.partition_index).is_ok_and(|index| index < partitions)
}

fn check(wanted: &OffsetCommitRequestPartition, partitions: usize) -> Result<Committed, ResponseError> {
    if !is_there(wanted, partitions) {
        return Err(ResponseError::UnknownTopicOrPartition);
    }
    let metadata = wanted.committed_metadata.as_ref().map(|text| text.to_string()).unwrap_or_default();
    if metadata.len() > METADATA_MAX_BYTES {
        return Err(ResponseError::OffsetMetadataTooLarge);
    }
    if wanted.committed_offset < 0 {
        return Err(ResponseError::InvalidCommitOffsetSize);
    }
    let leader_epoch = wanted.committed_leader_epoch;
    Ok(Committed { offset: wanted.committed_offset, leader_epoch, metadata })
}

/// What was asked of a group: partitions by topic, or all that it has committed.
type Asked = Option<Vec<(TopicName, Vec<i32>)>>;
type Answered = Vec<(TopicName, Vec<(i32, Option<Committed>)>)>;

/// Answers for one group, or from version 8 on for several.
pub(super) fn fetch(
    shared: &Shared,
    node: &Node,
    version: i16,
    request: &OffsetFetchRequest,
) -> OffsetFetchResponse {
    if version < FETCH_SEVERAL {
        let asked = request.topics.as_ref();
        let asked = asked
            .map(|topics| topics.iter().map(|t| (t.name.clone(), t.partition_indexes.clone())).collect());
        let answer = fetch_one(shared, node, &request.group_id, asked);
        // Version 1 has no place for the group's error but its partitions.
        return if version < WITH_GROUP_ERROR { answer.with_error_code(0) } else { answer };
    }
    let groups = request.groups.iter().map(|group| {
        let asked = group.topics.as_ref();
        let asked = asked
            .map(|topics| topics.iter().map(|t| (t.name.clone(), t.partition_indexes.clone())).collect());
        let answer = OffsetFetchResponseGroup::default().with_group_id(group.group_id.clone());
        let found = match offsets(shared, node, &group.group_id, asked) {
            Ok(found) => found,
            Err(error) => return answer.with_error_code(error.code()),
        };
        let topics = found.into_iter().map(|(name, partitions)| {
            let partitions = partitions.into_iter().map(|(index, committed)| {
                let committed = committed.unwrap_or_else(nothing);
                OffsetFetchResponsePartitions::default()
                    .with_partition_index(index)
                    .with_committed_offset(committed.offset)
                    .with_committed_leader_epoch(committed.leader_epoch)
                    .with_metadata(Some(StrBytes::from_string(committed.metadata)))
            });
            OffsetFetchResponseTopics::default().with_name(name).with_partitions(partitions.collect())
        });
        answer.with_topics(topics.collect())
    });
    OffsetFetchResponse::default().with_groups(groups.collect())
}

fn fetch_one(shared: &Shared, node: &Node, group: &str, asked: Asked) -> OffsetFetchResponse {
    let named = asked.clone().unwrap_or_default();
    let (found, error) = match offsets(shared, node, group, asked) {
        Ok(found) => (found, 0),
        Err(error) => {
            let nothing = |(name, partitions): (TopicName, Vec<i32>)| {
                (name, partitions.into_iter().map(|index| (index, None)).collect())
            };
            (named.into_iter().map(nothing).collect(), error.code())
        }
    };
    let topics = found.into_iter().map(|(name, partitions)| {
        let partitions = partitions.into_iter().map(|(index, committed)| {
            let committed = committed.unwrap_or_else(nothing);
            OffsetFetchResponsePartition::default()
                .with_partition_index(index)
                .with_committed_offset(committed.offset)
                .with_committed_leader_epoch(committed.leader_epoch)
                .with_metadata(Some(StrBytes::from_string(committed.metadata)))
                .with_error_code(error)
        });
        OffsetFetchResponseTopic::default().with_name(name).with_partitions(partitions.collect())
    });
    OffsetFetchResponse::default().with_topics(topics.collect()).with_error_code(error)
}

fn nothing() -> Committed {
    Committed { offset: NONE, leader_epoch: -1, metadata: String::new() }
}

/// A group that is not there has committed nothing.
fn offsets(shared: &Shared, node: &Node, group: &str, asked: Asked) -> Result<Answered, ResponseError> {
    check_node(shared, node, group)?;
    let groups = shared.coordinator.lock();
    let committed = groups.by_name.get(group).map(|group| &group.offsets);
    let Some(asked) = asked else {
        let all = committed.into_iter().flatten().map(|(name, partitions)| {
            let partitions = partitions.iter().map(|(index, committed)| (*index, Some(committed.clone())));
            (TopicName(StrBytes::from_string(name.clone())), partitions.collect())
        });
        return Ok(all.collect());
    };
    let answered = asked.into_iter().map(|(name, partitions)| {
        let topic = committed.and_then(|committed| committed.get(name.as_str()));
        let partitions =
            partitions.into_iter().map(|index| (index, topic.and_then(|t| t.get(&index)).cloned()));
        let partitions = partitions.collect();
        (name, partitions)
    });
    Ok(answered.collect())
}
