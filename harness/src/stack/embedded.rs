//! The embedded stack: broker, store and view in this process, for a first look with nothing installed but cargo.
//!
//! The broker speaks the real protocol over real TCP, on a runtime of its own, so that its CPU time can be told from the
//! harness's. Rows are in SQLite files of the scratch directory, one for each run, statuses in a map. Architecture invariant: its numbers
//! are a demonstration; [`stands_in`] says what of it is not the real thing, and every output opens with that.

use std::ops::RangeInclusive;
use std::sync::Arc;
use std::time::Duration;

use payment_delivery::store::sqlite::{SqliteOptions, SqliteStore};
use tokio::runtime::{Handle, Runtime};
use tokio::task::JoinError;

use super::StatusServer;
use super::scratch::{self, Scratch};
use super::{Backing, Facts, PartFacts, Prefix, Progress, StackError, StackTarget};
use crate::broker::{Answers, Cluster, ClusterOptions};

/// Names under which the broker's threads run; the kernel keeps 15 characters of a name.
const BROKER_THREADS: &str = "broker-";
/// sqlx names the thread of a SQLite connection `sqlx-sqlite-worker-N`.
const SQLITE_THREADS: &str = "sqlx-sqlite";

/// The nodes of the largest stack; of those that are not there nothing is asked.
const NODES: RangeInclusive<i32> = 1..=3;

/// How long the broker's runtime may take to wind down once its cluster has stopped.
const WIND_DOWN: Duration = Duration::from_secs(1);

/// A running embedded stack. Dropping it stops and removes everything.
#[derive(Debug)]
pub struct EmbeddedStack {
    place: StackTarget,
    facts: Facts,
    // In this order: the cluster before what it runs on.
    cluster: Arc<Cluster>,
    statuses: Option<StatusServer>,
    runtime: BrokerRuntime,
    _scratch: Scratch,
}

impl EmbeddedStack {
    /// Sweeps what killed runs left, then starts a cluster of 1 or 3 `nodes` and opens store and view.
    ///
    /// # Errors
    /// [`StackError`] where no port, thread or directory can be had.
    pub async fn start(
        nodes: usize,
        progress: &(dyn Fn(Progress) + Send + Sync),
    ) -> Result<Self, StackError> {
        Self::begin(nodes, false, progress).await
    }

    /// The same with a view that other processes can reach: workers may be processes of their own.
    ///
    /// # Errors
    /// Those of [`Self::start`].
    pub async fn start_for_processes(
        nodes: usize,
        progress: &(dyn Fn(Progress) + Send + Sync),
    ) -> Result<Self, StackError> {
        Self::begin(nodes, true, progress).await
    }

    async fn begin(
        nodes: usize,
        processes: bool,
        progress: &(dyn Fn(Progress) + Send + Sync),
    ) -> Result<Self, StackError> {
        let temp = std::env::temp_dir();
        scratch::sweep_and_tell(&temp, progress).await;
        let scratch = Scratch::create(&temp)?;
        let runtime = BrokerRuntime::start().map_err(failed)?;
        let options = ClusterOptions { nodes, ..ClusterOptions::default() };
        let cluster = runtime.run(Cluster::start(options)).await.map_err(failed)?.map_err(failed)?;
        let cluster = Arc::new(cluster);
        let database = scratch.path().join("deliveries.sqlite");
        let store = SqliteStore::open(&database, SqliteOptions::default()).await.map_err(failed)?;
        let mut settings = store.settings().await.map_err(failed)?;
        let part = |name, version, settings| PartFacts { name, version, settings };
        let own = || Some(env!("CARGO_PKG_VERSION").to_owned());
        let facts = Facts {
            nodes,
            kafka: part("embedded", own(), [].into()),
            store: part("sqlite", settings.remove("version"), settings),
            view: part("in-process", own(), [].into()),
        };
        let server = match processes {
            true => Some(runtime.run(StatusServer::start()).await.map_err(failed)?.map_err(failed)?),
            false => None,
        };
        let statuses = server.as_ref().map(StatusServer::url);
        let backing = Backing::InProcess { database, store: Arc::new(store), statuses };
        let place = StackTarget {
            bootstrap: cluster.bootstrap(),
            backing,
            prefix: Prefix::default(),
            consumers: None,
        };
        Ok(Self { place, facts, cluster, statuses: server, runtime, _scratch: scratch })
    }

