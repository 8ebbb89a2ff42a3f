//! Groups as an operator sees them: offsets, members, deletion. All through the group's coordinator.

use std::collections::BTreeMap;
use std::sync::PoisonError;

use kafka_protocol::error::ResponseError;
use kafka_protocol::messages::delete_groups_request::DeleteGroupsRequest;
use kafka_protocol::messages::describe_groups_request::DescribeGroupsRequest;
use kafka_protocol::messages::describe_groups_response::DescribedGroup;
use kafka_protocol::messages::list_groups_request::ListGroupsRequest;
use tokio::time::Instant;

use super::{Admin, AdminError, Broker, Fault, KafkaCode, fault};
use crate::kafka::group::coordinator::{FIND_COORDINATOR, coordinator_in, find_coordinator_request};
use crate::kafka::group::offsets::{OFFSET_FETCH, fetched_offsets, offset_fetch_request};
use crate::kafka::group::wire::{decode_assignment, group_id};

const LIST_GROUPS: i16 = 4;
pub(super) const DESCRIBE_GROUPS: i16 = 5;
const DELETE_GROUPS: i16 = 2;

/// A group at one moment.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct GroupDescription {
    /// Kafka's name of its state: `Empty`, `PreparingRebalance`, `CompletingRebalance`, `Stable`, or `Dead`, which is
    /// also what a group that never was is in.
    pub state: String,
    /// The assignor in use, as in `range`; empty while there is none.
    pub assignor: String,
    /// Its members, by member id.
    pub members: Vec<GroupMember>,
}

/// A member of a group.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct GroupMember {
    /// The id the coordinator gave it.
    pub member_id: String,
    /// Its own lasting id, if it has one (`group.instance.id`).
    pub instance_id: Option<String>,
    /// What it calls itself.
    pub client_id: String,
    /// Where it connects from.
    pub host: String,
    /// What it was assigned: partitions by topic. While the group rebalances, what it was assigned before.
    pub partitions: BTreeMap<String, Vec<i32>>,
}

impl Admin {
    /// The next offset that `group` has committed for each partition of `topic`; partitions without one are absent.
    ///
    /// # Errors
    /// [`AdminError::Refused`] with `UNKNOWN_TOPIC_OR_PARTITION`; [`AdminError::Forbidden`];
    /// [`AdminError::TimedOut`].
    pub async fn group_offsets(&self, group: &str, topic: &str) -> Result<BTreeMap<i32, i64>, AdminError> {
        let what = format!("fetch the offsets of group `{group}` on topic `{topic}`");
        let what_ref = what.as_str();
        self.retry(&what, |until| async move {
            // The topic's partitions are named, since asking for "all" leaves out silently what is not allowed.
            let partitions: Vec<_> = self.leaders(what_ref, topic, until).await?.keys().copied().collect();
            let request = offset_fetch_request(group, topic, &partitions, false);
            let address = self.coordinator(what_ref, group, until).await?;
            let fetched = match self.pool.call(&address, OFFSET_FETCH, &request, until).await {
                Ok(response) => fetched_offsets(&response).map_err(|code| {
                    let right = format!("DESCRIBE on group `{group}` and on topic `{topic}`");
                    fault(what_ref, &right, code, None)
                }),
                Err(error) => Err(error.into()),
            };
            if fetched.is_err() {
                self.forget_coordinator(group);
            }
            Ok(fetched?.into_iter().filter_map(|(p, offset)| Some((p, offset?))).collect())
        })
        .await
    }

    /// The names of all groups, in order: what each live broker coordinates. Groups that this user may not describe are
    /// absent.
    ///
    /// # Errors
    /// [`AdminError::Refused`], [`AdminError::Forbidden`], [`AdminError::TimedOut`].
    pub async fn list_groups(&self) -> Result<Vec<String>, AdminError> {
        let what = "list the groups";
        let request = &ListGroupsRequest::default();
        self.retry(what, |until| async move {
            let mut names = Vec::new();
            for broker in &self.metadata(&[], until).await?.brokers {
                let Some(address) = self.cluster.address(broker.node_id.0) else { continue };
                let response = self.pool.call(&address, LIST_GROUPS, request, until).await?;
                if let Some(code) = KafkaCode::of(response.error_code) {
                    return Err(fault(what, "DESCRIBE on the groups", code, None));
                }
                names.extend(response.groups.iter().map(|group| group.group_id.to_string()));
            }
            names.sort_unstable();
            Ok(names)
        })
        .await
    }

