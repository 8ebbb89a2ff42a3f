//! Which offsets are being worked on, and up to where all are done: the only offsets that may be committed.
//!
//! ```text
//! offset      4  5  6  7  8  9
//!             ✓  ✓  …  ✓  …        6 and 8 are in flight; 9 is the position
//!                   ▲ watermark: what may be committed
//! ```

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Mutex, MutexGuard, PoisonError};

/// The offsets of all partitions of an assignment. Shared by the mode, which completes them, and the commits, which follow. Never held
/// across an await.
#[derive(Debug, Default)]
pub(crate) struct Tracker(Mutex<BTreeMap<i32, PartitionOffsets>>);

/// The offsets of one partition.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
struct PartitionOffsets {
    in_flight: BTreeSet<i64>,
    /// Behind everything that was begun or stepped over; `None` before that.
    position: Option<i64>,
    committed: Option<i64>,
}

impl PartitionOffsets {
    /// The first offset that is not done.
    fn watermark(&self) -> Option<i64> {
        self.in_flight.first().copied().or(self.position)
    }
}

impl Tracker {
    /// Work begins where the group's committed offset says, or at the log's start if there is none.
    pub(crate) fn start(&self, partition: i32, committed: Option<i64>) {
        let offsets = PartitionOffsets { position: committed, committed, ..PartitionOffsets::default() };
        self.lock().insert(partition, offsets);
    }

    /// The message at `offset` is taken in hand.
    pub(crate) fn begin(&self, partition: i32, offset: i64) {
        let mut partitions = self.lock();
        let offsets = partitions.entry(partition).or_default();
        offsets.in_flight.insert(offset);
        offsets.position = Some(offset + 1);
    }

    /// All that is to be done with the message at `offset` is done.
    pub(crate) fn complete(&self, partition: i32, offset: i64) {
        if let Some(offsets) = self.lock().get_mut(&partition) {
            offsets.in_flight.remove(&offset);
        }
    }

    /// What lies before `next` and was not begun needs no work: markers, or batches that compaction has emptied.
    pub(crate) fn step_over(&self, partition: i32, next: i64) {
        self.lock().entry(partition).or_default().position = Some(next);
    }

    /// The watermarks that the group does not know yet.
    pub(crate) fn uncommitted(&self) -> BTreeMap<i32, i64> {
        let partitions = self.lock();
        let open = partitions.iter().filter_map(|(partition, offsets)| {
            offsets.watermark().filter(|next| offsets.committed != Some(*next)).map(|next| (*partition, next))
        });
        open.collect()
    }

    /// The group knows these now.
    pub(crate) fn committed(&self, next: &BTreeMap<i32, i64>) {
        let mut partitions = self.lock();
        for (partition, offset) in next {
            if let Some(offsets) = partitions.get_mut(partition) {
                offsets.committed = Some(*offset);
            }
        }
    }

    /// Forgets the partitions that are not among these.
    pub(crate) fn retain(&self, partitions: &[i32]) {
        self.lock().retain(|partition, _| partitions.contains(partition));
    }

