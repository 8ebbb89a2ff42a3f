//! How much more one rate is than another, from two intervals that were made apart.

use crate::record::Estimate;

/// `candidate` ÷ `baseline`, with an interval where both have one.
///
/// The two were measured one after the other and share no rounds, so their errors are taken for independent, and the
/// interval comes from theirs on the logarithm, side by side (Zou and Donner, "Construction of confidence limits
/// about effect measures: a general approach", 2008): its lower end from the candidate's lower and the baseline's upper.
/// What drifted between the two (the machine's other work, its temperature) is in the ratio and not in the interval.
pub(super) fn ratio(candidate: &Estimate, baseline: &Estimate) -> Estimate {
    let log = (candidate.value / baseline.value).ln();
    let reach = |from: f64, to: Option<f64>| to.map(|to| (to / from).ln());
    let side =
        |a: Option<f64>, b: Option<f64>| Some(reach(candidate.value, a)?.hypot(reach(baseline.value, b)?));
    let (down, up) = (side(candidate.low, baseline.high), side(candidate.high, baseline.low));
    Estimate {
        n: candidate.n.min(baseline.n),
        value: log.exp(),
        low: down.map(|down| (log - down).exp()),
        high: up.map(|up| (log + up).exp()),
        confidence: candidate.confidence.min(baseline.confidence),
        values: Vec::new(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rate(value: f64, bounds: Option<(f64, f64)>) -> Estimate {
        let (low, high) = (bounds.map(|b| b.0), bounds.map(|b| b.1));
        Estimate { n: 10, value, low, high, confidence: 0.95, values: Vec::new() }
    }

    #[track_caller]
    fn near(actual: Option<f64>, expected: f64) {
        assert!(actual.is_some_and(|a| (a - expected).abs() < 1e-9 * expected), "{actual:?} for {expected}");
    }

    #[test]
    fn an_exact_baseline_adds_nothing_to_the_interval() {
        let r = ratio(&rate(300.0, Some((200.0, 330.0))), &rate(100.0, Some((100.0, 100.0))));
        near(Some(r.value), 3.0);
        near(r.low, 2.0);
        near(r.high, 3.3);
    }

    #[test]
    fn errors_of_both_add_as_squares_on_the_logarithm() {
        // Down by a factor 2^3 and up by 2^4 of the other: together 2^5.
        let r = ratio(&rate(64.0, Some((8.0, 64.0))), &rate(1.0, Some((1.0, 16.0))));
        near(r.low, 64.0 / 32.0);
        near(r.high, 64.0);
    }

    #[test]
    fn without_an_interval_there_is_a_value_alone() {
        let r = ratio(&rate(3.0, None), &rate(2.0, Some((1.0, 3.0))));
        near(Some(r.value), 1.5);
        assert_eq!((r.low, r.high), (None, None));
    }
}
