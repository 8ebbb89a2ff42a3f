//! The group's offsets: where to go on, and how far the work is.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use kafka_protocol::error::ResponseError;
use kafka_protocol::messages::offset_commit_request::{
    OffsetCommitRequestPartition, OffsetCommitRequestTopic,
};
use kafka_protocol::messages::offset_fetch_request::{OffsetFetchRequestGroup, OffsetFetchRequestTopics};
use kafka_protocol::messages::{
    OffsetCommitRequest, OffsetCommitResponse, OffsetFetchRequest, OffsetFetchResponse,
};
use kafka_protocol::protocol::{Request, StrBytes};
use tokio::sync::Mutex;
use tokio::time::{Instant, timeout_at};

use super::coordinator::{Link, Trouble};
use super::error::{CommitError, LostReason, OffsetError};
use super::membership::Membership;
use super::wire::group_id;
use crate::failure::Backoff;
use crate::kafka::conn::cluster::topic_name;
use crate::kafka::conn::code::KafkaCode;

pub(crate) const OFFSET_FETCH: i16 = 8;
const OFFSET_COMMIT: i16 = 8;

/// Reads and commits the offsets of one topic under one membership. Clones share a connection and take turns on it.
///
/// Tied to the generation in which it was taken: once that is over, every call ends in `Lost`.
#[derive(Clone, Debug)]
pub struct Offsets {
    pub(super) topic: String,
    pub(super) request_timeout: Duration,
    pub(super) membership: Arc<Membership>,
    pub(super) link: Arc<Mutex<Link>>,
}

/// Why a request brought nothing, all attempts included.
enum Failure {
    Code(KafkaCode),
    Lost(LostReason),
    Unavailable(String),
}

impl Offsets {
    /// The next offset committed for each of `partitions`; `None` where nothing was committed yet.
    ///
    /// Waits for transactions that still hold an offset back (`require_stable`), as Java's consumer does.
    ///
    /// # Errors
    /// [`OffsetError`]; attempts are made for the request time-out.
    pub async fn committed(&self, partitions: &[i32]) -> Result<BTreeMap<i32, Option<i64>>, OffsetError> {
        let request = offset_fetch_request(&self.membership.group_id, &self.topic, partitions, true);
        let mut offsets =
            self.request(OFFSET_FETCH, &request, fetched_offsets).await.map_err(|failure| match failure {
                Failure::Code(code) => OffsetError::Refused { code },
                Failure::Lost(reason) => OffsetError::Lost(reason),
                Failure::Unavailable(why) => OffsetError::Unavailable(why),
            })?;
        Ok(partitions.iter().map(|p| (*p, offsets.remove(p).flatten())).collect())
    }

    /// Commits the next offset of each partition in `next`: all of them, or it is an error.
    ///
    /// After an error some partitions may be committed all the same; committing again is harmless.
    ///
    /// # Errors
    /// [`CommitError`]; attempts are made for the request time-out.
    pub async fn commit(&self, next: &BTreeMap<i32, i64>) -> Result<(), CommitError> {
        if next.is_empty() {
            return Ok(());
        }
        let request = offset_commit_request(&self.membership, &self.topic, next);
        let judge = |response: &OffsetCommitResponse| committed_all(response, next);
        self.request(OFFSET_COMMIT, &request, judge).await.map_err(|failure| match failure {
            Failure::Code(code) => match lost_by(code) {
                Some(reason) => {
                    // The heartbeat would say the same a moment later.
                    self.membership.lost(reason.clone());
                    CommitError::Lost(reason)
                }
                None if code.kind() == ResponseError::RebalanceInProgress => {
                    self.membership.rebalancing();
                    CommitError::RebalanceInProgress
                }
                None => CommitError::Refused { code },
            },
            Failure::Lost(reason) => CommitError::Lost(reason),
            Failure::Unavailable(why) => CommitError::Unavailable(why),
        })
    }

    /// Makes attempts until `judge` is content, the error is final, the membership is lost or the time is up.
    async fn request<R: Request, T>(
        &self,
        version: i16,
        request: &R,
        judge: impl Fn(&R::Response) -> Result<T, KafkaCode>,
    ) -> Result<T, Failure> {
        let deadline = Instant::now() + self.request_timeout;
        let mut last = "the requests before this one took too long".to_owned();
        let attempts = async {
            let mut link = self.link.lock().await;
            let mut backoff = Backoff::up_to(Backoff::SHORT);
            // A third, so that a coordinator that hangs leaves time for the one that takes over.
            let limit = self.request_timeout / 3;
            loop {
                last = match link.call(version, request, limit).await.map(|response| judge(&response)) {
                    Ok(Ok(done)) => return Ok(done),
                    Ok(Err(code)) if is_passing(code) => {
                        link.heed(code);
                        code.to_string()
                    }
                    Ok(Err(code)) | Err(Trouble::Refused(code)) => return Err(Failure::Code(code)),
                    Err(Trouble::Passing(why)) => why,
                };
                backoff.wait().await;
            }
        };
        let outcome = tokio::select! {
            biased;
            reason = self.membership.until_lost() => return Err(Failure::Lost(reason)),
            outcome = timeout_at(deadline, attempts) => outcome,
        };
        outcome.unwrap_or(Err(Failure::Unavailable(last)))
    }
}

