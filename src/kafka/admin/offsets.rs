//! Where each partition's log starts and ends, asked of its leader.

use std::collections::BTreeMap;
use std::sync::{Arc, PoisonError};

use kafka_protocol::messages::BrokerId;
use kafka_protocol::messages::list_offsets_request::{
    ListOffsetsPartition, ListOffsetsRequest, ListOffsetsTopic,
};
use kafka_protocol::messages::list_offsets_response::ListOffsetsResponse;
use tokio::time::Instant;

use super::{Admin, AdminError, Fault, KafkaCode, fault};
use crate::kafka::conn::cluster::topic_name;

pub(in crate::kafka) const LIST_OFFSETS: i16 = 7;

/// Timestamps that ListOffsets gives a meaning of their own.
pub(in crate::kafka) const LATEST: i64 = -1;
pub(in crate::kafka) const EARLIEST: i64 = -2;

impl Admin {
    /// The first offset of each partition of `topic` that is still there.
    ///
    /// # Errors
    /// As [`Admin::end_offsets`].
    pub async fn start_offsets(&self, topic: &str) -> Result<BTreeMap<i32, i64>, AdminError> {
        self.list_offsets(topic, EARLIEST).await
    }

    /// The offset after the last replicated record of each partition of `topic` (its high watermark).
    ///
    /// Cheap to poll: one request a leader, all side by side, over kept connections.
    ///
    /// # Errors
    /// [`AdminError::Refused`] with `UNKNOWN_TOPIC_OR_PARTITION`; [`AdminError::Forbidden`];
    /// [`AdminError::TimedOut`], also while a partition has no leader.
    pub async fn end_offsets(&self, topic: &str) -> Result<BTreeMap<i32, i64>, AdminError> {
        self.list_offsets(topic, LATEST).await
    }

    async fn list_offsets(&self, topic: &str, timestamp: i64) -> Result<BTreeMap<i32, i64>, AdminError> {
        let what = format!("list the offsets of topic `{topic}`");
        let what_ref = what.as_str();
        self.retry(&what, |until| async move {
            let offsets = self.list_offsets_once(what_ref, topic, timestamp, until).await;
            // Whatever went wrong may be a leader that moved: the next attempt asks who leads.
            if offsets.is_err() {
                self.forget_leaders(topic);
            }
            offsets
        })
        .await
    }

    async fn list_offsets_once(
        &self,
        what: &str,
        topic: &str,
        timestamp: i64,
        until: Instant,
    ) -> Result<BTreeMap<i32, i64>, Fault> {
        let leaders = self.leaders(what, topic, until).await?;
        let mut by_leader: BTreeMap<&str, Vec<i32>> = BTreeMap::new();
        for (partition, address) in leaders.iter() {
            by_leader.entry(address).or_default().push(*partition);
        }
        let asked = by_leader.into_iter().map(|(address, partitions)| async move {
            let request = list_offsets_request(topic, &partitions, timestamp);
            self.pool.call(address, LIST_OFFSETS, &request, until).await
        });
        let mut offsets = BTreeMap::new();
        for response in side_by_side(asked).await {
            read_offsets(what, topic, &response?, &mut offsets)?;
        }
        if leaders.keys().ne(offsets.keys()) {
            return Err(Fault::Retry("the answer lacks a partition".to_owned()));
        }
        Ok(offsets)
    }

    pub(super) fn cached_leaders(&self, topic: &str) -> Option<Arc<BTreeMap<i32, String>>> {
        self.leaders.lock().unwrap_or_else(PoisonError::into_inner).get(topic).cloned()
    }

    pub(super) fn cache_leaders(
        &self,
        topic: &str,
        leaders: BTreeMap<i32, String>,
    ) -> Arc<BTreeMap<i32, String>> {
        let leaders = Arc::new(leaders);
        let mut cache = self.leaders.lock().unwrap_or_else(PoisonError::into_inner);
        cache.insert(topic.to_owned(), Arc::clone(&leaders));
        leaders
    }

    pub(super) fn forget_leaders(&self, topic: &str) {
        self.leaders.lock().unwrap_or_else(PoisonError::into_inner).remove(topic);
    }
}

pub(in crate::kafka) fn list_offsets_request(
    topic: &str,
    partitions: &[i32],
    timestamp: i64,
) -> ListOffsetsRequest {
    let partitions = partitions
        .iter()
        .map(|p| ListOffsetsPartition::default().with_partition_index(*p).with_timestamp(timestamp))
        .collect();
    let topic = ListOffsetsTopic::default().with_name(topic_name(topic)).with_partitions(partitions);
    // −1 is what a client, as opposed to a replica, says it is.
    ListOffsetsRequest::default().with_replica_id(BrokerId(-1)).with_topics(vec![topic])
}

fn read_offsets(
    what: &str,
    topic: &str,
    response: &ListOffsetsResponse,
    offsets: &mut BTreeMap<i32, i64>,
) -> Result<(), Fault> {
    for p in response.topics.iter().flat_map(|t| &t.partitions) {
        KafkaCode::check(p.error_code)
            .map_err(|code| fault(what, &format!("DESCRIBE on topic `{topic}`"), code, None))?;
        offsets.insert(p.partition_index, p.offset);
    }
    Ok(())
}

/// Polls all futures until each is done; their outcomes in order.
///
/// In the caller's task, not spawned: they borrow, and dropping the caller's future drops them.
async fn side_by_side<F: Future>(futures: impl IntoIterator<Item = F>) -> Vec<F::Output> {
    let mut futures: Vec<_> = futures.into_iter().map(|f| (Box::pin(f), None)).collect();
    std::future::poll_fn(|cx| {
        for (future, output) in &mut futures {
            if output.is_none()
                && let std::task::Poll::Ready(ready) = future.as_mut().poll(cx)
            {
                *output = Some(ready);
            }
        }
        if futures.iter().all(|(_, output)| output.is_some()) {
            std::task::Poll::Ready(())
        } else {
            std::task::Poll::Pending
        }
    })
    .await;
    futures.into_iter().filter_map(|(_, output)| output).collect()
}
