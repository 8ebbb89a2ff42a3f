//! The instrument proves itself. Its checks: each fault that is planted into a worker must be named, and a trial without one must have no
//! finding. Its clock: response times must be those that are known beforehand, and time that is added must come out where it was added.

use std::path::PathBuf;

use payment_delivery::consumer::Mode;
use serde::Serialize;
use tokio_util::sync::CancellationToken;

use super::options::{Draw, Key, Lanes, Through, TrialOptions};
use crate::contender::Contender;
use crate::error::RunError;
use crate::progress::Progress;
use crate::rounds::Session;
use crate::stack::Stack;
use crate::stack::worker::WorkerCommand;
use crate::workload::{Arrivals, Keys};

mod clock;
mod cost;
mod dose;
mod lindley;
mod service;
mod truth;

pub use clock::{ClockCase, MEDIAN_WITHIN_MS, TAIL_WITHIN_MS};
pub use cost::{CostPair, Drained};
pub use dose::{COVERAGE_MIN, DoseResponse, DoseTrial, DosedPlace, SLOPE_WITHIN};
pub use service::ServiceTimes;
pub use truth::{FaultTrial, FaultVerdict, Planting};

/// What is to be proven, and how often.
#[derive(Clone, Debug)]
pub struct SelftestOptions {
    /// The binary whose worker gets the faults.
    pub program: PathBuf,
    /// Which faults.
    pub plantings: Vec<Planting>,
    /// How often each is planted.
    pub times: u32,
    /// Trials without a fault.
    pub clean: u32,
    /// Replicas of each partition, and `min.insync.replicas`.
    pub replicas: (i16, i16),
    /// Of all that is drawn.
    pub seed: u64,
    /// Whether the clock is tested.
    pub clock: bool,
    /// Rounds in which time is added at each place, on the embedded stack.
    pub dose_rounds: u32,
    /// Pairs of drains of which one is counted by the database and one is not, for what that costs.
    pub cost: u32,
    /// By this part consumers take longer than they say (to see the clock's test fail).
    pub service_slower_by: f64,
    /// Response times are taken from the send on (to see the clock's test fail).
    pub clock_from_send: bool,
}

/// What was proven, trial by trial.
#[derive(Clone, Debug, Serialize)]
pub struct SelftestReport {
    /// The stack.
    pub stack: String,
    /// Each trial with a planted fault.
    pub faults: Vec<FaultTrial>,
    /// Each trial without one, from inside and from outside in turn: its findings, none of which there should be.
    pub clean: Vec<Vec<String>>,
    /// Each trial of the clock.
    pub clock: Vec<ClockCase>,
    /// Each trial in which time was added at one place, or at none.
    pub doses: Vec<DoseTrial>,
    /// What came of it, place by place.
    pub responses: Vec<DoseResponse>,
    /// Each pair of drains.
    pub cost: Vec<CostPair>,
}

impl SelftestReport {
    /// Whether all of it is as it should be.
    pub fn passed(&self) -> bool {
        self.faults.iter().all(|trial| trial.verdict == FaultVerdict::Named)
            && self.clean.iter().all(Vec::is_empty)
            && self.clock.iter().all(|case| case.wrong.is_none())
            && dose::passed(&self.responses)
    }
}

/// What all trials do alike: a comparison's defaults.
const OPTIONS: TrialOptions =
    TrialOptions { through: Through::Kafka, key: Key::OrderId, throttle: None, keep: false };
const DRAW: Draw =
    Draw { keys: Keys::Uniform, orders: None, events_per_order: 5, arrivals: Arrivals::Poisson };
const LANES: Lanes = Lanes { partitions: 3, consumers: 3, mode: Mode::Record };

/// Runs it on a stack that other processes can reach.
///
/// # Errors
/// [`RunError`] of what kept a trial from coming to its end.
pub async fn run(
    options: &SelftestOptions,
    stack: &Stack,
    progress: &dyn Progress,
    cancel: &CancellationToken,
) -> Result<SelftestReport, RunError> {
    let session = Session::open(stack, jiff::Timestamp::now(), cancel).await?;
    let runner = session.runner(OPTIONS, stack, progress, cancel);
    let tested = async {
        let (faults, clean) = Box::pin(truth::test(options, &runner)).await?;
        let clock = if options.clock { Box::pin(clock::test(options, &runner)).await? } else { Vec::new() };
        let doses = match stack {
            Stack::Embedded(embedded) => Box::pin(dose::test(options, embedded, &runner)).await?,
            _ => Vec::new(),
        };
        let responses = dose::responses(&doses);
        let cost = Box::pin(cost::test(options, &runner)).await?;
        let stack = stack.kind().to_string();
        Ok::<_, RunError>(SelftestReport { stack, faults, clean, clock, doses, responses, cost })
    };
    let tested = tested.await;
    session.close(progress).await;
    tested
}

fn in_process(options: &SelftestOptions, lanes: Lanes) -> Contender {
    let (replication, min_isr) = options.replicas;
    Contender { replication, min_isr, ..Contender::of(lanes) }
}

fn contender(options: &SelftestOptions, worker: WorkerCommand) -> Contender {
    Contender { worker: Some(worker), ..in_process(options, LANES) }
}
