//! The clock: response times beside those that Lindley's recursion says beforehand, event by event.
//!
//! Arrivals and service times are drawn from seeds, so each event's response time in its lane is known before the trial, but for what the way
//! to the consumer and the write of the view take. That rest is measured where there is hardly any load, and must be the same under load:
//! what it is not, the clock has made up.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use payment_delivery::consumer::Mode;
use payment_delivery::store::DeliveryStore;
use serde::Serialize;

use super::lindley::{departures, mean_of_exponential, mean_of_fixed};
use super::service::{DeadlineStore, ServiceTimes};
use super::{DRAW, SelftestOptions, in_process};
use crate::contender::Lanes;
use crate::error::RunError;
use crate::measure::Timeline;
use crate::record::PhaseKind;
use crate::trial::phase::{Offer, PhaseSpec, plan};
use crate::trial::{Rig, SenderRig, TrialPlace, TrialRunner, TrialSpec};
use crate::workload::Segment;

/// Mean service time.
const SERVICE: Duration = Duration::from_millis(10);
/// How long events are offered.
const LENGTH: Duration = Duration::from_secs(8);
/// A lane that is busy for so small a part of the time is hardly ever waited for.
const NEAR_ZERO: f64 = 0.05;
/// Mean service time there. A shorter one, so that events come nearly as often as in the other trials: on a machine that is woken for each of
/// them the way to the consumer takes half a millisecond longer than on one that is awake.
const SERVICE_NEAR_ZERO: Duration = Duration::from_millis(2);
/// A trial that is wrong is run so often in all.
const TRIES: u32 = 3;
/// How long the sender is frozen.
const FROZEN: Duration = Duration::from_secs(1);

/// The median of measured − predicted may differ by so much from its value near zero load.
pub const MEDIAN_WITHIN_MS: f64 = 0.6;
/// And the tail of a frozen sender from what the recursion says.
pub const TAIL_WITHIN_MS: f64 = 5.0;

/// One trial of the clock.
#[derive(Clone, Debug, Serialize)]
pub struct ClockCase {
    /// Partitions and consumers.
    pub lanes: u32,
    /// Part of the time that a lane is busy, on average.
    pub utilisation: f64,
    /// How service times were drawn.
    pub service: ServiceTimes,
    /// Whether the sender was frozen for a second.
    pub frozen: bool,
    /// Events.
    pub events: usize,
    /// Mean response time as measured.
    pub mean_measured_ms: f64,
    /// The same by the recursion.
    pub mean_predicted_ms: f64,
    /// The same in the long run, by the formula of the queue.
    pub mean_in_theory_ms: f64,
    /// Median of measured − predicted.
    pub median_difference_ms: f64,
    /// The same near zero load, with as many lanes.
    pub near_zero_ms: f64,
    /// 99th percentile of the response time as measured.
    pub p99_measured_ms: f64,
    /// The same by the recursion.
    pub p99_predicted_ms: f64,
    /// The same by a clock that is started when an event is sent.
    pub p99_from_send_ms: f64,
    /// How often it was run, until nothing was wrong; the figures are those of the last time.
    pub tries: u32,
    /// What of it is not within its bound; none where all is.
    pub wrong: Option<String>,
}

/// One case before it is run.
#[derive(Clone, Copy)]
struct Case {
    lanes: u32,
    utilisation: f64,
    service: ServiceTimes,
    frozen: bool,
}

fn cases() -> Vec<Case> {
    let mut cases = Vec::new();
    for lanes in [1, 3] {
        let near_zero = Case { lanes, utilisation: NEAR_ZERO, service: ServiceTimes::Fixed, frozen: false };
        // Before the others, which are held against it, and after: the machine may have changed meanwhile.
        cases.push(near_zero);
        if lanes == 1 {
            let utilisation = 0.3;
            cases.push(Case { lanes, utilisation, service: ServiceTimes::Fixed, frozen: true });
        }
        for utilisation in [0.3, 0.5, 0.7] {
            for service in [ServiceTimes::Fixed, ServiceTimes::Exponential] {
                cases.push(Case { lanes, utilisation, service, frozen: false });
            }
        }
        cases.push(near_zero);
    }
    cases
}

