//! After a phase: its events' times, the stages between two milestones, and who did how much. Nothing here holds a second copy of a phase.

use std::collections::BTreeMap;
use std::ops::Range;
use std::sync::atomic::Ordering;

use super::{EventTimes, PhaseId, Timeline};

/// What one consumer did in a phase.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ConsumerWork {
    /// Its name.
    pub consumer: String,
    /// Events it made visible.
    pub events: u64,
    /// When the last of them was visible, in ns since the run's epoch.
    pub last_visible_ns: u64,
}

/// Times between two milestones, in ns; `None` where the event did not pass both. Signed: a later milestone may be stamped before an earlier one
/// (a consumer can be faster than the acknowledgement), and such a sample is shown, never dropped.
impl EventTimes {
    /// visible − due: what the payer feels.
    pub fn response_ns(&self) -> Option<i64> {
        between(self.due, self.visible)
    }

    /// sent − due: the generator's own lateness.
    pub fn send_delay_ns(&self) -> Option<i64> {
        between(self.due, self.sent)
    }

    /// acked − sent.
    pub fn ack_ns(&self) -> Option<i64> {
        between(self.sent, self.acked)
    }

    /// fetched − acked: in the log and in the consumer's queue.
    pub fn wait_ns(&self) -> Option<i64> {
        between(self.acked, self.fetched)
    }

    /// stored − fetched.
    pub fn store_ns(&self) -> Option<i64> {
        between(self.fetched, self.stored)
    }

    /// visible − stored.
    pub fn view_ns(&self) -> Option<i64> {
        between(self.stored, self.visible)
    }
}

fn between(from: Option<u64>, to: Option<u64>) -> Option<i64> {
    Some(to? as i64 - from? as i64)
}

impl Timeline {
    /// When each event of a phase passed its milestones, in plan order.
    pub fn events(&self, phase: PhaseId) -> impl Iterator<Item = EventTimes> {
        self.range(phase).map(|index| self.passed(index))
    }

    /// When each event of a phase was due and when it was visible, in ns since the run's epoch, in plan order; those that were
    /// never due, since their sender ended, are left out.
    pub fn due_and_visible_ns(&self, phase: PhaseId) -> impl Iterator<Item = (u64, Option<u64>)> {
        self.events(phase).filter_map(|event| Some((event.due?, event.visible)))
    }

    /// Events of a phase that became visible within these moments, in ns since the run's epoch.
    pub fn visible_within(&self, phase: PhaseId, ns: Range<u64>) -> usize {
        self.get(phase)
            .events
            .iter()
            .filter_map(|event| event.visible.get())
            .filter(|at| ns.contains(at))
            .count()
    }

    /// When the last event of a phase was sent, in ns since the run's epoch; `None` if none was.
    pub fn last_sent_ns(&self, phase: PhaseId) -> Option<u64> {
        self.get(phase).events.iter().filter_map(|event| event.sent.get()).max()
    }

    /// When the last event of a phase became visible, in ns since the run's epoch; `None` while one is not.
    pub fn last_visible_ns(&self, phase: PhaseId) -> Option<u64> {
        self.last_visible_ns_due_within(phase, 0..u64::MAX)
    }

    /// When the last event that is due within `due_ns` (from the phase's start) became visible; `None` while one is not,
    /// or if there is no such event.
    pub fn last_visible_ns_due_within(&self, phase: PhaseId, due_ns: Range<u64>) -> Option<u64> {
        let mut last = None;
        for (index, planned) in self.range(phase).zip(&self.plan(phase).events) {
            if due_ns.contains(&planned.due_ns) {
                last = last.max(Some(self.event(index).visible.get()?));
            }
        }
        last
    }

    /// Acked events of a phase by the partition in which they lie.
    pub fn partition_events(&self, phase: PhaseId) -> BTreeMap<i32, u64> {
        let mut events = BTreeMap::new();
        for origin in self.range(phase).filter_map(|index| self.origin(index)) {
            *events.entry(origin.partition).or_default() += 1;
        }
        events
    }

    /// What each consumer made visible in a phase, by name; one that made nothing visible is left out.
    pub fn consumer_work(&self, phase: PhaseId) -> Vec<ConsumerWork> {
        let names = self.consumers.names();
        let mut work: BTreeMap<&str, (u64, u64)> = BTreeMap::new();
        for event in &self.get(phase).events {
            let by = names.get(event.by.load(Ordering::Relaxed) as usize);
            if let (Some(at_ns), Some(name)) = (event.visible.get(), by) {
                let (events, last) = work.entry(name).or_default();
                *events += 1;
                *last = at_ns.max(*last);
            }
        }
        work.into_iter()
            .map(|(consumer, (events, last_visible_ns))| ConsumerWork {
                consumer: consumer.into(),
                events,
                last_visible_ns,
            })
            .collect()
    }
}
