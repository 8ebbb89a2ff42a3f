//! How long the modelled downstream call of each event takes.

use std::fmt;
use std::time::Duration;

use crate::event::{OrderId, Revision};

/// How long modelled downstream calls take: all the same time, or each event's its own between two bounds, drawn uniformly.
///
/// ```
/// use std::time::Duration;
///
/// use payment_delivery::consumer::ServiceTime;
/// use payment_delivery::event::OrderId;
///
/// let longest = Duration::from_millis(5);
/// let service_time = ServiceTime::uniform(Duration::ZERO, longest).expect("the bounds are in order");
/// assert_eq!(service_time.to_string(), "0-5ms");
/// let order_id = OrderId::new("order-1").expect("an order id");
/// assert!(service_time.of(&order_id, 1) <= longest);
/// ```
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct ServiceTime {
    low: Duration,
    /// Not below `low`.
    high: Duration,
}

impl ServiceTime {
    /// No event has a call.
    pub const NONE: Self = Self::fixed(Duration::ZERO);

    /// Each call takes this time.
    pub const fn fixed(time: Duration) -> Self {
        Self { low: time, high: time }
    }

    /// Calls take from `low` to `high`, each time as likely as any other; `None` if `low` is above `high`.
    pub fn uniform(low: Duration, high: Duration) -> Option<Self> {
        (low <= high).then_some(Self { low, high })
    }

    /// Whether no event has a call.
    pub fn is_zero(self) -> bool {
        self.high.is_zero()
    }

    /// The mean of all calls.
    pub fn mean(self) -> Duration {
        self.low + (self.high - self.low) / 2
    }

    /// What no call exceeds.
    pub fn longest(self) -> Duration {
        self.high
    }

    /// The shortest and the longest call; `None` where all take the same time.
    pub fn bounds(self) -> Option<(Duration, Duration)> {
        (self.low < self.high).then_some((self.low, self.high))
    }

    /// How long the call of an event takes.
    ///
    /// That depends on order and revision alone. So an event has the same call in every configuration and mode, and at every delivery.
    pub fn of(self, order_id: &OrderId, revision: Revision) -> Duration {
        let Some((low, high)) = self.bounds() else { return self.high };
        // The upper 53 bits: a double holds no more.
        let part = (hash(order_id, revision) >> 11) as f64 / (1_u64 << 53) as f64;
        low.saturating_add((high - low).mul_f64(part)).min(high)
    }
}

/// As a flag and a worker's environment have it: `2ms`, `0-5ms`, `500us-2ms`. A bound without a unit has that of the other. Nothing is rounded.
impl fmt::Display for ServiceTime {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (high, unit) = in_unit(self.high);
        match (self.bounds(), in_unit(self.low)) {
            (None, _) => {}
            (Some(_), (0, _)) => f.write_str("0-")?,
            (Some(_), (low, same)) if same == unit => write!(f, "{low}-")?,
            (Some(_), (low, other)) => write!(f, "{low}{other}-")?,
        }
        write!(f, "{high}{unit}")
    }
}

/// A time as a whole number of the largest unit that allows it.
fn in_unit(time: Duration) -> (u128, &'static str) {
    let ns = time.as_nanos();
    let units = [(1_000_000_000, "s"), (1_000_000, "ms"), (1_000, "us"), (1, "ns")];
    let largest = units.into_iter().find(|(size, _)| ns.is_multiple_of(*size));
    largest.map_or((ns, "ns"), |(size, unit)| (ns / size, unit))
}

/// Order and revision as 64 bits that look random: FNV-1a over the bytes of the id (Fowler, Noll and Vo), and then, with the revision as the
/// counter, a step of `SplitMix64` (Steele, Lea and Flood, "Fast splittable pseudorandom number generators", 2014).
fn hash(order_id: &OrderId, revision: Revision) -> u64 {
    let mut id: u64 = 0xcbf2_9ce4_8422_2325;
    for byte in order_id.as_str().bytes() {
        id = (id ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3);
    }
    let mixed = id.wrapping_add(u64::from(revision).wrapping_mul(0x9e37_79b9_7f4a_7c15));
    let mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    mixed ^ (mixed >> 31)
}

