//! Records over our own connection, byte for byte: what rskafka can't read, and what it would lose.
//!
//! ```text
//! leader (connection to the partition's leader) ─▶ reader: fetch ─▶ batches ─▶ committed records
//!                                               └▶ writer: one record, with any headers
//! ```
//!
//! Reading is read_committed as in Kafka's own consumer: records of aborted transactions are dropped, markers and batches that compaction has
//! emptied are stepped over.

mod batch;
mod bytes;
mod codec;
mod committed;
mod leader;
mod reader;
mod writer;

pub(crate) use leader::{RawError, partition_count};
pub(crate) use reader::RawReader;
pub(crate) use writer::RawWriter;
