//! What failure tests do to a cluster.

use std::sync::PoisonError;
use std::sync::atomic::Ordering;
use std::time::Duration;

use kafka_protocol::messages::ApiKey;
use tokio::time::Instant;

use super::Cluster;
use super::error::BrokerError;
use super::listener::{self, Listening};
use super::shared::{Node, Shared};

/// Which answers are held back.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Answers {
    /// All of them.
    All,
    /// Acknowledgements of what was produced.
    Produce,
    /// What was fetched.
    Fetch,
    /// Commits of offsets.
    OffsetCommit,
}

impl Answers {
    fn holds(self, api: ApiKey) -> bool {
        match self {
            Self::All => true,
            Self::Produce => api == ApiKey::Produce,
            Self::Fetch => api == ApiKey::Fetch,
            Self::OffsetCommit => api == ApiKey::OffsetCommit,
        }
    }
}

impl Node {
    /// Waits for as long as answers to such requests are held back, counted from the call; a delay that is ended meanwhile ends it.
    pub(super) async fn hold_back(&self, api: ApiKey) {
        let mut delay = self.delay.subscribe();
        let since = Instant::now();
        let mut held = false;
        loop {
            let (answers, by) = *delay.borrow_and_update();
            // A runtime's timer waits for its next millisecond, even where there is nothing to wait for.
            if !answers.holds(api) || by.is_zero() {
                break;
            }
            held = true;
            tokio::select! {
                () = tokio::time::sleep_until(since + by) => break,
                changed = delay.changed() => if changed.is_err() { break },
            }
        }
        if held {
            self.held.lock().unwrap_or_else(PoisonError::into_inner).push(since.elapsed());
        }
    }
}

impl Cluster {
    /// Closes all connections of a node that are open now; new ones are taken. A request that is being answered may have
    /// been carried out: its client can't know. Nothing happens for a node that there is not.
    pub fn drop_connections(&self, node: i32) {
        if let Ok(node) = self.shared.node(node) {
            node.drop_connections();
        }
    }

    /// From now on every answer of a node is held back for so long, the request having been carried out. Zero ends it,
    /// also for those that are held back. Nothing happens for a node that there is not.
    pub fn delay(&self, node: i32, by: Duration) {
        self.delay_answers(node, Answers::All, by);
    }

    /// The same of some answers alone.
    pub fn delay_answers(&self, node: i32, answers: Answers, by: Duration) {
        if let Ok(node) = self.shared.node(node) {
            node.delay.send_replace((answers, by));
        }
    }

    /// How long each answer of a node was held back, of those since this was asked last.
    pub fn take_held_back(&self, node: i32) -> Vec<Duration> {
        let Ok(node) = self.shared.node(node) else { return Vec::new() };
        std::mem::take(&mut *node.held.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// Makes node `to` the leader of a partition. If it is no replica of it, it takes the old leader's place, as after a
    /// reassignment.
    ///
    /// # Errors
    /// [`BrokerError::UnknownPartition`], [`BrokerError::UnknownNode`], [`BrokerError::Stopped`].
    pub fn move_leader(&self, topic: &str, partition: i32, to: i32) -> Result<(), BrokerError> {
        let node = self.shared.node(to)?;
        // Nodes start and stop under this lock too.
        let topics = self.shared.topics();
        if !node.is_up() {
            return Err(BrokerError::Stopped { node: to });
        }
        let found = topics.get(topic);
        let found = found.as_deref().and_then(|topic| topic.partition(partition));
        let unknown = || BrokerError::UnknownPartition { topic: topic.to_owned(), partition };
        found.ok_or_else(unknown)?.move_leader(to);
        Ok(())
    }

    /// Puts record batches behind what is in a partition's log, as they lie in a log of Kafka: at their own offsets and unchecked, so
    /// that there may be what no producer can send here. Markers of transactions, batches that compaction has emptied, damaged ones.
    ///
    /// # Errors
    /// [`BrokerError::UnknownPartition`]; [`BrokerError::NoLog`] for bytes that are no batches, or whose offsets are taken.
    pub fn put_log(&self, topic: &str, partition: i32, batches: &[u8]) -> Result<(), BrokerError> {
        let found = self.shared.topics().get(topic);
        let found = found.as_deref().and_then(|topic| topic.partition(partition));
        let unknown = || BrokerError::UnknownPartition { topic: topic.to_owned(), partition };
        let partition = found.ok_or_else(unknown)?;
        partition.lock().log.put(batches).map_err(|_| BrokerError::NoLog)?;
        partition.changed.notify_waiters();
        Ok(())
    }

    /// Stops a node: its port is closed, its leaderships go to in-sync replicas, and the groups it coordinated to other
    /// nodes. A partition without another replica has no leader until the node is back. Nothing is lost: the logs are
    /// shared. Returns when its connections are closed; a node that is stopped already stays so.
    ///
    /// # Errors
    /// [`BrokerError::UnknownNode`].
    pub async fn stop_node(&self, node: i32) -> Result<(), BrokerError> {
        let stopping = self.shared.node(node)?;
        let mut listening = self.listening.lock().await;
        if let Some(listening) = listening.remove(&node) {
            self.change(|| {
                stopping.up.store(false, Ordering::SeqCst);
            });
            self.shared.topics().node_stopped(node);
            listening.stop().await;
        }
        Ok(())
    }

    /// Starts a node again, on its old port. It is a replica in sync at once; leaderships stay where they are.
    ///
    /// # Errors
    /// [`BrokerError::UnknownNode`]; [`BrokerError::Listen`] when its port has been taken meanwhile.
    pub async fn start_node(&self, node: i32) -> Result<(), BrokerError> {
        let starting = self.shared.node(node)?;
        let mut listening = self.listening.lock().await;
        if listening.contains_key(&node) {
            return Ok(());
        }
        let listener = listener::bind(node, starting.port).await?;
        self.change(|| {
            starting.up.store(true, Ordering::SeqCst);
        });
        self.shared.topics().node_started(node);
        listening.insert(node, Listening::start(std::sync::Arc::clone(&self.shared), node, listener));
        Ok(())
    }

    /// Changes which nodes run, and tells the groups that have another coordinator by it.
    fn change(&self, change: impl FnOnce()) {
        let shared: &Shared = &self.shared;
        let coordinator = |group: &str| shared.coordinator_of(group).map(|node| node.id);
        let before: Vec<_> = {
            let _topics = shared.topics();
            let groups = shared.coordinator.lock();
            let before = groups.by_name.keys().map(|name| (name.clone(), coordinator(name))).collect();
            change();
            before
        };
        let moved = |name: &str| before.iter().any(|(n, old)| n == name && *old != coordinator(name));
        shared.coordinator.move_groups(moved);
    }
}
