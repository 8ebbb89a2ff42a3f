//! Faults of the view.

use std::collections::HashSet;
use std::sync::{Arc, Mutex, PoisonError};

use async_trait::async_trait;
use payment_delivery::delivery::StatusEntry;
use payment_delivery::event::OrderId;
use payment_delivery::view::{Put, StatusView, ViewError};

use super::{Fault, Planter, RawStatuses};

/// A fault in the writes of a process's consumers to the view. An order that has it once has it to its end, lest a later write mend it.
#[derive(Debug)]
pub(in crate::worker::handicap) struct ViewPlant {
    planter: Planter,
    raw: RawStatuses,
    orders: Mutex<HashSet<OrderId>>,
}

impl ViewPlant {
    pub(in crate::worker::handicap) fn new(planter: Planter, raw: RawStatuses) -> Self {
        Self { planter, raw, orders: Mutex::default() }
    }

    fn has_it(&self, entry: &StatusEntry) -> bool {
        let mut orders = self.orders.lock().unwrap_or_else(PoisonError::into_inner);
        orders.contains(&entry.order_id)
            || (entry.revision > 1 && self.planter.this_one() && orders.insert(entry.order_id.clone()))
    }
}

/// One consumer's view with a fault.
pub(in crate::worker::handicap) struct PlantedView {
    pub(in crate::worker::handicap) inner: Arc<dyn StatusView>,
    pub(in crate::worker::handicap) plant: Arc<ViewPlant>,
}

#[async_trait]
impl StatusView for PlantedView {
    async fn put_if_newer(&self, entry: &StatusEntry) -> Result<Put, ViewError> {
        if !self.plant.has_it(entry) {
            return self.inner.put_if_newer(entry).await;
        }
        self.plant.planter.write_down(&entry.order_id, entry.revision, None);
        if self.plant.planter.fault == Fault::ViewSkip {
            return Ok(Put { revision: entry.revision, was_there: true });
        }
        let put = self.inner.put_if_newer(entry).await?;
        self.plant.raw.set(&entry.order_id, entry.revision - 1).await?;
        Ok(put)
    }

    async fn get(&self, order_ids: &[OrderId]) -> Result<Vec<Option<StatusEntry>>, ViewError> {
        self.inner.get(order_ids).await
    }

    async fn clear(&self) -> Result<(), ViewError> {
        self.inner.clear().await
    }
}
