//! What a producer may be told, and the defaults.

use std::time::Duration;

use super::ProducerError;
use crate::kafka::Message;

/// How a [`super::Producer`] batches, waits and retries. All sizes in bytes, per partition.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ProducerConfig {
    /// Least time between the starts of two batches, so that one collects while messages come fast. A message that comes later than that after
    /// the last batch goes at once, and so does a full batch. The runtime's timer adds up to 1 ms. At zero, batches still form while a request is
    /// in flight. Default 2 ms.
    pub batch_interval: Duration,
    /// A batch closes before it outgrows this; a message larger than it travels alone. Default 128 KiB. While less than
    /// a whole batch waits, batches are small enough for a single write (the producer's documentation says why).
    pub batch_bytes: usize,
    /// What may be held per partition, waiting and in flight; then `send` waits. Default 4 MiB.
    pub buffer_bytes: usize,
    /// A larger message is refused at `send`, measured by [`wire_bytes`]. Default 1,000,000, just under the brokers'
    /// own `message.max.bytes`: what a broker refuses later would end the partition's producer.
    pub max_record_bytes: usize,
    /// How long the leader may be looked for in one attempt, and how long its answer may then take; without an answer the outcome is
    /// unknown. Default 5 s.
    pub request_timeout: Duration,
    /// How long one batch may be tried, from its first attempt; then the partition's producer fails. Default 30 s.
    pub delivery_timeout: Duration,
    /// How long [`super::Producer::connect`] and [`super::Producer::connect_lazily`] may take. Default 10 s.
    pub connect_timeout: Duration,
}

impl Default for ProducerConfig {
    fn default() -> Self {
        Self {
            batch_interval: Duration::from_millis(2),
            batch_bytes: 128 * 1024,
            buffer_bytes: 4 * 1024 * 1024,
            max_record_bytes: 1_000_000,
            request_timeout: Duration::from_secs(5),
            delivery_timeout: Duration::from_secs(30),
            connect_timeout: Duration::from_secs(10),
        }
    }
}

/// What a batch may have for rskafka to write its request at once: the 8 KiB of its write buffer, less some 400 bytes
/// of headers and topic name.
pub(super) const SINGLE_WRITE_BYTES: usize = 7_680;

impl ProducerConfig {
    /// How large a batch may be when `queued` bytes wait: a whole one only when there is enough for it.
    pub(super) fn batch_limit(&self, queued: usize) -> usize {
        if queued >= self.batch_bytes { self.batch_bytes } else { self.batch_bytes.min(SINGLE_WRITE_BYTES) }
    }

    /// Refuses what could not work: a buffer that the largest message never fits would make `send` wait for ever.
    pub(super) fn check(&self) -> Result<(), ProducerError> {
        let complaint = if self.max_record_bytes == 0 || self.batch_bytes == 0 {
            "batch_bytes and max_record_bytes must be above zero"
        } else if self.buffer_bytes < self.max_record_bytes.max(self.batch_bytes) {
            "buffer_bytes must hold a whole batch and the largest record"
        } else if self.buffer_bytes > u32::MAX as usize {
            "buffer_bytes must be below 4 GiB"
        } else if self.request_timeout.is_zero() {
            "request_timeout must be above zero"
        } else if self.delivery_timeout < self.request_timeout {
            "delivery_timeout must leave room for one request_timeout"
        } else {
            return Ok(());
        };
        Err(ProducerError::Config { complaint })
    }
}

/// An upper bound of a message's size in a record batch (message format 2), lengths and varints included.
pub fn wire_bytes(message: &Message) -> usize {
    // Length 5, attributes 1, time 10, offset 5, key length 5, value length 5, header count 5; two lengths a header.
    const RECORD: usize = 36;
    const HEADER: usize = 10;
    let headers = HEADER * message.headers.len() + message.headers.bytes();
    RECORD + message.key.as_ref().map_or(0, Vec::len) + message.value.as_ref().map_or(0, Vec::len) + headers
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn refused(change: impl FnOnce(&mut ProducerConfig), word: &str) {
        let mut config = ProducerConfig::default();
        change(&mut config);
        let complaint = config.check().unwrap_err().to_string();
        assert!(complaint.contains(word), "{complaint}");
    }

    #[test]
    fn a_batch_is_one_write_or_a_whole_one() {
        let config = ProducerConfig::default();
        for (queued, limit) in
            [(0, 7_680), (7_681, 7_680), (131_071, 7_680), (131_072, 131_072), (4_000_000, 131_072)]
        {
            assert_eq!(config.batch_limit(queued), limit, "{queued} queued");
        }
        assert_eq!(ProducerConfig { batch_bytes: 1_000, ..config }.batch_limit(0), 1_000);
    }

    #[test]
    fn what_could_not_work_is_refused() {
        ProducerConfig::default().check().unwrap();
        refused(|c| c.buffer_bytes = c.max_record_bytes - 1, "largest record");
        refused(|c| c.batch_bytes = 0, "above zero");
        refused(|c| c.request_timeout = Duration::ZERO, "above zero");
        refused(|c| c.delivery_timeout = Duration::from_secs(1), "delivery_timeout");
        refused(|c| c.buffer_bytes = usize::MAX, "4 GiB");
    }
}
