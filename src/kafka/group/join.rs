//! One round of JoinGroup and SyncGroup, and what each error code means for the next.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use kafka_protocol::error::ResponseError;
use kafka_protocol::messages::join_group_request::JoinGroupRequestProtocol;
use kafka_protocol::messages::join_group_response::JoinGroupResponseMember;
use kafka_protocol::messages::sync_group_request::SyncGroupRequestAssignment;
use kafka_protocol::messages::{JoinGroupRequest, JoinGroupResponse, SyncGroupRequest};
use kafka_protocol::protocol::StrBytes;

use super::GroupConfig;
use super::assignor::{self, Subscriber, range};
use super::coordinator::{Finder, Link, Trouble};
use super::error::GroupError;
use super::topic::{SeenTopic, TopicWatch};
use super::wire::{decode_assignment, decode_subscription, encode_assignment, encode_subscription, group_id};
use crate::kafka::conn::code::KafkaCode;

const JOIN_GROUP: i16 = 7;
const SYNC_GROUP: i16 = 5;
const PROTOCOL_TYPE: &str = "consumer";

/// Why a round did not end in an assignment.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Setback {
    /// Another round, after a pause.
    Again(String),
    /// The coordinator has handed out this member id: join with it, at once.
    Named(String),
    /// The coordinator does not know the member id: another round, without one.
    Unknown,
    /// No round will end well.
    Fatal(GroupError),
}

/// Sends the requests of a round, over a connection of its own since JoinGroup blocks it.
#[derive(Debug)]
pub(super) struct Joiner {
    pub(super) topic: String,
    pub(super) config: GroupConfig,
    pub(super) finder: Arc<Finder>,
    pub(super) link: Link,
    pub(super) watch: TopicWatch,
}

impl Joiner {
    /// Number of partitions and id of `topics`, without those that do not exist.
    pub(super) async fn describe(&self, topics: &[String]) -> Result<BTreeMap<String, SeenTopic>, Setback> {
        let metadata = self
            .finder
            .cluster
            .metadata(topics, self.config.request_timeout)
            .await
            .map_err(|e| Setback::Again(e.to_string()))?;
        let mut seen = BTreeMap::new();
        for topic in &metadata.topics {
            let name = topic.name.as_ref().map(|n| n.to_string()).unwrap_or_default();
            match KafkaCode::of(topic.error_code) {
                Some(code) if code.is_authorization() && name == self.topic => {
                    return Err(self.forbidden(code));
                }
                // Another member's topic that may not be seen, or is not there, is left to whoever may.
                Some(code) if code.kind() == ResponseError::UnknownTopicOrPartition || name != self.topic => {
                    tracing::debug!(topic = name, %code, "not assigned");
                }
                Some(code) if code.is_retriable() => return Err(Setback::Again(code.to_string())),
                Some(code) => return Err(self.refused(code)),
                None => {
                    let partitions = i32::try_from(topic.partitions.len()).unwrap_or(i32::MAX);
                    seen.insert(name, SeenTopic { id: topic.topic_id, partitions });
                }
            }
        }
        Ok(seen)
    }

    /// JoinGroup. Blocks until every member has joined, the rebalance time-out of the slowest at most.
    pub(super) async fn join(&mut self, member_id: &str) -> Result<JoinGroupResponse, Setback> {
        let protocol = JoinGroupRequestProtocol::default()
            .with_name(StrBytes::from_static_str(assignor::NAME))
            .with_metadata(encode_subscription(&self.topic));
        let request = JoinGroupRequest::default()
            .with_group_id(group_id(&self.config.group_id))
            .with_session_timeout_ms(millis(self.config.session_timeout))
            .with_rebalance_timeout_ms(millis(self.config.rebalance_timeout))
            .with_member_id(StrBytes::from_string(member_id.to_owned()))
            .with_group_instance_id(self.instance_id())
            .with_protocol_type(StrBytes::from_static_str(PROTOCOL_TYPE))
            .with_protocols(vec![protocol]);
        let limit = self.config.rebalance_timeout + self.config.request_timeout;
        let response = self.link.call(JOIN_GROUP, &request, limit).await.map_err(|t| self.trouble(t))?;
        match KafkaCode::of(response.error_code) {
            None => Ok(response),
            Some(code) => Err(self.setback(code, &response.member_id)),
        }
    }

