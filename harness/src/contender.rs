//! What is compared.

use std::collections::BTreeMap;
use std::fmt;
use std::str::FromStr;

use payment_delivery::consumer::{Mode, ServiceTime};

use crate::stack::worker::WorkerCommand;

/// One of those that are compared, with all that sets it apart.
#[derive(Clone, Debug)]
pub struct Contender {
    /// Tells it from the others; part of names on the stack.
    pub name: String,
    /// Partitions, consumers, and how these work.
    pub lanes: Lanes,
    /// Replicas of each partition.
    pub replication: i16,
    /// `min.insync.replicas`.
    pub min_isr: i16,
    /// Modelled downstream call an event.
    pub service_time: ServiceTime,
    /// Its worker, where that is a process of its own; `None` for consumers in this process.
    pub worker: Option<WorkerCommand>,
    /// Whether each consumer of that worker is a process of its own, so that one can break.
    pub each_a_process: bool,
    /// What was varied, by flag; empty where partitions, consumers and mode alone tell contenders apart.
    pub settings: BTreeMap<String, String>,
}

impl Contender {
    /// Consumers in this process, without a modelled call, on partitions of one replica.
    pub fn of(lanes: Lanes) -> Self {
        Self {
            name: lanes.to_string(),
            lanes,
            replication: 1,
            min_isr: 1,
            service_time: ServiceTime::NONE,
            worker: None,
            each_a_process: false,
            settings: BTreeMap::new(),
        }
    }

    /// Modelled calls a second that it makes at most; `None` where no call is modelled.
    pub(crate) fn calls_per_s(&self) -> Option<f64> {
        let side_by_side = self.lanes.at_work() * self.lanes.mode.calls_at_once();
        let mean_s = self.service_time.mean().as_secs_f64();
        (!self.service_time.is_zero()).then(|| f64::from(side_by_side) / mean_s)
    }

    /// Whether its consumers can be held back from fetching.
    pub(crate) fn can_be_held(&self) -> bool {
        self.worker.as_ref().is_none_or(WorkerCommand::reports)
    }
}

/// A configuration that is compared. `3p3c` is three partitions and three consumers, in record mode. `3p3c-batch` is the same in batch mode,
/// and `3p3c-keyed16` in keyed mode with 16 orders at once.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Lanes {
    /// Partitions of the topic.
    pub partitions: i32,
    /// Consumers of the group.
    pub consumers: u32,
    /// How each consumer works through its events.
    pub mode: Mode,
}

impl Lanes {
    /// Partitions that have a consumer of their own: how many lanes work side by side.
    pub(crate) fn at_work(self) -> u32 {
        self.consumers.min(self.partitions.unsigned_abs())
    }
}

/// Most partitions or consumers that a configuration may name.
const LANES_MAX: u32 = 100;

impl fmt::Display for Lanes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}p{}c", self.partitions, self.consumers)?;
        if self.mode == Mode::default() { Ok(()) } else { write!(f, "-{}", self.mode) }
    }
}

impl FromStr for Lanes {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let form = || format!("`{text}` is not of the form 3p3c or 3p3c-batch (partitions, consumers, mode)");
        let (counts, mode) = match text.split_once('-') {
            Some((counts, mode)) => (counts, Some(mode)),
            None => (text, None),
        };
        let (partitions, rest) = counts.split_once('p').ok_or_else(form)?;
        let consumers = rest.strip_suffix('c').ok_or_else(form)?;
        let count = |digits: &str, what: &str| match digits.parse::<u32>() {
            Ok(0) => Err(format!("`{text}` has no {what}: at least one is needed")),
            Ok(n) if n > LANES_MAX => Err(format!("`{text}`: at most {LANES_MAX} {what} are supported")),
            Ok(n) => Ok(n),
            Err(_) => Err(form()),
        };
        let partitions = count(partitions, "partitions")? as i32;
        let consumers = count(consumers, "consumers")?;
        let mode = mode.map(str::parse::<Mode>).transpose().map_err(|error| format!("`{text}`: {error}"))?;
        Ok(Self { partitions, consumers, mode: mode.unwrap_or_default() })
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
        for (text, mode, printed) in [
            ("12p3c", Mode::Record, "12p3c"),
            ("12p3c-record", Mode::Record, "12p3c"),
            ("12p3c-batch", Mode::Batch, "12p3c-batch"),
            ("12p3c-keyed", Mode::KEYED, "12p3c-keyed64"),
        ] {
            let lanes: Lanes = text.parse().unwrap();
            assert_eq!(lanes, Lanes { partitions: 12, consumers: 3, mode });
            assert_eq!(lanes.to_string(), printed);
        }
    }

    #[test]
    fn what_is_wrong_with_a_configuration_is_said() {
        refused("0p1c", "no partitions");
        refused("1p0c", "no consumers");
        refused("3x3", "not of the form");
        refused("3p3", "not of the form");
        refused("-1p1c", "not of the form");
        refused("101p1c", "at most 100");
        refused("1p1c-bulk", "`1p1c-bulk`: `bulk` is no mode; there are record");
        refused("1p1c-", "is no mode");
        refused("batch", "not of the form");
    }
}
