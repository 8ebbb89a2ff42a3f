//! The embedded broker, seen by those whom it is for: rskafka, and the pipeline's own producer, fetch loop, group member and
//! admin client. What happens on the failures it can play is here too.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use chrono::DateTime;
use kafka_protocol::error::ResponseError;
use lanebench::broker::{Cluster, ClusterOptions};
use payment_delivery::kafka::admin::{Admin, AdminError};
use payment_delivery::kafka::fetch::{self, FetchError};
use payment_delivery::kafka::group::{Assignment, GroupConfig, Member};
use payment_delivery::kafka::producer::{Producer, ProducerConfig};
use payment_delivery::kafka::{Fetched, Message};
use rskafka::client::ClientBuilder;
use rskafka::client::partition::{Compression, OffsetAt, PartitionClient, UnknownTopicHandling};
use rskafka::record::Record;
use tokio::sync::{oneshot, watch};
use tokio::task::JoinHandle;
use tokio::time::{Instant, sleep, timeout};
use tokio_util::sync::CancellationToken;

#[path = "embedded/faults.rs"]
mod faults;
#[path = "embedded/kcat.rs"]
mod kcat;

const TOPIC: &str = "payments";
const GROUP: &str = "deliveries";
/// Of the group members here.
const SESSION: Duration = Duration::from_secs(1);
const PATIENCE: Duration = Duration::from_secs(20);

async fn cluster(nodes: usize) -> (Cluster, Admin) {
    let cluster = Cluster::start(ClusterOptions { nodes, ..ClusterOptions::default() }).await.unwrap();
    let admin = Admin::connect(&cluster.bootstrap(), PATIENCE).await.unwrap();
    (cluster, admin)
}

async fn partition(cluster: &Cluster, partition: i32) -> PartitionClient {
    let client = ClientBuilder::new(cluster.bootstrap()).build().await.unwrap();
    client.partition_client(TOPIC, partition, UnknownTopicHandling::Error).await.unwrap()
}

fn record(n: i64) -> Record {
    let timestamp = DateTime::from_timestamp_millis(1_000 + n).unwrap();
    Record { key: None, value: Some(n.to_string().into_bytes()), headers: BTreeMap::new(), timestamp }
}

fn message(key: &str, n: usize) -> Message {
    Message {
        key: Some(key.as_bytes().to_vec()),
        value: Some(n.to_string().into_bytes()),
        timestamp_ms: 1_760_000_000_000,
        ..Message::default()
    }
}

fn numbers(fetched: &[Fetched]) -> Vec<usize> {
    let value = |f: &Fetched| String::from_utf8(f.message.value.clone().unwrap()).unwrap().parse().unwrap();
    fetched.iter().map(value).collect()
}

#[track_caller]
fn refused_with<T: std::fmt::Debug>(outcome: Result<T, AdminError>, expected: ResponseError) {
    match outcome {
        Err(AdminError::Refused { code, .. }) => assert_eq!(code.code(), expected.code()),
        other => panic!("expected {expected:?}, got {other:?}"),
    }
}

/// Polls `holds` until it does.
async fn until(what: &str, mut holds: impl AsyncFnMut() -> bool) {
    let deadline = Instant::now() + PATIENCE;
    while !holds().await {
        assert!(Instant::now() < deadline, "{what} did not happen within {PATIENCE:?}");
        sleep(Duration::from_millis(10)).await;
    }
}

#[tokio::test]
async fn rskafka_reads_from_any_offset_what_it_wrote() {
    let (cluster, admin) = cluster(1).await;
    admin.create_topic(TOPIC, 1, 1, &[]).await.unwrap();
    let client = partition(&cluster, 0).await;
    for batch in [0..5, 5..6, 6..20] {
        let offsets =
            client.produce(batch.clone().map(record).collect(), Compression::NoCompression).await.unwrap();
        assert_eq!(offsets, batch.collect::<Vec<_>>());
    }
    for from in 0..20 {
        let (records, end) = client.fetch_records(from, 1..1_000_000, 100).await.unwrap();
        assert_eq!(end, 20);
        let offsets: Vec<_> = records.iter().map(|r| r.offset).collect();
        assert_eq!(offsets, (from..20).collect::<Vec<_>>(), "from {from}");
        for found in records {
            assert_eq!(found.record, record(found.offset));
        }
    }
    assert_eq!(client.get_offset(OffsetAt::Earliest).await.unwrap(), 0);
    assert_eq!(client.get_offset(OffsetAt::Latest).await.unwrap(), 20);
    let at = |n: i64| OffsetAt::Timestamp(DateTime::from_timestamp_millis(1_000 + n).unwrap());
    for n in [0, 3, 5, 7, 19] {
        assert_eq!(client.get_offset(at(n)).await.unwrap(), n);
    }
    client.delete_records(7, 1_000).await.unwrap();
    assert_eq!(client.get_offset(OffsetAt::Earliest).await.unwrap(), 7);
    assert!(client.fetch_records(6, 1..1_000, 10).await.is_err(), "6 is below the log's start");
    assert_eq!(client.fetch_records(7, 1..1_000_000, 10).await.unwrap().0.len(), 13);
    cluster.stop().await;
}

