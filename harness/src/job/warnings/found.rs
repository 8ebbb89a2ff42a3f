//! Which warnings a run earns: from its options beforehand, from its trials afterwards. Pure.

use std::collections::{BTreeMap, BTreeSet};

use payment_delivery::consumer::ServiceTime;

use super::{GENERATOR_ROOM, Seen, WarningKind};
use crate::job::options::Options;
use crate::job::summary::grows;
use crate::measure::noise;
use crate::record::{Distribution, Phase, PhaseKind, RunResult, Trial, WarmUp, counting_rounds};
use crate::stack::{C1_ALONE, Facts};
use crate::trial::options::kebab;

/// A fastest drain below this is warned of (docs/method.md asks for 1.5 s; a little less is chance).
const SHORT_DRAIN_S: f64 = 1.35;
/// A schedule is kept where this part of its rate was achieved, or more.
const ACHIEVED_MIN: f64 = 0.99;
/// A sender's delay of this many ns is late whatever the response times are.
const DELAY_MIN_NS: u64 = 1_000_000;

/// Warnings that are known from the options, the stack and the machine of so many cores.
pub(crate) fn beforehand(options: &Options, facts: &Facts, cores: usize, kept_to_cpus: bool) -> Vec<Seen> {
    let mut found = Vec::new();
    if facts.kafka.settings.get("jvm").is_some_and(|flags| flags.contains(C1_ALONE)) {
        found.push(WarningKind::C1Brokers);
    }
    if cfg!(debug_assertions) {
        found.push(WarningKind::DebugBuild);
    }
    let mut modelled: BTreeMap<ServiceTime, Vec<String>> = BTreeMap::new();
    for contender in options.contenders.iter().filter(|contender| !contender.service_time.is_zero()) {
        modelled.entry(contender.service_time).or_default().push(contender.name.clone());
    }
    let modelled_work = |(service_time, configs)| WarningKind::ModelledWork { configs, service_time };
    found.extend(modelled.into_iter().map(modelled_work));
    for contender in &options.contenders {
        let idle = contender.lanes.consumers.saturating_sub(contender.lanes.partitions.unsigned_abs());
        if idle > 0 {
            found.push(WarningKind::IdleConsumers { config: contender.name.clone(), idle });
        }
    }
    if facts.store.settings.get("fsync").is_some_and(|fsync| fsync == "off") {
        found.push(WarningKind::FsyncOff { why: "fsync is off".into() });
    } else if facts.store.settings.get("data_directory").is_some_and(|medium| medium.contains("tmpfs")) {
        found.push(WarningKind::FsyncOff { why: "its data directory lies in memory, on tmpfs".into() });
    }
    found.extend(facts.view.evicts().map(|(policy, max_bytes)| WarningKind::ViewEvicts {
        policy: policy.into(),
        max_bytes: max_bytes.into(),
    }));
    // In a gate by intent, and said in its record.
    let granted = std::thread::available_parallelism().map_or(cores, usize::from);
    if granted < cores && !kept_to_cpus {
        found.push(WarningKind::CpuQuota { granted, cores });
    }
    found.extend(options.inject.map(|kind| WarningKind::Injected { what: kebab(&kind) }));
    found.extend(options.trial.throttle.map(|part| WarningKind::Throttled { what: kebab(&part) }));
    found.into_iter().map(|kind| (kind, None)).collect()
}

/// That something was still getting faster when the warm-up ended.
pub(crate) fn not_settled(warm_up: &WarmUp) -> Option<WarningKind> {
    let moved = warm_up.passes.last().map(|pass| pass.moved.clone()).unwrap_or_default();
    (!warm_up.settled).then_some(WarningKind::NotSettled { moved })
}

/// Warnings that show in one trial.
pub(crate) fn of_trial(config: &str, trial: &Trial, cores: usize) -> Vec<Seen> {
    let mut found = Vec::new();
    if let Some(worker) = &trial.worker {
        let late_ms = worker.late_by_ns.as_ref().map(|late| late.p50 as f64 / 1e6);
        found.push(match worker.seen_by {
            None => WarningKind::RealtimeClock,
            Some(seen_by) => WarningKind::MeasuredOutside { seen_by, late_ms },
        });
    }
    for phase in &trial.phases {
        found.extend(of_phase(config, phase, cores));
    }
    found.into_iter().map(|kind| (kind, Some(trial.round))).collect()
}

