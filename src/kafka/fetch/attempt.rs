//! One bounded attempt to fetch, and what follows one that failed.

use std::time::Duration;

use tokio::time::{Instant, timeout};

use super::reader::{Chunk, FetchAttemptError, PartitionReader};
use super::{FetchConfig, FetchError, FetchItem};
use crate::failure::Backoff;

/// How long a partition may be unknown to the brokers: one that was created a moment ago has not reached all of them.
const UNKNOWN_MAX: Duration = Duration::from_secs(30);

/// Failed attempts since the last one that succeeded.
pub(super) struct Failures {
    backoff: Backoff,
    has_failed: bool,
    /// When the partition was first said to be unknown, if that is what was said last.
    unknown_since: Option<Instant>,
}

impl Failures {
    pub(super) fn none() -> Self {
        Self { backoff: Backoff::up_to(Backoff::LONG), has_failed: false, unknown_since: None }
    }

    /// An attempt succeeded; whether any had failed.
    pub(super) fn end(&mut self) -> bool {
        std::mem::replace(self, Self::none()).has_failed
    }

    /// What to say of a failure after which another attempt follows.
    ///
    /// # Errors
    /// A failure after which none does.
    pub(super) fn retry(&mut self, stop: Stop, partition: i32, offset: i64) -> Result<FetchItem, FetchError> {
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

    pub(super) async fn wait(&mut self) {
        self.backoff.wait().await;
    }
}

/// Why a fetch brought nothing, the log's range known.
pub(super) enum Stop {
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
pub(super) async fn step<R: PartitionReader>(
    reader: &mut R,
    offset: i64,
    config: &FetchConfig,
) -> Result<Chunk, Stop> {
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

pub(super) async fn range<R: PartitionReader>(
    reader: &mut R,
    config: &FetchConfig,
) -> Result<(i64, i64), Stop> {
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
