//! The service over HTTP: payments come in, deliveries and the log can be looked at.
//!
//! ```text
//! server (connections, headers) ─▶ guard (token, requests in hand, time, problems) ─▶ routes ─▶ intake │ view, store │ log
//! ```
//!
//! | route | what it does |
//! |---|---|
//! | `POST /payments` | accepts a payment; 202 once it is in the log |
//! | `GET /deliveries/{orderId}` | how far a delivery is, and who told: view or store |
//! | `GET /orders/{orderId}/events` | the order's messages as they lie in the log |
//! | `GET /pipeline` | group, members, partitions, lag |
//! | `GET /metrics` | figures for Prometheus |
//! | `GET /healthz`, `/readyz` | whether it lives, whether it can work |
//! | `GET /openapi.json` | the description of all this |
//!
//! Handlers are thin: [`crate::intake`] knows no HTTP. Every error is a problem document (RFC 9457), and everything a
//! client can do is bounded ([`Limits`]).

use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::extract::DefaultBodyLimit;
use axum::middleware;
use tokio::net::TcpListener;
use tokio::sync::Semaphore;
use tokio_util::sync::CancellationToken;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use crate::intake::{Intake, IntakeConfig, KafkaSender, OpenError};
use crate::kafka::admin::{Admin, AdminError};
use crate::kafka::fetch::LogRanges;
use crate::kafka::producer::ProducerConfig;
use crate::store::DeliveryStore;
use crate::store::payments::PaymentLog;
use crate::view::StatusView;
use pipeline::Watch;

mod consumers;
mod deliveries;
mod document;
mod events;
mod guard;
mod health;
mod limits;
mod metrics;
mod patient;
mod payments;
mod pipeline;
mod postman;
mod problem;
mod server;
mod token;

pub use limits::Limits;
pub use metrics::Metrics;
pub use token::{Token, TokenError};

/// How long a question to the cluster may take, so that a request is answered in its time.
const ADMIN_TIMEOUT: Duration = Duration::from_secs(4);
/// How much longer than a sender tries until its payment is taken for abandoned.
const RESEND_MARGIN: Duration = Duration::from_secs(15);

/// What the service works on. The topic and all tables must be there.
pub struct Service {
    /// Addresses (`host:port`) at which to find the cluster.
    pub bootstrap: Vec<String>,
    /// The topic that payments go to.
    pub topic: String,
    /// The group that delivers them.
    pub group: String,
    /// Name of this instance: the same after a restart, and no other's that is alive.
    pub instance: String,
    /// Where accepted payments are kept.
    pub payments: Arc<dyn PaymentLog>,
    /// Where delivery rows are kept.
    pub store: Arc<dyn DeliveryStore>,
    /// Where statuses can be queried at once.
    pub view: Arc<dyn StatusView>,
    /// What is counted, for the consumers in this process too, if there are any.
    pub metrics: Arc<Metrics>,
    /// How payments are produced.
    pub producer: ProducerConfig,
}

