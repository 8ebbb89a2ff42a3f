//! Whatever Kafka's own producer may put into a topic: what becomes of each kind of record, on each partition.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::process::Stdio;
use std::sync::Arc;
use std::time::{Duration, Instant};

use libtest_mimic::Failed;
use payment_delivery::consumer::dead_letter_topic;
use payment_delivery::consumer::mode::dead_letter::{CUT_HEADER, TIMESTAMP_HEADER, origin_and_reason};
use payment_delivery::kafka::fetch::read_all;
use payment_delivery::kafka::{Fetched, Header, Message, Origin};
use payment_delivery::store::DeliveryStore;
use serde_json::json;

use crate::Case;
use crate::bed::{Bed, Diary, Field, check, evidence, until};
use crate::common::kafka_tool;

pub(crate) const CASES: &[Case] = &[("every kind of record is worked off on every partition", every_kind)];

const WITHIN: Duration = Duration::from_secs(20);

/// What has to become of a record.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Fate {
    /// Its event is in a row.
    Applied,
    /// It leaves no trace: its transaction was aborted.
    Never,
    /// It waits in the store for what comes before it.
    Parked,
    /// It is in the dead-letter topic as it was.
    DeadLettered,
    /// The same, but for its timestamp, which that topic refuses.
    DeadLetteredNow,
    /// The same, but cut, since that topic takes nothing so large.
    DeadLetteredCut,
}

/// By the kinds of `RecordKinds.java`.
const FATES: &[(&str, Fate)] = &[
    ("good", Fate::Applied),
    ("plain", Fate::Applied),
    ("gzip", Fate::Applied),
    ("snappy", Fate::Applied),
    ("lz4", Fate::Applied),
    ("zstd", Fate::Applied),
    ("not-idempotent", Fate::Applied),
    ("null-header", Fate::Applied),
    ("repeated-header", Fate::Applied),
    ("timestamp-0", Fate::Applied),
    ("timestamp-far-ahead", Fate::Applied),
    ("committed", Fate::Applied),
    ("aborted", Fate::Never),
    ("undecodable", Fate::DeadLettered),
    ("undecodable-zstd", Fate::DeadLettered),
    ("undecodable-far-ahead", Fate::DeadLetteredNow),
    ("tombstone", Fate::DeadLettered),
    ("large", Fate::DeadLettered),
    ("largest", Fate::DeadLetteredCut),
    ("refused-by-the-store", Fate::DeadLettered),
    ("without-key", Fate::DeadLettered),
    ("gap", Fate::Parked),
];

/// A record that was written.
struct Written {
    kind: String,
    origin: Origin,
}

fn every_kind(bed: &Bed) -> Result<(), Failed> {
    bed.run(async {
        let mut figures = Vec::new();
        // A topic that is set to a codec has every batch packed by the broker; zstd comes only by later versions of Fetch.
        for (partitions, consumers, codec) in [(1, 1, "producer"), (3, 1, "zstd"), (3, 3, "producer")] {
            let settings =
                [("message.timestamp.after.max.ms", "9223372036854775807"), ("compression.type", codec)];
            let field = bed.field_of(partitions, partitions, &settings).await?;
            let probe = Arc::new(Diary::default());
            let mut running = Vec::new();
            for number in 0..consumers {
                let config = field.config(&format!("consumer-{number}"));
                running.push(field.consumer(config, field.parts(probe.clone()).await?));
            }
            let written = write(&field, partitions).await?;
            let begun = Instant::now();
            let store = field.store().await?;
            let good = written.iter().filter(|written| written.kind == "good").count();
            until(Duration::from_secs(5), "a good event is not delivered", async || {
                let rows = store.deliveries().await?;
                Ok(rows.iter().filter(|row| row.order_id.as_str().starts_with("good-")).count() == good)
            })
            .await?;
            let delivered_after = begun.elapsed();
            field.worked_off(Duration::from_secs(5)).await?;
            for consumer in running {
                consumer.stop().await?;
            }
            let fates = fates(&field, &store, &written).await?;
            figures.push(json!({"partitions": partitions, "consumers": consumers, "topic_codec": codec, "records": written.len(),
                "fates": fates, "good_delivered_within_ms": delivered_after.as_millis() as u64, "lag": 0}));
        }
        evidence("record-kinds", &json!(figures))
    })
}

/// Runs Kafka's own producer.
async fn write(field: &Field, partitions: i32) -> Result<Vec<Written>, Failed> {
    let program = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/real/RecordKinds.java");
    let program = program.to_string_lossy().into_owned();
    let arguments = [&field.endpoints.bootstrap.join(","), &field.topic, &partitions.to_string()];
    let output = kafka_tool(&program, &arguments.map(String::as_str))?.stdin(Stdio::null()).output().await?;
    check(output.status.success(), String::from_utf8_lossy(&output.stderr))?;
    let written = |line: &str| -> Option<Written> {
        let mut words = line.split(' ');
        let (kind, partition, offset) = (words.next()?, words.next()?, words.next()?);
        let origin = Origin { partition: partition.parse().ok()?, offset: offset.parse().ok()? };
        Some(Written { kind: kind.to_owned(), origin })
    };
    Ok(String::from_utf8_lossy(&output.stdout).lines().filter_map(written).collect())
}

