//! `lanebench run`: break things under load, and see who waits and whether anything is lost.

use std::collections::BTreeSet;
use std::time::{Duration, Instant};

use anyhow::Context;
use clap::Args;
use payment_delivery::consumer::ServiceTime;
use tokio_util::sync::CancellationToken;

use super::console::Console;
use super::exit::Exit;
use super::out::{OutputFlags, UsageError, print};
use super::place::{Needs, PlaceFlags};
use super::shown::end;
use super::values::{command_line, named_once};
use crate::job::environment::environment;
use crate::job::options::{Contender, Draw, Key, Lanes, Options, Rounds, Through, TrialOptions};
use crate::job::scenario::{self, Setup, impossible};
use crate::record::file::create_output_dir;
use crate::rounds::rates::{Requested, Sizes};
use crate::scenario::{Scenario, find, included};
use crate::stack::StackKind;
use crate::stack::worker::WorkerCommand;
use crate::workload::{Arrivals, Keys};

const EXAMPLES: &str = "\
Examples:
  lanebench run --list                          the scenarios that come with it
  lanebench run consumer-killed                 a demonstration; needs nothing
  lanebench run --stack native --nodes 3 broker-killed store-restarted
                                                on real Kafka, PostgreSQL, Redis
  lanebench run --trials 3 my/scenario.toml     yours; docs/scenarios.md says
                                                how one is written";

/// Modelled call an event on the embedded stack, as `compare` has it.
const SERVICE_TIME: ServiceTime = ServiceTime::fixed(Duration::from_millis(2));

/// Flags of `run`.
#[derive(Args)]
#[command(after_help = EXAMPLES)]
#[command(next_help_heading = "What to run")]
pub struct RunArgs {
    /// Scenarios, in this order: names that `--list` shows, or files
    #[arg(required_unless_present = "list", value_name = "SCENARIO")]
    scenarios: Vec<String>,
    /// Show the scenarios that come with lanebench, and do nothing
    #[arg(long, conflicts_with = "scenarios")]
    list: bool,
    /// To which configurations it is done; 3p1c is three partitions and one consumer, 3p1c-batch and 3p1c-keyed the same in other modes
    #[arg(long, value_delimiter = ',', default_value = "1p1c,3p3c")]
    configs: Vec<Lanes>,
    /// Trials of each configuration in each scenario
    #[arg(long, default_value_t = 1, value_parser = clap::value_parser!(u32).range(1..=20))]
    trials: u32,
    /// Seed of everything drawn: keys, gaps, the order of trials
    #[arg(long, default_value_t = 1)]
    seed: u64,
    /// One pass of the warm-up and no more
    #[arg(long, hide = true)]
    no_warm_up: bool,
    #[command(flatten)]
    place: PlaceFlags,
    #[command(flatten)]
    output: OutputFlags,
}

impl RunArgs {
    fn options(&self) -> Result<Options, UsageError> {
        let (replication, min_isr) = self.place.replicas()?;
        self.place.fit()?;
        named_once(&self.configs)?;
        let embedded = self.place.stack == StackKind::Embedded;
        let service_time = if embedded { SERVICE_TIME } else { ServiceTime::NONE };
        let contender =
            |lanes: &Lanes| Contender { replication, min_isr, service_time, ..Contender::of(*lanes) };
        Ok(Options {
            contenders: self.configs.iter().map(contender).collect(),
            rounds: Rounds::Fixed(self.trials),
            seed: self.seed,
            draw: Draw {
                keys: Keys::Uniform,
                orders: None,
                events_per_order: 5,
                arrivals: Arrivals::Poisson,
            },
            trial: TrialOptions { through: Through::Kafka, key: Key::OrderId, throttle: None, keep: false },
            requested: Requested::default(),
            sizes: if embedded { Sizes::DEMONSTRATION } else { Sizes::QUICK },
            percentiles: false,
            objective: None,
            inject: None,
            scenario: None,
            worker_warm_up: 0,
            one_pass: self.no_warm_up,
            control: false,
            ceilings: false,
        })
    }

    /// The scenarios, each of which can be run.
    fn scenarios(&self, options: &Options) -> anyhow::Result<Vec<Scenario>> {
        let scenarios = self.scenarios.iter().map(|name| find(name)).collect::<Result<Vec<_>, _>>()?;
        let mut seen = BTreeSet::new();
        if let Some(twice) = scenarios.iter().find(|scenario| !seen.insert(&scenario.name)) {
            return Err(UsageError {
                what: format!("two scenarios are called `{}`", twice.name),
                hint: "name each once, or rename one file; more `--trials` give more of one".into(),
            }
            .into());
        }
        let nodes = self.place.nodes();
        let reason = scenarios
            .iter()
            .find_map(|scenario| impossible(scenario, &options.contenders, self.place.stack, nodes));
        match reason {
            None => Ok(scenarios),
            Some((what, hint)) => Err(UsageError { what, hint }.into()),
        }
    }
}

/// Runs them; the exit code says whether every check of truth held.
///
/// # Errors
/// What keeps it from running, with a hint where there is one.
pub async fn run(args: RunArgs, cancel: CancellationToken) -> anyhow::Result<Exit> {
    if args.list {
        print(&listed())?;
        return Ok(Exit::Held);
    }
    let begun = Instant::now();
    let options = args.options()?;
    let scenarios = args.scenarios(&options)?;
    let external = args.place.external(&options.contenders)?;
    // Before minutes of work: can the report be written at all?
    let out = create_output_dir(args.output.out.clone(), "run")?;
    let console = Console::new(args.output.quiet);
    // Before any load of ours.
    let environment = environment().context("the machine could not be looked at")?;
    let worker = WorkerCommand::this_binary().context("this program's own file can't be found")?;
    let needs = Needs {
        processes: scenarios.iter().any(Scenario::needs_processes),
        proxies: scenarios.iter().any(Scenario::needs_proxies),
        ..Needs::default()
    };
    let Some(stack) = args.place.start(external, needs, &console, &cancel).await? else {
        return Ok(Exit::Interrupted);
    };
    let setup = Setup {
        scenarios: &scenarios,
        options: &options,
        trials: args.trials,
        worker: &worker,
        stack: &stack,
        begun,
        environment,
        command_line: command_line(),
        out: &out,
    };
    let ended = scenario::run(setup, &console, &cancel).await;
    end(ended, "trial", stack, &out, &args.output, console).await
}

/// Each scenario that comes with lanebench, with why one would run it.
fn listed() -> String {
    let scenarios = included();
    let width = scenarios.iter().map(|scenario| scenario.name.len()).max().unwrap_or(0);
    let line = |scenario: &Scenario| format!("{:width$}  {}", scenario.name, scenario.why);
    scenarios.iter().map(line).collect::<Vec<_>>().join("\n")
}
