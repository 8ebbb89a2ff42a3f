//! What a topic takes and gives without a pace: records produced as fast as the producer takes them, and fetched as fast as they come.
//!
//! It is in this crate, and boxed, so that the code of each record is compiled here, for speed.

use std::collections::BTreeMap;
use std::ops::AddAssign;
use std::pin::Pin;
use std::time::{Duration, Instant};

use payment_delivery::kafka::Message;
use payment_delivery::kafka::fetch::{FetchConfig, FetchError, FetchItem, Fetcher, StartAt};
use payment_delivery::kafka::producer::{ProduceError, Producer, ProducerConfig, ProducerError};
use tokio::sync::mpsc;
use tokio::task::JoinSet;

/// Most records of one call: 700 MB of events of the ordinary size, so that a fast broker's disk or memory is not filled up.
const RECORDS_MAX: u64 = 2_000_000;

/// Fetched batches that wait to be counted.
const WAITING_MAX: usize = 4;

/// Without its type, so that it is compiled in this crate.
type Work<'a, T, E> = Pin<Box<dyn Future<Output = Result<T, E>> + Send + 'a>>;

/// Records in a time.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Throughput {
    /// Records.
    pub records: u64,
    /// The time that they took.
    pub took: Duration,
}

impl Throughput {
    /// Records a second.
    pub fn per_s(self) -> f64 {
        self.records as f64 / self.took.max(Duration::from_nanos(1)).as_secs_f64()
    }
}

impl AddAssign for Throughput {
    fn add_assign(&mut self, other: Self) {
        self.records += other.records;
        self.took += other.took;
    }
}

/// Our keyed producer, with acks = all.
pub struct UnpacedProducer(Producer<()>);

impl UnpacedProducer {
    /// Connects to all partitions of `topic`.
    ///
    /// # Errors
    /// As [`Producer::connect`].
    pub fn connect(
        bootstrap: Vec<String>,
        topic: String,
        partitions: i32,
    ) -> Work<'static, Self, ProducerError> {
        Box::pin(async move {
            let producer = Producer::connect(&bootstrap, &topic, partitions, ProducerConfig::default());
            Ok(Self(producer.await?))
        })
    }

    /// Sends copies of `messages` in turn for `length`, and waits until the last is acknowledged.
    ///
    /// # Errors
    /// What a partition's producer failed of.
    pub fn send_for<'a>(
        &'a self,
        messages: &'a [Message],
        length: Duration,
    ) -> Work<'a, Throughput, ProduceError> {
        Box::pin(self.send(messages, length, false))
    }

    /// The same, each acknowledged before the next is sent.
    ///
    /// # Errors
    /// As [`Self::send_for`].
    pub fn send_singly_for<'a>(
        &'a self,
        messages: &'a [Message],
        length: Duration,
    ) -> Work<'a, Throughput, ProduceError> {
        Box::pin(self.send(messages, length, true))
    }

    async fn send(
        &self,
        messages: &[Message],
        length: Duration,
        singly: bool,
    ) -> Result<Throughput, ProduceError> {
        let begun = Instant::now();
        let mut records = 0;
        for message in messages.iter().cycle() {
            if begun.elapsed() >= length || records == RECORDS_MAX {
                break;
            }
            self.0.send(message.clone(), ()).await?;
            if singly {
                // What is flushed goes at once, and is not kept for a batch.
                self.0.flush().await?;
            }
            records += 1;
        }
        self.0.flush().await?;
        Ok(Throughput { records, took: begun.elapsed() })
    }

    /// Ends its connections.
    ///
    /// # Errors
    /// As [`Self::send_for`].
    pub fn close(self) -> Work<'static, (), ProduceError> {
        Box::pin(self.0.close())
    }
}

