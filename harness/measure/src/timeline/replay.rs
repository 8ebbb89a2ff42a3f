//! From the records of a worker in a process of its own to the timeline, as if its consumers had reported here.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;
use std::time::Duration;

use payment_delivery::event::Revision;
use payment_delivery::kafka::Origin;
use payment_delivery::probe::{Activity, Probe as _, Seen};

use super::Timeline;
use crate::run_file::{Place, Record, What, consumer_name};

/// A message in a consumer's hand, as its worker reports it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Taken {
    /// When, by the realtime clock, in ns of Unix time.
    pub at_unix_ns: i64,
    /// Where it lies.
    pub origin: Origin,
    /// The revision that its event is said to have.
    pub revision: Revision,
    /// Whose hand.
    pub consumer: Arc<str>,
}

/// Plays records into a timeline. They may come in portions, and before the acknowledgement that tells which event they
/// are about; such records wait.
pub struct Replay {
    timeline: Arc<Timeline>,
    /// The number of the worker's first consumer among those of all workers.
    first: u16,
    names: BTreeMap<u16, Arc<str>>,
    waiting: Vec<Record>,
    taken: Vec<Taken>,
    assigned: BTreeMap<u16, Vec<i32>>,
    spent_ns: HashMap<(u16, Activity), u64>,
}

impl Replay {
    /// Into this timeline, which has to keep places ([`Timeline::keep_places`]); `first` is the number of the worker's first consumer among
    /// those of all workers.
    pub fn new(timeline: Arc<Timeline>, first: u16) -> Self {
        Self {
            timeline,
            first,
            names: BTreeMap::new(),
            waiting: Vec::new(),
            taken: Vec::new(),
            assigned: BTreeMap::new(),
            spent_ns: HashMap::new(),
        }
    }

    /// Plays these records, and those that waited.
    pub fn play(&mut self, records: Vec<Record>) {
        let waited = std::mem::take(&mut self.waiting);
        for record in waited {
            self.pass(record);
        }
        for record in records {
            if let What::Fetched(place) = record.what {
                let consumer = self.name(record.consumer);
                self.took(&record, place, consumer);
            }
            self.pass(record);
        }
    }

    /// Every message taken in hand, in the one order in which that happened.
    pub fn taken(self) -> Vec<Taken> {
        self.taken
    }

