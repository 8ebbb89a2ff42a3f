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
//! waits on the broker is not waited for. Topics with transactions can't be read: rskafka doesn't decode them.

use std::time::Duration;

use tokio::sync::mpsc;
use tokio::time::{sleep, timeout};

use self::source::{Source, Trouble};
use super::Fetched;
use super::link::Link;

mod scan;
mod source;
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
    /// The wait before the first retry; each further one doubles it. Default 20 ms.
    pub backoff_initial: Duration,
    /// The longest wait between two attempts. Default 1 s.
    pub backoff_max: Duration,
}

impl Default for FetchConfig {
    fn default() -> Self {
        Self {
            max_wait: Duration::from_millis(500),
            min_bytes: 1,
            max_bytes: 1024 * 1024,
            request_timeout: Duration::from_secs(5),
            on_out_of_range: OutOfRange::Fail,
            backoff_initial: Duration::from_millis(20),
            backoff_max: Duration::from_secs(1),
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

/// What a fetch loop puts into its channel.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum FetchItem {
    /// Messages in the order of the log, never none, directly behind those before.
    Batch(Vec<Fetched>),
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
    link: Link,
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
        Self { link: Link::new(bootstrap, topic, partition), from, config }
    }

    /// Fetches until the channel's receiver is gone. Each attempt is bounded in time, attempts are not: a broker that
    /// is away is waited for.
    ///
    /// # Errors
    /// [`FetchError::OutOfRange`] with [`OutOfRange::Fail`]; nothing else ends it.
    pub async fn run(mut self, out: mpsc::Sender<FetchItem>) -> Result<(), FetchError> {
        let partition = self.link.partition();
        let from = match self.from {
            StartAt::Offset(offset) => offset,
            StartAt::Earliest => match earliest(&mut self.link, partition, &self.config, &out).await {
                Some(start) => start,
                None => return Ok(()),
            },
        };
        follow(&mut self.link, partition, from, &self.config, &out).await
    }
}

/// The log's first offset, asked for until a broker says it; `None` once nobody waits for it.
async fn earliest<S: Source>(
    source: &mut S,
    partition: i32,
    config: &FetchConfig,
    out: &mpsc::Sender<FetchItem>,
) -> Option<i64> {
    let mut backoff = config.backoff_initial;
    loop {
        let asked = tokio::select! {
            asked = timeout(config.request_timeout, source.range()) => asked,
            () = out.closed() => return None,
        };
        let error = match asked {
            Ok(Ok((start, _end))) => return Some(start),
            Ok(Err(error)) => error,
            Err(_) => format!("no answer within {:?}", config.request_timeout),
        };
        tracing::warn!(partition, error, "the log's start is asked for again");
        out.send(FetchItem::Retried { partition, error }).await.ok()?;
        sleep(backoff).await;
        backoff = (backoff * 2).min(config.backoff_max);
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
    let mut link = Link::new(bootstrap, topic, partition);
    read_from(&mut link, partition, from, to, within).await
}

async fn read_from<S: Source>(
    source: &mut S,
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
                Some(FetchItem::Batch(batch)) => {
                    reached = batch.last().map_or(reached, |last| last.origin.offset + 1);
                    read.extend(batch.into_iter().filter(|fetched| fetched.origin.offset < to));
                }
                Some(FetchItem::Retried { error, .. }) => cause = error,
                Some(FetchItem::Gone { .. }) | None => break, // not with `OutOfRange::Fail`, and not while `follow` runs
            }
        }
    };
    let config = FetchConfig::default();
    let outcome = timeout(within, async {
        tokio::select! {
            ended = follow(source, partition, from, &config, &sender) => ended,
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

/// The loop itself, over any source.
async fn follow<S: Source>(
    source: &mut S,
    partition: i32,
    from: i64,
    config: &FetchConfig,
    out: &mpsc::Sender<FetchItem>,
) -> Result<(), FetchError> {
    let mut offset = from;
    let mut backoff = config.backoff_initial;
    let mut pause = None;
    let fetching = async {
        loop {
            let item = match step(source, offset, config).await {
                Ok(records) => {
                    backoff = config.backoff_initial;
                    let Some(last) = records.last() else { continue };
                    offset = last.origin.offset + 1;
                    FetchItem::Batch(records)
                }
                Err(Stop::OutOfRange { start, end }) => match config.on_out_of_range {
                    OutOfRange::Fail => {
                        return Err(FetchError::OutOfRange { partition, offset, start, end });
                    }
                    OutOfRange::Earliest => {
                        let (from, to) = if offset < start { (offset, start) } else { (end, offset) };
                        offset = start;
                        FetchItem::Gone { partition, from, to, resume_at: start }
                    }
                },
                Err(Stop::Passing(error)) => {
                    tracing::warn!(partition, offset, error, "a fetch goes again");
                    pause = Some(backoff);
                    backoff = (backoff * 2).min(config.backoff_max);
                    FetchItem::Retried { partition, error }
                }
            };
            if out.send(item).await.is_err() {
                return Ok(());
            }
            if let Some(pause) = pause.take() {
                sleep(pause).await;
            }
        }
    };
    tokio::select! {
        ended = fetching => ended,
        () = out.closed() => Ok(()), // also in the middle of a long poll
    }
}

/// Why a fetch brought nothing, the log's range known.
enum Stop {
    OutOfRange { start: i64, end: i64 },
    Passing(String),
}

/// One bounded attempt to fetch, and to learn the range if the offset is outside.
async fn step<S: Source>(source: &mut S, offset: i64, config: &FetchConfig) -> Result<Vec<Fetched>, Stop> {
    let no_answer = |limit: Duration| Stop::Passing(format!("no answer within {limit:?}"));
    let limit = config.max_wait + config.request_timeout;
    match timeout(limit, source.fetch(offset, config)).await.map_err(|_| no_answer(limit))? {
        Ok(records) => Ok(records),
        Err(Trouble::Passing(error)) => Err(Stop::Passing(error)),
        Err(Trouble::OutOfRange) => {
            let limit = config.request_timeout;
            let (start, end) =
                timeout(limit, source.range()).await.map_err(|_| no_answer(limit))?.map_err(Stop::Passing)?;
            if (start..=end).contains(&offset) {
                // A new leader that had not caught up yet; going back to the start for that would be wrong.
                return Err(Stop::Passing(format!("offset {offset} was out of range and is no more")));
            }
            Err(Stop::OutOfRange { start, end })
        }
    }
}
