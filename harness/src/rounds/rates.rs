//! Which rates, sizes and how many rounds a run uses, fixed from the warm-up before round 1 (docs/method.md, "Rates" and
//! "Rounds"). Pure.

use std::time::Duration;

use crate::record::PhaseKind;
use crate::record::{Rates, Surge};
use crate::scenario::{Rate, Scenario};
use crate::trial::phase::{Offer, PhaseSpec};
use crate::workload::Segment;

/// A drain should last at least this long at the fastest configuration.
const DRAIN_MIN: Duration = Duration::from_millis(1500);
/// The backlog of a configuration that is far slower than the fastest is what it works off in this time: keyed mode may be sixty times as
/// fast as record mode, whose drain would then take minutes.
const DRAIN_MAX: Duration = Duration::from_secs(8);
/// Events that a schedule of random gaps is planned for, so that it hardly ever has fewer than the 3,000 from which on percentiles are
/// compared: four standard deviations more.
const STEADY_EVENTS: f64 = 3220.0;
/// The steady rate, as a part of the smallest sustained capacity.
pub const STEADY_PART: f64 = 0.6;
/// The surge's base rate, as a part of the smallest sustained capacity: low enough that what the peak left behind drains.
const BASE_PART: f64 = 0.4;
/// Below this ratio of largest to smallest sustained capacity no peak rate overloads one and not the other.
pub const SEPARATION: f64 = 1.4;
/// Where the warm-up finds this ratio or more, the rounds may find one of [`SEPARATION`]: time is kept for it. One of ten default runs went from
/// 1.30 to 1.47, and was 15 s too long for want of that time.
const MAY_SEPARATE: f64 = 1.2;
/// A closed loop holds in flight what the drain worked off in this time.
const IN_FLIGHT: Duration = Duration::from_millis(500);
/// A closed loop has events enough for a configuration that is this much faster than its drain was.
const FASTER_THAN_DRAIN: f64 = 2.5;
/// Rounds in which the surge is run.
pub const SURGE_ROUNDS: u32 = 3;

/// How long things last that no measurement fixes.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Sizes {
    /// Room for the fastest configuration being faster still once everything is warm.
    pub drain_margin: f64,
    /// What a closed loop sends first, uncounted.
    pub settle: Duration,
    /// What of a closed loop is counted; zero leaves it out.
    pub counted: Duration,
    /// Events of the steady phase at least; zero leaves it out.
    pub steady_events: f64,
    /// Each of the surge's two base parts.
    pub base: Duration,
    /// The surge's peak.
    pub peak: Duration,
}

impl Sizes {
    /// Where numbers count.
    pub const MEASUREMENT: Self = Self {
        drain_margin: 1.2,
        settle: Duration::from_secs(1),
        counted: Duration::from_secs(3),
        steady_events: STEADY_EVENTS,
        base: Duration::from_secs(1),
        peak: Duration::from_secs(3),
    };
    /// Where many rounds must fit into few minutes: only the fastest drain's time counts.
    pub const GATE: Self = Self {
        drain_margin: 1.1,
        settle: Duration::ZERO,
        counted: Duration::ZERO,
        steady_events: STEADY_EVENTS,
        base: Duration::ZERO,
        peak: Duration::ZERO,
    };
    /// Where a minute must be enough: what each sustains, and response times to look at.
    pub const QUICK: Self = Self {
        drain_margin: 1.0,
        settle: Duration::from_millis(500),
        counted: Duration::from_millis(1500),
        steady_events: 800.0,
        base: Duration::ZERO,
        peak: Duration::ZERO,
    };
    /// Where two minutes must be enough: percentiles are shown, not compared, and a modelled call leaves little to warm.
    pub const DEMONSTRATION: Self = Self {
        drain_margin: 1.15,
        settle: Duration::from_millis(500),
        counted: Duration::from_millis(1500),
        steady_events: 800.0,
        base: Duration::from_secs(1),
        peak: Duration::from_secs(3),
    };
}

