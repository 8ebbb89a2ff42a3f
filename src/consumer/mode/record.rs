//! Record mode: one event, one durable transaction, in order, as a plain listener does.
//!
//! The view write of an event overlaps with the store write of the next:
//!
//! ```text
//! event 1  ──store──▶──view──▶ offset complete
//! event 2             ──store──▶──view──▶ offset complete
//! ```
//!
//! Of one order both stay in order: rows by their transactions, the view since every write of it is compare-and-set on the revision.

use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, Instant};

use super::attempts::{Attempted, attempts};
use super::dead_letter::DeadLetters;
use super::{Mode, ProcessorDeps};
use crate::consumer::ConsumerError;
use crate::consumer::tracker::Tracker;
use crate::delivery::{Fold, StatusEntry};
use crate::event::PaymentEvent;
use crate::failure::Component;
use crate::kafka::{Fetched, Origin};
use crate::probe::{Activity, Seen};
use crate::store::{Effect, Outcome};
use crate::timer::Delay;
use crate::view::{Put, publish};

/// A view write, and what follows it, under way.
type ViewWrite = Pin<Box<dyn Future<Output = Result<(), ConsumerError>> + Send>>;

/// Works through events one at a time: stored, then the next, while the view is written.
pub(crate) struct RecordMode {
    consumer: Arc<str>,
    deps: ProcessorDeps,
    dead_letters: DeadLetters,
    service_time: Duration,
    delay: Delay,
    tracker: Arc<Tracker>,
    /// That of the event before.
    view_write: Option<ViewWrite>,
    /// Time of the message in hand that was spent waiting for someone else.
    waited: Duration,
}

impl RecordMode {
    pub(crate) fn new(
        consumer: &str,
        deps: ProcessorDeps,
        dead_letters: DeadLetters,
        service_time: Duration,
        delay: Delay,
        tracker: Arc<Tracker>,
    ) -> Self {
        Self {
            consumer: consumer.into(),
            deps,
            dead_letters,
            service_time,
            delay,
            tracker,
            view_write: None,
            waited: Duration::ZERO,
        }
    }

    async fn process(&mut self, fetched: &Fetched) -> Result<(), ConsumerError> {
        let origin = fetched.origin;
        let event = match PaymentEvent::decode(fetched.message.value.as_deref()) {
            Ok(event) => event,
            Err(error) => return self.dead_letter(fetched, &error.to_string()).await,
        };
        let (consumer, order_id, revision) =
            (Arc::clone(&self.consumer), event.order_id.clone(), event.revision);
        let seen = Seen { consumer: &consumer, order_id: &order_id, revision, origin };
        self.deps.probe.fetched(seen);
        self.serve().await?;
        let outcome = match self.store(&Fold::one(event), origin).await? {
            Attempted::Done(outcome) => outcome,
            Attempted::Refused(reason) => return self.dead_letter(fetched, &reason).await,
        };
        let probe = &self.deps.probe;
        if outcome.effect == Effect::Parked {
            probe.parked(seen);
            self.complete(origin);
            return Ok(());
        }
        if outcome.effect == Effect::Ignored {
            probe.ignored(seen);
        }
        probe.stored(seen);
        // An ignored redelivery still writes the view: a worker may have died between row and view.
        let Some(row) = outcome.row else {
            self.complete(origin);
            return Ok(());
        };
        // A row that is further than the event it applied completed a run that had been parked.
        let run = row.revision.saturating_sub(revision);
        if outcome.effect == Effect::Applied && run > 0 {
            probe.out_of_order(seen, run);
        }
        // Room for one view write: the one before had the time of a store write, and has this rest.
        let begun = Instant::now();
        self.finish().await?;
        self.spent(Activity::View, begun);
        let is_new = outcome.effect == Effect::Applied && row.revision == 1;
        self.view_write = Some(self.write_view(row, is_new, revision, origin));
        Ok(())
    }

    /// The modelled downstream call.
    async fn serve(&mut self) -> Result<(), ConsumerError> {
        if self.service_time.is_zero() {
            return Ok(());
        }
        let begun = Instant::now();
        let waited = alongside(&mut self.view_write, self.delay.wait(self.service_time)).await?;
        if let Err(error) = waited {
            tracing::error!(%error, "the modelled service time could not be waited for");
        }
        self.spent(Activity::Service, begun);
        Ok(())
    }

