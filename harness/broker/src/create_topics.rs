//! CreateTopics, CreatePartitions, DeleteTopics, and DescribeConfigs of what a topic was created with.

use std::collections::BTreeSet;

use kafka_protocol::error::ResponseError;
use kafka_protocol::messages::TopicName;
use kafka_protocol::messages::create_partitions_request::{CreatePartitionsRequest, CreatePartitionsTopic};
use kafka_protocol::messages::create_partitions_response::{
    CreatePartitionsResponse, CreatePartitionsTopicResult,
};
use kafka_protocol::messages::create_topics_request::{CreatableTopic, CreateTopicsRequest};
use kafka_protocol::messages::create_topics_response::{
    CreatableTopicConfigs, CreatableTopicResult, CreateTopicsResponse,
};
use kafka_protocol::messages::delete_topics_request::{DeleteTopicState, DeleteTopicsRequest};
use kafka_protocol::messages::delete_topics_response::{DeletableTopicResult, DeleteTopicsResponse};
use kafka_protocol::messages::describe_configs_request::{DescribeConfigsRequest, DescribeConfigsResource};
use kafka_protocol::messages::describe_configs_response::{
    DescribeConfigsResourceResult, DescribeConfigsResponse, DescribeConfigsResult,
};
use kafka_protocol::protocol::StrBytes;

use super::shared::Shared;
use super::topics::{Refusal, Wanted};

/// Where a config comes from: set for the topic.
const SOURCE_TOPIC: i8 = 1;
/// The kind of resource that a topic is.
const RESOURCE_TOPIC: i8 = 2;

/// Names that come more than once.
fn twice<'a>(names: impl Iterator<Item = &'a TopicName>) -> BTreeSet<TopicName> {
    let mut seen = BTreeSet::new();
    names.filter(|name| !seen.insert(*name)).cloned().collect()
}

fn named_twice() -> Refusal {
    (ResponseError::InvalidRequest, "the topic is named twice".to_owned())
}

/// Creates each topic, or says why not. Any node does it, whoever is named the controller.
pub(super) fn create(shared: &Shared, request: CreateTopicsRequest) -> CreateTopicsResponse {
    let twice = twice(request.topics.iter().map(|topic| &topic.name));
    let topics = request.topics.into_iter().map(|topic| {
        let name = topic.name.clone();
        let created = if twice.contains(&name) {
            Err(named_twice())
        } else {
            create_one(shared, topic, request.validate_only)
        };
        created.unwrap_or_else(|(error, reason)| {
            CreatableTopicResult::default()
                .with_error_code(error.code())
                .with_error_message(Some(StrBytes::from_string(reason)))
                .with_num_partitions(-1)
                .with_replication_factor(-1)
                .with_configs(Some(Vec::new()))
                .with_name(name)
        })
    });
    CreateTopicsResponse::default().with_topics(topics.collect())
}

fn create_one(
    shared: &Shared,
    topic: CreatableTopic,
    only_check: bool,
) -> Result<CreatableTopicResult, Refusal> {
    let assigned = topic
        .assignments
        .iter()
        .map(|chosen| (chosen.partition_index, chosen.broker_ids.iter().map(|id| id.0).collect()));
    let configs = topic
        .configs
        .into_iter()
        .filter_map(|config| Some((config.name.to_string(), config.value?.to_string())));
    let wanted = Wanted {
        name: topic.name.to_string(),
        partitions: topic.num_partitions,
        replication: topic.replication_factor,
        assigned: assigned.collect(),
        configs: configs.collect(),
    };
    let mut topics = shared.topics();
    // Under the lock, so that a node that stops meanwhile sees the topic or is not chosen.
    let live: Vec<i32> = shared.live().map(|node| node.id).collect();
    let created = topics.create(wanted, &live, only_check)?;
    drop(topics);
    let configs = created.configs.iter().map(|(name, value)| {
        CreatableTopicConfigs::default()
            .with_name(StrBytes::from_string(name.clone()))
            .with_value(Some(StrBytes::from_string(value.clone())))
            .with_config_source(SOURCE_TOPIC)
    });
    let replication = created.partitions[0].lock().replicas.len();
    Ok(CreatableTopicResult::default()
        .with_name(topic.name)
        .with_topic_id(created.id)
        .with_num_partitions(created.partitions.len() as i32)
        .with_replication_factor(replication as i16)
        .with_configs(Some(configs.collect())))
}

