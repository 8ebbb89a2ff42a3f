//! From trials to estimates and verdicts. Pure.

use std::collections::BTreeSet;

use crate::record::{
    Comparison, Configuration, Distribution, Explanation, GrowthVerdict, Phase, PhaseKind, Summary, Trial,
    counting_rounds,
};
use crate::stats::{Better, Compared, Durations, compare, estimate};

/// Percentiles are compared from this many samples on.
const SAMPLES_MIN: u64 = 3_000;

/// Confidence of one configuration's own intervals.
const CONFIDENCE: f64 = 0.95;

/// Estimates of a configuration over its trials of the rounds that count.
pub fn summarise<'a>(trials: impl Iterator<Item = &'a Trial>) -> Summary {
    let valid: Vec<&Trial> = trials.collect();
    let over = |value: &dyn Fn(&Trial) -> Option<f64>| {
        let values: Vec<f64> = valid.iter().filter_map(|t| value(t)).collect();
        (!values.is_empty()).then(|| estimate(&values, CONFIDENCE))
    };
    let steady = || valid.iter().filter_map(|trial| trial.phase(PhaseKind::Steady));
    let grew = steady().filter(|phase| grows(phase)).count();
    let unstable = grew > 0 && 2 * grew >= steady().count();
    // Where most keep up, a phase that grew says nothing of the configuration.
    let quoted = || steady().filter(|phase| unstable || !grows(phase));
    let response = |percentile: fn(&Distribution) -> u64| {
        let values: Vec<f64> =
            quoted().filter_map(|phase| Some(percentile(phase.response_time_ns.as_ref()?) as f64)).collect();
        (!values.is_empty()).then(|| estimate(&values, CONFIDENCE))
    };
    Summary {
        sustained_per_s: over(&|t| throughput(t, PhaseKind::Sustained)),
        drain_per_s: over(&|t| throughput(t, PhaseKind::Drain)),
        response_time_ns: merged(quoted().filter_map(|phase| phase.response_time_ns.as_ref())),
        response_time_ns_p50: response(|d| d.p50),
        response_time_ns_p99: response(|d| d.p99),
        grows: unstable,
        surge_max_lag_records: over(&|t| t.phase(PhaseKind::Surge).map(|s| s.lag.max_records as f64)),
    }
}

fn throughput(trial: &Trial, kind: PhaseKind) -> Option<f64> {
    trial.phase(kind).map(|phase| phase.throughput_per_s)
}

/// Of a steady phase that may be compared: its backlog does not grow, and it has samples enough.
fn response(trial: &Trial, percentile: fn(&Distribution) -> u64) -> Option<f64> {
    let steady = trial.phase(PhaseKind::Steady).filter(|phase| !grows(phase))?;
    let response = steady.response_time_ns.as_ref().filter(|response| response.count >= SAMPLES_MIN)?;
    Some(percentile(response) as f64)
}

/// Whether the backlog of a phase grew.
pub fn grows(phase: &Phase) -> bool {
    phase.grows.is_some_and(|grows| grows.verdict == GrowthVerdict::Grows)
}

/// Several distributions as one; percentiles can't be averaged.
fn merged<'a>(all: impl Iterator<Item = &'a Distribution>) -> Option<Distribution> {
    let merged = all.filter_map(|one| Durations::from_distribution(one).ok()).reduce(|mut sum, one| {
        sum.merge(&one);
        sum
    });
    merged.map(|durations| durations.to_distribution())
}

/// Each configuration against the one that it is measured by: in throughput and, where `percentiles` says so, in response time.
/// The two are families with an error rate each. A configuration whose steady phases grow is in no comparison of percentiles.
pub fn comparisons(configurations: &[Configuration], percentiles: bool) -> Vec<Comparison> {
    let rounds = counting_rounds(configurations);
    let pairs: Vec<(&Configuration, &Configuration)> = (1..configurations.len())
        .filter_map(|index| {
            Some((baseline_of(&configurations[..index], &configurations[index])?, &configurations[index]))
        })
        .collect();
    let mut found = family(&pairs, &rounds, &[SUSTAINED, DRAIN], Better::Higher);
    if percentiles {
        let hold: Vec<_> =
            pairs.iter().copied().filter(|(b, c)| !b.summary.grows && !c.summary.grows).collect();
        found.extend(family(&hold, &rounds, &[P50, P99], Better::Lower));
    }
    found
}

/// What a configuration is compared with: the first that differs in the varied flag alone, else in the mode alone, else in partitions and
/// consumers alone. Of two differences nobody could tell which made the ratio. Only where there is no such, it is the first of the same settings.
fn baseline_of<'a>(earlier: &'a [Configuration], candidate: &Configuration) -> Option<&'a Configuration> {
    let rank = |c: &Configuration| {
        let same_lanes = (c.partitions, c.consumers) == (candidate.partitions, candidate.consumers);
        match (same_lanes, c.mode == candidate.mode, c.settings == candidate.settings) {
            (true, true, _) => Some(0),
            (true, false, true) => Some(1),
            (false, true, true) => Some(2),
            (false, false, true) => Some(3),
            (_, _, false) => None,
        }
    };
    let ranked = earlier.iter().filter_map(|c| Some((rank(c)?, c)));
    ranked.min_by_key(|(rank, _)| *rank).map(|(_, baseline)| baseline)
}

/// One value of a trial, by its name in a result.
struct Metric {
    name: &'static str,
    value: fn(&Trial) -> Option<f64>,
}

