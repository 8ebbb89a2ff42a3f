//! `limits`: what each component of a stack can do alone. Each measurement is made once a round, in random order; the first round is not counted.
//!
//! Nothing is judged here: a limit is an estimate over the rounds, or the reason why there is none.

use std::time::{Duration, Instant};

use payment_delivery::consumer::Mode;
use rand::SeedableRng as _;
use rand::seq::SliceRandom as _;
use rand_chacha::ChaCha8Rng;
use tokio::task::{JoinError, JoinSet};
use tokio_util::sync::CancellationToken;

use super::describe;
use super::environment::load_average;
use super::options::{Contender, Key, Lanes, Through, TrialOptions};
use crate::error::RunError;
use crate::progress::Progress;
use crate::record::Environment;
use crate::record::file::OutputDir;
use crate::record::limits::{LIMITS_SCHEMA_VERSION, Limit, LimitsRecord};
use crate::rounds::{Outcome, in_session};
use crate::stack::{Stack, StackKind};
use crate::trial::TrialRunner;
use crate::workload::plan::VALUE_BYTES_DEFAULT;
use crate::workspace::TrialWorkspace;

mod broker;
mod fsync;
mod generator;
mod measurement;
mod store;
mod tally;
mod view;

use measurement::Measurement;
use tally::{Tally, limits};

/// How topics and rows are used: as in a comparison.
const TRIAL: TrialOptions =
    TrialOptions { through: Through::Kafka, key: Key::OrderId, throttle: None, keep: false };

/// The part of a measurement's length that is added before it, as warm-up.
const WARM_UP_PART: f64 = 0.25;

/// What is asked for.
#[derive(Clone, Copy, Debug)]
pub struct LimitsOptions {
    /// How often each measurement is made.
    pub rounds: u32,
    /// How long each takes, without its warm-up.
    pub duration: Duration,
    /// Connections to the store, and partitions of the topic, where several work side by side.
    pub connections: u32,
    /// Of events, and of the order of measurements.
    pub seed: u64,
    /// Replicas of each partition.
    pub replication: i16,
    /// `min.insync.replicas`.
    pub min_isr: i16,
}

impl LimitsOptions {
    fn length(&self) -> MeasurementLength {
        MeasurementLength { warm_up: self.duration.mul_f64(WARM_UP_PART), counted: self.duration }
    }

    /// Whose topic has so many partitions.
    fn contender(&self, partitions: u32) -> Contender {
        let lanes = Lanes { partitions: partitions as i32, consumers: 1, mode: Mode::Record };
        Contender {
            name: lanes.to_string(),
            lanes,
            replication: self.replication,
            min_isr: self.min_isr,
            service_time: Duration::ZERO,
            worker: None,
            each_a_process: false,
            settings: [].into(),
        }
    }
}

/// How long a measurement takes.
#[derive(Clone, Copy, Debug)]
struct MeasurementLength {
    /// What is done first, in the same way, and not counted.
    warm_up: Duration,
    counted: Duration,
}

/// Everything that a run is given.
pub struct Setup<'a> {
    /// What is asked for.
    pub options: &'a LimitsOptions,
    /// What is measured.
    pub stack: &'a Stack,
    /// The machine and the program, as they were before any load of ours.
    pub environment: Environment,
    /// The command line that repeats the run.
    pub command_line: String,
    /// Where the record is kept after every round.
    pub out: &'a OutputDir,
}

/// Measures all limits. Finished rounds are saved in `setup.out` as they come, so an interruption keeps them.
///
/// # Errors
/// [`RunError`] for what keeps it from going on.
pub async fn run(
    setup: Setup<'_>,
    progress: &dyn Progress,
    cancel: &CancellationToken,
) -> Result<Outcome<LimitsRecord>, RunError> {
    in_session(setup.stack, TRIAL.keep, progress, cancel, async |session, started| {
        let runner = session.runner(TRIAL, setup.stack, progress, cancel);
        let mut record = begun(&setup, started);
        let ended = Box::pin(all(&setup, &runner, &mut record)).await;
        (Some(record).filter(has_a_round), ended)
    })
    .await
}

fn begun(setup: &Setup<'_>, started: jiff::Timestamp) -> LimitsRecord {
    let options = setup.options;
    LimitsRecord {
        schema_version: LIMITS_SCHEMA_VERSION,
        command: "limits".into(),
        command_line: setup.command_line.clone(),
        started_at: started.strftime("%Y-%m-%dT%H:%M:%SZ").to_string(),
        complete: false,
        environment: setup.environment.clone(),
        stack: describe::stack_of(setup.stack, Some(&options.contender(1))),
        seed: options.seed,
        rounds: options.rounds,
        measurement_s: options.duration.as_secs_f64(),
        value_bytes: VALUE_BYTES_DEFAULT as u32,
        limits: Vec::new(),
    }
}

fn has_a_round(record: &LimitsRecord) -> bool {
    record.limits.iter().any(|limit: &Limit| limit.estimate.is_some())
}

