//! What waits for one partition: a buffer bounded in bytes, cut into batches by size and by the time since the last.
//!
//! A mutex guards the queue for a few instructions a message and never across an await; room is a fair semaphore of
//! bytes, so that senders wait in the order in which they came.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::sync::{Notify, Semaphore, watch};
use tokio::time::{Instant, timeout_at};

use super::error::{Ack, Completion, ProduceError, SendError};
use super::{ProducerConfig, wire_bytes};
use crate::kafka::{Message, Origin};

/// A completion that is told something exactly once, even when it is dropped.
pub(super) struct Held<C: Completion> {
    completion: Option<C>,
    may_be_in_log: bool,
}

impl<C: Completion> Held<C> {
    pub(super) fn new(completion: C) -> Self {
        Self { completion: Some(completion), may_be_in_log: false }
    }

    pub(super) fn done(mut self, result: Result<Ack, ProduceError>) {
        if let Some(completion) = self.completion.take() {
            completion.done(result);
        }
    }
}

impl<C: Completion> Drop for Held<C> {
    fn drop(&mut self) {
        if let Some(completion) = self.completion.take() {
            completion.done(Err(ProduceError::Dropped { may_be_in_log: self.may_be_in_log }));
        }
    }
}

struct Waiting<C: Completion> {
    message: Message,
    bytes: usize,
    completion: Held<C>,
}

/// Messages that travel together, and go again together, unchanged, until their outcome is known.
pub(super) struct Batch<C: Completion> {
    pub(super) messages: Vec<Message>,
    completions: Vec<Held<C>>,
    bytes: usize,
}

impl<C: Completion> Batch<C> {
    /// An attempt is about to begin: from here on the messages may be in the log.
    pub(super) fn on_the_way(&mut self) {
        for completion in &mut self.completions {
            completion.may_be_in_log = true;
        }
    }
}

struct State<C: Completion> {
    queue: VecDeque<Waiting<C>>,
    queued_bytes: usize,
    /// Messages accepted and messages taken into batches, since the start.
    accepted: u64,
    taken: u64,
    /// When the last batch was cut.
    last_cut: Option<Instant>,
    /// Messages up to this number go at once: somebody waits for them.
    flush_to: u64,
    closing: bool,
    failed: Option<Arc<ProduceError>>,
}

enum Next {
    Batch,
    NotBefore(Instant),
    Idle,
    End,
}

/// The buffer of one partition, shared by its senders and its task.
pub(super) struct Lane<C: Completion> {
    partition: i32,
    config: ProducerConfig,
    state: Mutex<State<C>>,
    room: Semaphore,
    /// Wakes the partition's task: a first message, a full batch, a flush, the end.
    work: Notify,
    /// How many messages have ended.
    ended: watch::Sender<u64>,
}

impl<C: Completion> Lane<C> {
    pub(super) fn new(partition: i32, config: &ProducerConfig) -> Self {
        let state = State {
            queue: VecDeque::new(),
            queued_bytes: 0,
            accepted: 0,
            taken: 0,
            last_cut: None,
            flush_to: 0,
            closing: false,
            failed: None,
        };
        Self {
            partition,
            config: config.clone(),
            state: Mutex::new(state),
            room: Semaphore::new(config.buffer_bytes),
            work: Notify::new(),
            ended: watch::Sender::new(0),
        }
    }

    pub(super) fn partition(&self) -> i32 {
        self.partition
    }

    pub(super) fn config(&self) -> &ProducerConfig {
        &self.config
    }

    /// No foreign code runs under the lock, so a poisoned one still holds a whole state.
    fn state(&self) -> MutexGuard<'_, State<C>> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Waits for room and takes a message; on refusal its completion has heard why.
    pub(super) async fn push(&self, message: Message, completion: Held<C>) -> Result<(), SendError> {
        match self.try_take_in(message, completion).await {
            Ok(()) => Ok(()),
            Err((error, completion)) => {
                completion.done(Err(ProduceError::NotAccepted(error.clone())));
                Err(error)
            }
        }
    }

