//! `lanebench gate`: a candidate against its baseline, with an exit code.

use std::path::PathBuf;
use std::time::Duration;

use anyhow::Context as _;
use clap::{ArgGroup, Args};
use tokio_util::sync::CancellationToken;

use super::compare::WORKER_WARM_UP;
use super::console::Console;
use super::exit::Exit;
use super::out::{OutputFlags, UsageError, tell};
use super::place::{Needs, PlaceFlags};
use super::shown::end;
use super::values::{command_line, duration};
use crate::gate::Rules;
use crate::job::environment::environment;
use crate::job::gate::{self, Setup};
use crate::job::options::{Contender, Draw, Key, Lanes, Options, Rounds, Through, TrialOptions};
use crate::record::file::create_output_dir;
use crate::rounds::rates::{Requested, Sizes};
use crate::stack::{BrokerJit, StackKind};
use crate::workload::{Arrivals, Keys};

mod contestants;
mod cpus;
mod revision;

pub(super) use revision::RevisionError;

/// Length of the steady phase at least.
const STEADY: Duration = Duration::from_millis(500);

const EXAMPLES: &str = "\
Examples:
  lanebench gate --baseline main               this build against a git ref, built once
  lanebench gate --baseline-bin old/lanebench  against another build
  lanebench gate --worker-cmd 'java -jar new.jar' \\
                 --baseline-cmd 'java -jar old.jar' --stack native
                                               your own worker: docs/gate.md
  lanebench gate --baseline main --format markdown >> $GITHUB_STEP_SUMMARY

Exit codes: 0 held; 3 the candidate fails a check of truth; 4 regressed;
5 undecided, or the baseline fails a check of truth; 1 could not run.";

/// Flags of `gate`.
#[derive(Args)]
#[command(after_help = EXAMPLES, group(ArgGroup::new("against").required(true)), next_help_heading = "What to run")]
pub(super) struct GateArgs {
    /// Baseline: a git ref of this repository, built once and kept
    #[arg(long, value_name = "REF", group = "against")]
    baseline: Option<String>,
    /// Baseline: another lanebench binary, whose `worker` is measured
    #[arg(long, value_name = "PATH", group = "against")]
    baseline_bin: Option<PathBuf>,
    /// Baseline: any worker on this machine, by its command line; both sides are then measured from outside
    #[arg(long, value_name = "CMD", group = "against")]
    baseline_cmd: Option<String>,
    /// Candidate: any worker on this machine, by its command line [default: this binary's own]
    #[arg(long, value_name = "CMD")]
    worker_cmd: Option<String>,
    /// Events that workers by command line work through in each trial before anything is measured
    #[arg(long, value_name = "EVENTS", default_value_t = WORKER_WARM_UP, value_parser = clap::value_parser!(u64).range(..=2_000_000))]
    worker_warm_up: u64,
    /// What is judged, and how [default: gate.toml where there is one, else built-in rules]
    #[arg(long, value_name = "FILE")]
    rules: Option<PathBuf>,
    /// Partitions of the topic, and consumers of either side; 3p3c-batch has them work in batch mode
    #[arg(long, default_value = "1p1c")]
    config: Lanes,
    /// CPUs that all of it runs on, 0 for all of the machine's [default: 1 on the embedded stack, else all]
    #[arg(long, value_name = "N")]
    cpus: Option<usize>,
    /// Seed of everything drawn: keys, gaps, turns
    #[arg(long, default_value_t = 1)]
    seed: u64,
    /// How orders are drawn: uniform, zipf:S or hot:SHARE
    #[arg(long, default_value = "uniform")]
    keys: Keys,
    /// Mean events an order
    #[arg(long, default_value_t = 5, value_parser = clap::value_parser!(u32).range(1..))]
    events_per_order: u32,
    /// Events of a drain's backlog [default: sized in the warm-up]
    #[arg(long, value_parser = clap::value_parser!(u64).range(1..=2_000_000))]
    drain_events: Option<u64>,
    /// End undecided rather than begin a round that would end later than this, such as 10m [default: none]
    #[arg(long, value_parser = duration)]
    time_limit: Option<Duration>,
    /// A regression on purpose in the candidate, for the proof of the gate: see the worker's own flag
    #[arg(long, hide = true)]
    handicap: Option<String>,
    /// So many rounds without a look, kept in pool.json: what the proof of the gate draws gates from
    #[arg(long, hide = true)]
    pool: Option<u32>,
    #[command(flatten)]
    place: PlaceFlags,
    #[command(flatten)]
    output: OutputFlags,
}

impl GateArgs {
    fn options(&self) -> Result<Options, UsageError> {
        let (replication, min_isr) = self.place.replicas()?;
        self.place.fit()?;
        Ok(Options {
            // Each side has a name and a worker of its own.
            contenders: vec![Contender { replication, min_isr, ..Contender::of(self.config) }],
            rounds: Rounds::Fixed(0), // as many as the design takes
            seed: self.seed,
            draw: Draw {
                keys: self.keys,
                orders: None,
                events_per_order: self.events_per_order,
                arrivals: Arrivals::Poisson,
            },
            trial: TrialOptions { through: Through::Kafka, key: Key::OrderId, throttle: None, keep: false },
            requested: Requested {
                rate_per_s: None,
                duration: STEADY,
                drain_events: self.drain_events,
                surge: false,
            },
            sizes: Sizes::GATE,
            percentiles: false,
            objective: None,
            inject: None,
            scenario: None,
            worker_warm_up: self.worker_warm_up,
            one_pass: false,
            control: false,
            ceilings: false,
        })
    }
}

/// Runs it; the exit code is the verdict.
///
/// # Errors
/// What keeps it from running, with a hint where there is one.
pub(super) async fn run(args: GateArgs, cancel: CancellationToken) -> anyhow::Result<Exit> {
    let options = args.options()?;
    let rules = Rules::find(args.rules.as_deref())?;
    let external = args.place.external(&options.contenders)?;
    let out = create_output_dir(args.output.out.clone(), "gate")?;
    let console = Console::new(args.output.quiet);
    let interrupted = || {
        tell("interrupted before a round was finished; everything is stopped");
        Ok(Exit::Interrupted)
    };
    // Before a stack is up: a build takes minutes, and may fail.
    let [baseline, candidate] = match contestants::both(&args, &console, &cancel).await {
        Err(_) if cancel.is_cancelled() => return interrupted(),
        both => both?,
    };
    let embedded = args.place.stack == StackKind::Embedded;
    let cpus = match args.cpus.unwrap_or(usize::from(embedded)) {
        0 => Vec::new(),
        count => cpus::keep_to(count).context("the process can't be kept to some of the CPUs")?,
    };
    // A build of ours is over by now; what it left in the load is no part of the run.
    let environment = environment().context("the machine could not be looked at")?;
    let needs = Needs { processes: true, broker_jit: BrokerJit::C1, ..Needs::default() };
    let Some(stack) = args.place.start(external, needs, &console, &cancel).await? else {
        return Ok(Exit::Interrupted);
    };
    let setup = Setup {
        options: &options,
        stack: &stack,
        environment,
        baseline: &baseline,
        candidate: &candidate,
        rules,
        time_limit: args.time_limit,
        pool: args.pool,
        cpus,
        command_line: command_line(),
        out: &out,
    };
    let ended = gate::run(setup, &console, &cancel).await;
    end(ended, "round", stack, &out, &args.output, console).await
}
