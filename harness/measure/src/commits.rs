//! Committed offsets over time, as the broker tells them.

use std::collections::BTreeMap;
use std::ops::Range;

use payment_delivery::kafka::Origin;

/// Whenever a partition's committed offset moved on, the moment at which that was seen, in ns since the run's epoch.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct CommitSamples(BTreeMap<i32, Vec<(u64, i64)>>);

impl CommitSamples {
    /// Takes in what was seen at `at_ns`. Times and offsets only grow; a sample that goes back is left out.
    pub fn push(&mut self, at_ns: u64, next: &BTreeMap<i32, i64>) {
        for (partition, next) in next {
            let seen = self.0.entry(*partition).or_default();
            if seen.last().is_none_or(|(at, last)| last < next && *at <= at_ns) {
                seen.push((at_ns, *next));
            }
        }
    }

    /// The pauses between two moments at which a partition's committed offset had moved on, in ns; of those that lie within one of these
    /// stretches, in ns since the run's epoch. What lies between two stretches is no pause of the worker's: nothing was offered.
    pub fn pauses_ns(&self, stretches: &[Range<u64>]) -> Vec<i64> {
        let lies_within =
            |from: u64, to: u64| stretches.iter().any(|stretch| stretch.start <= from && to <= stretch.end);
        let pauses = |seen: &Vec<(u64, i64)>| -> Vec<i64> {
            let pauses = seen.windows(2).map(|two| (two[0].0, two[1].0));
            pauses.filter(|(from, to)| lies_within(*from, *to)).map(|(from, to)| (to - from) as i64).collect()
        };
        self.0.values().flat_map(pauses).collect()
    }

    /// When the committed offset was first seen beyond `origin`; `None` if it never was.
    pub fn passed_ns(&self, origin: Origin) -> Option<u64> {
        let seen = self.0.get(&origin.partition)?;
        seen.get(seen.partition_point(|(_, next)| *next <= origin.offset)).map(|(at_ns, _)| *at_ns)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(partition: i32, offset: i64) -> Origin {
        Origin { partition, offset }
    }

    #[test]
    fn an_offset_is_passed_when_the_next_one_is_committed() {
        let mut samples = CommitSamples::default();
        for (at_ns, zero) in [(100, 0), (200, 5), (300, 5), (400, 9)] {
            samples.push(at_ns, &[(0, zero)].into());
        }
        assert_eq!(samples.passed_ns(at(0, 0)), Some(200));
        assert_eq!(samples.passed_ns(at(0, 4)), Some(200));
        assert_eq!(samples.passed_ns(at(0, 5)), Some(400), "5 is the next one, not done yet");
        assert_eq!(samples.passed_ns(at(0, 8)), Some(400));
        assert_eq!(samples.passed_ns(at(0, 9)), None);
        assert_eq!(samples.passed_ns(at(1, 0)), None, "a partition without a commit");
        assert_eq!(samples.pauses_ns(&[0..150, 100..500]), [100, 200], "it moved at 100, 200 and 400");
        assert_eq!(samples.pauses_ns(&[0..200, 300..500]), [100], "between two stretches");
    }

    #[test]
    fn what_goes_back_is_left_out() {
        let mut samples = CommitSamples::default();
        samples.push(100, &[(0, 5)].into());
        samples.push(200, &[(0, 3)].into());
        samples.push(300, &[(0, 6)].into());
        assert_eq!((samples.passed_ns(at(0, 4)), samples.passed_ns(at(0, 5))), (Some(100), Some(300)));
    }
}
