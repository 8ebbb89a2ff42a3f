//! The design run on made-up or drawn rounds, as often as it takes to know its rates.

use std::f64::consts::SQRT_2;

use rand::SeedableRng;
use rand_chacha::ChaCha8Rng;
use rand_distr::{Distribution, StandardNormal};

use super::decision::{Tolerated, conclude, judge, limit};
use super::design::{Design, Sample};
use super::rules::Rules;
use lanebench_result::gate::GateVerdict;

/// The design, and what the rules of the required metrics let pass.
#[derive(Clone, Debug)]
pub struct Replay {
    design: Design,
    tolerated: Vec<Tolerated>,
}

/// What came of several runs of the gate.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Rates {
    /// Runs.
    pub runs: u32,
    /// Part of them that ended regressed, 0 to 1.
    pub regressed: f64,
    /// Part that ended held.
    pub held: f64,
    /// Part that was undecided after the last look.
    pub undecided: f64,
    /// Mean number of rounds.
    pub mean_rounds: f64,
}

impl Replay {
    /// For the required metrics of these rules, or the first `metrics` of them.
    pub fn of(rules: &Rules, metrics: usize) -> Self {
        Self::new(rules.required().take(metrics).map(limit).collect())
    }

    /// For required metrics with these tolerances as log ratios (see [`limit`]).
    pub fn new(limits: Vec<f64>) -> Self {
        let design = Design::new(limits.len());
        let tolerated = limits.into_iter().map(|limit| Tolerated::new(&design, limit)).collect();
        Self { design, tolerated }
    }

    /// The design.
    pub fn design(&self) -> &Design {
        &self.design
    }

    /// One run: `round` gives the next round's log ratio of each required metric, the worse direction being positive; one
    /// that is not a number leaves its metric undecided from then on. Returns the verdict and the rounds it took.
    pub fn run(&self, mut round: impl FnMut(&mut [f64])) -> (GateVerdict, u32) {
        let mut samples = vec![Sample::default(); self.tolerated.len()];
        let mut log_ratios = vec![0.0; self.tolerated.len()];
        let mut rounds = 0;
        for look in self.design.looks() {
            while rounds < look.rounds {
                round(&mut log_ratios);
                samples.iter_mut().zip(&log_ratios).for_each(|(sample, &x)| sample.add(x));
                rounds += 1;
            }
            let verdicts = samples
                .iter()
                .zip(&self.tolerated)
                .map(|(sample, &tolerated)| judge(look, sample, tolerated));
            if let Some(verdict) = conclude(verdicts) {
                return (verdict, rounds);
            }
        }
        (GateVerdict::Undecided, rounds)
    }

    /// Many runs on made-up noise: log-normal, with the same spread `cv` of single trials in every metric, and independent
    /// among metrics. The first metric's cost is greater by `more` (0.1 is 10 %), the others are unchanged.
    pub fn simulate(&self, cv: f64, more: f64, runs: u32, seed: u64) -> Rates {
        let mut rng = ChaCha8Rng::seed_from_u64(seed);
        self.rates(runs, |replay| {
            replay.run(|log_ratios| {
                for (i, to) in log_ratios.iter_mut().enumerate() {
                    let z: f64 = StandardNormal.sample(&mut rng);
                    *to = z * cv * SQRT_2 + if i == 0 { more.ln_1p() } else { 0.0 };
                }
            })
        })
    }

    /// Many runs.
    pub fn rates(&self, runs: u32, mut run: impl FnMut(&Self) -> (GateVerdict, u32)) -> Rates {
        let (mut regressed, mut held, mut undecided, mut rounds) = (0_u32, 0_u32, 0_u32, 0_u64);
        for _ in 0..runs {
            let (verdict, took) = run(self);
            rounds += u64::from(took);
            match verdict {
                GateVerdict::Regressed => regressed += 1,
                GateVerdict::Held => held += 1,
                _ => undecided += 1,
            }
        }
        let part = |count: u32| f64::from(count) / f64::from(runs.max(1));
        Rates {
            runs,
            regressed: part(regressed),
            held: part(held),
            undecided: part(undecided),
            mean_rounds: rounds as f64 / f64::from(runs.max(1)),
        }
    }
}

#[cfg(test)]
mod tests;
