//! Two saved results beside each other: the settings that differ first, then each configuration's estimates.
//!
//! Two runs on two occasions are no rounds of one: whatever changed on the machine in between is in the difference.
//! So there is no interval and no verdict here; those come from interleaved rounds.

use serde::Serialize;

use crate::ran::ran;
use crate::units::{NONE, counted, duration, number, ratio, spread, whole};
use crate::words;
use lanebench_result::{Estimate, RunResult};

mod page;
mod print;

/// What every output says of the ratios.
const WARNING: &str = "These are two runs on two occasions, not interleaved rounds of one. Whatever changed on the \
     machine in between is in the difference, so B ÷ A has no interval and carries no verdict. For a verdict, measure \
     both in one run.";

/// Things that differ in any two runs, and are no settings.
const OCCASION: [&str; 4] = ["started", "load", "noise", "warm-up"];

/// Rates and lengths further apart than this part are different ones.
const NEAR: f64 = 0.01;

/// Two results beside each other.
#[derive(Clone, Debug, Serialize)]
pub struct Pair {
    /// The first result.
    pub a: Side,
    /// The second result.
    pub b: Side,
    /// What must be known before the numbers are read.
    pub warnings: Vec<String>,
    /// Settings that differ.
    pub differ: Vec<Setting>,
    /// How many settings are the same.
    pub same: usize,
    /// The numbers, in the order of the first result's configurations.
    pub rows: Vec<PairRow>,
}

/// Where one result comes from.
#[derive(Clone, Debug, Serialize)]
pub struct Side {
    /// Its file.
    pub file: String,
    /// UTC, RFC 3339.
    pub started_at: String,
    /// Whether every check of truth held.
    pub passed: bool,
    /// Its own verdict.
    pub verdict: String,
}

/// A setting that differs.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Setting {
    /// Its name.
    pub name: String,
    /// In the first result.
    pub a: String,
    /// In the second.
    pub b: String,
}

/// One metric of one configuration.
#[derive(Clone, Debug, Serialize)]
pub struct PairRow {
    /// Such as `3p3c`.
    pub configuration: String,
    /// Such as `sustained_per_s`.
    pub metric: String,
    /// The first result's estimate.
    pub a: Option<Estimate>,
    /// The second's.
    pub b: Option<Estimate>,
    /// Why B ÷ A would mean nothing, where it would.
    pub incomparable: Option<&'static str>,
    #[serde(skip)]
    kind: Metric,
}

/// What a metric is and how it is written.
#[derive(Clone, Copy, Debug)]
struct Metric {
    name: &'static str,
    title: &'static str,
    show: fn(f64) -> String,
    /// What must be the same in both runs for a comparison to mean anything.
    needs: Needs,
    of: fn(&RunResult, &str) -> Option<Estimate>,
}

/// What a metric depends on besides the system.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Needs {
    Nothing,
    /// Percentiles are compared at one absolute rate only.
    SteadyRate,
    /// A higher or longer peak leaves a larger lag.
    Surge,
}

const METRICS: [Metric; 6] = [
    Metric {
        name: "sustained_per_s",
        title: "sustained, events/s",
        show: number,
        needs: Needs::Nothing,
        of: |r, name| summary(r, name)?.sustained_per_s.clone(),
    },
    Metric {
        name: "drain_per_s",
        title: "catch-up, events/s",
        show: number,
        needs: Needs::Nothing,
        of: |r, name| summary(r, name)?.drain_per_s.clone(),
    },
    Metric {
        name: "control_drain_per_s",
        title: "catch-up of the control, events/s",
        show: number,
        needs: Needs::Nothing,
        of: |r, name| {
            let rows = &r.control.as_ref()?.configurations;
            rows.iter().find(|c| c.name == name)?.drain_per_s.clone()
        },
    },
    Metric {
        name: "response_time_ns_p50",
        title: "response time, p50 (geometric mean of the rounds)",
        show: duration,
        needs: Needs::SteadyRate,
        of: |r, name| summary(r, name)?.response_time_ns_p50.clone(),
    },
    Metric {
        name: "response_time_ns_p99",
        title: "response time, p99 (geometric mean of the rounds)",
        show: duration,
        needs: Needs::SteadyRate,
        of: |r, name| summary(r, name)?.response_time_ns_p99.clone(),
    },
    Metric {
        name: "surge_max_lag_records",
        title: "peak lag of the surge, records",
        show: whole,
        needs: Needs::Surge,
        of: |r, name| summary(r, name)?.surge_max_lag_records.clone(),
    },
];

fn summary<'a>(result: &'a RunResult, name: &str) -> Option<&'a lanebench_result::Summary> {
    result.configurations.iter().find(|c| c.name == name).map(|c| &c.summary)
}

impl Pair {
    /// Lays two results, each with its file's name, beside each other.
    pub fn of((a_file, a): (&str, &RunResult), (b_file, b): (&str, &RunResult)) -> Self {
        let (differ, same) = settings(a, b);
        Self {
            a: Side::of(a_file, a),
            b: Side::of(b_file, b),
            warnings: warnings(a, b),
            differ,
            same,
            rows: rows(a, b),
        }
    }
}

impl Side {
    fn of(file: &str, result: &RunResult) -> Self {
        Self {
            file: file.into(),
            started_at: result.started_at.clone(),
            passed: result.passed,
            verdict: words::headline(result).text,
        }
    }
}

