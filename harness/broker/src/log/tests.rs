//! The log against the plainest model there is: a vector of records.

use bytes::{BufMut, BytesMut};
use proptest::prelude::*;

use super::*;
use crate::batch::HEADER_BYTES;

/// A batch whose record `n` has timestamp `base + n` and a value of `size` bytes, as a client would send it.
fn batch(count: i32, base: i64, size: usize) -> Vec<u8> {
    fn varint(out: &mut BytesMut, value: i64) {
        let mut rest = ((value << 1) ^ (value >> 63)) as u64;
        while rest >= 0x80 {
            out.put_u8(rest as u8 | 0x80);
            rest >>= 7;
        }
        out.put_u8(rest as u8);
    }
    let mut records = BytesMut::new();
    for n in 0..count {
        let mut record = BytesMut::new();
        record.put_u8(0); // attributes
        varint(&mut record, n.into()); // timestamp
        varint(&mut record, n.into()); // offset
        varint(&mut record, -1); // no key
        varint(&mut record, size as i64);
        record.put_bytes(7, size);
        varint(&mut record, 0); // headers
        varint(&mut records, record.len() as i64);
        records.extend_from_slice(&record);
    }
    let mut out = BytesMut::new();
    out.put_i64(0);
    out.put_i32((HEADER_BYTES - 12 + records.len()) as i32);
    out.put_i32(-1); // leader epoch
    out.put_u8(2);
    out.put_u32(0); // checksum, below
    out.put_i16(0); // attributes: not compressed
    out.put_i32(count - 1);
    out.put_i64(base);
    out.put_i64(base + i64::from(count) - 1);
    out.put_i64(-1);
    out.put_i16(-1);
    out.put_i32(-1);
    out.put_i32(count);
    out.extend_from_slice(&records);
    sealed(out.to_vec())
}

/// With the checksum that its bytes have.
fn sealed(mut bytes: Vec<u8>) -> Vec<u8> {
    let checksum = crc32c::crc32c(&bytes[21..]);
    bytes[17..21].copy_from_slice(&checksum.to_be_bytes());
    bytes
}

fn log(limit: usize) -> (Log, Arc<Budget>) {
    let budget = Arc::new(Budget::new(limit));
    (Log::new(Arc::clone(&budget)), budget)
}

fn append(log: &mut Log, bytes: &[u8]) -> Result<i64, Full> {
    let header = batch::check(bytes).expect("the test makes good batches");
    log.append(header, bytes, 3)
}

/// Offset and timestamp of every record in batches that were read.
fn contents(batches: &[Bytes]) -> Vec<(i64, i64)> {
    let mut records = Vec::new();
    for bytes in batches {
        let base = i64::from_be_bytes(bytes[..8].try_into().unwrap());
        let first = i64::from_be_bytes(bytes[27..35].try_into().unwrap());
        assert_eq!(batch::leader_epoch(bytes), 3);
        assert_eq!(sealed(bytes.to_vec()), *bytes, "the checksum still matches");
        records.extend(batch::records(bytes).map(|(delta, ts)| (base + i64::from(delta), first + ts)));
    }
    records
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn from_any_offset_and_time_the_log_reads_as_a_vector(
        batches in prop::collection::vec((1..6_i32, 0..50_i64, 0..40_usize), 0..12),
        max_bytes in 0..800_usize,
        deleted in 0..20_i64,
    ) {
        let (mut log, budget) = log(usize::MAX);
        let mut model: Vec<(i64, i64)> = Vec::new(); // offset, timestamp
        for (count, base, size) in &batches {
            let first = model.len() as i64;
            prop_assert_eq!(append(&mut log, &batch(*count, *base, *size)), Ok(first));
            model.extend((0..i64::from(*count)).map(|n| (first + n, base + n)));
        }
        let end = model.len() as i64;
        let start = deleted.min(end);
        log.delete_before(start).unwrap();
        prop_assert_eq!((log.start(), log.end()), (start, end));
        for offset in -1..=end + 1 {
            let read = log.read(offset, i64::MAX, max_bytes, true);
            if !(start..=end).contains(&offset) {
                prop_assert_eq!(read.unwrap_err(), OutOfRange);
                continue;
            }
            let read = read.unwrap();
            let total: usize = read.iter().map(Bytes::len).sum();
            prop_assert!(read.len() <= 1 || total <= max_bytes);
            let records = contents(&read);
            // Whole batches: some records before the offset may come, none from it on may be missing.
            let from = records.first().map_or(offset, |(first, _)| *first);
            prop_assert!(from <= offset && (offset == end) == records.is_empty());
            prop_assert!(records.is_empty() || records.last().unwrap().0 >= offset);
            prop_assert_eq!(&records[..], &model[from as usize..][..records.len()]);
            let all = contents(&log.read(offset, i64::MAX, usize::MAX, false).unwrap());
            prop_assert_eq!(all.last(), model[offset as usize..].last());
        }
        for time in 0..60 {
            let expected = model.iter().find(|(offset, timestamp)| *offset >= start && *timestamp >= time);
            let found = log.at_timestamp(time).map(|found| (found.offset, found.timestamp));
            prop_assert_eq!(found, expected.copied());
        }
        drop(log);
        prop_assert_eq!(budget.used(), 0);
    }

    #[test]
    fn no_bytes_make_the_check_panic(mut bytes in prop::collection::vec(any::<u8>(), 0..200), seal: bool) {
        if seal && bytes.len() >= HEADER_BYTES {
            let length = (bytes.len() - 12) as i32;
            bytes[8..12].copy_from_slice(&length.to_be_bytes());
            bytes[16] = 2;
            bytes = sealed(bytes);
        }
        let _ = batch::check(&bytes);
    }
}

