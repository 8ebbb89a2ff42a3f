//! Groups as the pipeline takes part in them: members come, leave and die; offsets stay.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use kafka_protocol::ResponseError;
use libtest_mimic::Failed;
use payment_delivery::kafka::admin::AdminError;
use payment_delivery::kafka::group::{Assignment, GroupConfig, Member};
use tokio::sync::watch;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

use crate::bed::{Bed, Case, SOON, answers, same};
use crate::common::{check, until};

pub(crate) const CASES: &[Case] = &[
    Case::new("three members that come one by one share the partitions", three_come),
    Case::new("a member that leaves is replaced at once", one_leaves),
    Case::new("a member that dies is replaced after its session", one_dies),
    Case::new("a new member starts where the last one committed", resume),
    Case::new("a group is described, listed and deleted", operated),
];

const PARTITIONS: i32 = 3;

/// For something that takes a rebalance.
const REBALANCED: Duration = Duration::from_secs(15);

/// A member that joins again whenever it has to, as the pipeline's worker does.
struct Follower {
    assigned: watch::Receiver<Option<Assignment>>,
    stop: CancellationToken,
    task: JoinHandle<()>,
}

impl Follower {
    fn start(bed: &Bed, topic: &str, group: &str, client_id: &str, session: Duration) -> Self {
        let mut config = GroupConfig::new(group, client_id);
        config.session_timeout = session;
        config.heartbeat_interval = (session / 5).min(Duration::from_millis(300));
        let mut member = Member::new(bed.bootstrap.clone(), topic.to_owned(), config);
        let (tell, assigned) = watch::channel(None);
        let stop = CancellationToken::new();
        let stopped = stop.clone();
        let follow = async move {
            let following = async {
                while let Ok(assignment) = member.join().await {
                    tell.send_replace(Some(assignment));
                    member.changed().await;
                    tell.send_replace(None);
                }
            };
            tokio::select! { () = following => {}, () = stopped.cancelled() => {} }
            member.leave().await;
        };
        Self { assigned, stop, task: tokio::spawn(follow) }
    }

    fn assigned(&self) -> Option<Assignment> {
        self.assigned.borrow().clone()
    }

    async fn leave(self) -> Result<(), Failed> {
        self.stop.cancel();
        Ok(self.task.await?)
    }

    /// Ends it on the spot: it says nothing any more.
    async fn die(self) {
        self.task.abort();
        let _ = self.task.await;
    }
}

/// Waits until all are in one generation and own every partition once between them; returns the generation.
async fn settled(members: &[&Follower]) -> Result<i32, Failed> {
    let mut generation = 0;
    until(REBALANCED, &format!("{} members never shared the partitions", members.len()), async || {
        let Some(all) = members.iter().map(|m| m.assigned()).collect::<Option<Vec<Assignment>>>() else {
            return Ok(false);
        };
        generation = all[0].generation;
        let mut owned: Vec<i32> = all.iter().flat_map(|a| a.partitions.clone()).collect();
        owned.sort_unstable();
        let fair = all.iter().all(|a| a.partitions.len() >= PARTITIONS as usize / members.len());
        Ok(all.iter().all(|a| a.generation == generation) && owned == [0, 1, 2] && fair)
    })
    .await?;
    Ok(generation)
}

fn three_come(bed: &Bed) -> Result<(), Failed> {
    bed.run(async {
        let (topic, group) = (bed.topic(PARTITIONS).await?, bed.name("group"));
        let session = Duration::from_secs(6);
        let one = Follower::start(bed, &topic, &group, "one", session);
        let first = settled(&[&one]).await?;
        let two = Follower::start(bed, &topic, &group, "two", session);
        let second = settled(&[&one, &two]).await?;
        let three = Follower::start(bed, &topic, &group, "three", session);
        let third = settled(&[&one, &two, &three]).await?;
        check(first < second && second < third, format!("generations {first}, {second}, {third}"))?;
        // A fourth has nothing to do, and nobody loses anything by it.
        let four = Follower::start(bed, &topic, &group, "four", session);
        until(REBALANCED, "the fourth was never let in", async || Ok(four.assigned().is_some())).await?;
        let all = [&one, &two, &three, &four];
        until(REBALANCED, "four members never shared the partitions", async || {
            let owned: Vec<_> = all.iter().filter_map(|m| m.assigned()).map(|a| a.partitions.len()).collect();
            Ok(owned.len() == 4 && owned.iter().sum::<usize>() == 3 && owned.iter().all(|n| *n <= 1))
        })
        .await?;
        for member in [one, two, three, four] {
            member.leave().await?;
        }
        Ok(())
    })
}

