//! Topics: making, finding, deleting; and what is answered for those that are not there.

use std::collections::BTreeMap;

use kafka_protocol::ResponseError;
use kafka_protocol::messages::DeleteTopicsRequest;
use kafka_protocol::messages::delete_topics_request::DeleteTopicState;
use libtest_mimic::Failed;
use payment_delivery::kafka::admin::{AdminError, Operation};

use crate::batch::batch_of;
use crate::bed::{Bed, Case, SOON, answers, same};
use crate::common::{check, until};
use crate::wire::{Appetite, Wire, topic_name};

pub(crate) const CASES: &[Case] = &[
    Case::new("an unknown topic is said to be unknown", unknown),
    Case::new("an unknown partition is said to be unknown", unknown_partition),
    Case::new("asking for a topic does not make it", not_made),
    Case::new("a topic can't be made twice", twice),
    Case::new("a topic that can't be is refused", impossible),
    Case::new("a topic with a setting that can't be is refused", bad_setting),
    Case::new("a deleted topic is gone, and one made anew is empty", deleted),
    Case::new("more replicas in sync than there can be are not asked for", min_isr),
    Case::new("partitions are added, and what was there stays", added),
    Case::new("topics are listed", listed),
    Case::new("rights are told, and a topic that could be made is not made", rights),
];

/// From one partition to three: records stay where they are, each node knows the new partitions, and there is no way back.
fn added(bed: &Bed) -> Result<(), Failed> {
    bed.run(async {
        let (admin, topic) = (bed.admin().await?, bed.name("growing"));
        let absent = admin.add_partitions(&topic, 3).await;
        check(
            matches!(&absent, Err(AdminError::Refused { code, .. })
                if code.code() == ResponseError::UnknownTopicOrPartition.code()),
            format!("a topic that is not there: {absent:?}"),
        )?;
        admin.create_topic(&topic, 1, 1, &[]).await?;
        let mut wire = bed.leader(&topic, 0).await?;
        answers(wire.produce(&topic, 0, &batch_of(&[b"v"], 1)).await?.0, None, "produce")?;
        admin.add_partitions(&topic, 3).await?;
        same(&admin.end_offsets(&topic).await?, &BTreeMap::from([(0, 1), (1, 0), (2, 0)]), "ends")?;
        for mut wire in bed.everyone().await? {
            let metadata = wire.metadata(&[&topic], false).await?;
            same(&metadata.topics[0].partitions.len(), &3, "partitions")?;
        }
        for partition in 1..3 {
            let mut wire = bed.leader(&topic, partition).await?;
            let (code, _) = wire.produce(&topic, partition, &batch_of(&[b"v"], 1)).await?;
            answers(code, None, "produce to a new partition")?;
        }
        for count in [3, 2, 0] {
            let refused = admin.add_partitions(&topic, count).await;
            check(
                matches!(&refused, Err(AdminError::Refused { code, .. })
                    if code.code() == ResponseError::InvalidPartitions.code()),
                format!("{count} of 3: {refused:?}"),
            )?;
        }
        Ok(admin.delete_topic(&topic).await?)
    })
}

/// Where nobody has set rules, all is allowed, of topics and groups that are not there as well.
fn rights(bed: &Bed) -> Result<(), Failed> {
    bed.run(async {
        let (admin, name) = (bed.admin().await?, bed.name("wished"));
        let (topic, group) = (admin.topic_rights(&name).await?, admin.group_rights(&name).await?);
        for operation in [Operation::Read, Operation::Write, Operation::Delete, Operation::Describe] {
            check(topic.allow(operation), format!("{operation:?} of a topic"))?;
        }
        check(group.allow(Operation::Read) && group.allow(Operation::Delete), "a group")?;
        let refused = admin.could_create_topic(&name, 1, 9, &[]).await;
        check(
            matches!(&refused, Err(AdminError::Refused { code, .. }) if code.is_replication()),
            format!("{refused:?}"),
        )?;
        admin.could_create_topic(&name, 1, 1, &[("min.insync.replicas", "1")]).await?;
        check(!admin.topic_exists(&name).await?, "it was only asked for, and made")?;
        admin.create_topic(&name, 1, 1, &[]).await?;
        let taken = admin.could_create_topic(&name, 1, 1, &[]).await;
        check(
            matches!(&taken, Err(AdminError::Refused { code, .. }) if code.is_existing_topic()),
            format!("{taken:?}"),
        )?;
        Ok(admin.delete_topic(&name).await?)
    })
}

/// Produce, fetch and list offsets on a partition that is not there.
async fn all_unknown(wire: &mut Wire, topic: &str, partition: i32) -> Result<(), Failed> {
    let due = ResponseError::UnknownTopicOrPartition;
    let (code, _) = wire.produce(topic, partition, &batch_of(&[b"v"], 1)).await?;
    answers(code, due, "produce")?;
    let answer = wire.fetch(topic, partition, 0, Appetite::default()).await?;
    answers(answer.error_code, due, "fetch")?;
    answers(wire.list_offset(topic, partition, -1).await?.0, due, "list offsets")
}

async fn topic_error(wire: &mut Wire, topic: &str, create: bool) -> Result<i16, Failed> {
    Ok(wire.metadata(&[topic], create).await?.topics.first().ok_or("the answer names no topic")?.error_code)
}

fn unknown(bed: &Bed) -> Result<(), Failed> {
    bed.run(async {
        let topic = bed.name("nowhere");
        for mut wire in bed.everyone().await? {
            all_unknown(&mut wire, &topic, 0).await?;
            let code = topic_error(&mut wire, &topic, false).await?;
            answers(code, ResponseError::UnknownTopicOrPartition, "metadata")?;
            let state = DeleteTopicState::default().with_name(Some(topic_name(&topic)));
            let request = DeleteTopicsRequest::default().with_topics(vec![state]).with_timeout_ms(5_000);
            let answer = wire.ask(&request).await?;
            answers(answer.responses[0].error_code, ResponseError::UnknownTopicOrPartition, "delete")?;
        }
        check(!bed.admin().await?.topic_exists(&topic).await?, "the pipeline finds it")
    })
}

