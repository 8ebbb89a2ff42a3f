//! Reading a part of a partition that is in the log already: all of it, or as far as bounds allow. By the raw reader, since it is asked
//! what lies there, whoever wrote it.

use std::collections::HashMap;
use std::ops::{ControlFlow, Range};
use std::pin::Pin;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use tokio::time::{Instant, timeout};

use super::attempt::{Failures, Stop, step};
use super::reader::{LeaderReader, PartitionReader};
use super::{FetchConfig, FetchError, FetchItem, ReaderChoice};
use crate::kafka::Fetched;

/// Connections that are kept for each partition.
const IDLE_MAX: usize = 2;
/// And for how long: a broker closes them after ten minutes, by default.
const IDLE_FOR: Duration = Duration::from_secs(60);

/// Without its type: the reader's futures are large, and callers nest this one deep in theirs.
type Reading<'a, T> = Pin<Box<dyn Future<Output = Result<T, FetchError>> + Send + 'a>>;

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
    let mut read = Vec::new();
    read_each(bootstrap, topic, partition, from..to, within, |fetched| read.push(fetched)).await?;
    Ok(read)
}

/// Shows all messages of `partition` within a range of offsets one by one to `each`, so that they need not be held.
///
/// # Errors
/// As [`read_all`].
pub async fn read_each(
    bootstrap: &[String],
    topic: &str,
    partition: i32,
    range: Range<i64>,
    within: Duration,
    each: impl FnMut(Fetched) + Send,
) -> Result<(), FetchError> {
    let mut reader = LeaderReader::new(bootstrap, topic, partition, ReaderChoice::Raw);
    let reading: Reading<'_, ()> = Box::pin(read_from(&mut reader, partition, range, within, each));
    reading.await
}

pub(super) async fn read_from<R: PartitionReader>(
    reader: &mut R,
    partition: i32,
    range: Range<i64>,
    within: Duration,
    mut each: impl FnMut(Fetched) + Send,
) -> Result<(), FetchError> {
    let to = range.end;
    let mut progress = Progress::begin(range.start);
    let each = |fetched| {
        each(fetched);
        ControlFlow::Continue(())
    };
    let reading = read_range(reader, partition, to, Missing::Refused, &mut progress, each);
    match timeout(within, reading).await {
        Ok(ended) => ended,
        Err(_) => Err(progress.timed_out(partition, to, within)),
    }
}

/// How much one look may take in; it ends at whichever is reached first.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RangeBounds {
    /// Records.
    pub records: usize,
    /// Bytes of keys and values.
    pub bytes: usize,
    /// Time.
    pub within: Duration,
}

/// Looks into a topic's partitions on request, over connections that are kept for the next one.
pub struct LogRanges {
    bootstrap: Vec<String>,
    topic: String,
    idle: Mutex<HashMap<i32, Vec<(LeaderReader, Instant)>>>,
}

impl LogRanges {
    /// Names the topic; nothing is connected yet.
    pub fn new(bootstrap: Vec<String>, topic: String) -> Self {
        Self { bootstrap, topic, idle: Mutex::default() }
    }

    /// Shows the messages of `partition` in `range` one by one to `each`, until it breaks, a bound is reached, an open transaction hides the
    /// rest, or the next can't be read. Returns the offset of the first that was not shown. What retention has deleted is passed over.
    ///
    /// # Errors
    /// Any [`FetchError`] but `OutOfRange`, if nothing at all could be passed.
    pub async fn look(
        &self,
        partition: i32,
        range: Range<i64>,
        bounds: RangeBounds,
        mut each: impl FnMut(Fetched) -> ControlFlow<()> + Send,
    ) -> Result<i64, FetchError> {
        let Range { start: from, end: to } = range;
        let (mut records, mut bytes) = (0, 0);
        let within_bounds = |fetched: Fetched| {
            records += 1;
            let length = |part: &Option<Vec<u8>>| part.as_ref().map_or(0, Vec::len);
            bytes += length(&fetched.message.key) + length(&fetched.message.value);
            let goes_on = each(fetched);
            if records >= bounds.records || bytes >= bounds.bytes { ControlFlow::Break(()) } else { goes_on }
        };
        let mut reader = self.reader(partition);
        let mut progress = Progress::begin(from);
        let looked = {
            let reading =
                read_range(&mut reader, partition, to, Missing::PassedOver, &mut progress, within_bounds);
            let reading: Reading<'_, ()> = Box::pin(reading);
            timeout(bounds.within, reading).await
        };
        let reached = progress.reached;
        match looked.unwrap_or_else(|_| Err(progress.timed_out(partition, to, bounds.within))) {
            Ok(()) => self.keep(partition, reader),
            Err(error) if reached == from => return Err(error),
            Err(_) => {}
        }
        Ok(reached)
    }

