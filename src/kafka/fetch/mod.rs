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

use std::pin::Pin;
use std::time::Duration;

use tokio::sync::mpsc;
use tokio::time::{Instant, timeout};

use self::reader::{Chunk, FetchAttemptError, LeaderReader, PartitionReader};
use super::Fetched;
use crate::failure::Backoff;

mod reader;
mod scan;
#[cfg(test)]
mod tests;

pub use scan::{ScanBounds, scan};

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
    },
    /// From here on the raw reader reads.
    ReadsRaw {
        /// The partition.
        partition: i32,
        /// What rskafka could not read.
        why: String,
    },
    /// A transaction is open, and nothing behind its first record can be read; or is no more.
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
    /// [`read_all`] ran out of time.
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

/// How long a partition may be unknown to the brokers: one that was created a moment ago has not reached all of them.
const UNKNOWN_MAX: Duration = Duration::from_secs(30);

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

/// The log's first offset, asked for until a broker says it; `None` once nobody waits for it.
async fn earliest<R: PartitionReader>(
    reader: &mut R,
    partition: i32,
    config: &FetchConfig,
    out: &mpsc::Sender<FetchItem>,
) -> Result<Option<i64>, FetchError> {
    let mut failures = Failures::none();
    loop {
        let range = tokio::select! {
            range = range(reader, config) => range,
            () = out.closed() => return Ok(None),
        };
        let item = match range {
            Ok((start, _end)) => {
                if failures.end() {
                    let _ = out.send(FetchItem::Recovered { partition }).await;
                }
                return Ok(Some(start));
            }
            Err(stop) => failures.retry(stop, partition, 0)?,
        };
        if out.send(item).await.is_err() {
            return Ok(None);
        }
        failures.wait().await;
    }
}

/// All messages of `partition` from offset `from` up to, not including, `to`.
///
/// # Errors
/// [`FetchError::OutOfRange`] if `from` is not in the log, [`FetchError::TimedOut`] if `to` wasn't reached `within`
/// the time given, be it that no broker answers or that the log ends before it.
pub async fn read_all(
    bootstrap: &[String],
    topic: &str,
    partition: i32,
    from: i64,
    to: i64,
    within: Duration,
) -> Result<Vec<Fetched>, FetchError> {
    let mut reader = LeaderReader::new(bootstrap, topic, partition, ReaderChoice::Raw);
    // Without its type: the reader's futures are large, and callers nest this one deep in theirs.
    let reading: Pin<Box<dyn Future<Output = _> + Send + '_>> =
        Box::pin(read_from(&mut reader, partition, from, to, within));
    reading.await
}

async fn read_from<R: PartitionReader>(
    reader: &mut R,
    partition: i32,
    from: i64,
    to: i64,
    within: Duration,
) -> Result<Vec<Fetched>, FetchError> {
    let mut read: Vec<Fetched> = Vec::new();
    let mut reached = from;
    let mut cause = "the log may end there".to_owned();
    let (sender, mut receiver) = mpsc::channel(2);
    let collect = async {
        while reached < to {
            match receiver.recv().await {
                Some(FetchItem::Batch { records, next_offset, .. }) => {
                    reached = next_offset;
                    read.extend(records.into_iter().filter(|fetched| fetched.origin.offset < to));
                }
                Some(FetchItem::Retried { error, .. }) => cause = error,
                Some(FetchItem::OpenTransaction { since_offset: Some(offset), .. }) => {
                    cause = format!("a transaction is open from offset {offset} on");
                }
                Some(
                    FetchItem::OpenTransaction { .. }
                    | FetchItem::ReadsRaw { .. }
                    | FetchItem::Recovered { .. },
                ) => {}
                // Not with `OutOfRange::Fail`, not by `follow` itself, and not while it runs.
                Some(FetchItem::Gone { .. } | FetchItem::Failed(_)) | None => break,
            }
        }
    };
    let config = FetchConfig::default();
    let outcome = timeout(within, async {
        tokio::select! {
            ended = follow(reader, partition, from, &config, &sender) => ended,
            () = collect => Ok(()),
        }
    });
    match outcome.await {
        Ok(Ok(())) => Ok(read),
        Ok(Err(error)) => Err(error),
        Err(_) => {
            Err(FetchError::TimedOut { partition, reached: reached.min(to), to, waited: within, cause })
        }
    }
}

