//! A record batch (Kafka's message format 2) as bytes: its header, what is checked of it, and the records inside as far
//! as they are not compressed.
//!
//! Base offset and partition leader epoch lie before what the checksum covers, so that a broker can set them and pass the
//! rest on untouched, compressed or not.

use bytes::{Bytes, BytesMut};
use kafka_protocol::error::ResponseError;

/// Bytes before the first record.
pub(super) const HEADER_BYTES: usize = 61;
/// Base offset and length, which the length doesn't count.
const PREFIX_BYTES: usize = 12;
const EPOCH_AT: usize = 12;
const MAGIC_AT: usize = 16;
const CHECKSUM_AT: usize = 17;
/// Where the part begins that the checksum covers.
const CHECKED_FROM: usize = 21;

const COMPRESSION_BITS: i16 = 0b111;
const TRANSACTIONAL_BIT: i16 = 1 << 4;
const CONTROL_BIT: i16 = 1 << 5;

/// Why a batch is not taken: Kafka's error code, and the reason in words.
pub(super) type Refusal = (ResponseError, &'static str);

/// What the header of a checked batch says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Header {
    /// Records in it, at least one.
    pub(super) count: i32,
    /// Of its records, milliseconds of Unix time.
    pub(super) base_timestamp: i64,
    /// Of its records, milliseconds of Unix time.
    pub(super) max_timestamp: i64,
    /// Whether its records can't be looked into.
    pub(super) compressed: bool,
}

/// Checks what a producer sent for one partition: exactly one whole batch, as Kafka demands of it.
pub(super) fn check(bytes: &[u8]) -> Result<Header, Refusal> {
    use ResponseError as E;
    if bytes.len() < HEADER_BYTES {
        return Err((E::CorruptMessage, "the batch is shorter than its header"));
    }
    match bytes[MAGIC_AT] {
        2 => {}
        0 | 1 => return Err((E::UnsupportedForMessageFormat, "message formats 0 and 1 are not supported")),
        _ => return Err((E::CorruptMessage, "the batch has an unknown message format")),
    }
    match usize::try_from(i32_at(bytes, 8)).ok().and_then(|length| length.checked_add(PREFIX_BYTES)) {
        Some(length) if length == bytes.len() => {}
        Some(length) if (HEADER_BYTES..bytes.len()).contains(&length) => {
            return Err((E::InvalidRecord, "a produce request carries one batch a partition"));
        }
        _ => return Err((E::CorruptMessage, "the batch has another length than it says")),
    }
    if crc32c::crc32c(&bytes[CHECKED_FROM..]) != i32_at(bytes, CHECKSUM_AT) as u32 {
        return Err((E::CorruptMessage, "the checksum of the batch does not match"));
    }
    let attributes = i16_at(bytes, 21);
    if attributes & (TRANSACTIONAL_BIT | CONTROL_BIT) != 0 {
        return Err((E::InvalidRecord, "transactions are not supported"));
    }
    let (last_delta, count) = (i32_at(bytes, 23), i32_at(bytes, 57));
    if count < 1 || last_delta.checked_add(1) != Some(count) {
        return Err((E::InvalidRecord, "the number of records and the last offset do not agree"));
    }
    let compressed = attributes & COMPRESSION_BITS != 0;
    if attributes & COMPRESSION_BITS > 4 {
        return Err((E::CorruptMessage, "the batch names an unknown compression"));
    }
    let header =
        Header { count, base_timestamp: i64_at(bytes, 27), max_timestamp: i64_at(bytes, 35), compressed };
    if !compressed && !whole(bytes, count) {
        return Err((E::InvalidRecord, "the records do not fill the batch"));
    }
    Ok(header)
}

/// A batch as it lies in a log of Kafka: what its header says, unchecked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Recorded {
    /// Offset of its first record.
    pub(super) base: i64,
    /// Offset of its last record, also where compaction has emptied it.
    pub(super) last: i64,
    pub(super) header: Header,
    /// Whose transaction it belongs to.
    pub(super) transaction: Option<i64>,
    pub(super) marker: Option<Marker>,
}

/// What ends a transaction.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Marker {
    Commit,
    Abort,
}

