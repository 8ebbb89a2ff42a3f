//! After a phase: response times, the stages between two milestones, and who did how much.

use std::collections::BTreeMap;
use std::ops::Range;
use std::sync::atomic::Ordering;

use super::{PhaseId, Timeline};

/// Durations of a phase in ns, one an event that passed both milestones. Signed: a later milestone may be stamped before an
/// earlier one (a consumer can be faster than the acknowledgement), and such a sample is shown, never dropped.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct PhaseTimes {
    /// visible − due: what the payer feels.
    pub response: Vec<i64>,
    /// sent − due: the generator's own lateness.
    pub send_delay: Vec<i64>,
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
                (&mut times.send_delay, event.due, event.sent),
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

    /// Response times of a phase in ns, by the partition in which an event lies.
    pub fn partition_response_ns(&self, phase: PhaseId) -> BTreeMap<i32, Vec<i64>> {
        let mut times: BTreeMap<i32, Vec<i64>> = BTreeMap::new();
        for index in self.range(phase) {
            let event = self.passed(index);
            if let (Some(origin), Some(due), Some(visible)) = (self.origin(index), event.due, event.visible) {
                times.entry(origin.partition).or_default().push(visible as i64 - due as i64);
            }
        }
        times
    }

    /// When each event of a phase was due and when it was visible, in ns since the run's epoch, in plan order; those that were
    /// never due, since their sender ended, are left out.
    pub fn due_and_visible_ns(&self, phase: PhaseId) -> Vec<(u64, Option<u64>)> {
        let passed = self.range(phase).map(|index| self.passed(index));
        passed.filter_map(|event| Some((event.due?, event.visible))).collect()
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
