//! The table, and that every version in it is really spoken, over a socket as a client would.

use bytes::{Buf, BufMut, Bytes};
use kafka_protocol::messages::create_partitions_request::CreatePartitionsTopic;
use kafka_protocol::messages::create_topics_request::{CreatableTopic, CreatableTopicConfig};
use kafka_protocol::messages::delete_records_request::{DeleteRecordsPartition, DeleteRecordsTopic};
use kafka_protocol::messages::describe_configs_request::DescribeConfigsResource;
use kafka_protocol::messages::fetch_request::{FetchPartition, FetchTopic};
use kafka_protocol::messages::join_group_request::JoinGroupRequestProtocol;
use kafka_protocol::messages::leave_group_request::MemberIdentity;
use kafka_protocol::messages::list_offsets_request::{ListOffsetsPartition, ListOffsetsTopic};
use kafka_protocol::messages::metadata_request::MetadataRequestTopic;
use kafka_protocol::messages::offset_commit_request::{
    OffsetCommitRequestPartition, OffsetCommitRequestTopic,
};
use kafka_protocol::messages::offset_fetch_request::{
    OffsetFetchRequestGroup, OffsetFetchRequestTopic, OffsetFetchRequestTopics,
};
use kafka_protocol::messages::produce_request::{PartitionProduceData, TopicProduceData};
use kafka_protocol::messages::*;
use kafka_protocol::protocol::{Decodable, Encodable, HeaderVersion, Request, StrBytes};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use super::*;
use crate::{Cluster, ClusterOptions};

async fn cluster() -> (Cluster, String) {
    let cluster = Cluster::start(ClusterOptions::default()).await.unwrap();
    let address = cluster.bootstrap().remove(0);
    (cluster, address)
}

/// One request over a connection of its own; `None` when the broker closes it instead of answering.
async fn raw(address: &str, key: i16, version: i16, header_version: i16, body: &[u8]) -> Option<Bytes> {
    let mut stream = TcpStream::connect(address).await.unwrap();
    let mut frame = BytesMut::new();
    frame.put_i32(0);
    let header = RequestHeader::default()
        .with_request_api_key(key)
        .with_request_api_version(version)
        .with_correlation_id(7)
        .with_client_id(Some(StrBytes::from_static_str("test")));
    header.encode(&mut frame, header_version).unwrap();
    frame.extend_from_slice(body);
    let length = frame.len() as i32 - 4;
    frame[..4].copy_from_slice(&length.to_be_bytes());
    stream.write_all(&frame).await.unwrap();
    let length = stream.read_i32().await.ok()?;
    let mut answer = vec![0; length as usize];
    stream.read_exact(&mut answer).await.unwrap();
    Some(answer.into())
}

/// Sends `request` in every version that is served and reads each answer to its last byte.
async fn speak<R: Request + Clone>(address: &str, request: impl Fn(i16) -> R) {
    let api = ApiKey::try_from(R::KEY).unwrap();
    for version in served(api).unwrap() {
        let mut body = BytesMut::new();
        request(version).encode(&mut body, version).unwrap();
        let answer = raw(address, R::KEY, version, R::header_version(version), &body).await;
        let mut answer = answer.unwrap_or_else(|| panic!("{api:?} {version} closed the connection"));
        let header = ResponseHeader::decode(&mut answer, R::Response::header_version(version)).unwrap();
        assert_eq!(header.correlation_id, 7, "{api:?} {version}");
        R::Response::decode(&mut answer, version).unwrap_or_else(|e| panic!("{api:?} {version}: {e:#}"));
        assert!(!answer.has_remaining(), "{api:?} {version} has bytes too many");
    }
}

fn topic(name: &'static str) -> TopicName {
    TopicName(StrBytes::from_static_str(name))
}

fn group() -> GroupId {
    GroupId(StrBytes::from_static_str("g"))
}

