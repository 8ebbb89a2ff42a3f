//! When each event passed each milestone: due → sent → acked → fetched → stored → visible.
//!
//! A timeline grows by a phase: its events are laid out before it begins, and during it a milestone costs one atomic write, of
//! which the first counts. The consumers report through [`payment_delivery::probe::Probe`] (see `watch.rs`), the sender and
//! the producer through [`Timeline::sent`] and [`Timeline::acked`].

use std::collections::BTreeMap;
use std::ops::Range;
use std::sync::atomic::{AtomicU16, AtomicU32, AtomicU64, AtomicUsize, Ordering, fence};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};

use payment_delivery::event::{OrderId, Revision};
use payment_delivery::kafka::Origin;
use tokio::sync::Notify;

use super::Clock;
use lanebench_workload::Plan;
use payment_delivery::event::PaymentEvent;

mod committed;
mod consumers;
mod group;
mod index;
mod journal;
mod oldest;
mod places;
mod replay;
mod silence;
mod stages;
mod wait;
mod watch;

use consumers::Consumers;
pub use consumers::{Spent, Unexplained, activity_name};
pub use group::GroupCounts;
use index::{Order, OrderIndex};
pub use journal::{Commit, DeadLetter, Deliveries, Delivery, Event, Journal, Ownership, Retries, Skipped};
pub use oldest::OldestNotVisible;
use places::{AckedPlaces, CommittedCursor};
pub use replay::{Replay, Taken};
pub use stages::ConsumerWork;
pub use wait::WaitError;

/// Phases that a timeline can hold. Their places are fixed, so that a reader needs no lock.
const PHASES_MAX: usize = 32;

/// A phase of the timeline, by its place among them.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct PhaseId(usize);

/// When the events of a phase are due.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Due {
    /// By the plan, from the phase's start: an open loop, or a backlog, all of which is due at the start.
    Planned,
    /// When they are sent: a closed loop, which has no schedule.
    WhenSent,
}

/// Where an order's events will lie, if that is known.
type PartitionOf = Box<dyn Fn(&OrderId) -> Option<i32> + Send + Sync>;

/// What happened when, on one clock. Shared as an `Arc`; all methods take `&self`.
pub struct Timeline {
    clock: Clock,
    partition_of: PartitionOf,
    phases: [OnceLock<Phase>; PHASES_MAX],
    /// How many phases there are.
    count: AtomicUsize,
    /// Held while one is added.
    adding: Mutex<()>,
    consumers: Consumers,
    journal: Mutex<Journal>,
    /// Which event lies where, if that is asked for.
    places: OnceLock<AckedPlaces>,
    /// How far a worker that is seen from outside has come.
    committed: Mutex<BTreeMap<i32, CommittedCursor>>,
    /// Woken when a phase is wholly visible and when ownership changes.
    changed: Notify,
}

/// Why a phase cannot be laid out.
#[derive(Debug, thiserror::Error)]
pub enum TimelineError {
    /// Two phases hold the same order, so that a revision would not name one event.
    #[error(
        "order {order_id} is in phase `{phase}` and in an earlier one: give each phase a prefix of its own"
    )]
    SharedOrder {
        /// The order.
        order_id: OrderId,
        /// The later phase.
        phase: String,
    },
    /// There is no room for one more.
    #[error("phase `{phase}` is one too many: a trial has at most {PHASES_MAX}")]
    TooMany {
        /// The phase.
        phase: String,
    },
}

struct Phase {
    number: usize,
    name: String,
    plan: Arc<Plan>,
    due: Due,
    /// Indices of its events over the whole timeline.
    range: Range<usize>,
    events: Box<[EventMilestones]>,
    index: OrderIndex,
    start: Milestone,
    /// Events that will be offered: all of the plan, until a sender ended before its end.
    offered: AtomicUsize,
    acked: AtomicUsize,
    visible: AtomicUsize,
}

impl Phase {
    /// When the event with this index among the phase's is due, in ns since the run's epoch.
    fn due_ns(&self, index: usize) -> Option<u64> {
        match self.due {
            Due::Planned => self.start.get().map(|start| start + self.plan.events[index].due_ns),
            Due::WhenSent => self.events[index].sent.get(),
        }
    }
}

/// A moment that is written once. `u64::MAX` ns (584 years) stands for "not yet".
struct Milestone(AtomicU64);

impl Milestone {
    const fn unreached() -> Self {
        Self(AtomicU64::new(u64::MAX))
    }

    /// Notes the moment; whether it was the first.
    fn pass(&self, at_ns: u64) -> bool {
        // The plain load spares a redelivery the locked instruction.
        self.0.load(Ordering::Relaxed) == u64::MAX
            && self.0.compare_exchange(u64::MAX, at_ns, Ordering::Relaxed, Ordering::Relaxed).is_ok()
    }

