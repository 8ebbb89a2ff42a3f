//! What a run was asked to do, checked before anything is started.

use std::fmt;
use std::str::FromStr;
use std::time::Duration;

pub use crate::load::Key;

use super::rates::Sizes;
use crate::stack::worker::WorkerCommand;
use crate::workload::{Arrivals, Keys};

/// A configuration that is compared: `3p3c` is three partitions and three consumers.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Lanes {
    /// Partitions of the topic.
    pub partitions: i32,
    /// Consumers of the group.
    pub consumers: u32,
}

/// Most partitions or consumers that a configuration may name.
const LANES_MAX: u32 = 100;

impl fmt::Display for Lanes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}p{}c", self.partitions, self.consumers)
    }
}

impl FromStr for Lanes {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let form = || format!("`{text}` is not of the form 3p3c (partitions, consumers)");
        let (partitions, rest) = text.split_once('p').ok_or_else(form)?;
        let consumers = rest.strip_suffix('c').ok_or_else(form)?;
        let count = |digits: &str, what: &str| match digits.parse::<u32>() {
            Ok(0) => Err(format!("`{text}` has no {what}: at least one is needed")),
            Ok(n) if n > LANES_MAX => Err(format!("`{text}`: at most {LANES_MAX} {what} are supported")),
            Ok(n) => Ok(n),
            Err(_) => Err(form()),
        };
        let partitions = count(partitions, "partitions")?;
        Ok(Self { partitions: partitions as i32, consumers: count(consumers, "consumers")? })
    }
}

/// How events come into the topic.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, clap::ValueEnum)]
pub enum Through {
    /// Straight to the brokers, by the keyed producer.
    #[default]
    Kafka,
    /// By the REST API in front of it, which keeps each payment and sends it on.
    Api,
}

/// What is broken on purpose, on the running system, to see the checker find it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub enum Inject {
    /// Two records of one order are put into the log in the wrong order.
    Reorder,
    /// A delivery row is deleted.
    Loss,
    /// A record of the log is put there again; allowed, and counted.
    Duplicate,
    /// A status in the view is set back to an earlier revision.
    StaleView,
}

/// What is slowed down on purpose, to see the bottleneck's name change.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub enum Throttle {
    /// Each event costs the consumer 5 ms more of CPU time.
    Worker,
    /// PostgreSQL is stopped for four fifths of the time (native stack only).
    Store,
}

/// What a comparison is asked to do.
#[derive(Clone, Debug)]
pub struct Options {
    /// The configurations; the first is the baseline.
    pub configs: Vec<Lanes>,
    /// Rounds; each has one trial of each configuration.
    pub rounds: u32,
    /// From which every round's seed is drawn.
    pub seed: u64,
    /// How events come into the topic.
    pub through: Through,
    /// The message key.
    pub key: Key,
    /// How orders are drawn.
    pub keys: Keys,
    /// Orders of a phase; `None` for events ÷ `events_per_order`.
    pub orders: Option<u32>,
    /// Mean events an order, where `orders` is not given.
    pub events_per_order: u32,
    /// When events of an open-loop phase are due.
    pub arrivals: Arrivals,
    /// Steady rate in events/s; `None` for 0.6 × the slowest drain.
    pub rate_per_s: Option<f64>,
    /// Length of the steady phase at least; it is longer where 3,000 events need it.
    pub duration: Duration,
    /// Whether the surge is run.
    pub surge: bool,
    /// Modelled downstream call an event.
    pub service_time: Duration,
    /// Replicas of each partition.
    pub replication: i16,
    /// `min.insync.replicas`.
    pub min_isr: i16,
    /// What is broken on purpose.
    pub inject: Option<Inject>,
    /// What is slowed down on purpose.
    pub throttle: Option<Throttle>,
    /// The worker that is measured, as a process of its own; `None` for consumers in this process.
    pub worker: Option<WorkerCommand>,
    /// Events that a worker which can't be held works through in each trial before anything is measured.
    pub worker_warm_up: u64,
    /// Events of the drain's backlog; `None` to size it in the warm-up.
    pub drain_events: Option<u64>,
    /// How long things last that no measurement fixes.
    pub sizes: Sizes,
    /// Whether drains without the modelled call stand beside the trials.
    pub control: bool,
    /// Whether topics, tables and keys stay on the stack.
    pub keep: bool,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn refused(text: &str, says: &str) {
        let error = text.parse::<Lanes>().unwrap_err();
        assert!(error.contains(says), "{error}");
    }

    #[test]
    fn a_configuration_reads_as_it_prints() {
        let lanes: Lanes = "12p3c".parse().unwrap();
        assert_eq!(lanes, Lanes { partitions: 12, consumers: 3 });
        assert_eq!(lanes.to_string(), "12p3c");
    }

    #[test]
    fn what_is_wrong_with_a_configuration_is_said() {
        refused("0p1c", "no partitions");
        refused("1p0c", "no consumers");
        refused("3x3", "not of the form");
        refused("3p3", "not of the form");
        refused("-1p1c", "not of the form");
        refused("101p1c", "at most 100");
    }
}
