//! What is measured in each round, and the limits that each measurement gives.

use std::fmt;

use crate::contender::Contender;
use crate::record::limits::Limit;

/// Rows that one call of the bulk measurement writes. Each divides the largest.
pub(in crate::job) const BULK_ROWS: [u32; 4] = [100, 500, 1_000, 5_000];

/// Statuses that one pipelined call writes.
pub(super) const STATUSES: u32 = 500;

/// How a topic keeps its records.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::job) struct Replicas {
    /// Of each partition.
    pub(super) replication: i16,
    /// `min.insync.replicas`.
    pub(super) min_isr: i16,
}

impl Replicas {
    /// Those of a contender's topics.
    pub(in crate::job) fn of(contender: &Contender) -> Self {
        Self { replication: contender.replication, min_isr: contender.min_isr }
    }
}

/// One measurement of a round. A limit's name begins with the component that it is of.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::job) enum Measurement {
    /// Appends that are synced.
    Fsync,
    /// Single events into the store.
    Store { connections: u32 },
    /// Many rows a call.
    StoreBulk { rows: u32, connections: u32 },
    /// One status after another.
    View { connections: u32 },
    /// Many statuses a call.
    ViewPipelined { connections: u32 },
    /// Records into a topic, and from it.
    Broker { partitions: u32, replicas: Replicas },
    /// One record after another, each acknowledged, into a topic of one partition.
    ProduceSingle { replicas: Replicas },
    /// The sender alone.
    Generator,
}

impl fmt::Display for Measurement {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Fsync => f.write_str("fsync"),
            Self::Store { connections } => write!(f, "store, {}", counted(*connections, "connection")),
            Self::StoreBulk { rows, .. } => write!(f, "store, {rows} rows a call"),
            Self::View { connections } => write!(f, "view, {}", counted(*connections, "connection")),
            Self::ViewPipelined { .. } => f.write_str("view, pipelined"),
            Self::Broker { partitions, .. } => write!(f, "broker, {}", counted(*partitions, "partition")),
            Self::ProduceSingle { .. } => f.write_str("broker, one record after another"),
            Self::Generator => f.write_str("generator"),
        }
    }
}

impl Measurement {
    /// All of them, component by component; `several` connections or partitions work side by side.
    pub(super) fn all(several: u32, replicas: Replicas) -> Vec<Self> {
        let mut all = vec![Self::Fsync];
        all.extend([1, several].map(|connections| Self::Store { connections }));
        all.extend(BULK_ROWS.map(|rows| Self::StoreBulk { rows, connections: 1 }));
        all.extend([1, several].map(|connections| Self::View { connections }));
        all.push(Self::ViewPipelined { connections: 1 });
        all.extend([1, several].map(|partitions| Self::Broker { partitions, replicas }));
        all.extend([Self::ProduceSingle { replicas }, Self::Generator]);
        all
    }

    /// What it gives, in the order of its rates, without a rate yet.
    pub(in crate::job) fn limits(self) -> Vec<Limit> {
        match self {
            Self::Fsync => vec![Limit::new("fsync", FSYNC)],
            Self::Store { connections } => {
                let what = if connections == 1 { STORE } else { STORE_SIDE_BY_SIDE };
                vec![Limit {
                    connections: Some(connections),
                    ..Limit::new(&numbered("store", connections), what)
                }]
            }
            Self::StoreBulk { rows, connections } => {
                let bulk = Limit::new("store_bulk", STORE_BULK);
                vec![Limit { connections: Some(connections), per_call: Some(rows), ..bulk }]
            }
            Self::View { connections } => {
                let what = if connections == 1 { VIEW } else { VIEW_SIDE_BY_SIDE };
                vec![Limit {
                    connections: Some(connections),
                    ..Limit::new(&numbered("view", connections), what)
                }]
            }
            Self::ViewPipelined { connections } => {
                let pipelined = Limit::new("view_pipelined", VIEW_PIPELINED);
                vec![Limit { connections: Some(connections), per_call: Some(STATUSES), ..pipelined }]
            }
            Self::Broker { partitions, replicas } => {
                let of = |name: &str, what: &str| {
                    in_topic(partitions, replicas, Limit::new(&numbered(name, partitions), what))
                };
                vec![of("produce", PRODUCE), of("fetch", FETCH)]
            }
            Self::ProduceSingle { replicas } => {
                vec![in_topic(1, replicas, Limit::new("produce_single", PRODUCE_SINGLE))]
            }
            Self::Generator => vec![Limit::new("generator", GENERATOR)],
        }
    }
}

const FSYNC: &str = "Blocks of 8 KiB written over in a file beside the stack's data, each followed by fdatasync, as in \
                     a write-ahead log.";

const STORE: &str = "Single events applied to their rows, each committed before the next. Triggers count \
                     the writes, as in a run.";

const STORE_SIDE_BY_SIDE: &str = "The same by several writers side by side. Each has orders of its own and, on a \
                                  server, a connection of its own.";

const STORE_BULK: &str = "Rows written by calls of many events, each call committed before the next of its \
                          connection.";

const VIEW: &str = "Statuses written one after another, each answered before the next.";

const VIEW_SIDE_BY_SIDE: &str = "The same by several writers side by side. Each has orders of its own and, on a \
                                 server, a connection of its own.";

const VIEW_PIPELINED: &str = "Statuses written by calls of many, each call answered before the next of its \
                              connection.";

const PRODUCE: &str = "Records that the keyed producer sent and all in-sync replicas acknowledged.";

const FETCH: &str = "The same records fetched again, by a fetch loop a partition.";

const PRODUCE_SINGLE: &str = "One record after another into one partition, each acknowledged by all in-sync \
                              replicas before the next is sent.";

const GENERATOR: &str = "Events that the open-loop sender makes, encodes and hands over when all are overdue. \
                         Each is acknowledged at once.";

/// `1 partition`, `3 partitions`.
fn counted(number: u32, what: &str) -> String {
    format!("{number} {what}{}", if number == 1 { "" } else { "s" })
}

/// The limit of a topic.
fn in_topic(partitions: u32, replicas: Replicas, limit: Limit) -> Limit {
    Limit { partitions: Some(partitions), replication: Some(replicas.replication), ..limit }
}

/// `store_1` or `store_N`.
fn numbered(name: &str, number: u32) -> String {
    let number = if number == 1 { "1" } else { "N" };
    format!("{name}_{number}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_limit_has_a_name_that_says_how_it_was_measured() {
        let replicas = Replicas { replication: 3, min_isr: 2 };
        let all = Measurement::all(3, replicas).into_iter();
        let limits: Vec<Limit> = all.flat_map(Measurement::limits).collect();
        let names: Vec<&str> = limits.iter().map(|limit| limit.name.as_str()).collect();
        assert_eq!(
            names,
            [
                "fsync",
                "store_1",
                "store_N",
                "store_bulk",
                "store_bulk",
                "store_bulk",
                "store_bulk",
                "view_1",
                "view_N",
                "view_pipelined",
                "produce_1",
                "fetch_1",
                "produce_N",
                "fetch_N",
                "produce_single",
                "generator"
            ]
        );
        assert_eq!((limits[2].connections, limits[8].connections), (Some(3), Some(3)));
        assert_eq!((limits[12].partitions, limits[12].replication), (Some(3), Some(3)));
    }
}
