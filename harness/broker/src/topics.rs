//! Topics and their partitions: who leads, who is in sync, and the log. Pure but for the notices to waiting fetches.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use kafka_protocol::error::ResponseError;
use tokio::sync::Notify;
use uuid::Uuid;

use super::log::{Budget, Log};

/// The leader of a partition that has none.
pub(super) const NOBODY: i32 = -1;
/// Largest batch, unless the topic says otherwise (`max.message.bytes`), in bytes.
const MAX_MESSAGE_BYTES: usize = 1_048_588;
/// Partitions of one topic. Far above what one machine measures.
const PARTITIONS_MAX: i32 = 1_000;
const NAME_MAX_BYTES: usize = 249;
/// What Kafka 4.1 lets one set for a topic. The rest is refused, so that a typing error is not kept in silence.
const CONFIGS: [&str; 29] = [
    "cleanup.policy",
    "compression.gzip.level",
    "compression.lz4.level",
    "compression.type",
    "compression.zstd.level",
    "delete.retention.ms",
    "file.delete.delay.ms",
    "flush.messages",
    "flush.ms",
    "follower.replication.throttled.replicas",
    "index.interval.bytes",
    "leader.replication.throttled.replicas",
    "local.retention.bytes",
    "local.retention.ms",
    "max.compaction.lag.ms",
    "max.message.bytes",
    "message.timestamp.after.max.ms",
    "message.timestamp.before.max.ms",
    "message.timestamp.type",
    "min.cleanable.dirty.ratio",
    "min.compaction.lag.ms",
    "min.insync.replicas",
    "preallocate",
    "retention.bytes",
    "retention.ms",
    "segment.bytes",
    "segment.index.bytes",
    "segment.ms",
    "unclean.leader.election.enable",
];

/// Why a topic is refused: Kafka's error code, and the reason in words.
pub(super) type Refusal = (ResponseError, String);

/// All topics, by name.
#[derive(Debug)]
pub(super) struct Topics {
    by_name: BTreeMap<String, Arc<Topic>>,
    budget: Arc<Budget>,
    /// How many were created, so that leaders are spread over topics too.
    created: usize,
}

/// One topic.
#[derive(Debug)]
pub(super) struct Topic {
    pub(super) id: Uuid,
    pub(super) partitions: Vec<Arc<Partition>>,
    pub(super) configs: BTreeMap<String, String>,
    /// In-sync replicas without which `acks=all` is refused (`min.insync.replicas`).
    pub(super) min_isr: usize,
    /// Largest batch, in bytes (`max.message.bytes`).
    pub(super) max_message_bytes: usize,
}

/// One partition.
#[derive(Debug)]
pub(super) struct Partition {
    pub(super) index: i32,
    state: Mutex<State>,
    /// Told whenever a waiting fetch should look again.
    pub(super) changed: Notify,
}

/// What changes about a partition.
#[derive(Debug)]
pub(super) struct State {
    /// The node that serves it, or [`NOBODY`].
    pub(super) leader: i32,
    /// Counts the leaders.
    pub(super) epoch: i32,
    /// All that hold it, the preferred leader first. The log itself is shared: replicas are simulated.
    pub(super) replicas: Vec<i32>,
    /// Those of them that run; the last of them stays in when it stops, as in Kafka.
    pub(super) isr: Vec<i32>,
    pub(super) log: Log,
    /// The topic is gone; whoever still holds the partition must not serve it.
    pub(super) deleted: bool,
}

/// What a topic is created with.
#[derive(Debug)]
pub(super) struct Wanted {
    pub(super) name: String,
    /// −1: one.
    pub(super) partitions: i32,
    /// −1: one.
    pub(super) replication: i16,
    /// Replicas by partition, if they are chosen by whoever creates it.
    pub(super) assigned: BTreeMap<i32, Vec<i32>>,
    pub(super) configs: BTreeMap<String, String>,
}

