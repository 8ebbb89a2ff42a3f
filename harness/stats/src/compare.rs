//! Candidate against baseline, round by round.

use super::interval::{ROUNDS_MIN, estimate};
use lanebench_result::{Estimate, Verdict};

/// Error rate shared by all comparisons of a run.
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

/// Compares a candidate with its baseline from one `(baseline, candidate)` pair a round.
///
/// A round's ratio cancels what its two trials share: seed, draws, and the machine's mood. The interval is
/// [`estimate`]'s; its confidence is 1 − 0.05 ÷ `comparisons`, so that with several comparisons (configurations times
/// metrics, all that a verdict is printed for) the chance of any false "faster" or "slower" stays at 5 % (Bonferroni).
///
/// Where a round has no ratio above zero (lag 0, say) there is no interval, and with it no way to tell the two apart.
pub fn compare(rounds: &[(f64, f64)], better: Better, comparisons: usize) -> Compared {
    let ratios: Vec<f64> = rounds.iter().map(|(baseline, candidate)| candidate / baseline).collect();
    let ratio = estimate(&ratios, 1.0 - ERROR_RATE / comparisons.max(1) as f64);
    let verdict = match (ratio.low, ratio.high) {
        _ if rounds.len() < ROUNDS_MIN => Verdict::TooFewRounds,
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

    #[track_caller]
    fn check(rounds: &[(f64, f64)], better: Better, expected: Verdict) {
        assert_eq!(compare(rounds, better, 1).verdict, expected, "{rounds:?} {better:?}");
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
        let rounds = [(1.0, 1.10), (1.0, 1.16), (1.0, 1.24)];
        let (alone, shared) = (compare(&rounds, Better::Higher, 1), compare(&rounds, Better::Higher, 4));
        assert_eq!((alone.verdict, shared.verdict), (Verdict::Faster, Verdict::NotDistinguishable));
        assert_eq!((alone.ratio.confidence, shared.ratio.confidence), (0.95, 0.9875));
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
                compare(&rounds, Better::Higher, 1).verdict != Verdict::NotDistinguishable
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
            let turned = match compare(&rounds, Better::Higher, 2).verdict {
                Verdict::Faster => Verdict::Slower,
                Verdict::Slower => Verdict::Faster,
                other => other,
            };
            prop_assert_eq!(compare(&swapped, Better::Higher, 2).verdict, turned);
        }
    }
}
