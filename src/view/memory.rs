//! Statuses in this process: the view of the stack that needs cargo only, and what any other view must be equal to.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use async_trait::async_trait;

use super::{Put, StatusView, ViewError};
use crate::delivery::StatusEntry;
use crate::event::OrderId;

/// Statuses in memory, compare-and-set under one lock that is held for a look-up at most. A clone shares them.
///
/// Never away and never wrong: no call fails, and none waits for anything but the lock.
#[derive(Clone, Debug, Default)]
pub struct MemoryView(Arc<Mutex<HashMap<OrderId, StatusEntry>>>);

impl MemoryView {
    /// An empty view.
    pub fn new() -> Self {
        Self::default()
    }

    /// Forgets one order, as a cache may; the next read brings it back from the store.
    pub fn evict(&self, order_id: &OrderId) {
        self.entries().remove(order_id);
    }

    /// A panic under the lock cannot leave an entry half written.
    fn entries(&self) -> MutexGuard<'_, HashMap<OrderId, StatusEntry>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn put(entries: &mut HashMap<OrderId, StatusEntry>, entry: &StatusEntry) -> Put {
    // Not the entry API: it wants a key of its own, and the order is known already in all but the first event.
    let Some(held) = entries.get_mut(&entry.order_id) else {
        entries.insert(entry.order_id.clone(), entry.clone());
        return Put { revision: entry.revision, was_there: false };
    };
    if held.revision < entry.revision {
        held.clone_from(entry);
    }
    Put { revision: held.revision, was_there: true }
}

#[async_trait]
impl StatusView for MemoryView {
    async fn put_if_newer(&self, entry: &StatusEntry) -> Result<Put, ViewError> {
        Ok(put(&mut self.entries(), entry))
    }

    async fn put_all_if_newer(&self, entries: &[StatusEntry]) -> Result<Vec<Put>, ViewError> {
        let mut held = self.entries();
        Ok(entries.iter().map(|entry| put(&mut held, entry)).collect())
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::view::contract::{CHECKS, clear_forgets_its_own_prefix, entry, writes_at_once_never_go_back};

    #[tokio::test(flavor = "multi_thread", worker_threads = 4)]
    async fn it_holds_the_contract() {
        let view = MemoryView::new();
        for (_, check) in CHECKS {
            check(&view).await;
        }
        let clones: Vec<Arc<dyn StatusView>> = (0..4).map(|_| Arc::new(view.clone()) as _).collect();
        writes_at_once_never_go_back(&clones).await;
        clear_forgets_its_own_prefix(&view, &MemoryView::new()).await;
    }

    #[tokio::test]
    async fn a_clone_shares_the_statuses_and_a_new_one_has_none() {
        let view = MemoryView::new();
        view.clone().put_if_newer(&entry("o-1", 2)).await.unwrap();
        let asked = [entry("o-1", 2).order_id];
        assert_eq!(view.get(&asked).await.unwrap(), [Some(entry("o-1", 2))]);
        assert_eq!(MemoryView::new().get(&asked).await.unwrap(), [None]);
    }
}