impl Topics {
    pub(super) fn new(budget: Arc<Budget>) -> Self {
        Self { by_name: BTreeMap::new(), budget, created: 0 }
    }

    pub(super) fn get(&self, name: &str) -> Option<Arc<Topic>> {
        self.by_name.get(name).cloned()
    }

    pub(super) fn by_id(&self, id: Uuid) -> Option<(String, Arc<Topic>)> {
        self.all().find(|(_, topic)| topic.id == id).map(|(name, topic)| (name.to_owned(), Arc::clone(topic)))
    }

    pub(super) fn all(&self) -> impl Iterator<Item = (&str, &Arc<Topic>)> {
        self.by_name.iter().map(|(name, topic)| (name.as_str(), topic))
    }

    /// Checks what is wanted, for nodes `live` of `nodes`, and makes it unless it is only to be checked.
    pub(super) fn create(
        &mut self,
        wanted: Wanted,
        live: &[i32],
        only_check: bool,
    ) -> Result<Arc<Topic>, Refusal> {
        check_name(&wanted.name)?;
        if self.by_name.contains_key(&wanted.name) {
            let reason = format!("Topic '{}' already exists.", wanted.name);
            return Err((ResponseError::TopicAlreadyExists, reason));
        }
        let replicas = spread(&wanted, live, self.created)?;
        if let Some(unknown) = wanted.configs.keys().find(|name| !CONFIGS.contains(&name.as_str())) {
            return Err((ResponseError::InvalidConfig, format!("Unknown topic config name: {unknown}")));
        }
        let min_isr = setting(&wanted.configs, "min.insync.replicas", 1)?.max(1);
        let max_message_bytes = setting(&wanted.configs, "max.message.bytes", MAX_MESSAGE_BYTES)?;
        let partitions = self.partitions(0, replicas);
        let id = Uuid::from_u128(u128::from(rand::random::<u64>()) << 64 | u128::from(rand::random::<u64>()));
        let topic = Arc::new(Topic { id, partitions, configs: wanted.configs, min_isr, max_message_bytes });
        if !only_check {
            self.created += 1;
            self.by_name.insert(wanted.name, Arc::clone(&topic));
        }
        Ok(topic)
    }

    /// Adds partitions to the topic that is named until it has `count`, unless that is only to be checked.
    pub(super) fn add_partitions(
        &mut self,
        name: &str,
        count: i32,
        assigned: Vec<Vec<i32>>,
        live: &[i32],
        only_check: bool,
    ) -> Result<(), Refusal> {
        let invalid = |reason| Err((ResponseError::InvalidPartitions, reason));
        let Some(topic) = self.get(name) else {
            let reason = "This server does not host this topic-partition.".to_owned();
            return Err((ResponseError::UnknownTopicOrPartition, reason));
        };
        let there = topic.partitions.len() as i32;
        match count.cmp(&there) {
            std::cmp::Ordering::Equal => return invalid(format!("Topic already has {there} partition(s).")),
            std::cmp::Ordering::Less => {
                return invalid(format!(
                    "The topic {name} currently has {there} partition(s); {count} would not be an increase."
                ));
            }
            std::cmp::Ordering::Greater if count > PARTITIONS_MAX => {
                return invalid(format!("Number of partitions must be from 1 to {PARTITIONS_MAX}."));
            }
            std::cmp::Ordering::Greater => {}
        }
        let (partitions, replication) = if assigned.is_empty() {
            (count - there, topic.partitions[0].lock().replicas.len() as i16)
        } else {
            (-1, -1)
        };
        if !assigned.is_empty() && assigned.len() as i32 != count - there {
            let reason = format!(
                "Increasing the number of partitions by {} but {} assignments provided.",
                count - there,
                assigned.len()
            );
            return Err((ResponseError::InvalidReplicaAssignment, reason));
        }
        let wanted = Wanted {
            name: name.to_owned(),
            partitions,
            replication,
            assigned: (0..).zip(assigned).collect(),
            configs: BTreeMap::new(),
        };
        let replicas = spread(&wanted, live, self.created)?;
        if !only_check {
            self.created += 1;
            let added = self.partitions(there, replicas);
            let partitions = topic.partitions.iter().cloned().chain(added).collect();
            let grown = Topic { partitions, configs: topic.configs.clone(), ..*topic };
            self.by_name.insert(name.to_owned(), Arc::new(grown));
        }
        Ok(())
    }

