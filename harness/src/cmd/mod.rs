//! The command line: one subcommand a file.

use std::process::ExitCode;
use std::sync::LazyLock;

use clap::{Parser, Subcommand};
use payment_delivery::redact::redact_all;
use tokio_util::sync::CancellationToken;
use tracing::level_filters::LevelFilter;

pub mod compare;
mod completions;
mod console;
pub mod exit;
mod gate;
pub mod interrupt;
pub mod limits;
mod logs;
mod out;
mod place;
pub mod report;
pub mod run;
pub mod secret;
pub mod selftest;
pub mod serve;
mod servers;
mod shown;
pub mod stack;
mod values;
mod vary;
pub mod worker;

use exit::Exit;
pub use out::{UsageError, explain};
pub use values::service_time;

use crate::record::SCHEMA_VERSION;
use crate::record::gate::GATE_SCHEMA_VERSION;
use crate::record::limits::LIMITS_SCHEMA_VERSION;
use crate::record::scenario::SCENARIO_SCHEMA_VERSION;

/// How many partitions and consumers does a Kafka pipeline need, does it get faster, and does each key keep its order?
#[derive(Parser)]
#[command(name = "lanebench", version = version(), propagate_version = true, after_help = EXAMPLES)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

const EXAMPLES: &str = "\
Examples:
  lanebench compare                           a demonstration; needs nothing
  lanebench stack check                       what the native stack needs
  lanebench compare --stack native --nodes 3  on real Kafka, PostgreSQL, Redis
  lanebench compare --configs 1p1c,3p1c,3p3c  any partitions and consumers
  lanebench compare --key none                a negative control: exit code 3
  lanebench gate --baseline main              did this tree's worker get worse?
  lanebench run consumer-killed               who waits when a consumer dies?
  lanebench limits --stack native             what can each component do alone?
  lanebench selftest                          can the harness be believed?
  lanebench serve                             the service on http://127.0.0.1:8080
  lanebench report reports/latest             renders a report again

Exit codes: 0 all held; 1 could not run; 2 bad usage; 3 a check of truth failed;
4 the gate found a regression; 5 it could not decide; 130 interrupted.";

/// With what it was made of: two builds of one version are told apart by it, and so is what they can read and start.
fn version() -> &'static str {
    static VERSION: LazyLock<String> = LazyLock::new(|| {
        let features = if cfg!(feature = "containers") { "containers" } else { "none" };
        let (version, commit) = (env!("CARGO_PKG_VERSION"), env!("LANEBENCH_BUILT_FROM"));
        let (run, gate) = (SCHEMA_VERSION, GATE_SCHEMA_VERSION);
        let (scenario, limits) = (SCENARIO_SCHEMA_VERSION, LIMITS_SCHEMA_VERSION);
        format!(
            "{version} ({commit}; features: {features}; \
             schemas: result {run}, gate {gate}, scenario {scenario}, limits {limits})"
        )
    });
    &VERSION
}

#[derive(Subcommand)]
enum Command {
    /// Compare partition and consumer counts: throughput, response time, lag and order, checked for truth
    Compare(Box<compare::CompareArgs>),
    /// Print a script that completes commands and flags in a shell
    Completions(completions::CompletionsArgs),
    /// Judge a worker against a baseline in paired rounds: regressed, held or undecided
    Gate(Box<gate::GateArgs>),
    /// Measure what each component of a stack can do alone: disk, store, view, broker, load generator
    Limits(Box<limits::LimitsArgs>),
    /// Render a saved result again, or lay two beside each other
    Report(report::ReportArgs),
    /// Break things under load: who waits, for how long, and is anything lost?
    Run(Box<run::RunArgs>),
    /// Test the harness itself: are planted faults named, and is the clock right?
    Selftest(Box<selftest::SelftestArgs>),
    /// Serve payments and deliveries over HTTP
    Serve(Box<serve::ServeArgs>),
    /// See what a stack needs, or hold one up
    Stack(stack::StackArgs),
    /// Work as one consumer process: read the topic in a group, write rows and statuses
    Worker(worker::WorkerArgs),
}

impl Command {
    /// What it logs unless `LANEBENCH_LOG` says otherwise. What runs for long and unattended says what keeps it from working;
    /// the others print a progress line and their findings.
    fn logs(&self) -> LevelFilter {
        match self {
            Self::Serve(_) | Self::Worker(_) => LevelFilter::WARN,
            _ => LevelFilter::OFF,
        }
    }

    fn log_format(&self) -> logs::LogFormat {
        match self {
            Self::Serve(args) => args.logs.format,
            Self::Worker(args) => args.logs.format,
            _ => logs::LogFormat::Text,
        }
    }
}

/// Parses, dispatches, prints the error.
pub fn main() -> ExitCode {
    let cli = match Cli::try_parse() {
        Ok(cli) => cli,
        Err(error) => return refused(&error),
    };
    logs::init(cli.command.logs(), cli.command.log_format());
    let runtime = match tokio::runtime::Builder::new_multi_thread().enable_all().build() {
        Ok(runtime) => runtime,
        Err(error) => {
            out::tell(&format!("error: the runtime could not be started: {error}"));
            return Exit::CouldNotRun.into();
        }
    };
    let ended = runtime.block_on(async {
        let cancel = CancellationToken::new();
        interrupt::cancel_on_signal(&cancel)?;
        match cli.command {
            Command::Compare(args) => compare::run(*args, cancel).await,
            Command::Completions(args) => completions::run(&args),
            Command::Gate(args) => Box::pin(gate::run(*args, cancel)).await,
            Command::Limits(args) => Box::pin(limits::run(*args, cancel)).await,
            Command::Report(args) => report::run(&args),
            Command::Run(args) => Box::pin(run::run(*args, cancel)).await,
            Command::Selftest(args) => selftest::run(*args, cancel).await,
            Command::Serve(args) => serve::run(*args, cancel).await,
            Command::Stack(args) => stack::run(args, cancel).await,
            Command::Worker(args) => worker::run(args, cancel).await,
        }
    });
    // What still runs by now was told to stop; a task that does not hear must not hold the exit up.
    runtime.shutdown_timeout(std::time::Duration::from_secs(2));
    ended.unwrap_or_else(|error| out::explain(&error)).into()
}

/// What clap has to say, help and version included. It quotes words that it doesn't understand, and a URL may be among them.
fn refused(error: &clap::Error) -> ExitCode {
    let hides = std::env::args().any(|word| redact_all(&word) != word);
    if error.use_stderr() && hides {
        out::tell(redact_all(&error.render().to_string()).trim_end());
    } else {
        // Nobody reads it any more; the exit code says it all the same.
        let _ = error.print();
    }
    if error.use_stderr() { Exit::Usage.into() } else { Exit::Held.into() }
}
