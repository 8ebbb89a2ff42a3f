//! What lanebench and its neighbours may expect of a Kafka broker, shown by cases that run on several subjects.
//!
//! Real Kafka is the judge: a case counts only once it passes there. What another subject leaves out is skipped by
//! name and with its reason (`subject.rs`). Tests are named `SUBJECT::CASE`; clusters start when the first test needs
//! them. Without a real component this says loudly what it left out and passes; with `LANEBENCH_REQUIRE_REAL` set, as
//! in CI, it fails instead.

mod batch;
mod bed;
mod codecs;
#[path = "../common/mod.rs"]
mod common;
mod coordinator;
mod groups;

mod log;
mod nodes;
mod offsets;
mod poll;
mod programs;
mod puppet;
mod refusals;
mod subject;
mod topics;
mod versions;
mod wire;

use std::process::ExitCode;
use std::sync::Arc;

use bed::{Bed, Case};
use libtest_mimic::{Arguments, Failed, Trial};
use subject::{Need, Place, SUBJECTS};
use tokio_util::sync::CancellationToken;

/// Cases mostly wait for the broker, so more of them than there are cores.
const THREADS: usize = 4;

fn main() -> ExitCode {
    let mut arguments = Arguments::from_args();
    arguments.test_threads.get_or_insert(THREADS);
    let cases: Vec<Case> = [
        log::CASES,
        offsets::CASES,
        poll::CASES,
        codecs::CASES,
        refusals::CASES,
        topics::CASES,
        versions::CASES,
        groups::CASES,
        coordinator::CASES,
        nodes::CASES,
        programs::CASES,
    ]
    .concat();
    let runtime = tokio::runtime::Runtime::new().expect("a runtime");
    let missing: Vec<(Need, String)> =
        if arguments.list { Vec::new() } else { runtime.block_on(subject::missing()) };
    let interrupted = common::cancel_on_signal(&runtime);
    let places: Vec<_> = SUBJECTS.iter().map(|subject| Arc::new(Place::new(subject))).collect();
    let mut trials = Vec::new();
    let mut left_out = Vec::new();
    for place in &places {
        let subject = place.subject;
        let wanting =
            |need: Option<Need>| missing.iter().find(|(m, _)| Some(*m) == need).map(|(_, why)| why.as_str());
        let absent = wanting(subject.needs);
        left_out.extend(absent.map(|why| format!("all cases on {}: {why}", subject.name)));
        for (number, case) in cases.iter().enumerate().filter(|(_, case)| case.nodes <= subject.nodes) {
            let name = format!("{}::{}", subject.name, case.name);
            let lacks = subject.lacks.iter().find(|(lacked, _)| *lacked == case.name).map(|(_, why)| *why);
            let alone = lacks.or_else(|| wanting(case.needs)).filter(|_| absent.is_none());
            left_out.extend(alone.map(|why| format!("{name}: {why}")));
            let (place, case, handle) = (Arc::clone(place), *case, runtime.handle().clone());
            let interrupted = interrupted.clone();
            let trial = Trial::test(name, move || on(&place, number, &case, handle, interrupted));
            trials.push(trial.with_ignored_flag(absent.or(alone).is_some()));
        }
    }
    let lacks_without_case: Vec<_> = SUBJECTS
        .iter()
        .flat_map(|subject| subject.lacks)
        .filter(|(lacked, _)| cases.iter().all(|case| case.name != *lacked))
        .collect();
    assert!(lacks_without_case.is_empty(), "no case of this name: {lacks_without_case:?}");
    if !arguments.list && !left_out.is_empty() {
        eprintln!("\nLEFT OUT:\n  {}\n", left_out.join("\n  "));
    }
    let conclusion = libtest_mimic::run(&arguments, trials);
    for place in &places {
        runtime.block_on(place.stop());
    }
    if !missing.is_empty() && std::env::var_os("LANEBENCH_REQUIRE_REAL").is_some() {
        eprintln!(
            "LANEBENCH_REQUIRE_REAL is set, and a real component is missing; `ci/setup` installs them."
        );
        return ExitCode::FAILURE;
    }
    conclusion.exit_code()
}

fn on(
    place: &Place,
    number: usize,
    case: &Case,
    handle: tokio::runtime::Handle,
    interrupted: CancellationToken,
) -> Result<(), Failed> {
    if interrupted.is_cancelled() {
        return Err("interrupted".into()); // no cluster is started any more
    }
    let cluster = handle.block_on(place.cluster())?;
    (case.test)(&Bed::new(place.subject, cluster, format!("case{number}"), handle, interrupted))
}
