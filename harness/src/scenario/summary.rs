//! From trials to estimates and verdicts. Pure.

use crate::record::{Comparison, Configuration, Explanation, Summary, Trial};
use crate::stats::{Better, Compared, compare, estimate};

/// Confidence of one configuration's own intervals.
const CONFIDENCE: f64 = 0.95;

/// Estimates over the trials whose checks held; those of the others are void.
pub fn summarise(trials: &[Trial]) -> Summary {
    let valid: Vec<&Trial> = trials.iter().filter(|t| t.verification.passed).collect();
    let over = |value: fn(&Trial) -> Option<f64>| {
        let values: Vec<f64> = valid.iter().filter_map(|t| value(t)).collect();
        (!values.is_empty()).then(|| estimate(&values, CONFIDENCE))
    };
    Summary {
        throughput_per_s: over(|t| Some(t.throughput_per_s)),
        response_time_ns_p50: over(|t| response(t, t.steady.response_time_ns.p50)),
        response_time_ns_p99: over(|t| response(t, t.steady.response_time_ns.p99)),
        surge_max_lag_records: over(|t| t.surge.as_ref().map(|s| s.max_lag_records as f64)),
    }
}

fn response(trial: &Trial, ns: u64) -> Option<f64> {
    (trial.steady.response_time_ns.count > 0).then_some(ns as f64)
}

/// Each later configuration against the first, in throughput and, where rates allow it, in p99.
///
/// All comparisons share one error rate, so the more there are, the wider each interval.
pub fn comparisons(configurations: &[Configuration], percentiles: bool) -> Vec<Comparison> {
    let Some((baseline, candidates)) = configurations.split_first() else { return Vec::new() };
    let metrics: &[Metric] = if percentiles { &[THROUGHPUT, P99] } else { &[THROUGHPUT] };
    let shared_by = candidates.len() * metrics.len();
    let mut all = Vec::new();
    for candidate in candidates {
        let pairs = rounds_of_both(baseline, candidate);
        if pairs.is_empty() {
            continue;
        }
        for metric in metrics {
            let values: Vec<(f64, f64)> =
                pairs.iter().map(|(b, c)| ((metric.value)(b), (metric.value)(c))).collect();
            let Compared { ratio, verdict } = compare(&values, metric.better, shared_by);
            all.push(Comparison {
                baseline: baseline.name.clone(),
                candidate: candidate.name.clone(),
                metric: metric.name.into(),
                ratio,
                verdict,
                explained: (metric.name == THROUGHPUT.name).then(|| explain(&pairs)).flatten(),
            });
        }
    }
    all
}

struct Metric {
    name: &'static str,
    better: Better,
    value: fn(&Trial) -> f64,
}

const THROUGHPUT: Metric =
    Metric { name: "throughput_per_s", better: Better::Higher, value: |t| t.throughput_per_s };
const P99: Metric = Metric {
    name: "response_time_ns_p99",
    better: Better::Lower,
    value: |t| t.steady.response_time_ns.p99 as f64,
};

/// The rounds in which both passed, as pairs: what differs between rounds cancels out.
fn rounds_of_both<'a>(a: &'a Configuration, b: &'a Configuration) -> Vec<(&'a Trial, &'a Trial)> {
    let valid = |c: &'a Configuration| c.trials.iter().filter(|t| t.verification.passed);
    valid(a).filter_map(|ta| valid(b).find(|tb| tb.round == ta.round).map(|tb| (ta, tb))).collect()
}

/// The factors of one drain: with `n` of `N` events at the busiest consumer, which was busy for `b` of `T` seconds,
/// `N ÷ T = (N ÷ n) × (n ÷ b) × (b ÷ T)`.
fn factors(trial: &Trial) -> Option<[f64; 3]> {
    let all: u64 = trial.consumers.iter().map(|c| c.events).sum();
    let busiest = trial.consumers.iter().max_by_key(|c| c.events)?;
    let usable = busiest.events > 0 && busiest.busy_s > 0.0 && trial.drain_s > 0.0;
    usable.then(|| {
        [
            all as f64 / busiest.events as f64,
            busiest.events as f64 / busiest.busy_s,
            busiest.busy_s / trial.drain_s,
        ]
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
