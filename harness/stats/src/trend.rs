//! The slope of a line through samples.

/// Slope of the least-squares line through `(time in s, lag in records)`, in records/s; `None` if there are no two
/// different times.
///
/// No interval comes with it: ticks of one run depend on each other, and an interval that takes them for independent
/// calls a stable queue rising in a third of all runs. Repeat the run instead.
pub fn slope(points: &[(f64, f64)]) -> Option<f64> {
    let n = points.len() as f64;
    let mean_t = points.iter().map(|p| p.0).sum::<f64>() / n;
    let mean_lag = points.iter().map(|p| p.1).sum::<f64>() / n;
    let (mut along, mut across) = (0.0, 0.0);
    for (t, lag) in points {
        along += (t - mean_t) * (lag - mean_lag);
        across += (t - mean_t).powi(2);
    }
    (across > 0.0).then(|| along / across)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn a_slope_by_hand() {
        // Means 2 and 4; (−1·−3 + 0·1 + 1·2) ÷ 2.
        assert_eq!(slope(&[(1.0, 1.0), (2.0, 5.0), (3.0, 6.0)]), Some(2.5));
    }

    #[test]
    fn no_two_times_no_slope() {
        assert_eq!(slope(&[]), None);
        assert_eq!(slope(&[(1.0, 5.0)]), None);
        assert_eq!(slope(&[(1.0, 5.0), (1.0, 9.0)]), None);
    }

    proptest! {
        #[test]
        fn a_line_gives_its_slope_wherever_it_starts(
            slope_in in -1e4..1e4f64, start in -1e6..1e6f64, t0 in 0.0..1e4f64, n in 2..200usize,
        ) {
            let line: Vec<_> = (0..n).map(|i| {
                let t = i as f64 * 0.1;
                (t0 + t, start + slope_in * t)
            }).collect();
            let found = slope(&line).unwrap();
            prop_assert!((found - slope_in).abs() < 1e-3, "{found} for {slope_in}");
        }
    }
}
