//! One member of a group, as its coordinator knows it.

use std::time::{Duration, Instant};

use bytes::Bytes;

/// Names one waiting request, so that its answer finds it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(crate) struct Ticket(pub(crate) u64);

/// What a JoinGroup request says.
#[derive(Clone, Debug, Default)]
pub(super) struct Joining {
    /// Empty from a member that has no id yet.
    pub(super) member_id: String,
    /// `group.instance.id` of a static member.
    pub(super) instance_id: Option<String>,
    pub(super) client_id: String,
    pub(super) client_host: String,
    pub(super) session_timeout: Duration,
    pub(super) rebalance_timeout: Duration,
    pub(super) protocol_type: String,
    /// Assignors by name, most wanted first, each with the subscription as it understands it.
    pub(super) protocols: Vec<(String, Bytes)>,
}

/// A member.
#[derive(Debug)]
pub(super) struct Member {
    pub(super) id: String,
    pub(super) instance_id: Option<String>,
    pub(super) client_id: String,
    pub(super) client_host: String,
    pub(super) session_timeout: Duration,
    pub(super) rebalance_timeout: Duration,
    pub(super) protocols: Vec<(String, Bytes)>,
    pub(super) assignment: Bytes,
    /// When its session ends, unless it is heard of. Does not count while one of its requests waits here.
    pub(super) expires: Instant,
    /// Its JoinGroup that waits for the others.
    pub(super) joining: Option<Ticket>,
    /// Its SyncGroup that waits for the leader.
    pub(super) syncing: Option<Ticket>,
    /// Whether it has asked for its assignment of this generation.
    pub(super) synced: bool,
    /// Whether it has been in a generation. One that has not is forgotten when the group moves.
    pub(super) settled: bool,
}

impl Member {
    pub(super) fn new(id: String, joining: Joining, now: Instant) -> Self {
        Self {
            id,
            instance_id: joining.instance_id,
            client_id: joining.client_id,
            client_host: joining.client_host,
            session_timeout: joining.session_timeout,
            rebalance_timeout: joining.rebalance_timeout,
            protocols: joining.protocols,
            assignment: Bytes::new(),
            expires: now + joining.session_timeout,
            joining: None,
            syncing: None,
            synced: false,
            settled: false,
        }
    }

    /// Takes over what a repeated JoinGroup says.
    pub(super) fn update(&mut self, joining: Joining) {
        self.client_id = joining.client_id;
        self.client_host = joining.client_host;
        self.session_timeout = joining.session_timeout;
        self.rebalance_timeout = joining.rebalance_timeout;
        self.protocols = joining.protocols;
    }

    /// It was heard of.
    pub(super) fn heard(&mut self, now: Instant) {
        self.expires = now + self.session_timeout;
    }

    /// When it is to be taken for dead; never while it waits for an answer.
    pub(super) fn deadline(&self) -> Option<Instant> {
        (self.joining.is_none() && self.syncing.is_none()).then_some(self.expires)
    }

    pub(super) fn supports(&self, protocol: &str) -> bool {
        self.protocols.iter().any(|(name, _)| name == protocol)
    }

    /// Its subscription as `protocol` understands it.
    pub(super) fn metadata(&self, protocol: &str) -> Bytes {
        let found = self.protocols.iter().find(|(name, _)| name == protocol);
        found.map(|(_, metadata)| metadata.clone()).unwrap_or_default()
    }
}
