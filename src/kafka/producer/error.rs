//! How a message ends: acknowledged, or with one of these errors, told to its [`Completion`] exactly once.

use std::sync::Arc;
use std::time::Duration;

use crate::kafka::Origin;

/// The broker holds the message, replicated as the topic's `min.insync.replicas` asks (acks = all).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Ack {
    /// Where the message lies in the log. A `resent` run may hold it elsewhere too.
    pub origin: Origin,
}

/// Hears how a message ended. Called exactly once per message given to `send`, whatever happens: refused at `send`,
/// acknowledged, failed, or the producer or the `send` future dropped.
///
/// Runs on the partition's own task, or inside `send`: it must be quick and must not block.
pub trait Completion: Send + 'static {
    /// The message ended.
    fn done(self, result: Result<Ack, ProduceError>);
}

impl Completion for tokio::sync::oneshot::Sender<Result<Ack, ProduceError>> {
    fn done(self, result: Result<Ack, ProduceError>) {
        // A receiver that is gone said that it doesn't want to know.
        let _ = self.send(result);
    }
}

/// For whoever looks at `flush` only.
impl Completion for () {
    fn done(self, _: Result<Ack, ProduceError>) {}
}

/// Why a message was not acknowledged.
#[derive(Clone, Debug, thiserror::Error)]
pub enum ProduceError {
    /// The broker refused the batch, and trying again would not help.
    #[error("the broker refused a batch of partition {partition} for good: {cause}")]
    Refused {
        /// The partition, whose producer ended with this.
        partition: i32,
        /// The broker's or the client's own words.
        cause: Arc<str>,
        /// Whether this attempt or an earlier one may have reached the log.
        may_be_in_log: bool,
    },
    /// The delivery deadline passed.
    #[error(
        "partition {partition} did not acknowledge a batch within {waited:?}, {attempts} attempts; the last: {cause}"
    )]
    Expired {
        /// The partition, whose producer ended with this.
        partition: i32,
        /// From the first attempt to giving up.
        waited: Duration,
        /// How often it was tried.
        attempts: u32,
        /// How the last attempt ended.
        cause: Arc<str>,
        /// Whether any attempt may have reached the log.
        may_be_in_log: bool,
    },
    /// Never sent: a batch before it failed, and skipping that one would let a later event overtake.
    #[error("never sent, because a batch before it failed: {cause}")]
    Behind {
        /// What happened to that batch.
        cause: Arc<ProduceError>,
    },
    /// The producer was dropped, or its task ended, before the outcome was known.
    #[error("the producer was dropped before the message was acknowledged")]
    Dropped {
        /// Whether an attempt may have reached the log.
        may_be_in_log: bool,
    },
    /// `send` refused it, and returned the same error.
    #[error("not accepted: {0}")]
    NotAccepted(#[from] SendError),
}

impl ProduceError {
    /// Whether the message may be in the log although it was not acknowledged. `false` is certain.
    pub fn may_be_in_log(&self) -> bool {
        match self {
            Self::Refused { may_be_in_log, .. }
            | Self::Expired { may_be_in_log, .. }
            | Self::Dropped { may_be_in_log } => *may_be_in_log,
            Self::Behind { .. } | Self::NotAccepted(_) => false,
        }
    }
}

/// Why `send` did not take a message; it is certainly not in the log.
#[derive(Clone, Debug, thiserror::Error)]
pub enum SendError {
    /// Larger than a broker would take.
    #[error("the message has {bytes} bytes on the wire; at most {limit} are accepted")]
    Oversize {
        /// Upper bound of its size, from [`super::wire_bytes`].
        bytes: usize,
        /// `max_record_bytes`.
        limit: usize,
    },
    /// The timestamp is no date that a record can carry.
    #[error("the timestamp {timestamp_ms} ms is out of range")]
    Timestamp {
        /// Milliseconds of Unix time.
        timestamp_ms: i64,
    },
    /// There is no such partition.
    #[error("there is no partition {partition}; the topic has {partitions}")]
    NoSuchPartition {
        /// The one asked for.
        partition: i32,
        /// How many there are.
        partitions: i32,
    },
    /// The partition's producer failed earlier and takes nothing more, since that would overtake what failed.
    #[error("the partition takes nothing more: {cause}")]
    Failed {
        /// What it failed of.
        cause: Arc<ProduceError>,
    },
}

/// Why a producer could not be made.
#[derive(Debug, thiserror::Error)]
pub enum ProducerError {
    /// The configuration contradicts itself.
    #[error("the producer's configuration cannot work: {complaint}")]
    Config {
        /// What is wrong with it.
        complaint: &'static str,
    },
    /// No broker answered, or the topic or a partition's leader was not there in time.
    #[error("cannot produce to {topic} at {bootstrap} within {waited:?}: {cause}")]
    Connect {
        /// The topic.
        topic: String,
        /// The addresses that were tried.
        bootstrap: String,
        /// How long it was tried.
        waited: Duration,
        /// The last attempt's error.
        cause: String,
    },
    /// The topic has another number of partitions, so keys would go where nobody expects them.
    #[error("topic {topic} has {found} partitions, not {expected}")]
    Partitions {
        /// The topic.
        topic: String,
        /// As asked for.
        expected: i32,
        /// As the cluster has it.
        found: usize,
    },
}
