//! What takes longer on purpose: calls of a store and of a view, and answers of brokers. What was added is timed here.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use async_trait::async_trait;
use payment_delivery::delivery::{Delivery, Fold, StatusEntry};
use payment_delivery::event::OrderId;
use payment_delivery::kafka::Origin;
use payment_delivery::store::{DeliveryStore, Outcome, Parked, StoreError};
use payment_delivery::timer::{DelayError, LazyDelay};
use payment_delivery::view::{Put, StatusView, ViewError};

use super::DosedPlace;
use crate::stack::{Answers, EmbeddedStack};
use crate::worker::handicap::store::store;

/// Time that was added to calls.
#[derive(Default)]
pub(super) struct Added {
    ns: AtomicU64,
    calls: AtomicU64,
}

impl Added {
    fn note(&self, time: Duration) {
        self.ns.fetch_add(time.as_nanos() as u64, Ordering::Relaxed);
        self.calls.fetch_add(1, Ordering::Relaxed);
    }

    pub(super) fn mean_ms(&self) -> f64 {
        self.ns.load(Ordering::Relaxed) as f64 / 1e6 / self.calls.load(Ordering::Relaxed).max(1) as f64
    }
}

/// Something whose calls take longer.
pub(super) struct Late<T: ?Sized> {
    inner: Arc<T>,
    by: Duration,
    added: Arc<Added>,
    delay: tokio::sync::Mutex<LazyDelay>,
}

impl<T: ?Sized> Late<T> {
    pub(super) fn new(inner: Arc<T>, by: Duration, added: &Arc<Added>) -> Self {
        Self { inner, by, added: Arc::clone(added), delay: tokio::sync::Mutex::default() }
    }

    async fn wait(&self) -> Result<(), DelayError> {
        let begun = Instant::now();
        self.delay.lock().await.wait(self.by).await?;
        self.added.note(begun.elapsed());
        Ok(())
    }
}

pub(super) struct LateStore(pub(super) Late<dyn DeliveryStore>);

impl LateStore {
    async fn applied(&self, fold: &Fold, origin: Origin) -> Result<Outcome, StoreError> {
        self.0.wait().await.map_err(|error| StoreError::Unusable(error.to_string()))?;
        self.0.inner.apply(fold, origin).await
    }
}

impl std::ops::Deref for LateStore {
    type Target = Late<dyn DeliveryStore>;

    fn deref(&self) -> &Self::Target {
        &self.0
    }
}

store!(LateStore);

pub(super) struct LateView(pub(super) Late<dyn StatusView>);

#[async_trait]
impl StatusView for LateView {
    async fn put_if_newer(&self, entry: &StatusEntry) -> Result<Put, ViewError> {
        self.0.wait().await.map_err(|error| ViewError::Unusable(error.to_string()))?;
        self.0.inner.put_if_newer(entry).await
    }

    async fn get(&self, order_ids: &[OrderId]) -> Result<Vec<Option<StatusEntry>>, ViewError> {
        self.0.inner.get(order_ids).await
    }

    async fn clear(&self) -> Result<(), ViewError> {
        self.0.inner.clear().await
    }
}

/// Brokers that hold answers back, until dropped.
pub(super) struct Held<'a> {
    stack: &'a EmbeddedStack,
    before: (u64, Duration),
}

impl<'a> Held<'a> {
    pub(super) fn start(stack: &'a EmbeddedStack, place: Option<DosedPlace>, by: Duration) -> Self {
        let answers = match place {
            Some(DosedPlace::Ack) => Some(Answers::Produce),
            Some(DosedPlace::Fetch) => Some(Answers::Fetch),
            Some(DosedPlace::Commit) => Some(Answers::OffsetCommit),
            _ => None,
        };
        let held = Self { stack, before: stack.held_back() };
        if let Some(answers) = answers {
            stack.delay_answers(answers, by);
        }
        held
    }

    /// How long an answer was held back, in the mean, in ms.
    pub(super) fn stop(self) -> f64 {
        let (answers, time) = self.stack.held_back();
        let answers = answers.saturating_sub(self.before.0).max(1);
        time.saturating_sub(self.before.1).as_secs_f64() * 1e3 / answers as f64
    }
}

impl Drop for Held<'_> {
    fn drop(&mut self) {
        self.stack.delay_answers(Answers::All, Duration::ZERO);
    }
}
