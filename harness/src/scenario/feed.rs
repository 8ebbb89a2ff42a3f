//! From planned events to the producer, and from its acknowledgements to the timeline.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};

use payment_delivery::kafka::Message;
use payment_delivery::kafka::producer::{Ack, Completion, ProduceError, Producer};
use tokio::runtime::Handle;
use tokio::sync::oneshot;
use tokio_util::sync::CancellationToken;

use super::options::Key;
use crate::load::{SendFailed, Sink};
use crate::measure::timeline::Timeline;
use crate::workload::Planned;

/// Events whose outcome was not an acknowledgement, by their index in the timeline.
pub(super) type Failures = Arc<Mutex<BTreeMap<usize, ProduceError>>>;

/// What comes back for one message.
pub(super) enum Ticket {
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
                Err(error) => {
                    failures.lock().unwrap_or_else(PoisonError::into_inner).insert(index, error);
                }
            },
            Self::Extra(done) => {
                let _ = done.send(result); // who no longer waits needs no answer
            }
        }
    }
}

/// Hands planned events to the producer from the sender's own thread.
#[derive(Clone)]
pub(super) struct ProducerSink {
    pub(super) producer: Arc<Producer<Ticket>>,
    pub(super) timeline: Arc<Timeline>,
    pub(super) key: Key,
    pub(super) failures: Failures,
    pub(super) runtime: Handle,
    /// Ends a wait for room in the producer's buffer.
    pub(super) cancel: CancellationToken,
}

impl Sink for ProducerSink {
    fn send(&mut self, index: usize, event: &Planned) -> Result<(), SendFailed> {
        let message = Message {
            key: (self.key == Key::OrderId).then(|| event.order_id.as_str().as_bytes().to_vec()),
            value: Some(event.value.clone()),
            timestamp_ms: jiff::Timestamp::now().as_millisecond(),
            ..Message::default()
        };
        let ticket = Ticket::Planned {
            timeline: Arc::clone(&self.timeline),
            index,
            failures: Arc::clone(&self.failures),
        };
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
