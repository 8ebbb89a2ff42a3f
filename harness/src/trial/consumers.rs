//! The consumers of one trial, wherever they run.

use std::sync::Arc;

use super::in_process::{FetchStart, InProcessConsumers};
use super::process::{WorkerConsumers, WorkerReports, Workers};
use crate::error::RunError;

/// The running consumers of one trial. Dropping them ends them.
pub(super) enum ConsumerHandle {
    /// In this process.
    InProcess(InProcessConsumers),
    /// In others.
    Process(Box<WorkerConsumers>),
}

impl ConsumerHandle {
    /// What lets the consumers fetch; none where nothing holds them.
    pub(super) fn fetch_start(&self) -> Option<FetchStart> {
        match self {
            Self::InProcess(consumers) => Some(consumers.fetch_start()),
            Self::Process(process) => process.fetch_start(),
        }
    }

    /// The processes they run in, where that is not this one.
    pub(super) fn pids(&self) -> Vec<u32> {
        match self {
            Self::InProcess(_) => Vec::new(),
            Self::Process(process) => process.pids(),
        }
    }

    /// The processes, where they can break.
    pub(super) fn workers(&self) -> Option<Arc<Workers>> {
        match self {
            Self::InProcess(_) => None,
            Self::Process(process) => Some(Arc::clone(process.workers())),
        }
    }

    /// The end of the process's log, where they run in one.
    pub(super) fn log_tail(&self) -> Option<String> {
        match self {
            Self::InProcess(_) => None,
            Self::Process(process) => Some(process.log_tail()),
        }
    }

    /// Resolves when they ended by themselves, which they should not; never otherwise.
    pub(super) async fn failure(&mut self) -> RunError {
        match self {
            Self::InProcess(consumers) => consumers.failure().await,
            Self::Process(process) => process.failure().await,
        }
    }

    /// Stops them gracefully; what a process left behind.
    pub(super) async fn stop(self) -> Result<Option<WorkerReports>, RunError> {
        match self {
            Self::InProcess(consumers) => consumers.stop().await.map(|()| None),
            Self::Process(process) => process.stop().await.map(Some),
        }
    }
}
