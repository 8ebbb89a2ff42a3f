//! What is compared.

use std::collections::BTreeMap;
use std::fmt;
use std::str::FromStr;
use std::time::Duration;

use crate::stack::worker::WorkerCommand;

/// One of those that are compared, with all that sets it apart.
#[derive(Clone, Debug)]
pub struct Contender {
    /// Tells it from the others; part of names on the stack.
    pub name: String,
    /// Partitions and consumers.
    pub lanes: Lanes,
    /// Replicas of each partition.
    pub replication: i16,
    /// `min.insync.replicas`.
    pub min_isr: i16,
    /// Modelled downstream call an event.
    pub service_time: Duration,
    /// Its worker, where that is a process of its own; `None` for consumers in this process.
    pub worker: Option<WorkerCommand>,
    /// Whether each consumer of that worker is a process of its own, so that one can break.
    pub each_a_process: bool,
    /// What was varied, by flag; empty where partitions and consumers alone tell contenders apart.
    pub settings: BTreeMap<String, String>,
}

impl Contender {
    /// Whether its consumers can be held back from fetching.
    pub(crate) fn can_be_held(&self) -> bool {
        self.worker.as_ref().is_none_or(WorkerCommand::reports)
    }
}

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
