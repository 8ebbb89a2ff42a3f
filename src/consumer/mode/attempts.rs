//! Attempts at a component until one succeeds, told of and never silent.

use std::pin::pin;
use std::time::{Duration, Instant};

use crate::consumer::ConsumerError;
use crate::failure::{Backoff, Classified, Component, FailureClass};
use crate::probe::{Probe, retried};

/// How long a call may go unanswered before a warning says so. The call goes on; its own time-out ends it.
const SILENCE: Duration = Duration::from_millis(500);

/// What attempts came to.
pub(super) enum Attempted<T> {
    /// One succeeded.
    Done(T),
    /// None will, with this message: why.
    Refused(String),
}

impl<T> Attempted<T> {
    /// Of a call that no message can be at fault for: a refusal is one of the set-up.
    pub(super) fn needed(self, consumer: &str, component: Component) -> Result<T, ConsumerError> {
        match self {
            Self::Done(done) => Ok(done),
            Self::Refused(why) => Err(ConsumerError::SetUp { consumer: consumer.to_owned(), component, why }),
        }
    }
}

/// Calls until the call succeeds or the message itself is refused.
///
/// # Errors
/// [`ConsumerError::SetUp`].
pub(super) async fn attempts<T, E: Classified, F: Future<Output = Result<T, E>>>(
    consumer: &str,
    probe: &dyn Probe,
    component: Component,
    mut call: impl FnMut() -> F,
) -> Result<Attempted<T>, ConsumerError> {
    let mut backoff = Backoff::up_to(Backoff::LONG);
    let mut failed = false;
    loop {
        let error = match answer(consumer, component, call()).await {
            Ok(done) => {
                if failed {
                    probe.recovered(consumer, component);
                }
                return Ok(Attempted::Done(done));
            }
            Err(error) => error,
        };
        match error.class() {
            FailureClass::Message => return Ok(Attempted::Refused(error.to_string())),
            FailureClass::SetUp => {
                return Err(ConsumerError::SetUp {
                    consumer: consumer.to_owned(),
                    component,
                    why: error.to_string(),
                });
            }
            FailureClass::Passing => {
                failed = true;
                retried(probe, consumer, component, &error.to_string());
                backoff.wait().await;
            }
        }
    }
}

/// What `call` comes to. A call that stays unanswered is warned of, so that no partition hangs in silence.
async fn answer<T>(consumer: &str, component: Component, call: impl Future<Output = T>) -> T {
    let begun = Instant::now();
    let mut call = pin!(call);
    loop {
        match tokio::time::timeout(SILENCE, call.as_mut()).await {
            Ok(answer) => return answer,
            Err(_) => {
                let waited_ms = begun.elapsed().as_millis() as u64;
                tracing::warn!(consumer, component = component.as_str(), waited_ms, "no answer yet");
            }
        }
    }
}
