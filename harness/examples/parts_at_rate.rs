//! How long each part that an event meets takes by itself at a low rate: `cargo run --release --example parts_at_rate [PER_S]` prints, as JSON
//! and round by round, the median time in ms of a produce, of a row and of a status, one part at work and the others idle.
//!
//! The parts are those of LANEBENCH_BOOTSTRAP, LANEBENCH_DATABASE_URL and LANEBENCH_REDIS_URL, as `lanebench stack up` prints them. A topic, a
//! schema and keys of its own are made there, and removed. Between two calls all sleeps, as it does in a pipeline that is offered so little.

use std::time::{Duration, Instant};

use payment_delivery::delivery::{Fold, Status, StatusEntry};
use payment_delivery::event::{OrderId, PaymentEvent};
use payment_delivery::kafka::admin::Admin;
use payment_delivery::kafka::producer::{Ack, ProduceError, Producer, ProducerConfig};
use payment_delivery::kafka::{Message, Origin};
use payment_delivery::store::DeliveryStore as _;
use payment_delivery::store::postgres::{PostgresOptions, PostgresStore};
use payment_delivery::view::StatusView as _;
use payment_delivery::view::redis::{RedisTimeouts, RedisView};
use serde_json::json;
use tokio::sync::oneshot;
use tokio::time::MissedTickBehavior;

/// The topic, and the first part of the names of schema and keys.
const NAME: &str = "lanebench_parts_at_rate";
const ROUNDS: usize = 5;
/// Calls of each part in a round; those of a first round are not counted.
const CALLS: u32 = 200;
/// Bytes of a message's value: that of an ordinary event.
const VALUE: usize = 300;

type Failure = Box<dyn std::error::Error>;

#[tokio::main]
async fn main() -> Result<(), Failure> {
    let per_s: f64 = std::env::args().nth(1).map_or(Ok(100.0), |per_s| per_s.parse())?;
    let pause = Duration::try_from_secs_f64(1.0 / per_s)?;
    let of = |name: &str| {
        std::env::var(name).map_err(|_| format!("set {name}, as `lanebench stack up` prints it"))
    };
    let bootstrap: Vec<String> = of("LANEBENCH_BOOTSTRAP")?.split(',').map(str::to_owned).collect();
    let options = PostgresOptions { schema: NAME.into(), ..PostgresOptions::default() };
    let store = PostgresStore::connect(&of("LANEBENCH_DATABASE_URL")?, options).await?;
    let redis = of("LANEBENCH_REDIS_URL")?;
    let view = RedisView::connect(&redis, NAME, RedisTimeouts::default()).await?;
    let admin = Admin::connect(&bootstrap, Duration::from_secs(10)).await?;
    store.create_schema().await?;
    let told = async {
        store.prepare().await?;
        admin.create_topic(NAME, 1, 1, &[]).await?;
        let config = ProducerConfig { batch_interval: Duration::ZERO, ..ProducerConfig::default() };
        let producer = Producer::connect(&bootstrap, NAME, 1, config).await?;
        let told = measured(&Parts { producer, store: &store, view: &view }, pause).await;
        admin.delete_topic(NAME).await?;
        told
    }
    .await;
    store.drop_schema().await?;
    view.clear().await?;
    println!("{}", told?);
    Ok(())
}

struct Parts<'a> {
    producer: Producer<oneshot::Sender<Result<Ack, ProduceError>>>,
    store: &'a PostgresStore,
    view: &'a RedisView,
}

async fn measured(parts: &Parts<'_>, pause: Duration) -> Result<serde_json::Value, Failure> {
    let (mut rows, mut statuses) = (Orders::new(), Orders::new());
    let [mut produced, mut stored, mut viewed] = [(); 3].map(|()| Vec::new());
    for round in 0..=ROUNDS {
        let found = [
            median(pause, async |_| parts.produce().await).await?,
            median(pause, async |number| parts.store(rows.amended(number), number).await).await?,
            median(pause, async |number| parts.view(statuses.amended(number)).await).await?,
        ];
        if round > 0 {
            [&mut produced, &mut stored, &mut viewed]
                .into_iter()
                .zip(found)
                .for_each(|(all, ms)| all.push(ms));
        }
    }
    let per_s = (1.0 / pause.as_secs_f64()).round();
    Ok(
        json!({ "per_s": per_s, "calls": CALLS, "ms": { "produce_single": produced, "store_1": stored, "view_1": viewed } }),
    )
}

/// The median of what [`CALLS`] calls take, in ms, begun in the rhythm of `pause`.
async fn median(
    pause: Duration,
    mut call: impl AsyncFnMut(u32) -> Result<(), Failure>,
) -> Result<f64, Failure> {
    let mut rhythm = tokio::time::interval(pause);
    rhythm.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let mut took = Vec::new();
    for number in 0..CALLS {
        rhythm.tick().await;
        let begun = Instant::now();
        call(number).await?;
        took.push(begun.elapsed());
    }
    took.sort_unstable();
    Ok(took[took.len() / 2].as_secs_f64() * 1e3)
}

impl Parts<'_> {
    /// Sends a message, until it is acknowledged.
    async fn produce(&self) -> Result<(), Failure> {
        let (told, heard) = oneshot::channel();
        let message = Message { value: Some(vec![b'x'; VALUE]), timestamp_ms: 1, ..Message::default() };
        self.producer.send(message, told).await?;
        heard.await??;
        Ok(())
    }

    /// Applies an event to its row.
    async fn store(&self, event: &PaymentEvent, number: u32) -> Result<(), Failure> {
        let origin = Origin { partition: 0, offset: number.into() };
        let outcome = self.store.apply(&Fold::one(event.clone()), origin).await?;
        taken(outcome.row.is_some_and(|row| row.revision == event.revision))
    }

    /// Writes an event's status.
    async fn view(&self, event: &PaymentEvent) -> Result<(), Failure> {
        let revision = event.revision;
        let entry = StatusEntry { order_id: event.order_id.clone(), revision, status: Status::at(revision) };
        taken(self.view.put_if_newer(&entry).await?.revision == revision)
    }
}

/// Nobody else writes there.
fn taken(held: bool) -> Result<(), Failure> {
    if held { Ok(()) } else { Err("a row or a status did not take what follows it".into()) }
}

/// Orders, each with its last event.
struct Orders(Vec<PaymentEvent>);

impl Orders {
    fn new() -> Self {
        let order = |number| PaymentEvent {
            order_id: OrderId::new(&format!("order-{number}")).expect("a word and a number are an order id"),
            revision: 0,
            amount_minor: 1999,
            currency: "EUR".into(),
            address: "Main Street 1, Springfield".into(),
            paid_at_ms: 1,
        };
        Self((0..CALLS).map(order).collect())
    }

    /// The order's next event.
    fn amended(&mut self, number: u32) -> &PaymentEvent {
        let event = &mut self.0[number as usize];
        event.revision += 1;
        event
    }
}