fn is_passing(code: KafkaCode) -> bool {
    code.kind() != ResponseError::RebalanceInProgress && code.is_retriable()
}

fn lost_by(code: KafkaCode) -> Option<LostReason> {
    match code.kind() {
        ResponseError::UnknownMemberId => Some(LostReason::UnknownMember),
        ResponseError::IllegalGeneration => Some(LostReason::IllegalGeneration),
        ResponseError::FencedInstanceId => Some(LostReason::Fenced),
        _ => None,
    }
}

pub(crate) fn offset_fetch_request(
    group: &str,
    topic: &str,
    partitions: &[i32],
    require_stable: bool,
) -> OffsetFetchRequest {
    let topic = OffsetFetchRequestTopics::default()
        .with_name(topic_name(topic))
        .with_partition_indexes(partitions.to_vec());
    let group =
        OffsetFetchRequestGroup::default().with_group_id(group_id(group)).with_topics(Some(vec![topic]));
    OffsetFetchRequest::default().with_groups(vec![group]).with_require_stable(require_stable)
}

/// The offsets in an answer about one topic of one group; −1 is Kafka's word for none.
pub(crate) fn fetched_offsets(
    response: &OffsetFetchResponse,
) -> Result<BTreeMap<i32, Option<i64>>, KafkaCode> {
    let mut offsets = BTreeMap::new();
    for group in &response.groups {
        KafkaCode::check(group.error_code)?;
        for p in group.topics.iter().flat_map(|t| &t.partitions) {
            KafkaCode::check(p.error_code)?;
            offsets.insert(p.partition_index, Some(p.committed_offset).filter(|o| *o >= 0));
        }
    }
    Ok(offsets)
}

fn offset_commit_request(
    membership: &Membership,
    topic: &str,
    next: &BTreeMap<i32, i64>,
) -> OffsetCommitRequest {
    let partition = |(partition, offset): (&i32, &i64)| {
        OffsetCommitRequestPartition::default()
            .with_partition_index(*partition)
            .with_committed_offset(*offset)
            .with_committed_metadata(Some(StrBytes::new()))
    };
    let topic = OffsetCommitRequestTopic::default()
        .with_name(topic_name(topic))
        .with_partitions(next.iter().map(partition).collect());
    OffsetCommitRequest::default()
        .with_group_id(group_id(&membership.group_id))
        .with_generation_id_or_member_epoch(membership.generation)
        .with_member_id(StrBytes::from_string(membership.member_id.clone()))
        .with_group_instance_id(membership.instance_id.clone().map(StrBytes::from_string))
        .with_topics(vec![topic])
}

/// The worst of the partitions' error codes; a partition that the answer does not name was not committed.
fn committed_all(response: &OffsetCommitResponse, next: &BTreeMap<i32, i64>) -> Result<(), KafkaCode> {
    let codes: BTreeMap<i32, i16> = response
        .topics
        .iter()
        .flat_map(|t| &t.partitions)
        .map(|p| (p.partition_index, p.error_code))
        .collect();
    let unnamed = ResponseError::UnknownServerError.code();
    let errors = next.keys().filter_map(|p| KafkaCode::of(codes.get(p).copied().unwrap_or(unnamed)));
    errors.max_by_key(|code| severity(*code)).map_or(Ok(()), Err)
}

/// Lost before refused, refused before rebalancing, and last what another attempt may mend.
fn severity(code: KafkaCode) -> u8 {
    match code.kind() {
        _ if lost_by(code).is_some() => 3,
        ResponseError::RebalanceInProgress => 1,
        _ if is_passing(code) => 0,
        _ => 2,
    }
}

#[cfg(test)]
mod tests {
    use kafka_protocol::messages::offset_commit_response::{
        OffsetCommitResponsePartition, OffsetCommitResponseTopic,
    };

    use super::*;

    #[track_caller]
    fn check(codes: &[(i32, i16)], expected: Option<i16>) {
        let partition = |(partition, code): &(i32, i16)| {
            OffsetCommitResponsePartition::default().with_partition_index(*partition).with_error_code(*code)
        };
        let topic =
            OffsetCommitResponseTopic::default().with_partitions(codes.iter().map(partition).collect());
        let response = OffsetCommitResponse::default().with_topics(vec![topic]);
        let next = BTreeMap::from([(0, 10), (1, 20), (2, 30)]);
        assert_eq!(committed_all(&response, &next).err().map(KafkaCode::code), expected);
    }

    #[test]
    fn one_partition_that_failed_is_an_error() {
        check(&[(0, 0), (1, 0), (2, 0)], None);
        check(&[(0, 0), (1, 27), (2, 0)], Some(27));
        check(&[(0, 0), (2, 0)], Some(-1));
    }

    #[test]
    fn the_worst_error_counts() {
        check(&[(0, 16), (1, 27), (2, 0)], Some(27));
        check(&[(0, 27), (1, 29), (2, 16)], Some(29));
        check(&[(0, 22), (1, 29), (2, 27)], Some(22));
    }
}