    /// Assigns, if this member leads; then SyncGroup, which brings the partitions of the topic, in order.
    pub(super) async fn sync(&mut self, joined: &JoinGroupResponse) -> Result<Vec<i32>, Setback> {
        let leads = joined.leader == joined.member_id;
        self.watch.begin();
        let assignments = if leads { self.assign(&joined.members).await? } else { Vec::new() };
        let request = SyncGroupRequest::default()
            .with_group_id(group_id(&self.config.group_id))
            .with_generation_id(joined.generation_id)
            .with_member_id(joined.member_id.clone())
            .with_group_instance_id(self.instance_id())
            .with_protocol_type(joined.protocol_type.clone())
            .with_protocol_name(joined.protocol_name.clone())
            .with_assignments(assignments);
        let limit = self.config.rebalance_timeout + self.config.request_timeout;
        let response = self.link.call(SYNC_GROUP, &request, limit).await.map_err(|t| self.trouble(t))?;
        if let Some(code) = KafkaCode::of(response.error_code) {
            return Err(self.setback(code, ""));
        }
        let mut assigned = decode_assignment(&response.assignment)
            .map_err(|e| Setback::Again(format!("the leader's assignment can't be read: {e}")))?;
        Ok(assigned.remove(&self.topic).unwrap_or_default())
    }

    async fn assign(
        &mut self,
        members: &[JoinGroupResponseMember],
    ) -> Result<Vec<SyncGroupRequestAssignment>, Setback> {
        let subscribers: Vec<_> = members.iter().map(subscriber).collect();
        let mut topics: Vec<String> = subscribers.iter().flat_map(|s| &s.topics).cloned().collect();
        topics.sort_unstable();
        topics.dedup();
        let seen = self.describe(&topics).await?;
        self.watch.judge(&self.topic, &seen).map_err(Setback::Fatal)?;
        // A broker that has just started may not know it yet; assigning nothing of it would silence the group.
        if !seen.contains_key(&self.topic) {
            return Err(Setback::Again(format!("the leader can't see topic `{}`", self.topic)));
        }
        let counts: BTreeMap<String, i32> =
            seen.into_iter().map(|(name, seen)| (name, seen.partitions)).collect();
        let assignment = range(&subscribers, &counts);
        self.watch.assigned(counts);
        tracing::debug!(group = self.config.group_id, ?assignment, "assigned as leader");
        let message = |(member_id, partitions)| {
            SyncGroupRequestAssignment::default()
                .with_member_id(StrBytes::from_string(member_id))
                .with_assignment(encode_assignment(&partitions))
        };
        Ok(assignment.into_iter().map(message).collect())
    }

    fn instance_id(&self) -> Option<StrBytes> {
        self.config.instance_id.clone().map(StrBytes::from_string)
    }

    fn trouble(&self, trouble: Trouble) -> Setback {
        match trouble {
            Trouble::Passing(why) => Setback::Again(why),
            Trouble::Refused(code) if code.is_authorization() => self.forbidden(code),
            Trouble::Refused(code) => self.refused(code),
        }
    }

    /// What an error code of JoinGroup or SyncGroup means.
    fn setback(&mut self, code: KafkaCode, member_id: &str) -> Setback {
        use ResponseError as E;
        self.link.heed(code);
        let group = self.config.group_id.clone();
        match code.kind() {
            E::MemberIdRequired => Setback::Named(member_id.to_owned()),
            E::UnknownMemberId => Setback::Unknown,
            // The id is still good, as the broker would say otherwise: only the round was too late.
            E::IllegalGeneration | E::RebalanceInProgress => Setback::Again(code.to_string()),
            E::InconsistentGroupProtocol => Setback::Fatal(GroupError::Inconsistent { group, code }),
            E::InvalidSessionTimeout => {
                let session_timeout = self.config.session_timeout;
                Setback::Fatal(GroupError::SessionTimeout { session_timeout, code })
            }
            E::FencedInstanceId => {
                let instance_id = self.config.instance_id.clone().unwrap_or_default();
                Setback::Fatal(GroupError::Fenced { group, instance_id, code })
            }
            _ if code.is_authorization() => self.forbidden(code),
            _ if code.is_retriable() => Setback::Again(code.to_string()),
            _ => self.refused(code),
        }
    }

    fn forbidden(&self, code: KafkaCode) -> Setback {
        let right = match code.kind() {
            ResponseError::TopicAuthorizationFailed => format!("READ on topic `{}`", self.topic),
            _ => format!("READ on group `{}`", self.config.group_id),
        };
        Setback::Fatal(GroupError::Forbidden { group: self.config.group_id.clone(), right, code })
    }

    fn refused(&self, code: KafkaCode) -> Setback {
        Setback::Fatal(GroupError::Refused { group: self.config.group_id.clone(), code })
    }
}

/// A member as the leader sees it. One whose subscription can't be read gets nothing; the group goes on.
fn subscriber(member: &JoinGroupResponseMember) -> Subscriber {
    let topics = decode_subscription(&member.metadata).unwrap_or_else(|error| {
        tracing::warn!(member = %member.member_id, %error, "its subscription can't be read");
        Vec::new()
    });
    Subscriber {
        member_id: member.member_id.to_string(),
        instance_id: member.group_instance_id.as_ref().map(|id| id.to_string()),
        topics,
    }
}

fn millis(duration: Duration) -> i32 {
    i32::try_from(duration.as_millis()).unwrap_or(i32::MAX)
}