/// The first of the batches that lie one behind another, and the bytes behind it; `None` if there is no whole one.
pub(super) fn recorded(log: &[u8]) -> Option<(Recorded, &[u8], &[u8])> {
    let length = usize::try_from(i32::from_be_bytes(log.get(8..12)?.try_into().ok()?)).ok()?;
    let (bytes, rest) = log.split_at_checked(length.checked_add(PREFIX_BYTES)?)?;
    if bytes.len() < HEADER_BYTES {
        return None;
    }
    let attributes = i16_at(bytes, 21);
    let is = |bit: i16| attributes & bit != 0;
    let header = Header {
        count: i32_at(bytes, 57),
        base_timestamp: i64_at(bytes, 27),
        max_timestamp: i64_at(bytes, 35),
        compressed: is(COMPRESSION_BITS),
    };
    let base = i64_at(bytes, 0);
    let recorded = Recorded {
        base,
        last: base + i64::from(i32_at(bytes, 23)),
        header,
        transaction: is(TRANSACTIONAL_BIT).then(|| i64_at(bytes, 43)),
        marker: is(CONTROL_BIT).then(|| marker(bytes)).flatten(),
    };
    Some((recorded, bytes, rest))
}

/// The end of a transaction, by the key of a marker's one record: version and type, two bytes each.
fn marker(bytes: &[u8]) -> Option<Marker> {
    let mut record = bytes.get(HEADER_BYTES..)?;
    varint(&mut record)?; // length
    record = record.get(1..)?; // attributes
    for _ in ["timestamp", "offset", "length of the key"] {
        varint(&mut record)?;
    }
    match i16::from_be_bytes(record.get(2..4)?.try_into().ok()?) {
        0 => Some(Marker::Abort),
        1 => Some(Marker::Commit),
        _ => None,
    }
}

/// A copy of the batch with its place in the log.
pub(super) fn placed(bytes: &[u8], base_offset: i64, leader_epoch: i32) -> Bytes {
    // A copy, since a slice would keep the whole request alive, and the log's size is counted.
    let mut batch = BytesMut::from(bytes);
    batch[..8].copy_from_slice(&base_offset.to_be_bytes());
    batch[EPOCH_AT..EPOCH_AT + 4].copy_from_slice(&leader_epoch.to_be_bytes());
    batch.freeze()
}

/// The epoch of the leader that took the batch.
pub(super) fn leader_epoch(batch: &[u8]) -> i32 {
    i32_at(batch, EPOCH_AT)
}

/// The place of each record in an uncompressed, checked batch: offset from the first and milliseconds from the base
/// timestamp.
pub(super) fn records(batch: &[u8]) -> impl Iterator<Item = (i32, i64)> {
    let mut rest = &batch[HEADER_BYTES..];
    std::iter::from_fn(move || {
        let length = usize::try_from(varint(&mut rest)?).ok()?;
        let (mut record, after) = rest.split_at_checked(length)?;
        rest = after;
        record = record.get(1..)?; // attributes
        let timestamp = varint(&mut record)?;
        Some((i32::try_from(varint(&mut record)?).ok()?, timestamp))
    })
}

/// Whether `count` records, numbered one after the other, fill the batch to its last byte.
fn whole(bytes: &[u8], count: i32) -> bool {
    let mut rest = &bytes[HEADER_BYTES..];
    let numbered = records(bytes).zip(0..).all(|((delta, _), n)| delta == n);
    for _ in 0..count {
        let length = varint(&mut rest).and_then(|length| usize::try_from(length).ok());
        match length.and_then(|length| rest.get(length..)) {
            Some(after) => rest = after,
            None => return false,
        }
    }
    numbered && rest.is_empty()
}

/// A zigzag varint of up to 64 bits.
fn varint(bytes: &mut &[u8]) -> Option<i64> {
    let mut value = 0_u64;
    for shift in (0..64).step_by(7) {
        let (first, rest) = bytes.split_first()?;
        *bytes = rest;
        value |= u64::from(first & 0x7f) << shift;
        if first & 0x80 == 0 {
            return Some((value >> 1) as i64 ^ -((value & 1) as i64));
        }
    }
    None
}

fn i16_at(bytes: &[u8], at: usize) -> i16 {
    i16::from_be_bytes([bytes[at], bytes[at + 1]])
}

fn i32_at(bytes: &[u8], at: usize) -> i32 {
    i32::from_be_bytes(bytes[at..at + 4].try_into().expect("four bytes"))
}

fn i64_at(bytes: &[u8], at: usize) -> i64 {
    i64::from_be_bytes(bytes[at..at + 8].try_into().expect("eight bytes"))
}
