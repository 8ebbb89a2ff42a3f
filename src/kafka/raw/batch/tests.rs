//! Batches that Kafka's own client wrote, batches of our own, and what is wrong with damaged ones.

use proptest::prelude::*;

use super::*;

/// What ci/fixtures/batches makes, with Kafka's own client: the same records in each codec.
const FIXTURES: [(&str, &[u8]); 5] = [
    ("none", include_bytes!("../../../../harness/tests/brokers/fixtures/none.batch")),
    ("gzip", include_bytes!("../../../../harness/tests/brokers/fixtures/gzip.batch")),
    ("snappy", include_bytes!("../../../../harness/tests/brokers/fixtures/snappy.batch")),
    ("lz4", include_bytes!("../../../../harness/tests/brokers/fixtures/lz4.batch")),
    ("zstd", include_bytes!("../../../../harness/tests/brokers/fixtures/zstd.batch")),
];

#[test]
fn every_codec_of_kafka_gives_the_same_records() {
    for (codec, bytes) in FIXTURES {
        let read = batches(bytes).unwrap_or_else(|error| panic!("{codec}: {error}"));
        let [Batch { last_offset: 19, producer_id: -1, is_transactional: false, content }] = &read[..] else {
            panic!("{codec}: {read:?}");
        };
        let Content::Records(records) = content else { panic!("{codec}: {content:?}") };
        assert_eq!(records.len(), 20, "{codec}");
        for (i, (offset, message)) in (0..).zip(records) {
            let value =
                format!("{{\"order\":{},\"revision\":{},\"address\":\"Hauptstrasse 1\"}}", i % 4, 1 + i / 4);
            let expected = Message {
                key: Some(format!("order-{}", i % 4).into_bytes()),
                value: Some(value.into_bytes()),
                headers: Headers::default(),
                timestamp_ms: 1_767_312_000_000 + i,
            };
            assert_eq!((*offset, message), (i, &expected), "{codec}");
        }
    }
}

/// A batch with these fields, and a checksum that holds.
fn made(base_offset: i64, attributes: i16, last_offset_delta: i32, count: i32, records: &[u8]) -> Vec<u8> {
    let mut batch = batch_of(&Message::default());
    batch.truncate(61);
    batch.extend(records);
    let length = (batch.len() - BEFORE_LENGTH_COUNTS) as i32;
    for (at, bytes) in [
        (0, &base_offset.to_be_bytes()[..]),
        (8, &length.to_be_bytes()),
        (21, &attributes.to_be_bytes()),
        (23, &last_offset_delta.to_be_bytes()),
        (57, &count.to_be_bytes()),
    ] {
        batch[at..at + bytes.len()].copy_from_slice(bytes);
    }
    let checksum = crc32c::crc32c(&batch[CHECKED_FROM..]).to_be_bytes();
    batch[17..21].copy_from_slice(&checksum);
    batch
}

/// The record of a message with this key, as it lies in a batch.
fn record_with_key(key: &[u8]) -> Vec<u8> {
    batch_of(&Message { key: Some(key.to_vec()), ..Message::default() })[61..].to_vec()
}

#[test]
fn control_batches_tell_how_a_transaction_ended() {
    let marker = |kind: u8| made(7, CONTROL | TRANSACTIONAL, 0, 1, &record_with_key(&[0, 0, 0, kind]));
    for (kind, content) in [(0, Content::Aborted), (1, Content::Marker), (2, Content::Marker)] {
        let read = batches(&marker(kind)).unwrap();
        assert_eq!((read[0].last_offset, &read[0].content), (7, &content));
        assert!(read[0].is_transactional);
    }
}

#[test]
fn an_emptied_batch_still_ends_where_it_ended() {
    let read = batches(&made(10, 0, 4, 0, &[])).unwrap();
    assert_eq!((read[0].last_offset, &read[0].content), (14, &Content::Records(vec![])));
    let packed = batches(&made(10, 1, 4, 0, &[])).unwrap();
    assert_eq!(packed[0].content, Content::Records(vec![]), "and no codec is asked about nothing");
    assert_eq!(batches(&made(3, CONTROL, 0, 0, &[])).unwrap()[0].content, Content::Marker);
}

