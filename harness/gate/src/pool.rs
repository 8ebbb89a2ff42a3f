//! The gate's rates from a pool of measured rounds: the proof that they are what they should be.
//!
//! Whole gates take minutes, so few can be run. A pool of many rounds of one kind (equal programs, or one with a known
//! regression) holds what a gate draws from, and drawing gates from it costs nothing:
//!
//! - **Null.** Under the hypothesis that the two programs are equal, the labels of a round's two trials mean nothing, so
//!   each is swapped or not by a coin, for all metrics of the round at once. That makes the hypothesis true whatever the
//!   pool holds, its noise and the dependence of its metrics being real ones. Rounds are drawn without replacement: one
//!   gate never sees a round twice.
//! - **Power.** Rounds are drawn with replacement, labels as they are.
//!
//! A rate from draws has two errors. That of the number of draws can be made as small as one likes and says nothing: the
//! pool is what was measured, and another would have given another rate. So an interval comes from resampling the *pool*
//! (Efron and Tibshirani, "An Introduction to the Bootstrap", 1993), and from each resampled pool its own gates. Where
//! every resampled pool gives 0 or 1, the interval has no width; it is then no wider than the rounds there were, and
//! cannot know of what happens less often than in one round of the pool.
//!
//! Rates of whole gates that were really run have [`clopper_pearson`].

use rand::{Rng, RngExt as _, SeedableRng};
use rand_chacha::ChaCha8Rng;
use statrs::distribution::{Beta, ContinuousCDF};

use super::decision::log_ratio;
use super::replay::{Rates, Replay};
use super::rules::Rules;
use lanebench_result::gate::{Metric, Values};

/// Fewest rounds of a pool; docs/method.md allows no bootstrap of fewer than 20 trials, and a gate may draw 30 rounds.
pub const POOL_MIN: usize = 30;

/// Confidence of every interval here.
pub const CONFIDENCE: f64 = 0.95;

/// Measured rounds from which gates are drawn.
#[derive(Clone, Debug)]
pub struct Pool {
    replay: Replay,
    /// One a round: the log ratio of each required metric, the worse direction being positive.
    rounds: Vec<Vec<f64>>,
}

/// How gates are drawn from a pool.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Draw {
    /// Labels swapped by a coin, without replacement: what the gate does to equal programs.
    Null,
    /// Labels as they are, with replacement: what it does to these.
    Power,
}

/// Rates, and what another pool of the same size might have given.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct PoolRates {
    /// From the pool as it is.
    pub rates: Rates,
    /// Of the part that ends regressed.
    pub regressed: Interval,
    /// Of the part that ends held.
    pub held: Interval,
    /// Of the part that stays undecided.
    pub undecided: Interval,
}

/// An interval of a rate, 0 to 1.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Interval {
    /// Lower bound.
    pub low: f64,
    /// Upper bound.
    pub high: f64,
}

/// Why no gates can be drawn.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum PoolError {
    /// Too few rounds.
    #[error("a pool of {rounds} rounds is too small: it takes {POOL_MIN}")]
    TooSmall {
        /// How many there are.
        rounds: usize,
    },
    /// A required metric was not measured in every trial.
    #[error("round {round} of the pool (from 1) has no {}, which the rules require", .metric.as_str())]
    NotMeasured {
        /// The round, from 1.
        round: usize,
        /// The metric.
        metric: Metric,
    },
}

impl Pool {
    /// A pool of rounds, each `(baseline, candidate)`, from which gates by these rules are drawn.
    ///
    /// # Errors
    /// [`PoolError`] if it is too small, or a required metric is missing.
    pub fn new(rounds: &[(Values, Values)], rules: &Rules) -> Result<Self, PoolError> {
        if rounds.len() < POOL_MIN {
            return Err(PoolError::TooSmall { rounds: rounds.len() });
        }
        let ratios = |(i, (baseline, candidate)): (usize, &(Values, Values))| {
            rules
                .required()
                .map(|rule| {
                    log_ratio(rule, baseline, candidate)
                        .ok_or(PoolError::NotMeasured { round: i + 1, metric: rule.metric })
                })
                .collect::<Result<Vec<f64>, _>>()
        };
        Ok(Self {
            replay: Replay::of(rules, usize::MAX),
            rounds: rounds.iter().enumerate().map(ratios).collect::<Result<_, _>>()?,
        })
    }

