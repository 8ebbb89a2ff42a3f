//! Breaking something on purpose on the running system: a record in the log, a row, a value in the view. Never the
//! checker's input.

use payment_delivery::event::{OrderId, PaymentEvent, Revision};
use payment_delivery::kafka::producer::Ack;
use payment_delivery::kafka::{Message, Origin};
use tokio::sync::oneshot;

use super::options::Inject;
use crate::error::RunError;
use crate::load::feed::{SharedProducer, Ticket};
use crate::measure::timeline::{PhaseId, Timeline};
use crate::verify::ContentDigest;
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

/// Does `kind` to the first order of `phase` with several events. Returns the events it had acknowledged, which the
/// checks must know as they know every acknowledged event.
pub(super) async fn inject(
    kind: Inject,
    place: &TrialWorkspace,
    timeline: &Timeline,
    phase: PhaseId,
    producer: &SharedProducer,
) -> Result<Vec<Extra>, RunError> {
    let plan = timeline.plan(phase);
    let victim = plan.events.iter().rposition(|event| event.revision > 1);
    let Some(last) = victim.map(|index| plan.event(index)) else {
        return Err(RunError::Load("nothing to inject into: no order has two events".into()));
    };
    tracing::info!(?kind, order = %last.order_id, revision = last.revision, "injecting");
    match kind {
        Inject::Reorder => {
            let later = extra(producer, &last.value, |event| event.revision += 2).await?;
            let earlier = extra(producer, &last.value, |event| event.revision += 1).await?;
            Ok(vec![later, earlier])
        }
        Inject::Poison => {
            let refused = |event: &mut PaymentEvent| {
                event.revision += 1;
                event.address.push('\0'); // no text of a database holds it
            };
            let extra = extra(producer, &last.value, refused).await?;
            Ok(vec![Extra { poison: true, ..extra }])
        }
        // The same event at a new offset is the producer's own `resent`: nothing new to account for.
        Inject::Duplicate => extra(producer, &last.value, |_| ()).await.map(|_| Vec::new()),
        Inject::Loss => place.rows.delete(&last.order_id).await.map(|()| Vec::new()),
        Inject::StaleView => {
            place.statuses.set_back(&last.order_id, last.revision - 1).await.map(|()| Vec::new())
        }
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
