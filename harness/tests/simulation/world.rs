//! The pipeline on the embedded broker while a schedule goes wrong with it, and what must hold in the end.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread::JoinHandle;
use std::time::Duration;

use lanebench::broker::{Cluster, ClusterOptions};
use payment_delivery::consumer::{
    self, ConsumerConfig, ConsumerError, Mode, ProcessorDeps, ServiceTime, dead_letter_topic,
};
use payment_delivery::event::{OrderId, PaymentEvent, Revision};
use payment_delivery::kafka::Message;
use payment_delivery::kafka::admin::{Admin, GroupDescription, GroupMember};
use payment_delivery::kafka::producer::{Producer, ProducerConfig};
use payment_delivery::store::DeliveryStore as _;
use payment_delivery::store::sqlite::{SqliteOptions, SqliteStore};
use payment_delivery::view::StatusView as _;
use payment_delivery::view::memory::MemoryView;
use rand::{RngExt as _, SeedableRng as _};
use rand_chacha::ChaCha8Rng;
use tokio::sync::{oneshot, watch};
use tokio::time::{Instant, sleep, sleep_until};
use tokio_util::sync::CancellationToken;

use crate::parts::{Around, Bug, Store, Switches, View};
use crate::schedule::{CONSUMERS, NODES, PARTITIONS, Schedule, Step};
use crate::truth::{Broken, Truth};

const TOPIC: &str = "payment-completed";
const GROUP: &str = "deliveries";
pub(crate) const EVENTS: u32 = 2_400;
const ORDERS: u32 = 120;
/// Between two groups of events, so that the load lasts longer than the faults.
const GROUP_OF: u32 = 20;
const GROUP_EVERY: Duration = Duration::from_millis(30);
/// Of an event, so that a consumer that must go has mostly one in hand.
const SERVICE_TIME: ServiceTime = ServiceTime::fixed(Duration::from_millis(2));
const SESSION: Duration = Duration::from_millis(1_500);
const PATIENCE: Duration = Duration::from_secs(60);

/// How a schedule went.
pub(crate) struct Ended {
    pub(crate) broken: Broken,
    pub(crate) rebalances: u32,
    pub(crate) redelivered: usize,
}

/// A consumer on a thread of its own, so that it can stand still as a process does.
struct Running {
    stop: CancellationToken,
    kill: CancellationToken,
    freeze_ms: Arc<AtomicU64>,
    thread: JoinHandle<Result<(), ConsumerError>>,
}

struct World {
    cluster: Cluster,
    admin: Admin,
    database: PathBuf,
    store: SqliteStore,
    view: MemoryView,
    switches: Arc<Switches>,
    truth: Arc<Truth>,
    mode: Mode,
    bug: Option<Bug>,
    consumers: Vec<Option<Running>>,
    /// Those that were told to go.
    leaving: Vec<Running>,
    incarnations: u32,
    open: watch::Sender<bool>,
    _directory: tempfile::TempDir,
}

/// Runs one schedule.
pub(crate) async fn run(schedule: &Schedule, bug: Option<Bug>) -> Ended {
    let mut world = World::new(schedule.mode, bug).await;
    for slot in 0..CONSUMERS {
        world.start(slot);
    }
    world.joined().await;
    let before = world.truth.rebalances();
    let bootstrap = world.cluster.bootstrap();
    let load = tokio::spawn(load(bootstrap, schedule.seed));
    let begun = Instant::now();
    for (at, step) in &schedule.steps {
        sleep_until(begun + *at).await;
        world.step(*step).await;
    }
    let expected = load.await.expect("the load does not panic");
    world.mend().await;
    match expected {
        Ok(expected) => world.settle(&expected).await,
        Err(error) => world.truth.broken("the producer failed", error),
    }
    let (rebalances, redelivered) = (world.truth.rebalances() - before, world.truth.redelivered());
    if schedule.is_gentle && world.truth.lost() == 0 && redelivered > 0 {
        let example = format!("{redelivered} messages were taken in hand twice, and nothing failed");
        world.truth.broken("redelivered without need", example);
    }
    Ended { broken: world.end().await, rebalances, redelivered }
}

