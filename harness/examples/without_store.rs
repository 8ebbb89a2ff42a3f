//! The consuming side alone: our consumer over a store and a view that keep nothing.
//!
//! `cargo run --release --example without_store -- --bootstrap HOST:PORT --topic T --produce 100000 --orders 10000` makes a topic of one
//! partition with so many events. Without `--produce` it reads `--events` of them in a new `--group`, and prints as JSON how many came after
//! the first `--warm-up`, and the seconds from the end of these.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, OnceLock};
use std::time::{Duration, Instant};

use anyhow::Context as _;
use async_trait::async_trait;
use clap::Parser;
use lanebench::cmd::service_time;
use lanebench::worker::ConsumerRuntime;
use lanebench::workload::plan::VALUE_BYTES_DEFAULT;
use lanebench::workload::{Keys, Plan, PlanSpec};
use payment_delivery::consumer::{ConsumerConfig, Consumers, Mode, ProcessorDeps, ServiceTime};
use payment_delivery::delivery::{Delivery, Fold, Status, StatusEntry};
use payment_delivery::event::OrderId;
use payment_delivery::kafka::admin::Admin;
use payment_delivery::kafka::producer::{Producer, ProducerConfig};
use payment_delivery::kafka::{Message, Origin};
use payment_delivery::store::{DeliveryStore, Effect, Outcome, Parked, StoreError};
use payment_delivery::view::{Put, StatusView, ViewError};
use serde_json::json;
use tokio::runtime::Handle;
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

/// How long to look for a broker before saying that there is none.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(10);

/// How long a consumer without a store and a view takes.
#[derive(Parser)]
struct Args {
    /// Brokers, such as 10.0.0.1:9092,10.0.0.2:9092
    #[arg(long, value_delimiter = ',', required = true)]
    bootstrap: Vec<String>,
    /// The topic to read, or to make
    #[arg(long)]
    topic: String,
    /// Make the topic with so many events, and read nothing
    #[arg(long)]
    produce: Option<u32>,
    /// Orders that these events are of
    #[arg(long, default_value_t = 10_000, value_parser = clap::value_parser!(u32).range(1..))]
    orders: u32,
    /// The consumer group to join
    #[arg(long, default_value = "without-store")]
    group: String,
    /// How the consumer works through its events
    #[arg(long, default_value_t)]
    mode: Mode,
    /// Modelled downstream call an event, such as 2ms or 0-5ms
    #[arg(long, default_value = "0s", value_parser = service_time)]
    service_time: ServiceTime,
    /// Events to read
    #[arg(long, default_value_t = 100_000)]
    events: u64,
    /// Of these, how many come first and are not counted; at least one
    #[arg(long, default_value_t = 1, value_parser = clap::value_parser!(u64).range(1..))]
    warm_up: u64,
}

fn main() -> anyhow::Result<()> {
    let args = Args::parse();
    let runtime = ConsumerRuntime::start().context("the threads could not be started")?;
    match args.produce {
        Some(events) => runtime.handle().block_on(produce(&args, events)),
        None => runtime.handle().block_on(consume(&args)),
    }
}

/// Makes the topic with its events, all of them acknowledged.
async fn produce(args: &Args, events: u32) -> anyhow::Result<()> {
    let events_per_order = events.div_ceil(args.orders);
    let (keys, value_bytes) = (Keys::Uniform, VALUE_BYTES_DEFAULT);
    let spec = PlanSpec { prefix: "w", events_per_order, keys, value_bytes, seed: 1 };
    let plan = Plan::backlog(&spec, events as usize)?;
    let admin = Admin::connect(&args.bootstrap, CONNECT_TIMEOUT).await?;
    admin.create_topic(&args.topic, 1, 1, &[]).await?;
    let producer =
        Producer::<()>::connect(&args.bootstrap, &args.topic, 1, ProducerConfig::default()).await?;
    let timestamp_ms = jiff::Timestamp::now().as_millisecond();
    for event in plan.iter() {
        let key = Some(event.order_id.as_str().into());
        let message = Message { key, value: Some(event.value), timestamp_ms, ..Message::default() };
        producer.send(message, ()).await?;
    }
    Ok(producer.close().await?)
}

