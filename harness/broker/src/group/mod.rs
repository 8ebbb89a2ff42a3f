//! Consumer groups of the classic protocol.
//!
//! [`state`] and [`rebalance`] are the machine, pure; [`coordinator`] its clock and the requests that wait; here its requests and answers
//! are translated. A node answers for the groups it coordinates only, the others with `NOT_COORDINATOR`.

use std::time::Duration;

use kafka_protocol::error::ResponseError;
use kafka_protocol::messages::delete_groups_response::DeletableGroupResult;
use kafka_protocol::messages::describe_groups_response::{DescribedGroup, DescribedGroupMember};
use kafka_protocol::messages::find_coordinator_response::Coordinator as Found;
use kafka_protocol::messages::join_group_response::JoinGroupResponseMember;
use kafka_protocol::messages::leave_group_request::MemberIdentity;
use kafka_protocol::messages::leave_group_response::MemberResponse;
use kafka_protocol::messages::list_groups_response::ListedGroup;
use kafka_protocol::messages::{
    BrokerId, DeleteGroupsRequest, DeleteGroupsResponse, DescribeGroupsRequest, DescribeGroupsResponse,
    FindCoordinatorRequest, FindCoordinatorResponse, GroupId, HeartbeatRequest, HeartbeatResponse,
    JoinGroupRequest, JoinGroupResponse, LeaveGroupRequest, LeaveGroupResponse, ListGroupsRequest,
    ListGroupsResponse, SyncGroupRequest, SyncGroupResponse,
};
use kafka_protocol::protocol::StrBytes;

use self::member::Joining;
use self::state::State;
use super::connection::Incoming;
use super::shared::{HOST, Node, Shared};

mod coordinator;
mod member;
mod rebalance;
mod state;
#[cfg(test)]
mod tests;

pub(super) use coordinator::Coordinator;
pub(super) use state::{Group, Sender};

/// The kind of coordinator that is served; the other is for transactions.
const KEY_TYPE_GROUP: i8 = 0;
/// From this version of JoinGroup on, a member without an id is told one and has to come again with it.
const JOIN_WITH_ID: i16 = 4;
/// From this version of LeaveGroup on, several members leave at once.
const LEAVE_SEVERAL: i16 = 3;
/// From this version of FindCoordinator on, several are found at once.
const FIND_SEVERAL: i16 = 4;

fn text(text: impl Into<String>) -> StrBytes {
    StrBytes::from_string(text.into())
}

fn millis(ms: i32) -> Duration {
    Duration::from_millis(u64::try_from(ms).unwrap_or(0))
}

fn code(outcome: Result<(), ResponseError>) -> i16 {
    outcome.map_or_else(|error| error.code(), |()| 0)
}

/// Refuses what another node coordinates. No name is no group, of whatever node: what is wrong there is the name, and whoever
/// takes it says so.
pub(super) fn check_node(shared: &Shared, node: &Node, group: &str) -> Result<(), ResponseError> {
    match shared.coordinator_of(group) {
        _ if group.is_empty() => Ok(()),
        Some(coordinator) if coordinator.id == node.id => Ok(()),
        _ => Err(ResponseError::NotCoordinator),
    }
}

/// Who coordinates each group, whether it exists or not.
pub(super) fn find_coordinator(
    shared: &Shared,
    version: i16,
    request: &FindCoordinatorRequest,
) -> FindCoordinatorResponse {
    let find = |key: &StrBytes| match shared.coordinator_of(key) {
        _ if request.key_type != KEY_TYPE_GROUP => Err(ResponseError::InvalidRequest),
        Some(node) => Ok(node),
        None => Err(ResponseError::CoordinatorNotAvailable),
    };
    if version >= FIND_SEVERAL {
        let found = request.coordinator_keys.iter().map(|key| {
            let answer = Found::default().with_key(key.clone());
            match find(key) {
                Ok(node) => answer
                    .with_node_id(BrokerId(node.id))
                    .with_host(StrBytes::from_static_str(HOST))
                    .with_port(i32::from(node.port)),
                Err(error) => answer.with_node_id(BrokerId(-1)).with_port(-1).with_error_code(error.code()),
            }
        });
        return FindCoordinatorResponse::default().with_coordinators(found.collect());
    }
    match find(&request.key) {
        Ok(node) => FindCoordinatorResponse::default()
            .with_node_id(BrokerId(node.id))
            .with_host(StrBytes::from_static_str(HOST))
            .with_port(i32::from(node.port)),
        Err(error) => FindCoordinatorResponse::default()
            .with_node_id(BrokerId(-1))
            .with_port(-1)
            .with_error_code(error.code()),
    }
}

