//! `GET /orders/{orderId}/events`: the order's messages as they lie in the log.

use std::num::NonZero;
use std::ops::ControlFlow;
use std::time::Duration;

use axum::Json;
use axum::extract::rejection::{PathRejection, QueryRejection};
use axum::extract::{Path, Query, State};
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};

use super::App;
use super::deliveries::order_id;
use super::problem::Problem;
use crate::event::{PaymentEvent, Revision};
use crate::kafka::fetch::{ScanBounds, scan};
use crate::kafka::{Fetched, partitioner};

/// Events on a page, unless the client says otherwise.
const LIMIT_DEFAULT: u16 = 100;
/// Events on a page at most.
const LIMIT_MAX: u16 = 1000;
/// What one request may look at.
const BOUNDS: ScanBounds =
    ScanBounds { records: 200_000, bytes: 64 * 1024 * 1024, within: Duration::from_secs(3) };

/// How much, and from where.
#[derive(Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
#[serde(deny_unknown_fields)]
pub(super) struct Page {
    /// Events at most; 100 if left out.
    #[param(minimum = 1, maximum = 1000, default = 100)]
    limit: Option<u16>,
    /// Go on behind this offset: `next` of the page before.
    #[param(minimum = 0)]
    after: Option<i64>,
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
    /// The partition of the order's key.
    partition: i32,
    /// The order's messages.
    events: Vec<Entry>,
    /// Give it as `after` to go on; null where the log's end was reached. A page may be empty and yet have one: then
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
    let Query(Page { limit, after }) =
        query.map_err(|rejected| Problem::parameter("query", rejected.body_text()))?;
    let limit = limit.unwrap_or(LIMIT_DEFAULT);
    if !(1..=LIMIT_MAX).contains(&limit) {
        return Err(Problem::parameter("limit", format!("must be between 1 and {LIMIT_MAX}")));
    }
    if after.is_some_and(|after| after < 0) {
        return Err(Problem::parameter("after", "must be an offset, 0 or more"));
    }
    let unavailable = |error: &dyn std::fmt::Display| Problem::unavailable(error.to_string());
    let ends = app.watch.admin().end_offsets(&app.topic).await.map_err(|error| unavailable(&error))?;
    let count = u32::try_from(app.partitions).ok().and_then(NonZero::new);
    let key = order_id.as_str().as_bytes();
    let partition = count.map_or(0, |count| partitioner::partition_for_key(key, count));
    let end_offset = ends.get(&partition).copied().unwrap_or_default();
    let from = after.map_or(0, |after| after.saturating_add(1));
    let mut events = Vec::new();
    let reached = if from < end_offset {
        let each = |fetched: Fetched| {
            if fetched.message.key.as_deref() == Some(key) {
                events.push(Entry::from(fetched));
            }
            if events.len() < usize::from(limit) { ControlFlow::Continue(()) } else { ControlFlow::Break(()) }
        };
        let scanned = scan(&app.bootstrap, &app.topic, partition, from, end_offset, BOUNDS, each).await;
        scanned.map_err(|error| unavailable(&error))?
    } else {
        end_offset
    };
    let next = (reached < end_offset).then(|| reached - 1);
    let (order_id, topic) = (order_id.to_string(), app.topic.clone());
    Ok(Json(Events { order_id, topic, partition, events, next, end_offset }))
}