    /// Moves a moment that is noted to an earlier one.
    fn pass_earlier(&self, at_ns: u64) {
        if self.get().is_some() {
            self.0.fetch_min(at_ns, Ordering::Relaxed);
        }
    }

    fn get(&self) -> Option<u64> {
        let at_ns = self.0.load(Ordering::Relaxed);
        (at_ns != u64::MAX).then_some(at_ns)
    }
}

/// The milestones of one event, and what was learnt on the way.
struct EventMilestones {
    sent: Milestone,
    acked: Milestone,
    fetched: Milestone,
    stored: Milestone,
    visible: Milestone,
    /// Where it was acknowledged; [`NOWHERE`] until then.
    offset: AtomicU32,
    /// Where its key belongs, if that is known; once acknowledged, where it is; else [`UNKNOWN`].
    partition: AtomicU16,
    /// Consumer that made it visible; else [`UNKNOWN`].
    by: AtomicU16,
}

const _: () = assert!(size_of::<EventMilestones>() == 48, "what is kept of an event has grown");

/// In place of an offset. The topic is the trial's own, so that its offsets begin at 0 and are as many as what was sent.
const NOWHERE: u32 = u32::MAX;
/// In place of a partition, and of a consumer's number.
const UNKNOWN: u16 = u16::MAX;

impl EventMilestones {
    fn unreached(partition: Option<i32>) -> Self {
        Self {
            sent: Milestone::unreached(),
            acked: Milestone::unreached(),
            fetched: Milestone::unreached(),
            stored: Milestone::unreached(),
            visible: Milestone::unreached(),
            offset: AtomicU32::new(NOWHERE),
            partition: AtomicU16::new(
                partition.and_then(|partition| small(partition.into())).unwrap_or(UNKNOWN),
            ),
            by: AtomicU16::new(UNKNOWN),
        }
    }

    /// Where its key belongs or it lies, if that is known.
    fn partition(&self) -> Option<i32> {
        let partition = self.partition.load(Ordering::Relaxed);
        (partition != UNKNOWN).then(|| partition.into())
    }

    /// A consumer made it visible.
    fn made_visible_by(&self, consumer: u32) {
        self.by.store(small(consumer.into()).unwrap_or(UNKNOWN), Ordering::Relaxed);
    }
}

/// A number that is below [`UNKNOWN`].
fn small(number: i64) -> Option<u16> {
    u16::try_from(number).ok().filter(|number| *number != UNKNOWN)
}

/// A planned event by its name.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PlannedName<'a> {
    /// Its order.
    pub order_id: &'a OrderId,
    /// Its revision.
    pub revision: Revision,
}

/// When one event passed each milestone, in ns since the run's epoch; `None` for a milestone it never passed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct EventTimes {
    /// Due by the schedule; for a backlog, the start of its phase.
    pub due: Option<u64>,
    /// Handed to the producer.
    pub sent: Option<u64>,
    /// Acknowledged by the broker.
    pub acked: Option<u64>,
    /// First taken in hand by a consumer.
    pub fetched: Option<u64>,
    /// A row of its revision or a later one was committed.
    pub stored: Option<u64>,
    /// The view acknowledged its revision or a later one.
    pub visible: Option<u64>,
}

impl Timeline {
    /// A timeline without a phase.
    ///
    /// `partition_of` says where an order's events will lie, so that lag in time is right even for what is not acked yet;
    /// `None` when that is unknown (no key).
    pub fn new(clock: Clock, partition_of: impl Fn(&OrderId) -> Option<i32> + Send + Sync + 'static) -> Self {
        Self {
            clock,
            partition_of: Box::new(partition_of),
            phases: [const { OnceLock::new() }; PHASES_MAX],
            count: AtomicUsize::new(0),
            adding: Mutex::default(),
            consumers: Consumers::default(),
            journal: Mutex::default(),
            places: OnceLock::new(),
            committed: Mutex::default(),
            changed: Notify::new(),
        }
    }