/// Sends the events of a seed; how many each order got.
async fn load(bootstrap: Vec<String>, seed: u64) -> Result<BTreeMap<OrderId, Revision>, String> {
    let mut rng = ChaCha8Rng::seed_from_u64(seed);
    let config = ProducerConfig {
        batch_interval: Duration::ZERO,
        request_timeout: Duration::from_millis(500),
        ..ProducerConfig::default()
    };
    let producer =
        Producer::connect(&bootstrap, TOPIC, PARTITIONS, config).await.map_err(|e| e.to_string())?;
    let (mut sent, mut acks): (BTreeMap<OrderId, Revision>, _) = (BTreeMap::new(), Vec::new());
    for number in 0..EVENTS {
        let order_id =
            OrderId::new(&format!("order-{}", rng.random_range(0..ORDERS))).map_err(|e| e.to_string())?;
        let revision = sent.entry(order_id.clone()).or_default();
        *revision += 1;
        let event = PaymentEvent {
            order_id,
            revision: *revision,
            amount_minor: i64::from(number) + 1,
            currency: "EUR".into(),
            address: "Hauptstraße 1, Köln".into(),
            paid_at_ms: 0,
        };
        let message = Message {
            key: Some(event.order_id.as_str().as_bytes().to_vec()),
            value: Some(event.encode()),
            timestamp_ms: 1_760_000_000_000,
            ..Message::default()
        };
        let (tell, ack) = oneshot::channel();
        producer.send(message, tell).await.map_err(|e| e.to_string())?;
        acks.push(ack);
        if number % GROUP_OF == GROUP_OF - 1 {
            sleep(GROUP_EVERY).await;
        }
    }
    producer.flush().await.map_err(|e| e.to_string())?;
    for ack in acks {
        ack.await.map_err(|e| e.to_string())?.map_err(|e| e.to_string())?;
    }
    producer.close().await.map_err(|e| e.to_string())?;
    Ok(sent)
}

impl World {
    async fn new(mode: Mode, bug: Option<Bug>) -> Self {
        let options = ClusterOptions { nodes: NODES as usize, ..ClusterOptions::default() };
        let cluster = Cluster::start(options).await.expect("a cluster");
        let admin = Admin::connect(&cluster.bootstrap(), PATIENCE).await.expect("it answers");
        for topic in [TOPIC, &dead_letter_topic(TOPIC)] {
            let created = admin.create_topic(topic, PARTITIONS, 3, &[("min.insync.replicas", "1")]).await;
            created.expect("a topic");
        }
        let directory = tempfile::tempdir().expect("a directory");
        let database = directory.path().join("rows.db");
        let store = SqliteStore::open(&database, SqliteOptions::default()).await.expect("a store");
        store.prepare().await.expect("its tables");
        Self {
            cluster,
            admin,
            database,
            store,
            view: MemoryView::new(),
            switches: Arc::default(),
            truth: Arc::default(),
            mode,
            bug,
            consumers: (0..CONSUMERS).map(|_| None).collect(),
            leaving: Vec::new(),
            incarnations: 0,
            open: watch::Sender::new(true),
            _directory: directory,
        }
    }

    fn start(&mut self, slot: usize) {
        if self.consumers[slot].is_some() {
            return;
        }
        self.incarnations += 1;
        let name = format!("consumer-{slot}-{}", self.incarnations);
        let mut config = ConsumerConfig::new(&name, self.cluster.bootstrap(), TOPIC, GROUP);
        config.group.session_timeout = SESSION;
        config.mode = self.mode;
        config.service_time = SERVICE_TIME;
        if self.bug == Some(Bug::NoDrain) {
            config.revoke_timeout = Duration::ZERO;
        }
        let (stop, kill, freeze_ms) =
            (CancellationToken::new(), CancellationToken::new(), Arc::<AtomicU64>::default());
        let around = Around {
            switches: Arc::clone(&self.switches),
            truth: Arc::clone(&self.truth),
            freeze_ms: Arc::clone(&freeze_ms),
            bug: self.bug,
        };
        let (database, view, open) = (self.database.clone(), self.view.clone(), self.open.subscribe());
        let (told, killed) = (stop.clone(), kill.clone());
        let work = move || {
            let runtime =
                tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
            let ended = runtime.block_on(async {
                let store = SqliteStore::open(&database, SqliteOptions::default()).await.expect("a store");
                let parts = ProcessorDeps {
                    store: Arc::new(Store { inner: Arc::new(store), around: around.clone() }),
                    view: Arc::new(View { inner: view, around: around.clone() }),
                    probe: around.truth.clone(),
                };
                tokio::select! {
                    ended = Box::pin(consumer::run(config, parts, open, told)) => ended,
                    () = killed.cancelled() => Ok(()),
                }
            });
            runtime.shutdown_background();
            ended
        };
        let thread = std::thread::Builder::new().name(name).spawn(work).expect("a thread");
        self.consumers[slot] = Some(Running { stop, kill, freeze_ms, thread });
    }

    /// Waits until each consumer has a partition.
    async fn joined(&self) {
        let deadline = Instant::now() + PATIENCE;
        loop {
            let group = self.admin.group_members(GROUP).await;
            let working = |group: &GroupDescription| {
                let owns = |member: &&GroupMember| {
                    member.partitions.get(TOPIC).is_some_and(|partitions| !partitions.is_empty())
                };
                group.members.iter().filter(owns).count()
            };
            if group.as_ref().is_ok_and(|group| working(group) == CONSUMERS) {
                return;
            }
            assert!(Instant::now() < deadline, "they do not join: {group:?}");
            sleep(Duration::from_millis(20)).await;
        }
    }