    /// New partitions from the number `first` on, with these replicas.
    fn partitions(&self, first: i32, replicas: Vec<Vec<i32>>) -> Vec<Arc<Partition>> {
        let partition = |(index, replicas): (i32, Vec<i32>)| {
            let state = State {
                leader: replicas[0],
                epoch: 0,
                isr: replicas.clone(),
                replicas,
                log: Log::new(Arc::clone(&self.budget)),
                deleted: false,
            };
            Arc::new(Partition { index, state: Mutex::new(state), changed: Notify::new() })
        };
        (first..).zip(replicas).map(partition).collect()
    }

    /// Removes a topic and frees its logs; whether there was one.
    pub(super) fn delete(&mut self, name: &str) -> bool {
        let Some(topic) = self.by_name.remove(name) else { return false };
        for partition in &topic.partitions {
            let mut state = partition.lock();
            state.deleted = true;
            state.log.clear();
            drop(state);
            partition.changed.notify_waiters();
        }
        true
    }

    /// Moves leaderships off `node` and takes it out of the in-sync sets.
    pub(super) fn node_stopped(&self, node: i32) {
        self.each(|state| {
            if state.isr.len() > 1 {
                state.isr.retain(|id| *id != node);
            }
            if state.leader == node {
                let next = state.replicas.iter().copied().find(|id| *id != node && state.isr.contains(id));
                state.lead(next.unwrap_or(NOBODY));
            }
        });
    }

    /// Takes `node` back into the in-sync sets, and lets it lead what nobody leads.
    pub(super) fn node_started(&self, node: i32) {
        self.each(|state| {
            if state.leader == NOBODY && state.isr.contains(&node) {
                state.lead(node);
            }
            if state.replicas.contains(&node) && !state.isr.contains(&node) && state.leader != NOBODY {
                state.isr.push(node);
            }
        });
    }

    fn each(&self, change: impl Fn(&mut State)) {
        for partition in self.by_name.values().flat_map(|topic| &topic.partitions) {
            change(&mut partition.lock());
            partition.changed.notify_waiters();
        }
    }
}

impl Topic {
    pub(super) fn partition(&self, index: i32) -> Option<&Partition> {
        usize::try_from(index).ok().and_then(|index| self.partitions.get(index).map(|partition| &**partition))
    }
}

impl Partition {
    pub(super) fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The partition as its leader `node` serves it, for a client that takes `client_epoch` (−1: any) for current.
    pub(super) fn led_by(
        &self,
        node: i32,
        client_epoch: i32,
    ) -> Result<MutexGuard<'_, State>, ResponseError> {
        let state = self.lock();
        if state.deleted {
            return Err(ResponseError::UnknownTopicOrPartition);
        }
        if state.leader != node {
            return Err(ResponseError::NotLeaderOrFollower);
        }
        match client_epoch {
            epoch if epoch < 0 || epoch == state.epoch => Ok(state),
            epoch if epoch < state.epoch => Err(ResponseError::FencedLeaderEpoch),
            _ => Err(ResponseError::UnknownLeaderEpoch),
        }
    }

    /// Makes `node` the leader. One that is no replica takes the old leader's place among them.
    pub(super) fn move_leader(&self, node: i32) {
        let mut state = self.lock();
        let old = state.leader;
        if !state.replicas.contains(&node) {
            let State { replicas, isr, .. } = &mut *state;
            for ids in [replicas, isr] {
                ids.retain(|id| *id != old);
                ids.insert(0, node);
            }
        } else if !state.isr.contains(&node) {
            state.isr.push(node);
        }
        state.lead(node);
        drop(state);
        self.changed.notify_waiters();
    }
}

