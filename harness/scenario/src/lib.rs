//! What is done in a trial, as data: a load, and what breaks while it lasts. One file a scenario; those that come with lanebench are in
//! `harness/scenarios/`, and each explains itself.
//!
//! ```toml
//! why = "One thread of three dies: who waits, and for how long?"
//! expect = "The partition of the dead consumer is silent for the session and a rebalance; the others go on."
//! rate = "30%"            # of the smallest sustained capacity of what is compared; or events a second, such as 300
//! length = "40s"          # of the load
//!
//! [[fault]]
//! at = "10s"              # from the load's start
//! target = "consumer 0"   # broker 1, leader 0 (of that partition), coordinator (of the group), store, view, consumer 0
//! action = "kill"         # stop: in good order (a consumer only); kill: at once; pause: frozen
//! for = "20s"             # then it is started again, or goes on
//! ```

use std::fmt;
use std::time::Duration;

mod error;
mod file;
mod included;

pub use error::ScenarioError;
pub use included::{find, included};

/// What is done in a trial.
#[derive(Clone, Debug, PartialEq)]
pub struct Scenario {
    /// The file's name without its ending.
    pub name: String,
    /// Why anybody wants to know.
    pub why: String,
    /// What is expected to happen.
    pub expect: String,
    /// What is offered.
    pub rate: Rate,
    /// For how long.
    pub length: Duration,
    /// What breaks meanwhile, by when.
    pub faults: Vec<Fault>,
}

/// What is offered, the same to every configuration.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Rate {
    /// Events a second.
    PerSecond(f64),
    /// This part of the smallest sustained capacity.
    OfCapacity(f64),
}

/// Something that breaks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Fault {
    /// After the load's start.
    pub at: Duration,
    /// What breaks.
    pub target: Target,
    /// How.
    pub action: Action,
    /// After so long it is started again, or goes on.
    pub lasts: Duration,
}

/// What breaks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Target {
    /// A broker, by its node id.
    Broker(u32),
    /// The broker that leads this partition of the topic when it happens.
    Leader(u32),
    /// The broker that coordinates the consumers' group when it happens.
    Coordinator,
    /// The store.
    Store,
    /// The view.
    View,
    /// A consumer, by the number in its name.
    Consumer(u32),
}

impl Fault {
    /// Whether the store crashes.
    pub fn kills_store(&self) -> bool {
        (self.target, self.action) == (Target::Store, Action::Kill)
    }

    /// Whether the view loses all that it has.
    pub fn empties_view(&self) -> bool {
        (self.target, self.action) == (Target::View, Action::Kill)
    }

    /// Whether `other` may be what it breaks. Which broker leads or coordinates is known when it happens, so any broker may be.
    fn may_be_of(&self, other: Target) -> bool {
        let is_broker =
            |target| matches!(target, Target::Broker(_) | Target::Leader(_) | Target::Coordinator);
        match (self.target, other) {
            (Target::Broker(one), Target::Broker(other)) => one == other,
            (one, other) if is_broker(one) => is_broker(other),
            (one, other) => one == other,
        }
    }

    /// Whether it breaks a consumer.
    pub fn of_consumer(&self) -> bool {
        matches!(self.target, Target::Consumer(_))
    }
}

/// As it stands in a file.
impl fmt::Display for Target {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Broker(node) => write!(f, "broker {node}"),
            Self::Leader(partition) => write!(f, "leader {partition}"),
            Self::Coordinator => f.write_str("coordinator"),
            Self::Store => f.write_str("store"),
            Self::View => f.write_str("view"),
            Self::Consumer(number) => write!(f, "consumer {number}"),
        }
    }
}

/// How it breaks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Action {
    /// It is told to stop, and does so in good order.
    Stop,
    /// It is gone at once.
    Kill,
    /// It is frozen.
    Pause,
}

impl Action {
    /// All of them.
    pub const ALL: [Self; 3] = [Self::Stop, Self::Kill, Self::Pause];

    /// As it stands in a file.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Stop => "stop",
            Self::Kill => "kill",
            Self::Pause => "pause",
        }
    }
}

impl Scenario {
    /// Whether each consumer has to be a process of its own.
    pub fn needs_processes(&self) -> bool {
        self.faults.iter().any(Fault::of_consumer)
    }

    /// The longest of its faults.
    pub fn longest(&self) -> Duration {
        self.faults.iter().map(|fault| fault.lasts).max().unwrap_or_default()
    }
}

#[cfg(test)]
mod tests;
