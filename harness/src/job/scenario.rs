//! `run`: scenarios on one stack, one after another, each in trials of every configuration in random order.

use std::time::Instant;

use tokio_util::sync::CancellationToken;

use super::describe;
use super::environment::load_average;
use super::options::Options;
use crate::contender::Contender;
use crate::error::RunError;
use crate::progress::Progress;
use crate::record::file::OutputDir;
use crate::record::scenario::{
    OfferedScenario, SCENARIO_SCHEMA_VERSION, ScenarioConfiguration, ScenarioRecord, ScenarioRun,
};
use crate::record::{Environment, Trial};
use crate::rounds::rates::{self, Capacity};
use crate::rounds::warm_up::{WarmUpSpec, WarmedUp, warm_up};
use crate::rounds::{self, Job, Outcome, TrialPlace, Turn, in_session};
use crate::scenario::{Action, Fault, Scenario, Target};
use crate::stack::worker::WorkerCommand;
use crate::stack::{Component, Stack, StackKind};
use crate::trial::TrialRunner;
use crate::trial::phase::plan;

/// Everything that a run of scenarios is given.
pub struct Setup<'a> {
    /// What is done, in this order.
    pub scenarios: &'a [Scenario],
    /// To which configurations, and how events are drawn.
    pub options: &'a Options,
    /// Trials of each configuration in each scenario.
    pub trials: u32,
    /// Our worker, for scenarios in which a consumer breaks: each is a process of its own there.
    pub worker: &'a WorkerCommand,
    /// What to do it on.
    pub stack: &'a Stack,
    /// When the command began.
    pub begun: Instant,
    /// The machine and the program, as they were before any load of ours.
    pub environment: Environment,
    /// The command line that repeats the run.
    pub command_line: String,
    /// Where the record is kept after every trial.
    pub out: &'a OutputDir,
}

/// Why a scenario can't be run with these configurations on such a stack, in a sentence, and what to do next; `None` if it can.
pub fn impossible(
    scenario: &Scenario,
    contenders: &[Contender],
    stack: StackKind,
    nodes: u32,
) -> Option<(String, String)> {
    const CONFIGS: &str = "name configurations that have it with `--configs`";
    const NODES: &str = "start three brokers with `--stack native --nodes 3`";
    let name = &scenario.name;
    let one = |fault: &Fault| {
        let lacks = |has: fn(&Contender) -> u32, number: u32| contenders.iter().find(|c| has(c) <= number);
        let component = match fault.target {
            Target::Consumer(number) => {
                let without = lacks(|c| c.lanes.consumers, number)?;
                let what = format!(
                    "`{name}` breaks consumer {number}, and {} has none of that number",
                    without.name
                );
                return Some((what, CONFIGS.into()));
            }
            Target::Broker(node) if node > nodes => {
                let what = format!("`{name}` breaks broker {node}, and the stack has {nodes}");
                return Some((what, NODES.into()));
            }
            Target::Leader(number) if lacks(|c| c.lanes.partitions.cast_unsigned(), number).is_some() => {
                let what = format!(
                    "`{name}` breaks the leader of partition {number}, which not every configuration has"
                );
                return Some((what, CONFIGS.into()));
            }
            Target::Leader(number) if fault.action == Action::Move && nodes < 2 => {
                let what =
                    format!("`{name}` moves the leader of partition {number}, and there is one broker");
                return Some((what, "start three with `--nodes 3`".into()));
            }
            Target::Broker(_) | Target::Leader(_) | Target::Coordinator => Component::Kafka { node: 1 },
            Target::Store => Component::Postgres,
            Target::View => Component::Redis,
            Target::Topic(added) => {
                let process = contenders.iter().find(|contender| contender.worker.is_some());
                let process = process.filter(|_| added.noticed.is_some())?;
                let what = format!(
                    "`{name}` says how often consumers look at the topic, and those of {} are a process of their own",
                    process.name
                );
                let hint = "leave `noticed` out of the scenario, or leave the flags of a worker out";
                return Some((what, hint.into()));
            }
            Target::Order => return None,
        };
        let (action, target) = (fault.action.as_str(), fault.target);
        let what = || format!("`{name}` wants to {action} {target}, which the {stack} stack can't do");
        let can = || {
            let can = StackKind::STARTED.into_iter().filter(|stack| stack.breaks(component, fault.action));
            let can: Vec<String> = can.map(|stack| format!("`--stack {stack}`")).collect();
            format!("choose {}, which can", can.join(" or "))
        };
        (!stack.breaks(component, fault.action)).then(|| (what(), can()))
    };
    scenario.faults.iter().find_map(one)
}

