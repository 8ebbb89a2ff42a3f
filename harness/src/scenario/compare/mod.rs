//! `compare`: warm-up, rounds in random order, summary. What it measures is in METHOD order: truth before speed.

use std::time::Instant;

use rand::SeedableRng;
use rand::seq::SliceRandom;
use rand_chacha::ChaCha8Rng;
use tokio_util::sync::CancellationToken;

use super::options::{Lanes, Options};
use super::phase::Plans;
use super::rates::{self, Asked, Rates};
use super::site::Site;
use super::trial::{Bench, Contender, Spec};
use super::warnings::{self, Caution};
use super::{Progress, ScenarioError, describe, summary, warm_up};
use crate::record::file::OutputDir;
use crate::record::{Configuration, RunResult, SCHEMA_VERSION, Trial};
use crate::scenario::environment;
use crate::stack::Stack;
use crate::worker::LaneRuntime;

pub(super) mod cautions;
mod control;
mod outlook;

use control::ControlDrains;
use outlook::Outlook;

/// Everything a comparison is given.
pub struct Setup<'a> {
    /// What to do.
    pub options: &'a Options,
    /// What to do it on.
    pub stack: &'a Stack,
    /// The command line that repeats the run.
    pub command_line: String,
    /// Where the result is kept after every trial.
    pub out: &'a OutputDir,
}

/// How a comparison ended.
pub struct Ended {
    /// What was measured by then; `None` if not even one trial was finished.
    pub result: Option<RunResult>,
    /// Whether it was interrupted.
    pub interrupted: bool,
}

/// Runs a comparison. Finished trials are saved in `setup.out` as they come, so an interruption keeps them.
///
/// # Errors
/// [`ScenarioError`] for what keeps it from going on. A failed check of truth is no error: it is in the result.
pub async fn run(
    setup: Setup<'_>,
    progress: &dyn Progress,
    cancel: &CancellationToken,
) -> Result<Ended, ScenarioError> {
    progress.phase("connecting");
    let started = jiff::Timestamp::now();
    let runtime = LaneRuntime::start().map_err(ScenarioError::threads)?;
    let opened = match Site::open(setup.stack.place(), started, cancel).await {
        Err(ScenarioError::Interrupted) => return Ok(Ended { result: None, interrupted: true }),
        opened => opened?,
    };
    let mut run = Run::new(&setup, &opened, &runtime, started, progress, cancel);
    let ended = run.all().await;
    let result = run.result.filter(|r| r.configurations.iter().any(|c| !c.trials.is_empty()));
    if !setup.options.keep {
        opened.close(progress).await;
    }
    match ended {
        Ok(()) => Ok(Ended { result, interrupted: false }),
        // Once cancelled, whatever gave up first tells of it in its own words.
        Err(_) if cancel.is_cancelled() => Ok(Ended { result, interrupted: true }),
        Err(error) => Err(error),
    }
}

struct Run<'a> {
    setup: &'a Setup<'a>,
    bench: Bench<'a>,
    contenders: Vec<Contender<'a>>,
    started: jiff::Timestamp,
    cautions: Vec<Caution>,
    control: Option<ControlDrains>,
    result: Option<RunResult>,
}

/// Which place a trial has in the run.
#[derive(Clone, Copy)]
struct Place {
    /// From 1.
    round: u32,
    /// In its round, from 1.
    position: u32,
    /// The round's.
    seed: u64,
}

/// What is done next in a round.
#[derive(Clone, Copy)]
enum Turn {
    /// A trial of the configuration at this place.
    Trial(usize),
    /// A control drain of it.
    Control(usize),
}

impl<'a> Run<'a> {
    fn new(
        setup: &'a Setup<'a>,
        site: &'a Site,
        runtime: &'a LaneRuntime,
        started: jiff::Timestamp,
        progress: &'a dyn Progress,
        cancel: &'a CancellationToken,
    ) -> Self {
        let bench = Bench::new(site, runtime, setup.options, setup.stack, progress, cancel);
        let cautions = cautions::beforehand(setup.options, setup.stack.facts());
        let contenders = Contender::all(setup.options);
        Self { setup, bench, contenders, started, cautions, control: None, result: None }
    }

