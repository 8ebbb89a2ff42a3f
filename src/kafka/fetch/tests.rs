//! The loop over a log in memory: nothing left out, nothing twice, nothing chosen by itself.

use std::collections::VecDeque;
use std::future::pending;

use tokio::time::{Instant, sleep, timeout};

use super::range::read_from;
use super::reader::{Chunk, FetchAttemptError, PartitionReader};
use super::*;
use crate::kafka::{Message, Origin};

const PARTITION: i32 = 4;

/// How the source answers before it answers as a log does.
#[derive(Clone, Debug)]
enum Answer {
    Failure,
    Silence,
    /// Says that the offset is out of range, whether or not it is.
    OutOfRange,
    Error(FetchAttemptError),
    Chunk(Chunk),
    /// The same, after as long as it may take.
    Held(Chunk),
}

/// Offsets `start` up to `end`, three records a fetch.
#[derive(Default)]
struct InMemory {
    start: i64,
    end: i64,
    script: VecDeque<Answer>,
    fetches: usize,
}

impl InMemory {
    fn new(start: i64, end: i64) -> Self {
        Self { start, end, ..Self::default() }
    }

    fn answering(mut self, script: impl IntoIterator<Item = Answer>) -> Self {
        self.script.extend(script);
        self
    }
}

impl PartitionReader for InMemory {
    async fn fetch(&mut self, offset: i64, config: &FetchConfig) -> Result<Chunk, FetchAttemptError> {
        self.fetches += 1;
        match self.script.pop_front() {
            Some(Answer::Failure) => return Err(FetchAttemptError::Passing("the broker is away".to_owned())),
            Some(Answer::Silence) => return pending().await,
            Some(Answer::OutOfRange) => return Err(FetchAttemptError::OutOfRange),
            Some(Answer::Error(error)) => return Err(error),
            Some(Answer::Chunk(chunk)) => return Ok(chunk),
            Some(Answer::Held(chunk)) => {
                sleep(config.max_wait).await;
                return Ok(chunk);
            }
            None => {}
        }
        if !(self.start..=self.end).contains(&offset) {
            return Err(FetchAttemptError::OutOfRange);
        }
        if offset == self.end {
            sleep(config.max_wait).await;
        }
        let next_offset = self.end.min(offset + 3);
        Ok(Chunk { records: (offset..next_offset).map(record).collect(), next_offset, ..Chunk::default() })
    }

    async fn range(&mut self, _: &FetchConfig) -> Result<(i64, i64), FetchAttemptError> {
        Ok((self.start, self.end))
    }
}

fn record(offset: i64) -> Fetched {
    let origin = Origin { partition: PARTITION, offset };
    Fetched {
        origin,
        message: Message { value: Some(offset.to_string().into_bytes()), ..Message::default() },
    }
}

/// Runs the loop and takes what comes within `within`: the items, batches flattened to offsets, and how it ended.
async fn follow_for(
    source: &mut InMemory,
    from: i64,
    config: FetchConfig,
    within: Duration,
) -> (Vec<i64>, Vec<FetchItem>, Option<Result<(), FetchError>>) {
    let (sender, mut receiver) = mpsc::channel(2);
    let (mut offsets, mut others) = (Vec::new(), Vec::new());
    let collect = async {
        while let Some(item) = receiver.recv().await {
            match item {
                FetchItem::Batch { records, .. } => {
                    offsets.extend(records.iter().map(|fetched| fetched.origin.offset));
                }
                other => others.push(other),
            }
        }
    };
    let running = async {
        tokio::select! {
            biased;
            () = collect => unreachable!("the sender lives as long as the loop"),
            ended = follow(source, PARTITION, from, &config, &sender) => ended,
        }
    };
    let ended = timeout(within, running).await.ok();
    while let Ok(item) = receiver.try_recv() {
        match item {
            FetchItem::Batch { records, .. } => {
                offsets.extend(records.iter().map(|fetched| fetched.origin.offset));
            }
            other => others.push(other),
        }
    }
    (offsets, others, ended)
}

