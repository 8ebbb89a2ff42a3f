//! The error rates that are promised, by simulation with Student's t, and bounds by hand.

use rand::SeedableRng;
use rand_chacha::ChaCha8Rng;
use rand_distr::{Distribution, StandardNormal};

use super::*;

#[track_caller]
fn near(actual: f64, expected: f64, within: f64) {
    assert!((actual - expected).abs() <= within, "{actual} is not {expected} ± {within}");
}

#[test]
fn the_nominal_levels() {
    near(Design::new(1).regressed_p(), 0.0078, 5e-5);
    let three = Design::new(3);
    near(three.held_p(), Design::new(1).regressed_p(), 1e-12);
    assert!(three.regressed_p() < 0.0078 / 2.0, "{}", three.regressed_p());
    assert!(three.regressed_p() > 0.025 / 15.0, "all looks and metrics apart would be coarser");
}

#[test]
fn bounds_by_hand() {
    // Mean 0.03, standard deviation 0.02·√(6/5), n = 6; t at 5 degrees of freedom.
    let sample: Sample = [0.01, 0.05, 0.01, 0.05, 0.01, 0.05].into_iter().collect();
    let error = 0.02 * 1.2_f64.sqrt() / 6.0_f64.sqrt();
    near(sample.mean, 0.03, 1e-15);
    near(sample.deviation() / 6.0_f64.sqrt(), error, 1e-15);
    // NIST/SEMATECH e-Handbook, section 1.3.6.7.2: t at 5 degrees of freedom is 4.032 at a one-sided 0.5 %, 5.893 at 0.1 %.
    let design = Design::with(&[6], 0.005, 5);
    let look = design.look_after(6).unwrap();
    near(look.t_lower, 5.893, 1e-3);
    near(look.t_upper, 4.032, 1e-3);
    let bounds = look.bounds(&sample);
    near(bounds.lower, 0.03 - 5.893 * error, 1e-4);
    near(bounds.upper, 0.03 + 4.032 * error, 1e-4);
}

#[test]
fn a_sample_of_one_bounds_nothing() {
    let bounds = Design::new(1).quantiles(2).bounds(&[0.5].into_iter().collect());
    assert_eq!((bounds.lower, bounds.upper), (f64::NEG_INFINITY, f64::INFINITY));
}

/// How dependent on each other the metrics are.
#[derive(Clone, Copy, Debug)]
enum Dependence {
    Independent,
    Opposed,
    Same,
}

/// Part of `runs` gates without any effect in which some lower bound was above zero at some look.
fn crossed(design: &Design, metrics: usize, dependence: Dependence, runs: u32) -> f64 {
    let mut rng = ChaCha8Rng::seed_from_u64(20);
    let mut crossings = 0;
    for _ in 0..runs {
        let mut samples = vec![Sample::default(); metrics];
        let mut rounds = 0;
        crossings += u32::from(design.looks().iter().any(|look| {
            while rounds < look.rounds {
                let shared: f64 = StandardNormal.sample(&mut rng);
                for (i, sample) in samples.iter_mut().enumerate() {
                    sample.add(match dependence {
                        Dependence::Independent => StandardNormal.sample(&mut rng),
                        Dependence::Opposed if i % 2 == 1 => -shared,
                        Dependence::Opposed | Dependence::Same => shared,
                    });
                }
                rounds += 1;
            }
            samples.iter().any(|sample| look.bounds(sample).lower > 0.0)
        }));
    }
    f64::from(crossings) / f64::from(runs)
}

/// Three standard errors of a rate of 2.5 % over so many runs.
fn three_errors(runs: u32) -> f64 {
    3.0 * (ERROR_RATE * (1.0 - ERROR_RATE) / f64::from(runs)).sqrt()
}

#[test]
fn one_metric_has_the_error_rate_it_says() {
    let runs = 40_000;
    // That levels of a Brownian walk serve Student's t is an approximation; it shows only within this.
    near(crossed(&Design::new(1), 1, Dependence::Same, runs), ERROR_RATE, three_errors(runs));
}

#[test]
fn several_metrics_share_it_however_they_depend_on_each_other() {
    let (design, runs) = (Design::new(3), 20_000);
    let independent = crossed(&design, 3, Dependence::Independent, runs);
    near(independent, ERROR_RATE, three_errors(runs));
    let opposed = crossed(&design, 3, Dependence::Opposed, runs);
    assert!(opposed <= ERROR_RATE + three_errors(runs), "{opposed}");
    // Three that are one spend a third of what they may.
    near(crossed(&design, 3, Dependence::Same, runs), ERROR_RATE / 3.0, three_errors(runs));
}

#[test]
fn a_level_for_one_metric_would_not_do_for_three() {
    let runs = 20_000;
    let unshared = crossed(&Design::new(1), 3, Dependence::Independent, runs);
    assert!(unshared > 2.0 * ERROR_RATE, "{unshared}");
}

#[test]
fn rounds_needed_and_spread_allowed_say_the_same() {
    let design = Design::new(3);
    for limit in [0.03, 0.06, 0.1] {
        let allowed = design.deviation_allowed(limit);
        assert_eq!(design.rounds_needed(allowed * 0.999, limit), Some(30));
        assert_eq!(design.rounds_needed(allowed * 1.001, limit), Some(31));
    }
    assert_eq!(design.rounds_needed(0.0, 0.06), Some(2), "one round has no spread");
    assert_eq!(design.rounds_needed(50.0, 0.01), None);
    assert_eq!(design.rounds_needed(f64::INFINITY, 0.01), None);
}

#[test]
fn at_the_spread_allowed_nine_of_ten_last_looks_hold() {
    let design = Design::new(3);
    let look = design.look_after(30).unwrap();
    let mut rng = ChaCha8Rng::seed_from_u64(3);
    let (limit, runs) = (0.06, 4_000);
    let deviation = design.deviation_allowed(limit);
    let held = (0..runs)
        .filter(|_| {
            let sample: Sample = (0..30)
                .map(|_| {
                    let z: f64 = StandardNormal.sample(&mut rng);
                    z * deviation
                })
                .collect();
            look.bounds(&sample).upper < limit
        })
        .count() as f64
        / f64::from(runs);
    near(held, 0.9, 0.02);
}
