//! `limits.json`: what each component of a stack can do alone. Plain data, units in the names as in `result.json`.

use serde::{Deserialize, Serialize};

use super::{Environment, Estimate, Stack};

/// The version of this schema; a reader refuses any other.
pub const LIMITS_SCHEMA_VERSION: u32 = 1;

/// The limits of one stack.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct LimitsRecord {
    /// [`LIMITS_SCHEMA_VERSION`] of the writer.
    pub schema_version: u32,
    /// The subcommand, `limits`.
    pub command: String,
    /// The command line that repeats the run.
    pub command_line: String,
    /// UTC, RFC 3339.
    pub started_at: String,
    /// Whether every round was run (an interrupted run is saved too, without the round that was not finished).
    pub complete: bool,
    /// The machine and the program.
    pub environment: Environment,
    /// Broker, store and view.
    pub stack: Stack,
    /// The seed of events, and of the order of measurements in each round.
    pub seed: u64,
    /// Rounds asked for.
    pub rounds: u32,
    /// Length of each measurement, without the warm-up before it.
    pub measurement_s: f64,
    /// Bytes of a record's value.
    pub value_bytes: u32,
    /// What was measured, component by component.
    pub limits: Vec<Limit>,
}

/// What one component did at most, alone.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Limit {
    /// Such as `store_bulk`. Several limits have one name where a size was varied.
    pub name: String,
    /// `per_s`: a second.
    pub unit: String,
    /// What was counted, in a sentence.
    pub what: String,
    /// Connections that worked side by side.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub connections: Option<u32>,
    /// Partitions of the topic.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub partitions: Option<u32>,
    /// Replicas of each partition; null in results from before this was said.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub replication: Option<i16>,
    /// Rows or statuses that each call wrote.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub per_call: Option<u32>,
    /// Whether it is the highest of those that differ in `per_call` alone: the ceiling.
    pub is_ceiling: bool,
    /// The rate, over the rounds; null where it was not measured.
    pub estimate: Option<Estimate>,
    /// Why it was not measured, where it was not.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub not_measured: Option<String>,
}

impl Limit {
    /// A rate a second that is not measured yet.
    pub fn new(name: &str, what: &str) -> Self {
        Self {
            name: name.into(),
            unit: "per_s".into(),
            what: what.into(),
            connections: None,
            partitions: None,
            replication: None,
            per_call: None,
            is_ceiling: false,
            estimate: None,
            not_measured: None,
        }
    }
}
