//! What each component does alone, measured between the rounds of a comparison, and each configuration's shares of it.

use std::collections::BTreeSet;
use std::time::Duration;

use payment_delivery::consumer::Mode;
use rand::SeedableRng as _;
use rand::seq::SliceRandom as _;
use rand_chacha::ChaCha8Rng;

use crate::error::RunError;
use crate::job::limits::{
    BULK_ROWS, Measurement, MeasurementContext, MeasurementLength, Replicas, Tally, limits,
};
use crate::job::options::{Contender, Options};
use crate::record::ceilings::{CeilingShare, Ceilings};
use crate::record::limits::Limit;
use crate::record::{Configuration, PhaseKind, Trial, counting_rounds};
use crate::stats::estimate;
use crate::trial::TrialRunner;

/// Confidence of the intervals.
const CONFIDENCE: f64 = 0.95;

/// Of each measurement. Connections, caches and brokers are warm by then: the warm-up of the run was before.
const WARM_UP: Duration = Duration::from_millis(50);
/// What is counted of most.
const COUNTED: Duration = Duration::from_millis(200);
/// Of the broker, which keeps all that is produced until the topic is removed.
const BROKER_COUNTED: Duration = Duration::from_millis(100);
/// Of the load generator, which is measured only once.
const GENERATOR_COUNTED: Duration = Duration::from_millis(300);
/// About what a measurement takes beside its own length: connections, rows, a topic.
const AROUND: Duration = Duration::from_millis(250);
/// The same for the rows that each connection of a bulk measurement has before it.
const FILL: Duration = Duration::from_millis(100);

const CALLS: &str = "Modelled calls: those that the lanes make side by side ÷ the mean time of a call. \
                     Computed, not measured.";

/// The measurements of each round, and what they gave so far.
pub(super) struct ComponentCeilings {
    tallies: Vec<Tally>,
    /// Of the order.
    draws: ChaCha8Rng,
}

impl ComponentCeilings {
    /// All that these contenders need, each once.
    pub(super) fn new(options: &Options) -> Self {
        let mut measurements: Vec<Measurement> = Vec::new();
        let single = |contender: &Contender| Measurement::ProduceSingle { replicas: Replicas::of(contender) };
        let singles = options.contenders.iter().take(1).map(single);
        for measurement in options.contenders.iter().flat_map(needed).chain(singles) {
            if !measurements.contains(&measurement) {
                measurements.push(measurement);
            }
        }
        measurements.push(Measurement::Generator);
        let tallies = measurements.into_iter().map(|measurement| Tally::new(measurement, None));
        Self { tallies: tallies.collect(), draws: ChaCha8Rng::seed_from_u64(options.seed) }
    }

    /// About how long the measurements of a round take.
    pub(super) fn expected(&self) -> Duration {
        let one = |(measurement, length): (Measurement, MeasurementLength)| {
            let fill = match measurement {
                Measurement::StoreBulk { connections, .. } => FILL * connections,
                _ => Duration::ZERO,
            };
            length.warm_up + length.counted + AROUND + fill
        };
        self.of_round(2).into_iter().map(one).sum()
    }

    /// What is measured before a round.
    fn of_round(&self, round: u32) -> Vec<(Measurement, MeasurementLength)> {
        let all = self.tallies.iter().map(|tally| (tally.measurement, length(tally.measurement)));
        all.filter(|(measurement, _)| *measurement != Measurement::Generator || round == 1).collect()
    }

    /// Measures them, in random order.
    pub(super) async fn measure(
        &mut self,
        runner: &TrialRunner<'_>,
        options: &Options,
        round: u32,
    ) -> Result<(), RunError> {
        let Some(first) = options.contenders.first() else { return Ok(()) };
        let mut measurements = self.of_round(round);
        measurements.shuffle(&mut self.draws);
        let name = format!("l{round}");
        let context = MeasurementContext::open(runner, name, Replicas::of(first), options.seed, None).await?;
        let found = Box::pin(context.measure_all(&measurements, |_| {})).await?;
        for ((measurement, _), rates) in measurements.iter().zip(found) {
            let tallies = self.tallies.iter_mut().filter(|tally| tally.measurement == *measurement);
            tallies.for_each(|tally| tally.add(&rates));
        }
        Ok(())
    }

