//! `compare`: warm-up, rounds in random order, summary. Truth before speed.

use std::time::{Duration, Instant};

use tokio_util::sync::CancellationToken;

use super::environment::load_average;
use super::options::{Contender, Options, Rounds};
use super::scenario::offered;
use super::{describe, summary, warnings};
use crate::error::RunError;
use crate::progress::Progress;
use crate::record::file::OutputDir;
use crate::record::{
    Configuration, Environment, PhaseKind, Rates, RunResult, SCHEMA_VERSION, SeenBy, Summary, Surge, Trial,
    counting_rounds,
};
use crate::rounds::rates;
use crate::rounds::warm_up::{SeenLate, WarmUpSpec, WarmedUp, warm_up};
use crate::rounds::{self, Job, Outcome, TrialPlace, Turn, in_session, warmed_by_itself};
use crate::stack::Stack;
use crate::stats::median;
use crate::trial::TrialRunner;
use crate::trial::phase::{PhaseSpec, plan};

mod ceilings;
mod control;

use ceilings::ComponentCeilings;
use control::ControlDrains;

/// Everything a comparison is given.
pub struct Setup<'a> {
    /// What to do.
    pub options: &'a Options,
    /// What to do it on.
    pub stack: &'a Stack,
    /// When the command began: a time budget counts from there.
    pub begun: Instant,
    /// The machine and the program, as they were before any load of ours.
    pub environment: Environment,
    /// The command line that repeats the run.
    pub command_line: String,
    /// Where the result is kept after every trial.
    pub out: &'a OutputDir,
}

/// Runs a comparison. Finished trials are saved in `setup.out` as they come, so an interruption keeps them.
///
/// # Errors
/// [`RunError`] for what keeps it from going on. A failed check of truth is no error: it is in the result.
pub async fn run(
    setup: Setup<'_>,
    progress: &dyn Progress,
    cancel: &CancellationToken,
) -> Result<Outcome<RunResult>, RunError> {
    let keep = setup.options.trial.keep;
    in_session(setup.stack, keep, progress, cancel, async |session, started| {
        let runner = session.runner(setup.options.trial, setup.stack, progress, cancel);
        let mut comparison = None;
        let ended = Box::pin(all(&setup, &runner, started, &mut comparison)).await;
        let result = comparison.map(|comparison: Comparison<'_>| comparison.result);
        (result.filter(|result| result.configurations.iter().any(|c| !c.trials.is_empty())), ended)
    })
    .await
}

async fn all<'a>(
    setup: &'a Setup<'a>,
    runner: &TrialRunner<'_>,
    started: jiff::Timestamp,
    comparison: &mut Option<Comparison<'a>>,
) -> Result<(), RunError> {
    let options = setup.options;
    let ceilings = options.ceilings.then(|| ComponentCeilings::new(options));
    let mut limit = options.warm_up_limit(setup.begun);
    if let (Some(leaves), Some(ceilings)) = (&mut limit.leaves, &ceilings) {
        leaves.until -= ceilings.expected() * leaves.rounds;
    }
    let spec = WarmUpSpec {
        contenders: &options.contenders,
        draw: options.draw,
        requested: options.requested,
        sizes: options.sizes,
        limit,
        worker_warm_up: options.worker_warm_up,
    };
    let warmed = Box::pin(warm_up(runner, &spec)).await?;
    if let Some(objective) = options.objective {
        can_be_seen(objective, &options.contenders, &warmed.seen_late)?;
    }
    let control = match options.control {
        true => Some(Box::pin(ControlDrains::size(runner, options)).await?),
        false => None,
    };
    let comparison = comparison.insert(Comparison::new(setup, warmed, control, ceilings, started));
    Box::pin(rounds::run(runner, options.seed, comparison)).await?;
    comparison.result.complete = true;
    comparison.save()
}

/// Refuses an objective that is below what can be seen of a worker.
fn can_be_seen(
    objective: Duration,
    contenders: &[Contender],
    seen_late: &[Option<SeenLate>],
) -> Result<(), RunError> {
    let late = contenders.iter().zip(seen_late).filter_map(|(contender, late)| Some((contender, (*late)?)));
    match late.max_by_key(|(_, late)| late.p99).filter(|(_, late)| late.p99 >= objective) {
        None => Ok(()),
        Some((contender, SeenLate { by, p99 })) => {
            let floor = Duration::from_micros(p99.as_micros() as u64);
            let seen_by = match by {
                SeenBy::View => "statuses",
                SeenBy::Rows => "rows",
                SeenBy::Offsets => "committed offsets",
            };
            Err(RunError::Unseen { who: contender.name.clone(), objective, seen_by, floor })
        }
    }
}

