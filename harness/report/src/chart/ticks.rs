//! The lag samples of a trial, put together by tick.

use lanebench_result::{Lag, LagSample};

/// All partitions at one tick of the sampler.
pub struct Tick<'a> {
    /// When, from the trial's start.
    pub t_ms: f64,
    /// The phase it fell into.
    pub phase: &'a str,
    /// One sample a partition.
    pub samples: Vec<&'a LagSample>,
}

impl Tick<'_> {
    /// Lag of all partitions together.
    pub fn records(&self) -> i64 {
        self.samples.iter().map(|s| s.records.max(0)).sum()
    }

    /// The largest lag in time of any partition.
    pub fn ns(&self) -> u64 {
        self.samples.iter().map(|s| s.ns).max().unwrap_or(0)
    }
}

/// The series by tick. Samples of one tick stand together, in the order in which they were taken; a new one begins
/// where a partition comes again, where the phase changes, or half a tick later.
pub fn ticks(lag: &Lag) -> Vec<Tick<'_>> {
    let mut out: Vec<Tick<'_>> = Vec::new();
    for sample in &lag.series {
        let same = out.last().is_some_and(|t| {
            t.phase == sample.phase
                && (sample.t_ms - t.t_ms).abs() <= lag.tick_ms as f64 / 2.0
                && t.samples.iter().all(|s| s.partition != sample.partition)
        });
        match out.last_mut() {
            Some(tick) if same => tick.samples.push(sample),
            _ => out.push(Tick { t_ms: sample.t_ms, phase: &sample.phase, samples: vec![sample] }),
        }
    }
    out
}

/// The phases in the order of the trial: name, first and last tick in ms.
pub fn phases<'a>(ticks: &[Tick<'a>]) -> Vec<(&'a str, f64, f64)> {
    let mut out: Vec<(&str, f64, f64)> = Vec::new();
    for tick in ticks {
        match out.iter_mut().find(|(name, _, _)| *name == tick.phase) {
            Some((_, _, to)) => *to = to.max(tick.t_ms),
            None => out.push((tick.phase, tick.t_ms, tick.t_ms)),
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sample(t_ms: f64, phase: &str, partition: i32, records: i64) -> LagSample {
        LagSample { t_ms, phase: phase.into(), partition, records, ns: records as u64 }
    }

    #[test]
    fn partitions_of_one_tick_add_up() {
        let lag = Lag {
            tick_ms: 100,
            series: vec![
                sample(0.0, "drain", 0, 5),
                sample(1.0, "drain", 1, 7),
                sample(20.0, "drain", 0, 4),
                sample(20.0, "steady", 1, 1),
                sample(120.0, "steady", 0, -3),
            ],
            ..Lag::default()
        };
        let ticks = ticks(&lag);
        let sums: Vec<i64> = ticks.iter().map(Tick::records).collect();
        assert_eq!(sums, [12, 4, 1, 0]);
        assert_eq!(phases(&ticks), [("drain", 0.0, 20.0), ("steady", 20.0, 120.0)]);
    }
}
