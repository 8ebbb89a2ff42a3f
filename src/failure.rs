//! What a failure means for the work at hand, and how long to wait before the next attempt: one answer for broker, store, view and dead
//! letters.
//!
//! | class | what it is | what follows |
//! |---|---|---|
//! | passing | a component is away, slow or short of something | the partition waits and tries again, for as long as it takes |
//! | message | the message itself is at fault | the message goes to the dead-letter topic |
//! | set-up | a missing right, table or topic, a wrong password | the consumer ends with the error |

use std::pin::pin;
use std::time::Duration;

use backon::{BackoffBuilder, ExponentialBackoff, ExponentialBuilder};

use tokio::time::{Instant, timeout};

use crate::store::StoreError;
use crate::view::ViewError;

/// What a failure means for the work at hand.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FailureClass {
    /// Trying again helps, sooner or later.
    Passing,
    /// No attempt with this message will ever succeed.
    Message,
    /// No attempt will, with any message, until someone mends the set-up.
    SetUp,
}

/// An error that knows its class.
pub trait Classified: std::error::Error {
    /// What it means for the work at hand.
    fn class(&self) -> FailureClass;
}

impl Classified for StoreError {
    fn class(&self) -> FailureClass {
        match self {
            Self::Unavailable(_) => FailureClass::Passing,
            Self::Refused { .. } => FailureClass::Message,
            Self::Unusable(_) => FailureClass::SetUp,
        }
    }
}

impl Classified for ViewError {
    fn class(&self) -> FailureClass {
        match self {
            Self::Unavailable(_) => FailureClass::Passing,
            Self::Unusable(_) => FailureClass::SetUp,
        }
    }
}

/// A component that may fail, as probes and logs name it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Component {
    /// Kafka.
    Broker,
    /// Where delivery rows are kept.
    Store,
    /// Where the status can be queried.
    View,
}

impl Component {
    /// As a result and a log have it.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Broker => "broker",
            Self::Store => "store",
            Self::View => "view",
        }
    }
}

/// The wait before each attempt: 20 ms, doubling up to a bound, and up to as much again by chance, so that many who wait for one component
/// do not ask it in step. Their number is not bounded.
#[derive(Debug)]
pub(crate) struct Backoff {
    longest: Duration,
    waits: ExponentialBackoff,
}

impl Backoff {
    /// The bound where others wait for what this one does: a rebalance, an operator.
    pub(crate) const SHORT: Duration = Duration::from_millis(125);
    /// The bound everywhere else.
    pub(crate) const LONG: Duration = Duration::from_millis(500);
    const FIRST: Duration = Duration::from_millis(10);

    /// Waits of up to twice `longest`.
    pub(crate) fn up_to(longest: Duration) -> Self {
        let waits = ExponentialBuilder::default()
            .with_min_delay(Self::FIRST)
            .with_max_delay(longest)
            .with_factor(2.0)
            .without_max_times()
            .with_jitter()
            .build();
        Self { longest, waits }
    }

    /// The wait before the next attempt.
    pub(crate) fn step(&mut self) -> Duration {
        self.waits.next().unwrap_or(self.longest)
    }

    /// Waits for [`Self::step`].
    pub(crate) async fn wait(&mut self) {
        tokio::time::sleep(self.step()).await;
    }
}

/// How long a call may go unanswered before a warning says so. The call goes on; its own time-out ends it.
pub(crate) const SILENCE: Duration = Duration::from_millis(500);

/// What `call` comes to. While it stays unanswered, `tell` hears every `silence` for how many milliseconds, so that nothing hangs unsaid.
pub(crate) async fn unanswered<T>(silence: Duration, call: impl Future<Output = T>, tell: impl Fn(u64)) -> T {
    let begun = Instant::now();
    let mut call = pin!(call);
    loop {
        match timeout(silence, call.as_mut()).await {
            Ok(answer) => return answer,
            Err(_) => tell(begun.elapsed().as_millis() as u64),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn waits_double_up_to_a_bound_and_differ_by_chance() {
        let mut backoff = Backoff::up_to(Backoff::LONG);
        for base in [10, 20, 40, 80, 160, 320, 500, 500, 500] {
            let waited = backoff.step().as_millis();
            assert!(
                (base..=2 * base + 1).contains(&waited),
                "{waited} ms, where {base} to twice that are due"
            );
        }
        let first = |_| Backoff::up_to(Backoff::LONG).step();
        let firsts: std::collections::BTreeSet<_> = (0..20).map(first).collect();
        assert!(firsts.len() > 10, "{firsts:?}");
    }
}