#[tokio::test]
async fn a_long_poll_ends_with_the_first_record_and_with_its_time() {
    let (cluster, admin) = cluster(1).await;
    admin.create_topic(TOPIC, 1, 1, &[]).await.unwrap();
    let (reader, writer) = (partition(&cluster, 0).await, partition(&cluster, 0).await);
    let begin = Instant::now();
    let (nothing, _) = reader.fetch_records(0, 1..1_000, 150).await.unwrap();
    assert!(nothing.is_empty() && begin.elapsed() >= Duration::from_millis(150));

    let late = async {
        sleep(Duration::from_millis(100)).await;
        writer.produce(vec![record(0)], Compression::NoCompression).await.unwrap();
    };
    let begin = Instant::now();
    let (fetched, _) = tokio::join!(reader.fetch_records(0, 1..1_000, 10_000), late);
    assert_eq!(fetched.unwrap().0.len(), 1);
    assert!(begin.elapsed() < Duration::from_secs(5), "it was told, and did not wait for its time");
    cluster.stop().await;
}

#[tokio::test]
async fn topics_come_and_go_with_kafkas_errors() {
    let (cluster, admin) = cluster(3).await;
    admin.create_topic(TOPIC, 6, 3, &[("min.insync.replicas", "2")]).await.unwrap();
    let partitions = admin.describe_topic(TOPIC).await.unwrap();
    let leaders: BTreeSet<_> = partitions.iter().filter_map(|p| p.leader).collect();
    assert_eq!(leaders, [1, 2, 3].into(), "leaders are spread");
    assert!(partitions.iter().all(|p| p.isr.len() == 3 && p.replicas[0] == p.leader.unwrap()));
    assert_eq!(admin.brokers().await.unwrap().len(), 3);

    refused_with(admin.create_topic(TOPIC, 1, 1, &[]).await, ResponseError::TopicAlreadyExists);
    refused_with(admin.create_topic("a/b", 1, 1, &[]).await, ResponseError::InvalidTopicException);
    refused_with(admin.create_topic("x", 0, 1, &[]).await, ResponseError::InvalidPartitions);
    refused_with(admin.create_topic("x", 1, 4, &[]).await, ResponseError::InvalidReplicationFactor);
    for config in [("max.message.bytes", "many"), ("no.such.config", "1")] {
        refused_with(admin.create_topic("x", 1, 1, &[config]).await, ResponseError::InvalidConfig);
    }
    refused_with(admin.end_offsets("never").await, ResponseError::UnknownTopicOrPartition);
    assert_eq!(admin.list_topics().await.unwrap(), [TOPIC], "asking creates nothing");

    let producer =
        Producer::connect(&cluster.bootstrap(), TOPIC, 6, ProducerConfig::default()).await.unwrap();
    for n in 0..100 {
        producer.send(message(&format!("order-{n}"), n), ()).await.unwrap();
    }
    producer.close().await.unwrap();
    assert_eq!(admin.end_offsets(TOPIC).await.unwrap().values().sum::<i64>(), 100);
    assert!(cluster.log_bytes() > 0);
    admin.delete_topic(TOPIC).await.unwrap();
    assert_eq!(cluster.log_bytes(), 0, "a deleted topic frees its memory");
    cluster.stop().await;
}

#[tokio::test]
async fn what_is_too_much_is_refused() {
    let options = ClusterOptions { max_log_bytes: 10_000, ..ClusterOptions::default() };
    let cluster = Cluster::start(options).await.unwrap();
    let admin = Admin::connect(&cluster.bootstrap(), PATIENCE).await.unwrap();
    admin.create_topic(TOPIC, 1, 1, &[("max.message.bytes", "1000")]).await.unwrap();
    let client = partition(&cluster, 0).await;
    let large = |bytes| vec![Record { value: Some(vec![7; bytes]), ..record(0) }];
    let refused = client.produce(large(1_000), Compression::NoCompression).await.unwrap_err();
    assert!(refused.to_string().contains("MessageTooLarge"), "{refused}");
    let mut taken = 0;
    let full = loop {
        match client.produce(large(900), Compression::NoCompression).await {
            Ok(_) => taken += 1,
            Err(error) => break error,
        }
    };
    assert!(full.to_string().contains("KafkaStorageError"), "{full}");
    assert_eq!(taken, 10);
    assert!(cluster.log_bytes() <= 10_000);
    cluster.stop().await;
}

#[tokio::test]
async fn an_offset_outside_the_log_is_told() {
    let (cluster, admin) = cluster(1).await;
    admin.create_topic(TOPIC, 1, 1, &[]).await.unwrap();
    let client = partition(&cluster, 0).await;
    client.produce(vec![record(0)], Compression::NoCompression).await.unwrap();
    let read = fetch::read_all(&cluster.bootstrap(), TOPIC, 0, 5, 6, PATIENCE).await;
    assert_eq!(read, Err(FetchError::OutOfRange { partition: 0, offset: 5, start: 0, end: 1 }));
    cluster.stop().await;
}