/// What was asked for, where it overrides the rule.
#[derive(Clone, Copy, Debug, Default)]
pub struct Requested {
    /// Rate of the steady phase.
    pub rate_per_s: Option<f64>,
    /// Length of the steady phase at least.
    pub duration: Duration,
    /// Events of the backlog.
    pub drain_events: Option<u64>,
    /// Whether the surge is wanted.
    pub surge: bool,
}

/// What one configuration did in the last pass of the warm-up.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Capacity {
    /// A backlog worked off, events/s.
    pub drain_per_s: f64,
    /// While the producer sends, events/s; where that was not measured, the drain's.
    pub sustained_per_s: f64,
}

impl Capacity {
    /// Of each rate the larger.
    pub fn max(self, other: Self) -> Self {
        Self {
            drain_per_s: self.drain_per_s.max(other.drain_per_s),
            sustained_per_s: self.sustained_per_s.max(other.sustained_per_s),
        }
    }
}

/// The smallest sustained capacity.
pub fn smallest(capacities: &[Capacity]) -> f64 {
    extremes(capacities.iter().map(|c| c.sustained_per_s)).0
}

/// Smallest and largest of some rates; 0 and 0 for none.
pub fn extremes(rates: impl Iterator<Item = f64> + Clone) -> (f64, f64) {
    let largest = rates.clone().fold(0.0, f64::max);
    (rates.fold(f64::INFINITY, f64::min).min(largest), largest)
}

/// The backlog that the fastest of these drains, in events/s, takes the method's time for.
pub fn backlog(drains_per_s: impl Iterator<Item = f64> + Clone, sizes: Sizes) -> u64 {
    let (_, fastest) = extremes(drains_per_s);
    ((fastest * DRAIN_MIN.as_secs_f64() * sizes.drain_margin).ceil() as u64).max(1000)
}

/// The rate of an open loop that every configuration should keep up with.
pub fn steady_per_s(smallest_sustained_per_s: f64, lowered: u32) -> f64 {
    STEADY_PART * 0.75_f64.powi(lowered.cast_signed()) * smallest_sustained_per_s
}

/// Fixes what all rounds offer. `steady_per_s` is the rate that was proven or, for want of a proof, the one to use.
pub fn fix(capacities: &[Capacity], requested: Requested, sizes: Sizes, steady_per_s: f64) -> Rates {
    let drains = capacities.iter().map(|c| c.drain_per_s);
    let steady_per_s = requested.rate_per_s.unwrap_or(steady_per_s);
    let steady_s = if sizes.steady_events > 0.0 && steady_per_s > 0.0 {
        requested.duration.as_secs_f64().max(sizes.steady_events / steady_per_s)
    } else {
        0.0
    };
    Rates {
        drain_events: requested.drain_events.unwrap_or_else(|| backlog(drains, sizes)),
        sustained_s: sizes.counted.as_secs_f64(),
        steady_per_s,
        steady_s,
        surge: None,
    }
}

/// The same for one configuration, whose backlog does not take too long.
pub(crate) fn of(rates: &Rates, capacity: Capacity, requested: Requested) -> Rates {
    let events = rates.drain_events;
    let own = if requested.drain_events.is_some() { events } else { cut(events, capacity.drain_per_s) };
    Rates { drain_events: own, ..rates.clone() }
}

/// A backlog as it is where it does not take too long, else what is worked off in time.
pub(crate) fn cut(events: u64, drain_per_s: f64) -> u64 {
    events.min(((drain_per_s * DRAIN_MAX.as_secs_f64()).ceil() as u64).max(1000))
}

/// The surge between these sustained capacities, if a rate separates them.
pub fn surge(sustained_per_s: impl Iterator<Item = f64> + Clone, sizes: Sizes) -> Option<Surge> {
    separated_by(SEPARATION, sustained_per_s, sizes)
}

/// About the surge that rounds may have which begin with these capacities.
pub(crate) fn possible_surge(capacities: &[Capacity], requested: Requested, sizes: Sizes) -> Option<Surge> {
    requested
        .surge
        .then(|| separated_by(MAY_SEPARATE, capacities.iter().map(|c| c.sustained_per_s), sizes))?
}

