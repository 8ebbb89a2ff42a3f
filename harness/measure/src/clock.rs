//! The one clock of a run.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use nix::errno::Errno;
use nix::sys::time::{TimeSpec, TimeValLike};
use nix::time::{ClockId, ClockNanosleepFlags, clock_gettime, clock_nanosleep};

/// Nanoseconds since the run's epoch, on CLOCK_MONOTONIC. Copies share the epoch.
#[derive(Clone, Copy, Debug)]
pub struct Clock {
    epoch_ns: u64,
    /// The epoch on the realtime clock, in ns of Unix time.
    epoch_unix_ns: i64,
}

impl Clock {
    /// A clock whose epoch is now.
    pub fn start() -> Self {
        let epoch_ns = monotonic_ns();
        Self { epoch_ns, epoch_unix_ns: epoch_unix_ns(epoch_ns) }
    }

    /// Nanoseconds since the epoch of a moment that another process tells by the realtime clock, in ns of Unix time; negative before it.
    pub fn of_unix_ns(&self, unix_ns: i64) -> i64 {
        unix_ns.saturating_sub(self.epoch_unix_ns)
    }

    /// How far the realtime clock has been set against this one since the epoch. (Where both are made faster or slower alike, as a daemon
    /// does that keeps time, they stay together.)
    pub fn realtime_moved_by(&self) -> Duration {
        Duration::from_nanos(epoch_unix_ns(self.epoch_ns).abs_diff(self.epoch_unix_ns))
    }

    /// Nanoseconds since the epoch.
    pub fn now_ns(&self) -> u64 {
        monotonic_ns().saturating_sub(self.epoch_ns)
    }

    /// Sleeps in the kernel until `at_ns`, or until a signal comes; returns at once if it has passed.
    ///
    /// The wake-up is as late as the thread's timer slack allows: see [`precise_sleep`].
    pub fn sleep_until(&self, at_ns: u64) {
        let at = i64::try_from(self.epoch_ns.saturating_add(at_ns)).unwrap_or(i64::MAX);
        let flags = ClockNanosleepFlags::TIMER_ABSTIME;
        // The only error for a valid clock and time is EINTR: the caller looks at the clock again in either case.
        let _woken: Result<TimeSpec, Errno> =
            clock_nanosleep(ClockId::CLOCK_MONOTONIC, flags, &TimeSpec::nanoseconds(at));
    }
}

/// Lets this thread's sleeps end within 1 ns of their time (scheduling apart) in place of Linux's default of 50 µs.
///
/// # Errors
/// What prctl(PR_SET_TIMERSLACK) answers.
pub fn precise_sleep() -> Result<(), Errno> {
    nix::sys::prctl::set_timerslack(1)
}

/// The moment `epoch_ns` of the monotonic clock, in ns of Unix time by the realtime clock as it stands now.
fn epoch_unix_ns(epoch_ns: u64) -> i64 {
    let since = monotonic_ns() as i64 - epoch_ns as i64;
    unix_ns() - since
}

/// Now by the realtime clock, in ns of Unix time; negative before 1970.
pub fn unix_ns() -> i64 {
    let saturated = |duration: Duration| i64::try_from(duration.as_nanos()).unwrap_or(i64::MAX);
    match SystemTime::now().duration_since(UNIX_EPOCH) {
        Ok(since) => saturated(since),
        Err(before) => -saturated(before.duration()),
    }
}

fn monotonic_ns() -> u64 {
    let now = clock_gettime(ClockId::CLOCK_MONOTONIC).expect("Linux always has CLOCK_MONOTONIC");
    u64::try_from(now.num_nanoseconds()).unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_sleep_ends_after_its_time_and_copies_share_the_epoch() {
        let clock = Clock::start();
        let copy = clock;
        let until = clock.now_ns() + 2_000_000;
        while clock.now_ns() < until {
            clock.sleep_until(until);
        }
        assert!(copy.now_ns() >= until);
        clock.sleep_until(0); // long gone: returns
    }

    #[test]
    fn a_moment_of_the_realtime_clock_is_one_of_the_run() {
        let clock = Clock::start();
        let moved = clock.realtime_moved_by().as_nanos() as i64;
        let (before, told, after) =
            (clock.now_ns() as i64, clock.of_unix_ns(unix_ns()), clock.now_ns() as i64);
        assert!(
            (before - moved - 1_000..=after + moved + 1_000).contains(&told),
            "{before} {told} {after}, moved {moved}"
        );
        assert!(clock.of_unix_ns(0) < 0);
    }

    #[test]
    fn the_timer_slack_is_set_and_what_it_buys_is_shown() {
        let clock = Clock::start();
        let mean_late_us = || {
            let late = |_| {
                let until = clock.now_ns() + 300_000;
                clock.sleep_until(until);
                clock.now_ns().saturating_sub(until)
            };
            (0..200).map(late).sum::<u64>() as f64 / 200_000.0
        };
        let before = mean_late_us();
        precise_sleep().unwrap();
        assert_eq!(nix::sys::prctl::get_timerslack(), Ok(1));
        println!(
            "a sleep ends {before:.0} µs late on average with the default slack, {:.0} µs with 1 ns",
            mean_late_us()
        );
    }
}
