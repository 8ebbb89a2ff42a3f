//! A broker, a store and a view that can be taken away, two consumers, and the service in front of them.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use async_trait::async_trait;
use lanebench::broker::{Cluster, ClusterOptions};
use payment_delivery::api::{self, ApiError, Limits, Metrics, Service, Token};
use payment_delivery::consumer::{self, ConsumerConfig, ProcessorDeps, dead_letter_topic};
use payment_delivery::delivery::{Delivery, Fold, StatusEntry};
use payment_delivery::event::{OrderId, Revision};
use payment_delivery::kafka::Origin;
use payment_delivery::kafka::admin::Admin;
use payment_delivery::kafka::producer::ProducerConfig;
use payment_delivery::store::payments::PaymentLog;
use payment_delivery::store::sqlite::{SqliteOptions, SqliteStore};
use payment_delivery::store::{DeliveryStore, Outcome, Parked, StoreError};
use payment_delivery::view::memory::MemoryView;
use payment_delivery::view::{Put, StatusView, ViewError};
use serde_json::{Value, json};
use tokio::net::TcpListener;
use tokio::sync::watch;
use tokio::task::JoinHandle;
use tokio::time::{Instant, sleep};
use tokio_util::sync::CancellationToken;

pub(crate) const TOPIC: &str = "payments";
pub(crate) const PARTITIONS: i32 = 3;
pub(crate) const PATIENCE: Duration = Duration::from_secs(30);

/// A payment as a client sends it.
pub(crate) fn payment(order: &str, amount: u64) -> Value {
    json!({"orderId": order, "amountMinor": amount, "currency": "EUR", "address": "Hauptstraße 1\nKöln"})
}

/// What came back.
#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) status: u16,
    pub(crate) headers: reqwest::header::HeaderMap,
    pub(crate) text: String,
    /// Null where it is not JSON.
    pub(crate) body: Value,
}

impl Answer {
    pub(crate) async fn of(request: reqwest::RequestBuilder) -> Self {
        let response = request.send().await.unwrap();
        let (status, headers) = (response.status().as_u16(), response.headers().clone());
        let text = response.text().await.unwrap();
        let body = serde_json::from_str(&text).unwrap_or_default();
        Self { status, headers, text, body }
    }

    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        self.headers.get(name).map(|value| value.to_str().unwrap())
    }

    /// It is a problem of this status, told for this path.
    #[track_caller]
    pub(crate) fn is_problem(&self, status: u16, path: &str) {
        assert_eq!(self.status, status, "{self:?}");
        assert_eq!(self.header("content-type"), Some("application/problem+json"), "{self:?}");
        assert_eq!((&self.body["status"], &self.body["instance"]), (&json!(status), &json!(path)));
        assert!(self.body["title"].is_string() && self.body["detail"].is_string(), "{self:?}");
    }
}

/// Everything, in this process.
pub(crate) struct Bed {
    pub(crate) cluster: Cluster,
    pub(crate) address: SocketAddr,
    pub(crate) stop: CancellationToken,
    pub(crate) served: JoinHandle<Result<(), ApiError>>,
    pub(crate) store_away: Arc<AtomicBool>,
    pub(crate) view: Arc<Switched<MemoryView>>,
    client: reqwest::Client,
    token: Option<String>,
    working: CancellationToken,
    _open: watch::Sender<bool>,
    _directory: tempfile::TempDir,
}

impl Bed {
    pub(crate) async fn new() -> Self {
        Self::with(Limits::default(), None).await
    }

