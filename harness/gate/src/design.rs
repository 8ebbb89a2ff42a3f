//! When the rounds are looked at, and what a bound at a look is.

use statrs::distribution::{ContinuousCDF, Normal, StudentsT};

use super::walk::nominal_p;
use lanebench_result::gate::GateDesign;

/// After how many paired rounds it is looked at.
pub const LOOKS: [u32; 5] = [6, 10, 16, 22, 30];

/// The chance that a candidate like its baseline is called regressed, over all looks and all required metrics; and the
/// chance that one whose worsening reaches a tolerance is called held.
pub const ERROR_RATE: f64 = 0.025;

/// In how many of ten gates an unchanged candidate should be held where it is said how much spread is allowed.
const NINE_OF_TEN: f64 = 0.9;

/// Beyond this the number of rounds that would be needed says nothing.
const ROUNDS_NEEDED_MAX: u32 = 100_000;

/// The gate's design: looks, and the quantiles of Student's t at each.
///
/// At a look after n rounds each metric has the mean m and the standard deviation s of n log ratios, the worse direction
/// being positive. Its bounds are m ∓ t·s ÷ √n, with t of n − 1 degrees of freedom at one nominal level for all looks
/// (significance levels are those of a Brownian walk, their bounds those of Student's t: Jennison and Turnbull, "Group
/// Sequential Methods", 2000, section 4.4).
///
/// - **Regressed** needs one metric's lower bound above zero at one look. With k required metrics the level is derived
///   from 2.5 % ÷ k, so that the sum over metrics stays at 2.5 % however they depend on each other (Bonferroni).
/// - **Held** needs every required metric's upper bound below its tolerance, at the same look. To be wrong, the gate has
///   to be wrong on a metric whose worsening does reach its tolerance, and the chance of that is at most 2.5 % without
///   sharing (an intersection-union test: Berger, "Multiparameter hypothesis testing and acceptance sampling", 1982).
#[derive(Clone, Debug)]
pub struct Design {
    looks: Vec<Look>,
    required: usize,
    error_rate: f64,
    regressed_p: f64,
    held_p: f64,
}

/// One look.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Look {
    /// Rounds behind it.
    pub rounds: u32,
    /// The quantile of Student's t behind a lower bound.
    pub t_lower: f64,
    /// The quantile behind an upper bound.
    pub t_upper: f64,
}

/// Log ratios of one metric, the worse direction being positive: how many, their mean and standard deviation.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Sample {
    /// How many.
    pub n: u32,
    /// Their mean.
    pub mean: f64,
    squares: f64,
}

/// What is known of a metric's worsening at a look, on the scale of log ratios.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Bounds {
    /// The mean.
    pub estimate: f64,
    /// It is worse by at least this.
    pub lower: f64,
    /// It is worse by at most this.
    pub upper: f64,
}

impl Design {
    /// The gate's design for so many required metrics.
    pub fn new(required: usize) -> Self {
        Self::with(&LOOKS, ERROR_RATE, required)
    }

    /// A design of other looks (rising, from 2 rounds on) and another error rate.
    pub fn with(looks: &[u32], error_rate: f64, required: usize) -> Self {
        let held_p = nominal_p(looks, error_rate);
        let regressed_p = if required > 1 { nominal_p(looks, error_rate / required as f64) } else { held_p };
        let looks = looks.iter().map(|&n| look(n, regressed_p, held_p)).collect();
        Self { looks, required, error_rate, regressed_p, held_p }
    }

    /// The looks, in order.
    pub fn looks(&self) -> &[Look] {
        &self.looks
    }

    /// The look after exactly so many rounds, if there is one.
    pub fn look_after(&self, rounds: u32) -> Option<Look> {
        self.looks.iter().copied().find(|look| look.rounds == rounds)
    }

