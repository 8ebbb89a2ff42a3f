//! Where a message goes that is itself at fault: `<topic>.DLT`, key, value and headers byte for byte as they were.
//!
//! A letter is the record as it lies in the log, read again by the raw reader, and so with headers that rskafka's map of them would lose.
//! It never fails for a reason of its own: too large with our headers, it is cut; with a timestamp that the topic refuses, it has the
//! present one; and a header says so.

use std::collections::BTreeMap;
use std::time::{Duration, Instant, SystemTime};

use tokio::sync::Mutex;

use super::attempts::attempts;
use crate::consumer::ConsumerError;
use crate::failure::{Classified, Component, FailureClass};
use crate::kafka::fetch::{FetchError, read_all};
use crate::kafka::raw::{RawError, RawWriter, partition_count};
use crate::kafka::{Fetched, Message, Origin, partitioner};
use crate::probe::Probe;

/// Header that holds the reason, in UTF-8.
pub const REASON_HEADER: &str = "dlt-reason";
/// Header that holds the message's partition in the main topic, as decimal text.
pub const PARTITION_HEADER: &str = "dlt-original-partition";
/// Header that holds the message's offset in the main topic, as decimal text.
pub const OFFSET_HEADER: &str = "dlt-original-offset";
/// Header of a letter that was cut: which part, and how many bytes it had.
pub const CUT_HEADER: &str = "dlt-cut";
/// Header of a letter with another timestamp than the message's: the message's, milliseconds of Unix time as decimal text.
pub const TIMESTAMP_HEADER: &str = "dlt-original-timestamp-ms";

/// How long one attempt may take.
const ATTEMPT: Duration = Duration::from_secs(5);
/// The most that a letter may have, in bytes: a broker closes the connection on a request above its `socket.request.max.bytes` (100 MiB),
/// and says nothing.
const LARGEST: usize = 64 << 20;
/// How long a topic may be unknown before it counts as missing: one that was created a moment ago has not reached every broker.
const UNKNOWN: Duration = Duration::from_secs(5);

/// The dead-letter topic of `topic`. It may have fewer partitions than the topic itself, or more.
pub fn dead_letter_topic(topic: &str) -> String {
    format!("{topic}.DLT")
}

/// Reads back where a dead letter came from and why; `None` if the headers are not ours.
pub fn origin_and_reason(letter: &Fetched) -> Option<(Origin, String)> {
    let text = |name: &str| std::str::from_utf8(letter.message.headers.last(name)?).ok();
    let origin = Origin {
        partition: text(PARTITION_HEADER)?.parse().ok()?,
        offset: text(OFFSET_HEADER)?.parse().ok()?,
    };
    Some((origin, text(REASON_HEADER)?.to_owned()))
}

/// Writes dead letters, over a connection to each partition that gets one, made when it is needed.
///
/// A letter goes to the partition that the message came from. Where the dead-letter topic has none of that number, its key
/// chooses the partition; without a key, the number modulo the partitions.
pub(crate) struct DeadLetters {
    bootstrap: Vec<String>,
    topic: String,
    letters: String,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    writers: BTreeMap<i32, RawWriter>,
    /// When the topic was first said to be unknown, if that is what was said last.
    unknown_since: Option<Instant>,
}

/// Why a letter was not written.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
struct LetterError(String, FailureClass);

impl Classified for LetterError {
    fn class(&self) -> FailureClass {
        self.1
    }
}

fn passing(why: &impl ToString) -> LetterError {
    LetterError(why.to_string(), FailureClass::Passing)
}

impl DeadLetters {
    pub(crate) fn new(bootstrap: Vec<String>, topic: &str) -> Self {
        let letters = dead_letter_topic(topic);
        Self { bootstrap, topic: topic.to_owned(), letters, state: Mutex::default() }
    }

