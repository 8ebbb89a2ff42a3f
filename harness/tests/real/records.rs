//! Whatever Kafka's own producer may put into a topic: what becomes of each kind of record, on each partition.

use std::path::Path;
use std::process::Stdio;
use std::sync::Arc;
use std::time::{Duration, Instant};

use libtest_mimic::Failed;
use payment_delivery::store::DeliveryStore;
use serde_json::json;

use crate::Case;
use crate::bed::{Bed, Diary, Field, check, evidence, until};
use crate::common::kafka_tool;

#[path = "../common/records.rs"]
mod kinds;

use kinds::{FATES, Place, Written};

pub(crate) const CASES: &[Case] = &[
    ("every kind of record is worked off on every partition", every_kind),
    ("a batch that compaction has emptied is stepped over", emptied),
];

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
            let place = Place { bootstrap: &field.endpoints.bootstrap, admin: &field.admin, topic: &field.topic };
            let fate_of = |kind: &str| FATES.iter().find(|(known, _)| *known == kind).map(|(_, fate)| *fate);
            let fates = kinds::fates(&place, &store, &written, fate_of).await?;
            figures.push(json!({"partitions": partitions, "consumers": consumers, "topic_codec": codec, "records": written.len(),
                "fates": fates, "good_delivered_within_ms": delivered_after.as_millis() as u64, "lag": 0}));
        }
        evidence("record-kinds", &json!(figures))
    })
}

/// Compaction removes the record of a producer that it still knows, and leaves its batch, without any.
fn emptied(bed: &Bed) -> Result<(), Failed> {
    bed.run(async {
        let settings =
            [("cleanup.policy", "compact"), ("segment.ms", "1000"), ("min.cleanable.dirty.ratio", "0.001")];
        let field = bed.field_of(1, 1, &settings).await?;
        let written = run(&field, "EmptiedBatch.java", &[]).await?;
        let consumer = field.consumer(field.config("one"), field.parts(Arc::new(Diary::default())).await?);
        field.worked_off(Duration::from_secs(10)).await?;
        consumer.stop().await?;
        let rows = field.store().await?.deliveries().await?;
        let applied: Vec<_> = rows.iter().map(|row| (row.origin.offset, row.applied)).collect();
        let kept: Vec<_> = written.iter().map(|written| (written.origin.offset, 1)).collect();
        check(kept.first().is_some_and(|(offset, _)| *offset > 0), "the first record should be gone")?;
        check(applied == kept, format!("{applied:?} are applied, {kept:?} are in the log"))?;
        evidence("emptied-batch", &json!({"records_left": kept.len(), "applied": applied.len(), "lag": 0}))
    })
}

/// Runs Kafka's own producer.
async fn write(field: &Field, partitions: i32) -> Result<Vec<Written>, Failed> {
    run(field, "RecordKinds.java", &[&partitions.to_string()]).await
}

/// What a program of ours on Kafka's own client wrote.
async fn run(field: &Field, program: &str, arguments: &[&str]) -> Result<Vec<Written>, Failed> {
    let program = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/real").join(program);
    let program = program.to_string_lossy().into_owned();
    let bootstrap = field.endpoints.bootstrap.join(",");
    let arguments = [&[bootstrap.as_str(), &field.topic], arguments].concat();
    let mut program = kafka_tool(&program, &arguments)?;
    let output = program.stdin(Stdio::null()).stderr(Stdio::piped()).output().await?;
    check(output.status.success(), String::from_utf8_lossy(&output.stderr))?;
    Ok(kinds::written(&String::from_utf8_lossy(&output.stdout)))
}