/// Why the service can't work.
#[derive(Debug, thiserror::Error)]
pub enum ApiError {
    /// No broker answered, or it refused.
    #[error("Kafka: {0}")]
    Admin(#[from] AdminError),
    /// There is no such topic.
    #[error("there is no topic {topic}")]
    NoTopic {
        /// Its name.
        topic: String,
    },
    /// Payments can't be accepted.
    #[error(transparent)]
    Intake(#[from] OpenError),
    /// A stop ended with something in hand.
    #[error("not all was done {} s after the stop; what was accepted is kept, and sent at the next start", within.as_secs_f64())]
    NotDrained {
        /// How long was waited.
        within: Duration,
    },
}

/// What the handlers share.
pub(crate) type App = Arc<Shared>;

pub(crate) struct Shared {
    topic: String,
    /// Where payments go, which knows how many partitions there are.
    sender: Arc<KafkaSender>,
    /// What lies in the log.
    log: LogRanges,
    intake: Arc<Intake>,
    payments: Arc<dyn PaymentLog>,
    store: Arc<dyn DeliveryStore>,
    view: Arc<dyn StatusView>,
    watch: Watch,
    metrics: Arc<Metrics>,
    limits: Limits,
    token: Option<Token>,
    payments_in_hand: Arc<Semaphore>,
    reads_in_hand: Arc<Semaphore>,
    document: String,
}

/// Serves on `listener` until `stop`; then it accepts nothing more, finishes what is in hand, and returns.
///
/// # Errors
/// [`ApiError`]: before anything is served, for what is missing; after the stop, if it was not drained in time.
pub fn run(
    listener: TcpListener,
    service: Service,
    limits: Limits,
    token: Option<Token>,
    stop: CancellationToken,
) -> Serving {
    Box::pin(serve(listener, service, limits, token, stop))
}

/// The service at work. Boxed, so that its code is compiled in this crate, for speed, whoever polls it.
pub type Serving = Pin<Box<dyn Future<Output = Result<(), ApiError>> + Send>>;

async fn serve(
    listener: TcpListener,
    service: Service,
    limits: Limits,
    token: Option<Token>,
    stop: CancellationToken,
) -> Result<(), ApiError> {
    let admin = Admin::connect(&service.bootstrap, ADMIN_TIMEOUT).await?;
    let Service { bootstrap, topic, group, instance, payments, store, view, metrics, producer } = service;
    if !admin.topic_exists(&topic).await? {
        return Err(ApiError::NoTopic { topic });
    }
    let partitions = admin.describe_topic(&topic).await?.len() as i32;
    let resend_after = producer.delivery_timeout + RESEND_MARGIN;
    let sender = Arc::new(KafkaSender::new(bootstrap.clone(), topic.clone(), partitions, producer));
    let config = IntakeConfig { topic: topic.clone(), instance, resend_after };
    let intake = Intake::open(Arc::clone(&payments), Arc::clone(&sender) as _, config).await?;
    let app = Arc::new(Shared {
        watch: Watch::new(admin, topic.clone(), group),
        log: LogRanges::new(bootstrap, topic.clone()),
        topic,
        sender,
        intake: Arc::clone(&intake),
        payments,
        store,
        view,
        metrics,
        limits,
        token,
        payments_in_hand: Arc::new(Semaphore::new(limits.requests)),
        reads_in_hand: Arc::new(Semaphore::new(limits.requests)),
        document: openapi_json(),
    });
    // What is pending is also sent while the last requests are finished.
    let swept = CancellationToken::new();
    let sweeping = tokio::spawn({
        let (intake, swept) = (Arc::clone(&intake), swept.clone());
        async move { intake.keep_sending(swept).await }
    });
    let following = tokio::spawn({
        let (app, swept) = (Arc::clone(&app), swept.clone());
        async move { swept.run_until_cancelled(app.sender.follow_topic(app.watch.admin())).await }
    });
    let served = server::serve(listener, router(app), &limits, &stop).await;
    let drained = intake.drain(limits.drain).await;
    swept.cancel();
    if let Err(error) = sweeping.await {
        tracing::error!(%error, "the search for pending payments ended by itself");
    }
    if let Err(error) = following.await {
        tracing::error!(%error, "the look at the topic's partitions ended by itself");
    }
    if served && drained { Ok(()) } else { Err(ApiError::NotDrained { within: limits.drain }) }
}

/// Every route, described as it is registered.
fn routes() -> OpenApiRouter<App> {
    OpenApiRouter::with_openapi(document::frame())
        .routes(routes!(payments::accept))
        .routes(routes!(deliveries::delivery))
        .routes(routes!(events::events))
        .routes(routes!(pipeline::pipeline))
        .routes(routes!(health::metrics))
        .routes(routes!(health::healthz))
        .routes(routes!(health::readyz))
        .routes(routes!(health::openapi))
}

fn router(app: App) -> Router {
    let (router, _) = routes().split_for_parts();
    router
        .fallback(async || axum::http::StatusCode::NOT_FOUND)
        .layer(DefaultBodyLimit::max(app.limits.body_bytes))
        .layer(middleware::from_fn_with_state(Arc::clone(&app), guard::guard))
        .with_state(app)
}

/// The OpenAPI document, as `/openapi.json` serves it.
pub fn openapi_json() -> String {
    let (_, document) = routes().split_for_parts();
    document::json(&document::completed(document))
}

/// The OpenAPI document as a collection for Postman (format 2.1), with a test for each request.
pub fn postman_json() -> String {
    postman::collection(&openapi_json())
}
