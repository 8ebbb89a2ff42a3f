//! A group member that says exactly what a case wants said, and nothing by itself: no heartbeats, no second attempt.

use std::collections::BTreeMap;
use std::time::Duration;

use bytes::{BufMut, Bytes, BytesMut};
use kafka_protocol::ResponseError;
use kafka_protocol::messages::consumer_protocol_subscription::ConsumerProtocolSubscription;
use kafka_protocol::messages::join_group_request::JoinGroupRequestProtocol;
use kafka_protocol::messages::leave_group_request::MemberIdentity;
use kafka_protocol::messages::offset_commit_request::{
    OffsetCommitRequestPartition, OffsetCommitRequestTopic,
};
use kafka_protocol::messages::sync_group_request::SyncGroupRequestAssignment;
use kafka_protocol::messages::*;
use kafka_protocol::protocol::{Encodable, StrBytes};
use libtest_mimic::Failed;

use crate::bed::{Bed, answers};
use crate::wire::{Wire, group_id, topic_name};

/// A member. What it says is in its fields, for a case to change.
pub(crate) struct Puppet {
    pub(crate) wire: Wire,
    pub(crate) group: String,
    pub(crate) topic: String,
    pub(crate) member_id: String,
    pub(crate) generation: i32,
    /// What the coordinator chose of the protocols; it must be named from SyncGroup 5 on.
    pub(crate) chosen: StrBytes,
    pub(crate) instance_id: Option<&'static str>,
    pub(crate) protocol_type: &'static str,
    /// What it can do, the preferred first.
    pub(crate) protocols: Vec<&'static str>,
    pub(crate) session: Duration,
    pub(crate) rebalance: Duration,
}

impl Puppet {
    /// Connected to the coordinator, and nothing said yet.
    pub(crate) async fn new(bed: &Bed, group: &str, topic: &str) -> Result<Self, Failed> {
        Ok(Self {
            wire: bed.coordinator(group).await?,
            group: group.to_owned(),
            topic: topic.to_owned(),
            member_id: String::new(),
            generation: -1,
            chosen: StrBytes::from_static_str("range"),
            instance_id: None,
            protocol_type: "consumer",
            protocols: vec!["range"],
            // Nothing beats here: so long that no case sees it end.
            session: Duration::from_secs(30),
            rebalance: Duration::from_secs(10),
        })
    }

    fn instance(&self) -> Option<StrBytes> {
        self.instance_id.map(StrBytes::from_static_str)
    }

    /// One JoinGroup.
    pub(crate) async fn join_once(&mut self) -> Result<JoinGroupResponse, Failed> {
        let subscription = ConsumerProtocolSubscription::default()
            .with_topics(vec![StrBytes::from_string(self.topic.clone())]);
        let mut metadata = BytesMut::new();
        metadata.put_i16(0); // the subscription's own version
        subscription.encode(&mut metadata, 0)?;
        let metadata = metadata.freeze();
        let protocols = self.protocols.iter().map(|name| {
            JoinGroupRequestProtocol::default()
                .with_name(StrBytes::from_static_str(name))
                .with_metadata(metadata.clone())
        });
        let millis = |duration: Duration| i32::try_from(duration.as_millis()).expect("short time-outs");
        let request = JoinGroupRequest::default()
            .with_group_id(group_id(&self.group))
            .with_session_timeout_ms(millis(self.session))
            .with_rebalance_timeout_ms(millis(self.rebalance))
            .with_member_id(StrBytes::from_string(self.member_id.clone()))
            .with_group_instance_id(self.instance())
            .with_protocol_type(StrBytes::from_static_str(self.protocol_type))
            .with_protocols(protocols.collect());
        self.wire.ask(&request).await
    }

    /// Joins under the id that the coordinator hands out, and must be let in.
    pub(crate) async fn join(&mut self) -> Result<JoinGroupResponse, Failed> {
        let mut response = self.join_once().await?;
        if response.error_code == ResponseError::MemberIdRequired.code() {
            self.member_id = response.member_id.to_string();
            response = self.join_once().await?;
        }
        answers(response.error_code, None, "JoinGroup")?;
        self.member_id = response.member_id.to_string();
        self.generation = response.generation_id;
        self.chosen = response.protocol_name.clone().ok_or("no protocol was chosen")?;
        Ok(response)
    }