#[test]
fn the_log_s_own_time_is_every_record_s() {
    let mut batch = made(0, LOG_APPEND_TIME, 0, 1, &record_with_key(b"k"));
    batch[35..43].copy_from_slice(&1234_i64.to_be_bytes());
    let checksum = crc32c::crc32c(&batch[CHECKED_FROM..]).to_be_bytes();
    batch[17..21].copy_from_slice(&checksum);
    let read = batches(&batch).unwrap();
    let Content::Records(records) = &read[0].content else { panic!("{read:?}") };
    assert_eq!(records[0].1.timestamp_ms, 1234);
}

#[test]
fn a_batch_that_was_cut_by_a_limit_comes_with_the_next_fetch() {
    let [first, second] = ["a", "b"].map(|key| made(0, 0, 0, 1, &record_with_key(key.as_bytes())));
    let log = [&first[..], &second].concat();
    assert_eq!(batches(&log).unwrap().len(), 2);
    for end in first.len()..log.len() {
        assert_eq!(batches(&log[..end]).unwrap().len(), 1, "{end} bytes");
    }
    assert_eq!(batches(&first[..20]), Ok(vec![]));
}

#[track_caller]
fn faulty(batch: &[u8], words: &str) {
    let error = batches(batch).unwrap_err().to_string();
    assert!(error.contains(words) && error.contains("at offset"), "{error}");
}

#[test]
fn a_batch_that_nobody_can_read_is_named() {
    let good = made(5, 0, 0, 1, &record_with_key(b"k"));
    let mut old = good.clone();
    old[16] = 1;
    faulty(&old, "of format 1");
    let mut damaged = good.clone();
    *damaged.last_mut().unwrap() ^= 1;
    faulty(&damaged, "its checksum is");
    faulty(&made(5, 7, 0, 1, b"?"), "compression type 7");
    faulty(&made(5, 4, 0, 1, b"?"), "zstd can't unpack it");
    faulty(&made(5, 0, 0, 2, &record_with_key(b"k")), "ends too early");
    faulty(&made(5, 0, 0, 1, &[&record_with_key(b"k")[..], &[0]].concat()), "behind its last record");
    faulty(&made(5, CONTROL, 0, 1, &record_with_key(&[0])), "ends too early");
    // What lies before it is read first.
    let log = [&good[..], &damaged].concat();
    assert_eq!(batches(&log).unwrap().len(), 1);
}

prop_compose! {
    fn messages()(
        key: Option<Vec<u8>>,
        value: Option<Vec<u8>>,
        headers in proptest::collection::vec(("[a-c]{0,2}", any::<Option<Vec<u8>>>()), 0..4),
        timestamp_ms: i64,
    ) -> Message {
        let mut kept = Headers::default();
        for (name, value) in &headers {
            kept.push(name.as_bytes(), value.as_deref());
        }
        Message { key, value, headers: kept, timestamp_ms }
    }
}

proptest! {
    #[test]
    fn a_message_survives_the_trip(message in messages()) {
        let batch = batch_of(&message);
        let read = batches(&batch).unwrap();
        prop_assert_eq!(&read[0].content, &Content::Records(vec![(0, message)]));
    }

    /// Whatever a broker may send, the reader neither panics nor asks for more memory than it was sent.
    #[test]
    fn rubbish_never_panics(mut batch in proptest::collection::vec(any::<u8>(), 61..200), attributes in 0..64_i16) {
        let length = (batch.len() - BEFORE_LENGTH_COUNTS) as i32;
        batch[8..12].copy_from_slice(&length.to_be_bytes());
        batch[16] = 2;
        batch[21..23].copy_from_slice(&attributes.to_be_bytes());
        let checksum = crc32c::crc32c(&batch[CHECKED_FROM..]).to_be_bytes();
        batch[17..21].copy_from_slice(&checksum);
        let _ = batches(&batch);
    }
}
