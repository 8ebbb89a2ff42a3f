//! What is concluded from rounds of which one knows what they are.

use super::*;
use lanebench_result::gate::{GateTrial, Metric, OnUndecided};

fn rule(metric: Metric, tolerance: f64) -> GateRule {
    GateRule { metric, worse: metric.worse(), tolerance, required: true, undecided: OnUndecided::Fail }
}

/// A round in which every metric of the candidate is this ratio of the baseline's.
fn round(ratio: f64) -> GateRound {
    let trial = |x: f64| GateTrial {
        values: Values {
            throughput_per_s: Some(5_000.0 * x),
            cpu_ns_per_event: Some(200_000.0 * x),
            peak_memory_bytes: Some(8e7 * x),
            steady_p99_ns: Some(4e6 * x),
        },
        ..GateTrial::default()
    };
    GateRound { round: 0, seed: 0, candidate_first: false, baseline: trial(1.0), candidate: trial(ratio) }
}

/// `n` rounds about a ratio, each `off` above or below it.
fn rounds(n: usize, ratio: f64, off: f64) -> Vec<GateRound> {
    (0..n).map(|i| round(ratio * if i % 2 == 0 { 1.0 + off } else { 1.0 / (1.0 + off) })).collect()
}

#[track_caller]
fn check(metric: Metric, rounds: &[GateRound], verdict: MetricVerdict, why: Option<Undecided>) {
    let look = look_at(&Design::new(3), &[rule(metric, 0.06)], rounds);
    assert_eq!((look.metrics[0].verdict, look.metrics[0].why), (verdict, why), "{:?}", look.metrics[0]);
}

#[test]
fn worse_has_a_direction() {
    use MetricVerdict::{Held, Regressed};
    check(Metric::Throughput, &rounds(6, 0.8, 0.01), Regressed, None);
    check(Metric::Throughput, &rounds(6, 1.25, 0.01), Held, None);
    for cost in [Metric::CpuPerEvent, Metric::PeakMemory, Metric::SteadyP99] {
        check(cost, &rounds(6, 1.25, 0.01), Regressed, None);
        check(cost, &rounds(6, 0.8, 0.01), Held, None);
    }
}

#[test]
fn a_tolerance_is_a_part_of_the_baseline() {
    use MetricVerdict::{Held, Regressed};
    // 6 % of throughput is a ratio of 0.94, 6 % of a cost one of 1.06: just within, and just beyond.
    check(Metric::Throughput, &rounds(30, 0.942, 0.001), Held, None);
    check(Metric::Throughput, &rounds(30, 0.938, 0.001), Regressed, None);
    check(Metric::CpuPerEvent, &rounds(30, 1.058, 0.001), Held, None);
    check(Metric::CpuPerEvent, &rounds(30, 1.062, 0.001), Regressed, None);
}

#[test]
fn certain_but_tolerable_is_no_regression() {
    // Three per cent slower beyond doubt.
    let rounds = rounds(30, 0.97, 0.002);
    let look = look_at(&Design::new(3), &[rule(Metric::Throughput, 0.06)], &rounds);
    let measured = look.metrics[0].measured.unwrap();
    assert!(measured.high < 1.0, "{measured:?}");
    check(Metric::Throughput, &rounds, MetricVerdict::Held, None);
}

#[test]
fn why_it_is_undecided() {
    let undecided = MetricVerdict::Undecided;
    let check = |rounds: &[GateRound], why| check(Metric::Throughput, rounds, undecided, Some(why));
    check(&rounds(30, 1.0, 0.3), Undecided::Noise);
    check(&rounds(6, 1.0, 0.3), Undecided::Noise);
    check(&rounds(6, 1.0, 0.05), Undecided::TooFewRounds);
    check(&rounds(30, 0.945, 0.05), Undecided::NearTolerance);
    check(&rounds(1, 0.5, 0.0), Undecided::TooFewRounds);
    check(&[], Undecided::TooFewRounds);
}

#[test]
fn what_looks_better_by_luck_is_not_held_in_noise() {
    use MetricVerdict::{Held, Regressed};
    // By the bounds alone a candidate 25 % faster would be held: its upper bound is below the tolerance.
    let noisy = rounds(6, 1.25, 0.12);
    let look = look_at(&Design::new(3), &[rule(Metric::Throughput, 0.06)], &noisy);
    let measured = look.metrics[0].measured.unwrap();
    assert!(measured.low > 0.94 && measured.spread > measured.spread_allowed, "{measured:?}");
    check(Metric::Throughput, &noisy, MetricVerdict::Undecided, Some(Undecided::Noise));
    // With less noise it is, and what is much slower is regressed in spite of the noise.
    check(Metric::Throughput, &rounds(6, 1.25, 0.05), Held, None);
    check(Metric::Throughput, &rounds(6, 0.5, 0.12), Regressed, None);
}

#[test]
fn between_looks_nothing_is_decided() {
    check(Metric::Throughput, &rounds(7, 0.5, 0.01), MetricVerdict::Undecided, Some(Undecided::TooFewRounds));
    check(
        Metric::Throughput,
        &rounds(31, 0.5, 0.01),
        MetricVerdict::Undecided,
        Some(Undecided::NearTolerance),
    );
}

#[test]
fn what_was_not_measured_in_every_trial_is_undecided() {
    for bad in [None, Some(0.0), Some(-1.0), Some(f64::NAN), Some(f64::INFINITY)] {
        let mut rounds = rounds(6, 0.5, 0.01);
        rounds[3].baseline.values.throughput_per_s = bad;
        check(Metric::Throughput, &rounds, MetricVerdict::Undecided, Some(Undecided::NotMeasured));
        check(Metric::PeakMemory, &rounds, MetricVerdict::Held, None);
    }
}

#[test]
fn equal_values_hold() {
    check(Metric::Throughput, &rounds(6, 1.0, 0.0), MetricVerdict::Held, None);
}

#[test]
fn the_figures_of_a_look() {
    let look = look_at(&Design::new(1), &[rule(Metric::Throughput, 0.06)], &rounds(16, 0.9, 0.05));
    let m = look.metrics[0].measured.unwrap();
    let near = |actual: f64, expected: f64| assert!((actual - expected).abs() < 1e-9 * expected, "{actual}");
    near(m.baseline, 5_000.0);
    near(m.candidate, 4_500.0);
    near(m.ratio, 0.9);
    near(m.spread, 1.05_f64.ln() * (16.0_f64 / 15.0).sqrt() / 2.0_f64.sqrt());
    near(m.low * m.high, 0.81);
    assert!(m.low < 0.9 && m.high > 0.9, "{m:?}");
    assert_eq!(m.rounds_needed.is_some_and(|n| n <= 30), m.spread <= m.spread_allowed, "{m:?}");
}

#[test]
fn no_bound_is_beyond_all_numbers() {
    let look = look_at(&Design::new(3), &[rule(Metric::Throughput, 0.06)], &[round(1e-9), round(1e9)]);
    let m = look.metrics[0].measured.unwrap();
    assert!(m.high.is_finite() && m.low >= 0.0, "{m:?}");
}

#[test]
fn one_regressed_is_enough_and_all_must_be_held() {
    use MetricVerdict::{Held, Regressed, Undecided};
    assert_eq!(conclude([Held, Undecided, Regressed]), Some(GateVerdict::Regressed));
    assert_eq!(conclude([Held, Held]), Some(GateVerdict::Held));
    assert_eq!(conclude([Held, Undecided]), None);
}