    /// Sends `fetched` there and waits until the broker has acknowledged it: only then may its offset be committed.
    ///
    /// An attempt that failed may have left the letter there as well: it may be there twice, never not at all.
    ///
    /// # Errors
    /// [`ConsumerError::SetUp`] where there is no such topic, or no right to write to it.
    pub(crate) async fn send(
        &self,
        consumer: &str,
        probe: &dyn Probe,
        fetched: &Fetched,
        reason: &str,
    ) -> Result<(), ConsumerError> {
        let attempts = attempts(consumer, probe, Component::Broker, || self.attempt(fetched, reason));
        attempts.await?.needed(consumer, Component::Broker)
    }

    async fn attempt(&self, fetched: &Fetched, reason: &str) -> Result<(), LetterError> {
        let letter = Letter::new(self.read_again(fetched).await?, fetched.origin, reason);
        let written = self.write(letter, fetched.origin.partition).await;
        let unknown_since = &mut self.state.lock().await.unknown_since;
        *unknown_since = match written {
            Err(RawError::NoSuchPartition(_)) => unknown_since.or_else(|| Some(Instant::now())),
            _ => None,
        };
        let unknown_for = unknown_since.map_or(Duration::ZERO, |since| since.elapsed());
        written.map_err(|error| self.classify(error, unknown_for))
    }

    async fn write(&self, mut letter: Letter, partition: i32) -> Result<(), RawError> {
        let target = self.target(partition, letter.message.key.as_deref()).await?;
        while letter.message.bytes() > LARGEST && letter.cut() {}
        let writers = &mut self.state.lock().await.writers;
        let writer =
            writers.entry(target).or_insert_with(|| RawWriter::new(&self.bootstrap, &self.letters, target));
        loop {
            match tokio::time::timeout(ATTEMPT, writer.produce(&letter.sealed(), ATTEMPT)).await {
                Ok(Err(RawError::TooLarge(_))) if letter.cut() => {}
                Ok(Err(RawError::Timestamp(_))) if letter.stamp_now() => {}
                Ok(written) => return written,
                Err(_) => return Err(RawError::Passing(format!("no answer within {ATTEMPT:?}"))),
            }
        }
    }

    /// The record as it lies in the log; the one in hand if it is there no more.
    async fn read_again(&self, fetched: &Fetched) -> Result<Message, LetterError> {
        let Origin { partition, offset } = fetched.origin;
        match read_all(&self.bootstrap, &self.topic, partition, offset, offset + 1, ATTEMPT).await {
            Ok(read) => {
                Ok(read.into_iter().next().map_or_else(|| fetched.message.clone(), |read| read.message))
            }
            Err(FetchError::OutOfRange { .. }) => Ok(fetched.message.clone()),
            Err(error) => Err(passing(&error)),
        }
    }

    async fn target(&self, partition: i32, key: Option<&[u8]>) -> Result<i32, RawError> {
        let count = partition_count(&self.bootstrap, &self.letters, ATTEMPT).await?;
        Ok(match key {
            _ if partition.cast_unsigned() < count.get() => partition,
            Some(key) => partitioner::partition_for_key(key, count),
            None => (partition.cast_unsigned() % count.get()).cast_signed(),
        })
    }

    /// What an error of the dead-letter topic means.
    fn classify(&self, error: RawError, unknown_for: Duration) -> LetterError {
        let of =
            |class, why: String| LetterError(format!("the dead-letter topic {} {why}", self.letters), class);
        let set_up = |why| of(FailureClass::SetUp, why);
        match error {
            RawError::NoSuchPartition(code) if unknown_for > UNKNOWN => {
                set_up(format!("is not there ({code}): create it"))
            }
            RawError::Refused(code) if code.is_authorization() => {
                set_up(format!("may not be written to ({code}): grant WRITE and DESCRIBE on it"))
            }
            RawError::Refused(code) => set_up(format!("refuses the letter ({code})")),
            RawError::TooLarge(code) => {
                set_up(format!("refuses even an empty letter ({code}): raise its max.message.bytes"))
            }
            error => of(FailureClass::Passing, format!("can't be written to: {error}")),
        }
    }
}

