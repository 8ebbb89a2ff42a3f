//! The rule over a map: what any store must be equal to.

use std::collections::BTreeMap;
use std::sync::{Mutex, MutexGuard, PoisonError};

use async_trait::async_trait;

use super::{DeliveryStore, Effect, Outcome, Parked, StoreError};
use crate::delivery::{Decision, Delivery, Fold, Status, StatusEntry, decide};
use crate::event::{OrderId, Revision};
use crate::kafka::Origin;

/// Rows and parked events in memory, by [`decide`] alone.
#[derive(Default)]
pub struct ModelStore(Mutex<Tables>);

#[derive(Default)]
struct Tables {
    rows: BTreeMap<OrderId, Delivery>,
    /// By order and last revision, as a fold that comes again longer replaces the shorter one.
    parked: BTreeMap<(OrderId, Revision), (Fold, Origin)>,
}

impl ModelStore {
    fn tables(&self) -> MutexGuard<'_, Tables> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Tables {
    fn apply(&mut self, fold: &Fold, origin: Origin) -> Effect {
        let order_id = &fold.event.order_id;
        let row = self.rows.get(order_id);
        match decide(row.map_or(0, |row| row.revision), fold.first, fold.last()) {
            Decision::Ignore => Effect::Ignored,
            Decision::Park => {
                let kept = self.parked.entry((order_id.clone(), fold.last()));
                let kept = kept.or_insert_with(|| (fold.clone(), origin));
                kept.0.first = kept.0.first.min(fold.first);
                Effect::Parked
            }
            Decision::Apply { added } => {
                let applied = row.map_or(0, |row| row.applied) + added;
                self.rows.insert(order_id.clone(), delivery(fold, applied, origin));
                self.drain(order_id, fold.last());
                Effect::Applied
            }
        }
    }

    fn drain(&mut self, order_id: &OrderId, revision: Revision) {
        self.parked.retain(|(order, last), _| order != order_id || *last > revision);
        let next = self
            .parked
            .iter()
            .find(|((order, _), (fold, _))| order == order_id && fold.first <= revision + 1)
            .map(|(_, parked)| parked.clone());
        if let Some((fold, origin)) = next {
            self.apply(&fold, origin);
        }
    }
}

fn storable(fold: &Fold) -> Result<(), StoreError> {
    if fold.event.currency.len() == 3 {
        return Ok(());
    }
    Err(StoreError::Refused { sqlstate: "23514".into(), message: "currency".into() })
}

fn delivery(fold: &Fold, applied: u32, origin: Origin) -> Delivery {
    Delivery {
        order_id: fold.event.order_id.clone(),
        revision: fold.last(),
        applied,
        status: Status::at(fold.last()),
        amount_minor: fold.event.amount_minor,
        currency: fold.event.currency.clone(),
        address: fold.event.address.clone(),
        origin,
    }
}

#[async_trait]
impl DeliveryStore for ModelStore {
    async fn apply(&self, fold: &Fold, origin: Origin) -> Result<Outcome, StoreError> {
        storable(fold)?;
        let mut tables = self.tables();
        let effect = tables.apply(fold, origin);
        let row = tables.rows.get(&fold.event.order_id).map(Delivery::status_entry);
        Ok(Outcome { effect, row })
    }

    async fn apply_all(&self, folds: &[(Fold, Origin)]) -> Result<Vec<Option<StatusEntry>>, StoreError> {
        folds.iter().try_for_each(|(fold, _)| storable(fold))?;
        let mut tables = self.tables();
        let applied = folds.iter().map(|(fold, origin)| {
            let order_id = &fold.event.order_id;
            let revision = tables.rows.get(order_id).map_or(0, |row| row.revision);
            if revision + 1 != fold.first {
                return None;
            }
            tables.apply(fold, *origin);
            tables.rows.get(order_id).map(Delivery::status_entry)
        });
        Ok(applied.collect())
    }

    async fn delivery(&self, order_id: &OrderId) -> Result<Option<Delivery>, StoreError> {
        Ok(self.tables().rows.get(order_id).cloned())
    }

    async fn deliveries_after(&self, after: Option<&OrderId>) -> Result<Vec<Delivery>, StoreError> {
        let behind = |id: &&OrderId| after.is_none_or(|after| *id > after);
        Ok(self.tables().rows.iter().filter(|(id, _)| behind(id)).map(|(_, row)| row.clone()).collect())
    }

    async fn parked(&self) -> Result<Vec<Parked>, StoreError> {
        let parked = |(fold, origin): &(Fold, Origin)| Parked {
            order_id: fold.event.order_id.clone(),
            first: fold.first,
            last: fold.last(),
            origin: *origin,
        };
        Ok(self.tables().parked.values().map(parked).collect())
    }

    async fn prepare(&self) -> Result<(), StoreError> {
        Ok(())
    }

    async fn clear(&self) -> Result<(), StoreError> {
        *self.tables() = Tables::default();
        Ok(())
    }
}