/// Adds partitions to each topic, or says why not.
pub(super) fn add_partitions(shared: &Shared, request: CreatePartitionsRequest) -> CreatePartitionsResponse {
    let twice = twice(request.topics.iter().map(|topic| &topic.name));
    let results = request.topics.into_iter().map(|topic| {
        let name = topic.name.clone();
        let added = if twice.contains(&name) {
            Err(named_twice())
        } else {
            add_to_one(shared, topic, request.validate_only)
        };
        let (code, reason) = match added {
            Ok(()) => (0, None),
            Err((error, reason)) => (error.code(), Some(StrBytes::from_string(reason))),
        };
        CreatePartitionsTopicResult::default()
            .with_name(name)
            .with_error_code(code)
            .with_error_message(reason)
    });
    CreatePartitionsResponse::default().with_results(results.collect())
}

fn add_to_one(shared: &Shared, topic: CreatePartitionsTopic, only_check: bool) -> Result<(), Refusal> {
    let chosen = topic.assignments.unwrap_or_default().into_iter();
    let chosen = chosen.map(|chosen| chosen.broker_ids.iter().map(|id| id.0).collect()).collect();
    let mut topics = shared.topics();
    // Under the lock, as above.
    let live: Vec<i32> = shared.live().map(|node| node.id).collect();
    topics.add_partitions(&topic.name, topic.count, chosen, &live, only_check)
}

/// Deletes each topic, with its logs and what groups have committed for it.
pub(super) fn delete(shared: &Shared, version: i16, request: DeleteTopicsRequest) -> DeleteTopicsResponse {
    let named = if version < 6 {
        request
            .topic_names
            .into_iter()
            .map(|name| DeleteTopicState::default().with_name(Some(name)))
            .collect()
    } else {
        request.topics
    };
    let responses = named.into_iter().map(|named| delete_one(shared, named));
    DeleteTopicsResponse::default().with_responses(responses.collect())
}

fn delete_one(shared: &Shared, named: DeleteTopicState) -> DeletableTopicResult {
    let mut topics = shared.topics();
    let result = DeletableTopicResult::default().with_topic_id(named.topic_id);
    let name = match named.name {
        Some(name) => name.to_string(),
        None => match topics.by_id(named.topic_id) {
            Some((name, _)) => name,
            None => return result.with_name(None).with_error_code(ResponseError::UnknownTopicId.code()),
        },
    };
    let deleted = topics.delete(&name);
    drop(topics);
    shared.coordinator.forget_topic(&name);
    let code = if deleted { 0 } else { ResponseError::UnknownTopicOrPartition.code() };
    result.with_name(Some(TopicName(StrBytes::from_string(name)))).with_error_code(code)
}

/// The configs that a topic was created with; of defaults, and of nodes, nothing is told.
pub(super) fn describe_configs(shared: &Shared, request: &DescribeConfigsRequest) -> DescribeConfigsResponse {
    let results = request.resources.iter().map(|resource| describe_config(shared, resource));
    DescribeConfigsResponse::default().with_results(results.collect())
}

fn describe_config(shared: &Shared, resource: &DescribeConfigsResource) -> DescribeConfigsResult {
    let result = DescribeConfigsResult::default()
        .with_resource_type(resource.resource_type)
        .with_resource_name(resource.resource_name.clone());
    if resource.resource_type != RESOURCE_TOPIC {
        return result;
    }
    let Some(topic) = shared.topics().get(&resource.resource_name) else {
        return result.with_error_code(ResponseError::UnknownTopicOrPartition.code());
    };
    let keys = resource.configuration_keys.as_ref();
    let keys = keys.map(|keys| keys.iter().map(|key| key.as_str()).collect::<BTreeSet<_>>());
    let asked =
        topic.configs.iter().filter(|(name, _)| keys.as_ref().is_none_or(|k| k.contains(name.as_str())));
    let configs = asked.map(|(name, value)| {
        DescribeConfigsResourceResult::default()
            .with_name(StrBytes::from_string(name.clone()))
            .with_value(Some(StrBytes::from_string(value.clone())))
            .with_config_source(SOURCE_TOPIC)
    });
    result.with_configs(configs.collect())
}
