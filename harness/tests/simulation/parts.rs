//! A consumer's store and view, which fail when they are told to, and into which bugs can be planted.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use async_trait::async_trait;
use payment_delivery::delivery::{Delivery, Fold, StatusEntry};
use payment_delivery::event::OrderId;
use payment_delivery::kafka::Origin;
use payment_delivery::store::sqlite::SqliteStore;
use payment_delivery::store::{DeliveryStore, Effect, Outcome, Parked, StoreError};
use payment_delivery::view::memory::MemoryView;
use payment_delivery::view::{Put, StatusView, ViewError};

use crate::truth::Truth;

/// A bug that the schedules must find.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Bug {
    /// The store says that it has committed before it has.
    CommitBeforeStore,
    /// A consumer that gives up its partitions does not finish what it has in hand.
    NoDrain,
    /// The view takes whatever comes.
    ViewWithoutCompare,
    /// A call that failed is taken for done, so that the watermark passes a hole.
    PastAHole,
}

/// What is wrong with store and view now, for all consumers.
#[derive(Default)]
pub(crate) struct Switches {
    pub(crate) store_away: AtomicBool,
    pub(crate) answers_lost: AtomicBool,
    pub(crate) view_away: AtomicBool,
}

/// What one consumer's calls go through.
#[derive(Clone)]
pub(crate) struct Around {
    pub(crate) switches: Arc<Switches>,
    pub(crate) truth: Arc<Truth>,
    /// For so many milliseconds its thread stops, at its next call.
    pub(crate) freeze_ms: Arc<AtomicU64>,
    pub(crate) bug: Option<Bug>,
}

impl Around {
    /// Stops everything that this consumer does, heartbeats included.
    #[expect(clippy::disallowed_methods, reason = "what has a runtime of its own is to stand still")]
    fn freeze(&self) {
        let ms = self.freeze_ms.swap(0, Ordering::Relaxed);
        if ms > 0 {
            std::thread::sleep(Duration::from_millis(ms));
        }
    }
}

pub(crate) struct Store {
    pub(crate) inner: Arc<SqliteStore>,
    pub(crate) around: Around,
}

impl Store {
    async fn really(&self, fold: &Fold, origin: Origin) -> Result<Outcome, StoreError> {
        let outcome = self.inner.apply(fold, origin).await?;
        self.around.truth.stored(origin);
        Ok(outcome)
    }
}

#[async_trait]
impl DeliveryStore for Store {
    async fn apply(&self, fold: &Fold, origin: Origin) -> Result<Outcome, StoreError> {
        let is_planted = |bug| self.around.bug == Some(bug);
        if is_planted(Bug::CommitBeforeStore) {
            let store = Self { inner: Arc::clone(&self.inner), around: self.around.clone() };
            let late = fold.clone();
            tokio::spawn(async move {
                tokio::time::sleep(Duration::from_millis(20)).await;
                store.really(&late, origin).await
            });
            let event = &fold.event;
            let delivery = self.inner.delivery(&event.order_id).await?;
            let row = delivery.map(|delivery| delivery.status_entry());
            return Ok(Outcome { effect: Effect::Ignored, row });
        }
        if self.around.switches.store_away.load(Ordering::Relaxed) {
            if is_planted(Bug::PastAHole) {
                return Ok(Outcome { effect: Effect::Ignored, row: None });
            }
            return Err(StoreError::Unavailable("it is away".into()));
        }
        let outcome = self.really(fold, origin).await?;
        self.around.freeze();
        if self.around.switches.answers_lost.load(Ordering::Relaxed) {
            return Err(StoreError::Unavailable("its answer was lost".into()));
        }
        Ok(outcome)
    }

    async fn apply_all(&self, folds: &[(Fold, Origin)]) -> Result<Vec<Option<StatusEntry>>, StoreError> {
        let away = self.around.switches.store_away.load(Ordering::Relaxed);
        match self.around.bug {
            // Event by event, each through `apply`, where the bug is.
            Some(Bug::CommitBeforeStore) => return Ok(vec![None; folds.len()]),
            Some(Bug::PastAHole) if away => return Ok(vec![None; folds.len()]),
            _ if away => return Err(StoreError::Unavailable("it is away".into())),
            _ => {}
        }
        let rows = self.inner.apply_all(folds).await?;
        for ((fold, _), _) in folds.iter().zip(&rows).filter(|(_, row)| row.is_some()) {
            self.around.truth.stored_fold(fold);
        }
        self.around.freeze();
        if self.around.switches.answers_lost.load(Ordering::Relaxed) {
            return Err(StoreError::Unavailable("its answer was lost".into()));
        }
        Ok(rows)
    }

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

pub(crate) struct View {
    pub(crate) inner: MemoryView,
    pub(crate) around: Around,
}

#[async_trait]
impl StatusView for View {
    async fn put_if_newer(&self, entry: &StatusEntry) -> Result<Put, ViewError> {
        self.around.freeze();
        if self.around.switches.view_away.load(Ordering::Relaxed) {
            return Err(ViewError::Unavailable("it is away".into()));
        }
        if self.around.bug == Some(Bug::ViewWithoutCompare) {
            self.inner.evict(&entry.order_id);
            let put = self.inner.put_if_newer(entry).await?;
            return Ok(Put { was_there: true, ..put });
        }
        self.inner.put_if_newer(entry).await
    }

    async fn get(&self, order_ids: &[OrderId]) -> Result<Vec<Option<StatusEntry>>, ViewError> {
        self.inner.get(order_ids).await
    }

    async fn clear(&self) -> Result<(), ViewError> {
        self.inner.clear().await
    }
}