/// Runs all of them, or until one is wrong each time.
pub(super) async fn test(
    options: &SelftestOptions,
    runner: &TrialRunner<'_>,
) -> Result<Vec<ClockCase>, RunError> {
    let mut ran = Vec::new();
    for case in cases() {
        let number = ran.len() as u32 + 1;
        ran.push((case, case.run(number, options, runner).await?));
        judge(&mut ran);
        // A clock that is wrong is so each time, and a machine that stalled is not.
        while let Some(index) = ran.iter().position(|(_, measured)| measured.wrong.is_some()) {
            let (case, before) = &ran[index];
            let tries = before.tries + 1;
            if tries > TRIES {
                return Ok(measured(ran)); // which is enough
            }
            ran[index].1 = ClockCase { tries, ..case.run(index as u32 + 1, options, runner).await? };
            judge(&mut ran);
        }
    }
    Ok(measured(ran))
}

fn measured(ran: Vec<(Case, ClockCase)>) -> Vec<ClockCase> {
    ran.into_iter().map(|(_, measured)| measured).collect()
}

/// Says of each trial what is wrong with it.
fn judge(ran: &mut [(Case, ClockCase)]) {
    for index in 0..ran.len() {
        let near_zero = near_zero_ms(ran, ran[index].0.lanes);
        let measured = &mut ran[index].1;
        measured.near_zero_ms = near_zero;
        measured.wrong = measured.judge();
    }
}

/// The median of measured − predicted near zero load: the least of its trials, since what else a machine does can only add to it.
fn near_zero_ms(ran: &[(Case, ClockCase)], lanes: u32) -> f64 {
    let near_zero = ran.iter().filter(|(case, _)| case.lanes == lanes && case.utilisation <= NEAR_ZERO);
    near_zero.map(|(_, measured)| measured.median_difference_ms).fold(f64::INFINITY, f64::min)
}

/// One event's times, in ms since the phase's start.
struct Timed {
    partition: i32,
    due: f64,
    sent: f64,
    visible: f64,
    service: f64,
}

impl Case {
    fn mean_service(self) -> Duration {
        if self.utilisation > NEAR_ZERO { SERVICE } else { SERVICE_NEAR_ZERO }
    }

    async fn run(
        self,
        number: u32,
        options: &SelftestOptions,
        runner: &TrialRunner<'_>,
    ) -> Result<ClockCase, RunError> {
        let Self { lanes, utilisation, service, frozen } = self;
        let rate_per_s = utilisation * f64::from(lanes) / self.mean_service().as_secs_f64();
        let segment = Segment { rate_per_s, length: LENGTH };
        let seed = options.seed + u64::from(number);
        let phases =
            plan(vec![PhaseSpec::new(PhaseKind::Steady, Offer::Schedule(vec![segment]))], DRAW, seed)?;
        let events = phases[0].plan.events.len();
        let times: Arc<[Duration]> = service.draw(self.mean_service(), events, seed).into();
        let slower = options.service_slower_by;
        let kept: Arc<[Duration]> = times.iter().map(|time| time.mul_f64(1.0 + slower)).collect();
        let around =
            move |inner: Arc<dyn DeliveryStore>, timeline: &Arc<Timeline>| -> Arc<dyn DeliveryStore> {
                DeadlineStore::new(inner, Arc::clone(timeline), Arc::clone(&kept))
            };
        let frozen_at = frozen.then_some(events / 3);
        let sender = frozen_at.map(|at| SenderRig::Freeze { at, length: FROZEN });
        let seen = Mutex::new(Vec::new());
        let look = |timeline: &Timeline| {
            *seen.lock().unwrap_or_else(PoisonError::into_inner) = timed(timeline, &times);
        };
        // Each event is sent at once: how many share a batch would make a difference between little load and much.
        let rig =
            Rig { store: Some(&around), view: None, batch_interval: Duration::ZERO, sender, look: &look };
        let title = format!(
            "clock: {lanes} lanes at {utilisation}, {service:?}{}",
            if frozen { ", sender frozen" } else { "" }
        );
        let configuration = Lanes { partitions: lanes as i32, consumers: lanes, mode: Mode::Record };
        let spec = TrialSpec {
            name: format!("c{number}"),
            title,
            contender: &in_process(options, configuration),
            place: TrialPlace { round: number, position: 1, seed },
            phases: &phases,
            rig: Some(&rig),
            seat: None,
        };
        let trial = Box::pin(runner.trial(&spec)).await?;
        if let Some(finding) = trial.verification.findings.first() {
            let what = finding.message.clone();
            return Err(RunError::Untrue { lanes: configuration, what });
        }
        let seen = std::mem::take(&mut *seen.lock().unwrap_or_else(PoisonError::into_inner));
        let frozen_until =
            frozen_at.map(|event| seen_due(&phases[0].plan, event) + FROZEN.as_secs_f64() * 1e3);
        Ok(self.measured(&seen, frozen_at, frozen_until, options.clock_from_send))
    }

