//! The warm-up: discarded trials of every contender in turns, until brokers and programs have settled and a steady rate is
//! proven (docs/method.md, "Warm-up" and "Rates").

use std::num::NonZeroUsize;
use std::thread::available_parallelism;
use std::time::{Duration, Instant};

use super::rates::{self, Capacity, Requested, RoundLength, Sizes};
use super::settled::{Next, Settling, proven};
use super::{TrialPlace, warmed_by_itself};
use crate::contender::Contender;
use crate::error::RunError;
use crate::record::{GrowthVerdict, Pass, PassTrial, PhaseKind, Rates, SeenBy, Surge, Trial, WarmUp};
use crate::trial::phase::{Draw, Offer, PhaseSpec, plan};
use crate::trial::{TrialRunner, TrialSpec};
use crate::workload::Segment;

/// Each later drain lasts about this long.
const DRAIN: Duration = Duration::from_millis(1000);
/// Events of the first drain, enough to wake every part.
const FIRST_EVENTS: u64 = 1500;
/// What the first drain may take where each event takes a known time.
const FIRST_DRAIN: Duration = Duration::from_millis(1500);
/// An open loop lasts this long: some hundred events tell a median.
const OPEN_LOOP: Duration = Duration::from_secs(3);

/// What a warm-up is given.
pub(crate) struct WarmUpSpec<'a> {
    /// All that are compared.
    pub(crate) contenders: &'a [Contender],
    pub(crate) draw: Draw,
    pub(crate) requested: Requested,
    pub(crate) sizes: Sizes,
    pub(crate) limit: Limit,
    /// Events that a worker which can't be held works through in each trial first.
    pub(crate) worker_warm_up: u64,
}

/// How long a warm-up may go on, settled or not. No pass begins that would, by the one before, end later.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Limit {
    /// After its start.
    pub(crate) longest: Duration,
    /// Time that it leaves for rounds, once it took half of that.
    pub(crate) leaves: Option<Leaves>,
}

/// Time for so many rounds, each as long as the best that its contenders have shown so far makes it: what has not settled gets faster.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Leaves {
    /// When they should have ended.
    pub(crate) until: Instant,
    /// How many.
    pub(crate) rounds: u32,
}

impl Limit {
    /// Whether another pass like the last one, which took `pass` of the `elapsed` time, would be too much before rounds of this length.
    /// A surge counts for nothing here: cold programs differ by more than warm ones, and rounds that have not settled are worth less than
    /// a surge.
    fn forbids(&self, elapsed: Duration, pass: Duration, round: RoundLength) -> bool {
        let late = |leaves: Leaves| Instant::now() + pass + round.plain * leaves.rounds > leaves.until;
        let ends = elapsed + pass;
        ends > self.longest || (ends > self.longest / 2 && self.leaves.is_some_and(late))
    }
}

/// What a warm-up leaves.
pub(crate) struct WarmedUp {
    pub(crate) record: WarmUp,
    /// By contender.
    pub(crate) capacities: Vec<Capacity>,
    /// What a trial takes beside its phases: topics, joining, checks.
    pub(crate) around: Duration,
    /// How long a round of all contenders will last.
    pub(crate) round: RoundLength,
    /// By how much later than it was done 99 of 100 events are seen to be, by contender; none of those that tell themselves.
    pub(crate) seen_late: Vec<Option<SeenLate>>,
}

/// How late a worker that is watched from outside is seen to have done something.
#[derive(Clone, Copy, Debug)]
pub(crate) struct SeenLate {
    pub(crate) by: SeenBy,
    /// Of 99 in 100 events, at most.
    pub(crate) p99: Duration,
}

impl SeenLate {
    fn of(trial: &Trial) -> Option<Self> {
        let worker = trial.worker.as_ref()?;
        let p99 = Duration::from_nanos(worker.late_by_ns.as_ref()?.p99);
        Some(Self { by: worker.seen_by?, p99 })
    }
}

