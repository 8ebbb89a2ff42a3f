//! The embedded stack: broker, store and view in this process, for a first look with nothing installed but cargo.
//!
//! The broker speaks the real protocol over real TCP, on a runtime of its own, so that its CPU time can be told from the
//! harness's. Rows are in a SQLite file of the scratch directory, statuses in a map. Architecture invariant: its numbers
//! are a demonstration; [`stands_in`] says what of it is not the real thing, and every output opens with that.

use std::sync::Arc;
use std::time::Duration;

use payment_delivery::store::sqlite::{SqliteOptions, SqliteStore};
use tokio::runtime::Runtime;

use super::scratch::{self, Scratch};
use super::{Backing, Facts, PartFacts, Place, Progress, StackError};
use crate::broker::{Cluster, ClusterOptions};

/// Names under which the broker's threads run; the kernel keeps 15 characters of a name.
const BROKER_THREADS: &str = "broker-";
/// sqlx names the thread of a SQLite connection `sqlx-sqlite-worker-N`.
const SQLITE_THREADS: &str = "sqlx-sqlite";

/// How long the broker's runtime may take to wind down once its cluster has stopped.
const WIND_DOWN: Duration = Duration::from_secs(1);

/// A running embedded stack. Dropping it stops and removes everything.
#[derive(Debug)]
pub struct EmbeddedStack {
    place: Place,
    facts: Facts,
    cluster: Option<Cluster>,
    runtime: Option<Runtime>,
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
        let temp = std::env::temp_dir();
        let swept = scratch::sweep(&temp).await;
        if swept.directories > 0 {
            progress(Progress::Swept { directories: swept.directories, processes: swept.processes });
        }
        let scratch = Scratch::create(&temp)?;
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .thread_name(format!("{BROKER_THREADS}worker"))
            .enable_all()
            .build()
            .map_err(|cause| StackError::Embedded { what: cause.to_string() })?;
        let runtime = Owned(Some(runtime));
        let failed = |what: String| StackError::Embedded { what };
        let options = ClusterOptions { nodes, ..ClusterOptions::default() };
        let cluster =
            runtime.spawn(Cluster::start(options)).await.map_err(|error| failed(error.to_string()))?;
        let cluster = cluster.map_err(|error| failed(error.to_string()))?;
        let database = scratch.path().join("deliveries.sqlite");
        let store = SqliteStore::open(&database, SqliteOptions::default())
            .await
            .map_err(|error| failed(error.to_string()))?;
        let mut settings = store.settings().await.map_err(|error| failed(error.to_string()))?;
        let store = Arc::new(store);
        let here = |name, version, settings| PartFacts { name, version, settings };
        let own = || Some(env!("CARGO_PKG_VERSION").to_owned());
        let facts = Facts {
            nodes,
            kafka: here("embedded", own(), [].into()),
            store: here("sqlite", settings.remove("version"), settings),
            view: here("in-process", own(), [].into()),
        };
        Ok(Self {
            place: Place { bootstrap: cluster.bootstrap(), backing: Backing::InProcess { database, store } },
            facts,
            cluster: Some(cluster),
            runtime: runtime.into_inner(),
            _scratch: scratch,
        })
    }

    /// What a run works on.
    pub fn place(&self) -> &Place {
        &self.place
    }

    /// Versions and settings.
    pub fn facts(&self) -> &Facts {
        &self.facts
    }

    /// The broker, for failure tests.
    pub fn cluster(&self) -> Option<&Cluster> {
        self.cluster.as_ref()
    }

    /// Stops everything.
    pub async fn stop(mut self) {
        if let Backing::InProcess { store, .. } = &self.place.backing {
            store.close().await;
        }
        if let Some(cluster) = self.cluster.take() {
            cluster.stop().await;
        }
        if let Some(runtime) = self.runtime.take() {
            // It blocks, which a task must not. What is left of it holds nothing but memory.
            let _ended = tokio::task::spawn_blocking(move || runtime.shutdown_timeout(WIND_DOWN)).await;
        }
    }
}

impl Drop for EmbeddedStack {
    fn drop(&mut self) {
        drop(self.cluster.take());
        drop(Owned(self.runtime.take()));
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

/// A runtime that may be dropped by a task: a plain drop would block.
struct Owned(Option<Runtime>);

impl Owned {
    fn spawn<T: Send + 'static>(
        &self,
        future: impl Future<Output = T> + Send + 'static,
    ) -> tokio::task::JoinHandle<T> {
        match &self.0 {
            Some(runtime) => runtime.spawn(future),
            None => tokio::spawn(future),
        }
    }

    fn into_inner(mut self) -> Option<Runtime> {
        self.0.take()
    }
}

impl Drop for Owned {
    fn drop(&mut self) {
        if let Some(runtime) = self.0.take() {
            runtime.shutdown_background();
        }
    }
}
