//! What the consumers of this process are at, for `/pipeline`, `/readyz` and `/metrics`: no partition waits in silence.

use std::collections::BTreeMap;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{SystemTime, UNIX_EPOCH};

use serde::Serialize;
use utoipa::ToSchema;

use crate::failure::Component;

/// A consumer of this process.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub(super) struct ConsumerState {
    /// As it calls itself.
    #[schema(example = "consumer-0")]
    client_id: String,
    /// What it works on.
    partitions: Vec<i32>,
    /// Components that it tries again, since an attempt failed and none has succeeded yet.
    retrying: Vec<Retrying>,
    /// Partitions that the raw reader reads, since rskafka could not.
    raw_partitions: Vec<RawPartition>,
    /// Partitions that can't be read on, since a transaction is open.
    open_transactions: Vec<OpenTransaction>,
}

impl ConsumerState {
    /// Forgets what was seen of all partitions but these.
    fn forget_unless(&mut self, keep: impl Fn(i32) -> bool) {
        self.raw_partitions.retain(|raw| keep(raw.partition));
        self.open_transactions.retain(|open| keep(open.partition));
    }
}

/// A component that does not answer a consumer.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub(super) struct Retrying {
    /// `broker`, `store` or `view`.
    #[schema(example = "store")]
    component: &'static str,
    /// When the first attempt failed, milliseconds of Unix time.
    since_ms: u64,
    /// How many have failed since.
    attempts: u64,
    /// What the last one met.
    error: String,
}

/// A partition that the raw reader reads.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub(super) struct RawPartition {
    /// Its number.
    partition: i32,
    /// What rskafka could not read.
    why: String,
}

/// A partition that waits for a transaction.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub(super) struct OpenTransaction {
    /// Its number.
    partition: i32,
    /// The first offset that can't be read: the last stable offset.
    since_offset: i64,
    /// When it had been open for three seconds, milliseconds of Unix time.
    since_ms: u64,
}

/// The consumers of this process, by name.
#[derive(Debug, Default)]
pub(super) struct Consumers(Mutex<BTreeMap<String, ConsumerState>>);

impl Consumers {
    /// All of them at this moment.
    pub(super) fn states(&self) -> Vec<ConsumerState> {
        self.lock().values().cloned().collect()
    }

    /// How many consumers try `component` again.
    pub(super) fn retrying(&self, component: Component) -> usize {
        let is_retrying =
            |state: &&ConsumerState| state.retrying.iter().any(|r| r.component == component.as_str());
        self.lock().values().filter(is_retrying).count()
    }

    /// What they wait for, in a sentence each.
    pub(super) fn complaints(&self) -> Vec<String> {
        let (states, now_ms) = (self.lock(), now_ms());
        let of = |(name, state): (&String, &ConsumerState)| {
            let retrying = state.retrying.iter().map(|r| {
                let Retrying { component, since_ms, attempts, error } = r;
                let seconds = now_ms.saturating_sub(*since_ms) / 1000;
                format!("{name} has been trying the {component} again for {seconds} s, {attempts} times so far: {error}")
            });
            let open = state.open_transactions.iter().map(|open| {
                let OpenTransaction { partition, since_offset, .. } = open;
                format!("{name} waits for a transaction that is open in partition {partition} from offset {since_offset} on")
            });
            retrying.chain(open).collect::<Vec<_>>()
        };
        states.iter().flat_map(of).collect()
    }

    pub(super) fn assigned(&self, consumer: &str, partitions: &[i32]) {
        self.change(consumer, |state| {
            state.partitions = partitions.to_vec();
            state.forget_unless(|partition| partitions.contains(&partition));
        });
    }

    pub(super) fn revoked(&self, consumer: &str) {
        // Whoever takes them over tries anew.
        self.change(consumer, |state| {
            state.partitions.clear();
            state.retrying.clear();
        });
    }

