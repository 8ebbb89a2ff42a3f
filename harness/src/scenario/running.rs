//! The consumers of one trial, wherever they run.

use super::ScenarioError;
use super::lanes::{Gate, RunningLanes};
use super::process::{Reports, RunningProcess};

/// The running consumers of one trial. Dropping them ends them.
pub(super) enum Running {
    /// In this process.
    Here(RunningLanes),
    /// In one of their own.
    Process(Box<RunningProcess>),
}

impl Running {
    /// What lets the consumers fetch; none where nothing holds them.
    pub(super) fn gate(&self) -> Option<Gate> {
        match self {
            Self::Here(lanes) => Some(lanes.gate()),
            Self::Process(process) => process.gate(),
        }
    }

    /// The process they run in, where that is not this one.
    pub(super) fn pid(&self) -> Option<u32> {
        match self {
            Self::Here(_) => None,
            Self::Process(process) => Some(process.pid()),
        }
    }

    /// The end of the process's log, where they run in one.
    pub(super) fn log_tail(&self) -> Option<String> {
        match self {
            Self::Here(_) => None,
            Self::Process(process) => Some(process.log_tail()),
        }
    }

    /// Resolves when they ended by themselves, which they should not; never otherwise.
    pub(super) async fn failure(&mut self) -> ScenarioError {
        match self {
            Self::Here(lanes) => lanes.failure().await,
            Self::Process(process) => process.failure().await,
        }
    }

    /// Stops them gracefully; what a process left behind.
    pub(super) async fn stop(self) -> Result<Option<Reports>, ScenarioError> {
        match self {
            Self::Here(lanes) => lanes.stop().await.map(|()| None),
            Self::Process(process) => process.stop().await.map(Some),
        }
    }
}
