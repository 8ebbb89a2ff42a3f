//! A number with its error.

use statrs::distribution::{ContinuousCDF, StudentsT};

use lanebench_result::Estimate;

/// Fewest rounds that give an interval.
pub const ROUNDS_MIN: usize = 3;

/// The geometric mean of the rounds' values, with Student's t interval on their logarithms.
///
/// Rates and times are positive and their errors multiply, so the logarithm is the scale on which they are symmetric
/// (Fleming and Wallace, "How not to lie with statistics", 1986, for the geometric mean; Student, "The probable error
/// of a mean", 1908, for the interval). No bootstrap: at three rounds its "95 %" covers 74 %.
///
/// - Under [`ROUNDS_MIN`] values there is no interval: `low` and `high` are `None`.
/// - A value that is zero or negative has no logarithm: then `value` is the median, and there is no interval.
/// - A value that is infinite or not a number is no measurement and can't be written as JSON: it is left out of `values`
///   and `n`, and there is no interval, since what is left was not chosen blindly.
/// - Without values, `n` and `value` are 0.
///
/// `confidence` is kept within 0 to 1, both excluded.
pub fn estimate(values: &[f64], confidence: f64) -> Estimate {
    let confidence = confidence.clamp(f64::EPSILON, 1.0 - f64::EPSILON);
    let finite: Vec<f64> = values.iter().copied().filter(|v| v.is_finite()).collect();
    let n = finite.len();
    let (value, bounds) = if n == 0 {
        (0.0, None)
    } else if finite.iter().any(|&v| v <= 0.0) {
        (median(&finite), None)
    } else {
        let logs: Vec<f64> = finite.iter().map(|v| v.ln()).collect();
        let mean = logs.iter().sum::<f64>() / n as f64;
        let bounds = half_width(&logs, mean, confidence)
            .filter(|_| n == values.len())
            .map(|half| ((mean - half).exp(), (mean + half).exp()));
        (mean.exp(), bounds)
    };
    Estimate { n, value, low: bounds.map(|b| b.0), high: bounds.map(|b| b.1), confidence, values: finite }
}

/// Half the width of Student's t interval for the mean.
fn half_width(logs: &[f64], mean: f64, confidence: f64) -> Option<f64> {
    let n = logs.len();
    if n < ROUNDS_MIN {
        return None;
    }
    let variance = logs.iter().map(|x| (x - mean).powi(2)).sum::<f64>() / (n - 1) as f64;
    let t = StudentsT::new(0.0, 1.0, (n - 1) as f64).ok()?.inverse_cdf(0.5 + confidence / 2.0);
    Some(t * (variance / n as f64).sqrt())
}

/// The two-sided p value of "the geometric mean is 1" (Student's t on the logarithms); `None` where [`estimate`] has no
/// interval. An interval of confidence 1 − p just touches 1.
pub(crate) fn p_value(values: &[f64]) -> Option<f64> {
    let n = values.len();
    if n < ROUNDS_MIN || values.iter().any(|v| !v.is_finite() || *v <= 0.0) {
        return None;
    }
    let logs: Vec<f64> = values.iter().map(|v| v.ln()).collect();
    let mean = logs.iter().sum::<f64>() / n as f64;
    let variance = logs.iter().map(|x| (x - mean).powi(2)).sum::<f64>() / (n - 1) as f64;
    if variance == 0.0 {
        return Some(if mean == 0.0 { 1.0 } else { 0.0 });
    }
    let t = mean.abs() / (variance / n as f64).sqrt();
    Some(2.0 * StudentsT::new(0.0, 1.0, (n - 1) as f64).ok()?.sf(t))
}

