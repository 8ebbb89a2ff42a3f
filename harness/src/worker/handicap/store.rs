//! A store with handicaps around it.

use std::sync::Arc;
use std::time::Instant;

use async_trait::async_trait;
use payment_delivery::delivery::{Delivery, Fold};
use payment_delivery::event::OrderId;
use payment_delivery::kafka::Origin;
use payment_delivery::store::{DeliveryStore, Outcome, Parked, StoreError};

use super::harm::Drops;
use super::slow::Slow;

/// One consumer's store: some events never reach it, and its calls may take longer.
pub(super) struct HandicappedStore {
    pub(super) inner: Arc<dyn DeliveryStore>,
    pub(super) drops: Option<Arc<Drops>>,
    pub(super) slow: Option<Slow>,
}

#[async_trait]
impl DeliveryStore for HandicappedStore {
    async fn apply(&self, fold: &Fold, origin: Origin) -> Result<Outcome, StoreError> {
        if let Some(drops) = &self.drops
            && drops.this_one()
        {
            return Ok(Drops::pretended(fold));
        }
        let begun = Instant::now();
        let applied = self.inner.apply(fold, origin).await;
        if let Some(slow) = &self.slow {
            slow.charge(begun.elapsed()).await;
        }
        applied
    }

    async fn delivery(&self, order_id: &OrderId) -> Result<Option<Delivery>, StoreError> {
        self.inner.delivery(order_id).await
    }

    async fn deliveries(&self) -> Result<Vec<Delivery>, StoreError> {
        self.inner.deliveries().await
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
