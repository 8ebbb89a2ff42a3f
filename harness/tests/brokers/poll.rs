//! How long a fetch waits, and how much it brings.

use std::time::{Duration, Instant};

use kafka_protocol::messages::{FetchRequest, MetadataRequest};
use libtest_mimic::Failed;

use crate::batch::{batch_of, stored};
use crate::bed::{Bed, Case, SOON, answers, same};
use crate::common::check;
use crate::wire::{Appetite, Spoken, fetch_request, only_partition};

pub(crate) const CASES: &[Case] = &[
    Case::new("a waiting fetch returns soon after a produce", woken),
    Case::new("a fetch that waits in vain returns at its limit", in_vain),
    Case::new("a fetch waits for its least bytes", least_bytes),
    Case::new("a fetch of several partitions is woken by any", any_partition),
    Case::new("a limit below the first batch still brings that batch", first_batch),
    Case::new("a limit of bytes ends an answer", most_bytes),
    Case::new("answers come in the order of the requests", in_order),
];

/// Long enough that nobody mistakes a fetch that was woken for one that ran out.
const LONG: Duration = Duration::from_secs(20);

/// What is waited for before a produce wakes a fetch.
const BEFORE: Duration = Duration::from_millis(200);

fn woken(bed: &Bed) -> Result<(), Failed> {
    bed.run(async {
        let topic = bed.topic(1).await?;
        let (mut reader, mut writer) = (bed.leader(&topic, 0).await?, bed.leader(&topic, 0).await?);
        let begun = Instant::now();
        let waiting = async {
            let appetite = Appetite { max_wait: LONG, ..Appetite::default() };
            let answer = reader.fetch(&topic, 0, 0, appetite).await?;
            Ok::<_, Failed>((answer, begun.elapsed()))
        };
        let write = async {
            tokio::time::sleep(BEFORE).await;
            writer.produce(&topic, 0, &batch_of(&[b"at last"], 1)).await
        };
        let ((answer, after), (code, _)) = tokio::try_join!(waiting, write)?;
        answers(code, None, "produce")?;
        same(&stored(answer.records.as_ref())?.len(), &1, "batches")?;
        check(after >= BEFORE, format!("it answered after {after:?}, before there was anything"))?;
        check(after < BEFORE + SOON, format!("it took {after:?}"))
    })
}

fn in_vain(bed: &Bed) -> Result<(), Failed> {
    bed.run(async {
        let topic = bed.topic(1).await?;
        let mut wire = bed.leader(&topic, 0).await?;
        for max_wait in [Duration::from_millis(300), Duration::ZERO] {
            let begun = Instant::now();
            let answer = wire.fetch(&topic, 0, 0, Appetite { max_wait, ..Appetite::default() }).await?;
            let took = begun.elapsed();
            answers(answer.error_code, None, "fetch")?;
            same(&stored(answer.records.as_ref())?.len(), &0, "batches")?;
            // Brokers and their timers count in whole milliseconds.
            check(
                took + Duration::from_millis(5) >= max_wait,
                format!("{took:?} is less than {max_wait:?}"),
            )?;
            check(took < max_wait + SOON, format!("{took:?} is much more than {max_wait:?}"))?;
        }
        Ok(())
    })
}

fn least_bytes(bed: &Bed) -> Result<(), Failed> {
    bed.run(async {
        let topic = bed.topic(1).await?;
        let (mut reader, mut writer) = (bed.leader(&topic, 0).await?, bed.leader(&topic, 0).await?);
        let (few, many) = (batch_of(&[&[1; 500]], 1), batch_of(&[&[2; 3_000]], 1));
        let appetite = Appetite { max_wait: LONG, min_bytes: 2_000, ..Appetite::default() };
        let begun = Instant::now();
        let waiting = async {
            let answer = reader.fetch(&topic, 0, 0, appetite).await?;
            Ok::<_, Failed>((answer, begun.elapsed()))
        };
        let write = async {
            writer.produce(&topic, 0, &few).await?;
            tokio::time::sleep(BEFORE).await;
            writer.produce(&topic, 0, &many).await
        };
        let ((answer, after), _) = tokio::try_join!(waiting, write)?;
        check(after >= BEFORE, format!("{after:?}: 500 bytes were enough for a fetch that wants 2,000"))?;
        check(after < BEFORE + SOON, format!("it took {after:?}"))?;
        same(&stored(answer.records.as_ref())?.len(), &2, "both batches")?;
        // And what is too little is brought all the same, once the time is up.
        let hungry = Appetite { max_wait: BEFORE, min_bytes: 1 << 20, ..appetite };
        let begun = Instant::now();
        let answer = reader.fetch(&topic, 0, 0, hungry).await?;
        check(begun.elapsed() + Duration::from_millis(5) >= BEFORE, "it did not wait")?;
        same(&stored(answer.records.as_ref())?.len(), &2, "what there is, at the limit")
    })
}

