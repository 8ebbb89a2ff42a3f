//! `gate`: candidate against baseline on one stack, in paired rounds, until there is a verdict.
//!
//! Generator, clock and checkers are this program's for both sides; only the worker differs, a process of its own in every
//! trial. What is concluded, and when, is [`crate::gate`]'s.

use std::time::{Duration, Instant};

use rand::{RngExt as _, SeedableRng};
use rand_chacha::ChaCha8Rng;
use tokio_util::sync::CancellationToken;

use super::compare::cautions;
use super::options::{Lanes, Options};
use super::phase::Plans;
use super::rates::{self, Asked, Rates};
use super::site::Site;
use super::trial::{Bench, Contender, Spec};
use super::warnings::{self, Caution};
use super::{Progress, ScenarioError, describe, warm_up};
use crate::gate::{About, Gate, Rules};
use crate::record::file::OutputDir;
use crate::record::gate::{
    GATE_SCHEMA_VERSION, GateRecord, GateRound, GateTrial, Metric, PoolRecord, Side, Values,
};
use crate::record::{Trial, Verification};
use crate::scenario::environment;
use crate::stack::worker::WorkerCommand;
use crate::stack::{Stack, StackError};
use crate::verify;
use crate::worker::LaneRuntime;

/// One of the two that are compared.
pub struct Contestant {
    /// What the record says of it.
    pub side: Side,
    /// How one of its workers is started.
    pub worker: WorkerCommand,
}

/// Everything a gate is given.
pub struct Setup<'a> {
    /// What is offered, and to how many consumers: the first configuration.
    pub options: &'a Options,
    /// What to do it on.
    pub stack: &'a Stack,
    /// What the candidate is compared with.
    pub baseline: &'a Contestant,
    /// What is judged.
    pub candidate: &'a Contestant,
    /// What is judged, and how.
    pub rules: Rules,
    /// No round begins that would, by the mean of those before it, end later than this after the start.
    pub time_limit: Option<Duration>,
    /// The CPUs that all of it runs on; empty for all of the machine's.
    pub cpus: Vec<usize>,
    /// So many rounds without a look, whatever they show; kept as a pool.
    pub pool: Option<u32>,
    /// The command line that repeats the run.
    pub command_line: String,
    /// Where the record is kept after every round.
    pub out: &'a OutputDir,
}

/// How a gate ended.
pub struct Ended {
    /// What was measured by then; `None` if not even one round was finished.
    pub record: Option<GateRecord>,
    /// Whether it was interrupted.
    pub interrupted: bool,
}

/// Runs a gate. Finished rounds are saved in `setup.out` as they come.
///
/// # Errors
/// [`ScenarioError`] for what keeps it from going on, a worker that fails in the warm-up among it. A worker that dies in a
/// round has failed its check of truth, and that is in the record.
pub async fn run(
    setup: Setup<'_>,
    progress: &dyn Progress,
    cancel: &CancellationToken,
) -> Result<Ended, ScenarioError> {
    progress.phase("connecting");
    let began = Began { at: Instant::now(), stamp: jiff::Timestamp::now() };
    let runtime = LaneRuntime::start().map_err(ScenarioError::threads)?;
    let opened = match Site::open(setup.stack.place(), began.stamp, cancel).await {
        Err(ScenarioError::Interrupted) => return Ok(Ended { record: None, interrupted: true }),
        opened => opened?,
    };
    let mut run = Run::new(&setup, &opened, &runtime, began, progress, cancel);
    let ended = Box::pin(run.all()).await;
    let record = run.record.take();
    opened.close(progress).await;
    match ended {
        Ok(()) => Ok(Ended { record, interrupted: false }),
        Err(_) if cancel.is_cancelled() => Ok(Ended { record, interrupted: true }),
        Err(error) => Err(error),
    }
}

#[derive(Clone, Copy)]
struct Began {
    at: Instant,
    stamp: jiff::Timestamp,
}