fn separated_by(
    ratio: f64,
    sustained_per_s: impl Iterator<Item = f64> + Clone,
    sizes: Sizes,
) -> Option<Surge> {
    let (smallest_per_s, largest_per_s) = extremes(sustained_per_s);
    (smallest_per_s > 0.0 && largest_per_s >= ratio * smallest_per_s).then(|| Surge {
        base_per_s: BASE_PART * smallest_per_s,
        peak_per_s: (smallest_per_s * largest_per_s).sqrt(),
        base_s: sizes.base.as_secs_f64(),
        peak_s: sizes.peak.as_secs_f64(),
        smallest_per_s,
        largest_per_s,
    })
}

/// The first round, of so many, that has the surge: the last ones do, and its rates follow from those before.
pub fn first_surge_round(rounds: u32) -> u32 {
    rounds.saturating_sub(SURGE_ROUNDS) + 1
}

/// The closed loop by which a sustained capacity is measured, with events for a configuration whose drain ran at
/// `drain_per_s`; `None` where the sizes leave it out.
pub(crate) fn sustained(drain_per_s: f64, sizes: Sizes) -> Option<PhaseSpec> {
    if sizes.counted.is_zero() {
        return None;
    }
    let length = IN_FLIGHT + sizes.settle + sizes.counted;
    let events = (drain_per_s * length.as_secs_f64() * FASTER_THAN_DRAIN).ceil() as u64;
    let offer = Offer::ClosedLoop {
        in_flight: IN_FLIGHT,
        settle: sizes.settle,
        counted: sizes.counted,
        events: events.max(1000),
    };
    Some(PhaseSpec::new(PhaseKind::Sustained, offer))
}

/// The phases of a trial at these rates, with or without a surge.
pub(crate) fn phases(
    rates: &Rates,
    capacities: &[Capacity],
    sizes: Sizes,
    surge: Option<&Surge>,
) -> Vec<PhaseSpec> {
    let (_, fastest_drain) = extremes(capacities.iter().map(|c| c.drain_per_s));
    let mut phases = vec![PhaseSpec::new(PhaseKind::Drain, Offer::Backlog { events: rates.drain_events })];
    phases.extend(sustained(fastest_drain, sizes));
    if rates.steady_s > 0.0 {
        let length = Duration::from_secs_f64(rates.steady_s);
        let steady = Segment { rate_per_s: rates.steady_per_s, length };
        phases.push(PhaseSpec::new(PhaseKind::Steady, Offer::Schedule(vec![steady])));
    }
    if let Some(surge) = surge {
        let segment = |per_s, s| Segment { rate_per_s: per_s, length: Duration::from_secs_f64(s) };
        let base = segment(surge.base_per_s, surge.base_s);
        let offer = Offer::Schedule(vec![base, segment(surge.peak_per_s, surge.peak_s), base]);
        let capacity_per_s = Some(surge.smallest_per_s);
        phases.push(PhaseSpec { capacity_per_s, ..PhaseSpec::new(PhaseKind::Surge, offer) });
    }
    phases
}

/// What a scenario offers, events/s, the same to every configuration.
pub(crate) fn scenario_per_s(scenario: &Scenario, capacities: &[Capacity]) -> f64 {
    match scenario.rate {
        Rate::PerSecond(per_s) => per_s,
        Rate::OfCapacity(part) => part * smallest(capacities),
    }
}

/// The phase of a scenario. It is the last of its trial, since what is done in it may stay done.
pub(crate) fn scenario(scenario: &Scenario, capacities: &[Capacity]) -> PhaseSpec {
    let rate_per_s = scenario_per_s(scenario, capacities);
    let offer = Offer::Schedule(vec![Segment { rate_per_s, length: scenario.length }]);
    PhaseSpec { faults: scenario.faults.clone(), ..PhaseSpec::new(PhaseKind::Scenario, offer) }
}

/// How long that takes about.
pub(crate) fn scenario_length(scenario: &Scenario) -> Duration {
    scenario.length + Duration::from_secs(1)
}

