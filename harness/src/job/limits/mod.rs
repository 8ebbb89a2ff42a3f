//! `limits`: what each component of a stack can do alone. Each measurement is made once a round, in random order; the first round is not counted.
//!
//! Nothing is judged here: a limit is an estimate over the rounds, or the reason why there is none.

use std::time::{Duration, Instant};

use rand::SeedableRng as _;
use rand::seq::SliceRandom as _;
use rand_chacha::ChaCha8Rng;
use tokio_util::sync::CancellationToken;

use super::describe;
use super::environment::load_average;
use super::options::{Key, Through, TrialOptions};
use crate::error::RunError;
use crate::progress::Progress;
use crate::record::Environment;
use crate::record::file::OutputDir;
use crate::record::limits::{LIMITS_SCHEMA_VERSION, Limit, LimitsRecord};
use crate::rounds::{Outcome, in_session};
use crate::stack::{Stack, StackKind};
use crate::trial::TrialRunner;
use crate::workload::plan::VALUE_BYTES_DEFAULT;

mod broker;
mod context;
mod fsync;
mod generator;
mod measurement;
mod store;
mod tally;
mod view;

use context::contender;
pub(in crate::job) use context::{MeasurementContext, MeasurementLength};
pub(in crate::job) use measurement::{BULK_ROWS, Measurement, Replicas};
pub(in crate::job) use tally::{Tally, limits};

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
    /// Connections to the store and to the view, and partitions of the topic, where several work side by side.
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

    fn replicas(&self) -> Replicas {
        Replicas { replication: self.replication, min_isr: self.min_isr }
    }
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
        stack: describe::stack_of(setup.stack, Some(&contender(1, options.replicas()))),
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

/// Runs all rounds.
async fn all(setup: &Setup<'_>, runner: &TrialRunner<'_>, record: &mut LimitsRecord) -> Result<(), RunError> {
    let (options, stack, progress) = (setup.options, setup.stack, runner.progress);
    let mut tallies: Vec<Tally> = Measurement::all(options.connections, options.replicas())
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
        let measurements: Vec<_> =
            order.iter().map(|&index| (tallies[index].measurement, options.length())).collect();
        let which = if round == 0 { "warm-up".into() } else { format!("round {round}/{}", options.rounds) };
        let begins = |measurement: Measurement| {
            progress.phase(&format!("{which}: {measurement}"));
            if done > 0 {
                progress.left(begun.elapsed() / done * (all - done));
            }
            done += 1;
        };
        let (name, directory) = (format!("limits.{round}"), stack.data_directory());
        let context =
            MeasurementContext::open(runner, name, options.replicas(), options.seed, directory).await?;
        let found = Box::pin(context.measure_all(&measurements, begins)).await?;
        if round == 0 {
            continue;
        }
        for (index, rates) in order.into_iter().zip(found) {
            tallies[index].add(&rates);
        }
        record.limits = limits(&tallies);
        record.environment.load_max = record.environment.load_max.max(load_average()?);
        setup.out.save_limits(record)?;
    }
    record.complete = true;
    setup.out.save_limits(record)?;
    Ok(())
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
