//! Batch mode: what is at hand becomes one durable transaction, as a batch listener does.
//!
//! ```text
//! batch 1  ──store──▶──view──▶ offsets complete
//! batch 2  gathered, decoded   ──store──▶──view──▶ offsets complete
//! ```
//!
//! A batch forms behind the one in flight, so that it is as large as the load asks for: one event where little is due, and no event waits
//! for others to come. How a batch is stored is in `groups.rs`.

use std::sync::Arc;
use std::time::Duration;

use super::Processor;
use super::groups::{Groups, Size, Taken};
use super::steps::{Steps, calls_within};
use crate::consumer::{ConsumerError, ServiceTime};
use crate::kafka::Fetched;
use crate::probe::Activity;
use crate::timer::LazyDelay;

/// Most of a batch, which makes its first event wait for its last. A single message may be larger.
const BATCH_MAX: Size = Size { messages: 1_000, bytes: 1 << 20 };

/// How long the modelled calls of a batch may take: a partition that is revoked waits for the batch in flight and the one behind it.
const CALLS_MAX: Duration = Duration::from_millis(500);

/// Gathers a batch while another is in flight.
pub(in crate::consumer) struct BatchProcessor {
    steps: Arc<Steps>,
    service_time: ServiceTime,
    batch_max: Size,
    batches: Groups,
}

impl BatchProcessor {
    pub(super) fn new(steps: Arc<Steps>, service_time: ServiceTime) -> Self {
        let messages = calls_within(CALLS_MAX, service_time).clamp(1, BATCH_MAX.messages);
        let batch_max = Size { messages, ..BATCH_MAX };
        Self { batches: Groups::new(Arc::clone(&steps)), steps, service_time, batch_max }
    }

    /// Begins with the batch that was gathered: its modelled calls, one after another, then the store.
    async fn start(&mut self) -> Result<(), ConsumerError> {
        let (steps, time) = (Arc::clone(&self.steps), self.service_time);
        let call = |taken: &Taken| time.of(&taken.event.order_id, taken.event.revision);
        let called: &[Taken] = if time.is_zero() { &[] } else { self.batches.events() };
        let calls: Vec<Duration> = called.iter().map(call).collect();
        let calls = async move {
            let mut delay = LazyDelay::default();
            for call in calls {
                steps.spent(Activity::Service, steps.serve(&mut delay, call).await?);
            }
            Ok(())
        };
        self.batches.start(calls).await
    }
}

impl Processor for BatchProcessor {
    async fn take(&mut self, fetched: Fetched) -> Result<(), ConsumerError> {
        if let Some(taken) = self.batches.read(fetched) {
            self.batches.push(taken);
        }
        if self.batches.gathered().reaches(self.batch_max) {
            self.batches.land().await?;
            return self.start().await;
        }
        self.batches.nudge_now_and_then().await
    }

    async fn finish(&mut self) -> Result<(), ConsumerError> {
        loop {
            self.batches.land().await?;
            if self.batches.is_done() {
                return Ok(());
            }
            self.start().await?;
        }
    }

    fn is_busy(&self) -> bool {
        self.batches.in_hand().messages > 0
    }
}
