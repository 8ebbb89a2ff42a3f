//! `result.json`: what a run measured, versioned. Plain data; nothing here computes or renders.
//!
//! Units are in the names: `_ns` nanoseconds, `_ms` milliseconds, `_s` seconds, `_per_s` a second, `_bytes` bytes.

use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};

pub mod bench;
pub mod ceilings;
pub mod file;
#[cfg(any(test, feature = "fixture"))]
pub mod fixture;
pub mod gate;
pub mod limits;
pub mod scenario;
mod trial;

use ceilings::Ceilings;
use scenario::OfferedScenario;
pub use trial::*;

/// The version of this schema; a reader refuses any other.
pub const SCHEMA_VERSION: u32 = 2;

/// A whole run.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct RunResult {
    /// [`SCHEMA_VERSION`] of the writer.
    pub schema_version: u32,
    /// The subcommand, such as `compare`.
    pub command: String,
    /// The command line that repeats the run.
    pub command_line: String,
    /// UTC, RFC 3339.
    pub started_at: String,
    /// Whether every round of every configuration was run (an interrupted run is saved too).
    pub complete: bool,
    /// The machine and the program.
    pub environment: Environment,
    /// Broker, store and view.
    pub stack: Stack,
    /// What was offered.
    pub workload: Workload,
    /// What came before the first round, and which rates it fixed for all of them.
    pub warm_up: WarmUp,
    /// What a reader must know before trusting the numbers.
    pub warnings: Vec<Warning>,
    /// Whether every check of truth held in every trial.
    pub passed: bool,
    /// One a configuration, in the order given.
    pub configurations: Vec<Configuration>,
    /// Each later configuration against the first.
    pub comparisons: Vec<Comparison>,
    /// The same drains without the modelled cost, if one is modelled: what the model is worth.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub control: Option<Control>,
    /// What each component did alone in the same run, and each configuration's shares of it; null where that was not measured.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ceilings: Option<Ceilings>,
    /// The scenario in which each trial ended, if it was to end in one: its phase is of kind `scenario`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub scenario: Option<OfferedScenario>,
}

/// The machine and the program.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Environment {
    /// Version of lanebench.
    pub version: String,
    /// Git commit it was built from, or "unknown".
    pub commit: String,
    /// Whether the tree was dirty at that build.
    pub dirty: bool,
    /// Build profile: "release" or "debug".
    pub profile: String,
    /// Version of the compiler.
    pub rustc: String,
    /// Processor name.
    pub cpu: String,
    /// Logical cores.
    pub cores: usize,
    /// Memory, in bytes.
    pub memory_bytes: u64,
    /// Kernel release.
    pub kernel: String,
    /// One-minute load average before the run.
    pub load_before: f64,
    /// Highest one-minute load average seen during the run.
    pub load_max: f64,
}

/// Broker, store and view of a run.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Stack {
    /// `embedded`, `native`, `external`, …
    pub name: String,
    /// What stands in for a real component, a sentence each. Empty on a stack whose numbers count; where it is not,
    /// every output opens with the word DEMONSTRATION.
    #[serde(default)]
    pub demonstration: Vec<String>,
    /// The broker.
    pub kafka: Kafka,
    /// The store: name, version and settings that matter (fsync).
    pub store: Component,
    /// The view: name, version.
    pub view: Component,
    /// Versions of the client crates.
    pub clients: BTreeMap<String, String>,
}

/// The broker of a run.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Kafka {
    /// Version, as far as it is known.
    pub version: String,
    /// Brokers that answered.
    pub nodes: usize,
    /// Replicas of each partition.
    pub replication: i16,
    /// `min.insync.replicas` of the topic.
    pub min_isr: i16,
    /// Acknowledgements a producer waits for; always "all".
    pub acks: String,
    /// Flags of the brokers' JVM that bear on the numbers, where they were started here.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub jvm: Option<String>,
}

/// A component and its settings.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Component {
    /// Such as `postgresql`.
    pub name: String,
    /// Such as `15.18`.
    pub version: String,
    /// Settings that bear on the numbers, such as `fsync = on`.
    pub settings: BTreeMap<String, String>,
}

