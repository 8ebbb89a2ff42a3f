//! The design run on made-up or drawn rounds, as often as it takes to know its rates.

use super::decision::{conclude, judge};
use super::design::{Design, Sample};
use crate::record::gate::GateVerdict;

/// The design, and the tolerances of the required metrics as log ratios.
#[derive(Clone, Debug)]
pub struct Replay {
    design: Design,
    limits: Vec<f64>,
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
    /// For required metrics with these tolerances as log ratios (see [`limit`](super::decision::limit)).
    pub fn new(limits: Vec<f64>) -> Self {
        Self { design: Design::new(limits.len()), limits }
    }

    /// The design.
    pub fn design(&self) -> &Design {
        &self.design
    }

    /// One run: `round` gives the next round's log ratio of each required metric, the worse direction being positive; one
    /// that is not a number leaves its metric undecided from then on. Returns the verdict and the rounds it took.
    pub fn run(&self, mut round: impl FnMut(&mut [f64])) -> (GateVerdict, u32) {
        let mut samples = vec![Sample::default(); self.limits.len()];
        let mut log_ratios = vec![0.0; self.limits.len()];
        let mut rounds = 0;
        for look in self.design.looks() {
            while rounds < look.rounds {
                round(&mut log_ratios);
                samples.iter_mut().zip(&log_ratios).for_each(|(sample, &x)| sample.add(x));
                rounds += 1;
            }
            let verdicts =
                samples.iter().zip(&self.limits).map(|(sample, &limit)| judge(look, sample, limit));
            if let Some(verdict) = conclude(verdicts) {
                return (verdict, rounds);
            }
        }
        (GateVerdict::Undecided, rounds)
    }

    /// Many runs.
    pub fn rates(&self, runs: u32, mut run: impl FnMut(&Self) -> (GateVerdict, u32)) -> Rates {
        let mut rates = Rates { runs, ..Rates::default() };
        let part = 1.0 / f64::from(runs.max(1));
        for _ in 0..runs {
            let (verdict, rounds) = run(self);
            rates.mean_rounds += f64::from(rounds) * part;
            match verdict {
                GateVerdict::Regressed => rates.regressed += part,
                GateVerdict::Held => rates.held += part,
                _ => rates.undecided += part,
            }
        }
        rates
    }
}
