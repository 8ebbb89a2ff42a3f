//! `gate`: candidate against baseline on one stack, in paired rounds, until there is a verdict.
//!
//! Generator, clock and checkers are this program's for both sides; only the worker differs, a process of its own in every
//! trial. What is concluded, and when, is [`crate::gate`]'s.

use std::time::{Duration, Instant};

use tokio_util::sync::CancellationToken;

use super::environment::load_average;
use super::options::{Contender, Options};
use super::summary::grows;
use super::{describe, warnings};
use crate::error::RunError;
use crate::gate::{About, Gate, Rules};
use crate::progress::Progress;
use crate::record::file::OutputDir;
use crate::record::gate::{
    GATE_SCHEMA_VERSION, GateRecord, GateRound, GateTrial, Metric, PoolRecord, Side, Values,
};
use crate::record::{Environment, PhaseKind, Trial, Verification};
use crate::rounds::rates::{self, Sizes};
use crate::rounds::warm_up::{WarmUpSpec, WarmedUp, warm_up};
use crate::rounds::{self, Job, Outcome, TrialPlace, Turn, in_session, warmed_by_itself};
use crate::stack::worker::WorkerCommand;
use crate::stack::{Stack, StackError};
use crate::trial::TrialRunner;
use crate::trial::phase::plan;
use crate::trial::slices::SLICE_MS;
use crate::verify;

/// One of the two that are compared.
pub struct GateSide {
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
    /// The machine and the program, as they were before any load of ours.
    pub environment: Environment,
    /// What the candidate is compared with.
    pub baseline: &'a GateSide,
    /// What is judged.
    pub candidate: &'a GateSide,
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

/// Runs a gate. Finished rounds are saved in `setup.out` as they come.
///
/// # Errors
/// [`RunError`] for what keeps it from going on, a worker that fails in the warm-up among it. A worker that dies in a
/// round has failed its check of truth, and that is in the record.
pub async fn run(
    setup: Setup<'_>,
    progress: &dyn Progress,
    cancel: &CancellationToken,
) -> Result<Outcome<GateRecord>, RunError> {
    let begun = Instant::now();
    in_session(setup.stack, false, progress, cancel, async |session, started| {
        let runner = session.runner(setup.options.trial, setup.stack, progress, cancel);
        let second = match session.second(setup.stack, cancel).await {
            Ok(second) => second,
            Err(error) => return (None, Err(error)),
        };
        let beside = second.runner(setup.options.trial, setup.stack, &(), cancel);
        let mut gate = None;
        let began = Began { at: begun, stamp: started };
        let ended = Box::pin(all(&setup, &runner, beside, began, cancel, &mut gate)).await;
        let record = gate.and_then(|gate: Rounds<'_>| gate.record);
        second.close(progress).await;
        (record, ended)
    })
    .await
}

async fn all<'a>(
    setup: &'a Setup<'a>,
    runner: &TrialRunner<'_>,
    beside: TrialRunner<'a>,
    began: Began,
    cancel: &'a CancellationToken,
    gate: &mut Option<Rounds<'a>>,
) -> Result<(), RunError> {
    let options = setup.options;
    let judge = Gate::new(setup.rules.clone());
    // Whether anybody asks for a figure of the steady phase; if not, its time is better spent on more rounds.
    let steady = judge.rules().as_slice().iter().any(|rule| rule.metric == Metric::SteadyP99);
    let sizes = if steady { options.sizes } else { Sizes { steady_events: 0.0, ..options.sizes } };
    let [baseline, candidate] = [setup.baseline, setup.candidate];
    let contender = |name: &str, side: &GateSide| Contender {
        name: name.into(),
        worker: Some(side.worker.clone()),
        each_a_process: false,
        ..options.contenders[0].clone()
    };
    let contenders = [contender(NAMES[BASELINE], baseline), contender(NAMES[CANDIDATE], candidate)];
    let spec = WarmUpSpec {
        contenders: &contenders,
        draw: options.draw,
        requested: options.requested,
        sizes,
        limit: options.warm_up_limit(began.at),
        worker_warm_up: options.worker_warm_up,
    };
    let warmed = Box::pin(warm_up(runner, &spec)).await?;
    let rounds = gate.insert(Rounds {
        setup,
        beside,
        sizes,
        contenders: contenders.clone(),
        warmed,
        began,
        first: Instant::now(),
        cancel,
        gate: judge,
        found: warnings::beforehand(
            options,
            setup.stack.facts(),
            setup.environment.cores,
            !setup.cpus.is_empty(),
        ),
        environment: setup.environment.clone(),
        order: Vec::new(),
        present: [GateTrial::default(), GateTrial::default()],
        pool: Vec::new(),
        record: None,
    });
    Box::pin(rounds::run(runner, options.seed, rounds)).await
}

#[derive(Clone, Copy)]
struct Began {
    at: Instant,
    stamp: jiff::Timestamp,
}

/// A gate at work.
struct Rounds<'a> {
    setup: &'a Setup<'a>,
    /// What runs the second trial of a round, while the first is run.
    beside: TrialRunner<'a>,
    sizes: Sizes,
    /// Baseline, candidate.
    contenders: [Contender; 2],
    warmed: WarmedUp,
    began: Began,
    /// When the first round began.
    first: Instant,
    cancel: &'a CancellationToken,
    gate: Gate,
    found: Vec<warnings::Seen>,
    environment: Environment,
    /// The sides of the present round whose trial has ended, in order.
    order: Vec<(usize, u64)>,
    /// Their trials.
    present: [GateTrial; 2],
    pool: Vec<GateRound>,
    record: Option<GateRecord>,
}