/// Runs passes until all have settled, or the limit is reached.
pub(crate) async fn warm_up(runner: &TrialRunner<'_>, spec: &WarmUpSpec<'_>) -> Result<WarmedUp, RunError> {
    let begun = Instant::now();
    let mut settling = Settling::new(available_parallelism().map_or(1, NonZeroUsize::get));
    let mut capacities: Vec<Option<Capacity>> = vec![None; spec.contenders.len()];
    let mut best: Vec<Capacity> = Vec::new();
    let mut around = Duration::ZERO;
    let mut number = 0;
    loop {
        number += 1;
        let pass_begun = Instant::now();
        let known: Vec<Capacity> = capacities.iter().flatten().copied().collect();
        let open_loop_per_s = open_loop(spec, &known, settling.lowered());
        let mut pass = Pass::default();
        let mut seen_late = Vec::new();
        for (capacity, contender) in capacities.iter_mut().zip(spec.contenders) {
            let phases = phases(spec, contender, *capacity, open_loop_per_s);
            let done = Box::pin(one(runner, spec, contender, number, phases)).await?;
            *capacity = Some(Capacity {
                drain_per_s: done.found.drain_per_s,
                sustained_per_s: done.found.sustained_per_s,
            });
            if number == 1 {
                runner.progress.provisional(&contender.name, done.found.drain_per_s);
            }
            pass.configurations.insert(contender.name.clone(), done.found);
            seen_late.push(done.seen_late);
            around = around.max(done.around);
        }
        let proven_per_s = proven(&pass);
        let next = settling.add(pass, spec.requested.rate_per_s.is_none());
        let capacities: Vec<Capacity> = capacities.iter().flatten().copied().collect();
        let unproven_per_s = || rates::steady_per_s(rates::smallest(&capacities), settling.lowered());
        let steady_per_s = proven_per_s.unwrap_or_else(unproven_per_s);
        let rates = rates::fix(&capacities, spec.requested, spec.sizes, steady_per_s);
        best.resize(capacities.len(), Capacity::default());
        best.iter_mut().zip(&capacities).for_each(|(best, now)| *best = best.max(*now));
        let hoped = rates::steady_per_s(rates::smallest(&best), settling.lowered());
        let hoped = rates::fix(&best, spec.requested, spec.sizes, hoped);
        let hoped = round_length(spec, &hoped, &best, around);
        if next == Next::Rounds || spec.limit.forbids(begun.elapsed(), pass_begun.elapsed(), hoped) {
            let round = round_length(spec, &rates, &capacities, around);
            let record = record(settling, spec, &capacities, rates, begun.elapsed());
            return Ok(WarmedUp { record, capacities, around, round, seen_late });
        }
    }
}

/// How long a round of all contenders lasts, by the plan's own lengths.
fn round_length(
    spec: &WarmUpSpec<'_>,
    rates: &Rates,
    capacities: &[Capacity],
    around: Duration,
) -> RoundLength {
    let surge = rates::possible_surge(capacities, spec.requested, spec.sizes);
    let of = |surge: Option<&Surge>| -> Duration {
        let lengths = spec.contenders.iter().zip(capacities).map(|(contender, capacity)| {
            let own: u64 =
                warmed_by_itself(contender, spec.worker_warm_up).iter().map(PhaseSpec::events).sum();
            let own = Duration::from_secs_f64(own as f64 / capacity.drain_per_s.max(1.0));
            let rates = rates::of(rates, *capacity, spec.requested);
            own + around + rates::length(&rates, *capacity, spec.sizes, surge)
        });
        lengths.sum()
    };
    RoundLength { plain: of(None), surge: of(surge.as_ref()).saturating_sub(of(None)) }
}

fn record(
    settling: Settling,
    spec: &WarmUpSpec<'_>,
    capacities: &[Capacity],
    rates: Rates,
    took: Duration,
) -> WarmUp {
    let (passes, settled) = settling.into_passes();
    let names = spec.contenders.iter().map(|contender| contender.name.clone());
    WarmUp {
        settled,
        took_s: took.as_secs_f64(),
        passes,
        sustained_per_s: names.zip(capacities.iter().map(|capacity| capacity.sustained_per_s)).collect(),
        rates,
    }
}

/// The rate of a pass's open loop; none where the trials will have none, or nothing is known yet.
fn open_loop(spec: &WarmUpSpec<'_>, known: &[Capacity], lowered: u32) -> Option<f64> {
    if spec.sizes.steady_events <= 0.0 || known.is_empty() {
        return None;
    }
    Some(spec.requested.rate_per_s.unwrap_or_else(|| rates::steady_per_s(rates::smallest(known), lowered)))
}

