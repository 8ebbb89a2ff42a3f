//! The fetch loop of one partition, over a connection of its own.
//!
//! ```text
//! broker ─▶ long poll ─▶ bounded channel of FetchItems ─▶ whoever works
//! ```
//!
//! The loop starts at an offset it is given and never chooses one itself, least of all "latest". A full channel
//! stops it, so what is held is bounded: the channel's capacity plus one batch in hand, each of about `max_bytes`
//! (a broker sends a record batch whole even if it alone is larger). Several loops may share a channel.
//!
//! Cancel it by dropping its future or the channel's receiver: the connection goes with it, and a long poll that
//! waits on the broker is not waited for.
//!
//! rskafka reads. From the first record, batch or marker of a partition that it can't read, the raw reader does, for good:
//! compressed batches, transactions, headers without a value, timestamps that are no date. What nobody can read ends the loop.
//! Records of a transaction that was aborted are dropped. One case is left open: where a partition's first transaction is an aborted
//! one that is longer than one fetch, rskafka hands its first records out before it meets the marker; [`ReaderChoice::Raw`] never does.

use std::time::{Duration, Instant};

use tokio::sync::mpsc;

use self::follow::{earliest, follow};
use self::reader::LeaderReader;
use super::Fetched;

mod attempt;
mod follow;
mod range;
mod reader;
#[cfg(test)]
mod tests;

pub use range::{LogRanges, RangeBounds, read_all, read_each};

/// How a partition is fetched.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FetchConfig {
    /// How long the broker may hold a request while there is less than `min_bytes`. Must be above zero, or an idle
    /// partition is polled without pause. Default 500 ms.
    pub max_wait: Duration,
    /// The broker answers as soon as it has this many bytes. Default 1: at once.
    pub min_bytes: i32,
    /// The most that one fetch brings, in bytes on the wire. Default 1 MiB.
    pub max_bytes: i32,
    /// How long an attempt may take on top of `max_wait`, connecting included. Default 5 s.
    pub request_timeout: Duration,
    /// What to do when the offset is not in the log. Default [`OutOfRange::Fail`].
    pub on_out_of_range: OutOfRange,
    /// Who reads. Default [`ReaderChoice::RskafkaFirst`].
    pub reader: ReaderChoice,
}

impl Default for FetchConfig {
    fn default() -> Self {
        Self {
            max_wait: Duration::from_millis(500),
            min_bytes: 1,
            max_bytes: 1024 * 1024,
            request_timeout: Duration::from_secs(5),
            on_out_of_range: OutOfRange::Fail,
            reader: ReaderChoice::RskafkaFirst,
        }
    }
}

/// What to do when the wanted offset is no longer, or not yet, in the log.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum OutOfRange {
    /// End with [`FetchError::OutOfRange`].
    Fail,
    /// Go on from the log's start, and say with [`FetchItem::Gone`] which offsets are missing.
    Earliest,
}

/// Who reads a partition.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ReaderChoice {
    /// rskafka, and the raw reader from the first thing on that rskafka can't read.
    RskafkaFirst,
    /// The raw reader.
    Raw,
}

/// What a fetch loop puts into its channel.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum FetchItem {
    /// What lies directly behind the batch before.
    Batch {
        /// The partition.
        partition: i32,
        /// In the order of the log. None where there were only markers of transactions, records that were aborted, or batches that
        /// compaction has emptied.
        records: Vec<Fetched>,
        /// The offset behind all of it.
        next_offset: i64,
        /// When the fetch that brought it ended.
        arrived: Instant,
    },
    /// From here on the raw reader reads.
    ReadsRaw {
        /// The partition.
        partition: i32,
        /// What rskafka could not read.
        why: String,
    },
    /// A transaction has been open for three seconds, and nothing behind its first record can be read; or is no more.
    OpenTransaction {
        /// The partition.
        partition: i32,
        /// Where it begins: the last stable offset. `None` once it has ended.
        since_offset: Option<i64>,
    },
    /// Offsets from `from` up to, not including, `to` are not in the log; the loop goes on at `resume_at`.
    Gone {
        /// The partition.
        partition: i32,
        /// First missing offset.
        from: i64,
        /// The offset after the last missing one.
        to: i64,
        /// The log's start. Below `from` if the log was cut at its end: then what follows was fetched before.
        resume_at: i64,
    },
    /// An attempt failed and will be made again.
    Retried {
        /// The partition.
        partition: i32,
        /// The failure in words.
        error: String,
    },
    /// An attempt succeeded after some that had failed.
    Recovered {
        /// The partition.
        partition: i32,
    },
    /// The partition can't be read on. The last item; what was fetched before lies before it.
    Failed(FetchError),
}

