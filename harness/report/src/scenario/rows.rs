//! The rows of a scenario's table, as text.

use crate::table::Cell;
use crate::units::{NONE, count, duration, number};
use crate::words::what_failed;
use lanebench_result::scenario::ScenarioRun;
use lanebench_result::{FaultRecord, FaultSpan, PartitionShare, Phase, PhaseKind, Trial};

/// One trial of one configuration.
pub(crate) struct Row {
    /// Such as `3p3c`.
    pub(crate) configuration: String,
    /// Such as `trial 1`.
    pub(crate) trial: String,
    /// Whether a check of truth failed in it.
    pub(crate) failed: bool,
    /// One a heading.
    pub(crate) values: [Cell; HEADINGS.len()],
}

/// What the values are.
pub(crate) const HEADINGS: [&str; 10] = [
    "silent by partition, s",
    "answered again after",
    "reassigned after",
    "drained after",
    "redelivered",
    "resent",
    "parked",
    "dead-lettered",
    "lost",
    "checks of truth",
];

/// A row a trial, configuration by configuration.
pub(super) fn rows(run: &ScenarioRun) -> Vec<Row> {
    run.configurations.iter().flat_map(|c| c.trials.iter().map(|trial| row(&c.name, trial))).collect()
}

fn row(configuration: &str, trial: &Trial) -> Row {
    let phase = trial.phase(PhaseKind::Scenario);
    let v = &trial.verification;
    Row {
        configuration: configuration.to_owned(),
        trial: format!("trial {}", trial.round),
        failed: !v.passed,
        values: [
            plain(phase.map_or_else(|| NONE.into(), silences)),
            plain(after(phase, |span| Some(span.back_ms), NONE)),
            Cell::new(after(phase, |span| span.reassigned_ms, NONE), noticed(phase)),
            plain(after(phase, |span| span.drained_ms, "not by the end")),
            plain(count(v.redelivered)),
            plain(count(v.resent)),
            plain(count(v.parked)),
            plain(count(v.dead_lettered)),
            Cell::new(count(v.lost), format!("of {}", count(v.acked))),
            plain(if v.passed { "held".into() } else { what_failed(v) }),
        ],
    }
}

/// A value that needs nothing beside it.
fn plain(value: String) -> Cell {
    Cell::new(value, "")
}

/// Each partition's longest silence, in s.
fn silences(phase: &Phase) -> String {
    let of = |p: &PartitionShare| {
        let lasted = p.silence.map_or_else(|| NONE.into(), |silence| number(silence.lasted_ms / 1e3));
        // The two stay on one line.
        format!("p{}\u{a0}{lasted}", p.id)
    };
    let said: Vec<String> = phase.partitions.iter().map(of).collect();
    if said.is_empty() { NONE.into() } else { said.join(", ") }
}

/// How long after each fault began something was so; `missing` where it never was.
fn after(phase: Option<&Phase>, of: fn(&FaultSpan) -> Option<f64>, missing: &str) -> String {
    let spans = phase.into_iter().flat_map(spans);
    let said: Vec<String> = spans
        .map(|(_, span)| of(span).map_or_else(|| missing.into(), |ms| duration((ms - span.began_ms) * 1e6)))
        .collect();
    if said.is_empty() { NONE.into() } else { said.join("; ") }
}

/// How long it took until the group knew that it had to; nothing where none told.
fn noticed(phase: Option<&Phase>) -> String {
    let told = phase.into_iter().flat_map(spans).any(|(_, span)| span.noticed_ms.is_some());
    if told { format!("noticed after {}", after(phase, |span| span.noticed_ms, NONE)) } else { String::new() }
}

/// What was broken in a phase, and when.
pub(super) fn spans(phase: &Phase) -> impl Iterator<Item = (&FaultRecord, &FaultSpan)> {
    phase.faults.iter().filter_map(|fault| Some((fault, fault.span.as_ref()?)))
}

/// Whether partitions were added, rather than something broken.
pub(super) fn adds(fault: &FaultRecord) -> bool {
    fault.target == "topic"
}

/// Whether it was done at once, with nothing to mend.
pub(super) fn at_once(fault: &FaultRecord) -> bool {
    adds(fault) || fault.target == "order" || matches!(fault.action.as_str(), "cut" | "move")
}

/// `kill consumer 0`; `add partitions`.
pub(super) fn named(fault: &FaultRecord) -> String {
    match fault.action.as_str() {
        "add" if adds(fault) => "add partitions".into(),
        "drain-and-add" if adds(fault) => "drain, then add partitions".into(),
        "use-up" => format!("use up the connections of {}", fault.target),
        "slow" => {
            let by = fault.what.rsplit_once(", by ").map_or_else(String::new, |(_, by)| format!(" by {by}"));
            format!("slow {}{by}", fault.target)
        }
        "cut" => format!("cut the connections of {}", fault.target),
        "refuse" => format!("refuse connections to {}", fault.target),
        "poison" => "send an event that can't be stored".into(),
        "duplicate" => "send an event twice".into(),
        "reorder" => "send two events in the wrong order".into(),
        "loss" => "delete a row".into(),
        "stale-view" => "set a status back".into(),
        action => format!("{action} {}", fault.target),
    }
}

/// As [`named`], and what that was at the moment: `kill leader 0 (Kafka node 2)`, `add partitions (1 to 3 partitions)`.
pub(super) fn fault(fault: &FaultRecord) -> String {
    let what = if fault.what.is_empty() || fault.what == fault.target {
        String::new()
    } else {
        format!(" ({})", fault.what)
    };
    named(fault) + &what
}
