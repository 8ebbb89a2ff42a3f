//! The page of scenarios: one file of HTML, CSS and inline SVG, in the looks of a run's page.

use askama::Template;

use super::headline::{checks, headline};
use super::rows::{HEADINGS, Row, rows};
use super::{chart, words};
use crate::chart::Drawing;
use crate::chart::plane::Layout;
use crate::html::checks::Findings;
use crate::html::palette;
use crate::words::{DEMONSTRATION, Tone, demonstration_of};
use crate::{ReportError, ran};
use lanebench_result::scenario::{OfferedScenario, ScenarioRecord, ScenarioRun};

/// The page as text; everything that comes from the record is escaped by the template.
///
/// # Errors
/// [`ReportError::Chart`] when a chart cannot be drawn, [`ReportError::Page`] when the template cannot be filled in.
pub fn page(record: &ScenarioRecord) -> Result<String, ReportError> {
    let headline = headline(record);
    let page = Page {
        record,
        demonstration: demonstration_of(&record.stack)
            .map(|said| said.trim_start_matches(DEMONSTRATION).to_owned()),
        tone: match headline.tone {
            Tone::Held => "held",
            Tone::Failed => "failed",
            Tone::Undecided => "undecided",
        },
        headline: headline.text,
        scenarios: record.scenarios.iter().enumerate().map(section).collect::<Result<_, _>>()?,
        how_to_read: chart::HOW_TO_READ,
        scenario_headings: &HEADINGS,
        findings: checks(record).filter_map(|(title, v)| Findings::of(title, v)).collect(),
        ran: ran::scenarios(record),
        palette: palette::rules(),
    };
    Ok(page.render()?)
}

#[derive(Template)]
#[template(path = "scenario.html")]
struct Page<'a> {
    record: &'a ScenarioRecord,
    /// What follows on the word, which the page sets in bold.
    demonstration: Option<String>,
    tone: &'static str,
    headline: String,
    scenarios: Vec<Section>,
    how_to_read: &'static str,
    scenario_headings: &'static [&'static str],
    findings: Vec<Findings>,
    ran: Vec<(&'static str, String)>,
    palette: String,
}

/// One scenario.
pub(crate) struct Section {
    pub(crate) id: String,
    /// Whether it is the first of its page, and says how to read its chart.
    pub(crate) is_first: bool,
    pub(crate) scenario: OfferedScenario,
    /// The load, and what was broken when.
    pub(crate) offered: String,
    pub(crate) conclusions: Vec<String>,
    pub(crate) figure: Figure,
    pub(crate) rows: Vec<Row>,
}

/// A chart, its words, and the two ways in which it is drawn.
pub(crate) struct Figure {
    pub(crate) alt: String,
    pub(crate) page: Drawing,
    pub(crate) phone: Drawing,
}

/// What happened in one scenario, the `index`-th of its page.
pub(crate) fn section((index, run): (usize, &ScenarioRun)) -> Result<Section, ReportError> {
    let conclusions: Vec<String> = run.configurations.iter().map(words::verdict).collect();
    let alt = format!("How long each partition waited in {}. {}", run.scenario.name, conclusions.join(" "));
    Ok(Section {
        id: format!("scenario-{}", index + 1),
        is_first: index == 0,
        scenario: run.scenario.clone(),
        offered: words::offered(run),
        conclusions,
        figure: Figure { alt, page: chart::svg(run, Layout::Page)?, phone: chart::svg(run, Layout::Phone)? },
        rows: rows(run),
    })
}
