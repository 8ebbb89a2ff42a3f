//! Broker, statuses and rows on the embedded parts, and worker processes on them.

use std::collections::BTreeSet;
use std::path::PathBuf;
use std::process::Stdio;
use std::time::Duration;

use lanebench::broker::{Cluster, ClusterOptions};
use lanebench::measure::run_file::{Follower, Place, Record, What};
use lanebench::stack::StatusServer;
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use payment_delivery::consumer::dead_letter_topic;
use payment_delivery::event::{OrderId, PaymentEvent, Revision};
use payment_delivery::kafka::Message;
use payment_delivery::kafka::admin::Admin;
use payment_delivery::kafka::producer::{Producer, ProducerConfig};
use payment_delivery::store::DeliveryStore;
use payment_delivery::store::sqlite::{SqliteOptions, SqliteStore};
use payment_delivery::view::StatusView;
use payment_delivery::view::redis::{RedisTimeouts, RedisView};
use tokio::io::AsyncReadExt as _;
use tokio::process::{Child, Command};
use tokio::time::{Instant, sleep, timeout};

pub(crate) const TOPIC: &str = "payments";
pub(crate) const GROUP: &str = "deliveries";
pub(crate) const PREFIX: &str = "bed:";
pub(crate) const PARTITIONS: i32 = 4;

/// Longer than a killed member's session, which the group waits for.
pub(crate) const PATIENCE: Duration = Duration::from_secs(60);

/// Everything a worker needs.
pub(crate) struct Bed {
    pub(crate) admin: Admin,
    pub(crate) store: SqliteStore,
    pub(crate) view: RedisView,
    cluster: Cluster,
    statuses: StatusServer,
    directory: tempfile::TempDir,
}

impl Bed {
    pub(crate) async fn new() -> Self {
        Self::with_letters(PARTITIONS).await
    }

    /// With a dead-letter topic of `letters` partitions.
    pub(crate) async fn with_letters(letters: i32) -> Self {
        Self::of(PARTITIONS, letters).await
    }

    /// The same, and so many partitions of the topic.
    pub(crate) async fn of(partitions: i32, letters: i32) -> Self {
        Self::on(ClusterOptions::default(), partitions, letters).await
    }

    /// On three nodes, of which one alone has the dead letters.
    pub(crate) async fn on_three_nodes() -> Self {
        Self::on(ClusterOptions { nodes: 3, ..ClusterOptions::default() }, PARTITIONS, 1).await
    }

    async fn on(options: ClusterOptions, partitions: i32, letters: i32) -> Self {
        let replication = options.nodes as i16;
        let cluster = Cluster::start(options).await.unwrap();
        let admin = Admin::connect(&cluster.bootstrap(), PATIENCE).await.unwrap();
        admin.create_topic(TOPIC, partitions, replication, &[]).await.unwrap();
        admin.create_topic(&dead_letter_topic(TOPIC), letters, 1, &[]).await.unwrap();
        let directory = tempfile::tempdir().unwrap();
        let store =
            SqliteStore::open(&directory.path().join("rows.db"), SqliteOptions::default()).await.unwrap();
        store.prepare().await.unwrap();
        let statuses = StatusServer::start().await.unwrap();
        let view = RedisView::connect(&statuses.url(), PREFIX, RedisTimeouts::default()).await.unwrap();
        Self { admin, store, view, cluster, statuses, directory }
    }

    pub(crate) fn bootstrap(&self) -> Vec<String> {
        self.cluster.bootstrap()
    }

    /// Puts batches into a partition's log, as they lie in one of Kafka.
    pub(crate) fn put_log(&self, partition: i32, batches: &[u8]) {
        self.cluster.put_log(TOPIC, partition, batches).unwrap();
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.directory.path().join(name)
    }

    /// Each order's revisions, the orders in turn.
    pub(crate) async fn produce(&self, orders: usize, revisions: std::ops::RangeInclusive<Revision>) {
        let bootstrap = self.cluster.bootstrap();
        let producer =
            Producer::connect(&bootstrap, TOPIC, PARTITIONS, ProducerConfig::default()).await.unwrap();
        for revision in revisions {
            for order in 0..orders {
                let event = PaymentEvent {
                    order_id: OrderId::new(&format!("o-{order}")).unwrap(),
                    revision,
                    amount_minor: 100 + i64::from(revision),
                    currency: "EUR".into(),
                    address: "Somewhere 1".into(),
                    paid_at_ms: 1_760_000_000_000,
                };
                let message = Message {
                    key: Some(event.order_id.as_str().as_bytes().to_vec()),
                    value: Some(event.encode()),
                    timestamp_ms: event.paid_at_ms,
                    ..Message::default()
                };
                producer.send(message, ()).await.unwrap();
            }
        }
        producer.close().await.unwrap();
    }

    /// On each partition two messages that are no events, one with a key and one without; how many they are.
    pub(crate) async fn poison(&self) -> i64 {
        let bootstrap = self.cluster.bootstrap();
        let producer =
            Producer::connect(&bootstrap, TOPIC, PARTITIONS, ProducerConfig::default()).await.unwrap();
        let mut sent = 0;
        for partition in 0..PARTITIONS {
            for key in [Some(b"bad".to_vec()), None] {
                let message = Message { key, value: Some(b"no event".to_vec()), ..Message::default() };
                producer.send_to(partition, message, ()).await.unwrap();
                sent += 1;
            }
        }
        producer.close().await.unwrap();
        sent
    }

    /// How many dead letters there are.
    pub(crate) async fn letters(&self) -> i64 {
        self.admin.end_offsets(&dead_letter_topic(TOPIC)).await.unwrap().values().sum()
    }

