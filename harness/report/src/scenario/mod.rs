//! What happened while things were broken on purpose: the page, the picture, the terminal's text and `summary.md`. Rendering only.

use std::path::{Path, PathBuf};

use lanebench_result::scenario::{ScenarioConfiguration, ScenarioRecord, ScenarioRun};
use lanebench_result::{Configuration, RunResult};

use crate::{ReportError, write};

pub mod chart;
#[cfg(any(test, feature = "fixture"))]
pub mod fixture;
mod headline;
pub mod markdown;
pub mod page;
mod panel;
pub(crate) mod rows;
#[cfg(test)]
mod tests;
pub mod text;
pub mod words;

pub use chart::png;
pub use page::page;

/// The scenario in which the trials of a comparison ended, if they did.
pub fn of_comparison(result: &RunResult) -> Option<ScenarioRun> {
    let configuration = |configuration: &Configuration| ScenarioConfiguration {
        name: configuration.name.clone(),
        partitions: configuration.partitions,
        consumers: configuration.consumers,
        trials: configuration.trials.clone(),
    };
    let scenario = result.scenario.clone()?;
    Some(ScenarioRun { scenario, configurations: result.configurations.iter().map(configuration).collect() })
}

/// Writes `index.html`, `faults.png` and `summary.md` into `dir`, which is made if it is missing. Returns the files' paths, the page first.
///
/// # Errors
/// [`ReportError`] with the file or chart that failed; what was written before it stays.
pub fn render(record: &ScenarioRecord, dir: &Path) -> Result<Vec<PathBuf>, ReportError> {
    std::fs::create_dir_all(dir).map_err(|source| ReportError::Write { path: dir.to_owned(), source })?;
    let picture = png(record).map_err(|source| ReportError::Chart { chart: "faults", source })?;
    Ok(vec![
        write(dir, "index.html", page(record)?.as_bytes())?,
        write(dir, chart::PICTURE_FILE, &picture)?,
        write(dir, "summary.md", markdown::summary(record).as_bytes())?,
    ])
}
