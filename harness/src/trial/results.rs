//! From what was observed to a trial's record. Pure.

use std::collections::BTreeMap;
use std::ops::Range;
use std::time::Duration;

use payment_delivery::probe::Activity;

use super::evidence::Checked;
use super::phase::{Offer, PhaseSpec};
use super::process::WorkerReports;
use super::run::{Observed, PhaseRun};
use super::{COMMIT_INTERVAL, TrialSpec};
use crate::measure::bottleneck::{self, ConsumerTime};
use crate::measure::commits::CommitSamples;
use crate::measure::lag::{LagSeries, TICK_DEFAULT};
use crate::measure::timeline::{self, Ownership, PhaseId, Timeline, activity_name};
use crate::record::{
    ConsumerShare, Distribution, FaultRecord, Growth, GrowthVerdict, Lag, LagSample, Outside, PartitionShare,
    Peak, Phase, SeenBy, Segment, Shape, Silence, Stages, Trial, Unexplained, WorkerPhase, WorkerProcess,
};
use crate::stats::{DueVisible, Durations, growth, slope};
use crate::verify;

const ACTIVITIES: [Activity; 5] =
    [Activity::Idle, Activity::Own, Activity::Service, Activity::Store, Activity::View];

/// A lag that grows by this part of what a peak offers above the smallest sustained capacity, or more, climbs.
const CLIMBS_FROM: f64 = 0.5;

/// At the end of a peak, an oldest event of this age beside the commit interval is flat.
const FLAT_UP_TO: Duration = Duration::from_millis(100);

/// Puts a trial together. What was checked already says whether its numbers count.
pub(super) fn trial(
    spec: &TrialSpec<'_>,
    timeline: &Timeline,
    observed: Observed,
    reports: Option<&WorkerReports>,
    checked: Checked,
) -> Trial {
    let Checked { mut verification, written, seen_by } = checked;
    let Observed { phases, trial, extra: _, stuck } = observed;
    for what in &stuck {
        verify::note_unfinished(&mut verification, what);
    }
    let of = OfTrial { spec, timeline, lag: &trial.lag, reports, written };
    let services = timeline.services_ns();
    let ran = |(_, run): &(PhaseSpec, PhaseRun)| Some(timeline.started_ns(run.id)?..run.ended_ns);
    let ran: Vec<Range<u64>> = phases.iter().filter_map(ran).collect();
    Trial {
        round: spec.place.round,
        seed: spec.place.seed,
        position: spec.place.position,
        phases: phases.into_iter().map(|(phase, run)| of.phase(&phase, run)).collect(),
        service_time_ns: distribution(services),
        jit_cores: None, // the runner sees it
        worker: reports.map(|reports| WorkerProcess {
            measured_from: if reports.taken.is_some() { "inside" } else { "outside" }.into(),
            seen_by,
            late_by_ns: late_by(seen_by, reports, &trial.lag.commits, &ran),
            peak_memory_bytes: trial.worker_peak_bytes,
        }),
        verification,
    }
}

/// What all phases of a trial have in common.
struct OfTrial<'a> {
    spec: &'a TrialSpec<'a>,
    timeline: &'a Timeline,
    lag: &'a LagSeries,
    /// What a worker process left behind.
    reports: Option<&'a WorkerReports>,
    /// row written − due, by phase.
    written: BTreeMap<PhaseId, Durations>,
}

