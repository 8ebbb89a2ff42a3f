//! `gate.json`: what was compared, by which rules, every round's values, what was concluded at each look, and why.
//!
//! Tolerances and changes are parts of the baseline's value (0.06 is 6 %); ratios are candidate ÷ baseline.

use serde::{Deserialize, Serialize};

use super::{Environment, Noise, Stack, Verification, WarmUp, Warning, Workload};

/// The version of this schema; a reader refuses any other.
pub const GATE_SCHEMA_VERSION: u32 = 1;

/// A whole run of the gate.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct GateRecord {
    /// [`GATE_SCHEMA_VERSION`] of the writer.
    pub schema_version: u32,
    /// The subcommand, `gate`.
    pub command: String,
    /// The command line that repeats the run.
    pub command_line: String,
    /// UTC, RFC 3339.
    pub started_at: String,
    /// How long it took, warm-up included and builds not.
    pub took_s: f64,
    /// The machine and the harness, which measured both sides.
    pub environment: Environment,
    /// Broker, store and view.
    pub stack: Stack,
    /// What was offered, the same to both sides.
    pub workload: Workload,
    /// Partitions, consumers and mode, the same for both, as `--config` names them; empty in files that don't say.
    #[serde(default)]
    pub configuration: String,
    /// What came before the first round, and which rates it fixed.
    #[serde(default)]
    pub warm_up: WarmUp,
    /// In the drains of a round, between which bounds was drawn how long one side worked before it was the other's turn, in ms; null in files of gates in which one
    /// drain came after the other.
    #[serde(default)]
    pub turn_ms: Option<(u32, u32)>,
    /// The CPUs that all of it ran on, both sides alike; empty for all of the machine's.
    pub cpus: Vec<usize>,
    /// What the candidate is compared with.
    pub baseline: Side,
    /// What is judged.
    pub candidate: Side,
    /// When the rounds were looked at, and at which level.
    pub design: GateDesign,
    /// What was judged, in the order of the rules.
    pub rules: Vec<GateRule>,
    /// The file of the rules; null where the built-in ones were used.
    pub rules_file: Option<String>,
    /// Every round that was run, in order.
    pub rounds: Vec<GateRound>,
    /// What was concluded at each look. Where the gate ended between two looks, the last entry is of the rounds until
    /// then, which decided nothing.
    pub looks: Vec<GateLook>,
    /// What the gate concludes.
    pub verdict: GateVerdict,
    /// What the process ends with: 0 held, or undecided where the rules say that this is a warning; 3 truth failed; 4
    /// regressed; 5 undecided or void.
    pub exit_code: u8,
    /// Whether it ended as designed: by a verdict, or after the last look. False where it was interrupted or ran out of
    /// time.
    pub complete: bool,
    /// What a reader must know before trusting the verdict.
    pub warnings: Vec<Warning>,
}

/// Rounds that were run without a look, from which the proof of the gate draws gates.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct PoolRecord {
    /// [`GATE_SCHEMA_VERSION`] of the writer.
    pub schema_version: u32,
    /// The command line that repeats the run.
    pub command_line: String,
    /// The machine and the harness.
    pub environment: Environment,
    /// Broker, store and view.
    pub stack: Stack,
    /// What was offered.
    pub workload: Workload,
    /// Partitions, consumers and mode, the same for both, as `--config` names them; empty in files that don't say.
    #[serde(default)]
    pub configuration: String,
    /// What came before the first round, and which rates it fixed.
    #[serde(default)]
    pub warm_up: WarmUp,
    /// In the drains of a round, between which bounds was drawn how long one side worked before it was the other's turn, in ms; null in files of gates in which one
    /// drain came after the other.
    #[serde(default)]
    pub turn_ms: Option<(u32, u32)>,
    /// The CPUs that all of it ran on, both sides alike; empty for all of the machine's.
    pub cpus: Vec<usize>,
    /// What the candidate is compared with.
    pub baseline: Side,
    /// The candidate.
    pub candidate: Side,
    /// From the start of the first to the end of the last round.
    pub took_s: f64,
    /// Every round, in order.
    pub rounds: Vec<GateRound>,
}

/// One of the two that are compared.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Side {
    /// What a reader calls it, such as a branch.
    pub label: String,
    /// The git commit it was built from, if it was.
    pub commit: Option<String>,
    /// The command that starts one of its workers.
    pub command: String,
}

/// The looks and their level.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct GateDesign {
    /// After how many rounds it is looked at.
    pub looks: Vec<u32>,
    /// Required metrics, which share the error rate.
    pub required: usize,
    /// The chance that a candidate like its baseline is called regressed, over all looks and required metrics.
    pub error_rate: f64,
    /// One-sided level of a lower bound of the worsening at one look, by which a metric is called regressed.
    pub regressed_p: f64,
    /// One-sided level of an upper bound at one look, by which a metric is called held.
    pub held_p: f64,
}

/// What can be judged.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Metric {
    /// Events a second of the drain.
    Throughput,
    /// CPU time of the worker an event.
    CpuPerEvent,
    /// Largest resident set of the worker.
    PeakMemory,
    /// 99th percentile of the response time of the steady phase.
    SteadyP99,
}

/// Which direction is a worsening.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Worse {
    /// As for throughput.
    Lower,
    /// As for a cost.
    Higher,
}

/// What an undecided required metric means.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum OnUndecided {
    /// The gate fails.
    Fail,
    /// The gate warns.
    Warn,
}

/// How one metric is judged.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct GateRule {
    /// What.
    pub metric: Metric,
    /// Which direction is a worsening; a property of the metric.
    pub worse: Worse,
    /// How much worse than the baseline is still good enough, as a part of the baseline's value.
    pub tolerance: f64,
    /// Whether the gate decides on it; an advisory metric is shown.
    pub required: bool,
    /// What it means if it stays undecided; without effect on an advisory metric.
    pub undecided: OnUndecided,
}

