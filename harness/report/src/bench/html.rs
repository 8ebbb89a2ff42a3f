//! The page of benchmarks: one file of HTML, CSS and inline SVG, in the looks of a run's page.

use askama::Template;

use crate::ReportError;
use crate::chart::Drawing;
use crate::chart::plane::{Heading, Layout};
use crate::html::{Figure, palette, pieces};
use crate::words::DEMONSTRATION;
use lanebench_result::bench::{Benched, Pipeline};

use super::rows::{Part, Row};
use super::{chart, rows, words};

/// The page as text; everything that comes from criterion's files is escaped by the template.
///
/// # Errors
/// [`ReportError::Chart`] when a chart cannot be drawn, [`ReportError::Page`] when the template cannot be filled in.
pub fn page(benched: &Benched) -> Result<String, ReportError> {
    let page = Page {
        benched,
        demonstration: words::demonstration(benched)
            .map(|said| said.trim_start_matches(DEMONSTRATION).to_owned()),
        headline: words::headline(benched),
        cautions: words::cautions(benched),
        rows: rows::rows(benched),
        range_note: words::range_note(benched),
        figures: benched.pipelines.iter().enumerate().map(figure).collect::<Result<_, _>>()?,
        parts: rows::parts(benched),
        palette: palette::rules(),
    };
    Ok(page.render()?)
}

#[derive(Template)]
#[template(path = "bench.html")]
struct Page<'a> {
    benched: &'a Benched,
    /// What follows on the word, which the page sets in bold.
    demonstration: Option<String>,
    headline: String,
    cautions: Vec<(&'static str, String)>,
    rows: Vec<Row>,
    range_note: String,
    figures: Vec<Figure>,
    parts: Vec<Part>,
    palette: String,
}

fn figure((index, pipeline): (usize, &Pipeline)) -> Result<Figure, ReportError> {
    let lanes = pipeline.lanes.iter().map(|lane| {
        let rate = rows::cell(&lane.throughput_per_s, crate::units::number);
        format!("{}: {}", lane.name, rate.inline())
    });
    let alt = format!("Events per second. {}", lanes.collect::<Vec<_>>().join("; "));
    let heading: Heading = chart::heading(pipeline);
    let draw = |layout| -> Result<Drawing, ReportError> { chart::svg(pipeline, layout) };
    Ok(Figure {
        name: format!("pipeline-{}", index + 1),
        heading,
        alt,
        page: draw(Layout::Page)?,
        phone: draw(Layout::Phone)?,
    })
}
