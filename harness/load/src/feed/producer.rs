//! Hands planned events to the producer.

use std::pin::Pin;
use std::sync::Arc;
use std::time::{SystemTime, UNIX_EPOCH};

use payment_delivery::kafka::Message;
use payment_delivery::kafka::producer::{
    Ack, Completion, ProduceError, Producer, ProducerConfig, ProducerError,
};
use tokio::runtime::Handle;
use tokio::sync::oneshot;
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

/// Hands planned events to the producer from the sender's own thread.
#[derive(Clone)]
pub struct ProducerSink {
    /// Where they go.
    pub producer: Arc<Producer<Ticket>>,
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
