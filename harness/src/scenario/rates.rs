//! Which rates and sizes a comparison uses, fixed from the warm-up before round 1. Pure.

use std::time::Duration;

use crate::record::Surge;

/// A drain should last at least this long at the fastest configuration (METHOD.md).
const DRAIN_MIN: Duration = Duration::from_millis(1500);
/// Percentiles are compared from this many samples on.
pub const STEADY_EVENTS_MIN: f64 = 3000.0;
/// The steady rate, as a part of the slowest drain.
pub const STEADY_PART: f64 = 0.6;
/// Below this ratio of fastest to slowest no peak rate overloads one and not the other.
const SEPARATION: f64 = 1.4;
/// The surge's base rate, as a part of the slowest drain: low enough that what the peak left behind drains.
const BASE_PART: f64 = 0.4;

/// How long things last that no measurement fixes.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Sizes {
    /// Room for the fastest configuration being faster still once everything is warm.
    pub drain_margin: f64,
    /// Events of the steady phase at least.
    pub steady_events: f64,
    /// Each of the surge's two base parts.
    pub base: Duration,
    /// The surge's peak.
    pub peak: Duration,
}

impl Sizes {
    /// Where numbers count.
    pub const MEASUREMENT: Self = Self {
        drain_margin: 1.7,
        steady_events: STEADY_EVENTS_MIN,
        base: Duration::from_secs(2),
        peak: Duration::from_secs(3),
    };
    /// Where many rounds must fit into few minutes: only the fastest drain's time counts, and there is no surge.
    pub const GATE: Self = Self {
        drain_margin: 1.1,
        steady_events: STEADY_EVENTS_MIN,
        base: Duration::ZERO,
        peak: Duration::ZERO,
    };
    /// Where two minutes must be enough: percentiles are shown, not compared, and a modelled call leaves little to warm.
    pub const DEMONSTRATION: Self = Self {
        drain_margin: 1.15,
        steady_events: 1000.0,
        base: Duration::from_secs(1),
        peak: Duration::from_secs(3),
    };
}

/// The rates and sizes of all rounds.
#[derive(Clone, Debug)]
pub struct Rates {
    /// Events of the backlog.
    pub drain_events: u64,
    /// Offered in the steady phase, events/s.
    pub steady_per_s: f64,
    /// Length of the steady phase.
    pub steady: Duration,
    /// The surge; `None` where no rate separates the configurations, or none was asked for.
    pub surge: Option<Surge>,
    /// Whether the steady rate is low enough for percentiles that don't grow with the duration.
    pub sustainable: bool,
    /// Whether the steady phase has events enough to compare percentiles.
    pub enough: bool,
}

impl Rates {
    /// Events of the steady phase, about.
    pub fn steady_events(&self) -> f64 {
        self.steady_per_s * self.steady.as_secs_f64()
    }

    /// Whether percentiles of the steady phase may be compared (METHOD.md, "Rounds").
    pub fn comparable(&self) -> bool {
        self.sustainable && self.enough
    }
}

/// The backlog that the fastest of these drains, in events/s, takes the method's time for.
pub fn backlog(warm_per_s: &[f64], sizes: Sizes) -> u64 {
    let fastest = warm_per_s.iter().copied().fold(0.0, f64::max);
    ((fastest * DRAIN_MIN.as_secs_f64() * sizes.drain_margin).ceil() as u64).max(1000)
}

/// What was asked for, where it overrides the rule.
#[derive(Clone, Copy, Debug, Default)]
pub struct Asked {
    /// Rate of the steady phase.
    pub rate_per_s: Option<f64>,
    /// Length of the steady phase at least.
    pub duration: Duration,
    /// Events of the backlog.
    pub drain_events: Option<u64>,
    /// Whether the surge is wanted.
    pub surge: bool,
}

/// Fixes the rates from the configurations' warm drains, in events/s (METHOD.md, "Rounds").
pub fn fix(warm_per_s: &[f64], asked: Asked, sizes: Sizes) -> Rates {
    let slowest = warm_per_s.iter().copied().fold(f64::INFINITY, f64::min);
    let fastest = warm_per_s.iter().copied().fold(0.0, f64::max);
    let steady_per_s = asked.rate_per_s.unwrap_or(STEADY_PART * slowest);
    let steady_s = asked.duration.as_secs_f64().max(sizes.steady_events / steady_per_s);
    Rates {
        drain_events: asked.drain_events.unwrap_or_else(|| backlog(warm_per_s, sizes)),
        steady_per_s,
        steady: Duration::from_secs_f64(steady_s),
        surge: (asked.surge && fastest >= SEPARATION * slowest).then(|| Surge {
            base_per_s: BASE_PART * slowest,
            peak_per_s: (2.0 * slowest).min(0.8 * fastest),
            base_s: sizes.base.as_secs_f64(),
            peak_s: sizes.peak.as_secs_f64(),
        }),
        // A rate that was asked for may sit at the limit; a hair above is rounding, not overload.
        sustainable: steady_per_s <= STEADY_PART * slowest * 1.001,
        enough: steady_per_s * steady_s >= STEADY_EVENTS_MIN * 0.999,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const ASKED: Asked =
        Asked { rate_per_s: None, duration: Duration::from_secs(1), drain_events: None, surge: true };

    #[test]
    fn the_slowest_sets_the_steady_rate_and_the_fastest_the_backlog() {
        let rates = fix(&[1000.0, 3000.0], ASKED, Sizes::MEASUREMENT);
        assert!((rates.steady_per_s - 600.0).abs() < 1e-9);
        assert!((rates.steady.as_secs_f64() - 5.0).abs() < 1e-9, "3,000 events at 600/s");
        assert_eq!(rates.drain_events, 7650);
        assert!(rates.comparable());
        let surge = rates.surge.unwrap();
        assert!((surge.peak_per_s - 2000.0).abs() < 1e-9, "twice the slowest");
    }

    #[test]
    fn the_peak_stays_below_the_fastest() {
        let surge = fix(&[1000.0, 1500.0], ASKED, Sizes::MEASUREMENT).surge.unwrap();
        assert!((surge.peak_per_s - 1200.0).abs() < 1e-9, "0.8 × the fastest");
    }

    #[test]
    fn no_surge_where_no_rate_separates_them() {
        assert!(fix(&[1000.0, 1399.0], ASKED, Sizes::MEASUREMENT).surge.is_none());
        assert!(fix(&[1000.0], ASKED, Sizes::MEASUREMENT).surge.is_none());
        assert!(fix(&[1000.0, 3000.0], Asked { surge: false, ..ASKED }, Sizes::MEASUREMENT).surge.is_none());
    }

    #[test]
    fn percentiles_at_an_overloading_rate_are_not_comparable() {
        assert!(!fix(&[1000.0], Asked { rate_per_s: Some(700.0), ..ASKED }, Sizes::MEASUREMENT).comparable());
        assert!(fix(&[1000.0], Asked { rate_per_s: Some(600.0), ..ASKED }, Sizes::MEASUREMENT).comparable());
    }

    #[test]
    fn a_demonstration_is_short_and_compares_no_percentiles() {
        let rates = fix(&[450.0, 1200.0], ASKED, Sizes::DEMONSTRATION);
        assert!(rates.steady.as_secs_f64() < 4.0 && rates.drain_events < 2400, "{rates:?}");
        assert!(rates.sustainable && !rates.comparable());
        let long = Asked { duration: Duration::from_secs(12), ..ASKED };
        assert!(fix(&[450.0, 1200.0], long, Sizes::DEMONSTRATION).comparable(), "3,240 events are enough");
    }
}
