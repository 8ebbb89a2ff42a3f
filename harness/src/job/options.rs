//! What a run was asked to do, checked before anything is started.

use std::time::{Duration, Instant};

pub use crate::contender::{Contender, Lanes};
use crate::rounds::rates::{self, Requested, Sizes};
use crate::rounds::warm_up::{Leaves, Limit};
use crate::scenario::Scenario;
pub use crate::trial::TrialOptions;
pub use crate::trial::options::{Inject, Key, Throttle, Through};
pub use crate::trial::phase::Draw;

/// What a run is asked to do.
#[derive(Clone, Debug)]
pub struct Options {
    /// Those that are compared; the first is the baseline.
    pub contenders: Vec<Contender>,
    /// How many rounds; each has one trial of each contender.
    pub rounds: Rounds,
    /// From which every round's seed is drawn.
    pub seed: u64,
    /// How events are drawn.
    pub draw: Draw,
    /// What all trials do alike.
    pub trial: TrialOptions,
    /// Rates and lengths that were asked for.
    pub requested: Requested,
    /// How long things last that no measurement fixes.
    pub sizes: Sizes,
    /// Whether percentiles may be compared, if the phases allow it.
    pub percentiles: bool,
    /// What 99 of 100 events of the steady phase shall take at most.
    pub objective: Option<Duration>,
    /// What is broken on purpose, after the steady phase.
    pub inject: Option<Inject>,
    /// What each trial ends with.
    pub scenario: Option<Scenario>,
    /// Events that a worker which can't be held works through in each trial before anything is measured.
    pub worker_warm_up: u64,
    /// Whether the warm-up ends after one pass, settled or not.
    pub one_pass: bool,
    /// Whether drains without the modelled call stand beside the trials.
    pub control: bool,
    /// Whether each component is measured alone before each round.
    pub ceilings: bool,
}

/// How many rounds there are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Rounds {
    /// So many.
    Fixed(u32),
    /// As many as fit into the time that the warm-up leaves of `total`, fixed before the first one.
    Within {
        /// For the whole run.
        total: Duration,
        /// Never fewer.
        fewest: u32,
    },
}

impl Options {
    /// How much longer each trial is by its scenario.
    pub(crate) fn scenario_length(&self) -> Duration {
        self.scenario.as_ref().map(rates::scenario_length).unwrap_or_default()
    }

    /// How long the warm-up of a run that began at `begun` may go on.
    pub(crate) fn warm_up_limit(&self, begun: Instant) -> Limit {
        if self.one_pass {
            Limit { longest: Duration::ZERO, leaves: None }
        } else {
            self.rounds.warm_up_limit(begun)
        }
    }
}

impl Rounds {
    /// Of a time budget, the part that the warm-up may take.
    const WARM_UP_PART: f64 = 0.4;
    /// The warm-up's limit where no budget is given.
    const WARM_UP_LIMIT: Duration = Duration::from_secs(100);

    fn warm_up_limit(self, begun: Instant) -> Limit {
        match self {
            Self::Fixed(_) => Limit { longest: Self::WARM_UP_LIMIT, leaves: None },
            Self::Within { total, fewest } => Limit {
                longest: total.mul_f64(Self::WARM_UP_PART),
                leaves: Some(Leaves { until: begun + total, rounds: fewest }),
            },
        }
    }
}
