//! Partitions to members, as the leader of a group shares them out in every rebalance.

use std::collections::BTreeMap;
use std::hint::black_box;

use criterion::{BenchmarkId, Criterion, Throughput};
use payment_delivery::kafka::group::assignor::{Subscriber, range};

use crate::support::Session;

pub(crate) fn bench(criterion: &mut Criterion, session: &Session) {
    let mut group = criterion.benchmark_group("assignor");
    for (members, partitions) in [(3, 3), (30, 300)] {
        let topic = "payment-completed".to_owned();
        let subscriber = |n: i32| Subscriber {
            member_id: format!("consumer-{n}-5f3c9a1e"),
            instance_id: None,
            topics: vec![topic.clone()],
        };
        let subscribers: Vec<Subscriber> = (0..members).map(subscriber).collect();
        let counts = BTreeMap::from([(topic.clone(), partitions)]);
        group.throughput(Throughput::Elements(partitions as u64));
        let id = BenchmarkId::new("range", format!("{members} members, {partitions} partitions"));
        session.bench(&mut group, id, |b| b.iter(|| range(black_box(&subscribers), &counts)));
    }
    group.finish();
}