    fn lock(&self) -> MutexGuard<'_, BTreeMap<i32, PartitionOffsets>> {
        // Each critical section is a few plain stores, so a poisoned map is still whole.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn a_commit_covers_what_was_done_and_not_what_came_since() {
        let tracker = Tracker::default();
        tracker.begin(0, 0);
        assert_eq!(tracker.uncommitted(), BTreeMap::from([(0, 0)]), "nothing of it is done");
        tracker.complete(0, 0);
        let asked = tracker.uncommitted();
        assert_eq!(asked, BTreeMap::from([(0, 1)]));
        tracker.begin(0, 1);
        tracker.complete(0, 1);
        tracker.committed(&asked);
        assert_eq!(tracker.uncommitted(), BTreeMap::from([(0, 2)]));
    }

    #[test]
    fn what_is_stepped_over_is_committed_once_all_before_it_is_done() {
        let tracker = Tracker::default();
        tracker.begin(3, 5);
        tracker.step_over(3, 9);
        assert_eq!(tracker.uncommitted(), BTreeMap::from([(3, 5)]));
        tracker.complete(3, 5);
        assert_eq!(tracker.uncommitted(), BTreeMap::from([(3, 9)]));
        tracker.retain(&[1]);
        assert_eq!(tracker.uncommitted(), BTreeMap::new());
    }

    /// One thing that happens to a partition's work.
    #[derive(Clone, Debug)]
    enum Step {
        /// The next message is taken in hand.
        Begin,
        /// One of those in flight is done; which, by chance.
        Complete(usize),
        /// Markers lie there.
        Marker,
        Commit,
        /// The partition was revoked, and comes back: work goes on from the committed offset.
        Restart,
    }

    fn steps() -> impl Strategy<Value = Vec<Step>> {
        let step = prop_oneof![
            4 => Just(Step::Begin),
            4 => any::<usize>().prop_map(Step::Complete),
            1 => Just(Step::Marker),
            2 => Just(Step::Commit),
            1 => Just(Step::Restart),
        ];
        proptest::collection::vec(step, 0..200)
    }

    /// What commits follow, right or wrong.
    trait Offsets: Default {
        fn begin(&self, offset: i64);
        fn complete(&self, offset: i64);
        fn step_over(&self, next: i64);
        fn next(&self) -> Option<i64>;
        fn committed(&self, next: i64);
    }

    impl Offsets for Tracker {
        fn begin(&self, offset: i64) {
            self.begin(0, offset);
        }
        fn complete(&self, offset: i64) {
            self.complete(0, offset);
        }
        fn step_over(&self, next: i64) {
            self.step_over(0, next);
        }
        fn next(&self) -> Option<i64> {
            self.uncommitted().get(&0).copied()
        }
        fn committed(&self, next: i64) {
            self.committed(&BTreeMap::from([(0, next)]));
        }
    }

    /// Whether no offset was ever committed past work that was not finished, and none was left uncommitted at the end.
    fn keeps_the_law<O: Offsets>(steps: &[Step]) -> Result<(), String> {
        let (mut tracker, mut in_flight, mut done) = (O::default(), Vec::new(), BTreeSet::new());
        let (mut at, mut committed) = (0, 0);
        let commit = |tracker: &O, done: &BTreeSet<i64>, committed: &mut i64| {
            let Some(next) = tracker.next() else { return Ok(()) };
            if let Some(hole) = (*committed..next).find(|offset| !done.contains(offset)) {
                return Err(format!("{next} is committed, and {hole} is not finished"));
            }
            tracker.committed(next);
            *committed = next;
            Ok(())
        };
        for step in steps {
            match step {
                Step::Begin => {
                    tracker.begin(at);
                    in_flight.push(at);
                    at += 1;
                }
                Step::Complete(which) if !in_flight.is_empty() => {
                    let offset = in_flight.swap_remove(which % in_flight.len());
                    tracker.complete(offset);
                    done.insert(offset);
                }
                Step::Complete(_) => {}
                Step::Marker => {
                    done.insert(at);
                    at += 1;
                    tracker.step_over(at);
                }
                Step::Commit => commit(&tracker, &done, &mut committed)?,
                Step::Restart => {
                    tracker = O::default();
                    in_flight.clear();
                    at = committed;
                }
            }
        }
        for offset in in_flight {
            tracker.complete(offset);
            done.insert(offset);
        }
        commit(&tracker, &done, &mut committed)?;
        if committed == at {
            Ok(())
        } else {
            Err(format!("{committed} is committed, and all before {at} is done"))
        }
    }

    proptest! {
        #[test]
        fn no_offset_is_committed_past_unfinished_work(steps in steps()) {
            prop_assert_eq!(keeps_the_law::<Tracker>(&steps), Ok(()));
        }
    }

    /// Commits what was finished last, holes or not.
    #[derive(Default)]
    struct PastHoles(Mutex<Option<i64>>);

    impl Offsets for PastHoles {
        fn begin(&self, _: i64) {}
        fn complete(&self, offset: i64) {
            let mut next = self.0.lock().unwrap();
            *next = (*next).max(Some(offset + 1));
        }
        fn step_over(&self, to: i64) {
            let mut next = self.0.lock().unwrap();
            *next = (*next).max(Some(to));
        }
        fn next(&self) -> Option<i64> {
            *self.0.lock().unwrap()
        }
        fn committed(&self, _: i64) {}
    }

    /// Commits what was taken in hand, finished or not, as one that does not wait for its drain would.
    #[derive(Default)]
    struct Undrained(Mutex<Option<i64>>);

    impl Offsets for Undrained {
        fn begin(&self, offset: i64) {
            *self.0.lock().unwrap() = Some(offset + 1);
        }
        fn complete(&self, _: i64) {}
        fn step_over(&self, next: i64) {
            *self.0.lock().unwrap() = Some(next);
        }
        fn next(&self) -> Option<i64> {
            *self.0.lock().unwrap()
        }
        fn committed(&self, _: i64) {}
    }

    /// The law finds planted faults, so that it says something where it finds none.
    #[test]
    fn a_tracker_that_commits_past_holes_or_without_a_drain_is_found() {
        use proptest::test_runner::{Config, TestRunner};
        fn found<O: Offsets>() -> bool {
            let config = Config { failure_persistence: None, ..Config::default() };
            TestRunner::new_with_rng(
                config,
                proptest::test_runner::TestRng::deterministic_rng(Default::default()),
            )
            .run(&steps(), |steps| keeps_the_law::<O>(&steps).map_err(TestCaseError::fail))
            .is_err()
        }
        assert!(found::<PastHoles>());
        assert!(found::<Undrained>());
        assert!(!found::<Tracker>());
    }
}
