//! Where messages are sent: a producer that is replaced when it has failed, and when the topic has got more partitions.

use std::sync::atomic::{AtomicI32, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use async_trait::async_trait;
use futures_util::future::{BoxFuture, FutureExt as _, Shared};
use tokio::sync::oneshot;
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

/// A producer, and how many partitions it sends to.
type Connected = (Arc<Producer<Completion>>, i32);

/// One attempt to connect, with one outcome for all who wait for it.
type Connecting = Shared<BoxFuture<'static, Result<Connected, String>>>;

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
    current: Mutex<Option<Connecting>>,
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
        let connecting = self.connect(partitions);
        match connecting.clone().await {
            Ok((_, partitions)) => {
                *self.current() = Some(connecting);
                self.tell_growth(partitions);
            }
            Err(error) => tracing::warn!(%error, "payments go to the old partitions alone for now"),
        }
    }

    fn tell_growth(&self, partitions: i32) {
        let before = self.partitions.fetch_max(partitions, Ordering::Relaxed);
        if before < partitions {
            tracing::warn!(
                topic = self.topic,
                partitions,
                before,
                "the topic has more partitions: of an order whose key moved, later events lie in another partition"
            );
        }
    }

    fn current(&self) -> MutexGuard<'_, Option<Connecting>> {
        self.current.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn connect(&self, partitions: i32) -> Connecting {
        let (bootstrap, topic) = (self.bootstrap.clone(), self.topic.clone());
        connected(bootstrap, topic, partitions, self.config.clone()).boxed().shared()
    }

    /// The producer in use, connected if there is none. All who wait for it do so side by side, and an attempt that failed is the last for
    /// each of them.
    async fn producer(&self) -> Result<Arc<Producer<Completion>>, String> {
        let connecting = self.current().get_or_insert_with(|| self.connect(self.partitions())).clone();
        match connecting.clone().await {
            Ok((producer, partitions)) => {
                self.tell_growth(partitions);
                Ok(producer)
            }
            Err(error) => {
                self.forget(|current| current.ptr_eq(&connecting));
                Err(error)
            }
        }
    }

    /// Takes a producer that failed out of use, unless that has happened.
    fn retire(&self, failed: &Arc<Producer<Completion>>) {
        let is_failed = |connected: &Result<Connected, String>| {
            connected.as_ref().is_ok_and(|(producer, _)| Arc::ptr_eq(producer, failed))
        };
        self.forget(|current| current.peek().is_some_and(is_failed));
    }

    fn forget(&self, which: impl FnOnce(&Connecting) -> bool) {
        let mut current = self.current();
        if current.as_ref().is_some_and(which) {
            *current = None;
        }
    }
}

/// A producer for as many partitions, or for more if the topic has grown since.
async fn connected(
    bootstrap: Vec<String>,
    topic: String,
    partitions: i32,
    config: ProducerConfig,
) -> Result<Connected, String> {
    let connect = |partitions| Producer::connect(&bootstrap, &topic, partitions, config.clone());
    let (made, partitions) = match connect(partitions).await {
        Err(ProducerError::Partitions { found, .. }) if found as i32 > partitions => {
            (connect(found as i32).await, found as i32)
        }
        made => (made, partitions),
    };
    Ok((Arc::new(made.map_err(|error| error.to_string())?), partitions))
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
                    self.retire(&producer);
                    if attempt > 0 || !matches!(sent, Err(SendError::Failed { .. })) {
                        return Err(error.to_string());
                    }
                }
            }
        }
        Err("the partition's producer failed twice".into())
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use tokio::net::TcpListener;
    use tokio::task::JoinSet;
    use tokio::time::{Instant, timeout};

    use super::*;

    #[tokio::test]
    async fn all_who_wait_for_a_connection_wait_for_the_same_one() {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap().to_string();
        let connect_timeout = Duration::from_millis(400);
        let config = ProducerConfig { connect_timeout, ..ProducerConfig::default() };
        let sender = Arc::new(KafkaSender::new(vec![address], "t".into(), 1, config));
        let begun = Instant::now();
        let mut waiting = JoinSet::new();
        for _ in 0..50 {
            let sender = Arc::clone(&sender);
            waiting.spawn(async move { sender.send(Message::default()).await });
        }
        for outcome in waiting.join_all().await {
            assert!(outcome.unwrap_err().contains("within"), "nobody answers there");
        }
        assert!(begun.elapsed() < 10 * connect_timeout, "one after the other: {:?}", begun.elapsed());
        let mut connections = 0;
        while timeout(Duration::from_millis(50), listener.accept()).await.is_ok() {
            connections += 1;
        }
        assert_eq!(connections, 1, "one attempt for all");
        assert!(sender.current().is_none(), "the next message tries anew");
    }
}
