//! Hands planned events to the producer.

use std::pin::Pin;
use std::sync::Arc;
use std::time::{SystemTime, UNIX_EPOCH};

use payment_delivery::kafka::Message;
use payment_delivery::kafka::producer::{
    Ack, Completion, ProduceError, Producer, ProducerConfig, ProducerError, SendError,
};
use tokio::runtime::Handle;
use tokio::sync::{OwnedRwLockWriteGuard, RwLock, oneshot};
use tokio_util::sync::CancellationToken;

use super::Failures;
use crate::Key;
use crate::{SendFailed, Sink};
use lanebench_measure::timeline::Timeline;
use lanebench_workload::Planned;

/// What comes back for one message.
pub enum Ticket {
    /// A planned event.
    Planned {
        /// What hears of the acknowledgement.
        timeline: Arc<Timeline>,
        /// Its index there.
        index: usize,
        /// What hears if there is none.
        failures: Failures,
    },
    /// An injected one.
    Extra(oneshot::Sender<Result<Ack, ProduceError>>),
}

impl Completion for Ticket {
    fn done(self, result: Result<Ack, ProduceError>) {
        match self {
            Self::Planned { timeline, index, failures } => match result {
                Ok(ack) => timeline.acked(index, ack.origin),
                Err(error) => failures.note(index, error.to_string()),
            },
            Self::Extra(done) => {
                let _ = done.send(result); // who no longer waits needs no answer
            }
        }
    }
}

/// A producer of a trial's events, connected to all partitions of the topic.
///
/// Made here and not by whoever wants one, so that its code is compiled in this crate, for speed.
///
/// # Errors
/// As [`Producer::connect`].
pub fn producer(
    bootstrap: Vec<String>,
    topic: String,
    partitions: i32,
    config: ProducerConfig,
) -> Pin<Box<dyn Future<Output = Result<Producer<Ticket>, ProducerError>> + Send>> {
    Box::pin(async move { Producer::connect(&bootstrap, &topic, partitions, config).await })
}

/// The producer that a trial's events go through. Another takes its place when the topic has more partitions.
#[derive(Clone)]
pub struct SharedProducer(Arc<RwLock<Producer<Ticket>>>);

impl SharedProducer {
    /// Begins with this one.
    pub fn new(producer: Producer<Ticket>) -> Self {
        Self(Arc::new(RwLock::new(producer)))
    }

    /// Sends one message.
    ///
    /// # Errors
    /// As [`Producer::send`].
    pub async fn send(&self, message: Message, ticket: Ticket) -> Result<i32, SendError> {
        self.0.read().await.send(message, ticket).await
    }

    /// Waits until all that was sent has its outcome.
    ///
    /// # Errors
    /// As [`Producer::flush`].
    pub async fn flush(&self) -> Result<(), ProduceError> {
        self.0.read().await.flush().await
    }

    /// Lets nobody send from now on, and waits until all that was sent has its outcome. Who sends waits until what comes back is dropped.
    ///
    /// # Errors
    /// As [`Producer::flush`].
    pub async fn hold(&self) -> Result<HeldProducer, ProduceError> {
        let held = Arc::clone(&self.0).write_owned().await;
        held.flush().await?;
        Ok(HeldProducer(held))
    }
}

/// A producer through which nobody sends until this is dropped.
#[must_use = "once dropped, events are sent again"]
pub struct HeldProducer(OwnedRwLockWriteGuard<Producer<Ticket>>);

impl HeldProducer {
    /// From now on events go through this one.
    pub fn replace(&mut self, producer: Producer<Ticket>) {
        *self.0 = producer;
    }
}

/// Hands planned events to the producer from the sender's own thread.
#[derive(Clone)]
pub struct ProducerSink {
    /// Where they go.
    pub producer: SharedProducer,
    /// What hears of their acknowledgements.
    pub timeline: Arc<Timeline>,
    /// Whether they have one.
    pub key: Key,
    /// What hears of those that get none.
    pub failures: Failures,
    /// On which the producer works.
    pub runtime: Handle,
    /// Ends a wait for room in the producer's buffer.
    pub cancel: CancellationToken,
}

impl Sink for ProducerSink {
    fn send(&mut self, index: usize, event: Planned) -> Result<(), SendFailed> {
        let message = Message {
            key: (self.key == Key::OrderId).then(|| event.order_id.as_str().as_bytes().to_vec()),
            value: Some(event.value),
            timestamp_ms: unix_ms(),
            ..Message::default()
        };
        let ticket =
            Ticket::Planned { timeline: Arc::clone(&self.timeline), index, failures: self.failures.clone() };
        let sent = self.runtime.block_on(async {
            tokio::select! {
                biased;
                sent = self.producer.send(message, ticket) => sent.map_err(|error| error.to_string()),
                () = self.cancel.cancelled() => Err("interrupted".to_owned()),
            }
        });
        sent.map(|_partition| ()).map_err(|reason| SendFailed { index, reason })
    }
}

/// Now, in milliseconds of Unix time; 0 on a machine whose clock stands before that.
fn unix_ms() -> i64 {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_millis() as i64)
}
