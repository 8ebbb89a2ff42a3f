//! What the size of a producer's batches, and of a single message, costs: `cargo run --release --example batch_sizes BROKER [ROUNDS]` prints,
//! as JSON, records a second by `batch_bytes`, and the median time to an acknowledgement by the size of a message that is sent alone.
//!
//! `BROKER` is an address of a cluster, such as 127.0.0.1:9092. A topic of its own is made there, and removed.

use std::time::{Duration, Instant};

use payment_delivery::kafka::Message;
use payment_delivery::kafka::admin::Admin;
use payment_delivery::kafka::producer::{Producer, ProducerConfig};
use serde_json::json;
use tokio::sync::oneshot;

const TOPIC: &str = "lanebench.batch-sizes";
/// Bytes of a batch at most. rskafka writes up to 8 KiB at once, larger requests in two pieces.
const BATCHES: [usize; 6] = [2 * 1024, 7_680, 16 * 1024, 32 * 1024, 64 * 1024, 128 * 1024];
/// Bytes of a message's value.
const VALUES: [usize; 7] = [300, 4_000, 7_000, 9_000, 32_000, 60_000, 128_000];
/// Bytes of a value where batches vary: that of an ordinary event.
const VALUE: usize = 300;
/// How long each size of batches is produced, after a third of it uncounted.
const LENGTH: Duration = Duration::from_millis(900);
/// Messages of each size that are sent alone.
const ALONE: usize = 25;

type Failure = Box<dyn std::error::Error>;

#[tokio::main]
async fn main() -> Result<(), Failure> {
    let mut arguments = std::env::args().skip(1);
    let broker = arguments.next().ok_or("name a broker, such as 127.0.0.1:9092")?;
    let rounds: u32 = arguments.next().map_or(Ok(5), |rounds| rounds.parse())?;
    let brokers = [broker];
    let admin = Admin::connect(&brokers, Duration::from_secs(10)).await?;
    admin.create_topic(TOPIC, 1, 1, &[]).await?;
    let told = measured(&brokers, rounds).await;
    admin.delete_topic(TOPIC).await?;
    println!("{}", told?);
    Ok(())
}

async fn measured(brokers: &[String], rounds: u32) -> Result<serde_json::Value, Failure> {
    let (mut per_s, mut ms) = (BATCHES.map(|_| Vec::new()), VALUES.map(|_| Vec::new()));
    for _ in 0..rounds {
        for (batch_bytes, per_s) in BATCHES.into_iter().zip(&mut per_s) {
            let config = ProducerConfig { batch_bytes, ..small_buffer() };
            let producer = Producer::connect(brokers, TOPIC, 1, config).await?;
            send_for(&producer, LENGTH / 3).await?;
            per_s.push(send_for(&producer, LENGTH).await?.round());
            producer.close().await?;
        }
        for (value, ms) in VALUES.into_iter().zip(&mut ms) {
            ms.push(alone(brokers, value).await?);
        }
    }
    let batches = BATCHES.iter().zip(per_s);
    let batches: Vec<_> =
        batches.map(|(bytes, per_s)| json!({ "batch_bytes": bytes, "per_s": per_s })).collect();
    let alone = VALUES.iter().zip(ms);
    let alone: Vec<_> = alone.map(|(bytes, ms)| json!({ "value_bytes": bytes, "ms": ms })).collect();
    Ok(json!({ "value_bytes": VALUE, "batches": batches, "alone": alone }))
}

/// Two whole batches and no more, so that a flush is soon done where each batch waits.
fn small_buffer() -> ProducerConfig {
    ProducerConfig { buffer_bytes: 256 * 1024, max_record_bytes: 200_000, ..ProducerConfig::default() }
}

/// Produces as fast as the producer takes messages; how many a second.
async fn send_for(producer: &Producer<()>, length: Duration) -> Result<f64, Failure> {
    let (begun, mut sent) = (Instant::now(), 0_u32);
    while begun.elapsed() < length {
        producer.send(message(VALUE), ()).await?;
        sent += 1;
    }
    producer.flush().await?;
    Ok(f64::from(sent) / begun.elapsed().as_secs_f64())
}

/// The median time from a send to its acknowledgement, in ms, nothing else being under way.
async fn alone(brokers: &[String], value: usize) -> Result<f64, Failure> {
    let config = ProducerConfig { batch_interval: Duration::ZERO, ..small_buffer() };
    let producer = Producer::connect(brokers, TOPIC, 1, config).await?;
    let mut took = Vec::new();
    for _ in 0..ALONE {
        let (told, heard) = oneshot::channel();
        let begun = Instant::now();
        producer.send(message(value), told).await?;
        heard.await??;
        took.push(begun.elapsed());
    }
    producer.close().await?;
    took.sort_unstable();
    Ok(took[ALONE / 2].as_secs_f64() * 1e3)
}

fn message(value: usize) -> Message {
    Message { value: Some(vec![b'x'; value]), timestamp_ms: 1, ..Message::default() }
}
