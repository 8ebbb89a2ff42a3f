//! What a case gets: the cluster, and names of its own on it.

use std::future::Future;
use std::time::Duration;

use kafka_protocol::ResponseError;
use libtest_mimic::Failed;
use payment_delivery::kafka::admin::{Admin, PartitionInfo};
use rskafka::BackoffConfig;
use rskafka::client::ClientBuilder;
use rskafka::client::partition::{PartitionClient, UnknownTopicHandling};
use tokio::runtime::Handle;
use tokio_util::sync::CancellationToken;

use crate::common::{bounded, check, until};
use crate::subject::{Need, Subject};
use crate::wire::Wire;

/// How long a case may take; the slowest waits for a Java tool.
const LIMIT: Duration = Duration::from_secs(60);

/// How long an answer may take that the broker owes at once, on a machine that builds something else meanwhile.
pub(crate) const SOON: Duration = Duration::from_secs(5);

/// Something a broker has to do.
#[derive(Clone, Copy)]
pub(crate) struct Case {
    /// What it shows.
    pub(crate) name: &'static str,
    /// How many brokers it needs.
    pub(crate) nodes: usize,
    /// What it needs beside the cluster.
    pub(crate) needs: Option<Need>,
    /// Shows it.
    pub(crate) test: fn(&Bed) -> Result<(), Failed>,
}

impl Case {
    pub(crate) const fn new(name: &'static str, test: fn(&Bed) -> Result<(), Failed>) -> Self {
        Self { name, nodes: 1, needs: None, test }
    }

    pub(crate) const fn nodes(self, nodes: usize) -> Self {
        Self { nodes, ..self }
    }

    pub(crate) const fn needs(self, need: Need) -> Self {
        Self { needs: Some(need), ..self }
    }
}

/// One case's place on a cluster.
pub(crate) struct Bed {
    pub(crate) subject: &'static Subject,
    pub(crate) bootstrap: Vec<String>,
    name: String,
    handle: Handle,
    interrupted: CancellationToken,
}

impl Bed {
    pub(crate) fn new(
        subject: &'static Subject,
        bootstrap: Vec<String>,
        name: String,
        handle: Handle,
        interrupted: CancellationToken,
    ) -> Self {
        Self { subject, bootstrap, name, handle, interrupted }
    }

    /// Runs the case's future, for a minute at most.
    pub(crate) fn run(&self, case: impl Future<Output = Result<(), Failed>>) -> Result<(), Failed> {
        self.handle.block_on(bounded(case, LIMIT, &self.interrupted))
    }

    /// A name that no other case uses.
    pub(crate) fn name(&self, name: &str) -> String {
        format!("{}.{name}", self.name)
    }

    pub(crate) async fn admin(&self) -> Result<Admin, Failed> {
        Ok(Admin::connect(&self.bootstrap, Duration::from_secs(20)).await?)
    }

    /// How often a topic is replicated here: on every node.
    pub(crate) fn replication(&self) -> i16 {
        i16::try_from(self.subject.nodes).expect("a handful of nodes")
    }

    /// A new topic, on every node.
    pub(crate) async fn topic(&self, partitions: i32) -> Result<String, Failed> {
        self.topic_with("topic", partitions, &[]).await
    }

    /// A new topic called `name`, with settings of its own.
    pub(crate) async fn topic_with(
        &self,
        name: &str,
        partitions: i32,
        configs: &[(&str, &str)],
    ) -> Result<String, Failed> {
        let topic = self.name(name);
        self.admin().await?.create_topic(&topic, partitions, self.replication(), configs).await?;
        Ok(topic)
    }

    /// rskafka's client of one partition.
    pub(crate) async fn partition(&self, topic: &str, partition: i32) -> Result<PartitionClient, Failed> {
        // By itself it would try for ever and never say why.
        let backoff = BackoffConfig { deadline: Some(SOON), ..BackoffConfig::default() };
        let client = ClientBuilder::new(self.bootstrap.clone()).backoff_config(backoff).build().await?;
        Ok(client.partition_client(topic, partition, UnknownTopicHandling::Error).await?)
    }

    /// A connection to a broker; to the same one each time.
    pub(crate) async fn anyone(&self) -> Result<Wire, Failed> {
        Wire::connect(&self.bootstrap[0]).await
    }

    /// A connection to each broker.
    pub(crate) async fn everyone(&self) -> Result<Vec<Wire>, Failed> {
        let mut wires = Vec::new();
        for address in &self.bootstrap {
            wires.push(Wire::connect(address).await?);
        }
        Ok(wires)
    }

    /// The address of broker `id`.
    pub(crate) async fn address(&self, id: i32) -> Result<String, Failed> {
        let brokers = self.admin().await?.brokers().await?;
        let broker = brokers.iter().find(|b| b.id == id).ok_or_else(|| format!("there is no broker {id}"))?;
        Ok(format!("{}:{}", broker.host, broker.port))
    }

    /// Where a partition lies.
    pub(crate) async fn place(&self, topic: &str, partition: i32) -> Result<PartitionInfo, Failed> {
        let partitions = self.admin().await?.describe_topic(topic).await?;
        Ok(partitions.into_iter().find(|p| p.id == partition).ok_or("there is no such partition")?)
    }

    /// A connection to the leader of a partition.
    pub(crate) async fn leader(&self, topic: &str, partition: i32) -> Result<Wire, Failed> {
        let leader = self.place(topic, partition).await?.leader.ok_or("it has no leader")?;
        Wire::connect(&self.address(leader).await?).await
    }

    /// A connection to the coordinator of a group, once that answers: the first group of a cluster waits for its
    /// internal topic.
    pub(crate) async fn coordinator(&self, group: &str) -> Result<Wire, Failed> {
        let mut found = None;
        until(Duration::from_secs(30), "the group has no coordinator that answers", async || {
            let (code, node) = self.anyone().await?.find_coordinator(group).await?;
            if code != 0 {
                return Ok(false);
            }
            let mut wire = Wire::connect(&self.address(node).await?).await?;
            // About nothing at all, Kafka answers without being the coordinator.
            let loading = wire.committed(group, "any", &[0]).await?.is_err();
            found = (!loading).then_some(wire);
            Ok(found.is_some())
        })
        .await?;
        Ok(found.expect("just found"))
    }
}

/// Fails unless `code` is the one expected; 0 stands for no error.
#[track_caller]
pub(crate) fn answers(
    code: i16,
    expected: impl Into<Option<ResponseError>>,
    what: &str,
) -> Result<(), Failed> {
    let expected = expected.into();
    let named = |error: Option<ResponseError>| error.map_or("no error".to_owned(), |e| format!("{e:?}"));
    let answer = ResponseError::try_from_code(code);
    check(answer == expected, format!("{what}: {} where {} is due", named(answer), named(expected)))
}

/// Fails unless both are equal.
#[track_caller]
pub(crate) fn same<T: PartialEq + std::fmt::Debug>(found: &T, due: &T, what: &str) -> Result<(), Failed> {
    let shown = |value: &T| {
        let mut text = format!("{value:?}");
        if text.len() > 600 {
            text.truncate(text.floor_char_boundary(600));
            text.push('…');
        }
        text
    };
    if found == due {
        Ok(())
    } else {
        check(false, format!("{what}: {} where {} is due", shown(found), shown(due)))
    }
}