impl OfTrial<'_> {
    fn phase(&self, spec: &PhaseSpec, run: PhaseRun) -> Phase {
        let timeline = self.timeline;
        let started_ns = timeline.started_ns(run.id).unwrap_or(0);
        let ended_ns = self.ended_ns(&run).max(started_ns);
        let (started_ms, ended_ms) = (ms(started_ns), ms(ended_ns));
        let scheduled = matches!(spec.offer, Offer::Schedule(_));
        let segments = segments(spec);
        let visible = timeline.visible_count(run.id);
        let lag = self.lag(started_ms, ended_ms);
        let grows = mean_rate(&segments).and_then(|per_s| self.growth(&run, started_ns, per_s));
        let keeps_up = grows.is_some_and(|growth| growth.verdict == GrowthVerdict::Holds);
        Phase {
            name: spec.kind.as_str().into(),
            kind: spec.kind,
            planned_per_s: length_s(&segments).map(|s| timeline.range(run.id).len() as f64 / s),
            achieved_per_s: self.achieved_per_s(spec, &segments, &run, started_ns),
            started_ms,
            lasted_ms: ended_ms - started_ms,
            events: run.sent.sent as u64,
            throughput_per_s: self.throughput_per_s(spec, &run, started_ns, ended_ns, visible),
            response_time_ns: scheduled.then(|| self.response_time(&run)).flatten(),
            grows,
            stages_ns: self.stages(&run),
            partitions: self.partitions(&run, scheduled, started_ns, ended_ns),
            consumers: self.consumers(&run, started_ns, ended_ns),
            peak: self.peak(spec, &segments, &run, started_ns, &lag),
            group: run.observed.group,
            unexplained: unexplained(run.observed.unexplained),
            faults: self.faults(&run, started_ns, &lag),
            bottleneck: self.bottleneck(&run, started_ns, keeps_up),
            noise: run.observed.noise.clone(),
            pauses: run.observed.pauses,
            worker: self.reports.map(|_| self.worker(&run, scheduled, started_ns, visible)),
            lag,
            segments: if segments.len() > 1 { segments } else { Vec::new() },
            resources: run.observed.resources,
        }
    }

    fn response_time(&self, run: &PhaseRun) -> Option<Distribution> {
        distribution(self.timeline.events(run.id).filter_map(|event| event.response_ns()))
    }

    fn stages(&self, run: &PhaseRun) -> Stages {
        let mut stages: [Durations; 5] = Default::default();
        for event in self.timeline.events(run.id) {
            let times =
                [event.send_delay_ns(), event.ack_ns(), event.wait_ns(), event.store_ns(), event.view_ns()];
            for (stage, time) in stages.iter_mut().zip(times) {
                time.into_iter().for_each(|ns| stage.record(ns));
            }
        }
        let told = |stage: Durations| {
            if stage.is_empty() { Distribution::default() } else { stage.to_distribution() }
        };
        let [send_delay, ack, wait, store, view] = stages.map(told);
        Stages { send_delay, ack, wait, store, view }
    }

    /// When the last event of a phase was visible; where one never was, when nobody worked on it any more.
    fn ended_ns(&self, run: &PhaseRun) -> u64 {
        let visible = self.timeline.due_and_visible_ns(run.id).map(|(_, visible)| visible);
        let last = visible.reduce(|last, visible| Some(last?.max(visible?)));
        last.flatten().unwrap_or(run.ended_ns)
    }

    /// Of a closed loop, what is counted; else all of it, but for the time that its worker was stopped.
    fn throughput_per_s(
        &self,
        spec: &PhaseSpec,
        run: &PhaseRun,
        started_ns: u64,
        ended_ns: u64,
        visible: usize,
    ) -> f64 {
        let Offer::ClosedLoop { settle, counted, .. } = &spec.offer else {
            let length_ns = ended_ns.saturating_sub(started_ns);
            return per_s(visible, length_ns - within(&run.stopped, started_ns..ended_ns));
        };
        // What is in flight when the sender ends is worked off without a producer beside it, and not counted.
        let from_ns = started_ns + settle.as_nanos() as u64;
        let ran_out = run.sent.sent >= self.timeline.range(run.id).len();
        let to_ns = match self.timeline.last_sent_ns(run.id) {
            Some(last_ns) if ran_out => last_ns,
            _ => from_ns + counted.as_nanos() as u64,
        };
        per_s(self.timeline.visible_within(run.id, from_ns..to_ns), to_ns.saturating_sub(from_ns))
    }

    fn achieved_per_s(
        &self,
        spec: &PhaseSpec,
        segments: &[Segment],
        run: &PhaseRun,
        started_ns: u64,
    ) -> Option<f64> {
        if matches!(spec.offer, Offer::Backlog { .. }) {
            return None;
        }
        let sent_s = self.timeline.last_sent_ns(run.id)?.saturating_sub(started_ns) as f64 / 1e9;
        let length_s = segments.iter().map(|segment| segment.s).sum::<f64>().max(sent_s);
        (length_s > 0.0).then(|| run.sent.sent as f64 / length_s)
    }

    fn growth(&self, run: &PhaseRun, started_ns: u64, offered_per_s: f64) -> Option<Growth> {
        let since = |ns: u64| ns.saturating_sub(started_ns) as f64 / 1e9;
        let events: Vec<DueVisible> = self
            .timeline
            .due_and_visible_ns(run.id)
            .map(|(due, visible)| DueVisible { due_s: since(due), visible_s: visible.map(since) })
            .collect();
        let found = growth(&events, offered_per_s)?;
        Some(Growth {
            slope_per_s: found.slope_per_s,
            median_ratio: found.median_ratio.is_finite().then_some(found.median_ratio),
            verdict: if found.grows { GrowthVerdict::Grows } else { GrowthVerdict::Holds },
        })
    }

    fn partitions(
        &self,
        run: &PhaseRun,
        scheduled: bool,
        started_ns: u64,
        ended_ns: u64,
    ) -> Vec<PartitionShare> {
        let silences =
            if run.broken.is_empty() { BTreeMap::new() } else { self.timeline.silences(run.id, ended_ns) };
        let events = self.timeline.partition_events(run.id);
        let mut times: BTreeMap<i32, Durations> = BTreeMap::new();
        for index in self.timeline.range(run.id).filter(|_| scheduled) {
            let response_ns = self.timeline.passed(index).response_ns();
            if let (Some(origin), Some(response_ns)) = (self.timeline.origin(index), response_ns) {
                times.entry(origin.partition).or_default().record(response_ns);
            }
        }
        let all: u64 = events.values().sum();
        // Some may have been added.
        let last = events.last_key_value().map_or(0, |(partition, _)| partition + 1);
        (0..self.spec.contender.lanes.partitions.max(last))
            .map(|id| {
                let events = events.get(&id).copied().unwrap_or(0);
                let response_time_ns = times.get(&id).map(Durations::to_distribution);
                let silence = silences.get(&id).map(|silent| Silence {
                    from_ms: ms(silent.start.saturating_sub(started_ns)),
                    lasted_ms: ms(silent.end - silent.start),
                });
                let share = events as f64 / all.max(1) as f64;
                PartitionShare { id, events, share, response_time_ns, silence }
            })
            .collect()
    }

    /// What was broken, and when the consumers had got over it.
    fn faults(&self, run: &PhaseRun, started_ns: u64, lag: &Lag) -> Vec<FaultRecord> {
        let behind = COMMIT_INTERVAL + FLAT_UP_TO;
        let late = |sample: &&LagSample| u128::from(sample.ns) > behind.as_nanos();
        let last_late_ms = |from_ms: f64| {
            let late = lag.series.iter().filter(late).map(|sample| sample.t_ms);
            late.filter(|at_ms| *at_ms >= from_ms).reduce(f64::max)
        };
        let all_visible = self.timeline.visible_count(run.id) >= self.timeline.offered_count(run.id);
        let mut broken = run.broken.clone();
        let names = self.timeline.consumer_names();
        for FaultRecord { target, span, .. } in &mut broken {
            let Some(span) = span else { continue };
            let began_ns = started_ns + (span.began_ms * 1e6) as u64;
            let of_target = |change: &Ownership| {
                names.get(change.consumer as usize).is_some_and(|name| *name == target.replace(' ', "-"))
            };
            (span.noticed_ms, span.reassigned_ms) = self.timeline.read_journal(|journal| {
                let since = || journal.ownership.iter().filter(|change| change.at_ns >= began_ns);
                let given_up =
                    |change: &&Ownership| change.partitions.is_empty() && !change.lost && !of_target(change);
                let after = |change: &Ownership| ms(change.at_ns - started_ns);
                let given = since().find(|change| !change.partitions.is_empty()).map(after);
                let noticed = since().find(given_up).map(after);
                // Not one that gave up later: in the end all of them do, and where the coordinator dies members may come back one by one.
                (noticed.filter(|noticed| given.is_some_and(|given| *noticed <= given)), given)
            });
            span.drained_ms = all_visible.then(|| last_late_ms(span.began_ms).unwrap_or(span.began_ms));
        }
        broken
    }

    fn consumers(&self, run: &PhaseRun, started_ns: u64, ended_ns: u64) -> Vec<ConsumerShare> {
        let work = self.timeline.consumer_work(run.id);
        let work: BTreeMap<&str, (u64, u64)> =
            work.iter().map(|work| (work.consumer.as_str(), (work.events, work.last_visible_ns))).collect();
        let length_s = (ended_ns.saturating_sub(started_ns) as f64 / 1e9).max(f64::MIN_POSITIVE);
        let part = |spent: Duration| spent.as_secs_f64() / length_s;
        let share = |(name, partitions): (&String, &Vec<i32>)| {
            let (events, last_ns) = work.get(name.as_str()).copied().unwrap_or((0, started_ns));
            ConsumerShare {
                name: name.clone(),
                partitions: partitions.clone(),
                events,
                busy_s: last_ns.saturating_sub(started_ns) as f64 / 1e9,
                activity: ACTIVITIES
                    .iter()
                    .map(|&a| (activity_name(a).to_owned(), part(run.observed.spent.get(name, a))))
                    .collect(),
            }
        };
        run.observed.owned.iter().map(share).collect()
    }

    fn lag(&self, from_ms: f64, to_ms: f64) -> Lag {
        let series = self.lag.within(from_ms, to_ms);
        let points = over_partitions(&series);
        let ticks = ((to_ms - from_ms) / TICK_DEFAULT.as_secs_f64() / 1e3).floor() as u64;
        Lag {
            tick_ms: TICK_DEFAULT.as_millis() as u64,
            slope_records_per_s: slope(&points).unwrap_or(0.0),
            max_records: points.iter().map(|point| point.1).fold(0.0, f64::max) as u64,
            max_ns: series.iter().map(|sample| sample.ns).max().unwrap_or(0),
            missed: ticks.saturating_sub(points.len() as u64),
            series,
        }
    }

    /// Of a schedule of base, peak, base.
    fn peak(
        &self,
        spec: &PhaseSpec,
        segments: &[Segment],
        run: &PhaseRun,
        started_ns: u64,
        lag: &Lag,
    ) -> Option<Peak> {
        let [base, peak, _] = segments else { return None };
        let (from_s, to_s) = (base.s, base.s + peak.s);
        let during: Vec<(f64, f64)> = over_partitions(&lag.series)
            .into_iter()
            .filter(|(t_s, _)| (from_s..=to_s).contains(t_s))
            .collect();
        let slope_records_per_s = slope(&during).unwrap_or(0.0);
        let (from_ns, to_ns) = ((from_s * 1e9) as u64, (to_s * 1e9) as u64);
        let ended_ns = started_ns + to_ns;
        let waiting = self.timeline.due_and_visible_ns(run.id);
        let waiting =
            waiting.filter(|(due, visible)| *due <= ended_ns && visible.is_none_or(|at| at > ended_ns));
        let oldest_ns = waiting.map(|(due, _)| ended_ns - due).max().unwrap_or(0);
        let drained_ns = self.timeline.last_visible_ns_due_within(run.id, from_ns..to_ns);
        Some(Peak {
            offered_per_s: peak.per_s,
            slope_records_per_s,
            oldest_ns,
            shape: shape(slope_records_per_s, peak.per_s, spec.capacity_per_s, oldest_ns),
            drained_ms: drained_ns.map(|at| ms(at.saturating_sub(ended_ns))),
        })
    }

    /// `keeps_up`: whether all that a schedule offers is worked off as it comes.
    fn bottleneck(&self, run: &PhaseRun, started_ns: u64, keeps_up: bool) -> crate::record::Bottleneck {
        let cores = std::thread::available_parallelism().map_or(1, usize::from);
        let resources = &run.observed.resources;
        if self.reports.is_some_and(|reports| reports.taken.is_none()) {
            return bottleneck::unseen(resources, cores);
        }
        if keeps_up {
            return bottleneck::offered_load(resources, cores);
        }
        // What each consumer spent its part of the phase on.
        let work = self.timeline.consumer_work(run.id);
        let times: Vec<ConsumerTime> =
            work.iter().map(|work| ConsumerTime::new(work, &run.observed.spent, started_ns)).collect();
        bottleneck::bottleneck(&times, resources, cores)
    }

    /// What is known of a worker that is a process of its own.
    fn worker(&self, run: &PhaseRun, scheduled: bool, started_ns: u64, visible: usize) -> WorkerPhase {
        let cpu_ns = run.observed.worker_cpu.unwrap_or_default().as_nanos() as f64;
        let ended_ns = self.timeline.last_committed_ns(run.id, &self.lag.commits);
        let committed = || distribution(self.timeline.committed_response_ns(run.id, &self.lag.commits));
        WorkerPhase {
            cpu_ns_per_event: if visible > 0 { cpu_ns / visible as f64 } else { 0.0 },
            outside: Outside {
                tick_ms: TICK_DEFAULT.as_millis() as u64,
                lasted_ms: ended_ns.map(|ended_ns| ms(ended_ns.saturating_sub(started_ns))),
                response_time_ns: scheduled.then(committed).flatten(),
                written_time_ns: self
                    .written
                    .get(&run.id)
                    .filter(|_| scheduled)
                    .map(Durations::to_distribution),
            },
        }
    }
}

