//! Candidate against baseline, round by round.

use super::interval::{ROUNDS_MIN, estimate, p_value};
use lanebench_result::{Estimate, Verdict};

/// Error rate shared by all comparisons of a family.
const ERROR_RATE: f64 = 0.05;

/// Which way is better.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Better {
    /// As for throughput.
    Higher,
    /// As for latency and lag.
    Lower,
}

/// What a comparison gave.
#[derive(Clone, Debug)]
pub struct Compared {
    /// Candidate ÷ baseline; `values` are the rounds' ratios.
    pub ratio: Estimate,
    /// What may be concluded.
    pub verdict: Verdict,
}

/// Compares each of a family of candidates with its baseline, from one `(baseline, candidate)` pair a round.
///
/// A round's ratio cancels what its two trials share: seed, draws, and the machine's mood. The interval is [`estimate`]'s.
/// The family shares its error rate, so that the chance of any false "faster" or "slower" in it stays at 5 %, by Holm's step
/// down (Holm, "A simple sequentially rejective multiple test procedure", 1979): the smallest of m p values is held against
/// 0.05 ÷ m, the next against 0.05 ÷ (m − 1), and so on until one fails; the rest have the level of that one. Each interval
/// has the confidence of its own step, so verdict and interval say the same.
///
/// Where a round has no ratio above zero (lag 0, say) there is no interval, and with it no way to tell the two apart.
pub fn compare(family: &[Vec<(f64, f64)>], better: Better) -> Vec<Compared> {
    let ratios: Vec<Vec<f64>> = family
        .iter()
        .map(|rounds| rounds.iter().map(|(baseline, candidate)| candidate / baseline).collect())
        .collect();
    let levels = holm(&ratios.iter().map(|values| p_value(values)).collect::<Vec<_>>());
    ratios.iter().zip(levels).map(|(values, level)| judge(values, better, level)).collect()
}

/// The level of each p value's step. What could not be tested is the last.
fn holm(p_values: &[Option<f64>]) -> Vec<f64> {
    let p = |index: usize| p_values[index].unwrap_or(1.0);
    let mut order: Vec<usize> = (0..p_values.len()).collect();
    order.sort_by(|&a, &b| p(a).total_cmp(&p(b)));
    let mut levels = vec![ERROR_RATE; p_values.len()];
    let mut failed = None;
    for (step, index) in order.into_iter().enumerate() {
        let level = failed.unwrap_or(ERROR_RATE / (p_values.len() - step) as f64);
        if p(index) > level {
            failed = Some(level);
        }
        levels[index] = level;
    }
    levels
}

fn judge(ratios: &[f64], better: Better, level: f64) -> Compared {
    let ratio = estimate(ratios, 1.0 - level);
    let verdict = match (ratio.low, ratio.high) {
        _ if ratios.len() < ROUNDS_MIN => Verdict::TooFewRounds,
        (Some(low), _) if low > 1.0 => higher(better),
        (_, Some(high)) if high < 1.0 => lower(better),
        _ => Verdict::NotDistinguishable,
    };
    Compared { ratio, verdict }
}

fn higher(better: Better) -> Verdict {
    match better {
        Better::Higher => Verdict::Faster,
        Better::Lower => Verdict::Slower,
    }
}

