//! `lanebench compare`: the main job.

use std::path::PathBuf;
use std::time::Duration;

use anyhow::Context;
use clap::{Args, ValueEnum};
use tokio_util::sync::CancellationToken;

use super::console::Console;
use super::exit::Exit;
use super::out::{Format, OUTPUT, UsageError, keep_logs, print, tell};
use super::place::PlaceFlags;
use super::values::{command_line, duration, foreign_worker};
use crate::record::file::create_output_dir;
use crate::report;
use crate::scenario::Progress as _;
use crate::scenario::compare::{self, Ended, Setup};
use crate::scenario::options::{Inject, Key, Lanes, Options, Throttle, Through};
use crate::scenario::rates::Sizes;
use crate::stack::StackKind;
use crate::stack::worker::WorkerCommand;
use crate::workload::{Arrivals, Keys};

/// Modelled call an event on the embedded stack, whose store costs next to nothing to write.
const SERVICE_TIME: Duration = Duration::from_millis(2);

/// Where a JVM has compiled most of a small worker.
pub(super) const WORKER_WARM_UP: u64 = 2_000;

const EXAMPLES: &str = "\
Examples:
  lanebench compare                             a demonstration; needs nothing
  lanebench compare --stack native --nodes 3    real Kafka, PostgreSQL, Redis
  lanebench compare --stack external            yours, by the three variables
                                                LANEBENCH_BOOTSTRAP, …_DATABASE_URL
                                                and …_REDIS_URL
  lanebench compare --configs 1p1c,3p1c,3p3c    the first is the baseline
  lanebench compare --keys hot:0.5              half of the events: one order
  lanebench compare --inject loss               a negative control: exit code 3
  lanebench compare --format json | jq .passed  data on stdout";

/// Flags of `compare`.
#[derive(Args)]
#[command(after_help = EXAMPLES)]
#[command(next_help_heading = "What to run")]
pub struct CompareArgs {
    /// What is compared, the baseline first; 3p1c is three partitions and one consumer
    #[arg(long, value_delimiter = ',', default_value = "1p1c,3p3c")]
    configs: Vec<Lanes>,
    /// How a consumer works through its events
    #[arg(long, value_enum, default_value_t = Mode::Record)]
    mode: Mode,
    /// Rounds; each has one trial of each configuration, in random order
    #[arg(long, default_value_t = 3, value_parser = clap::value_parser!(u32).range(1..=100))]
    rounds: u32,
    /// Seed of everything drawn: keys, gaps, the order of trials
    #[arg(long, default_value_t = 1)]
    seed: u64,
    /// Rate of the steady phase in events/s [default: 0.6 × the slowest drain]
    #[arg(long, value_parser = rate)]
    rate: Option<f64>,
    /// Length of the steady phase at least, such as 5s; longer where 3,000 events need it
    #[arg(long, default_value = "3s", value_parser = duration)]
    duration: Duration,
    /// When events are due: constant or poisson
    #[arg(long, default_value_t = Arrivals::Poisson)]
    arrivals: Arrivals,
    /// How orders are drawn: uniform, zipf:S or hot:SHARE
    #[arg(long, default_value = "uniform")]
    keys: Keys,
    /// How events come in; `api` posts each to the REST API, which is then asked what became of it
    #[arg(long, value_enum, default_value_t)]
    through: Through,
    /// The message key; `none` is a negative control
    #[arg(long, value_enum, default_value_t = Key::OrderId)]
    key: Key,
    /// Orders of a phase [default: events ÷ events-per-order]
    #[arg(long, value_parser = clap::value_parser!(u32).range(1..))]
    orders: Option<u32>,
    /// Mean events an order
    #[arg(long, default_value_t = 5, value_parser = clap::value_parser!(u32).range(1..))]
    events_per_order: u32,
    /// Events of the drain's backlog [default: sized in the warm-up]
    #[arg(long, value_parser = clap::value_parser!(u64).range(1..=2_000_000))]
    drain_events: Option<u64>,
    /// Modelled downstream call an event, such as 2ms [default: 2ms on the embedded stack, else none]
    #[arg(long, value_parser = duration)]
    service_time: Option<Duration>,
    /// Leave the surge out
    #[arg(long)]
    no_surge: bool,
    /// Break something on purpose, to see the checker find it
    #[arg(long, value_enum)]
    inject: Option<Inject>,
    /// Slow something down on purpose, to see the bottleneck's name change
    #[arg(long, value_enum)]
    throttle: Option<Throttle>,
    /// Where consumers run; `process` is one `lanebench worker` a trial
    #[arg(long, value_enum, default_value_t = WorkerPlace::InProcess, conflicts_with = "worker_cmd")]
    worker: WorkerPlace,
    /// Your own worker, one process a trial, measured from outside; docs/worker.md says what it is given
    #[arg(long, value_name = "CMD")]
    worker_cmd: Option<String>,
    /// Events that your own worker works through in each trial before anything is measured: a JVM is slow at first
    #[arg(long, value_name = "EVENTS", default_value_t = WORKER_WARM_UP, requires = "worker_cmd", value_parser = clap::value_parser!(u64).range(..=2_000_000))]
    worker_warm_up: u64,
    #[command(flatten)]
    place: PlaceFlags,
    /// Directory for the report [default: reports/, named by the time in UTC and the command]
    #[arg(long, help_heading = OUTPUT)]
    out: Option<PathBuf>,
    /// Leave topics, tables and keys on the stack; the tables then hold the last trial's rows
    #[arg(long, help_heading = OUTPUT)]
    keep: bool,
    /// What is printed on stdout
    #[arg(long, value_enum, default_value_t = Format::Text, help_heading = OUTPUT)]
    format: Format,
    /// No progress on stderr
    #[arg(long, short, help_heading = OUTPUT)]
    quiet: bool,
}

