//! A group of the classic protocol as a state machine (Kafka's `ClassicGroup`), pure: time comes in, answers go out as
//! [`Effect`]s, and nothing waits.
//!
//! ```text
//! Empty ──join──▶ PreparingRebalance ──all joined, or time is up──▶ CompletingRebalance ──leader assigns──▶ Stable
//!   ▲                    │   ▲                                              │                               │
//!   └──nobody is left────┘   └── a member comes, goes, or changes ◀─────────┴───────────────────────────────┘
//! ```
//!
//! A group that is deleted is Dead: it is no more.

use std::collections::BTreeMap;
use std::time::Instant;

use bytes::Bytes;
use kafka_protocol::error::ResponseError;

use super::member::{Joining, Member, Ticket};
use crate::offsets::Committed;

/// Where a group stands. Display is Kafka's name.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum State {
    Empty,
    PreparingRebalance,
    CompletingRebalance,
    Stable,
}

impl State {
    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Empty => "Empty",
            Self::PreparingRebalance => "PreparingRebalance",
            Self::CompletingRebalance => "CompletingRebalance",
            Self::Stable => "Stable",
        }
    }
}

/// The good answer to a JoinGroup.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Joined {
    pub(super) generation: i32,
    pub(super) protocol_type: String,
    pub(super) protocol: String,
    pub(super) leader: String,
    pub(super) member_id: String,
    /// Everybody, for the leader: member id, instance id, subscription.
    pub(super) members: Vec<(String, Option<String>, Bytes)>,
}

/// The bad answer to a JoinGroup; the member id matters with `MEMBER_ID_REQUIRED`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct JoinRefused {
    pub(super) error: ResponseError,
    pub(super) member_id: String,
}

/// The good answer to a SyncGroup.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Synced {
    pub(super) protocol_type: String,
    pub(super) protocol: String,
    pub(super) assignment: Bytes,
}

/// An answer that is due.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Effect {
    Joined(Ticket, Result<Joined, JoinRefused>),
    Synced(Ticket, Result<Synced, ResponseError>),
}

/// An id that was handed out with `MEMBER_ID_REQUIRED`, and is waited for.
#[derive(Debug)]
pub(super) struct Pending {
    id: String,
    expires: Instant,
}

/// Who sends a request: a member id, and of a static member its lasting id too.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Sender<'a> {
    pub(crate) member_id: &'a str,
    pub(crate) instance_id: Option<&'a str>,
}

/// A group.
#[derive(Debug)]
pub(crate) struct Group {
    pub(super) state: State,
    pub(super) generation: i32,
    pub(super) protocol_type: String,
    pub(super) protocol: String,
    pub(super) leader: String,
    /// In the order in which they came.
    pub(super) members: Vec<Member>,
    pub(super) pending: Vec<Pending>,
    /// When those that have not joined, or not synced, are left behind.
    pub(super) deadline: Option<Instant>,
    pub(super) effects: Vec<Effect>,
    /// What was committed, by topic and partition.
    pub(crate) offsets: BTreeMap<String, BTreeMap<i32, Committed>>,
}

impl Group {
    pub(super) fn new() -> Self {
        Self {
            state: State::Empty,
            generation: 0,
            protocol_type: String::new(),
            protocol: String::new(),
            leader: String::new(),
            members: Vec::new(),
            pending: Vec::new(),
            deadline: None,
            effects: Vec::new(),
            offsets: BTreeMap::new(),
        }
    }

    /// The answers that have become due.
    pub(super) fn effects(&mut self) -> Vec<Effect> {
        std::mem::take(&mut self.effects)
    }

    /// Whether nothing would be lost with it.
    pub(super) fn is_blank(&self) -> bool {
        self.generation == 0 && self.members.is_empty() && self.pending.is_empty() && self.offsets.is_empty()
    }

