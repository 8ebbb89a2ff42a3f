//! The domain rule, pure: what an event, or a fold of several, does to a delivery row.

use crate::event::{OrderId, PaymentEvent, Revision};
use crate::kafka::Origin;

/// Several consecutive events of one order, folded to the last of them. A single event is a fold of one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Fold {
    /// Revision of the first event folded in.
    pub first: Revision,
    /// The last event; its revision closes the gap-free run from `first`.
    pub event: PaymentEvent,
}

impl Fold {
    /// A fold of one event.
    pub fn one(event: PaymentEvent) -> Self {
        Self { first: event.revision, event }
    }

    /// Revision of the last event folded in.
    pub fn last(&self) -> Revision {
        self.event.revision
    }
}

/// What the rule says about a fold that meets a row.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Decision {
    /// It supersedes the row; the row's `applied` grows by this number of events.
    Apply {
        /// Events of the fold that the row did not hold yet.
        added: u32,
    },
    /// The row already holds it: a redelivery.
    Ignore,
    /// Something before it is missing: park it.
    Park,
}

/// The rule: apply if `first ≤ row + 1 ≤ last`, ignore what the row holds, park what leaves a gap.
///
/// `row` is the row's revision, 0 where there is no row.
pub fn decide(row: Revision, first: Revision, last: Revision) -> Decision {
    if last <= row {
        Decision::Ignore
    } else if first > row + 1 {
        Decision::Park
    } else {
        Decision::Apply { added: last - row }
    }
}

/// How far a delivery is, as a customer would ask.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Status {
    /// Made from the order's first event.
    Preparing,
    /// Superseded at least once: another address or amount.
    Amended,
}

impl Status {
    /// The status that a row has after `revision`.
    pub fn at(revision: Revision) -> Self {
        if revision <= 1 { Self::Preparing } else { Self::Amended }
    }

    /// As written in the store and the view.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Preparing => "PREPARING",
            Self::Amended => "AMENDED",
        }
    }

    /// Reads what [`Self::as_str`] wrote.
    pub fn parse(text: &str) -> Option<Self> {
        match text {
            "PREPARING" => Some(Self::Preparing),
            "AMENDED" => Some(Self::Amended),
            _ => None,
        }
    }
}

/// A delivery row.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Delivery {
    /// The order it delivers.
    pub order_id: OrderId,
    /// Revision of the last event applied.
    pub revision: Revision,
    /// How many events were applied; truth asks that it equals `revision`.
    pub applied: u32,
    /// Its status.
    pub status: Status,
    /// Amount of the last event, in the currency's smallest unit.
    pub amount_minor: i64,
    /// Currency of the last event.
    pub currency: String,
    /// Address of the last event.
    pub address: String,
    /// Where the last event lies in the log.
    pub origin: Origin,
}

/// What the view keeps of a delivery.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StatusEntry {
    /// The order.
    pub order_id: OrderId,
    /// The revision this status stands for.
    pub revision: Revision,
    /// Its status.
    pub status: Status,
}

impl Delivery {
    /// What the view should show for this row.
    pub fn status_entry(&self) -> StatusEntry {
        StatusEntry { order_id: self.order_id.clone(), revision: self.revision, status: self.status }
    }
}
