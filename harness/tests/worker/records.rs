//! What real Kafka's log holds once its own producer has put every kind of record there, put into the embedded broker's log: what becomes of
//! each. `ci/fixtures/records` makes the logs.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use payment_delivery::kafka::Origin;
use payment_delivery::store::DeliveryStore as _;
use serde_json::{Value, json};
use tokio::time::sleep;

use crate::bed::{self, Bed, TOPIC};
use crate::evidence::evidence;

#[path = "../common/records.rs"]
mod kinds;

use kinds::{FATES, Fate, Place, Written};

const KINDS: &[u8] = include_bytes!("fixtures/kinds.log");
const KINDS_WRITTEN: &str = include_str!("fixtures/kinds.txt");
const EMPTIED: &[u8] = include_bytes!("fixtures/emptied.log");
const EMPTIED_WRITTEN: &str = include_str!("fixtures/emptied.txt");
/// How long the last event may take.
const DELIVERED_WITHIN: Duration = Duration::from_secs(5);

/// On these components: the embedded broker refuses no timestamp.
fn fate_of(kind: &str) -> Option<Fate> {
    match kind {
        "undecodable-far-ahead" => Some(Fate::DeadLettered),
        kind => FATES.iter().find(|(known, _)| *known == kind).map(|(_, fate)| *fate),
    }
}

/// The same records as they lie in `partition`.
fn written_in(partition: i32, text: &str) -> Vec<Written> {
    let placed = |written: Written| {
        let offset = written.origin.offset;
        Written { origin: Origin { partition, offset }, ..written }
    };
    kinds::written(text).into_iter().map(placed).collect()
}

/// Puts the log into each partition in turn, with so many consumers at work; what is applied, parked and dead-lettered.
async fn worked_off(partitions: i32, arguments: &[&str], log: &[u8], text: &str) -> Value {
    let (mut slowest, mut found) = (Duration::ZERO, BTreeMap::new());
    for partition in 0..partitions {
        let bed = Bed::of(partitions, partitions).await;
        let mut worker = bed.start("one", arguments);
        let all = usize::try_from(partitions).unwrap();
        worker.until("all partitions", |records| bed::owned(records).len() == all).await;
        bed.put_log(partition, log);
        let (begun, end) = (Instant::now(), bed.admin.end_offsets(TOPIC).await.unwrap()[&partition]);
        while bed.admin.group_offsets(bed::GROUP, TOPIC).await.unwrap().get(&partition) != Some(&end) {
            assert!(begun.elapsed() < DELIVERED_WITHIN, "partition {partition} of {partitions} is stuck");
            sleep(Duration::from_millis(20)).await;
        }
        slowest = slowest.max(begun.elapsed());
        let place = Place { bootstrap: &bed.bootstrap(), admin: &bed.admin, topic: TOPIC };
        let fates = kinds::fates(&place, &bed.store, &written_in(partition, text), fate_of).await;
        found = fates.unwrap_or_else(|failed| panic!("partition {partition} of {partitions}: {failed:?}"));
        worker.signal(nix::sys::signal::Signal::SIGTERM);
        assert_eq!(worker.ended().await, Some(0));
        bed.stop().await;
    }
    json!({"partitions": partitions, "arguments": arguments.join(" "), "fates_on_each": found, "lag": 0,
        "worked_off_within_ms": slowest.as_millis() as u64})
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_kind_of_record_has_its_fate_on_every_partition() {
    let mut figures = Vec::new();
    for (partitions, arguments) in [
        (1, &["--consumers", "1"][..]),
        (3, &["--consumers", "1"]),
        (3, &["--consumers", "3"]),
        (1, &["--reader", "raw"]),
    ] {
        figures.push(worked_off(partitions, arguments, KINDS, KINDS_WRITTEN).await);
    }
    evidence("record-kinds-embedded", &json!(figures)).unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_batch_that_compaction_has_emptied_is_stepped_over() {
    worked_off(3, &["--consumers", "1"], EMPTIED, EMPTIED_WRITTEN).await;
}

/// Where the second batch begins.
fn second_batch(log: &[u8]) -> usize {
    12 + i32::from_be_bytes(log[8..12].try_into().unwrap()) as usize
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_batch_whose_checksum_is_wrong_ends_the_worker_with_a_named_error() {
    let mut figures = Vec::new();
    for reader in ["rskafka", "raw"] {
        let bed = Bed::of(1, 1).await;
        let mut worker = bed.start("one", &["--reader", reader]);
        let mut log = KINDS.to_vec();
        let second = second_batch(&log);
        let third = second + second_batch(&log[second..]);
        log[third - 1] ^= 1; // the last byte of the second
        bed.put_log(0, &log);
        assert_eq!(worker.ended().await, Some(1), "{reader}");
        let told = worker.told().await;
        for word in ["partition 0 can't be read on from offset 1", "its checksum is"] {
            assert!(told.contains(word), "{reader}: {word} is not in {told}");
        }
        let rows = bed.store.deliveries().await.unwrap();
        let applied: Vec<_> = rows.iter().map(|row| (row.order_id.as_str(), row.applied)).collect();
        assert_eq!(applied, [("plain-0", 1)], "what lies before it is worked off");
        let committed = bed.admin.group_offsets(bed::GROUP, TOPIC).await.unwrap();
        assert_eq!(committed.get(&0), Some(&1), "and committed, and nothing behind it");
        bed.stop().await;
        let error = told.lines().find(|line| line.starts_with("error:")).unwrap_or_default();
        figures.push(json!({"reader": reader, "exit": 1, "error": error, "applied_before": applied.len(), "committed": 1}));
    }
    evidence("wrong-checksum", &json!(figures)).unwrap();
}

/// What lies behind an open transaction is not delivered, and is once it has ended.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_open_transaction_is_waited_for_and_warned_of() {
    let bed = Bed::of(1, 1).await;
    let mut worker = bed.start("one", &[]);
    // The log up to the marker of its first transaction, which is the batch at offset 21.
    let (mut at, mut offset) = (0, 0);
    while offset < 21 {
        at += second_batch(&KINDS[at..]);
        offset = i64::from_be_bytes(KINDS[at..at + 8].try_into().unwrap());
    }
    let (open, rest) = KINDS.split_at(at);
    bed.put_log(0, open);
    worker.until("what lies before it", |records| bed::count(records) == 20).await;
    sleep(Duration::from_secs(4)).await; // longer than a transaction may be open unsaid
    worker.follow();
    assert_eq!(bed::count(&worker.records), 20, "the record of the transaction is not delivered");
    bed.put_log(0, rest);
    let applied =
        written_in(0, KINDS_WRITTEN).iter().filter(|w| fate_of(&w.kind) == Some(Fate::Applied)).count();
    worker.until("what lies behind it", |records| bed::count(records) == applied).await;
    worker.signal(nix::sys::signal::Signal::SIGTERM);
    assert_eq!(worker.ended().await, Some(0));
    let told = worker.told().await;
    assert!(
        told.contains("an open transaction hides what lies behind it") && told.contains("since_offset=20"),
        "{told}"
    );
    bed.stop().await;
}