#[test]
fn the_budget_is_kept_by_all_logs_together() {
    let one = batch(1, 0, 100);
    let (mut first, budget) = log(2 * one.len());
    let mut second = Log::new(Arc::clone(&budget));
    assert_eq!((append(&mut first, &one), append(&mut second, &one)), (Ok(0), Ok(0)));
    assert_eq!(append(&mut first, &one), Err(Full));
    assert_eq!(first.end(), 1, "what was refused left nothing behind");
    second.clear();
    assert_eq!(append(&mut first, &one), Ok(1));
}

/// Changes a good batch and sees how it is refused.
#[track_caller]
fn refused(change: impl FnOnce(&mut Vec<u8>), expected: kafka_protocol::error::ResponseError) {
    let mut bytes = batch(3, 10, 5);
    change(&mut bytes);
    assert_eq!(batch::check(&bytes).map_err(|(error, _)| error), Err(expected));
}

#[test]
fn what_is_no_batch_is_refused_with_kafkas_error() {
    use kafka_protocol::error::ResponseError as E;
    refused(|b| b.clear(), E::CorruptMessage);
    refused(|b| b.truncate(b.len() - 1), E::CorruptMessage);
    refused(|b| b.push(0), E::InvalidRecord); // more follows
    refused(|b| b[16] = 1, E::UnsupportedForMessageFormat);
    refused(|b| *b.last_mut().unwrap() ^= 1, E::CorruptMessage); // checksum
    let sealed_with = |at: usize, value: u8| {
        move |b: &mut Vec<u8>| {
            b[at] = value;
            *b = sealed(b.clone());
        }
    };
    refused(sealed_with(22, 0x10), E::InvalidRecord); // transactional
    refused(sealed_with(22, 0x20), E::InvalidRecord); // control
    refused(sealed_with(22, 0x05), E::CorruptMessage); // compression that is none
    refused(sealed_with(60, 4), E::InvalidRecord); // more records than offsets
    refused(sealed_with(HEADER_BYTES, 100), E::InvalidRecord); // a record longer than the batch
}

#[test]
fn a_compressed_batch_is_found_by_time_with_its_first_record() {
    let (mut log, _) = log(usize::MAX);
    append(&mut log, &batch(2, 10, 1)).unwrap();
    let mut gzip = batch(5, 20, 1);
    gzip[22] = 1;
    append(&mut log, &sealed(gzip)).unwrap();
    let found = log.at_timestamp(23).unwrap();
    assert_eq!((found.offset, found.timestamp), (2, 20));
    assert_eq!(log.at_max_timestamp().unwrap().offset, 6);
    assert_eq!(log.at_timestamp(25), None);
}
