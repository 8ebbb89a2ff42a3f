//! The checks of truth in full, and what they found; control drains included.

use crate::units::count;
use crate::words;
use lanebench_result::{RunResult, Verification};

/// All checks of one configuration.
pub(super) struct Truth {
    pub(super) name: String,
    pub(super) lines: Vec<(&'static str, String)>,
}

/// The findings of one trial, and how many were left out of the record.
pub(crate) struct Findings {
    pub(crate) title: String,
    pub(crate) lines: Vec<String>,
    pub(crate) left_out: u64,
}

impl Findings {
    /// Those of one trial; `None` where nothing was found.
    pub(crate) fn of(title: String, v: &Verification) -> Option<Self> {
        (v.findings_total > 0 || !v.findings.is_empty()).then(|| Self {
            title,
            lines: v.findings.iter().map(words::finding).collect(),
            left_out: v.findings_total.saturating_sub(v.findings.len() as u64),
        })
    }
}

/// What a trial or a control drain is called, and its checks.
fn checked(result: &RunResult) -> impl Iterator<Item = (String, Option<u32>, &Verification)> {
    let trials = result
        .configurations
        .iter()
        .flat_map(|c| c.trials.iter().map(|t| (c.name.clone(), Some(t.round), &t.verification)));
    let control = result.control.iter().flat_map(|control| {
        let cost = words::control_cost(control);
        control.configurations.iter().flat_map(move |row| {
            let name = format!("{}, control at {cost}", row.name);
            row.verifications.iter().map(move |v| (name.clone(), None, v))
        })
    });
    trials.chain(control)
}

/// The counts by configuration, all rounds added up.
pub(super) fn truths(result: &RunResult) -> Vec<Truth> {
    let mut by_name: Vec<(String, Vec<&Verification>)> = Vec::new();
    for (name, _, verification) in checked(result) {
        match by_name.iter_mut().find(|(n, _)| *n == name) {
            Some((_, all)) => all.push(verification),
            None => by_name.push((name, vec![verification])),
        }
    }
    by_name
        .into_iter()
        .map(|(name, all)| Truth { name, lines: lines(&words::sum(all.into_iter())) })
        .collect()
}

fn lines(v: &Verification) -> Vec<(&'static str, String)> {
    let of = |part: u64, all: u64| format!("{} of {}", count(part), count(all));
    let mut lines = vec![
        ("acknowledged, of produced", of(v.acked, v.produced)),
        ("applied, of acknowledged", of(v.applied, v.acked)),
        ("lost, of acknowledged", of(v.lost, v.acked)),
        ("parked", count(v.parked)),
        ("dead-lettered", count(v.dead_lettered)),
        ("resent (new offset)", count(v.resent)),
        ("redelivered (same offset)", count(v.redelivered)),
        ("view mismatches, of views", of(v.view_mismatches, v.views_checked)),
    ];
    // Not counted in results of earlier versions.
    if v.writes_counted > 0 {
        lines.push(("writes of rows, by the database's own count", count(v.writes_counted)));
        lines.push(("contents compared from plan to log to row", count(v.contents_checked)));
        lines.push(("writes compared with the commit of their offset", count(v.offsets_checked)));
    }
    if let Some(api) = v.api {
        let asked = api.deliveries + api.histories;
        lines.push(("requests made again after a 503", count(api.retried)));
        lines.push(("answers of the API that were wrong, of asked", of(api.mismatches, asked)));
    }
    let place =
        |name: &'static str, key: &str| v.order_checks.get(key).map(|c| (name, of(c.violations, c.pairs)));
    lines.extend(place("order violations in the log, of pairs", "log"));
    lines.extend(place("order violations at the consumer", "consumer"));
    lines.extend(place("order violations in the row", "row"));
    lines
}

/// What was found, by trial; trials without a finding are left out.
pub(super) fn findings(result: &RunResult) -> Vec<Findings> {
    checked(result)
        .filter_map(|(name, round, v)| {
            Findings::of(round.map_or_else(|| name.clone(), |round| format!("{name}, round {round}")), v)
        })
        .collect()
}