/// What a contender does in a pass: what it will do in a trial, but shorter.
fn phases(
    spec: &WarmUpSpec<'_>,
    contender: &Contender,
    capacity: Option<Capacity>,
    open_loop_per_s: Option<f64>,
) -> Vec<PhaseSpec> {
    let events = match capacity {
        Some(capacity) => ((capacity.drain_per_s * DRAIN.as_secs_f64()) as u64).clamp(500, 50_000),
        None => first_events(contender),
    };
    let mut phases = warmed_by_itself(contender, spec.worker_warm_up);
    phases.push(PhaseSpec::new(PhaseKind::Drain, Offer::Backlog { events }));
    // Of the first drain little is known, so a shorter loop has as many events as it could possibly need.
    let sizes = match capacity {
        Some(_) => spec.sizes,
        None => Sizes { settle: spec.sizes.settle / 2, counted: spec.sizes.counted / 3, ..spec.sizes },
    };
    let expected_per_s = capacity.map_or(events as f64 / FIRST_DRAIN.as_secs_f64() * 4.0, |c| c.drain_per_s);
    phases.extend(rates::sustained(expected_per_s, sizes));
    phases.extend(open_loop_per_s.map(|rate_per_s| {
        let segment = Segment { rate_per_s, length: OPEN_LOOP };
        PhaseSpec::new(PhaseKind::Steady, Offer::Schedule(vec![segment]))
    }));
    phases
}

/// Enough to wake every part, and, where each event takes a known time, no more than this takes.
fn first_events(contender: &Contender) -> u64 {
    let Some(calls_per_s) = contender.calls_per_s() else { return FIRST_EVENTS };
    ((FIRST_DRAIN.as_secs_f64() * calls_per_s) as u64).clamp(100, FIRST_EVENTS)
}

/// A warm-up trial.
struct Done {
    found: PassTrial,
    around: Duration,
    seen_late: Option<SeenLate>,
}

async fn one(
    runner: &TrialRunner<'_>,
    spec: &WarmUpSpec<'_>,
    contender: &Contender,
    number: u32,
    phases: Vec<PhaseSpec>,
) -> Result<Done, RunError> {
    let seed = u64::from(number);
    let phases = plan(phases, spec.draw, seed)?;
    let trial = TrialSpec {
        name: format!("w{number}.{}", contender.name),
        title: format!("warm-up {number}, {}", contender.name),
        contender,
        place: TrialPlace { round: 0, position: 0, seed },
        phases: &phases,
        rig: None,
        seat: None,
    };
    let begun = Instant::now();
    let trial = runner.trial(&trial).await.map_err(|error| error.of(&contender.name))?;
    let took = begun.elapsed();
    let found = found(&trial);
    if found.drain_per_s <= 0.0 {
        return Err(RunError::Load(format!("the warm-up of {} made no event visible", contender.name)));
    }
    let measured = trial.phases.iter().map(|phase| phase.lasted_ms / 1e3).sum();
    let seen_late = SeenLate::of(&trial);
    Ok(Done { found, seen_late, around: took.saturating_sub(Duration::from_secs_f64(measured)) })
}

/// What a pass keeps of a trial.
fn found(trial: &Trial) -> PassTrial {
    let throughput = |kind| trial.phase(kind).map_or(0.0, |phase| phase.throughput_per_s);
    let drain_per_s = throughput(PhaseKind::Drain);
    let sustained_per_s = throughput(PhaseKind::Sustained);
    let open_loop = trial.phase(PhaseKind::Steady);
    // Of the closed loop, whose rate is the configuration's own in every pass: brokers cost more an event at a lower rate.
    let closed_loop = trial.phase(PhaseKind::Sustained).map(std::slice::from_ref);
    let judged = closed_loop.unwrap_or(&trial.phases);
    let events: u64 = judged.iter().map(|phase| phase.events).sum();
    let brokers = judged.iter().flat_map(|phase| &phase.resources).filter(|used| used.name == "kafka");
    let broker_s = brokers.map(|used| used.cpu_s).reduce(|a, b| a + b);
    PassTrial {
        drain_per_s,
        sustained_per_s: if sustained_per_s > 0.0 { sustained_per_s } else { drain_per_s },
        offered_per_s: open_loop.and_then(|phase| phase.planned_per_s),
        response_time_ns_p50: open_loop
            .and_then(|phase| phase.response_time_ns.as_ref())
            .map(|response| response.p50),
        grows: open_loop.and_then(|phase| phase.grows).map(|grows| grows.verdict == GrowthVerdict::Grows),
        jit_cores: trial.jit_cores,
        broker_cpu_ns_per_event: broker_s.filter(|_| events > 0).map(|cpu_s| cpu_s * 1e9 / events as f64),
        untrue: !trial.verification.passed,
    }
}

