//! The fetch loops of one assignment, and the one processing loop that they feed in turn.

use std::collections::{BTreeMap, VecDeque};
use std::task::Poll;
use std::time::Instant;

use tokio::sync::{mpsc, watch};
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

use super::WorkerConfig;
use super::progress::Progress;
use crate::kafka::Fetched;
use crate::kafka::fetch::{FetchError, FetchItem, Fetcher, StartAt};
use crate::mode::record::RecordMode;
use crate::probe::{Activity, Probe};

/// Fetched batches that wait for each partition, beside the one in hand.
const BATCHES_AHEAD: usize = 2;

/// The fetch loops. Dropping it closes their connections.
pub(super) struct Feeds {
    feeds: Vec<Feed>,
    /// The feed whose turn it is.
    turn: usize,
    loops: JoinSet<Result<(), FetchError>>,
}

struct Feed {
    partition: i32,
    items: mpsc::Receiver<FetchItem>,
    batch: VecDeque<Fetched>,
}

impl Feeds {
    /// Starts a fetch loop a partition; they begin when the gate opens.
    pub(super) fn start(
        config: &WorkerConfig,
        start: &BTreeMap<i32, Option<i64>>,
        gate: &watch::Receiver<bool>,
    ) -> Self {
        let mut loops = JoinSet::new();
        let mut feeds = Vec::with_capacity(start.len());
        for (&partition, &committed) in start {
            let at = committed.map_or(StartAt::Earliest, StartAt::Offset);
            let fetcher = Fetcher::new(&config.bootstrap, &config.topic, partition, at, config.fetch.clone());
            let (sender, items) = mpsc::channel(BATCHES_AHEAD);
            let mut gate = gate.clone();
            loops.spawn(async move {
                // A gate whose owner is gone never opens; the loop then ends with the consumer.
                if gate.wait_for(|open| *open).await.is_err() {
                    std::future::pending::<()>().await;
                }
                fetcher.run(sender).await
            });
            feeds.push(Feed { partition, items, batch: VecDeque::new() });
        }
        Self { feeds, turn: 0, loops }
    }

    /// The processing loop: one message from each partition in turn, until `wind_down`; then it finishes the message in
    /// hand. What was fetched and not begun is dropped: it is not committed, so it comes again.
    ///
    /// # Errors
    /// [`FetchError`] of a partition that cannot be read on.
    pub(super) async fn work(
        &mut self,
        mode: &mut RecordMode,
        progress: &Progress,
        consumer: &str,
        probe: &dyn Probe,
        wind_down: &CancellationToken,
    ) -> Result<(), FetchError> {
        while !wind_down.is_cancelled() {
            let waiting = Instant::now();
            let next = tokio::select! {
                biased;
                () = wind_down.cancelled() => return Ok(()),
                next = self.next(consumer, probe) => next?,
            };
            probe.spent(consumer, Activity::Idle, waiting.elapsed());
            mode.handle(&next).await;
            progress.advance(next.origin.partition, next.origin.offset + 1);
        }
        Ok(())
    }

    /// The next message of the next partition that has one. Cancel-safe.
    async fn next(&mut self, consumer: &str, probe: &dyn Probe) -> Result<Fetched, FetchError> {
        loop {
            if let Some(fetched) = self.at_hand(consumer, probe) {
                return Ok(fetched);
            }
            tokio::select! {
                biased;
                (index, item) = next_item(&mut self.feeds) => self.feeds[index].take(item, consumer, probe),
                Some(ended) = self.loops.join_next() => {
                    // A loop ends by itself only where a partition cannot be read on; a panic is passed on.
                    match ended {
                        Ok(ended) => ended?,
                        Err(error) if error.is_panic() => std::panic::resume_unwind(error.into_panic()),
                        Err(_) => {}
                    }
                }
            }
        }
    }

    /// A message that is at hand, the partitions in turn; refills from the channels without waiting.
    fn at_hand(&mut self, consumer: &str, probe: &dyn Probe) -> Option<Fetched> {
        for step in 0..self.feeds.len() {
            let index = (self.turn + step) % self.feeds.len();
            let feed = &mut self.feeds[index];
            if feed.batch.is_empty()
                && let Ok(item) = feed.items.try_recv()
            {
                feed.take(item, consumer, probe);
            }
            if let Some(fetched) = feed.batch.pop_front() {
                debug_assert_eq!(fetched.origin.partition, feed.partition);
                self.turn = (index + 1) % self.feeds.len();
                return Some(fetched);
            }
        }
        None
    }
}

impl Feed {
    fn take(&mut self, item: FetchItem, consumer: &str, probe: &dyn Probe) {
        match item {
            FetchItem::Batch(batch) => self.batch.extend(batch),
            FetchItem::Gone { partition, from, to, .. } => probe.skipped(consumer, partition, from, to),
            FetchItem::Retried { error, .. } => probe.retried(consumer, "broker", &error),
        }
    }
}

/// The first item that any channel has. Never resolves without feeds: a consumer without partitions waits.
async fn next_item(feeds: &mut [Feed]) -> (usize, FetchItem) {
    std::future::poll_fn(|context| {
        for (index, feed) in feeds.iter_mut().enumerate() {
            if let Poll::Ready(Some(item)) = feed.items.poll_recv(context) {
                return Poll::Ready((index, item));
            }
        }
        Poll::Pending
    })
    .await
}