impl State {
    fn lead(&mut self, node: i32) {
        self.leader = node;
        self.epoch += 1;
    }
}

/// What Kafka allows as a topic's name.
pub(super) fn check_name(name: &str) -> Result<(), Refusal> {
    let good = |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '_' | '-');
    let complaint = match name {
        "" => "the empty string is not allowed".to_owned(),
        "." | ".." => format!("'{name}' is not allowed"),
        _ if name.len() > NAME_MAX_BYTES => format!("the length is above {NAME_MAX_BYTES}"),
        _ if !name.chars().all(good) => {
            "it holds characters other than ASCII alphanumerics, '.', '_' and '-'".to_owned()
        }
        _ => return Ok(()),
    };
    Err((ResponseError::InvalidTopicException, format!("Topic name is invalid: {complaint}")))
}

/// Replicas of each partition: chosen, or in turn over the live nodes.
fn spread(wanted: &Wanted, live: &[i32], turn: usize) -> Result<Vec<Vec<i32>>, Refusal> {
    if !wanted.assigned.is_empty() {
        return chosen(wanted, live);
    }
    let partitions = if wanted.partitions == -1 { 1 } else { wanted.partitions };
    if !(1..=PARTITIONS_MAX).contains(&partitions) {
        let reason = format!("Number of partitions must be from 1 to {PARTITIONS_MAX}.");
        return Err((ResponseError::InvalidPartitions, reason));
    }
    let replication = if wanted.replication == -1 { 1 } else { wanted.replication };
    let replication = match usize::try_from(replication) {
        Ok(replication @ 1..) if replication <= live.len() => replication,
        Ok(1..) => {
            let reason = format!(
                "Unable to replicate the partition {replication} time(s): only {} broker(s) are registered.",
                live.len()
            );
            return Err((ResponseError::InvalidReplicationFactor, reason));
        }
        _ => {
            let reason = "Replication factor must be larger than 0.".to_owned();
            return Err((ResponseError::InvalidReplicationFactor, reason));
        }
    };
    let partitions = usize::try_from(partitions).expect("it was checked to be positive");
    let replicas = |p: usize| (0..replication).map(|r| live[(turn + p + r) % live.len()]).collect();
    Ok((0..partitions).map(replicas).collect())
}

fn chosen(wanted: &Wanted, live: &[i32]) -> Result<Vec<Vec<i32>>, Refusal> {
    let refused = |reason: &str| (ResponseError::InvalidReplicaAssignment, reason.to_owned());
    if wanted.partitions != -1 || wanted.replication != -1 {
        let reason = "with assigned replicas, neither partitions nor replication are given".to_owned();
        return Err((ResponseError::InvalidRequest, reason));
    }
    if !wanted.assigned.keys().copied().eq(0..wanted.assigned.len() as i32) {
        return Err(refused("partitions must be numbered from 0 without a gap"));
    }
    for replicas in wanted.assigned.values() {
        let mut ids = replicas.clone();
        ids.sort_unstable();
        ids.dedup();
        if ids.is_empty() || ids.len() != replicas.len() || ids.iter().any(|id| !live.contains(id)) {
            return Err(refused("replicas must be distinct, running nodes"));
        }
    }
    Ok(wanted.assigned.values().cloned().collect())
}

/// A config that is a number above or at zero.
fn setting(configs: &BTreeMap<String, String>, name: &str, default: usize) -> Result<usize, Refusal> {
    let Some(value) = configs.get(name) else { return Ok(default) };
    value.trim().parse().map_err(|_| {
        (
            ResponseError::InvalidConfig,
            format!("Invalid value {value} for configuration {name}: not a number"),
        )
    })
}
