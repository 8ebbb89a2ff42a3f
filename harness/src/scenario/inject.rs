//! Breaking something on purpose on the running system: a record in the log, a row, a value in the view. Never the
//! checker's input.

use std::str::FromStr;

use payment_delivery::event::{OrderId, PaymentEvent, Revision};
use payment_delivery::kafka::producer::{Ack, Producer};
use payment_delivery::kafka::{Message, Origin};
use sqlx::{ConnectOptions as _, Executor as _};
use tokio::sync::oneshot;

use super::ScenarioError;
use super::feed::Ticket;
use super::options::Inject;
use super::site::TrialSite;
use crate::measure::timeline::{PhaseId, Timeline};

/// An event that was acknowledged beside the planned ones.
#[derive(Clone, Debug)]
pub(super) struct Extra {
    pub(super) order_id: OrderId,
    pub(super) revision: Revision,
    pub(super) origin: Origin,
}

/// Does `kind` to the first order of `phase` with several events. Returns the events it had acknowledged, which the
/// checks must know as they know every acknowledged event.
pub(super) async fn inject(
    kind: Inject,
    site: &TrialSite,
    timeline: &Timeline,
    phase: PhaseId,
    producer: &Producer<Ticket>,
) -> Result<Vec<Extra>, ScenarioError> {
    let plan = timeline.plan(phase);
    let victim = plan.events.iter().rev().find(|e| e.revision > 1);
    let Some(last) = victim else {
        return Err(ScenarioError::Load("nothing to inject into: no order has two events".into()));
    };
    tracing::info!(?kind, order = %last.order_id, revision = last.revision, "injecting");
    match kind {
        Inject::Reorder => {
            let later = extra(producer, &last.value, last.revision + 2).await?;
            let earlier = extra(producer, &last.value, last.revision + 1).await?;
            Ok(vec![later, earlier])
        }
        // The same event at a new offset is the producer's own `resent`: nothing new to account for.
        Inject::Duplicate => extra(producer, &last.value, last.revision).await.map(|_| Vec::new()),
        Inject::Loss => delete_row(site, &last.order_id).await.map(|()| Vec::new()),
        Inject::StaleView => set_back(site, &last.order_id, last.revision - 1).await.map(|()| Vec::new()),
    }
}

/// Produces a copy of an event under another revision and waits for its acknowledgement.
async fn extra(
    producer: &Producer<Ticket>,
    value: &[u8],
    revision: Revision,
) -> Result<Extra, ScenarioError> {
    let mut event = PaymentEvent::decode(Some(value)).map_err(|e| ScenarioError::Load(e.to_string()))?;
    event.revision = revision;
    let message = Message {
        key: Some(event.order_id.as_str().as_bytes().to_vec()),
        value: Some(event.encode()),
        timestamp_ms: event.paid_at_ms,
        ..Message::default()
    };
    let (done, acked) = oneshot::channel();
    producer.send(message, Ticket::Extra(done)).await.map_err(|e| ScenarioError::Load(e.to_string()))?;
    match acked.await {
        Ok(Ok(Ack { origin })) => Ok(Extra { order_id: event.order_id, revision, origin }),
        Ok(Err(error)) => Err(ScenarioError::Load(error.to_string())),
        Err(_) => Err(ScenarioError::Load("the producer stopped".into())),
    }
}

async fn delete_row(site: &TrialSite, order_id: &OrderId) -> Result<(), ScenarioError> {
    let failed = |e: sqlx::Error| ScenarioError::Load(format!("the row could not be deleted: {e}"));
    let options = sqlx::postgres::PgConnectOptions::from_str(&site.database_url).map_err(failed)?;
    let mut connection = options.options([("search_path", site.schema())]).connect().await.map_err(failed)?;
    let delete = sqlx::query("DELETE FROM deliveries WHERE order_id = $1").bind(order_id.as_str());
    let deleted = connection.execute(delete).await.map_err(failed)?.rows_affected();
    if deleted == 1 {
        Ok(())
    } else {
        Err(ScenarioError::Load(format!("{deleted} rows of {order_id} were deleted")))
    }
}

async fn set_back(site: &TrialSite, order_id: &OrderId, revision: Revision) -> Result<(), ScenarioError> {
    let failed = |e: redis::RedisError| ScenarioError::Load(format!("the view could not be set back: {e}"));
    let client = redis::Client::open(site.redis_url.as_str()).map_err(failed)?;
    let mut connection = client.get_multiplexed_async_connection().await.map_err(failed)?;
    let key = site.view.key(order_id);
    let mut set = redis::cmd("HSET");
    set.arg(key).arg("revision").arg(revision).exec_async(&mut connection).await.map_err(failed)
}
