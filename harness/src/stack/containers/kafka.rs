//! Kafka in containers: one node or three, each broker and controller in one, by the official image's environment.
//!
//! That image makes a property of each variable `KAFKA_…`, and leaves out its own defaults once there is one, so all that a node
//! needs is given. Each node has three listeners: one for clients on this machine, advertised at its published port, one for
//! the other nodes, and the controller's.

use std::collections::BTreeMap;
use std::ffi::OsStr;

use testcontainers::ImageExt;

use super::project::{Plan, Project};
use crate::stack::kafka::{HEAP, chosen, cluster_id, reported_settings};
use crate::stack::ports::Reserved;
use crate::stack::process::Deadline;
use crate::stack::programs::kafka_version;
use crate::stack::{Component, PartFacts, StackError, checks};

/// For clients on this machine.
const CLIENTS: u16 = 19092;
/// For the other nodes.
const NODES: u16 = 9092;
const CONTROLLER: u16 = 9093;

/// Where the official image declares a volume for data, which is on a disk and not in layers of an image.
const DATA: &str = "/var/lib/kafka/data";

/// Where it keeps its jars, one of which tells the version: a broker names none to its clients.
const LIST_JARS: [&str; 2] = ["ls", "/opt/kafka/libs"];

/// Starts the nodes and waits until each of them knows all of them; returns their addresses on this machine as well.
pub(super) async fn start(
    project: &Project,
    image: &str,
    ports: Vec<Reserved>,
    deadline: Deadline,
) -> Result<(Vec<String>, PartFacts), StackError> {
    let hosts: Vec<String> =
        (1..=ports.len()).map(|node| project.host_of(Component::Kafka { node })).collect();
    let bootstrap: Vec<String> = ports.iter().map(|port| format!("127.0.0.1:{}", port.port())).collect();
    let cluster = cluster_id(rand::random());
    for (node, published) in (1..).zip(ports) {
        let environment = environment(node, &hosts, &bootstrap[node - 1], &cluster);
        let component = Component::Kafka { node };
        let plan = Plan { component, image, port: CLIENTS, published };
        let with_environment = |mut request: testcontainers::ContainerRequest<_>| {
            for (name, value) in environment {
                request = request.with_env_var(name, value);
            }
            request
        };
        project.start(plan, with_environment).await?;
    }
    let first = Component::Kafka { node: 1 };
    project.until_ready(first, deadline, || checks::kafka_cluster(&bootstrap)).await?;
    let jars = project.output_of(first, LIST_JARS).await.unwrap_or_default();
    let version = jars.lines().find_map(|jar| kafka_version(OsStr::new(jar)));
    let mut settings = reported_settings(bootstrap.len());
    settings.insert("image".to_owned(), image.to_owned());
    Ok((bootstrap, PartFacts { name: "kafka", version, settings }))
}

/// The environment of one node. `hosts` are the nodes' names in their network, `advertised` is where clients find this one.
fn environment(node: usize, hosts: &[String], advertised: &str, cluster: &str) -> BTreeMap<String, String> {
    let voters: Vec<String> =
        (1..).zip(hosts).map(|(id, host)| format!("{id}@{host}:{CONTROLLER}")).collect();
    let mut properties = chosen(hosts.len());
    properties.extend([
        ("node.id", node.to_string()),
        ("process.roles", "broker,controller".to_owned()),
        ("listeners", format!("CLIENTS://:{CLIENTS},NODES://:{NODES},CONTROLLER://:{CONTROLLER}")),
        ("advertised.listeners", format!("CLIENTS://{advertised},NODES://{}:{NODES}", hosts[node - 1])),
        ("inter.broker.listener.name", "NODES".to_owned()),
        ("controller.listener.names", "CONTROLLER".to_owned()),
        (
            "listener.security.protocol.map",
            "CLIENTS:PLAINTEXT,NODES:PLAINTEXT,CONTROLLER:PLAINTEXT".to_owned(),
        ),
        ("controller.quorum.voters", voters.join(",")),
        ("log.dirs", DATA.to_owned()),
    ]);
    let mut environment: BTreeMap<String, String> =
        properties.into_iter().map(|(name, value)| (variable(name), value)).collect();
    environment.extend([
        ("CLUSTER_ID".to_owned(), cluster.to_owned()),
        ("KAFKA_HEAP_OPTS".to_owned(), HEAP.to_owned()),
        ("KAFKA_LOG4J_ROOT_LOGLEVEL".to_owned(), "WARN".to_owned()),
    ]);
    environment
}

/// The variable of a property, as the official image reads them: `_` for `.`, two for `_`, three for `-`.
fn variable(property: &str) -> String {
    let mut name = "KAFKA_".to_owned();
    for sign in property.chars() {
        match sign {
            '.' => name.push('_'),
            '_' => name.push_str("__"),
            '-' => name.push_str("___"),
            other => name.push(other.to_ascii_uppercase()),
        }
    }
    name
}

#[cfg(test)]
mod tests {
    use super::*;

    fn hosts(nodes: usize) -> Vec<String> {
        (1..=nodes).map(|node| format!("p-kafka-{node}")).collect()
    }

    #[test]
    fn a_property_has_a_variable() {
        assert_eq!(variable("auto.create.topics.enable"), "KAFKA_AUTO_CREATE_TOPICS_ENABLE");
        assert_eq!(variable("a_b-c"), "KAFKA_A__B___C");
    }

    #[test]
    fn three_nodes_name_each_other_inside_and_themselves_outside() {
        let second = environment(2, &hosts(3), "127.0.0.1:20002", "cluster");
        assert_eq!(second["KAFKA_NODE_ID"], "2");
        assert_eq!(
            second["KAFKA_CONTROLLER_QUORUM_VOTERS"],
            "1@p-kafka-1:9093,2@p-kafka-2:9093,3@p-kafka-3:9093"
        );
        assert_eq!(second["KAFKA_ADVERTISED_LISTENERS"], "CLIENTS://127.0.0.1:20002,NODES://p-kafka-2:9092");
        assert_eq!(second["KAFKA_OFFSETS_TOPIC_REPLICATION_FACTOR"], "3");
        assert_eq!(second["CLUSTER_ID"], "cluster");
    }

    #[test]
    fn settings_that_bear_on_the_numbers_are_those_of_the_native_stack() {
        let only = environment(1, &hosts(1), "127.0.0.1:20001", "cluster");
        for (property, value) in chosen(1) {
            assert_eq!(only[&variable(property)], value, "{property}");
        }
        assert_eq!(only["KAFKA_HEAP_OPTS"], HEAP);
    }
}
