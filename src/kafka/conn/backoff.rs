//! Waiting a little longer after each failure.

use std::time::Duration;

const FIRST: Duration = Duration::from_millis(20);
/// Short, since what comes back is wanted back at once, and few are asking.
const LONGEST: Duration = Duration::from_millis(250);

/// 20 ms, doubling up to 250 ms. The number of attempts is the caller's business.
#[derive(Debug)]
pub(crate) struct Backoff {
    next: Duration,
}

impl Backoff {
    pub(crate) fn new() -> Self {
        Self { next: FIRST }
    }

    /// The time to wait before the next attempt.
    pub(crate) fn step(&mut self) -> Duration {
        let now = self.next;
        self.next = (now * 2).min(LONGEST);
        now
    }

    /// Waits for [`Self::step`].
    pub(crate) async fn wait(&mut self) {
        tokio::time::sleep(self.step()).await;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_doubles_up_to_a_bound() {
        let mut backoff = Backoff::new();
        let steps: Vec<_> = (0..6).map(|_| backoff.step().as_millis()).collect();
        assert_eq!(steps, [20, 40, 80, 160, 250, 250]);
    }
}
