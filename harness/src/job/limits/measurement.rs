//! What is measured in each round, and the limits that each measurement gives.

use std::fmt;

use crate::record::limits::Limit;

/// Rows that one call of the bulk measurement writes. Each divides the largest.
pub(super) const BULK_ROWS: [u32; 4] = [100, 500, 1_000, 5_000];

/// Statuses that one pipelined call writes.
pub(super) const STATUSES: u32 = 500;

/// One measurement of a round.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Measurement {
    /// Appends that are synced.
    Fsync,
    /// Single events into the store.
    Store { connections: u32 },
    /// Many rows a call.
    StoreBulk { rows: u32 },
    /// One status after another.
    View,
    /// Many statuses a call.
    ViewPipelined,
    /// Records into a topic, and from it.
    Broker { partitions: u32 },
    /// The sender alone.
    Generator,
}

impl fmt::Display for Measurement {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Fsync => f.write_str("fsync"),
            Self::Store { connections } => write!(f, "store, {}", counted(*connections, "connection")),
            Self::StoreBulk { rows } => write!(f, "store, {rows} rows a call"),
            Self::View => f.write_str("view"),
            Self::ViewPipelined => f.write_str("view, pipelined"),
            Self::Broker { partitions } => write!(f, "broker, {}", counted(*partitions, "partition")),
            Self::Generator => f.write_str("generator"),
        }
    }
}

impl Measurement {
    /// All of them, component by component; `several` connections or partitions work side by side.
    pub(super) fn all(several: u32) -> Vec<Self> {
        let mut all = vec![Self::Fsync];
        all.extend([1, several].map(|connections| Self::Store { connections }));
        all.extend(BULK_ROWS.map(|rows| Self::StoreBulk { rows }));
        all.extend([Self::View, Self::ViewPipelined]);
        all.extend([1, several].map(|partitions| Self::Broker { partitions }));
        all.push(Self::Generator);
        all
    }

    /// What it gives, in the order of its rates, without a rate yet.
    pub(super) fn limits(self) -> Vec<Limit> {
        match self {
            Self::Fsync => vec![limit("fsync", FSYNC)],
            Self::Store { connections } => {
                let what = if connections == 1 { STORE } else { STORE_SIDE_BY_SIDE };
                vec![Limit { connections: Some(connections), ..limit(&numbered("store", connections), what) }]
            }
            Self::StoreBulk { rows } => {
                vec![Limit { connections: Some(1), per_call: Some(rows), ..limit("store_bulk", STORE_BULK) }]
            }
            Self::View => vec![Limit { connections: Some(1), ..limit("view_single", VIEW) }],
            Self::ViewPipelined => {
                let pipelined = limit("view_pipelined", VIEW_PIPELINED);
                vec![Limit { connections: Some(1), per_call: Some(STATUSES), ..pipelined }]
            }
            Self::Broker { partitions } => {
                let of = |name: &str, what: &str| Limit {
                    partitions: Some(partitions),
                    ..limit(&numbered(name, partitions), what)
                };
                vec![of("produce", PRODUCE), of("fetch", FETCH)]
            }
            Self::Generator => vec![limit("generator", GENERATOR)],
        }
    }
}

const FSYNC: &str = "Blocks of 8 KiB written over in a file beside the stack's data, each followed by fdatasync, as in \
                     a write-ahead log.";

const STORE: &str = "Single events applied to their rows, each committed before the next. Triggers count \
                     the writes, as in a run.";

const STORE_SIDE_BY_SIDE: &str = "The same by several writers side by side. Each has orders of its own and, on a \
                                  server, a connection of its own.";

const STORE_BULK: &str = "Rows written by calls of many events on one connection, each call committed \
                          before the next.";

const VIEW: &str = "Statuses written one after another, each answered before the next.";

const VIEW_PIPELINED: &str = "Statuses written by calls of many, each call answered before the next.";

const PRODUCE: &str = "Records that the keyed producer sent and all in-sync replicas acknowledged.";

const FETCH: &str = "The same records fetched again, by a fetch loop a partition.";

const GENERATOR: &str = "Events that the open-loop sender makes, encodes and hands over when all are overdue. \
                         Each is acknowledged at once.";

/// `1 partition`, `3 partitions`.
fn counted(number: u32, what: &str) -> String {
    format!("{number} {what}{}", if number == 1 { "" } else { "s" })
}

/// `store_1` or `store_N`.
fn numbered(name: &str, number: u32) -> String {
    let number = if number == 1 { "1" } else { "N" };
    format!("{name}_{number}")
}

fn limit(name: &str, what: &str) -> Limit {
    Limit {
        name: name.into(),
        unit: "per_s".into(),
        what: what.into(),
        connections: None,
        partitions: None,
        per_call: None,
        is_ceiling: false,
        estimate: None,
        not_measured: None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_limit_has_a_name_that_says_how_it_was_measured() {
        let limits: Vec<Limit> = Measurement::all(3).into_iter().flat_map(Measurement::limits).collect();
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
                "view_single",
                "view_pipelined",
                "produce_1",
                "fetch_1",
                "produce_N",
                "fetch_N",
                "generator"
            ]
        );
        assert_eq!((limits[2].connections, limits[11].partitions), (Some(3), Some(3)));
    }
}
