//! The rows of the main table, as text: one source for the terminal, the page and `summary.md`.

use std::collections::BTreeMap;

use crate::units::{NONE, count, counted, duration, number, ratio, spread, values, whole};
use crate::words;
use lanebench_result::{
    Configuration, Control, ControlRow, Distribution, Estimate, GrowthVerdict, PhaseKind, RunResult, Trial,
    Verdict, Verification, counting_rounds,
};

/// What stands beside a percentile of a phase whose backlog grew.
pub const GROWS: &str = "grows with duration";

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
    /// Sustained capacity, events/s, with its interval.
    pub sustained: Cell,
    /// Sustained capacity ÷ that of the first configuration, with its interval; of control rows, that of the drain.
    pub ratio: Cell,
    /// Throughput of the drain, events/s, with its interval.
    pub catch_up: Cell,
    /// Median response time of the steady phase: of all rounds merged, with the range of the rounds.
    pub p50: Cell,
    /// 99th percentile of the response time of the steady phase, in the same way.
    pub p99: Cell,
    /// Whether the response times say how long the phase was, since its backlog grew.
    pub grows: bool,
    /// Peak lag of the surge, records.
    pub peak_lag: Cell,
    /// Order violations, with the pairs checked: of the place with most of them.
    pub order: Cell,
    /// Events lost, with the events acknowledged.
    pub lost: Cell,
    /// Pairs checked: the denominator of `order` as a number.
    pub pairs: u64,
    /// Events acknowledged: the denominator of `lost` as a number.
    pub acked: u64,
    /// Repeats that were allowed: at a new offset, and the same offset again.
    pub repeats: Cell,
    /// What held the sustained phase back.
    pub bottleneck: Cell,
    /// Whether it was compared with the first configuration.
    pub compared: bool,
    /// Whether no number of it counts.
    pub void: bool,
    /// Whether any of its trials failed a check.
    pub failed: bool,
    /// Trials that failed one, and all of them.
    pub failed_of: (usize, usize),
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
    let order = words::worst_place(&sum);
    let compared = control.ratios.get(&row.name).filter(|_| !void);
    let missing = Cell::new(if void { "void" } else { NONE }, "");
    let nothing = || Cell::new(NONE, "");
    Row {
        name: row.name.clone(),
        lanes: format!("control: {}", words::control_cost(control)),
        rounds: rounds(checks.len(), failed),
        sustained: nothing(),
        catch_up: match &row.drain_per_s {
            Some(e) if !void => Cell::new(number(e.value), spread(e, number)),
            _ => missing.clone(),
        },
        ratio: match compared {
            _ if first => Cell::new("1", "baseline"),
            Some(e) => Cell::new(ratio(e.value), spread(e, number)),
            None => missing,
        },
        p50: nothing(),
        p99: nothing(),
        grows: false,
        peak_lag: nothing(),
        order: Cell::new(count(order.violations), format!("of {}", count(order.pairs))),
        lost: Cell::new(count(sum.lost), format!("of {}", count(sum.acked))),
        pairs: order.pairs,
        acked: sum.acked,
        repeats: repeats(&sum),
        bottleneck: nothing(),
        compared: compared.is_some(),
        void,
        failed: failed > 0,
        failed_of: (failed, checks.len()),
        control: true,
    }
}