/// JoinGroup. Ends when all members have joined.
pub(super) async fn join(
    shared: &Shared,
    node: &Node,
    incoming: &Incoming,
    request: JoinGroupRequest,
) -> JoinGroupResponse {
    let failed = |error: ResponseError, member_id: StrBytes| {
        JoinGroupResponse::default()
            .with_error_code(error.code())
            .with_generation_id(-1)
            .with_protocol_name(Some(StrBytes::default()))
            .with_member_id(member_id)
    };
    if let Err(error) = check_node(shared, node, &request.group_id) {
        return failed(error, request.member_id);
    }
    let session_timeout = millis(request.session_timeout_ms);
    // Version 0 has no rebalance time-out.
    let rebalance_timeout =
        if request.rebalance_timeout_ms < 0 { session_timeout } else { millis(request.rebalance_timeout_ms) };
    let protocols = request.protocols.into_iter().map(|p| (p.name.to_string(), p.metadata));
    let joining = Joining {
        member_id: request.member_id.to_string(),
        instance_id: request.group_instance_id.map(|id| id.to_string()),
        client_id: incoming.client_id.clone(),
        client_host: incoming.client_host.clone(),
        session_timeout,
        rebalance_timeout,
        protocol_type: request.protocol_type.to_string(),
        protocols: protocols.collect(),
    };
    let hand_out = incoming.version >= JOIN_WITH_ID;
    let joined = match shared.coordinator.join(&request.group_id, joining, hand_out).await {
        Ok(joined) => joined,
        Err(refused) => return failed(refused.error, text(refused.member_id)),
    };
    let members = joined.members.into_iter().map(|(id, instance_id, metadata)| {
        JoinGroupResponseMember::default()
            .with_member_id(text(id))
            .with_group_instance_id(instance_id.map(text))
            .with_metadata(metadata)
    });
    JoinGroupResponse::default()
        .with_generation_id(joined.generation)
        .with_protocol_type(Some(text(joined.protocol_type)))
        .with_protocol_name(Some(text(joined.protocol)))
        .with_leader(text(joined.leader))
        .with_member_id(text(joined.member_id))
        .with_members(members.collect())
}

/// SyncGroup. Ends when the leader has assigned.
pub(super) async fn sync(shared: &Shared, node: &Node, request: SyncGroupRequest) -> SyncGroupResponse {
    let failed = |error: ResponseError| SyncGroupResponse::default().with_error_code(error.code());
    if let Err(error) = check_node(shared, node, &request.group_id) {
        return failed(error);
    }
    let sender = Sender { member_id: &request.member_id, instance_id: request.group_instance_id.as_deref() };
    let protocol = (request.protocol_type.as_deref(), request.protocol_name.as_deref());
    let assignments =
        request.assignments.into_iter().map(|a| (a.member_id.to_string(), a.assignment)).collect();
    let synced = shared
        .coordinator
        .sync(&request.group_id, sender, request.generation_id, protocol, assignments)
        .await;
    match synced {
        Ok(synced) => SyncGroupResponse::default()
            .with_protocol_type(Some(text(synced.protocol_type)))
            .with_protocol_name(Some(text(synced.protocol)))
            .with_assignment(synced.assignment),
        Err(error) => failed(error),
    }
}

/// Heartbeat.
pub(super) fn heartbeat(shared: &Shared, node: &Node, request: &HeartbeatRequest) -> HeartbeatResponse {
    let sender = Sender { member_id: &request.member_id, instance_id: request.group_instance_id.as_deref() };
    let beat = check_node(shared, node, &request.group_id).and_then(|()| {
        let beat = |group: &mut Group, now| group.heartbeat(now, sender, request.generation_id);
        shared.coordinator.with(&request.group_id, beat).unwrap_or(Err(ResponseError::UnknownMemberId))
    });
    HeartbeatResponse::default().with_error_code(code(beat))
}