/// What was offered, the same in every configuration.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Workload {
    /// The seed from which every round's seed is drawn.
    pub seed: u64,
    /// Rounds asked for.
    pub rounds: u32,
    /// How events came into the topic: `kafka` or `api`. Results from before there was a choice say nothing, and mean `kafka`.
    #[serde(default = "straight", skip_serializing_if = "is_straight")]
    pub through: String,
    /// `order-id` or `none`.
    pub key: String,
    /// `uniform`, `zipf:S`, `hot:SHARE`.
    pub keys: String,
    /// Mean events an order.
    pub events_per_order: u32,
    /// Bytes of a message value.
    pub value_bytes: u32,
    /// `constant` or `poisson`.
    pub arrivals: String,
    /// Modelled downstream call an event, 0 for none; the mean where each event has its own.
    pub service_time_ms: f64,
    /// Where each event has its own: the shortest and the longest, between which they are drawn uniformly.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub service_time_range_ms: Option<[f64; 2]>,
    /// Commit cadence of the consumers.
    pub commit_interval_ms: u64,
    /// What 99 of 100 events of the steady phase were to take at most, if that was said.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub objective_ns: Option<u64>,
    /// What was broken on purpose, if anything.
    pub inject: Option<String>,
}

/// Straight to the brokers.
fn straight() -> String {
    "kafka".into()
}

fn is_straight(through: &str) -> bool {
    through == "kafka"
}

/// What came before the first round.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub struct WarmUp {
    /// Whether every configuration had settled when it ended.
    pub settled: bool,
    /// How long it took.
    pub took_s: f64,
    /// Each pass over all configurations, in order.
    pub passes: Vec<Pass>,
    /// Sustained capacity of each configuration in the last pass, events/s.
    pub sustained_per_s: BTreeMap<String, f64>,
    /// What all rounds offer.
    pub rates: Rates,
}

/// One pass of the warm-up over all configurations.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub struct Pass {
    /// What each configuration did in it.
    pub configurations: BTreeMap<String, PassTrial>,
    /// What had not settled, a phrase each; empty where everything had.
    pub moved: Vec<String>,
}

/// One configuration in one pass of the warm-up.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct PassTrial {
    /// A backlog worked off, events/s.
    pub drain_per_s: f64,
    /// Closed loop while the producer sends, events/s.
    pub sustained_per_s: f64,
    /// Rate of its open loop, events/s; null where it had none.
    pub offered_per_s: Option<f64>,
    /// Median response time of its open loop.
    pub response_time_ns_p50: Option<u64>,
    /// Whether the backlog of its open loop grew.
    pub grows: Option<bool>,
    /// Cores that the brokers' JIT compilers kept busy; null where they can't be seen.
    pub jit_cores: Option<f64>,
    /// CPU time of the brokers an event; null where it can't be seen.
    pub broker_cpu_ns_per_event: Option<f64>,
    /// Whether a check of truth failed in it.
    #[serde(default)]
    pub untrue: bool,
}

impl WarmUp {
    /// Configurations in whose warm-up a check of truth failed.
    pub fn untrue(&self) -> BTreeSet<&str> {
        let trials = self.passes.iter().flat_map(|pass| &pass.configurations);
        trials.filter(|(_, trial)| trial.untrue).map(|(name, _)| name.as_str()).collect()
    }
}

/// What all rounds offer, the same to every configuration, but for the drain of one that is far slower.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Rates {
    /// Events of the drain's backlog. Of a far slower configuration it is what that works off in a few seconds: its phases tell how much.
    pub drain_events: u64,
    /// Length of the part of the closed loop that is counted.
    pub sustained_s: f64,
    /// Rate of the steady phase, events/s.
    pub steady_per_s: f64,
    /// Length of the steady phase.
    pub steady_s: f64,
    /// The surge, if a rate separates the configurations; fixed before the first round that has one, by the rounds before.
    pub surge: Option<Surge>,
}

/// Percentiles are compared from this many events of a trial on (docs/method.md, "Rounds").
const COMPARED_FROM: f64 = 3000.0;

impl Rates {
    /// Events that the steady phase is planned for.
    pub fn steady_events(&self) -> f64 {
        self.steady_per_s * self.steady_s
    }

    /// Whether these are enough to compare percentiles.
    pub fn has_enough_events(&self) -> bool {
        self.steady_events() >= COMPARED_FROM * 0.999
    }
}

/// The surge's plan: base, peak, base.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Surge {
    /// Rate before and after the peak, events/s.
    pub base_per_s: f64,
    /// Rate of the peak, events/s.
    pub peak_per_s: f64,
    /// Length of each of the two base parts.
    pub base_s: f64,
    /// Length of the peak.
    pub peak_s: f64,
    /// Smallest sustained capacity of those that are compared, events/s.
    #[serde(default)]
    pub smallest_per_s: f64,
    /// Largest sustained capacity, events/s.
    #[serde(default)]
    pub largest_per_s: f64,
}

/// A warning, by name.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Warning {
    /// Kebab-case name, such as `fsync-off`.
    pub code: String,
    /// Plain words, with the flag that helps.
    pub message: String,
    /// The configuration that it is about; null where it is about the run.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub configuration: Option<String>,
    /// The rounds in which it showed; empty where it is about none in particular.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub rounds: Vec<u32>,
}

