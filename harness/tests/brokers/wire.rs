//! One connection on which a case says exactly what it wants said, in the versions that the project's clients speak.

use std::collections::BTreeMap;
use std::time::Duration;

use bytes::{Buf, BufMut, Bytes, BytesMut};
use kafka_protocol::ResponseError;
use kafka_protocol::messages::fetch_request::{FetchPartition, FetchTopic};
use kafka_protocol::messages::fetch_response::PartitionData;
use kafka_protocol::messages::list_offsets_request::{ListOffsetsPartition, ListOffsetsTopic};
use kafka_protocol::messages::metadata_request::MetadataRequestTopic;
use kafka_protocol::messages::offset_fetch_request::{OffsetFetchRequestGroup, OffsetFetchRequestTopics};
use kafka_protocol::messages::produce_request::{PartitionProduceData, TopicProduceData};
use kafka_protocol::messages::*;
use kafka_protocol::protocol::{Decodable, Encodable, HeaderVersion, Request, StrBytes};
use libtest_mimic::Failed;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

/// No answer takes longer, a JoinGroup that waits for others included.
const LIMIT: Duration = Duration::from_secs(30);

/// A request in the version that is used here.
pub(crate) trait Spoken: Request {
    /// The version.
    const VERSION: i16;
}

macro_rules! spoken {
    ($($request:ty = $version:literal),* $(,)?) => {
        $(impl Spoken for $request { const VERSION: i16 = $version; })*
        /// Every API and the version that is used of it.
        pub(crate) const SPOKEN: &[(i16, i16)] = &[$((<$request as Request>::KEY, $version)),*];
    };
}

spoken! {
    ApiVersionsRequest = 3,
    CreateTopicsRequest = 7,
    DeleteGroupsRequest = 2,
    DeleteTopicsRequest = 6,
    DescribeGroupsRequest = 5,
    FetchRequest = 11,
    FindCoordinatorRequest = 4,
    HeartbeatRequest = 4,
    JoinGroupRequest = 7,
    LeaveGroupRequest = 4,
    ListGroupsRequest = 4,
    ListOffsetsRequest = 7,
    MetadataRequest = 12,
    OffsetCommitRequest = 8,
    OffsetFetchRequest = 8,
    ProduceRequest = 7,
    SyncGroupRequest = 5,
}

/// What a fetch asks for beside its offset.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Appetite {
    pub(crate) max_wait: Duration,
    pub(crate) min_bytes: i32,
    pub(crate) max_bytes: i32,
}

impl Default for Appetite {
    fn default() -> Self {
        Self { max_wait: Duration::ZERO, min_bytes: 1, max_bytes: 4 << 20 }
    }
}

/// A connection.
pub(crate) struct Wire {
    stream: TcpStream,
    last: i32,
}

impl Wire {
    pub(crate) async fn connect(address: &str) -> Result<Self, Failed> {
        let stream = TcpStream::connect(address).await?;
        stream.set_nodelay(true)?;
        Ok(Self { stream, last: 0 })
    }

    /// Sends a request and reads its answer.
    pub(crate) async fn ask<R: Spoken>(&mut self, request: &R) -> Result<R::Response, Failed> {
        self.ask_in(R::VERSION, request).await
    }

    /// The same in another version.
    pub(crate) async fn ask_in<R: Request>(
        &mut self,
        version: i16,
        request: &R,
    ) -> Result<R::Response, Failed> {
        let id = self.send(version, request).await?;
        self.answer::<R>(version, id).await
    }

    /// Sends a request without waiting; returns its correlation id.
    pub(crate) async fn send<R: Request>(&mut self, version: i16, request: &R) -> Result<i32, Failed> {
        self.last += 1;
        let mut frame = BytesMut::new();
        frame.put_i32(0);
        RequestHeader::default()
            .with_request_api_key(R::KEY)
            .with_request_api_version(version)
            .with_correlation_id(self.last)
            .with_client_id(Some(StrBytes::from_static_str("suite")))
            .encode(&mut frame, R::header_version(version))?;
        request.encode(&mut frame, version)?;
        let length = i32::try_from(frame.len() - 4)?;
        frame[..4].copy_from_slice(&length.to_be_bytes());
        self.send_raw(&frame).await?;
        Ok(self.last)
    }

