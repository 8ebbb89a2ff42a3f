//! How one generation follows another: who is waited for, who is left behind, who leads.

use std::time::Instant;

use bytes::Bytes;
use kafka_protocol::error::ResponseError;

use super::member::{Joining, Member, Ticket};
use super::state::{Effect, Group, JoinRefused, State};

impl Group {
    pub(super) fn add(&mut self, now: Instant, ticket: Ticket, joining: Joining, id: String) {
        if self.members.is_empty() {
            self.protocol_type.clone_from(&joining.protocol_type);
        }
        let mut member = Member::new(id, joining, now);
        member.joining = Some(ticket);
        self.members.push(member);
        self.rebalance(now);
    }

    /// A JoinGroup of somebody who is a member already.
    pub(super) fn rejoin(&mut self, now: Instant, ticket: Ticket, index: usize, joining: Joining) {
        let member = &mut self.members[index];
        let same = member.protocols == joining.protocols;
        let leads = member.id == self.leader;
        member.update(joining);
        member.heard(now);
        let repeated = match self.state {
            // Its answer was lost, or it comes back without need: nobody else is disturbed.
            State::CompletingRebalance => same,
            State::Stable => same && !leads,
            State::PreparingRebalance | State::Empty => false,
        };
        if repeated {
            let joined = self.joined(index, &self.leader);
            return self.effects.push(Effect::Joined(ticket, Ok(joined)));
        }
        if let Some(earlier) = self.members[index].joining.replace(ticket) {
            let (error, member_id) = (ResponseError::RebalanceInProgress, self.members[index].id.clone());
            self.effects.push(Effect::Joined(earlier, Err(JoinRefused { error, member_id })));
        }
        self.rebalance(now);
    }

    /// A static member is back under a new id, and its old self is fenced. Its place is kept without a rebalance as
    /// long as it wants the same.
    pub(super) fn replace(
        &mut self,
        now: Instant,
        ticket: Ticket,
        index: usize,
        joining: Joining,
        new_id: String,
    ) {
        let member = &mut self.members[index];
        let old_id = std::mem::replace(&mut member.id, new_id.clone());
        let same = member.protocols == joining.protocols;
        let (old_join, old_sync) = (member.joining.take(), member.syncing.take());
        member.update(joining);
        member.heard(now);
        let error = ResponseError::FencedInstanceId;
        self.effects.extend(
            old_join
                .map(|ticket| Effect::Joined(ticket, Err(JoinRefused { error, member_id: old_id.clone() }))),
        );
        self.effects.extend(old_sync.map(|ticket| Effect::Synced(ticket, Err(error))));
        let led = self.leader == old_id;
        if led {
            self.leader = new_id;
        }
        if self.state == State::Stable && same {
            // Under its old name it is not asked to assign.
            let leader = if led { &old_id } else { &self.leader };
            let joined = self.joined(index, leader);
            return self.effects.push(Effect::Joined(ticket, Ok(joined)));
        }
        self.members[index].joining = Some(ticket);
        self.rebalance(now);
    }

    pub(super) fn remove(&mut self, now: Instant, index: usize) {
        let member = self.members.remove(index);
        let error = ResponseError::UnknownMemberId;
        let member_id = member.id;
        let joining = member.joining;
        self.effects
            .extend(joining.map(|ticket| Effect::Joined(ticket, Err(JoinRefused { error, member_id }))));
        self.effects.extend(member.syncing.map(|ticket| Effect::Synced(ticket, Err(error))));
        self.rebalance(now);
    }

    /// Begins a rebalance, or looks whether the one that goes on is done.
    fn rebalance(&mut self, now: Instant) {
        match self.state {
            State::PreparingRebalance => self.complete_if_all_joined(now),
            // `group.initial.rebalance.delay.ms` is 0: whoever comes first does not wait for others.
            State::Empty => {
                self.prepare(now);
                self.complete(now);
            }
            State::CompletingRebalance | State::Stable => {
                self.prepare(now);
                self.complete_if_all_joined(now);
            }
        }
    }

    pub(super) fn prepare(&mut self, now: Instant) {
        self.fail_waiting_syncs(now);
        if self.state == State::CompletingRebalance {
            self.members.iter_mut().for_each(|member| member.assignment = Bytes::new());
        }
        self.state = State::PreparingRebalance;
        self.await_all(now);
    }

    fn await_all(&mut self, now: Instant) {
        self.deadline =
            Some(now + self.members.iter().map(|m| m.rebalance_timeout).max().unwrap_or_default());
    }

    pub(super) fn fail_waiting_syncs(&mut self, now: Instant) {
        for member in &mut self.members {
            let Some(ticket) = member.syncing.take() else { continue };
            // Its session stood still while it waited here.
            member.heard(now);
            self.effects.push(Effect::Synced(ticket, Err(ResponseError::RebalanceInProgress)));
        }
    }

    pub(super) fn complete_if_all_joined(&mut self, now: Instant) {
        let joined = self.members.iter().all(|member| member.joining.is_some());
        if self.state == State::PreparingRebalance && joined && self.pending.is_empty() {
            self.complete(now);
        }
    }

    /// The next generation, of those that have joined; a static member that has not keeps its place for its session.
    pub(super) fn complete(&mut self, now: Instant) {
        self.members.retain(|member| member.joining.is_some() || member.instance_id.is_some());
        if !self.members.is_empty() && self.members.iter().all(|member| member.joining.is_none()) {
            return self.await_all(now); // somebody has to lead
        }
        self.generation = self.generation.checked_add(1).unwrap_or(1);
        if self.members.is_empty() {
            self.state = State::Empty;
            self.deadline = None;
            self.protocol.clear();
            self.leader.clear();
            return;
        }
        self.state = State::CompletingRebalance;
        self.await_all(now);
        self.protocol = self.choose_protocol();
        let leads = |member: &&Member| member.id == self.leader && member.joining.is_some();
        if self.members.iter().find(leads).is_none() {
            let first = self.members.iter().find(|member| member.joining.is_some());
            self.leader = first.map(|member| member.id.clone()).unwrap_or_default();
        }
        for index in 0..self.members.len() {
            let member = &mut self.members[index];
            member.synced = false;
            member.settled = true;
            let Some(ticket) = member.joining.take() else { continue };
            member.heard(now);
            let joined = self.joined(index, &self.leader);
            self.effects.push(Effect::Joined(ticket, Ok(joined)));
        }
    }

    /// Of the protocols that all support, the one that most prefer.
    fn choose_protocol(&self) -> String {
        let common = |name: &str| self.members.iter().all(|member| member.supports(name));
        let mut votes: Vec<(&str, usize)> = Vec::new();
        for member in &self.members {
            let Some((name, _)) = member.protocols.iter().find(|(name, _)| common(name)) else { continue };
            match votes.iter_mut().find(|(voted, _)| voted == name) {
                Some((_, count)) => *count += 1,
                None => votes.push((name, 1)),
            }
        }
        // Of several with as many votes, the first.
        let chosen = votes.iter().rev().max_by_key(|(_, count)| *count);
        chosen.map(|(name, _)| (*name).to_owned()).unwrap_or_default()
    }
}