/// The middle of some values, or the mean of the two in the middle.
///
/// # Panics
/// Without values.
pub fn median(values: &[f64]) -> f64 {
    let mut sorted = values.to_vec();
    sorted.sort_unstable_by(f64::total_cmp);
    let upper = sorted.len() / 2;
    if sorted.len() % 2 == 1 { sorted[upper] } else { f64::midpoint(sorted[upper - 1], sorted[upper]) }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use rand::SeedableRng;
    use rand_chacha::ChaCha8Rng;
    use rand_distr::{Distribution, LogNormal};

    use super::*;

    #[track_caller]
    fn near(actual: f64, expected: f64, relative: f64) {
        assert!(
            (actual - expected).abs() <= relative * expected.abs(),
            "{actual} is not {expected} within {relative}"
        );
    }

    /// The t quantile that an interval was made with, read back from it.
    fn t_used(values: &[f64], confidence: f64) -> f64 {
        let e = estimate(values, confidence);
        let n = values.len() as f64;
        let mean = values.iter().map(|v| v.ln()).sum::<f64>() / n;
        let sd = (values.iter().map(|v| (v.ln() - mean).powi(2)).sum::<f64>() / (n - 1.0)).sqrt();
        (e.high.unwrap().ln() - mean) / (sd / n.sqrt())
    }

    #[test]
    fn quantiles_agree_with_published_tables() {
        // Two-sided critical values, NIST/SEMATECH e-Handbook of Statistical Methods, section 1.3.6.7.2.
        let check = |n: usize, confidence, expected| {
            let values: Vec<f64> = (1..=n).map(|i| i as f64).collect();
            near(t_used(&values, confidence), expected, 2e-4);
        };
        check(3, 0.95, 4.303);
        check(3, 0.90, 2.920);
        check(3, 0.99, 9.925);
        check(4, 0.95, 3.182);
        check(5, 0.95, 2.776);
        check(10, 0.95, 2.262);
        check(11, 0.99, 3.169);
        check(31, 0.95, 2.042);
        // 0.05 shared among two comparisons; for two degrees of freedom t has a closed form:
        // t = u·√(2 ÷ (1 − u²)) with u the two-sided confidence.
        check(3, 0.975, 0.975 * (2.0_f64 / (1.0 - 0.975 * 0.975)).sqrt());
    }

    #[test]
    fn three_rounds_by_hand() {
        // Logarithms to base 2 are 1, 2, 3: mean 2, standard deviation 1, so 2^(2 ± 4.30265 ÷ √3).
        let e = estimate(&[2.0, 4.0, 8.0], 0.95);
        near(e.value, 4.0, 1e-12);
        near(e.low.unwrap(), 2f64.powf(2.0 - 4.302_653 / 3f64.sqrt()), 1e-5);
        near(e.high.unwrap(), 2f64.powf(2.0 + 4.302_653 / 3f64.sqrt()), 1e-5);
        assert_eq!((e.n, e.values), (3, vec![2.0, 4.0, 8.0]));
    }

    #[test]
    fn an_interval_of_confidence_one_minus_p_touches_one() {
        let values = [1.10, 1.16, 1.24, 0.99];
        let e = estimate(&values, 1.0 - p_value(&values).unwrap());
        near(e.low.unwrap(), 1.0, 1e-6);
        assert_eq!(
            (p_value(&[1.0; 3]), p_value(&[2.0; 3]), p_value(&[2.0; 2])),
            (Some(1.0), Some(0.0), None)
        );
        assert_eq!(p_value(&[1.0, 0.0, 2.0]), None, "no logarithm, no test");
    }

    #[test]
    fn too_few_values_have_no_interval() {
        let e = estimate(&[2.0, 8.0], 0.95);
        near(e.value, 4.0, 1e-12);
        assert_eq!((e.n, e.low, e.high), (2, None, None));
        assert_eq!(estimate(&[7.0], 0.95).low, None);
        let none = estimate(&[], 0.95);
        assert_eq!((none.n, none.value, none.low), (0, 0.0, None));
    }

    #[test]
    fn where_no_logarithm_exists_the_median_stands_alone() {
        let e = estimate(&[0.0, 5.0, 3.0], 0.95);
        assert_eq!((e.value, e.low, e.high), (3.0, None, None));
        assert_eq!(estimate(&[-1.0, 0.0, 4.0, 8.0], 0.95).value, 2.0);
    }

    #[test]
    fn what_is_no_number_leaves_no_interval() {
        let e = estimate(&[2.0, f64::NAN, 2.0, 2.0, f64::INFINITY], 0.95);
        near(e.value, 2.0, 1e-12);
        assert_eq!((e.n, e.low, e.values), (3, None, vec![2.0; 3]));
    }

    #[test]
    fn equal_values_have_an_interval_of_no_width() {
        let e = estimate(&[5.0; 4], 0.95);
        near(e.low.unwrap(), 5.0, 1e-12);
        near(e.high.unwrap(), 5.0, 1e-12);
    }

    #[test]
    fn three_rounds_cover_what_they_claim() {
        // The true geometric mean of this lognormal is 1.
        let law = LogNormal::new(0.0, 0.3).unwrap();
        let mut rng = ChaCha8Rng::seed_from_u64(7);
        let trials = 2_000;
        let covered = (0..trials)
            .filter(|_| {
                let e = estimate(&[law.sample(&mut rng), law.sample(&mut rng), law.sample(&mut rng)], 0.95);
                (e.low.unwrap()..=e.high.unwrap()).contains(&1.0)
            })
            .count() as f64
            / f64::from(trials);
        assert!((0.93..=0.97).contains(&covered), "covered {covered}");
    }

    proptest! {
        #[test]
        fn a_change_of_unit_changes_only_the_unit(
            values in prop::collection::vec(1e-3..1e6f64, 3..9), unit in 1e-6..1e6f64,
        ) {
            let scaled: Vec<f64> = values.iter().map(|v| v * unit).collect();
            let (a, b) = (estimate(&values, 0.95), estimate(&scaled, 0.95));
            near(b.value, a.value * unit, 1e-9);
            near(b.low.unwrap(), a.low.unwrap() * unit, 1e-6);
            near(b.high.unwrap(), a.high.unwrap() * unit, 1e-6);
        }

        #[test]
        fn times_and_rates_tell_the_same(values in prop::collection::vec(1e-3..1e6f64, 3..9)) {
            let inverse: Vec<f64> = values.iter().map(|v| 1.0 / v).collect();
            let (a, b) = (estimate(&values, 0.95), estimate(&inverse, 0.95));
            near(b.value, 1.0 / a.value, 1e-9);
            near(b.low.unwrap(), 1.0 / a.high.unwrap(), 1e-6);
        }

        #[test]
        fn more_confidence_is_wider(values in prop::collection::vec(1e-3..1e6f64, 3..9)) {
            let (a, b) = (estimate(&values, 0.9), estimate(&values, 0.99));
            prop_assert!(b.low <= a.low && a.low.unwrap() <= a.value * (1.0 + 1e-12));
            prop_assert!(b.high >= a.high && a.high.unwrap() >= a.value * (1.0 - 1e-12));
        }
    }
}