    async fn all(&mut self) -> Result<(), ScenarioError> {
        let options = self.setup.options;
        let asked = Asked {
            rate_per_s: options.rate_per_s,
            duration: options.duration,
            drain_events: options.drain_events,
            surge: options.surge && options.configs.len() > 1,
        };
        // With every rate given nothing rests on the warm-up.
        let settles = asked.rate_per_s.is_none() || asked.drain_events.is_none() || asked.surge;
        let warmed = warm_up::warm_up(&self.bench, &self.contenders, settles, options.service_time);
        let warm = Box::pin(warmed).await?;
        let rates = rates::fix(&warm, asked, options.sizes);
        self.caution_rates(&rates, &warm, asked);
        if options.control {
            self.control = Some(Box::pin(ControlDrains::size(&self.bench, &self.contenders)).await?);
        }
        self.result = Some(self.empty_result(&rates)?);
        let mut outlook = Outlook::new(options, &rates, &warm, self.control.as_ref());

        let mut draws = ChaCha8Rng::seed_from_u64(options.seed);
        for round in 1..=options.rounds {
            let seed = rand::RngExt::random(&mut draws);
            let mut order: Vec<Turn> = (0..options.configs.len()).map(Turn::Trial).collect();
            if self.control.is_some() {
                order.extend((0..options.configs.len()).map(Turn::Control));
            }
            order.shuffle(&mut draws);
            let plans = Plans::of_round(options, &rates, seed)?;
            // All contenders have the same worker.
            let plans = self.bench.plans(plans, &self.contenders[0], seed)?;
            for (position, turn) in order.into_iter().enumerate() {
                self.bench.progress.left(outlook.left());
                let began = Instant::now();
                let place = Place { round, position: position as u32 + 1, seed };
                match turn {
                    Turn::Trial(index) => {
                        let trial = Box::pin(self.trial(index, place, &plans, &rates)).await?;
                        self.keep(index, trial, plans.drain.mean_value_bytes(), &rates)?;
                    }
                    Turn::Control(index) => {
                        if let Some(control) = &mut self.control {
                            Box::pin(control.drain(&self.bench, &self.contenders[index], index, place))
                                .await?;
                        }
                        self.keep_control()?;
                    }
                }
                outlook.done(turn, began.elapsed());
            }
        }
        if let Some(result) = &mut self.result {
            result.complete = true;
        }
        self.save()
    }

    async fn trial(
        &self,
        index: usize,
        place: Place,
        plans: &Plans,
        rates: &Rates,
    ) -> Result<Trial, ScenarioError> {
        let options = self.setup.options;
        let contender = &self.contenders[index];
        let Place { round, position, seed } = place;
        let spec = Spec {
            name: format!("r{round}.{}", contender.name),
            title: format!("round {round}/{}, {}", options.rounds, contender.name),
            contender,
            round,
            position,
            seed,
            plans,
            rates: Some(rates),
            service_time: options.service_time,
        };
        self.bench.trial(&spec).await
    }

    fn caution_rates(&mut self, rates: &Rates, warm: &[f64], asked: Asked) {
        if asked.surge && rates.surge.is_none() {
            let fastest = warm.iter().copied().fold(0.0, f64::max);
            let slowest = warm.iter().copied().fold(f64::INFINITY, f64::min);
            self.cautions.push(Caution::NoSurge { ratio: fastest / slowest });
        }
        if !rates.sustainable {
            self.cautions.push(Caution::RateTooHigh { rate_per_s: rates.steady_per_s });
        } else if !rates.enough {
            self.cautions.push(Caution::FewSamples { events: rates.steady_events() as u64 });
        }
    }

    fn empty_result(&self, rates: &Rates) -> Result<RunResult, ScenarioError> {
        let options = self.setup.options;
        Ok(RunResult {
            schema_version: SCHEMA_VERSION,
            command: "compare".into(),
            command_line: self.setup.command_line.clone(),
            started_at: self.started.strftime("%Y-%m-%dT%H:%M:%SZ").to_string(),
            complete: false,
            environment: environment::environment()?,
            stack: describe::stack(self.setup.stack, options),
            workload: describe::workload(options, rates, 0.0),
            warnings: Vec::new(),
            passed: true,
            configurations: configurations(options),
            comparisons: Vec::new(),
            control: None,
        })
    }

    /// Takes a trial into the result and saves it.
    fn keep(
        &mut self,
        index: usize,
        trial: Trial,
        value_bytes: f64,
        rates: &Rates,
    ) -> Result<(), ScenarioError> {
        let Some(result) = &mut self.result else { return Ok(()) };
        result.workload.value_bytes = value_bytes.round() as u32;
        result.passed &= trial.verification.passed;
        result.environment.load_max = result.environment.load_max.max(environment::load_average()?);
        let configuration = &mut result.configurations[index];
        configuration.trials.push(trial);
        configuration.summary = summary::summarise(&configuration.trials);
        result.comparisons = summary::comparisons(&result.configurations, rates.comparable());
        let mut cautions = self.cautions.clone();
        cautions.extend(cautions::afterwards(result));
        result.warnings = warnings::once_each(cautions).iter().map(Caution::record).collect();
        self.save()
    }

    /// Takes the control drains so far into the result and saves it.
    fn keep_control(&mut self) -> Result<(), ScenarioError> {
        if let (Some(result), Some(control)) = (&mut self.result, &self.control) {
            let record = control.record();
            result.passed &= record.configurations.iter().flat_map(|c| &c.verifications).all(|v| v.passed);
            result.control = Some(record);
        }
        self.save()
    }

    fn save(&self) -> Result<(), ScenarioError> {
        if let Some(result) = &self.result {
            self.setup.out.save(result)?;
        }
        Ok(())
    }
}

/// The configurations as a result holds them, without trials.
fn configurations(options: &Options) -> Vec<Configuration> {
    let configuration = |lanes: &Lanes| Configuration {
        name: lanes.to_string(),
        partitions: lanes.partitions,
        consumers: lanes.consumers,
        mode: "record".into(),
        trials: Vec::new(),
        summary: summary::summarise(&[]),
    };
    options.configs.iter().map(configuration).collect()
}
