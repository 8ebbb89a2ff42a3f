//! Looking through a part of a partition, as far as bounds in records, bytes and time allow.

use std::convert::Infallible;
use std::future::pending;
use std::ops::ControlFlow;
use std::time::Duration;

use tokio::sync::mpsc;
use tokio::time::{Instant, timeout_at};

use super::{FetchConfig, FetchError, FetchItem, Fetcher, OutOfRange, ReaderChoice, StartAt};
use crate::kafka::Fetched;

/// How much one scan may look at; it ends at whichever is reached first.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ScanBounds {
    /// Records.
    pub records: usize,
    /// Bytes of keys and values.
    pub bytes: usize,
    /// Time.
    pub within: Duration,
}

/// Shows the messages of `partition` from `from` up to, not including, `to`, one by one to `each`, until it breaks or a
/// bound is reached. Returns the offset of the first that was not shown. What retention has deleted is passed over.
///
/// # Errors
/// [`FetchError::TimedOut`] if not even one message came in time.
pub async fn scan(
    bootstrap: &[String],
    topic: &str,
    partition: i32,
    from: i64,
    to: i64,
    bounds: ScanBounds,
    mut each: impl FnMut(Fetched) -> ControlFlow<()> + Send,
) -> Result<i64, FetchError> {
    let deadline = Instant::now() + bounds.within;
    let config = FetchConfig {
        on_out_of_range: OutOfRange::Earliest,
        reader: ReaderChoice::Raw,
        ..FetchConfig::default()
    };
    let fetcher = Fetcher::new(bootstrap, topic, partition, StartAt::Offset(from), config);
    let (sender, mut items) = mpsc::channel(2);
    let (mut reached, mut records, mut bytes) = (from, 0, 0);
    let mut cause = "no message came".to_owned();
    let looking = async {
        while reached < to {
            match items.recv().await {
                Some(FetchItem::Batch { records: batch, next_offset, .. }) => {
                    for fetched in batch {
                        let offset = fetched.origin.offset;
                        if offset >= to || records >= bounds.records || bytes >= bounds.bytes {
                            reached = offset.min(to);
                            return Ok(());
                        }
                        records += 1;
                        let length = |part: &Option<Vec<u8>>| part.as_ref().map_or(0, Vec::len);
                        bytes += length(&fetched.message.key) + length(&fetched.message.value);
                        reached = offset + 1;
                        if each(fetched).is_break() {
                            return Ok(());
                        }
                    }
                    reached = next_offset;
                }
                Some(FetchItem::Gone { resume_at, .. }) if resume_at >= reached => reached = resume_at,
                // The log was cut behind what is looked for, or the loop has ended: there is no more of it.
                Some(FetchItem::Gone { .. }) | None => reached = to,
                Some(FetchItem::Retried { error, .. }) => cause = error,
                // What lies behind the last stable offset can't be shown yet.
                Some(FetchItem::OpenTransaction { since_offset: Some(_), .. }) => return Ok(()),
                Some(
                    FetchItem::OpenTransaction { .. }
                    | FetchItem::ReadsRaw { .. }
                    | FetchItem::Recovered { .. },
                ) => {}
                Some(FetchItem::Failed(error)) => return Err(error),
            }
        }
        Ok(())
    };
    let looked = timeout_at(deadline, async {
        // The loop's last word is in the channel when it ends.
        let fetching = async {
            fetcher.run(sender).await;
            pending::<Infallible>().await
        };
        tokio::select! {
            looked = looking => looked,
            never = fetching => match never {},
        }
    });
    match looked.await {
        Ok(looked) => looked.map(|()| reached.min(to)),
        Err(_) if reached > from => Ok(reached.min(to)),
        Err(_) => Err(FetchError::TimedOut { partition, reached, to, waited: bounds.within, cause }),
    }
}
