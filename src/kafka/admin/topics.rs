//! Creating, describing and deleting topics, and giving them more partitions.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use kafka_protocol::error::ResponseError;
use kafka_protocol::messages::create_partitions_request::{CreatePartitionsRequest, CreatePartitionsTopic};
use kafka_protocol::messages::create_topics_request::{
    CreatableTopic, CreatableTopicConfig, CreateTopicsRequest,
};
use kafka_protocol::messages::delete_topics_request::{DeleteTopicState, DeleteTopicsRequest};
use kafka_protocol::messages::metadata_request::MetadataRequest;
use kafka_protocol::messages::metadata_response::{MetadataResponse, MetadataResponseTopic};
use kafka_protocol::messages::{CreatePartitionsResponse, CreateTopicsResponse};
use kafka_protocol::protocol::{Request, StrBytes};
use tokio::time::Instant;

use super::{Admin, AdminError, Fault, KafkaCode, PartitionInfo, fault};
use crate::kafka::conn::cluster::{METADATA, metadata_request, topic_name};

pub(super) const CREATE_TOPICS: i16 = 7;
const CREATE_PARTITIONS: i16 = 3;
const DELETE_TOPICS: i16 = 6;

/// How a topic is asked to change.
struct Change<'a> {
    /// In words.
    what: &'a str,
    /// The right that it takes.
    right: &'a str,
    /// Of the request.
    version: i16,
    /// After an attempt without an answer, this refusal is that attempt's doing: the change is made.
    done: ResponseError,
}

impl Admin {
    /// Creates a topic and waits until every live broker knows it and every partition's leader serves it.
    ///
    /// # Errors
    /// [`AdminError::Refused`] with `TOPIC_ALREADY_EXISTS`, `INVALID_REPLICATION_FACTOR`, `INVALID_PARTITIONS`,
    /// `INVALID_CONFIG` …; [`AdminError::Forbidden`]; [`AdminError::TimedOut`].
    pub async fn create_topic(
        &self,
        name: &str,
        partitions: i32,
        replication: i16,
        configs: &[(&str, &str)],
    ) -> Result<(), AdminError> {
        let what = format!("create topic `{name}`");
        let right = format!("CREATE on topic `{name}` or on the cluster");
        let topic = topic_to_create(name, partitions, replication, configs);
        let request =
            CreateTopicsRequest::default().with_topics(vec![topic]).with_timeout_ms(self.timeout_ms());
        let change = Change {
            what: &what,
            right: &right,
            version: CREATE_TOPICS,
            done: ResponseError::TopicAlreadyExists,
        };
        let said = |response: CreateTopicsResponse| {
            response.topics.into_iter().map(|topic| (topic.error_code, topic.error_message)).collect()
        };
        self.change(change, &request, said).await?;
        self.served(&what, name, partitions).await
    }

    /// Adds partitions to a topic until it has `partitions`, and waits until every live broker knows them and their leaders serve them. Keys
    /// keep no place: of an order whose key now belongs elsewhere, later events lie in another partition.
    ///
    /// # Errors
    /// [`AdminError::Refused`] with `UNKNOWN_TOPIC_OR_PARTITION`, or with `INVALID_PARTITIONS` where it has as many or more;
    /// [`AdminError::Forbidden`]; [`AdminError::TimedOut`].
    pub async fn add_partitions(&self, name: &str, partitions: i32) -> Result<(), AdminError> {
        let what = format!("give topic `{name}` {partitions} partitions");
        let right = format!("ALTER on topic `{name}`");
        let topic = CreatePartitionsTopic::default().with_name(topic_name(name)).with_count(partitions);
        let topic = topic.with_assignments(None);
        let request =
            CreatePartitionsRequest::default().with_topics(vec![topic]).with_timeout_ms(self.timeout_ms());
        let change = Change {
            what: &what,
            right: &right,
            version: CREATE_PARTITIONS,
            done: ResponseError::InvalidPartitions,
        };
        let said = |response: CreatePartitionsResponse| {
            response.results.into_iter().map(|topic| (topic.error_code, topic.error_message)).collect()
        };
        self.change(change, &request, said).await?;
        self.served(&what, name, partitions).await
    }

    /// Asks for a change of a topic until it is made or refused; `said` takes codes and messages out of an answer.
    async fn change<R: Request>(
        &self,
        change: Change<'_>,
        request: &R,
        said: impl Fn(R::Response) -> Vec<(i16, Option<StrBytes>)>,
    ) -> Result<(), AdminError> {
        let Change { what, right, version, done } = change;
        let (unanswered, said) = (&AtomicBool::new(false), &said);
        self.retry(what, |until| async move {
            let address = self.any_address(until).await?;
            let response = match self.pool.call(&address, version, request, until).await {
                Ok(response) => response,
                Err(error) => {
                    unanswered.store(true, Ordering::Relaxed);
                    return Err(error.into());
                }
            };
            for (code, message) in said(response) {
                match KafkaCode::of(code) {
                    None => {}
                    Some(code) if code.kind() == done && unanswered.load(Ordering::Relaxed) => {}
                    // Retriable for Kafka's clients, but who names a topic that is not there wants to hear so.
                    Some(code) if code.kind() == ResponseError::UnknownTopicOrPartition => {
                        return Err(Fault::Fail(AdminError::Refused {
                            what: what.to_owned(),
                            code,
                            message: None,
                        }));
                    }
                    Some(code) => {
                        if code.kind() == ResponseError::RequestTimedOut {
                            unanswered.store(true, Ordering::Relaxed);
                        }
                        return Err(fault(what, right, code, message.as_deref()));
                    }
                }
            }
            Ok(())
        })
        .await
    }

