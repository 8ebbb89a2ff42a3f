//! One at a time for each order, in the order of asking.

use std::hash::{DefaultHasher, Hash, Hasher};
use std::sync::Arc;

use tokio::sync::{Mutex, OwnedMutexGuard};

use crate::event::OrderId;

/// Locks shared by all orders. Two orders that share one wait for each other now and then, which costs time only.
const STRIPES: usize = 4096;

/// A turn; it ends when this is dropped.
pub(super) type Turn = OwnedMutexGuard<()>;

/// Who is at work on which order in this process.
pub(super) struct Turns(Vec<Arc<Mutex<()>>>);

impl Turns {
    pub(super) fn new() -> Self {
        Self((0..STRIPES).map(|_| Arc::default()).collect())
    }

    /// Waits for the order's turn; those who wait get it in the order in which they asked.
    pub(super) async fn of(&self, order_id: &OrderId) -> Turn {
        Arc::clone(self.stripe(order_id)).lock_owned().await
    }

    /// The order's turn if nobody is at work on it.
    pub(super) fn free(&self, order_id: &OrderId) -> Option<Turn> {
        Arc::clone(self.stripe(order_id)).try_lock_owned().ok()
    }

    fn stripe(&self, order_id: &OrderId) -> &Arc<Mutex<()>> {
        let mut hasher = DefaultHasher::new();
        order_id.hash(&mut hasher);
        &self.0[(hasher.finish() % STRIPES as u64) as usize]
    }
}
