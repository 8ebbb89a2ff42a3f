//! Why a consumer ends by itself.

use std::time::Duration;

use crate::failure::Component;
use crate::kafka::fetch::FetchError;
use crate::kafka::group::{CommitError, GroupError, OffsetError};
use crate::timer::DelayError;

/// Why a consumer ended other than by being stopped.
#[derive(Debug, thiserror::Error)]
pub enum ConsumerError {
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
    #[error("consumer {consumer}: topic {topic}, {source}")]
    Fetch {
        /// Its name.
        consumer: String,
        /// Of which topic.
        topic: String,
        /// What happened.
        source: FetchError,
    },
    /// A component can't be used as it is set up: a missing right, table or topic, a wrong password.
    #[error("consumer {consumer}: the {} can't be used: {why}", component.as_str())]
    SetUp {
        /// Its name.
        consumer: String,
        /// Which component.
        component: Component,
        /// In its words.
        why: String,
    },
    /// The configuration contradicts itself.
    #[error(
        "consumer {consumer}: the revoke time-out ({revoke:?}) must be below the rebalance time-out ({rebalance:?})"
    )]
    Deadline {
        /// Its name.
        consumer: String,
        /// The revoke time-out.
        revoke: Duration,
        /// The rebalance time-out.
        rebalance: Duration,
    },
    /// A frozen consumer could hold its successor up.
    #[error(
        "consumer {consumer}: the store may hold a row for {held:?}, which must be below the session time-out ({session:?}): \
         lower the store's lock, statement and idle-in-transaction time-outs"
    )]
    RowHeld {
        /// Its name.
        consumer: String,
        /// The longest time that the store holds a row for a client that is frozen.
        held: Duration,
        /// The session time-out.
        session: Duration,
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