    /// Waits until every live broker knows a topic with so many partitions (−1: any number), and each leader serves its own.
    async fn served(&self, what: &str, name: &str, partitions: i32) -> Result<(), AdminError> {
        let wanted = usize::try_from(partitions).ok();
        self.everywhere(what, name, move |topic| {
            let led = topic.partitions.iter().all(|p| p.error_code == 0 && p.leader_id.0 >= 0);
            topic.error_code == 0 && led && wanted.is_none_or(|n| n == topic.partitions.len())
        })
        .await?;
        // The metadata runs a moment ahead of the logs: ask each leader for something only a leader answers.
        self.forget_leaders(name);
        self.end_offsets(name).await.map(drop)
    }

    /// Deletes a topic and waits until no live broker knows it. One that does not exist counts as deleted.
    ///
    /// # Errors
    /// [`AdminError::Refused`], [`AdminError::Forbidden`], [`AdminError::TimedOut`].
    pub async fn delete_topic(&self, name: &str) -> Result<(), AdminError> {
        self.delete_topics(&[name]).await
    }

    /// Deletes several topics, as [`Admin::delete_topic`] does one.
    ///
    /// # Errors
    /// As [`Admin::delete_topic`]; the first topic that could not be deleted is named.
    pub async fn delete_topics(&self, names: &[&str]) -> Result<(), AdminError> {
        let topics = names.iter().map(|n| DeleteTopicState::default().with_name(Some(topic_name(n))));
        let request =
            DeleteTopicsRequest::default().with_topics(topics.collect()).with_timeout_ms(self.timeout_ms());
        let what = format!("delete topic `{}`", names.join("`, `"));
        let request = &request;
        self.retry(&what, |until| async move {
            let address = self.any_address(until).await?;
            let response = self.pool.call(&address, DELETE_TOPICS, request, until).await?;
            for result in &response.responses {
                let Some(code) = KafkaCode::of(result.error_code) else {
                    continue;
                };
                if code.kind() == ResponseError::UnknownTopicOrPartition {
                    continue;
                }
                let name = result.name.as_ref().map(|n| n.to_string()).unwrap_or_default();
                let (what, right) = (format!("delete topic `{name}`"), format!("DELETE on topic `{name}`"));
                return Err(fault(&what, &right, code, result.error_message.as_deref()));
            }
            Ok(())
        })
        .await?;
        for name in names {
            self.forget_leaders(name);
            self.everywhere(&what, name, |topic| {
                topic.error_code == ResponseError::UnknownTopicOrPartition.code()
            })
            .await?;
        }
        Ok(())
    }

    /// Whether the cluster has a topic of this name.
    ///
    /// # Errors
    /// [`AdminError::Forbidden`], [`AdminError::TimedOut`].
    pub async fn topic_exists(&self, name: &str) -> Result<bool, AdminError> {
        match self.describe_topic(name).await {
            Ok(_) => Ok(true),
            Err(AdminError::Refused { code, .. })
                if code.kind() == ResponseError::UnknownTopicOrPartition =>
            {
                Ok(false)
            }
            Err(error) => Err(error),
        }
    }

    /// The names of all topics that this user may describe, internal ones left out, in order.
    ///
    /// # Errors
    /// [`AdminError::TimedOut`].
    pub async fn list_topics(&self) -> Result<Vec<String>, AdminError> {
        let request = &MetadataRequest::default().with_topics(None).with_allow_auto_topic_creation(false);
        self.retry("list the topics", |until| async move {
            let live = self.metadata(&[], until).await?;
            let address = live.brokers.first().and_then(|broker| self.cluster.address(broker.node_id.0));
            let address = address.ok_or_else(|| Fault::Retry("no broker is known".to_owned()))?;
            let metadata = self.pool.call(&address, METADATA, request, until).await?;
            let visible = metadata.topics.iter().filter(|topic| !topic.is_internal);
            let mut names: Vec<String> = visible.filter_map(|t| Some(t.name.as_ref()?.to_string())).collect();
            names.sort_unstable();
            Ok(names)
        })
        .await
    }