    /// What a run works on.
    pub fn target(&self) -> &StackTarget {
        &self.place
    }

    /// Versions and settings.
    pub fn facts(&self) -> &Facts {
        &self.facts
    }

    /// From now on a broker answers so much later.
    pub(super) fn slow(&self, node: usize, by: Duration) {
        self.cluster.delay(node_id(node), by);
    }

    /// Closes all connections to a broker.
    pub(super) fn cut(&self, node: usize) {
        self.cluster.drop_connections(node_id(node));
    }

    /// Makes a broker the leader of a partition.
    pub(super) fn move_leader(&self, topic: &str, partition: i32, to: usize) -> Result<(), StackError> {
        self.cluster.move_leader(topic, partition, node_id(to)).map_err(failed)
    }

    /// Stops a broker, or starts it again.
    pub(super) async fn run_node(&self, node: usize, runs: bool) -> Result<(), StackError> {
        let (cluster, node) = (Arc::clone(&self.cluster), node_id(node));
        let change =
            async move { if runs { cluster.start_node(node).await } else { cluster.stop_node(node).await } };
        self.runtime.run(change).await.map_err(failed)?.map_err(failed)
    }

    /// From now on all brokers hold these answers back for so long; zero ends it.
    pub(crate) fn delay_answers(&self, answers: Answers, by: Duration) {
        NODES.for_each(|node| self.cluster.delay_answers(node, answers, by));
    }

    /// How long they held back each answer, of those since this was asked last.
    pub(crate) fn take_held_back(&self) -> Vec<Duration> {
        NODES.flat_map(|node| self.cluster.take_held_back(node)).collect()
    }

    /// Stops everything.
    pub async fn stop(self) {
        if let Backing::InProcess { store, .. } = &self.place.backing {
            store.close().await;
        }
        if let Some(statuses) = self.statuses {
            statuses.stop().await;
        }
        if let Some(cluster) = Arc::into_inner(self.cluster) {
            cluster.stop().await;
        }
        self.runtime.stop().await;
    }
}

fn node_id(node: usize) -> i32 {
    i32::try_from(node).unwrap_or(i32::MAX)
}

fn failed(cause: impl std::fmt::Display) -> StackError {
    StackError::Embedded { what: cause.to_string() }
}

/// The threads that serve the broker. Dropping them does not wait, since a task may drop them.
#[derive(Debug)]
struct BrokerRuntime(Option<Runtime>);

impl BrokerRuntime {
    fn start() -> std::io::Result<Self> {
        let name = format!("{BROKER_THREADS}worker");
        let runtime = tokio::runtime::Builder::new_multi_thread().thread_name(name).enable_all().build()?;
        Ok(Self(Some(runtime)))
    }

    /// Runs `future` there, and with it whatever it spawns.
    async fn run<T: Send + 'static>(
        &self,
        future: impl Future<Output = T> + Send + 'static,
    ) -> Result<T, JoinError> {
        let runtime = self.0.as_ref().map_or_else(Handle::current, |runtime| runtime.handle().clone());
        runtime.spawn(future).await
    }

    async fn stop(mut self) {
        if let Some(runtime) = self.0.take() {
            // It blocks, which a task must not. What is left of it holds nothing but memory.
            let _ended = tokio::task::spawn_blocking(move || runtime.shutdown_timeout(WIND_DOWN)).await;
        }
    }
}

impl Drop for BrokerRuntime {
    fn drop(&mut self) {
        if let Some(runtime) = self.0.take() {
            runtime.shutdown_background();
        }
    }
}

/// What of the stack stands in for a real component, a sentence each.
pub fn stands_in() -> Vec<String> {
    [
        "The broker runs in this process and keeps its logs in memory; replicas are simulated.",
        "SQLite with synchronous off stands in for PostgreSQL, and a map in this process for Redis.",
    ]
    .map(str::to_owned)
    .to_vec()
}

/// The components that are threads of this process, by what their names begin with.
pub fn threads() -> Vec<(&'static str, &'static str)> {
    vec![("broker", BROKER_THREADS), ("sqlite", SQLITE_THREADS)]
}
