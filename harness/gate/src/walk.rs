//! How often a Brownian walk crosses a constant bound at any of several looks: the sum over the looks is the chance of
//! a false alarm, and the bound at which that sum is the error rate is what a look may use.
//!
//! The recursion is that of Armitage, McPherson and Rowe ("Repeated significance tests on accumulating data", 1969); one
//! nominal level for all looks is Pocock's ("Group sequential methods in the design and analysis of clinical trials",
//! 1977). Simpson's rule, as in Jennison and Turnbull ("Group Sequential Methods", 2000, chapter 19).

use statrs::distribution::{ContinuousCDF, Normal};

/// Intervals of Simpson's rule at each look. Four times as many change a chance by less than 1e-6.
const STEPS: usize = 128;

/// The walk is followed down to this many standard deviations below its mean; what lies below weighs under 1e-14.
const TAIL: f64 = 8.0;

/// Halvings of the interval in which the bound is sought: to 1e-11.
const HALVINGS: usize = 40;

/// The one-sided level of a single look at which the chance of crossing at any look is `error_rate` under the null.
///
/// `looks` are the sample sizes, rising. `error_rate` is within 0 to 0.5, both excluded.
pub(super) fn nominal_p(looks: &[u32], error_rate: f64) -> f64 {
    let (mut low, mut high) = (0.0, TAIL);
    for _ in 0..HALVINGS {
        let middle = f64::midpoint(low, high);
        if crossing(looks, middle) > error_rate {
            low = middle;
        } else {
            high = middle;
        }
    }
    above(f64::midpoint(low, high))
}

/// The chance that a walk without drift is `bound` standard deviations or more above zero at any look.
fn crossing(looks: &[u32], bound: f64) -> f64 {
    crossing_in(looks, bound, STEPS)
}

fn crossing_in(looks: &[u32], bound: f64, steps: usize) -> f64 {
    let Some((&first, later)) = looks.split_first() else {
        return 0.0;
    };
    let mut crossed = above(bound);
    let mut spread = f64::from(first).sqrt();
    // The walks that have not crossed: (where, how many of them).
    let mut walking: Vec<(f64, f64)> = grid(bound, spread, steps)
        .map(|(sum, weight)| (sum, weight * density(sum / spread) / spread))
        .collect();
    let mut so_far = first;
    for &look in later {
        let step = f64::from(look - so_far).sqrt();
        spread = f64::from(look).sqrt();
        so_far = look;
        crossed +=
            walking.iter().map(|&(sum, mass)| mass * above((bound * spread - sum) / step)).sum::<f64>();
        walking = grid(bound, spread, steps)
            .map(|(to, weight)| {
                let arriving: f64 =
                    walking.iter().map(|&(from, mass)| mass * density((to - from) / step)).sum();
                (to, weight * arriving / step)
            })
            .collect();
    }
    crossed
}

/// Simpson's points and weights from far below up to the bound, in units of the sum.
fn grid(bound: f64, spread: f64, steps: usize) -> impl Iterator<Item = (f64, f64)> {
    let width = (bound + TAIL) * spread / steps as f64;
    (0..=steps).map(move |i| {
        let factor = match i {
            _ if i == 0 || i == steps => 1.0,
            _ if i % 2 == 1 => 4.0,
            _ => 2.0,
        };
        (-TAIL * spread + i as f64 * width, factor * width / 3.0)
    })
}

/// Density of the standard normal distribution.
fn density(z: f64) -> f64 {
    (-0.5 * z * z).exp() / std::f64::consts::TAU.sqrt()
}

/// The chance that a standard normal value is above `z`.
fn above(z: f64) -> f64 {
    Normal::standard().sf(z)
}

#[cfg(test)]
mod tests {
    use super::*;

    const LOOKS: [u32; 5] = [6, 10, 16, 22, 30];

    #[track_caller]
    fn near(actual: f64, expected: f64, within: f64) {
        assert!((actual - expected).abs() <= within, "{actual} is not {expected} ± {within}");
    }

    #[test]
    fn one_look_needs_no_correction() {
        near(nominal_p(&[30], 0.025), 0.025, 1e-9);
    }

    #[test]
    fn equal_looks_agree_with_published_constants() {
        // Jennison and Turnbull (2000), table 2.1: Pocock's constants at a two-sided 5 %, read here as one-sided 2.5 %;
        // the chance to cross both bounds is too small to show in three digits.
        let check = |looks: &[u32], constant: f64| near(nominal_p(looks, 0.025), above(constant), 5e-5);
        check(&[1, 2], 2.178);
        check(&[1, 2, 3], 2.289);
        check(&[1, 2, 3, 4], 2.361);
        check(&[1, 2, 3, 4, 5], 2.413);
        check(&(1..=10).collect::<Vec<_>>(), 2.555);
    }

    #[test]
    fn the_level_of_the_gate_for_one_metric() {
        near(nominal_p(&LOOKS, 0.025), 0.0078, 5e-5);
    }

    #[test]
    fn a_finer_grid_changes_nothing() {
        for bound in [1.5, 2.4, 3.5] {
            near(crossing_in(&LOOKS, bound, STEPS), crossing_in(&LOOKS, bound, 4 * STEPS), 1e-6);
        }
    }

    #[test]
    fn further_looks_cost_less_and_less_level() {
        let levels: Vec<f64> = (1..=5).map(|n| nominal_p(&LOOKS[..n], 0.025)).collect();
        assert!(levels.windows(2).all(|pair| pair[1] < pair[0]), "{levels:?}");
        assert!(levels[4] > 0.025 / 5.0, "Bonferroni over the looks would be coarser: {levels:?}");
    }
}
