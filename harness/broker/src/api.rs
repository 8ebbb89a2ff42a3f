//! What is served, in which versions, and who answers it.

use std::ops::RangeInclusive;

use bytes::BytesMut;
use kafka_protocol::error::ResponseError;
use kafka_protocol::messages::api_versions_response::ApiVersion;
use kafka_protocol::messages::{ApiKey, ApiVersionsRequest, ApiVersionsResponse};

use super::connection::{Ended, Incoming, body, frame};
use super::shared::{Node, Shared};
use super::{create_topics, fetch, group, list_offsets, metadata, offsets, produce};

/// All that is served. The table in the documentation of [`super`] says the same; a test compares them.
pub(super) const TABLE: [(ApiKey, RangeInclusive<i16>); 20] = [
    (ApiKey::Produce, 3..=9),
    (ApiKey::Fetch, 4..=12),
    (ApiKey::ListOffsets, 1..=7),
    (ApiKey::Metadata, 0..=12),
    (ApiKey::OffsetCommit, 2..=8),
    (ApiKey::OffsetFetch, 1..=8),
    (ApiKey::FindCoordinator, 0..=4),
    (ApiKey::JoinGroup, 0..=8),
    (ApiKey::Heartbeat, 0..=4),
    (ApiKey::LeaveGroup, 0..=5),
    (ApiKey::SyncGroup, 0..=5),
    (ApiKey::DescribeGroups, 0..=5),
    (ApiKey::ListGroups, 0..=4),
    (ApiKey::ApiVersions, 0..=3),
    (ApiKey::CreateTopics, 2..=7),
    (ApiKey::DeleteTopics, 1..=6),
    (ApiKey::DeleteRecords, 0..=2),
    (ApiKey::DescribeConfigs, 1..=4),
    (ApiKey::CreatePartitions, 0..=3),
    (ApiKey::DeleteGroups, 0..=2),
];

/// The least version of Produce that is offered, though 0 to 2 are not served: by it librdkafka tells a broker that takes
/// compressed batches, and Kafka 4 offers them for the same reason.
const OFFERED_PRODUCE: i16 = 0;

/// The versions in which `api` is served, if it is.
pub(super) fn served(api: ApiKey) -> Option<RangeInclusive<i16>> {
    TABLE.iter().find(|(key, _)| *key == api).map(|(_, versions)| versions.clone())
}

/// Answers a request, the frame whole; `None` where the protocol has no answer (`acks=0`).
pub(super) async fn answer(
    shared: &Shared,
    node: &Node,
    incoming: &Incoming,
) -> Result<Option<BytesMut>, Ended> {
    let version = incoming.version;
    macro_rules! reply {
        ($answer:expr) => {
            frame(incoming, version, &$answer)
        };
    }
    let framed = match incoming.api {
        ApiKey::Produce => match produce::answer(shared, node, body(incoming)?)? {
            Some(answer) => reply!(answer),
            None => return Ok(None),
        },
        ApiKey::Fetch => reply!(fetch::answer(shared, node, body(incoming)?).await),
        ApiKey::ListOffsets => reply!(list_offsets::answer(shared, node, version, &body(incoming)?)),
        ApiKey::Metadata => reply!(metadata::answer(shared, version, body(incoming)?)),
        ApiKey::CreateTopics => reply!(create_topics::create(shared, body(incoming)?)),
        ApiKey::CreatePartitions => reply!(create_topics::add_partitions(shared, body(incoming)?)),
        ApiKey::DeleteTopics => reply!(create_topics::delete(shared, version, body(incoming)?)),
        ApiKey::DeleteRecords => reply!(list_offsets::delete_records(shared, node, &body(incoming)?)),
        ApiKey::DescribeConfigs => reply!(create_topics::describe_configs(shared, &body(incoming)?)),
        ApiKey::FindCoordinator => reply!(group::find_coordinator(shared, version, &body(incoming)?)),
        ApiKey::JoinGroup => reply!(group::join(shared, node, incoming, body(incoming)?).await),
        ApiKey::SyncGroup => reply!(group::sync(shared, node, body(incoming)?).await),
        ApiKey::Heartbeat => reply!(group::heartbeat(shared, node, &body(incoming)?)),
        ApiKey::LeaveGroup => reply!(group::leave(shared, node, version, &body(incoming)?)),
        ApiKey::DescribeGroups => reply!(group::describe(shared, node, &body(incoming)?)),
        ApiKey::ListGroups => reply!(group::list(shared, node, &body(incoming)?)),
        ApiKey::DeleteGroups => reply!(group::delete(shared, node, &body(incoming)?)),
        ApiKey::OffsetCommit => reply!(offsets::commit(shared, node, &body(incoming)?)),
        ApiKey::OffsetFetch => reply!(offsets::fetch(shared, node, version, &body(incoming)?)),
        ApiKey::ApiVersions => return versions(incoming).map(Some),
        key => return Err(Ended::Unsupported { key: key as i16, version }),
    };
    framed.map(Some)
}

/// The table. To a version that is not known the answer is in version 0, which every client reads.
fn versions(incoming: &Incoming) -> Result<BytesMut, Ended> {
    let keys = TABLE.iter().map(|(key, versions)| {
        ApiVersion::default()
            .with_api_key(*key as i16)
            .with_min_version(if *key == ApiKey::Produce { OFFERED_PRODUCE } else { *versions.start() })
            .with_max_version(*versions.end())
    });
    let answer = ApiVersionsResponse::default().with_api_keys(keys.collect());
    let known = served(ApiKey::ApiVersions).is_some_and(|served| served.contains(&incoming.version));
    if !known {
        return frame(incoming, 0, &answer.with_error_code(ResponseError::UnsupportedVersion.code()));
    }
    let _: ApiVersionsRequest = body(incoming)?;
    frame(incoming, incoming.version, &answer)
}

#[cfg(test)]
mod tests;
