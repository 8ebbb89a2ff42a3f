//! From what was observed to a trial's record. Pure.

use std::collections::BTreeMap;
use std::time::Duration;

use payment_delivery::probe::Activity;

use super::phase::{DRAIN, STEADY, SURGE};
use super::process::Reports;
use super::trial::{Measured, Spec};
use crate::measure::bottleneck::{self, ConsumerTime};
use crate::measure::timeline::{PhaseTimes, Timeline, activity_name};
use crate::record::{
    ConsumerShare, Distribution, Lag, LagSample, Outside, PartitionShare, Stages, Steady, Surge,
    SurgeOutcome, Trial, Verification, WorkerProcess,
};
use crate::stats::{Durations, shape, slope};
use crate::verify;

const ACTIVITIES: [Activity; 5] =
    [Activity::Idle, Activity::Own, Activity::Service, Activity::Store, Activity::View];

/// Puts a trial together. `verification` already says whether its numbers count.
pub(super) fn trial(
    spec: &Spec<'_>,
    timeline: &Timeline,
    measured: Measured,
    reports: Option<&Reports>,
    mut verification: Verification,
) -> Trial {
    for what in &measured.stuck {
        verify::note_unfinished(&mut verification, what);
    }
    let (drain_s, visible) = drain(timeline);
    let consumers = consumers(timeline, &measured, drain_s);
    let cores = std::thread::available_parallelism().map_or(1, usize::from);
    let resources = &measured.drain.resources;
    let bottleneck = if reports.is_some_and(|reports| reports.taken.is_none()) {
        bottleneck::unseen(resources, cores)
    } else {
        bottleneck::bottleneck(&times(timeline, &measured), resources, cores)
    };
    Trial {
        round: spec.round,
        seed: spec.seed,
        position: spec.position,
        throughput_per_s: if drain_s > 0.0 { visible as f64 / drain_s } else { 0.0 },
        drain_s,
        steady: steady(spec, timeline),
        surge: spec
            .rates
            .and_then(|r| r.surge.as_ref())
            .and_then(|plan| surge(plan, timeline, &measured.watched.lag.samples)),
        service_time_ns: service_time(timeline),
        worker: reports.map(|reports| worker(timeline, &measured, reports, visible)),
        lag: lag(&measured),
        verification,
        partitions: partitions(timeline, spec.contender.lanes.partitions),
        consumers,
        resources: measured.drain.resources,
        bottleneck,
        noise: measured.watched.noise,
    }
}

/// Length of the drain in s, from the opened gate to the last visible, and how many events became visible.
fn drain(timeline: &Timeline) -> (f64, usize) {
    let Some(phase) = timeline.phase(DRAIN) else { return (0.0, 0) };
    let started = timeline.started_ns(phase).unwrap_or(0);
    let ended = timeline.range(phase).filter_map(|index| timeline.passed(index).visible).max();
    let length = ended.map_or(0, |ended| ended.saturating_sub(started));
    (length as f64 / 1e9, timeline.visible_count(phase))
}

/// What is known of a worker that is a process of its own.
fn worker(timeline: &Timeline, measured: &Measured, reports: &Reports, events: usize) -> WorkerProcess {
    let cpu_ns = measured.drain.worker_cpu.unwrap_or_default().as_nanos() as f64;
    let drain = timeline.phase(DRAIN);
    let drain_s = drain.and_then(|phase| {
        let ended = timeline.last_committed_ns(phase, &reports.commits)?;
        Some(ended.saturating_sub(timeline.started_ns(phase)?) as f64 / 1e9)
    });
    let response =
        timeline.phase(STEADY).map(|phase| timeline.committed_response_ns(phase, &reports.commits));
    WorkerProcess {
        measured_from: if reports.taken.is_some() { "inside" } else { "outside" }.into(),
        cpu_ns_per_event: if events > 0 { cpu_ns / events as f64 } else { 0.0 },
        peak_memory_bytes: measured.watched.worker_peak_bytes.unwrap_or(0),
        outside: Outside {
            tick_ms: crate::measure::outside::TICK.as_millis() as u64,
            drain_s,
            response_time_ns: distribution(&response.unwrap_or_default()),
        },
    }
}

fn partitions(timeline: &Timeline, count: i32) -> Vec<PartitionShare> {
    let Some(phase) = timeline.phase(DRAIN) else { return Vec::new() };
    let events = timeline.partition_events(phase);
    let all: u64 = events.values().sum();
    (0..count)
        .map(|id| {
            let events = events.get(&id).copied().unwrap_or(0);
            PartitionShare { id, events, share: events as f64 / all.max(1) as f64 }
        })
        .collect()
}

