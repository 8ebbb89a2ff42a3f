//! What a command measured: kept, rendered and printed in one way, whether it is a comparison, a gate or scenarios.

use std::path::{Path, PathBuf};

use anyhow::Context;
use serde::Serialize;

use super::console::Console;
use super::exit::Exit;
use super::out::{Format, OutputFlags, keep_logs, print, tell};
use crate::error::RunError;
use crate::progress::Progress as _;
use crate::record::RunResult;
use crate::record::file::{FileError, GATE_FILE, LIMITS_FILE, OutputDir, RESULT_FILE, SCENARIO_FILE};
use crate::record::gate::GateRecord;
use crate::record::scenario::ScenarioRecord;
use crate::report::{self, ReportError};
use crate::rounds::Outcome;
use crate::stack::Stack;

/// A record that is kept, and shown to people.
pub(super) trait Shown: Serialize {
    /// Writes it into the directory of a report.
    fn save(&self, out: &OutputDir) -> Result<(), FileError>;

    /// Writes pages and pictures; the file to begin with.
    fn render(&self, directory: &Path) -> Result<PathBuf, ReportError>;

    /// For a terminal; `file` is the one to go on with.
    fn text(&self, file: &Path) -> String;

    /// For a pull request.
    fn markdown(&self) -> String;

    /// What it concludes.
    fn exit(&self) -> Exit;
}

impl Format {
    /// A record in this form; `file` is where its report begins.
    pub(super) fn of(self, record: &impl Shown, file: &Path) -> anyhow::Result<String> {
        Ok(match self {
            Self::Text => record.text(file),
            Self::Json => serde_json::to_string_pretty(record).context("the record as JSON")?,
            Self::Markdown => record.markdown(),
        })
    }
}

impl Shown for RunResult {
    fn save(&self, out: &OutputDir) -> Result<(), FileError> {
        out.save(self).map(drop)
    }

    fn render(&self, directory: &Path) -> Result<PathBuf, ReportError> {
        report::render(self, directory).map(|_| directory.join("index.html"))
    }

    fn text(&self, file: &Path) -> String {
        report::text::render(self, Some(file))
    }

    fn markdown(&self) -> String {
        report::markdown::summary(self)
    }

    fn exit(&self) -> Exit {
        if self.passed { Exit::Held } else { Exit::TruthFailed }
    }
}

impl Shown for ScenarioRecord {
    fn save(&self, out: &OutputDir) -> Result<(), FileError> {
        out.save_scenarios(self).map(drop)
    }

    fn render(&self, directory: &Path) -> Result<PathBuf, ReportError> {
        report::scenario::render(self, directory).map(|_| directory.join("index.html"))
    }

    fn text(&self, file: &Path) -> String {
        report::scenario::text::render(self, Some(file))
    }

    fn markdown(&self) -> String {
        report::scenario::markdown::summary(self)
    }

    fn exit(&self) -> Exit {
        if self.passed { Exit::Held } else { Exit::TruthFailed }
    }
}

impl Shown for GateRecord {
    fn save(&self, out: &OutputDir) -> Result<(), FileError> {
        out.save_gate(self).map(drop)
    }

    fn render(&self, directory: &Path) -> Result<PathBuf, ReportError> {
        report::gate::render(self, directory).map(|_| directory.join(report::gate::MARKDOWN_FILE))
    }

    fn text(&self, file: &Path) -> String {
        report::gate::text::render(self, Some(file))
    }

    fn markdown(&self) -> String {
        report::gate::markdown::comment(self)
    }

    fn exit(&self) -> Exit {
        match self.exit_code {
            0 => Exit::Held,
            3 => Exit::TruthFailed,
            4 => Exit::Regressed,
            _ => Exit::Undecided,
        }
    }
}

/// Stops the stack of a run that has ended, writes its report and prints it. `one` is what an interrupted run keeps of: a trial, or a round.
///
/// # Errors
/// What ended the run, and a report that can't be written.
pub(super) async fn end<R: Shown>(
    ended: Result<Outcome<R>, RunError>,
    one: &str,
    stack: Stack,
    out: &OutputDir,
    output: &OutputFlags,
    console: Console,
) -> anyhow::Result<Exit> {
    let is_sound = |outcome: &Outcome<R>| {
        outcome.interrupted || outcome.record.as_ref().is_none_or(|r| r.exit() != Exit::TruthFailed)
    };
    if !ended.as_ref().is_ok_and(is_sound) {
        keep_logs(&stack, out).await;
    }
    console.phase("stopping");
    stack.stop().await;
    let Outcome { record, interrupted } = match ended {
        Ok(outcome) => outcome,
        Err(error) => {
            drop(console);
            let files = [RESULT_FILE, GATE_FILE, SCENARIO_FILE, LIMITS_FILE];
            let kept = files.into_iter().any(|name| out.file(name).exists());
            if kept {
                let directory = out.path().display();
                tell(&format!("the finished {one}s are kept: `lanebench report {directory}` shows them"));
            }
            return Err(error.into());
        }
    };
    let Some(record) = record else {
        drop(console);
        if interrupted {
            tell(&format!("interrupted before a {one} was finished; everything is stopped"));
        }
        return Ok(if interrupted { Exit::Interrupted } else { Exit::Held });
    };
    console.phase("writing the report");
    let file = record.render(out.path()).context("the report could not be written")?;
    drop(console);
    print(&output.format.of(&record, &file)?)?;
    if interrupted {
        tell(&format!("interrupted; the finished {one}s are in {}", out.path().display()));
        return Ok(Exit::Interrupted);
    }
    Ok(record.exit())
}