/// How long the phases of a trial take a configuration, by their own lengths.
pub fn length(rates: &Rates, capacity: Capacity, sizes: Sizes, surge: Option<&Surge>) -> Duration {
    let drain_s = rates.drain_events as f64 / capacity.drain_per_s.max(1.0);
    let sustained_s =
        if sizes.counted.is_zero() { 0.0 } else { (sizes.settle + sizes.counted + IN_FLIGHT).as_secs_f64() };
    let surge_s = surge.map_or(0.0, |surge| {
        let offered = 2.0 * surge.base_s * surge.base_per_s + surge.peak_s * surge.peak_per_s;
        (2.0 * surge.base_s + surge.peak_s).max(offered / capacity.sustained_per_s.max(1.0))
    });
    Duration::from_secs_f64(drain_s + sustained_s + rates.steady_s + surge_s)
}

/// Fewest and most rounds that a time budget may give.
pub const ROUNDS: std::ops::RangeInclusive<u32> = 4..=12;

/// How long a round lasts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RoundLength {
    /// Without a surge.
    pub plain: Duration,
    /// How much longer with one.
    pub surge: Duration,
}

impl RoundLength {
    /// With something more in every round.
    pub fn longer(self, by: Duration) -> Self {
        Self { plain: self.plain + by, ..self }
    }

    /// How long so many last, of which [`SURGE_ROUNDS`] have a surge.
    pub fn times(self, rounds: u32) -> Duration {
        self.plain * rounds + self.surge * rounds.min(SURGE_ROUNDS)
    }
}

/// The rounds that fit into `left`. Fixed before the first one, and so blind to the values.
pub fn rounds(left: Duration, round: RoundLength, fewest: u32) -> u32 {
    (fewest..=*ROUNDS.end()).take_while(|&n| n == fewest || round.times(n) <= left).last().unwrap_or(fewest)
}

#[cfg(test)]
mod tests {
    use super::*;

    const REQUESTED: Requested =
        Requested { rate_per_s: None, duration: Duration::from_secs(1), drain_events: None, surge: true };

    fn capacities(sustained: &[f64]) -> Vec<Capacity> {
        sustained.iter().map(|&s| Capacity { drain_per_s: 2.0 * s, sustained_per_s: s }).collect()
    }

    fn steady_of(sustained: &[f64]) -> f64 {
        steady_per_s(extremes(sustained.iter().copied()).0, 0)
    }

    fn fixed(sustained: &[f64]) -> Rates {
        fix(&capacities(sustained), REQUESTED, Sizes::MEASUREMENT, steady_of(sustained))
    }

    #[test]
    fn the_smallest_capacity_sets_the_steady_rate_and_the_fastest_drain_the_backlog() {
        let rates = fixed(&[1000.0, 3000.0]);
        assert!((rates.steady_per_s - 600.0).abs() < 1e-9);
        assert!((rates.steady_s - 3220.0 / 600.0).abs() < 1e-9, "3,220 events at 600/s");
        assert_eq!(rates.drain_events, 10_800, "1.5 s at 6,000/s, and a fifth more");
        assert!(rates.has_enough_events());
        let surge = surge([1000.0, 3000.0].into_iter(), Sizes::MEASUREMENT).unwrap();
        assert!((surge.base_per_s - 400.0).abs() < 1e-9);
        assert!((surge.peak_per_s - 1732.05).abs() < 0.01, "√(1,000 × 3,000)");
    }

    #[test]
    fn a_configuration_that_is_far_slower_has_a_smaller_backlog_unless_one_is_asked_for() {
        let rates = fixed(&[100.0, 1000.0, 3000.0]);
        let events =
            |sustained: f64, requested| of(&rates, capacities(&[sustained])[0], requested).drain_events;
        assert_eq!([3000.0, 1000.0].map(|sustained| events(sustained, REQUESTED)), [10_800; 2]);
        assert_eq!(events(500.0, REQUESTED), 8_000, "8 s at 1,000/s");
        assert_eq!(events(10.0, REQUESTED), 1_000);
        let asked = Requested { drain_events: Some(10_800), ..REQUESTED };
        assert_eq!(events(10.0, asked), 10_800);
    }

