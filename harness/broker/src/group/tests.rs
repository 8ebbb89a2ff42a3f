//! The state machine as stories, without a runtime: the clock is a number that the story moves.

use std::time::{Duration, Instant};

use bytes::Bytes;
use kafka_protocol::error::ResponseError as E;

use super::member::{Joining, Ticket};
use super::state::{Effect, Group, JoinRefused, Joined, Sender, State, Synced};

/// A group, the clock, and the answers that nobody has looked at yet.
struct Story {
    group: Group,
    begin: Instant,
    now: Instant,
    tickets: u64,
    answers: Vec<Effect>,
}

impl Story {
    fn new() -> Self {
        let now = Instant::now();
        Self { group: Group::new(), begin: now, now, tickets: 0, answers: Vec::new() }
    }

    fn ticket(&mut self) -> Ticket {
        self.tickets += 1;
        Ticket(self.tickets)
    }

    fn joining(id: &str) -> Joining {
        Joining {
            member_id: id.to_owned(),
            session_timeout: Duration::from_millis(200),
            rebalance_timeout: Duration::from_millis(1_000),
            protocol_type: "consumer".to_owned(),
            protocols: vec![("range".to_owned(), Bytes::from_static(b"topics"))],
            ..Joining::default()
        }
    }

    /// Joins as `joining` says; a member without an id becomes `new_id`.
    fn join_as(&mut self, joining: Joining, new_id: &str, hand_out: bool) -> Ticket {
        let ticket = self.ticket();
        self.group.join(self.now, ticket, joining, new_id.to_owned(), hand_out);
        self.answers.extend(self.group.effects());
        ticket
    }

    /// Joins for the first time, as old clients do without being handed an id.
    fn come(&mut self, id: &str) -> Ticket {
        self.join_as(Self::joining(""), id, false)
    }

    fn rejoin(&mut self, id: &str) -> Ticket {
        self.join_as(Self::joining(id), "nobody", true)
    }