fn of_phase(config: &str, phase: &Phase, cores: usize) -> Vec<WarningKind> {
    let config = || config.to_owned();
    let mut found = Vec::new();
    // Who is held up while something is broken, and whose group moves, does as it should.
    let broken = phase.kind == PhaseKind::Scenario;
    if let Some(what) = late(phase).filter(|_| !broken) {
        found.push(WarningKind::GeneratorSaturated { config: config(), phase: phase.name.clone(), what });
    }
    let shared = phase.kind == PhaseKind::Drain && phase.partitions.len() > 1;
    if let Some(largest) =
        phase.partitions.iter().filter(|_| shared).max_by(|a, b| a.share.total_cmp(&b.share))
        && largest.share > 0.5
    {
        found.push(WarningKind::Skew { config: config(), partition: largest.id, share: largest.share });
    }
    // A stage may be: an acknowledgement travels back while a consumer has the event already.
    // A backlog is sent before it is due.
    let early = if phase.planned_per_s.is_some() { phase.stages_ns.send_delay.negative } else { 0 };
    let negative = phase.response_time_ns.as_ref().map_or(0, |response| response.negative) + early;
    if negative > 0 {
        found.push(WarningKind::ClockBackwards { config: config(), samples: negative });
    }
    if phase.kind != PhaseKind::WarmUp
        && !broken
        && let Some(what) = moved(phase)
    {
        found.push(WarningKind::GroupMoved { config: config(), what });
    }
    let foreign = noise::foreign_cpu(&phase.resources, cores);
    found.extend(noise::host_was_busy(&phase.noise, foreign).map(|what| WarningKind::HostBusy { what }));
    found
}

/// In which way a sender did not keep to its schedule.
fn late(phase: &Phase) -> Option<String> {
    let (planned, achieved) = (phase.planned_per_s?, phase.achieved_per_s?);
    if achieved < ACHIEVED_MIN * planned {
        return Some(format!("{achieved:.0} of {planned:.0} events/s were sent"));
    }
    let delay = &phase.stages_ns.send_delay;
    let response = phase.response_time_ns.as_ref().filter(|_| !grows(phase));
    let tenth = response.map_or(0, |response: &Distribution| response.p50 / 10);
    (delay.p99 > tenth.max(DELAY_MIN_NS))
        .then(|| format!("one event in a hundred was sent {:.1} ms late or more", delay.p99 as f64 / 1e6))
}

fn moved(phase: &Phase) -> Option<String> {
    let group = &phase.group;
    let counts = [("rebalance", group.rebalances), ("lost membership", group.lost), ("retry", group.retries)];
    let said: Vec<String> = counts
        .iter()
        .filter(|(_, count)| *count > 0)
        .map(|(what, count)| format!("{count} × {what} in the {} phase", phase.name))
        .collect();
    (!said.is_empty()).then(|| said.join(", "))
}

/// Warnings that show in the trials so far.
pub(crate) fn afterwards(result: &RunResult) -> Vec<Seen> {
    let mut found = Vec::new();
    let counting = counting_rounds(&result.configurations);
    if counting.len() < 3 {
        found.push((WarningKind::TooFewRounds { rounds: counting.len() }, None));
    }
    for configuration in &result.configurations {
        if configuration.summary.grows {
            let trials = configuration.counting(&counting);
            found.extend(trials.filter_map(|trial| overloaded(&configuration.name, trial)));
        }
        for trial in &configuration.trials {
            found.extend(of_trial(&configuration.name, trial, result.environment.cores));
        }
    }
    found.extend(slow_generator(result).map(|kind| (kind, None)));
    found.extend(short_drain(result, &counting).map(|kind| (kind, None)));
    found.extend(shared_bottleneck(result, &counting).map(|kind| (kind, None)));
    found
}

/// A steady phase whose backlog grew.
pub(crate) fn overloaded(config: &str, trial: &Trial) -> Option<Seen> {
    let phase = trial.phase(PhaseKind::Steady).filter(|phase| grows(phase))?;
    let kind = WarningKind::Overloaded {
        config: config.into(),
        offered_per_s: phase.planned_per_s.unwrap_or(0.0),
        slope_per_s: phase.grows.map_or(0.0, |grows| grows.slope_per_s),
    };
    Some((kind, Some(trial.round)))
}

