//! What `cargo bench` measured as a page and as Markdown: 1 against 3 partitions, and the parts. Rendering only, as all of
//! `report`; criterion's own files are read by `benched`.

use std::path::{Path, PathBuf};

use super::{ReportError, write};
use lanebench_result::bench::Benched;

mod chart;
#[cfg(any(test, feature = "fixture"))]
pub mod fixture;
mod html;
mod markdown;
mod rows;
mod text;
mod words;

pub use html::page;
pub use markdown::summary;
pub use text::render as text;

/// Writes `index.html` and `summary.md` into `dir`, which is made if it is missing. Returns the page's path.
///
/// # Errors
/// [`ReportError`] with the file or chart that failed; what was written before it stays.
pub fn render(benched: &Benched, dir: &Path) -> Result<PathBuf, ReportError> {
    std::fs::create_dir_all(dir).map_err(|source| ReportError::Write { path: dir.to_owned(), source })?;
    let page = write(dir, "index.html", html::page(benched)?.as_bytes())?;
    write(dir, "summary.md", markdown::summary(benched).as_bytes())?;
    Ok(page)
}
