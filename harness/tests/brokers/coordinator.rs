//! The group protocol, message by message: who is let in, who is told what, whose commit counts.

use std::time::{Duration, Instant};

use bytes::Bytes;
use kafka_protocol::ResponseError as E;
use kafka_protocol::messages::{DeleteGroupsRequest, DescribeGroupsRequest};
use libtest_mimic::Failed;

use crate::bed::{Bed, Case, SOON, answers, same};
use crate::common::{check, until};
use crate::puppet::Puppet;
use crate::wire::group_id;

pub(crate) const CASES: &[Case] = &[
    Case::new("a new member is given an id first", member_id_required),
    Case::new("a member that nobody knows is told so", unknown_member),
    Case::new("another generation is told so", illegal_generation),
    Case::new("a member that joins makes the others join again", rebalance),
    Case::new("a member that does not join again in time is left behind", left_behind),
    Case::new("a commit of an earlier generation is refused", fenced_commit),
    Case::new("members without a common protocol are refused", inconsistent),
    Case::new("the protocol that all members know is chosen", common_protocol),
    Case::new("a follower that joins again unchanged stays in its generation", follower_again),
    Case::new("a session that is too short or too long is refused", session),
    Case::new("a group needs a name", no_name),
    Case::new("a group that never was is dead", never_was),
    Case::new("offsets of a topic that is not there can't be committed", commit_of_nothing),
    Case::new("nothing committed is minus one", nothing_committed),
    Case::new("offsets are committed from outside while a group is empty", standalone_commit),
    Case::new("a member with a lasting name comes back without a rebalance", comes_back),
];

async fn group(bed: &Bed) -> Result<(String, String), Failed> {
    Ok((bed.name("group"), bed.topic(1).await?))
}

fn member_id_required(bed: &Bed) -> Result<(), Failed> {
    bed.run(async {
        let (group, topic) = group(bed).await?;
        let mut one = Puppet::new(bed, &group, &topic).await?;
        let answer = one.join_once().await?;
        answers(answer.error_code, E::MemberIdRequired, "JoinGroup without an id")?;
        check(!answer.member_id.is_empty(), "no id was given")?;
        one.member_id = answer.member_id.to_string();
        let answer = one.join_once().await?;
        answers(answer.error_code, None, "JoinGroup with the id")?;
        same(&answer.member_id, &answer.leader, "the only member leads")?;
        same(&answer.protocol_name.as_deref(), &Some("range"), "protocol")?;
        let members: Vec<_> = answer.members.iter().map(|m| m.member_id.to_string()).collect();
        same(&members, &vec![one.member_id], "members, as the leader is told")?;
        check(answer.generation_id >= 1, format!("generation {}", answer.generation_id))
    })
}

fn unknown_member(bed: &Bed) -> Result<(), Failed> {
    bed.run(async {
        let (group, topic) = group(bed).await?;
        let mut known = Puppet::new(bed, &group, &topic).await?;
        known.settle().await?;
        let mut stranger = Puppet::new(bed, &group, &topic).await?;
        (stranger.member_id, stranger.generation) = ("stranger".to_owned(), known.generation);
        answers(stranger.join_once().await?.error_code, E::UnknownMemberId, "JoinGroup")?;
        answers(stranger.sync(&[]).await?.0, E::UnknownMemberId, "SyncGroup")?;
        answers(stranger.heartbeat().await?, E::UnknownMemberId, "Heartbeat")?;
        answers(stranger.commit(7).await?, E::UnknownMemberId, "OffsetCommit")?;
        answers(stranger.leave().await?, E::UnknownMemberId, "LeaveGroup")?;
        answers(known.heartbeat().await?, None, "the member's own heartbeat")?;
        same(&known.committed().await?, &-1, "committed")?;
        answers(known.leave().await?, None, "the member leaves")?;
        answers(known.heartbeat().await?, E::UnknownMemberId, "and is a stranger then")
    })
}

fn illegal_generation(bed: &Bed) -> Result<(), Failed> {
    bed.run(async {
        let (group, topic) = group(bed).await?;
        let mut one = Puppet::new(bed, &group, &topic).await?;
        one.settle().await?;
        let right = one.generation;
        for wrong in [right - 1, right + 1] {
            one.generation = wrong;
            answers(one.heartbeat().await?, E::IllegalGeneration, "Heartbeat")?;
            answers(one.sync(&[]).await?.0, E::IllegalGeneration, "SyncGroup")?;
            answers(one.commit(7).await?, E::IllegalGeneration, "OffsetCommit")?;
        }
        one.generation = right;
        answers(one.heartbeat().await?, None, "Heartbeat of the right one")
    })
}