    /// The partitions of a topic with leader, replicas and in-sync replicas, by number.
    ///
    /// # Errors
    /// [`AdminError::Refused`] with `UNKNOWN_TOPIC_OR_PARTITION`; [`AdminError::Forbidden`];
    /// [`AdminError::TimedOut`].
    pub async fn describe_topic(&self, name: &str) -> Result<Vec<PartitionInfo>, AdminError> {
        let what = format!("describe topic `{name}`");
        let what_ref = what.as_str();
        let topic = self
            .retry(&what, |until| async move {
                let metadata = self.metadata(&[name.to_owned()], until).await?;
                described(what_ref, name, metadata)
            })
            .await?;
        let mut partitions: Vec<_> = topic
            .partitions
            .iter()
            .map(|p| PartitionInfo {
                id: p.partition_index,
                leader: Some(p.leader_id.0).filter(|id| *id >= 0),
                replicas: p.replica_nodes.iter().map(|b| b.0).collect(),
                isr: p.isr_nodes.iter().map(|b| b.0).collect(),
            })
            .collect();
        partitions.sort_by_key(|p| p.id);
        // Leaders that are known of fewer partitions, since some were added, would leave these out of every answer.
        if self.cached_leaders(name).is_some_and(|known| known.len() != partitions.len()) {
            self.forget_leaders(name);
        }
        Ok(partitions)
    }

    /// Waits until every live broker, asked itself, says about `topic` what `holds` wants to hear.
    async fn everywhere(
        &self,
        what: &str,
        topic: &str,
        holds: impl Fn(&MetadataResponseTopic) -> bool,
    ) -> Result<(), AdminError> {
        let (request, holds) = (metadata_request(&[topic.to_owned()]), &holds);
        let request = &request;
        self.retry(what, |until| async move {
            let live = self.metadata(&[], until).await?;
            for broker in &live.brokers {
                let Some(address) = self.cluster.address(broker.node_id.0) else {
                    continue;
                };
                let metadata = self.pool.call(&address, METADATA, request, until).await?;
                if !metadata.topics.first().is_some_and(holds) {
                    return Err(Fault::Retry(format!("broker {} has not caught up", broker.node_id.0)));
                }
            }
            Ok(())
        })
        .await
    }

    /// A broker that any request can go to; the broker passes on what is for the controller.
    pub(super) async fn any_address(&self, until: Instant) -> Result<String, Fault> {
        let metadata = self.metadata(&[], until).await?;
        let address = metadata.brokers.first().and_then(|b| self.cluster.address(b.node_id.0));
        address.ok_or_else(|| Fault::Retry("the cluster has no registered broker yet".to_owned()))
    }

    pub(super) fn timeout_ms(&self) -> i32 {
        i32::try_from(self.timeout.as_millis() / 3).unwrap_or(i32::MAX)
    }

    /// Leader addresses of a topic's partitions, from the cache or fresh. Without a leader for each it is no answer.
    pub(super) async fn leaders(
        &self,
        what: &str,
        topic: &str,
        until: Instant,
    ) -> Result<Arc<BTreeMap<i32, String>>, Fault> {
        if let Some(leaders) = self.cached_leaders(topic) {
            return Ok(leaders);
        }
        let described = described(what, topic, self.metadata(&[topic.to_owned()], until).await?)?;
        let mut leaders = BTreeMap::new();
        for p in &described.partitions {
            let address = self
                .cluster
                .address(p.leader_id.0)
                .ok_or_else(|| Fault::Retry(format!("partition {} has no leader", p.partition_index)))?;
            leaders.insert(p.partition_index, address);
        }
        Ok(self.cache_leaders(topic, leaders))
    }
}

pub(super) fn topic_to_create(
    name: &str,
    partitions: i32,
    replication: i16,
    configs: &[(&str, &str)],
) -> CreatableTopic {
    let configs = configs.iter().map(|(key, value)| {
        CreatableTopicConfig::default()
            .with_name(StrBytes::from_string((*key).to_owned()))
            .with_value(Some(StrBytes::from_string((*value).to_owned())))
    });
    CreatableTopic::default()
        .with_name(topic_name(name))
        .with_num_partitions(partitions)
        .with_replication_factor(replication)
        .with_configs(configs.collect())
}

/// The one topic in `metadata`, or why it isn't there.
fn described(what: &str, topic: &str, metadata: MetadataResponse) -> Result<MetadataResponseTopic, Fault> {
    let found = metadata
        .topics
        .into_iter()
        .next()
        .ok_or_else(|| Fault::Retry(format!("the broker said nothing about topic `{topic}`")))?;
    match KafkaCode::of(found.error_code) {
        // Per partition there may be no leader; whoever needs one looks.
        None => Ok(found),
        // Retriable for Kafka's clients, but who asks for a topic that is not there wants to hear so.
        Some(code) if code.kind() == ResponseError::UnknownTopicOrPartition => {
            Err(Fault::Fail(AdminError::Refused { what: what.to_owned(), code, message: None }))
        }
        Some(code) if code.kind() == ResponseError::LeaderNotAvailable => Ok(found),
        Some(code) => Err(fault(what, &format!("DESCRIBE on topic `{topic}`"), code, None)),
    }
}
