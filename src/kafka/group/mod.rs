//! Membership in a consumer group, as Kafka's classic group protocol has it: eager, with the range assignor.
//!
//! ```text
//! Member::join ── FindCoordinator ─▶ JoinGroup ─▶ (the leader assigns) ─▶ SyncGroup ─▶ Assignment
//!                                        │ connection of its own: JoinGroup blocks it
//!                                        └▶ heartbeat task, its own connection ─▶ Member::changed
//! Member::offsets ── OffsetFetch, OffsetCommit, a third connection
//! ```
//!
//! A Java consumer with `RangeAssignor` can share the group; either side may lead it.
//!
//! Versions used: FindCoordinator 4, JoinGroup 7, SyncGroup 5, Heartbeat 4, OffsetFetch 8, OffsetCommit 8,
//! LeaveGroup 4, Metadata 12; all spoken by Kafka 3.0 and later.

use std::time::Duration;

use crate::kafka::METADATA_MAX_AGE;

pub mod assignor;
pub(crate) mod coordinator;
mod error;
#[cfg(test)]
mod fake;
mod heartbeat;
mod join;
mod member;
mod membership;
pub(crate) mod offsets;
#[cfg(test)]
mod tests;
mod topic;
pub(crate) mod wire;

pub use super::conn::code::KafkaCode;
pub use error::{CommitError, GroupError, LostReason, OffsetError};
pub use member::{Assignment, Change, Member};
pub use offsets::Offsets;

/// How a member takes part in its group.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct GroupConfig {
    /// The group's name (`group.id`).
    pub group_id: String,
    /// What the member calls itself in the broker's tools (`client.id`).
    pub client_id: String,
    /// A lasting name (`group.instance.id`): the member may come back under it without a rebalance.
    pub instance_id: Option<String>,
    /// Silence after which the coordinator gives the member's partitions away (`session.timeout.ms`).
    pub session_timeout: Duration,
    /// Time that members have to give their partitions up and join again (`max.poll.interval.ms` of a Java consumer).
    pub rebalance_timeout: Duration,
    /// Pause between heartbeats; also how late a rebalance may be noticed (`heartbeat.interval.ms`).
    pub heartbeat_interval: Duration,
    /// Bound of each request, and of a commit with all its attempts (`request.timeout.ms`).
    pub request_timeout: Duration,
    /// How old the member's knowledge of the topic may be (`metadata.max.age.ms`): partitions that are added are assigned no later.
    pub metadata_max_age: Duration,
}

impl GroupConfig {
    /// Session 6 s, rebalance 10 s, heartbeat 200 ms, request 5 s, metadata 25 s, no instance id.
    ///
    /// Short against Kafka's own defaults (45 s, 5 min, 3 s, 30 s), since here a silent member is what is measured.
    /// A rebalance takes about as long as a heartbeat, by which members learn of it: with 200 ms a consumer that stops in good order silences its
    /// partitions for less than 250 ms, with 300 ms for a quarter of a second and more.
    /// 6 s is the shortest session that a broker allows by default (`group.min.session.timeout.ms`).
    pub fn new(group_id: impl Into<String>, client_id: impl Into<String>) -> Self {
        Self {
            group_id: group_id.into(),
            client_id: client_id.into(),
            instance_id: None,
            session_timeout: Duration::from_secs(6),
            rebalance_timeout: Duration::from_secs(10),
            heartbeat_interval: Duration::from_millis(200),
            request_timeout: Duration::from_secs(5),
            metadata_max_age: METADATA_MAX_AGE,
        }
    }
}
