//! Two results as a page, in the looks of a run's.

use std::path::{Path, PathBuf};

use askama::Template;

use super::Pair;
use crate::html::palette;
use crate::{ReportError, write};

#[derive(Template)]
#[template(path = "pair.html")]
struct Page<'a> {
    pair: &'a Pair,
    demonstration: Option<String>,
    rows: Vec<Row>,
    palette: String,
}

/// A metric of a configuration, as text.
struct Row {
    configuration: String,
    metric: &'static str,
    a: (String, String),
    b: (String, String),
    quotient: String,
}

impl Pair {
    /// The page as text; everything that comes from the records is escaped by the template.
    ///
    /// # Errors
    /// [`ReportError::Page`] when the template cannot be filled in.
    pub fn page(&self) -> Result<String, ReportError> {
        let rows = self.rows.iter().map(|row| Row {
            configuration: row.configuration.clone(),
            metric: row.title(),
            a: row.shown(row.a.as_ref()),
            b: row.shown(row.b.as_ref()),
            quotient: row.quotient(),
        });
        let page = Page { pair: self, demonstration: None, rows: rows.collect(), palette: palette::rules() };
        Ok(page.render()?)
    }

    /// Writes `index.html` and `summary.md` into `dir`, and returns the page's path.
    ///
    /// # Errors
    /// [`ReportError`] with what could not be made or written.
    pub fn render(&self, dir: &Path) -> Result<PathBuf, ReportError> {
        write(dir, "summary.md", self.markdown().as_bytes())?;
        write(dir, "index.html", self.page()?.as_bytes())
    }
}
