//! The rows of the gate's table, as text: one source for the terminal and for Markdown.

use super::words::{change, signed, tolerance, verdict_word};
use crate::units::{NONE, bytes, duration, number};
use lanebench_result::gate::{GateLook, GateRecord, GateRule, Metric, MetricLook};

/// One metric.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Row {
    /// In words.
    pub metric: &'static str,
    /// The baseline's geometric mean, with its unit.
    pub baseline: String,
    /// The candidate's.
    pub candidate: String,
    /// Candidate against baseline: `−9.1 %`.
    pub change: String,
    /// Its bounds: `−11.3 to −6.8 %`; empty where there are none.
    pub bounds: String,
    /// The change that is tolerated: `−6 %`.
    pub tolerance: String,
    /// What may be concluded, and whether it counts.
    pub verdict: String,
}

/// One row a rule, in their order, from the last look.
pub fn rows(record: &GateRecord) -> Vec<Row> {
    let look = record.looks.last();
    record.rules.iter().map(|rule| row(rule, look)).collect()
}

fn row(rule: &GateRule, look: Option<&GateLook>) -> Row {
    let found: Option<&MetricLook> = look.and_then(|look| look.of(rule.metric));
    let measured = found.and_then(|m| m.measured.as_ref());
    let shown = |of: Option<f64>| of.map_or(NONE.to_owned(), |value| show(rule.metric, value));
    let verdict = found.map_or(NONE, verdict_word);
    Row {
        metric: name(rule.metric),
        baseline: shown(measured.map(|m| m.baseline)),
        candidate: shown(measured.map(|m| m.candidate)),
        change: measured.map_or(NONE.to_owned(), |m| signed(m.ratio - 1.0)),
        bounds: measured.map_or(String::new(), |m| change(m.low - 1.0, m.high - 1.0)),
        tolerance: tolerance(rule),
        verdict: if rule.required { verdict.to_owned() } else { format!("{verdict} (advisory)") },
    }
}

/// A metric in words.
pub fn name(metric: Metric) -> &'static str {
    match metric {
        Metric::Throughput => "throughput",
        Metric::CpuPerEvent => "CPU per event",
        Metric::PeakMemory => "peak memory",
        Metric::SteadyP99 => "steady p99",
    }
}

/// A value of a metric with its unit.
fn show(metric: Metric, value: f64) -> String {
    match metric {
        Metric::Throughput => format!("{}/s", number(value)),
        Metric::CpuPerEvent | Metric::SteadyP99 => duration(value),
        Metric::PeakMemory => bytes(value.round() as u64),
    }
}
