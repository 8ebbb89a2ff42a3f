//! The timeline seen from outside: an event counts as visible once the group's committed offset has passed it.
//!
//! A worker commits an offset only when everything before it is stored and visible, so the committed offset is an upper bound
//! of when, later by at most the worker's commit interval and one tick of the sampler.

use std::collections::BTreeMap;
use std::sync::atomic::Ordering;

use super::{PhaseId, Timeline};
use crate::measure::outside::CommitSamples;

impl Timeline {
    /// Events that lie below the committed offsets `next`, by partition, have been visible since `at_ns` at the latest.
    /// `owner` names who owns a partition.
    pub fn committed_up_to(&self, next: &BTreeMap<i32, i64>, at_ns: u64, owner: &BTreeMap<i32, String>) {
        let by: BTreeMap<i32, u32> =
            owner.iter().map(|(partition, name)| (*partition, self.consumers.number(name))).collect();
        for (number, phase) in self.phases.iter().enumerate() {
            if phase.start.get().is_none() {
                continue;
            }
            let mut count = 0;
            for event in &self.events[phase.range.clone()] {
                let (partition, offset) =
                    (event.partition.load(Ordering::Relaxed), event.offset.load(Ordering::Relaxed));
                let done = offset >= 0 && next.get(&partition).is_some_and(|next| offset < *next);
                if done && event.visible.pass(at_ns) {
                    event.by.store(by.get(&partition).copied().unwrap_or(u32::MAX), Ordering::Relaxed);
                    count += 1;
                }
            }
            self.count_visible(number, count);
        }
    }

    /// Who owns which partitions, as somebody outside sees it.
    pub fn owned_are(&self, owned: BTreeMap<String, Vec<i32>>) {
        self.lock_journal().owned = owned;
        self.changed.notify_waiters();
    }

    /// Whether a phase has started.
    pub fn has_begun(&self) -> bool {
        self.phases.iter().any(|phase| phase.start.get().is_some())
    }

    /// When the last event of a phase was committed, in ns since the run's epoch; `None` while one is not.
    pub fn last_committed_ns(&self, phase: PhaseId, commits: &CommitSamples) -> Option<u64> {
        self.range(phase).try_fold(0, |last, index| Some(last.max(commits.passed_ns(self.origin(index)?)?)))
    }

    /// committed − due of each event of a phase, in ns: response times as they are seen from outside.
    pub fn committed_response_ns(&self, phase: PhaseId, commits: &CommitSamples) -> Vec<i64> {
        let response = |index| {
            let committed = commits.passed_ns(self.origin(index)?)?;
            Some(committed as i64 - self.passed(index).due? as i64)
        };
        self.range(phase).filter_map(response).collect()
    }
}