fn rebalance(bed: &Bed) -> Result<(), Failed> {
    bed.run(async {
        let (group, topic) = group(bed).await?;
        let mut one = Puppet::new(bed, &group, &topic).await?;
        let mut two = Puppet::new(bed, &group, &topic).await?;
        one.settle().await?;
        let first = one.generation;
        let second = tokio::spawn(async move {
            let joined = two.join().await?;
            Ok::<_, Failed>((two, joined))
        });
        until(SOON, "the member never heard of the rebalance", async || {
            Ok(one.heartbeat().await? == E::RebalanceInProgress.code())
        })
        .await?;
        // What was worked off before giving up the partitions may still be committed.
        answers(one.commit(3).await?, None, "OffsetCommit while the others join")?;
        answers(one.sync(&[]).await?.0, E::RebalanceInProgress, "SyncGroup while the others join")?;
        check(!second.is_finished(), "the new member did not wait for the old one")?;
        let joined = one.join().await?;
        let (mut two, as_follower) = second.await??;
        check(one.generation > first, "the generation did not rise")?;
        same(&two.generation, &one.generation, "one generation for both")?;
        same(&joined.leader.to_string(), &one.member_id, "the leader stays")?;
        same(&as_follower.leader.to_string(), &one.member_id, "and both are told the same one")?;
        let mut members: Vec<_> = joined.members.iter().map(|m| m.member_id.to_string()).collect();
        let mut due = vec![one.member_id.clone(), two.member_id.clone()];
        members.sort_unstable();
        due.sort_unstable();
        same(&members, &due, "members, as the leader is told")?;
        check(as_follower.members.is_empty(), "a follower is told the members too")?;
        answers(one.heartbeat().await?, None, "Heartbeat before the assignment is there")?;
        answers(one.commit(4).await?, E::RebalanceInProgress, "OffsetCommit before the assignment is there")?;
        // The follower's SyncGroup waits for the leader's.
        let (leader_id, follower_id) = (one.member_id.clone(), two.member_id.clone());
        let begun = Instant::now();
        let lead = async {
            tokio::time::sleep(Duration::from_millis(150)).await;
            one.sync(&[(&leader_id, "for one"), (&follower_id, "for two")]).await
        };
        let follow = async {
            let synced = two.sync(&[]).await?;
            Ok::<_, Failed>((synced, begun.elapsed()))
        };
        let (led, (followed, after)) = tokio::try_join!(lead, follow)?;
        same(&led, &(0, Bytes::from_static(b"for one")), "the leader's part")?;
        same(&followed, &(0, Bytes::from_static(b"for two")), "the follower's part")?;
        check(after >= Duration::from_millis(150), "the follower was answered before the leader assigned")?;
        answers(two.commit(5).await?, None, "OffsetCommit of the new generation")?;
        same(&one.committed().await?, &5, "committed")
    })
}

fn left_behind(bed: &Bed) -> Result<(), Failed> {
    bed.run(async {
        let (group, topic) = group(bed).await?;
        let mut slow = Puppet::new(bed, &group, &topic).await?;
        let mut quick = Puppet::new(bed, &group, &topic).await?;
        slow.rebalance = Duration::from_millis(600);
        quick.rebalance = slow.rebalance;
        slow.settle().await?;
        let begun = Instant::now();
        let joined = quick.join().await?;
        let took = begun.elapsed();
        check(took >= Duration::from_millis(550), format!("the slow one had {took:?} of its 600 ms"))?;
        check(took < Duration::from_millis(600) + SOON, format!("it took {took:?}"))?;
        same(&joined.members.len(), &1, "members")?;
        answers(slow.heartbeat().await?, E::UnknownMemberId, "the slow one's heartbeat")?;
        answers(slow.commit(9).await?, E::UnknownMemberId, "the slow one's commit")?;
        same(&quick.committed().await?, &-1, "committed")
    })
}

fn fenced_commit(bed: &Bed) -> Result<(), Failed> {
    bed.run(async {
        let (group, topic) = group(bed).await?;
        let mut one = Puppet::new(bed, &group, &topic).await?;
        one.settle().await?;
        answers(one.commit(11).await?, None, "OffsetCommit")?;
        let old = one.generation;
        // The leader joining again, with nothing changed, is a rebalance.
        one.settle().await?;
        check(one.generation > old, "the generation did not rise")?;
        let new = std::mem::replace(&mut one.generation, old);
        answers(one.commit(5).await?, E::IllegalGeneration, "OffsetCommit of the old generation")?;
        same(&one.committed().await?, &11, "committed")?;
        one.generation = new;
        answers(one.commit(12).await?, None, "OffsetCommit of the new generation")?;
        same(&one.committed().await?, &12, "committed")
    })
}

