//! `lanebench compare`: the main job.

use std::time::{Duration, Instant};

use anyhow::Context;
use clap::{Args, ValueEnum};
use payment_delivery::consumer::ServiceTime;
use tokio_util::sync::CancellationToken;

use super::console::Console;
use super::exit::Exit;
use super::out::{OUTPUT, OutputFlags, UsageError};
use super::place::{Needs, PlaceFlags};
use super::shown::end;
use super::values::{command_line, duration, foreign_worker, named_once, service_time};
use super::vary::{self, Vary};
use crate::job::compare::{self, Setup};
use crate::job::environment::environment;
use crate::job::options::{
    Contender, Draw, Inject, Key, Lanes, Options, Rounds, Throttle, Through, TrialOptions,
};
use crate::job::scenario::impossible;
use crate::record::file::create_output_dir;
use crate::rounds::rates::{Requested, Sizes};
use crate::scenario::{Fault, Scenario, find};
use crate::stack::worker::WorkerCommand;
use crate::stack::{BrokerJit, StackKind};
use crate::workload::{Arrivals, Keys};

/// Modelled call an event on the embedded stack, whose store costs next to nothing to write.
const SERVICE_TIME: ServiceTime = ServiceTime::fixed(Duration::from_millis(2));

/// Where a JVM has compiled most of a small worker.
pub(super) const WORKER_WARM_UP: u64 = 2_000;

const EXAMPLES: &str = "\
Examples:
  lanebench compare                             a demonstration; needs nothing
  lanebench compare --stack native --nodes 3    real Kafka, PostgreSQL, Redis
  lanebench compare --stack native --quick      the same within 100 s, with less
                                                to say
  lanebench compare --stack external            yours, by the three variables
                                                LANEBENCH_BOOTSTRAP, …_DATABASE_URL
                                                and …_REDIS_URL
  lanebench compare --configs 1p1c,3p1c,3p3c    the first is the baseline
  lanebench compare --configs 1p1c,1p1c-keyed   64 orders side by side, on one
                                                partition: what does it bring?
  lanebench compare --vary replication=1,3 --nodes 3
                                                what does replication cost?
  lanebench compare --keys hot:0.5              half of the events: one order
  lanebench compare --inject loss               a negative control: exit code 3
  lanebench compare --format json | jq .passed  data on stdout";

/// Flags of `compare`.
#[derive(Args)]
#[command(after_help = EXAMPLES)]
#[command(next_help_heading = "What to run")]
pub struct CompareArgs {
    /// What is compared, the baseline first; 3p1c is three partitions and one consumer, 3p1c-batch and 3p1c-keyed the same in other modes
    #[arg(long, value_delimiter = ',', default_value = "1p1c,3p3c")]
    configs: Vec<Lanes>,
    /// Compare values of one flag, too: replication=1,3, service-time=0s,2ms,0-5ms or worker-cmd=CMD (repeat it for each command)
    #[arg(long, value_name = "FLAG=A,B")]
    vary: Vec<Vary>,
    /// Rounds; each has one trial of each configuration, in random order [default: what fits into the budget]
    #[arg(long, conflicts_with = "budget", value_parser = clap::value_parser!(u32).range(1..=100))]
    rounds: Option<u32>,
    /// Time for the whole run, such as 4m [default: 2m on the embedded stack, else 4m]
    #[arg(long, value_parser = duration)]
    budget: Option<Duration>,
    /// Within a minute (embedded) or a hundred seconds (native): no surge, no ceilings, percentiles not compared, native brokers on C1
    #[arg(long, conflicts_with_all = ["rounds", "budget"])]
    quick: bool,
    /// Seed of everything drawn: keys, gaps, the order of trials
    #[arg(long, default_value_t = 1)]
    seed: u64,
    /// Rate of the steady phase, such as 500 or 500/s [default: 0.6 × the smallest sustained capacity, or less until all keep up]
    #[arg(long, value_parser = rate)]
    rate: Option<f64>,
    /// Minimum length of the steady phase, such as 5s; longer where 3,000 events need it (embedded and --quick: 800)
    #[arg(long, default_value = "3s", value_parser = duration)]
    duration: Duration,
    /// What 99 of 100 events of the steady phase shall take at most, such as 50ms; the report says which configuration keeps to it
    #[arg(long, value_parser = duration, conflicts_with = "quick")]
    objective: Option<Duration>,
    /// When events are due: constant or poisson
    #[arg(long, default_value_t = Arrivals::Poisson)]
    arrivals: Arrivals,
    /// Distribution of events over keys: uniform, zipf:S or hot:SHARE
    #[arg(long, default_value = "uniform")]
    keys: Keys,
    /// How events come in; `api` posts each to the REST API, which is then asked what became of it
    #[arg(long, value_enum, default_value_t)]
    through: Through,
    /// The record key: order-id, or none, a negative control in which order breaks
    #[arg(long, value_enum, default_value_t = Key::OrderId)]
    key: Key,
    /// Orders of a phase [default: events ÷ events-per-order]
    #[arg(long, value_parser = clap::value_parser!(u32).range(1..))]
    orders: Option<u32>,
    /// Mean number of events per order
    #[arg(long, default_value_t = 5, value_parser = clap::value_parser!(u32).range(1..))]
    events_per_order: u32,
    /// Events of the drain's backlog [default: sized in the warm-up]
    #[arg(long, value_parser = clap::value_parser!(u64).range(1..=2_000_000))]
    drain_events: Option<u64>,
    /// Modelled downstream call an event, such as 2ms, or 0-5ms: each event's own, drawn uniformly [default: 2ms on the embedded stack, else none]
    #[arg(long, value_parser = service_time)]
    service_time: Option<ServiceTime>,
    /// One pass of the warm-up and no more: to see what is said of a run that has not settled
    #[arg(long, hide = true)]
    no_warm_up: bool,
    /// Leave the surge out
    #[arg(long)]
    no_surge: bool,
    /// Don't measure what each component does alone before each round
    #[arg(long)]
    no_ceilings: bool,
    /// Break something on purpose, to see the checker find it
    #[arg(long, value_enum)]
    inject: Option<Inject>,
    /// Break something under load at the end of each trial, as `lanebench run` does: a name that `run --list` shows, or a file
    #[arg(long, value_name = "SCENARIO", conflicts_with = "throttle")]
    scenario: Option<String>,
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
    #[arg(long, value_name = "EVENTS", default_value_t = WORKER_WARM_UP, value_parser = clap::value_parser!(u64).range(..=2_000_000))]
    worker_warm_up: u64,
    #[command(flatten)]
    place: PlaceFlags,
    /// Leave topics, tables and keys on the stack; the tables then hold the last trial's rows
    #[arg(long, help_heading = OUTPUT)]
    keep: bool,
    #[command(flatten)]
    output: OutputFlags,
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
    let number = text.strip_suffix("/s").unwrap_or(text);
    let rate: f64 =
        number.parse().map_err(|_| format!("`{text}` is not a rate; write it like 500 or 500/s"))?;
    if rate.is_finite() && rate > 0.0 && rate <= 1e6 {
        Ok(rate)
    } else {
        Err("a rate is above 0 and at most 1,000,000 events/s".into())
    }
}

