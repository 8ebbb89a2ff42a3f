//! What surrounded the numbers, phase by phase, over the rounds: the load that was really offered, and what else went on.

use crate::units::{NONE, count, duration, number, percent, range};
use crate::words::NOT_MEASURED;
use lanebench_result::{Configuration, Phase, PhaseKind, RunResult, Trial, counting_rounds};

/// The kinds in the order of a trial.
const KINDS: [PhaseKind; 5] =
    [PhaseKind::WarmUp, PhaseKind::Drain, PhaseKind::Sustained, PhaseKind::Steady, PhaseKind::Surge];

/// One kind of phase of one configuration.
pub(super) struct PhaseRow {
    pub(super) configuration: String,
    pub(super) phase: &'static str,
    pub(super) values: [String; 7],
}

/// What the values are.
pub(super) const HEADINGS: [&str; 7] = [
    "sent, events/s",
    "planned, events/s",
    "sent late, p99",
    "group",
    "GC of the brokers; checkpoints, autovacuum",
    "cores busy; waiting for a CPU",
    "unexplained, an event; longest",
];

/// Every kind of phase that a configuration had.
pub(super) fn rows(result: &RunResult) -> Vec<PhaseRow> {
    let rounds = counting_rounds(&result.configurations);
    let of = |c: &Configuration| {
        let trials: Vec<&Trial> = c.counting(&rounds).collect();
        KINDS.into_iter().filter_map(|kind| row(&c.name, &trials, kind)).collect::<Vec<_>>()
    };
    result.configurations.iter().flat_map(of).collect()
}

fn row(name: &str, trials: &[&Trial], kind: PhaseKind) -> Option<PhaseRow> {
    let phases: Vec<&Phase> = trials.iter().filter_map(|t| t.phase(kind)).collect();
    let first = phases.first()?;
    let over = |of: fn(&Phase) -> Option<f64>, show: fn(f64) -> String| {
        let values: Vec<f64> = phases.iter().filter_map(|phase| of(phase)).collect();
        let (low, high) = (
            values.iter().copied().fold(f64::INFINITY, f64::min),
            values.iter().copied().fold(f64::NEG_INFINITY, f64::max),
        );
        (!values.is_empty()).then(|| range(low, high, show))
    };
    let late = |phase: &Phase| phase.planned_per_s.map(|_| phase.stages_ns.send_delay.p99 as f64);
    let none = || NONE.to_owned();
    let busy = over(|phase| host(phase).map(|host| host.cores_busy), number);
    let waiting = over(|phase| phase.noise.cpu_pressure, percent);
    let unexplained = over(|phase| phase.unexplained.map(|time| time.mean_ns), duration);
    let longest = over(|phase| phase.unexplained.map(|time| time.longest_ns as f64), duration);
    let or = |said: Option<String>| said.unwrap_or_else(|| NOT_MEASURED.into());
    Some(PhaseRow {
        configuration: name.to_owned(),
        phase: kind.as_str(),
        values: [
            over(|phase| phase.achieved_per_s, number).unwrap_or_else(none),
            first.planned_per_s.map_or_else(none, number),
            over(late, duration).unwrap_or_else(none),
            group(&phases),
            pauses(&phases),
            format!("{}; {}", or(busy), or(waiting)),
            or(unexplained.zip(longest).map(|(mean, longest)| format!("{mean}; {longest}"))),
        ],
    })
}

fn host(phase: &Phase) -> Option<&lanebench_result::Resource> {
    phase.resources.iter().find(|used| used.name == "host")
}

/// What the group's members went through, all rounds added up.
fn group(phases: &[&Phase]) -> String {
    let sum = |of: fn(&Phase) -> u64| phases.iter().map(|phase| of(phase)).sum::<u64>();
    let counts = [
        ("rebalances", sum(|p| p.group.rebalances)),
        ("lost memberships", sum(|p| p.group.lost)),
        ("retries", sum(|p| p.group.retries)),
    ];
    let said: Vec<String> =
        counts.iter().filter(|(_, n)| *n > 0).map(|(what, n)| format!("{} {what}", count(*n))).collect();
    if said.is_empty() { "still".into() } else { said.join(", ") }
}

/// What the components did by themselves, all rounds added up.
fn pauses(phases: &[&Phase]) -> String {
    let sum = |of: fn(&Phase) -> Option<f64>| phases.iter().map(|phase| of(phase)).sum::<Option<f64>>();
    let gc = sum(|p| p.pauses.gc.map(|n| n as f64)).zip(sum(|p| p.pauses.gc_ms));
    let store =
        sum(|p| p.pauses.checkpoints.map(|n| n as f64)).zip(sum(|p| p.pauses.autovacuums.map(|n| n as f64)));
    if gc.is_none() && store.is_none() {
        return NOT_MEASURED.to_owned();
    }
    format!(
        "{}; {}",
        gc.map_or_else(
            || NOT_MEASURED.to_owned(),
            |(n, ms)| format!("{} in {}", count(n as u64), duration(ms * 1e6))
        ),
        store.map_or_else(
            || NOT_MEASURED.to_owned(),
            |(checkpoints, vacuums)| format!("{}, {}", count(checkpoints as u64), count(vacuums as u64))
        )
    )
}
