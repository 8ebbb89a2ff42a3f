//! The lag samples of a phase, put together by tick.

use lanebench_result::{Lag, LagSample};

/// All partitions at one tick of the sampler.
pub struct Tick<'a> {
    /// When, from the phase's start.
    pub t_ms: f64,
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
/// where a partition comes again, or half a tick later.
pub fn ticks(lag: &Lag) -> Vec<Tick<'_>> {
    let mut out: Vec<Tick<'_>> = Vec::new();
    for sample in &lag.series {
        let same = out.last().is_some_and(|t| {
            (sample.t_ms - t.t_ms).abs() <= lag.tick_ms as f64 / 2.0
                && t.samples.iter().all(|s| s.partition != sample.partition)
        });
        match out.last_mut() {
            Some(tick) if same => tick.samples.push(sample),
            _ => out.push(Tick { t_ms: sample.t_ms, samples: vec![sample] }),
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sample(t_ms: f64, partition: i32, records: i64) -> LagSample {
        LagSample { t_ms, partition, records, ns: records as u64 }
    }

    #[test]
    fn partitions_of_one_tick_add_up() {
        let lag = Lag {
            tick_ms: 100,
            series: vec![
                sample(0.0, 0, 5),
                sample(1.0, 1, 7),
                sample(20.0, 0, 4),
                sample(120.0, 1, 1),
                sample(120.0, 0, -3),
            ],
            ..Lag::default()
        };
        let sums: Vec<i64> = ticks(&lag).iter().map(Tick::records).collect();
        assert_eq!(sums, [12, 4, 1]);
    }
}
