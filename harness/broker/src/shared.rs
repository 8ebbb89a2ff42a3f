//! What all nodes of a cluster share, since they live in one process: the topics, the groups, and each other.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

use super::error::BrokerError;
use super::faults::Answers;
use super::group::Coordinator;
use super::log::Budget;
use super::options::ClusterOptions;
use super::topics::Topics;

/// The address that every node listens on and tells its clients.
pub(super) const HOST: &str = "127.0.0.1";

/// The cluster behind its listeners.
#[derive(Debug)]
pub(super) struct Shared {
    pub(super) cluster_id: String,
    pub(super) nodes: Vec<Node>,
    pub(super) coordinator: Coordinator,
    topics: Mutex<Topics>,
    budget: Arc<Budget>,
}

/// One node: where it listens, and what is done to it.
#[derive(Debug)]
pub(super) struct Node {
    /// From 1.
    pub(super) id: i32,
    pub(super) port: u16,
    pub(super) up: AtomicBool,
    /// Which answers are held back, and how long.
    pub(super) delay: watch::Sender<(Answers, Duration)>,
    /// How long each was, of those that nobody has asked for yet.
    pub(super) held: Mutex<Vec<Duration>>,
    /// Cancelling it closes all connections that are open now.
    connections: Mutex<CancellationToken>,
}

impl Node {
    pub(super) fn new(id: i32, port: u16) -> Self {
        Self {
            id,
            port,
            up: AtomicBool::new(true),
            delay: watch::Sender::new((Answers::All, Duration::ZERO)),
            held: Mutex::default(),
            connections: Mutex::new(CancellationToken::new()),
        }
    }

    pub(super) fn is_up(&self) -> bool {
        self.up.load(Ordering::SeqCst)
    }

    /// Ends when the connections that are open now are to close.
    pub(super) fn connection_token(&self) -> CancellationToken {
        self.connections.lock().unwrap_or_else(PoisonError::into_inner).child_token()
    }

    /// Closes the connections that are open now.
    pub(super) fn drop_connections(&self) {
        let mut current = self.connections.lock().unwrap_or_else(PoisonError::into_inner);
        std::mem::take(&mut *current).cancel();
    }
}

impl Shared {
    pub(super) fn new(options: &ClusterOptions, nodes: Vec<Node>) -> Self {
        let budget = Arc::new(Budget::new(options.max_log_bytes));
        Self {
            cluster_id: format!("embedded-{:016x}", rand::random::<u64>()),
            nodes,
            coordinator: Coordinator::new(options.min_session_timeout, options.max_session_timeout),
            topics: Mutex::new(Topics::new(Arc::clone(&budget))),
            budget,
        }
    }

    pub(super) fn topics(&self) -> MutexGuard<'_, Topics> {
        self.topics.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Bytes that all logs hold together.
    pub(super) fn log_bytes(&self) -> usize {
        self.budget.used()
    }

    pub(super) fn node(&self, id: i32) -> Result<&Node, BrokerError> {
        self.nodes.iter().find(|node| node.id == id).ok_or(BrokerError::UnknownNode { node: id })
    }

    /// The nodes that run, in order.
    pub(super) fn live(&self) -> impl Iterator<Item = &Node> {
        self.nodes.iter().filter(|node| node.is_up())
    }

    /// The node that coordinates a group: the one its name hashes to, or the next that runs. So only the groups of a
    /// stopped node move, and they come back with it.
    pub(super) fn coordinator_of(&self, group: &str) -> Option<&Node> {
        // FNV-1a: spread over three nodes is all that is asked of it.
        let hash = group.bytes().fold(0xcbf2_9ce4_8422_2325_u64, |hash, byte| {
            (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3)
        });
        let home = (hash % self.nodes.len() as u64) as usize;
        (0..self.nodes.len()).map(|n| &self.nodes[(home + n) % self.nodes.len()]).find(|node| node.is_up())
    }
}
