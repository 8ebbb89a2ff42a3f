//! Accepting payments: a promise that outlives the process, revisions without gaps, and their order in the log.
//!
//! ```text
//! Asked ─▶ the order's turn ─▶ kept: the next revision, pending ─▶ sent (acks = all) ─▶ its place noted ─▶ Accepted
//!                                   └── a process dies here, or the broker is away: sent again, identical, before
//!                                       anything later of the order ──▶
//! ```
//!
//! This is the transactional outbox, with one payment an order in flight ([`crate::store::payments`] says how the table
//! sees to that whoever writes to it). The log may hold a message twice, which the domain rule ignores by its revision;
//! first occurrences are gap-free and in order.
//!
//! # Who sends what is pending
//! An instance sends its own again at once, and another's only when they are older than anybody's attempt can be
//! (`resend_after`). Were both to send, the log would hold a message twice, and that is all.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use futures_util::stream::{self, StreamExt as _};
use tokio::time::{Instant, sleep, timeout, timeout_at};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use crate::event::{OrderId, Revision};
use crate::kafka::{Message, Origin};
use crate::store::payments::{Payment, PaymentLog};
use decision::Decision;
use turns::{Turn, Turns};

mod asked;
pub mod currency;
mod decision;
mod error;
mod sender;
#[cfg(test)]
mod tests;
mod turns;

pub use asked::{
    ADDRESS_MAX_CHARS, AMOUNT_MAX, Asked, Fault, KEY_MAX_CHARS, PAID_AT_MAX_MS, PAID_AT_MIN_MS, REVISION_MAX,
    Raw, idempotency_key, order_id_rule,
};
pub use error::{IntakeError, OpenError};
pub use sender::{KafkaSender, Sender};

/// Between two looks for pending payments that nobody is at work on.
const SWEEP_EVERY: Duration = Duration::from_secs(1);
/// Pending payments taken in at a time.
const SWEEP_PAGE: u16 = 256;
/// And sent side by side: one that is slow or fails holds up no other.
const SWEEP_AT_ONCE: usize = 16;
/// Between two looks at a payment that another instance is sending.
const ANOTHERS: Duration = Duration::from_millis(50);

/// What an intake is told.
#[derive(Clone, Debug)]
pub struct IntakeConfig {
    /// The topic that payments go to.
    pub topic: String,
    /// This instance's name. It must have it again after a restart, and share it with no other that is alive.
    pub instance: String,
    /// When another instance's pending payment is taken for abandoned: longer than a sender tries, plus a margin.
    pub resend_after: Duration,
}

/// An accepted payment: it is in the log and will be delivered.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Accepted {
    /// The order.
    pub order_id: OrderId,
    /// Its revision.
    pub revision: Revision,
    /// Where its message lies.
    pub origin: Origin,
    /// Whether it was accepted earlier, and this is the first answer again.
    pub replayed: bool,
}

/// Accepts payments for one topic.
pub struct Intake {
    log: Arc<dyn PaymentLog>,
    sender: Arc<dyn Sender>,
    config: IntakeConfig,
    turns: Turns,
    tasks: TaskTracker,
    resent: AtomicU64,
}

impl Intake {
    /// Looks whether the table can serve the topic.
    ///
    /// # Errors
    /// [`OpenError`].
    pub async fn open(
        log: Arc<dyn PaymentLog>,
        sender: Arc<dyn Sender>,
        config: IntakeConfig,
    ) -> Result<Arc<Self>, OpenError> {
        match log.topic_in_use().await? {
            Some(found) if found != config.topic => {
                return Err(OpenError::OtherTopic { found, wanted: config.topic });
            }
            _ => {}
        }
        let (tasks, resent) = (TaskTracker::new(), AtomicU64::new(0));
        Ok(Arc::new(Self { log, sender, config, turns: Turns::new(), tasks, resent }))
    }