#[tokio::test]
async fn every_version_of_the_table_is_answered() {
    let (cluster, address) = cluster().await;
    let address = address.as_str();
    let create = |version: i16| {
        let config =
            CreatableTopicConfig::default().with_name("retention.ms".into()).with_value(Some("1".into()));
        let one = |name| {
            CreatableTopic::default()
                .with_name(name)
                .with_num_partitions(1)
                .with_replication_factor(1)
                .with_configs(vec![config.clone()])
        };
        let new = TopicName(StrBytes::from_string(format!("t{version}")));
        CreateTopicsRequest::default().with_topics(vec![one(new), one(topic("bad/name"))])
    };
    speak(address, create).await;
    // Once for what is there and once for what is not: both kinds of answer have to fit each version.
    for name in ["t2", "absent"] {
        let name = || topic(name);
        speak(address, |_| {
            let partition =
                PartitionProduceData::default().with_records(Some(Bytes::from_static(b"no batch")));
            let topic = TopicProduceData::default().with_name(name()).with_partition_data(vec![partition]);
            ProduceRequest::default().with_acks(1).with_topic_data(vec![topic])
        })
        .await;
        speak(address, |_| {
            let topic =
                FetchTopic::default().with_topic(name()).with_partitions(vec![FetchPartition::default()]);
            FetchRequest::default().with_topics(vec![topic])
        })
        .await;
        speak(address, |_| {
            let ends = ListOffsetsPartition::default().with_timestamp(-1);
            let topic = ListOffsetsTopic::default().with_name(name()).with_partitions(vec![ends]);
            ListOffsetsRequest::default().with_topics(vec![topic])
        })
        .await;
        speak(address, |_| {
            let topic = MetadataRequestTopic::default().with_name(Some(name()));
            MetadataRequest::default().with_topics(Some(vec![topic]))
        })
        .await;
        speak(address, |_| {
            let topic = DeleteRecordsTopic::default().with_name(name());
            let topic = topic.with_partitions(vec![DeleteRecordsPartition::default()]);
            DeleteRecordsRequest::default().with_topics(vec![topic])
        })
        .await;
        speak(address, |_| {
            let resource =
                DescribeConfigsResource::default().with_resource_type(2).with_resource_name(name().0);
            DescribeConfigsRequest::default().with_resources(vec![resource])
        })
        .await;
        speak(address, |version| {
            let topic = CreatePartitionsTopic::default().with_name(name()).with_count(2 + i32::from(version));
            CreatePartitionsRequest::default().with_topics(vec![topic.with_assignments(None)])
        })
        .await;
        speak(address, |_| {
            let partition = OffsetCommitRequestPartition::default().with_committed_offset(5);
            let topic =
                OffsetCommitRequestTopic::default().with_name(name()).with_partitions(vec![partition]);
            OffsetCommitRequest::default()
                .with_group_id(group())
                .with_generation_id_or_member_epoch(-1)
                .with_topics(vec![topic])
        })
        .await;
        speak(address, |version| {
            if version < 8 {
                let topic =
                    OffsetFetchRequestTopic::default().with_name(name()).with_partition_indexes(vec![0]);
                return OffsetFetchRequest::default().with_group_id(group()).with_topics(Some(vec![topic]));
            }
            let topic = OffsetFetchRequestTopics::default().with_name(name()).with_partition_indexes(vec![0]);
            let one =
                OffsetFetchRequestGroup::default().with_group_id(group()).with_topics(Some(vec![topic]));
            OffsetFetchRequest::default().with_groups(vec![one])
        })
        .await;
    }
    speak(address, |version| match version {
        ..4 => FindCoordinatorRequest::default().with_key("g".into()),
        _ => FindCoordinatorRequest::default().with_coordinator_keys(vec!["g".into()]),
    })
    .await;
    speak(address, |version| {
        let range = JoinGroupRequestProtocol::default().with_name("range".into());
        JoinGroupRequest::default()
            // One each, or they would wait for one another.
            .with_group_id(GroupId(StrBytes::from_string(format!("join{version}"))))
            .with_session_timeout_ms(1_000)
            .with_protocol_type("consumer".into())
            .with_protocols(vec![range])
    })
    .await;
    speak(address, |_| SyncGroupRequest::default().with_group_id(group())).await;
    speak(address, |_| HeartbeatRequest::default().with_group_id(group())).await;
    speak(address, |version| {
        let members = if version < 3 { Vec::new() } else { vec![MemberIdentity::default()] };
        LeaveGroupRequest::default().with_group_id(group()).with_members(members)
    })
    .await;
    speak(address, |_| {
        let names = ["g", "absent", "join0"].map(|name| GroupId(StrBytes::from_static_str(name)));
        DescribeGroupsRequest::default().with_groups(names.to_vec())
    })
    .await;
    speak(address, |_| ListGroupsRequest::default()).await;
    speak(address, |_| ApiVersionsRequest::default()).await;
    speak(address, |_| DeleteGroupsRequest::default().with_groups_names(vec![group()])).await;
    speak(address, |version| match version {
        ..6 => DeleteTopicsRequest::default().with_topic_names(vec![topic("t2")]),
        _ => {
            let named = delete_topics_request::DeleteTopicState::default().with_name(Some(topic("t3")));
            DeleteTopicsRequest::default().with_topics(vec![named])
        }
    })
    .await;
    cluster.stop().await;
}

#[tokio::test]
async fn what_is_not_in_the_table_closes_the_connection_but_versions_are_always_told() {
    let (cluster, address) = cluster().await;
    for (key, version) in [
        (ApiKey::InitProducerId as i16, 0),
        (ApiKey::Fetch as i16, 13),
        (ApiKey::Produce as i16, 2),
        (999, 0),
    ] {
        assert_eq!(raw(&address, key, version, 1, &[]).await, None, "{key} {version}");
    }
    assert_eq!(raw(&address, ApiKey::Metadata as i16, 1, 1, b"\0\0").await, None, "a body that ends early");
    let mut told = raw(&address, ApiKey::ApiVersions as i16, 77, 2, &[0]).await.unwrap();
    assert_eq!(told.get_i32(), 7);
    let told = ApiVersionsResponse::decode(&mut told, 0).unwrap();
    assert_eq!(told.error_code, ResponseError::UnsupportedVersion.code());
    assert_eq!(told.api_keys.len(), TABLE.len());
    let produce = &told.api_keys[0];
    assert_eq!((produce.api_key, produce.min_version, produce.max_version), (ApiKey::Produce as i16, 0, 9));

    let mut stream = TcpStream::connect(&address).await.unwrap();
    stream.write_all(&i32::MAX.to_be_bytes()).await.unwrap();
    assert!(stream.read_i32().await.is_err(), "a frame of 2 GiB");
    cluster.stop().await;
}

#[test]
fn the_documentation_shows_the_table() {
    let documentation = include_str!("../lib.rs");
    let rows = documentation.lines().filter_map(|line| line.strip_prefix("//! | "));
    let shown: Vec<String> =
        rows.filter_map(|row| Some(row.split_once(" | ")?.0.to_owned())).skip(1).collect();
    assert_eq!(shown, TABLE.iter().map(|(api, _)| format!("{api:?}")).collect::<Vec<_>>());
    for (api, versions) in TABLE {
        let row = format!("//! | {api:?} | {}–{} | ", versions.start(), versions.end());
        assert!(documentation.contains(&row), "no row `{row}`");
    }
}
