//! The stack of containers by a Docker daemon: it starts, serves a run, tells what is wrong, and leaves nothing, however it ends.
//!
//! It needs a daemon and the images that `LANEBENCH_KAFKA_IMAGE`, `LANEBENCH_POSTGRES_IMAGE` and `LANEBENCH_REDIS_IMAGE` name. Without them
//! this says loudly what it left out and passes; with `LANEBENCH_REQUIRE_CONTAINERS` set it fails instead.

mod bed;
mod ends;
mod refusals;
mod runs;

use std::process::ExitCode;

use lanebench::stack::{StackKind, requirements};
use libtest_mimic::{Arguments, Failed, Trial};

/// A test: what it shows, and the function that shows it.
pub(crate) type Case = (&'static str, fn() -> Result<(), Failed>);

fn main() -> ExitCode {
    let mut arguments = Arguments::from_args();
    arguments.test_threads = Some(1); // each has a whole stack, on two cores
    let cases = [refusals::CASES, ends::CASES, runs::CASES].concat();
    if !arguments.list
        && let Some(missing) = missing()
    {
        eprintln!("\nLEFT OUT: all {} tests of the stack of containers, for want of {missing}.", cases.len());
        eprintln!(
            "`lanebench stack check --stack containers` tells what is missing; ci/images/build makes images.\n"
        );
        let required = std::env::var_os("LANEBENCH_REQUIRE_CONTAINERS").is_some();
        return if required { ExitCode::FAILURE } else { ExitCode::SUCCESS };
    }
    let trials = cases.into_iter().map(|(name, test)| Trial::test(name, test)).collect();
    libtest_mimic::run(&arguments, trials).exit_code()
}

/// What the stack needs and this machine has not.
fn missing() -> Option<String> {
    let runtime = tokio::runtime::Runtime::new().expect("a runtime");
    let requirements = runtime.block_on(requirements(StackKind::Containers));
    let missing: Vec<&str> = requirements.iter().filter(|r| !r.is_present()).map(|r| r.name).collect();
    (!missing.is_empty()).then(|| missing.join(", "))
}
