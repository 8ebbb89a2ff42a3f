//! The rows of the main table, as text: one source for the terminal, the page and `summary.md`.

use std::collections::BTreeMap;

use crate::units::{NONE, count, counted, duration, number, ratio, spread, whole};
use crate::words;
use lanebench_result::{Configuration, Control, ControlRow, Estimate, RunResult, Verdict, Verification};

/// A value and what qualifies it: its range, its denominator.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Cell {
    /// The value.
    pub value: String,
    /// Its range or denominator; may be empty.
    pub detail: String,
}

impl Cell {
    pub(super) fn new(value: impl Into<String>, detail: impl Into<String>) -> Self {
        Self { value: value.into(), detail: detail.into() }
    }

    /// Value and detail in one line: `5,432 (5,210–5,664)`.
    pub fn inline(&self) -> String {
        if self.detail.is_empty() { self.value.clone() } else { format!("{} ({})", self.value, self.detail) }
    }

    /// Value and detail one below the other.
    pub fn stacked(&self) -> String {
        if self.detail.is_empty() { self.value.clone() } else { format!("{}\n{}", self.value, self.detail) }
    }
}

/// One configuration in the main table.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Row {
    /// Such as `3p3c`.
    pub name: String,
    /// Such as `3 partitions, 3 consumers`.
    pub lanes: String,
    /// Rounds that count, and how many are void.
    pub rounds: Cell,
    /// Drain throughput, events/s, with its interval.
    pub throughput: Cell,
    /// Throughput ÷ that of the first configuration, with its interval.
    pub ratio: Cell,
    /// Median response time of the steady phase.
    pub p50: Cell,
    /// 99th percentile of the response time of the steady phase.
    pub p99: Cell,
    /// Peak lag of the surge, records.
    pub peak_lag: Cell,
    /// Order violations, with the pairs checked.
    pub order: Cell,
    /// Events lost, with the events acknowledged.
    pub lost: Cell,
    /// Pairs checked: the denominator of `order` as a number.
    pub pairs: u64,
    /// Events acknowledged: the denominator of `lost` as a number.
    pub acked: u64,
    /// Repeats that were allowed: at a new offset, and the same offset again.
    pub repeats: Cell,
    /// What held the drain back.
    pub bottleneck: Cell,
    /// Whether it was compared with the first configuration.
    pub compared: bool,
    /// Whether no number of it counts.
    pub void: bool,
    /// Whether any of its trials failed a check.
    pub failed: bool,
    /// Whether it stands for control drains, under another modelled cost.
    pub control: bool,
}

/// One row a configuration, in the result's order.
pub fn rows(result: &RunResult) -> Vec<Row> {
    result.configurations.iter().enumerate().map(|(i, c)| row(result, c, i == 0)).collect()
}

/// The rows of [`rows`], and below them those of the control drains, if there were any.
pub fn rows_and_control(result: &RunResult) -> Vec<Row> {
    let mut rows = rows(result);
    if let Some(control) = &result.control {
        rows.extend(control.configurations.iter().enumerate().map(|(i, c)| control_row(control, c, i == 0)));
    }
    rows
}

/// One configuration's control drains: throughput and truth; nothing else was measured.
fn control_row(control: &Control, row: &ControlRow, first: bool) -> Row {
    let checks = &row.verifications;
    let failed = checks.iter().filter(|v| !v.passed).count();
    let void = failed > 0 && failed == checks.len();
    let sum = words::sum(checks.iter());
    let compared = control.comparisons.iter().find(|c| c.candidate == row.name && !void);
    let missing = Cell::new(if void { "void" } else { NONE }, "");
    let nothing = || Cell::new(NONE, "");
    Row {
        name: row.name.clone(),
        lanes: format!("control: {}", words::control_cost(control)),
        rounds: rounds(checks.len(), failed),
        throughput: match &row.throughput_per_s {
            Some(e) if !void => Cell::new(number(e.value), spread(e, number)),
            _ => missing.clone(),
        },
        ratio: match compared {
            _ if first => Cell::new("1", "baseline"),
            Some(c) => Cell::new(ratio(c.ratio.value), spread(&c.ratio, number)),
            None => missing,
        },
        p50: nothing(),
        p99: nothing(),
        peak_lag: nothing(),
        order: Cell::new(count(sum.order_violations), format!("of {}", count(sum.order_pairs_checked))),
        lost: Cell::new(count(sum.lost), format!("of {}", count(sum.acked))),
        pairs: sum.order_pairs_checked,
        acked: sum.acked,
        repeats: repeats(&sum),
        bottleneck: nothing(),
        compared: compared.is_some(),
        void,
        failed: failed > 0,
        control: true,
    }
}