const BASELINE: usize = 0;
const CANDIDATE: usize = 1;
const NAMES: [&str; 2] = ["baseline", "candidate"];

impl Job for Rounds<'_> {
    /// Nobody knows: as many as the looks take.
    fn rounds(&self) -> Option<u32> {
        self.setup.pool
    }

    fn beside(&self) -> Option<&TrialRunner<'_>> {
        Some(&self.beside)
    }

    fn turns(&mut self, round: u32, seed: u64) -> Result<Vec<Turn>, RunError> {
        let options = self.setup.options;
        let rates = &self.warmed.record.rates;
        let shared =
            plan(rates::phases(rates, &self.warmed.capacities, self.sizes, None), options.draw, seed)?;
        let next = self.gate.design().looks().iter().map(|look| look.rounds).find(|look| *look >= round);
        let mut turns = Vec::new();
        for (side, contender) in self.contenders.iter().enumerate() {
            let mut phases = plan(warmed_by_itself(contender, options.worker_warm_up), options.draw, seed)?;
            phases.extend(shared.iter().cloned());
            turns.push(Turn {
                key: side,
                name: format!("r{round}.{}", contender.name),
                title: format!("round {round}; a look after {}", next.unwrap_or(round)),
                contender: contender.clone(),
                phases,
                expected: rates::length(rates, self.warmed.capacities[side], self.sizes, None)
                    + self.warmed.around,
            });
        }
        self.order.clear();
        Ok(turns)
    }

    fn keep(
        &mut self,
        key: usize,
        place: TrialPlace,
        trial: Result<Trial, RunError>,
    ) -> Result<(), RunError> {
        self.present[key] = match trial {
            Ok(trial) => {
                self.found.extend(warnings::of_trial(NAMES[key], &trial, self.environment.cores));
                self.found.extend(warnings::overloaded(NAMES[key], &trial));
                taken(trial)
            }
            Err(RunError::Process(error)) if !self.cancel.is_cancelled() => died(&error),
            Err(error) => return Err(error.of(NAMES[key])),
        };
        self.order.push((key, place.seed));
        Ok(())
    }

    fn goes_on(&mut self, round: u32) -> Result<bool, RunError> {
        let [baseline, candidate] = std::mem::take(&mut self.present);
        let (first, seed) = self.order.first().copied().unwrap_or((BASELINE, 0));
        let done = GateRound { round, seed, candidate_first: first == CANDIDATE, baseline, candidate };
        let most = self.setup.pool.unwrap_or(self.gate.design().rounds_max());
        let decided = if self.setup.pool.is_some() {
            self.pool.push(done);
            self.save_pool()?;
            false
        } else {
            let verdict = self.gate.add(done);
            self.save()?;
            verdict.is_some()
        };
        Ok(!decided && round < most && !self.has_no_time_left(round))
    }
}

