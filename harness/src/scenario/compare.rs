//! `compare`: warm-up, rounds in random order, summary. What it measures is in METHOD order: truth before speed.

use std::time::{Duration, Instant};

use rand::SeedableRng;
use rand::seq::SliceRandom;
use rand_chacha::ChaCha8Rng;
use tokio_util::sync::CancellationToken;

use super::lanes::LaneRuntime;
use super::options::{Lanes, Options};
use super::phase::Plans;
use super::rates::{self, Asked, Rates};
use super::site::Site;
use super::trial::{Bench, Spec};
use super::warnings::{self, Caution};
use super::{Progress, ScenarioError, describe, summary};
use crate::measure::{environment, noise};
use crate::record::file::OutputDir;
use crate::record::{Configuration, RunResult, SCHEMA_VERSION, Trial};
use crate::stack::{Endpoints, Facts, Pids, StackKind};

/// Events of the first warm-up drain of each configuration: enough to wake every component.
const FIRST_WARM_UP: u64 = 1500;
/// Each later warm-up drain lasts about this long.
const WARM_DRAIN: Duration = Duration::from_millis(1500);
/// Warm-up goes on until no configuration's throughput changes by more than this part from one pass to the next …
const STEADY_WITHIN: f64 = 0.15;
/// … or for this long: brokers on a small machine are warm by then, or never.
const WARM_UP_LIMIT: Duration = Duration::from_secs(30);
/// A fastest drain below this is warned of (METHOD.md asks for 1.5 s; a little less is chance).
const SHORT_DRAIN_S: f64 = 1.35;