    fn sync(&mut self, id: &str, generation: i32, assignments: &[(&str, &'static str)]) -> Ticket {
        let ticket = self.ticket();
        let assignments =
            assignments.iter().map(|(id, a)| ((*id).to_owned(), Bytes::from_static(a.as_bytes())));
        self.group.sync(self.now, ticket, sender(id), generation, (None, None), assignments.collect());
        self.answers.extend(self.group.effects());
        ticket
    }

    fn beat(&mut self, id: &str, generation: i32) -> Result<(), E> {
        self.group.heartbeat(self.now, sender(id), generation)
    }

    fn leave(&mut self, id: &str) -> Result<(), E> {
        let left = self.group.leave(self.now, sender(id));
        self.answers.extend(self.group.effects());
        left
    }

    /// Lets time pass as the coordinator does: from one deadline to the next.
    fn wait(&mut self, ms: u64) {
        let until = self.now + Duration::from_millis(ms);
        while let Some(next) = self.group.next_deadline().filter(|at| *at <= until) {
            self.now = self.now.max(next);
            self.group.tick(self.now);
            self.answers.extend(self.group.effects());
        }
        self.now = until;
    }

    #[track_caller]
    fn joined(&mut self, ticket: Ticket) -> Result<Joined, JoinRefused> {
        let at =
            self.answers.iter().position(|answer| matches!(answer, Effect::Joined(t, _) if *t == ticket));
        match self.answers.remove(at.expect("no answer to this JoinGroup yet")) {
            Effect::Joined(_, answer) => answer,
            Effect::Synced(..) => unreachable!(),
        }
    }

    #[track_caller]
    fn synced(&mut self, ticket: Ticket) -> Result<Synced, E> {
        let at =
            self.answers.iter().position(|answer| matches!(answer, Effect::Synced(t, _) if *t == ticket));
        match self.answers.remove(at.expect("no answer to this SyncGroup yet")) {
            Effect::Synced(_, answer) => answer,
            Effect::Joined(..) => unreachable!(),
        }
    }

    #[track_caller]
    fn silent(&self) {
        assert_eq!(self.answers, [], "at {:?}", self.now - self.begin);
    }

    /// `a`, who leads, and `b`, stable in generation 2.
    fn pair() -> Self {
        let mut story = Self::new();
        let a = story.come("a");
        assert_eq!(story.joined(a).unwrap().leader, "a");
        let a = story.sync("a", 1, &[("a", "all")]);
        assert_eq!(story.synced(a).unwrap().assignment, "all");
        let b = story.come("b");
        let a = story.rejoin("a");
        assert_eq!((story.joined(a).unwrap().generation, story.joined(b).unwrap().generation), (2, 2));
        let b = story.sync("b", 2, &[]);
        story.silent(); // b waits for the leader
        let a = story.sync("a", 2, &[("a", "0"), ("b", "1")]);
        assert_eq!(
            (story.synced(a).unwrap().assignment, story.synced(b).unwrap().assignment),
            ("0".into(), "1".into())
        );
        assert_eq!(story.group.state, State::Stable);
        story
    }
}

fn sender(member_id: &str) -> Sender<'_> {
    Sender { member_id, instance_id: None }
}

#[track_caller]
fn refused(answer: Result<Joined, JoinRefused>, expected: E) {
    assert_eq!(answer.map_err(|refused| refused.error), Err(expected));
}

#[test]
fn whoever_comes_first_does_not_wait_and_leads() {
    let mut story = Story::new();
    let ticket = story.come("a");
    let joined = story.joined(ticket).unwrap();
    assert_eq!((joined.generation, joined.leader.as_str(), joined.protocol.as_str()), (1, "a", "range"));
    assert_eq!(joined.members, [("a".to_owned(), None, Bytes::from_static(b"topics"))]);
    assert_eq!(story.group.state, State::CompletingRebalance);
}

#[test]
fn a_new_member_is_handed_its_id_and_may_take_its_session_to_use_it() {
    let mut story = Story::new();
    let ticket = story.join_as(Story::joining(""), "a", true);
    let JoinRefused { error, member_id } = story.joined(ticket).unwrap_err();
    assert_eq!((error, member_id.as_str()), (E::MemberIdRequired, "a"));
    let ticket = story.rejoin("a");
    assert_eq!(story.joined(ticket).unwrap().member_id, "a");

    let late = story.join_as(Story::joining(""), "late", true);
    refused(story.joined(late), E::MemberIdRequired);
    story.beat("a", 1).unwrap();
    story.wait(201);
    let late = story.rejoin("late");
    refused(story.joined(late), E::UnknownMemberId);
}

#[test]
fn a_stable_group_answers_its_members_and_nobody_else() {
    let mut story = Story::pair();
    assert_eq!(story.beat("a", 2), Ok(()));
    assert_eq!(story.beat("a", 1), Err(E::IllegalGeneration));
    assert_eq!(story.beat("c", 2), Err(E::UnknownMemberId));
    let stale = story.sync("a", 1, &[]);
    assert_eq!(story.synced(stale), Err(E::IllegalGeneration));
    let again = story.sync("b", 2, &[]);
    assert_eq!(story.synced(again).unwrap().assignment, "1", "a lost answer is given again");
    let again = story.rejoin("b");
    assert_eq!(story.joined(again).unwrap().generation, 2, "and disturbs nobody");
    let stranger = story.rejoin("c");
    refused(story.joined(stranger), E::UnknownMemberId);
    let other = Joining { protocols: vec![("sticky".to_owned(), Bytes::new())], ..Story::joining("") };
    let other = story.join_as(other, "c", false);
    refused(story.joined(other), E::InconsistentGroupProtocol);
    assert_eq!(story.group.state, State::Stable);
}

#[test]
fn a_member_that_comes_makes_the_others_join_again() {
    let mut story = Story::pair();
    let c = story.come("c");
    story.silent();
    assert_eq!(story.beat("a", 2), Err(E::RebalanceInProgress));
    assert_eq!(
        story.group.may_commit(story.now, sender("a"), 2),
        Ok(()),
        "what is revoked is committed first"
    );
    let sync = story.sync("a", 2, &[]);
    assert_eq!(story.synced(sync), Err(E::RebalanceInProgress));
    let (a, b) = (story.rejoin("a"), story.rejoin("b"));
    let leader = story.joined(a).unwrap();
    assert_eq!((leader.leader.as_str(), leader.members.len()), ("a", 3), "who led goes on leading");
    assert_eq!((story.joined(b).unwrap().members.len(), story.joined(c).unwrap().generation), (0, 3));
    assert_eq!(story.group.may_commit(story.now, sender("a"), 3), Err(E::RebalanceInProgress));
}

#[test]
fn who_does_not_join_in_time_is_left_behind() {
    let mut story = Story::pair();
    let c = story.come("c");
    let a = story.rejoin("a");
    for _ in 0..9 {
        story.wait(100);
        assert_eq!(story.beat("b", 2), Err(E::RebalanceInProgress), "b lives, and does not listen");
        story.silent();
    }
    story.wait(101);
    assert_eq!(story.joined(a).unwrap().members.len(), 2);
    assert_eq!(story.joined(c).unwrap().generation, 3);
    assert_eq!(story.beat("b", 2), Err(E::UnknownMemberId));
}

#[test]
fn a_session_that_ends_and_a_member_that_leaves_start_a_rebalance() {
    let mut story = Story::pair();
    for _ in 0..3 {
        story.wait(100);
        let _ = story.beat("a", 2);
    }
    assert_eq!(story.group.state, State::PreparingRebalance, "b was not heard of for 200 ms");
    let a = story.rejoin("a");
    assert_eq!(story.joined(a).unwrap().members.len(), 1);

    let mut story = Story::pair();
    assert_eq!(story.leave("a"), Ok(()));
    assert_eq!(story.leave("a"), Err(E::UnknownMemberId));
    let b = story.rejoin("b");
    assert_eq!(story.joined(b).unwrap().leader, "b", "somebody else leads");
    story.leave("b").unwrap();
    assert_eq!((story.group.state, story.group.next_deadline()), (State::Empty, None));
    assert_eq!(
        story.group.may_commit(story.now, sender(""), -1),
        Ok(()),
        "an empty group keeps anybody's offsets"
    );
    assert_eq!(story.group.may_commit(story.now, sender("b"), 3), Err(E::UnknownMemberId));
}

#[test]
fn a_leader_that_dies_before_it_assigns_fails_the_syncs_that_wait() {
    let mut story = Story::pair();
    let c = story.come("c");
    let (a, b) = (story.rejoin("a"), story.rejoin("b"));
    for ticket in [a, b, c] {
        assert_eq!(story.joined(ticket).unwrap().generation, 3);
    }
    let (b, c) = (story.sync("b", 3, &[]), story.sync("c", 3, &[]));
    story.wait(199);
    story.silent();
    story.wait(2);
    assert_eq!(
        (story.synced(b), story.synced(c)),
        (Err(E::RebalanceInProgress), Err(E::RebalanceInProgress))
    );
    let (b, c) = (story.rejoin("b"), story.rejoin("c"));
    assert_eq!(story.joined(b).unwrap().members.len(), 2);
    assert_eq!(story.joined(c).unwrap().leader, "b");
}

#[test]
fn a_static_member_comes_back_without_a_rebalance_and_fences_its_old_self() {
    let mut story = Story::new();
    let fixed = || Joining { instance_id: Some("one".to_owned()), ..Story::joining("") };
    let first = story.join_as(fixed(), "old", true);
    assert_eq!(story.joined(first).unwrap().member_id, "old", "no id is handed out to it");
    let sync = story.sync_as("old", "one", 1, &[("old", "all")]);
    assert_eq!(story.synced(sync).unwrap().assignment, "all");

    let back = story.join_as(fixed(), "new", true);
    let joined = story.joined(back).unwrap();
    assert_eq!((joined.generation, joined.member_id.as_str(), joined.leader.as_str()), (1, "new", "old"));
    let sync = story.sync_as("new", "one", 1, &[]);
    assert_eq!(story.synced(sync).unwrap().assignment, "all", "it has its place back");
    let old = Sender { member_id: "old", instance_id: Some("one") };
    assert_eq!(story.group.heartbeat(story.now, old, 1), Err(E::FencedInstanceId));
    assert_eq!(story.group.may_commit(story.now, old, 1), Err(E::FencedInstanceId));
}

#[test]
fn a_group_that_moves_keeps_its_members_and_forgets_who_never_joined() {
    let mut story = Story::pair();
    story.group.moved(story.now);
    assert_eq!((story.beat("a", 2), story.beat("b", 2)), (Ok(()), Ok(())));

    let c = story.come("c");
    let a = story.rejoin("a");
    story.group.moved(story.now);
    story.answers.extend(story.group.effects());
    refused(story.joined(a), E::NotCoordinator);
    refused(story.joined(c), E::NotCoordinator);
    let c = story.rejoin("c");
    refused(story.joined(c), E::UnknownMemberId);
    let (a, b) = (story.rejoin("a"), story.rejoin("b"));
    assert_eq!((story.joined(a).unwrap().generation, story.joined(b).unwrap().generation), (3, 3));
}

#[test]
fn the_protocol_that_most_prefer_is_chosen_among_those_that_all_know() {
    let mut story = Story::new();
    let knows = |names: &[&str]| Joining {
        protocols: names.iter().map(|name| ((*name).to_owned(), Bytes::new())).collect(),
        ..Story::joining("")
    };
    let a = story.join_as(knows(&["sticky", "range"]), "a", false);
    assert_eq!(story.joined(a).unwrap().protocol, "sticky");
    let b = story.join_as(knows(&["range"]), "b", false);
    let a = story.join_as(Joining { member_id: "a".to_owned(), ..knows(&["sticky", "range"]) }, "", false);
    assert_eq!(
        (story.joined(a).unwrap().protocol, story.joined(b).unwrap().protocol),
        ("range".into(), "range".into())
    );
}

impl Story {
    /// SyncGroup of a static member.
    fn sync_as(
        &mut self,
        id: &str,
        instance: &str,
        generation: i32,
        assignments: &[(&str, &'static str)],
    ) -> Ticket {
        let ticket = self.ticket();
        let assignments =
            assignments.iter().map(|(id, a)| ((*id).to_owned(), Bytes::from_static(a.as_bytes())));
        let sender = Sender { member_id: id, instance_id: Some(instance) };
        self.group.sync(self.now, ticket, sender, generation, (None, None), assignments.collect());
        self.answers.extend(self.group.effects());
        ticket
    }
}