    /// The quantiles for any number of rounds from 2 on: those of a look, or, where a gate ended between two, those a
    /// look would have had there.
    pub fn quantiles(&self, rounds: u32) -> Look {
        self.look_after(rounds).unwrap_or_else(|| look(rounds, self.regressed_p, self.held_p))
    }

    /// Rounds after which it ends at the latest.
    pub fn rounds_max(&self) -> u32 {
        self.looks.last().map_or(0, |look| look.rounds)
    }

    /// One-sided level of a lower bound at one look.
    pub fn regressed_p(&self) -> f64 {
        self.regressed_p
    }

    /// One-sided level of an upper bound at one look.
    pub fn held_p(&self) -> f64 {
        self.held_p
    }

    /// The largest standard deviation of log ratios at which the last look holds an unchanged candidate within `limit`
    /// in nine of ten gates.
    pub fn deviation_allowed(&self, limit: f64) -> f64 {
        limit / self.width(self.rounds_max())
    }

    /// Rounds that would do so at this standard deviation; `None` if over 100,000.
    pub fn rounds_needed(&self, deviation: f64, limit: f64) -> Option<u32> {
        let enough = |rounds: u32| deviation * self.width(rounds) <= limit;
        if !enough(ROUNDS_NEEDED_MAX) {
            return None;
        }
        let (mut few, mut many) = (1, ROUNDS_NEEDED_MAX);
        while many - few > 1 {
            let middle = few.midpoint(many);
            if enough(middle) { many = middle } else { few = middle }
        }
        Some(many)
    }

    /// How many standard deviations of a log ratio the upper bound of nine of ten unchanged candidates stays below.
    fn width(&self, rounds: u32) -> f64 {
        let t = student(rounds).inverse_cdf(1.0 - self.held_p);
        (t + Normal::standard().inverse_cdf(NINE_OF_TEN)) / f64::from(rounds).sqrt()
    }

    /// As written in `gate.json`.
    pub fn to_record(&self) -> GateDesign {
        GateDesign {
            looks: self.looks.iter().map(|look| look.rounds).collect(),
            required: self.required,
            error_rate: self.error_rate,
            regressed_p: self.regressed_p,
            held_p: self.held_p,
        }
    }
}

fn look(rounds: u32, regressed_p: f64, held_p: f64) -> Look {
    let t = student(rounds);
    Look { rounds, t_lower: t.inverse_cdf(1.0 - regressed_p), t_upper: t.inverse_cdf(1.0 - held_p) }
}

/// Student's t of `rounds` − 1 degrees of freedom, at least one.
fn student(rounds: u32) -> StudentsT {
    let freedom = f64::from(rounds.saturating_sub(1).max(1));
    StudentsT::new(0.0, 1.0, freedom).expect("scale 1 and at least one degree of freedom are in bounds")
}

impl Look {
    /// The bounds of a sample at this look.
    pub fn bounds(&self, sample: &Sample) -> Bounds {
        let error = sample.deviation() / f64::from(sample.n).sqrt();
        Bounds {
            estimate: sample.mean,
            lower: sample.mean - self.t_lower * error,
            upper: sample.mean + self.t_upper * error,
        }
    }
}

impl Sample {
    /// Adds one log ratio (Welford, "Note on a method for calculating corrected sums of squares", 1962).
    pub fn add(&mut self, log_ratio: f64) {
        self.n += 1;
        let off = log_ratio - self.mean;
        self.mean += off / f64::from(self.n);
        self.squares += off * (log_ratio - self.mean);
    }

    /// Their standard deviation; infinite for fewer than two, of which nothing can be said.
    pub fn deviation(&self) -> f64 {
        if self.n < 2 { f64::INFINITY } else { (self.squares / f64::from(self.n - 1)).sqrt() }
    }
}

impl FromIterator<f64> for Sample {
    fn from_iter<I: IntoIterator<Item = f64>>(log_ratios: I) -> Self {
        let mut sample = Self::default();
        log_ratios.into_iter().for_each(|x| sample.add(x));
        sample
    }
}

#[cfg(test)]
mod tests;
