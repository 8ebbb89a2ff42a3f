//! What a run looks like: page, pictures, Markdown, CSV and the terminal's text. Rendering only.
//!
//! Architecture invariant: this module reads [`lanebench_result`] and nothing else of the harness. It scales, sorts,
//! adds counts up and merges histograms in order to draw them; every estimate, interval and verdict comes from the
//! record.

use std::path::{Path, PathBuf};

use lanebench_result::RunResult;

pub mod bench;
mod ceilings;
pub mod chart;
pub mod csv;
pub mod gate;
pub mod html;
pub mod limits;
pub mod markdown;
pub mod pair;
pub mod ran;
pub mod scenario;
pub mod table;
pub mod text;
pub mod units;
pub mod words;

#[cfg(any(test, feature = "fixture"))]
pub mod fixture;
#[cfg(test)]
mod snapshots;
#[cfg(test)]
mod tests;

/// Why a report could not be written.
#[derive(Debug, thiserror::Error)]
pub enum ReportError {
    /// A file could not be written.
    #[error("{} could not be written: {source}", path.display())]
    Write {
        /// The file.
        path: PathBuf,
        /// Why.
        source: std::io::Error,
    },
    /// A chart could not be drawn.
    #[error("the chart {chart} could not be drawn: {source}")]
    Chart {
        /// Its name.
        chart: &'static str,
        /// Why.
        source: chart::ChartError,
    },
    /// The page could not be filled in.
    #[error("the page could not be filled in: {0}")]
    Page(#[from] askama::Error),
}

/// Writes `index.html`, four pictures, `summary.md` and `series.csv` into `dir`, which is made if it is missing.
///
/// Returns the files' paths, the page first.
///
/// # Errors
/// [`ReportError`] with the file or chart that failed; what was written before it stays.
pub fn render(result: &RunResult, dir: &Path) -> Result<Vec<PathBuf>, ReportError> {
    std::fs::create_dir_all(dir).map_err(|source| ReportError::Write { path: dir.to_owned(), source })?;
    let page = write(dir, "index.html", html::page(result)?.as_bytes())?;
    let mut written = vec![page];
    for chart in chart::CHARTS {
        let png = chart.png(result).map_err(|source| ReportError::Chart { chart: chart.name, source })?;
        written.push(write(dir, chart.file, &png)?);
    }
    if let Some(run) = scenario::of_comparison(result) {
        let picture = scenario::chart::picture(&[run], &result.stack);
        let picture = picture.map_err(|source| ReportError::Chart { chart: "faults", source })?;
        written.push(write(dir, scenario::chart::PICTURE_FILE, &picture)?);
    }
    written.push(write(dir, "summary.md", markdown::summary(result).as_bytes())?);
    written.push(write(dir, "series.csv", csv::series(result).as_bytes())?);
    Ok(written)
}

fn write(dir: &Path, name: &str, content: &[u8]) -> Result<PathBuf, ReportError> {
    let path = dir.join(name);
    match std::fs::write(&path, content) {
        Ok(()) => Ok(path),
        Err(source) => Err(ReportError::Write { path, source }),
    }
}
