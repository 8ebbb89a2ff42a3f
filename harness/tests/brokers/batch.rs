//! Record batches (message format 2) as bytes: made for a case, and looked at as they come back.

use bytes::{Buf, Bytes, BytesMut};
use kafka_protocol::records::{
    Compression, NO_PARTITION_LEADER_EPOCH, NO_PRODUCER_EPOCH, NO_PRODUCER_ID, Record, RecordBatchEncoder,
    RecordEncodeOptions, TimestampType,
};
use libtest_mimic::Failed;

/// From its start to its length field's end; the length counts what follows.
const LENGTH_END: usize = 12;

/// Base offset, length, leader epoch, magic byte: what a broker may change without a new checksum lies before this.
const CRC: usize = 17;

/// One uncompressed batch of values, their timestamps counting up by one millisecond from `first_ms`.
pub(crate) fn batch_of(values: &[&[u8]], first_ms: i64) -> Bytes {
    let timed: Vec<_> = (first_ms..).zip(values).map(|(ms, value)| (ms, *value)).collect();
    batch(&timed)
}

/// One uncompressed batch of timestamps (ms) and values.
pub(crate) fn batch(records: &[(i64, &[u8])]) -> Bytes {
    let records: Vec<Record> = (0..).zip(records).map(|(i, (ms, value))| record(i, *ms, value)).collect();
    let options = RecordEncodeOptions { version: 2, compression: Compression::None };
    let mut bytes = BytesMut::new();
    RecordBatchEncoder::encode(&mut bytes, &records, &options).expect("plain records");
    bytes.freeze()
}

fn record(i: i32, timestamp: i64, value: &[u8]) -> Record {
    Record {
        transactional: false,
        control: false,
        delete_horizon: false,
        partition_leader_epoch: NO_PARTITION_LEADER_EPOCH,
        producer_id: NO_PRODUCER_ID,
        producer_epoch: NO_PRODUCER_EPOCH,
        timestamp_type: TimestampType::Creation,
        offset: i64::from(i),
        // The batch's first must be −1, none; the encoder wants them to run along with the offsets.
        sequence: i - 1,
        timestamp,
        key: None,
        value: Some(Bytes::copy_from_slice(value)),
        headers: kafka_protocol::indexmap::IndexMap::new(),
    }
}

/// A batch in a log.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Stored {
    /// Offset of its first record.
    pub(crate) base_offset: i64,
    /// Offset of its last record.
    pub(crate) last_offset: i64,
    /// 0 none, 1 gzip, 2 snappy, 3 lz4, 4 zstd.
    pub(crate) codec: i16,
    /// All of it.
    pub(crate) bytes: Bytes,
}

impl Stored {
    /// What the broker may not touch: the checksum and all that it covers.
    pub(crate) fn sealed(&self) -> Bytes {
        self.bytes.slice(CRC..)
    }
}

/// The whole batches in what a fetch brought; a last one that was cut short is left out, as every client does.
pub(crate) fn stored(records: Option<&Bytes>) -> Result<Vec<Stored>, Failed> {
    let mut left = records.cloned().unwrap_or_default();
    let mut batches = Vec::new();
    while left.len() >= LENGTH_END {
        let length = (&left[8..LENGTH_END]).get_i32();
        let whole = LENGTH_END + usize::try_from(length)?;
        if left.len() < whole {
            break;
        }
        let bytes = left.split_to(whole);
        let base_offset = (&bytes[..8]).get_i64();
        let last_offset = base_offset + i64::from((&bytes[23..27]).get_i32());
        let codec = (&bytes[21..23]).get_i16() & 0b111;
        batches.push(Stored { base_offset, last_offset, codec, bytes });
    }
    Ok(batches)
}
