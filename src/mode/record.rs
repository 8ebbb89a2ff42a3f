//! Record mode: one event at a time, as a plain listener does.

use std::pin::pin;
use std::sync::Arc;
use std::time::{Duration, Instant};

use super::dead_letter::DeadLetters;
use crate::delivery::{Fold, StatusEntry};
use crate::event::PaymentEvent;
use crate::kafka::{Fetched, Origin};
use crate::probe::{Activity, Probe, Seen, retried};
use crate::store::{DeliveryStore, Effect, Outcome, StoreError};
use crate::timer::Delay;
use crate::view::StatusView;

/// First wait after a failed attempt; doubles up to [`BACKOFF_MAX`].
const BACKOFF_MIN: Duration = Duration::from_millis(20);
/// Longest wait between two attempts.
const BACKOFF_MAX: Duration = Duration::from_secs(1);

/// How long a call may go unanswered before a warning says so. The call goes on; its own time-out ends it.
const SILENCE: Duration = Duration::from_millis(500);

/// The store, the view and the observer that a consumer works with.
#[derive(Clone)]
pub struct Parts {
    /// Where delivery rows are kept.
    pub store: Arc<dyn DeliveryStore>,
    /// Where their status can be queried at once.
    pub view: Arc<dyn StatusView>,
    /// Who watches.
    pub probe: Arc<dyn Probe>,
}

/// Works through events one at a time: stored, then visible, then the next.
pub(crate) struct RecordMode {
    consumer: String,
    parts: Parts,
    dead_letters: DeadLetters,
    service_time: Duration,
    delay: Delay,
    /// Time of the message in hand that was spent waiting for someone else.
    waited: Duration,
}

/// What [`RecordMode::store`] came to.
enum Stored {
    Done(Outcome),
    Refused(String),
}

impl RecordMode {
    pub(crate) fn new(
        consumer: String,
        parts: Parts,
        dead_letters: DeadLetters,
        service_time: Duration,
        delay: Delay,
    ) -> Self {
        Self { consumer, parts, dead_letters, service_time, delay, waited: Duration::ZERO }
    }

    /// Takes one message all the way. When it returns, the message's offset may be committed.
    ///
    /// Attempts are bounded in time but not in number: with the store or the view away this waits for them. Dropping
    /// the future leaves the message to be delivered again, which the domain rule makes harmless.
    pub(crate) async fn handle(&mut self, fetched: &Fetched) {
        let begun = Instant::now();
        self.waited = Duration::ZERO;
        self.take(fetched).await;
        let own = begun.elapsed().saturating_sub(self.waited);
        self.parts.probe.spent(&self.consumer, Activity::Own, own);
    }

    async fn take(&mut self, fetched: &Fetched) {
        let event = match PaymentEvent::decode(fetched.message.value.as_deref()) {
            Ok(event) => event,
            Err(error) => return self.dead_letter(fetched, &error.to_string()).await,
        };
        let (consumer, order_id) = (self.consumer.clone(), event.order_id.clone());
        let seen = Seen {
            consumer: &consumer,
            order_id: &order_id,
            revision: event.revision,
            origin: fetched.origin,
        };
        self.parts.probe.fetched(seen);
        if !self.service_time.is_zero() {
            let begun = Instant::now();
            if let Err(error) = self.delay.wait(self.service_time).await {
                tracing::error!(%error, "the modelled service time could not be waited for");
            }
            self.spent(Activity::Service, begun);
        }

        let fold = Fold::one(event);
        let outcome = match self.store(&fold, fetched.origin).await {
            Stored::Done(outcome) => outcome,
            Stored::Refused(reason) => return self.dead_letter(fetched, &reason).await,
        };
        if outcome.effect == Effect::Parked {
            self.parts.probe.parked(seen);
        } else {
            if outcome.effect == Effect::Ignored {
                self.parts.probe.ignored(seen);
            }
            self.parts.probe.stored(seen);
            // An ignored redelivery still writes the view: a worker may have died between row and view.
            if let Some(row) = &outcome.row {
                let in_view = self.show(row).await;
                self.parts.probe.visible(seen, in_view);
            }
        }
    }

    async fn store(&mut self, fold: &Fold, origin: Origin) -> Stored {
        let begun = Instant::now();
        let mut backoff = BACKOFF_MIN;
        let stored = loop {
            match self.answer("store", self.parts.store.apply(fold, origin)).await {
                Ok(outcome) => break Stored::Done(outcome),
                Err(refused @ StoreError::Refused { .. }) => break Stored::Refused(refused.to_string()),
                Err(error) => self.again("store", &error.to_string(), &mut backoff).await,
            }
        };
        self.spent(Activity::Store, begun);
        stored
    }

    async fn show(&mut self, row: &StatusEntry) -> u32 {
        let begun = Instant::now();
        let mut backoff = BACKOFF_MIN;
        let in_view = loop {
            match self.answer("view", self.parts.view.advance(row)).await {
                Ok(in_view) => break in_view,
                Err(error) => self.again("view", &error.to_string(), &mut backoff).await,
            }
        };
        self.spent(Activity::View, begun);
        in_view
    }

    async fn dead_letter(&mut self, fetched: &Fetched, reason: &str) {
        let mut backoff = BACKOFF_MIN;
        loop {
            let sent = self.dead_letters.send(fetched, reason);
            match answer(&self.consumer, "broker", sent).await {
                Ok(()) => break,
                Err(error) => self.again("broker", &error, &mut backoff).await,
            }
        }
        tracing::warn!(consumer = self.consumer, origin = %fetched.origin, reason, "message dead-lettered");
        self.parts.probe.dead_lettered(&self.consumer, fetched.origin, reason);
    }

    fn spent(&mut self, activity: Activity, begun: Instant) {
        let spent = begun.elapsed();
        self.waited += spent;
        self.parts.probe.spent(&self.consumer, activity, spent);
    }

    async fn answer<T>(&self, part: &'static str, call: impl Future<Output = T>) -> T {
        answer(&self.consumer, part, call).await
    }

    /// Tells of a failed attempt and waits before the next.
    async fn again(&self, part: &'static str, error: &str, backoff: &mut Duration) {
        retried(&*self.parts.probe, &self.consumer, part, error);
        tokio::time::sleep(*backoff).await;
        *backoff = (*backoff * 2).min(BACKOFF_MAX);
    }
}

/// What `call` on `part` comes to. A call that stays unanswered is warned of, so that no lane hangs in silence.
async fn answer<T>(consumer: &str, part: &'static str, call: impl Future<Output = T>) -> T {
    let begun = Instant::now();
    let mut call = pin!(call);
    loop {
        match tokio::time::timeout(SILENCE, call.as_mut()).await {
            Ok(answer) => return answer,
            Err(_) => {
                let waited_ms = begun.elapsed().as_millis() as u64;
                tracing::warn!(consumer, part, waited_ms, "no answer yet");
            }
        }
    }
}
