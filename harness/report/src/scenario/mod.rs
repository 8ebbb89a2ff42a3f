//! What happened while things were broken on purpose: the page, the picture, the terminal's text and `summary.md`. Rendering only.

use std::path::{Path, PathBuf};

use lanebench_result::scenario::ScenarioRecord;

use crate::{ReportError, write};

pub mod chart;
#[cfg(any(test, feature = "fixture"))]
pub mod fixture;
mod headline;
pub mod markdown;
pub mod page;
mod panel;
mod rows;
#[cfg(test)]
mod tests;
pub mod text;
pub mod words;

pub use chart::png;
pub use page::page;

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