/// A comparison at work.
struct Comparison<'a> {
    setup: &'a Setup<'a>,
    warmed: WarmedUp,
    rounds: u32,
    control: Option<ControlDrains>,
    ceilings: Option<ComponentCeilings>,
    /// Largest ÷ smallest sustained capacity, where that is too small for a surge.
    no_surge_at: Option<f64>,
    result: RunResult,
}

impl<'a> Comparison<'a> {
    fn new(
        setup: &'a Setup<'a>,
        warmed: WarmedUp,
        control: Option<ControlDrains>,
        ceilings: Option<ComponentCeilings>,
        started: jiff::Timestamp,
    ) -> Self {
        let options = setup.options;
        let rounds = match options.rounds {
            Rounds::Fixed(rounds) => rounds,
            Rounds::Within { total, fewest } => {
                let left = total.saturating_sub(setup.begun.elapsed());
                let controls = control.as_ref().map(|control| control.expected(warmed.around));
                let alone = ceilings.as_ref().map(ComponentCeilings::expected);
                let beside = controls.unwrap_or_default() + alone.unwrap_or_default();
                let more = beside + options.scenario_length() * options.contenders.len() as u32;
                let round = warmed.round.longer(more);
                rates::rounds(left, round, fewest)
            }
        };
        let result = RunResult {
            schema_version: SCHEMA_VERSION,
            command: "compare".into(),
            command_line: setup.command_line.clone(),
            started_at: started.strftime("%Y-%m-%dT%H:%M:%SZ").to_string(),
            complete: false,
            environment: setup.environment.clone(),
            stack: describe::stack(setup.stack, options),
            workload: describe::workload(options, rounds),
            warm_up: warmed.record.clone(),
            warnings: Vec::new(),
            passed: warmed.record.untrue().is_empty(),
            configurations: configurations(options),
            comparisons: Vec::new(),
            control: None,
            ceilings: None,
            scenario: options.scenario.as_ref().map(|scenario| offered(scenario, &warmed.capacities)),
        };
        Self { setup, warmed, rounds, control, ceilings, no_surge_at: None, result }
    }

    /// What each configuration sustained in the rounds so far, its median, events/s; before the first, in the warm-up.
    fn sustained_per_s(&self) -> Vec<f64> {
        let of_rounds = |configuration: &Configuration| {
            let trials = configuration.trials.iter();
            let sustained =
                trials.filter_map(|trial| Some(trial.phase(PhaseKind::Sustained)?.throughput_per_s));
            let sustained: Vec<f64> = sustained.collect();
            (!sustained.is_empty()).then(|| median(&sustained))
        };
        let warmed = self.warmed.capacities.iter().map(|capacity| capacity.sustained_per_s);
        let configurations = self.result.configurations.iter().zip(warmed);
        configurations.map(|(configuration, warmed)| of_rounds(configuration).unwrap_or(warmed)).collect()
    }

    /// Fixes the surge, before the first round that has it.
    fn fix_surge(&mut self, round: u32) {
        let options = self.setup.options;
        if options.requested.surge && round == rates::first_surge_round(self.rounds) {
            let sustained = self.sustained_per_s();
            let surge = rates::surge(sustained.iter().copied(), options.sizes);
            let (smallest, largest) = rates::extremes(sustained.iter().copied());
            self.no_surge_at = surge.is_none().then_some(largest / smallest);
            self.result.warm_up.rates.surge = surge;
        }
    }

    /// The surge of a round, if it has one.
    fn surge(&self, round: u32) -> Option<&Surge> {
        self.result.warm_up.rates.surge.as_ref().filter(|_| round >= rates::first_surge_round(self.rounds))
    }

    /// The phases of a round's trials at these rates.
    fn phases(&self, round: u32, rates: &Rates) -> Vec<PhaseSpec> {
        let options = self.setup.options;
        let mut phases = rates::phases(rates, &self.warmed.capacities, options.sizes, self.surge(round));
        phases.extend(options.scenario.as_ref().map(|s| rates::scenario(s, &self.warmed.capacities)));
        if let Some(steady) = phases.iter_mut().find(|phase| phase.kind == PhaseKind::Steady) {
            steady.faults.extend(options.inject.map(|inject| inject.fault(steady.length())));
        }
        phases
    }

