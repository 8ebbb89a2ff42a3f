//! Fetch: batches out of logs, and the long poll.

use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::task::Poll;
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use kafka_protocol::error::ResponseError;
use kafka_protocol::messages::fetch_request::{FetchPartition, FetchRequest};
use kafka_protocol::messages::fetch_response::{
    AbortedTransaction, FetchResponse, FetchableTopicResponse, PartitionData,
};
use tokio::sync::futures::Notified;
use tokio::time::Instant;

use super::shared::{Node, Shared};
use super::topics::{Partition, Topic};

/// The most that one answer brings, whatever is asked for: Kafka's `fetch.max.bytes`, in bytes.
const ANSWER_MAX_BYTES: usize = 55 << 20;
/// The longest wait that is granted.
const WAIT_MAX: Duration = Duration::from_secs(5 * 60);

/// What one look at the logs brought.
struct Look {
    responses: Vec<FetchableTopicResponse>,
    bytes: usize,
    /// An error is told at once.
    failed: bool,
}

/// Answers as soon as there are `min_bytes`, an error, or when `max_wait_ms` are over.
pub(super) async fn answer(shared: &Shared, node: &Node, request: FetchRequest) -> FetchResponse {
    // Sessions (KIP-227) are an economy that one may decline: the id 0 says that there is none.
    if request.session_id != 0 {
        return FetchResponse::default().with_error_code(ResponseError::FetchSessionIdNotFound.code());
    }
    let topics: Vec<Option<Arc<Topic>>> = {
        let topics = shared.topics();
        request.topics.iter().map(|asked| topics.get(&asked.topic)).collect()
    };
    let wait = Duration::from_millis(u64::try_from(request.max_wait_ms).unwrap_or(0)).min(WAIT_MAX);
    let until = Instant::now() + wait;
    let min_bytes = usize::try_from(request.min_bytes).unwrap_or(0);
    loop {
        // Listening begins before the look, so that what is appended in between is heard of.
        let mut notices = listen(&request, &topics);
        let look = look(node, &request, &topics);
        if look.failed || look.bytes >= min_bytes || Instant::now() >= until {
            return FetchResponse::default().with_responses(look.responses);
        }
        // However it ends, the next look decides.
        let _ = tokio::time::timeout_at(until, any(&mut notices)).await;
    }
}

/// Notices of every partition that is asked for.
fn listen<'a>(request: &FetchRequest, topics: &'a [Option<Arc<Topic>>]) -> Vec<Pin<Box<Notified<'a>>>> {
    let asked = request.topics.iter().zip(topics);
    let partitions = asked.filter_map(|(asked, topic)| Some((asked, topic.as_ref()?)));
    let partitions = partitions.flat_map(|(asked, topic)| {
        asked.partitions.iter().filter_map(|wanted| topic.partition(wanted.partition))
    });
    let notice = |partition: &'a Partition| {
        let mut notice = Box::pin(partition.changed.notified());
        notice.as_mut().enable();
        notice
    };
    partitions.map(notice).collect()
}

/// Ends with the first of them; never without any.
async fn any(notices: &mut [Pin<Box<Notified<'_>>>]) {
    std::future::poll_fn(|cx| {
        let told = notices.iter_mut().any(|notice| notice.as_mut().poll(cx).is_ready());
        if told { Poll::Ready(()) } else { Poll::Pending }
    })
    .await;
}

fn look(node: &Node, request: &FetchRequest, topics: &[Option<Arc<Topic>>]) -> Look {
    let mut left = usize::try_from(request.max_bytes).unwrap_or(0).min(ANSWER_MAX_BYTES);
    let committed_only = request.isolation_level != 0;
    let mut look = Look { responses: Vec::with_capacity(topics.len()), bytes: 0, failed: false };
    for (asked, topic) in request.topics.iter().zip(topics) {
        let mut partitions = Vec::with_capacity(asked.partitions.len());
        for wanted in &asked.partitions {
            // The first batch of the answer is sent even if it is too large, or its reader would never go on.
            let read = match topic {
                Some(topic) => read(topic, node, wanted, (left, look.bytes == 0), committed_only),
                None => Err(ResponseError::UnknownTopicOrPartition),
            };
            let data = PartitionData::default().with_partition_index(wanted.partition);
            partitions.push(match read {
                Ok(read) => {
                    left = left.saturating_sub(read.records.len());
                    look.bytes += read.records.len();
                    data.with_high_watermark(read.end)
                        .with_last_stable_offset(read.stable_end)
                        .with_log_start_offset(read.start)
                        .with_aborted_transactions(committed_only.then_some(read.aborted))
                        .with_records(Some(read.records))
                }
                Err(error) => {
                    look.failed = true;
                    data.with_error_code(error.code())
                        .with_high_watermark(-1)
                        .with_aborted_transactions(committed_only.then(Vec::new))
                }
            });
        }
        let response = FetchableTopicResponse::default().with_topic(asked.topic.clone());
        look.responses.push(response.with_partitions(partitions));
    }
    look
}

struct Read {
    records: Bytes,
    start: i64,
    end: i64,
    stable_end: i64,
    aborted: Vec<AbortedTransaction>,
}

fn read(
    topic: &Topic,
    node: &Node,
    wanted: &FetchPartition,
    (left, at_least_one): (usize, bool),
    committed_only: bool,
) -> Result<Read, ResponseError> {
    let partition = topic.partition(wanted.partition).ok_or(ResponseError::UnknownTopicOrPartition)?;
    let state = partition.led_by(node.id, wanted.current_leader_epoch)?;
    let max_bytes = usize::try_from(wanted.partition_max_bytes).unwrap_or(0).min(left);
    let log = &state.log;
    let (start, end, stable_end) = (log.start(), log.end(), log.stable_end());
    let until = if committed_only { stable_end } else { end };
    let batches = log
        .read(wanted.fetch_offset, until, max_bytes, at_least_one)
        .map_err(|_| ResponseError::OffsetOutOfRange)?;
    let aborted = log.aborted_from(wanted.fetch_offset).map(|aborted| {
        AbortedTransaction::default()
            .with_producer_id(aborted.producer_id.into())
            .with_first_offset(aborted.first)
    });
    let aborted = aborted.collect();
    drop(state);
    Ok(Read { records: joined(batches), start, end, stable_end, aborted })
}

/// One batch is passed on as it lies in the log; several are put behind one another.
fn joined(mut batches: Vec<Bytes>) -> Bytes {
    if batches.len() <= 1 {
        return batches.pop().unwrap_or_default();
    }
    let mut all = BytesMut::with_capacity(batches.iter().map(Bytes::len).sum());
    for batch in &batches {
        all.extend_from_slice(batch);
    }
    all.freeze()
}