/// Rounds that count, and how many a void trial took with it.
fn counted_rounds(all: usize, counting: usize) -> Cell {
    let left = all - counting;
    let detail = if left == 0 { String::new() } else { format!("{left} left out") };
    Cell::new(count(counting as u64), detail)
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
    let rounds = counting_rounds(&result.configurations);
    let counting: Vec<&Trial> = configuration.counting(&rounds).collect();
    let sum = words::totals(trials.iter());
    let order = words::worst_place(&sum);
    let missing = if void {
        Cell::new("void", "")
    } else {
        Cell::new(NONE, if trials.is_empty() { "no trial" } else { "" })
    };
    let summary = &configuration.summary;
    let estimate = |e: &Option<Estimate>, show: fn(f64) -> String| match e {
        Some(e) if !void => Cell::new(show(e.value), spread(e, show)),
        _ => missing.clone(),
    };
    let percentile =
        |of: fn(&Distribution) -> u64, rounds: &Option<Estimate>| match (&summary.response_time_ns, rounds) {
            (Some(merged), Some(e)) if !void => {
                let range = if e.n > 1 { values(e, duration) } else { "1 round".into() };
                let grew = grown(configuration);
                let detail = match grew {
                    _ if summary.grows => format!("{range}, {GROWS}"),
                    0 => range,
                    _ => format!("{range}, without {} that grew", counted(grew, "round", "rounds")),
                };
                Cell::new(duration(of(merged) as f64), detail)
            }
            _ => missing.clone(),
        };
    let of = |part: u64, all: u64| {
        if trials.is_empty() { missing.clone() } else { Cell::new(count(part), format!("of {}", count(all))) }
    };
    let peak_lag = match &summary.surge_max_lag_records {
        None if !void && !trials.is_empty() && result.warm_up.rates.surge.is_none() => {
            Cell::new(NONE, "no surge")
        }
        peak => estimate(peak, whole),
    };
    Row {
        name: configuration.name.clone(),
        lanes: lanes(configuration),
        rounds: counted_rounds(trials.len(), counting.len()),
        sustained: estimate(&summary.sustained_per_s, number),
        catch_up: estimate(&summary.drain_per_s, number),
        ratio: if first { Cell::new("1", "baseline") } else { ratio_cell(result, configuration, &missing) },
        p50: percentile(|d| d.p50, &summary.response_time_ns_p50),
        p99: percentile(|d| d.p99, &summary.response_time_ns_p99),
        grows: summary.grows && !void,
        peak_lag,
        order: of(order.violations, order.pairs),
        lost: of(sum.lost, sum.acked),
        pairs: order.pairs,
        acked: sum.acked,
        repeats: if trials.is_empty() { missing.clone() } else { repeats(&sum) },
        bottleneck: bottleneck(&counting).unwrap_or(Cell::new(NONE, "")),
        compared: !void && words::sustained_comparisons(result).any(|c| c.candidate == configuration.name),
        void,
        failed: failed > 0,
        failed_of: (failed, trials.len()),
        control: false,
    }
}

/// `3 partitions, 3 consumers`, with the mode where it is not the ordinary one.
pub fn lanes(configuration: &Configuration) -> String {
    let mode =
        if configuration.mode == "record" { String::new() } else { format!(", {}", configuration.mode) };
    let settings: String =
        configuration.settings.iter().map(|(flag, value)| format!(", {flag} {value}")).collect();
    format!(
        "{}, {}{mode}{settings}",
        counted(u64::from(configuration.partitions.unsigned_abs()), "partition", "partitions"),
        counted(u64::from(configuration.consumers), "consumer", "consumers")
    )
}

fn ratio_cell(result: &RunResult, configuration: &Configuration, missing: &Cell) -> Cell {
    words::sustained_comparisons(result).find(|c| c.candidate == configuration.name).map_or_else(
        || missing.clone(),
        |c| {
            let first = result.configurations.first().is_some_and(|first| first.name == c.baseline);
            let to = if first { String::new() } else { format!(", to {}", c.baseline) };
            Cell::new(ratio(c.ratio.value), format!("{}{to}", spread(&c.ratio, number)))
        },
    )
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

/// Rounds whose steady phase grew.
fn grown(configuration: &Configuration) -> u64 {
    let steady = configuration.trials.iter().filter_map(|t| t.phase(PhaseKind::Steady)?.grows);
    steady.filter(|growth| growth.verdict == GrowthVerdict::Grows).count() as u64
}

/// The bottleneck named in most rounds, and in how many where not in all: of the sustained phase or, where there is none, of the
/// drain.
fn bottleneck(trials: &[&Trial]) -> Option<Cell> {
    let kinds = [PhaseKind::Sustained, PhaseKind::Drain];
    let phases = trials.iter().filter_map(|t| kinds.iter().find_map(|kind| t.phase(*kind)));
    let mut named: BTreeMap<&str, usize> = BTreeMap::new();
    for phase in phases {
        *named.entry(&phase.bottleneck.name).or_default() += 1;
    }
    let all: usize = named.values().sum();
    let (name, times) = named.into_iter().max_by_key(|&(_, times)| times)?;
    Some(Cell::new(name, if times == all { String::new() } else { format!("{times} of {all} rounds") }))
}