/// The loop itself, over any reader.
async fn follow<R: PartitionReader>(
    reader: &mut R,
    partition: i32,
    from: i64,
    config: &FetchConfig,
    out: &mpsc::Sender<FetchItem>,
) -> Result<(), FetchError> {
    let mut offset = from;
    let mut open_transaction = None;
    let mut failures = Failures::none();
    let fetching = async {
        loop {
            let item = match step(reader, offset, config).await {
                Ok(chunk) => {
                    let mut news = Vec::new();
                    if failures.end() {
                        news.push(FetchItem::Recovered { partition });
                    }
                    if let Some(why) = chunk.raw_because {
                        tracing::warn!(partition, offset, why, "rskafka can't read on: the raw reader does");
                        news.push(FetchItem::ReadsRaw { partition, why });
                    }
                    let batch = FetchItem::Batch {
                        partition,
                        records: chunk.records,
                        next_offset: chunk.next_offset,
                    };
                    if chunk.next_offset > offset {
                        offset = chunk.next_offset;
                        news.push(batch);
                    }
                    if chunk.open_transaction != open_transaction {
                        open_transaction = chunk.open_transaction;
                        news.push(FetchItem::OpenTransaction { partition, since_offset: open_transaction });
                    }
                    for item in news {
                        if out.send(item).await.is_err() {
                            return Ok(());
                        }
                    }
                    continue;
                }
                Err(Stop::OutOfRange { start, end }) if config.on_out_of_range == OutOfRange::Earliest => {
                    let (from, to) = if offset < start { (offset, start) } else { (end, offset) };
                    offset = start;
                    FetchItem::Gone { partition, from, to, resume_at: start }
                }
                Err(stop) => failures.retry(stop, partition, offset)?,
            };
            let is_retry = matches!(item, FetchItem::Retried { .. });
            if out.send(item).await.is_err() {
                return Ok(());
            }
            if is_retry {
                failures.wait().await;
            }
        }
    };
    tokio::select! {
        ended = fetching => ended,
        () = out.closed() => Ok(()), // also in the middle of a long poll
    }
}

/// Failed attempts since the last one that succeeded.
struct Failures {
    backoff: Backoff,
    has_failed: bool,
    /// When the partition was first said to be unknown, if that is what was said last.
    unknown_since: Option<Instant>,
}

impl Failures {
    fn none() -> Self {
        Self { backoff: Backoff::up_to(Backoff::LONG), has_failed: false, unknown_since: None }
    }

    /// An attempt succeeded; whether any had failed.
    fn end(&mut self) -> bool {
        std::mem::replace(self, Self::none()).has_failed
    }

    /// What to say of a failure after which another attempt follows.
    ///
    /// # Errors
    /// A failure after which none does.
    fn retry(&mut self, stop: Stop, partition: i32, offset: i64) -> Result<FetchItem, FetchError> {
        let error = match stop {
            Stop::Passing(error) => {
                self.unknown_since = None;
                error
            }
            Stop::NoSuchPartition(error)
                if self.unknown_since.get_or_insert_with(Instant::now).elapsed() < UNKNOWN_MAX =>
            {
                error
            }
            stop => return Err(stop.into_error(partition, offset)),
        };
        self.has_failed = true;
        tracing::warn!(partition, offset, error, "a fetch goes again");
        Ok(FetchItem::Retried { partition, error })
    }

    async fn wait(&mut self) {
        self.backoff.wait().await;
    }
}

/// Why a fetch brought nothing, the log's range known.
enum Stop {
    OutOfRange { start: i64, end: i64 },
    Unreadable(String),
    NoSuchPartition(String),
    Refused(String),
    Passing(String),
}

impl Stop {
    fn into_error(self, partition: i32, offset: i64) -> FetchError {
        match self {
            Self::OutOfRange { start, end } => FetchError::OutOfRange { partition, offset, start, end },
            Self::Unreadable(why) | Self::Passing(why) => FetchError::Unreadable { partition, offset, why },
            Self::NoSuchPartition(why) => FetchError::NoSuchPartition { partition, why },
            Self::Refused(why) => FetchError::Refused { partition, why },
        }
    }
}

/// One bounded attempt to fetch, and to learn the range if the offset is outside.
async fn step<R: PartitionReader>(reader: &mut R, offset: i64, config: &FetchConfig) -> Result<Chunk, Stop> {
    let limit = config.max_wait + config.request_timeout;
    let fetched = timeout(limit, reader.fetch(offset, config)).await.map_err(|_| no_answer(limit))?;
    match fetched {
        Ok(chunk) => Ok(chunk),
        Err(FetchAttemptError::OutOfRange) => {
            let (start, end) = range(reader, config).await?;
            if (start..=end).contains(&offset) {
                // A new leader that had not caught up yet; going back to the start for that would be wrong.
                return Err(Stop::Passing(format!("offset {offset} was out of range and is no more")));
            }
            Err(Stop::OutOfRange { start, end })
        }
        Err(error) => Err(error.into()),
    }
}

async fn range<R: PartitionReader>(reader: &mut R, config: &FetchConfig) -> Result<(i64, i64), Stop> {
    let limit = config.request_timeout;
    let asked = timeout(limit, reader.range(config)).await.map_err(|_| no_answer(limit))?;
    Ok(asked?)
}

fn no_answer(limit: Duration) -> Stop {
    Stop::Passing(format!("no answer within {limit:?}"))
}

impl From<FetchAttemptError> for Stop {
    fn from(error: FetchAttemptError) -> Self {
        match error {
            FetchAttemptError::NotDecoded(why) => Self::Unreadable(why),
            FetchAttemptError::NoSuchPartition(why) => Self::NoSuchPartition(why),
            FetchAttemptError::Refused(why) => Self::Refused(why),
            FetchAttemptError::Passing(why) => Self::Passing(why),
            // Of a range there is none: the next attempt asks anew.
            FetchAttemptError::OutOfRange => Self::Passing("the offset was out of range".to_owned()),
        }
    }
}