    pub(crate) async fn with(limits: Limits, token: Option<&str>) -> Self {
        let cluster = Cluster::start(ClusterOptions::default()).await.unwrap();
        let admin = Admin::connect(&cluster.bootstrap(), PATIENCE).await.unwrap();
        for topic in [TOPIC, &dead_letter_topic(TOPIC)] {
            admin.create_topic(topic, PARTITIONS, 1, &[]).await.unwrap();
        }
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("rows.db");
        let rows = Arc::new(SqliteStore::open(&path, SqliteOptions::default()).await.unwrap());
        rows.prepare().await.unwrap();
        rows.prepare_payments().await.unwrap();
        let store_away = Arc::new(AtomicBool::new(false));
        let store = Arc::new(Switched { inner: Arc::clone(&rows), away: Arc::clone(&store_away) });
        let view = Arc::new(Switched { inner: Arc::new(MemoryView::new()), away: Arc::default() });
        let metrics = Arc::new(Metrics::new("1.2.3", "c0ffee"));
        let (working, (open, gate)) = (CancellationToken::new(), watch::channel(true));
        for name in ["one", "two"] {
            let parts =
                ProcessorDeps { store: rows.clone(), view: view.inner.clone(), probe: metrics.clone() };
            let config = ConsumerConfig::new(name, cluster.bootstrap(), TOPIC, "deliveries");
            tokio::spawn(consumer::run(config, parts, gate.clone(), working.clone()));
        }
        // Short, so that a broker that is away shows within a test.
        let producer = ProducerConfig {
            batch_interval: Duration::ZERO,
            request_timeout: Duration::from_secs(1),
            delivery_timeout: Duration::from_secs(2),
            ..ProducerConfig::default()
        };
        let service = Service {
            bootstrap: cluster.bootstrap(),
            topic: TOPIC.into(),
            group: "deliveries".into(),
            instance: "bed".into(),
            payments: Arc::new(Switched { inner: rows, away: Arc::clone(&store_away) }),
            store,
            view: view.clone(),
            metrics,
            producer,
        };
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let (address, stop) = (listener.local_addr().unwrap(), CancellationToken::new());
        let secret = token.map(|token| Token::new(token).unwrap());
        let served = tokio::spawn(api::run(listener, service, limits, secret, stop.clone()));
        let client = reqwest::Client::builder().no_proxy().timeout(PATIENCE).build().unwrap();
        let token = token.map(str::to_owned);
        let (_open, _directory) = (open, directory);
        Self { cluster, address, stop, served, store_away, view, client, token, working, _open, _directory }
    }

    pub(crate) fn bootstrap(&self) -> Vec<String> {
        self.cluster.bootstrap()
    }

    pub(crate) fn request(&self, method: &str, path: &str) -> reqwest::RequestBuilder {
        let request = self.client.request(method.parse().unwrap(), format!("http://{}{path}", self.address));
        match &self.token {
            Some(token) => request.bearer_auth(token),
            None => request,
        }
    }

    pub(crate) fn payment_request(&self, body: &Value, key: Option<&str>) -> reqwest::RequestBuilder {
        let request = self.request("POST", "/payments").json(body);
        match key {
            Some(key) => request.header("Idempotency-Key", key),
            None => request,
        }
    }

    pub(crate) async fn post(&self, body: &Value, key: Option<&str>) -> Answer {
        Answer::of(self.payment_request(body, key)).await
    }

    pub(crate) async fn get(&self, path: &str) -> Answer {
        Answer::of(self.request("GET", path)).await
    }

    /// Waits for a delivery at `revision`.
    pub(crate) async fn delivered(&self, order: &str, revision: u64) -> Value {
        let path = format!("/deliveries/{order}");
        self.until(&path, |answer| answer.body["revision"] == revision).await
    }

    /// Waits until the group is settled and has committed all.
    pub(crate) async fn caught_up(&self) -> Value {
        // Its two consumers join one after the other, and while partitions are dealt out anew nobody works on them.
        let all = |answer: &Answer| {
            let settled = answer.body["state"] == "Stable"
                && answer.body["members"].as_array().map(Vec::len) == Some(2);
            settled && answer.body["lag"] == 0
        };
        self.until("/pipeline", all).await
    }

    pub(crate) async fn until(&self, path: &str, reached: impl Fn(&Answer) -> bool) -> Value {
        let deadline = Instant::now() + PATIENCE;
        loop {
            let answer = self.get(path).await;
            if reached(&answer) {
                return answer.body;
            }
            assert!(Instant::now() < deadline, "{path}: {answer:?}");
            sleep(Duration::from_millis(50)).await;
        }
    }