#[cfg(test)]
mod tests {
    use super::*;

    const MS: Duration = Duration::from_millis(1);

    fn uniform(low: Duration, high: Duration) -> ServiceTime {
        ServiceTime::uniform(low, high).unwrap()
    }

    fn order(n: u32) -> OrderId {
        OrderId::new(&format!("o-{n}")).unwrap()
    }

    #[test]
    fn bounds_are_in_order_and_the_same_one_twice_is_a_fixed_time() {
        assert_eq!(ServiceTime::uniform(5 * MS, 2 * MS), None);
        assert_eq!(uniform(2 * MS, 2 * MS), ServiceTime::fixed(2 * MS));
        assert_eq!(ServiceTime::default(), ServiceTime::NONE);
    }

    #[test]
    fn what_is_known_of_all_calls() {
        let range = uniform(MS, 4 * MS);
        assert_eq!((range.mean(), range.longest()), (Duration::from_micros(2_500), 4 * MS));
        assert_eq!(range.bounds(), Some((MS, 4 * MS)));
        let fixed = ServiceTime::fixed(2 * MS);
        assert_eq!((fixed.mean(), fixed.longest(), fixed.bounds()), (2 * MS, 2 * MS, None));
        assert!(ServiceTime::NONE.is_zero() && !range.is_zero() && !uniform(Duration::ZERO, MS).is_zero());
    }

    #[test]
    fn it_prints_as_it_is_typed_and_rounds_nothing() {
        let us = Duration::from_micros;
        for (low, high, text) in [
            (us(0), us(0), "0s"),
            (us(2_000), us(2_000), "2ms"),
            (us(2_001), us(2_001), "2001us"),
            (us(0), us(5_000), "0-5ms"),
            (us(1_000), us(5_000), "1-5ms"),
            (us(500), us(2_000), "500us-2ms"),
            (us(1_500_000), us(2_000_000), "1500ms-2s"),
            (us(1), Duration::from_nanos(1_001), "1us-1001ns"),
        ] {
            assert_eq!(uniform(low, high).to_string(), text);
        }
    }

    #[test]
    fn an_event_has_the_same_call_every_time_and_another_has_another() {
        let range = uniform(MS, 9 * MS);
        assert_eq!(range.of(&order(1), 1), range.of(&order(1), 1));
        let calls: Vec<Duration> = (1..=5).map(|revision| range.of(&order(1), revision)).collect();
        assert!((1..5).all(|n| !calls[..n].contains(&calls[n])), "{calls:?}");
        assert_ne!(range.of(&order(1), 1), range.of(&order(2), 1));
        assert_eq!(ServiceTime::fixed(MS).of(&order(1), 1), MS);
        assert_eq!(ServiceTime::NONE.of(&order(1), 1), Duration::ZERO);
    }

    /// So that a saved result can be had again by a later version.
    #[test]
    fn a_draw_stays_as_it_is() {
        assert_eq!(hash(&order(1), 1), 0x3427_d8ac_41f1_6400);
    }

    #[test]
    fn calls_are_spread_over_the_range() {
        let (low, high) = (2 * MS, 10 * MS);
        let range = uniform(low, high);
        let calls: Vec<Duration> = (0..10_000).map(|n| range.of(&order(n / 5), n % 5 + 1)).collect();
        assert!(calls.iter().all(|call| (low..=high).contains(call)));
        let mean = calls.iter().sum::<Duration>() / 10_000;
        assert!(mean.abs_diff(range.mean()) < MS / 20, "{mean:?}");
        for quarter in 0..4_u32 {
            let from = low + quarter * 2 * MS;
            let within = calls.iter().filter(|call| (from..from + 2 * MS).contains(*call)).count();
            assert!((2_300..2_700).contains(&within), "{within} of 10,000 from {from:?}");
        }
    }

    #[test]
    fn no_bounds_are_too_far_apart() {
        let widest = uniform(Duration::ZERO, Duration::MAX);
        assert!((0..1_000).any(|n| widest.of(&order(n), 1) > Duration::MAX / 2));
    }
}