    /// SyncGroup; a leader says who gets what.
    pub(crate) async fn sync(&mut self, assignments: &[(&str, &str)]) -> Result<(i16, Bytes), Failed> {
        let assignments = assignments.iter().map(|(member, assignment)| {
            SyncGroupRequestAssignment::default()
                .with_member_id(StrBytes::from_string((*member).to_owned()))
                .with_assignment(Bytes::copy_from_slice(assignment.as_bytes()))
        });
        let request = SyncGroupRequest::default()
            .with_group_id(group_id(&self.group))
            .with_generation_id(self.generation)
            .with_member_id(StrBytes::from_string(self.member_id.clone()))
            .with_group_instance_id(self.instance())
            .with_protocol_type(Some(StrBytes::from_static_str(self.protocol_type)))
            .with_protocol_name(Some(self.chosen.clone()))
            .with_assignments(assignments.collect());
        let response = self.wire.ask(&request).await?;
        Ok((response.error_code, response.assignment))
    }

    /// Joins and, being alone, assigns to itself.
    pub(crate) async fn settle(&mut self) -> Result<(), Failed> {
        self.join().await?;
        let own = self.member_id.clone();
        let (code, assignment) = self.sync(&[(&own, "all")]).await?;
        answers(code, None, "SyncGroup")?;
        crate::bed::same(&assignment, &Bytes::from_static(b"all"), "the assignment")
    }

    /// The error code of a heartbeat.
    pub(crate) async fn heartbeat(&mut self) -> Result<i16, Failed> {
        let request = HeartbeatRequest::default()
            .with_group_id(group_id(&self.group))
            .with_generation_id(self.generation)
            .with_member_id(StrBytes::from_string(self.member_id.clone()))
            .with_group_instance_id(self.instance());
        Ok(self.wire.ask(&request).await?.error_code)
    }

    /// The error code of a commit of `offset` in partition 0.
    pub(crate) async fn commit(&mut self, offset: i64) -> Result<i16, Failed> {
        let partition = OffsetCommitRequestPartition::default()
            .with_partition_index(0)
            .with_committed_offset(offset)
            .with_committed_metadata(Some(StrBytes::new()));
        let topic = OffsetCommitRequestTopic::default()
            .with_name(topic_name(&self.topic))
            .with_partitions(vec![partition]);
        let request = OffsetCommitRequest::default()
            .with_group_id(group_id(&self.group))
            .with_generation_id_or_member_epoch(self.generation)
            .with_member_id(StrBytes::from_string(self.member_id.clone()))
            .with_group_instance_id(self.instance())
            .with_topics(vec![topic]);
        let response = self.wire.ask(&request).await?;
        let answer = response.topics.first().and_then(|t| t.partitions.first());
        Ok(answer.ok_or("the answer names no partition")?.error_code)
    }

    /// The error code of leaving.
    pub(crate) async fn leave(&mut self) -> Result<i16, Failed> {
        let member = MemberIdentity::default().with_member_id(StrBytes::from_string(self.member_id.clone()));
        let request =
            LeaveGroupRequest::default().with_group_id(group_id(&self.group)).with_members(vec![member]);
        let response = self.wire.ask(&request).await?;
        let of_member = response.members.first().map_or(0, |m| m.error_code);
        Ok(if response.error_code == 0 { of_member } else { response.error_code })
    }

    /// What the group has committed in partition 0; −1 for nothing.
    pub(crate) async fn committed(&mut self) -> Result<i64, Failed> {
        let (group, topic) = (self.group.clone(), self.topic.clone());
        let offsets: BTreeMap<i32, i64> =
            self.wire.committed(&group, &topic, &[0]).await?.map_err(|e| format!("OffsetFetch: {e:?}"))?;
        Ok(*offsets.get(&0).ok_or("the answer names no partition")?)
    }
}