    async fn store(&mut self, fold: &Fold, origin: Origin) -> Result<Attempted<Outcome>, ConsumerError> {
        let begun = Instant::now();
        let ProcessorDeps { store, probe, .. } = &self.deps;
        let apply = attempts(&self.consumer, &**probe, Component::Store, || store.apply(fold, origin));
        let stored = alongside(&mut self.view_write, apply).await?;
        self.spent(Activity::Store, begun);
        stored
    }

    /// Owns what it needs, since it outlives the message in hand.
    fn write_view(&self, row: StatusEntry, is_new: bool, revision: u32, origin: Origin) -> ViewWrite {
        let (consumer, tracker) = (Arc::clone(&self.consumer), Arc::clone(&self.tracker));
        let ProcessorDeps { store, view, probe } = self.deps.clone();
        Box::pin(async move {
            let order_id = row.order_id.clone();
            let (who, watching, view) = (&*consumer, &*probe, &*view);
            let put = |row: StatusEntry| async move {
                let tries = AtomicU32::new(0);
                let put = attempts(who, watching, Component::View, || {
                    tries.fetch_add(1, Ordering::Relaxed);
                    view.put_if_newer(&row)
                });
                let put = put.await?.needed(who, Component::View)?;
                // What a later attempt finds may be what an earlier one left, whose answer was lost.
                Ok(Put { was_there: put.was_there && tries.into_inner() == 1, ..put })
            };
            let now = || async {
                let row = attempts(who, watching, Component::Store, || store.delivery(&order_id)).await?;
                row.needed(who, Component::Store)
            };
            let in_view = publish(row, is_new, put, now).await?;
            let seen = Seen { consumer: &consumer, order_id: &order_id, revision, origin };
            probe.visible(seen, in_view);
            tracker.complete(origin.partition, origin.offset);
            Ok(())
        })
    }

    async fn dead_letter(&mut self, fetched: &Fetched, reason: &str) -> Result<(), ConsumerError> {
        let begun = Instant::now();
        let sent = self.dead_letters.send(&self.consumer, &*self.deps.probe, fetched, reason);
        alongside(&mut self.view_write, sent).await??;
        self.waited += begun.elapsed();
        tracing::warn!(consumer = &*self.consumer, origin = %fetched.origin, reason, "message dead-lettered");
        self.deps.probe.dead_lettered(&self.consumer, fetched.origin, reason);
        self.complete(fetched.origin);
        Ok(())
    }

    fn complete(&self, Origin { partition, offset }: Origin) {
        self.tracker.complete(partition, offset);
    }

    fn spent(&mut self, activity: Activity, begun: Instant) {
        let spent = begun.elapsed();
        self.waited += spent;
        self.deps.probe.spent(&self.consumer, activity, spent);
    }
}

impl Mode for RecordMode {
    async fn take(&mut self, fetched: &Fetched) -> Result<(), ConsumerError> {
        let begun = Instant::now();
        self.waited = Duration::ZERO;
        self.tracker.begin(fetched.origin.partition, fetched.origin.offset);
        self.process(fetched).await?;
        let own = begun.elapsed().saturating_sub(self.waited);
        self.deps.probe.spent(&self.consumer, Activity::Own, own);
        Ok(())
    }

    async fn finish(&mut self) -> Result<(), ConsumerError> {
        match &mut self.view_write {
            Some(write) => {
                let written = write.as_mut().await;
                self.view_write = None;
                written
            }
            None => Ok(()),
        }
    }

    fn is_busy(&self) -> bool {
        self.view_write.is_some()
    }
}

/// What `call` comes to, while a view write goes on beside it.
///
/// # Errors
/// The view write's.
async fn alongside<T>(
    view_write: &mut Option<ViewWrite>,
    call: impl Future<Output = T>,
) -> Result<T, ConsumerError> {
    let mut call = std::pin::pin!(call);
    loop {
        let Some(write) = view_write else { return Ok(call.await) };
        tokio::select! {
            biased;
            written = write.as_mut() => {
                *view_write = None;
                written?;
            }
            done = call.as_mut() => return Ok(done),
        }
    }
}
