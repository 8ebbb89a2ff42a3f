//! The task of one partition: takes batch after batch and brings each to its end before it touches the next.

use std::sync::Arc;
use std::time::Duration;

use tokio::time::{Instant, sleep, timeout};

use super::error::{Completion, ProduceError};
use super::lane::{Batch, Lane};
use super::transport::{Failure, Transport};
use super::verdict::Verdict;
use crate::failure::Backoff;
use crate::kafka::Message;

/// Ends the lane when its task does, however that happens: aborted before its first poll, panicked, or finished.
pub(super) struct Owner<C: Completion>(pub(super) Arc<Lane<C>>);

impl<C: Completion> Drop for Owner<C> {
    fn drop(&mut self) {
        self.0.fail(None, ProduceError::Dropped { may_be_in_log: false });
    }
}

/// Sends all that the lane takes in, in order, until it is closed or a batch fails.
pub(super) async fn run<T: Transport, C: Completion>(owner: Owner<C>, mut transport: T) {
    let lane = &owner.0;
    while let Some(mut batch) = lane.next_batch().await {
        match deliver(lane, &mut transport, &mut batch).await {
            Ok(base_offset) => lane.acked(batch, base_offset),
            Err(error) => {
                tracing::error!(partition = lane.partition(), %error, "the producer of this partition ends");
                lane.fail(Some(batch), error);
                return;
            }
        }
    }
}

/// Tries one batch, always the same, until it is acknowledged, refused for good, or out of time.
async fn deliver<T: Transport, C: Completion>(
    lane: &Lane<C>,
    transport: &mut T,
    batch: &mut Batch<C>,
) -> Result<i64, ProduceError> {
    let config = lane.config();
    let partition = lane.partition();
    let start = Instant::now();
    let mut backoff = Backoff::up_to(Backoff::LONG);
    let mut may_be_in_log = false;
    let mut attempts = 0;
    batch.on_the_way();
    loop {
        attempts += 1;
        let limit = || config.request_timeout.min(config.delivery_timeout.saturating_sub(start.elapsed()));
        let failure = match attempt(transport, &batch.messages, limit).await {
            Ok(base_offset) => return Ok(base_offset),
            Err(failure) => failure,
        };
        may_be_in_log |= failure.verdict.may_be_in_log();
        let cause = failure.cause.as_str().into();
        if !failure.verdict.is_retriable() {
            return Err(ProduceError::Refused { partition, cause, may_be_in_log });
        }
        let waited = start.elapsed();
        let pause = backoff.step();
        if waited + pause >= config.delivery_timeout {
            return Err(ProduceError::Expired { partition, waited, attempts, cause, may_be_in_log });
        }
        tracing::warn!(partition, attempts, cause = failure.cause, "a batch goes again");
        sleep(pause).await;
    }
}

/// One attempt. Finding the leader has its own time, so that a batch is not sent with no time left for its answer: it would go again.
async fn attempt<T: Transport>(
    transport: &mut T,
    messages: &[Message],
    limit: impl Fn() -> Duration,
) -> Result<i64, Failure> {
    let within = limit();
    timeout(within, transport.connect()).await.unwrap_or_else(|_| {
        let cause = format!("no leader was found within {within:?}");
        Err(Failure { verdict: Verdict::NotWritten, cause })
    })?;
    let within = limit();
    if within.is_zero() {
        let cause = "no time was left once the leader was found".to_owned();
        return Err(Failure { verdict: Verdict::NotWritten, cause });
    }
    timeout(within, transport.produce(messages)).await.unwrap_or_else(|_| {
        Err(Failure { verdict: Verdict::Unknown, cause: format!("no answer within {within:?}") })
    })
}