fn unknown_partition(bed: &Bed) -> Result<(), Failed> {
    bed.run(async {
        let topic = bed.topic(2).await?;
        let mut wire = bed.anyone().await?;
        all_unknown(&mut wire, &topic, 2).await?;
        all_unknown(&mut wire, &topic, -1).await
    })
}

fn not_made(bed: &Bed) -> Result<(), Failed> {
    bed.run(async {
        let topic = bed.name("wished-for");
        for mut wire in bed.everyone().await? {
            for _ in 0..2 {
                let code = topic_error(&mut wire, &topic, true).await?;
                answers(code, ResponseError::UnknownTopicOrPartition, "metadata that asks to create")?;
            }
        }
        check(!bed.admin().await?.list_topics().await?.contains(&topic), "it was made")
    })
}

fn twice(bed: &Bed) -> Result<(), Failed> {
    bed.run(async {
        let topic = bed.topic(2).await?;
        let again = bed.admin().await?.create_topic(&topic, 3, 1, &[]).await;
        refused(again, ResponseError::TopicAlreadyExists, "made twice")?;
        same(&bed.admin().await?.describe_topic(&topic).await?.len(), &2, "its partitions are the first ones")
    })
}

fn refused(outcome: Result<(), AdminError>, due: ResponseError, what: &str) -> Result<(), Failed> {
    match outcome {
        Err(AdminError::Refused { code, .. }) => answers(code.code(), due, what),
        other => Err(format!("{what}: {other:?}").into()),
    }
}

fn impossible(bed: &Bed) -> Result<(), Failed> {
    bed.run(async {
        use ResponseError as E;
        let admin = bed.admin().await?;
        for name in ["with space", "sl/ash", "..", ".", "", "ä", &"x".repeat(250)] {
            refused(
                admin.create_topic(name, 1, 1, &[]).await,
                E::InvalidTopicException,
                &format!("`{name}`"),
            )?;
        }
        let name = bed.name("impossible");
        let more = bed.replication() + 1;
        for (partitions, replication, due) in [
            (1, more, E::InvalidReplicationFactor),
            (1, 0, E::InvalidReplicationFactor),
            (0, 1, E::InvalidPartitions),
        ] {
            let outcome = admin.create_topic(&name, partitions, replication, &[]).await;
            refused(outcome, due, &format!("{partitions} partitions, replication {replication}"))?;
        }
        check(!admin.topic_exists(&name).await?, "it was made all the same")?;
        // Dots, dashes and underscores are fine, and so are 249 characters.
        let longest = format!("{:_<249}", bed.name("aB-"));
        admin.create_topic(&longest, 1, 1, &[]).await?;
        Ok(())
    })
}

fn bad_setting(bed: &Bed) -> Result<(), Failed> {
    bed.run(async {
        let (admin, name) = (bed.admin().await?, bed.name("impossible"));
        for config in [("no.such.config", "1"), ("max.message.bytes", "many")] {
            let outcome = admin.create_topic(&name, 1, 1, &[config]).await;
            refused(outcome, ResponseError::InvalidConfig, &format!("{config:?}"))?;
        }
        check(!admin.topic_exists(&name).await?, "it was made all the same")
    })
}

fn deleted(bed: &Bed) -> Result<(), Failed> {
    bed.run(async {
        let topic = bed.topic(1).await?;
        let mut wire = bed.leader(&topic, 0).await?;
        for _ in 0..3 {
            wire.produce(&topic, 0, &batch_of(&[b"old"], 1)).await?;
        }
        let admin = bed.admin().await?;
        admin.delete_topic(&topic).await?;
        check(!admin.topic_exists(&topic).await?, "it is still there")?;
        // A leader may take a moment to drop the log after the metadata has lost the topic.
        until(SOON, "its leader still serves it", async || {
            Ok(all_unknown(&mut wire, &topic, 0).await.is_ok())
        })
        .await?;
        bed.topic(1).await?;
        let mut wire = bed.leader(&topic, 0).await?;
        same(&wire.list_offset(&topic, 0, -1).await?, &(0, 0, -1), "the end of the new one")?;
        let (code, base) = wire.produce(&topic, 0, &batch_of(&[b"new"], 1)).await?;
        answers(code, None, "produce")?;
        same(&base, &0, "its first offset")
    })
}

fn min_isr(bed: &Bed) -> Result<(), Failed> {
    bed.run(async {
        let topic = bed.name("careful");
        bed.admin().await?.create_topic(&topic, 1, 1, &[("min.insync.replicas", "2")]).await?;
        // Kafka asks for two of one as for one of one.
        let (code, base) = bed.leader(&topic, 0).await?.produce(&topic, 0, &batch_of(&[b"v"], 1)).await?;
        answers(code, None, "produce with acks of all")?;
        same(&base, &0, "base offset")
    })
}

fn listed(bed: &Bed) -> Result<(), Failed> {
    bed.run(async {
        let topic = bed.topic(2).await?;
        let admin = bed.admin().await?;
        check(admin.list_topics().await?.contains(&topic), "the pipeline's list lacks it")?;
        let client = rskafka::client::ClientBuilder::new(bed.bootstrap.clone()).build().await?;
        let listed = client.list_topics().await?;
        let found = listed.iter().find(|t| t.name == topic).ok_or("rskafka's list lacks it")?;
        same(&found.partitions, &[0, 1].into(), "its partitions")
    })
}