/// How a consumer works through its events.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Mode {
    /// One event at a time.
    Record,
}

/// Where consumers run.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum WorkerPlace {
    /// In the harness's process.
    InProcess,
    /// In a process of their own.
    Process,
}

fn rate(text: &str) -> Result<f64, String> {
    let rate: f64 = text.parse().map_err(|_| format!("`{text}` is not a number of events/s"))?;
    if rate.is_finite() && rate > 0.0 && rate <= 1e6 {
        Ok(rate)
    } else {
        Err("a rate is above 0 and at most 1,000,000 events/s".into())
    }
}

impl CompareArgs {
    fn options(&self) -> Result<Options, UsageError> {
        let (replication, min_isr) = self.place.replicas()?;
        let mut seen = std::collections::BTreeSet::new();
        if let Some(twice) = self.configs.iter().find(|lanes| !seen.insert(**lanes)) {
            return Err(UsageError {
                what: format!("{twice} is named twice in `--configs`"),
                hint: "name each configuration once; more rounds give more trials".into(),
            });
        }
        let process = self.worker_cmd.is_some() || self.worker == WorkerPlace::Process;
        if process && self.throttle == Some(Throttle::Worker) {
            return Err(UsageError {
                what:
                    "`--throttle worker` slows consumers of this process, and these run in a process of their own"
                        .into(),
                hint: "leave out `--throttle worker`, or `--worker` and `--worker-cmd`".into(),
            });
        }
        if self.through == Through::Api && self.key == Key::None {
            return Err(UsageError {
                what: "`--key none` can't go through the API, which gives every message its order id as key"
                    .into(),
                hint: "leave out `--through api`, or `--key none`".into(),
            });
        }
        if self.worker_cmd.is_some() && !self.service_time.unwrap_or_default().is_zero() {
            return Err(UsageError {
                what: "`--service-time` is a call that our own consumers model; yours makes its own".into(),
                hint: "leave `--service-time` out".into(),
            });
        }
        if self.throttle == Some(Throttle::Store) && self.place.stack != StackKind::Native {
            return Err(UsageError {
                what: "`--throttle store` stops PostgreSQL's processes, and this stack has none of ours"
                    .into(),
                hint: "use it with `--stack native`".into(),
            });
        }
        self.place.fit()?;
        let embedded = self.place.stack == StackKind::Embedded;
        let modelled = embedded && self.worker_cmd.is_none();
        let service_time = self.service_time.unwrap_or(if modelled { SERVICE_TIME } else { Duration::ZERO });
        Ok(Options {
            configs: self.configs.clone(),
            rounds: self.rounds,
            seed: self.seed,
            through: self.through,
            key: self.key,
            keys: self.keys,
            orders: self.orders,
            events_per_order: self.events_per_order,
            arrivals: self.arrivals,
            rate_per_s: self.rate,
            duration: self.duration.max(Duration::from_secs(1)),
            surge: !self.no_surge,
            service_time,
            sizes: if embedded { Sizes::DEMONSTRATION } else { Sizes::MEASUREMENT },
            control: embedded && !service_time.is_zero(),
            replication,
            min_isr,
            inject: self.inject,
            throttle: self.throttle,
            worker: self.worker()?,
            worker_warm_up: self.worker_warm_up,
            drain_events: self.drain_events,
            keep: self.keep,
        })
    }
}

/// Runs it; the exit code says whether every check of truth held.
///
/// # Errors
/// What keeps it from running, with a hint where there is one.
pub async fn run(args: CompareArgs, cancel: CancellationToken) -> anyhow::Result<Exit> {
    let options = args.options()?;
    let external = args.place.external()?;
    // Before minutes of work: can the report be written at all?
    let out = create_output_dir(args.out.clone(), "compare")?;
    let console = Console::new(args.quiet);
    let stack = match args.place.start(external, options.worker.is_some(), &console, &cancel).await {
        Err(error) if cancel.is_cancelled() => {
            tracing::debug!(%error, "interrupted while the stack started");
            tell("interrupted; everything is stopped");
            return Ok(Exit::Interrupted);
        }
        started => started?,
    };
    let setup = Setup { options: &options, stack: &stack, command_line: command_line(), out: &out };
    let ended = compare::run(setup, &console, &cancel).await;
    if !matches!(&ended, Ok(Ended { result, interrupted }) if *interrupted || result.as_ref().is_some_and(|r| r.passed))
    {
        keep_logs(&stack, &out).await;
    }
    console.phase("stopping");
    stack.stop().await;
    let Ended { result, interrupted } = ended?;
    let Some(result) = result else {
        drop(console);
        tell("interrupted before a trial was finished; everything is stopped");
        return Ok(Exit::Interrupted);
    };
    console.phase("writing the report");
    report::render(&result, out.path()).context("the report could not be written")?;
    drop(console);
    print(&args.format.run(&result, &out.file("index.html"))?)?;
    if interrupted {
        tell(&format!("interrupted; the finished trials are in {}", out.path().display()));
        return Ok(Exit::Interrupted);
    }
    Ok(if result.passed { Exit::Held } else { Exit::TruthFailed })
}

impl CompareArgs {
    /// The worker that is a process of its own, if one is asked for.
    fn worker(&self) -> Result<Option<WorkerCommand>, UsageError> {
        match &self.worker_cmd {
            Some(line) => foreign_worker("--worker-cmd", line).map(Some),
            None if self.worker == WorkerPlace::Process => {
                WorkerCommand::this_binary().map(Some).map_err(|error| UsageError {
                    what: format!("this program's own file can't be found: {error}"),
                    hint: "start it by its path".into(),
                })
            }
            None => Ok(None),
        }
    }
}
