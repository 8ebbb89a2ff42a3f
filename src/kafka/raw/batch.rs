//! Record batches of format 2 (KIP-98) as they lie in a log: read, checked and unpacked; and written, one record a batch.

use super::bytes::{Input, put_nullable, put_varint};
use super::codec::Codec;
use crate::kafka::{Headers, Message};

/// Base offset and length, which the length does not count.
const BEFORE_LENGTH_COUNTS: usize = 12;
/// What the checksum covers begins here: behind offset, length, leader epoch, format and the checksum itself.
const CHECKED_FROM: usize = 21;
/// The only format that Kafka 4 writes; producers have not written others since Kafka 0.11.
const FORMAT: i8 = 2;

const LOG_APPEND_TIME: i16 = 1 << 3;
const TRANSACTIONAL: i16 = 1 << 4;
const CONTROL: i16 = 1 << 5;

/// Not in the record format: what is wrong with it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Malformed(pub(super) &'static str);

/// Why a batch can't be read, by anybody.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the record batch at offset {offset} can't be read: {fault}")]
pub(crate) struct BatchError {
    /// The batch's first offset.
    pub(crate) offset: i64,
    /// What is wrong with it.
    pub(crate) fault: BatchFault,
}

/// What is wrong with a batch.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum BatchFault {
    /// From before Kafka 0.11, or from a future Kafka.
    #[error("it is of format {0}, and only format 2 is known here")]
    Format(i8),
    /// Damaged on its way or on the disk.
    #[error("its checksum is {stated:#010x}, and its bytes give {found:#010x}")]
    Checksum {
        /// As the batch has it.
        stated: u32,
        /// Of its bytes.
        found: u32,
    },
    /// A number that Kafka has not given to a codec.
    #[error("compression type {0} is unknown")]
    Codec(i16),
    /// The codec refuses the bytes.
    #[error("{codec} can't unpack it: {why}")]
    Unpack {
        /// The codec.
        codec: &'static str,
        /// In its words.
        why: String,
    },
    /// Something else that the format does not allow.
    #[error("{0}")]
    Malformed(&'static str),
}

impl From<Malformed> for BatchFault {
    fn from(Malformed(what): Malformed) -> Self {
        Self::Malformed(what)
    }
}

/// A batch of the log.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Batch {
    /// The offset of its last record, also where compaction has emptied it.
    pub(crate) last_offset: i64,
    /// Whose transactions it belongs to; −1 for a producer without an id.
    pub(crate) producer_id: i64,
    /// Whether it is part of a transaction.
    pub(crate) is_transactional: bool,
    /// What it holds.
    pub(crate) content: Content,
}

/// What a batch holds.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Content {
    /// Records by offset; none where compaction has emptied it.
    Records(Vec<(i64, Message)>),
    /// The end of a transaction.
    Aborted,
    /// The end of a transaction, or another marker that is not for consumers.
    Marker,
}

/// The whole batches at the head of `log`, up to the first that can't be read. A last one that was cut by a fetch's limit is left out.
///
/// # Errors
/// [`BatchError`] if the very first one can't be read.
pub(crate) fn batches(mut log: &[u8]) -> Result<Vec<Batch>, BatchError> {
    let mut batches = Vec::new();
    while let Some((bytes, rest)) = split_batch(log) {
        match batch(bytes) {
            Ok(batch) => batches.push(batch),
            Err(error) if batches.is_empty() => return Err(error),
            Err(_) => break, // the next fetch begins with it
        }
        log = rest;
    }
    Ok(batches)
}

/// The first batch's bytes, and those behind it; `None` if it is cut.
fn split_batch(log: &[u8]) -> Option<(&[u8], &[u8])> {
    let (head, _) = log.split_at_checked(BEFORE_LENGTH_COUNTS)?;
    let length = i32::from_be_bytes(head[8..].try_into().ok()?);
    log.split_at_checked(BEFORE_LENGTH_COUNTS + usize::try_from(length).ok()?)
}

fn batch(bytes: &[u8]) -> Result<Batch, BatchError> {
    let mut input = Input(bytes);
    let offset = input.i64().unwrap_or_default();
    fields(offset, bytes, input).map_err(|fault| BatchError { offset, fault })
}