    /// What a result keeps of them so far.
    pub(super) fn record(&self, contenders: &[Contender], configurations: &[Configuration]) -> Ceilings {
        let mut limits = limits(&self.tallies);
        // Which measurement gave each.
        let given_by: Vec<Measurement> = self
            .tallies
            .iter()
            .flat_map(|tally| vec![tally.measurement; tally.measurement.limits().len()])
            .collect();
        let rounds = limits.iter().filter_map(|limit| Some(limit.estimate.as_ref()?.n)).max().unwrap_or(0);
        let counting = counting_rounds(configurations);
        let mut shares = Vec::new();
        for (contender, configuration) in contenders.iter().zip(configurations) {
            let needed = needed(contender);
            let is_beside = |index: &usize| limits[*index].is_ceiling && needed.contains(&given_by[*index]);
            let mut beside: Vec<usize> = (0..given_by.len()).filter(is_beside).collect();
            if let Some(per_s) = contender.calls_per_s() {
                beside.push(limits.len());
                let estimate = Some(estimate(&vec![per_s; rounds], CONFIDENCE));
                limits.push(Limit { is_ceiling: true, estimate, ..Limit::new("calls", CALLS) });
            }
            shares.extend(shares_of(configuration, &limits, &beside, &counting));
        }
        Ceilings { limits, shares }
    }
}

fn length(measurement: Measurement) -> MeasurementLength {
    let counted = match measurement {
        Measurement::Broker { .. } => BROKER_COUNTED,
        Measurement::Generator => GENERATOR_COUNTED,
        _ => COUNTED,
    };
    MeasurementLength { warm_up: WARM_UP, counted }
}

/// What a contender has shares of. Idle consumers write nothing.
fn needed(contender: &Contender) -> Vec<Measurement> {
    let connections = contender.lanes.at_work();
    let mut needed = match contender.lanes.mode {
        Mode::Record => vec![Measurement::Store { connections }, Measurement::View { connections }],
        Mode::Batch | Mode::Keyed(_) => {
            let bulk = BULK_ROWS.map(|rows| Measurement::StoreBulk { rows, connections });
            bulk.into_iter().chain([Measurement::ViewPipelined { connections }]).collect()
        }
    };
    let partitions = contender.lanes.partitions.unsigned_abs();
    needed.push(Measurement::Broker { partitions, replicas: Replicas::of(contender) });
    needed
}

/// A configuration's share of each of these limits, over the rounds that count.
fn shares_of(
    configuration: &Configuration,
    limits: &[Limit],
    beside: &[usize],
    counting: &BTreeSet<u32>,
) -> Vec<CeilingShare> {
    let share = |&index: &usize| {
        let limit = &limits[index];
        // The rates before the rounds, from the first.
        let alone = &limit.estimate.as_ref()?.values;
        let of_round = |trial: &Trial| {
            let alone_per_s = alone.get(trial.round.checked_sub(1)? as usize)?;
            Some(trial.phase(PhaseKind::Sustained)?.throughput_per_s / alone_per_s)
        };
        let ratios: Vec<f64> = configuration.counting(counting).filter_map(of_round).collect();
        (!ratios.is_empty()).then(|| CeilingShare {
            configuration: configuration.name.clone(),
            component: component(&limit.name).to_owned(),
            limit: index,
            share: estimate(&ratios, CONFIDENCE),
            is_nearest: false,
        })
    };
    let mut shares: Vec<CeilingShare> = beside.iter().filter_map(share).collect();
    CeilingShare::mark_nearest(&mut shares);
    shares
}

/// `store` of `store_bulk`.
fn component(limit: &str) -> &str {
    limit.split_once('_').map_or(limit, |(component, _)| component)
}

#[cfg(test)]
mod tests {
    use payment_delivery::consumer::ServiceTime;