    #[test]
    fn an_unproven_rate_is_lowered_by_quarters() {
        let rate = |lowered| steady_per_s(1000.0, lowered);
        assert!((rate(1) - 450.0).abs() < 1e-9 && (rate(2) - 337.5).abs() < 1e-9);
        let proven = fix(&capacities(&[1000.0]), REQUESTED, Sizes::MEASUREMENT, 450.0);
        assert!((proven.steady_per_s - 450.0).abs() < 1e-9);
        let asked = Requested { rate_per_s: Some(77.0), ..REQUESTED };
        let asked = fix(&capacities(&[1000.0]), asked, Sizes::MEASUREMENT, 450.0);
        assert!((asked.steady_per_s - 77.0).abs() < 1e-9);
    }

    #[test]
    fn no_surge_where_no_rate_separates_them() {
        let sizes = Sizes::MEASUREMENT;
        let separated = |sustained: &[f64]| surge(sustained.iter().copied(), sizes).is_some();
        assert!(separated(&[1000.0, 1400.0]));
        assert!(!separated(&[1000.0, 1399.0]) && !separated(&[1000.0]) && !separated(&[]));
        let kept =
            |sustained: &[f64], requested| possible_surge(&capacities(sustained), requested, sizes).is_some();
        assert!(kept(&[1000.0, 1200.0], REQUESTED) && !kept(&[1000.0, 1199.0], REQUESTED));
        let unwanted = Requested { surge: false, ..REQUESTED };
        assert!(!kept(&[1000.0, 3000.0], unwanted));
    }

    #[test]
    fn the_last_three_rounds_have_the_surge() {
        assert_eq!([1, 3, 4, 6].map(first_surge_round), [1, 1, 2, 4]);
    }

    #[test]
    fn a_trial_has_the_phases_that_its_sizes_ask_for() {
        let capacities = capacities(&[1000.0, 3000.0]);
        let kinds = |sizes, with_surge| -> Vec<PhaseKind> {
            let rates = fix(&capacities, REQUESTED, sizes, 600.0);
            let surge = possible_surge(&capacities, Requested { surge: with_surge, ..REQUESTED }, sizes);
            phases(&rates, &capacities, sizes, surge.as_ref()).iter().map(|phase| phase.kind).collect()
        };
        use PhaseKind::{Drain, Steady, Surge, Sustained};
        assert_eq!(kinds(Sizes::MEASUREMENT, true), [Drain, Sustained, Steady, Surge]);
        assert_eq!(kinds(Sizes::MEASUREMENT, false), [Drain, Sustained, Steady]);
        assert_eq!(kinds(Sizes { steady_events: 0.0, ..Sizes::GATE }, false), [Drain]);
    }

    #[test]
    fn a_closed_loop_has_events_for_one_that_is_faster_than_its_drain() {
        let phase = sustained(4000.0, Sizes::MEASUREMENT).unwrap();
        assert!(matches!(phase.offer, Offer::ClosedLoop { events: 45_000, .. }), "4.5 s at 10,000/s");
    }

    #[test]
    fn a_budget_gives_four_to_twelve_rounds() {
        let s = Duration::from_secs;
        let round = |surge| RoundLength { plain: s(30), surge: s(surge) };
        assert_eq!(rounds(s(140), round(0), 4), 4);
        assert_eq!(rounds(s(155), round(0), 4), 5);
        assert_eq!(rounds(s(10), round(10), 4), 4, "fewer are no measurement");
        assert_eq!(rounds(s(10), round(10), 3), 3, "but a demonstration");
        assert_eq!(rounds(s(9999), round(10), 4), 12);
        assert_eq!(rounds(s(180), round(10), 4), 5, "three surges of ten seconds");
        assert_eq!(rounds(s(180), round(10).longer(s(1)), 4), 4);
    }

    #[test]
    fn a_demonstration_is_short_and_compares_no_percentiles() {
        let rates = fix(&capacities(&[450.0, 1200.0]), REQUESTED, Sizes::DEMONSTRATION, 270.0);
        assert!(rates.steady_s < 4.0 && !rates.has_enough_events(), "{rates:?}");
        let long = Requested { duration: Duration::from_secs(12), ..REQUESTED };
        let rates = fix(&capacities(&[450.0, 1200.0]), long, Sizes::DEMONSTRATION, 270.0);
        assert!(rates.has_enough_events());
    }
}
