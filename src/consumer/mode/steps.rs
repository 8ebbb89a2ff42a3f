//! The steps of an event that all modes share: each with its attempts, and told to the probe.

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use super::ProcessorDeps;
use super::attempts::{Attempted, attempts};
use super::dead_letter::DeadLetters;
use crate::consumer::tracker::Tracker;
use crate::consumer::{ConsumerError, ServiceTime};
use crate::delivery::{Delivery, Fold, StatusEntry};
use crate::event::{OrderId, PaymentEvent, Revision};
use crate::failure::Component;
use crate::kafka::{Fetched, Origin};
use crate::probe::{Activity, Seen};
use crate::store::{Effect, Outcome};
use crate::timer::LazyDelay;
use crate::view::{Put, ViewError, publish};

/// What a consumer's steps need.
pub(super) struct Steps {
    pub(super) consumer: Arc<str>,
    pub(super) deps: ProcessorDeps,
    dead_letters: DeadLetters,
    tracker: Arc<Tracker>,
    /// Time that was told as [`Activity::Own`], in ns.
    own_ns: AtomicU64,
}

/// What storing an event came to.
pub(super) enum Stored {
    /// The row is to be written to the view.
    Row {
        /// The row after the event.
        row: StatusEntry,
        /// Whether the event is the order's first, so that no status is expected.
        is_new: bool,
    },
    /// There is nothing to write.
    Nothing,
    /// The store refuses the event for good, for this reason.
    Refused(String),
}

/// How many modelled calls fit into `time` one after another, however long they are; any number where there are none.
pub(super) fn calls_within(time: Duration, service_time: ServiceTime) -> usize {
    let calls = time.as_nanos().checked_div(service_time.longest().as_nanos());
    calls.and_then(|calls| usize::try_from(calls).ok()).unwrap_or(usize::MAX)
}

impl Steps {
    pub(super) fn new(
        consumer: &str,
        deps: ProcessorDeps,
        dead_letters: DeadLetters,
        tracker: Arc<Tracker>,
    ) -> Self {
        Self { consumer: consumer.into(), deps, dead_letters, tracker, own_ns: AtomicU64::new(0) }
    }

    /// The message is taken in hand.
    pub(super) fn begin(&self, origin: Origin) {
        self.tracker.begin(origin.partition, origin.offset);
    }

    /// All that is to be done with the message is done.
    pub(super) fn complete(&self, origin: Origin) {
        self.tracker.complete(origin.partition, origin.offset);
    }

    pub(super) fn seen<'a>(&'a self, order_id: &'a OrderId, revision: Revision, origin: Origin) -> Seen<'a> {
        Seen { consumer: &self.consumer, order_id, revision, origin }
    }

    pub(super) fn spent(&self, activity: Activity, time: Duration) {
        if activity == Activity::Own {
            let ns = u64::try_from(time.as_nanos()).unwrap_or(u64::MAX);
            self.own_ns.fetch_add(ns, Ordering::Relaxed);
        }
        self.deps.probe.spent(&self.consumer, activity, time);
    }

    /// What `call` comes to. Its time was spent on `activity`, but for what the consumer meanwhile did of its own.
    pub(super) async fn awaiting<T>(&self, activity: Activity, call: impl Future<Output = T>) -> T {
        let (begun, own_ns) = (Instant::now(), self.own_ns.load(Ordering::Relaxed));
        let done = call.await;
        let own = Duration::from_nanos(self.own_ns.load(Ordering::Relaxed) - own_ns);
        self.spent(activity, begun.elapsed().saturating_sub(own));
        done
    }

    /// The modelled downstream call of an event, which takes `call`; how long it took.
    pub(super) async fn serve(
        &self,
        delay: &mut LazyDelay,
        call: Duration,
    ) -> Result<Duration, ConsumerError> {
        let begun = Instant::now();
        let waited = delay.wait(call).await;
        waited.map_err(|source| ConsumerError::Timer { consumer: self.consumer.to_string(), source })?;
        let took = begun.elapsed();
        self.deps.probe.served(&self.consumer, took);
        Ok(took)
    }

    /// Brings an event into the store.
    pub(super) async fn store(&self, event: PaymentEvent, origin: Origin) -> Result<Stored, ConsumerError> {
        let ProcessorDeps { store, probe, .. } = &self.deps;
        let fold = Fold::one(event);
        let applied = attempts(&self.consumer, &**probe, Component::Store, || store.apply(&fold, origin));
        let Outcome { effect, row } = match self.awaiting(Activity::Store, applied).await? {
            Attempted::Done(outcome) => outcome,
            Attempted::Refused(reason) => return Ok(Stored::Refused(reason)),
        };
        let seen = self.seen(&fold.event.order_id, fold.last(), origin);
        if effect == Effect::Parked {
            probe.parked(seen);
            return Ok(Stored::Nothing);
        }
        if effect == Effect::Ignored {
            probe.ignored(seen);
        }
        probe.stored(seen);
        // An ignored redelivery still writes the view: a worker may have died between row and view.
        let Some(row) = row else { return Ok(Stored::Nothing) };
        if effect == Effect::Applied {
            self.notice_run(seen, &row);
        }
        let is_new = effect == Effect::Applied && row.revision == 1;
        Ok(Stored::Row { row, is_new })
    }

