//! Nanoseconds in an HDR histogram.

use hdrhistogram::Histogram;

use lanebench_result::Distribution;

/// The longest duration that is told apart: one hour. Longer ones are counted in the last bucket and as saturated.
pub const HIGHEST_NS: u64 = 3_600_000_000_000;

/// Three significant digits: a percentile is at most 0.1 % too high, never too low.
const SIGNIFICANT_DIGITS: u8 = 3;

/// Durations, from 1 ns to [`HIGHEST_NS`], to three significant digits; mean and maximum are exact.
///
/// Two of them merge as histograms, since percentiles can't be averaged.
#[derive(Clone, Debug)]
pub struct Durations {
    histogram: Histogram<u64>,
    sum_ns: f64,
    max_ns: u64,
    negative: u64,
    saturated: u64,
}

/// Why a saved distribution can't be restored.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub enum RestoreError {
    /// Its buckets hold another number of samples than it says.
    #[error("the distribution says it has {count} samples, but its buckets hold {buckets}")]
    Count {
        /// What it says.
        count: u64,
        /// The sum of its buckets.
        buckets: u128,
    },
}

impl Default for Durations {
    fn default() -> Self {
        Self::new()
    }
}

impl Durations {
    /// An empty histogram.
    pub fn new() -> Self {
        Self {
            histogram: Histogram::new_with_bounds(1, HIGHEST_NS, SIGNIFICANT_DIGITS)
                .expect("1 to HIGHEST_NS with three digits are bounds that hdrhistogram accepts"),
            sum_ns: 0.0,
            max_ns: 0,
            negative: 0,
            saturated: 0,
        }
    }

    /// Counts a duration. A negative one, which only a clock that went backwards can give, is counted as such and as 0.
    pub fn record(&mut self, ns: i64) {
        self.negative += u64::from(ns < 0);
        let ns = u64::try_from(ns).unwrap_or(0);
        self.saturated += u64::from(ns > HIGHEST_NS);
        self.histogram.saturating_record(ns);
        self.sum_ns += ns as f64;
        self.max_ns = self.max_ns.max(ns);
    }

    /// Adds another's samples to these.
    pub fn merge(&mut self, other: &Self) {
        self.histogram.add(&other.histogram).expect("all histograms of this type have the same bounds");
        self.sum_ns += other.sum_ns;
        self.max_ns = self.max_ns.max(other.max_ns);
        self.negative += other.negative;
        self.saturated += other.saturated;
    }

    /// Samples.
    pub fn count(&self) -> u64 {
        self.histogram.len()
    }

    /// Whether nothing was recorded.
    pub fn is_empty(&self) -> bool {
        self.histogram.is_empty()
    }

    /// Samples below zero.
    pub fn negative(&self) -> u64 {
        self.negative
    }

    /// Samples above [`HIGHEST_NS`]. A distribution does not keep this number, so a restored one starts at 0 again.
    pub fn saturated(&self) -> u64 {
        self.saturated
    }

    /// The upper bound of the bucket that holds the quantile, in nanoseconds, but never more than the largest sample;
    /// 0 without samples. `quantile` is 0 to 1.
    pub fn quantile_ns(&self, quantile: f64) -> u64 {
        self.histogram.value_at_quantile(quantile).min(self.max_ns)
    }

    /// What `result.json` keeps.
    pub fn to_distribution(&self) -> Distribution {
        Distribution {
            count: self.count(),
            negative: self.negative,
            mean: if self.is_empty() { 0.0 } else { self.sum_ns / self.count() as f64 },
            p50: self.quantile_ns(0.5),
            p90: self.quantile_ns(0.9),
            p99: self.quantile_ns(0.99),
            p999: self.quantile_ns(0.999),
            max: self.max_ns,
            histogram: self
                .histogram
                .iter_recorded()
                .map(|b| (self.histogram.highest_equivalent(b.value_iterated_to()), b.count_at_value()))
                .collect(),
        }
    }

