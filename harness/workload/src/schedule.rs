//! When each event is due: fixed before the run, so that a late sender can't shift it.

use std::fmt;
use std::str::FromStr;
use std::time::Duration;

use rand_distr::{Distribution, Exp1};

use super::{Purpose, rng};

/// How the gaps between due times are drawn.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Arrivals {
    /// Evenly spaced.
    Constant,
    /// A Poisson process: independent exponential gaps, as from many independent payers.
    Poisson,
}

impl fmt::Display for Arrivals {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Constant => "constant",
            Self::Poisson => "poisson",
        })
    }
}

/// Neither `constant` nor `poisson`.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("`{0}` is no kind of arrivals: expected `constant` or `poisson`")]
pub struct UnknownArrivals(String);

impl FromStr for Arrivals {
    type Err = UnknownArrivals;

    fn from_str(text: &str) -> Result<Self, UnknownArrivals> {
        match text {
            "constant" => Ok(Self::Constant),
            "poisson" => Ok(Self::Poisson),
            _ => Err(UnknownArrivals(text.into())),
        }
    }
}

/// A stretch of the schedule with one mean rate. A surge is three of them: base, peak, base.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Segment {
    /// Mean rate, events/s. One that is not above 0 and finite offers nothing.
    pub rate_per_s: f64,
    /// How long it lasts.
    pub length: Duration,
}

/// Due times of all events, in ns from the start, never decreasing.
///
/// Both kinds of arrivals are counted on one scale, that of the events expected so far: constant arrivals are due at 0, 1, 2 …
/// of it, Poisson arrivals at the running sums of unit-exponential gaps. Mapping them back through the
/// integrated rate gives the schedule, across any change of rate (for Poisson this is the time-rescaling theorem).
pub fn due_times(segments: &[Segment], arrivals: Arrivals, seed: u64) -> Vec<u64> {
    let mut gaps = rng(seed, Purpose::Arrivals, "");
    let mut gap = || match arrivals {
        Arrivals::Constant => 1.0,
        Arrivals::Poisson => Exp1.sample(&mut gaps),
    };
    let mut next: f64 = match arrivals {
        Arrivals::Constant => 0.0,
        Arrivals::Poisson => gap(),
    };
    let mut due = Vec::new();
    // Where the segment at hand begins: expected events, and ns.
    let (mut expected, mut start_ns) = (0.0, 0u64);
    for segment in segments {
        let length_ns = u64::try_from(segment.length.as_nanos()).unwrap_or(u64::MAX);
        if segment.rate_per_s.is_finite() && segment.rate_per_s > 0.0 {
            let end = expected + segment.rate_per_s * segment.length.as_secs_f64();
            while next < end {
                let into_ns = ((next - expected) / segment.rate_per_s * 1e9).round() as u64;
                due.push(start_ns.saturating_add(into_ns.min(length_ns)));
                next += gap();
            }
            expected = end;
        }
        start_ns = start_ns.saturating_add(length_ns);
    }
    due
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn segment(rate_per_s: f64, secs: f64) -> Segment {
        Segment { rate_per_s, length: Duration::from_secs_f64(secs) }
    }

    #[test]
    fn constant_arrivals_are_evenly_spaced_across_a_surge() {
        let due =
            due_times(&[segment(10.0, 0.5), segment(100.0, 0.03), segment(10.0, 0.2)], Arrivals::Constant, 1);
        let ms: Vec<u64> = due.iter().map(|ns| ns / 1_000_000).collect();
        assert_eq!(ms, [0, 100, 200, 300, 400, 500, 510, 520, 530, 630]);
    }

    #[test]
    fn a_fraction_of_a_gap_is_carried_over_to_the_next_segment() {
        // Half an event is expected before the change; the second event is due when the other half is.
        let due = due_times(&[segment(1.0, 0.5), segment(10.0, 0.1)], Arrivals::Constant, 1);
        assert_eq!(due, [0, 550_000_000]);
    }

    #[test]
    fn a_rate_that_offers_nothing_only_lets_time_pass() {
        for rate in [0.0, -1.0, f64::NAN, f64::INFINITY] {
            let due = due_times(&[segment(rate, 1.0), segment(2.0, 1.0)], Arrivals::Constant, 1);
            assert_eq!(due, [1_000_000_000, 1_500_000_000], "{rate}");
        }
        assert!(due_times(&[], Arrivals::Poisson, 1).is_empty());
    }

    #[test]
    fn poisson_gaps_have_the_mean_and_the_spread_of_an_exponential() {
        let due = due_times(&[segment(1000.0, 60.0)], Arrivals::Poisson, 3);
        let gaps: Vec<f64> = due.windows(2).map(|w| (w[1] - w[0]) as f64).collect();
        let mean = gaps.iter().sum::<f64>() / gaps.len() as f64;
        let deviation = (gaps.iter().map(|g| (g - mean).powi(2)).sum::<f64>() / gaps.len() as f64).sqrt();
        assert!((mean / 1e6 - 1.0).abs() < 0.02, "mean gap {mean} ns");
        assert!((deviation / mean - 1.0).abs() < 0.03, "coefficient of variation {}", deviation / mean);
    }

    proptest! {
        #[test]
        fn due_times_keep_their_order_their_bounds_and_their_rate(
            rates in prop::collection::vec((1.0f64..2_000.0, 0.1f64..2.0), 1..5),
            poisson: bool,
            seed: u64,
        ) {
            let segments: Vec<Segment> = rates.iter().map(|&(rate, secs)| segment(rate, secs)).collect();
            let arrivals = if poisson { Arrivals::Poisson } else { Arrivals::Constant };
            let due = due_times(&segments, arrivals, seed);
            prop_assert!(due.is_sorted());
            let end: u128 = segments.iter().map(|s| s.length.as_nanos()).sum();
            prop_assert!(due.last().is_none_or(|last| u128::from(*last) <= end));
            let expected: f64 = segments.iter().map(|s| s.rate_per_s * s.length.as_secs_f64()).sum();
            // Six deviations of a Poisson count: never in a lifetime of runs.
            let slack = if poisson { 6.0 * expected.sqrt() + 6.0 } else { 1.0 };
            prop_assert!((due.len() as f64 - expected).abs() <= slack, "{} events, {expected} expected", due.len());
            prop_assert_eq!(&due, &due_times(&segments, arrivals, seed));
        }
    }
}
