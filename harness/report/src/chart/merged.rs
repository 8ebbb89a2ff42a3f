//! Histograms of several rounds added up. Percentiles are read from the sum and never averaged.

use std::collections::BTreeMap;

use lanebench_result::Distribution;

/// How many samples must lie beyond a percentile for it to be drawn: p99 from 3,000 samples, p99.9 from 30,000.
const BEYOND: f64 = 30.0;

/// Several distributions as one.
pub struct Merged {
    /// Upper bound of each bucket and the samples up to it.
    cumulative: Vec<(u64, u64)>,
    count: u64,
}

impl Merged {
    /// Adds histograms up.
    pub fn of<'a>(distributions: impl IntoIterator<Item = &'a Distribution>) -> Self {
        let mut buckets: BTreeMap<u64, u64> = BTreeMap::new();
        for &(bound, samples) in distributions.into_iter().flat_map(|d| &d.histogram) {
            *buckets.entry(bound).or_default() += samples;
        }
        let mut count = 0;
        let cumulative = buckets
            .into_iter()
            .map(|(bound, samples)| {
                count += samples;
                (bound, count)
            })
            .collect();
        Self { cumulative, count }
    }

    /// Samples in it.
    pub fn count(&self) -> u64 {
        self.count
    }

    /// The value below or at which the part `quantile` (0 to 1) of the samples lies, in ns; `None` without samples.
    pub fn at(&self, quantile: f64) -> Option<u64> {
        let rank = ((quantile * self.count as f64).ceil() as u64).max(1);
        let i = self.cumulative.partition_point(|&(_, up_to)| up_to < rank);
        self.cumulative.get(i).or(self.cumulative.last()).map(|&(bound, _)| bound)
    }

    /// The highest quantile with enough samples beyond it.
    pub fn furthest(&self) -> f64 {
        if self.count == 0 { 0.0 } else { (1.0 - BEYOND / self.count as f64).max(0.0) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn histograms_add_up() {
        let a = Distribution { count: 2, histogram: vec![(10, 1), (30, 1)], ..Distribution::default() };
        let b = Distribution { count: 2, histogram: vec![(20, 2)], ..Distribution::default() };
        let merged = Merged::of([&a, &b]);
        assert_eq!(merged.count(), 4);
        let quantiles = [0.0, 0.25, 0.5, 0.75, 0.76, 1.0].map(|q| merged.at(q).unwrap());
        assert_eq!(quantiles, [10, 10, 20, 20, 30, 30]);
        assert_eq!(Merged::of([]).at(0.5), None);
    }

    #[test]
    fn a_percentile_needs_samples_beyond_it() {
        let of =
            |n| Merged::of([&Distribution { count: n, histogram: vec![(1, n)], ..Distribution::default() }]);
        assert!(of(30_000).furthest() >= 0.999);
        assert!(of(29_999).furthest() < 0.999);
        assert!(of(3_000).furthest() >= 0.99);
        assert_eq!(of(10).furthest(), 0.0);
    }
}
