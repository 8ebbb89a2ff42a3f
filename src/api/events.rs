//! `GET /orders/{orderId}/events`: the order's messages as they lie in the log.

use std::collections::BTreeMap;
use std::num::NonZero;
use std::ops::ControlFlow;
use std::time::Duration;

use axum::Json;
use axum::extract::rejection::{PathRejection, QueryRejection};
use axum::extract::{Path, Query, State};
use serde::{Deserialize, Serialize};
use tokio::time::timeout;
use utoipa::{IntoParams, ToSchema};

use super::App;
use super::deliveries::order_id;
use super::problem::Problem;
use crate::event::{OrderId, PaymentEvent, Revision};
use crate::kafka::admin::AdminError;
use crate::kafka::fetch::RangeBounds;
use crate::kafka::{Fetched, Origin, partitioner};

/// Events on a page, unless the client says otherwise.
const LIMIT_DEFAULT: u16 = 100;
/// Events on a page at most.
const LIMIT_MAX: u16 = 1000;
/// What one request may look at.
const BOUNDS: RangeBounds =
    RangeBounds { records: 200_000, bytes: 64 * 1024 * 1024, within: Duration::from_secs(3) };

/// How long the look for the order's first payment may take.
const LOOK_UP: Duration = Duration::from_millis(500);

/// How much, and from where.
#[derive(Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
#[serde(deny_unknown_fields)]
pub(super) struct Page {
    /// Events at most; 100 if left out.
    #[param(minimum = 1, maximum = 1000, default = 100)]
    limit: Option<u16>,
    /// Look from this offset on: `next` of the page before, or 0 for all of the partition. If left out, the page begins where the order's
    /// first payment lies, if that was accepted here, else where the log does.
    #[param(minimum = 0)]
    from: Option<i64>,
    /// Look in this partition: that of the page before. If left out, in the one that the order's key has now.
    #[param(minimum = 0)]
    partition: Option<i32>,
}

/// Where a message lies.
#[derive(Clone, Copy, Serialize, ToSchema)]
pub(super) struct Place {
    /// The partition.
    partition: i32,
    /// The offset in it.
    offset: i64,
}

impl From<Origin> for Place {
    fn from(Origin { partition, offset }: Origin) -> Self {
        Self { partition, offset }
    }
}

/// A page of an order's messages, in the order of the log.
#[derive(Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub(super) struct Events {
    /// The order.
    #[schema(example = "order-1")]
    order_id: String,
    /// The topic.
    #[schema(example = "payment-completed")]
    topic: String,
    /// The partition that was looked in.
    partition: i32,
    /// Where the order's first payment lies, if it was accepted by a service with this database: the copy that was acknowledged; one whose
    /// answer was lost may lie before it. In another partition than `partition` where the topic has got more partitions since: the
    /// order's events before that are in that one. Null where it is not known.
    #[schema(required)]
    first_payment: Option<Place>,
    /// The offset from which on this page was looked for.
    from: i64,
    /// The order's messages.
    events: Vec<Entry>,
    /// Give it as `from` to go on, with this `partition`; null where the log's end was reached. A page may be empty and yet have one: then
    /// what was looked through held nothing of the order.
    #[schema(required)]
    next: Option<i64>,
    /// Where the log ended when this was asked.
    end_offset: i64,
}

/// A message of the order.
#[derive(Serialize, ToSchema)]
#[serde(untagged)]
enum Entry {
    /// A payment.
    Event(Event),
    /// A message with the order's key that is no payment.
    Undecodable(Undecodable),
}

/// A payment in the log.
#[derive(Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
struct Event {
    /// Where it lies.
    offset: i64,
    /// The message's timestamp, milliseconds of Unix time.
    timestamp_ms: i64,
    /// Which payment of its order it is.
    revision: Revision,
    /// Amount in the currency's smallest unit.
    amount_minor: i64,
    /// ISO 4217.
    currency: String,
    /// Where the parcel goes.
    address: String,
    /// When it was paid, milliseconds of Unix time.
    paid_at_ms: i64,
}

/// A message that can't be read as a payment; consumers send it to the dead-letter topic.
#[derive(Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
struct Undecodable {
    /// Where it lies.
    offset: i64,
    /// The message's timestamp, milliseconds of Unix time.
    timestamp_ms: i64,
    /// Why it is no payment.
    undecodable: String,
}

impl From<Fetched> for Entry {
    fn from(Fetched { origin, message }: Fetched) -> Self {
        let (offset, timestamp_ms) = (origin.offset, message.timestamp_ms);
        match PaymentEvent::decode(message.value.as_deref()) {
            Ok(event) => Self::Event(Event {
                offset,
                timestamp_ms,
                revision: event.revision,
                amount_minor: event.amount_minor,
                currency: event.currency,
                address: event.address,
                paid_at_ms: event.paid_at_ms,
            }),
            Err(error) => {
                Self::Undecodable(Undecodable { offset, timestamp_ms, undecodable: error.to_string() })
            }
        }
    }
}