    /// JoinGroup. `new_id` is for a member that has none; with `hand_out` it has to come again with it.
    pub(super) fn join(
        &mut self,
        now: Instant,
        ticket: Ticket,
        joining: Joining,
        new_id: String,
        hand_out: bool,
    ) {
        let member_id = joining.member_id.clone();
        let refused = |error| Effect::Joined(ticket, Err(JoinRefused { error, member_id }));
        if !self.could_take(&joining) {
            return self.effects.push(refused(ResponseError::InconsistentGroupProtocol));
        }
        let known = joining.instance_id.as_ref().and_then(|id| self.with_instance(id));
        match (joining.member_id.is_empty(), known) {
            (true, Some(known)) => self.replace(now, ticket, known, joining, new_id),
            (true, None) if hand_out && joining.instance_id.is_none() => {
                self.pending.push(Pending { id: new_id.clone(), expires: now + joining.session_timeout });
                let error = ResponseError::MemberIdRequired;
                self.effects.push(Effect::Joined(ticket, Err(JoinRefused { error, member_id: new_id })));
            }
            (true, None) => self.add(now, ticket, joining, new_id),
            (false, _) => {
                if let Some(pending) = self.pending.iter().position(|p| p.id == joining.member_id) {
                    let id = self.pending.swap_remove(pending).id;
                    return self.add(now, ticket, joining, id);
                }
                let sender =
                    Sender { member_id: &joining.member_id, instance_id: joining.instance_id.as_deref() };
                match self.index(sender) {
                    Ok(member) => self.rejoin(now, ticket, member, joining),
                    Err(error) => self.effects.push(refused(error)),
                }
            }
        }
    }

    /// SyncGroup; the leader's carries everybody's assignment.
    pub(super) fn sync(
        &mut self,
        now: Instant,
        ticket: Ticket,
        sender: Sender<'_>,
        generation: i32,
        protocol: (Option<&str>, Option<&str>),
        assignments: Vec<(String, Bytes)>,
    ) {
        let index = self.index(sender).and_then(|index| {
            let other = |given: Option<&str>, ours: &str| given.is_some_and(|given| given != ours);
            match self.state {
                _ if generation != self.generation => Err(ResponseError::IllegalGeneration),
                _ if other(protocol.0, &self.protocol_type) || other(protocol.1, &self.protocol) => {
                    Err(ResponseError::InconsistentGroupProtocol)
                }
                State::Empty => Err(ResponseError::UnknownMemberId),
                State::PreparingRebalance => Err(ResponseError::RebalanceInProgress),
                State::CompletingRebalance | State::Stable => Ok(index),
            }
        });
        let index = match index {
            Ok(index) => index,
            Err(error) => return self.effects.push(Effect::Synced(ticket, Err(error))),
        };
        self.members[index].synced = true;
        self.members[index].heard(now);
        if self.state == State::Stable {
            let synced = self.synced(index);
            return self.effects.push(Effect::Synced(ticket, Ok(synced)));
        }
        if let Some(earlier) = self.members[index].syncing.replace(ticket) {
            self.effects.push(Effect::Synced(earlier, Err(ResponseError::RebalanceInProgress)));
        }
        if self.members[index].id == self.leader {
            let mut assignments: BTreeMap<_, _> = assignments.into_iter().collect();
            for member in &mut self.members {
                member.assignment = assignments.remove(&member.id).unwrap_or_default();
            }
            self.state = State::Stable;
            for index in 0..self.members.len() {
                let Some(ticket) = self.members[index].syncing.take() else { continue };
                self.members[index].heard(now);
                let synced = self.synced(index);
                self.effects.push(Effect::Synced(ticket, Ok(synced)));
            }
        }
    }

    /// Heartbeat.
    pub(super) fn heartbeat(
        &mut self,
        now: Instant,
        sender: Sender<'_>,
        generation: i32,
    ) -> Result<(), ResponseError> {
        let index = self.index(sender)?;
        if generation != self.generation {
            return Err(ResponseError::IllegalGeneration);
        }
        self.members[index].heard(now);
        match self.state {
            State::Empty => Err(ResponseError::UnknownMemberId),
            State::PreparingRebalance => Err(ResponseError::RebalanceInProgress),
            State::CompletingRebalance | State::Stable => Ok(()),
        }
    }

    /// LeaveGroup of one member. A static one may be named by its lasting id alone.
    pub(super) fn leave(&mut self, now: Instant, sender: Sender<'_>) -> Result<(), ResponseError> {
        if let Some(pending) = self.pending.iter().position(|pending| pending.id == sender.member_id) {
            self.pending.swap_remove(pending);
            self.complete_if_all_joined(now);
            return Ok(());
        }
        let by_instance = sender.instance_id.filter(|_| sender.member_id.is_empty());
        let index = match by_instance {
            Some(instance) => self.with_instance(instance).ok_or(ResponseError::UnknownMemberId)?,
            None => self.index(sender)?,
        };
        self.remove(now, index);
        Ok(())
    }

