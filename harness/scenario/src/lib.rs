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
//! action = "kill"         # stop: in good order (a consumer only); kill: at once; pause: frozen; disconnect: cut off from the network (containers only)
//! for = "20s"             # then it is started again, or goes on
//!
//! [[fault]]
//! at = "5s"
//! target = "store"        # or a broker, or the view: what lies between it and the consumers
//! action = "slow"         # cut: connections are reset; refuse: new ones are refused as well; slow: all comes later
//! by = "100ms"
//! for = "20s"
//!
//! [[fault]]
//! at = "20s"
//! target = "order"        # some order: poison, duplicate, reorder, loss, stale-view
//! action = "poison"
//!
//! [[fault]]
//! at = "30s"
//! target = "topic"
//! action = "add"          # partitions, while it is sent to; drain-and-add: when all that was sent is worked off
//! partitions = 2          # so many more
//! noticed = "2s"          # consumers look at the topic so often; 25 s unless told
//! ```

use std::fmt;
use std::time::Duration;

mod error;
mod fault;
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
    /// After so long it is started again, or goes on; nothing of what is done at once.
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
    /// The topic, which gets more partitions.
    Topic(Added),
    /// Some order of which all is worked off.
    Order,
}

/// Partitions that are added.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Added {
    /// So many more.
    pub partitions: u32,
    /// Consumers look at the topic so often (`metadata.max.age.ms`); as they do unless told otherwise where it is `None`.
    pub noticed: Option<Duration>,
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

    /// Whether it ends a program that works well only after minutes.
    pub fn leaves_cold(&self) -> bool {
        self.action == Action::Kill && (self.of_broker() || self.target == Target::Store)
    }

    /// What it adds to the topic, if that is what it does.
    pub fn adds(&self) -> Option<Added> {
        match self.target {
            Target::Topic(added) => Some(added),
            _ => None,
        }
    }

    /// Whether `other` may be what it breaks. Which broker leads or coordinates is known when it happens, so any broker may be.
    fn may_be_of(&self, other: Target) -> bool {
        let is_broker =
            |target| matches!(target, Target::Broker(_) | Target::Leader(_) | Target::Coordinator);
        match (self.target, other) {
            (Target::Broker(one), Target::Broker(other)) => one == other,
            (Target::Topic(_) | Target::Order, _) => false, // it stays, and there are many
            (one, other) if is_broker(one) => is_broker(other),
            (one, other) => one == other,
        }
    }

    /// Whether it breaks a broker.
    pub fn of_broker(&self) -> bool {
        matches!(self.target, Target::Broker(_) | Target::Leader(_) | Target::Coordinator)
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
            Self::Topic(_) => f.write_str("topic"),
            Self::Order => f.write_str("order"),
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
    /// It is frozen for four fifths of the time.
    Throttle,
    /// It is cut off from the network, and goes on by itself.
    Disconnect,
    /// Connections between the consumers and it are reset, and may be made again at once.
    Cut,
    /// They are reset, and refused for as long as it lasts.
    Refuse,
    /// What passes between the consumers and it comes so much later, each way.
    Slow {
        /// By how much.
        by: Duration,
    },
    /// All connections to it are taken, of those that have one, too.
    UseUp,
    /// It becomes a replica, which takes no write.
    Demote,
    /// It has no room for anything more.
    Fill,
    /// Another broker leads the partition from then on.
    Move,
    /// Two records of the order are put into the log in the wrong order.
    Reorder,
    /// The order's delivery row is deleted.
    Loss,
    /// A record of it is put into the log again.
    Duplicate,
    /// Its status in the view is set back to an earlier revision.
    StaleView,
    /// An event that the store refuses is put into the log.
    Poison,
    /// Partitions are added to it, while it is sent to.
    Add,
    /// Nothing is sent until all that was is worked off; then partitions are added to it.
    DrainAndAdd,
}

impl Action {
    /// As it stands in a file.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Stop => "stop",
            Self::Kill => "kill",
            Self::Pause => "pause",
            Self::Throttle => "throttle",
            Self::Disconnect => "disconnect",
            Self::Cut => "cut",
            Self::Refuse => "refuse",
            Self::Slow { .. } => "slow",
            Self::UseUp => "use-up",
            Self::Demote => "demote",
            Self::Fill => "fill",
            Self::Move => "move",
            Self::Reorder => "reorder",
            Self::Loss => "loss",
            Self::Duplicate => "duplicate",
            Self::StaleView => "stale-view",
            Self::Poison => "poison",
            Self::Add => "add",
            Self::DrainAndAdd => "drain-and-add",
        }
    }

    /// Whether it happens to what lies between the consumers and a part.
    pub fn of_connections(self) -> bool {
        matches!(self, Self::Cut | Self::Refuse | Self::Slow { .. })
    }

    /// Whether it is done at once, with nothing to mend.
    pub fn at_once(self) -> bool {
        match self {
            Self::Stop | Self::Kill | Self::Pause | Self::Throttle | Self::Disconnect => false,
            Self::Refuse | Self::Slow { .. } | Self::UseUp | Self::Demote | Self::Fill => false,
            Self::Cut | Self::Move | Self::Add | Self::DrainAndAdd => true,
            Self::Reorder | Self::Loss | Self::Duplicate | Self::StaleView | Self::Poison => true,
        }
    }
}

impl Scenario {
    /// Whether each consumer has to be a process of its own.
    pub fn needs_processes(&self) -> bool {
        self.faults.iter().any(Fault::of_consumer)
    }

    /// Whether something of ours has to stand between the consumers and the parts.
    pub fn needs_proxies(&self) -> bool {
        self.faults.iter().any(|fault| fault.action.of_connections())
    }

    /// The longest of its faults.
    pub fn longest(&self) -> Duration {
        self.faults.iter().map(|fault| fault.lasts).max().unwrap_or_default()
    }
}

#[cfg(test)]
mod tests;