/// Reads the events, and prints how long they took.
async fn consume(args: &Args) -> anyhow::Result<()> {
    let counter = Arc::new(Counter::new(args.warm_up, args.events));
    let deps = ProcessorDeps { store: counter.clone(), view: counter.clone(), probe: Arc::new(()) };
    let mut config = ConsumerConfig::new("without-store", args.bootstrap.clone(), &args.topic, &args.group);
    config.mode = args.mode;
    config.service_time = args.service_time;
    let stop = CancellationToken::new();
    let mut consumers = Consumers::new(stop.clone());
    let (_open, fetch_start) = watch::channel(true);
    consumers.start(&Handle::current(), config, deps, fetch_start);
    tokio::select! {
        () = counter.all_applied.cancelled() => {}
        error = consumers.failure() => return Err(error.into()),
    }
    stop.cancel();
    consumers.all_ended().await?;
    let (begun, ended) = counter.marks().context("the events are fewer than those of the warm-up")?;
    let seconds = ended.at.duration_since(begun.at).as_secs_f64();
    println!("{}", json!({ "events": ended.events - begun.events, "seconds": seconds }));
    Ok(())
}

/// So many events were applied by then.
#[derive(Clone, Copy)]
struct Mark {
    events: u64,
    at: Instant,
}

/// A store and a view that count what they are given, and keep nothing.
struct Counter {
    applied: AtomicU64,
    warm_up: u64,
    wanted: u64,
    begun: OnceLock<Mark>,
    ended: OnceLock<Mark>,
    all_applied: CancellationToken,
}

impl Counter {
    fn new(warm_up: u64, wanted: u64) -> Self {
        Self {
            applied: AtomicU64::new(0),
            warm_up,
            wanted,
            begun: OnceLock::new(),
            ended: OnceLock::new(),
            all_applied: CancellationToken::new(),
        }
    }

    /// Counts a fold's events, and tells the row that a store would have.
    fn count(&self, fold: &Fold) -> StatusEntry {
        let (first, last) = (fold.first, fold.last());
        let added = u64::from(last - first) + 1;
        let events = self.applied.fetch_add(added, Ordering::Relaxed) + added;
        let mark = Mark { events, at: Instant::now() };
        if events >= self.warm_up {
            let _ = self.begun.set(mark); // the first time counts
        }
        if events >= self.wanted {
            let _ = self.ended.set(mark);
            self.all_applied.cancel();
        }
        StatusEntry { order_id: fold.event.order_id.clone(), revision: last, status: Status::at(last) }
    }

    /// The end of the warm-up and that of all; `None` where one was not reached.
    fn marks(&self) -> Option<(Mark, Mark)> {
        self.begun.get().copied().zip(self.ended.get().copied())
    }
}

#[async_trait]
impl DeliveryStore for Counter {
    async fn apply(&self, fold: &Fold, _: Origin) -> Result<Outcome, StoreError> {
        Ok(Outcome { effect: Effect::Applied, row: Some(self.count(fold)) })
    }

    async fn apply_all(&self, folds: &[(Fold, Origin)]) -> Result<Vec<Option<StatusEntry>>, StoreError> {
        Ok(folds.iter().map(|(fold, _)| Some(self.count(fold))).collect())
    }

    async fn delivery(&self, _: &OrderId) -> Result<Option<Delivery>, StoreError> {
        Ok(None)
    }

    async fn deliveries_after(&self, _: Option<&OrderId>) -> Result<Vec<Delivery>, StoreError> {
        Ok(Vec::new())
    }

    async fn parked(&self) -> Result<Vec<Parked>, StoreError> {
        Ok(Vec::new())
    }

    async fn prepare(&self) -> Result<(), StoreError> {
        Ok(())
    }

    async fn clear(&self) -> Result<(), StoreError> {
        Ok(())
    }
}

#[async_trait]
impl StatusView for Counter {
    async fn put_if_newer(&self, entry: &StatusEntry) -> Result<Put, ViewError> {
        Ok(Put { revision: entry.revision, was_there: true })
    }

    async fn get(&self, order_ids: &[OrderId]) -> Result<Vec<Option<StatusEntry>>, ViewError> {
        Ok(vec![None; order_ids.len()])
    }

    async fn clear(&self) -> Result<(), ViewError> {
        Ok(())
    }
}