#[tokio::test(start_paused = true)]
async fn every_record_comes_once_and_in_order_through_any_trouble() {
    let script = [Answer::Failure, Answer::Silence, Answer::Failure, Answer::OutOfRange];
    let mut source = InMemory::new(0, 20).answering(script);
    let (offsets, others, ended) =
        follow_for(&mut source, 5, FetchConfig::default(), Duration::from_secs(30)).await;
    assert_eq!(offsets, (5..20).collect::<Vec<_>>());
    let count = |wanted: fn(&FetchItem) -> bool| others.iter().filter(|item| wanted(item)).count();
    assert_eq!(count(|item| matches!(item, FetchItem::Retried { .. })), 4, "each failed attempt: {others:?}");
    assert_eq!(count(|item| matches!(item, FetchItem::Recovered { .. })), 1, "and their end: {others:?}");
    assert!(ended.is_none(), "an idle partition is waited on");
}

#[tokio::test(start_paused = true)]
async fn a_broker_that_stays_away_is_asked_with_pauses() {
    let mut source = InMemory::new(0, 1).answering(vec![Answer::Failure; 10_000]);
    let (_, others, ended) =
        follow_for(&mut source, 0, FetchConfig::default(), Duration::from_secs(60)).await;
    assert!(ended.is_none() && (60..=125).contains(&others.len()), "{} attempts in 60 s", others.len());
}

#[tokio::test(start_paused = true)]
async fn out_of_range_fails_clearly() {
    for offset in [6, 13] {
        let mut source = InMemory::new(7, 12);
        let (_, _, ended) =
            follow_for(&mut source, offset, FetchConfig::default(), Duration::from_secs(5)).await;
        let expected = FetchError::OutOfRange { partition: PARTITION, offset, start: 7, end: 12 };
        assert_eq!(ended, Some(Err(expected)));
    }
}

#[tokio::test(start_paused = true)]
async fn out_of_range_goes_on_from_the_start_if_told_so() {
    let config = FetchConfig { on_out_of_range: OutOfRange::Earliest, ..FetchConfig::default() };
    for (offset, from, to) in [(3, 3, 7), (15, 12, 15)] {
        let mut source = InMemory::new(7, 12);
        let (offsets, others, ended) =
            follow_for(&mut source, offset, config.clone(), Duration::from_secs(5)).await;
        assert_eq!(offsets, (7..12).collect::<Vec<_>>());
        assert_eq!(others, [FetchItem::Gone { partition: PARTITION, from, to, resume_at: 7 }]);
        assert!(ended.is_none());
    }
}

#[tokio::test(start_paused = true)]
async fn a_full_channel_stops_the_loop_and_a_dropped_one_ends_it() {
    let (sender, receiver) = mpsc::channel(2);
    let mut source = InMemory::new(0, 1_000_000);
    let config = FetchConfig::default();
    let running = follow(&mut source, PARTITION, 0, &config, &sender);
    assert!(timeout(Duration::from_secs(60), running).await.is_err(), "it waits for room");
    assert_eq!(source.fetches, 3, "two batches in the channel, one in hand");
    drop(receiver);

    // Also in the middle of a long poll.
    let (sender, receiver) = mpsc::channel(2);
    let mut idle = InMemory::new(0, 0).answering([Answer::Silence]);
    let start = Instant::now();
    let running = follow(&mut idle, PARTITION, 0, &config, &sender);
    let (ended, ()) = tokio::join!(running, async {
        sleep(Duration::from_millis(50)).await;
        drop(receiver);
    });
    assert_eq!(ended, Ok(()));
    assert!(start.elapsed() < Duration::from_millis(100), "{:?}", start.elapsed());
}

/// The time that a reading has.
const WITHIN: Duration = Duration::from_secs(5);

#[tokio::test(start_paused = true)]
async fn read_all_brings_exactly_the_range() {
    let mut source = InMemory::new(2, 50).answering([Answer::Failure]);
    let mut read = Vec::new();
    read_from(&mut source, PARTITION, 4..12, WITHIN, |fetched| read.push(fetched)).await.unwrap();
    assert_eq!(read, (4..12).map(record).collect::<Vec<_>>());
    assert_eq!(
        read_from(&mut source, PARTITION, 9..9, WITHIN, |_| panic!("nothing lies there")).await,
        Ok(())
    );
}

#[tokio::test(start_paused = true)]
async fn read_all_says_how_far_it_came() {
    let mut source = InMemory::new(0, 10).answering([Answer::Failure]);
    let error = read_from(&mut source, PARTITION, 0..11, WITHIN, |_| ()).await.unwrap_err();
    let cause = "the broker is away".to_owned();
    assert_eq!(
        error,
        FetchError::TimedOut { partition: PARTITION, reached: 10, to: 11, waited: WITHIN, cause }
    );

    let error = read_from(&mut InMemory::new(5, 10), PARTITION, 0..7, WITHIN, |_| ()).await.unwrap_err();
    assert!(matches!(error, FetchError::OutOfRange { offset: 0, start: 5, end: 10, .. }));
}

