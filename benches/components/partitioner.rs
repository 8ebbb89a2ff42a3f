//! The partition of a key, as Kafka's default partitioner has it.

use std::hint::black_box;
use std::num::NonZeroU32;

use criterion::{BenchmarkId, Criterion, Throughput};
use payment_delivery::kafka::partitioner::partition_for_key;

use crate::MANY;
use crate::support::Session;

pub(crate) fn bench(criterion: &mut Criterion, session: &Session) {
    let keys: Vec<String> = (0..MANY).map(|n| format!("d-{n:06}")).collect();
    let partitions = NonZeroU32::new(3).expect("not zero");
    let mut group = criterion.benchmark_group("partitioner");
    group.throughput(Throughput::Elements(MANY as u64));
    session.bench(&mut group, BenchmarkId::from_parameter("order ids"), |b| {
        b.iter(|| {
            keys.iter().map(|key| partition_for_key(black_box(key.as_bytes()), partitions)).sum::<i32>()
        });
    });
    group.finish();
}
