//! Where a log starts and ends, which offset belongs to a time, and what is outside.

use std::time::Duration;

use chrono::DateTime;
use kafka_protocol::ResponseError;
use libtest_mimic::Failed;
use payment_delivery::kafka::fetch::{FetchConfig, FetchError, FetchItem, Fetcher, OutOfRange, StartAt};
use rskafka::client::partition::OffsetAt;
use tokio::sync::mpsc;
use tokio::time::timeout;

use crate::batch::{batch, batch_of};
use crate::bed::{Bed, Case, SOON, answers, same};
use crate::common::check;
use crate::wire::Appetite;

pub(crate) const CASES: &[Case] = &[
    Case::new("a log's first and next offset", ends),
    Case::new("the first offset at or after a time", by_time),
    Case::new("an offset outside the log is out of range", out_of_range),
    Case::new("the pipeline's fetch loop is told of the range", loop_out_of_range),
    Case::new("deleted records are below the start", deleted),
];

const LATEST: i64 = -1;
const EARLIEST: i64 = -2;

fn ends(bed: &Bed) -> Result<(), Failed> {
    bed.run(async {
        let topic = bed.topic(3).await?;
        let admin = bed.admin().await?;
        same(&admin.end_offsets(&topic).await?, &[(0, 0), (1, 0), (2, 0)].into(), "ends of a new topic")?;
        for (partition, count) in [(0, 1), (2, 4)] {
            let values = vec![&b"v"[..]; count];
            let (code, base) = bed
                .leader(&topic, partition)
                .await?
                .produce(&topic, partition, &batch_of(&values, 1))
                .await?;
            answers(code, None, "produce")?;
            same(&base, &0, "base offset of the first batch")?;
        }
        same(&admin.end_offsets(&topic).await?, &[(0, 1), (1, 0), (2, 4)].into(), "ends")?;
        same(&admin.start_offsets(&topic).await?, &[(0, 0), (1, 0), (2, 0)].into(), "starts")?;
        let client = bed.partition(&topic, 2).await?;
        same(&client.get_offset(OffsetAt::Earliest).await?, &0, "start by rskafka")?;
        same(&client.get_offset(OffsetAt::Latest).await?, &4, "end by rskafka")
    })
}

fn by_time(bed: &Bed) -> Result<(), Failed> {
    bed.run(async {
        let topic = bed.topic(1).await?;
        let mut wire = bed.leader(&topic, 0).await?;
        // Times of clients need not grow along the log.
        for times in [[1_000, 1_010, 1_020], [1_005, 2_000, 1_500], [3_000, 3_000, 2_900]] {
            let records: Vec<(i64, &[u8])> = times.iter().map(|ms| (*ms, &b"v"[..])).collect();
            let (code, _) = wire.produce(&topic, 0, &batch(&records)).await?;
            answers(code, None, "produce")?;
        }
        let due = [
            (0, (0, 1_000)),     // before all
            (1_000, (0, 1_000)), // the very first
            (1_001, (1, 1_010)), // inside a batch, between two
            (1_020, (2, 1_020)), // the last of a batch
            (1_021, (4, 2_000)), // the first of the next batch is too early
            (1_600, (4, 2_000)),
            (2_001, (6, 3_000)), // a batch's start
            (3_000, (6, 3_000)), // the first of two alike
            (3_001, (-1, -1)),   // after all
        ];
        for (asked, (offset, timestamp)) in due {
            let answer = wire.list_offset(&topic, 0, asked).await?;
            same(&answer, &(0, offset, timestamp), &format!("at {asked} ms"))?;
        }
        let client = bed.partition(&topic, 0).await?;
        let at = |ms| OffsetAt::Timestamp(DateTime::from_timestamp_millis(ms).expect("a date"));
        same(&client.get_offset(at(1_011)).await?, &2, "by rskafka")
    })
}