/// That the load generator alone is not far above the largest rate that it was asked for.
fn slow_generator(result: &RunResult) -> Option<WarningKind> {
    let alone_per_s = result.ceilings.as_ref()?.named("generator")?.estimate.as_ref()?.value;
    let phases = result.configurations.iter().flat_map(|c| &c.trials).flat_map(|trial| &trial.phases);
    let asked_per_s = phases.map(asked_per_s).fold(0.0, f64::max);
    let is_slow = alone_per_s < GENERATOR_ROOM * asked_per_s;
    is_slow.then_some(WarningKind::GeneratorCeiling { alone_per_s, asked_per_s })
}

/// The largest rate of a phase's schedule, events/s; of a closed loop what it sustained, and of a backlog 0, since nothing is sent while it is measured.
fn asked_per_s(phase: &Phase) -> f64 {
    let sustained = Some(phase.throughput_per_s).filter(|_| phase.kind == PhaseKind::Sustained);
    let segments = phase.segments.iter().map(|segment| segment.per_s);
    segments.chain(phase.planned_per_s).chain(sustained).fold(0.0, f64::max)
}

fn short_drain(result: &RunResult, counting: &BTreeSet<u32>) -> Option<WarningKind> {
    let drains = result.configurations.iter().flat_map(|c| {
        let drains = c.counting(counting).filter_map(|trial| trial.phase(PhaseKind::Drain));
        drains.map(|drain| (c.name.clone(), drain.lasted_ms / 1e3))
    });
    let (config, drain_s) = drains.min_by(|a, b| a.1.total_cmp(&b.1))?;
    (drain_s < SHORT_DRAIN_S).then_some(WarningKind::ShortDrain { config, drain_s })
}

/// The part that held every closed loop of every configuration back, where more lanes hardly helped.
fn shared_bottleneck(result: &RunResult, counting: &BTreeSet<u32>) -> Option<WarningKind> {
    const HARDLY: f64 = 1.4;
    let kind = [PhaseKind::Sustained, PhaseKind::Drain].into_iter().find(|kind| {
        result.configurations.iter().flat_map(|c| &c.trials).any(|t| t.phase(*kind).is_some())
    })?;
    let mut names = result
        .configurations
        .iter()
        .flat_map(|c| c.counting(counting).filter_map(|t| Some(t.phase(kind)?.bottleneck.name.as_str())));
    let part = names.next()?;
    let shared = matches!(part, "store" | "view" | "broker" | "host") && names.all(|name| name == part);
    let metric = if kind == PhaseKind::Sustained { "sustained_per_s" } else { "drain_per_s" };
    let helped = result.comparisons.iter().any(|c| c.metric == metric && c.ratio.value >= HARDLY);
    (shared && !helped && result.configurations.len() > 1)
        .then(|| WarningKind::SharedBottleneck { part: part.into() })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::record::ceilings::Ceilings;
    use crate::record::limits::Limit;
    use crate::stats::estimate;

    /// A run whose schedules ask for less than 4,000 events/s, and whose closed loops sustain less.
    fn with_generator(alone_per_s: f64) -> RunResult {
        let estimate = Some(estimate(&[alone_per_s], 0.95));
        let generator = Limit { is_ceiling: true, estimate, ..Limit::new("generator", "") };
        let ceilings = Some(Ceilings { limits: vec![generator], shares: Vec::new() });
        RunResult { ceilings, ..lanebench_report::fixture::ordinary() }
    }

    #[test]
    fn a_generator_should_have_three_times_the_room_that_is_asked_of_it() {
        assert!(slow_generator(&with_generator(12_000.0)).is_none());
        let mut result = with_generator(12_000.0);
        result.configurations[0].trials[0].phases[2].planned_per_s = Some(4_500.0);
        let asked = |result: &RunResult| match slow_generator(result) {
            Some(WarningKind::GeneratorCeiling { asked_per_s, .. }) => asked_per_s,
            other => panic!("{other:?}"),
        };
        assert!((asked(&result) - 4_500.0).abs() < 1e-9, "a schedule");
        result.configurations[0].trials[0].phases[1].throughput_per_s = 5_000.0;
        assert!((asked(&result) - 5_000.0).abs() < 1e-9, "a closed loop");
        result.configurations[0].trials[0].phases[0].throughput_per_s = 9_000.0;
        assert!((asked(&result) - 5_000.0).abs() < 1e-9, "and no drain");
        result.ceilings = None;
        assert!(slow_generator(&result).is_none(), "it was not measured");
    }
}