impl Rounds<'_> {
    fn has_no_time_left(&self, rounds: u32) -> bool {
        let each = self.first.elapsed() / rounds.max(1);
        self.setup.time_limit.is_some_and(|limit| self.began.at.elapsed() + each > limit)
    }

    fn save_pool(&self) -> Result<(), RunError> {
        let record = PoolRecord {
            schema_version: GATE_SCHEMA_VERSION,
            command_line: self.setup.command_line.clone(),
            environment: self.environment.clone(),
            stack: describe::stack(self.setup.stack, self.setup.options),
            workload: describe::workload(self.setup.options, self.pool.len() as u32),
            configuration: self.setup.options.contenders[0].name.clone(),
            warm_up: self.warmed.record.clone(),
            turn_ms: Some(SLICE_MS),
            cpus: self.setup.cpus.clone(),
            baseline: self.setup.baseline.side.clone(),
            candidate: self.setup.candidate.side.clone(),
            took_s: self.first.elapsed().as_secs_f64(),
            rounds: self.pool.clone(),
        };
        self.setup.out.save_pool(&record)?;
        Ok(())
    }

    fn save(&mut self) -> Result<(), RunError> {
        self.environment.load_max = self.environment.load_max.max(load_average()?);
        let mut found = self.found.clone();
        found.extend(warnings::not_settled(&self.warmed.record).map(|kind| (kind, None)));
        let about = About {
            command_line: self.setup.command_line.clone(),
            started_at: self.began.stamp.strftime("%Y-%m-%dT%H:%M:%SZ").to_string(),
            took_s: self.began.at.elapsed().as_secs_f64(),
            environment: self.environment.clone(),
            stack: describe::stack(self.setup.stack, self.setup.options),
            workload: describe::workload(self.setup.options, 0),
            configuration: self.setup.options.contenders[0].name.clone(),
            warm_up: self.warmed.record.clone(),
            turn_ms: Some(SLICE_MS),
            cpus: self.setup.cpus.clone(),
            baseline: self.setup.baseline.side.clone(),
            candidate: self.setup.candidate.side.clone(),
            warnings: warnings::record(found),
        };
        let record = self.gate.record(about);
        self.setup.out.save_gate(&record)?;
        self.record = Some(record);
        Ok(())
    }
}

/// What a gate keeps of a trial.
fn taken(trial: Trial) -> GateTrial {
    let drain = trial.phase(PhaseKind::Drain);
    // Of a backlog that grows a percentile says how long the phase was.
    let steady = trial.phase(PhaseKind::Steady).filter(|steady| !grows(steady));
    let response = steady.and_then(|steady| steady.response_time_ns.as_ref());
    GateTrial {
        values: Values {
            throughput_per_s: drain.map(|drain| drain.throughput_per_s),
            cpu_ns_per_event: drain.and_then(|drain| Some(drain.worker.as_ref()?.cpu_ns_per_event)),
            peak_memory_bytes: trial
                .worker
                .as_ref()
                .and_then(|worker| Some(worker.peak_memory_bytes? as f64)),
            steady_p99_ns: response.map(|response| response.p99 as f64),
        },
        noise: drain.map(|drain| drain.noise.clone()),
        verification: trial.verification,
    }
}

/// A trial whose worker ended by itself, or badly: its numbers don't count, and what it left behind can't be checked.
fn died(error: &StackError) -> GateTrial {
    let mut verification = Verification::default();
    verify::note_unfinished(&mut verification, &error.to_string());
    GateTrial { values: Values::default(), verification, noise: None }
}
