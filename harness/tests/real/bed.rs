//! What the tests share: one running stack, and fresh topics, tables and keys on it.

use std::collections::BTreeMap;
use std::future::Future;
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use lanebench::stack::{BrokerJit, Endpoints, NativeOptions, NativeStack, StackError};
use libtest_mimic::Failed;
use payment_delivery::consumer::{
    self, ConsumerConfig, ConsumerError, Mode, ProcessorDeps, dead_letter_topic,
};
use payment_delivery::event::{OrderId, PaymentEvent, Revision};
use payment_delivery::failure::Component;
use payment_delivery::kafka::admin::Admin;
use payment_delivery::kafka::producer::{Ack, ProduceError, Producer, ProducerConfig};
use payment_delivery::kafka::{Message, Origin};
use payment_delivery::probe::{Probe, Seen};
use payment_delivery::store::DeliveryStore;
use payment_delivery::store::postgres::{PostgresOptions, PostgresStore};
use payment_delivery::view::redis::{RedisTimeouts, RedisView};
use tokio::runtime::Handle;
use tokio::sync::{oneshot, watch};
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

use crate::common::bounded;
pub(crate) use crate::common::{check, until};
pub(crate) use crate::evidence::evidence;

/// The stack.
pub(crate) struct Bed {
    pub(crate) stack: NativeStack,
    handle: Handle,
    interrupted: CancellationToken,
    fields: AtomicU32,
}

impl Bed {
    pub(crate) async fn start(handle: Handle, interrupted: CancellationToken) -> Result<Self, StackError> {
        let options = NativeOptions { nodes: 3, broker_jit: BrokerJit::C1, ..NativeOptions::default() };
        let stack = NativeStack::start(options, &|_| {}, interrupted.clone()).await?;
        Ok(Self { stack, handle, interrupted, fields: AtomicU32::new(0) })
    }

    pub(crate) async fn stop(self) {
        self.stack.stop().await;
    }

    pub(crate) fn endpoints(&self) -> &Endpoints {
        self.stack.endpoints()
    }

    /// Runs a test's future, for three minutes at most; after a Ctrl-C it fails at once, so that the stack is stopped.
    pub(crate) fn run<T>(&self, test: impl Future<Output = Result<T, Failed>>) -> Result<T, Failed> {
        self.handle.block_on(bounded(test, Duration::from_secs(180), &self.interrupted))
    }

    /// A topic of `partitions`, empty tables and a view of their own for one test.
    pub(crate) async fn field(&self, partitions: i32) -> Result<Field, Failed> {
        self.field_with(partitions, partitions).await
    }

    /// The same, with a dead-letter topic of `letters` partitions.
    pub(crate) async fn field_with(&self, partitions: i32, letters: i32) -> Result<Field, Failed> {
        self.field_of(partitions, letters, &[]).await
    }

    /// The same, with settings of the topic.
    pub(crate) async fn field_of(
        &self,
        partitions: i32,
        letters: i32,
        settings: &[(&str, &str)],
    ) -> Result<Field, Failed> {
        let name = format!("test{}", self.fields.fetch_add(1, Ordering::Relaxed));
        let endpoints = self.endpoints().clone();
        let admin = Admin::connect(&endpoints.bootstrap, Duration::from_secs(10)).await?;
        let topic = format!("{name}.payment-completed");
        let configs = [("min.insync.replicas", "2")];
        admin.create_topic(&topic, partitions, 3, &[&configs, settings].concat()).await?;
        admin.create_topic(&dead_letter_topic(&topic), letters, 3, &configs).await?;
        let field = Field { endpoints, admin, topic, group: format!("{name}.deliveries"), name, partitions };
        field.store().await?.prepare().await?;
        Ok(field)
    }
}

/// One test's place on the stack.
pub(crate) struct Field {
    pub(crate) endpoints: Endpoints,
    pub(crate) admin: Admin,
    pub(crate) topic: String,
    pub(crate) group: String,
    pub(crate) name: String,
    partitions: i32,
}

impl Field {
    pub(crate) async fn store(&self) -> Result<PostgresStore, Failed> {
        let options = PostgresOptions { schema: self.name.clone(), max_connections: 1, ..short_timeouts() };
        Ok(PostgresStore::connect(&self.endpoints.database_url, options).await?)
    }

    pub(crate) async fn view(&self) -> Result<RedisView, Failed> {
        let prefix = format!("{}:", self.name);
        Ok(RedisView::connect(&self.endpoints.redis_url, &prefix, RedisTimeouts::default()).await?)
    }

    /// The schema of its tables.
    pub(crate) fn schema(&self) -> &str {
        &self.name
    }

    pub(crate) async fn parts(&self, probe: Arc<dyn Probe>) -> Result<ProcessorDeps, Failed> {
        Ok(ProcessorDeps { store: Arc::new(self.store().await?), view: Arc::new(self.view().await?), probe })
    }

    /// A consumer whose death is noticed after 1.5 s.
    pub(crate) fn config(&self, name: &str) -> ConsumerConfig {
        let mut config =
            ConsumerConfig::new(name, self.endpoints.bootstrap.clone(), &self.topic, &self.group);
        config.group.session_timeout = Duration::from_millis(1500);
        config
    }

    pub(crate) fn consumer(&self, config: ConsumerConfig, parts: ProcessorDeps) -> Consumer {
        let (open, gate) = watch::channel(true);
        let stop = CancellationToken::new();
        let task = tokio::spawn(consumer::run(config, parts, gate, stop.clone()));
        Consumer { _open: open, stop, task }
    }

    pub(crate) async fn producer(&self) -> Result<Producer<Done>, Failed> {
        let config = ProducerConfig::default();
        Ok(Producer::connect(&self.endpoints.bootstrap, &self.topic, self.partitions, config).await?)
    }