/// Reads partitions of `topic` from their start, each up to the offset given with it, by a fetch loop each, side by side.
///
/// # Errors
/// As a fetch loop ends, and [`FetchError::TimedOut`] where the ends were not reached `within` the time.
pub fn fetch(
    bootstrap: Vec<String>,
    topic: String,
    ends: Vec<(i32, i64)>,
    within: Duration,
) -> Work<'static, Throughput, FetchError> {
    Box::pin(async move {
        let begun = Instant::now();
        let deadline = tokio::time::Instant::now() + within;
        let (out, mut items) = mpsc::channel(WAITING_MAX);
        // Dropped, it ends the loops, each of which would wait for more.
        let mut loops = JoinSet::new();
        // Where each partition has come to, and where it ends.
        let mut left: BTreeMap<i32, (i64, i64)> = BTreeMap::new();
        for (partition, end) in ends.into_iter().filter(|(_, end)| *end > 0) {
            let config = FetchConfig::default();
            let fetcher = Fetcher::new(&bootstrap, &topic, partition, StartAt::Offset(0), config);
            loops.spawn(fetcher.run(out.clone()));
            left.insert(partition, (0, end));
        }
        drop(out);
        let (mut batches, mut cause) = (Vec::new(), "no more records came".to_owned());
        while let Some((&waited_for, &(reached, to))) = left.first_key_value() {
            let late = |cause| {
                let (partition, waited) = (waited_for, within);
                FetchError::TimedOut { partition, reached, to, waited, cause }
            };
            match tokio::time::timeout_at(deadline, items.recv()).await {
                Ok(Some(FetchItem::Batch { partition, records, next_offset, arrived })) => {
                    batches.push(ArrivedBatch { partition, records: records.len() as u64, arrived });
                    match left.get_mut(&partition) {
                        Some((_, end)) if next_offset >= *end => {
                            left.remove(&partition);
                        }
                        Some((reached, _)) => *reached = next_offset,
                        None => {}
                    }
                }
                Ok(Some(FetchItem::Failed(error))) => return Err(error),
                Ok(Some(FetchItem::Retried { error, .. })) => cause = error,
                Ok(Some(_)) => {}
                Ok(None) | Err(_) => return Err(late(cause)),
            }
        }
        Ok(throughput(begun, batches))
    })
}

/// A fetched batch.
struct ArrivedBatch {
    partition: i32,
    records: u64,
    arrived: Instant,
}

/// Connecting is not counted. The clock starts when every partition has given its first batch, and counts what arrives after that.
/// Where nothing does, all records count, and the time from the start.
fn throughput(begun: Instant, mut batches: Vec<ArrivedBatch>) -> Throughput {
    batches.sort_by_key(|batch| batch.arrived);
    let mut first: BTreeMap<i32, Instant> = BTreeMap::new();
    for batch in &batches {
        first.entry(batch.partition).or_insert(batch.arrived);
    }
    let connected = first.into_values().max().unwrap_or(begun);
    let after = batches.iter().filter(|batch| batch.arrived > connected);
    let records: u64 = after.map(|batch| batch.records).sum();
    let ended = batches.last().map_or(begun, |batch| batch.arrived);
    if records > 0 {
        Throughput { records, took: ended.duration_since(connected) }
    } else {
        let records = batches.iter().map(|batch| batch.records).sum();
        Throughput { records, took: ended.saturating_duration_since(begun) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(batches: &[(i32, u64, u64)], records: u64, took_ms: u64) {
        let begun = Instant::now();
        let batch = |&(partition, records, at_ms): &(i32, u64, u64)| ArrivedBatch {
            partition,
            records,
            arrived: begun + Duration::from_millis(at_ms),
        };
        let found = throughput(begun, batches.iter().map(batch).collect());
        assert_eq!(found, Throughput { records, took: Duration::from_millis(took_ms) });
    }

    #[test]
    fn connecting_is_not_counted_where_batches_follow() {
        check(&[(0, 10, 20), (0, 30, 30), (0, 40, 50)], 70, 30);
        check(&[(0, 10, 20), (0, 30, 30), (1, 5, 40), (0, 40, 50), (1, 7, 60)], 47, 20);
        check(&[(0, 10, 20), (1, 30, 30)], 40, 30);
        check(&[], 0, 0);
    }

    #[test]
    fn throughputs_add_up() {
        let mut all = Throughput { records: 10, took: Duration::from_millis(500) };
        all += Throughput { records: 50, took: Duration::from_millis(1_500) };
        assert!((all.per_s() - 30.0).abs() < 1e-9);
    }
}
