//! The producer's buffers: from `send` to the last acknowledgement, with the stack's broker at the other end. What the broker
//! alone takes is in the target `broker`.

use std::time::{Duration, Instant};

use criterion::{BenchmarkId, Criterion, SamplingMode, Throughput};
use lanebench::workload::Plan;
use payment_delivery::kafka::Message;
use payment_delivery::kafka::admin::Admin;
use payment_delivery::kafka::producer::{Producer, ProducerConfig};

use crate::MANY;
use crate::bed::Bed;
use crate::codec::spec;
use crate::support::Session;

const PARTITIONS: i32 = 3;
const CONNECT_TIMEOUT: Duration = Duration::from_secs(10);

pub(crate) fn bench(criterion: &mut Criterion, session: &Session, bed: &Bed<'_>) {
    let plan = Plan::backlog(&spec(), MANY).expect("a valid plan");
    let messages: Vec<Message> = plan
        .iter()
        .map(|planned| Message {
            key: Some(planned.order_id.as_str().as_bytes().to_vec()),
            value: Some(planned.value),
            ..Message::default()
        })
        .collect();
    let mut topics = 0;
    let mut group = criterion.benchmark_group("producer");
    group.throughput(Throughput::Elements(MANY as u64)).sampling_mode(SamplingMode::Flat);
    group.sample_size(15).warm_up_time(Duration::from_secs(1)).measurement_time(Duration::from_secs(3));
    session.bench(&mut group, BenchmarkId::new("send and flush", bed.kind()), |b| {
        let bootstrap = bed.stack().target().bootstrap;
        topics += 1;
        let topic = format!("bench-producer-{topics}");
        b.to_async(&session.runtime).iter_custom(|iterations| {
            let (bootstrap, topic, messages) = (bootstrap.clone(), topic.clone(), &messages);
            async move { session.need(send(iterations, &bootstrap, &topic, messages).await) }
        });
    });
    group.finish();
}

/// Each sample on a topic of its own: what one leaves in memory would slow the next.
async fn send(
    iterations: u64,
    bootstrap: &[String],
    topic: &str,
    messages: &[Message],
) -> anyhow::Result<Duration> {
    let admin = Admin::connect(bootstrap, CONNECT_TIMEOUT).await?;
    admin.create_topic(topic, PARTITIONS, 1, &[]).await?;
    let producer = Producer::<()>::connect(bootstrap, topic, PARTITIONS, ProducerConfig::default()).await?;
    let mut spent = Duration::ZERO;
    for _ in 0..iterations {
        let copies = messages.to_vec();
        let begun = Instant::now();
        for message in copies {
            producer.send(message, ()).await?;
        }
        producer.flush().await?;
        spent += begun.elapsed();
    }
    producer.close().await?;
    admin.delete_topics(&[topic]).await?;
    Ok(spent)
}
