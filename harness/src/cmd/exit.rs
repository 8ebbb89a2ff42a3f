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
    /// The gate found a regression.
    Regressed,
    /// The gate could not decide, or had nothing to compare with.
    Undecided,
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
            Exit::Regressed => 4,
            Exit::Undecided => 5,
            Exit::Interrupted => 130,
        })
    }
}
