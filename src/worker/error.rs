//! Why a consumer ends by itself.

use std::time::Duration;

use crate::kafka::fetch::FetchError;
use crate::kafka::group::{CommitError, GroupError, OffsetError};
use crate::timer::DelayError;

/// Why a consumer ended other than by being stopped.
#[derive(Debug, thiserror::Error)]
pub enum WorkerError {
    /// The group cannot be joined or used.
    #[error("consumer {consumer}: {source}")]
    Group {
        /// Its name.
        consumer: String,
        /// What happened.
        source: GroupError,
    },
    /// The group's offsets cannot be used.
    #[error("consumer {consumer}: {source}")]
    Offsets {
        /// Its name.
        consumer: String,
        /// What happened.
        source: OffsetError,
    },
    /// Commits are refused for good.
    #[error("consumer {consumer}: {source}")]
    Commit {
        /// Its name.
        consumer: String,
        /// What happened.
        source: CommitError,
    },
    /// A partition cannot be read on.
    #[error("consumer {consumer}: {source}")]
    Fetch {
        /// Its name.
        consumer: String,
        /// What happened.
        source: FetchError,
    },
    /// The configuration contradicts itself.
    #[error(
        "consumer {consumer}: the drain deadline ({drain:?}) must be below the rebalance time-out ({rebalance:?})"
    )]
    Deadline {
        /// Its name.
        consumer: String,
        /// The drain deadline.
        drain: Duration,
        /// The rebalance time-out.
        rebalance: Duration,
    },
    /// The timer for modelled waits is not to be had.
    #[error("consumer {consumer}: no timer for the modelled service time: {source}")]
    Timer {
        /// Its name.
        consumer: String,
        /// What the system said.
        source: DelayError,
    },
    /// It panicked, which is a bug.
    #[error("a consumer panicked: {what}")]
    Panicked {
        /// How the runtime puts it.
        what: String,
    },
}