fn any_partition(bed: &Bed) -> Result<(), Failed> {
    bed.run(async {
        let topic = bed.topic(2 * i32::try_from(bed.subject.nodes)?).await?;
        let leader = bed.place(&topic, 0).await?.leader;
        let partitions = bed.admin().await?.describe_topic(&topic).await?;
        let led: Vec<_> = partitions.iter().filter(|p| p.leader == leader).map(|p| p.id).collect();
        let (mut reader, mut writer) = (bed.leader(&topic, 0).await?, bed.leader(&topic, 0).await?);
        let from: Vec<_> = led.iter().map(|partition| (*partition, 0)).collect();
        let last = *led.last().ok_or("it leads none")?;
        let begun = Instant::now();
        let request = fetch_request(&topic, &from, Appetite { max_wait: LONG, ..Appetite::default() });
        let write = async {
            tokio::time::sleep(BEFORE).await;
            writer.produce(&topic, last, &batch_of(&[b"there"], 1)).await
        };
        let (answer, _) = tokio::try_join!(reader.ask(&request), write)?;
        check(begun.elapsed() < BEFORE + SOON, "the last of the partitions did not wake it")?;
        let mut brought = Vec::new();
        for partition in answer.responses.iter().flat_map(|t| &t.partitions) {
            answers(partition.error_code, None, "a partition")?;
            brought.extend(stored(partition.records.as_ref())?.iter().map(|_| partition.partition_index));
        }
        same(&brought, &vec![last], "batches by partition")
    })
}

fn first_batch(bed: &Bed) -> Result<(), Failed> {
    bed.run(async {
        let topic = bed.topic(1).await?;
        let mut wire = bed.leader(&topic, 0).await?;
        for value in [b"1", b"2"] {
            wire.produce(&topic, 0, &batch_of(&[&value.repeat(5_000), b"x"], 1)).await?;
        }
        for (from, base) in [(0, 0), (1, 0), (2, 2), (3, 2)] {
            let answer =
                wire.fetch(&topic, 0, from, Appetite { max_bytes: 1, ..Appetite::default() }).await?;
            let batches = stored(answer.records.as_ref())?;
            let bases: Vec<_> = batches.iter().map(|b| b.base_offset).collect();
            same(&bases, &vec![base], &format!("batches from {from} with a limit of 1 byte"))?;
        }
        Ok(())
    })
}

fn most_bytes(bed: &Bed) -> Result<(), Failed> {
    bed.run(async {
        let topic = bed.topic(1).await?;
        let mut wire = bed.leader(&topic, 0).await?;
        let batch = batch_of(&[&[7; 4_000]], 1);
        for _ in 0..6 {
            wire.produce(&topic, 0, &batch).await?;
        }
        let (mut next, mut fetches) = (0, 0);
        while next < 6 {
            let limit = i32::try_from(2 * batch.len() + batch.len() / 2)?;
            let answer =
                wire.fetch(&topic, 0, next, Appetite { max_bytes: limit, ..Appetite::default() }).await?;
            let bytes = answer.records.as_ref().map_or(0, bytes::Bytes::len);
            check(bytes <= usize::try_from(limit)?, format!("{bytes} bytes with a limit of {limit}"))?;
            let batches = stored(answer.records.as_ref())?;
            same(&batches.first().map(|b| b.base_offset), &Some(next), "where it goes on")?;
            next = batches.last().map_or(next, |b| b.last_offset + 1);
            fetches += 1;
        }
        same(&fetches, &3, "two batches a fetch")
    })
}

fn in_order(bed: &Bed) -> Result<(), Failed> {
    bed.run(async {
        let topic = bed.topic(1).await?;
        let mut wire = bed.leader(&topic, 0).await?;
        // The first has to wait, the second could be answered at once.
        let slow = fetch_request(&topic, &[(0, 0)], Appetite { max_wait: BEFORE, ..Appetite::default() });
        let slow = wire.send(FetchRequest::VERSION, &slow).await?;
        let quick = wire
            .send(MetadataRequest::VERSION, &MetadataRequest::default().with_topics(Some(vec![])))
            .await?;
        let answer = wire.answer::<FetchRequest>(FetchRequest::VERSION, slow).await?;
        answers(only_partition(answer)?.error_code, None, "the fetch")?;
        let answer = wire.answer::<MetadataRequest>(MetadataRequest::VERSION, quick).await?;
        same(&answer.brokers.len(), &bed.subject.nodes, "brokers")
    })
}
