//! What `cargo bench` measured, put together from criterion's files. Plain data; it has no file of its own.
//!
//! In an [`Estimate`] of this module `value`, `low` and `high` are criterion's: the mean time of an iteration and its
//! bootstrapped interval, turned into a rate; `n` and `values` are its samples, each the mean of one iteration or more.

use serde::{Deserialize, Serialize};

use super::Estimate;

/// The benchmarks of the pipeline, and those of its parts.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Benched {
    /// When the first and the last benchmark ended; UTC, RFC 3339.
    pub measured: (String, String),
    /// What stands in for a real component, a sentence each; empty where every pipeline ran on real ones.
    pub demonstration: Vec<String>,
    /// By stack, mode and modelled cost.
    pub pipelines: Vec<Pipeline>,
    /// All other benchmarks that count elements, by name.
    pub components: Vec<ComponentRate>,
}

/// One mode on one stack at one modelled cost.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Pipeline {
    /// Such as `embedded`.
    pub stack: String,
    /// Whether parts of that stack stand in for real ones.
    pub stands_in: bool,
    /// Such as `record`.
    pub mode: String,
    /// Modelled downstream call an event, 0 for none.
    pub service_time_ms: f64,
    /// By number of partitions; the first is the baseline.
    pub lanes: Vec<LaneRate>,
}

/// Drains of one configuration.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct LaneRate {
    /// Such as `3p3c`.
    pub name: String,
    /// Events of one drain.
    pub events: u64,
    /// Events that became visible a second.
    pub throughput_per_s: Estimate,
    /// Throughput ÷ that of the baseline; `None` for the baseline itself.
    pub ratio: Option<Estimate>,
}

/// A benchmark of one part.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct ComponentRate {
    /// As criterion has it, such as `codec/decode/300 B`.
    pub name: String,
    /// Elements (events, keys, records) of one iteration.
    pub elements: u64,
    /// Elements a second.
    pub throughput_per_s: Estimate,
}
