//! Tests on real Kafka (three nodes), PostgreSQL and Redis. One stack serves them all, so they run one at a time.
//!
//! Cases that are one more of a kind, or a whole matrix, are ignored but for `ci/nightly`, which asks for them by `--ignored`;
//! each has a shorter one of its kind here or on the embedded stack.
//!
//! Without the components this says loudly what it left out and passes; with `LANEBENCH_REQUIRE_REAL` set, as in CI, it
//! fails instead.

mod api;
mod bed;
mod bottleneck;
#[path = "../common/mod.rs"]
mod common;
mod compare;
mod contracts;
mod controls;
#[path = "../common/evidence.rs"]
mod evidence;
mod external;
mod failures;
mod gate;
mod group;
mod interrupt;
mod outage;
mod outside;
mod process;
mod records;
mod scenarios;
mod served;
mod tools;
mod topics;
mod trouble;
mod worker;
mod zombie;

use std::process::ExitCode;
use std::sync::Arc;

use bed::Bed;
use lanebench::stack::{StackKind, requirements};
use libtest_mimic::{Arguments, Failed, Trial};

/// A test: what it shows, and the function that shows it.
pub(crate) type Case = (&'static str, fn(&Bed) -> Result<(), Failed>);

fn main() -> ExitCode {
    let mut arguments = Arguments::from_args();
    arguments.test_threads = Some(1); // they share two cores with three brokers
    let always = [
        contracts::CASES,
        group::CASES,
        worker::CASES,
        process::CASES,
        zombie::CASES,
        api::CASES,
        trouble::CASES,
        records::CASES,
        topics::CASES,
        failures::CASES,
        compare::CASES,
        controls::CASES,
        bottleneck::CASES,
        outside::CASES,
        gate::CASES,
        scenarios::CASES,
        interrupt::CASES,
        &external::cases(),
    ];
    let nightly = [
        compare::NIGHTLY,
        controls::NIGHTLY,
        bottleneck::NIGHTLY,
        outage::NIGHTLY,
        scenarios::NIGHTLY,
        outside::NIGHTLY,
        &external::nightly(),
    ];
    let cases: Vec<(Case, bool)> = [(always.concat(), false), (nightly.concat(), true)]
        .into_iter()
        .flat_map(|(cases, nightly)| cases.into_iter().map(move |case| (case, nightly)))
        .collect();
    if arguments.list {
        let idle = cases
            .into_iter()
            .map(|((name, _), nightly)| Trial::test(name, || Ok(())).with_ignored_flag(nightly));
        let idle = idle.collect();
        return libtest_mimic::run(&arguments, idle).exit_code();
    }
    let runtime = tokio::runtime::Runtime::new().expect("a runtime");
    if let Some(missing) = runtime.block_on(missing()) {
        eprintln!("\nLEFT OUT: all {} tests on real components, for want of {missing}.", cases.len());
        eprintln!("`lanebench stack check` tells what to install; `ci/setup` does it.\n");
        let required = std::env::var_os("LANEBENCH_REQUIRE_REAL").is_some();
        return if required { ExitCode::FAILURE } else { ExitCode::SUCCESS };
    }
    let interrupted = common::cancel_on_signal(&runtime);
    let bed = match runtime.block_on(Bed::start(runtime.handle().clone(), interrupted)) {
        Ok(bed) => Arc::new(bed),
        Err(error) => {
            eprintln!("the stack for the tests did not start: {error}");
            return ExitCode::FAILURE;
        }
    };
    let trials = cases
        .into_iter()
        .map(|((name, test), nightly)| {
            let bed = Arc::clone(&bed);
            Trial::test(name, move || test(&bed)).with_ignored_flag(nightly)
        })
        .collect();
    let begun = std::time::Instant::now();
    let conclusion = libtest_mimic::run(&arguments, trials);
    let summary = serde_json::json!({"passed": conclusion.num_passed, "failed": conclusion.num_failed,
        "left_out": conclusion.num_filtered_out, "nightly": conclusion.num_ignored, "seconds": begun.elapsed().as_secs()});
    if let Err(error) = bed::evidence(if arguments.ignored { "nightly" } else { "summary" }, &summary) {
        eprintln!("the figures could not be kept: {error:?}");
        return ExitCode::FAILURE;
    }
    if let Some(bed) = Arc::into_inner(bed) {
        runtime.block_on(bed.stop());
    }
    conclusion.exit_code()
}

/// What the native stack needs and this machine has not.
async fn missing() -> Option<String> {
    let requirements = requirements(StackKind::Native).await;
    let missing: Vec<&str> = requirements.iter().filter(|r| !r.is_present()).map(|r| r.name).collect();
    (!missing.is_empty()).then(|| missing.join(", "))
}
