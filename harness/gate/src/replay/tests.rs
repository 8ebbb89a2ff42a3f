//! What the gate promises at a spread of 5 % between trials, by the built-in rules. examples/gate_power.rs prints more.

use super::*;

const RUNS: u32 = 4_000;

/// Rates by the first `metrics` of the built-in rules, of which the first costs `more`.
fn rates(metrics: usize, cv: f64, more: f64) -> Rates {
    Replay::of(&Rules::built_in(), metrics).simulate(cv, more, RUNS, 30)
}

/// Three standard errors of a rate that is `rate`.
fn errors(rate: f64) -> f64 {
    3.0 * (rate * (1.0 - rate) / f64::from(RUNS)).sqrt()
}

#[test]
fn ten_per_cent_longer_is_caught() {
    for metrics in [1, 3] {
        let found = rates(metrics, 0.05, 0.10);
        assert!(found.regressed >= 0.95 + errors(0.95), "{metrics} metrics: {found:?}");
        assert!(found.mean_rounds < 15.0, "{metrics} metrics: {found:?}");
    }
}

#[test]
fn equal_programs_are_told_to_be() {
    for metrics in [1, 3] {
        let found = rates(metrics, 0.05, 0.0);
        assert!(found.regressed <= 0.025, "{metrics} metrics: {found:?}");
        assert!(found.undecided <= 0.15 - errors(0.15), "{metrics} metrics: {found:?}");
    }
}

#[test]
fn a_worsening_as_large_as_the_tolerance_is_rarely_held() {
    // The bound is not shared among metrics: the others can only take away from this rate.
    for metrics in [1, 3] {
        let tolerance = Rules::built_in().required().map(limit).next().unwrap().exp_m1();
        for cv in [0.02, 0.05, 0.08] {
            let found = rates(metrics, cv, tolerance);
            assert!(found.held <= 0.025 + errors(0.025), "{metrics} metrics at {cv}: {found:?}");
        }
    }
}

#[test]
fn too_much_noise_leaves_it_undecided_and_cries_no_wolf() {
    let found = rates(3, 0.12, 0.0);
    assert!(found.undecided > 0.8, "{found:?}");
    assert!(found.regressed <= 0.025 + errors(0.025), "{found:?}");
}

#[test]
fn what_is_no_number_decides_nothing() {
    let replay = Replay::new(vec![0.06, 0.06]);
    assert_eq!(replay.run(|log_ratios| log_ratios.fill(f64::NAN)), (GateVerdict::Undecided, 30));
    let one_missing = replay.run(|log_ratios| log_ratios.copy_from_slice(&[0.0, f64::NAN]));
    assert_eq!(one_missing, (GateVerdict::Undecided, 30));
}