    fn take(&mut self, index: usize, trial: Trial) -> Result<(), RunError> {
        let result = &mut self.result;
        result.passed &= trial.verification.passed;
        result.environment.load_max = result.environment.load_max.max(load_average()?);
        result.configurations[index].trials.push(trial);
        let rounds = counting_rounds(&result.configurations);
        for configuration in &mut result.configurations {
            configuration.summary = summary::summarise(configuration.counting(&rounds));
        }
        let percentiles = self.setup.options.percentiles && result.warm_up.rates.has_enough_events();
        result.comparisons = summary::comparisons(&result.configurations, percentiles);
        let contenders = &self.setup.options.contenders;
        let alone = self.ceilings.as_ref();
        result.ceilings = alone.map(|ceilings| ceilings.record(contenders, &result.configurations));
        let mut found = warnings::beforehand(
            self.setup.options,
            self.setup.stack.facts(),
            self.setup.environment.cores,
            false,
        );
        found.extend(self.of_rates());
        found.extend(warnings::afterwards(&self.result));
        self.result.warnings = warnings::record(found);
        self.save()
    }

    /// Warnings that follow from the warm-up and the rates.
    fn of_rates(&self) -> Vec<warnings::Seen> {
        let warm_up = &self.warmed.record;
        let mut found = Vec::from_iter(warnings::not_settled(warm_up));
        found.extend(self.no_surge_at.map(|ratio| warnings::WarningKind::NoSurge { ratio }));
        let rates = &warm_up.rates;
        if rates.steady_s > 0.0 && !rates.has_enough_events() {
            let events = rates.steady_events() as u64;
            found.push(warnings::WarningKind::FewSamples { events });
        }
        found.into_iter().map(|kind| (kind, None)).collect()
    }

    fn save(&self) -> Result<(), RunError> {
        self.setup.out.save(&self.result)?;
        Ok(())
    }
}

impl Job for Comparison<'_> {
    fn rounds(&self) -> Option<u32> {
        Some(self.rounds)
    }

    async fn before_round(&mut self, runner: &TrialRunner<'_>, round: u32) -> Result<(), RunError> {
        let Some(ceilings) = &mut self.ceilings else { return Ok(()) };
        runner.progress.phase(&format!("round {round}/{}: each component alone", self.rounds));
        match Box::pin(ceilings.measure(runner, self.setup.options, round)).await {
            // The trials need none of it. Without a round, shares would be of another one's rates.
            Err(error) if !runner.cancel.is_cancelled() => {
                tracing::warn!(%error, "ceilings are left out, since a component could not be measured alone");
                self.ceilings = None;
                Ok(())
            }
            measured => measured,
        }
    }

    fn turns(&mut self, round: u32, seed: u64) -> Result<Vec<Turn>, RunError> {
        self.fix_surge(round);
        let options = self.setup.options;
        let rates = &self.warmed.record.rates;
        let shared = plan(self.phases(round, rates), options.draw, seed)?;
        let mut turns = Vec::new();
        for (key, contender) in options.contenders.iter().enumerate() {
            let capacity = self.warmed.capacities[key];
            let own = rates::of(rates, capacity, options.requested);
            let mut phases = plan(warmed_by_itself(contender, options.worker_warm_up), options.draw, seed)?;
            if own.drain_events == rates.drain_events {
                phases.extend(shared.iter().cloned());
            } else {
                phases.extend(plan(self.phases(round, &own), options.draw, seed)?);
            }
            let length = rates::length(&own, capacity, options.sizes, self.surge(round));
            turns.push(Turn {
                key,
                name: format!("r{round}.{}", contender.name),
                title: format!("round {round}/{}, {}", self.rounds, contender.name),
                contender: contender.clone(),
                phases,
                expected: length + options.scenario_length() + self.warmed.around,
            });
        }
        if let Some(control) = &self.control {
            turns.extend(control.turns(options, round, self.rounds, seed)?);
        }
        Ok(turns)
    }

    fn keep(&mut self, key: usize, _: TrialPlace, trial: Result<Trial, RunError>) -> Result<(), RunError> {
        let trial = trial?;
        let trials = self.setup.options.contenders.len();
        let Some(control) = self.control.as_mut().filter(|_| key >= trials) else {
            return self.take(key, trial);
        };
        self.result.passed &= trial.verification.passed;
        control.take(key - trials, trial);
        self.result.control = Some(control.record());
        self.save()
    }

    fn goes_on(&mut self, round: u32) -> Result<bool, RunError> {
        Ok(round < self.rounds)
    }
}

/// The configurations as a result holds them, without trials.
fn configurations(options: &Options) -> Vec<Configuration> {
    let configuration = |contender: &super::options::Contender| Configuration {
        name: contender.name.clone(),
        partitions: contender.lanes.partitions,
        consumers: contender.lanes.consumers,
        mode: contender.lanes.mode.to_string(),
        settings: contender.settings.clone(),
        trials: Vec::new(),
        summary: Summary::default(),
    };
    options.contenders.iter().map(configuration).collect()
}
