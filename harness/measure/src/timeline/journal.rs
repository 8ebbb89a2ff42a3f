//! What consumers reported, in the order in which they did.

use std::collections::BTreeMap;

use payment_delivery::event::{OrderId, Revision};
use payment_delivery::failure::Component;
use payment_delivery::kafka::Origin;

/// All that consumers reported. A consumer is a number: an index into [`Journal::consumers`].
#[derive(Clone, Debug, Default)]
pub struct Journal {
    /// Names of the consumers.
    pub consumers: Vec<String>,
    /// Every message taken in hand, redeliveries included, in the one order in which that happened.
    pub deliveries: Deliveries,
    /// Every message that was parked.
    pub parked: Vec<Delivery>,
    /// Events that no plan holds, by [`Event::Unplanned`].
    pub unplanned: Vec<(OrderId, Revision)>,
    /// Every message that went to the dead-letter topic.
    pub dead_letters: Vec<DeadLetter>,
    /// Every change of ownership.
    pub ownership: Vec<Ownership>,
    /// Every committed offset.
    pub commits: Vec<Commit>,
    /// Records that were gone when they were asked for.
    pub skipped: Vec<Skipped>,
    /// Attempts that failed and were made again, by consumer and part ("store", "view", "broker").
    pub retries: BTreeMap<(u32, Component), Retries>,
    /// Who owns what at present.
    pub(super) owned: BTreeMap<String, Vec<i32>>,
}

/// An event as a consumer saw it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Event {
    /// By its index in the timeline.
    Planned(u32),
    /// By its place in [`Journal::unplanned`].
    Unplanned(u32),
}

/// One message in a consumer's hand.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Delivery {
    /// Where it lies in the log.
    pub origin: Origin,
    /// Which event it is.
    pub event: Event,
    /// Whose hand.
    pub consumer: u32,
}

/// Messages in consumers' hands, in their order: 12 bytes each.
#[derive(Clone, Debug, Default)]
pub struct Deliveries {
    /// Of [`CHUNK`] each, so that growing never holds them twice.
    chunks: Vec<Vec<PackedDelivery>>,
}

/// Deliveries that are made room for at a time.
const CHUNK: usize = 1 << 16;
/// In [`PackedDelivery::event`], says that the rest is a place among the unplanned.
const UNPLANNED: u32 = 1 << 31;

#[derive(Clone, Copy, Debug)]
struct PackedDelivery {
    offset: u32,
    event: u32,
    partition: u16,
    consumer: u16,
}

impl Deliveries {
    /// Adds one behind the others.
    pub(super) fn push(&mut self, delivery: Delivery) {
        let Delivery { origin: Origin { partition, offset }, event, consumer } = delivery;
        let event = match event {
            Event::Planned(index) => index,
            Event::Unplanned(place) => place | UNPLANNED,
        };
        // What does not fit is no place of a trial's topic: it becomes one where nothing lies, as the checks will say.
        let offset = u32::try_from(offset).unwrap_or(u32::MAX);
        let small = |number: i64| u16::try_from(number).unwrap_or(u16::MAX);
        let (partition, consumer) = (small(partition.into()), small(consumer.into()));
        if self.chunks.last().is_none_or(|chunk| chunk.len() == CHUNK) {
            self.chunks.push(Vec::with_capacity(CHUNK));
        }
        if let Some(chunk) = self.chunks.last_mut() {
            chunk.push(PackedDelivery { offset, event, partition, consumer });
        }
    }

    /// How many there are.
    pub fn len(&self) -> usize {
        self.chunks.iter().map(Vec::len).sum()
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// All of them, in their order.
    pub fn iter(&self) -> impl Iterator<Item = Delivery> + '_ {
        self.chunks.iter().flatten().map(|packed| {
            let PackedDelivery { offset, event, partition, consumer } = *packed;
            let event = match event & UNPLANNED {
                0 => Event::Planned(event),
                _ => Event::Unplanned(event & !UNPLANNED),
            };
            Delivery {
                origin: Origin { partition: partition.into(), offset: offset.into() },
                event,
                consumer: consumer.into(),
            }
        })
    }
}

/// A message that went to the dead-letter topic.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DeadLetter {
    /// When, in ns since the run's epoch.
    pub at_ns: u64,
    /// Where it lies in the log.
    pub origin: Origin,
    /// Who sent it there.
    pub consumer: u32,
    /// Why.
    pub reason: String,
}

/// A change of ownership.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Ownership {
    /// When, in ns since the run's epoch.
    pub at_ns: u64,
    /// Whose.
    pub consumer: u32,
    /// What it owns from then on.
    pub partitions: Vec<i32>,
    /// It gave up what it owned without a commit.
    pub lost: bool,
}

/// A committed offset.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Commit {
    /// When, in ns since the run's epoch.
    pub at_ns: u64,
    /// Who committed.
    pub consumer: u32,
    /// The partition.
    pub partition: i32,
    /// The offset to go on from.
    pub next_offset: i64,
}

/// Records that were gone when they were asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Skipped {
    /// Who asked.
    pub consumer: u32,
    /// The partition.
    pub partition: i32,
    /// The first offset that is gone.
    pub from: i64,
    /// The first offset that is still there.
    pub to: i64,
}

/// Failed attempts of one consumer on one part.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Retries {
    /// How many.
    pub count: u64,
    /// The last error. Only one is kept: a part that is away for an hour fails ten thousand times alike.
    pub last_error: String,
}

impl Journal {
    /// Which event of the journal this is, given the index a plan has for it.
    pub(super) fn event(&mut self, planned: Option<usize>, order_id: &OrderId, revision: Revision) -> Event {
        match planned.and_then(|index| u32::try_from(index).ok()) {
            Some(index) => Event::Planned(index),
            None => {
                self.unplanned.push((order_id.clone(), revision));
                Event::Unplanned(u32::try_from(self.unplanned.len() - 1).unwrap_or(u32::MAX))
            }
        }
    }
}
