//! What this user may do, asked beforehand, so that nothing has to be made to find out.

use kafka_protocol::error::ResponseError;
use kafka_protocol::messages::create_topics_request::{CreatableTopic, CreateTopicsRequest};
use kafka_protocol::messages::describe_groups_request::DescribeGroupsRequest;

use super::groups::DESCRIBE_GROUPS;
use super::topics::{CREATE_TOPICS, topic_to_create};
use super::{Admin, AdminError, Fault, KafkaCode, fault};
use crate::kafka::conn::cluster::{METADATA, metadata_request};
use crate::kafka::group::wire::group_id;

/// What a broker says that tells no rights.
const UNTOLD: i32 = i32::MIN;

/// An operation that an access rule allows, as Kafka's `AclOperation` numbers them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Operation {
    /// Fetch; of a group: join it and commit.
    Read = 3,
    /// Produce.
    Write = 4,
    /// Make it.
    Create = 5,
    /// Remove it.
    Delete = 6,
    /// See it. Each of the others includes it, but for `Create`.
    Describe = 8,
}

/// What may be done with one topic or group.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Rights(i32);

impl Rights {
    /// Whether `operation` is allowed, or the broker keeps it to itself.
    pub fn allow(self, operation: Operation) -> bool {
        self.0 == UNTOLD || self.0 & (1 << operation as u8) != 0
    }
}

impl Admin {
    /// What this user may do with a topic, which need not be there.
    ///
    /// # Errors
    /// [`AdminError::Forbidden`] where it may not even see it, [`AdminError::TimedOut`].
    pub async fn topic_rights(&self, name: &str) -> Result<Rights, AdminError> {
        let what = format!("ask for the rights on topic `{name}`");
        let what_ref = what.as_str();
        let request = &metadata_request(&[name.to_owned()]).with_include_topic_authorized_operations(true);
        self.retry(&what, |until| async move {
            let address = self.any_address(until).await?;
            let metadata = self.pool.call(&address, METADATA, request, until).await?;
            let topic = metadata.topics.into_iter().next();
            let topic =
                topic.ok_or_else(|| Fault::Retry(format!("the broker said nothing about topic `{name}`")))?;
            match KafkaCode::of(topic.error_code) {
                Some(code) if code.kind() != ResponseError::UnknownTopicOrPartition => {
                    Err(fault(what_ref, &format!("DESCRIBE on topic `{name}`"), code, None))
                }
                _ => Ok(Rights(topic.topic_authorized_operations)),
            }
        })
        .await
    }

    /// What this user may do with a group, which need not be there.
    ///
    /// # Errors
    /// [`AdminError::Forbidden`] where it may not even see it, [`AdminError::TimedOut`].
    pub async fn group_rights(&self, group: &str) -> Result<Rights, AdminError> {
        let what = format!("ask for the rights on group `{group}`");
        let what_ref = what.as_str();
        let request = &DescribeGroupsRequest::default()
            .with_groups(vec![group_id(group)])
            .with_include_authorized_operations(true);
        self.retry(&what, |until| async move {
            let address = self.coordinator(what_ref, group, until).await?;
            let response = self.pool.call(&address, DESCRIBE_GROUPS, request, until).await;
            if response.is_err() {
                self.forget_coordinator(group);
            }
            let described = response?.groups.into_iter().next();
            let described = described
                .ok_or_else(|| Fault::Retry(format!("the broker said nothing about group `{group}`")))?;
            match KafkaCode::of(described.error_code) {
                Some(code) if code.kind() != ResponseError::GroupIdNotFound => {
                    self.forget_coordinator(group);
                    Err(fault(what_ref, &format!("DESCRIBE on group `{group}`"), code, None))
                }
                _ => Ok(Rights(described.authorized_operations)),
            }
        })
        .await
    }

    /// Has the cluster check, without making it, that a topic could be created so.
    ///
    /// # Errors
    /// As [`Admin::create_topic`].
    pub async fn could_create_topic(
        &self,
        name: &str,
        partitions: i32,
        replication: i16,
        configs: &[(&str, &str)],
    ) -> Result<(), AdminError> {
        let what = format!("create topic `{name}`");
        let right = format!("CREATE on topic `{name}` or on the cluster");
        let topic: CreatableTopic = topic_to_create(name, partitions, replication, configs);
        let request = &CreateTopicsRequest::default()
            .with_topics(vec![topic])
            .with_timeout_ms(self.timeout_ms())
            .with_validate_only(true);
        let (what_ref, right) = (what.as_str(), right.as_str());
        self.retry(&what, |until| async move {
            let address = self.any_address(until).await?;
            let response = self.pool.call(&address, CREATE_TOPICS, request, until).await?;
            let refused = response.topics.iter().find_map(|topic| {
                Some(fault(what_ref, right, KafkaCode::of(topic.error_code)?, topic.error_message.as_deref()))
            });
            refused.map_or(Ok(()), Err)
        })
        .await
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rights_are_bits_and_silence_denies_nothing() {
        let reads = Rights(1 << 3 | 1 << 8);
        assert!(reads.allow(Operation::Read) && reads.allow(Operation::Describe));
        assert!(!reads.allow(Operation::Write) && !reads.allow(Operation::Delete));
        assert!(Rights(UNTOLD).allow(Operation::Create));
        assert!(!Rights(0).allow(Operation::Describe));
    }
}
