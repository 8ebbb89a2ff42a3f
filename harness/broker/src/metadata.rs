//! Metadata: the nodes that run, and who leads what. Every node says the same. Nothing is ever created by asking.

use std::sync::Arc;

use kafka_protocol::error::ResponseError;
use kafka_protocol::messages::metadata_request::{MetadataRequest, MetadataRequestTopic};
use kafka_protocol::messages::metadata_response::{
    MetadataResponse, MetadataResponseBroker, MetadataResponsePartition, MetadataResponseTopic,
};
use kafka_protocol::messages::{BrokerId, TopicName};
use kafka_protocol::protocol::StrBytes;

use super::shared::{HOST, Node, Shared};
use super::topics::{NOBODY, Partition, Topic, check_name};

/// Answers for the topics that are asked for.
pub(super) fn answer(shared: &Shared, version: i16, request: MetadataRequest) -> MetadataResponse {
    let brokers: Vec<_> = shared.live().map(broker).collect();
    let controller = brokers.first().map_or(NOBODY, |broker| broker.node_id.0);
    // In version 0 an empty list means all topics; later that is what a missing one means.
    let asked = request.topics.filter(|topics| version > 0 || !topics.is_empty());
    let topics = match asked {
        None => {
            let all: Vec<_> =
                shared.topics().all().map(|(name, topic)| (name.to_owned(), Arc::clone(topic))).collect();
            all.iter().map(|(name, topic)| describe(shared, name, topic)).collect()
        }
        Some(asked) => asked.into_iter().map(|asked| one(shared, asked)).collect(),
    };
    MetadataResponse::default()
        .with_brokers(brokers)
        .with_cluster_id(Some(StrBytes::from_string(shared.cluster_id.clone())))
        .with_controller_id(BrokerId(controller))
        .with_topics(topics)
}

fn broker(node: &Node) -> MetadataResponseBroker {
    MetadataResponseBroker::default()
        .with_node_id(BrokerId(node.id))
        .with_host(StrBytes::from_static_str(HOST))
        .with_port(i32::from(node.port))
}

fn one(shared: &Shared, asked: MetadataRequestTopic) -> MetadataResponseTopic {
    let failed = |error: ResponseError| MetadataResponseTopic::default().with_error_code(error.code());
    let Some(name) = asked.name else {
        let found = shared.topics().by_id(asked.topic_id);
        return match found {
            Some((name, topic)) => describe(shared, &name, &topic),
            None => failed(ResponseError::UnknownTopicId).with_name(None).with_topic_id(asked.topic_id),
        };
    };
    let found = shared.topics().get(&name);
    match found {
        Some(topic) => describe(shared, &name, &topic),
        None if check_name(&name).is_err() => {
            failed(ResponseError::InvalidTopicException).with_name(Some(name))
        }
        None => failed(ResponseError::UnknownTopicOrPartition).with_name(Some(name)),
    }
}

fn describe(shared: &Shared, name: &str, topic: &Topic) -> MetadataResponseTopic {
    MetadataResponseTopic::default()
        .with_name(Some(TopicName(StrBytes::from_string(name.to_owned()))))
        .with_topic_id(topic.id)
        .with_partitions(
            topic.partitions.iter().map(|partition| describe_partition(shared, partition)).collect(),
        )
}

fn describe_partition(shared: &Shared, partition: &Partition) -> MetadataResponsePartition {
    let state = partition.lock();
    let ids = |ids: &[i32]| ids.iter().copied().map(BrokerId).collect::<Vec<_>>();
    let mut offline = state.replicas.clone();
    offline.retain(|id| shared.live().all(|node| node.id != *id));
    let error = if state.leader == NOBODY { ResponseError::LeaderNotAvailable.code() } else { 0 };
    MetadataResponsePartition::default()
        .with_error_code(error)
        .with_partition_index(partition.index)
        .with_leader_id(BrokerId(state.leader))
        .with_leader_epoch(state.epoch)
        .with_replica_nodes(ids(&state.replicas))
        .with_isr_nodes(ids(&state.isr))
        .with_offline_replicas(ids(&offline))
}
