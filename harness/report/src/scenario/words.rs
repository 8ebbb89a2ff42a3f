//! What scenarios say in plain words.

use lanebench_result::scenario::{OfferedScenario, ScenarioConfiguration, ScenarioRecord, ScenarioRun};
use lanebench_result::{PartitionShare, Phase, PhaseKind, Trial};

use super::rows::{adds, at_once, named, spans};
use crate::units::{count, counted, duration, number, percent, range, tick};
use crate::words::finding;

/// A partition that was silent for less than this, in ms, went on: a busy machine comes to that, too.
const SILENT_FROM_MS: f64 = 1_000.0;

/// What is that late before anything broke is offered too much.
const BEHIND_FROM_NS: u64 = 1_000_000_000;

/// What stands below the tables.
pub const NOTE: &str = "Silent: the longest stretch of the whole load in which an event of a partition was due and none became visible. Answered again, reassigned \
     and drained count from when the fault began; of several faults there is one value each. Drained: when an event was last over 0.2 s late.";

/// What became of a configuration: how much of it was silent, for how long, and whether it kept up at all.
pub fn verdict(configuration: &ScenarioConfiguration) -> String {
    let behind = configuration.trials.iter().filter_map(phase).filter_map(behind_ns).max();
    let said = silence(configuration) + &dead_lettered(configuration);
    if let Some(moved) = moved(configuration) {
        return format!("{said} {moved}"); // it is meant to be behind
    }
    match behind {
        Some(ns) if ns >= BEHIND_FROM_NS => {
            format!("{said} It was {} behind before anything broke: offer less.", duration(ns as f64))
        }
        _ => said,
    }
}

/// How many events were dead-lettered, if any were.
fn dead_lettered(configuration: &ScenarioConfiguration) -> String {
    let letters = configuration.trials.iter().map(|trial| trial.verification.dead_lettered).sum();
    match letters {
        0 => String::new(),
        1 => " One event was dead-lettered.".into(),
        events => format!(" {} events were dead-lettered.", count(events)),
    }
}

/// Where partitions were added, what became of the orders that moved.
fn moved(configuration: &ScenarioConfiguration) -> Option<String> {
    let is_of = |trial: &&Trial| phase(trial).is_some_and(|phase| spans(phase).any(|(fault, _)| adds(fault)));
    let trials: Vec<&Trial> = configuration.trials.iter().filter(is_of).collect();
    trials.first()?;
    let sum = |of: fn(&Trial) -> u64| trials.iter().map(|trial| of(trial)).sum::<u64>();
    let moved = counted(sum(|trial| trial.verification.orders_moved), "order", "orders");
    let overtook = sum(|trial| trial.verification.order_checks.get("consumer").map_or(0, |c| c.violations));
    let parked = sum(|trial| trial.verification.parked_meanwhile);
    let overtook = match overtook {
        0 => "no event was taken in hand before its predecessor".to_owned(),
        1 => "once an event was taken in hand before its predecessor".into(),
        times => format!("{} times an event was taken in hand before its predecessor", count(times)),
    };
    let parked = match parked {
        0 => String::new(),
        1 => ", and 1 event was parked until its predecessor came".into(),
        events => format!(", and {} events were parked until their predecessors came", count(events)),
    };
    let all = if trials.len() > 1 { "In all trials: " } else { "" };
    Some(format!("{all}{moved} went on in another partition; {overtook}{parked}."))
}

/// Before anything broke, how long the oldest event of any partition had been due at the last look.
fn behind_ns(phase: &Phase) -> Option<u64> {
    let began_ms = spans(phase).map(|(_, span)| span.began_ms).reduce(f64::min)?;
    let before = phase.lag.series.iter().filter(|sample| sample.t_ms < began_ms);
    let last_ms = before.clone().map(|sample| sample.t_ms).reduce(f64::max)?;
    before.filter(|sample| sample.t_ms == last_ms).map(|sample| sample.ns).max()
}