    use super::*;
    use crate::record::Summary;

    fn contender(lanes: &str, service_time: ServiceTime) -> Contender {
        Contender { replication: 3, min_isr: 2, service_time, ..Contender::of(lanes.parse().unwrap()) }
    }

    /// What a configuration sustained in each round, and whether the checks held.
    fn configuration(contender: &Contender, rounds: &[(f64, bool)]) -> Configuration {
        let any = lanebench_report::fixture::one_round().configurations.remove(0).trials.remove(0);
        let trial = |(round, &(sustained_per_s, passed)): (u32, &(f64, bool))| {
            let mut trial = Trial { round, ..any.clone() };
            trial.verification.passed = passed;
            for phase in trial.phases.iter_mut().filter(|phase| phase.kind == PhaseKind::Sustained) {
                phase.throughput_per_s = sustained_per_s;
            }
            trial
        };
        Configuration {
            name: contender.name.clone(),
            partitions: contender.lanes.partitions,
            consumers: contender.lanes.consumers,
            mode: contender.lanes.mode.to_string(),
            settings: [].into(),
            trials: (1..).zip(rounds).map(trial).collect(),
            summary: Summary::default(),
        }
    }

    /// Ceilings whose every measurement gave these rates, a round each.
    fn measured(
        contenders: &[Contender],
        rounds: u32,
        rate: fn(Measurement, u32) -> Vec<f64>,
    ) -> ComponentCeilings {
        let mut tallies: Vec<Tally> = Vec::new();
        for measurement in contenders.iter().flat_map(needed) {
            if tallies.iter().all(|tally| tally.measurement != measurement) {
                tallies.push(Tally::new(measurement, None));
            }
        }
        for tally in &mut tallies {
            (1..=rounds).for_each(|round| tally.add(&rate(tally.measurement, round)));
        }
        ComponentCeilings { tallies, draws: ChaCha8Rng::seed_from_u64(1) }
    }

    /// The store is the slowest, and twice as fast from the second round on.
    fn rates(measurement: Measurement, round: u32) -> Vec<f64> {
        match measurement {
            Measurement::Store { connections } => {
                vec![f64::from(connections) * if round == 1 { 1_000.0 } else { 2_000.0 }]
            }
            Measurement::StoreBulk { rows: 500, .. } => vec![20_000.0],
            Measurement::StoreBulk { rows, .. } => vec![f64::from(rows)],
            Measurement::Broker { .. } => vec![100_000.0, 200_000.0],
            _ => vec![50_000.0],
        }
    }