/// By how much later than it was an event is seen to be done.
fn late_by(
    seen_by: Option<SeenBy>,
    reports: &WorkerReports,
    commits: &CommitSamples,
    ran: &[Range<u64>],
) -> Option<Distribution> {
    match seen_by? {
        SeenBy::View => {
            distribution(reports.view_late_by.iter().flatten().map(|late| late.as_nanos() as i64))
        }
        SeenBy::Rows => None,
        SeenBy::Offsets => distribution(commits.pauses_ns(ran)),
    }
}

fn unexplained(seen: timeline::Unexplained) -> Option<Unexplained> {
    (seen.events > 0).then(|| Unexplained {
        events: seen.events,
        mean_ns: seen.total.as_nanos() as f64 / seen.events as f64,
        longest_ns: u64::try_from(seen.longest.as_nanos()).unwrap_or(u64::MAX),
    })
}

fn ms(ns: u64) -> f64 {
    ns as f64 / 1e6
}

fn per_s(events: usize, ns: u64) -> f64 {
    if ns > 0 { events as f64 / (ns as f64 / 1e9) } else { 0.0 }
}

/// How much of a time others take, which don't overlap.
fn within(others: &[Range<u64>], time: Range<u64>) -> u64 {
    others.iter().map(|other| other.end.min(time.end).saturating_sub(other.start.max(time.start))).sum()
}