    /// Accepts a payment, or says why not; by `deadline`. `held` is kept until the work on it has ended, which may be
    /// later: what was written is sent even if nobody waits for the answer any more.
    ///
    /// # Errors
    /// [`IntakeError`].
    pub async fn accept(
        self: &Arc<Self>,
        asked: Asked,
        idempotency_key: Option<String>,
        deadline: Instant,
        held: impl Send + 'static,
    ) -> Result<Accepted, IntakeError> {
        let turn = self.turns.of(asked.order_id());
        let turn = timeout_at(deadline, turn).await.map_err(|_| IntakeError::Late)?;
        let decision = Arc::new(Decision::default());
        let (intake, shared) = (Arc::clone(self), Arc::clone(&decision));
        // A task, because a client that goes away must not leave a payment half way.
        let task = self.tasks.spawn(async move {
            let taken = intake.take(&asked, idempotency_key, deadline, &shared, &turn).await;
            drop(held);
            taken
        });
        match timeout_at(deadline, task).await {
            Ok(Ok(taken)) => taken,
            Ok(Err(panicked)) => Err(IntakeError::Unconfirmed { cause: panicked.to_string() }),
            Err(_) if decision.give_up() => Err(IntakeError::Late),
            Err(_) => Err(IntakeError::Unconfirmed { cause: "it was not acknowledged in time".into() }),
        }
    }

    async fn take(
        &self,
        asked: &Asked,
        key: Option<String>,
        deadline: Instant,
        decision: &Decision,
        turn: &Turn,
    ) -> Result<Accepted, IntakeError> {
        let (order_id, request) = (asked.order_id(), asked.canonical());
        let begin = || if decision.may_write() { Ok(()) } else { Err(IntakeError::Late) };
        while Instant::now() < deadline {
            let found = self.log.look(order_id, key.as_deref(), asked.revision()).await?;
            if let Some(known) = found.by_key {
                if known.request != request {
                    return Err(IntakeError::KeyReused);
                }
                begin()?;
                return self.again(known, deadline, turn).await;
            }
            let next = found.last.as_ref().map_or(0, |last| last.revision) + 1;
            if let Some(expected) = asked.revision().filter(|expected| *expected != next) {
                return match found.at {
                    Some(known) if asked.says_the_same_as(&known.request) => {
                        begin()?;
                        self.again(known, deadline, turn).await
                    }
                    _ => Err(IntakeError::Conflict { expected, next }),
                };
            }
            if let Some(pending) = found.last.filter(|last| last.origin.is_none()) {
                let before = self.settle(pending, deadline, turn).await;
                before.map_err(|error| IntakeError::Behind { cause: error.to_string() })?;
                continue;
            }
            if next > REVISION_MAX {
                return Err(IntakeError::Exhausted);
            }
            let now_ms = now_ms();
            let payment = Payment {
                order_id: order_id.clone(),
                revision: next,
                idempotency_key: key.clone(),
                request: request.clone(),
                payload: asked.event(next, now_ms).encode(),
                topic: self.config.topic.clone(),
                instance: self.config.instance.clone(),
                accepted_at_ms: now_ms,
                origin: None,
            };
            begin()?;
            let kept = self.log.keep(&payment).await;
            if kept.map_err(|error| IntakeError::Unconfirmed { cause: error.to_string() })? {
                let origin = self.deliver(&payment, turn).await?;
                return Ok(Accepted { order_id: payment.order_id, revision: next, origin, replayed: false });
            }
            decision.not_written(); // another instance was first: look again
        }
        Err(IntakeError::Late)
    }

    /// The first answer again, for a payment of the order in hand that may still be on its way.
    async fn again(&self, known: Payment, deadline: Instant, turn: &Turn) -> Result<Accepted, IntakeError> {
        let (order_id, revision) = (known.order_id.clone(), known.revision);
        let origin = self.settle(known, deadline, turn).await?;
        Ok(Accepted { order_id, revision, origin, replayed: true })
    }

    /// Sees a payment through that is written already: nobody in this process is at work on it, since the turn is ours.
    async fn settle(&self, known: Payment, deadline: Instant, turn: &Turn) -> Result<Origin, IntakeError> {
        let unconfirmed = |cause: String| IntakeError::Unconfirmed { cause };
        let mut known = known;
        loop {
            if let Some(origin) = known.origin {
                return Ok(origin);
            }
            if known.instance == self.config.instance || known.accepted_at_ms < self.abandoned_before_ms() {
                self.resent.fetch_add(1, Ordering::Relaxed);
                return self.deliver(&known, turn).await;
            }
            if Instant::now() >= deadline {
                return Err(unconfirmed(format!("instance {} has it in hand", known.instance)));
            }
            sleep(ANOTHERS).await;
            let found = self.log.look(&known.order_id, None, Some(known.revision)).await;
            let found = found.map_err(|error| unconfirmed(error.to_string()))?.at;
            known = found.ok_or_else(|| unconfirmed("it was removed".into()))?;
        }
    }

