//! What the process says by its exit code.

use std::process::ExitCode;

/// The exit codes, documented in the README.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Exit {
    /// All held.
    Held,
    /// It could not run.
    CouldNotRun,
    /// Bad usage.
    Usage,
    /// A check of truth failed.
    TruthFailed,
    /// Interrupted by a signal.
    Interrupted,
}

impl From<Exit> for ExitCode {
    fn from(exit: Exit) -> Self {
        ExitCode::from(match exit {
            Exit::Held => 0,
            Exit::CouldNotRun => 1,
            Exit::Usage => 2,
            Exit::TruthFailed => 3,
            Exit::Interrupted => 130,
        })
    }
}