    /// Sends bytes as they are.
    pub(crate) async fn send_raw(&mut self, bytes: &[u8]) -> Result<(), Failed> {
        Ok(self.stream.write_all(bytes).await?)
    }

    /// Reads the next answer, which must be the one to request `id`.
    pub(crate) async fn answer<R: Request>(&mut self, version: i16, id: i32) -> Result<R::Response, Failed> {
        let mut body = self.read_bytes().await?.ok_or("the broker closed the connection")?;
        let header = ResponseHeader::decode(&mut body, R::Response::header_version(version))?;
        if header.correlation_id != id {
            return Err(format!("answer {} came to request {id}", header.correlation_id).into());
        }
        let response = R::Response::decode(&mut body, version)?;
        if body.has_remaining() {
            return Err(format!("the answer has {} bytes too many", body.remaining()).into());
        }
        Ok(response)
    }

    /// The next answer as it is, without its length; `None` if the broker closes the connection.
    pub(crate) async fn read_bytes(&mut self) -> Result<Option<Bytes>, Failed> {
        let read = async {
            let Ok(length) = self.stream.read_i32().await else { return Ok(None) };
            let mut body = vec![0; usize::try_from(length)?];
            self.stream.read_exact(&mut body).await?;
            Ok(Some(Bytes::from(body)))
        };
        tokio::time::timeout(LIMIT, read).await.map_err(|_| format!("no answer within {LIMIT:?}"))?
    }

    /// Produces record batches as they are; the error code and the base offset.
    pub(crate) async fn produce(
        &mut self,
        topic: &str,
        partition: i32,
        batches: &Bytes,
    ) -> Result<(i16, i64), Failed> {
        let response = self.ask(&produce_request(topic, partition, batches, -1)).await?;
        let answer = response.responses.first().and_then(|t| t.partition_responses.first());
        let answer = answer.ok_or("the answer names no partition")?;
        Ok((answer.error_code, answer.base_offset))
    }

    /// Fetches one partition.
    pub(crate) async fn fetch(
        &mut self,
        topic: &str,
        partition: i32,
        offset: i64,
        appetite: Appetite,
    ) -> Result<PartitionData, Failed> {
        let response = self.ask(&fetch_request(topic, &[(partition, offset)], appetite)).await?;
        only_partition(response)
    }

    /// The offset and timestamp that ListOffsets answers, with the error code.
    pub(crate) async fn list_offset(
        &mut self,
        topic: &str,
        partition: i32,
        timestamp: i64,
    ) -> Result<(i16, i64, i64), Failed> {
        let response = self.ask(&list_offsets_request(topic, partition, timestamp)).await?;
        let answer = response.topics.first().and_then(|t| t.partitions.first()).ok_or("no partition")?;
        Ok((answer.error_code, answer.offset, answer.timestamp))
    }

    /// Metadata of `topics`.
    pub(crate) async fn metadata(
        &mut self,
        topics: &[&str],
        create: bool,
    ) -> Result<MetadataResponse, Failed> {
        let topics = topics.iter().map(|t| MetadataRequestTopic::default().with_name(Some(topic_name(t))));
        let request = MetadataRequest::default()
            .with_topics(Some(topics.collect()))
            .with_allow_auto_topic_creation(create);
        self.ask(&request).await
    }

    /// The error code, and the node id of the group's coordinator.
    pub(crate) async fn find_coordinator(&mut self, group: &str) -> Result<(i16, i32), Failed> {
        let keys = vec![StrBytes::from_string(group.to_owned())];
        let request = FindCoordinatorRequest::default().with_key_type(0).with_coordinator_keys(keys);
        let response = self.ask(&request).await?;
        let answer = response.coordinators.first().ok_or("the answer names no coordinator")?;
        Ok((answer.error_code, answer.node_id.0))
    }

