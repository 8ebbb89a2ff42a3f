//! `scenario.json`: what happened when things were broken on purpose. Plain data, units in the names as in `result.json`.

use serde::{Deserialize, Serialize};

use super::{Environment, Stack, Trial, WarmUp};

/// The version of this schema; a reader refuses any other.
pub const SCENARIO_SCHEMA_VERSION: u32 = 1;

/// Scenarios that were run on one stack, one after another.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct ScenarioRecord {
    /// [`SCENARIO_SCHEMA_VERSION`] of the writer.
    pub schema_version: u32,
    /// The command line that repeats the run.
    pub command_line: String,
    /// UTC, RFC 3339.
    pub started_at: String,
    /// Whether every trial was run (an interrupted run is saved too).
    pub complete: bool,
    /// The machine and the program.
    pub environment: Environment,
    /// Broker, store and view.
    pub stack: Stack,
    /// What came before the first trial, and what each configuration sustains.
    pub warm_up: WarmUp,
    /// Whether every check of truth held in every trial.
    pub passed: bool,
    /// In the order in which they were run.
    pub scenarios: Vec<ScenarioRun>,
}

/// One scenario.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct ScenarioRun {
    /// What it is for, and what was offered.
    #[serde(flatten)]
    pub scenario: OfferedScenario,
    /// One a configuration, in the order given.
    pub configurations: Vec<ScenarioConfiguration>,
}

/// What a scenario is for, and what was offered in it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct OfferedScenario {
    /// Its name.
    pub name: String,
    /// Why anybody wants to know.
    pub why: String,
    /// What was expected to happen.
    pub expect: String,
    /// What was offered to every configuration, events/s.
    pub rate_per_s: f64,
    /// For how long.
    pub length_s: f64,
}

/// A configuration in a scenario.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct ScenarioConfiguration {
    /// Such as `3p3c`.
    pub name: String,
    /// Partitions of the topic.
    pub partitions: i32,
    /// Consumers of the group.
    pub consumers: u32,
    /// Its trials, round by round. Each has a phase of kind `scenario`, whose `faults` say what broke when, whose `partitions` how long each
    /// was silent, and whose `lag` what was left waiting.
    pub trials: Vec<Trial>,
}