fn consumers(timeline: &Timeline, measured: &Measured, drain_s: f64) -> Vec<ConsumerShare> {
    let Some(phase) = timeline.phase(DRAIN) else { return Vec::new() };
    let started = timeline.started_ns(phase).unwrap_or(0);
    let work: BTreeMap<String, (u64, u64)> = timeline
        .consumer_work(phase)
        .into_iter()
        .map(|work| (work.consumer, (work.events, work.last_visible_ns)))
        .collect();
    let part = |spent: Duration| spent.as_secs_f64() / drain_s.max(f64::MIN_POSITIVE);
    measured
        .owned
        .iter()
        .map(|(name, partitions)| {
            let (events, last) = work.get(name).copied().unwrap_or((0, started));
            ConsumerShare {
                name: name.clone(),
                partitions: partitions.clone(),
                events,
                busy_s: last.saturating_sub(started) as f64 / 1e9,
                activity: ACTIVITIES
                    .iter()
                    .map(|&a| (activity_name(a).to_owned(), part(measured.drain.spent.get(name, a))))
                    .collect(),
            }
        })
        .collect()
}

/// What each consumer spent its part of the drain on.
fn times(timeline: &Timeline, measured: &Measured) -> Vec<ConsumerTime> {
    let Some(phase) = timeline.phase(DRAIN) else { return Vec::new() };
    let started = timeline.started_ns(phase).unwrap_or(0);
    let work = timeline.consumer_work(phase);
    work.iter().map(|work| ConsumerTime::new(work, &measured.drain.spent, started)).collect()
}

fn distribution(samples: &[i64]) -> Distribution {
    let mut durations = Durations::new();
    samples.iter().for_each(|&ns| durations.record(ns));
    durations.to_distribution()
}

fn service_time(timeline: &Timeline) -> Option<Distribution> {
    let samples = timeline.services_ns();
    (!samples.is_empty()).then(|| distribution(&samples))
}

fn steady(spec: &Spec<'_>, timeline: &Timeline) -> Steady {
    let times = timeline.phase(STEADY).map_or_else(PhaseTimes::default, |phase| timeline.times(phase));
    Steady {
        offered_per_s: spec.rates.map_or(0.0, |rates| rates.steady_per_s),
        response_time_ns: distribution(&times.response),
        stages_ns: Stages {
            slip: distribution(&times.slip),
            ack: distribution(&times.ack),
            wait: distribution(&times.wait),
            store: distribution(&times.store),
            view: distribution(&times.view),
        },
    }
}

fn lag(measured: &Measured) -> Lag {
    let series = &measured.watched.lag;
    let steady = over_partitions(series.samples.iter().filter(|s| s.phase == STEADY));
    Lag {
        tick_ms: crate::measure::lag::TICK_DEFAULT.as_millis() as u64,
        slope_records_per_s: slope(&steady).unwrap_or(0.0),
        missed: series.missed,
        series: series.samples.clone(),
    }
}

/// (time in s, records behind over all partitions) of each tick.
fn over_partitions<'a>(samples: impl Iterator<Item = &'a LagSample>) -> Vec<(f64, f64)> {
    let mut points: Vec<(f64, f64)> = Vec::new();
    for sample in samples {
        let (t_s, records) = (sample.t_ms / 1e3, sample.records as f64);
        match points.last_mut() {
            Some(last) if last.0 == t_s => last.1 += records,
            _ => points.push((t_s, records)),
        }
    }
    points
}

fn surge(plan: &Surge, timeline: &Timeline, samples: &[LagSample]) -> Option<SurgeOutcome> {
    let phase = timeline.phase(SURGE)?;
    let started_ns = timeline.started_ns(phase)?;
    let (peak_from_s, peak_to_s) = (plan.base_s, plan.base_s + plan.peak_s);
    let since_start = |t_s: f64| t_s - started_ns as f64 / 1e9;
    let points = over_partitions(samples.iter().filter(|s| s.phase == SURGE));
    let during_peak: Vec<(f64, f64)> = points
        .iter()
        .copied()
        .filter(|(t_s, _)| (peak_from_s..=peak_to_s).contains(&since_start(*t_s)))
        .collect();
    let peak_slope = slope(&during_peak).unwrap_or(0.0);
    let (from_ns, to_ns) = ((peak_from_s * 1e9) as u64, (peak_to_s * 1e9) as u64);
    let drained_ns = timeline.last_visible_ns_due_within(phase, from_ns..to_ns);
    let peak_ended_ns = started_ns + to_ns;
    Some(SurgeOutcome {
        base_per_s: plan.base_per_s,
        peak_per_s: plan.peak_per_s,
        max_lag_records: points.iter().map(|p| p.1).fold(0.0, f64::max) as u64,
        max_lag_ns: samples.iter().filter(|s| s.phase == SURGE).map(|s| s.ns).max().unwrap_or(0),
        peak_slope_records_per_s: peak_slope,
        shape: shape(peak_slope, plan.peak_per_s).as_str().into(),
        drain_ms: drained_ns.map(|at| at.saturating_sub(peak_ended_ns) as f64 / 1e6),
    })
}