fn lower(better: Better) -> Verdict {
    match better {
        Better::Higher => Verdict::Slower,
        Better::Lower => Verdict::Faster,
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use rand::SeedableRng;
    use rand_chacha::ChaCha8Rng;
    use rand_distr::{Distribution, LogNormal};

    use super::*;

    fn alone(rounds: &[(f64, f64)], better: Better) -> Compared {
        compare(&[rounds.to_vec()], better).remove(0)
    }

    #[track_caller]
    fn check(rounds: &[(f64, f64)], better: Better, expected: Verdict) {
        assert_eq!(alone(rounds, better).verdict, expected, "{rounds:?} {better:?}");
    }

    #[test]
    fn the_verdict_has_a_direction() {
        let doubled = [(100.0, 200.0), (110.0, 225.0), (90.0, 178.0)];
        check(&doubled, Better::Higher, Verdict::Faster);
        check(&doubled, Better::Lower, Verdict::Slower);
        let halved = doubled.map(|(a, b)| (b, a));
        check(&halved, Better::Higher, Verdict::Slower);
        check(&halved, Better::Lower, Verdict::Faster);
    }

    #[test]
    fn what_the_rounds_share_cancels() {
        // The machine's speed varies tenfold, the ratio hardly.
        check(&[(10.0, 12.0), (100.0, 121.0), (31.0, 37.0)], Better::Higher, Verdict::Faster);
    }

    #[test]
    fn an_interval_around_one_decides_nothing() {
        check(&[(100.0, 130.0), (100.0, 90.0), (100.0, 115.0)], Better::Higher, Verdict::NotDistinguishable);
        check(&[(100.0, 100.0); 3], Better::Higher, Verdict::NotDistinguishable);
    }

    #[test]
    fn two_rounds_are_too_few() {
        check(&[(1.0, 9.0), (1.0, 9.1)], Better::Higher, Verdict::TooFewRounds);
        check(&[], Better::Higher, Verdict::TooFewRounds);
    }

    #[test]
    fn a_round_without_a_ratio_decides_nothing() {
        check(&[(5.0, 0.0), (5.0, 1.0), (5.0, 1.0)], Better::Lower, Verdict::NotDistinguishable);
        check(&[(0.0, 5.0), (1.0, 5.0), (1.0, 5.0), (1.0, 5.0)], Better::Lower, Verdict::NotDistinguishable);
    }

    #[test]
    fn comparisons_share_their_error_rate() {
        // Wide enough apart for one comparison, not for one of four.
        let rounds = [(1.0, 1.10), (1.0, 1.16), (1.0, 1.24)].to_vec();
        let equal = [(1.0, 1.1), (1.0, 0.9), (1.0, 1.0)].to_vec();
        let (alone, shared) = (alone(&rounds, Better::Higher), compare(&[equal, rounds], Better::Higher));
        assert_eq!((alone.verdict, shared[1].verdict), (Verdict::Faster, Verdict::NotDistinguishable));
        assert_eq!((alone.ratio.confidence, shared[1].ratio.confidence), (0.95, 0.975));
    }

    #[test]
    fn what_was_told_apart_leaves_its_share_to_the_next() {
        // By hand: three p values, 0.05 ÷ 3, then 0.05 ÷ 2; the third fails at 0.05 and would at less.
        assert_eq!(holm(&[Some(0.02), Some(0.001), Some(0.4)]), [0.025, 0.05 / 3.0, 0.05]);
        // The second fails, and the third, smaller than 0.05, with it.
        assert_eq!(holm(&[Some(0.001), Some(0.03), Some(0.04)]), [0.05 / 3.0, 0.025, 0.025]);
        assert_eq!(holm(&[None, Some(0.01)]), [0.05, 0.025]);
        assert_eq!(holm(&[]), [0.0; 0]);
    }

    #[test]
    fn equals_are_rarely_told_apart() {
        let noise = LogNormal::new(0.0, 0.2).unwrap();
        let mut rng = ChaCha8Rng::seed_from_u64(11);
        let runs = 1_000;
        let false_alarms = (0..runs)
            .filter(|_| {
                let rounds: Vec<_> =
                    (0..3).map(|_| (noise.sample(&mut rng), noise.sample(&mut rng))).collect();
                alone(&rounds, Better::Higher).verdict != Verdict::NotDistinguishable
            })
            .count();
        assert!((30..=70).contains(&false_alarms), "{false_alarms} of {runs}");
    }

    proptest! {
        #[test]
        fn to_swap_the_two_turns_the_verdict(
            rounds in prop::collection::vec((1.0..1e6f64, 1.0..1e6f64), 3..8),
        ) {
            let swapped: Vec<_> = rounds.iter().map(|&(a, b)| (b, a)).collect();
            let turned = match alone(&rounds, Better::Higher).verdict {
                Verdict::Faster => Verdict::Slower,
                Verdict::Slower => Verdict::Faster,
                other => other,
            };
            prop_assert_eq!(alone(&swapped, Better::Higher).verdict, turned);
        }
    }
}
