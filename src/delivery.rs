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

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;
    use std::future::Future;
    use std::pin::pin;
    use std::task::{Context, Poll, Waker};

    use proptest::prelude::*;

    use super::*;
    use crate::store::contract::{fold, origin, row};
    use crate::store::model::ModelStore;
    use crate::store::{DeliveryStore, Effect};

    const ORDER: &str = "o-1";

    #[track_caller]
    fn check(row: Revision, (first, last): (Revision, Revision), expected: Decision) {
        assert_eq!(decide(row, first, last), expected, "{first} to {last} on a row at {row}");
    }

    #[test]
    fn what_follows_applies_what_is_held_is_ignored_what_leaves_a_gap_is_parked() {
        check(0, (1, 1), Decision::Apply { added: 1 });
        check(0, (2, 2), Decision::Park);
        check(3, (4, 4), Decision::Apply { added: 1 });
        check(3, (3, 3), Decision::Ignore);
        check(3, (1, 1), Decision::Ignore);
        check(3, (5, 5), Decision::Park);
    }

    #[test]
    fn a_fold_applies_if_any_of_it_follows() {
        check(0, (1, 4), Decision::Apply { added: 4 });
        check(3, (2, 4), Decision::Apply { added: 1 });
        check(3, (4, 9), Decision::Apply { added: 6 });
        check(3, (1, 3), Decision::Ignore);
        check(3, (5, 9), Decision::Park);
        check(i32::MAX as u32 - 1, (1, i32::MAX as u32), Decision::Apply { added: 1 });
    }

    #[test]
    fn a_status_reads_back_as_it_was_written() {
        for status in [Status::at(1), Status::at(2)] {
            assert_eq!(Status::parse(status.as_str()), Some(status));
        }
        assert_eq!(Status::parse("preparing"), None);
    }

    /// The output of a future that never waits, as the model's are.
    fn now<T>(future: impl Future<Output = T>) -> T {
        match pin!(future).poll(&mut Context::from_waker(Waker::noop())) {
            Poll::Ready(output) => output,
            Poll::Pending => panic!("the model waited"),
        }
    }

    /// What the rule must have made of the delivered revisions, whatever the order: the gap-free run from 1.
    fn run_from_one(delivered: &BTreeSet<Revision>) -> Revision {
        (1..).take_while(|revision| delivered.contains(revision)).count() as Revision
    }

    /// Folds within 1 to 12, in any order, with repeats and gaps.
    fn deliveries() -> impl Strategy<Value = Vec<(Revision, Revision)>> {
        let fold = (1..=12_u32, 0..4_u32).prop_map(|(first, more)| (first, (first + more).min(12)));
        prop::collection::vec(prop_oneof![3 => (1..=12_u32).prop_map(|r| (r, r)), 1 => fold], 1..40)
    }

    proptest! {
        #[test]
        fn any_delivery_order_ends_in_the_same_row_with_nothing_unaccounted(deliveries in deliveries()) {
            let store = ModelStore::default();
            let mut delivered = BTreeSet::new();
            for (first, last) in deliveries {
                delivered.extend(first..=last);
                let before = now(store.deliveries()).unwrap().first().map_or(0, |row| row.revision);
                let outcome = now(store.apply(&fold(ORDER, first, last), origin(last))).unwrap();

                let reached = run_from_one(&delivered);
                let after = now(store.deliveries()).unwrap();
                let expected = (reached > 0).then(|| row(ORDER, reached));
                prop_assert_eq!(after.first(), expected.as_ref());
                prop_assert_eq!(outcome.row, expected.map(|row| row.status_entry()));
                prop_assert_eq!(outcome.effect == Effect::Applied, reached > before);

                let parked = now(store.parked()).unwrap();
                let waiting: BTreeSet<Revision> = parked.iter().flat_map(|p| p.first..=p.last).collect();
                prop_assert_eq!(waiting, delivered.iter().copied().filter(|r| *r > reached).collect());
            }
        }
    }
}
