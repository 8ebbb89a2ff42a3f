//! From the records of a worker in a process of its own to the timeline, as if its consumers had reported here.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use payment_delivery::kafka::Origin;
use payment_delivery::probe::{Activity, Probe as _, Seen};

use super::Timeline;
use crate::measure::run_file::{Place, Record, What, consumer_name};

/// A message in a consumer's hand, by its place in the log.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Taken {
    /// Where it lies.
    pub origin: Origin,
    /// Whose hand.
    pub consumer: Arc<str>,
}

/// Plays records into a timeline. They may come in portions, and before the acknowledgement that tells which event they
/// are about; such records wait.
pub struct Replay {
    timeline: Arc<Timeline>,
    /// The timeline's epoch, in ns of Unix time. Between processes the realtime clock counts (METHOD.md, "Time").
    epoch_unix_ns: i64,
    names: BTreeMap<u16, Arc<str>>,
    placed: HashMap<Origin, usize>,
    /// Events whose place is not known yet.
    open: Vec<usize>,
    waiting: Vec<Record>,
    taken: Vec<Taken>,
    assigned: BTreeMap<u16, Vec<i32>>,
    spent_ns: HashMap<(u16, Activity), u64>,
}

impl Replay {
    /// Into this timeline.
    pub fn new(timeline: Arc<Timeline>) -> Self {
        let unix_ns = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_nanos() as i64);
        let epoch_unix_ns = unix_ns - timeline.clock().now_ns() as i64;
        let open = timeline.phases().flat_map(|phase| timeline.range(phase)).collect();
        Self {
            timeline,
            epoch_unix_ns,
            names: BTreeMap::new(),
            placed: HashMap::new(),
            open,
            waiting: Vec::new(),
            taken: Vec::new(),
            assigned: BTreeMap::new(),
            spent_ns: HashMap::new(),
        }
    }

    /// Plays these records, and those that waited.
    pub fn play(&mut self, records: Vec<Record>) {
        self.learn_places();
        let waited = std::mem::take(&mut self.waiting);
        for record in waited {
            self.pass(record);
        }
        for record in records {
            if let What::Fetched(place) = record.what {
                let consumer = self.name(record.consumer);
                self.taken.push(Taken { origin: place.origin, consumer });
            }
            self.pass(record);
        }
    }

    /// Every message taken in hand, in the one order in which that happened.
    pub fn taken(self) -> Vec<Taken> {
        self.taken
    }

    fn learn_places(&mut self) {
        let (timeline, placed) = (&self.timeline, &mut self.placed);
        self.open.retain(|&index| match timeline.origin(index) {
            Some(origin) => {
                placed.insert(origin, index);
                false
            }
            None => true,
        });
    }

    fn pass(&mut self, record: Record) {
        let at_ns = u64::try_from(record.at_unix_ns - self.epoch_unix_ns).unwrap_or(0);
        let name = self.name(record.consumer);
        let timeline = Arc::clone(&self.timeline);
        let known = |place: Place| self.placed.get(&place.origin).copied();
        match record.what {
            What::Fetched(place) => match known(place) {
                Some(index) => {
                    timeline.events[index].fetched.pass(at_ns);
                }
                None => self.waiting.push(record),
            },
            What::Stored(place) => match known(place) {
                Some(index) => timeline.stored_at(seen(&timeline, index, place, &name), at_ns),
                None => self.waiting.push(record),
            },
            What::Visible { place, in_view } => match known(place) {
                Some(index) => timeline.visible_at(seen(&timeline, index, place, &name), in_view, at_ns),
                None => self.waiting.push(record),
            },
            What::Assigned { partition, left } => {
                let assigned = self.assigned.entry(record.consumer).or_default();
                assigned.extend(partition);
                if left == 0 {
                    timeline.assigned(&name, &std::mem::take(assigned));
                }
            }
            What::Released { lost } => timeline.released(&name, lost),
            What::Committed { partition, next_offset } => timeline.committed(&name, partition, next_offset),
            What::Spent { activity, total_ns } => {
                let before = self.spent_ns.insert((record.consumer, activity), total_ns).unwrap_or(0);
                let spent = Duration::from_nanos(total_ns.saturating_sub(before));
                timeline.consumers.spent_on(&name, activity, spent, at_ns);
            }
            What::Served { took_ns } => timeline.consumers.served(Duration::from_nanos(took_ns)),
            What::Skipped { partition, from, to } => timeline.skipped(&name, partition, from, to),
            What::Retried { part } => timeline.retried(&name, part.name(), "see the worker's log"),
            // Their events are found where they lie: in the store, and in the dead-letter topic.
            What::Parked(_) | What::DeadLettered { .. } => {}
        }
    }

    fn name(&mut self, number: u16) -> Arc<str> {
        Arc::clone(self.names.entry(number).or_insert_with(|| consumer_name(number).into()))
    }
}

fn seen<'a>(timeline: &'a Timeline, index: usize, place: Place, consumer: &'a str) -> Seen<'a> {
    let event = timeline.planned(index);
    Seen { consumer, order_id: &event.order_id, revision: place.revision, origin: place.origin }
}
