//! What a gate says: in the terminal, as Markdown for a pull request's comment and for the summary of a CI job, and as a
//! picture.
//!
//! Rendering only: every bound and verdict comes from the record.

use std::path::{Path, PathBuf};

use super::{ReportError, write};
use lanebench_result::gate::GateRecord;

pub mod chart;
pub mod markdown;
pub mod table;
pub mod text;
pub mod words;

/// The file for a pull request's comment.
pub const MARKDOWN_FILE: &str = "gate.md";

/// The picture.
pub const PICTURE_FILE: &str = "gate.png";

/// Writes [`MARKDOWN_FILE`] and [`PICTURE_FILE`] into `dir`, which has to exist. Returns the files' paths in this order.
///
/// # Errors
/// [`ReportError`] with the file or chart that failed; what was written before it stays.
pub fn render(record: &GateRecord, dir: &Path) -> Result<Vec<PathBuf>, ReportError> {
    let markdown = write(dir, MARKDOWN_FILE, markdown::comment(record).as_bytes())?;
    let png = chart::png(record).map_err(|source| ReportError::Chart { chart: "gate", source })?;
    Ok(vec![markdown, write(dir, PICTURE_FILE, &png)?])
}