    /// The state of a group of the classic protocol, its members and what each was assigned.
    ///
    /// # Errors
    /// [`AdminError::Refused`], [`AdminError::Forbidden`], [`AdminError::TimedOut`].
    pub async fn group_members(&self, group: &str) -> Result<GroupDescription, AdminError> {
        let what = format!("describe group `{group}`");
        let what_ref = what.as_str();
        let request = &DescribeGroupsRequest::default().with_groups(vec![group_id(group)]);
        self.retry(&what, |until| async move {
            let address = self.coordinator(what_ref, group, until).await?;
            let described = match self.pool.call(&address, DESCRIBE_GROUPS, request, until).await {
                Ok(response) => describe(what_ref, group, response.groups.into_iter().next()),
                Err(error) => Err(error.into()),
            };
            if described.is_err() {
                self.forget_coordinator(group);
            }
            described
        })
        .await
    }

    /// The broker that coordinates a group.
    ///
    /// # Errors
    /// [`AdminError::Forbidden`], [`AdminError::TimedOut`].
    pub async fn group_coordinator(&self, group: &str) -> Result<Broker, AdminError> {
        let what = format!("find the coordinator of group `{group}`");
        let what_ref = what.as_str();
        self.forget_coordinator(group); // it may have moved
        let address =
            self.retry(&what, |until| async move { self.coordinator(what_ref, group, until).await }).await?;
        let brokers = self.brokers().await?;
        let found = brokers.into_iter().find(|broker| format!("{}:{}", broker.host, broker.port) == address);
        found.ok_or_else(|| AdminError::TimedOut {
            what,
            timeout: self.timeout,
            last: format!("{address} is none of the live brokers"),
        })
    }

    /// Deletes a group with its offsets. One that does not exist counts as deleted.
    ///
    /// # Errors
    /// [`AdminError::Refused`] with `NON_EMPTY_GROUP` while it has members; [`AdminError::Forbidden`];
    /// [`AdminError::TimedOut`].
    pub async fn delete_group(&self, group: &str) -> Result<(), AdminError> {
        let what = format!("delete group `{group}`");
        let what_ref = what.as_str();
        let request = &DeleteGroupsRequest::default().with_groups_names(vec![group_id(group)]);
        self.retry(&what, |until| async move {
            let address = self.coordinator(what_ref, group, until).await?;
            let code = match self.pool.call(&address, DELETE_GROUPS, request, until).await {
                Ok(response) => response.results.iter().find_map(|r| KafkaCode::of(r.error_code)),
                Err(error) => {
                    self.forget_coordinator(group);
                    return Err(error.into());
                }
            };
            match code {
                None => Ok(()),
                Some(code) if code.kind() == ResponseError::GroupIdNotFound => Ok(()),
                Some(code) => {
                    self.forget_coordinator(group);
                    Err(fault(what_ref, &format!("DELETE on group `{group}`"), code, None))
                }
            }
        })
        .await
    }

    pub(super) async fn coordinator(&self, what: &str, group: &str, until: Instant) -> Result<String, Fault> {
        let cached = self.coordinators.lock().unwrap_or_else(PoisonError::into_inner).get(group).cloned();
        if let Some(address) = cached {
            return Ok(address);
        }
        let limit = until.saturating_duration_since(Instant::now());
        let response = self
            .cluster
            .ask(FIND_COORDINATOR, find_coordinator_request(group), limit, |r| coordinator_in(r).is_ok())
            .await?;
        let address = coordinator_in(&response)
            .map_err(|code| fault(what, &format!("DESCRIBE on group `{group}`"), code, None))?;
        let mut coordinators = self.coordinators.lock().unwrap_or_else(PoisonError::into_inner);
        coordinators.insert(group.to_owned(), address.clone());
        Ok(address)
    }

    pub(super) fn forget_coordinator(&self, group: &str) {
        self.coordinators.lock().unwrap_or_else(PoisonError::into_inner).remove(group);
    }
}

fn describe(what: &str, group: &str, described: Option<DescribedGroup>) -> Result<GroupDescription, Fault> {
    let described =
        described.ok_or_else(|| Fault::Retry(format!("the broker said nothing about group `{group}`")))?;
    KafkaCode::check(described.error_code)
        .map_err(|code| fault(what, &format!("DESCRIBE on group `{group}`"), code, None))?;
    let mut members = Vec::new();
    for m in described.members {
        let partitions = decode_assignment(&m.member_assignment)
            .map_err(|e| Fault::Retry(format!("the assignment of member `{}`: {e}", m.member_id)))?;
        members.push(GroupMember {
            member_id: m.member_id.to_string(),
            instance_id: m.group_instance_id.map(|id| id.to_string()),
            client_id: m.client_id.to_string(),
            host: m.client_host.trim_start_matches('/').to_owned(),
            partitions,
        });
    }
    members.sort_by(|a, b| a.member_id.cmp(&b.member_id));
    Ok(GroupDescription {
        state: described.group_state.to_string(),
        assignor: described.protocol_data.to_string(),
        members,
    })
}