struct Run<'a> {
    setup: &'a Setup<'a>,
    bench: Bench<'a>,
    /// Baseline, candidate.
    contenders: [Contender<'a>; 2],
    began: Began,
    gate: Gate,
    cautions: Vec<Caution>,
    environment: Option<crate::record::Environment>,
    pool: Vec<GateRound>,
    record: Option<GateRecord>,
}

const BASELINE: usize = 0;
const CANDIDATE: usize = 1;
const NAMES: [&str; 2] = ["baseline", "candidate"];

impl<'a> Run<'a> {
    fn new(
        setup: &'a Setup<'a>,
        site: &'a Site,
        runtime: &'a LaneRuntime,
        began: Began,
        progress: &'a dyn Progress,
        cancel: &'a CancellationToken,
    ) -> Self {
        let bench = Bench::new(site, runtime, setup.options, setup.stack, progress, cancel);
        let lanes = setup.options.configs.first().copied().unwrap_or(Lanes { partitions: 1, consumers: 1 });
        let contender = |name: &str, contestant: &'a Contestant| Contender {
            name: name.into(),
            lanes,
            worker: Some(&contestant.worker),
        };
        let contenders =
            [contender(NAMES[BASELINE], setup.baseline), contender(NAMES[CANDIDATE], setup.candidate)];
        let cautions = cautions::beforehand(setup.options, setup.stack.facts());
        let gate = Gate::new(setup.rules.clone());
        Self {
            setup,
            bench,
            contenders,
            began,
            gate,
            cautions,
            environment: None,
            pool: Vec::new(),
            record: None,
        }
    }

    async fn all(&mut self) -> Result<(), ScenarioError> {
        let options = self.setup.options;
        let asked = Asked {
            rate_per_s: options.rate_per_s,
            duration: options.duration,
            drain_events: options.drain_events,
            surge: false,
        };
        self.environment = Some(environment::environment()?);
        let settles = asked.drain_events.is_none() || self.steady();
        let warmed = warm_up::warm_up(&self.bench, &self.contenders, settles, options.service_time);
        let rates = rates::fix(&Box::pin(warmed).await?, asked, options.sizes);
        let mut draws = ChaCha8Rng::seed_from_u64(options.seed);
        let first = Instant::now();
        for round in 1..=self.setup.pool.unwrap_or(self.gate.design().rounds_max()) {
            if round > 1 && self.no_time_left(first, round - 1) {
                break;
            }
            let (seed, candidate_first) = (draws.random(), draws.random());
            let done = Box::pin(self.round(round, seed, candidate_first, &rates)).await?;
            if self.setup.pool.is_some() {
                self.pool.push(done);
                self.keep_pool(&rates, first.elapsed())?;
                continue;
            }
            let verdict = self.gate.add(done);
            self.keep(&rates)?;
            if verdict.is_some() {
                break;
            }
        }
        Ok(())
    }

    /// Whether anybody asks for a figure of the steady phase; if not, its time is better spent on more rounds.
    fn steady(&self) -> bool {
        self.gate.rules().as_slice().iter().any(|rule| rule.metric == Metric::SteadyP99)
    }

    fn no_time_left(&self, first: Instant, rounds: u32) -> bool {
        let each = first.elapsed() / rounds.max(1);
        self.setup.time_limit.is_some_and(|limit| self.began.at.elapsed() + each > limit)
    }

    async fn round(
        &mut self,
        round: u32,
        seed: u64,
        candidate_first: bool,
        rates: &Rates,
    ) -> Result<GateRound, ScenarioError> {
        let plans = Plans::of_round(self.setup.options, rates, seed)?;
        // Both are measured alike, so either may say whether the worker can be held.
        let mut plans = self.bench.plans(plans, &self.contenders[CANDIDATE], seed)?;
        plans.steady = plans.steady.filter(|_| self.steady());
        let order = if candidate_first { [CANDIDATE, BASELINE] } else { [BASELINE, CANDIDATE] };
        let mut trials = [GateTrial::default(), GateTrial::default()];
        for (position, side) in (1..).zip(order) {
            let next = self.gate.design().looks().iter().map(|look| look.rounds).find(|look| *look >= round);
            let spec = Spec {
                name: format!("r{round}.{}", NAMES[side]),
                title: format!("round {round}, {}; a look after {}", NAMES[side], next.unwrap_or(round)),
                contender: &self.contenders[side],
                round,
                position,
                seed,
                plans: &plans,
                rates: Some(rates),
                service_time: self.setup.options.service_time,
            };
            trials[side] = match self.bench.trial(&spec).await {
                Ok(trial) => {
                    self.cautions.extend(warnings::of_trial(NAMES[side], &trial));
                    taken(trial)
                }
                Err(ScenarioError::Process(error)) if !self.bench.cancel.is_cancelled() => died(&error),
                Err(error) => return Err(error),
            };
        }
        let [baseline, candidate] = trials;
        Ok(GateRound { round, seed, candidate_first, baseline, candidate })
    }

    fn keep_pool(&self, rates: &Rates, took: Duration) -> Result<(), ScenarioError> {
        let Some(environment) = &self.environment else { return Ok(()) };
        let record = PoolRecord {
            schema_version: GATE_SCHEMA_VERSION,
            command_line: self.setup.command_line.clone(),
            environment: environment.clone(),
            stack: describe::stack(self.setup.stack, self.setup.options),
            workload: describe::workload(self.setup.options, rates, 0.0),
            cpus: self.setup.cpus.clone(),
            baseline: self.setup.baseline.side.clone(),
            candidate: self.setup.candidate.side.clone(),
            took_s: took.as_secs_f64(),
            rounds: self.pool.clone(),
        };
        self.setup.out.save_pool(&record)?;
        Ok(())
    }

    fn keep(&mut self, rates: &Rates) -> Result<(), ScenarioError> {
        let options = self.setup.options;
        let Some(environment) = &mut self.environment else { return Ok(()) };
        environment.load_max = environment.load_max.max(environment::load_average()?);
        let cautions = warnings::once_each(self.cautions.clone());
        let about = About {
            command_line: self.setup.command_line.clone(),
            started_at: self.began.stamp.strftime("%Y-%m-%dT%H:%M:%SZ").to_string(),
            took_s: self.began.at.elapsed().as_secs_f64(),
            environment: environment.clone(),
            stack: describe::stack(self.setup.stack, options),
            workload: describe::workload(options, rates, 0.0),
            cpus: self.setup.cpus.clone(),
            baseline: self.setup.baseline.side.clone(),
            candidate: self.setup.candidate.side.clone(),
            warnings: cautions.iter().map(Caution::record).collect(),
        };
        let record = self.gate.record(about);
        self.setup.out.save_gate(&record)?;
        self.record = Some(record);
        Ok(())
    }
}

/// What a gate keeps of a trial.
fn taken(trial: Trial) -> GateTrial {
    let worker = trial.worker.as_ref();
    let p99 = &trial.steady.response_time_ns;
    GateTrial {
        values: Values {
            throughput_per_s: Some(trial.throughput_per_s),
            cpu_ns_per_event: worker.map(|worker| worker.cpu_ns_per_event),
            peak_memory_bytes: worker.map(|worker| worker.peak_memory_bytes as f64),
            steady_p99_ns: (p99.count > 0).then_some(p99.p99 as f64),
        },
        verification: trial.verification,
        noise: Some(trial.noise),
    }
}

/// A trial whose worker ended by itself, or badly: its numbers don't count, and what it left behind can't be checked.
fn died(error: &StackError) -> GateTrial {
    let mut verification = Verification::default();
    verify::note_unfinished(&mut verification, &error.to_string());
    GateTrial { values: Values::default(), verification, noise: None }
}
