//! Where records come from: a partition's leader, over rskafka or the raw reader; or a log in memory in the tests.

use std::time::Duration;

use rskafka::client::error::{Error, ProtocolError, RequestError};
use rskafka::client::partition::OffsetAt;

use super::{FetchConfig, ReaderChoice};
use crate::failure::{SILENCE, unanswered};
use crate::kafka::Fetched;
use crate::kafka::link::{Link, root_cause, to_fetched};
use crate::kafka::raw::{RawError, RawReader};

/// What an attempt brought.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Chunk {
    /// In the order of the log.
    pub(super) records: Vec<Fetched>,
    /// Where to go on: behind all that was looked at, records or not.
    pub(super) next_offset: i64,
    /// Where an open transaction begins that keeps what lies behind from being read.
    pub(super) open_transaction: Option<i64>,
    /// Why it was the raw reader that read for the first time.
    pub(super) raw_because: Option<String>,
}

/// Why an attempt failed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum FetchAttemptError {
    /// The offset is not in the log.
    OutOfRange,
    /// What lies there can't be read by this reader.
    NotDecoded(String),
    /// There is no such topic or partition, or the broker has not heard of it yet.
    NoSuchPartition(String),
    /// The broker refuses, and would again.
    Refused(String),
    /// Anything else; the cause in words.
    Passing(String),
}

/// The log of one partition. Dropping a call's future cancels it, connection and all.
pub(super) trait PartitionReader: Send {
    /// What lies from `offset` on; no records and the same offset if there was nothing within `max_wait`.
    ///
    /// [`FetchAttemptError::NotDecoded`] means that nobody can read what lies there.
    fn fetch(
        &mut self,
        offset: i64,
        config: &FetchConfig,
    ) -> impl Future<Output = Result<Chunk, FetchAttemptError>> + Send;

    /// The log's first offset, and the one after its last.
    fn range(
        &mut self,
        config: &FetchConfig,
    ) -> impl Future<Output = Result<(i64, i64), FetchAttemptError>> + Send;
}

/// Reads by rskafka up to the first record, batch or marker that it can't read; from there on by the raw reader.
pub(super) struct LeaderReader {
    rskafka: Option<Link>,
    raw: RawReader,
    /// Why it took over, until that was told.
    raw_because: Option<String>,
    topic: String,
    partition: i32,
}

impl LeaderReader {
    /// Names the partition; nothing is connected yet.
    pub(super) fn new(bootstrap: &[String], topic: &str, partition: i32, choice: ReaderChoice) -> Self {
        let rskafka = || Link::new(bootstrap, topic, partition);
        Self {
            rskafka: (choice == ReaderChoice::RskafkaFirst).then(rskafka),
            raw: RawReader::new(bootstrap, topic, partition),
            raw_because: None,
            topic: topic.to_owned(),
            partition,
        }
    }
}

/// What `request` comes to, which the broker may hold for `held`. While it stays unanswered for longer, a warning says so.
async fn answer<T>(topic: &str, partition: i32, held: Duration, request: impl Future<Output = T>) -> T {
    let tell = |waited_ms| tracing::warn!(topic, partition, component = "broker", waited_ms, "no answer yet");
    unanswered(held + SILENCE, request, tell).await
}

impl PartitionReader for LeaderReader {
    async fn fetch(&mut self, offset: i64, config: &FetchConfig) -> Result<Chunk, FetchAttemptError> {
        if let Some(link) = &mut self.rskafka {
            let fetched = fetch_by_rskafka(link, self.partition, offset, config);
            match answer(&self.topic, self.partition, config.max_wait, fetched).await {
                Err(FetchAttemptError::NotDecoded(why)) => {
                    self.rskafka = None;
                    self.raw_because = Some(why);
                }
                fetched => return fetched,
            }
        }
        let fetched = self.raw.fetch(offset, config);
        let read = answer(&self.topic, self.partition, config.max_wait, fetched).await?;
        let held_back =
            read.next_offset >= read.last_stable_offset && read.last_stable_offset < read.high_watermark;
        Ok(Chunk {
            records: read.records,
            next_offset: read.next_offset,
            open_transaction: held_back.then_some(read.last_stable_offset),
            raw_because: self.raw_because.take(),
        })
    }