fn inconsistent(bed: &Bed) -> Result<(), Failed> {
    bed.run(async {
        let (group, topic) = group(bed).await?;
        let mut one = Puppet::new(bed, &group, &topic).await?;
        one.settle().await?;
        let mut other = Puppet::new(bed, &group, &topic).await?;
        other.protocols = vec!["another"];
        answers(other.join_once().await?.error_code, E::InconsistentGroupProtocol, "another assignor")?;
        (other.protocols, other.protocol_type) = (vec!["range"], "connect");
        answers(other.join_once().await?.error_code, E::InconsistentGroupProtocol, "another protocol type")?;
        answers(one.heartbeat().await?, None, "the member's heartbeat")
    })
}

/// Two members that have joined and got their parts.
async fn two(bed: &Bed, protocols: [&[&'static str]; 2]) -> Result<[Puppet; 2], Failed> {
    let (group, topic) = group(bed).await?;
    let mut one = Puppet::new(bed, &group, &topic).await?;
    let mut two = Puppet::new(bed, &group, &topic).await?;
    (one.protocols, two.protocols) = (protocols[0].to_vec(), protocols[1].to_vec());
    one.settle().await?;
    let second = tokio::spawn(async move {
        two.join().await?;
        Ok::<_, Failed>(two)
    });
    until(SOON, "the first never heard of the second", async || {
        Ok(one.heartbeat().await? == E::RebalanceInProgress.code())
    })
    .await?;
    one.join().await?;
    let mut two = second.await??;
    let (leader_id, follower_id) = (one.member_id.clone(), two.member_id.clone());
    let parts = [(leader_id.as_str(), "for one"), (follower_id.as_str(), "for two")];
    same(&one.sync(&parts).await?.0, &0, "the leader's SyncGroup")?;
    same(&two.sync(&[]).await?, &(0, Bytes::from_static(b"for two")), "the follower's part")?;
    Ok([one, two])
}

fn common_protocol(bed: &Bed) -> Result<(), Failed> {
    bed.run(async {
        let [one, two] = two(bed, [&["range", "sticky", "roundrobin"], &["roundrobin", "sticky"]]).await?;
        same(&two.chosen, &one.chosen, "what both are told")?;
        let known = ["sticky", "roundrobin"].contains(&&*one.chosen);
        check(known, format!("`{}` was chosen, which one of them does not know", &*one.chosen))
    })
}

fn follower_again(bed: &Bed) -> Result<(), Failed> {
    bed.run(async {
        let [mut leader, mut follower] = two(bed, [&["range"], &["range"]]).await?;
        let generation = follower.generation;
        // As after an answer that got lost.
        let again = follower.join().await?;
        same(&again.generation_id, &generation, "generation")?;
        same(&again.leader.to_string(), &leader.member_id, "leader")?;
        same(&follower.sync(&[]).await?, &(0, Bytes::from_static(b"for two")), "its part")?;
        answers(leader.heartbeat().await?, None, "Heartbeat of the leader")?;
        // A subscription that changed is news for everybody.
        follower.topic = "another".to_owned();
        let joining = tokio::spawn(async move { follower.join().await.map(|joined| joined.generation_id) });
        until(SOON, "the leader never heard of it", async || {
            Ok(leader.heartbeat().await? == E::RebalanceInProgress.code())
        })
        .await?;
        leader.join().await?;
        same(&joining.await??, &leader.generation, "generation")?;
        check(leader.generation > generation, "the generation did not rise")
    })
}

fn session(bed: &Bed) -> Result<(), Failed> {
    bed.run(async {
        let (group, topic) = group(bed).await?;
        let mut one = Puppet::new(bed, &group, &topic).await?;
        let shortest = bed.subject.shortest_session;
        for session in [shortest / 2, Duration::from_secs(24 * 3_600)] {
            one.session = session;
            let answer = one.join_once().await?;
            answers(answer.error_code, E::InvalidSessionTimeout, &format!("a session of {session:?}"))?;
        }
        one.session = shortest;
        one.settle().await
    })
}

fn no_name(bed: &Bed) -> Result<(), Failed> {
    bed.run(async {
        let topic = bed.topic(1).await?;
        // Some groups, so that more than one node is asked, where there is more than one.
        for n in 0..6 {
            let mut nameless = Puppet::new(bed, &bed.name(&format!("group-{n}")), &topic).await?;
            nameless.group = String::new();
            answers(nameless.join_once().await?.error_code, E::InvalidGroupId, "JoinGroup")?;
        }
        Ok(())
    })
}

fn never_was(bed: &Bed) -> Result<(), Failed> {
    bed.run(async {
        let (group, topic) = group(bed).await?;
        let mut nobody = Puppet::new(bed, &group, &topic).await?;
        let described = DescribeGroupsRequest::default().with_groups(vec![group_id(&group)]);
        let answer = nobody.wire.ask(&described).await?;
        answers(answer.groups[0].error_code, None, "DescribeGroups")?;
        same(&&*answer.groups[0].group_state, &"Dead", "its state")?;
        let deleted = DeleteGroupsRequest::default().with_groups_names(vec![group_id(&group)]);
        let answer = nobody.wire.ask(&deleted).await?;
        answers(answer.results[0].error_code, E::GroupIdNotFound, "DeleteGroups")?;
        (nobody.member_id, nobody.generation) = ("nobody".to_owned(), 1);
        answers(nobody.heartbeat().await?, E::UnknownMemberId, "Heartbeat")?;
        answers(nobody.sync(&[]).await?.0, E::UnknownMemberId, "SyncGroup")?;
        answers(nobody.commit(1).await?, E::IllegalGeneration, "OffsetCommit")
    })
}

fn commit_of_nothing(bed: &Bed) -> Result<(), Failed> {
    bed.run(async {
        let (group, topic) = group(bed).await?;
        let mut one = Puppet::new(bed, &group, &topic).await?;
        one.settle().await?;
        one.topic = bed.name("nowhere");
        answers(one.commit(1).await?, E::UnknownTopicOrPartition, "OffsetCommit by a member")?;
        same(&one.committed().await?, &-1, "committed")?;
        // Kafka looks for the topic before it looks for the group.
        let mut nobody = Puppet::new(bed, &bed.name("no-group"), &one.topic).await?;
        (nobody.member_id, nobody.generation) = ("nobody".to_owned(), 1);
        answers(nobody.commit(1).await?, E::UnknownTopicOrPartition, "OffsetCommit to a group that never was")
    })
}

fn nothing_committed(bed: &Bed) -> Result<(), Failed> {
    bed.run(async {
        let (group, topic) = (bed.name("group"), bed.topic(3).await?);
        let mut wire = bed.coordinator(&group).await?;
        let nothing = Ok([(0, -1), (1, -1), (2, -1)].into());
        same(&wire.committed(&group, &topic, &[0, 1, 2]).await?, &nothing, "of a group that never was")?;
        let mut one = Puppet::new(bed, &group, &topic).await?;
        one.settle().await?;
        same(&wire.committed(&group, &topic, &[0, 1, 2]).await?, &nothing, "of a new group")?;
        answers(one.commit(0).await?, None, "OffsetCommit of 0")?;
        let zero = Ok([(0, 0), (1, -1), (2, -1)].into());
        same(&wire.committed(&group, &topic, &[0, 1, 2]).await?, &zero, "0 is something")?;
        let unknown = Ok([(0, -1)].into());
        same(&wire.committed(&group, "nowhere", &[0]).await?, &unknown, "of a topic that is not there")
    })
}

fn standalone_commit(bed: &Bed) -> Result<(), Failed> {
    bed.run(async {
        let (group, topic) = group(bed).await?;
        // As `kafka-consumer-groups --reset-offsets` does: without an id, in no generation.
        let mut outside = Puppet::new(bed, &group, &topic).await?;
        answers(outside.commit(42).await?, None, "OffsetCommit to a group without members")?;
        same(&outside.committed().await?, &42, "committed")?;
        let mut member = Puppet::new(bed, &group, &topic).await?;
        member.settle().await?;
        answers(outside.commit(1).await?, E::UnknownMemberId, "OffsetCommit to a group with members")?;
        same(&member.committed().await?, &42, "committed")
    })
}

fn comes_back(bed: &Bed) -> Result<(), Failed> {
    bed.run(async {
        let (group, topic) = group(bed).await?;
        let mut one = Puppet::new(bed, &group, &topic).await?;
        one.instance_id = Some("lane-1");
        let answer = one.join_once().await?;
        answers(answer.error_code, None, "JoinGroup: a lasting name needs no second attempt")?;
        (one.member_id, one.generation) = (answer.member_id.to_string(), answer.generation_id);
        let own = one.member_id.clone();
        answers(one.sync(&[(&own, "mine")]).await?.0, None, "SyncGroup")?;
        let mut back = Puppet::new(bed, &group, &topic).await?;
        back.instance_id = one.instance_id;
        let answer = back.join_once().await?;
        answers(answer.error_code, None, "JoinGroup of the one that comes back")?;
        same(&answer.generation_id, &one.generation, "generation")?;
        check(*answer.member_id != *own, "it has a new id")?;
        (back.member_id, back.generation) = (answer.member_id.to_string(), answer.generation_id);
        same(&back.sync(&[]).await?, &(0, Bytes::from_static(b"mine")), "what it had before")?;
        answers(one.heartbeat().await?, E::FencedInstanceId, "Heartbeat of the one that was replaced")?;
        answers(one.commit(3).await?, E::FencedInstanceId, "OffsetCommit of the one that was replaced")?;
        answers(back.heartbeat().await?, None, "Heartbeat of the one that is back")
    })
}