    async fn try_take_in(&self, message: Message, completion: Held<C>) -> Result<(), (SendError, Held<C>)> {
        let bytes = wire_bytes(&message);
        let limit = self.config.max_record_bytes;
        if bytes > limit {
            return Err((SendError::Oversize { bytes, limit }, completion));
        }
        if chrono::DateTime::from_timestamp_millis(message.timestamp_ms).is_none() {
            return Err((SendError::Timestamp { timestamp_ms: message.timestamp_ms }, completion));
        }
        // The config's check keeps the buffer, and so the record, below 4 GiB. A closed semaphore means that the lane failed.
        let room = self.room.acquire_many(bytes as u32).await;
        let mut state = self.state();
        if let Some(cause) = &state.failed {
            let cause = Arc::clone(cause);
            return Err((SendError::Failed { cause }, completion));
        }
        if let Ok(room) = room {
            room.forget(); // given back when the message ends
        }
        let before = state.queued_bytes;
        state.queue.push_back(Waiting { message, bytes, completion });
        state.queued_bytes += bytes;
        state.accepted += 1;
        let full = self.config.batch_limit(0);
        let wake = before == 0 || (before < full && state.queued_bytes >= full);
        drop(state);
        if wake {
            self.work.notify_one();
        }
        Ok(())
    }

    /// The next batch, when it is due; `None` once the lane is closing and empty. Cancel-safe.
    pub(super) async fn next_batch(&self) -> Option<Batch<C>> {
        loop {
            let next = {
                let mut state = self.state();
                match state.next(&self.config) {
                    Next::Batch => return Some(state.cut(&self.config)),
                    other => other,
                }
            };
            match next {
                Next::NotBefore(until) => drop(timeout_at(until, self.work.notified()).await),
                Next::Idle => self.work.notified().await,
                Next::End | Next::Batch => return None,
            }
        }
    }

    /// The batch lies in the log from `base_offset` on.
    pub(super) fn acked(&self, batch: Batch<C>, base_offset: i64) {
        let count = batch.completions.len() as u64;
        for (offset, completion) in (base_offset..).zip(batch.completions) {
            completion.done(Ok(Ack { origin: Origin { partition: self.partition, offset } }));
        }
        self.room.add_permits(batch.bytes);
        self.ended.send_modify(|ended| *ended += count);
    }

    /// The partition ends: `batch` with `error`, all that waits behind it unsent, all that comes later refused.
    pub(super) fn fail(&self, batch: Option<Batch<C>>, error: ProduceError) {
        let cause = Arc::new(error);
        let (waiting, accepted) = {
            let mut state = self.state();
            state.failed.get_or_insert_with(|| Arc::clone(&cause));
            state.queued_bytes = 0;
            (std::mem::take(&mut state.queue), state.accepted)
        };
        self.room.close();
        for completion in batch.into_iter().flat_map(|batch| batch.completions) {
            completion.done(Err((*cause).clone()));
        }
        for waiting in waiting {
            waiting.completion.done(Err(ProduceError::Behind { cause: Arc::clone(&cause) }));
        }
        self.ended.send_replace(accepted);
    }

    /// Waits until all that was accepted so far has ended; it goes at once.
    pub(super) async fn flush(&self) -> Result<(), ProduceError> {
        let target = {
            let mut state = self.state();
            state.flush_to = state.accepted;
            state.accepted
        };
        self.work.notify_one();
        let mut ended = self.ended.subscribe();
        // The sender lives as long as `self`, so the wait ends with the count and not otherwise.
        let _ = ended.wait_for(|ended| *ended >= target).await;
        match &self.state().failed {
            Some(cause) => Err((**cause).clone()),
            None => Ok(()),
        }
    }

    /// Lets the task end once nothing waits.
    pub(super) fn close(&self) {
        self.state().closing = true;
        self.work.notify_one();
    }

    /// Bytes accepted and not ended.
    #[cfg(test)]
    pub(super) fn held_bytes(&self) -> usize {
        self.config.buffer_bytes - self.room.available_permits()
    }
}

impl<C: Completion> State<C> {
    fn next(&self, config: &ProducerConfig) -> Next {
        if self.queue.is_empty() {
            return if self.closing { Next::End } else { Next::Idle };
        }
        let at_once =
            self.closing || self.taken < self.flush_to || self.queued_bytes >= config.batch_limit(0);
        let due = self.last_cut.map(|last| last + config.batch_interval);
        match due.filter(|due| !at_once && *due > Instant::now()) {
            Some(due) => Next::NotBefore(due),
            None => Next::Batch,
        }
    }

    /// Cuts a batch off the front: as much as fits, and one message at least.
    fn cut(&mut self, config: &ProducerConfig) -> Batch<C> {
        let limit = config.batch_limit(self.queued_bytes);
        let mut batch = Batch { messages: Vec::new(), completions: Vec::new(), bytes: 0 };
        while let Some(next) =
            self.queue.pop_front_if(|next| batch.bytes == 0 || batch.bytes + next.bytes <= limit)
        {
            batch.bytes += next.bytes;
            batch.messages.push(next.message);
            batch.completions.push(next.completion);
        }
        self.queued_bytes -= batch.bytes;
        self.last_cut = Some(Instant::now());
        self.taken += batch.messages.len() as u64;
        batch
    }
}
