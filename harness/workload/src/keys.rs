//! Which order an event belongs to: uniform, skewed by Zipf's law, or one hot order.

use std::fmt;
use std::str::FromStr;

use rand::{Rng, RngExt};
use rand_distr::{Distribution, Zipf};

/// How events are shared among orders.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Keys {
    /// Every order alike.
    Uniform,
    /// The order of rank k in proportion to k^-S; `zipf:0` is uniform, `zipf:1` the classic law.
    Zipf(f64),
    /// This share of all events, in (0, 1], goes to the first order; the others have the rest alike.
    Hot(f64),
}

/// Why a text names no [`Keys`].
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum KeysError {
    /// Neither of the three names.
    #[error("`{0}` is no distribution of keys: expected `uniform`, `zipf:S` or `hot:SHARE`")]
    Unknown(String),
    /// `zipf` or `hot` without a number, or with something else.
    #[error("`{0}`: expected a number after the colon, as in `zipf:1.1` or `hot:0.3`")]
    NotANumber(String),
    /// A Zipf exponent that is negative or not finite.
    #[error("`{0}`: the exponent of Zipf's law is 0 or more, and finite")]
    Exponent(String),
    /// A share outside (0, 1].
    #[error("`{0}`: the hot order's share lies above 0 and is at most 1")]
    Share(String),
}

impl FromStr for Keys {
    type Err = KeysError;

    fn from_str(text: &str) -> Result<Self, KeysError> {
        let (name, number) = match text.split_once(':') {
            Some((name, number)) => (name, Some(number)),
            None => (text, None),
        };
        let number = || -> Result<f64, KeysError> {
            number.and_then(|n| n.trim().parse().ok()).ok_or_else(|| KeysError::NotANumber(text.into()))
        };
        match name.trim() {
            "uniform" if text.trim() == "uniform" => Ok(Self::Uniform),
            "zipf" => match number()? {
                s if s.is_finite() && s >= 0.0 => Ok(Self::Zipf(s)),
                _ => Err(KeysError::Exponent(text.into())),
            },
            "hot" => match number()? {
                share if share > 0.0 && share <= 1.0 => Ok(Self::Hot(share)),
                _ => Err(KeysError::Share(text.into())),
            },
            _ => Err(KeysError::Unknown(text.into())),
        }
    }
}

impl fmt::Display for Keys {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Uniform => f.write_str("uniform"),
            Self::Zipf(s) => write!(f, "zipf:{s}"),
            Self::Hot(share) => write!(f, "hot:{share}"),
        }
    }
}

impl Keys {
    /// Draws the index of an order, below `orders` (which is at least 1), for each event.
    pub fn draws<R: Rng>(self, orders: u32, mut rng: R) -> impl Iterator<Item = u32> {
        // `Zipf::new` refuses a negative exponent and n < 1 only; one made in code is treated as uniform.
        let zipf = match self {
            Self::Zipf(s) => Zipf::new(f64::from(orders), s).ok(),
            _ => None,
        };
        std::iter::repeat_with(move || match self {
            Self::Zipf(_) if zipf.is_some() => {
                let rank = zipf.as_ref().map_or(1.0, |z| z.sample(&mut rng));
                (rank as u32).clamp(1, orders) - 1
            }
            Self::Hot(share) if orders > 1 => {
                // Both numbers are always drawn, so that another share moves no other draw.
                let hot = rng.random::<f64>() < share;
                let other = rng.random_range(1..orders);
                if hot { 0 } else { other }
            }
            Self::Hot(_) => 0,
            Self::Uniform | Self::Zipf(_) => rng.random_range(0..orders.max(1)),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Purpose, rng};

    const DRAWS: usize = 100_000;

    fn counts(keys: Keys, orders: u32) -> Vec<usize> {
        let mut counts = vec![0; orders as usize];
        for order in keys.draws(orders, rng(7, Purpose::Keys, "t")).take(DRAWS) {
            counts[order as usize] += 1;
        }
        counts
    }

    #[track_caller]
    fn check(text: &str, expected: Result<Keys, &str>) {
        match (text.parse::<Keys>(), expected) {
            (Ok(keys), Ok(expected)) => assert_eq!(keys, expected),
            (Err(error), Err(words)) => assert!(error.to_string().contains(words), "{error}"),
            (got, _) => panic!("{text}: {got:?}"),
        }
    }

    #[test]
    fn names_are_read_and_what_is_wrong_is_said() {
        check("uniform", Ok(Keys::Uniform));
        check("zipf:1.1", Ok(Keys::Zipf(1.1)));
        check("zipf:0", Ok(Keys::Zipf(0.0)));
        check("hot:0.3", Ok(Keys::Hot(0.3)));
        check("hot:1", Ok(Keys::Hot(1.0)));
        check("unifrom", Err("no distribution"));
        check("uniform:2", Err("no distribution"));
        check("", Err("no distribution"));
        check("zipf", Err("expected a number"));
        check("zipf:", Err("expected a number"));
        check("hot:30%", Err("expected a number"));
        check("zipf:-1", Err("exponent"));
        check("zipf:inf", Err("exponent"));
        check("hot:0", Err("share"));
        check("hot:1.5", Err("share"));
        check("hot:NaN", Err("share"));
        for keys in [Keys::Uniform, Keys::Zipf(1.25), Keys::Hot(0.4)] {
            check(&keys.to_string(), Ok(keys));
        }
    }

    #[test]
    fn uniform_gives_every_order_its_part() {
        for count in counts(Keys::Uniform, 50) {
            assert!((1700..2300).contains(&count), "{count} of {DRAWS} draws over 50 orders");
        }
    }

    #[test]
    fn zipf_halves_from_rank_to_rank_as_its_law_says() {
        let counts = counts(Keys::Zipf(1.0), 1000);
        // Under s = 1 rank k has 1 ÷ (k × H(1000)), with H(1000) = 7.485.
        for rank in [1, 2, 4, 8] {
            let expected = DRAWS as f64 / (rank as f64 * 7.485);
            let got = counts[rank - 1] as f64;
            assert!((got / expected - 1.0).abs() < 0.1, "rank {rank}: {got} draws, expected {expected:.0}");
        }
    }

    #[test]
    fn the_hot_order_has_its_share_and_the_others_the_rest() {
        let counts = counts(Keys::Hot(0.4), 11);
        assert!((39_000..41_000).contains(&counts[0]), "{counts:?}");
        assert!(counts[1..].iter().all(|c| (5_500..6_500).contains(c)), "{counts:?}");
        assert_eq!(self::counts(Keys::Hot(0.4), 1), [DRAWS]);
    }
}