    /// How often gates drawn from the pool end how, over `gates` of them.
    pub fn rates(&self, draw: Draw, gates: u32, seed: u64) -> Rates {
        let rounds: Vec<&[f64]> = self.rounds.iter().map(Vec::as_slice).collect();
        self.rates_of(&rounds, draw, gates, &mut ChaCha8Rng::seed_from_u64(seed))
    }

    /// The same with intervals: from `resamples` pools drawn with replacement from this one, and `gates` from each.
    ///
    /// The spread of these rates includes that of `gates` draws, so the interval is a little too wide, never too narrow:
    /// with 400 gates by at most 5 % points where the rate is about one half.
    pub fn rates_with_intervals(&self, draw: Draw, resamples: u32, gates: u32, seed: u64) -> PoolRates {
        let rates = self.rates(draw, gates.saturating_mul(resamples.clamp(1, 10)), seed);
        let mut rng = ChaCha8Rng::seed_from_u64(seed);
        rng.set_stream(1);
        let resampled: Vec<Rates> = (0..resamples)
            .map(|_| {
                let rounds: Vec<&[f64]> = (0..self.rounds.len()).map(|_| self.any(&mut rng)).collect();
                self.rates_of(&rounds, draw, gates, &mut rng)
            })
            .collect();
        let interval = |of: fn(&Rates) -> f64| percentiles(resampled.iter().map(of).collect());
        PoolRates {
            rates,
            regressed: interval(|r| r.regressed),
            held: interval(|r| r.held),
            undecided: interval(|r| r.undecided),
        }
    }

    fn any(&self, rng: &mut impl Rng) -> &[f64] {
        &self.rounds[rng.random_range(0..self.rounds.len())]
    }

    fn rates_of(&self, rounds: &[&[f64]], draw: Draw, gates: u32, rng: &mut ChaCha8Rng) -> Rates {
        let mut order: Vec<usize> = (0..rounds.len()).collect();
        self.replay.rates(gates, |replay| match draw {
            Draw::Null => replay.run(swapped(rounds, &mut order, rng)),
            Draw::Power => replay.run(|ratios| {
                ratios.copy_from_slice(rounds[rng.random_range(0..rounds.len())]);
            }),
        })
    }
}

/// Draws rounds without replacement and with swapped labels. `order` is any order of the rounds, and stays one.
fn swapped(rounds: &[&[f64]], order: &mut [usize], rng: &mut impl Rng) -> impl FnMut(&mut [f64]) {
    let mut drawn = 0;
    move |ratios| {
        // As Fisher and Yates shuffle, as far as the gate gets.
        let next = rng.random_range(drawn..order.len());
        order.swap(drawn, next);
        let sign = if rng.random::<bool>() { -1.0 } else { 1.0 };
        ratios.iter_mut().zip(rounds[order[drawn]]).for_each(|(to, from)| *to = sign * from);
        drawn += 1;
    }
}

/// The middle part of the values that [`CONFIDENCE`] names.
fn percentiles(mut values: Vec<f64>) -> Interval {
    values.sort_unstable_by(f64::total_cmp);
    let at = |part: f64| {
        let last = values.len().saturating_sub(1) as f64;
        values.get((part * last).round() as usize).copied()
    };
    let tail = (1.0 - CONFIDENCE) / 2.0;
    Interval { low: at(tail).unwrap_or(0.0), high: at(1.0 - tail).unwrap_or(1.0) }
}

/// The exact interval of a rate from whole gates that were really run: `hits` of `runs` (Clopper and Pearson, "The use of
/// confidence or fiducial limits illustrated in the case of the binomial", 1934). Nothing is known of a rate without runs.
pub fn clopper_pearson(hits: u32, runs: u32) -> Interval {
    let (hits, runs) = (f64::from(hits.min(runs)), f64::from(runs));
    let tail = (1.0 - CONFIDENCE) / 2.0;
    let quantile =
        |a: f64, b: f64, part: f64| Beta::new(a, b).expect("both counts are above zero").inverse_cdf(part);
    Interval {
        low: if hits > 0.0 { quantile(hits, runs - hits + 1.0, tail) } else { 0.0 },
        high: if hits < runs { quantile(hits + 1.0, runs - hits, 1.0 - tail) } else { 1.0 },
    }
}

#[cfg(test)]
mod tests;