fn silence(configuration: &ScenarioConfiguration) -> String {
    let ScenarioConfiguration { name, trials, .. } = configuration;
    let phases: Vec<&Phase> = trials.iter().filter_map(phase).collect();
    if phases.is_empty() {
        return format!("{name}: no trial was finished.");
    }
    let partitions = phases.iter().map(|phase| phase.partitions.len()).max().unwrap_or(0);
    let longest = over(phases.iter().map(|phase| longest_ms(phase)));
    let counts = over(phases.iter().map(|phase| silent(phase).count() as f64));
    if counts.1 == 0.0 {
        return format!("{name}: no partition was silent for a second; the longest {}.", in_words(longest));
    }
    let share = over(phases.iter().map(|phase| silent(phase).map(|part| part.share).sum()));
    let all = partitions > 1 && counts.0 == partitions as f64;
    let of = match (all, partitions) {
        (true, partitions) => format!("all {partitions} partitions"),
        (false, 1) => "its only partition".into(),
        (false, partitions) => format!("{} of {partitions} partitions", range(counts.0, counts.1, tick)),
    };
    let were = if counts.1 > 1.0 { "were" } else { "was" };
    let share = range(share.0, share.1, percent);
    format!("{name}: {of}, {share} of the events, {were} silent, for {} at most.", in_words(longest))
}

/// The phase in which things were broken.
fn phase(trial: &Trial) -> Option<&Phase> {
    trial.phase(PhaseKind::Scenario)
}

/// The partitions that were held up.
fn silent(phase: &Phase) -> impl Iterator<Item = &PartitionShare> {
    phase.partitions.iter().filter(|part| part.silence.is_some_and(|s| s.lasted_ms >= SILENT_FROM_MS))
}

fn longest_ms(phase: &Phase) -> f64 {
    phase.partitions.iter().filter_map(|part| Some(part.silence?.lasted_ms)).fold(0.0, f64::max)
}

/// The smallest and the largest.
fn over(values: impl Iterator<Item = f64>) -> (f64, f64) {
    values.fold((f64::INFINITY, f64::NEG_INFINITY), |(low, high), value| (low.min(value), high.max(value)))
}

/// A range of milliseconds: `6.31–6.40 s`.
fn in_words((low, high): (f64, f64)) -> String {
    range(low * 1e6, high * 1e6, duration)
}

/// What was offered, and what was done when: `Offered: 316 events/s for 40 s. Meanwhile: at 10.0 s for 20.0 s, kill consumer 0.`
pub fn offered(scenario: &ScenarioRun) -> String {
    let trial = scenario.configurations.iter().flat_map(|configuration| &configuration.trials).next();
    let broken: Vec<String> = trial
        .and_then(phase)
        .into_iter()
        .flat_map(spans)
        .map(|(fault, span)| {
            let lasted = duration((span.mended_ms - span.began_ms) * 1e6);
            let lasted = if at_once(fault) { String::new() } else { format!(" for {lasted}") };
            format!("at {}{lasted}, {}", duration(span.began_ms * 1e6), named(fault))
        })
        .collect();
    let OfferedScenario { rate_per_s, length_s, .. } = scenario.scenario;
    let broken =
        if broken.is_empty() { String::new() } else { format!(" Meanwhile: {}.", broken.join("; ")) };
    format!("Offered: {} events/s for {} s.{broken}", number(rate_per_s), tick(length_s))
}

/// The first findings of each trial that failed.
pub fn findings(record: &ScenarioRecord) -> Vec<String> {
    const SHOWN: usize = 3;
    let of = |(title, verification): (String, &lanebench_result::Verification)| -> Vec<String> {
        let findings = verification.findings.iter().take(SHOWN);
        findings.map(|found| format!("{title}: {}", finding(found))).collect()
    };
    super::headline::checks(record).flat_map(of).collect()
}
