//! Hands planned events to the producer.

use std::sync::Arc;

use payment_delivery::kafka::Message;
use payment_delivery::kafka::producer::{Ack, Completion, ProduceError, Producer};
use tokio::runtime::Handle;
use tokio::sync::oneshot;
use tokio_util::sync::CancellationToken;

use super::Failures;
use crate::load::{SendFailed, Sink};
use crate::measure::timeline::Timeline;
use crate::scenario::options::Key;
use crate::workload::Planned;

/// What comes back for one message.
pub(in crate::scenario) enum Ticket {
    /// A planned event.
    Planned { timeline: Arc<Timeline>, index: usize, failures: Failures },
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

/// Hands planned events to the producer from the sender's own thread.
#[derive(Clone)]
pub(in crate::scenario) struct ProducerSink {
    pub(in crate::scenario) producer: Arc<Producer<Ticket>>,
    pub(in crate::scenario) timeline: Arc<Timeline>,
    pub(in crate::scenario) key: Key,
    pub(in crate::scenario) failures: Failures,
    pub(in crate::scenario) runtime: Handle,
    /// Ends a wait for room in the producer's buffer.
    pub(in crate::scenario) cancel: CancellationToken,
}

impl Sink for ProducerSink {
    fn send(&mut self, index: usize, event: &Planned) -> Result<(), SendFailed> {
        let message = Message {
            key: (self.key == Key::OrderId).then(|| event.order_id.as_str().as_bytes().to_vec()),
            value: Some(event.value.clone()),
            timestamp_ms: jiff::Timestamp::now().as_millisecond(),
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
