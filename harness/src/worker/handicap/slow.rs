//! Longer store calls, in wall time alone.
//!
//! The kernel wakes nobody after 10 µs, which a tenth of a store call may be. So what each call owes is gathered, and waited
//! for in one piece when it has grown to [`WORTH_WAITING`], on a kernel timer and without CPU time. A wait that took too long
//! is credited to the calls after it.

use std::time::{Duration, Instant};

use payment_delivery::timer::{DelayError, LazyDelay};
use tokio::sync::Mutex;

/// Less than this is left to grow.
const WORTH_WAITING: Duration = Duration::from_millis(2);

/// Makes the calls of one consumer longer by a share.
#[derive(Debug)]
pub(super) struct Slow {
    share: f64,
    /// Of the one consumer that calls, so nobody ever waits for it.
    ledger: Mutex<Ledger>,
}

#[derive(Debug, Default)]
struct Ledger {
    /// Time that the store's own calls took.
    called: Duration,
    waited: Duration,
    delay: LazyDelay,
}

impl Slow {
    pub(super) fn new(share: f64) -> Self {
        Self { share, ledger: Mutex::default() }
    }

    /// Takes note of a call, and waits if enough is owed.
    pub(super) async fn charge(&self, took: Duration) {
        let mut ledger = self.ledger.lock().await;
        ledger.called += took;
        let owed = ledger.owed(self.share);
        if owed >= WORTH_WAITING
            && let Err(error) = ledger.wait(owed).await
        {
            tracing::error!(%error, "the store's handicap could not be waited for");
        }
    }
}

impl Drop for Slow {
    /// How it went, for whoever has to say what was injected.
    fn drop(&mut self) {
        let Ledger { called, waited, .. } = self.ledger.get_mut();
        tracing::info!(?called, ?waited, "time that a consumer's store calls took, and waits added to it");
    }
}

impl Ledger {
    fn owed(&self, share: f64) -> Duration {
        self.called.mul_f64(share).saturating_sub(self.waited)
    }

    async fn wait(&mut self, owed: Duration) -> Result<(), DelayError> {
        let begun = Instant::now();
        self.delay.wait(owed).await?;
        self.waited += begun.elapsed();
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn what_is_owed_is_waited_for_in_pieces() {
        let slow = Slow::new(0.1);
        let mut waits = 0;
        for _ in 0..100 {
            let before = slow.ledger.lock().await.waited;
            slow.charge(Duration::from_micros(500)).await;
            let ledger = slow.ledger.lock().await;
            assert!(ledger.owed(0.1) < WORTH_WAITING, "{ledger:?}");
            waits += usize::from(ledger.waited > before);
        }
        // By its own books: 100 calls of 0.5 ms owe 5 ms, two whole pieces of 2 ms and one that may still grow. A wait
        // that took too long is credited, so a busy machine makes them fewer and never more.
        let ledger = slow.ledger.lock().await;
        assert!(ledger.waited > Duration::from_millis(3), "{ledger:?}");
        assert!((1..=2).contains(&waits), "{waits} waits: {ledger:?}");
    }

    #[test]
    fn a_wait_that_took_too_long_is_credited() {
        let ledger = |called, waited| Ledger {
            called: Duration::from_millis(called),
            waited: Duration::from_millis(waited),
            delay: LazyDelay::default(),
        };
        assert_eq!(ledger(100, 0).owed(0.1), Duration::from_millis(10));
        assert_eq!(ledger(100, 12).owed(0.1), Duration::ZERO);
        assert_eq!(ledger(150, 12).owed(0.1), Duration::from_millis(3));
    }
}
