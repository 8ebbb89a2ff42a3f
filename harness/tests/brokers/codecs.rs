//! What a client compressed goes through the broker as it is: neither unpacked for good nor packed anew.
//!
//! The batches were made by Kafka's own client (`ci/fixtures/batches`), 20 records each, and are the real thing: Kafka
//! unpacks what it is given to validate it.

use bytes::Bytes;
use libtest_mimic::Failed;

use crate::batch::{batch_of, stored};
use crate::bed::{Bed, Case, answers, same};
use crate::common::check;
use crate::wire::Appetite;

pub(crate) const CASES: &[Case] = &[
    Case::new("a batch passes through byte for byte: none", |bed| passes(bed, 0, NONE)),
    Case::new("a batch passes through byte for byte: gzip", |bed| passes(bed, 1, GZIP)),
    Case::new("a batch passes through byte for byte: snappy", |bed| passes(bed, 2, SNAPPY)),
    Case::new("a batch passes through byte for byte: lz4", |bed| passes(bed, 3, LZ4)),
    Case::new("a batch passes through byte for byte: zstd", |bed| passes(bed, 4, ZSTD)),
    Case::new("the first offset at or after a time, in a compressed batch", by_time),
];

pub(crate) const NONE: &[u8] = include_bytes!("fixtures/none.batch");
const GZIP: &[u8] = include_bytes!("fixtures/gzip.batch");
const SNAPPY: &[u8] = include_bytes!("fixtures/snappy.batch");
const LZ4: &[u8] = include_bytes!("fixtures/lz4.batch");
const ZSTD: &[u8] = include_bytes!("fixtures/zstd.batch");

/// Records in each of the batches.
const RECORDS: i64 = 20;

/// Time of the first record in each; those after it count up by one.
const FIRST_MS: i64 = 1_767_312_000_000;

fn passes(bed: &Bed, codec: i16, batch: &'static [u8]) -> Result<(), Failed> {
    bed.run(async {
        let topic = bed.topic(1).await?;
        let mut wire = bed.leader(&topic, 0).await?;
        let sent = Bytes::from_static(batch);
        for copy in 0..2 {
            let answer = wire.produce(&topic, 0, &sent).await?;
            answers(answer.0, None, "produce")?;
            same(&answer.1, &(copy * RECORDS), "base offset")?;
        }
        let due = stored(Some(&sent))?.remove(0);
        same(&due.codec, &codec, "the fixture's own codec")?;
        // From the middle of the second batch: nothing may be unpacked to find it.
        for (from, copies) in [(0, vec![0, 1]), (RECORDS + 7, vec![1])] {
            let answer = wire.fetch(&topic, 0, from, Appetite::default()).await?;
            answers(answer.error_code, None, "fetch")?;
            let batches = stored(answer.records.as_ref())?;
            same(&batches.len(), &copies.len(), "batches")?;
            for (found, copy) in batches.iter().zip(copies) {
                same(&found.codec, &codec, "codec")?;
                same(
                    &(found.base_offset, found.last_offset),
                    &(copy * RECORDS, (copy + 1) * RECORDS - 1),
                    "offsets",
                )?;
                check(found.sealed() == due.sealed(), "the batch's bytes have changed")?;
                same(&found.bytes.len(), &due.bytes.len(), "its length")?;
            }
        }
        Ok(())
    })
}

fn by_time(bed: &Bed) -> Result<(), Failed> {
    bed.run(async {
        let topic = bed.topic(1).await?;
        let mut wire = bed.leader(&topic, 0).await?;
        let (code, _) = wire.produce(&topic, 0, &Bytes::from_static(GZIP)).await?;
        answers(code, None, "produce")?;
        wire.produce(&topic, 0, &batch_of(&[b"later"], FIRST_MS + RECORDS)).await?;
        for after in [0, 7, RECORDS - 1, RECORDS] {
            let answer = wire.list_offset(&topic, 0, FIRST_MS + after).await?;
            same(&answer, &(0, after, FIRST_MS + after), &format!("{after} ms after the first"))?;
        }
        Ok(())
    })
}