/// Runs scenarios. Finished trials are saved in `setup.out` as they come, so an interruption keeps them.
///
/// # Errors
/// [`RunError`] for what keeps it from going on. A failed check of truth is no error: it is in the record.
pub async fn run(
    setup: Setup<'_>,
    progress: &dyn Progress,
    cancel: &CancellationToken,
) -> Result<Outcome<ScenarioRecord>, RunError> {
    let options = setup.options.trial;
    in_session(setup.stack, options.keep, progress, cancel, async |session, started| {
        let runner = session.runner(options, setup.stack, progress, cancel);
        let mut record = None;
        let ended = Box::pin(all(&setup, &runner, started, &mut record)).await;
        (record.filter(has_trials), ended)
    })
    .await
}

fn has_trials(record: &ScenarioRecord) -> bool {
    record.scenarios.iter().flat_map(|scenario| &scenario.configurations).any(|c| !c.trials.is_empty())
}

async fn all(
    setup: &Setup<'_>,
    runner: &TrialRunner<'_>,
    started: jiff::Timestamp,
    kept: &mut Option<ScenarioRecord>,
) -> Result<(), RunError> {
    let options = setup.options;
    let spec = WarmUpSpec {
        contenders: &options.contenders,
        draw: options.draw,
        requested: options.requested,
        sizes: options.sizes,
        limit: options.warm_up_limit(setup.begun),
        worker_warm_up: 0,
    };
    let warmed = Box::pin(warm_up(runner, &spec)).await?;
    let record = kept.insert(ScenarioRecord {
        schema_version: SCENARIO_SCHEMA_VERSION,
        command_line: setup.command_line.clone(),
        started_at: started.strftime("%Y-%m-%dT%H:%M:%SZ").to_string(),
        complete: false,
        environment: setup.environment.clone(),
        stack: describe::stack(setup.stack, options),
        warm_up: warmed.record.clone(),
        passed: warmed.record.untrue().is_empty(),
        scenarios: Vec::new(),
    });
    for (number, scenario) in (1..).zip(setup.scenarios) {
        record.scenarios.push(ScenarioRun {
            scenario: offered(scenario, &warmed.capacities),
            configurations: options.contenders.iter().map(configuration).collect(),
        });
        let mut job = Trials { setup, warmed: &warmed, number, scenario, record };
        Box::pin(rounds::run(runner, options.seed, &mut job)).await?;
    }
    record.complete = true;
    setup.out.save_scenarios(record)?;
    Ok(())
}

/// What a scenario is for and what it offers, as a result has it.
pub(super) fn offered(scenario: &Scenario, capacities: &[Capacity]) -> OfferedScenario {
    OfferedScenario {
        name: scenario.name.clone(),
        why: scenario.why.clone(),
        expect: scenario.expect.clone(),
        rate_per_s: rates::scenario_per_s(scenario, capacities),
        length_s: scenario.length.as_secs_f64(),
    }
}

fn configuration(contender: &Contender) -> ScenarioConfiguration {
    ScenarioConfiguration {
        name: contender.name.clone(),
        partitions: contender.lanes.partitions,
        consumers: contender.lanes.consumers,
        trials: Vec::new(),
    }
}

/// The trials of one scenario, the last of the record's.
struct Trials<'a> {
    setup: &'a Setup<'a>,
    warmed: &'a WarmedUp,
    /// From 1.
    number: u32,
    scenario: &'a Scenario,
    record: &'a mut ScenarioRecord,
}

impl Trials<'_> {
    fn contender(&self, contender: &Contender) -> Contender {
        let each_a_process = self.scenario.needs_processes();
        let worker = each_a_process.then(|| self.setup.worker.clone());
        Contender { worker, each_a_process, ..contender.clone() }
    }
}

impl Job for Trials<'_> {
    fn rounds(&self) -> Option<u32> {
        Some(self.setup.trials)
    }

    fn turns(&mut self, round: u32, seed: u64) -> Result<Vec<Turn>, RunError> {
        let (options, name) = (self.setup.options, &self.scenario.name);
        let phase = rates::scenario(self.scenario, &self.warmed.capacities);
        let phases = plan(vec![phase], options.draw, seed)?;
        let turn = |(key, contender): (usize, &Contender)| Turn {
            key,
            // A file's name may be no name of a topic.
            name: format!("s{}.{round}.{}", self.number, contender.name),
            title: format!("{name}, trial {round}/{}, {}", self.setup.trials, contender.name),
            contender: self.contender(contender),
            phases: phases.clone(),
            expected: rates::scenario_length(self.scenario) + self.warmed.around,
        };
        Ok(options.contenders.iter().enumerate().map(turn).collect())
    }

    fn keep(&mut self, key: usize, _: TrialPlace, trial: Result<Trial, RunError>) -> Result<(), RunError> {
        let trial = trial?;
        self.record.passed &= trial.verification.passed;
        self.record.environment.load_max = self.record.environment.load_max.max(load_average()?);
        if let Some(scenario) = self.record.scenarios.last_mut() {
            scenario.configurations[key].trials.push(trial);
        }
        self.setup.out.save_scenarios(self.record)?;
        Ok(())
    }

    fn goes_on(&mut self, round: u32) -> Result<bool, RunError> {
        Ok(round < self.setup.trials)
    }
}
