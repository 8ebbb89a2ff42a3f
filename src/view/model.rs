//! Compare-and-set over a map: what any view must be equal to.

use std::collections::BTreeMap;
use std::sync::{Mutex, MutexGuard, PoisonError};

use async_trait::async_trait;

use super::{StatusView, ViewError};
use crate::delivery::StatusEntry;
use crate::event::{OrderId, Revision};

/// Statuses in memory.
#[derive(Default)]
pub struct ModelView(Mutex<BTreeMap<OrderId, StatusEntry>>);

impl ModelView {
    fn entries(&self) -> MutexGuard<'_, BTreeMap<OrderId, StatusEntry>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[async_trait]
impl StatusView for ModelView {
    async fn advance(&self, entry: &StatusEntry) -> Result<Revision, ViewError> {
        let mut entries = self.entries();
        let held = entries.entry(entry.order_id.clone()).or_insert_with(|| entry.clone());
        if held.revision < entry.revision {
            held.clone_from(entry);
        }
        Ok(held.revision)
    }

    async fn get(&self, order_ids: &[OrderId]) -> Result<Vec<Option<StatusEntry>>, ViewError> {
        let entries = self.entries();
        Ok(order_ids.iter().map(|order_id| entries.get(order_id).cloned()).collect())
    }

    async fn clear(&self) -> Result<(), ViewError> {
        self.entries().clear();
        Ok(())
    }
}
