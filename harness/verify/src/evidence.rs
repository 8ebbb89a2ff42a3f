//! What the checks look at: plain data, gathered from the running system by whoever ran it.

use std::sync::Arc;

use payment_delivery::delivery::{Delivery, StatusEntry};
use payment_delivery::event::{OrderId, Revision};
use payment_delivery::kafka::Origin;
use payment_delivery::store::Parked;

/// Everything that is known about one trial when its last event is done.
///
/// All of it must cover the whole trial: [`super::verify`] treats what is missing here as missing in the system.
#[derive(Clone, Debug, Default)]
pub struct Evidence {
    /// Every event handed to the producer, in that order.
    pub sent: Vec<Sent>,
    /// A full scan of the topic, every partition from its first offset to its end, in any order. An offset that the
    /// scan brought twice counts once.
    pub log: Vec<Logged>,
    /// Every message a processing loop took in hand, in the one true order in which that happened.
    pub deliveries: Vec<Seen>,
    /// Whether processing loops don't tell what they take in hand, as with a worker that is seen from outside only. Order at
    /// the consumer is left out of the checks then.
    pub outside: bool,
    /// Every row of the store.
    pub rows: Vec<Delivery>,
    /// Every event that waits in the store for what comes before it.
    pub parked: Vec<Parked>,
    /// Every record of the dead-letter topic.
    pub dead_letters: Vec<DeadLetter>,
    /// What the view answered for every order that was sent or that has a row.
    pub view: Vec<(OrderId, Option<StatusEntry>)>,
    /// Keys that the view's server evicted meanwhile to make room, whoever's they were.
    pub view_evicted: u64,
    /// What the REST API answered, where events were sent through it.
    pub api: Option<ApiAnswers>,
    /// Whether records carry their order id as key; only then can Kafka keep an order's events in order.
    pub keyed: bool,
    /// Whether the scenario may leave parked events behind.
    pub allow_parked: bool,
    /// Whether the scenario may leave dead letters behind.
    pub allow_dead_letters: bool,
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

/// An event handed to the producer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Sent {
    /// Its order.
    pub order_id: OrderId,
    /// Its revision.
    pub revision: Revision,
    /// How that ended.
    pub outcome: SendOutcome,
}

/// How producing one event ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum SendOutcome {
    /// The broker acknowledged it at this place; from here on it may not be lost.
    Acked(Origin),
    /// It was refused, or given up at the delivery deadline, for this reason. The log may hold it all the same.
    Failed(String),
    /// No answer when the trial ended. The log may hold it all the same.
    Unresolved,
}

/// One record of the topic.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Logged {
    /// Where it lies.
    pub origin: Origin,
    /// Its key.
    pub key: Option<Vec<u8>>,
    /// The order and revision in its value; `None` if it can't be decoded.
    pub event: Option<(OrderId, Revision)>,
}

/// One message in the hands of a consumer's processing loop.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Seen {
    /// Its order.
    pub order_id: OrderId,
    /// Its revision.
    pub revision: Revision,
    /// Where it lies in the log.
    pub origin: Origin,
    /// The consumer's name.
    pub consumer: Arc<str>,
}

/// One record of the dead-letter topic.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DeadLetter {
    /// Where its message lies in the main topic.
    pub origin: Origin,
    /// Why it was put there.
    pub reason: String,
}
