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
use std::time::{Duration, Instant};

use super::Processor;
use super::steps::{Steps, Stored};
use crate::consumer::{ConsumerError, ServiceTime};
use crate::event::PaymentEvent;
use crate::kafka::Fetched;
use crate::probe::Activity;
use crate::timer::LazyDelay;

/// A view write, and what follows it, under way.
type ViewWrite = Pin<Box<dyn Future<Output = Result<(), ConsumerError>> + Send>>;

/// Works through events one at a time: stored, then the next, while the view is written.
pub(in crate::consumer) struct RecordProcessor {
    steps: Arc<Steps>,
    service_time: ServiceTime,
    delay: LazyDelay,
    /// That of the event before.
    view_write: Option<ViewWrite>,
    /// Time of the message in hand that was spent waiting for someone else.
    awaited: Duration,
}

impl RecordProcessor {
    pub(super) fn new(steps: Arc<Steps>, service_time: ServiceTime) -> Self {
        let delay = LazyDelay::default();
        Self { steps, service_time, delay, view_write: None, awaited: Duration::ZERO }
    }

    async fn process(&mut self, fetched: Fetched) -> Result<(), ConsumerError> {
        let (steps, origin) = (Arc::clone(&self.steps), fetched.origin);
        let event = match PaymentEvent::decode(fetched.message.value.as_deref()) {
            Ok(event) => event,
            Err(error) => return self.beside(steps.dead_letter(&fetched, &error.to_string())).await?,
        };
        let revision = event.revision;
        steps.deps.probe.fetched(steps.seen(&event.order_id, revision, origin));
        if !self.service_time.is_zero() {
            let begun = Instant::now();
            let call = self.service_time.of(&event.order_id, revision);
            let served = steps.serve(&mut self.delay, call);
            steps.spent(Activity::Service, alongside(&mut self.view_write, served).await??);
            self.awaited += begun.elapsed();
        }
        match self.beside(steps.store(event, origin)).await?? {
            Stored::Refused(reason) => self.beside(steps.dead_letter(&fetched, &reason)).await?,
            Stored::Nothing => {
                steps.complete(origin);
                Ok(())
            }
            Stored::Row { row, is_new } => {
                // Room for one view write: the one before had the time of a store write, and has this rest.
                let begun = Instant::now();
                self.finish().await?;
                self.awaited += begun.elapsed();
                steps.spent(Activity::View, begun.elapsed());
                self.view_write =
                    Some(Box::pin(async move { steps.show(row, is_new, revision, origin).await }));
                Ok(())
            }
        }
    }

    /// What `call` comes to, while a view write goes on beside it.
    async fn beside<T>(&mut self, call: impl Future<Output = T>) -> Result<T, ConsumerError> {
        let begun = Instant::now();
        let done = alongside(&mut self.view_write, call).await;
        self.awaited += begun.elapsed();
        done
    }
}

impl Processor for RecordProcessor {
    async fn take(&mut self, fetched: Fetched) -> Result<(), ConsumerError> {
        let begun = Instant::now();
        self.awaited = Duration::ZERO;
        self.steps.begin(fetched.origin);
        self.process(fetched).await?;
        self.steps.spent(Activity::Own, begun.elapsed().saturating_sub(self.awaited));
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

    /// A view write that is under way holds nobody up.
    fn idles(&self) -> bool {
        true
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