/// Why a fetch ended.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum FetchError {
    /// The offset is not in the log: deleted by retention, or the topic was made anew.
    #[error("partition {partition} holds offsets {start} to {end}; {offset} is out of range")]
    OutOfRange {
        /// The partition.
        partition: i32,
        /// The offset that was asked for.
        offset: i64,
        /// The log's first offset.
        start: i64,
        /// The offset that the next message will get.
        end: i64,
    },
    /// Nobody can read what lies there.
    #[error("partition {partition} can't be read on from offset {offset}: {why}")]
    Unreadable {
        /// The partition.
        partition: i32,
        /// Where it is stuck.
        offset: i64,
        /// What is wrong.
        why: String,
    },
    /// There is no such topic or partition: never was, or was deleted.
    #[error("partition {partition} is not there: {why}")]
    NoSuchPartition {
        /// The partition.
        partition: i32,
        /// Kafka's error.
        why: String,
    },
    /// The broker refuses, and would again.
    #[error("partition {partition} can't be read: {why}")]
    Refused {
        /// The partition.
        partition: i32,
        /// Kafka's error.
        why: String,
    },
    /// [`read_all`] or [`read_each`] ran out of time.
    #[error("partition {partition} was read up to offset {reached}, not {to}, within {waited:?}: {cause}")]
    TimedOut {
        /// The partition.
        partition: i32,
        /// The first offset that was not read.
        reached: i64,
        /// Where it should have ended.
        to: i64,
        /// The time it had.
        waited: Duration,
        /// The last failure, if there was one.
        cause: String,
    },
}

/// Where a fetch loop starts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum StartAt {
    /// The log's first offset, looked up when the loop begins: for a group that has committed nothing.
    Earliest,
    /// This offset.
    Offset(i64),
}

/// Fetches one partition from an offset on.
pub struct Fetcher {
    reader: LeaderReader,
    partition: i32,
    from: StartAt,
    config: FetchConfig,
}

impl Fetcher {
    /// Names what is fetched; nothing is connected yet.
    pub fn new(
        bootstrap: &[String],
        topic: &str,
        partition: i32,
        from: StartAt,
        config: FetchConfig,
    ) -> Self {
        let reader = LeaderReader::new(bootstrap, topic, partition, config.reader);
        Self { reader, partition, from, config }
    }

    /// Fetches until the channel's receiver is gone, or the partition can't be read on: [`FetchItem::Failed`] then says why, with any
    /// [`FetchError`] but `TimedOut`. Each attempt is bounded in time, attempts are not: a broker that is away is waited for.
    pub async fn run(mut self, out: mpsc::Sender<FetchItem>) {
        if let Err(error) = self.fetch(&out).await {
            let _ = out.send(FetchItem::Failed(error)).await; // or nobody waits for it any more
        }
    }

    async fn fetch(&mut self, out: &mpsc::Sender<FetchItem>) -> Result<(), FetchError> {
        let from = match self.from {
            StartAt::Offset(offset) => offset,
            StartAt::Earliest => match earliest(&mut self.reader, self.partition, &self.config, out).await? {
                Some(start) => start,
                None => return Ok(()),
            },
        };
        follow(&mut self.reader, self.partition, from, &self.config, out).await
    }
}
