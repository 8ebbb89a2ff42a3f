//! Service times that are known beforehand: each event keeps its consumer busy for exactly as long as was drawn for it.

use std::sync::Arc;
use std::time::{Duration, Instant};

use async_trait::async_trait;
use payment_delivery::delivery::{Delivery, Fold};
use payment_delivery::event::OrderId;
use payment_delivery::kafka::Origin;
use payment_delivery::store::{DeliveryStore, Outcome, Parked, StoreError};
use payment_delivery::timer::{DelayError, LazyDelay};
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

/// A consumer that begins an event so soon after the end of the one before did not rest between them: the kernel's timer woke it late, and it
/// had to turn to the next.
const TURN: Duration = Duration::from_millis(1);

/// A store whose every call ends when the time drawn for its event is over. The writes are a part of it: a deadline, not a pause on top.
///
/// Where the consumer did not rest, the time runs from the last deadline on. Otherwise the timer's lateness, a tenth of a millisecond, would be
/// added up over all the events that wait for one another, and pass for a fault of the clock.
pub(super) struct DeadlineStore {
    inner: Arc<dyn DeliveryStore>,
    timeline: Arc<Timeline>,
    /// By the event's index in the timeline.
    times: Arc<[Duration]>,
    /// One consumer calls, one call at a time.
    lane: Mutex<Lane>,
}

#[derive(Default)]
struct Lane {
    delay: LazyDelay,
    free_from: Option<Instant>,
}

impl DeadlineStore {
    pub(super) fn new(
        inner: Arc<dyn DeliveryStore>,
        timeline: Arc<Timeline>,
        times: Arc<[Duration]>,
    ) -> Arc<Self> {
        Arc::new(Self { inner, timeline, times, lane: Mutex::default() })
    }

    async fn applied(&self, fold: &Fold, origin: Origin) -> Result<Outcome, StoreError> {
        let mut lane = self.lane.lock().await;
        let begun = lane.begin(Instant::now());
        let outcome = self.inner.apply(fold, origin).await?;
        let index = self.timeline.index_of(&fold.event.order_id, fold.last());
        if let Some(time) = index.and_then(|index| self.times.get(index)) {
            let waited = lane.rest_until(begun + *time).await;
            waited.map_err(|error| StoreError::Unusable(error.to_string()))?;
        }
        Ok(outcome)
    }
}

impl Lane {
    /// From when on an event is worked on whose write begins now.
    fn begin(&self, now: Instant) -> Instant {
        self.free_from.filter(|free| now.saturating_duration_since(*free) <= TURN).unwrap_or(now)
    }

    async fn rest_until(&mut self, deadline: Instant) -> Result<(), DelayError> {
        self.free_from = Some(deadline);
        self.delay.wait(deadline.saturating_duration_since(Instant::now())).await
    }
}

// Each event has a time of its own.
store!(DeadlineStore);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lateness_is_not_added_up_while_events_wait() {
        let deadline = Instant::now();
        let lane = Lane { free_from: Some(deadline), ..Lane::default() };
        let late = |by: Duration| lane.begin(deadline + by).saturating_duration_since(deadline);
        assert_eq!(late(Duration::from_micros(90)), Duration::ZERO);
        assert_eq!(late(Duration::from_millis(3)), Duration::from_millis(3), "it had rested");
        assert_eq!(Lane::default().begin(deadline), deadline);
    }
}
