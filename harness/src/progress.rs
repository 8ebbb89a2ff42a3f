//! Who hears of how a run goes.

use std::time::Duration;

/// Hears of a run's progress; the command line shows it.
pub trait Progress: Send + Sync {
    /// A new part of the run began.
    fn phase(&self, text: &str);
    /// Something that whoever runs it has to know, whether or not they look on.
    fn warn(&self, text: &str);
    /// How long the rest of the run is expected to take, from now.
    fn left(&self, _left: Duration) {}
    /// Whether anybody looks on: where nobody does, [`Self::pulse`] is not called.
    fn watches(&self) -> bool {
        false
    }
    /// What is known of a configuration long before there is a result: events/s of its first drain.
    fn provisional(&self, _configuration: &str, _per_s: f64) {}
    /// How the part goes, several times a second.
    fn pulse(&self, _pulse: PhaseProgress) {}
}

/// How a phase goes.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct PhaseProgress {
    /// Events visible.
    pub visible: usize,
    /// Events of the phase.
    pub events: usize,
    /// Events/s that became visible of late.
    pub rate_per_s: f64,
    /// Records behind over all partitions, as the broker told last.
    pub lag_records: u64,
}

/// A silent one: for tests, and for the second of two trials at once.
impl Progress for () {
    fn phase(&self, _text: &str) {}
    fn warn(&self, text: &str) {
        tracing::warn!("{text}");
    }
}
