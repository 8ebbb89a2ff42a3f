//! The fetch loops of a consumer's partitions, and the one processing loop that they feed in turn.

use std::collections::{BTreeMap, VecDeque};
use std::task::Poll;
use std::time::{Duration, Instant};

use tokio::sync::mpsc::error::TryRecvError;
use tokio::sync::{mpsc, watch};
use tokio_util::sync::CancellationToken;
use tokio_util::task::AbortOnDropHandle;

use super::mode::Processor;
use super::tracker::Tracker;
use super::{ConsumerConfig, ConsumerError};
use crate::failure::Component;
use crate::kafka::Fetched;
use crate::kafka::fetch::{FetchItem, Fetcher, StartAt};
use crate::probe::{Activity, Probe, Worked};

/// Fetched batches that wait for each partition, beside the one in hand.
const BATCHES_AHEAD: usize = 2;

/// How long what is in flight may take once the consumer ends by an error.
const LAST_WORK: Duration = Duration::from_secs(1);

/// The fetch loops. Dropping it closes their connections.
#[derive(Default)]
pub(super) struct FetchLoops {
    partitions: Vec<FetchedPartition>,
    /// The partition whose turn it is.
    turn: usize,
}

struct FetchedPartition {
    topic: String,
    partition: i32,
    items: mpsc::Receiver<FetchItem>,
    records: VecDeque<Fetched>,
    /// When the batch that the records are of came.
    arrived: Instant,
    /// The offset behind the batch that the records are of, where it is not the last record's next: markers lie between.
    behind: Option<i64>,
    _task: AbortOnDropHandle<()>,
}

impl FetchLoops {
    /// Starts a fetch loop at each committed offset, at the log's start where there is none; they begin when `fetch_start` says so.
    pub(super) fn add(
        &mut self,
        config: &ConsumerConfig,
        committed: &BTreeMap<i32, Option<i64>>,
        fetch_start: &watch::Receiver<bool>,
        probe: &dyn Probe,
    ) {
        for (&partition, committed) in committed {
            let at = committed.map_or(StartAt::Earliest, StartAt::Offset);
            probe.fetch_started(&config.name, partition);
            let fetcher = Fetcher::new(&config.bootstrap, &config.topic, partition, at, config.fetch.clone());
            let (sender, items) = mpsc::channel(BATCHES_AHEAD);
            let mut fetch_start = fetch_start.clone();
            let task = tokio::spawn(async move {
                // One whose owner is gone never begins; the loop then ends with the consumer.
                if fetch_start.wait_for(|begun| *begun).await.is_err() {
                    std::future::pending::<()>().await;
                }
                fetcher.run(sender).await;
            });
            self.partitions.push(FetchedPartition {
                topic: config.topic.clone(),
                partition,
                items,
                records: VecDeque::new(),
                arrived: Instant::now(),
                behind: None,
                _task: AbortOnDropHandle::new(task),
            });
        }
    }

    /// Ends the loops of all partitions but these, and drops what they fetched.
    pub(super) fn retain(&mut self, partitions: &[i32]) {
        self.partitions.retain(|fetched| partitions.contains(&fetched.partition));
        self.turn = 0;
    }

    /// Whether there is a loop for this partition.
    pub(super) fn has(&self, partition: i32) -> bool {
        self.partitions.iter().any(|fetched| fetched.partition == partition)
    }

    /// The processing loop: one message from each partition in turn, until `wind_down`; then it ends with what is in flight. What was
    /// fetched and not begun stays at hand.
    ///
    /// # Errors
    /// [`ConsumerError`] of a partition that can't be read on, or of a set-up that no attempt gets past.
    pub(super) async fn work(
        &mut self,
        processor: &mut impl Processor,
        tracker: &Tracker,
        consumer: &str,
        probe: &dyn Probe,
        wind_down: &CancellationToken,
    ) -> Result<(), ConsumerError> {
        let worked = async {
            while !wind_down.is_cancelled() {
                if let Some((index, record)) = self.at_hand(tracker, consumer, probe)? {
                    let (arrived, begun) = (self.partitions[index].arrived, Instant::now());
                    let origin = record.origin;
                    processor.take(record).await?;
                    let (waited, took) = (begun.saturating_duration_since(arrived), begun.elapsed());
                    probe.worked(Worked { consumer, origin, waited, took });
                    self.partitions[index].step_over(tracker);
                    continue;
                }
                let (waiting, is_busy, idles) = (Instant::now(), processor.is_busy(), processor.idles());
                tokio::select! {
                    biased;
                    () = wind_down.cancelled() => {}
                    finished = processor.finish(), if is_busy => finished?,
                    (index, item) = self.next_item() => {
                        self.partitions[index].take(item, tracker, consumer, probe)?;
                    }
                }
                if idles {
                    probe.spent(consumer, Activity::Idle, waiting.elapsed());
                }
            }
            Ok(())
        };
        let worked = worked.await;
        if worked.is_ok() {
            return processor.finish().await;
        }
        // What lies before the message or the batch at fault is brought to its end, unless that takes long: it would come again.
        let _ = tokio::time::timeout(LAST_WORK, processor.finish()).await;
        worked
    }