const SUSTAINED: Metric = Metric { name: "sustained_per_s", value: |t| throughput(t, PhaseKind::Sustained) };
const DRAIN: Metric = Metric { name: "drain_per_s", value: |t| throughput(t, PhaseKind::Drain) };
const P50: Metric = Metric { name: "response_time_ns_p50", value: |t| response(t, |d| d.p50) };
const P99: Metric = Metric { name: "response_time_ns_p99", value: |t| response(t, |d| d.p99) };

fn family(
    pairs: &[(&Configuration, &Configuration)],
    rounds: &BTreeSet<u32>,
    metrics: &[Metric],
    better: Better,
) -> Vec<Comparison> {
    let mut named = Vec::new();
    let mut values = Vec::new();
    for (baseline, candidate) in pairs {
        let pairs = rounds_of_both(baseline, candidate, rounds);
        for metric in metrics {
            let of_both = |(b, c): &(&Trial, &Trial)| Some(((metric.value)(b)?, (metric.value)(c)?));
            let metric_values: Vec<(f64, f64)> = pairs.iter().filter_map(of_both).collect();
            if !metric_values.is_empty() {
                let explained = (metric.name == DRAIN.name).then(|| explain(&pairs)).flatten();
                named.push((baseline.name.clone(), candidate.name.clone(), metric.name, explained));
                values.push(metric_values);
            }
        }
    }
    let compared = compare(&values, better);
    named
        .into_iter()
        .zip(compared)
        .map(|((baseline, candidate, metric, explained), Compared { ratio, verdict })| Comparison {
            baseline,
            candidate,
            metric: metric.into(),
            ratio,
            verdict,
            explained,
        })
        .collect()
}

/// The rounds that both have, of those that count, as pairs: what differs between rounds cancels out.
fn rounds_of_both<'a>(
    a: &'a Configuration,
    b: &'a Configuration,
    rounds: &'a BTreeSet<u32>,
) -> Vec<(&'a Trial, &'a Trial)> {
    let of = |ta: &'a Trial| Some((ta, b.counting(rounds).find(|tb| tb.round == ta.round)?));
    a.counting(rounds).filter_map(of).collect()
}

/// The factors of one drain: with `n` of `N` events at the busiest consumer, which was busy for `b` of `T` seconds,
/// `N ÷ T = (N ÷ n) × (n ÷ b) × (b ÷ T)`.
fn factors(trial: &Trial) -> Option<[f64; 3]> {
    let drain = trial.phase(PhaseKind::Drain)?;
    let drain_s = drain.lasted_ms / 1e3;
    let all: u64 = drain.consumers.iter().map(|c| c.events).sum();
    let busiest = drain.consumers.iter().max_by_key(|c| c.events)?;
    let usable = busiest.events > 0 && busiest.busy_s > 0.0 && drain_s > 0.0;
    usable.then(|| {
        [all as f64 / busiest.events as f64, busiest.events as f64 / busiest.busy_s, busiest.busy_s / drain_s]
    })
}

/// Candidate ÷ baseline of each factor, as geometric means over the rounds.
fn explain(pairs: &[(&Trial, &Trial)]) -> Option<Explanation> {
    let mut logs = [0.0; 3];
    for (base, candidate) in pairs {
        let (base, candidate) = (factors(base)?, factors(candidate)?);
        for (sum, (b, c)) in logs.iter_mut().zip(base.into_iter().zip(candidate)) {
            *sum += (c / b).ln();
        }
    }
    let [bound, efficiency, tail] = logs.map(|sum| (sum / pairs.len() as f64).exp());
    Some(Explanation { bound, efficiency, tail })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::contender::Lanes;

    /// Such as `1p1c-batch`, with what was varied behind a space.
    fn configuration(text: &str) -> Configuration {
        let (lanes, varied) = text.split_once(' ').unwrap_or((text, ""));
        let Lanes { partitions, consumers, mode } = lanes.parse().unwrap();
        let settings = [("replication".to_owned(), varied.to_owned())];
        Configuration {
            name: text.into(),
            partitions,
            consumers,
            mode: mode.to_string(),
            settings: settings.into_iter().filter(|(_, value)| !value.is_empty()).collect(),
            trials: Vec::new(),
            summary: Summary::default(),
        }
    }

    #[track_caller]
    fn check(names: &[&str], baselines: &[&str]) {
        let all: Vec<_> = names.iter().map(|name| configuration(name)).collect();
        let of = |index: usize| baseline_of(&all[..index], &all[index]).unwrap().name.as_str();
        assert_eq!((1..all.len()).map(of).collect::<Vec<_>>(), baselines);
    }

    #[test]
    fn a_configuration_is_compared_with_one_that_differs_in_one_thing() {
        check(&["1p1c", "3p1c", "3p3c"], &["1p1c", "1p1c"]);
        check(&["1p1c", "1p1c-batch"], &["1p1c"]);
        check(&["1p1c", "3p3c", "1p1c-batch", "3p3c-batch"], &["1p1c", "1p1c", "3p3c"]);
        check(&["1p1c-batch", "1p1c", "3p3c-batch"], &["1p1c-batch", "1p1c-batch"]);
        check(&["1p1c 1", "1p1c 3", "3p3c 1", "3p3c 3"], &["1p1c 1", "1p1c 1", "3p3c 1"]);
        check(&["1p1c 1", "1p1c 3", "1p1c-batch 1", "1p1c-batch 3"], &["1p1c 1", "1p1c 1", "1p1c-batch 1"]);
        check(&["1p1c", "3p3c-batch"], &["1p1c"]);
    }
}
