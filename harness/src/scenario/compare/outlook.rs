//! How long the rest of a run will take: from the rates at first, from what was seen as soon as there is something. Pure.

use std::time::Duration;

use super::Turn;
use super::control::ControlDrains;
use crate::scenario::options::Options;
use crate::scenario::rates::Rates;

/// Topics, joining, settling, checks: what a trial takes beside its phases.
const AROUND: Duration = Duration::from_millis(1500);

/// What is left to do.
pub(super) struct Outlook {
    trials: Vec<Kind>,
    controls: Vec<Kind>,
}

/// The trials of one kind.
struct Kind {
    left: u32,
    /// Of one, by what is known.
    each: Duration,
    seen: u32,
}

impl Outlook {
    /// Before the first round.
    pub(super) fn new(
        options: &Options,
        rates: &Rates,
        warm_per_s: &[f64],
        control: Option<&ControlDrains>,
    ) -> Self {
        let kind = |each| Kind { left: options.rounds, each: each + AROUND, seen: 0 };
        let trials = warm_per_s.iter().map(|&per_s| kind(trial(rates, per_s))).collect();
        let controls = control.into_iter().flat_map(|control| {
            (0..options.configs.len()).map(|index| kind(control.expected(index))).collect::<Vec<_>>()
        });
        Self { trials, controls: controls.collect() }
    }

    /// Takes note of a trial that took so long.
    pub(super) fn done(&mut self, turn: Turn, took: Duration) {
        let kind = match turn {
            Turn::Trial(index) => &mut self.trials[index],
            Turn::Control(index) => &mut self.controls[index],
        };
        kind.left = kind.left.saturating_sub(1);
        kind.each = (kind.each * kind.seen + took) / (kind.seen + 1);
        kind.seen += 1;
    }

    /// From the start of the next trial to the end of the last.
    pub(super) fn left(&self) -> Duration {
        self.trials.iter().chain(&self.controls).map(|kind| kind.each * kind.left).sum()
    }
}

/// The phases of a trial of a configuration that drains this fast.
fn trial(rates: &Rates, per_s: f64) -> Duration {
    let drain_s = rates.drain_events as f64 / per_s;
    let surge_s = rates.surge.as_ref().map_or(0.0, |surge| {
        let offered = 2.0 * surge.base_s * surge.base_per_s + surge.peak_s * surge.peak_per_s;
        (2.0 * surge.base_s + surge.peak_s).max(offered / per_s)
    });
    Duration::from_secs_f64(drain_s + surge_s) + rates.steady
}

#[cfg(test)]
mod tests {
    use super::*;

    fn kind(left: u32, each_s: u64) -> Kind {
        Kind { left, each: Duration::from_secs(each_s), seen: 0 }
    }

    #[test]
    fn what_was_seen_replaces_what_was_expected() {
        let mut outlook = Outlook { trials: vec![kind(3, 20), kind(3, 10)], controls: vec![kind(3, 5)] };
        assert_eq!(outlook.left(), Duration::from_secs(105));
        outlook.done(Turn::Trial(0), Duration::from_secs(30));
        assert_eq!(outlook.left(), Duration::from_secs(60 + 30 + 15));
        outlook.done(Turn::Control(0), Duration::from_secs(3));
        outlook.done(Turn::Trial(0), Duration::from_secs(20));
        assert_eq!(outlook.left(), Duration::from_secs(25 + 30 + 6), "the mean of those seen");
    }
}
