//! Attempts at a component until one succeeds, told of and never silent.

use crate::consumer::ConsumerError;
use crate::failure::{Backoff, Classified, Component, FailureClass, SILENCE, unanswered};
use crate::probe::{Probe, retried};

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
        let tell = |waited_ms| {
            tracing::warn!(consumer, component = component.as_str(), waited_ms, "no answer yet");
        };
        let error = match unanswered(SILENCE, call(), tell).await {
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
