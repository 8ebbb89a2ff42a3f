//! Where messages are sent: a producer that is replaced when it has failed, and when the topic has got more partitions.

use std::sync::Arc;
use std::sync::atomic::{AtomicI32, Ordering};

use async_trait::async_trait;
use tokio::sync::{Mutex, oneshot};
use tokio::time::sleep;

use crate::kafka::admin::Admin;
use crate::kafka::producer::{Ack, ProduceError, Producer, ProducerConfig, ProducerError, SendError};
use crate::kafka::{METADATA_MAX_AGE, Message, Origin};

/// Sends messages of one topic, each to the partition of its key, and says where they lie.
#[async_trait]
pub trait Sender: Send + Sync + 'static {
    /// Sends one message; bounded in time by the sender's own deadline.
    ///
    /// # Errors
    /// What stood in the way, in words. The message may be in the log all the same.
    async fn send(&self, message: Message) -> Result<Origin, String>;
}

type Completion = oneshot::Sender<Result<Ack, ProduceError>>;

/// Sends through a [`Producer`].
///
/// A partition's producer that failed stays failed, so that nothing overtakes what it held. Here nothing can: an order has
/// one message in flight, and whoever sends its next one has first sent that one again. So a failed producer is
/// replaced as a whole; what its other partitions hold still ends as it would have, since each message in hand
/// keeps its producer alive.
pub struct KafkaSender {
    bootstrap: Vec<String>,
    topic: String,
    partitions: AtomicI32,
    config: ProducerConfig,
    current: Mutex<Option<Arc<Producer<Completion>>>>,
}

impl KafkaSender {
    /// Names where messages go; nothing is connected yet.
    pub fn new(bootstrap: Vec<String>, topic: String, partitions: i32, config: ProducerConfig) -> Self {
        Self { bootstrap, topic, partitions: partitions.into(), config, current: Mutex::new(None) }
    }

    /// How many partitions messages are sent to.
    pub fn partitions(&self) -> i32 {
        self.partitions.load(Ordering::Relaxed)
    }

    /// Looks every 25 s whether the topic has got more partitions, and from then on sends to all of them. Never returns.
    pub async fn follow_topic(&self, admin: &Admin) {
        loop {
            sleep(METADATA_MAX_AGE).await;
            match admin.describe_topic(&self.topic).await {
                Ok(found) if found.len() as i32 > self.partitions() => self.grow(found.len() as i32).await,
                Ok(_) => {}
                Err(error) => tracing::warn!(%error, topic = self.topic, "the topic could not be looked at"),
            }
        }
    }

    /// Sends to so many partitions from now on, once all of them can be reached. What the producer before holds still goes where it was to
    /// go: an order has no more than that one message in flight.
    async fn grow(&self, partitions: i32) {
        match Producer::connect(&self.bootstrap, &self.topic, partitions, self.config.clone()).await {
            Ok(producer) => {
                *self.current.lock().await = Some(Arc::new(producer));
                self.tell_growth(partitions);
            }
            Err(error) => tracing::warn!(%error, "payments go to the old partitions alone for now"),
        }
    }

    fn tell_growth(&self, partitions: i32) {
        let before = self.partitions.swap(partitions, Ordering::Relaxed);
        tracing::warn!(
            topic = self.topic,
            partitions,
            before,
            "the topic has more partitions: of an order whose key moved, later events lie in another partition"
        );
    }

    /// The producer in use, connected if there is none.
    async fn producer(&self) -> Result<Arc<Producer<Completion>>, String> {
        let mut current = self.current.lock().await;
        if let Some(producer) = &*current {
            return Ok(Arc::clone(producer));
        }
        let connect =
            |partitions| Producer::connect(&self.bootstrap, &self.topic, partitions, self.config.clone());
        let made = match connect(self.partitions()).await {
            // It has grown since the last look.
            Err(ProducerError::Partitions { found, .. }) if found as i32 > self.partitions() => {
                let made = connect(found as i32).await;
                made.inspect(|_| self.tell_growth(found as i32))
            }
            made => made,
        };
        Ok(Arc::clone(current.insert(Arc::new(made.map_err(|error| error.to_string())?))))
    }

    /// Takes a producer that failed out of use, unless that has happened.
    async fn retire(&self, failed: &Arc<Producer<Completion>>) {
        let mut current = self.current.lock().await;
        if current.as_ref().is_some_and(|producer| Arc::ptr_eq(producer, failed)) {
            *current = None;
        }
    }
}

#[async_trait]
impl Sender for KafkaSender {
    async fn send(&self, message: Message) -> Result<Origin, String> {
        // Once more where the partition had failed before: then this message was certainly not sent.
        for attempt in 0..2 {
            let producer = self.producer().await?;
            let (done, outcome) = oneshot::channel();
            let sent = producer.send(message.clone(), done).await;
            let ended = outcome.await.unwrap_or(Err(ProduceError::Dropped { may_be_in_log: true }));
            match (sent, ended) {
                (_, Ok(ack)) => return Ok(ack.origin),
                // The message's own fault, not the producer's.
                (Err(error @ (SendError::Oversize { .. } | SendError::Timestamp { .. })), _) => {
                    return Err(error.to_string());
                }
                (sent, Err(error)) => {
                    self.retire(&producer).await;
                    if attempt > 0 || !matches!(sent, Err(SendError::Failed { .. })) {
                        return Err(error.to_string());
                    }
                }
            }
        }
        Err("the partition's producer failed twice".into())
    }
}