#[cfg(test)]
mod tests {
    use payment_delivery::consumer::ServiceTime;

    use super::*;

    fn contender(lanes: &str, service_time: ServiceTime) -> Contender {
        Contender { service_time, ..Contender::of(lanes.parse().unwrap()) }
    }

    #[test]
    fn a_modelled_call_shortens_the_first_drain() {
        let ms = Duration::from_millis;
        let first = |lanes, call| first_events(&contender(lanes, ServiceTime::fixed(ms(call))));
        assert_eq!(first("1p1c", 0), 1500);
        assert_eq!(first("1p1c", 2), 750);
        assert_eq!(first("3p3c", 2), 1500, "no more than without");
        assert_eq!(first("1p1c", 1000), 100, "and never next to none");
        assert_eq!(first("1p1c-batch", 2), 750, "a batch makes its calls one after another");
        assert_eq!(first("1p1c-keyed4", 10), 600, "four calls at once");
        assert_eq!(first("3p2c-keyed4", 10), 1200, "for each consumer that has a lane");
        let drawn = ServiceTime::uniform(ms(1), ms(3)).unwrap();
        assert_eq!(first_events(&contender("1p1c", drawn)), 750, "2 ms on average");
    }

    #[test]
    fn a_warm_up_leaves_time_for_the_rounds() {
        let s = Duration::from_secs;
        let round = RoundLength { plain: s(30), surge: s(0) };
        let forbids = |left, elapsed| {
            let leaves = Leaves { until: Instant::now() + s(left), rounds: 4 };
            Limit { longest: s(96), leaves: Some(leaves) }.forbids(s(elapsed), s(20), round)
        };
        assert!(!forbids(150, 60), "20 s for a pass, 120 s for the rounds");
        assert!(forbids(130, 60));
        assert!(!forbids(130, 20), "half of its part it may take in any case");
        assert!(forbids(999, 80), "and no more than all of it");
    }

    #[test]
    fn a_pass_does_what_a_trial_will_do() {
        let spec = WarmUpSpec {
            contenders: &[],
            draw: Draw {
                keys: crate::workload::Keys::Uniform,
                orders: None,
                events_per_order: 5,
                arrivals: crate::workload::Arrivals::Constant,
            },
            requested: Requested::default(),
            sizes: Sizes::MEASUREMENT,
            limit: Limit { longest: Duration::from_secs(100), leaves: None },
            worker_warm_up: 0,
        };
        let one = contender("1p1c", ServiceTime::NONE);
        let kinds = |spec: &WarmUpSpec<'_>, capacity, rate| -> Vec<PhaseKind> {
            phases(spec, &one, capacity, rate).iter().map(|phase| phase.kind).collect()
        };
        use PhaseKind::{Drain, Steady, Sustained};
        let capacity = Capacity { drain_per_s: 2000.0, sustained_per_s: 1000.0 };
        assert_eq!(open_loop(&spec, &[], 0), None, "nothing is known of the first pass");
        assert_eq!(kinds(&spec, None, None), [Drain, Sustained]);
        assert_eq!(open_loop(&spec, &[capacity], 0), Some(600.0));
        assert_eq!(kinds(&spec, Some(capacity), Some(600.0)), [Drain, Sustained, Steady]);
        let gate = WarmUpSpec { sizes: Sizes { steady_events: 0.0, ..Sizes::GATE }, ..spec };
        assert_eq!(open_loop(&gate, &[capacity], 0), None);
        assert_eq!(kinds(&gate, Some(capacity), None), [Drain]);
    }
}
