//! Waits that end when they should: due times of the load, and modelled service times.
//!
//! The runtime's own timer counts whole milliseconds (a wait of 2 ms took 3.1 ms, with p99 2 ms late), and spinning
//! takes a core from what is measured. So these waits are a kernel timer, `timerfd`, that the runtime polls like a
//! socket: 2 ms took 2.07 ms on the same machine.

use std::io;
use std::os::fd::{AsFd, AsRawFd, RawFd};
use std::time::{Duration, Instant};

use nix::errno::Errno;
use nix::sys::time::TimeSpec;
use nix::sys::timerfd::{ClockId, Expiration, TimerFd, TimerFlags, TimerSetTimeFlags};
use tokio::io::Interest;
use tokio::io::unix::AsyncFd;

/// Why a [`Delay`] can't be made or can't wait.
#[derive(Debug, thiserror::Error)]
pub enum DelayError {
    /// The kernel gave no timer, usually because the process has too many open files.
    #[error("no kernel timer could be made: {0}")]
    Create(#[source] io::Error),
    /// The timer could not be set or read.
    #[error("the kernel timer failed: {0}")]
    Wait(#[source] io::Error),
}

/// A reusable wait on a kernel timer of the monotonic clock, accurate to about 0.1 ms and never early.
///
/// One file descriptor each; make one per loop and keep it.
#[derive(Debug)]
pub struct Delay {
    timer: AsyncFd<Pollable>,
}

/// The runtime asks for a raw descriptor, which nix's timer doesn't offer by itself.
#[derive(Debug)]
struct Pollable(TimerFd);

impl AsRawFd for Pollable {
    fn as_raw_fd(&self) -> RawFd {
        self.0.as_fd().as_raw_fd()
    }
}

impl Delay {
    /// Makes a timer; must be called inside a Tokio runtime with I/O enabled.
    ///
    /// # Errors
    /// [`DelayError::Create`] when the kernel or the runtime refuses one more descriptor.
    #[expect(
        deprecated,
        reason = "its successor is unsafe, for types that change their descriptor; ours owns one"
    )]
    pub fn new() -> Result<Self, DelayError> {
        let flags = TimerFlags::TFD_NONBLOCK | TimerFlags::TFD_CLOEXEC;
        let timer =
            TimerFd::new(ClockId::CLOCK_MONOTONIC, flags).map_err(|e| DelayError::Create(e.into()))?;
        let timer =
            AsyncFd::with_interest(Pollable(timer), Interest::READABLE).map_err(DelayError::Create)?;
        Ok(Self { timer })
    }

    /// Waits for `duration`; returns at once if it is zero. Cancelled by dropping the future, and reusable after.
    ///
    /// # Errors
    /// [`DelayError::Wait`] when the kernel refuses, which it has no reason to.
    pub async fn wait(&mut self, duration: Duration) -> Result<(), DelayError> {
        if duration.is_zero() {
            return Ok(()); // a zero would disarm the timer, and the wait would never end
        }
        // Setting it also forgets the expiry of an earlier wait that was cancelled.
        self.timer
            .get_ref()
            .0
            .set(Expiration::OneShot(TimeSpec::from_duration(duration)), TimerSetTimeFlags::empty())
            .map_err(|e| DelayError::Wait(e.into()))?;
        let expired = self.timer.async_io(Interest::READABLE, |timer| match timer.0.wait() {
            Err(Errno::EAGAIN) => Err(io::ErrorKind::WouldBlock.into()),
            other => other.map_err(io::Error::from),
        });
        expired.await.map_err(DelayError::Wait)
    }

    /// Waits until `due`; returns at once if that is past.
    ///
    /// # Errors
    /// As [`Self::wait`].
    pub async fn wait_until(&mut self, due: Instant) -> Result<(), DelayError> {
        self.wait(due.saturating_duration_since(Instant::now())).await
    }
}

/// A [`Delay`] that is made at the first wait, on the runtime that waits.
#[derive(Debug, Default)]
pub struct LazyDelay(Option<Delay>);

impl LazyDelay {
    /// As [`Delay::wait`].
    ///
    /// # Errors
    /// [`DelayError`].
    pub async fn wait(&mut self, duration: Duration) -> Result<(), DelayError> {
        let delay = match &mut self.0 {
            Some(delay) => delay,
            none => none.insert(Delay::new()?),
        };
        delay.wait(duration).await
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn never_returns_early() {
        let mut delay = Delay::new().unwrap();
        for micros in [0, 1, 50, 300, 1_000, 2_000, 5_500] {
            for _ in 0..5 {
                let wanted = Duration::from_micros(micros);
                let start = Instant::now();
                delay.wait(wanted).await.unwrap();
                assert!(start.elapsed() >= wanted, "{:?} instead of {wanted:?}", start.elapsed());
            }
        }
    }

    #[tokio::test]
    async fn a_due_time_that_is_past_costs_no_wait() {
        let mut delay = Delay::new().unwrap();
        let start = Instant::now();
        delay.wait_until(start).await.unwrap();
        delay.wait_until(start + Duration::from_millis(3)).await.unwrap();
        assert!(start.elapsed() >= Duration::from_millis(3));
    }

    #[tokio::test]
    async fn a_cancelled_wait_leaves_nothing_behind() {
        let mut delay = Delay::new().unwrap();
        for _ in 0..5 {
            // Armed for 1 ms and cancelled only after it fired unread: the next wait must not see that expiry.
            tokio::select! {
                biased;
                _ = delay.wait(Duration::from_millis(1)) => panic!("returned at its first poll"),
                () = std::future::ready(()) => {}
            }
            tokio::time::sleep(Duration::from_millis(3)).await;
            let start = Instant::now();
            delay.wait(Duration::from_millis(4)).await.unwrap();
            assert!(start.elapsed() >= Duration::from_millis(4), "{:?}", start.elapsed());
        }
    }
}