    fn reader(&self, partition: i32) -> LeaderReader {
        let mut idle = self.idle.lock().unwrap_or_else(PoisonError::into_inner);
        match idle.get_mut(&partition).and_then(Vec::pop) {
            Some((reader, since)) if since.elapsed() < IDLE_FOR => reader,
            _ => LeaderReader::new(&self.bootstrap, &self.topic, partition, ReaderChoice::Raw),
        }
    }

    fn keep(&self, partition: i32, reader: LeaderReader) {
        let mut idle = self.idle.lock().unwrap_or_else(PoisonError::into_inner);
        let idle = idle.entry(partition).or_default();
        idle.retain(|(_, since)| since.elapsed() < IDLE_FOR);
        if idle.len() < IDLE_MAX {
            idle.push((reader, Instant::now()));
        }
    }
}

/// How far a reading has come.
struct Progress {
    /// The first offset that was not shown.
    reached: i64,
    /// The last thing that stood in the way.
    cause: String,
}

impl Progress {
    fn begin(from: i64) -> Self {
        Self { reached: from, cause: "the log may end there".to_owned() }
    }

    fn timed_out(self, partition: i32, to: i64, waited: Duration) -> FetchError {
        FetchError::TimedOut { partition, reached: self.reached.min(to), to, waited, cause: self.cause }
    }
}

/// What of a range is not there to be read.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Missing {
    /// Offsets that are not in the log are an error, and an open transaction is waited for.
    Refused,
    /// Offsets that are not in the log are passed over, and an open transaction ends the reading.
    PassedOver,
}

/// Shows what lies from `progress.reached` up to, not including, `to`, one request at a time, until `each` breaks.
async fn read_range<R: PartitionReader>(
    reader: &mut R,
    partition: i32,
    to: i64,
    missing: Missing,
    progress: &mut Progress,
    mut each: impl FnMut(Fetched) -> ControlFlow<()> + Send,
) -> Result<(), FetchError> {
    let (config, mut failures) = (FetchConfig::default(), Failures::none());
    while progress.reached < to {
        let chunk = match step(reader, progress.reached, &config).await {
            Ok(chunk) => chunk,
            // The log was cut at its end: there is no more of what is looked for.
            Err(Stop::OutOfRange { start, .. }) if missing == Missing::PassedOver => {
                progress.reached = if start > progress.reached { start.min(to) } else { to };
                continue;
            }
            Err(stop) => {
                if let FetchItem::Retried { error, .. } = failures.retry(stop, partition, progress.reached)? {
                    progress.cause = error;
                }
                failures.wait().await;
                continue;
            }
        };
        failures.end();
        for fetched in chunk.records {
            let offset = fetched.origin.offset;
            if offset >= to {
                break;
            }
            progress.reached = offset + 1;
            if each(fetched).is_break() {
                return Ok(());
            }
        }
        progress.reached = chunk.next_offset.min(to);
        if let Some(offset) = chunk.open_transaction {
            progress.cause = format!("a transaction is open from offset {offset} on");
            if missing == Missing::PassedOver {
                return Ok(());
            }
        }
    }
    Ok(())
}
