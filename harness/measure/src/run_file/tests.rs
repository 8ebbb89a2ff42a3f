//! The run file, written and followed.

use std::fs::OpenOptions;
use std::io::{BufRead, BufReader, Write};
use std::path::PathBuf;
use std::process::{Command, Stdio};
use std::time::Duration;

use payment_delivery::event::OrderId;
use payment_delivery::failure::Component;
use payment_delivery::kafka::Origin;
use payment_delivery::probe::{Activity, Probe, Seen};
use proptest::prelude::*;

use super::format::{ACTIVITIES, RECORD_BYTES};
use super::{Follower, Place, Record, Recorder, RunFileError, UNNUMBERED, What};
use super::{consumer_name, consumer_number};

struct Field {
    _directory: tempfile::TempDir,
    path: PathBuf,
}

fn field() -> Field {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("worker.run");
    Field { _directory: directory, path }
}

fn origin(offset: i64) -> Origin {
    Origin { partition: 2, offset }
}

fn place(offset: i64) -> Place {
    Place { origin: origin(offset), revision: 7 }
}

/// What an event at `offset` is to `consumer`, from hand to view.
fn report(probe: &dyn Probe, consumer: &str, offset: i64) {
    let order_id = OrderId::new("o-1").unwrap();
    let seen = Seen { consumer, order_id: &order_id, revision: 7, origin: origin(offset) };
    probe.fetched(seen);
    probe.stored(seen);
    probe.visible(seen, 8);
}

fn told(records: &[Record]) -> Vec<What> {
    records.iter().map(|record| record.what).collect()
}

#[test]
fn all_that_a_probe_hears_is_followed() {
    let field = field();
    let mut follower = Follower::new(&field.path);
    assert_eq!((follower.poll().unwrap(), follower.header()), (vec![], None), "not there yet");

    let recorder = Recorder::create(&field.path).unwrap();
    assert_eq!(follower.poll().unwrap(), []);
    assert_eq!(follower.header().unwrap().pid, std::process::id());

    recorder.assigned("consumer-1", &[4, 0]);
    recorder.assigned("consumer-2", &[]);
    report(&recorder, "consumer-1", 41);
    let first = follower.poll().unwrap();
    let visible = What::Visible { place: place(41), in_view: 8 };
    assert_eq!(
        told(&first),
        [
            What::Assigned { partition: Some(4), left: 1 },
            What::Assigned { partition: Some(0), left: 0 },
            What::Assigned { partition: None, left: 0 },
            What::Fetched(place(41)),
            What::Stored(place(41)),
            visible,
        ]
    );
    assert_eq!(first.iter().map(|r| r.consumer).collect::<Vec<_>>(), [1, 1, 2, 1, 1, 1]);
    let begun = follower.header().unwrap().begun_unix_ns;
    assert!(first.is_sorted_by_key(|r| r.at_unix_ns) && first[0].at_unix_ns >= begun, "{first:?}");

    recorder.dead_lettered("consumer-1", origin(42), "not JSON");
    recorder.committed("consumer-1", 2, 43);
    recorder.skipped("consumer-1", 2, 50, 60);
    recorder.retried("consumer-1", Component::View, "away");
    recorder.released("consumer-1", true);
    assert_eq!(
        told(&follower.poll().unwrap()),
        [
            What::DeadLettered { origin: origin(42) },
            What::Committed { partition: 2, next_offset: 43 },
            What::Skipped { partition: 2, from: 50, to: 60 },
            What::Retried { component: Component::View },
            What::Released { lost: true },
        ]
    );
    assert_eq!(follower.poll().unwrap(), [], "nothing is told twice");
    recorder.finish().unwrap();
}