    fn measured(self, seen: &[Timed], from: Option<usize>, until: Option<f64>, from_send: bool) -> ClockCase {
        let Self { lanes, utilisation, service, frozen } = self;
        let mut predicted = vec![0.0; seen.len()];
        for lane in 0..lanes as i32 {
            let of_lane: Vec<usize> = (0..seen.len()).filter(|n| seen[*n].partition == lane).collect();
            let arrival = |n: usize| match (from, until) {
                (Some(from), Some(until)) if n >= from => seen[n].due.max(until),
                _ => seen[n].due,
            };
            let ended = departures(of_lane.iter().map(|n| (arrival(*n), seen[*n].service)));
            for (n, end) in of_lane.into_iter().zip(ended) {
                predicted[n] = end - seen[n].due;
            }
        }
        let from_send_ms: Vec<f64> = seen.iter().map(|event| event.visible - event.sent).collect();
        let measured: Vec<f64> = if from_send {
            from_send_ms.clone()
        } else {
            seen.iter().map(|event| event.visible - event.due).collect()
        };
        let difference: Vec<f64> = measured.iter().zip(&predicted).map(|(m, p)| m - p).collect();
        let mean = |values: &[f64]| values.iter().sum::<f64>() / values.len().max(1) as f64;
        let service_ms = self.mean_service().as_secs_f64() * 1e3;
        ClockCase {
            lanes,
            utilisation,
            service,
            frozen,
            events: seen.len(),
            mean_measured_ms: mean(&measured),
            mean_predicted_ms: mean(&predicted),
            mean_in_theory_ms: match service {
                ServiceTimes::Fixed => mean_of_fixed(utilisation, service_ms),
                ServiceTimes::Exponential => mean_of_exponential(utilisation, service_ms),
            },
            median_difference_ms: at(&difference, 0.5),
            near_zero_ms: f64::NAN,
            p99_measured_ms: at(&measured, 0.99),
            p99_predicted_ms: at(&predicted, 0.99),
            p99_from_send_ms: at(&from_send_ms, 0.99),
            tries: 1,
            wrong: None,
        }
    }
}

impl ClockCase {
    /// What is not within its bound.
    fn judge(&self) -> Option<String> {
        let rest = self.near_zero_ms;
        let moved = self.median_difference_ms - rest;
        if moved.abs() > MEDIAN_WITHIN_MS {
            return Some(format!(
                "the median of measured − predicted is {moved:+.2} ms beside its {rest:.2} ms near zero load"
            ));
        }
        let tail = self.p99_measured_ms - self.p99_predicted_ms - rest;
        (self.frozen && tail.abs() > TAIL_WITHIN_MS).then(|| {
            format!(
                "the p99 of a sender that was frozen is {:.0} ms, where the recursion says {:.0} ms",
                self.p99_measured_ms, self.p99_predicted_ms
            )
        })
    }
}

/// The value at a part of the way from the smallest to the largest, by the nearest rank.
pub(super) fn at(values: &[f64], quantile: f64) -> f64 {
    let mut sorted = values.to_vec();
    sorted.sort_by(f64::total_cmp);
    let rank = (quantile * sorted.len() as f64).ceil() as usize;
    sorted.get(rank.saturating_sub(1)).copied().unwrap_or(f64::NAN)
}

fn seen_due(plan: &crate::workload::Plan, event: usize) -> f64 {
    plan.events[event].due_ns as f64 / 1e6
}