/// Runs all rounds at one place of the stack, and clears it however they end.
async fn all(setup: &Setup<'_>, runner: &TrialRunner<'_>, record: &mut LimitsRecord) -> Result<(), RunError> {
    let trial = runner.workspace.trial("limits", &setup.options.contender(1)).await?;
    let context = LimitsContext { setup, runner, trial: &trial };
    let ended = Box::pin(context.rounds(record)).await;
    runner.workspace.clear(&trial).await;
    ended?;
    record.complete = true;
    setup.out.save_limits(record)?;
    Ok(())
}

/// What measurements work with.
struct LimitsContext<'a> {
    setup: &'a Setup<'a>,
    runner: &'a TrialRunner<'a>,
    /// Whose rows and statuses they write.
    trial: &'a TrialWorkspace,
}

impl LimitsContext<'_> {
    async fn rounds(&self, record: &mut LimitsRecord) -> Result<(), RunError> {
        let (options, stack, progress) = (self.setup.options, self.setup.stack, self.runner.progress);
        let mut tallies: Vec<Tally> = Measurement::all(options.connections)
            .into_iter()
            .map(|measurement| Tally::new(measurement, not_measured(measurement, stack)))
            .collect();
        let measured: Vec<usize> = (0..tallies.len()).filter(|&index| tallies[index].is_measured()).collect();
        let mut draws = ChaCha8Rng::seed_from_u64(options.seed);
        let all = measured.len() as u32 * (1 + options.rounds);
        let (begun, mut done) = (Instant::now(), 0_u32);
        // The first is not counted: brokers and caches are cold.
        for round in 0..=options.rounds {
            let mut order = measured.clone();
            order.shuffle(&mut draws);
            let mut found = Vec::new();
            for index in order {
                let measurement = tallies[index].measurement;
                let which =
                    if round == 0 { "warm-up".into() } else { format!("round {round}/{}", options.rounds) };
                progress.phase(&format!("{which}: {measurement}"));
                found.push((index, Box::pin(self.measure(measurement, round)).await?));
                done += 1;
                progress.left(begun.elapsed() / done * (all - done));
            }
            if round == 0 {
                continue;
            }
            for (index, rates) in found {
                tallies[index].add(&rates);
            }
            record.limits = limits(&tallies);
            record.environment.load_max = record.environment.load_max.max(load_average()?);
            self.setup.out.save_limits(record)?;
        }
        Ok(())
    }

    /// Makes one measurement: a rate for each of its limits, a second.
    async fn measure(&self, measurement: Measurement, round: u32) -> Result<Vec<f64>, RunError> {
        let (options, cancel) = (self.setup.options, self.runner.cancel);
        let (length, seed) = (options.length(), options.seed);
        let (trial, rows) = (self.trial, &self.trial.rows);
        let rate = match measurement {
            Measurement::Broker { partitions } => {
                return Box::pin(broker::rates(self, partitions, round)).await;
            }
            Measurement::Fsync => {
                let Some(directory) = self.setup.stack.data_directory() else { return Ok(Vec::new()) };
                self.until_cancelled(Box::pin(fsync::rate(directory, length, cancel))).await?
            }
            Measurement::Store { connections } => {
                self.until_cancelled(Box::pin(store::rate(rows, connections, length, seed))).await?
            }
            Measurement::StoreBulk { rows: per_call } => {
                self.until_cancelled(Box::pin(store::bulk_rate(rows, per_call, length, seed))).await?
            }
            Measurement::View => self.until_cancelled(Box::pin(view::rate(trial, length))).await?,
            Measurement::ViewPipelined => {
                self.until_cancelled(Box::pin(view::pipelined_rate(trial, length))).await?
            }
            Measurement::Generator => {
                self.until_cancelled(Box::pin(generator::rate(length, seed, cancel))).await?
            }
        };
        Ok(vec![rate])
    }

    async fn until_cancelled<T>(
        &self,
        work: impl Future<Output = Result<T, RunError>>,
    ) -> Result<T, RunError> {
        self.runner.cancel.run_until_cancelled(work).await.ok_or(RunError::Interrupted)?
    }
}

/// Why a measurement can't be made on this stack; `None` where it can.
fn not_measured(measurement: Measurement, stack: &Stack) -> Option<&'static str> {
    if measurement != Measurement::Fsync || stack.data_directory().is_some() {
        return None;
    }
    Some(match stack.kind() {
        StackKind::Embedded => "the embedded stack syncs nothing to a disk",
        StackKind::Containers => "the data lie inside the containers",
        StackKind::External | StackKind::Native => "the data lie where lanebench can't write",
    })
}

/// Runs `work` as a task of its own, as a consumer is one. Dropped, it ends the task.
async fn on_a_worker<T: Send + 'static>(
    work: impl Future<Output = Result<T, RunError>> + Send + 'static,
) -> Result<T, RunError> {
    let mut task = JoinSet::new();
    task.spawn(work);
    task.join_next().await.ok_or(RunError::Interrupted)?.map_err(panicked)?
}

fn panicked(error: JoinError) -> RunError {
    RunError::System { what: "a measurement did not come to its end", source: std::io::Error::other(error) }
}