/// Time for a run on the embedded stack …
const BUDGET_EMBEDDED: Duration = Duration::from_secs(120);
/// … and on others.
const BUDGET: Duration = Duration::from_secs(240);
/// The same for a quick look.
const QUICK_EMBEDDED: Duration = Duration::from_secs(55);
const QUICK: Duration = Duration::from_secs(95);
/// Of it, what removing all that was made takes, and writing the report.
const ENDING: Duration = Duration::from_secs(5);

impl CompareArgs {
    fn rounds(&self, embedded: bool) -> Rounds {
        match self.rounds {
            Some(rounds) => Rounds::Fixed(rounds),
            None => {
                let budget = self.budget.unwrap_or(match (self.quick, embedded) {
                    (true, true) => QUICK_EMBEDDED,
                    (true, false) => QUICK,
                    (false, true) => BUDGET_EMBEDDED,
                    (false, false) => BUDGET,
                });
                let fewest = if embedded || self.quick { 3 } else { 4 };
                Rounds::Within { total: budget.saturating_sub(ENDING), fewest }
            }
        }
    }

    /// Whether a worker that is not ours is asked for.
    fn is_foreign(&self) -> bool {
        self.worker_cmd.is_some() || self.vary.iter().any(|vary| matches!(vary, Vary::WorkerCmd(_)))
    }

    fn varies_time(&self) -> bool {
        self.vary.iter().any(|vary| matches!(vary, Vary::ServiceTime(_)))
    }