    pub(super) fn retried(&self, consumer: &str, component: Component, error: &str) {
        let component = component.as_str();
        self.change(consumer, |state| {
            let error = error.to_owned();
            match state.retrying.iter_mut().find(|retrying| retrying.component == component) {
                Some(retrying) => {
                    retrying.attempts += 1;
                    retrying.error = error;
                }
                None => state.retrying.push(Retrying { component, since_ms: now_ms(), attempts: 1, error }),
            }
        });
    }

    pub(super) fn recovered(&self, consumer: &str, component: Component) {
        self.change(consumer, |state| state.retrying.retain(|r| r.component != component.as_str()));
    }

    pub(super) fn reads_raw(&self, consumer: &str, partition: i32, why: &str) {
        self.change(consumer, |state| {
            state.raw_partitions.retain(|raw| raw.partition != partition);
            state.raw_partitions.push(RawPartition { partition, why: why.to_owned() });
        });
    }

    pub(super) fn open_transaction(&self, consumer: &str, partition: i32, since_offset: Option<i64>) {
        self.change(consumer, |state| {
            state.open_transactions.retain(|open| open.partition != partition);
            let since_ms = now_ms();
            let open = since_offset.map(|since_offset| OpenTransaction { partition, since_offset, since_ms });
            state.open_transactions.extend(open);
        });
    }

    pub(super) fn fetch_started(&self, consumer: &str, partition: i32) {
        self.change(consumer, |state| state.forget_unless(|known| known != partition));
    }

    fn change(&self, consumer: &str, change: impl FnOnce(&mut ConsumerState)) {
        let mut states = self.lock();
        let state = states.entry(consumer.to_owned()).or_default();
        if state.client_id.is_empty() {
            consumer.clone_into(&mut state.client_id);
        }
        change(state);
    }

    /// Each change is whole before anything in it can panic.
    fn lock(&self) -> MutexGuard<'_, BTreeMap<String, ConsumerState>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn now_ms() -> u64 {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    u64::try_from(now.as_millis()).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_consumer_shows_what_it_tries_again_until_that_succeeds() {
        let consumers = Consumers::default();
        consumers.assigned("c", &[0, 2]);
        consumers.retried("c", Component::Store, "away");
        consumers.retried("c", Component::Store, "still away");
        consumers.retried("c", Component::View, "slow");
        let [state] = &consumers.states()[..] else { panic!("one consumer") };
        let told: Vec<_> =
            state.retrying.iter().map(|r| (r.component, r.attempts, r.error.as_str())).collect();
        assert_eq!(told, [("store", 2, "still away"), ("view", 1, "slow")]);
        assert_eq!(consumers.retrying(Component::Store), 1);
        assert!(consumers.complaints()[0].contains("has been trying the store again for 0 s, 2 times"));
        consumers.recovered("c", Component::Store);
        consumers.recovered("c", Component::View);
        assert!(consumers.complaints().is_empty());
    }

    #[test]
    fn what_is_known_of_a_partition_goes_with_it() {
        let consumers = Consumers::default();
        consumers.reads_raw("c", 1, "zstd");
        consumers.open_transaction("c", 1, Some(7));
        consumers.open_transaction("c", 1, Some(9));
        assert!(consumers.complaints()[0].contains("partition 1 from offset 9"));
        consumers.open_transaction("c", 1, None);
        assert!(consumers.complaints().is_empty());
        consumers.open_transaction("c", 1, Some(9));
        consumers.fetch_started("c", 1);
        let [state] = &consumers.states()[..] else { panic!("one consumer") };
        assert!(state.raw_partitions.is_empty() && state.open_transactions.is_empty(), "another loop");
        consumers.reads_raw("c", 1, "zstd");
        consumers.open_transaction("c", 1, Some(9));
        consumers.assigned("c", &[2]);
        let [state] = &consumers.states()[..] else { panic!("one consumer") };
        assert!(state.raw_partitions.is_empty() && state.open_transactions.is_empty());
        consumers.retried("c", Component::Store, "away");
        consumers.revoked("c");
        let [state] = &consumers.states()[..] else { panic!("one consumer") };
        assert!(state.partitions.is_empty() && state.retrying.is_empty());
    }
}
