//! After a phase: response times, the stages between two gates, and who did how much.

use std::collections::BTreeMap;
use std::ops::Range;
use std::sync::atomic::Ordering;

use super::{PhaseId, Timeline};

/// Durations of a phase in ns, one an event that passed both gates. Signed: a later gate may be stamped before an
/// earlier one (a consumer can be faster than the acknowledgement), and such a sample is shown, never dropped.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct PhaseTimes {
    /// visible − due: what the payer feels.
    pub response: Vec<i64>,
    /// sent − due: the generator's own lateness.
    pub slip: Vec<i64>,
    /// acked − sent.
    pub ack: Vec<i64>,
    /// fetched − acked: in the log and in the consumer's queue.
    pub wait: Vec<i64>,
    /// stored − fetched.
    pub store: Vec<i64>,
    /// visible − stored.
    pub view: Vec<i64>,
    /// Events that are not visible, and so have no response time.
    pub not_visible: usize,
}

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

impl Timeline {
    /// Response times and stages of a phase.
    pub fn times(&self, phase: PhaseId) -> PhaseTimes {
        let mut times = PhaseTimes::default();
        for index in self.range(phase) {
            let event = self.passed(index);
            times.not_visible += usize::from(event.visible.is_none());
            for (stage, from, to) in [
                (&mut times.response, event.due, event.visible),
                (&mut times.slip, event.due, event.sent),
                (&mut times.ack, event.sent, event.acked),
                (&mut times.wait, event.acked, event.fetched),
                (&mut times.store, event.fetched, event.stored),
                (&mut times.view, event.stored, event.visible),
            ] {
                if let (Some(from), Some(to)) = (from, to) {
                    stage.push(to as i64 - from as i64);
                }
            }
        }
        times
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
                last = last.max(Some(self.events[index].visible.get()?));
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
        for index in self.range(phase) {
            let event = &self.events[index];
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
