//! Errors as a user reads them: what is wrong, and after a blank line what to do next.

use std::fmt::Write as _;
use std::io::Write as _;

use super::exit::Exit;

/// An error of the command line's own making: what is wrong and, after a blank line, what to do next.
#[derive(Debug, thiserror::Error)]
#[error("{what}")]
pub(super) struct UsageError {
    pub(super) what: String,
    pub(super) hint: String,
}

/// A line on stderr. That nobody reads it any more, as behind `2>&1 | head`, is no reason to end a run.
pub(super) fn tell(text: &str) {
    let _ = writeln!(std::io::stderr(), "{text}");
}

/// Prints `error`, its causes and its hint to stderr, and chooses the exit code.
pub(super) fn explain(error: &anyhow::Error) -> Exit {
    let mut text = format!("error: {error}");
    for cause in error.chain().skip(1) {
        let cause = cause.to_string();
        if !text.contains(&cause) {
            let _ = write!(text, ": {cause}");
        }
    }
    tell(&text);
    if let Some(hint) = error.chain().find_map(hint_of) {
        tell(&format!("\nhint: {hint}"));
    }
    if error.chain().any(|e| e.is::<UsageError>()) { Exit::Usage } else { Exit::CouldNotRun }
}

/// The hint of those errors that have one.
fn hint_of(error: &(dyn std::error::Error + 'static)) -> Option<String> {
    let usage = error.downcast_ref::<UsageError>().map(|e| e.hint.clone());
    usage
        .or_else(|| error.downcast_ref::<crate::stack::StackError>().and_then(|e| e.hint()))
        .or_else(|| error.downcast_ref::<crate::record::file::FileError>().map(|e| e.hint()))
        .or_else(|| error.downcast_ref::<crate::scenario::ScenarioError>().and_then(|e| e.hint()))
}
