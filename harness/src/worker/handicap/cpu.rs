//! More CPU time an event, by feedback.
//!
//! What an event costs depends on machine, store and load, so no fixed loop is "10 % more". The burner reads the process's CPU
//! clock as messages are taken in hand, once in [`LOOK_EVERY`] at most, and keeps what it has burned at a share of all the rest, from
//! the first message on: joining and connecting are no events. It burns on the loop that takes a message in hand, in pieces above
//! [`WORTH_BURNING`].

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use nix::sys::time::TimeValLike;
use nix::time::{ClockId, clock_gettime};
use payment_delivery::probe::{Probe, Seen};

/// Less than this is left to grow, in ns: the clock itself costs half a microsecond.
const WORTH_BURNING: i64 = 20_000;

/// CPU clocks are read once in this long at most, by the wall's clock, which is no system call. Read for every event they are a fifth of
/// what one costs with 64 keys in hand, and no smaller share could be injected.
const LOOK_EVERY: Duration = Duration::from_micros(100);

/// Burns a share of what else the process spends.
#[derive(Debug)]
pub(super) struct Burner {
    share: f64,
    /// Burned so far, what is being burned at the moment included, in ns.
    burned_ns: AtomicU64,
    /// CPU time of the process when the first message was taken in hand, in ns.
    from_ns: Mutex<Option<i64>>,
    begun: Instant,
    /// The clocks are to be read again when this much has passed since `begun`, in ns.
    look_ns: AtomicU64,
}

impl Burner {
    pub(super) fn new(share: f64) -> Self {
        Self {
            share,
            burned_ns: AtomicU64::new(0),
            from_ns: Mutex::new(None),
            begun: Instant::now(),
            look_ns: AtomicU64::new(0),
        }
    }

    /// Whether the clocks are to be read `passed` after `begun`; the one consumer that is told so does it.
    fn is_due(&self, passed: Duration) -> bool {
        let (now, look) = (passed.as_nanos() as u64, self.look_ns.load(Ordering::Relaxed));
        let next = now + LOOK_EVERY.as_nanos() as u64;
        now >= look && self.look_ns.compare_exchange(look, next, Ordering::Relaxed, Ordering::Relaxed).is_ok()
    }

    /// Takes on what is owed when the process has used `process_ns` of CPU time; it counts as burned from now on, so that no
    /// other consumer burns it too.
    fn take_on(&self, process_ns: i64) -> i64 {
        let mut from = self.from_ns.lock().unwrap_or_else(PoisonError::into_inner);
        let used = process_ns - *from.get_or_insert(process_ns);
        let burned = self.burned_ns.load(Ordering::Relaxed) as i64;
        let owed = owed(self.share, used, burned);
        if owed < WORTH_BURNING {
            return 0;
        }
        self.burned_ns.fetch_add(owed as u64, Ordering::Relaxed);
        owed
    }
}

impl Drop for Burner {
    /// How it went, for whoever has to say what was injected.
    fn drop(&mut self) {
        let from = self.from_ns.lock().unwrap_or_else(PoisonError::into_inner);
        let used_ns = from.map_or(0, |from| cpu_ns(ClockId::CLOCK_PROCESS_CPUTIME_ID) - from);
        let burned_ns = self.burned_ns.load(Ordering::Relaxed);
        tracing::info!(
            used_ns,
            burned_ns,
            "CPU time of the process since its first message, and what of it was burned"
        );
    }
}

/// What is still to be burned when of `used` ns of CPU time `burned` ns were.
fn owed(share: f64, used: i64, burned: i64) -> i64 {
    (share * (used - burned).max(0) as f64) as i64 - burned
}

impl Probe for Burner {
    fn fetched(&self, _seen: Seen<'_>) {
        if !self.is_due(self.begun.elapsed()) {
            return;
        }
        let begun = cpu_ns(ClockId::CLOCK_THREAD_CPUTIME_ID);
        let owed = self.take_on(cpu_ns(ClockId::CLOCK_PROCESS_CPUTIME_ID));
        let mut took = 0;
        while took <= owed {
            for _ in 0..20 {
                std::hint::spin_loop();
            }
            took = cpu_ns(ClockId::CLOCK_THREAD_CPUTIME_ID) - begun;
        }
        // Reading clocks is part of it, else the handicap itself would be a cost that it adds to.
        self.burned_ns.fetch_add((took - owed) as u64, Ordering::Relaxed);
    }
}

fn cpu_ns(clock: ClockId) -> i64 {
    clock_gettime(clock).expect("Linux always has the CPU clocks").num_nanoseconds()
}

#[cfg(test)]
mod tests {
    use payment_delivery::event::OrderId;
    use payment_delivery::kafka::Origin;

    use super::*;

    #[test]
    fn what_is_owed_keeps_the_share() {
        assert_eq!(owed(0.1, 1_000_000, 0), 100_000);
        assert_eq!(owed(0.1, 1_100_000, 100_000), 0, "a tenth of all the rest was burned");
        assert!(owed(0.1, 1_100_000, 150_000) < 0, "too much was: nothing for a while");
        assert_eq!(owed(0.2, 0, 0), 0);
    }

    #[test]
    fn consumers_share_a_debt_and_small_ones_wait() {
        let burner = Burner::new(0.1);
        assert_eq!(burner.take_on(5_000_000), 0, "what came before the first message is no event's");
        assert_eq!(burner.take_on(5_100_000), 0, "10 µs are left to grow");
        assert_eq!(burner.take_on(5_300_000), 30_000);
        assert_eq!(burner.take_on(5_300_000), 0, "someone burns it already");
    }

    #[test]
    fn clocks_are_read_by_one_and_not_for_every_event() {
        let burner = Burner::new(0.1);
        let at = |us| burner.is_due(Duration::from_micros(us));
        assert!(at(0), "the first message begins it");
        assert!(!at(0) && !at(99));
        assert!(at(100) && !at(100));
        assert!(at(5_000) && !at(5_099), "after a pause it is due once");
    }

    #[test]
    fn the_burned_share_of_a_process_comes_out_as_asked() {
        let burner = Burner::new(0.5);
        let order_id = OrderId::new("o-1").unwrap();
        let seen = Seen {
            consumer: "consumer-0",
            order_id: &order_id,
            revision: 1,
            origin: Origin { partition: 0, offset: 0 },
        };
        let mut sum = 0_u64;
        for event in 0..200_u64 {
            burner.fetched(seen);
            sum = (0..20_000).fold(sum, |sum, n| std::hint::black_box(sum.wrapping_mul(31) ^ n ^ event));
        }
        burner.fetched(seen);
        std::hint::black_box(sum);
        // By CPU clocks alone: how long it took doesn't matter, nor what other tests of this process did meanwhile.
        let used = cpu_ns(ClockId::CLOCK_PROCESS_CPUTIME_ID) - burner.from_ns.lock().unwrap().unwrap();
        let burned = burner.burned_ns.load(Ordering::Relaxed) as i64;
        let share = burned as f64 / (used - burned) as f64;
        assert!((0.3..0.7).contains(&share), "{share}: {burned} of {used} ns");
    }
}
