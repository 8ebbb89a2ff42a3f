//! What goes to stdout, which is data, and to stderr: errors as a user reads them, what is wrong and, after a blank line, what
//! to do next.

use std::fmt::Write as _;
use std::io::Write as _;
use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, Ordering};

use anyhow::Context;
use clap::{Args, ValueEnum};

use super::exit::Exit;
use crate::record::file::OutputDir;
use crate::stack::Stack;

/// An error of the command line's own making: what is wrong and, after a blank line, what to do next.
#[derive(Debug, thiserror::Error)]
#[error("{what}")]
pub struct UsageError {
    /// What is wrong.
    pub what: String,
    /// What to do next.
    pub hint: String,
}

/// The heading in a command's help of the flags that say what is written, and where.
pub(super) const OUTPUT: &str = "Output";

/// Where a run is kept, and what is said of it.
#[derive(Args)]
#[command(next_help_heading = OUTPUT)]
pub(super) struct OutputFlags {
    /// Directory for the report [default: reports/, named by the time in UTC and the command]
    #[arg(long)]
    pub(super) out: Option<PathBuf>,
    /// What is printed on stdout
    #[arg(long, value_enum, default_value_t = Format::Text)]
    pub(super) format: Format,
    /// No progress on stderr
    #[arg(long, short)]
    pub(super) quiet: bool,
}

/// What is printed on stdout.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(super) enum Format {
    /// A table to read.
    Text,
    /// The whole result.
    Json,
    /// The summary for a pull request.
    Markdown,
}

/// Data on stdout, ending in one newline. That nobody reads on, as behind `| head`, is no error.
pub(super) fn print(text: &str) -> anyhow::Result<()> {
    let mut stdout = std::io::stdout().lock();
    match writeln!(stdout, "{}", text.trim_end()).and_then(|()| stdout.flush()) {
        Err(error) if error.kind() == std::io::ErrorKind::BrokenPipe => Ok(()),
        written => written.context("writing to stdout"),
    }
}

/// Whether stderr gets an object a line.
static TELLS_JSON: AtomicBool = AtomicBool::new(false);

/// From here on [`tell`] writes objects, as logs in JSON are.
pub(super) fn tell_as_json() {
    TELLS_JSON.store(true, Ordering::Relaxed);
}

/// A line on stderr. That nobody reads it any more, as behind `2>&1 | head`, is no reason to end a run.
pub(super) fn tell(text: &str) {
    if TELLS_JSON.load(Ordering::Relaxed) {
        let level = match text {
            text if text.starts_with("error:") => "ERROR",
            text if text.starts_with("warning:") => "WARN",
            _ => "INFO",
        };
        let _ = writeln!(std::io::stderr(), "{}", json_line(level, text.trim()));
    } else {
        let _ = writeln!(std::io::stderr(), "{text}");
    }
}

/// A line of a log in JSON, with the fields that the others have.
pub(super) fn json_line(level: &str, message: &str) -> String {
    let line = serde_json::json!({"timestamp": jiff::Timestamp::now().to_string(), "level": level,
                                  "fields": {"message": message}, "target": "lanebench"});
    line.to_string()
}

/// Keeps the logs of a stack's containers beside a result that failed, and says where.
pub(super) async fn keep_logs(stack: &Stack, out: &OutputDir) {
    let directory = out.file("logs");
    match stack.keep_logs(&directory).await {
        Ok(true) => tell(&format!("logs of the containers: {}", directory.display())),
        Ok(false) => {}
        Err(error) => tell(&format!("warning: the logs of the containers could not be kept: {error}")),
    }
}

/// Prints `error`, its causes and its hint to stderr, and chooses the exit code.
pub fn explain(error: &anyhow::Error) -> Exit {
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
    let misused = |e: &(dyn std::error::Error + 'static)| {
        e.is::<UsageError>() || e.is::<crate::gate::RulesError>() || e.is::<crate::scenario::ScenarioError>()
    };
    if error.chain().any(misused) { Exit::Usage } else { Exit::CouldNotRun }
}

/// The hint of those errors that have one.
fn hint_of(error: &(dyn std::error::Error + 'static)) -> Option<String> {
    let usage = error.downcast_ref::<UsageError>().map(|e| e.hint.clone());
    usage
        .or_else(|| error.downcast_ref::<crate::stack::StackError>().and_then(|e| e.hint()))
        .or_else(|| error.downcast_ref::<crate::record::file::FileError>().map(|e| e.hint()))
        .or_else(|| error.downcast_ref::<super::gate::RevisionError>().and_then(|e| e.hint()))
        .or_else(|| error.downcast_ref::<crate::gate::rules::RulesError>().map(|e| e.hint()))
        .or_else(|| error.downcast_ref::<crate::scenario::ScenarioError>().map(|e| e.hint()))
        .or_else(|| error.downcast_ref::<crate::benched::BenchedError>().map(|e| e.hint()))
        .or_else(|| error.downcast_ref::<crate::error::RunError>().and_then(|e| e.hint()))
        .or_else(|| error.downcast_ref::<crate::worker::ProcessError>().and_then(|e| e.hint()))
        .or_else(|| error.downcast_ref::<crate::serve::ServeError>().and_then(|e| e.hint()))
}
