//! Lag in time: how long the oldest event that is not yet visible has been due.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{Ordering, fence};

use super::Timeline;

/// Finds the oldest event of a partition that is due and not yet visible.
///
/// Within a phase events are laid out by due time, and an event once visible stays so: a mark per partition
/// that only moves forward makes a tick cost what happened since the last one.
pub struct OldestNotVisible {
    timeline: Arc<Timeline>,
    marks: BTreeMap<i32, usize>,
}

impl OldestNotVisible {
    /// Starts at the timeline's beginning.
    pub fn new(timeline: Arc<Timeline>) -> Self {
        Self { timeline, marks: BTreeMap::new() }
    }

    /// The timeline that is watched.
    pub fn timeline(&self) -> &Arc<Timeline> {
        &self.timeline
    }

    /// How long, at `now_ns`, the oldest event of `partition` has been due without being visible; 0 if there is none.
    ///
    /// An event whose partition is unknown until it is acked (no key) counts for every partition until then.
    pub fn lag_ns(&mut self, partition: i32, now_ns: u64) -> u64 {
        self.due_ns(partition, now_ns).map_or(0, |due| now_ns.saturating_sub(due))
    }

    fn due_ns(&mut self, partition: i32, now_ns: u64) -> Option<u64> {
        let timeline = &*self.timeline;
        let mark = self.marks.entry(partition).or_default();
        // Once something had to be left open behind, the mark stays there while the search goes on.
        let mut settled = true;
        let from = *mark;
        for phase in timeline.laid_out().filter(|phase| phase.range.end > from) {
            if phase.start.get().is_none() {
                settled = false;
                continue;
            }
            let offered = phase.offered.load(Ordering::Relaxed);
            for index in from.saturating_sub(phase.range.start)..offered {
                let event = &phase.events[index];
                // Before where it lies: that is right once it is acknowledged.
                let acked = event.acked.get().is_some();
                fence(Ordering::Acquire);
                let elsewhere = event.partition().is_some_and(|lies_in| lies_in != partition);
                let visible = event.visible.get().is_some();
                if elsewhere || visible {
                    // Until then it is expected there, and partitions may be added.
                    let certain = visible || acked;
                    if !certain && phase.due_ns(index).is_none_or(|due| due > now_ns) {
                        return None; // nor is what comes after it due
                    }
                    settled &= certain;
                    if settled {
                        *mark = phase.range.start + index + 1;
                    }
                    continue;
                }
                // Later events of the phase are due later still, and later phases after them.
                return phase.due_ns(index).filter(|due| *due <= now_ns);
            }
        }
        None
    }
}
