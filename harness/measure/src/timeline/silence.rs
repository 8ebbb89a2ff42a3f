//! How long a partition was silent: something of it was due, and nothing became visible.

use std::collections::BTreeMap;
use std::ops::Range;

use super::{PhaseId, Timeline};

impl Timeline {
    /// Of each partition, the longest stretch of a phase in which one of its events was due and none became visible, in ns since the run's
    /// epoch. Events that never became visible waited until `ended_ns`; those that were never acknowledged have no partition, and don't count.
    pub fn silences(&self, phase: PhaseId, ended_ns: u64) -> BTreeMap<i32, Range<u64>> {
        let mut partitions: BTreeMap<i32, Vec<(u64, u64)>> = BTreeMap::new();
        for index in self.range(phase) {
            let times = self.passed(index);
            if let (Some(origin), Some(due)) = (self.origin(index), times.due) {
                partitions
                    .entry(origin.partition)
                    .or_default()
                    .push((times.visible.unwrap_or(ended_ns), due));
            }
        }
        partitions.into_iter().map(|(partition, events)| (partition, longest(events))).collect()
    }
}

/// The longest stretch in which one of these events, each by when it was visible and when it was due, was due and none became visible.
fn longest(mut events: Vec<(u64, u64)>) -> Range<u64> {
    events.sort_unstable();
    let mut longest = 0..0;
    // From the last on: what waits before an event is visible is what becomes visible then or later.
    let mut earliest_due = u64::MAX;
    for (place, &(visible, due)) in events.iter().enumerate().rev() {
        earliest_due = earliest_due.min(due);
        let before = place.checked_sub(1).map_or(0, |place| events[place].0);
        let from = before.max(earliest_due);
        if visible.saturating_sub(from) >= longest.end - longest.start {
            longest = from.min(visible)..visible;
        }
    }
    longest
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn silence_is_when_something_is_due_and_nothing_is_seen() {
        // (visible, due): one every 10, each 2 late.
        let calm: Vec<(u64, u64)> = (0..5).map(|n| (n * 10 + 2, n * 10)).collect();
        assert_eq!(longest(calm).count(), 2, "between two events that are due nothing waits");
        // What is due at 20 and 30 is seen at 37, all at once.
        let silent = vec![(2, 0), (12, 10), (37, 20), (37, 30), (42, 40)];
        assert_eq!(longest(silent), 20..37);
        // What is overtaken waits on, but something is seen meanwhile: from when it was due until the next was seen.
        let overtaken = vec![(2, 0), (50, 10), (22, 20), (32, 30), (42, 40)];
        assert_eq!(longest(overtaken), 10..22);
        assert_eq!(longest(Vec::new()), 0..0);
        assert_eq!(longest(vec![(5, 9)]), 5..5, "visible before it was due, by another's clock");
    }

    #[test]
    fn the_first_of_all_may_be_what_is_waited_for() {
        assert_eq!(longest(vec![(100, 10), (101, 20)]), 10..100);
    }
}