fn out_of_range(bed: &Bed) -> Result<(), Failed> {
    bed.run(async {
        let topic = bed.topic(1).await?;
        let mut wire = bed.leader(&topic, 0).await?;
        for end in [0, 3] {
            for (offset, outside) in [(end, false), (end + 1, true), (i64::MAX, true), (-1, true)] {
                let answer = wire.fetch(&topic, 0, offset, Appetite::default()).await?;
                let due = outside.then_some(ResponseError::OffsetOutOfRange);
                answers(answer.error_code, due, &format!("fetch at {offset} of a log that ends at {end}"))?;
                check(answer.records.is_none_or(|r| r.is_empty()), "no records")?;
                if !outside {
                    same(&answer.high_watermark, &end, "high watermark")?;
                }
            }
            let (code, _) = wire.produce(&topic, 0, &batch_of(&[b"a", b"b", b"c"], 1)).await?;
            answers(code, None, "produce")?;
        }
        Ok(())
    })
}

fn loop_out_of_range(bed: &Bed) -> Result<(), Failed> {
    bed.run(async {
        let topic = bed.topic(1).await?;
        bed.leader(&topic, 0).await?.produce(&topic, 0, &batch_of(&[b"a", b"b", b"c"], 1)).await?;
        let fetch = |from, on_out_of_range| {
            let config = FetchConfig { on_out_of_range, ..FetchConfig::default() };
            Fetcher::new(&bed.bootstrap, &topic, 0, StartAt::Offset(from), config)
        };
        let (out, mut items) = mpsc::channel(8);
        timeout(SOON, fetch(7, OutOfRange::Fail).run(out)).await?;
        let due = FetchError::OutOfRange { partition: 0, offset: 7, start: 0, end: 3 };
        same(&items.recv().await, &Some(FetchItem::Failed(due)), "the loop that fails")?;
        same(&items.recv().await, &None, "what it brought")?;
        let (out, mut items) = mpsc::channel(8);
        let going = tokio::spawn(fetch(7, OutOfRange::Earliest).run(out));
        let first = timeout(SOON, items.recv()).await?;
        let due = FetchItem::Gone { partition: 0, from: 3, to: 7, resume_at: 0 };
        same(&first, &Some(due), "the loop that goes on")?;
        let Some(FetchItem::Batch { records, .. }) = timeout(SOON, items.recv()).await? else {
            return Err("no batch came after that".into());
        };
        same(&records.len(), &3, "the log from its start")?;
        drop(items);
        timeout(SOON, going).await??;
        Ok(())
    })
}

fn deleted(bed: &Bed) -> Result<(), Failed> {
    bed.run(async {
        let topic = bed.topic(1).await?;
        let client = bed.partition(&topic, 0).await?;
        let mut wire = bed.leader(&topic, 0).await?;
        for _ in 0..2 {
            wire.produce(&topic, 0, &batch_of(&[b"a", b"b", b"c", b"d"], 1_000)).await?;
        }
        client.delete_records(5, 5_000).await?;
        same(&wire.list_offset(&topic, 0, EARLIEST).await?.1, &5, "the start has moved")?;
        same(&wire.list_offset(&topic, 0, LATEST).await?.1, &8, "the end has not")?;
        same(
            &bed.admin().await?.start_offsets(&topic).await?,
            &[(0, 5)].into(),
            "the start for the pipeline",
        )?;
        let answer = wire.fetch(&topic, 0, 4, Appetite::default()).await?;
        answers(answer.error_code, ResponseError::OffsetOutOfRange, "below the start")?;
        // The batch that holds offset 5 is still whole in the log; a client drops what is before.
        let (records, _) = client.fetch_records(5, 1..1_000_000, 100).await?;
        let offsets: Vec<_> = records.iter().map(|r| r.offset).collect();
        same(&offsets, &vec![5, 6, 7], "from the start on")?;
        let config = FetchConfig { max_wait: Duration::from_millis(100), ..FetchConfig::default() };
        let (out, mut items) = mpsc::channel(8);
        let loop_ = Fetcher::new(&bed.bootstrap, &topic, 0, StartAt::Offset(2), config).run(out);
        let due = FetchError::OutOfRange { partition: 0, offset: 2, start: 5, end: 8 };
        timeout(SOON, loop_).await?;
        same(&items.recv().await, &Some(FetchItem::Failed(due)), "the pipeline's loop")
    })
}
