//! Keyed, bounded producing that keeps the order: one request in flight per partition, over rskafka.
//!
//! # The promise
//! A batch ends **acked**, **refused** or **unknown** (a time-out, a connection that broke). An unknown one, and one that
//! was refused for a passing reason, is sent again, identical, before anything later of its partition. When its delivery
//! deadline passes, or the broker refuses it for good, the partition's producer **fails** with all it holds, and every
//! later `send` to it is refused with the cause: skipping the batch would let a later event of an order overtake.
//! So the log may hold A,B,A,B (a *resent* run), and first occurrences are always in the order of the `send` calls,
//! gap-free.
//!
//! # Late copies
//! A request that timed out may still be appended after a later attempt of the same batch, and even after later batches:
//! a frozen broker reads what its kernel took when it wakes, and rskafka finishes writing a cancelled request in a task
//! of its own, over a connection that nobody can close any more. Each attempt after a failed one uses a new
//! connection, and nothing later is sent before the batch is acknowledged. So a late copy is always a *second* occurrence
//! (A,B,A: order intact, state unharmed, since consumers ignore what the row holds), never a first one out of order.
//! Preventing the copy itself takes idempotent producing, which rskafka lacks.
//!
//! # What rskafka adds
//! acks is always "all", and the broker may hold a request for 30 s while replicas lag: a shorter `request_timeout` then
//! costs resent runs. An answer that carries a throttle time (client quotas) is taken for a failure by rskafka itself,
//! which waits and sends the batch again: with quotas set, expect resent runs too.
//!
//! rskafka leaves Nagle's algorithm on and writes a request above 8 KiB in two pieces, of which the second then waits for
//! the broker's delayed acknowledgement of the first, 40 ms: on one machine, 16 KiB batches carried 3,000 messages a
//! second, 7.5 KiB ones 55,000, 80 KiB ones 165,000 (beyond one loopback segment of 64 KiB the wait is cut short). So a
//! batch is either a single write or a large one, never in between; only a single message between 8 and 64 KiB
//! still pays.
//!
//! ```text
//! send ─▶ Lane (bounded buffer) ─▶ task: one Batch at a time ─▶ Transport (rskafka) ─▶ acked | failed
//! ```

use std::num::NonZero;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};

use tokio::task::JoinSet;

use super::{Message, partitioner};
use lane::{Held, Lane};
use transport::Transport;

mod config;
mod connect;
mod delivery;
mod error;
mod lane;
#[cfg(test)]
mod law;
#[cfg(test)]
mod simulated;
#[cfg(test)]
mod tests;
mod transport;
mod verdict;

pub use config::{ProducerConfig, wire_bytes};
pub use error::{Ack, Completion, ProduceError, ProducerError, SendError};

/// Produces to one topic. Shared by reference; dropping it ends all that it holds with [`ProduceError::Dropped`].
pub struct Producer<C: Completion> {
    lanes: Vec<Arc<Lane<C>>>,
    count: NonZero<u32>,
    /// Where the next message without a key goes.
    turn: AtomicU32,
    /// Aborted when the producer is dropped.
    tasks: JoinSet<()>,
}

impl<C: Completion> Producer<C> {
    /// Connects to all partitions of `topic`, one connection each, and checks that there are `partitions` of them.
    ///
    /// # Errors
    /// [`ProducerError`] when the configuration can't work, when brokers, topic or leaders don't answer within
    /// `connect_timeout`, or when the topic has another number of partitions.
    pub async fn connect(
        bootstrap: &[String],
        topic: &str,
        partitions: i32,
        config: ProducerConfig,
    ) -> Result<Self, ProducerError> {
        config.check()?;
        let links = connect::links(bootstrap, topic, Some(partitions), config.connect_timeout).await?;
        Self::over(links, &config)
    }

