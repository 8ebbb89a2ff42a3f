//! What has to become of each kind of record that a topic may hold, and whether it did.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use libtest_mimic::Failed;
use payment_delivery::consumer::dead_letter_topic;
use payment_delivery::consumer::mode::dead_letter::{CUT_HEADER, TIMESTAMP_HEADER, origin_and_reason};
use payment_delivery::kafka::admin::Admin;
use payment_delivery::kafka::fetch::read_all;
use payment_delivery::kafka::{Fetched, Header, Message, Origin};
use payment_delivery::store::DeliveryStore;

use crate::common::check;

const WITHIN: Duration = Duration::from_secs(20);

/// What has to become of a record.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Fate {
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

/// By the kinds of `RecordKinds.java`, on real components.
pub(crate) const FATES: &[(&str, Fate)] = &[
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
pub(crate) struct Written {
    pub(crate) kind: String,
    /// Of its event, if it is one.
    pub(crate) order: String,
    pub(crate) origin: Origin,
}

/// Where they were written.
pub(crate) struct Place<'a> {
    pub(crate) bootstrap: &'a [String],
    pub(crate) admin: &'a Admin,
    pub(crate) topic: &'a str,
}

/// What `RecordKinds.java` prints: kind, partition and offset of a record a line.
pub(crate) fn written(text: &str) -> Vec<Written> {
    let written = |line: &str| -> Option<Written> {
        let mut words = line.split(' ');
        let (kind, partition, offset) = (words.next()?, words.next()?, words.next()?);
        let origin = Origin { partition: partition.parse().ok()?, offset: offset.parse().ok()? };
        let order = format!("{kind}-{partition}");
        Some(Written { kind: kind.to_owned(), order, origin })
    };
    text.lines().filter_map(written).collect()
}

/// How many records had which fate; fails for one that had another than its own.
pub(crate) async fn fates(
    place: &Place<'_>,
    store: &impl DeliveryStore,
    written: &[Written],
    fate_of: impl Fn(&str) -> Option<Fate>,
) -> Result<BTreeMap<String, usize>, Failed> {
    let letters = letters(place).await?;
    let applied: BTreeMap<String, u32> =
        store.deliveries().await?.into_iter().map(|row| (row.order_id.to_string(), row.applied)).collect();
    let parked: BTreeSet<Origin> = store.parked().await?.into_iter().map(|parked| parked.origin).collect();
    let (mut counts, mut events) = (BTreeMap::new(), 0);
    for Written { kind, order, origin } in written {
        let fate = fate_of(kind).ok_or_else(|| format!("{kind} has no fate"))?;
        let letter = letters.get(origin);
        check(letter.is_some() == is_dead_lettered(fate), format!("{kind} at {origin}: {letter:?}"))?;
        check(
            parked.contains(origin) == (fate == Fate::Parked),
            format!("{kind} at {origin}, parked: {parked:?}"),
        )?;
        if let Some(letter) = letter {
            let original = original(place, *origin).await?;
            same(fate, &original, &letter.message).map_err(|what| format!("{kind} at {origin}: {what}"))?;
        }
        if fate == Fate::Applied {
            events += 1;
            check(kind == "good" || applied.contains_key(order), format!("{order} is not applied"))?;
        }
        *counts.entry(format!("{fate:?}")).or_insert(0) += 1;
    }
    // And nothing else was: an event of an aborted transaction, or one twice.
    let total: u32 = applied.values().sum();
    check(total == events, format!("{total} events are applied, {events} were to be: {applied:?}"))?;
    let due = written.iter().filter(|w| fate_of(&w.kind).is_some_and(is_dead_lettered)).count();
    let kept = letters.len();
    check(kept == due, format!("{kept} letters, not {due}"))?;
    Ok(counts)
}

fn is_dead_lettered(fate: Fate) -> bool {
    matches!(fate, Fate::DeadLettered | Fate::DeadLetteredNow | Fate::DeadLetteredCut)
}

/// The dead letters, by where they came from.
async fn letters(place: &Place<'_>) -> Result<BTreeMap<Origin, Fetched>, Failed> {
    let topic = dead_letter_topic(place.topic);
    let mut letters = BTreeMap::new();
    for (partition, end) in place.admin.end_offsets(&topic).await? {
        for letter in read_all(place.bootstrap, &topic, partition, 0, end, WITHIN).await? {
            let (origin, _) = origin_and_reason(&letter).ok_or("a letter without its origin")?;
            letters.insert(origin, letter);
        }
    }
    Ok(letters)
}

/// The record as it lies in the topic.
async fn original(place: &Place<'_>, origin: Origin) -> Result<Message, Failed> {
    let Origin { partition, offset } = origin;
    let read = read_all(place.bootstrap, place.topic, partition, offset, offset + 1, WITHIN).await?;
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
