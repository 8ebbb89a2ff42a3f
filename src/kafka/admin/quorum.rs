//! The controllers' quorum (KRaft).

use kafka_protocol::messages::describe_quorum_request::{DescribeQuorumRequest, PartitionData, TopicData};

use super::{Admin, AdminError, Fault, KafkaCode, fault};
use crate::kafka::conn::cluster::topic_name;

const DESCRIBE_QUORUM: i16 = 0;
/// Its one partition is the log that the controllers agree on.
const METADATA_TOPIC: &str = "__cluster_metadata";

impl Admin {
    /// The node that leads the controllers: the active one. Kafka 3.3 and later says so.
    ///
    /// # Errors
    /// [`AdminError::Forbidden`], [`AdminError::Refused`], [`AdminError::TimedOut`].
    pub async fn active_controller(&self) -> Result<i32, AdminError> {
        let what = "find the active controller";
        let partition = PartitionData::default().with_partition_index(0);
        let topic =
            TopicData::default().with_topic_name(topic_name(METADATA_TOPIC)).with_partitions(vec![partition]);
        let request = &DescribeQuorumRequest::default().with_topics(vec![topic]);
        self.retry(what, |until| async move {
            let address = self.any_address(until).await?;
            let response = self.pool.call(&address, DESCRIBE_QUORUM, request, until).await?;
            let partition = response.topics.first().and_then(|topic| topic.partitions.first());
            let code = partition.map_or(response.error_code, |partition| partition.error_code);
            if let Some(code) = KafkaCode::of(response.error_code).or(KafkaCode::of(code)) {
                return Err(fault(what, "DESCRIBE on the cluster", code, None));
            }
            let leader = partition.map(|partition| partition.leader_id.0).filter(|leader| *leader >= 0);
            leader.ok_or_else(|| Fault::Retry("the controllers have no leader at present".to_owned()))
        })
        .await
    }
}
