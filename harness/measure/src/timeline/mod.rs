//! When each event passed each gate: due → sent → acked → fetched → stored → visible.
//!
//! Everything is laid out before the run; during it a gate costs one atomic write, and the first write wins. The consumers
//! report through [`payment_delivery::probe::Probe`] (see `watch.rs`), the sender and the producer through
//! [`Timeline::sent`] and [`Timeline::acked`].

use std::collections::BTreeMap;
use std::ops::Range;
use std::sync::atomic::{AtomicI32, AtomicI64, AtomicU32, AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use payment_delivery::event::{OrderId, Revision};
use payment_delivery::kafka::Origin;
use tokio::sync::Notify;

use super::Clock;
use lanebench_workload::{Plan, Planned};

mod committed;
mod consumers;
mod index;
mod journal;
mod oldest;
mod replay;
mod stages;
mod wait;
mod watch;

use consumers::Consumers;
pub use consumers::{Spent, activity_name};
use index::OrderIndex;
pub use journal::{Commit, DeadLetter, Delivery, Event, Journal, Ownership, Retries, Skipped};
pub use oldest::OldestNotVisible;
pub use replay::{Replay, Taken};
pub use stages::{ConsumerWork, PhaseTimes};
pub use wait::WaitError;

/// A phase of the timeline, by its place among them.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct PhaseId(usize);

/// What happened when, on one clock. Shared as an `Arc`; all methods take `&self`.
pub struct Timeline {
    clock: Clock,
    phases: Vec<Phase>,
    events: Box<[Gates]>,
    index: OrderIndex,
    consumers: Consumers,
    journal: Mutex<Journal>,
    /// Woken when a phase is wholly visible and when ownership changes.
    changed: Notify,
}

/// Why a timeline cannot be laid out.
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
}

struct Phase {
    name: String,
    plan: Arc<Plan>,
    range: Range<usize>,
    start: Gate,
    acked: AtomicUsize,
    visible: AtomicUsize,
}

/// A moment that is written once. `u64::MAX` ns (584 years) stands for "not yet".
struct Gate(AtomicU64);

impl Gate {
    const fn shut() -> Self {
        Self(AtomicU64::new(u64::MAX))
    }

    /// Notes the moment; whether it was the first.
    fn pass(&self, at_ns: u64) -> bool {
        // The plain load spares a redelivery the locked instruction.
        self.0.load(Ordering::Relaxed) == u64::MAX
            && self.0.compare_exchange(u64::MAX, at_ns, Ordering::Relaxed, Ordering::Relaxed).is_ok()
    }

    fn get(&self) -> Option<u64> {
        let at_ns = self.0.load(Ordering::Relaxed);
        (at_ns != u64::MAX).then_some(at_ns)
    }
}

/// The gates of one event, and what was learnt on the way.
struct Gates {
    sent: Gate,
    acked: Gate,
    fetched: Gate,
    stored: Gate,
    visible: Gate,
    /// Where its key belongs, if that is known; once acked, where it is; else −1.
    partition: AtomicI32,
    /// −1 until acked.
    offset: AtomicI64,
    /// Consumer that made it visible.
    by: AtomicU32,
}

impl Gates {
    fn shut(partition: Option<i32>) -> Self {
        Self {
            sent: Gate::shut(),
            acked: Gate::shut(),
            fetched: Gate::shut(),
            stored: Gate::shut(),
            visible: Gate::shut(),
            partition: AtomicI32::new(partition.unwrap_or(-1)),
            offset: AtomicI64::new(-1),
            by: AtomicU32::new(u32::MAX),
        }
    }
}

