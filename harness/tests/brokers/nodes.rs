//! Several brokers that are one cluster: who leads, who coordinates, and what the others answer.

use std::collections::{BTreeMap, BTreeSet};

use kafka_protocol::ResponseError;
use kafka_protocol::messages::{DescribeGroupsRequest, ListGroupsRequest};
use libtest_mimic::Failed;
use payment_delivery::kafka::admin::PartitionInfo;

use crate::batch::batch_of;
use crate::bed::{Bed, Case, answers, same};
use crate::common::check;
use crate::puppet::Puppet;
use crate::wire::{Appetite, Wire, fetch_request, group_id, only_partition};

pub(crate) const CASES: &[Case] = &[
    Case::new("every broker names all brokers", metadata),
    Case::new("replicas and those in sync are seen by all", replicas),
    Case::new("the leaders are spread over the brokers", spread).nodes(3),
    Case::new("a broker that does not lead says so", not_leader).nodes(3),
    Case::new("all brokers agree on a group's coordinator", one_coordinator),
    Case::new("a broker that does not coordinate says so", not_coordinator).nodes(3),
];

fn metadata(bed: &Bed) -> Result<(), Failed> {
    bed.run(async {
        let mut seen = BTreeSet::new();
        for mut wire in bed.everyone().await? {
            let answer = wire.metadata(&[], false).await?;
            let brokers: BTreeMap<i32, String> =
                answer.brokers.iter().map(|b| (b.node_id.0, format!("{}:{}", &*b.host, b.port))).collect();
            let addresses: BTreeSet<_> = brokers.values().cloned().collect();
            same(&addresses, &bed.bootstrap.iter().cloned().collect(), "addresses")?;
            check(brokers.contains_key(&answer.controller_id.0), "the controller is none of them")?;
            check(answer.topics.is_empty(), "topics came that nobody asked for")?;
            let cluster = answer.cluster_id.ok_or("the cluster has no id")?;
            seen.insert((cluster.to_string(), brokers));
        }
        same(&seen.len(), &1, "different views of the cluster")?;
        same(&bed.admin().await?.brokers().await?.len(), &bed.subject.nodes, "brokers for the pipeline")
    })
}

fn replicas(bed: &Bed) -> Result<(), Failed> {
    bed.run(async {
        let admin = bed.admin().await?;
        let brokers: BTreeSet<i32> = admin.brokers().await?.iter().map(|b| b.id).collect();
        let (everywhere, once) = (bed.name("everywhere"), bed.name("once"));
        let min_isr = bed.replication().min(2).to_string();
        let configs = [("min.insync.replicas", min_isr.as_str())];
        admin.create_topic(&everywhere, 3, bed.replication(), &configs).await?;
        admin.create_topic(&once, 3, 1, &[]).await?;
        let whole = |p: &PartitionInfo, count: usize| {
            let (replicas, isr): (BTreeSet<_>, BTreeSet<_>) =
                (p.replicas.iter().copied().collect(), p.isr.iter().copied().collect());
            replicas.len() == count
                && replicas == isr
                && replicas.is_subset(&brokers)
                && p.replicas.first().copied() == p.leader
        };
        for (topic, count) in [(&everywhere, bed.subject.nodes), (&once, 1)] {
            let partitions = admin.describe_topic(topic).await?;
            let ids: Vec<_> = partitions.iter().map(|p| p.id).collect();
            same(&ids, &vec![0, 1, 2], "partitions")?;
            check(partitions.iter().all(|p| whole(p, count)), format!("{partitions:?}"))?;
        }
        Ok(())
    })
}

fn spread(bed: &Bed) -> Result<(), Failed> {
    bed.run(async {
        let nodes = i32::try_from(bed.subject.nodes)?;
        let topic = bed.topic(2 * nodes).await?;
        let mut led: BTreeMap<i32, i32> = BTreeMap::new();
        for partition in bed.admin().await?.describe_topic(&topic).await? {
            *led.entry(partition.leader.ok_or("a partition has no leader")?).or_default() += 1;
        }
        same(&led.values().copied().collect(), &vec![2; bed.subject.nodes], "partitions led by each broker")
    })
}

