//! What is made before a phase begins: due times and events. It costs no measurement, but whoever waits for a run.

use std::hint::black_box;
use std::time::Duration;

use criterion::{BenchmarkId, Criterion, Throughput};
use lanebench::workload::{Arrivals, Plan, Segment, due_times};

use crate::MANY;
use crate::codec::spec;
use crate::support::Session;

pub(crate) fn bench(criterion: &mut Criterion, session: &Session) {
    let second = Segment { rate_per_s: MANY as f64, length: Duration::from_secs(1) };
    let constant = due_times(&[second], Arrivals::Constant, 1);
    let mut group = criterion.benchmark_group("schedule");
    group.throughput(Throughput::Elements(MANY as u64));
    for arrivals in [Arrivals::Constant, Arrivals::Poisson] {
        session.bench(&mut group, BenchmarkId::new("due times", arrivals), |b| {
            b.iter(|| due_times(black_box(&[second]), arrivals, 1));
        });
    }
    let orders = spec();
    session.bench(&mut group, BenchmarkId::from_parameter("plan"), |b| {
        b.iter(|| Plan::new(&orders, black_box(&constant)).expect("a valid plan"));
    });
    group.finish();
}