/// Everything a comparison is given.
pub struct Setup<'a> {
    /// What to do.
    pub options: &'a Options,
    /// Where the components are.
    pub endpoints: Endpoints,
    /// Their processes, as far as they are ours.
    pub pids: Pids,
    /// Which stack it is.
    pub stack: StackKind,
    /// What is known of it.
    pub facts: &'a Facts,
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
    let run_id = format!("lanebench_{}_{}", started.strftime("%Y%m%dt%H%M%S"), std::process::id());
    let opened = tokio::select! {
        opened = Site::open(setup.endpoints.clone(), run_id) => opened?,
        () = cancel.cancelled() => return Ok(Ended { result: None, interrupted: true }),
    };
    let runtime = LaneRuntime::start()?;
    let mut run = Run::new(&setup, &opened, &runtime, started, progress, cancel);
    let ended = run.all().await;
    let result = run.result.filter(|r| r.configurations.iter().any(|c| !c.trials.is_empty()));
    if !setup.options.keep {
        opened.close().await;
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
    started: jiff::Timestamp,
    cautions: Vec<Caution>,
    result: Option<RunResult>,
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
        let bench = Bench { site, runtime, options: setup.options, pids: &setup.pids, progress, cancel };
        Self { setup, bench, started, cautions: beforehand(setup.options), result: None }
    }

    async fn all(&mut self) -> Result<(), ScenarioError> {
        let options = self.setup.options;
        let asked = Asked {
            rate_per_s: options.rate_per_s,
            duration: options.duration,
            drain_events: options.drain_events,
            surge: options.surge && options.configs.len() > 1,
        };
        let warm = self.warm_up(asked).await?;
        let rates = rates::fix(&warm, asked);
        self.caution_rates(&rates, &warm, asked);
        self.result = Some(self.empty_result(&rates)?);

        let mut draws = ChaCha8Rng::seed_from_u64(options.seed);
        for round in 1..=options.rounds {
            let seed = rand::RngExt::random(&mut draws);
            let mut order: Vec<usize> = (0..options.configs.len()).collect();
            order.shuffle(&mut draws);
            let plans = Plans::of_round(options, &rates, seed)?;
            for (position, index) in order.into_iter().enumerate() {
                let lanes = options.configs[index];
                let spec = Spec {
                    name: format!("r{round}.{lanes}"),
                    title: format!("round {round} of {}, {lanes}", options.rounds),
                    lanes,
                    round,
                    position: position as u32 + 1,
                    seed,
                    plans: &plans,
                    rates: Some(&rates),
                };
                let trial = self.bench.trial(&spec).await?;
                self.keep(index, trial, plans.drain.mean_value_bytes(), &rates)?;
            }
        }
        if let Some(result) = &mut self.result {
            result.complete = true;
        }
        self.save()
    }

    /// Discarded drains of each configuration, pass by pass, until throughput no longer rises. The last pass, in
    /// events/s, fixes all rates.
    async fn warm_up(&self, asked: Asked) -> Result<Vec<f64>, ScenarioError> {
        let begun = Instant::now();
        let configs = &self.setup.options.configs;
        let mut rates: Vec<Option<f64>> = vec![None; configs.len()];
        for pass in 1.. {
            let mut settled = true;
            for (rate, lanes) in rates.iter_mut().zip(configs) {
                let events = rate.map_or(FIRST_WARM_UP, |rate| {
                    (rate * WARM_DRAIN.as_secs_f64()).clamp(500.0, 50_000.0) as u64
                });
                let now = self.warm(*lanes, pass, events).await?;
                settled &= rate.is_some_and(|before| (now / before - 1.0).abs() <= STEADY_WITHIN);
                *rate = Some(now);
            }
            // With every rate given, one pass that wakes the components is enough.
            let given = asked.rate_per_s.is_some() && asked.drain_events.is_some() && !asked.surge;
            if settled || given || begun.elapsed() >= WARM_UP_LIMIT {
                break;
            }
        }
        Ok(rates.into_iter().flatten().collect())
    }

    async fn warm(&self, lanes: Lanes, pass: u32, events: u64) -> Result<f64, ScenarioError> {
        let plans = Plans::backlog(self.setup.options, events, u64::from(pass))?;
        let spec = Spec {
            name: format!("w{pass}.{lanes}"),
            title: format!("warm-up {pass}, {lanes}"),
            lanes,
            round: 0,
            position: 0,
            seed: u64::from(pass),
            plans: &plans,
            rates: None,
        };
        let trial = self.bench.trial(&spec).await?;
        if trial.throughput_per_s > 0.0 {
            Ok(trial.throughput_per_s)
        } else {
            Err(ScenarioError::Load(format!("the warm-up of {lanes} made no event visible")))
        }
    }

    fn caution_rates(&mut self, rates: &Rates, warm: &[f64], asked: Asked) {
        if asked.surge && rates.surge.is_none() {
            let fastest = warm.iter().copied().fold(0.0, f64::max);
            let slowest = warm.iter().copied().fold(f64::INFINITY, f64::min);
            self.cautions.push(Caution::NoSurge { ratio: fastest / slowest });
        }
        if !rates.comparable {
            self.cautions.push(Caution::RateTooHigh { rate_per_s: rates.steady_per_s });
        }
    }

    fn empty_result(&self, rates: &Rates) -> Result<RunResult, ScenarioError> {
        let options = self.setup.options;
        let configurations = options.configs.iter().map(|lanes| Configuration {
            name: lanes.to_string(),
            partitions: lanes.partitions,
            consumers: lanes.consumers,
            mode: "record".into(),
            trials: Vec::new(),
            summary: summary::summarise(&[]),
        });
        Ok(RunResult {
            schema_version: SCHEMA_VERSION,
            command: "compare".into(),
            command_line: self.setup.command_line.clone(),
            started_at: self.started.strftime("%Y-%m-%dT%H:%M:%SZ").to_string(),
            complete: false,
            environment: environment::environment()?,
            stack: describe::stack(self.setup.stack, self.setup.facts, options),
            workload: describe::workload(options, rates, 0.0),
            warnings: Vec::new(),
            passed: true,
            configurations: configurations.collect(),
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
        result.comparisons = summary::comparisons(&result.configurations, rates.comparable);
        let mut cautions = self.cautions.clone();
        cautions.extend(afterwards(result));
        result.warnings = warnings::once_each(cautions).iter().map(Caution::record).collect();
        self.save()
    }

    fn save(&self) -> Result<(), ScenarioError> {
        if let Some(result) = &self.result {
            self.setup.out.save(result)?;
        }
        Ok(())
    }
}

/// Cautions that are known from the options alone.
fn beforehand(options: &Options) -> Vec<Caution> {
    let mut cautions = Vec::new();
    if cfg!(debug_assertions) {
        cautions.push(Caution::DebugBuild);
    }
    if !options.service_time.is_zero() {
        cautions.push(Caution::ModelledWork { service_time_ms: options.service_time.as_secs_f64() * 1e3 });
    }
    for lanes in &options.configs {
        let idle = lanes.consumers.saturating_sub(lanes.partitions.unsigned_abs());
        if idle > 0 {
            cautions.push(Caution::IdleConsumers { config: lanes.to_string(), idle });
        }
    }
    cautions.extend(options.inject.map(|kind| Caution::Injected { what: describe::kebab(&kind) }));
    cautions.extend(options.throttle.map(|part| Caution::Throttled { what: describe::kebab(&part) }));
    cautions
}

/// Cautions that show in the trials so far.
fn afterwards(result: &RunResult) -> Vec<Caution> {
    let mut cautions = Vec::new();
    if result.stack.store.settings.get("fsync").is_some_and(|fsync| fsync == "off") {
        cautions.push(Caution::FsyncOff);
    }
    let rounds = result.configurations.iter().map(|c| c.trials.len()).min().unwrap_or(0);
    if rounds < 3 {
        cautions.push(Caution::TooFewRounds { rounds });
    }
    for configuration in &result.configurations {
        for trial in &configuration.trials {
            cautions.extend(warnings::of_trial(&configuration.name, trial));
            let foreign = noise::foreign_cpu(&trial.resources, result.environment.cores);
            let busy = noise::host_was_busy(&trial.noise, foreign);
            cautions.extend(busy.map(|what| Caution::HostBusy { what }));
        }
    }
    cautions.extend(short_drain(result));
    cautions.extend(shared_bottleneck(result));
    cautions
}

fn short_drain(result: &RunResult) -> Option<Caution> {
    let drains =
        result.configurations.iter().flat_map(|c| c.trials.iter().map(move |t| (&c.name, t.drain_s)));
    let (config, drain_s) = drains.min_by(|a, b| a.1.total_cmp(&b.1))?;
    (drain_s < SHORT_DRAIN_S).then(|| Caution::ShortDrain { config: config.clone(), drain_s })
}

/// The part that held every trial of every configuration back, where more lanes hardly helped.
fn shared_bottleneck(result: &RunResult) -> Option<Caution> {
    const HARDLY: f64 = 1.4;
    let mut names =
        result.configurations.iter().flat_map(|c| c.trials.iter().map(|t| t.bottleneck.name.as_str()));
    let part = names.next()?;
    let shared = matches!(part, "store" | "view" | "broker") && names.all(|name| name == part);
    let helped = result.comparisons.iter().any(|c| c.metric == "throughput_per_s" && c.ratio.value >= HARDLY);
    (shared && !helped && result.configurations.len() > 1)
        .then(|| Caution::SharedBottleneck { part: part.into() })
}
