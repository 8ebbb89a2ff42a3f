//! The parts of the pipeline and of the harness, each by itself: what an event costs there, before anything is put together.
//!
//! Producer, store and view are those of the stack that `LANEBENCH_STACK` names: embedded, unless it says `native`.

mod assignor;
#[path = "../support/bed.rs"]
mod bed;
mod checkers;
mod codec;
mod histogram;
mod partitioner;
mod probe;
mod producer;
mod schedule;
mod store;
#[path = "../support/mod.rs"]
mod support;
mod view;

use std::process::ExitCode;
use std::time::Duration;

use bed::Bed;
use criterion::Criterion;

/// Events, keys or samples of one iteration.
const MANY: usize = 10_000;

/// Twenty benchmarks in under a minute; criterion's own defaults would take nine seconds each.
fn defaults() -> Criterion {
    Criterion::default()
        .sample_size(30)
        .warm_up_time(Duration::from_millis(300))
        .measurement_time(Duration::from_millis(1200))
        .nresamples(20_000)
}

fn main() -> ExitCode {
    support::run(defaults(), |criterion, session| {
        let bed = Bed::new(session);
        partitioner::bench(criterion, session);
        codec::bench(criterion, session);
        assignor::bench(criterion, session);
        histogram::bench(criterion, session);
        schedule::bench(criterion, session);
        checkers::bench(criterion, session);
        probe::bench(criterion, session);
        producer::bench(criterion, session, &bed);
        store::bench(criterion, session, &bed);
        view::bench(criterion, session, &bed);
    })
}