    async fn step(&mut self, step: Step) {
        let flag = |switch: &std::sync::atomic::AtomicBool, on: bool| switch.store(on, Ordering::Relaxed);
        match step {
            Step::Stop(slot) | Step::Kill(slot) => {
                if let Some(running) = self.consumers[slot].take() {
                    let end = if step == Step::Stop(slot) { &running.stop } else { &running.kill };
                    end.cancel();
                    self.leaving.push(running);
                }
            }
            Step::Start(slot) => self.start(slot),
            Step::Freeze(slot, length) => {
                if let Some(running) = &self.consumers[slot] {
                    running.freeze_ms.store(length.as_millis() as u64, Ordering::Relaxed);
                }
            }
            Step::StoreAway(on) => flag(&self.switches.store_away, on),
            Step::AnswersLost(on) => flag(&self.switches.answers_lost, on),
            Step::ViewAway(on) => flag(&self.switches.view_away, on),
            Step::ViewEmptied => self.view.clear().await.expect("a map"),
            Step::DropConnections(node) => self.cluster.drop_connections(node),
            Step::Delay(node, by) => self.cluster.delay(node, by),
            Step::StopNode(node) => self.cluster.stop_node(node).await.expect("a node"),
            Step::StartNode(node) => self.cluster.start_node(node).await.expect("its port"),
            // A node that is down leads nothing.
            Step::MoveLeader(partition, to) => drop(self.cluster.move_leader(TOPIC, partition, to)),
        }
    }

    /// Whatever is still wrong ends.
    async fn mend(&mut self) {
        for switch in [Step::StoreAway(false), Step::AnswersLost(false), Step::ViewAway(false)] {
            self.step(switch).await;
        }
        for node in 1..=NODES {
            self.step(Step::Delay(node, Duration::ZERO)).await;
            self.step(Step::StartNode(node)).await;
        }
        for slot in 0..CONSUMERS {
            self.start(slot);
        }
    }

    /// Waits until all is committed, and looks whether it is there.
    async fn settle(&self, expected: &BTreeMap<OrderId, Revision>) {
        let deadline = Instant::now() + PATIENCE;
        loop {
            let ends = self.admin.end_offsets(TOPIC).await;
            let committed = self.admin.group_offsets(GROUP, TOPIC).await;
            if let (Ok(ends), Ok(committed)) = (&ends, &committed)
                && ends.iter().all(|(partition, end)| *end == 0 || committed.get(partition) == Some(end))
            {
                break;
            }
            if Instant::now() > deadline {
                let example = format!("ends {ends:?}, committed {committed:?}");
                return self.truth.broken("not all is committed", example);
            }
            sleep(Duration::from_millis(50)).await;
        }
        let rows = self.store.deliveries().await.expect("rows");
        let found: BTreeMap<_, _> =
            rows.iter().map(|row| (row.order_id.clone(), (row.revision, row.applied))).collect();
        for (order_id, revision) in expected {
            let row = found.get(order_id);
            if row != Some(&(*revision, *revision)) {
                self.truth.broken("lost or applied twice", format!("{order_id}: {row:?}, not {revision}"));
            }
        }
        let ids: Vec<_> = rows.iter().map(|row| row.order_id.clone()).collect();
        let shown = self.view.get(&ids).await.expect("a map");
        for (row, shown) in rows.iter().zip(shown) {
            // What was emptied and has had no event since is in the store.
            if shown.as_ref().is_some_and(|shown| *shown != row.status_entry()) {
                let example = format!("{}: {shown:?} is shown, the row has {}", row.order_id, row.revision);
                self.truth.broken("the view is stale", example);
            }
        }
        let parked = self.store.parked().await.expect("parked");
        if !parked.is_empty() {
            self.truth.broken("parked", format!("{parked:?}"));
        }
    }

    async fn end(mut self) -> Broken {
        let mut all = std::mem::take(&mut self.leaving);
        all.extend(self.consumers.iter_mut().filter_map(Option::take));
        for running in &all {
            running.stop.cancel();
        }
        for running in all {
            let ended = tokio::task::spawn_blocking(move || running.thread.join()).await.expect("a join");
            match ended {
                Ok(Ok(())) => {}
                Ok(Err(error)) => self.truth.broken("a consumer gave up", error.to_string()),
                Err(_) => self.truth.broken("a consumer panicked", String::new()),
            }
        }
        self.cluster.stop().await;
        self.truth.all_broken()
    }
}
