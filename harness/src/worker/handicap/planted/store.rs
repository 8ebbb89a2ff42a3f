//! Faults of the store.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use payment_delivery::delivery::{Fold, Status, StatusEntry};
use payment_delivery::event::{OrderId, PaymentEvent};
use payment_delivery::kafka::Origin;
use payment_delivery::store::{DeliveryStore, Effect, Outcome, StoreError};

use super::{Fault, Planter, RawRows};

/// How late [`Fault::CommitAhead`] stores: long after a commit and a sample of it.
const LATE: Duration = Duration::from_millis(500);

/// An event and where it lies.
type Placed = (Fold, Origin);

/// A fault in the work of a process's consumers on rows.
#[derive(Debug)]
pub(in crate::worker::handicap) struct StorePlant {
    planter: Planter,
    raw: RawRows,
    /// The last event of each order, for faults that need the one before.
    last: Mutex<HashMap<OrderId, Placed>>,
    /// Events that were acknowledged and await the one that follows them.
    held: Mutex<HashMap<OrderId, Placed>>,
}

impl StorePlant {
    pub(in crate::worker::handicap) fn new(planter: Planter, raw: RawRows) -> Self {
        Self { planter, raw, last: Mutex::default(), held: Mutex::default() }
    }

    /// Applies an event, or does to it what is wrong.
    pub(in crate::worker::handicap) async fn apply(
        &self,
        inner: &Arc<dyn DeliveryStore>,
        fold: &Fold,
        origin: Origin,
    ) -> Result<Outcome, StoreError> {
        match self.planter.fault {
            Fault::Drop => {
                if !self.planter.this_one() {
                    return inner.apply(fold, origin).await;
                }
                self.write_down(fold, origin);
                Ok(pretended(fold))
            }
            Fault::Skip => self.skip(inner, fold, origin).await,
            Fault::Swap | Fault::Unpark => self.swap(inner, fold, origin).await,
            Fault::Content => {
                let before = self.remember(fold, origin);
                let Some((before, _)) = before.filter(|_| self.planter.this_one()) else {
                    return inner.apply(fold, origin).await;
                };
                let event = PaymentEvent { address: before.event.address, ..fold.event.clone() };
                let outcome = inner.apply(&Fold { event, ..*fold }, origin).await?;
                self.write_down(fold, origin);
                Ok(outcome)
            }
            Fault::Place => {
                if !self.planter.this_one() {
                    return inner.apply(fold, origin).await;
                }
                let elsewhere = Origin { offset: origin.offset + 1_000_000, ..origin };
                let outcome = inner.apply(fold, elsewhere).await?;
                self.write_down(fold, elsewhere);
                Ok(outcome)
            }
            Fault::Refuse => {
                if !self.planter.this_one() {
                    return inner.apply(fold, origin).await;
                }
                self.write_down(fold, origin);
                Err(StoreError::Refused { sqlstate: "23514".into(), message: "a fault was planted".into() })
            }
            Fault::CommitAhead => {
                // Of an order's first event alone: one that comes late after another late one would have to be parked.
                if fold.first != 1 || !self.planter.this_one() {
                    return inner.apply(fold, origin).await;
                }
                self.write_down(fold, origin);
                let (inner, late) = (Arc::clone(inner), fold.clone());
                tokio::spawn(async move {
                    tokio::time::sleep(LATE).await;
                    if let Err(error) = inner.apply(&late, origin).await {
                        tracing::error!(%error, "what was to be stored late was not stored");
                    }
                });
                Ok(pretended(fold))
            }
            Fault::Letter => match inner.apply(fold, origin).await {
                Err(StoreError::Refused { .. }) if self.planter.this_one() => {
                    self.write_down(fold, origin);
                    Ok(pretended(fold))
                }
                applied => applied,
            },
            Fault::Guard | Fault::Twice | Fault::Phantom => {
                let outcome = inner.apply(fold, origin).await?;
                self.after(fold, origin, outcome.effect).await?;
                Ok(outcome)
            }
            Fault::ViewBack | Fault::ViewSkip => inner.apply(fold, origin).await,
        }
    }

    /// An event is held back, and the one that follows is written past it.
    async fn skip(
        &self,
        inner: &Arc<dyn DeliveryStore>,
        fold: &Fold,
        origin: Origin,
    ) -> Result<Outcome, StoreError> {
        if self.take_held(&fold.event.order_id).is_some() {
            self.raw.overwrite(fold, origin, fold.last()).await?;
            return Ok(pretended(fold));
        }
        // There must be a row to be written over.
        if fold.first == 1 || !self.planter.this_one() {
            return inner.apply(fold, origin).await;
        }
        self.write_down(fold, origin);
        self.hold(fold, origin);
        Ok(pretended(fold))
    }