/// How many records had which fate; fails for one that had another than its own.
async fn fates(
    field: &Field,
    store: &impl DeliveryStore,
    written: &[Written],
) -> Result<BTreeMap<String, usize>, Failed> {
    let letters = letters(field).await?;
    let applied: BTreeMap<String, u32> =
        store.deliveries().await?.into_iter().map(|row| (row.order_id.to_string(), row.applied)).collect();
    let parked: BTreeSet<Origin> = store.parked().await?.into_iter().map(|parked| parked.origin).collect();
    let (mut counts, mut events) = (BTreeMap::new(), 0);
    for Written { kind, origin } in written {
        let known = FATES.iter().find(|(name, _)| name == kind);
        let (_, fate) = known.ok_or_else(|| format!("{kind} has no fate"))?;
        let letter = letters.get(origin);
        check(letter.is_some() == is_dead_lettered(*fate), format!("{kind} at {origin}: {letter:?}"))?;
        check(
            parked.contains(origin) == (*fate == Fate::Parked),
            format!("{kind} at {origin}, parked: {parked:?}"),
        )?;
        if let Some(letter) = letter {
            let original = original(field, *origin).await?;
            same(*fate, &original, &letter.message).map_err(|what| format!("{kind} at {origin}: {what}"))?;
        }
        if *fate == Fate::Applied {
            events += 1;
            let order = format!("{kind}-{}", origin.partition);
            check(kind == "good" || applied.contains_key(&order), format!("{order} is not applied"))?;
        }
        *counts.entry(format!("{fate:?}")).or_insert(0) += 1;
    }
    // And nothing else was: an event of an aborted transaction, or one twice.
    let total: u32 = applied.values().sum();
    check(total == events, format!("{total} events are applied, {events} were to be: {applied:?}"))?;
    let (kept, due) = (letters.len(), written.iter().filter(|w| is_dead(w)).count());
    check(kept == due, format!("{kept} letters, not {due}"))?;
    Ok(counts)
}

fn is_dead_lettered(fate: Fate) -> bool {
    matches!(fate, Fate::DeadLettered | Fate::DeadLetteredNow | Fate::DeadLetteredCut)
}

fn is_dead(written: &Written) -> bool {
    FATES.iter().any(|(kind, fate)| *kind == written.kind && is_dead_lettered(*fate))
}

/// The dead letters, by where they came from.
async fn letters(field: &Field) -> Result<BTreeMap<Origin, Fetched>, Failed> {
    let topic = dead_letter_topic(&field.topic);
    let mut letters = BTreeMap::new();
    for (partition, end) in field.admin.end_offsets(&topic).await? {
        for letter in read_all(&field.endpoints.bootstrap, &topic, partition, 0, end, WITHIN).await? {
            let (origin, _) = origin_and_reason(&letter).ok_or("a letter without its origin")?;
            letters.insert(origin, letter);
        }
    }
    Ok(letters)
}

/// The record as it lies in the topic.
async fn original(field: &Field, origin: Origin) -> Result<Message, Failed> {
    let Origin { partition, offset } = origin;
    let read =
        read_all(&field.endpoints.bootstrap, &field.topic, partition, offset, offset + 1, WITHIN).await?;
    Ok(read.into_iter().next().ok_or("the record is gone")?.message)
}

/// Whether a letter is the record, with our headers behind its own.
fn same(fate: Fate, original: &Message, letter: &Message) -> Result<(), String> {
    let own: Vec<&Header> = letter.headers.iter().take(original.headers.len()).collect();
    if letter.key != original.key || !own.iter().copied().eq(original.headers.iter()) {
        return Err(format!("key or headers differ: {letter:?}"));
    }
    let (value, was) = (letter.value.as_deref(), original.value.as_deref());
    let is_cut = fate == Fate::DeadLetteredCut;
    let is_kept = match (value, was) {
        (Some(value), Some(was)) if is_cut => value.len() < was.len() && was.starts_with(value),
        (value, was) => value == was,
    };
    let is_now = fate == Fate::DeadLetteredNow;
    let kept_time = letter.timestamp_ms == original.timestamp_ms;
    let told = |name: &str| letter.headers.last(name).is_some();
    if !is_kept || told(CUT_HEADER) != is_cut || kept_time == is_now || told(TIMESTAMP_HEADER) != is_now {
        return Err(format!(
            "value or timestamp differ: {} bytes of {:?}",
            value.map_or(0, <[u8]>::len),
            was.map(<[u8]>::len)
        ));
    }
    Ok(())
}
