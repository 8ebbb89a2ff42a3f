//! Response times into a histogram, and what a result keeps of it.

use criterion::{BenchmarkId, Criterion, Throughput};
use lanebench::stats::Durations;

use crate::MANY;
use crate::support::Session;

pub(crate) fn bench(criterion: &mut Criterion, session: &Session) {
    // From 50 µs to half a second, spread like a long tail.
    let samples: Vec<i64> = (0..MANY as i64).map(|n| 50_000 + n * n * 5).collect();
    let full = || {
        let mut durations = Durations::new();
        samples.iter().for_each(|&ns| durations.record(ns));
        durations
    };
    let mut group = criterion.benchmark_group("histogram");
    group.throughput(Throughput::Elements(MANY as u64));
    session.bench(&mut group, BenchmarkId::from_parameter("record"), |b| b.iter(full));
    let recorded = full();
    session.bench(&mut group, BenchmarkId::from_parameter("to distribution"), |b| {
        b.iter(|| recorded.to_distribution());
    });
    group.finish();
}
