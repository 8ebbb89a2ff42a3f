//! The embedded broker as the pipeline uses it: rskafka, three partitions, batches of about 128 KiB, one request in flight a
//! partition. It has to stay far above what it stands in for, or a demonstration would measure the stand-in.

#[path = "support/mod.rs"]
mod support;

use std::collections::BTreeMap;
use std::hint::black_box;
use std::process::ExitCode;
use std::time::{Duration, Instant};

use chrono::DateTime;
use criterion::{BenchmarkId, Criterion, SamplingMode, Throughput};
use lanebench::broker::{Cluster, ClusterOptions};
use payment_delivery::kafka::admin::Admin;
use rskafka::client::ClientBuilder;
use rskafka::client::partition::{Compression, PartitionClient, UnknownTopicHandling};
use rskafka::record::Record;
use support::Session;
use tokio::task::JoinSet;

const PARTITIONS: i32 = 3;
/// Of one record, key and value.
const RECORD_BYTES: usize = 300;
/// About 128 KiB.
const BATCH_RECORDS: i64 = 420;
/// Of each partition in one iteration.
const BATCHES: i64 = 16;
const FETCH_BYTES: i32 = 1 << 20;
const RECORDS: i64 = BATCH_RECORDS * BATCHES * PARTITIONS as i64;

fn batch() -> Vec<Record> {
    let timestamp = DateTime::from_timestamp_millis(1_760_000_000_000).expect("a date");
    let record = |n: i64| {
        let key = format!("order-{n:08}").into_bytes();
        let value = vec![b'x'; RECORD_BYTES - key.len()];
        Record { key: Some(key), value: Some(value), headers: BTreeMap::new(), timestamp }
    };
    (0..BATCH_RECORDS).map(record).collect()
}

/// A cluster with one topic, and a client for each of its partitions.
async fn start() -> anyhow::Result<(Cluster, Vec<PartitionClient>)> {
    let cluster = Cluster::start(ClusterOptions::default()).await?;
    let admin = Admin::connect(&cluster.bootstrap(), Duration::from_secs(10)).await?;
    admin.create_topic("bench", PARTITIONS, 1, &[]).await?;
    let client = ClientBuilder::new(cluster.bootstrap()).build().await?;
    let mut clients = Vec::new();
    for partition in 0..PARTITIONS {
        clients.push(client.partition_client("bench", partition, UnknownTopicHandling::Error).await?);
    }
    Ok((cluster, clients))
}

async fn produce(client: PartitionClient) -> PartitionClient {
    for _ in 0..BATCHES {
        client.produce(batch(), Compression::NoCompression).await.expect("it is taken");
    }
    client
}

async fn fetch(client: PartitionClient) -> PartitionClient {
    let mut next = 0;
    while next < BATCHES * BATCH_RECORDS {
        let (records, _) = client.fetch_records(next, 1..FETCH_BYTES, 500).await.expect("it is there");
        next = records.last().expect("a batch").offset + 1;
        black_box(records);
    }
    client
}

/// Runs one side for all partitions side by side; the clients come back.
async fn each<F, W>(clients: Vec<PartitionClient>, work: W) -> Vec<PartitionClient>
where
    F: Future<Output = PartitionClient> + Send + 'static,
    W: Fn(PartitionClient) -> F,
{
    let mut tasks: JoinSet<_> = clients.into_iter().map(work).collect();
    let mut clients = Vec::new();
    while let Some(done) = tasks.join_next().await {
        clients.push(done.expect("no panic"));
    }
    clients
}

/// The time that `iterations` take, each on a fresh cluster: what one leaves in memory would slow the next.
async fn measure(session: &Session, iterations: u64, writes: bool, reads: bool) -> Duration {
    let mut total = Duration::ZERO;
    for _ in 0..iterations {
        session.check();
        let (cluster, mut clients) = session.need(start().await);
        if !writes {
            clients = each(clients, produce).await;
        }
        let begin = Instant::now();
        if writes {
            clients = each(clients, produce).await;
        }
        if reads {
            clients = each(clients, fetch).await;
        }
        total += begin.elapsed();
        drop(clients);
        cluster.stop().await;
    }
    total
}

fn broker(criterion: &mut Criterion, session: &Session) {
    let mut group = criterion.benchmark_group("embedded broker");
    group.throughput(Throughput::Elements(RECORDS as u64)).sampling_mode(SamplingMode::Flat);
    for (name, writes, reads) in
        [("produce", true, false), ("fetch", false, true), ("produce then fetch", true, true)]
    {
        let id = BenchmarkId::new(name, format!("{PARTITIONS} partitions, {RECORD_BYTES} B"));
        session.bench(&mut group, id, |b| {
            b.to_async(&session.runtime)
                .iter_custom(|iterations| measure(session, iterations, writes, reads));
        });
    }
    group.finish();
}

fn defaults() -> Criterion {
    Criterion::default()
        .sample_size(20)
        .warm_up_time(Duration::from_secs(1))
        .measurement_time(Duration::from_secs(5))
        .nresamples(20_000)
}

fn main() -> ExitCode {
    support::run(defaults(), broker)
}
