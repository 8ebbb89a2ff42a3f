//! Events to JSON and back, at the size that every run uses.

use std::hint::black_box;

use criterion::{BenchmarkId, Criterion, Throughput};
use lanebench::workload::{Keys, Plan, PlanSpec, plan::VALUE_BYTES_DEFAULT};
use payment_delivery::event::PaymentEvent;

use crate::support::Session;

const EVENTS: usize = 1000;

pub(crate) fn bench(criterion: &mut Criterion, session: &Session) {
    let (spec, value_bytes) = (spec(), VALUE_BYTES_DEFAULT);
    let plan = Plan::backlog(&spec, EVENTS).expect("a valid plan");
    let decode = |value: &[u8]| PaymentEvent::decode(Some(value)).expect("a planned event");
    let events: Vec<PaymentEvent> = plan.iter().map(|planned| decode(&planned.value)).collect();
    let values: Vec<Vec<u8>> = plan.iter().map(|planned| planned.value).collect();
    let mut group = criterion.benchmark_group("codec");
    group.throughput(Throughput::Elements(EVENTS as u64));
    session.bench(&mut group, BenchmarkId::new("encode", format!("{value_bytes} B")), |b| {
        b.iter(|| events.iter().map(|event| black_box(event.encode()).len()).sum::<usize>());
    });
    session.bench(&mut group, BenchmarkId::new("decode", format!("{value_bytes} B")), |b| {
        b.iter(|| values.iter().for_each(|value| drop(black_box(decode(value)))));
    });
    group.finish();
}

/// The orders of a backlog as a drain has them.
pub(crate) fn spec() -> PlanSpec<'static> {
    PlanSpec {
        prefix: "d",
        events_per_order: 5,
        keys: Keys::Uniform,
        value_bytes: VALUE_BYTES_DEFAULT,
        seed: 1,
    }
}
