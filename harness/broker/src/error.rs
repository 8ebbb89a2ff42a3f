//! What goes wrong when a cluster is started or tampered with. What goes wrong on the wire is an error code there.

/// Why the embedded broker did not do what it was told.
#[derive(Debug, thiserror::Error)]
pub enum BrokerError {
    /// The options describe no cluster.
    #[error("an embedded cluster of {nodes} nodes is not possible: it has 1 or 3")]
    Nodes {
        /// What was asked for.
        nodes: usize,
    },
    /// A port of the loopback interface could not be had.
    #[error("node {node} could not listen on 127.0.0.1:{port}: {source}")]
    Listen {
        /// The node, from 1.
        node: i32,
        /// The port; 0 when any would have done.
        port: u16,
        /// What the system said.
        source: std::io::Error,
    },
    /// There is no such node.
    #[error("the embedded cluster has no node {node}")]
    UnknownNode {
        /// What was named.
        node: i32,
    },
    /// The node is not running.
    #[error("node {node} of the embedded cluster is stopped")]
    Stopped {
        /// The node, from 1.
        node: i32,
    },
    /// What was to be put into a log is no log.
    #[error(
        "these bytes can't be put there: they are no record batches, their offsets are taken, or the logs are full"
    )]
    NoLog,
    /// There is no such partition.
    #[error("the embedded cluster has no partition {partition} of topic `{topic}`")]
    UnknownPartition {
        /// The topic.
        topic: String,
        /// The partition.
        partition: i32,
    },
}