    /// A message that is at hand, the partitions in turn; refills from the channels without waiting.
    fn at_hand(
        &mut self,
        tracker: &Tracker,
        consumer: &str,
        probe: &dyn Probe,
    ) -> Result<Option<(usize, Fetched)>, ConsumerError> {
        for step in 0..self.partitions.len() {
            let index = (self.turn + step) % self.partitions.len();
            let fetched = &mut self.partitions[index];
            if fetched.records.is_empty() {
                match fetched.items.try_recv() {
                    Ok(item) => fetched.take(Some(item), tracker, consumer, probe)?,
                    Err(TryRecvError::Empty) => {}
                    Err(TryRecvError::Disconnected) => fetched.take(None, tracker, consumer, probe)?,
                }
            }
            if let Some(record) = fetched.records.pop_front() {
                debug_assert_eq!(record.origin.partition, fetched.partition);
                self.turn = (index + 1) % self.partitions.len();
                return Ok(Some((index, record)));
            }
        }
        Ok(None)
    }

    /// The next item of any loop, and whose. Never resolves without partitions: a consumer that has none waits. Cancel-safe.
    async fn next_item(&mut self) -> (usize, Option<FetchItem>) {
        std::future::poll_fn(|context| {
            for (index, fetched) in self.partitions.iter_mut().enumerate() {
                if let Poll::Ready(item) = fetched.items.poll_recv(context) {
                    return Poll::Ready((index, item));
                }
            }
            Poll::Pending
        })
        .await
    }
}

impl FetchedPartition {
    /// Takes an item; `None` if the loop ended without a word, by a panic.
    fn take(
        &mut self,
        item: Option<FetchItem>,
        tracker: &Tracker,
        consumer: &str,
        probe: &dyn Probe,
    ) -> Result<(), ConsumerError> {
        let Some(item) = item else {
            return Err(ConsumerError::Panicked {
                what: format!("the fetch loop of partition {}", self.partition),
            });
        };
        match item {
            FetchItem::Batch { records, next_offset, arrived, .. } => {
                self.arrived = arrived;
                let is_next = records.last().is_some_and(|last| last.origin.offset + 1 == next_offset);
                self.behind = (!is_next).then_some(next_offset);
                self.records.extend(records);
                if self.records.is_empty() {
                    self.step_over(tracker);
                }
            }
            FetchItem::Gone { partition, from, to, .. } => probe.skipped(consumer, partition, from, to),
            FetchItem::Retried { error, .. } => {
                probe.retried(consumer, Component::Broker, &error);
            }
            FetchItem::Recovered { .. } => probe.recovered(consumer, Component::Broker),
            FetchItem::ReadsRaw { partition, why } => probe.reads_raw(consumer, partition, &why),
            FetchItem::OpenTransaction { partition, since_offset } => {
                probe.open_transaction(consumer, partition, since_offset);
            }
            FetchItem::Failed(source) => {
                let (consumer, topic) = (consumer.to_owned(), self.topic.clone());
                return Err(ConsumerError::Fetch { consumer, topic, source });
            }
        }
        Ok(())
    }

    /// Once all records of the batch were begun, what lies behind them needs no work.
    fn step_over(&mut self, tracker: &Tracker) {
        if self.records.is_empty()
            && let Some(next) = self.behind.take()
        {
            tracker.step_over(self.partition, next);
        }
    }
}