#[tokio::test(start_paused = true)]
async fn what_holds_no_record_is_stepped_over() {
    let marker = Chunk { next_offset: 6, ..Chunk::default() };
    let mut source = InMemory::new(0, 9).answering([Answer::Chunk(marker)]);
    let (sender, mut receiver) = mpsc::channel(4);
    let config = FetchConfig::default();
    let running = follow(&mut source, PARTITION, 5, &config, &sender);
    let _ = timeout(Duration::from_secs(5), running).await;
    let mut batch = || match receiver.try_recv() {
        Ok(FetchItem::Batch { records, next_offset, .. }) => (records, next_offset),
        other => panic!("{other:?}"),
    };
    assert_eq!(batch(), (Vec::new(), 6));
    assert_eq!(batch(), ((6..9).map(record).collect(), 9));
}

#[tokio::test(start_paused = true)]
async fn an_open_transaction_is_told_of_once_and_its_end_too() {
    let held = |offset| Chunk { next_offset: 4, open_transaction: Some(offset), ..Chunk::default() };
    let open = |since_offset| FetchItem::OpenTransaction { partition: PARTITION, since_offset };
    // Each poll is held for half a second.
    for (polls, told) in [(6, vec![]), (8, vec![open(Some(4)), open(None)])] {
        let mut source = InMemory::new(0, 4).answering(vec![Answer::Held(held(4)); polls]);
        let (offsets, others, _) =
            follow_for(&mut source, 4, FetchConfig::default(), Duration::from_secs(6)).await;
        assert_eq!((offsets, others), (Vec::new(), told), "{polls} polls");
    }
    // One that follows on the heels of another is another.
    let held = [vec![Answer::Held(held(4)); 5], vec![Answer::Held(held(3)); 5]].concat();
    let mut source = InMemory::new(0, 4).answering(held);
    let (_, others, _) = follow_for(&mut source, 4, FetchConfig::default(), Duration::from_secs(6)).await;
    assert_eq!(others, []);
}

#[tokio::test(start_paused = true)]
async fn what_nobody_can_read_ends_the_loop_behind_what_was_read() {
    let broken = FetchAttemptError::NotDecoded("its checksum is wrong".to_owned());
    let mut source = InMemory::new(0, 9).answering([
        Answer::Chunk(Chunk { records: vec![record(0)], next_offset: 1, ..Chunk::default() }),
        Answer::Error(broken),
    ]);
    let (offsets, _, ended) =
        follow_for(&mut source, 0, FetchConfig::default(), Duration::from_secs(5)).await;
    assert_eq!(offsets, [0]);
    let why = "its checksum is wrong".to_owned();
    assert_eq!(ended, Some(Err(FetchError::Unreadable { partition: PARTITION, offset: 1, why })));
}

#[tokio::test(start_paused = true)]
async fn a_partition_may_be_unknown_for_half_a_minute() {
    let unknown = || Answer::Error(FetchAttemptError::NoSuchPartition("unknown".to_owned()));
    let mut source = InMemory::new(0, 3).answering([unknown(), unknown()]);
    let (offsets, others, ended) =
        follow_for(&mut source, 0, FetchConfig::default(), Duration::from_secs(5)).await;
    assert_eq!((offsets, others.len(), ended), (vec![0, 1, 2], 3, None), "it became known: {others:?}");
    let mut source = InMemory::new(0, 3).answering(vec![unknown(); 10_000]);
    let begun = Instant::now();
    let (_, _, ended) = follow_for(&mut source, 0, FetchConfig::default(), Duration::from_secs(60)).await;
    assert!(matches!(ended, Some(Err(FetchError::NoSuchPartition { .. }))), "{ended:?}");
    assert!((30..33).contains(&begun.elapsed().as_secs()));
}

#[tokio::test(start_paused = true)]
async fn a_refusal_ends_the_loop_at_once() {
    let refused = FetchAttemptError::Refused("TOPIC_AUTHORIZATION_FAILED (29)".to_owned());
    let mut source = InMemory::new(0, 3).answering([Answer::Error(refused)]);
    let (_, _, ended) = follow_for(&mut source, 0, FetchConfig::default(), Duration::from_secs(5)).await;
    assert!(matches!(ended, Some(Err(FetchError::Refused { .. }))), "{ended:?}");
}
