//! The timeline seen from outside: an event counts as visible once its status was read from the view, or else once the group's committed
//! offset has passed it.
//!
//! A worker commits an offset only when everything before it is stored and visible, so the committed offset is an upper bound
//! of when, later by at most the worker's commit interval and one tick of the sampler.

use std::collections::BTreeMap;
use std::sync::PoisonError;

use payment_delivery::event::{OrderId, Revision};
use payment_delivery::kafka::Origin;

use super::{PhaseId, Timeline};
use crate::commits::CommitSamples;

impl Timeline {
    /// Events that lie below the committed offsets `next`, by partition, have been visible since `at_ns` at the latest. Needs
    /// [`Self::keep_places`].
    /// `owner` names who owns a partition.
    pub fn committed_up_to(&self, next: &BTreeMap<i32, i64>, at_ns: u64, owner: &BTreeMap<i32, String>) {
        let by: BTreeMap<i32, u32> =
            owner.iter().map(|(partition, name)| (*partition, self.consumers.number(name))).collect();
        let mut counts: BTreeMap<usize, usize> = BTreeMap::new();
        let mut cursors = self.committed.lock().unwrap_or_else(PoisonError::into_inner);
        for (&partition, &next) in next {
            cursors.entry(partition).or_default().advance(next, |offset| {
                let Some(index) = self.acked_at(Origin { partition, offset }) else { return false };
                let (phase, number) = self.locate(index);
                if phase.start.get().is_none() {
                    return false;
                }
                let event = &phase.events[number];
                // Whoever owns the partition made it visible, also where the view told of it before.
                event.made_visible_by(by.get(&partition).copied().unwrap_or(u32::MAX));
                if event.visible.pass(at_ns) {
                    *counts.entry(phase.number).or_default() += 1;
                }
                true
            });
        }
        for (number, count) in counts {
            self.count_visible(self.get(PhaseId(number)), count);
        }
    }

    /// The view was seen at `at_ns` to hold this revision of an order.
    pub fn seen_in_view(&self, order_id: &OrderId, revision: Revision, at_ns: u64) {
        let Some((phase, order)) = self.order(order_id) else { return };
        let mut count = 0;
        phase.pass_down(order, revision, at_ns, |event| &event.visible, |_| count += 1);
        self.count_visible(phase, count);
    }

    /// The row of this revision was written at `at_ns`: where that is before the event was seen to be visible, it counts as visible from then on.
    pub fn seen_in_row(&self, order_id: &OrderId, revision: Revision, at_ns: u64) {
        if let Some(index) = self.index_of(order_id, revision) {
            self.event(index).visible.pass_earlier(at_ns);
        }
    }

    /// Who owns which partitions, as somebody outside sees it.
    pub fn owned_are(&self, owned: BTreeMap<String, Vec<i32>>) {
        self.lock_journal().owned = owned;
        self.changed.notify_waiters();
    }

    /// Whether a phase has started.
    pub fn has_begun(&self) -> bool {
        self.laid_out().any(|phase| phase.start.get().is_some())
    }

    /// When the last event of a phase was committed, in ns since the run's epoch; `None` while one is not.
    pub fn last_committed_ns(&self, phase: PhaseId, commits: &CommitSamples) -> Option<u64> {
        self.range(phase).try_fold(0, |last, index| Some(last.max(commits.passed_ns(self.origin(index)?)?)))
    }

    /// committed − due of each event of a phase, in ns: response times as they are seen from outside.
    pub fn committed_response_ns(
        &self,
        phase: PhaseId,
        commits: &CommitSamples,
    ) -> impl Iterator<Item = i64> {
        let response = |index| {
            let committed = commits.passed_ns(self.origin(index)?)?;
            Some(committed as i64 - self.passed(index).due? as i64)
        };
        self.range(phase).filter_map(response)
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;
    use crate::Clock;
    use crate::timeline::Due;
    use lanebench_workload::{Keys, Plan, PlanSpec};

    /// Two events, acknowledged at offsets 0 and 1 of partition 0.
    fn timeline() -> (Timeline, PhaseId) {
        let spec =
            PlanSpec { prefix: "d", events_per_order: 2, keys: Keys::Uniform, value_bytes: 0, seed: 1 };
        let plan = Arc::new(Plan::backlog(&spec, 2).unwrap());
        let timeline = Timeline::new(Clock::start(), |_| Some(0));
        timeline.keep_places();
        let phase = timeline.add_phase("drain", Due::Planned, plan).unwrap();
        for index in 0..2 {
            timeline.acked(index, Origin { partition: 0, offset: index as i64 });
        }
        (timeline, phase)
    }

    #[test]
    fn what_is_committed_is_visible_from_when_that_was_seen() {
        let (timeline, phase) = timeline();
        let owner = [(0, "member".to_owned())].into();
        timeline.committed_up_to(&[(0, 1)].into(), 50, &owner);
        assert_eq!(timeline.visible_count(phase), 0, "nothing has begun");
        timeline.start_phase(phase, 10);
        timeline.committed_up_to(&[(0, 1)].into(), 100, &owner);
        timeline.committed_up_to(&[(0, 2)].into(), 200, &owner);
        assert_eq!((timeline.passed(0).visible, timeline.passed(1).visible), (Some(100), Some(200)));
        assert_eq!((timeline.passed(0).fetched, timeline.passed(0).stored), (None, None), "not seen");
        assert_eq!(timeline.visible_count(phase), 2);
        let work = timeline.consumer_work(phase);
        assert_eq!((work[0].consumer.as_str(), work[0].events), ("member", 2));
    }

    #[test]
    fn what_the_view_showed_before_its_offset_was_committed_was_visible_then() {
        let (timeline, phase) = timeline();
        timeline.start_phase(phase, 10);
        let order = timeline.planned(0).order_id.clone();
        timeline.seen_in_view(&order, 1, 50);
        timeline.seen_in_view(&order, 1, 60);
        let owner = [(0, "member".to_owned())].into();
        timeline.committed_up_to(&[(0, 2)].into(), 200, &owner);
        timeline.seen_in_view(&order, 2, 300);
        assert_eq!((timeline.passed(0).visible, timeline.passed(1).visible), (Some(50), Some(200)));
        assert_eq!((timeline.visible_count(phase), timeline.consumer_work(phase)[0].events), (2, 2));
        timeline.seen_in_row(&order, 1, 70);
        timeline.seen_in_row(&order, 2, 80);
        assert_eq!((timeline.passed(0).visible, timeline.passed(1).visible), (Some(50), Some(80)));
    }

    #[test]
    fn a_phase_is_over_when_its_last_event_is_committed() {
        let (timeline, phase) = timeline();
        timeline.start_phase(phase, 10);
        let mut commits = CommitSamples::default();
        commits.push(100, &[(0, 1)].into());
        assert_eq!(timeline.last_committed_ns(phase, &commits), None);
        commits.push(200, &[(0, 2)].into());
        assert_eq!(timeline.last_committed_ns(phase, &commits), Some(200));
        assert_eq!(timeline.committed_response_ns(phase, &commits).collect::<Vec<_>>(), [90, 190]);
    }
}