    /// An order's first event is held back until its second has come to the row, where it is parked; it may be forgotten there.
    async fn swap(
        &self,
        inner: &Arc<dyn DeliveryStore>,
        fold: &Fold,
        origin: Origin,
    ) -> Result<Outcome, StoreError> {
        if let Some((first, at)) = self.take_held(&fold.event.order_id) {
            inner.apply(fold, origin).await?;
            if self.planter.fault == Fault::Unpark {
                self.raw.forget(&fold.event.order_id, fold.last()).await?;
            }
            let outcome = inner.apply(&first, at).await?;
            self.write_down(fold, origin);
            return Ok(outcome);
        }
        if fold.first != 1 || !self.planter.this_one() {
            return inner.apply(fold, origin).await;
        }
        self.hold(fold, origin);
        Ok(pretended(fold))
    }

    /// What is done to a row that is right.
    async fn after(&self, fold: &Fold, origin: Origin, effect: Effect) -> Result<(), StoreError> {
        let id = &fold.event.order_id;
        match self.planter.fault {
            // A row that was set back already is not set back by the event before one that had to be parked.
            Fault::Guard if effect == Effect::Applied => {
                let Some((before, at)) = self.remember(fold, origin).filter(|_| self.planter.this_one())
                else {
                    return Ok(());
                };
                self.raw.overwrite(&before, at, fold.last() + 1).await?;
                self.write_down(&before, at);
                Ok(())
            }
            Fault::Twice if self.planter.this_one() => {
                self.raw.count_again(id).await?;
                self.write_down(fold, origin);
                Ok(())
            }
            Fault::Phantom if self.planter.this_one() => {
                let order_id = OrderId::new(&format!("phantom-{}-{}", origin.partition, origin.offset));
                let order_id = order_id.expect("short, and of letters and digits");
                let phantom = Fold::one(PaymentEvent { order_id, revision: 1, ..fold.event.clone() });
                self.raw.insert(&phantom, origin).await?;
                self.write_down(&phantom, origin);
                Ok(())
            }
            _ => Ok(()),
        }
    }

    fn write_down(&self, fold: &Fold, origin: Origin) {
        self.planter.write_down(&fold.event.order_id, fold.last(), Some(origin));
    }

    /// The order's event before this one.
    fn remember(&self, fold: &Fold, origin: Origin) -> Option<Placed> {
        let mut last = self.last.lock().unwrap_or_else(PoisonError::into_inner);
        let before = last.insert(fold.event.order_id.clone(), (fold.clone(), origin));
        before.filter(|(before, _)| before.last() < fold.last())
    }

    fn hold(&self, fold: &Fold, origin: Origin) {
        let mut held = self.held.lock().unwrap_or_else(PoisonError::into_inner);
        held.insert(fold.event.order_id.clone(), (fold.clone(), origin));
    }

    fn take_held(&self, order_id: &OrderId) -> Option<Placed> {
        self.held.lock().unwrap_or_else(PoisonError::into_inner).remove(order_id)
    }
}

/// What a store would say that had applied it.
fn pretended(fold: &Fold) -> Outcome {
    let revision = fold.last();
    let order_id = fold.event.order_id.clone();
    let row = StatusEntry { order_id, revision, status: Status::at(revision) };
    Outcome { effect: Effect::Applied, row: Some(row) }
}

#[cfg(test)]
mod tests {
    use std::num::NonZeroU64;

    use payment_delivery::store::contract::{fold, origin};
    use payment_delivery::store::model::ModelStore;

    use super::super::PlantLog;
    use super::*;
    use crate::worker::Database;

    fn plant(fault: Fault, every: u64) -> StorePlant {
        let planter = Planter::new(fault, NonZeroU64::new(every).unwrap(), PlantLog::default());
        StorePlant::new(planter, RawRows(Database::Sqlite { file: "nowhere".into() }))
    }

    /// The rows after these events came in this order.
    async fn rows(fault: Fault, every: u64, events: &[(&str, u32)]) -> Vec<(String, u32)> {
        let (plant, store) = (plant(fault, every), Arc::new(ModelStore::default()));
        let inner: Arc<dyn DeliveryStore> = store.clone();
        for (order, revision) in events {
            let outcome =
                plant.apply(&inner, &fold(order, *revision, *revision), origin(*revision)).await.unwrap();
            assert_eq!(outcome.effect, Effect::Applied, "it says that it was stored");
        }
        store.deliveries().await.unwrap().iter().map(|row| (row.order_id.to_string(), row.revision)).collect()
    }

    #[tokio::test]
    async fn every_third_event_is_acknowledged_and_not_stored() {
        let orders = ["o-1", "o-2", "o-3", "o-4", "o-5", "o-6"].map(|order| (order, 1));
        let stored = rows(Fault::Drop, 3, &orders).await;
        assert_eq!(
            stored.iter().map(|(order, _)| order.as_str()).collect::<Vec<_>>(),
            ["o-1", "o-2", "o-4", "o-5"]
        );
    }

    #[tokio::test]
    async fn two_events_change_places_and_the_row_ends_right() {
        assert_eq!(rows(Fault::Swap, 1, &[("o-1", 1), ("o-1", 2)]).await, [("o-1".to_owned(), 2)]);
    }
}