    /// Lays out a phase behind those that are there. It begins by [`Self::start_phase`].
    ///
    /// # Errors
    /// [`TimelineError::SharedOrder`] when an earlier phase has one of its orders; [`TimelineError::TooMany`].
    pub fn add_phase(&self, name: &str, due: Due, plan: Arc<Plan>) -> Result<PhaseId, TimelineError> {
        let _alone = self.adding.lock().unwrap_or_else(PoisonError::into_inner);
        let number = self.count.load(Ordering::Acquire);
        let Some(place) = self.phases.get(number) else {
            return Err(TimelineError::TooMany { phase: name.into() });
        };
        if let Some(order_id) = plan.orders.iter().find(|id| self.order(id).is_some()) {
            return Err(TimelineError::SharedOrder { order_id: order_id.clone(), phase: name.into() });
        }
        let partitions: Vec<Option<i32>> = plan.orders.iter().map(&self.partition_of).collect();
        let events =
            plan.events.iter().map(|e| EventMilestones::unreached(partitions[e.order as usize])).collect();
        let first = self.laid_out().last().map_or(0, |phase| phase.range.end);
        let phase = Phase {
            number,
            name: name.into(),
            due,
            range: first..first + plan.events.len(),
            events,
            index: OrderIndex::new(&plan),
            start: Milestone::unreached(),
            offered: AtomicUsize::new(plan.events.len()),
            acked: AtomicUsize::new(0),
            visible: AtomicUsize::new(0),
            plan,
        };
        place.get_or_init(|| phase);
        self.count.store(number + 1, Ordering::Release);
        Ok(PhaseId(number))
    }

    /// The run's clock.
    pub fn clock(&self) -> Clock {
        self.clock
    }

    /// The phase of this name.
    pub fn phase(&self, name: &str) -> Option<PhaseId> {
        self.laid_out().position(|p| p.name == name).map(PhaseId)
    }

