//! The whole pipeline, from the log to the last status visible: one partition with one consumer against three of each, in every
//! mode. A drain is the harness's own, its checks of truth included; criterion times it from the opened gate on.
//!
//! Embedded unless `LANEBENCH_STACK=native`. There a store that costs nothing leaves three consumers on two cores little to
//! gain, so each is drained a second time with a modelled call, which its name says.
//!
//! It is the last target that `cargo bench` runs, and ends by gathering what all of them measured in a page under reports/:
//! who has waited for minutes should not have to know of a second command. `lanebench report --criterion` does it again.

#[path = "support/bed.rs"]
mod bed;
#[path = "support/mod.rs"]
mod support;

use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::{Duration, SystemTime};

use bed::Bed;
use criterion::{BenchmarkId, Criterion, SamplingMode, Throughput};
use lanebench::benched::{self, PIPELINE, PipelineId};
use lanebench::error::RunError;
use lanebench::job::drain::{Backlog, Drains};
use lanebench::job::options::Lanes;
use lanebench::record::file::{REPORTS_DIR, create_dated};
use lanebench::report;
use lanebench::stack::StackKind;
use payment_delivery::consumer::{Mode, ServiceTime};
use support::Session;

/// The baseline first.
const LANES: [&str; 2] = ["1p1c", "3p3c"];

/// Drains differ in length by a tenth; with fewer samples criterion refuses, and with more the whole takes too long.
const SAMPLES: usize = 10;

/// What is drained with each number of partitions: how, how many events, and the modelled call of each.
#[derive(Clone, Copy)]
struct Load {
    mode: Mode,
    events: u64,
    service_time: Duration,
}

/// What is drained on a stack, by the name it has in criterion's files. Where calls are modelled, a mode that makes several at once has so
/// many times the events: its drain would be too short for a rate otherwise.
fn ids(stack: StackKind) -> Vec<(PipelineId, Load)> {
    let (nothing, modelled) = (Duration::ZERO, Duration::from_millis(2));
    let backlogs = match stack {
        StackKind::Embedded => vec![(20_000, nothing), (600, modelled)],
        _ => vec![(4000, nothing)],
    };
    let load = |mode: Mode, (events, service_time): (u64, Duration)| {
        let id = PipelineId { stack: stack.to_string(), mode: mode.to_string(), service_time };
        let at_once = if service_time.is_zero() { 1 } else { mode.calls_at_once() };
        let events = events * u64::from(at_once);
        (id, Load { mode, events, service_time })
    };
    let modes = Mode::KINDS.into_iter();
    modes.flat_map(|mode| backlogs.iter().map(move |&backlog| load(mode, backlog))).collect()
}

fn pipeline(criterion: &mut Criterion, session: &Session) {
    let bed = Bed::new(session);
    let mut drains: Option<Drains<'_>> = None;
    let mut seed = 0;
    let mut group = criterion.benchmark_group(PIPELINE);
    group.sampling_mode(SamplingMode::Flat); // each sample as many drains as any other
    for (id, Load { mode, events, service_time }) in ids(bed.kind()) {
        group.throughput(Throughput::Elements(events));
        let service_time = ServiceTime::fixed(service_time);
        for name in LANES {
            let lanes = Lanes { mode, ..lanes(name) };
            session.bench(&mut group, BenchmarkId::new(id.to_string(), name), |b| {
                // Not within what criterion counts: it would take the start of a stack for the length of a drain.
                let drains = drains.get_or_insert_with(|| open(session, &bed));
                b.iter_custom(|iterations| {
                    let mut spent = Duration::ZERO;
                    for _ in 0..iterations {
                        seed += 1;
                        let drain = drains.drain(Backlog { lanes, events, service_time, seed });
                        let trial = session.need(session.runtime.block_on(Box::pin(drain)));
                        spent += trial
                            .phases
                            .iter()
                            .map(|phase| Duration::from_secs_f64(phase.lasted_ms / 1e3))
                            .sum::<Duration>();
                    }
                    spent
                });
            });
        }
    }
    group.finish();
    if let Some(drains) = drains {
        session.runtime.block_on(drains.close());
    }
}

/// A place on the stack, warm where that takes longer than criterion's own warm-up.
fn open<'a>(session: &'a Session, bed: &'a Bed<'_>) -> Drains<'a> {
    let stack = bed.stack();
    let opened = async {
        let drains = Drains::open(stack, session.cancel.clone()).await?;
        if stack.kind() == StackKind::Native {
            eprintln!("warming up for up to half a minute");
            drains.warm_up(&LANES.map(lanes), ServiceTime::NONE).await?;
        }
        Ok::<_, RunError>(drains)
    };
    session.need(session.runtime.block_on(Box::pin(opened)))
}

fn lanes(name: &str) -> Lanes {
    name.parse().expect("a configuration")
}

/// Whether criterion kept results of this run: not of a test run, a profile or a list.
fn kept_since(begun: SystemTime, directory: &Path) -> bool {
    let newer = |file: PathBuf| file.metadata().and_then(|m| m.modified()).is_ok_and(|when| when >= begun);
    let kinds = [StackKind::Embedded, StackKind::Native];
    kinds.into_iter().flat_map(ids).any(|(id, _)| {
        let of = |lanes| directory.join(PIPELINE).join(id.to_string()).join(lanes);
        LANES.into_iter().any(|lanes| newer(of(lanes).join("new/estimates.json")))
    })
}

/// Gathers what this and earlier targets measured in a page, as `lanebench report --criterion` does.
fn gather(directory: &Path) -> anyhow::Result<()> {
    let benched = benched::read(directory)?;
    let out = create_dated(&support::workspace().join(REPORTS_DIR), "bench")?;
    let page = report::bench::render(&benched, out.path())?;
    println!("{}", report::bench::text(&benched, Some(&page)));
    Ok(())
}

fn defaults() -> Criterion {
    Criterion::default()
        .sample_size(SAMPLES)
        .warm_up_time(Duration::from_secs(3))
        .measurement_time(Duration::from_secs(20))
        .nresamples(20_000)
}

fn main() -> ExitCode {
    let begun = SystemTime::now();
    support::run(defaults(), |criterion, session| {
        pipeline(criterion, session);
        let directory = support::criterion_directory();
        if kept_since(begun, &directory) {
            session.need(gather(&directory));
        }
    })
}
