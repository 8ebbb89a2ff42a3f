//! The loop that follows a partition, over any reader.

use std::time::Duration;

use tokio::sync::mpsc;
use tokio::time::Instant;

use super::attempt::{Failures, Stop, range, step};
use super::reader::PartitionReader;
use super::{FetchConfig, FetchError, FetchItem, OutOfRange};

/// The log's first offset, asked for until a broker says it; `None` once nobody waits for it.
pub(super) async fn earliest<R: PartitionReader>(
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

/// Fetches from an offset on, until nobody takes what comes or the partition can't be read on.
pub(super) async fn follow<R: PartitionReader>(
    reader: &mut R,
    partition: i32,
    from: i64,
    config: &FetchConfig,
    out: &mpsc::Sender<FetchItem>,
) -> Result<(), FetchError> {
    let mut offset = from;
    let mut transaction = TransactionWatch::default();
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
                        arrived: std::time::Instant::now(),
                    };
                    if chunk.next_offset > offset {
                        offset = chunk.next_offset;
                        news.push(batch);
                    }
                    news.extend(transaction.look(partition, chunk.open_transaction));
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

/// Which open transaction holds the loop up, and since when. One that ends soon is not told of: a producer that is at work always has one.
#[derive(Default)]
struct TransactionWatch {
    open: Option<(i64, Instant)>,
    /// When it was warned of last.
    warned: Option<Instant>,
}

impl TransactionWatch {
    /// For how long one may be open untold.
    const UNTOLD: Duration = Duration::from_secs(3);
    /// Between two warnings.
    const AGAIN: Duration = Duration::from_secs(10);

    /// What to tell, the open transaction that a fetch met beginning at `since_offset`.
    fn look(&mut self, partition: i32, since_offset: Option<i64>) -> Option<FetchItem> {
        if self.open.map(|(offset, _)| offset) != since_offset {
            self.open = since_offset.map(|offset| (offset, Instant::now()));
            let was_told = self.warned.take().is_some();
            return was_told.then_some(FetchItem::OpenTransaction { partition, since_offset: None });
        }
        let (since_offset, since) = self.open?;
        if since.elapsed() < Self::UNTOLD || self.warned.is_some_and(|warned| warned.elapsed() < Self::AGAIN)
        {
            return None;
        }
        tracing::warn!(partition, since_offset, "an open transaction hides what lies behind it");
        let is_first = self.warned.replace(Instant::now()).is_none();
        is_first.then_some(FetchItem::OpenTransaction { partition, since_offset: Some(since_offset) })
    }
}