    /// As [`Self::connect`], to a topic with however many partitions it has, and to each partition only once a message
    /// goes there. For a producer whose keys need no particular partition.
    ///
    /// # Errors
    /// As [`Self::connect`], but for the number of partitions and their leaders.
    pub async fn connect_lazily(
        bootstrap: &[String],
        topic: &str,
        config: ProducerConfig,
    ) -> Result<Self, ProducerError> {
        config.check()?;
        let links = connect::links(bootstrap, topic, None, config.connect_timeout).await?;
        Self::over(links, &config)
    }

    /// A producer over one transport a partition, from 0.
    fn over<T: Transport>(transports: Vec<T>, config: &ProducerConfig) -> Result<Self, ProducerError> {
        config.check()?;
        let count = u32::try_from(transports.len()).ok().and_then(NonZero::new);
        let count = count.ok_or(ProducerError::Config { complaint: "a topic has at least one partition" })?;
        let mut tasks = JoinSet::new();
        let mut lanes = Vec::with_capacity(transports.len());
        for (partition, transport) in (0..).zip(transports) {
            let lane = Arc::new(Lane::new(partition, config));
            tasks.spawn(delivery::run(delivery::Owner(Arc::clone(&lane)), transport));
            lanes.push(lane);
        }
        Ok(Self { lanes, count, turn: AtomicU32::new(0), tasks })
    }

    /// How many partitions it sends to.
    pub fn partitions(&self) -> i32 {
        self.lanes.len() as i32
    }

    /// The partition of a key, as Kafka's default partitioner has it; without a key the partitions take turns.
    pub fn partition_of(&self, key: Option<&[u8]>) -> i32 {
        match key {
            Some(key) => partitioner::partition_for_key(key, self.count),
            None => (self.turn.fetch_add(1, Ordering::Relaxed) % self.count) as i32,
        }
    }

    /// Takes a message for the partition of its key, and returns that partition. Waits while the partition's buffer is
    /// full. The order of the calls is the order in the log, per partition; of calls that overlap, either.
    ///
    /// `completion` hears how it ended, exactly once, also when this returns an error or is cancelled.
    ///
    /// # Errors
    /// [`SendError`]; the message is then certainly not in the log.
    pub async fn send(&self, message: Message, completion: C) -> Result<i32, SendError> {
        let partition = self.partition_of(message.key.as_deref());
        self.send_to(partition, message, completion).await
    }

    /// As [`Self::send`], to a partition of the caller's choice.
    ///
    /// # Errors
    /// As [`Self::send`], and [`SendError::NoSuchPartition`].
    pub async fn send_to(&self, partition: i32, message: Message, completion: C) -> Result<i32, SendError> {
        let completion = Held::new(completion);
        match usize::try_from(partition).ok().and_then(|index| self.lanes.get(index)) {
            Some(lane) => lane.push(message, completion).await.map(|()| partition),
            None => {
                let error = SendError::NoSuchPartition { partition, partitions: self.partitions() };
                completion.done(Err(ProduceError::NotAccepted(error.clone())));
                Err(error)
            }
        }
    }

    /// Waits until everything sent so far has ended; what waits goes at once. Bounded by the delivery deadline of each batch
    /// held.
    ///
    /// # Errors
    /// What the first failed partition failed of, now or earlier; the others were flushed all the same.
    pub async fn flush(&self) -> Result<(), ProduceError> {
        let mut result = Ok(());
        for lane in &self.lanes {
            let flushed = lane.flush().await;
            result = result.and(flushed);
        }
        result
    }

    /// Flushes, and ends the tasks and connections.
    ///
    /// # Errors
    /// As [`Self::flush`].
    pub async fn close(mut self) -> Result<(), ProduceError> {
        let result = self.flush().await;
        for lane in &self.lanes {
            lane.close();
        }
        while let Some(ended) = self.tasks.join_next().await {
            if let Err(error) = ended {
                tracing::error!(%error, "a producer task did not end by itself");
            }
        }
        result
    }
}