/// Drains that count, and how many are void.
fn rounds(all: usize, failed: usize) -> Cell {
    let void = if failed == 0 { String::new() } else { format!("{failed} void") };
    Cell::new(count((all - failed) as u64), void)
}

fn repeats(sum: &Verification) -> Cell {
    Cell::new(format!("{} resent", count(sum.resent)), format!("{} redelivered", count(sum.redelivered)))
}

fn row(result: &RunResult, configuration: &Configuration, first: bool) -> Row {
    let trials = &configuration.trials;
    let failed = trials.iter().filter(|t| !t.verification.passed).count();
    let void = failed > 0 && failed == trials.len();
    let sum = words::totals(trials.iter());
    let missing = if void {
        Cell::new("void", "")
    } else {
        Cell::new(NONE, if trials.is_empty() { "no trial" } else { "" })
    };
    let estimate = |e: &Option<Estimate>, show: fn(f64) -> String| match e {
        Some(e) if !void => Cell::new(show(e.value), spread(e, show)),
        _ => missing.clone(),
    };
    let of = |part: u64, all: u64| {
        if trials.is_empty() { missing.clone() } else { Cell::new(count(part), format!("of {}", count(all))) }
    };
    let peak_lag = match &configuration.summary.surge_max_lag_records {
        None if !void && !trials.is_empty() && result.workload.surge.is_none() => Cell::new(NONE, "no surge"),
        peak => estimate(peak, whole),
    };
    Row {
        name: configuration.name.clone(),
        lanes: lanes(configuration),
        rounds: rounds(trials.len(), failed),
        throughput: estimate(&configuration.summary.throughput_per_s, number),
        ratio: if first { Cell::new("1", "baseline") } else { ratio_cell(result, configuration, &missing) },
        p50: estimate(&configuration.summary.response_time_ns_p50, duration),
        p99: estimate(&configuration.summary.response_time_ns_p99, duration),
        peak_lag,
        order: of(sum.order_violations, sum.order_pairs_checked),
        lost: of(sum.lost, sum.acked),
        pairs: sum.order_pairs_checked,
        acked: sum.acked,
        repeats: if trials.is_empty() { missing.clone() } else { repeats(&sum) },
        bottleneck: bottleneck(configuration).unwrap_or(Cell::new(NONE, "")),
        compared: !void && words::throughput_comparisons(result).any(|c| c.candidate == configuration.name),
        void,
        failed: failed > 0,
        control: false,
    }
}

/// `3 partitions, 3 consumers`, with the mode where it is not the ordinary one.
pub fn lanes(configuration: &Configuration) -> String {
    let mode =
        if configuration.mode == "record" { String::new() } else { format!(", {}", configuration.mode) };
    format!(
        "{}, {}{mode}",
        counted(u64::from(configuration.partitions.unsigned_abs()), "partition", "partitions"),
        counted(u64::from(configuration.consumers), "consumer", "consumers")
    )
}

fn ratio_cell(result: &RunResult, configuration: &Configuration, missing: &Cell) -> Cell {
    words::throughput_comparisons(result)
        .find(|c| c.candidate == configuration.name)
        .map_or_else(|| missing.clone(), |c| Cell::new(ratio(c.ratio.value), spread(&c.ratio, number)))
}

/// A word for a verdict.
pub fn verdict_word(verdict: Verdict) -> &'static str {
    match verdict {
        Verdict::Faster => "faster",
        Verdict::Slower => "slower",
        Verdict::NotDistinguishable => "not distinguishable",
        Verdict::TooFewRounds => "too few rounds",
    }
}

/// The bottleneck named in most rounds, and in how many where not in all.
fn bottleneck(configuration: &Configuration) -> Option<Cell> {
    let mut named: BTreeMap<&str, usize> = BTreeMap::new();
    for trial in &configuration.trials {
        *named.entry(&trial.bottleneck.name).or_default() += 1;
    }
    let (name, times) = named.into_iter().max_by_key(|&(_, times)| times)?;
    let all = configuration.trials.len();
    Some(Cell::new(name, if times == all { String::new() } else { format!("{times} of {all}") }))
}