    /// All phases so far, in their order.
    pub fn phases(&self) -> impl Iterator<Item = PhaseId> + use<'_> {
        self.laid_out().map(|phase| PhaseId(phase.number))
    }

    /// The name of a phase.
    pub fn name(&self, phase: PhaseId) -> &str {
        &self.get(phase).name
    }

    /// The plan of a phase.
    pub fn plan(&self, phase: PhaseId) -> &Arc<Plan> {
        &self.get(phase).plan
    }

    /// Indices of a phase's events over the whole timeline, in plan order.
    pub fn range(&self, phase: PhaseId) -> Range<usize> {
        self.get(phase).range.clone()
    }

    /// The planned event at an index of the timeline.
    pub fn planned(&self, index: usize) -> PlannedName<'_> {
        let (phase, index) = self.locate(index);
        PlannedName { order_id: phase.plan.order_id(index), revision: phase.plan.events[index].revision }
    }

    /// What the event at an index of the timeline says.
    pub fn payment(&self, index: usize) -> PaymentEvent {
        let (phase, index) = self.locate(index);
        phase.plan.payment(index)
    }

    /// From here on [`Self::acked_at`] knows what is acknowledged, for those who tell of events by where they lie. It takes four bytes an event.
    pub fn keep_places(&self) {
        self.places.get_or_init(AckedPlaces::default);
    }

    /// The event that was acknowledged at `origin`, by its index, once it is and if places are kept.
    pub fn acked_at(&self, origin: Origin) -> Option<usize> {
        self.places.get()?.at(origin)
    }

    /// The index of an event, if it was planned.
    pub fn index_of(&self, order_id: &OrderId, revision: Revision) -> Option<usize> {
        let (phase, order) = self.order(order_id)?;
        order.event(revision).map(|index| phase.range.start + index)
    }

    /// When a planned event was due, in ns since the run's epoch, and in which phase; `None` where nothing says when.
    pub fn due(&self, order_id: &OrderId, revision: Revision) -> Option<(PhaseId, u64)> {
        let (phase, order) = self.order(order_id)?;
        Some((PhaseId(phase.number), phase.due_ns(order.event(revision)?)?))
    }

    /// Fixes the start of a phase, from which its due times count. The first call counts.
    pub fn start_phase(&self, phase: PhaseId, at_ns: u64) {
        self.get(phase).start.pass(at_ns);
    }

    /// When a phase started, if it did.
    pub fn started_ns(&self, phase: PhaseId) -> Option<u64> {
        self.get(phase).start.get()
    }

    /// The sender of a phase ended after so many of its events; none of the others is waited for.
    pub fn offered(&self, phase: PhaseId, events: usize) {
        self.get(phase).offered.store(events, Ordering::Release);
        self.changed.notify_waiters();
    }

    /// Events of a phase that were or will be offered.
    pub fn offered_count(&self, phase: PhaseId) -> usize {
        self.get(phase).offered.load(Ordering::Acquire)
    }

    /// The event is about to be handed to the producer; the moment, in ns since the run's epoch.
    pub fn sent(&self, index: usize) -> u64 {
        let now_ns = self.clock.now_ns();
        self.event(index).sent.pass(now_ns);
        now_ns
    }

    /// The broker acknowledged the event at `origin`. A place that no topic of a trial can have, with an offset of 2³² − 1 or more or a partition
    /// of 65,535 or more, acknowledges nothing.
    pub fn acked(&self, index: usize, origin: Origin) {
        let offset = u32::try_from(origin.offset).ok().filter(|offset| *offset != NOWHERE);
        let (Some(offset), Some(partition)) = (offset, small(origin.partition.into())) else { return };
        let (phase, number) = self.locate(index);
        let event = &phase.events[number];
        if event.acked.get().is_none() {
            // Whoever sees it acknowledged sees where it lies.
            event.partition.store(partition, Ordering::Relaxed);
            event.offset.store(offset, Ordering::Relaxed);
            fence(Ordering::Release);
        }
        if event.acked.pass(self.clock.now_ns()) {
            if let Some(places) = self.places.get() {
                places.note(origin, index);
            }
            phase.acked.fetch_add(1, Ordering::Relaxed);
        }
    }

    /// When an event passed its milestones.
    pub fn passed(&self, index: usize) -> EventTimes {
        let (phase, index) = self.locate(index);
        let event = &phase.events[index];
        EventTimes {
            due: phase.due_ns(index),
            sent: event.sent.get(),
            acked: event.acked.get(),
            fetched: event.fetched.get(),
            stored: event.stored.get(),
            visible: event.visible.get(),
        }
    }

    /// Where the broker put an event when it acknowledged it.
    pub fn origin(&self, index: usize) -> Option<Origin> {
        let event = self.event(index);
        let offset = event.offset.load(Ordering::Relaxed);
        let partition = event.partition().filter(|_| offset != NOWHERE)?;
        Some(Origin { partition, offset: offset.into() })
    }

    /// Events of a phase acknowledged so far.
    pub fn acked_count(&self, phase: PhaseId) -> usize {
        self.get(phase).acked.load(Ordering::Relaxed)
    }

    /// Events of a phase visible so far.
    pub fn visible_count(&self, phase: PhaseId) -> usize {
        self.get(phase).visible.load(Ordering::Acquire)
    }

    /// Who owns which partitions at present.
    pub fn owned(&self) -> BTreeMap<String, Vec<i32>> {
        self.lock_journal().owned.clone()
    }

    /// What the consumers reported so far: deliveries in their one true order, and all the rest.
    pub fn journal(&self) -> Journal {
        let mut journal = self.lock_journal().clone();
        journal.consumers = self.consumers.names();
        journal
    }

    /// Shows what the consumers reported so far. None of them can report meanwhile.
    pub fn read_journal<T>(&self, read: impl FnOnce(&Journal) -> T) -> T {
        read(&self.lock_journal())
    }

    /// The names of the consumers, by the numbers that the journal has.
    pub fn consumer_names(&self) -> Vec<String> {
        self.consumers.names()
    }

    /// Time spent by consumer and activity so far, and the boundary of the next interval: an activity that began before this
    /// call and ends after it counts with its later part only. So the difference of two snapshots
    /// ([`Spent::since`]) holds nothing from before the first.
    pub fn spent_snapshot(&self) -> Spent {
        self.consumers.snapshot(self.clock.now_ns())
    }

    /// Time so far in which an event was at hand, its consumer was free, and nothing was done. What consumers of another process don't
    /// tell is not in it.
    pub fn unexplained(&self) -> Unexplained {
        self.consumers.unexplained()
    }

    /// How long each modelled call took so far, in ns.
    pub fn services_ns(&self) -> Vec<i64> {
        self.consumers.services_ns()
    }

    fn laid_out(&self) -> impl DoubleEndedIterator<Item = &Phase> {
        self.phases[..self.count.load(Ordering::Acquire)].iter().filter_map(OnceLock::get)
    }

    fn get(&self, phase: PhaseId) -> &Phase {
        self.phases[phase.0].get().expect("an id is given out by the phase that it names")
    }

    /// The phase of an event, and the event's index in it.
    fn locate(&self, index: usize) -> (&Phase, usize) {
        let phase = self.laid_out().find(|phase| index < phase.range.end);
        let phase = phase.expect("an index is given out by the phase that holds it");
        (phase, index - phase.range.start)
    }

    fn event(&self, index: usize) -> &EventMilestones {
        let (phase, index) = self.locate(index);
        &phase.events[index]
    }

    /// The phase that holds an order, and its events there. The newest phase is asked first, since it is the one at work.
    fn order(&self, order_id: &OrderId) -> Option<(&Phase, Order<'_>)> {
        self.laid_out().rev().find_map(|phase| Some((phase, phase.index.get(phase.plan.order(order_id)?))))
    }

    fn lock_journal(&self) -> MutexGuard<'_, Journal> {
        // Entries are whole or absent, so what a panicking thread left is still true.
        self.journal.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests;
