//! What takes longer on purpose: calls of a store and of a view, and answers of brokers. What was added is timed here.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use async_trait::async_trait;
use payment_delivery::delivery::{Delivery, Fold, StatusEntry};
use payment_delivery::event::OrderId;
use payment_delivery::kafka::Origin;
use payment_delivery::store::{DeliveryStore, Outcome, Parked, StoreError};
use payment_delivery::timer::{DelayError, LazyDelay};
use payment_delivery::view::{Put, StatusView, ViewError};

use super::super::clock::at;
use super::DosedPlace;
use crate::stack::{Answers, EmbeddedStack};
use crate::worker::handicap::store::store;

/// Time that was added to calls.
#[derive(Default)]
pub(super) struct Added(Mutex<Vec<Duration>>);

impl Added {
    fn note(&self, time: Duration) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).push(time);
    }

    pub(super) fn median_ms(&self) -> f64 {
        median_ms(&self.0.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

fn median_ms(times: &[Duration]) -> f64 {
    let times: Vec<f64> = times.iter().map(|time| time.as_secs_f64() * 1e3).collect();
    at(&times, 0.5)
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
    async fn wait(&self) -> Result<(), StoreError> {
        self.0.wait().await.map_err(|error| StoreError::Unusable(error.to_string()))
    }

    async fn applied(&self, fold: &Fold, origin: Origin) -> Result<Outcome, StoreError> {
        self.wait().await?;
        self.0.inner.apply(fold, origin).await
    }

    async fn applied_all(&self, folds: &[(Fold, Origin)]) -> Result<Vec<Option<StatusEntry>>, StoreError> {
        self.wait().await?;
        self.0.inner.apply_all(folds).await
    }
}

impl std::ops::Deref for LateStore {
    type Target = Late<dyn DeliveryStore>;

    fn deref(&self) -> &Self::Target {
        &self.0
    }
}

store!(LateStore, applied_all);

pub(super) struct LateView(pub(super) Late<dyn StatusView>);

impl LateView {
    async fn wait(&self) -> Result<(), ViewError> {
        self.0.wait().await.map_err(|error| ViewError::Unusable(error.to_string()))
    }
}

#[async_trait]
impl StatusView for LateView {
    async fn put_if_newer(&self, entry: &StatusEntry) -> Result<Put, ViewError> {
        self.wait().await?;
        self.0.inner.put_if_newer(entry).await
    }

    async fn put_all_if_newer(&self, entries: &[StatusEntry]) -> Result<Vec<Put>, ViewError> {
        self.wait().await?;
        self.0.inner.put_all_if_newer(entries).await
    }

    async fn get(&self, order_ids: &[OrderId]) -> Result<Vec<Option<StatusEntry>>, ViewError> {
        self.0.inner.get(order_ids).await
    }

    async fn clear(&self) -> Result<(), ViewError> {
        self.0.inner.clear().await
    }
}

/// Brokers that hold answers back, until dropped.
pub(super) struct Held<'a>(&'a EmbeddedStack);

impl<'a> Held<'a> {
    pub(super) fn start(stack: &'a EmbeddedStack, place: DosedPlace, by: Duration) -> Self {
        let answers = match place {
            DosedPlace::Ack => Some(Answers::Produce),
            DosedPlace::Fetch => Some(Answers::Fetch),
            DosedPlace::Commit => Some(Answers::OffsetCommit),
            DosedPlace::Sender | DosedPlace::Store | DosedPlace::View => None,
        };
        drop(stack.take_held_back()); // of the trial before
        if let Some(answers) = answers {
            stack.delay_answers(answers, by);
        }
        Self(stack)
    }

    /// How long an answer was held back, in the median, in ms; 0 where none was.
    pub(super) fn stop(self) -> f64 {
        median_ms(&self.0.take_held_back())
    }
}

impl Drop for Held<'_> {
    fn drop(&mut self) {
        self.0.delay_answers(Answers::All, Duration::ZERO);
    }
}