fn one_leaves(bed: &Bed) -> Result<(), Failed> {
    bed.run(async {
        let (topic, group) = (bed.topic(PARTITIONS).await?, bed.name("group"));
        // A session so long that only the goodbye can have told.
        let session = Duration::from_secs(25);
        let [stays, leaves] =
            ["stays", "leaves"].map(|name| Follower::start(bed, &topic, &group, name, session));
        let shared = settled(&[&stays, &leaves]).await?;
        let begun = Instant::now();
        leaves.leave().await?;
        let alone = settled(&[&stays]).await?;
        check(begun.elapsed() < Duration::from_secs(12), format!("it took {:?}", begun.elapsed()))?;
        check(alone > shared, "the generation did not rise")?;
        stays.leave().await
    })
}

fn one_dies(bed: &Bed) -> Result<(), Failed> {
    bed.run(async {
        let (topic, group) = (bed.topic(PARTITIONS).await?, bed.name("group"));
        // Twice the least, so that a busy machine does not end the session of the living.
        let session = bed.subject.shortest_session * 2;
        let heir = Follower::start(bed, &topic, &group, "heir", session);
        settled(&[&heir]).await?;
        let doomed = Follower::start(bed, &topic, &group, "doomed", session);
        let shared = settled(&[&heir, &doomed]).await?;
        let begun = Instant::now();
        doomed.die().await;
        let alone = settled(&[&heir]).await?;
        let took = begun.elapsed();
        // Its last heartbeat was at most a fifth of a session before its end.
        check(took >= session / 2, format!("it was replaced after {took:?} of a session of {session:?}"))?;
        check(took < session + SOON, format!("it took {took:?}"))?;
        check(alone > shared, "the generation did not rise")?;
        heir.leave().await
    })
}

fn resume(bed: &Bed) -> Result<(), Failed> {
    bed.run(async {
        let (topic, group) = (bed.topic(PARTITIONS).await?, bed.name("group"));
        let member = |name| Member::new(bed.bootstrap.clone(), topic.clone(), GroupConfig::new(&group, name));
        let mut one = member("one");
        let assignment = one.join().await?;
        same(&assignment.partitions, &vec![0, 1, 2], "alone, it owns all")?;
        let nothing: BTreeMap<_, _> = [(0, None), (1, None), (2, None)].into();
        same(&one.offsets().committed(&[0, 1, 2]).await?, &nothing, "of a new group")?;
        one.offsets().commit(&[(0, 5), (1, 7)].into()).await?;
        one.offsets().commit(&[(0, 6)].into()).await?;
        let stale = one.offsets();
        one.leave().await;
        let mut two = member("two");
        two.join().await?;
        let due: BTreeMap<_, _> = [(0, Some(6)), (1, Some(7)), (2, None)].into();
        same(&two.offsets().committed(&[0, 1, 2]).await?, &due, "what the next member finds")?;
        check(stale.commit(&[(0, 1)].into()).await.is_err(), "the one that left still commits")?;
        let seen = bed.admin().await?.group_offsets(&group, &topic).await?;
        same(&seen, &[(0, 6), (1, 7)].into(), "what an operator finds")?;
        two.leave().await;
        Ok(())
    })
}

fn operated(bed: &Bed) -> Result<(), Failed> {
    bed.run(async {
        let (topic, group) = (bed.topic(PARTITIONS).await?, bed.name("group"));
        let admin = bed.admin().await?;
        let mut member =
            Member::new(bed.bootstrap.clone(), topic.clone(), GroupConfig::new(&group, "worker-7"));
        let assignment = member.join().await?;
        member.offsets().commit(&[(1, 9)].into()).await?;
        let seen = admin.group_members(&group).await?;
        same(&(seen.state.as_str(), seen.assignor.as_str()), &("Stable", "range"), "state and assignor")?;
        same(&seen.members.len(), &1, "members")?;
        let found = &seen.members[0];
        same(&found.member_id, &assignment.member_id, "member id")?;
        same(&found.client_id.as_str(), &"worker-7", "client id")?;
        same(&found.host.as_str(), &"127.0.0.1", "host")?;
        same(&found.partitions, &[(topic.clone(), vec![0, 1, 2])].into(), "what it owns")?;
        check(admin.list_groups().await?.contains(&group), "it is not listed")?;
        match admin.delete_group(&group).await {
            Err(AdminError::Refused { code, .. }) => {
                answers(code.code(), ResponseError::NonEmptyGroup, "deleted while it has a member")?;
            }
            other => return Err(format!("deleted while it has a member: {other:?}").into()),
        }
        member.leave().await;
        let seen = admin.group_members(&group).await?;
        same(&(seen.state.as_str(), seen.members.len()), &("Empty", 0), "after the last one left")?;
        same(&admin.group_offsets(&group, &topic).await?, &[(1, 9)].into(), "the offsets stay")?;
        admin.delete_group(&group).await?;
        same(&admin.group_members(&group).await?.state.as_str(), &"Dead", "a group that is gone")?;
        check(!admin.list_groups().await?.contains(&group), "it is still listed")?;
        same(&admin.group_offsets(&group, &topic).await?, &BTreeMap::new(), "its offsets are gone")
    })
}
