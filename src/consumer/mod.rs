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

mod assignment;
mod commits;
mod consumers;
mod error;
mod fetch_loops;
pub mod mode;
mod service_time;
mod tracker;

use assignment::{End, GroupConsumer};
pub use consumers::Consumers;
pub use error::ConsumerError;
pub use mode::{Mode, ProcessorDeps, dead_letter_topic};
pub use service_time::ServiceTime;

/// What a consumer needs to know.
#[derive(Clone, Debug)]
pub struct ConsumerConfig {
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
    /// How it works through its events.
    pub mode: Mode,
    /// Modelled downstream call an event.
    pub service_time: ServiceTime,
    /// At most one commit in this time while working.
    pub commit_interval: Duration,
    /// How long a partition that is to be given up may take to finish the message in hand and to commit. Must be
    /// below the rebalance time-out.
    pub revoke_timeout: Duration,
}

impl ConsumerConfig {
    /// The defaults: record mode, no service time, commits every 100 ms, 5 s to drain.
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
            mode: Mode::default(),
            service_time: ServiceTime::NONE,
            commit_interval: Duration::from_millis(100),
            revoke_timeout: Duration::from_secs(5),
        }
    }
}

/// Runs one consumer until `stop`; then it finishes the message in hand, commits, and leaves the group.
///
/// Fetching begins when `fetch_start` holds `true`, so that a measurement can start with every assignment complete.
///
/// # Errors
/// [`ConsumerError`] for what waiting does not mend. Stores, views and brokers that are away are waited for.
pub async fn run(
    config: ConsumerConfig,
    deps: ProcessorDeps,
    fetch_start: watch::Receiver<bool>,
    stop: CancellationToken,
) -> Result<(), ConsumerError> {
    if config.revoke_timeout >= config.group.rebalance_timeout {
        return Err(ConsumerError::Deadline {
            consumer: config.name,
            revoke: config.revoke_timeout,
            rebalance: config.group.rebalance_timeout,
        });
    }
    let (held, session) = (deps.store.row_held_max(), config.group.session_timeout);
    if held >= session {
        return Err(ConsumerError::RowHeld { consumer: config.name, held, session });
    }
    let member = Member::new(config.bootstrap.clone(), config.topic.clone(), config.group.clone());
    let mut consumer = GroupConsumer::new(config, deps, fetch_start, stop, member);
    let ended = generations(&mut consumer).await;
    consumer.leave().await;
    ended
}

/// Joins and works, again and again, until it is stopped or something is wrong for good.
async fn generations(consumer: &mut GroupConsumer) -> Result<(), ConsumerError> {
    while let Some(assignment) = consumer.join().await? {
        // Boxed: the store's and the view's futures within are large, and this one lives as long as the consumer.
        if matches!(Box::pin(consumer.serve(&assignment)).await?, End::Stopped) {
            break;
        }
    }
    Ok(())
}
