//! One consumer: joins the group, works through its partitions, drains before it gives them up.
//!
//! ```text
//!          ┌──────────────── Rebalance: stop fetching, drain, commit ───────────────┐
//!          ▼                                                                        │
//! join ─▶ assigned ─▶ fetch loops ─▶ one processing loop ─▶ commits every 100 ms ───┤
//!          ▲                                                                        │
//!          └──────────────── Lost: cancel at once, never commit ────────────────────┘
//! ```

use std::time::Duration;

use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

use crate::kafka::fetch::FetchConfig;
use crate::kafka::group::{GroupConfig, Member};
use crate::mode::record::Parts;

mod assignment;
mod commits;
mod consumers;
mod error;
mod feeds;
mod progress;

use assignment::{End, Worker};
pub use consumers::Consumers;
pub use error::WorkerError;

/// What a consumer needs to know.
#[derive(Clone, Debug)]
pub struct WorkerConfig {
    /// Its name: client id in the group, and how probes tell consumers apart.
    pub name: String,
    /// Addresses (`host:port`) at which to find the cluster.
    pub bootstrap: Vec<String>,
    /// The topic it reads.
    pub topic: String,
    /// Membership.
    pub group: GroupConfig,
    /// Fetching.
    pub fetch: FetchConfig,
    /// Modelled downstream call an event; zero for none.
    pub service_time: Duration,
    /// At most one commit in this time while working.
    pub commit_interval: Duration,
    /// How long a partition that is to be given up may take to finish the message in hand and to commit. Must be
    /// below the rebalance time-out.
    pub drain_deadline: Duration,
}

impl WorkerConfig {
    /// The defaults: no service time, commits every 100 ms, 5 s to drain.
    pub fn new(
        name: impl Into<String>,
        bootstrap: Vec<String>,
        topic: impl Into<String>,
        group_id: impl Into<String>,
    ) -> Self {
        let name = name.into();
        Self {
            group: GroupConfig::new(group_id.into(), name.clone()),
            name,
            bootstrap,
            topic: topic.into(),
            fetch: FetchConfig::default(),
            service_time: Duration::ZERO,
            commit_interval: Duration::from_millis(100),
            drain_deadline: Duration::from_secs(5),
        }
    }
}

/// Runs one consumer until `stop`; then it finishes the message in hand, commits, and leaves the group.
///
/// Fetching begins when `gate` holds `true`, so that a measurement can start with every assignment complete.
///
/// # Errors
/// [`WorkerError`] for what waiting does not mend. Stores, views and brokers that are away are waited for.
pub async fn run(
    config: WorkerConfig,
    parts: Parts,
    gate: watch::Receiver<bool>,
    stop: CancellationToken,
) -> Result<(), WorkerError> {
    if config.drain_deadline >= config.group.rebalance_timeout {
        return Err(WorkerError::Deadline {
            consumer: config.name,
            drain: config.drain_deadline,
            rebalance: config.group.rebalance_timeout,
        });
    }
    let member = Member::new(config.bootstrap.clone(), config.topic.clone(), config.group.clone());
    let mut worker = Worker::new(config, parts, gate, stop, member);
    let ended = rounds(&mut worker).await;
    worker.leave().await;
    ended
}

/// Joins and works, again and again, until it is stopped or something is wrong for good.
async fn rounds(worker: &mut Worker) -> Result<(), WorkerError> {
    while let Some(assignment) = worker.join().await? {
        // Boxed: the store's and the view's futures within are large, and this one lives as long as the consumer.
        if matches!(Box::pin(worker.serve(&assignment)).await?, End::Stopped) {
            break;
        }
    }
    Ok(())
}