/// A member at work in a task of its own: it joins again whenever the group changes.
struct Consumer {
    assigned: watch::Receiver<Option<Assignment>>,
    stop: CancellationToken,
    task: JoinHandle<()>,
}

impl Consumer {
    fn start(cluster: &Cluster, name: &str) -> Self {
        let mut config = GroupConfig::new(GROUP, name);
        config.session_timeout = SESSION;
        config.heartbeat_interval = Duration::from_millis(50);
        config.rebalance_timeout = Duration::from_secs(5);
        let mut member = Member::new(cluster.bootstrap(), TOPIC.to_owned(), config);
        let (tell, assigned) = watch::channel(None);
        let stop = CancellationToken::new();
        let stopped = stop.clone();
        let task = tokio::spawn(async move {
            let work = async {
                loop {
                    tell.send_replace(Some(member.join().await.unwrap()));
                    member.changed().await;
                }
            };
            stopped.run_until_cancelled(work).await;
            member.leave().await;
        });
        Self { assigned, stop, task }
    }

    async fn leave(self) {
        self.stop.cancel();
        self.task.await.unwrap();
    }

    /// Without a word, as a killed process.
    async fn die(self) {
        self.task.abort();
        assert!(self.task.await.unwrap_err().is_cancelled());
    }
}

/// Waits until the consumers, and nobody else, share all partitions in one generation.
async fn settled(consumers: &[&Consumer], partitions: usize) -> Vec<Assignment> {
    let mut assignments = Vec::new();
    until("a shared generation", async || {
        assignments = consumers.iter().filter_map(|c| c.assigned.borrow().clone()).collect();
        let generations: BTreeSet<_> = assignments.iter().map(|a: &Assignment| a.generation).collect();
        let shared: usize = assignments.iter().map(|a| a.partitions.len()).sum();
        assignments.len() == consumers.len() && generations.len() == 1 && shared == partitions
    })
    .await;
    assignments
}

#[tokio::test]
async fn a_group_shares_commits_and_takes_over() {
    let (cluster, admin) = cluster(3).await;
    admin.create_topic(TOPIC, 3, 3, &[]).await.unwrap();
    let [one, two, three] = ["one", "two", "three"].map(|name| Consumer::start(&cluster, name));
    let assignments = settled(&[&one, &two, &three], 3).await;
    assert!(assignments.iter().all(|a| a.partitions.len() == 1), "{assignments:?}");
    let described = admin.group_members(GROUP).await.unwrap();
    assert_eq!((described.state.as_str(), described.assignor.as_str()), ("Stable", "range"));
    assert_eq!(described.members.len(), 3);
    refused_with(admin.delete_group(GROUP).await, ResponseError::NonEmptyGroup);

    one.leave().await; // says so: the others are told at once
    let left = Instant::now();
    settled(&[&two, &three], 3).await;
    assert!(left.elapsed() < SESSION, "it was not waited for: {:?}", left.elapsed());
    let died = Instant::now();
    three.die().await; // its session has to end
    let alone = settled(&[&two], 3).await;
    assert!(died.elapsed() > SESSION / 2, "after {:?}", died.elapsed());
    assert_eq!(alone[0].partitions, [0, 1, 2]);
    two.leave().await;
    assert_eq!(admin.group_members(GROUP).await.unwrap().state, "Empty");
    assert_eq!(admin.list_groups().await.unwrap(), [GROUP]);
    admin.delete_group(GROUP).await.unwrap();
    assert_eq!(admin.list_groups().await.unwrap(), [""; 0]);
    cluster.stop().await;
}

#[tokio::test]
async fn what_is_committed_is_found_by_the_next_member() {
    let (cluster, admin) = cluster(1).await;
    admin.create_topic(TOPIC, 2, 1, &[]).await.unwrap();
    let config = || GroupConfig::new(GROUP, "test");
    let mut first = Member::new(cluster.bootstrap(), TOPIC.to_owned(), config());
    let joined = timeout(PATIENCE, first.join()).await.unwrap().unwrap();
    assert_eq!(joined.partitions, [0, 1]);
    first.offsets().commit(&[(1, 42)].into()).await.unwrap();
    let stale = first.offsets();
    first.leave().await;
    assert!(stale.commit(&[(1, 7)].into()).await.is_err(), "who has left commits no more");

    let mut second = Member::new(cluster.bootstrap(), TOPIC.to_owned(), config());
    timeout(PATIENCE, second.join()).await.unwrap().unwrap();
    assert_eq!(second.offsets().committed(&[0, 1]).await.unwrap(), [(0, None), (1, Some(42))].into());
    assert_eq!(admin.group_offsets(GROUP, TOPIC).await.unwrap(), [(1, 42)].into());
    second.leave().await;
    cluster.stop().await;
}