/// One trial of each side, with the same events.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct GateRound {
    /// From 1.
    pub round: u32,
    /// Its seed.
    pub seed: u64,
    /// Whether the candidate began: drawn for rounds 1, 3, 5 …, and the other way round in the one that follows.
    pub candidate_first: bool,
    /// The baseline's trial.
    pub baseline: GateTrial,
    /// The candidate's trial.
    pub candidate: GateTrial,
}

/// One trial.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub struct GateTrial {
    /// What was measured.
    pub values: Values,
    /// The checks of truth.
    pub verification: Verification,
    /// Noise during the trial.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub noise: Option<Noise>,
}

/// What one trial gave; null where it was not measured.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Values {
    /// Drain throughput.
    pub throughput_per_s: Option<f64>,
    /// CPU time of the worker ÷ events.
    pub cpu_ns_per_event: Option<f64>,
    /// Largest resident set of the worker.
    pub peak_memory_bytes: Option<f64>,
    /// 99th percentile of the steady phase's response time.
    pub steady_p99_ns: Option<f64>,
}

/// What was concluded after some rounds.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct GateLook {
    /// Rounds behind it.
    pub rounds: u32,
    /// One a rule, in their order.
    pub metrics: Vec<MetricLook>,
}

/// One metric at one look.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct MetricLook {
    /// What.
    pub metric: Metric,
    /// What may be concluded.
    pub verdict: MetricVerdict,
    /// The figures; null where it was not measured in every trial.
    pub measured: Option<Measured>,
    /// Why it is undecided; null where it is decided.
    pub why: Option<Undecided>,
}

/// The figures behind a metric's verdict.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Measured {
    /// Geometric mean of the baseline's values, in the unit of [`Values`].
    pub baseline: f64,
    /// Geometric mean of the candidate's values.
    pub candidate: f64,
    /// Candidate ÷ baseline: geometric mean of the rounds' ratios.
    pub ratio: f64,
    /// Lower bound of the ratio. The bound on the worse side has the level [`held_p`](GateDesign::held_p), the other one
    /// [`regressed_p`](GateDesign::regressed_p), so the two may lie at different distances from the ratio.
    pub low: f64,
    /// Upper bound of the ratio.
    pub high: f64,
    /// How far single trials of one program lie apart (coefficient of variation): standard deviation of the rounds'
    /// log ratio ÷ √2.
    pub spread: f64,
    /// The largest spread at which all rounds of the design would hold an unchanged candidate in nine of ten gates.
    pub spread_allowed: f64,
    /// Rounds that would do so at this spread; null if there were more than 100,000.
    pub rounds_needed: Option<u32>,
}

/// What may be concluded on a metric.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum MetricVerdict {
    /// Worse than the baseline beyond doubt, and by more than the tolerance as far as is known.
    Regressed,
    /// Worse by less than the tolerance, if at all, beyond doubt.
    Held,
    /// Neither.
    Undecided,
}

/// Why a metric is undecided.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Undecided {
    /// A value is missing, zero or not a number in at least one trial.
    NotMeasured,
    /// There were fewer rounds than the last look has, and no other reason.
    TooFewRounds,
    /// Trials lie too far apart for this tolerance, even with all rounds of the design.
    Noise,
    /// Trials lie close enough together; the change itself is about as large as the tolerance.
    NearTolerance,
}

/// What the gate concludes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum GateVerdict {
    /// Every required metric held.
    Held,
    /// A required metric regressed.
    Regressed,
    /// Neither by the last round.
    Undecided,
    /// The baseline failed a check of truth: there is nothing to compare with.
    Void,
    /// The candidate failed a check of truth: no speed counts beside that.
    TruthFailed,
}

impl Metric {
    /// Every metric, in the order in which they are shown.
    pub const ALL: [Self; 4] = [Self::Throughput, Self::CpuPerEvent, Self::PeakMemory, Self::SteadyP99];

    /// As written in `gate.toml` and `gate.json`.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Throughput => "throughput",
            Self::CpuPerEvent => "cpu-per-event",
            Self::PeakMemory => "peak-memory",
            Self::SteadyP99 => "steady-p99",
        }
    }

    /// Which direction is a worsening.
    pub fn worse(self) -> Worse {
        match self {
            Self::Throughput => Worse::Lower,
            Self::CpuPerEvent | Self::PeakMemory | Self::SteadyP99 => Worse::Higher,
        }
    }
}

impl Worse {
    /// As written in `gate.toml` and `gate.json`.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Lower => "lower",
            Self::Higher => "higher",
        }
    }
}

impl OnUndecided {
    /// Both.
    pub const ALL: [Self; 2] = [Self::Fail, Self::Warn];

    /// As written in `gate.toml` and `gate.json`.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Fail => "fail",
            Self::Warn => "warn",
        }
    }
}

impl Values {
    /// The value of one metric; `None` where it was not measured, or is zero or no number, of which no ratio can be made.
    pub fn of(&self, metric: Metric) -> Option<f64> {
        let value = match metric {
            Metric::Throughput => self.throughput_per_s,
            Metric::CpuPerEvent => self.cpu_ns_per_event,
            Metric::PeakMemory => self.peak_memory_bytes,
            Metric::SteadyP99 => self.steady_p99_ns,
        };
        value.filter(|v| v.is_finite() && *v > 0.0)
    }
}

impl GateLook {
    /// What was concluded on a metric, if a rule names it.
    pub fn of(&self, metric: Metric) -> Option<&MetricLook> {
        self.metrics.iter().find(|m| m.metric == metric)
    }
}
