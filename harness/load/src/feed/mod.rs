//! From planned events into the topic, and from their acknowledgements to the timeline: straight to the brokers, or by the
//! REST API.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};

mod http;
mod producer;

pub use http::HttpSink;
pub use producer::{HeldProducer, ProducerSink, SharedProducer, Ticket, producer};

use payment_delivery::kafka::producer::ProduceError;

use crate::{SendFailed, Sink};
use lanebench_workload::Planned;

/// Events whose outcome was not an acknowledgement, by their index in the timeline, and why.
#[derive(Clone, Debug, Default)]
pub struct Failures(Arc<Mutex<BTreeMap<usize, String>>>);

impl Failures {
    /// Notes why an event was not acknowledged.
    pub fn note(&self, index: usize, why: String) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).insert(index, why);
    }

    /// All so far.
    pub fn all(&self) -> BTreeMap<usize, String> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

/// Where events go.
#[derive(Clone)]
pub enum Feed {
    /// To the brokers.
    Kafka(ProducerSink),
    /// To the REST API, which sends them on.
    Api(HttpSink),
}

impl Feed {
    /// Waits until all that was taken over has its outcome.
    ///
    /// # Errors
    /// What a partition's producer failed of.
    pub async fn flushed(&self) -> Result<(), ProduceError> {
        match self {
            Self::Kafka(sink) => sink.producer.flush().await,
            Self::Api(sink) => {
                sink.flushed().await;
                Ok(())
            }
        }
    }
}

impl Sink for Feed {
    fn send(&mut self, index: usize, event: Planned) -> Result<(), SendFailed> {
        match self {
            Self::Kafka(sink) => sink.send(index, event),
            Self::Api(sink) => sink.send(index, event),
        }
    }
}
