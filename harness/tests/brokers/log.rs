//! What goes into a log comes out of it: whole, in order, from any offset, without gaps.

use std::collections::BTreeMap;
use std::time::Duration;

use chrono::DateTime;
use libtest_mimic::Failed;
use payment_delivery::kafka::fetch::read_all;
use payment_delivery::kafka::producer::{Producer, ProducerConfig};
use payment_delivery::kafka::{Fetched, Message, Origin};
use rskafka::client::partition::{Compression, PartitionClient};
use rskafka::record::{Record, RecordAndOffset};
use tokio::sync::oneshot;

use crate::batch::{batch_of, stored};
use crate::bed::{Bed, Case, SOON, answers, same};
use crate::common::check;
use crate::wire::{Appetite, Spoken, produce_request};
use kafka_protocol::ResponseError;
use kafka_protocol::messages::ProduceRequest;

pub(crate) const CASES: &[Case] = &[
    Case::new("keys, values, headers and timestamps come back whole", whole),
    Case::new("a fetch may start in the middle of a batch", middle),
    Case::new("several producers side by side leave no gap", side_by_side),
    Case::new("the pipeline's producer and its fetch loop agree", pipeline),
    Case::new("acknowledgements of none, of the leader and of all", acks),
    Case::new("two partitions in one produce request", two_partitions),
];

/// 2026-01-02, to the millisecond: what is finer, Kafka does not keep.
const MS: i64 = 1_767_312_000_123;

/// A record as rskafka has it.
pub(crate) fn record(key: Option<&[u8]>, value: Option<&[u8]>, timestamp_ms: i64) -> Record {
    Record {
        key: key.map(<[u8]>::to_vec),
        value: value.map(<[u8]>::to_vec),
        headers: BTreeMap::new(),
        timestamp: DateTime::from_timestamp_millis(timestamp_ms).expect("a date"),
    }
}

/// Everything from `from` up to the log's end, through rskafka.
async fn read(client: &PartitionClient, from: i64) -> Result<Vec<RecordAndOffset>, Failed> {
    let mut read: Vec<RecordAndOffset> = Vec::new();
    loop {
        let next = read.last().map_or(from, |last| last.offset + 1);
        let (records, end) = client.fetch_records(next, 1..2_000_000, 100).await?;
        if records.is_empty() {
            return same(&next, &end, "an empty fetch means the end").map(|()| read);
        }
        read.extend(records);
    }
}

fn whole(bed: &Bed) -> Result<(), Failed> {
    bed.run(async {
        let topic = bed.topic(1).await?;
        let big: Vec<u8> = (0..500 * 1024_u32).map(|i| (i.wrapping_mul(2_654_435_761) >> 24) as u8).collect();
        let mut dressed = record(Some(b"dressed"), Some(b"value"), MS - 1_000);
        dressed.headers = [("due".to_owned(), vec![0, 255, 7]), ("empty".to_owned(), Vec::new())].into();
        let records = vec![
            record(Some(b"key"), Some(b"value"), MS),
            record(None, Some("ohne Schlüssel".as_bytes()), MS + 1),
            record(Some(b"tombstone"), None, MS + 2),
            record(Some(b""), Some(b""), MS + 3),
            record(None, None, 0),
            dressed,
            record(Some(b"big"), Some(&big), MS + 5),
        ];
        let client = bed.partition(&topic, 0).await?;
        let mut offsets = client.produce(records[..6].to_vec(), Compression::NoCompression).await?;
        offsets.extend(client.produce(records[6..].to_vec(), Compression::NoCompression).await?);
        same(&offsets, &(0..7).collect(), "offsets of the acknowledgements")?;
        let read = read(&client, 0).await?;
        let due: Vec<_> =
            (0..).zip(&records).map(|(offset, r)| RecordAndOffset { record: r.clone(), offset }).collect();
        same(&read, &due, "read by rskafka")?;
        let read = read_all(&bed.bootstrap, &topic, 0, 0, 7, SOON).await?;
        let due: Vec<_> = (0..).zip(records).map(|(offset, r)| fetched(0, offset, r)).collect();
        same(&read, &due, "read by the pipeline")
    })
}

