//! Which rates and sizes a comparison uses, fixed from the warm-up before round 1. Pure.

use std::time::Duration;

use crate::record::Surge;

/// A drain should last at least this long at the fastest configuration (METHOD.md).
const DRAIN_MIN: Duration = Duration::from_millis(1500);
/// Room for the fastest configuration being faster still once everything is warm.
const DRAIN_MARGIN: f64 = 1.7;
/// Percentiles are compared from this many samples on.
pub const STEADY_EVENTS_MIN: f64 = 3000.0;
/// The steady rate, as a part of the slowest drain.
pub const STEADY_PART: f64 = 0.6;
/// Below this ratio of fastest to slowest no peak rate overloads one and not the other.
const SEPARATION: f64 = 1.4;
/// The surge's base rate, as a part of the slowest drain: low enough that what the peak left behind drains.
const BASE_PART: f64 = 0.4;
const BASE: Duration = Duration::from_secs(2);
const PEAK: Duration = Duration::from_secs(3);

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
    /// Whether the steady rate is low enough to compare percentiles.
    pub comparable: bool,
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
pub fn fix(warm_per_s: &[f64], asked: Asked) -> Rates {
    let slowest = warm_per_s.iter().copied().fold(f64::INFINITY, f64::min);
    let fastest = warm_per_s.iter().copied().fold(0.0, f64::max);
    let steady_per_s = asked.rate_per_s.unwrap_or(STEADY_PART * slowest);
    let steady_s = asked.duration.as_secs_f64().max(STEADY_EVENTS_MIN / steady_per_s);
    let sized = (fastest * DRAIN_MIN.as_secs_f64() * DRAIN_MARGIN).ceil() as u64;
    Rates {
        drain_events: asked.drain_events.unwrap_or(sized.max(1000)),
        steady_per_s,
        steady: Duration::from_secs_f64(steady_s),
        surge: (asked.surge && fastest >= SEPARATION * slowest).then(|| Surge {
            base_per_s: BASE_PART * slowest,
            peak_per_s: (2.0 * slowest).min(0.8 * fastest),
            base_s: BASE.as_secs_f64(),
            peak_s: PEAK.as_secs_f64(),
        }),
        // A rate that was asked for may sit at the limit; a hair above is rounding, not overload.
        comparable: steady_per_s <= STEADY_PART * slowest * 1.001,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const ASKED: Asked =
        Asked { rate_per_s: None, duration: Duration::from_secs(1), drain_events: None, surge: true };

    #[test]
    fn the_slowest_sets_the_steady_rate_and_the_fastest_the_backlog() {
        let rates = fix(&[1000.0, 3000.0], ASKED);
        assert!((rates.steady_per_s - 600.0).abs() < 1e-9);
        assert!((rates.steady.as_secs_f64() - 5.0).abs() < 1e-9, "3,000 events at 600/s");
        assert_eq!(rates.drain_events, 7650);
        assert!(rates.comparable);
        let surge = rates.surge.unwrap();
        assert!((surge.peak_per_s - 2000.0).abs() < 1e-9, "twice the slowest");
    }

    #[test]
    fn the_peak_stays_below_the_fastest() {
        let surge = fix(&[1000.0, 1500.0], ASKED).surge.unwrap();
        assert!((surge.peak_per_s - 1200.0).abs() < 1e-9, "0.8 × the fastest");
    }

    #[test]
    fn no_surge_where_no_rate_separates_them() {
        assert!(fix(&[1000.0, 1399.0], ASKED).surge.is_none());
        assert!(fix(&[1000.0], ASKED).surge.is_none());
        assert!(fix(&[1000.0, 3000.0], Asked { surge: false, ..ASKED }).surge.is_none());
    }

    #[test]
    fn percentiles_at_an_overloading_rate_are_not_comparable() {
        assert!(!fix(&[1000.0], Asked { rate_per_s: Some(700.0), ..ASKED }).comparable);
        assert!(fix(&[1000.0], Asked { rate_per_s: Some(600.0), ..ASKED }).comparable);
    }
}
