//! stdout is data; progress, warnings and errors go to stderr.

use std::fmt::Write as _;
use std::io::IsTerminal;
use std::sync::Mutex;
use std::time::Duration;

use indicatif::{ProgressBar, ProgressStyle};

use super::exit::Exit;
use crate::scenario::Progress;

/// An error of the command line's own making: what is wrong and, after a blank line, what to do next.
#[derive(Debug, thiserror::Error)]
#[error("{what}")]
pub(super) struct UsageError {
    pub(super) what: String,
    pub(super) hint: String,
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
    eprintln!("{text}");
    if let Some(hint) = error.chain().find_map(hint_of) {
        eprintln!("\nhint: {hint}");
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

/// Progress on stderr: a spinner on a terminal, plain lines elsewhere, nothing with `--quiet`.
pub(super) enum Console {
    Silent,
    Lines(Mutex<String>),
    Spinner(ProgressBar),
}

impl Console {
    pub(super) fn new(quiet: bool) -> Self {
        if quiet {
            return Self::Silent;
        }
        if !std::io::stderr().is_terminal() {
            return Self::Lines(Mutex::new(String::new()));
        }
        let style = ProgressStyle::with_template("{spinner} {elapsed_precise} {wide_msg}")
            .unwrap_or_else(|_| ProgressStyle::default_spinner());
        let bar = ProgressBar::new_spinner().with_style(style);
        bar.enable_steady_tick(Duration::from_millis(120));
        Self::Spinner(bar)
    }
}

impl Progress for Console {
    fn phase(&self, text: &str) {
        match self {
            Self::Silent => {}
            Self::Lines(last) => {
                if let Ok(mut last) = last.lock()
                    && *last != text
                {
                    eprintln!("{text}");
                    text.clone_into(&mut last);
                }
            }
            Self::Spinner(bar) => bar.set_message(text.to_owned()),
        }
    }

    fn detail(&self, text: &str) {
        if let Self::Spinner(bar) = self {
            bar.set_message(text.to_owned());
        }
    }
}

impl Drop for Console {
    fn drop(&mut self) {
        if let Self::Spinner(bar) = self {
            bar.finish_and_clear(); // leaves the terminal as it was
        }
    }
}