/// The rounds that count: those none of whose trials failed a check, since a trial that is void takes its round with it.
pub fn counting_rounds(configurations: &[Configuration]) -> BTreeSet<u32> {
    let trials = || configurations.iter().flat_map(|c| &c.trials);
    let void: BTreeSet<u32> = trials().filter(|t| !t.verification.passed).map(|t| t.round).collect();
    trials().map(|t| t.round).filter(|round| !void.contains(round)).collect()
}

impl Configuration {
    /// Its trials of the rounds that count.
    pub fn counting<'a>(&'a self, rounds: &'a BTreeSet<u32>) -> impl Iterator<Item = &'a Trial> + Clone {
        self.trials.iter().filter(move |trial| rounds.contains(&trial.round))
    }
}

/// One configuration and its trials.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Configuration {
    /// Such as `3p3c`.
    pub name: String,
    /// Partitions of the topic.
    pub partitions: i32,
    /// Consumers of the group.
    pub consumers: u32,
    /// How each consumer worked through its events: `record`, `batch` or `keyed64`.
    pub mode: String,
    /// What was varied, by flag; empty where partitions, consumers and mode alone tell configurations apart.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub settings: BTreeMap<String, String>,
    /// One a round.
    pub trials: Vec<Trial>,
    /// Estimates over the rounds, of trials that passed.
    pub summary: Summary,
}

/// Estimates over the rounds that passed their checks.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub struct Summary {
    /// What it sustains while the producer sends, events/s.
    pub sustained_per_s: Option<Estimate>,
    /// How fast it works off a waiting backlog, events/s.
    pub drain_per_s: Option<Estimate>,
    /// Response times of the steady phase, all rounds merged as histograms; null where there was none.
    pub response_time_ns: Option<Distribution>,
    /// Median response time of the steady phase, round by round.
    pub response_time_ns_p50: Option<Estimate>,
    /// 99th percentile of the steady phase's response time, round by round.
    pub response_time_ns_p99: Option<Estimate>,
    /// Whether half of the steady phases or more grew: then their percentiles say how long they lasted.
    pub grows: bool,
    /// Peak lag of the surge.
    pub surge_max_lag_records: Option<Estimate>,
}

/// A number with its error: geometric mean and Student's t interval on the logarithm.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Estimate {
    /// Rounds behind it.
    pub n: usize,
    /// Geometric mean (the median where a value is 0 and no logarithm exists).
    pub value: f64,
    /// Lower bound; null under three rounds.
    pub low: Option<f64>,
    /// Upper bound; null under three rounds.
    pub high: Option<f64>,
    /// Confidence of the interval, such as 0.95.
    pub confidence: f64,
    /// The rounds' values, in round order.
    pub values: Vec<f64>,
}

/// Candidate against baseline in one metric.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Comparison {
    /// Name of the baseline configuration.
    pub baseline: String,
    /// Name of the candidate configuration.
    pub candidate: String,
    /// `sustained_per_s`, `drain_per_s`, `response_time_ns_p50` or `response_time_ns_p99`.
    pub metric: String,
    /// Candidate ÷ baseline, from per-round ratios.
    pub ratio: Estimate,
    /// What may be concluded.
    pub verdict: Verdict,
    /// For throughput: how the ratio comes about.
    pub explained: Option<Explanation>,
}

/// The same under another modelled cost, one trial a round and configuration. It has no verdict of its own.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Control {
    /// Modelled downstream call an event in these drains; 0 for none.
    pub service_time_ms: f64,
    /// One a configuration, in the run's order.
    pub configurations: Vec<ControlRow>,
    /// Each later configuration ÷ the first, in drain throughput.
    pub ratios: BTreeMap<String, Estimate>,
}

/// One configuration's control drains.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct ControlRow {
    /// Such as `3p3c`.
    pub name: String,
    /// Throughput of the drains that passed their checks.
    pub drain_per_s: Option<Estimate>,
    /// The checks of truth of each drain, in round order.
    pub verifications: Vec<Verification>,
}

/// What a comparison concludes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Verdict {
    /// The interval of the ratio lies on the better side of 1.
    Faster,
    /// The interval lies on the worse side of 1.
    Slower,
    /// The interval holds 1.
    NotDistinguishable,
    /// Under three rounds: values only.
    TooFewRounds,
}

/// Speed-up = (1 ÷ largest share) × per-consumer efficiency × tail, each as candidate ÷ baseline.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Explanation {
    /// 1 ÷ largest share of a consumer: the bound that hashing sets.
    pub bound: f64,
    /// Events a busy second of the busiest consumer, candidate ÷ baseline.
    pub efficiency: f64,
    /// What is left: starting and ending at different times.
    pub tail: f64,
}