/// Produce, fetch (version 4, before followers could be read) and list offsets at a broker that does not lead.
async fn none_served(wire: &mut Wire, topic: &str) -> Result<(), Failed> {
    let due = ResponseError::NotLeaderOrFollower;
    let (code, _) = wire.produce(topic, 0, &batch_of(&[b"v"], 1)).await?;
    answers(code, due, "produce")?;
    let request = fetch_request(topic, &[(0, 0)], Appetite::default());
    let answer = only_partition(wire.ask_in(4, &request).await?)?;
    answers(answer.error_code, due, "fetch")?;
    answers(wire.list_offset(topic, 0, -1).await?.0, due, "list offsets")
}

fn not_leader(bed: &Bed) -> Result<(), Failed> {
    bed.run(async {
        let admin = bed.admin().await?;
        let (followed, alone) = (bed.topic(1).await?, bed.name("alone"));
        admin.create_topic(&alone, 1, 1, &[]).await?;
        for topic in [followed, alone] {
            let leader = bed.place(&topic, 0).await?.leader.ok_or("it has no leader")?;
            let mut others = 0;
            for broker in admin.brokers().await?.iter().filter(|b| b.id != leader) {
                none_served(&mut Wire::connect(&bed.address(broker.id).await?).await?, &topic).await?;
                others += 1;
            }
            same(&others, &(bed.subject.nodes - 1), "brokers that do not lead")?;
            let end = bed.leader(&topic, 0).await?.list_offset(&topic, 0, -1).await?;
            same(&end, &(0, 0, -1), "what was refused is not in the log")?;
        }
        Ok(())
    })
}

fn one_coordinator(bed: &Bed) -> Result<(), Failed> {
    bed.run(async {
        let brokers: Vec<i32> = bed.admin().await?.brokers().await?.iter().map(|b| b.id).collect();
        for i in 0..8 {
            let group = bed.name(&format!("group-{i}"));
            bed.coordinator(&group).await?;
            let mut named = BTreeSet::new();
            for mut wire in bed.everyone().await? {
                let (code, node) = wire.find_coordinator(&group).await?;
                answers(code, None, "FindCoordinator")?;
                named.insert(node);
            }
            same(&named.len(), &1, &format!("coordinators of {group}"))?;
            check(named.iter().all(|node| brokers.contains(node)), "it is no broker")?;
        }
        Ok(())
    })
}

fn not_coordinator(bed: &Bed) -> Result<(), Failed> {
    bed.run(async {
        let due = ResponseError::NotCoordinator;
        let (group, topic) = (bed.name("group"), bed.topic(1).await?);
        let mut member = Puppet::new(bed, &group, &topic).await?;
        member.settle().await?;
        let (_, coordinator) = bed.anyone().await?.find_coordinator(&group).await?;
        let own = bed.address(coordinator).await?;
        for address in bed.bootstrap.iter().filter(|address| **address != own) {
            let mut astray = Puppet::new(bed, &group, &topic).await?;
            astray.wire = Wire::connect(address).await?;
            answers(astray.join_once().await?.error_code, due, "JoinGroup")?;
            (astray.member_id, astray.generation) = (member.member_id.clone(), member.generation);
            answers(astray.sync(&[]).await?.0, due, "SyncGroup")?;
            answers(astray.heartbeat().await?, due, "Heartbeat")?;
            answers(astray.commit(1).await?, due, "OffsetCommit")?;
            answers(astray.leave().await?, due, "LeaveGroup")?;
            same(&astray.wire.committed(&group, &topic, &[0]).await?, &Err(due), "OffsetFetch")?;
            let request = DescribeGroupsRequest::default().with_groups(vec![group_id(&group)]);
            answers(astray.wire.ask(&request).await?.groups[0].error_code, due, "DescribeGroups")?;
            let listed = astray.wire.ask(&ListGroupsRequest::default()).await?;
            check(listed.groups.iter().all(|g| g.group_id != group_id(&group)), "it lists another's group")?;
        }
        answers(member.heartbeat().await?, None, "Heartbeat at the coordinator")
    })
}
