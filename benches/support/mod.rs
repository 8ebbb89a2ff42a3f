//! What the targets share: Ctrl-C that leaves nothing behind, errors as the command line tells them, and the place where
//! criterion keeps what it measured.

use std::any::Any;
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use anyhow::Context;
use criterion::measurement::WallTime;
use criterion::{Bencher, BenchmarkGroup, BenchmarkId, Criterion};
use lanebench::cmd::exit::Exit;
use lanebench::cmd::{explain, interrupt};
use tokio::runtime::Runtime;
use tokio_util::sync::CancellationToken;

/// Thrown through criterion, whose functions return no errors.
enum Halt {
    Interrupted,
    Failed(anyhow::Error),
}

/// What a target needs while it measures.
pub(crate) struct Session {
    /// Where asynchronous code runs.
    pub(crate) runtime: Runtime,
    /// Cancelled by Ctrl-C.
    pub(crate) cancel: CancellationToken,
}

/// Runs a target's benchmarks with the flags of the command line over its `defaults`; the exit code is that of `main`.
///
/// # Panics
/// As the benchmarks do: criterion itself panics over a baseline that does not exist.
pub(crate) fn run(defaults: Criterion, target: impl FnOnce(&mut Criterion, &Session)) -> ExitCode {
    let session = match Session::new() {
        Ok(session) => session,
        Err(error) => return explain(&error).into(),
    };
    let mut criterion = defaults.output_directory(&criterion_directory()).configure_from_args();
    let ended = catch_unwind(AssertUnwindSafe(|| {
        let _within = session.runtime.enter(); // connections are dropped on the way out, which takes a runtime
        target(&mut criterion, &session);
        criterion.final_summary();
    }));
    let Session { runtime, cancel } = session;
    runtime.shutdown_background();
    match ended.map_err(Box::<dyn Any + Send>::downcast::<Halt>) {
        Err(Ok(halt)) => match *halt {
            Halt::Failed(error) if !cancel.is_cancelled() => explain(&error).into(),
            Halt::Failed(_) | Halt::Interrupted => interrupted(),
        },
        Err(Err(panic)) => resume_unwind(panic),
        Ok(()) if cancel.is_cancelled() => interrupted(),
        Ok(()) => ExitCode::SUCCESS,
    }
}

fn interrupted() -> ExitCode {
    eprintln!("interrupted; everything is stopped");
    Exit::Interrupted.into()
}

impl Session {
    fn new() -> anyhow::Result<Self> {
        let runtime = Runtime::new().context("the runtime could not be started")?;
        let cancel = CancellationToken::new();
        runtime.block_on(async { interrupt::cancel_on_signal(&cancel) })?;
        Ok(Self { runtime, cancel })
    }

    /// A benchmark of `group`. Once interrupted, it ends the target instead of taking another sample.
    pub(crate) fn bench(
        &self,
        group: &mut BenchmarkGroup<'_, WallTime>,
        id: BenchmarkId,
        mut routine: impl FnMut(&mut Bencher<'_>),
    ) {
        group.bench_function(id, |b| {
            self.check();
            routine(b);
        });
    }

    /// Ends the target if it was interrupted.
    pub(crate) fn check(&self) {
        if self.cancel.is_cancelled() {
            resume_unwind(Box::new(Halt::Interrupted));
        }
    }

    /// The value, or the end of the target with the error told as the command line tells it.
    pub(crate) fn need<T>(&self, result: Result<T, impl Into<anyhow::Error>>) -> T {
        result.unwrap_or_else(|error| resume_unwind(Box::new(Halt::Failed(error.into()))))
    }
}

/// Where criterion keeps what it measured: CRITERION_HOME, or beside what cargo built. Criterion's own search ends in the
/// package's directory where it can't ask cargo.
pub(crate) fn criterion_directory() -> PathBuf {
    if let Some(home) = std::env::var_os("CRITERION_HOME") {
        return home.into();
    }
    let program = std::env::current_exe().unwrap_or_default();
    let built = program.ancestors().find(|above| above.join("CACHEDIR.TAG").is_file()); // cargo marks its target directory
    built.map_or_else(|| workspace().join("target"), Path::to_owned).join("criterion")
}

/// The root of this repository; cargo runs benchmarks in the directory of their package.
pub(crate) fn workspace() -> &'static Path {
    let package = Path::new(env!("CARGO_MANIFEST_DIR"));
    package.parent().unwrap_or(package)
}
