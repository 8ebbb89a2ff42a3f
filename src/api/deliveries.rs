//! `GET /deliveries/{orderId}`: how far a delivery is.

use axum::Json;
use axum::extract::rejection::PathRejection;
use axum::extract::{Path, State};
use axum::http::StatusCode;
use serde::Serialize;
use utoipa::ToSchema;

use super::App;
use super::problem::Problem;
use crate::event::{OrderId, Revision};
use crate::intake::order_id_rule;
use crate::view::{self, Source};

/// The state of one delivery.
#[derive(Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub(super) struct DeliveryStatus {
    /// The order.
    #[schema(example = "order-1")]
    order_id: String,
    /// The last payment that was applied.
    #[schema(minimum = 1, example = 1)]
    revision: Revision,
    /// `PREPARING` after the first payment, `AMENDED` after a later one.
    #[schema(schema_with = status_schema)]
    status: &'static str,
    /// Whether the fast view told it, or the store behind it.
    answered_by: AnsweredBy,
}

/// Who answered.
#[derive(Serialize, ToSchema)]
#[serde(rename_all = "lowercase")]
enum AnsweredBy {
    /// The view.
    View,
    /// The store, because the view had nothing or was away.
    Store,
}

fn status_schema() -> utoipa::openapi::schema::Object {
    utoipa::openapi::schema::ObjectBuilder::new()
        .schema_type(utoipa::openapi::schema::Type::String)
        .description(Some("`PREPARING` after the first payment, `AMENDED` after a later one."))
        .enum_values(Some(["PREPARING", "AMENDED"]))
        .build()
}

/// The order id in a path.
pub(super) fn order_id(path: Result<Path<String>, PathRejection>) -> Result<OrderId, Problem> {
    let Path(text) = path.map_err(|_| Problem::parameter("orderId", "must be UTF-8, percent-encoded"))?;
    OrderId::new(&text).map_err(|_| Problem::parameter("orderId", order_id_rule()))
}

/// The delivery of an order, from the view, else from the store
#[utoipa::path(
    get,
    path = "/deliveries/{orderId}",
    tag = "deliveries",
    params(("orderId" = String, Path, description = "1 to 64 bytes of UTF-8 without control characters",
            min_length = 1, max_length = 64, pattern = r"^[^\u0000-\u001f\u007f-\u009f]*$", example = "order-1")),
    responses(
        (status = 200, description = "The delivery", body = DeliveryStatus),
        (status = 404, description = "No payment of this order was delivered yet", body = Problem,
         content_type = "application/problem+json"),
        (status = 422, description = "That is no order id", body = Problem,
         content_type = "application/problem+json"),
    )
)]
pub(super) async fn delivery(
    State(app): State<App>,
    path: Result<Path<String>, PathRejection>,
) -> Result<Json<DeliveryStatus>, Problem> {
    let order_id = order_id(path)?;
    let told = view::status(&*app.view, &*app.store, &order_id).await;
    let told = told.map_err(|error| Problem::unavailable(error.to_string()))?;
    let told = told.ok_or_else(|| {
        Problem::of(
            StatusCode::NOT_FOUND,
            "urn:problem:no-delivery",
            "No delivery",
            "no payment of this order was delivered yet",
        )
    })?;
    Ok(Json(DeliveryStatus {
        order_id: told.entry.order_id.to_string(),
        revision: told.entry.revision,
        status: told.entry.status.as_str(),
        answered_by: match told.by {
            Source::View => AnsweredBy::View,
            Source::Store => AnsweredBy::Store,
        },
    }))
}