/// When one event passed each gate, in ns since the run's epoch; `None` for a gate it never passed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Passed {
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
    /// Lays out the timeline of these phases (name and plan), in the order in which they will run.
    ///
    /// `partition_of` says where an order's events will lie, so that lag in time is right even for what is not acked yet;
    /// `None` when that is unknown (no key).
    ///
    /// # Errors
    /// [`TimelineError::SharedOrder`] when two phases share an order.
    pub fn new(
        clock: Clock,
        phases: impl IntoIterator<Item = (String, Arc<Plan>)>,
        partition_of: impl Fn(&OrderId) -> Option<i32>,
    ) -> Result<Self, TimelineError> {
        let mut index = OrderIndex::default();
        let mut events = Vec::new();
        let mut laid_out: Vec<Phase> = Vec::new();
        for (name, plan) in phases {
            let first = events.len();
            let partitions: Vec<Option<i32>> = plan.orders.iter().map(&partition_of).collect();
            events.extend(plan.events.iter().map(|e| Gates::shut(partitions[e.order as usize])));
            index
                .add(laid_out.len(), first, &plan)
                .map_err(|order_id| TimelineError::SharedOrder { order_id, phase: name.clone() })?;
            laid_out.push(Phase {
                name,
                plan,
                range: first..events.len(),
                start: Gate::shut(),
                acked: AtomicUsize::new(0),
                visible: AtomicUsize::new(0),
            });
        }
        Ok(Self {
            clock,
            phases: laid_out,
            events: events.into_boxed_slice(),
            index,
            consumers: Consumers::default(),
            journal: Mutex::default(),
            changed: Notify::new(),
        })
    }

    /// The run's clock.
    pub fn clock(&self) -> Clock {
        self.clock
    }

    /// The phase of this name.
    pub fn phase(&self, name: &str) -> Option<PhaseId> {
        self.phases.iter().position(|p| p.name == name).map(PhaseId)
    }

    /// All phases, in their order.
    pub fn phases(&self) -> impl Iterator<Item = PhaseId> + use<> {
        (0..self.phases.len()).map(PhaseId)
    }

    /// The plan of a phase.
    pub fn plan(&self, phase: PhaseId) -> &Arc<Plan> {
        &self.phases[phase.0].plan
    }

    /// Indices of a phase's events over the whole timeline, in plan order.
    pub fn range(&self, phase: PhaseId) -> Range<usize> {
        self.phases[phase.0].range.clone()
    }

    /// The planned event at an index of the timeline.
    pub fn planned(&self, index: usize) -> &Planned {
        let phase = self.phase_at(index);
        &phase.plan.events[index - phase.range.start]
    }

    /// The index of an event, if it was planned.
    pub fn index_of(&self, order_id: &OrderId, revision: Revision) -> Option<usize> {
        self.index.get(order_id)?.event(revision)
    }

    /// Fixes the start of a phase, from which its due times count. The first call counts.
    pub fn start_phase(&self, phase: PhaseId, at_ns: u64) {
        self.phases[phase.0].start.pass(at_ns);
    }

    /// When a phase started, if it did.
    pub fn started_ns(&self, phase: PhaseId) -> Option<u64> {
        self.phases[phase.0].start.get()
    }

    /// The event is about to be handed to the producer; the moment, in ns since the run's epoch.
    pub fn sent(&self, index: usize) -> u64 {
        let now_ns = self.clock.now_ns();
        self.events[index].sent.pass(now_ns);
        now_ns
    }

    /// The broker acknowledged the event at `origin`.
    pub fn acked(&self, index: usize, origin: Origin) {
        let event = &self.events[index];
        if event.acked.pass(self.clock.now_ns()) {
            event.partition.store(origin.partition, Ordering::Relaxed);
            event.offset.store(origin.offset, Ordering::Relaxed);
            self.phase_at(index).acked.fetch_add(1, Ordering::Relaxed);
        }
    }

    /// When an event passed its gates.
    pub fn passed(&self, index: usize) -> Passed {
        let event = &self.events[index];
        let phase = self.phase_at(index);
        Passed {
            due: phase.start.get().map(|start| start + phase.plan.events[index - phase.range.start].due_ns),
            sent: event.sent.get(),
            acked: event.acked.get(),
            fetched: event.fetched.get(),
            stored: event.stored.get(),
            visible: event.visible.get(),
        }
    }

    /// Where the broker put an event when it acknowledged it.
    pub fn origin(&self, index: usize) -> Option<Origin> {
        let event = &self.events[index];
        let offset = event.offset.load(Ordering::Relaxed);
        (offset >= 0).then(|| Origin { partition: event.partition.load(Ordering::Relaxed), offset })
    }

    /// Events of a phase acknowledged so far.
    pub fn acked_count(&self, phase: PhaseId) -> usize {
        self.phases[phase.0].acked.load(Ordering::Relaxed)
    }

    /// Events of a phase visible so far.
    pub fn visible_count(&self, phase: PhaseId) -> usize {
        self.phases[phase.0].visible.load(Ordering::Acquire)
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

    /// Time spent by consumer and activity so far, and the boundary of the next interval: an activity that began before this
    /// call and ends after it counts with its later part only. So the difference of two snapshots
    /// ([`Spent::since`]) holds nothing from before the first.
    pub fn spent_snapshot(&self) -> Spent {
        self.consumers.snapshot(self.clock.now_ns())
    }

    /// How long each modelled call took so far, in ns.
    pub fn services_ns(&self) -> Vec<i64> {
        self.consumers.services_ns()
    }

    fn phase_at(&self, index: usize) -> &Phase {
        &self.phases[self.phases.partition_point(|p| p.range.end <= index)]
    }

    fn lock_journal(&self) -> MutexGuard<'_, Journal> {
        // Entries are whole or absent, so what a panicking thread left is still true.
        self.journal.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests;