/// The messages of an order from its partition, in the order of the log
#[utoipa::path(
    get,
    path = "/orders/{orderId}/events",
    tag = "orders",
    params(
        ("orderId" = String, Path, description = "1 to 64 bytes of UTF-8 without control characters",
         min_length = 1, max_length = 64, pattern = r"^[^\u0000-\u001f\u007f-\u009f]*$", example = "order-1"),
        Page
    ),
    responses(
        (status = 200, description = "A page of messages; empty for an order that was never paid", body = Events),
        (status = 422, description = "That is no order id, no limit or no offset", body = Problem,
         content_type = "application/problem+json"),
    )
)]
pub(super) async fn events(
    State(app): State<App>,
    path: Result<Path<String>, PathRejection>,
    query: Result<Query<Page>, QueryRejection>,
) -> Result<Json<Events>, Problem> {
    let order_id = order_id(path)?;
    let Query(Page { limit, from, partition }) =
        query.map_err(|rejected| Problem::parameter("query", rejected.body_text()))?;
    let limit = limit.unwrap_or(LIMIT_DEFAULT);
    if !(1..=LIMIT_MAX).contains(&limit) {
        return Err(Problem::parameter("limit", format!("must be between 1 and {LIMIT_MAX}")));
    }
    for (name, asked) in [("from", from), ("partition", partition.map(i64::from))] {
        if asked.is_some_and(|asked| asked < 0) {
            return Err(Problem::parameter(name, "must be 0 or more"));
        }
    }
    let unavailable = |error: &dyn std::fmt::Display| Problem::unavailable(error.to_string());
    let (ends, first_payment) = tokio::join!(ends(&app), first_payment(&app, &order_id));
    let ends = ends.map_err(|error| unavailable(&error))?;
    let count = u32::try_from(app.sender.partitions()).ok().and_then(NonZero::new);
    let key = order_id.as_str().as_bytes();
    let of_key = || count.map_or(0, |count| partitioner::partition_for_key(key, count));
    let (asked, partition) = (partition, partition.unwrap_or_else(of_key));
    let Some(end_offset) = ends.get(&partition).copied() else {
        let missing = format!("the topic has no partition {partition}");
        return Err(match asked {
            Some(_) => Problem::parameter("partition", missing),
            None => Problem::unavailable(missing),
        });
    };
    // Beyond the end it is a place in a topic of that name that was deleted.
    let is_here = |place: &Place| place.partition == partition && place.offset < end_offset;
    let known = first_payment.filter(is_here).map(|place| place.offset);
    let from = from.or(known).unwrap_or(0);
    let mut events = Vec::new();
    let reached = if from < end_offset {
        let each = |fetched: Fetched| {
            if fetched.message.key.as_deref() == Some(key) {
                events.push(Entry::from(fetched));
            }
            if events.len() < usize::from(limit) { ControlFlow::Continue(()) } else { ControlFlow::Break(()) }
        };
        let looked = app.log.look(partition, from..end_offset, BOUNDS, each).await;
        looked.map_err(|error| unavailable(&error))?
    } else {
        end_offset
    };
    let next = (reached < end_offset).then_some(reached);
    let (order_id, topic) = (order_id.to_string(), app.topic.clone());
    Ok(Json(Events { order_id, topic, partition, first_payment, from, events, next, end_offset }))
}

/// The partitions' ends, those included that the service sends to and the cluster was not asked for yet.
async fn ends(app: &App) -> Result<BTreeMap<i32, i64>, AdminError> {
    let admin = app.watch.admin();
    let ends = admin.end_offsets(&app.topic).await?;
    if ends.len() as i32 >= app.sender.partitions() {
        return Ok(ends);
    }
    admin.describe_topic(&app.topic).await?;
    admin.end_offsets(&app.topic).await
}

/// Where the order's first payment lies, as far as this service's tables know and tell in time.
async fn first_payment(app: &App, order_id: &OrderId) -> Option<Place> {
    let looked = timeout(LOOK_UP, app.payments.look(order_id, None, Some(1))).await;
    match looked
        .map_err(|_| "the store did not answer in time".to_owned())
        .and_then(|found| found.map_err(|e| e.to_string()))
    {
        Ok(found) => found.at.filter(|payment| payment.topic == app.topic)?.origin.map(Place::from),
        Err(error) => {
            tracing::warn!(error, component = "store", "where an order begins is not known");
            None
        }
    }
}