    /// Refuses flags that don't go together.
    fn fit(&self) -> Result<(), UsageError> {
        named_once(&self.configs)?;
        let foreign = self.is_foreign();
        let process = foreign || self.worker == WorkerPlace::Process;
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
        if self.scenario.is_some() && self.through == Through::Api {
            return Err(UsageError {
                what:
                    "a scenario sends its load straight to the brokers, and `--through api` by the REST API"
                        .into(),
                hint: "leave out `--scenario`, or `--through api`".into(),
            });
        }
        if self.objective.is_some_and(|objective| objective.is_zero()) {
            return Err(UsageError {
                what: "an objective of no time at all can't be kept".into(),
                hint: "write it like `--objective 50ms`".into(),
            });
        }
        if foreign && (self.varies_time() || !self.service_time.unwrap_or_default().is_zero()) {
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
        self.place.fit()
    }

    fn options(&self) -> anyhow::Result<Options> {
        self.fit()?;
        let (replication, min_isr) = self.place.replicas()?;
        let foreign = self.is_foreign();
        let varied_time = self.varies_time();
        let embedded = self.place.stack == StackKind::Embedded;
        let modelled = embedded && !foreign;
        let service_time =
            self.service_time.unwrap_or(if modelled { SERVICE_TIME } else { ServiceTime::NONE });
        let mut worker = self.worker()?;
        let scenario = self.scenario.as_deref().map(find).transpose()?;
        let each_a_process = scenario.as_ref().is_some_and(Scenario::needs_processes);
        if each_a_process {
            let refused = |what: &str, hint: &str| UsageError { what: what.into(), hint: hint.into() };
            if foreign {
                return Err(refused(
                    "this scenario breaks one of our consumers, and yours is one process with all of them",
                    "name a scenario that breaks something else, or leave out your worker",
                )
                .into());
            }
            worker.get_or_insert(own_worker()?);
        }
        if scenario.iter().flat_map(|scenario| &scenario.faults).any(Fault::leaves_cold) {
            return Err(UsageError {
                what: "this scenario kills a broker or the store, which are cold when the next trial measures them".into(),
                hint: "run it with `lanebench run`, or name one that breaks something else".into(),
            }
            .into());
        }
        let contender = |lanes: &Lanes| Contender {
            replication,
            min_isr,
            service_time,
            worker: worker.clone(),
            each_a_process,
            ..Contender::of(*lanes)
        };
        let base = self.configs.iter().map(contender).collect();
        let contenders = vary::contenders(base, &self.vary, &self.place)?;
        let several = contenders.len() > 1;
        if let Some(scenario) = &scenario
            && let Some((what, hint)) =
                impossible(scenario, &contenders, self.place.stack, self.place.nodes())
        {
            return Err(UsageError { what, hint }.into());
        }
        Ok(Options {
            contenders,
            rounds: self.rounds(embedded),
            seed: self.seed,
            draw: Draw {
                keys: self.keys,
                orders: self.orders,
                events_per_order: self.events_per_order,
                arrivals: self.arrivals,
            },
            trial: TrialOptions {
                through: self.through,
                key: self.key,
                throttle: self.throttle,
                keep: self.keep,
            },
            requested: Requested {
                rate_per_s: self.rate,
                duration: self.duration.max(Duration::from_secs(1)),
                drain_events: self.drain_events,
                surge: !self.no_surge && !self.quick && several,
            },
            sizes: match (self.quick, embedded) {
                (true, _) => Sizes::QUICK,
                (false, true) => Sizes::DEMONSTRATION,
                (false, false) => Sizes::MEASUREMENT,
            },
            percentiles: !self.quick,
            objective: self.objective,
            inject: self.inject,
            scenario,
            worker_warm_up: self.worker_warm_up,
            one_pass: self.no_warm_up,
            control: embedded && !service_time.is_zero() && !varied_time,
            ceilings: !self.quick && !self.no_ceilings,
        })
    }
}

/// Runs it; the exit code says whether every check of truth held.
///
/// # Errors
/// What keeps it from running, with a hint where there is one.
pub async fn run(args: CompareArgs, cancel: CancellationToken) -> anyhow::Result<Exit> {
    let begun = Instant::now();
    let options = args.options()?;
    let external = args.place.external(&options.contenders)?;
    // Before minutes of work: can the report be written at all?
    let out = create_output_dir(args.output.out.clone(), "compare")?;
    let console = Console::new(args.output.quiet);
    // Before any load of ours.
    let environment = environment().context("the machine could not be looked at")?;
    let broker_jit = if args.quick { BrokerJit::C1 } else { BrokerJit::default() };
    let needs = Needs {
        processes: options.contenders.iter().any(|contender| contender.worker.is_some()),
        proxies: options.scenario.as_ref().is_some_and(Scenario::needs_proxies),
        broker_jit,
    };
    let Some(stack) = args.place.start(external, needs, &console, &cancel).await? else {
        return Ok(Exit::Interrupted);
    };
    let setup = Setup {
        options: &options,
        stack: &stack,
        begun,
        environment,
        command_line: command_line(),
        out: &out,
    };
    let ended = compare::run(setup, &console, &cancel).await;
    end(ended, "trial", stack, &out, &args.output, console).await
}

impl CompareArgs {
    /// The worker that is a process of its own, if one is asked for.
    fn worker(&self) -> Result<Option<WorkerCommand>, UsageError> {
        match &self.worker_cmd {
            Some(line) => foreign_worker("--worker-cmd", line).map(Some),
            None if self.worker == WorkerPlace::Process => own_worker().map(Some),
            None => Ok(None),
        }
    }
}

/// Ours, as a process of its own.
fn own_worker() -> Result<WorkerCommand, UsageError> {
    WorkerCommand::this_binary().map_err(|error| UsageError {
        what: format!("this program's own file can't be found: {error}"),
        hint: "start it by its path".into(),
    })
}