fn fetched(partition: i32, offset: i64, record: Record) -> Fetched {
    let message = Message {
        key: record.key,
        value: record.value,
        headers: record.headers.into(),
        timestamp_ms: record.timestamp.timestamp_millis(),
    };
    Fetched { origin: Origin { partition, offset }, message }
}

fn middle(bed: &Bed) -> Result<(), Failed> {
    bed.run(async {
        let topic = bed.topic(1).await?;
        let client = bed.partition(&topic, 0).await?;
        for batch in 0..3 {
            let records = (0..10).map(|i| record(None, Some(format!("{}", batch * 10 + i).as_bytes()), MS));
            client.produce(records.collect(), Compression::NoCompression).await?;
        }
        let mut wire = bed.leader(&topic, 0).await?;
        for from in 0..30 {
            let read: Vec<_> =
                read(&client, from).await?.into_iter().map(|r| (r.offset, r.record.value)).collect();
            let due: Vec<_> = (from..30).map(|i| (i, Some(i.to_string().into_bytes()))).collect();
            same(&read, &due, &format!("read by rskafka from {from}"))?;
            // The protocol has the batch that holds the offset come whole; clients drop what lies before.
            let answer = wire.fetch(&topic, 0, from, Appetite::default()).await?;
            let batches = stored(answer.records.as_ref())?;
            let bases: Vec<_> = batches.iter().map(|b| (b.base_offset, b.last_offset)).collect();
            let due: Vec<_> = (from / 10..3).map(|b| (b * 10, b * 10 + 9)).collect();
            same(&bases, &due, &format!("batches from {from}"))?;
            same(&answer.high_watermark, &30, "high watermark")?;
        }
        for from in [0, 9, 10, 15, 29] {
            let read = read_all(&bed.bootstrap, &topic, 0, from, 30, SOON).await?;
            let offsets: Vec<_> = read.iter().map(|f| f.origin.offset).collect();
            same(&offsets, &(from..30).collect(), "read by the pipeline")?;
        }
        Ok(())
    })
}

fn side_by_side(bed: &Bed) -> Result<(), Failed> {
    bed.run(async {
        const PRODUCERS: usize = 4;
        const BATCHES: usize = 12;
        let topic = bed.topic(1).await?;
        let mut producers = tokio::task::JoinSet::new();
        for producer in 0..PRODUCERS {
            let client = bed.partition(&topic, 0).await?;
            producers.spawn(async move {
                let mut placed = Vec::new();
                for batch in 0..BATCHES {
                    let values: Vec<String> =
                        (0..=producer).map(|i| format!("{producer}/{batch}/{i}")).collect();
                    let records = values.iter().map(|v| record(None, Some(v.as_bytes()), MS)).collect();
                    let offsets = client.produce(records, Compression::NoCompression).await?;
                    placed.extend(offsets.into_iter().zip(values));
                }
                Ok::<_, rskafka::client::error::Error>(placed)
            });
        }
        let mut placed = BTreeMap::new();
        while let Some(ended) = producers.join_next().await {
            let of_one = ended??;
            check(of_one.windows(2).all(|pair| pair[0].0 < pair[1].0), "a producer's offsets grow")?;
            placed.extend(of_one);
        }
        let count = (1..=PRODUCERS).map(|records| records * BATCHES).sum::<usize>();
        same(&placed.len(), &count, "each record has an offset of its own")?;
        let read = read(&bed.partition(&topic, 0).await?, 0).await?;
        let read: Vec<_> = read
            .into_iter()
            .map(|r| (r.offset, String::from_utf8_lossy(&r.record.value.unwrap()).into_owned()))
            .collect();
        same(&read, &placed.into_iter().collect(), "each record lies where its acknowledgement says")?;
        check((0..).zip(&read).all(|(i, (offset, _))| i == *offset), "offsets without a gap")
    })
}

