//! What stands in place of the stack of containers in a program that was built without it.

use std::convert::Infallible;
use std::path::Path;
use std::process::ExitStatus;

use tokio_util::sync::CancellationToken;

use super::ContainerOptions;
use crate::scenario::Action;
use crate::stack::requirements::{Presence, Requirement};
use crate::stack::{Component, Endpoints, Facts, Pids, Progress, StackError};

/// A stack that this program can't start, and so never has: see the cargo feature `containers`.
#[derive(Debug)]
pub struct ContainerStack(Infallible);

impl ContainerStack {
    /// Says that it can't be.
    ///
    /// # Errors
    /// [`StackError::NoContainers`].
    #[expect(clippy::unused_async, reason = "as in a program that has it")]
    pub async fn start(
        _options: ContainerOptions,
        _progress: &(dyn Fn(Progress) + Send + Sync),
        _cancel: CancellationToken,
    ) -> Result<Self, StackError> {
        Err(StackError::NoContainers)
    }

    /// Where the parts answer.
    pub fn endpoints(&self) -> &Endpoints {
        match self.0 {}
    }

    /// Versions and settings.
    pub fn facts(&self) -> &Facts {
        match self.0 {}
    }

    /// Process ids.
    pub fn pids(&self) -> Pids {
        match self.0 {}
    }

    /// The parts that have ended.
    pub async fn ended(&self) -> Vec<(Component, ExitStatus)> {
        match self.0 {}
    }

    /// Breaks a part.
    ///
    /// # Errors
    /// None.
    pub async fn break_down(&self, _component: Component, _how: Action) -> Result<(), StackError> {
        match self.0 {}
    }

    /// Lets what was frozen go on.
    pub fn thaw(&self, _component: Component) {
        match self.0 {}
    }

    /// Brings a part back.
    ///
    /// # Errors
    /// None.
    pub async fn mend(&self, _component: Component, _how: Action) -> Result<(), StackError> {
        match self.0 {}
    }

    /// Writes the logs.
    ///
    /// # Errors
    /// None.
    pub async fn keep_logs(&self, _directory: &Path) -> Result<(), StackError> {
        match self.0 {}
    }

    /// Stops and removes everything.
    pub async fn stop(self) {
        match self.0 {}
    }
}

/// The one thing that is missing.
pub(in crate::stack) async fn requirements() -> Vec<Requirement> {
    vec![Requirement {
        name: "containers",
        purpose: "the cargo feature of this program",
        presence: Presence::Missing { reason: StackError::NoContainers.to_string() },
        install: "cargo build --release".to_owned(),
    }]
}