    /// Ends in good order.
    pub(crate) async fn stop(self) {
        self.stop.cancel();
        tokio::time::timeout(PATIENCE, self.served).await.expect("it ends").unwrap().unwrap();
        self.working.cancel();
        self.cluster.stop().await;
    }
}

/// A store or a view that can be away.
pub(crate) struct Switched<T> {
    pub(crate) inner: Arc<T>,
    pub(crate) away: Arc<AtomicBool>,
}

impl<T> Switched<T> {
    fn store(&self) -> Result<&T, StoreError> {
        match self.away.load(Ordering::SeqCst) {
            true => Err(StoreError::Unavailable("it was taken away".into())),
            false => Ok(&self.inner),
        }
    }

    fn view(&self) -> Result<&T, ViewError> {
        self.store().map_err(|error| ViewError::Unavailable(error.to_string()))
    }
}

#[async_trait]
impl DeliveryStore for Switched<SqliteStore> {
    async fn apply(&self, fold: &Fold, origin: Origin) -> Result<Outcome, StoreError> {
        self.store()?.apply(fold, origin).await
    }
    async fn apply_all(&self, folds: &[(Fold, Origin)]) -> Result<Vec<Option<StatusEntry>>, StoreError> {
        self.store()?.apply_all(folds).await
    }
    async fn delivery(&self, order_id: &OrderId) -> Result<Option<Delivery>, StoreError> {
        self.store()?.delivery(order_id).await
    }
    async fn deliveries_after(&self, after: Option<&OrderId>) -> Result<Vec<Delivery>, StoreError> {
        self.store()?.deliveries_after(after).await
    }
    async fn parked(&self) -> Result<Vec<Parked>, StoreError> {
        self.store()?.parked().await
    }
    async fn prepare(&self) -> Result<(), StoreError> {
        self.store()?.prepare().await
    }
    async fn clear(&self) -> Result<(), StoreError> {
        self.store()?.clear().await
    }
}

#[async_trait]
impl PaymentLog for Switched<SqliteStore> {
    async fn look(
        &self,
        order_id: &OrderId,
        key: Option<&str>,
        revision: Option<Revision>,
    ) -> Result<payment_delivery::store::payments::Found, StoreError> {
        self.store()?.look(order_id, key, revision).await
    }
    async fn keep(&self, payment: &payment_delivery::store::payments::Payment) -> Result<bool, StoreError> {
        self.store()?.keep(payment).await
    }
    async fn place(
        &self,
        order_id: &OrderId,
        revision: Revision,
        origin: Origin,
    ) -> Result<bool, StoreError> {
        self.store()?.place(order_id, revision, origin).await
    }
    async fn pending(
        &self,
        instance: &str,
        before_ms: i64,
        after: &str,
        limit: u16,
    ) -> Result<Vec<payment_delivery::store::payments::Payment>, StoreError> {
        self.store()?.pending(instance, before_ms, after, limit).await
    }
    async fn topic_in_use(&self) -> Result<Option<String>, StoreError> {
        self.store()?.topic_in_use().await
    }
    async fn prepare_payments(&self) -> Result<(), StoreError> {
        self.store()?.prepare_payments().await
    }
    async fn clear_payments(&self) -> Result<(), StoreError> {
        self.store()?.clear_payments().await
    }
}

#[async_trait]
impl StatusView for Switched<MemoryView> {
    async fn put_if_newer(&self, entry: &StatusEntry) -> Result<Put, ViewError> {
        self.view()?.put_if_newer(entry).await
    }
    async fn put_all_if_newer(&self, entries: &[StatusEntry]) -> Result<Vec<Put>, ViewError> {
        self.view()?.put_all_if_newer(entries).await
    }
    async fn get(&self, order_ids: &[OrderId]) -> Result<Vec<Option<StatusEntry>>, ViewError> {
        self.view()?.get(order_ids).await
    }
    async fn clear(&self) -> Result<(), ViewError> {
        self.view()?.clear().await
    }
}