/// The schedule of an open loop; empty where there is none.
fn segments(spec: &PhaseSpec) -> Vec<Segment> {
    match &spec.offer {
        Offer::Schedule(segments) => {
            segments.iter().map(|s| Segment { per_s: s.rate_per_s, s: s.length.as_secs_f64() }).collect()
        }
        Offer::Backlog { .. } | Offer::ClosedLoop { .. } => Vec::new(),
    }
}

/// How long a schedule is; `None` where there is none.
fn length_s(segments: &[Segment]) -> Option<f64> {
    let length_s: f64 = segments.iter().map(|segment| segment.s).sum();
    (length_s > 0.0).then_some(length_s)
}

/// The rate that a schedule was drawn with.
fn mean_rate(segments: &[Segment]) -> Option<f64> {
    Some(segments.iter().map(|s| s.per_s * s.s).sum::<f64>() / length_s(segments)?)
}

/// None without samples.
fn distribution(samples: impl IntoIterator<Item = i64>) -> Option<Distribution> {
    let mut samples = samples.into_iter().peekable();
    samples.peek()?;
    let mut durations = Durations::new();
    samples.for_each(|ns| durations.record(ns));
    Some(durations.to_distribution())
}

/// (s since the phase's start, records behind over all partitions) of each tick.
fn over_partitions(samples: &[LagSample]) -> Vec<(f64, f64)> {
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

/// What lag does under a peak of this rate (docs/method.md, "Rates"): it climbs where half of what is offered above the smallest
/// sustained capacity is left behind, and is flat where the oldest event is hardly older than the commit interval.
fn shape(slope_per_s: f64, offered_per_s: f64, capacity_per_s: Option<f64>, oldest_ns: u64) -> Shape {
    let surplus = capacity_per_s.map(|capacity| (offered_per_s - capacity).max(0.0));
    if surplus.is_some_and(|surplus| surplus > 0.0 && slope_per_s >= CLIMBS_FROM * surplus) {
        Shape::Climbs
    } else if Duration::from_nanos(oldest_ns) <= FLAT_UP_TO + COMMIT_INTERVAL {
        Shape::Flat
    } else {
        Shape::Between
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MS: u64 = 1_000_000;

    #[test]
    fn a_peak_is_judged_by_what_it_offers_above_the_smallest_capacity() {
        let check = |slope, oldest_ms, expected| {
            assert_eq!(
                shape(slope, 1_400.0, Some(1_000.0), oldest_ms * MS),
                expected,
                "{slope}, {oldest_ms} ms"
            );
        };
        check(200.0, 900, Shape::Climbs);
        check(199.0, 900, Shape::Between);
        check(10.0, 200, Shape::Flat);
        check(10.0, 201, Shape::Between);
        assert_eq!(shape(500.0, 1_400.0, None, 900 * MS), Shape::Between, "no capacity is known");
        assert_eq!(shape(500.0, 900.0, Some(1_000.0), 900 * MS), Shape::Between, "a peak below it");
    }

    #[test]
    fn a_schedule_has_a_mean_rate_and_a_backlog_has_none() {
        let segments = [(100.0, 2.0), (400.0, 1.0), (100.0, 2.0)].map(|(per_s, s)| Segment { per_s, s });
        assert_eq!(mean_rate(&segments), Some(160.0));
        assert_eq!(mean_rate(&[]), None);
    }

    #[test]
    fn of_what_was_stopped_the_part_within_a_phase_is_left_out() {
        assert_eq!(within(&[0..15, 20..30, 70..90, 95..120], 10..80), 5 + 10 + 10);
        assert_eq!(within(&[0..5, 90..95], 10..80), 0);
        assert_eq!(within(&[0..90, 90..100], 10..80), 70, "it was never its turn");
    }

    #[test]
    fn ticks_add_their_partitions_up() {
        let sample = |t_ms, partition, records| LagSample { t_ms, partition, records, ns: 0 };
        let points = over_partitions(&[sample(100.0, 0, 3), sample(100.0, 1, 4), sample(200.0, 0, 5)]);
        assert_eq!(points, [(0.1, 7.0), (0.2, 5.0)]);
    }
}