    /// Produces `revisions` events of each of `orders` orders, revision by revision; returns where they lie.
    pub(crate) async fn produce(
        &self,
        orders: u32,
        revisions: std::ops::RangeInclusive<Revision>,
    ) -> Result<BTreeMap<(OrderId, Revision), Origin>, Failed> {
        let producer = self.producer().await?;
        let mut waiting = Vec::new();
        for revision in revisions {
            for order in 0..orders {
                let event = event(&format!("order-{order}"), revision);
                let (done, outcome) = oneshot::channel();
                producer.send(message(&event), done).await?;
                waiting.push(((event.order_id, revision), outcome));
            }
        }
        let mut acked = BTreeMap::new();
        for (key, outcome) in waiting {
            acked.insert(key, outcome.await??.origin);
        }
        producer.close().await?;
        Ok(acked)
    }

    /// Waits until the group has committed everything that is in the log, markers that come late and partitions that were added included.
    pub(crate) async fn worked_off(&self, within: Duration) -> Result<(), Failed> {
        // Ends are asked for of the partitions that are known.
        self.admin.describe_topic(&self.topic).await?;
        until(within, "the group has not committed the whole log", async || {
            let ends = self.admin.end_offsets(&self.topic).await?;
            let committed = self.admin.group_offsets(&self.group, &self.topic).await?;
            Ok(ends.iter().all(|(p, end)| *end == 0 || committed.get(p) == Some(end)))
        })
        .await
    }
}

/// Below the session time-out of [`Field::config`].
fn short_timeouts() -> PostgresOptions {
    let timeout = Duration::from_secs(1);
    PostgresOptions {
        lock_timeout: timeout,
        statement_timeout: timeout,
        idle_in_transaction_session_timeout: timeout,
        ..PostgresOptions::default()
    }
}

pub(crate) type Done = oneshot::Sender<Result<Ack, ProduceError>>;

pub(crate) fn event(order: &str, revision: Revision) -> PaymentEvent {
    PaymentEvent {
        order_id: OrderId::new(order).expect("a valid id"),
        revision,
        amount_minor: 1000 + i64::from(revision),
        currency: "EUR".into(),
        address: "Hauptstraße 1, Köln".into(),
        paid_at_ms: 0,
    }
}

pub(crate) fn message(event: &PaymentEvent) -> Message {
    Message {
        key: Some(event.order_id.as_str().as_bytes().to_vec()),
        value: Some(event.encode()),
        timestamp_ms: 1_700_000_000_000,
        ..Message::default()
    }
}

/// What a test's figures are called where it was run in this mode.
pub(crate) fn in_mode(name: &str, mode: Mode) -> String {
    if mode == Mode::default() { name.to_owned() } else { format!("{name}-{mode}") }
}

/// A running consumer.
pub(crate) struct Consumer {
    _open: watch::Sender<bool>,
    stop: CancellationToken,
    task: JoinHandle<Result<(), ConsumerError>>,
}

impl Consumer {
    pub(crate) async fn stop(self) -> Result<(), Failed> {
        self.stop.cancel();
        Ok(self.task.await??)
    }

    /// How it ended by itself.
    pub(crate) async fn ended(self, within: Duration) -> Result<Result<(), ConsumerError>, Failed> {
        Ok(tokio::time::timeout(within, self.task).await.map_err(|_| "it goes on")??)
    }

    /// Ends it on the spot: it neither finishes, nor commits, nor leaves the group.
    pub(crate) async fn kill(self) {
        self.task.abort();
        let _ = self.task.await;
    }
}

/// Keeps what consumers report.
#[derive(Default)]
pub(crate) struct Diary {
    pub(crate) fetched: Mutex<Vec<(String, Origin)>>,
    pub(crate) owned: Mutex<BTreeMap<String, Vec<i32>>>,
    pub(crate) dead: Mutex<Vec<(Origin, String)>>,
    pub(crate) retried: Mutex<BTreeMap<&'static str, u32>>,
    pub(crate) skipped: Mutex<Vec<(i32, i64, i64)>>,
}

impl Probe for Diary {
    fn fetched(&self, seen: Seen<'_>) {
        self.fetched.lock().expect("no panic").push((seen.consumer.to_owned(), seen.origin));
    }
    fn assigned(&self, consumer: &str, partitions: &[i32]) {
        self.owned.lock().expect("no panic").insert(consumer.to_owned(), partitions.to_vec());
    }
    fn released(&self, consumer: &str, _lost: bool) {
        self.owned.lock().expect("no panic").remove(consumer);
    }
    fn dead_lettered(&self, _consumer: &str, origin: Origin, reason: &str) {
        self.dead.lock().expect("no panic").push((origin, reason.to_owned()));
    }
    fn skipped(&self, _consumer: &str, partition: i32, from: i64, to: i64) {
        self.skipped.lock().expect("no panic").push((partition, from, to));
    }
    fn retried(&self, _consumer: &str, component: Component, _error: &str) {
        *self.retried.lock().expect("no panic").entry(component.as_str()).or_default() += 1;
    }
}

impl Diary {
    /// How often each offset was taken in hand, where that was more than once.
    pub(crate) fn repeats(&self) -> BTreeMap<Origin, usize> {
        let mut times: BTreeMap<Origin, usize> = BTreeMap::new();
        for (_, origin) in self.fetched.lock().expect("no panic").iter() {
            *times.entry(*origin).or_default() += 1;
        }
        times.retain(|_, n| *n > 1);
        times
    }

    pub(crate) fn count(&self) -> usize {
        self.fetched.lock().expect("no panic").len()
    }
}
