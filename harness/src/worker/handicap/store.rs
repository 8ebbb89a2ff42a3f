//! A store with handicaps around it.

use std::sync::Arc;
use std::time::Instant;

use async_trait::async_trait;
use payment_delivery::delivery::{Delivery, Fold, StatusEntry};
use payment_delivery::event::OrderId;
use payment_delivery::kafka::Origin;
use payment_delivery::store::{DeliveryStore, Outcome, Parked, StoreError};

use super::planted::store::StorePlant;
use super::slow::Slow;

/// One consumer's store: its calls may take longer.
pub(super) struct SlowStore {
    pub(super) inner: Arc<dyn DeliveryStore>,
    pub(super) slow: Slow,
}

/// One consumer's store: something is done wrong to some events.
pub(super) struct PlantedStore {
    pub(super) inner: Arc<dyn DeliveryStore>,
    pub(super) plant: Arc<StorePlant>,
}

impl SlowStore {
    async fn applied(&self, fold: &Fold, origin: Origin) -> Result<Outcome, StoreError> {
        let begun = Instant::now();
        let applied = self.inner.apply(fold, origin).await;
        self.slow.charge(begun.elapsed()).await;
        applied
    }

    async fn applied_all(&self, folds: &[(Fold, Origin)]) -> Result<Vec<Option<StatusEntry>>, StoreError> {
        let begun = Instant::now();
        let applied = self.inner.apply_all(folds).await;
        self.slow.charge(begun.elapsed()).await;
        applied
    }
}

impl PlantedStore {
    async fn applied(&self, fold: &Fold, origin: Origin) -> Result<Outcome, StoreError> {
        self.plant.apply(&self.inner, fold, origin).await
    }
}

/// A store around another: `applied` is its own, all else the inner one's. Without a name for how it applies several folds, they go through
/// `applied` event by event.
macro_rules! store {
    ($store:ty $(, $applied_all:ident)?) => {
        #[async_trait]
        impl DeliveryStore for $store {
            async fn apply(&self, fold: &Fold, origin: Origin) -> Result<Outcome, StoreError> {
                self.applied(fold, origin).await
            }

            $(async fn apply_all(
                &self,
                folds: &[(Fold, Origin)],
            ) -> Result<Vec<Option<StatusEntry>>, StoreError> {
                self.$applied_all(folds).await
            })?

            async fn delivery(&self, order_id: &OrderId) -> Result<Option<Delivery>, StoreError> {
                self.inner.delivery(order_id).await
            }

            async fn deliveries_after(&self, after: Option<&OrderId>) -> Result<Vec<Delivery>, StoreError> {
                self.inner.deliveries_after(after).await
            }

            async fn parked(&self) -> Result<Vec<Parked>, StoreError> {
                self.inner.parked().await
            }

            async fn prepare(&self) -> Result<(), StoreError> {
                self.inner.prepare().await
            }

            async fn clear(&self) -> Result<(), StoreError> {
                self.inner.clear().await
            }
        }
    };
}

pub(crate) use store;

store!(SlowStore, applied_all);
// A fault is planted into single events.
store!(PlantedStore);