    /// What the group has committed of `partitions`, −1 for nothing, or the error.
    pub(crate) async fn committed(
        &mut self,
        group: &str,
        topic: &str,
        partitions: &[i32],
    ) -> Result<Result<BTreeMap<i32, i64>, ResponseError>, Failed> {
        let topic = OffsetFetchRequestTopics::default()
            .with_name(topic_name(topic))
            .with_partition_indexes(partitions.to_vec());
        let topics = if partitions.is_empty() { Vec::new() } else { vec![topic] };
        let group =
            OffsetFetchRequestGroup::default().with_group_id(group_id(group)).with_topics(Some(topics));
        let response = self.ask(&OffsetFetchRequest::default().with_groups(vec![group])).await?;
        let answer = response.groups.first().ok_or("the answer names no group")?;
        if let Some(error) = ResponseError::try_from_code(answer.error_code) {
            return Ok(Err(error));
        }
        let mut offsets = BTreeMap::new();
        for partition in answer.topics.iter().flat_map(|topic| &topic.partitions) {
            if let Some(error) = ResponseError::try_from_code(partition.error_code) {
                return Ok(Err(error));
            }
            offsets.insert(partition.partition_index, partition.committed_offset);
        }
        Ok(Ok(offsets))
    }
}

/// A produce request for one partition. With `acks` 0 it has no answer.
pub(crate) fn produce_request(topic: &str, partition: i32, batches: &Bytes, acks: i16) -> ProduceRequest {
    let data = PartitionProduceData::default().with_index(partition).with_records(Some(batches.clone()));
    let topic = TopicProduceData::default().with_name(topic_name(topic)).with_partition_data(vec![data]);
    ProduceRequest::default().with_acks(acks).with_timeout_ms(5_000).with_topic_data(vec![topic])
}

/// A fetch request for some partitions, each from its offset.
pub(crate) fn fetch_request(topic: &str, from: &[(i32, i64)], appetite: Appetite) -> FetchRequest {
    let partitions = from.iter().map(|(partition, offset)| {
        FetchPartition::default()
            .with_partition(*partition)
            .with_fetch_offset(*offset)
            .with_partition_max_bytes(appetite.max_bytes)
    });
    let topic = FetchTopic::default().with_topic(topic_name(topic)).with_partitions(partitions.collect());
    FetchRequest::default()
        .with_replica_id(BrokerId(-1))
        .with_max_wait_ms(i32::try_from(appetite.max_wait.as_millis()).expect("short waits"))
        .with_min_bytes(appetite.min_bytes)
        .with_max_bytes(appetite.max_bytes)
        .with_session_epoch(-1)
        .with_topics(vec![topic])
}

/// A request for the offset that belongs to `timestamp` (ms; −1 the end, −2 the start).
pub(crate) fn list_offsets_request(topic: &str, partition: i32, timestamp: i64) -> ListOffsetsRequest {
    let asked = ListOffsetsPartition::default()
        .with_partition_index(partition)
        .with_current_leader_epoch(-1)
        .with_timestamp(timestamp);
    let topic = ListOffsetsTopic::default().with_name(topic_name(topic)).with_partitions(vec![asked]);
    ListOffsetsRequest::default().with_replica_id(BrokerId(-1)).with_topics(vec![topic])
}

/// The answer about the one partition that was asked for.
pub(crate) fn only_partition(response: FetchResponse) -> Result<PartitionData, Failed> {
    if response.error_code != 0 {
        return Err(format!("the whole fetch was answered with error {}", response.error_code).into());
    }
    let partition = response.responses.into_iter().flat_map(|topic| topic.partitions).next();
    Ok(partition.ok_or("the answer names no partition")?)
}

pub(crate) fn topic_name(topic: &str) -> TopicName {
    TopicName(StrBytes::from_string(topic.to_owned()))
}

pub(crate) fn group_id(group: &str) -> GroupId {
    GroupId(StrBytes::from_string(group.to_owned()))
}
