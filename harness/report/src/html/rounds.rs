//! Every round's values, so that none hides behind an estimate.

use crate::table::GROWS;
use crate::units::{NONE, duration, number};
use lanebench_result::{Distribution, GrowthVerdict, Phase, PhaseKind, RunResult, Trial};

/// One trial, in the order in which it was run.
pub(super) struct Round {
    pub(super) name: String,
    pub(super) void: bool,
    pub(super) values: [String; 6],
}

/// What the values are.
pub(super) const HEADINGS: [&str; 6] = [
    "sustained, events/s",
    "catch-up, events/s",
    "response p50",
    "response p99",
    "sent, of planned",
    "surge",
];

/// Round by round, each in the order of its trials.
pub(super) fn rows(result: &RunResult) -> Vec<Round> {
    let mut trials: Vec<(&str, &Trial)> = result
        .configurations
        .iter()
        .flat_map(|c| c.trials.iter().map(|trial| (c.name.as_str(), trial)))
        .collect();
    trials.sort_by_key(|(_, trial)| (trial.round, trial.position));
    trials.into_iter().map(|(name, trial)| round(name, trial)).collect()
}

fn round(name: &str, trial: &Trial) -> Round {
    let rate =
        |kind| trial.phase(kind).map_or_else(|| NONE.to_owned(), |phase| number(phase.throughput_per_s));
    let steady = trial.phase(PhaseKind::Steady);
    let percentile = |of: fn(&Distribution) -> u64| response(steady, of).unwrap_or_else(|| NONE.into());
    Round {
        name: format!("{}: {name}", trial.round),
        void: !trial.verification.passed,
        values: [
            rate(PhaseKind::Sustained),
            rate(PhaseKind::Drain),
            percentile(|d| d.p50),
            percentile(|d| d.p99),
            steady.and_then(kept).unwrap_or_else(|| NONE.into()),
            trial
                .phase(PhaseKind::Surge)
                .and_then(|phase| phase.peak.as_ref())
                .map_or(NONE, |peak| peak.shape.as_str())
                .to_owned(),
        ],
    }
}

/// A percentile of a phase's response time, marked where its backlog grew.
fn response(phase: Option<&Phase>, of: fn(&Distribution) -> u64) -> Option<String> {
    let phase = phase?;
    let value = duration(of(phase.response_time_ns.as_ref()?) as f64);
    let grows = phase.grows.is_some_and(|growth| growth.verdict == GrowthVerdict::Grows);
    Some(if grows { format!("{value}, {GROWS}") } else { value })
}

/// Achieved and planned rate of an open loop.
fn kept(phase: &Phase) -> Option<String> {
    Some(format!("{} of {}", number(phase.achieved_per_s?), number(phase.planned_per_s?)))
}
