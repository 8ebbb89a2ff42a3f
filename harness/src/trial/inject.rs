//! Breaking something on purpose on the running system: a record in the log, a row, a value in the view. Never the
//! checker's input.

use std::collections::HashSet;
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use payment_delivery::event::{OrderId, PaymentEvent, Revision};
use payment_delivery::kafka::producer::Ack;
use payment_delivery::kafka::{Message, Origin};
use tokio::sync::oneshot;

use crate::error::RunError;
use crate::load::feed::{SharedProducer, Ticket};
use crate::measure::timeline::{PhaseId, Timeline};
use crate::scenario::Action;
use crate::verify::ContentDigest;
use crate::workload::Planned;
use crate::workspace::TrialWorkspace;

/// An event that was acknowledged beside the planned ones.
#[derive(Clone, Debug)]
pub(super) struct Extra {
    pub(super) order_id: OrderId,
    pub(super) revision: Revision,
    pub(super) origin: Origin,
    pub(super) content: ContentDigest,
    /// It has to come to the dead-letter topic.
    pub(super) poison: bool,
}

/// How long an order may be waited for that something can be done to.
const FOUND_WITHIN: Duration = Duration::from_secs(20);
/// How often it is looked for one.
const LOOK_EVERY: Duration = Duration::from_millis(20);

/// Does it to the order whose last event is `last`. Returns the events that were acknowledged for it, which the checks must know as they
/// know every acknowledged event.
pub(super) async fn inject(
    kind: Action,
    last: &Planned,
    place: &TrialWorkspace,
    producer: &SharedProducer,
) -> Result<Vec<Extra>, RunError> {
    tracing::info!(?kind, order = %last.order_id, revision = last.revision, "injecting");
    match kind {
        Action::Reorder => {
            let later = extra(producer, &last.value, |event| event.revision += 2).await?;
            let earlier = extra(producer, &last.value, |event| event.revision += 1).await?;
            Ok(vec![later, earlier])
        }
        Action::Poison => {
            let refused = |event: &mut PaymentEvent| {
                event.revision += 1;
                event.address.push('\0'); // no text of a database holds it
            };
            let extra = extra(producer, &last.value, refused).await?;
            Ok(vec![Extra { poison: true, ..extra }])
        }
        // The same event at a new offset is the producer's own `resent`: nothing new to account for.
        Action::Duplicate => extra(producer, &last.value, |_| ()).await.map(|_| Vec::new()),
        Action::Loss => place.rows.delete(&last.order_id).await.map(|()| Vec::new()),
        Action::StaleView => {
            place.statuses.set_back(&last.order_id, last.revision - 1).await.map(|()| Vec::new())
        }
        other => Err(RunError::Fault(format!("{} is not done to an order", other.as_str()))),
    }
}

/// The orders to which something was done: to each no more than once.
#[derive(Default)]
pub(super) struct Orders(Mutex<HashSet<OrderId>>);

impl Orders {
    /// Another one: the last event of the order that came last of those with several events of which all is visible.
    ///
    /// # Errors
    /// [`RunError::Fault`] where there is none, or none within [`FOUND_WITHIN`].
    pub(super) async fn choose(&self, timeline: &Timeline, phase: PhaseId) -> Result<Planned, RunError> {
        let none = |why: &str| Err(RunError::Fault(format!("nothing could be done to an order: {why}")));
        let plan = timeline.plan(phase);
        if plan.events.iter().all(|event| event.revision == 1) {
            return none("none has two events");
        }
        let begun = Instant::now();
        loop {
            if let Some(index) = self.find(timeline, phase) {
                return Ok(plan.event(index));
            }
            if begun.elapsed() > FOUND_WITHIN {
                return none("of none with two events all was visible");
            }
            tokio::time::sleep(LOOK_EVERY).await;
        }
    }

    fn find(&self, timeline: &Timeline, phase: PhaseId) -> Option<usize> {
        let (plan, first) = (timeline.plan(phase), timeline.range(phase).start);
        let mut later = HashSet::new();
        // Whoever panicked with it, what is in it was chosen.
        let mut chosen = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let (found, _) = plan.events.iter().enumerate().rev().find(|(index, event)| {
            let is_last = later.insert(event.order);
            let is_whole = || timeline.passed(first + index).visible.is_some();
            is_last && event.revision > 1 && is_whole() && !chosen.contains(plan.order_id(*index))
        })?;
        chosen.insert(plan.order_id(found).clone());
        Some(found)
    }
}

/// Produces a copy of an event with a change and waits for its acknowledgement.
async fn extra(
    producer: &SharedProducer,
    value: &[u8],
    change: impl FnOnce(&mut PaymentEvent),
) -> Result<Extra, RunError> {
    let mut event = PaymentEvent::decode(Some(value)).map_err(|e| RunError::Load(e.to_string()))?;
    change(&mut event);
    let message = Message {
        key: Some(event.order_id.as_str().as_bytes().to_vec()),
        value: Some(event.encode()),
        timestamp_ms: event.paid_at_ms,
        ..Message::default()
    };
    let (done, acked) = oneshot::channel();
    producer.send(message, Ticket::Extra(done)).await.map_err(|e| RunError::Load(e.to_string()))?;
    match acked.await {
        Ok(Ok(Ack { origin })) => {
            let content = ContentDigest::of_event(&event);
            Ok(Extra { order_id: event.order_id, revision: event.revision, origin, content, poison: false })
        }
        Ok(Err(error)) => Err(RunError::Load(error.to_string())),
        Err(_) => Err(RunError::Load("the producer stopped".into())),
    }
}
