//! Where a message goes that is itself at fault: `<topic>.DLT`, key and headers kept.

use std::time::Duration;

use tokio::sync::oneshot;

use crate::kafka::producer::{Ack, ProduceError, Producer, ProducerConfig};
use crate::kafka::{Fetched, Origin};

/// Header that holds the reason, in UTF-8.
pub const REASON_HEADER: &str = "dlt-reason";
/// Header that holds the message's partition in the main topic, as decimal text.
pub const PARTITION_HEADER: &str = "dlt-original-partition";
/// Header that holds the message's offset in the main topic, as decimal text.
pub const OFFSET_HEADER: &str = "dlt-original-offset";

/// The dead-letter topic of `topic`. It may have fewer partitions than the topic itself, or more.
pub fn dead_letter_topic(topic: &str) -> String {
    format!("{topic}.DLT")
}

/// Reads back where a dead letter came from and why; `None` if the headers are not ours.
pub fn origin_and_reason(letter: &Fetched) -> Option<(Origin, String)> {
    let text = |name: &str| std::str::from_utf8(letter.message.headers.get(name)?).ok();
    let origin = Origin {
        partition: text(PARTITION_HEADER)?.parse().ok()?,
        offset: text(OFFSET_HEADER)?.parse().ok()?,
    };
    Some((origin, text(REASON_HEADER)?.to_owned()))
}

type Completion = oneshot::Sender<Result<Ack, ProduceError>>;

/// The dead-letter topic's producer, connected when the first letter is due and again after a failure.
///
/// A letter goes to the partition that the message came from. Where the dead-letter topic has none of that number, its key
/// chooses the partition; without a key, the number modulo the partitions.
pub(crate) struct DeadLetters {
    bootstrap: Vec<String>,
    topic: String,
    producer: Option<Producer<Completion>>,
}

impl DeadLetters {
    pub(crate) fn new(bootstrap: Vec<String>, topic: &str) -> Self {
        Self { bootstrap, topic: dead_letter_topic(topic), producer: None }
    }

    /// Sends `fetched` there and waits until the broker has acknowledged it: only then may its offset be committed.
    ///
    /// A failed attempt is the caller's to repeat; it may leave the letter there twice, never not at all.
    pub(crate) async fn send(&mut self, fetched: &Fetched, reason: &str) -> Result<(), String> {
        let result = self.attempt(fetched, reason).await;
        if result.is_err() {
            self.producer = None; // a failed producer stays failed
        }
        result
    }

    async fn attempt(&mut self, fetched: &Fetched, reason: &str) -> Result<(), String> {
        if self.producer.is_none() {
            let config = ProducerConfig { linger: Duration::ZERO, ..ProducerConfig::default() };
            let connected = Producer::connect_lazily(&self.bootstrap, &self.topic, config).await;
            self.producer = Some(connected.map_err(|e| e.to_string())?);
        }
        let Some(producer) = &self.producer else {
            return Err("no producer".into());
        };
        let mut letter = fetched.message.clone();
        let Origin { partition, offset } = fetched.origin;
        letter.headers.insert(REASON_HEADER.into(), reason.as_bytes().to_vec());
        letter.headers.insert(PARTITION_HEADER.into(), partition.to_string().into_bytes());
        letter.headers.insert(OFFSET_HEADER.into(), offset.to_string().into_bytes());
        let target = match (producer.partitions(), letter.key.as_deref()) {
            (count, _) if partition < count => partition,
            (_, Some(key)) => producer.partition_of(Some(key)),
            (count, None) => partition % count,
        };
        let (done, outcome) = oneshot::channel();
        producer.send_to(target, letter, done).await.map_err(|e| e.to_string())?;
        match outcome.await {
            Ok(Ok(_)) => Ok(()),
            Ok(Err(error)) => Err(error.to_string()),
            Err(_) => Err("the producer stopped".into()),
        }
    }
}
