//! Service times that are known beforehand: each event keeps its consumer busy for exactly as long as was drawn for it.

use std::sync::Arc;
use std::time::{Duration, Instant};

use async_trait::async_trait;
use payment_delivery::delivery::{Delivery, Fold};
use payment_delivery::event::OrderId;
use payment_delivery::kafka::Origin;
use payment_delivery::store::{DeliveryStore, Outcome, Parked, StoreError};
use payment_delivery::timer::Delay;
use rand::SeedableRng as _;
use rand_chacha::ChaCha8Rng;
use rand_distr::{Distribution as _, Exp1};
use serde::Serialize;
use tokio::sync::Mutex;

use crate::measure::Timeline;
use crate::worker::handicap::store::store;

/// How service times are drawn.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum ServiceTimes {
    /// Always the mean.
    Fixed,
    /// Exponential, with that mean.
    Exponential,
}

impl ServiceTimes {
    /// One for each event of a phase, in the order of its plan.
    pub(super) fn draw(self, mean: Duration, events: usize, seed: u64) -> Vec<Duration> {
        let mut rng = ChaCha8Rng::seed_from_u64(seed);
        // Its own stream: what is drawn for arrivals and keys has the same seed.
        rng.set_stream(u64::MAX);
        let mut one = || match self {
            Self::Fixed => 1.0,
            Self::Exponential => Exp1.sample(&mut rng),
        };
        (0..events).map(|_| mean.mul_f64(one())).collect()
    }
}

/// A store whose every call ends when the time drawn for its event is over. The writes are a part of it: a deadline, not a pause on top.
pub(super) struct DeadlineStore {
    pub(super) inner: Arc<dyn DeliveryStore>,
    pub(super) timeline: Arc<Timeline>,
    /// By the event's index in the timeline.
    pub(super) times: Arc<[Duration]>,
    /// One consumer calls, one call at a time.
    pub(super) delay: Mutex<Option<Delay>>,
}

impl DeadlineStore {
    async fn applied(&self, fold: &Fold, origin: Origin) -> Result<Outcome, StoreError> {
        let begun = Instant::now();
        let outcome = self.inner.apply(fold, origin).await?;
        self.rest(fold, begun).await?;
        Ok(outcome)
    }

    async fn rest(&self, fold: &Fold, begun: Instant) -> Result<(), StoreError> {
        let index = self.timeline.index_of(&fold.event.order_id, fold.last());
        let Some(time) = index.and_then(|index| self.times.get(index)) else { return Ok(()) };
        let failed = |error: payment_delivery::timer::DelayError| StoreError::Unusable(error.to_string());
        let mut delay = self.delay.lock().await;
        let delay = match &mut *delay {
            Some(delay) => delay,
            none => none.insert(Delay::new().map_err(failed)?),
        };
        delay.wait(time.saturating_sub(begun.elapsed())).await.map_err(failed)
    }
}

store!(DeadlineStore);