fn fields(base_offset: i64, bytes: &[u8], mut input: Input<'_>) -> Result<Batch, BatchFault> {
    let _length = input.i32()?;
    let _leader_epoch = input.i32()?;
    let format = input.i8()?;
    if format != FORMAT {
        return Err(BatchFault::Format(format));
    }
    let stated = input.i32()?.cast_unsigned();
    let found = crc32c::crc32c(&bytes[CHECKED_FROM..]);
    if stated != found {
        return Err(BatchFault::Checksum { stated, found });
    }
    let attributes = input.i16()?;
    let last_offset_delta = input.i32()?;
    let base_timestamp = input.i64()?;
    let max_timestamp = input.i64()?;
    let producer_id = input.i64()?;
    let _producer_epoch = input.i16()?;
    let _base_sequence = input.i32()?;
    let count = input.i32()?;

    let codec = Codec::of(attributes).ok_or(BatchFault::Codec(attributes & 0x7))?;
    let unpacked = if count > 0 && codec != Codec::None {
        codec
            .unpack(input.0)
            .map_err(|why| BatchFault::Unpack { codec: codec.name(), why: why.to_string() })?
    } else {
        Vec::new()
    };
    let mut records = if codec == Codec::None { input } else { Input(&unpacked) };
    let timestamp = (attributes & LOG_APPEND_TIME != 0).then_some(max_timestamp);
    let mut read = Vec::new();
    for _ in 0..count {
        let (offset_delta, timestamp_delta, mut message) = record(&mut records)?;
        message.timestamp_ms = timestamp.unwrap_or(base_timestamp.saturating_add(timestamp_delta));
        read.push((base_offset + i64::from(offset_delta), message));
    }
    if count > 0 && !records.is_empty() {
        return Err(BatchFault::Malformed("there are bytes behind its last record"));
    }
    let content = match read.first() {
        Some((_, marker)) if attributes & CONTROL != 0 => control(marker)?,
        None if attributes & CONTROL != 0 => Content::Marker, // emptied by compaction
        _ => Content::Records(read),
    };
    Ok(Batch {
        last_offset: base_offset + i64::from(last_offset_delta),
        producer_id,
        is_transactional: attributes & TRANSACTIONAL != 0,
        content,
    })
}

/// Offset and timestamp, relative to the batch's, and the message, whose timestamp is to be set.
fn record(input: &mut Input<'_>) -> Result<(i32, i64, Message), Malformed> {
    let length = usize::try_from(input.varint()?).map_err(|_| Malformed("a record of negative length"))?;
    let mut input = Input(input.take(length)?);
    let _attributes = input.i8()?;
    let timestamp_delta = input.varlong()?;
    let offset_delta = input.varint()?;
    let key = input.nullable()?.map(<[u8]>::to_vec);
    let value = input.nullable()?.map(<[u8]>::to_vec);
    let mut headers = Headers::default();
    for _ in 0..input.count()? {
        let name = input.nullable()?.ok_or(Malformed("a header without a name"))?;
        headers.push(name, input.nullable()?);
    }
    if !input.is_empty() {
        return Err(Malformed("there are bytes behind a record's last header"));
    }
    Ok((offset_delta, timestamp_delta, Message { key, value, headers, timestamp_ms: 0 }))
}

/// What the one record of a control batch says: in its key, a version and a type.
fn control(marker: &Message) -> Result<Content, Malformed> {
    const ABORT: i16 = 0;
    let mut key = Input(marker.key.as_deref().ok_or(Malformed("a control record without a key"))?);
    let _version = key.i16()?;
    Ok(if key.i16()? == ABORT { Content::Aborted } else { Content::Marker })
}

/// A batch of `message` alone, to be produced.
pub(crate) fn batch_of(message: &Message) -> Vec<u8> {
    let mut record = vec![0]; // attributes
    put_varint(&mut record, 0); // timestamp, relative to the batch's
    put_varint(&mut record, 0); // offset, likewise
    put_nullable(&mut record, message.key.as_deref());
    put_nullable(&mut record, message.value.as_deref());
    put_varint(&mut record, message.headers.len() as i64);
    for header in &message.headers {
        put_nullable(&mut record, Some(&header.name));
        put_nullable(&mut record, header.value.as_deref());
    }
    let mut checked = Vec::with_capacity(record.len() + 64);
    checked.extend(0_i16.to_be_bytes()); // attributes: no compression, the producer's time, no transaction
    checked.extend(0_i32.to_be_bytes()); // last offset, relative to the first
    checked.extend(message.timestamp_ms.to_be_bytes()); // of the first record
    checked.extend(message.timestamp_ms.to_be_bytes()); // the latest
    checked.extend((-1_i64).to_be_bytes()); // no producer id,
    checked.extend((-1_i16).to_be_bytes()); // no epoch,
    checked.extend((-1_i32).to_be_bytes()); // no sequence
    checked.extend(1_i32.to_be_bytes()); // records
    put_varint(&mut checked, record.len() as i64);
    checked.extend(record);

    let mut batch = Vec::with_capacity(checked.len() + CHECKED_FROM);
    batch.extend(0_i64.to_be_bytes()); // base offset, which the broker sets
    let length = (CHECKED_FROM - BEFORE_LENGTH_COUNTS + checked.len()) as i32;
    batch.extend(length.to_be_bytes());
    batch.extend((-1_i32).to_be_bytes()); // leader epoch, likewise
    batch.push(FORMAT.cast_unsigned());
    batch.extend(crc32c::crc32c(&checked).to_be_bytes());
    batch.extend(checked);
    batch
}

#[cfg(test)]
mod tests;
