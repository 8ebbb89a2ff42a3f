//! Everything that speaks Kafka.

use std::fmt;
use std::time::Duration;

pub mod admin;
mod conn;
pub mod fetch;
pub mod group;
mod headers;
mod hedge;
mod link;
pub mod partitioner;
pub mod producer;
pub(crate) mod raw;

pub use headers::{Header, Headers};

/// How old what is known of a topic may be, unless told otherwise: partitions that are added are read, and sent to, no later.
pub(crate) const METADATA_MAX_AGE: Duration = Duration::from_secs(25);

/// Where a message lies in its topic's log.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Origin {
    /// Partition number.
    pub partition: i32,
    /// Offset in the partition.
    pub offset: i64,
}

impl fmt::Display for Origin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "partition {} offset {}", self.partition, self.offset)
    }
}

/// A message without its place: what is produced, and what a fetch brings back.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Message {
    /// The key; with the default partitioner it chooses the partition.
    pub key: Option<Vec<u8>>,
    /// The value; `None` is a tombstone.
    pub value: Option<Vec<u8>>,
    /// Headers. Those that rskafka read have one value a name, in the order of the names.
    pub headers: Headers,
    /// Create time, milliseconds of Unix time.
    pub timestamp_ms: i64,
}

impl Message {
    /// The bytes of key, value and headers, without the little that frames them.
    pub(crate) fn bytes(&self) -> usize {
        let length = |part: &Option<Vec<u8>>| part.as_ref().map_or(0, Vec::len);
        length(&self.key) + length(&self.value) + self.headers.bytes()
    }
}

/// A message read from the log.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Fetched {
    /// Where it lies.
    pub origin: Origin,
    /// What it is.
    pub message: Message,
}