    async fn range(&mut self, config: &FetchConfig) -> Result<(i64, i64), FetchAttemptError> {
        let Some(link) = &mut self.rskafka else {
            let range = self.raw.range(config.request_timeout);
            return Ok(answer(&self.topic, self.partition, Duration::ZERO, range).await?);
        };
        let range = async {
            let client = link.take().await?;
            let start = client.get_offset(OffsetAt::Earliest).await?;
            let end = client.get_offset(OffsetAt::Latest).await?;
            link.keep(client);
            Ok((start, end))
        };
        answer(&self.topic, self.partition, Duration::ZERO, range).await.map_err(|e: Error| classify(&e))
    }
}

async fn fetch_by_rskafka(
    link: &mut Link,
    partition: i32,
    offset: i64,
    config: &FetchConfig,
) -> Result<Chunk, FetchAttemptError> {
    let client = link.take().await.map_err(|e| classify(&e))?;
    // rskafka takes the limit as an exclusive end.
    let bytes = config.min_bytes..config.max_bytes.saturating_add(1);
    let wait_ms = i32::try_from(config.max_wait.as_millis()).unwrap_or(i32::MAX);
    let (records, high_watermark) =
        client.fetch_records(offset, bytes, wait_ms).await.map_err(|e| classify(&e))?;
    link.keep(client);
    if records.is_empty() && high_watermark > offset {
        // Batches that compaction has emptied, or an open transaction: rskafka shows neither, nor how far they reach.
        let why = format!("no record came at offset {offset}, though the log goes on to {high_watermark}");
        return Err(FetchAttemptError::NotDecoded(why));
    }
    let next_offset = records.last().map_or(offset, |last| last.offset + 1);
    let records = records.into_iter().map(|record| to_fetched(partition, record)).collect();
    Ok(Chunk { records, next_offset, ..Chunk::default() })
}

/// What an error of rskafka means for the next attempt.
fn classify(error: &Error) -> FetchAttemptError {
    use FetchAttemptError as E;
    match root_cause(error) {
        Error::ServerError { protocol_error: ProtocolError::OffsetOutOfRange, .. } => E::OutOfRange,
        Error::ServerError { protocol_error: error @ ProtocolError::UnknownTopicOrPartition, .. } => {
            E::NoSuchPartition(error.to_string())
        }
        Error::ServerError { protocol_error: error @ ProtocolError::TopicAuthorizationFailed, .. } => {
            E::Refused(error.to_string())
        }
        // What only a later version of Fetch may bring, and what is damaged where it lies: the raw reader sees for itself.
        Error::ServerError {
            protocol_error:
                error @ (ProtocolError::UnsupportedCompressionType | ProtocolError::CorruptMessage),
            ..
        } => E::NotDecoded(error.to_string()),
        // An answer that came whole and can't be taken apart, or whose dates are none.
        error @ (Error::Request(
            RequestError::ReadError(_)
            | RequestError::ReadVersionedError(_)
            | RequestError::TooMuchData { .. },
        )
        | Error::InvalidResponse(_)) => E::NotDecoded(error.to_string()),
        other => E::Passing(other.to_string()),
    }
}

impl From<RawError> for FetchAttemptError {
    fn from(error: RawError) -> Self {
        match error {
            RawError::OutOfRange => Self::OutOfRange,
            RawError::Unreadable(error) => Self::NotDecoded(error.to_string()),
            error @ RawError::Corrupt(_) => Self::NotDecoded(error.to_string()),
            RawError::NoSuchPartition(code) => Self::NoSuchPartition(code.to_string()),
            RawError::Refused(code) => Self::Refused(code.to_string()),
            error @ (RawError::Passing(_) | RawError::TooLarge(_) | RawError::Timestamp(_)) => {
                Self::Passing(error.to_string())
            }
        }
    }
}