    /// Of one configuration: component, share, and whether it is the nearest.
    fn shares<'a>(ceilings: &'a Ceilings, name: &str) -> Vec<(&'a str, f64, bool)> {
        let own = ceilings.shares.iter().filter(|share| share.configuration == name);
        own.map(|share| (share.component.as_str(), share.share.value, share.is_nearest)).collect()
    }

    #[track_caller]
    fn near(found: f64, expected: f64) {
        assert!((found - expected).abs() < 1e-9, "{found} and not {expected}");
    }

    #[test]
    fn a_share_is_of_the_rate_before_its_own_round_and_the_largest_is_the_nearest() {
        let contenders = [contender("1p1c", ServiceTime::NONE), contender("3p3c", ServiceTime::NONE)];
        let one = configuration(&contenders[0], &[(500.0, true), (1_000.0, true)]);
        let three = configuration(&contenders[1], &[(900.0, true)]);
        let ceilings = measured(&contenders, 2, rates).record(&contenders, &[one, three]);
        let found = shares(&ceilings, "1p1c");
        let named: Vec<(&str, bool)> = found.iter().map(|(name, _, nearest)| (*name, *nearest)).collect();
        assert_eq!(named, [("store", true), ("view", false), ("produce", false), ("fetch", false)]);
        near(found[0].1, 0.5);
        let store = &ceilings.shares[0];
        assert_eq!((store.share.n, store.share.values.as_slice()), (2, [0.5, 0.5].as_slice()));
        assert_eq!(ceilings.limit_of(store).unwrap().name, "store_1");
        let found = shares(&ceilings, "3p3c");
        near(found[0].1, 0.3);
        assert_eq!(ceilings.shares[4].share.n, 1, "the second round's trial has not been run");
        assert_eq!(ceilings.limit_of(&ceilings.shares[4]).unwrap().connections, Some(3));
    }

    #[test]
    fn of_the_sizes_of_a_bulk_call_the_best_is_the_ceiling() {
        let contenders = [contender("1p1c-batch", ServiceTime::NONE)];
        let batch = configuration(&contenders[0], &[(30_000.0, true)]);
        let ceilings = measured(&contenders, 1, rates).record(&contenders, &[batch]);
        assert_eq!(ceilings.limits.iter().filter(|limit| limit.name == "store_bulk").count(), 4);
        let found = shares(&ceilings, "1p1c-batch");
        assert_eq!((found[0].0, found[0].2, found.len()), ("store", true, 4));
        near(found[0].1, 1.5);
        assert_eq!(ceilings.limit_of(&ceilings.shares[0]).unwrap().per_call, Some(500));
    }

    #[test]
    fn a_round_that_is_left_out_is_in_no_share() {
        let contenders = [contender("1p1c", ServiceTime::NONE), contender("3p3c", ServiceTime::NONE)];
        let one = configuration(&contenders[0], &[(500.0, true), (400.0, true)]);
        let three = configuration(&contenders[1], &[(900.0, false), (900.0, true)]);
        let ceilings = measured(&contenders, 2, rates).record(&contenders, &[one, three]);
        let store = &ceilings.shares[0];
        assert_eq!((store.component.as_str(), store.share.values.as_slice()), ("store", [0.2].as_slice()));
        assert_eq!(ceilings.limits[store.limit].estimate.as_ref().unwrap().n, 2);
    }

    #[test]
    fn before_the_first_trial_there_is_no_share() {
        let contenders = [contender("1p1c", ServiceTime::fixed(Duration::from_millis(2)))];
        let none = configuration(&contenders[0], &[]);
        let ceilings = measured(&contenders, 1, rates).record(&contenders, &[none]);
        assert!(ceilings.shares.is_empty() && !ceilings.limits.is_empty());
    }

    #[test]
    fn modelled_calls_have_a_ceiling_that_is_computed() {
        let two = ServiceTime::fixed(Duration::from_millis(2));
        let calls = |lanes: &str| contender(lanes, two).calls_per_s().unwrap();
        near(calls("1p1c"), 500.0);
        near(calls("3p3c-batch"), 1_500.0);
        near(calls("1p3c"), 500.0);
        near(calls("2p1c-keyed16"), 8_000.0);
        let drawn = ServiceTime::uniform(Duration::ZERO, Duration::from_millis(4)).unwrap();
        near(contender("1p1c", drawn).calls_per_s().unwrap(), 500.0);
        assert_eq!(contender("1p1c", ServiceTime::NONE).calls_per_s(), None);

        let contenders = [contender("1p1c", two)];
        let one = configuration(&contenders[0], &[(450.0, true), (450.0, true)]);
        let ceilings = measured(&contenders, 2, rates).record(&contenders, &[one]);
        let found = shares(&ceilings, "1p1c");
        assert_eq!((found[4].0, found[4].2), ("calls", true));
        near(found[4].1, 0.9);
        assert_eq!(ceilings.shares[4].share.n, 2);
    }

    #[test]
    fn replicas_and_lanes_tell_measurements_apart_and_idle_consumers_do_not() {
        let one = contender("3p3c", ServiceTime::NONE);
        let unreplicated = Contender { replication: 1, min_isr: 1, ..one.clone() };
        let idle = contender("3p5c", ServiceTime::NONE);
        assert_eq!(needed(&one), needed(&idle));
        assert_eq!(needed(&one)[..2], needed(&unreplicated)[..2]);
        assert_ne!(needed(&one)[2], needed(&unreplicated)[2]);
    }
}
