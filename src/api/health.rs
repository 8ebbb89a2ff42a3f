//! `/healthz`, `/readyz`, `/metrics`, `/openapi.json`: for those who watch the service.

use std::time::Duration;

use axum::Json;
use axum::extract::State;
use axum::http::{StatusCode, header};
use axum::response::IntoResponse;
use serde::Serialize;
use tokio::time::timeout;
use utoipa::ToSchema;

use super::App;
use super::problem::{FieldError, Problem};
use crate::event::OrderId;

/// How long a part may take to answer before it counts as away.
const PATIENCE: Duration = Duration::from_secs(2);
/// How long figures wait for those that only the brokers know.
const FIGURES_PATIENCE: Duration = Duration::from_millis(50);

/// All is well.
#[derive(Serialize, ToSchema)]
pub(super) struct Well {
    /// Always `ok`.
    #[schema(example = "ok")]
    status: &'static str,
}

const WELL: Well = Well { status: "ok" };

/// Whether the process lives
#[utoipa::path(
    get,
    path = "/healthz",
    tag = "health",
    security(()),
    responses((status = 200, description = "It lives", body = Well))
)]
pub(super) async fn healthz() -> Json<Well> {
    Json(WELL)
}

/// Whether payments can be accepted and are delivered: broker, store and view answer, and every partition has its consumer
#[utoipa::path(
    get,
    path = "/readyz",
    tag = "health",
    security(()),
    responses(
        (status = 200, description = "It can work", body = Well),
        (status = 503, description = "It can't; `errors` names what is away", body = Problem,
         content_type = "application/problem+json"),
    )
)]
pub(super) async fn readyz(State(app): State<App>) -> Result<Json<Well>, Problem> {
    let nobody = OrderId::new("-").expect("a hyphen is an order id");
    let asked = std::slice::from_ref(&nobody);
    let (pipeline, rows, payments, view) = tokio::join!(
        app.watch.look(PATIENCE),
        timeout(PATIENCE, app.store.delivery(&nobody)),
        timeout(PATIENCE, app.payments.topic_in_use()),
        timeout(PATIENCE, app.view.get(asked)),
    );
    let mut away = Vec::new();
    let mut missing = |part, detail: String| {
        away.push(FieldError { pointer: None, parameter: Some(part), detail });
    };
    match pipeline {
        Ok(pipeline) => {
            let idle = pipeline.partitions.iter().filter(|partition| partition.owner.is_none()).count();
            if idle > 0 {
                missing("consumers", format!("{idle} of {} partitions have none", pipeline.partitions.len()));
            }
        }
        Err(why) => missing("broker", why),
    }
    for answer in [rows.map(|rows| rows.map(drop)), payments.map(|topic| topic.map(drop))] {
        match answer {
            Ok(Ok(())) => continue,
            Ok(Err(error)) => missing("store", error.to_string()),
            Err(_) => missing("store", no_answer()),
        }
        break;
    }
    match view {
        Ok(Ok(_)) => {}
        Ok(Err(error)) => missing("view", error.to_string()),
        Err(_) => missing("view", no_answer()),
    }
    for complaint in app.metrics.consumers.complaints() {
        missing("consumers", complaint);
    }
    if away.is_empty() {
        return Ok(Json(WELL));
    }
    let mut parts: Vec<_> = away.iter().filter_map(|part| part.parameter).collect();
    parts.dedup();
    let detail = format!("not ready: {}", parts.join(", "));
    let problem = Problem::of(StatusCode::SERVICE_UNAVAILABLE, "urn:problem:not-ready", "Not ready", detail);
    Err(Problem { errors: away, ..problem }.retry_after(1))
}

fn no_answer() -> String {
    format!("no answer within {} s", PATIENCE.as_secs())
}

/// Figures in Prometheus' text format
#[utoipa::path(
    get,
    path = "/metrics",
    tag = "health",
    responses((status = 200, description = "The figures", body = String, content_type = "text/plain"))
)]
pub(super) async fn metrics(State(app): State<App>) -> impl IntoResponse {
    let pipeline = app.watch.look(FIGURES_PATIENCE).await.ok();
    app.metrics.pipeline(pipeline.as_deref());
    let text = app.metrics.text(app.intake.resent());
    ([(header::CONTENT_TYPE, "text/plain; version=0.0.4; charset=utf-8")], text)
}

/// This description
#[utoipa::path(
    get,
    path = "/openapi.json",
    tag = "health",
    security(()),
    responses((status = 200, description = "OpenAPI 3.1", body = Object, content_type = "application/json"))
)]
pub(super) async fn openapi(State(app): State<App>) -> impl IntoResponse {
    ([(header::CONTENT_TYPE, "application/json")], app.document.to_string())
}