    /// Stops the node that leads the dead-letter topic's first partition; which it is.
    pub(crate) async fn stop_leader_of_letters(&self) -> i32 {
        let partitions = self.admin.describe_topic(&dead_letter_topic(TOPIC)).await.unwrap();
        let node = partitions[0].leader.unwrap();
        self.cluster.stop_node(node).await.unwrap();
        node
    }

    pub(crate) async fn start_node(&self, node: i32) {
        self.cluster.start_node(node).await.unwrap();
    }

    /// A worker that isn't started yet. Its run file is `name`.
    pub(crate) fn worker(&self, name: &str, arguments: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_lanebench"));
        command
            .arg("worker")
            .args(arguments)
            .env("LANEBENCH_BOOTSTRAP", self.cluster.bootstrap().join(","))
            .env("LANEBENCH_TOPIC", TOPIC)
            .env("LANEBENCH_GROUP", GROUP)
            .env("LANEBENCH_DATABASE_URL", format!("sqlite:{}", self.path("rows.db").display()))
            .env("LANEBENCH_REDIS_URL", self.statuses.url())
            .env("LANEBENCH_KEY_PREFIX", PREFIX)
            .env("LANEBENCH_RUN_FILE", self.path(name))
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .kill_on_drop(true);
        command
    }

    pub(crate) fn start(&self, name: &str, arguments: &[&str]) -> Worker {
        let child = self.worker(name, arguments).spawn().unwrap();
        Worker { child, follower: Follower::new(&self.path(name)), records: Vec::new() }
    }

    /// The rows and the statuses hold every order at `revision`, each event applied once, and the group has committed all.
    pub(crate) async fn holds(&self, orders: usize, revision: Revision) {
        let rows = self.store.deliveries().await.unwrap();
        assert_eq!(rows.len(), orders);
        for row in &rows {
            assert_eq!((row.revision, row.applied), (revision, revision), "{row:?}");
        }
        assert_eq!(self.store.parked().await.unwrap(), []);
        let ids: Vec<_> = rows.iter().map(|row| row.order_id.clone()).collect();
        let statuses = self.view.get(&ids).await.unwrap();
        for (row, status) in rows.iter().zip(statuses) {
            assert_eq!(status, Some(row.status_entry()));
        }
        let committed = self.admin.group_offsets(GROUP, TOPIC).await.unwrap();
        let written: std::collections::BTreeMap<_, _> =
            self.admin.end_offsets(TOPIC).await.unwrap().into_iter().filter(|(_, end)| *end > 0).collect();
        assert_eq!(committed, written);
        assert_eq!(self.admin.group_members(GROUP).await.unwrap().state, "Empty", "everyone has left");
    }

    pub(crate) async fn stop(self) {
        self.store.close().await;
        self.statuses.stop().await;
        self.cluster.stop().await;
    }
}

/// A worker process and what its run file has told so far.
pub(crate) struct Worker {
    pub(crate) child: Child,
    pub(crate) follower: Follower,
    pub(crate) records: Vec<Record>,
}

impl Worker {
    /// Follows the run file until `reached`.
    pub(crate) async fn until(&mut self, what: &str, mut reached: impl FnMut(&[Record]) -> bool) {
        let deadline = Instant::now() + PATIENCE;
        loop {
            self.follow();
            if reached(&self.records) {
                return;
            }
            if let Some(status) = self.child.try_wait().unwrap() {
                panic!("{what}: the worker ended before, with {status}: {}", self.told().await);
            }
            assert!(Instant::now() < deadline, "{what} did not happen: {} records", self.records.len());
            sleep(Duration::from_millis(10)).await;
        }
    }

    pub(crate) fn follow(&mut self) {
        self.records.extend(self.follower.poll().unwrap());
    }

    pub(crate) fn signal(&self, signal: Signal) {
        let pid = self.child.id().expect("it was not waited for yet");
        kill(Pid::from_raw(pid as i32), signal).unwrap();
    }

    /// Waits for its end and the end of its run file; its exit code, `None` where a signal ended it.
    pub(crate) async fn ended(&mut self) -> Option<i32> {
        let status = timeout(PATIENCE, self.child.wait()).await.expect("it ends in time").unwrap();
        self.follow();
        status.code()
    }

    /// What it wrote to stderr, once it has ended.
    pub(crate) async fn told(&mut self) -> String {
        let mut told = String::new();
        self.child.stderr.take().unwrap().read_to_string(&mut told).await.unwrap();
        told
    }

    pub(crate) fn fetched(&self) -> Vec<Place> {
        places(&self.records, |what| match what {
            What::Fetched(place) => Some(place),
            _ => None,
        })
    }

    pub(crate) fn visible(&self) -> Vec<Place> {
        places(&self.records, seen)
    }
}

fn places(records: &[Record], of: impl Fn(What) -> Option<Place>) -> Vec<Place> {
    records.iter().filter_map(|record| of(record.what)).collect()
}

/// The message that became visible, if it is that.
pub(crate) fn seen(what: What) -> Option<Place> {
    match what {
        What::Visible { place, .. } => Some(place),
        _ => None,
    }
}

/// How many messages became visible.
pub(crate) fn count(records: &[Record]) -> usize {
    records.iter().filter(|record| seen(record.what).is_some()).count()
}

/// The partitions that the process's consumers own, after what the records say.
pub(crate) fn owned(records: &[Record]) -> BTreeSet<i32> {
    let mut owned = std::collections::BTreeMap::<u16, BTreeSet<i32>>::new();
    for record in records {
        match record.what {
            What::Assigned { partition, .. } => owned.entry(record.consumer).or_default().extend(partition),
            What::Released { .. } => owned.entry(record.consumer).or_default().clear(),
            _ => {}
        }
    }
    owned.into_values().flatten().collect()
}
