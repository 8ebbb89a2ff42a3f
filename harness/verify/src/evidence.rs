//! What the checks look at, one piece at a time: gathered from the running system by whoever ran it.

use std::num::NonZeroU32;
use std::time::Duration;

use payment_delivery::delivery::StatusEntry;
use payment_delivery::event::{OrderId, PaymentEvent, Revision};
use payment_delivery::kafka::Origin;
use payment_delivery::kafka::partitioner::partition_for_key;

use crate::ContentDigest;

/// A topic got more partitions, so that an order goes on in another one if its key belongs there.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PartitionsAdded {
    /// How many there were.
    pub before: NonZeroU32,
    /// How many there are.
    pub after: NonZeroU32,
    /// Whether all that had been sent was worked off by then: nothing may overtake. Otherwise events of an order may have waited in the old
    /// partition, and consumers may take them in hand later than what follows.
    pub drained: bool,
}

impl PartitionsAdded {
    /// Whether an order had to go from the one partition to the other.
    pub(crate) fn moves(&self, order: &OrderId, from: i32, to: i32) -> bool {
        let belongs_to = |count| partition_for_key(order.as_str().as_bytes(), count);
        (from, to) == (belongs_to(self.before), belongs_to(self.after))
    }
}

/// What a trial may leave behind, and what can be seen of it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Rules {
    /// Whether records carry their order id as key; only then can Kafka keep an order's events in order.
    pub keyed: bool,
    /// Whether processing loops don't tell what they take in hand, as with a worker that is seen from outside only. Order at
    /// the consumer is left out of the checks then.
    pub outside: bool,
    /// Whether the scenario may leave parked events behind.
    pub allow_parked: bool,
    /// Whether the scenario may leave dead letters behind.
    pub allow_dead_letters: bool,
    /// Keys that the view's server evicted meanwhile to make room, whoever's they were.
    pub view_evicted: u64,
    /// Whether the view lost all that it had meanwhile, as the scenario says: what it shows must be right, and what it lacks is filled from the row
    /// by whoever asks the service.
    pub view_emptied: bool,
    /// Whether the topic got more partitions meanwhile, as the scenario says.
    pub partitions_added: Option<PartitionsAdded>,
    /// Whether one write may bring several events of an order, as in batch and keyed mode. Then the events between the two revisions count as
    /// applied if the log has them. Otherwise they must have been parked.
    pub folds: bool,
}

/// An event handed to the producer.
#[derive(Clone, Copy, Debug)]
pub struct Sent<'a> {
    /// Its order.
    pub order_id: &'a OrderId,
    /// Its revision.
    pub revision: Revision,
    /// Where the broker acknowledged it; from there on it may not be lost. `None` where it was refused, or never answered: the log may
    /// hold it all the same.
    pub acked: Option<Origin>,
    /// What it says.
    pub content: ContentDigest,
}

/// One record of the topic.
#[derive(Clone, Copy, Debug)]
pub struct Logged<'a> {
    /// Where it lies.
    pub origin: Origin,
    /// Its key.
    pub key: Option<&'a [u8]>,
    /// The event in its value; `None` if it can't be decoded.
    pub event: Option<&'a PaymentEvent>,
}

/// One message in the hands of a consumer's processing loop, as its worker reports it.
#[derive(Clone, Copy, Debug)]
pub struct Seen<'a> {
    /// Its order; `None` where a report names events by revision and place alone.
    pub order_id: Option<&'a OrderId>,
    /// Its revision.
    pub revision: Revision,
    /// Where it lies in the log.
    pub origin: Origin,
    /// The consumer's name.
    pub consumer: &'a str,
}

/// One write of a row, counted by the database itself.
#[derive(Clone, Copy, Debug)]
pub struct RowWrite<'a> {
    /// The row's order.
    pub order_id: &'a OrderId,
    /// The revision that the write found; 0 where there was no row.
    pub before: Revision,
    /// The revision that it left.
    pub revision: Revision,
    /// Where, by the row, that event lies in the log.
    pub origin: Origin,
    /// What it wrote.
    pub content: ContentDigest,
    /// How long after its offset was seen committed it was made; `None` where it came before, or no commit was seen.
    pub after_commit: Option<Duration>,
}

/// One event that was parked, though it may wait no more.
#[derive(Clone, Copy, Debug)]
pub struct ParkWrite<'a> {
    /// Its order.
    pub order_id: &'a OrderId,
    /// First revision of the parked fold.
    pub first: Revision,
    /// Its last.
    pub last: Revision,
    /// Where its message lies in the log.
    pub origin: Origin,
    /// What it says.
    pub content: ContentDigest,
}

/// One record of the dead-letter topic.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DeadLetter {
    /// Where its message lies in the main topic.
    pub origin: Origin,
    /// Why it was put there.
    pub reason: String,
}

/// The offsets of one partition when all was done.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PartitionEnd {
    /// The partition.
    pub partition: i32,
    /// The log's first offset.
    pub start: i64,
    /// The offset behind its last record.
    pub end: i64,
    /// What the group had committed; `None` if nothing.
    pub committed: Option<i64>,
}

/// What the REST API answered when the last event was done.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ApiAnswers {
    /// The delivery of every order that was sent; `None` where it was not found.
    pub deliveries: Vec<(OrderId, Option<StatusEntry>)>,
    /// The messages of some orders as the API listed them: revision and place.
    pub histories: Vec<(OrderId, Vec<(Revision, Origin)>)>,
    /// Requests that were answered by 503 and made again.
    pub retried: u64,
}