#[test]
fn time_spent_is_a_total_that_is_written_rarely_and_whole_at_the_end() {
    let field = field();
    let recorder = Recorder::create(&field.path).unwrap();
    for _ in 0..10_000 {
        recorder.spent("consumer-0", Activity::Store, Duration::from_nanos(300));
        recorder.spent("consumer-3", Activity::Own, Duration::from_nanos(200));
    }
    recorder.served("consumer-0", Duration::from_micros(6));
    recorder.spent("consumer-0", Activity::Service, Duration::from_micros(5));
    recorder.finish().unwrap();
    let records = Follower::new(&field.path).poll().unwrap();
    let last = |consumer, of| {
        let total = |record: &Record| match record.what {
            What::Spent { activity, total_ns } if activity == of => Some(total_ns),
            _ => None,
        };
        records.iter().rev().filter(|r| r.consumer == consumer).find_map(total)
    };
    assert_eq!(last(0, Activity::Store), Some(3_000_000));
    assert_eq!(last(3, Activity::Own), Some(2_000_000));
    assert_eq!(last(0, Activity::Service), Some(5_000));
    assert!(told(&records).contains(&What::Served { took_ns: 6_000 }));
    assert!(records.len() < 1_000, "{} records for 20,001 reports", records.len());
}

#[test]
fn a_torn_record_waits_for_its_end() {
    let field = field();
    report(&Recorder::create(&field.path).unwrap(), "consumer-0", 1);
    let whole = std::fs::read(&field.path).unwrap();
    let growing = field.path.with_extension("growing");
    let mut file = OpenOptions::new().append(true).create_new(true).open(&growing).unwrap();
    let mut follower = Follower::new(&growing);
    let mut found = Vec::new();
    for (n, byte) in whole.iter().enumerate() {
        file.write_all(&[*byte]).unwrap();
        found.extend(follower.poll().unwrap());
        assert_eq!(found.len(), (n + 1).saturating_sub(32) / RECORD_BYTES, "after {} bytes", n + 1);
    }
    assert_eq!(found, Follower::new(&field.path).poll().unwrap());
    file.set_len(40).unwrap();
    assert!(matches!(follower.poll(), Err(RunFileError::Cut { len: 40, .. })));
}

/// What a file says to its reader when these bytes of a sound one are others.
fn refused(at: usize, bytes: &[u8]) -> RunFileError {
    let field = field();
    report(&Recorder::create(&field.path).unwrap(), "consumer-0", 1);
    let mut changed = std::fs::read(&field.path).unwrap();
    changed[at..at + bytes.len()].copy_from_slice(bytes);
    std::fs::write(&field.path, changed).unwrap();
    Follower::new(&field.path).poll().unwrap_err()
}

#[test]
fn what_is_no_run_file_of_this_version_is_named() {
    assert!(matches!(refused(0, b"SQLite f"), RunFileError::Foreign { found, .. } if &found == b"SQLite f"));
    assert!(matches!(refused(8, &[9, 1]), RunFileError::UnknownVersion { found: 265, .. }));
    assert!(matches!(refused(10, &[48, 0]), RunFileError::Damaged { at_byte: 32, .. }));
    let damaged = refused(32 + RECORD_BYTES + 10, &[200]);
    assert!(matches!(damaged, RunFileError::Damaged { at_byte: 64, .. }), "{damaged}");
    assert!(damaged.to_string().contains("kind 200"), "{damaged}");

    let field = field();
    std::fs::write(&field.path, "no").unwrap();
    assert!(matches!(Follower::new(&field.path).poll(), Err(RunFileError::Foreign { .. })), "too short, too");
    assert!(matches!(Recorder::create(&field.path), Err(RunFileError::Exists { .. })));
    let nowhere = field.path.join("below");
    assert!(matches!(Recorder::create(&nowhere), Err(RunFileError::Create { .. })));
}

#[test]
fn a_full_disk_is_told_at_the_end() {
    let field = field();
    let recorder = Recorder::create(&field.path).unwrap();
    report(&recorder, "consumer-0", 1);
    recorder.replace_file(OpenOptions::new().append(true).open("/dev/full").unwrap());
    report(&recorder, "consumer-0", 2);
    let error = recorder.finish().unwrap_err();
    assert!(matches!(error, RunFileError::Write { written: 3, .. }), "{error}");
    assert!(error.to_string().contains("No space left"), "{error}");
}

#[test]
fn consumers_have_numbers() {
    for number in [0, 1, 4_711] {
        assert_eq!(consumer_number(&consumer_name(number)), number);
    }
    for unnumbered in ["", "consumer-", "consumer-x", "consumer-70000", "kafka-1"] {
        assert_eq!(consumer_number(unnumbered), UNNUMBERED, "{unnumbered:?}");
    }
}