    fn pass(&mut self, record: Record) {
        // Between processes the realtime clock counts (docs/method.md, "Time").
        let at_ns = u64::try_from(self.timeline.clock().of_unix_ns(record.at_unix_ns)).unwrap_or(0);
        let name = self.name(record.consumer);
        let timeline = Arc::clone(&self.timeline);
        let known = |place: Place| timeline.acked_at(place.origin);
        if let What::Stored(place) | What::Visible { place, .. } = record.what
            && let Some(index) = known(place)
            && timeline.planned(index).revision != place.revision
        {
            // Of another event than lies there: kept as it is told, for the checks to judge.
            self.took(&record, place, name);
            return;
        }
        match record.what {
            What::Fetched(place) => match known(place) {
                Some(index) => {
                    timeline.event(index).fetched.pass(at_ns);
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
                timeline.consumers.spent(&name, activity, spent, at_ns);
            }
            What::Served { took_ns } => timeline.consumers.served(Duration::from_nanos(took_ns)),
            What::Skipped { partition, from, to } => timeline.skipped(&name, partition, from, to),
            What::Retried { component } => timeline.retried(&name, component, "see the worker's log"),
            // Their events are found where they lie: in the store, and in the dead-letter topic.
            What::Parked(_) | What::DeadLettered { .. } => {}
        }
    }

    fn took(&mut self, record: &Record, place: Place, consumer: Arc<str>) {
        let Place { origin, revision } = place;
        self.taken.push(Taken { at_unix_ns: record.at_unix_ns, origin, revision, consumer });
    }

    fn name(&mut self, number: u16) -> Arc<str> {
        let first = self.first;
        Arc::clone(
            self.names.entry(number).or_insert_with(|| consumer_name(first.saturating_add(number)).into()),
        )
    }
}

fn seen<'a>(timeline: &'a Timeline, index: usize, place: Place, consumer: &'a str) -> Seen<'a> {
    let event = timeline.planned(index);
    Seen { consumer, order_id: event.order_id, revision: place.revision, origin: place.origin }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Clock;
    use crate::timeline::Due;
    use lanebench_workload::{Keys, Plan, PlanSpec};

    /// A replay into a timeline of one order with three events, and its phase begun at 0.
    fn replay() -> (Arc<Timeline>, Replay) {
        let spec =
            PlanSpec { prefix: "d", events_per_order: 3, keys: Keys::Uniform, value_bytes: 0, seed: 1 };
        let plan = Arc::new(Plan::backlog(&spec, 3).unwrap());
        let timeline = Arc::new(Timeline::new(Clock::start(), |_| Some(0)));
        timeline.keep_places();
        let phase = timeline.add_phase("drain", Due::Planned, plan).unwrap();
        timeline.start_phase(phase, 0);
        (Arc::clone(&timeline), Replay::new(timeline, 0))
    }

    fn place(offset: i64) -> Place {
        Place { origin: Origin { partition: 0, offset }, revision: offset as u32 + 1 }
    }

    impl Replay {
        fn at(&self, at_ns: i64, what: What) -> Record {
            Record { at_unix_ns: at_ns - self.timeline.clock().of_unix_ns(0), consumer: 1, what }
        }

        /// Everything that happens to the event at `offset`, at 1, 2 and 3 ns after `from_ns`.
        fn whole(&self, from_ns: i64, offset: i64) -> Vec<Record> {
            let place = place(offset);
            vec![
                self.at(from_ns + 1, What::Fetched(place)),
                self.at(from_ns + 2, What::Stored(place)),
                self.at(from_ns + 3, What::Visible { place, in_view: place.revision }),
            ]
        }
    }

    #[test]
    fn gates_are_passed_at_the_recorded_times() {
        let (timeline, mut replay) = replay();
        timeline.acked(0, place(0).origin);
        replay.play(replay.whole(100, 0));
        let passed = timeline.passed(0);
        assert_eq!((passed.fetched, passed.stored, passed.visible), (Some(101), Some(102), Some(103)));
        let work = timeline.consumer_work(timeline.phase("drain").unwrap());
        assert_eq!((work[0].consumer.as_str(), work[0].events), ("consumer-1", 1));
    }

    #[test]
    fn what_comes_before_its_acknowledgement_waits_and_the_order_of_hands_stays() {
        let (timeline, mut replay) = replay();
        timeline.acked(1, place(1).origin);
        replay.play(replay.whole(100, 0));
        replay.play(replay.whole(200, 1));
        assert_eq!(timeline.passed(0).fetched, None);
        assert_eq!(timeline.passed(1).visible, Some(203));
        timeline.acked(0, place(0).origin);
        replay.play(Vec::new());
        assert_eq!(timeline.passed(0).fetched, Some(101));
        let taken: Vec<i64> = replay.taken().iter().map(|taken| taken.origin.offset).collect();
        assert_eq!(taken, [0, 1]);
    }

    #[test]
    fn a_report_of_another_event_than_lies_there_is_kept_and_moves_nothing() {
        let (timeline, mut replay) = replay();
        timeline.acked(0, place(0).origin);
        let other = Place { revision: 3, ..place(0) };
        replay.play(vec![replay.at(1, What::Visible { place: other, in_view: 3 })]);
        assert_eq!(timeline.passed(0).visible, None);
        let taken = replay.taken();
        assert_eq!((taken.len(), taken[0].revision, taken[0].origin), (1, 3, place(0).origin));
    }

    #[test]
    fn an_assignment_counts_when_its_last_partition_has_come() {
        let (timeline, mut replay) = replay();
        let assigned = |partition, left| What::Assigned { partition: Some(partition), left };
        replay.play(vec![replay.at(1, assigned(0, 1))]);
        assert!(timeline.owned().is_empty());
        replay.play(vec![replay.at(1, assigned(2, 0))]);
        assert_eq!(timeline.owned(), [("consumer-1".to_owned(), vec![0, 2])].into());
        replay.play(vec![replay.at(2, What::Released { lost: false })]);
        assert!(timeline.owned().is_empty());
    }

    #[test]
    fn running_totals_become_what_was_spent_since_the_last_one() {
        let (timeline, mut replay) = replay();
        // Within the time since the epoch, of which no activity can have taken more.
        std::hint::black_box((0..2_000_000u64).sum::<u64>());
        let spent = |total_ns| What::Spent { activity: Activity::Store, total_ns };
        let now = timeline.clock().now_ns() as i64;
        replay.play(vec![replay.at(now, spent(300)), replay.at(now, spent(500))]);
        let total = timeline.spent_snapshot().get("consumer-1", Activity::Store);
        assert_eq!(total, Duration::from_nanos(500));
    }
}