/// All events of the one phase that passed every milestone, in the order of its plan.
fn timed(timeline: &Timeline, times: &[Duration]) -> Vec<Timed> {
    let Some(phase) = timeline.phases().next() else { return Vec::new() };
    let started = timeline.started_ns(phase).unwrap_or(0);
    let since = |ns: u64| (ns as f64 - started as f64) / 1e6;
    let event = |(index, time): (usize, &Duration)| {
        let passed = timeline.passed(index);
        Some(Timed {
            partition: timeline.origin(index)?.partition,
            due: since(passed.due?),
            sent: since(passed.sent?),
            visible: since(passed.visible?),
            service: time.as_secs_f64() * 1e3,
        })
    };
    timeline.range(phase).zip(times).filter_map(event).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    const CASE: Case = Case { lanes: 1, utilisation: 0.5, service: ServiceTimes::Fixed, frozen: false };

    fn judged(case: &ClockCase, near_zero_ms: f64) -> Option<String> {
        ClockCase { near_zero_ms, ..case.clone() }.judge()
    }

    #[test]
    fn near_zero_load_is_the_least_that_its_trials_say() {
        let of = |lanes, utilisation, rest| {
            let case = Case { lanes, utilisation, ..CASE };
            (case, case.measured(&sound(10.0, rest), None, None, false))
        };
        let mut ran = [of(1, NEAR_ZERO, 3.0), of(1, 0.7, 9.0), of(1, NEAR_ZERO, 2.0), of(3, NEAR_ZERO, 5.0)];
        judge(&mut ran);
        let near_zero = ran.each_ref().map(|(_, measured)| measured.near_zero_ms.round());
        let wrong = ran.each_ref().map(|(_, measured)| measured.wrong.is_some());
        assert_eq!((near_zero, wrong), ([2.0, 2.0, 2.0, 5.0], [true, true, false, false]));
    }

    /// Events that a sound lane would have shown, each `rest` ms after its end.
    fn sound(service_ms: f64, rest: f64) -> Vec<Timed> {
        let due = |n: usize| n as f64 * 30.0 - (n % 3) as f64 * 14.0;
        let ended = departures((0..500).map(|n| (due(n), service_ms)));
        let event = |(n, end): (usize, f64)| Timed {
            partition: 0,
            due: due(n),
            sent: due(n),
            visible: end + rest,
            service: 10.0,
        };
        ended.into_iter().enumerate().map(event).collect()
    }

    #[test]
    fn a_sound_clock_differs_from_the_recursion_by_the_rest_alone() {
        let case = CASE.measured(&sound(10.0, 4.0), None, None, false);
        assert!((case.median_difference_ms - 4.0).abs() < 1e-9, "{case:?}");
        assert_eq!((judged(&case, 4.0), judged(&case, 4.5)), (None, None));
        assert!(judged(&case, 3.0).unwrap().contains("+1.00 ms beside its 3.00 ms"));
    }

    #[test]
    fn a_service_slower_than_declared_is_seen() {
        let case = CASE.measured(&sound(10.9, 4.0), None, None, false);
        assert!(judged(&case, 4.0).is_some(), "{case:?}");
    }

    #[test]
    fn a_clock_started_at_the_send_hides_a_frozen_sender() {
        // Everything due after 1 s was sent when the sender woke, a second later.
        let late = |mut events: Vec<Timed>| {
            let wakes = events[100].due + 1_000.0;
            let ended = departures(
                events
                    .iter()
                    .enumerate()
                    .map(|(n, e)| (if n >= 100 { e.due.max(wakes) } else { e.due }, 10.0)),
            );
            for (n, (event, end)) in events.iter_mut().zip(ended).enumerate() {
                event.sent = if n >= 100 { event.due.max(wakes) } else { event.due };
                event.visible = end + 4.0;
            }
            (events, wakes)
        };
        let frozen = Case { frozen: true, ..CASE };
        let (events, wakes) = late(sound(10.0, 4.0));
        let shown = frozen.measured(&events, Some(100), Some(wakes), false);
        assert!(
            judged(&shown, 4.0).is_none() && shown.p99_from_send_ms < 0.8 * shown.p99_measured_ms,
            "{shown:?}"
        );
        let (events, wakes) = late(sound(10.0, 4.0));
        let hidden = frozen.measured(&events, Some(100), Some(wakes), true);
        assert!(judged(&hidden, 4.0).is_some(), "{hidden:?}");
    }

    #[test]
    fn a_quantile_is_a_value_of_the_sample() {
        assert_eq!((at(&[3.0, 1.0, 2.0], 0.5), at(&[3.0, 1.0, 2.0], 0.99)), (2.0, 3.0));
        assert!(at(&[], 0.5).is_nan());
    }
}
