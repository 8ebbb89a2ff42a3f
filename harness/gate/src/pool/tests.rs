//! Pools of which the truth is known.

use rand_distr::{Distribution, StandardNormal};

use super::*;

/// A pool of equal noise in every metric (`cv` of a trial), in which the candidate takes `more` time and CPU an event.
fn pool(rounds: usize, cv: f64, more: f64, seed: u64) -> Vec<(Values, Values)> {
    let mut rng = ChaCha8Rng::seed_from_u64(seed);
    let mut trial = |more: f64| {
        let mut noisy = |value: f64| {
            let z: f64 = StandardNormal.sample(&mut rng);
            Some(value * (cv * z).exp())
        };
        Values {
            throughput_per_s: noisy(5_000.0 / (1.0 + more)),
            cpu_ns_per_event: noisy(200_000.0 * (1.0 + more)),
            peak_memory_bytes: noisy(8e7),
            steady_p99_ns: None,
        }
    };
    (0..rounds).map(|_| (trial(0.0), trial(more))).collect()
}

fn of(rounds: &[(Values, Values)]) -> Pool {
    Pool::new(rounds, &Rules::built_in()).unwrap()
}

#[test]
fn equal_programs_are_held() {
    let rates = of(&pool(120, 0.05, 0.0, 1)).rates(Draw::Null, 2_000, 1);
    assert!(rates.regressed <= 0.025, "{rates:?}");
    assert!(rates.undecided <= 0.15, "{rates:?}");
    assert!((rates.regressed + rates.held + rates.undecided - 1.0).abs() < 1e-9, "{rates:?}");
}

#[test]
fn a_slower_one_is_caught() {
    let rates = of(&pool(120, 0.05, 0.10, 2)).rates(Draw::Power, 2_000, 1);
    assert!(rates.regressed >= 0.95, "{rates:?}");
    assert!(rates.mean_rounds < 20.0, "{rates:?}");
}

#[test]
fn swapped_labels_make_a_null_of_any_pool() {
    // A candidate twice as slow: with its labels it is always caught, without them the two can't be told apart.
    let pool = of(&pool(120, 0.05, 1.0, 3));
    assert_eq!(pool.rates(Draw::Power, 200, 1).regressed, 1.0);
    let null = pool.rates(Draw::Null, 2_000, 1);
    let three_errors = 3.0 * (0.025_f64 * 0.975 / 2_000.0).sqrt();
    assert!(null.regressed <= 0.025 + three_errors, "{null:?}");
    assert!(null.held < 0.05, "by its labels alone such a pool is far too noisy to hold: {null:?}");
}

#[test]
fn labels_are_swapped_for_all_metrics_of_a_round_and_no_round_comes_twice() {
    let rounds: Vec<[f64; 2]> = (1..=40).map(|i| [f64::from(i), -2.0 * f64::from(i)]).collect();
    let rounds: Vec<&[f64]> = rounds.iter().map(<[f64; 2]>::as_slice).collect();
    let mut order: Vec<usize> = (0..rounds.len()).collect();
    let mut rng = ChaCha8Rng::seed_from_u64(1);
    let mut next = swapped(&rounds, &mut order, &mut rng);
    let mut drawn: Vec<f64> = (0..40)
        .map(|_| {
            let mut ratios = [0.0; 2];
            next(&mut ratios);
            assert_eq!(ratios[1], -2.0 * ratios[0], "one coin for the whole round");
            ratios[0]
        })
        .collect();
    let turned = drawn.iter().filter(|&&x| x < 0.0).count();
    assert!((10..=30).contains(&turned), "{turned} of 40 swapped");
    drawn.iter_mut().for_each(|x| *x = x.abs());
    drawn.sort_unstable_by(f64::total_cmp);
    assert_eq!(drawn, (1..=40).map(f64::from).collect::<Vec<_>>());
}

#[test]
fn the_interval_is_that_of_the_pool() {
    // Between held and caught, where every resampled pool has its own rate.
    let pool = of(&pool(60, 0.05, 0.065, 5));
    let width = |gates| {
        let found = pool.rates_with_intervals(Draw::Power, 100, gates, 1).regressed;
        assert!((0.0..=1.0).contains(&found.low) && found.low < found.high, "{found:?}");
        found.high - found.low
    };
    let (few, many) = (width(50), width(400));
    assert!(many > 0.2, "more gates from the same rounds know no more: {few} and {many}");
    assert!(many > few * 0.6, "not as the root of eight: {few} and {many}");
}

#[test]
fn the_interval_covers_the_truth() {
    // The true rate, from draws of fresh noise; then pools of which each knows its sample only.
    let truth = of(&pool(20_000, 0.05, 0.055, 6)).rates(Draw::Power, 4_000, 1).regressed;
    assert!((0.5..0.9).contains(&truth), "{truth}");
    let pools = 60;
    let covered = (0..pools)
        .filter(|i| {
            let found =
                of(&pool(120, 0.05, 0.055, 100 + i)).rates_with_intervals(Draw::Power, 50, 40, *i).regressed;
            (found.low..=found.high).contains(&truth)
        })
        .count();
    assert!(covered >= 50, "{covered} of {pools} intervals of 95 % cover {truth}");
}

#[test]
fn what_is_too_small_or_not_measured() {
    let rules = Rules::built_in();
    let mut rounds = pool(30, 0.05, 0.0, 7);
    assert!(Pool::new(&rounds, &rules).is_ok(), "steady-p99 is missing, and advisory");
    let small = Pool::new(&rounds[1..], &rules).unwrap_err();
    assert_eq!(small.to_string(), "a pool of 29 rounds is too small: it takes 30");
    rounds[4].1.peak_memory_bytes = Some(0.0);
    let missing = Pool::new(&rounds, &rules).unwrap_err();
    assert_eq!(
        missing.to_string(),
        "round 5 of the pool (from 1) has no peak-memory, which the rules require"
    );
}

#[test]
fn draws_repeat_with_their_seed() {
    let pool = of(&pool(60, 0.08, 0.05, 8));
    let drawn = |seed| pool.rates_with_intervals(Draw::Null, 10, 20, seed);
    assert_eq!(drawn(5), drawn(5));
    assert_ne!(drawn(5), drawn(6));
}

#[test]
fn exact_intervals_agree_with_published_tables() {
    // Two-sided 95 %, as in Geigy's Scientific Tables, "Exact confidence limits for p".
    let check = |hits, runs, low: f64, high: f64| {
        let found = clopper_pearson(hits, runs);
        assert!(
            (found.low - low).abs() < 5e-5 && (found.high - high).abs() < 5e-5,
            "{hits}/{runs}: {found:?}"
        );
    };
    check(0, 20, 0.0, 0.1684);
    check(1, 20, 0.0013, 0.2487);
    check(10, 20, 0.2720, 0.7280);
    check(20, 20, 0.8316, 1.0);
    check(0, 0, 0.0, 1.0);
}