    /// Whether a commit is allowed. Without member and generation it is while nobody is there: a consumer that only
    /// keeps its offsets here.
    pub(crate) fn may_commit(
        &mut self,
        now: Instant,
        sender: Sender<'_>,
        generation: i32,
    ) -> Result<(), ResponseError> {
        if generation < 0 && self.state == State::Empty {
            return Ok(());
        }
        let index = self.index(sender)?;
        if generation != self.generation {
            return Err(ResponseError::IllegalGeneration);
        }
        if self.state == State::CompletingRebalance {
            return Err(ResponseError::RebalanceInProgress);
        }
        self.members[index].heard(now);
        Ok(())
    }

    /// When [`Group::tick`] has something to do.
    pub(super) fn next_deadline(&self) -> Option<Instant> {
        let members = self.members.iter().filter_map(Member::deadline);
        members.chain(self.pending.iter().map(|pending| pending.expires)).chain(self.deadline).min()
    }

    /// Lets time pass: sessions end, and rebalances go on without who is late.
    pub(super) fn tick(&mut self, now: Instant) {
        let before = self.pending.len();
        self.pending.retain(|pending| pending.expires > now);
        if self.pending.len() < before {
            self.complete_if_all_joined(now);
        }
        while let Some(index) = self.members.iter().position(|m| m.deadline().is_some_and(|at| at <= now)) {
            self.remove(now, index);
        }
        if self.deadline.is_none_or(|at| at > now) {
            return;
        }
        match self.state {
            State::PreparingRebalance => self.complete(now),
            State::CompletingRebalance | State::Stable => {
                self.deadline = None;
                while let Some(index) = self.members.iter().position(|member| !member.synced) {
                    self.remove(now, index);
                }
            }
            State::Empty => self.deadline = None,
        }
    }

    /// The group has another coordinator: what waited at the old one is over, whoever never was in a generation is
    /// not remembered, and sessions begin anew.
    pub(super) fn moved(&mut self, now: Instant) {
        self.pending.clear();
        self.fail_waiting_syncs(now);
        for member in &mut self.members {
            if let Some(ticket) = member.joining.take() {
                let (error, member_id) = (ResponseError::NotCoordinator, member.id.clone());
                self.effects.push(Effect::Joined(ticket, Err(JoinRefused { error, member_id })));
            }
            member.heard(now);
        }
        self.members.retain(|member| member.settled);
        match self.state {
            _ if self.members.is_empty() => {
                self.deadline = None;
                self.state = State::Empty;
            }
            State::CompletingRebalance => self.prepare(now),
            _ => {}
        }
    }

    /// Position of the member that sends a request, checked as Kafka does it.
    fn index(&self, sender: Sender<'_>) -> Result<usize, ResponseError> {
        if let Some(instance) = sender.instance_id {
            let index = self.with_instance(instance).ok_or(ResponseError::UnknownMemberId)?;
            let current = self.members[index].id == sender.member_id;
            return if current { Ok(index) } else { Err(ResponseError::FencedInstanceId) };
        }
        let index = self.members.iter().position(|member| member.id == sender.member_id);
        index.ok_or(ResponseError::UnknownMemberId)
    }

    fn with_instance(&self, instance: &str) -> Option<usize> {
        self.members.iter().position(|member| member.instance_id.as_deref() == Some(instance))
    }

    /// Whether the group would still have a protocol in common.
    fn could_take(&self, joining: &Joining) -> bool {
        if joining.protocol_type.is_empty() || joining.protocols.is_empty() {
            return false;
        }
        let others: Vec<_> = self.members.iter().filter(|member| member.id != joining.member_id).collect();
        let common = |name: &str| others.iter().all(|member| member.supports(name));
        others.is_empty()
            || joining.protocol_type == self.protocol_type
                && joining.protocols.iter().any(|(name, _)| common(name))
    }

    pub(super) fn joined(&self, index: usize, leader: &str) -> Joined {
        let member_id = self.members[index].id.clone();
        let everybody = self
            .members
            .iter()
            .map(|member| (member.id.clone(), member.instance_id.clone(), member.metadata(&self.protocol)));
        Joined {
            generation: self.generation,
            protocol_type: self.protocol_type.clone(),
            protocol: self.protocol.clone(),
            leader: leader.to_owned(),
            members: if member_id == leader { everybody.collect() } else { Vec::new() },
            member_id,
        }
    }

    pub(super) fn synced(&self, index: usize) -> Synced {
        Synced {
            protocol_type: self.protocol_type.clone(),
            protocol: self.protocol.clone(),
            assignment: self.members[index].assignment.clone(),
        }
    }
}
