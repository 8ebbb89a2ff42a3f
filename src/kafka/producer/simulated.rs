//! A partition's log in memory, whose answers follow a script.

use std::collections::VecDeque;
use std::future::pending;
use std::sync::{Arc, Mutex};

use super::transport::{Failure, Transport};
use super::verdict::Verdict;
use crate::kafka::Message;

/// How one attempt goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Step {
    Ack,
    /// Refused for a passing reason, not written.
    RefusedForNow,
    /// The connection breaks, after or before the append.
    Unknown {
        written: bool,
    },
    /// No answer; the batch is appended now, or never.
    Silence {
        written: bool,
    },
    /// No answer; the batch is appended when this many later attempts have been answered: a frozen broker wakes.
    SilenceThenLate {
        after: usize,
    },
    RefusedForGood,
}

#[derive(Default)]
struct Log {
    script: VecDeque<Step>,
    /// Values, in the order in which they were appended.
    records: Vec<Vec<u8>>,
    /// Copies on their way: attempts still to go, and the batch.
    late: Vec<(usize, Vec<Vec<u8>>)>,
    attempts: Vec<(Vec<Vec<u8>>, Step)>,
}

impl Log {
    fn append(&mut self, batch: &[Vec<u8>]) -> i64 {
        let base = self.records.len() as i64;
        self.records.extend_from_slice(batch);
        base
    }

    fn arrive(&mut self, all: bool) {
        for (after, batch) in std::mem::take(&mut self.late) {
            match after.checked_sub(1) {
                Some(left) if !all => self.late.push((left, batch)),
                _ => drop(self.append(&batch)),
            }
        }
    }
}

/// Shared by the test and the transport; attempts beyond the script are acknowledged.
#[derive(Clone, Default)]
pub(super) struct Simulated(Arc<Mutex<Log>>);

impl Simulated {
    pub(super) fn new(script: impl IntoIterator<Item = Step>) -> Self {
        let simulated = Self::default();
        simulated.0.lock().unwrap().script = script.into_iter().collect();
        simulated
    }

    /// The log, once everything still on its way has arrived.
    pub(super) fn records(&self) -> Vec<Vec<u8>> {
        let mut log = self.0.lock().unwrap();
        log.arrive(true);
        log.records.clone()
    }

    /// Each attempt: the values of its batch, and how it went.
    pub(super) fn attempts(&self) -> Vec<(Vec<Vec<u8>>, Step)> {
        self.0.lock().unwrap().attempts.clone()
    }

    fn attempt(&self, batch: &[Message]) -> Option<Result<i64, Failure>> {
        let batch: Vec<Vec<u8>> = batch.iter().map(|message| message.value.clone().unwrap()).collect();
        let mut log = self.0.lock().unwrap();
        let step = log.script.pop_front().unwrap_or(Step::Ack);
        log.attempts.push((batch.clone(), step));
        let failure = |verdict| Some(Err(Failure { verdict, cause: format!("{step:?}") }));
        let answer = match step {
            Step::Ack => Some(Ok(log.append(&batch))),
            Step::RefusedForNow => failure(Verdict::NotWritten),
            Step::Unknown { written } => {
                if written {
                    log.append(&batch);
                }
                failure(Verdict::Unknown)
            }
            Step::Silence { written } => {
                if written {
                    log.append(&batch);
                }
                None
            }
            Step::SilenceThenLate { after } => {
                log.late.push((after + 1, batch));
                None
            }
            Step::RefusedForGood => failure(Verdict::Refused),
        };
        log.arrive(false);
        answer
    }
}

impl Transport for Simulated {
    async fn produce(&mut self, batch: &[Message]) -> Result<i64, Failure> {
        tokio::time::sleep(std::time::Duration::from_millis(1)).await;
        match self.attempt(batch) {
            Some(answer) => answer,
            None => pending().await,
        }
    }
}
