//! What a trial can be asked for.

use std::time::Duration;

pub use crate::load::Key;
use crate::scenario::{Action, Fault, Target};

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
    /// An event that the store refuses is put into the log: it has to come to the dead-letter topic; allowed, and counted.
    Poison,
}

impl Inject {
    /// The same as a scenario has it: done to some order, so long after the start of the phase.
    pub(crate) fn fault(self, at: Duration) -> Fault {
        let action = match self {
            Self::Reorder => Action::Reorder,
            Self::Loss => Action::Loss,
            Self::Duplicate => Action::Duplicate,
            Self::StaleView => Action::StaleView,
            Self::Poison => Action::Poison,
        };
        Fault { at, target: Target::Order, action, lasts: Duration::ZERO }
    }
}

/// What is slowed down on purpose, to see the bottleneck's name change.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub enum Throttle {
    /// Each event costs the consumer 5 ms more of CPU time.
    Worker,
    /// PostgreSQL is stopped for four fifths of the time (native stack only).
    Store,
}

/// A value of a flag, as it is typed.
pub(crate) fn kebab(value: &impl clap::ValueEnum) -> String {
    value.to_possible_value().map(|v| v.get_name().to_owned()).unwrap_or_default()
}
