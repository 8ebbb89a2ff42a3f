//! The embedded broker: the Kafka protocol over real TCP on the loopback interface, logs in memory, one or three nodes in
//! this process. A stand-in for demonstrations and tests; real Kafka is the judge of what it does.
//!
//! ```no_run
//! # async fn example() -> Result<(), lanebench_broker::BrokerError> {
//! use lanebench_broker::{Cluster, ClusterOptions};
//!
//! let cluster = Cluster::start(ClusterOptions { nodes: 3, ..ClusterOptions::default() }).await?;
//! println!("kcat -b {} -L", cluster.bootstrap().join(","));
//! cluster.stop().await;
//! # Ok(())
//! # }
//! ```
//!
//! # What it serves
//!
//! | request | versions | |
//! |---|---|---|
//! | Produce | 3–9 | one batch of format 2 a partition; checksum, length and count checked; `acks` 0, 1, all |
//! | Fetch | 4–12 | whole batches from the one that holds the offset; long poll; no sessions |
//! | ListOffsets | 1–7 | start, end, by time, highest time |
//! | Metadata | 0–12 | by name or id; never creates a topic |
//! | OffsetCommit | 2–8 | |
//! | OffsetFetch | 1–8 | |
//! | FindCoordinator | 0–4 | groups only |
//! | JoinGroup | 0–8 | classic protocol, static members included |
//! | Heartbeat | 0–4 | |
//! | LeaveGroup | 0–5 | |
//! | SyncGroup | 0–5 | |
//! | DescribeGroups | 0–5 | |
//! | ListGroups | 0–4 | |
//! | ApiVersions | 0–3 | this table |
//! | CreateTopics | 2–7 | honours `min.insync.replicas` and `max.message.bytes`, keeps the other configs |
//! | DeleteTopics | 1–6 | |
//! | DeleteRecords | 0–2 | |
//! | DescribeConfigs | 1–4 | what a topic was created with, no defaults |
//! | CreatePartitions | 0–3 | |
//! | DeleteGroups | 0–2 | |
//!
//! Produce is offered from version 0, as Kafka 4 does, since librdkafka takes that for the sign of a broker that knows
//! compression; versions 0 to 2 are not served all the same.
//!
//! A request that is not in the table closes its connection, as Kafka does; an ApiVersions of an unknown version is answered in
//! version 0 with `UNSUPPORTED_VERSION`.
//!
//! # What it leaves out
//!
//! No durability: what is stopped is gone. No replication: all nodes share one log a partition, replicas and in-sync sets are
//! simulated, and every record is at once below the high watermark. No transactions, and no state of idempotent producers
//! (InitProducerId is not served); a log that was recorded elsewhere may hold both ([`Cluster::put_log`]). No retention by time or size: the logs of all topics share
//! [`ClusterOptions::max_log_bytes`], and what would exceed it is refused with `KAFKA_STORAGE_ERROR`. Committed offsets do
//! not expire. No new-protocol groups (KIP-848), no ACLs, no TLS, no quotas. Batches are never decompressed: a lookup by
//! time that ends in a compressed batch answers with the batch's first record. Timestamps are the producer's (`CreateTime`).
//!
//! The decoder of kafka-protocol makes room for as many array entries as a request claims: this is not a server for
//! strangers, which is why it listens on the loopback interface only.

use std::collections::BTreeMap;
use std::sync::Arc;

use tokio::sync::Mutex;
use tokio::task::JoinHandle;

use self::listener::Listening;
use self::shared::{HOST, Node, Shared};

mod api;
mod batch;
mod connection;
mod create_topics;
mod error;
mod faults;
mod fetch;
mod group;
mod list_offsets;
mod listener;
mod log;
mod metadata;
mod offsets;
mod options;
mod produce;
mod shared;
mod topics;

pub use error::BrokerError;
pub use faults::Answers;
pub use options::ClusterOptions;

/// A running cluster. Dropping it closes every connection and ends every task.
#[derive(Debug)]
pub struct Cluster {
    shared: Arc<Shared>,
    /// The nodes that run, by id.
    listening: Mutex<BTreeMap<i32, Listening>>,
    /// Ends sessions and rebalances of groups.
    clock: JoinHandle<()>,
}

impl Cluster {
    /// Starts the nodes, each on a free port of 127.0.0.1. Must be called within a Tokio runtime, which then serves it.
    ///
    /// # Errors
    /// [`BrokerError::Nodes`], [`BrokerError::Listen`].
    pub async fn start(options: ClusterOptions) -> Result<Self, BrokerError> {
        if !matches!(options.nodes, 1 | 3) {
            return Err(BrokerError::Nodes { nodes: options.nodes });
        }
        let mut nodes = Vec::with_capacity(options.nodes);
        let mut listeners = Vec::with_capacity(options.nodes);
        for id in (1..).take(options.nodes) {
            let listener = listener::bind(id, 0).await?;
            let address = listener.local_addr();
            let port = address.map_err(|source| BrokerError::Listen { node: id, port: 0, source })?.port();
            nodes.push(Node::new(id, port));
            listeners.push((id, listener));
        }
        let shared = Arc::new(Shared::new(&options, nodes));
        let listening = listeners
            .into_iter()
            .map(|(id, listener)| (id, Listening::start(Arc::clone(&shared), id, listener)))
            .collect();
        let clock = tokio::spawn({
            let shared = Arc::clone(&shared);
            async move { shared.coordinator.run().await }
        });
        Ok(Self { shared, listening: Mutex::new(listening), clock })
    }

    /// The addresses of all nodes, stopped ones included, as `host:port`.
    pub fn bootstrap(&self) -> Vec<String> {
        self.shared.nodes.iter().map(|node| format!("{HOST}:{}", node.port)).collect()
    }

    /// How many nodes there are, stopped ones included.
    pub fn nodes(&self) -> usize {
        self.shared.nodes.len()
    }

    /// What all logs hold together, in bytes of record batches.
    pub fn log_bytes(&self) -> usize {
        self.shared.log_bytes()
    }

    /// Closes every connection and ends every task.
    pub async fn stop(self) {
        let listening = std::mem::take(&mut *self.listening.lock().await);
        for listening in listening.into_values() {
            listening.stop().await;
        }
    }
}

impl Drop for Cluster {
    fn drop(&mut self) {
        self.clock.abort();
    }
}