fn settings(a: &RunResult, b: &RunResult) -> (Vec<Setting>, usize) {
    let mut differ = Vec::new();
    let mut same = 0;
    let named =
        |r: &RunResult| r.configurations.iter().map(|c| c.name.as_str()).collect::<Vec<_>>().join(", ");
    let configurations = ("configurations", named(a), named(b));
    let others = ran(a).into_iter().zip(ran(b)).map(|((name, a), (_, b))| (name, a, b));
    for (name, a, b) in std::iter::once(configurations).chain(others) {
        match a == b {
            _ if OCCASION.contains(&name) => {}
            true => same += 1,
            false => differ.push(Setting { name: name.into(), a, b }),
        }
    }
    (differ, same)
}

fn warnings(a: &RunResult, b: &RunResult) -> Vec<String> {
    let mut warnings = vec![WARNING.to_owned()];
    for (name, result) in [("A", a), ("B", b)] {
        if let Some(said) = words::demonstration_in_short(result) {
            warnings.push(format!("{name}: {said}"));
        }
        if !result.passed {
            warnings.push(format!("{name}: a check of truth failed, so its numbers don't count."));
        }
        if !result.complete {
            warnings.push(format!("{name}: the run was interrupted."));
        }
    }
    if !same_rate(a, b) {
        warnings.push(format!(
            "Response times were taken at {} and at {} events/s, so they can't be compared.",
            number(a.warm_up.rates.steady_per_s),
            number(b.warm_up.rates.steady_per_s)
        ));
    }
    if !same_surge(a, b) && a.warm_up.rates.surge.is_some() && b.warm_up.rates.surge.is_some() {
        warnings.push("The surges were not the same, so their peaks of lag can't be compared.".into());
    }
    warnings
}

/// Whether both runs offered the same rate in the steady phase.
fn same_rate(a: &RunResult, b: &RunResult) -> bool {
    near(a.warm_up.rates.steady_per_s, b.warm_up.rates.steady_per_s)
}

/// Whether both runs had the same surge.
fn same_surge(a: &RunResult, b: &RunResult) -> bool {
    match (&a.warm_up.rates.surge, &b.warm_up.rates.surge) {
        (Some(a), Some(b)) => [
            (a.base_per_s, b.base_per_s),
            (a.peak_per_s, b.peak_per_s),
            (a.base_s, b.base_s),
            (a.peak_s, b.peak_s),
        ]
        .into_iter()
        .all(|(a, b)| near(a, b)),
        _ => false,
    }
}

fn near(a: f64, b: f64) -> bool {
    (a - b).abs() <= NEAR * a.max(b)
}

/// Every metric that either result has, by configuration: those of A in its order, then those that only B has.
fn rows(a: &RunResult, b: &RunResult) -> Vec<PairRow> {
    let mut names: Vec<&str> = a.configurations.iter().map(|c| c.name.as_str()).collect();
    for c in &b.configurations {
        if !names.contains(&c.name.as_str()) {
            names.push(&c.name);
        }
    }
    let (rate, surge) = (same_rate(a, b), same_surge(a, b));
    let rates = [&a.warm_up.rates, &b.warm_up.rates];
    let enough = rates.iter().all(|rates| rates.has_enough_events());
    let long = near(rates[0].steady_events(), rates[1].steady_events());
    let grows = |name: &str| [a, b].into_iter().filter_map(|r| summary(r, name)).any(|s| s.grows);
    let incomparable = |name: &str, needs| match needs {
        Needs::SteadyRate if !rate => Some("other rate"),
        Needs::SteadyRate if !enough => Some("under 3,000 events"),
        Needs::SteadyRate if !long => Some("other length"),
        Needs::SteadyRate if grows(name) => Some("grows"),
        Needs::Surge if !surge => Some("other surge"),
        _ => None,
    };
    let mut rows = Vec::new();
    for name in names {
        for kind in METRICS {
            let (of_a, of_b) = ((kind.of)(a, name), (kind.of)(b, name));
            if of_a.is_some() || of_b.is_some() {
                rows.push(PairRow {
                    configuration: name.into(),
                    metric: kind.name.into(),
                    a: of_a,
                    b: of_b,
                    incomparable: incomparable(name, kind.needs),
                    kind,
                });
            }
        }
    }
    rows
}

impl PairRow {
    /// What the metric is, with its unit.
    fn title(&self) -> &'static str {
        self.kind.title
    }

    /// An estimate with its range and rounds, on two lines.
    fn shown(&self, estimate: Option<&Estimate>) -> (String, String) {
        match estimate {
            Some(e) if e.n < 2 => ((self.kind.show)(e.value), counted(e.n as u64, "round", "rounds")),
            Some(e) => {
                ((self.kind.show)(e.value), format!("{}, n\u{a0}=\u{a0}{}", spread(e, self.kind.show), e.n))
            }
            None => (NONE.into(), String::new()),
        }
    }

    /// The quotient of the two values, where it means something.
    fn quotient(&self) -> String {
        match (&self.a, &self.b) {
            (Some(_), Some(_)) if self.incomparable.is_some() => self.incomparable.unwrap_or_default().into(),
            (Some(a), Some(b)) if a.value != 0.0 => ratio(b.value / a.value),
            _ => NONE.into(),
        }
    }
}