fn any_what() -> impl Strategy<Value = What> {
    let origin = (any::<i32>(), any::<i64>()).prop_map(|(partition, offset)| Origin { partition, offset });
    let place = (origin.clone(), any::<u32>()).prop_map(|(origin, revision)| Place { origin, revision });
    let components = prop::sample::select(vec![Component::Store, Component::View, Component::Broker]);
    let activities = prop::sample::select(ACTIVITIES.to_vec());
    prop_oneof![
        place.clone().prop_map(What::Fetched),
        place.clone().prop_map(What::Stored),
        (place.clone(), any::<u32>()).prop_map(|(place, in_view)| What::Visible { place, in_view }),
        place.prop_map(What::Parked),
        origin.prop_map(|origin| What::DeadLettered { origin }),
        (any::<i32>(), any::<u32>())
            .prop_map(|(partition, left)| What::Assigned { partition: Some(partition), left }),
        Just(What::Assigned { partition: None, left: 0 }),
        any::<bool>().prop_map(|lost| What::Released { lost }),
        (any::<i32>(), any::<i64>())
            .prop_map(|(partition, next_offset)| What::Committed { partition, next_offset }),
        (activities, any::<u64>()).prop_map(|(activity, total_ns)| What::Spent { activity, total_ns }),
        any::<u64>().prop_map(|took_ns| What::Served { took_ns }),
        (any::<i32>(), any::<i64>(), any::<i64>()).prop_map(|(partition, from, to)| What::Skipped {
            partition,
            from,
            to
        }),
        components.prop_map(|component| What::Retried { component }),
    ]
}

proptest! {
    #[test]
    fn a_record_survives_the_file(at_unix_ns in any::<i64>(), consumer in any::<u16>(), what in any_what()) {
        let record = Record { at_unix_ns, consumer, what };
        prop_assert_eq!(Record::decode(&record.encode()), Ok(record));
    }

    #[test]
    fn any_bytes_are_a_record_or_refused(bytes in any::<[u8; RECORD_BYTES]>(), kind in 0_u8..16) {
        let mut bytes = bytes;
        bytes[10] = kind;
        if let Ok(record) = Record::decode(&bytes) {
            prop_assert_eq!(Record::decode(&record.encode()), Ok(record));
        }
    }
}

/// Names the file to the process that is killed.
const FILE: &str = "LANEBENCH_TEST_RUN_FILE";

#[test]
fn what_a_killed_process_reported_is_read_back() {
    let field = field();
    let mut follower = Follower::new(&field.path);
    let mut writer = Command::new(std::env::current_exe().unwrap())
        .args(["--exact", "run_file::tests::writes_until_killed", "--ignored", "--nocapture"])
        .env(FILE, &field.path)
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let pid = writer.id();
    let mut said = 0_i64; // events of which the writer said that it had reported them
    let mut found = Vec::new();
    for line in BufReader::new(writer.stdout.take().unwrap()).lines() {
        if let Some(event) = line.unwrap().strip_prefix("reported ") {
            said = event.parse().unwrap();
            found.extend(follower.poll().unwrap());
        }
        if said == 500 {
            writer.kill().unwrap();
        }
    }
    assert!(!writer.wait().unwrap().success(), "it was to be killed");
    found.extend(follower.poll().unwrap());
    assert_eq!(follower.header().unwrap().pid, pid);
    let visible = |record: &Record| matches!(record.what, What::Visible { .. });
    let seen = found.iter().filter(|record| visible(record)).count() as i64;
    assert!(said >= 500 && seen >= said, "{said} were reported and {seen} are in the file");
    for (n, record) in found.iter().enumerate() {
        let place = place(n as i64 / 3 + 1);
        let expected = [What::Fetched(place), What::Stored(place), What::Visible { place, in_view: 8 }];
        assert_eq!(record.what, expected[n % 3], "record {n}");
    }
}

#[test]
#[ignore = "started, and killed, by what_a_killed_process_reported_is_read_back"]
fn writes_until_killed() {
    let path = std::env::var_os(FILE).expect("the test that starts this names the file");
    let recorder = Recorder::create(path.as_ref()).unwrap();
    for event in 1.. {
        report(&recorder, "consumer-0", event);
        println!("reported {event}");
    }
}
