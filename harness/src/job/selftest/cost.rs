//! What counting the writes costs: drains in pairs, with the database's triggers and without.

use payment_delivery::consumer::Mode;
use rand::seq::SliceRandom as _;
use rand::{RngExt as _, SeedableRng as _};
use rand_chacha::ChaCha8Rng;
use serde::Serialize;

use super::{DRAW, SelftestOptions, in_process};
use crate::contender::Lanes;
use crate::error::RunError;
use crate::record::{Phase, PhaseKind};
use crate::trial::phase::{Offer, PhaseSpec, plan};
use crate::trial::{TrialPlace, TrialRunner, TrialSpec};

/// Events of a drain.
const EVENTS: u64 = 6_000;
/// Pairs that are not kept: programs that compile as they run are slow at first.
const WARM_UP: u32 = 4;
const CONFIGS: [Lanes; 2] = [
    Lanes { partitions: 1, consumers: 1, mode: Mode::Record },
    Lanes { partitions: 3, consumers: 3, mode: Mode::Record },
];

/// One drain.
#[derive(Clone, Copy, Debug, Default, Serialize)]
pub struct Drained {
    /// Events visible a second.
    pub throughput_per_s: f64,
    /// CPU time of the database an event, where it can be seen.
    pub store_cpu_ns_per_event: Option<f64>,
}

/// The same drain twice.
#[derive(Clone, Debug, Serialize)]
pub struct CostPair {
    /// The configuration.
    pub config: String,
    /// Writes were counted.
    pub counted: Drained,
    /// They were not, and so the trial was not checked.
    pub uncounted: Drained,
}

pub(super) async fn test(
    options: &SelftestOptions,
    runner: &TrialRunner<'_>,
) -> Result<Vec<CostPair>, RunError> {
    let mut pairs = Vec::new();
    if options.cost == 0 {
        return Ok(pairs);
    }
    let mut draws = ChaCha8Rng::seed_from_u64(options.seed);
    for number in 0..WARM_UP + options.cost {
        for lanes in CONFIGS {
            let seed = draws.random();
            let mut pair = CostPair {
                config: lanes.to_string(),
                counted: Drained::default(),
                uncounted: Drained::default(),
            };
            let mut turns = [true, false];
            turns.shuffle(&mut draws);
            for counted in turns {
                runner.workspace.count_writes(counted).await?;
                let drained = drain(options, runner, lanes, number, counted, seed).await;
                runner.workspace.count_writes(true).await?;
                *if counted { &mut pair.counted } else { &mut pair.uncounted } = drained?;
            }
            if number >= WARM_UP {
                pairs.push(pair);
            }
        }
    }
    Ok(pairs)
}

async fn drain(
    options: &SelftestOptions,
    runner: &TrialRunner<'_>,
    lanes: Lanes,
    number: u32,
    counted: bool,
    seed: u64,
) -> Result<Drained, RunError> {
    let how = if counted { "counted" } else { "uncounted" };
    let spec = TrialSpec {
        name: format!("w{number}.{lanes}.{how}"),
        title: format!("pair {}, {lanes}, {how}", number + 1),
        contender: &in_process(options, lanes),
        place: TrialPlace { round: number, position: 1, seed },
        phases: &plan(vec![PhaseSpec::new(PhaseKind::Drain, Offer::Backlog { events: EVENTS })], DRAW, seed)?,
        rig: None,
        seat: None,
    };
    let trial = Box::pin(runner.trial(&spec)).await?;
    Ok(trial.phases.first().map_or_else(Drained::default, of))
}

fn of(phase: &Phase) -> Drained {
    let store =
        phase.resources.iter().find(|resource| ["postgresql", "sqlite"].contains(&resource.name.as_str()));
    Drained {
        throughput_per_s: phase.throughput_per_s,
        store_cpu_ns_per_event: store.map(|store| store.cpu_s * 1e9 / EVENTS as f64),
    }
}
