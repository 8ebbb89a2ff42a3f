//! The whole pipeline, from the log to the last status visible: one partition with one consumer against three of each, in every
//! mode. A drain is the harness's own, its checks of truth included; criterion times it from the opened gate on.
//!
//! Embedded unless `LANEBENCH_STACK=native`. There a store that costs nothing leaves three consumers on two cores little to
//! gain, so each is drained a second time with a modelled call, which its name says.

#[path = "support/bed.rs"]
mod bed;
#[path = "support/mod.rs"]
mod support;

use std::process::ExitCode;
use std::time::Duration;

use bed::Bed;
use criterion::{BenchmarkId, Criterion, SamplingMode, Throughput};
use lanebench::benched::PipelineId;
use lanebench::scenario::drain::{Backlog, Drains, MODES};
use lanebench::stack::StackKind;
use support::Session;

/// The baseline first.
const LANES: [&str; 2] = ["1p1c", "3p3c"];

/// Drains differ in length by a tenth; with fewer samples criterion refuses, and with more the whole takes too long.
const SAMPLES: usize = 10;

/// What is drained in each configuration: events, and the modelled call of each.
#[derive(Clone, Copy)]
struct Load {
    events: u64,
    service_time: Duration,
}

fn loads(stack: StackKind) -> Vec<Load> {
    let nothing = Duration::ZERO;
    if stack == StackKind::Embedded {
        let modelled = Duration::from_millis(2);
        vec![Load { events: 20_000, service_time: nothing }, Load { events: 600, service_time: modelled }]
    } else {
        vec![Load { events: 3000, service_time: nothing }]
    }
}

fn pipeline(criterion: &mut Criterion, session: &Session) -> bool {
    let bed = Bed::new(session);
    let mut drains: Option<Drains> = None;
    let mut seed = 0;
    let mut group = criterion.benchmark_group("pipeline");
    group.sampling_mode(SamplingMode::Flat);
    for mode in MODES {
        for load in loads(bed.kind()) {
            let Load { events, service_time } = load;
            let id = PipelineId { stack: bed.kind().to_string(), mode: mode.into(), service_time };
            group.throughput(Throughput::Elements(events));
            for lanes in LANES {
                session.bench(&mut group, BenchmarkId::new(id.to_string(), lanes), |b| {
                    b.iter_custom(|iterations| {
                        let stack = bed.stack();
                        let lanes = lanes.parse().expect("a configuration");
                        let drained = session.runtime.block_on(async {
                            if drains.is_none() {
                                drains = Some(Drains::open(stack, session.cancel.clone()).await?);
                            }
                            let mut spent = Duration::ZERO;
                            for _ in 0..iterations {
                                seed += 1;
                                let backlog = Backlog { lanes, events, service_time, seed };
                                if let Some(drains) = &mut drains {
                                    let trial = Box::pin(drains.drain(backlog)).await?;
                                    spent += Duration::from_secs_f64(trial.drain_s);
                                }
                            }
                            Ok::<_, lanebench::scenario::ScenarioError>(spent)
                        });
                        session.need(drained)
                    });
                });
            }
        }
    }
    group.finish();
    drains.map(|drains| session.runtime.block_on(drains.close())).is_some()
}

fn defaults() -> Criterion {
    Criterion::default()
        .sample_size(SAMPLES)
        .warm_up_time(Duration::from_secs(3))
        .measurement_time(Duration::from_secs(20))
        .nresamples(20_000)
}

fn main() -> ExitCode {
    support::run(defaults(), |criterion, session| {
        pipeline(criterion, session);
    })
}