fn pipeline(bed: &Bed) -> Result<(), Failed> {
    bed.run(async {
        let topic = bed.topic(3).await?;
        let producer = Producer::connect(&bed.bootstrap, &topic, 3, ProducerConfig::default()).await?;
        let mut waiting = Vec::new();
        for i in 0..300 {
            let message = Message {
                key: Some(format!("order-{}", i % 40).into_bytes()),
                value: Some(format!("{i}").into_bytes()),
                timestamp_ms: MS + i,
                ..Message::default()
            };
            let (done, outcome) = oneshot::channel();
            producer.send(message.clone(), done).await?;
            waiting.push((message, outcome));
        }
        let mut due: BTreeMap<i32, Vec<Fetched>> = BTreeMap::new();
        for (message, outcome) in waiting {
            let origin = outcome.await??.origin;
            due.entry(origin.partition).or_default().push(Fetched { origin, message });
        }
        producer.close().await?;
        let ends = bed.admin().await?.end_offsets(&topic).await?;
        same(&ends.values().sum(), &300, "records in all")?;
        for (partition, end) in ends {
            let read = read_all(&bed.bootstrap, &topic, partition, 0, end, SOON).await?;
            same(&read, due.get(&partition).unwrap_or(&Vec::new()), "a partition as it was acknowledged")?;
        }
        Ok(())
    })
}

fn acks(bed: &Bed) -> Result<(), Failed> {
    bed.run(async {
        let topic = bed.topic(1).await?;
        let mut wire = bed.leader(&topic, 0).await?;
        let ask = |acks, value: &'static [u8]| produce_request(&topic, 0, &batch_of(&[value], MS), acks);
        wire.send(ProduceRequest::VERSION, &ask(0, b"unanswered")).await?;
        // Nothing answers that; the next answer on the connection is the next request's.
        for (acks, value) in [(1, &b"leader"[..]), (-1, &b"all"[..])] {
            let answer = wire.ask(&ask(acks, value)).await?;
            let code = answer.responses[0].partition_responses[0].error_code;
            answers(code, None, &format!("acks {acks}"))?;
        }
        let answer = wire.ask(&ask(2, b"nobody")).await?;
        let code = answer.responses[0].partition_responses[0].error_code;
        answers(code, ResponseError::InvalidRequiredAcks, "acks 2")?;
        let read = read_all(&bed.bootstrap, &topic, 0, 0, 3, Duration::from_secs(5)).await?;
        let values: Vec<_> = read.into_iter().filter_map(|f| f.message.value).collect();
        let due: Vec<&[u8]> = vec![b"unanswered", b"leader", b"all"];
        check(values == due, "what was taken, in its order")?;
        let (_, end, _) = wire.list_offset(&topic, 0, -1).await?;
        same(&end, &3, "what was refused is not in the log")
    })
}

fn two_partitions(bed: &Bed) -> Result<(), Failed> {
    bed.run(async {
        let topic = bed.topic(2 * i32::try_from(bed.subject.nodes)?).await?;
        let mut wire = bed.leader(&topic, 0).await?;
        let leader = bed.place(&topic, 0).await?.leader;
        let partitions = bed.admin().await?.describe_topic(&topic).await?;
        let led: Vec<_> = partitions.iter().filter(|p| p.leader == leader).map(|p| p.id).collect();
        check(led.len() >= 2, "a broker leads its share")?;
        let mut request = produce_request(&topic, led[0], &batch_of(&[b"a", b"b"], MS), -1);
        let other = produce_request(&topic, led[1], &batch_of(&[b"c"], MS), -1);
        request.topic_data[0].partition_data.extend(other.topic_data[0].partition_data.clone());
        let twice = [wire.ask(&request).await?, wire.ask(&request).await?];
        for (response, bases) in twice.iter().zip([[0, 0], [2, 1]]) {
            let mut answered: Vec<_> = response.responses[0]
                .partition_responses
                .iter()
                .map(|p| (p.index, p.error_code, p.base_offset))
                .collect();
            answered.sort_unstable();
            same(
                &answered,
                &vec![(led[0], 0, bases[0]), (led[1], 0, bases[1])],
                "two partitions in one request",
            )?;
        }
        Ok(())
    })
}