    /// Sends a pending payment and notes its place.
    async fn deliver(&self, payment: &Payment, _turn: &Turn) -> Result<Origin, IntakeError> {
        let message = Message {
            key: Some(payment.order_id.as_str().as_bytes().to_vec()),
            value: Some(payment.payload.clone()),
            timestamp_ms: payment.accepted_at_ms,
            ..Message::default()
        };
        let sent = self.sender.send(message).await;
        let origin = sent.map_err(|cause| IntakeError::Unconfirmed { cause })?;
        match self.log.place(&payment.order_id, payment.revision, origin).await {
            Ok(true) => Ok(origin),
            Ok(false) => {
                // Another instance took it for abandoned and was first: one answer for all who ask.
                let found = self.log.look(&payment.order_id, None, Some(payment.revision)).await;
                Ok(found.ok().and_then(|found| found.at).and_then(|known| known.origin).unwrap_or(origin))
            }
            Err(error) => {
                // It is in the log, which is what was promised; it will be sent once more, and ignored.
                let (order, revision) = (&payment.order_id, payment.revision);
                tracing::warn!(%error, %order, revision, "a payment's place was not noted");
                Ok(origin)
            }
        }
    }

    /// Sends what is pending and nobody is at work on, until `stop`: what a process left that died, and what could not be
    /// sent while a client waited.
    pub async fn keep_sending(&self, stop: CancellationToken) {
        loop {
            if let Some(Err(error)) = stop.run_until_cancelled(self.sweep()).await {
                tracing::warn!(%error, "pending payments will be looked for again");
            }
            if stop.run_until_cancelled(sleep(SWEEP_EVERY)).await.is_none() {
                return;
            }
        }
    }

    /// Tries every pending payment once.
    ///
    /// # Errors
    /// The first that occurred, after all were tried.
    async fn sweep(&self) -> Result<(), IntakeError> {
        let (mut after, mut outcome) = (String::new(), Ok(()));
        loop {
            let before_ms = self.abandoned_before_ms();
            let page = self.log.pending(&self.config.instance, before_ms, &after, SWEEP_PAGE).await?;
            let last = page.last().filter(|_| page.len() == usize::from(SWEEP_PAGE));
            let next = last.map(|last| last.order_id.to_string());
            let mut tried = stream::iter(page.into_iter().map(|pending| self.resend(pending)))
                .buffer_unordered(SWEEP_AT_ONCE);
            while let Some(sent) = tried.next().await {
                outcome = outcome.and(sent);
            }
            match next {
                Some(last) => after = last,
                None => return outcome,
            }
        }
    }

    /// Sends a pending payment, unless somebody in this process is at work on its order.
    async fn resend(&self, pending: Payment) -> Result<(), IntakeError> {
        let Some(turn) = self.turns.free(&pending.order_id) else { return Ok(()) };
        let found = self.log.look(&pending.order_id, None, Some(pending.revision)).await?;
        if let Some(known) = found.at.filter(|known| known.origin.is_none()) {
            self.resent.fetch_add(1, Ordering::Relaxed);
            self.deliver(&known, &turn).await?;
        }
        Ok(())
    }

    /// How many payments were sent once more.
    pub fn resent(&self) -> u64 {
        self.resent.load(Ordering::Relaxed)
    }

    /// Waits until nothing is in hand; `false` if that was not so `within` the time given. Accept nothing from here on.
    pub async fn drain(&self, within: Duration) -> bool {
        self.tasks.close();
        timeout(within, self.tasks.wait()).await.is_ok()
    }

    fn abandoned_before_ms(&self) -> i64 {
        now_ms() - i64::try_from(self.config.resend_after.as_millis()).unwrap_or(i64::MAX)
    }
}

/// Milliseconds of Unix time.
fn now_ms() -> i64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    i64::try_from(since.as_millis()).unwrap_or(i64::MAX)
}