    /// The histogram behind a saved distribution, so that it can be merged with others.
    ///
    /// # Errors
    /// [`RestoreError`] when the distribution contradicts itself, as only an edited file does.
    pub fn from_distribution(saved: &Distribution) -> Result<Self, RestoreError> {
        let buckets = saved.histogram.iter().map(|&(_, n)| u128::from(n)).sum();
        if buckets != u128::from(saved.count) {
            return Err(RestoreError::Count { count: saved.count, buckets });
        }
        let mut restored = Self::new();
        for &(upper_ns, n) in &saved.histogram {
            restored.histogram.saturating_record_n(upper_ns, n);
        }
        restored.sum_ns = saved.mean * saved.count as f64;
        restored.max_ns = saved.max;
        restored.negative = saved.negative;
        Ok(restored)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn of(values: impl IntoIterator<Item = i64>) -> Durations {
        let mut durations = Durations::new();
        values.into_iter().for_each(|ns| durations.record(ns));
        durations
    }

    #[test]
    fn percentiles_of_a_thousand() {
        let d = of((1..=1_000).map(|ms| ms * 1_000_000)).to_distribution();
        let near = |actual: u64, expected_ms: u64| {
            let expected = expected_ms * 1_000_000;
            assert!(actual >= expected && actual <= expected + expected / 1_000, "{actual} for {expected}");
        };
        near(d.p50, 500);
        near(d.p90, 900);
        near(d.p99, 990);
        near(d.p999, 999);
        assert_eq!((d.max, d.mean, d.count), (1_000_000_000, 500_500_000.0, 1_000));
    }

    #[test]
    fn nothing_recorded_is_all_zero() {
        assert_eq!(Durations::new().to_distribution(), Distribution::default());
        assert!(Durations::new().is_empty());
    }

    #[test]
    fn the_negative_are_counted_and_kept_as_zero() {
        let d = of([-5, -1, 10]);
        assert_eq!(d.negative(), 2);
        let d = d.to_distribution();
        assert_eq!((d.count, d.negative, d.p50, d.max), (3, 2, 0, 10));
        assert_eq!(d.histogram, [(0, 2), (10, 1)]);
    }

    #[test]
    fn what_lasts_too_long_is_counted_and_its_maximum_kept() {
        let d = of([1, i64::MAX]);
        assert_eq!((d.saturated(), d.count()), (1, 2));
        assert_eq!(d.to_distribution().max, i64::MAX as u64);
        assert!(d.quantile_ns(1.0) >= HIGHEST_NS);
    }

    #[test]
    fn no_percentile_exceeds_the_largest_sample() {
        let d = of([5_000_001]).to_distribution();
        assert_eq!((d.p50, d.p999, d.max), (5_000_001, 5_000_001, 5_000_001));
        assert!(d.histogram[0].0 > d.max, "the bucket's own bound is above it");
    }

    #[test]
    fn an_edited_distribution_is_refused() {
        let mut saved = of([1, 2, 3]).to_distribution();
        saved.count = 4;
        let refused = Durations::from_distribution(&saved).unwrap_err();
        assert_eq!(refused, RestoreError::Count { count: 4, buckets: 3 });
        saved.histogram = vec![(1, u64::MAX), (2, u64::MAX)];
        assert!(Durations::from_distribution(&saved).is_err());
    }

    proptest! {
        #[test]
        fn merged_parts_are_the_whole(
            a in prop::collection::vec(-10..5_000_000_000i64, 0..200),
            b in prop::collection::vec(-10..5_000_000_000i64, 0..200),
        ) {
            let mut merged = of(a.iter().copied());
            merged.merge(&of(b.iter().copied()));
            prop_assert_eq!(merged.to_distribution(), of(a.into_iter().chain(b)).to_distribution());
        }

        #[test]
        fn what_was_saved_comes_back(
            values in prop::collection::vec(prop_oneof![-10..10i64, 0..5_000_000_000_000i64], 0..200),
        ) {
            let saved = of(values).to_distribution();
            let back = Durations::from_distribution(&saved).unwrap().to_distribution();
            prop_assert!((back.mean - saved.mean).abs() <= saved.mean * 1e-12);
            prop_assert_eq!(Distribution { mean: saved.mean, ..back }, saved);
        }
    }
}