/// LeaveGroup.
pub(super) fn leave(
    shared: &Shared,
    node: &Node,
    version: i16,
    request: &LeaveGroupRequest,
) -> LeaveGroupResponse {
    if let Err(error) = check_node(shared, node, &request.group_id) {
        return LeaveGroupResponse::default().with_error_code(error.code());
    }
    let one = |member_id: &str, instance_id: Option<&str>| {
        let leave = |group: &mut Group, now| group.leave(now, Sender { member_id, instance_id });
        shared.coordinator.with(&request.group_id, leave).unwrap_or(Err(ResponseError::UnknownMemberId))
    };
    if version < LEAVE_SEVERAL {
        return LeaveGroupResponse::default().with_error_code(code(one(&request.member_id, None)));
    }
    let members = request.members.iter().map(|member: &MemberIdentity| {
        MemberResponse::default()
            .with_member_id(member.member_id.clone())
            .with_group_instance_id(member.group_instance_id.clone())
            .with_error_code(code(one(&member.member_id, member.group_instance_id.as_deref())))
    });
    LeaveGroupResponse::default().with_members(members.collect())
}

/// DescribeGroups. A group that is not there is Dead, which is no error.
pub(super) fn describe(
    shared: &Shared,
    node: &Node,
    request: &DescribeGroupsRequest,
) -> DescribeGroupsResponse {
    let groups = request.groups.iter().map(|name| {
        let answer = DescribedGroup::default().with_group_id(name.clone());
        if let Err(error) = check_node(shared, node, name) {
            return answer.with_error_code(error.code());
        }
        let described = shared.coordinator.with(name, |group, _| describe_one(group));
        described.unwrap_or_else(|| answer.clone().with_group_state(text("Dead"))).with_group_id(name.clone())
    });
    DescribeGroupsResponse::default().with_groups(groups.collect())
}

fn describe_one(group: &Group) -> DescribedGroup {
    // Between two generations a member has neither subscription nor assignment that mean anything.
    let stable = group.state == State::Stable;
    let members = group.members.iter().map(|member| {
        let described = DescribedGroupMember::default()
            .with_member_id(text(&member.id))
            .with_group_instance_id(member.instance_id.as_ref().map(text))
            .with_client_id(text(&member.client_id))
            .with_client_host(text(&member.client_host));
        if stable {
            described
                .with_member_metadata(member.metadata(&group.protocol))
                .with_member_assignment(member.assignment.clone())
        } else {
            described
        }
    });
    DescribedGroup::default()
        .with_group_state(text(group.state.name()))
        .with_protocol_type(text(&group.protocol_type))
        .with_protocol_data(if stable { text(&group.protocol) } else { StrBytes::default() })
        .with_members(members.collect())
}

/// ListGroups: those that this node coordinates.
pub(super) fn list(shared: &Shared, node: &Node, request: &ListGroupsRequest) -> ListGroupsResponse {
    let groups = shared.coordinator.lock();
    let asked = |group: &Group| {
        let state = group.state.name();
        request.states_filter.is_empty()
            || request.states_filter.iter().any(|name| name.eq_ignore_ascii_case(state))
    };
    let ours =
        groups.by_name.iter().filter(|(name, group)| check_node(shared, node, name).is_ok() && asked(group));
    let listed = ours.map(|(name, group)| {
        ListedGroup::default()
            .with_group_id(GroupId(text(name)))
            .with_protocol_type(text(&group.protocol_type))
            .with_group_state(text(group.state.name()))
    });
    ListGroupsResponse::default().with_groups(listed.collect())
}

/// DeleteGroups: those without members, with what they have committed.
pub(super) fn delete(shared: &Shared, node: &Node, request: &DeleteGroupsRequest) -> DeleteGroupsResponse {
    let results = request.groups_names.iter().map(|name| {
        let deleted = check_node(shared, node, name).and_then(|()| {
            let mut groups = shared.coordinator.lock();
            match groups.by_name.get(name.as_str()) {
                None => Err(ResponseError::GroupIdNotFound),
                Some(group) if group.state != State::Empty => Err(ResponseError::NonEmptyGroup),
                Some(_) => {
                    groups.by_name.remove(name.as_str());
                    Ok(())
                }
            }
        });
        DeletableGroupResult::default().with_group_id(name.clone()).with_error_code(code(deleted))
    });
    DeleteGroupsResponse::default().with_results(results.collect())
}