/// A record on its way to the dead-letter topic.
struct Letter {
    message: Message,
    /// Names and values of the headers that say what became of it.
    told: Vec<(&'static str, String)>,
}

impl Letter {
    fn new(message: Message, Origin { partition, offset }: Origin, reason: &str) -> Self {
        let told = vec![
            (REASON_HEADER, reason.to_owned()),
            (PARTITION_HEADER, partition.to_string()),
            (OFFSET_HEADER, offset.to_string()),
        ];
        Self { message, told }
    }

    /// With our headers behind its own.
    fn sealed(&self) -> Message {
        let mut message = self.message.clone();
        self.told.iter().for_each(|(name, value)| message.headers.push(name, Some(value)));
        message
    }

    /// Halves its largest part, and says so; false if there is nothing left to cut.
    fn cut(&mut self) -> bool {
        let Message { key, value, headers, .. } = &mut self.message;
        let parts = [("value", value), ("key", key)]
            .into_iter()
            .filter_map(|(name, part)| Some((name, part.as_mut()?)));
        let headers = headers.values_mut().map(|value| ("headers", value));
        let Some((name, part)) =
            parts.chain(headers).max_by_key(|(_, part)| part.len()).filter(|(_, p)| !p.is_empty())
        else {
            return false;
        };
        let was = format!("{name} {} bytes", part.len());
        part.truncate(part.len() / 2);
        if !self.told.iter().any(|(header, told)| *header == CUT_HEADER && told.starts_with(name)) {
            self.told.push((CUT_HEADER, was));
        }
        true
    }

    /// Gives it the present time, and says which it had; false if that was done before.
    fn stamp_now(&mut self) -> bool {
        if self.told.iter().any(|(header, _)| *header == TIMESTAMP_HEADER) {
            return false;
        }
        self.told.push((TIMESTAMP_HEADER, self.message.timestamp_ms.to_string()));
        let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
        self.message.timestamp_ms = i64::try_from(now.as_millis()).unwrap_or(i64::MAX);
        true
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn letter(value: usize, key: usize, header: usize) -> Letter {
        let mut message = Message {
            key: Some(vec![b'k'; key]),
            value: Some(vec![b'v'; value]),
            timestamp_ms: 0,
            ..Message::default()
        };
        message.headers.push("h", Some(vec![b'h'; header]));
        Letter::new(message, Origin { partition: 1, offset: 7 }, "why")
    }

    #[test]
    fn a_letter_says_where_it_came_from_and_keeps_what_it_had() {
        let sealed = letter(3, 2, 1).sealed();
        assert_eq!(sealed.headers.last("h"), Some(&b"h"[..]));
        let fetched = Fetched { origin: Origin { partition: 0, offset: 0 }, message: sealed };
        assert_eq!(origin_and_reason(&fetched), Some((Origin { partition: 1, offset: 7 }, "why".to_owned())));
    }

    #[test]
    fn the_largest_part_is_cut_until_nothing_is_left() {
        let mut letter = letter(1000, 600, 10);
        assert!(letter.cut() && letter.cut());
        let Message { key, value, .. } = &letter.message;
        assert_eq!((value.as_ref().unwrap().len(), key.as_ref().unwrap().len()), (500, 300));
        let told: Vec<_> =
            letter.told.iter().filter(|(name, _)| *name == CUT_HEADER).map(|(_, t)| t.as_str()).collect();
        assert_eq!(told, ["value 1000 bytes", "key 600 bytes"]);
        let mut cuts = 0;
        while letter.cut() {
            cuts += 1;
            assert!(cuts < 100);
        }
        assert_eq!(letter.told.iter().filter(|(name, _)| *name == CUT_HEADER).count(), 3);
    }

    #[test]
    fn a_refused_timestamp_is_kept_in_a_header_once() {
        let mut letter = letter(1, 1, 1);
        assert!(letter.stamp_now() && !letter.stamp_now());
        assert!(letter.message.timestamp_ms > 1_700_000_000_000);
        assert_eq!(letter.sealed().headers.last(TIMESTAMP_HEADER), Some(&b"0"[..]));
    }
}