    /// A row that is further than the event that it took has completed a run of events that were parked.
    pub(super) fn notice_run(&self, seen: Seen<'_>, row: &StatusEntry) {
        let run = row.revision.saturating_sub(seen.revision);
        if run > 0 {
            self.deps.probe.out_of_order(seen, run);
        }
    }

    /// Brings the row that an event left into the view, and completes the event.
    pub(super) async fn show(
        &self,
        row: StatusEntry,
        is_new: bool,
        revision: Revision,
        origin: Origin,
    ) -> Result<(), ConsumerError> {
        let order_id = row.order_id.clone();
        let in_view = publish(row, is_new, |row| self.put(row), || self.row(&order_id)).await?;
        self.deps.probe.visible(self.seen(&order_id, revision, origin), in_view);
        self.complete(origin);
        Ok(())
    }

    /// Brings several rows into the view. Tells the revisions then in the view.
    pub(super) async fn show_all(&self, rows: &[StatusEntry]) -> Result<Vec<Revision>, ConsumerError> {
        let (mut puts, is_first) = self.written(|| self.deps.view.put_all_if_newer(rows)).await?;
        // A view that had lost an order takes whatever comes, an old status too. So the row is read again, as `publish` does it for one.
        let is_lost = |(row, put): &(&StatusEntry, &Put)| !(put.was_there && is_first) && row.revision > 1;
        let lost: Vec<OrderId> =
            rows.iter().zip(&puts).filter(is_lost).map(|(row, _)| row.order_id.clone()).collect();
        let now: HashMap<OrderId, Delivery> =
            self.rows(&lost).await?.into_iter().map(|row| (row.order_id.clone(), row)).collect();
        for (row, put) in rows.iter().zip(&mut puts) {
            if let Some(now) = now.get(&row.order_id)
                && now.revision > row.revision
            {
                let later =
                    publish(now.status_entry(), false, |row| self.put(row), || self.row(&row.order_id));
                put.revision = later.await?;
            }
        }
        Ok(puts.into_iter().map(|put| put.revision).collect())
    }

    /// Writes a row to the view.
    async fn put(&self, row: StatusEntry) -> Result<Put, ConsumerError> {
        let (put, is_first) = self.written(|| self.deps.view.put_if_newer(&row)).await?;
        Ok(Put { was_there: put.was_there && is_first, ..put })
    }

    /// What writing to the view comes to, and whether the first attempt did it: what a later one finds there may be what an earlier one left,
    /// whose answer was lost.
    async fn written<T, F: Future<Output = Result<T, ViewError>>>(
        &self,
        write: impl Fn() -> F,
    ) -> Result<(T, bool), ConsumerError> {
        let tries = AtomicU32::new(0);
        let written = attempts(&self.consumer, &*self.deps.probe, Component::View, || {
            tries.fetch_add(1, Ordering::Relaxed);
            write()
        });
        let written = written.await?.needed(&self.consumer, Component::View)?;
        Ok((written, tries.into_inner() == 1))
    }

    /// The row of an order as it is now.
    async fn row(&self, order_id: &OrderId) -> Result<Option<Delivery>, ConsumerError> {
        let ProcessorDeps { store, probe, .. } = &self.deps;
        let row = attempts(&self.consumer, &**probe, Component::Store, || store.delivery(order_id));
        row.await?.needed(&self.consumer, Component::Store)
    }

    /// The rows of several orders as they are now.
    async fn rows(&self, order_ids: &[OrderId]) -> Result<Vec<Delivery>, ConsumerError> {
        if order_ids.is_empty() {
            return Ok(Vec::new());
        }
        let ProcessorDeps { store, probe, .. } = &self.deps;
        let rows = attempts(&self.consumer, &**probe, Component::Store, || store.deliveries_of(order_ids));
        rows.await?.needed(&self.consumer, Component::Store)
    }

    /// Sends the message to the dead-letter topic, for this reason, and completes it.
    pub(super) async fn dead_letter(&self, fetched: &Fetched, reason: &str) -> Result<(), ConsumerError> {
        let probe = &*self.deps.probe;
        self.dead_letters.send(&self.consumer, probe, fetched, reason).await?;
        tracing::warn!(consumer = &*self.consumer, origin = %fetched.origin, reason, "message dead-lettered");
        probe.dead_lettered(&self.consumer, fetched.origin, reason);
        self.complete(fetched.origin);
        Ok(())
    }
}
