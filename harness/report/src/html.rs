//! `index.html`: the page a run is read from. One file of HTML, CSS and inline SVG: no script, nothing fetched.

use askama::Template;

use crate::chart::plane::{Heading, Layout};
use crate::chart::{CHARTS, Chart, Drawing};
use crate::scenario;
use crate::scenario::page::{Section, section};
use crate::table::{self, Row};
use crate::units::{number, percent, range, ratio, spread};
use crate::words::{self, Tone};
use crate::{ReportError, ceilings, ran};
use lanebench_result::{Comparison, Configuration, PartitionShare, PhaseKind, RunResult, Trial};

pub(super) mod checks;
pub(super) mod palette;
mod phases;
mod rounds;
mod surge;

/// The page as text; everything that comes from the record is escaped by the template.
///
/// # Errors
/// [`ReportError::Chart`] when a chart cannot be drawn, [`ReportError::Page`] when the template cannot be filled in.
pub fn page(result: &RunResult) -> Result<String, ReportError> {
    let headline = words::headline(result);
    let broken = scenario::of_comparison(result);
    let page = Page {
        result,
        tone: match headline.tone {
            Tone::Held => "held",
            Tone::Failed => "failed",
            Tone::Undecided => "undecided",
        },
        demonstration: words::demonstration(result)
            .map(|said| said.trim_start_matches(words::DEMONSTRATION).to_owned()),
        headline: headline.text,
        range_note: words::range_note(result),
        control_note: words::control_note(result),
        objective: words::objective(result),
        catch_up: words::catch_up(result),
        rounds: rounds::rows(result),
        round_headings: &rounds::HEADINGS,
        ceilings: ceilings::rows(result),
        ceilings_title: ceilings::TITLE,
        ceiling_headings: &ceilings::HEADINGS,
        ceilings_note: ceilings::note(result),
        phases: phases::rows(result),
        phase_headings: &phases::HEADINGS,
        rows: table::rows_and_control(result),
        figures: figures(result)?,
        scenario: broken.as_ref().map(|run| section((0, run))).transpose()?,
        scenario_headings: &scenario::rows::HEADINGS,
        how_to_read: scenario::chart::HOW_TO_READ,
        palette: palette::rules(),
        comparisons: comparisons(result),
        lanes: lanes(result),
        explanations: words::drain_comparisons(result).filter_map(words::explanation).collect(),
        factors: words::FACTORS,
        truths: checks::truths(result),
        findings: checks::findings(result),
        surge: surge::rows(result),
        ran: ran::ran(result),
    };
    Ok(page.render()?)
}

#[derive(Template)]
#[template(path = "report.html")]
struct Page<'a> {
    result: &'a RunResult,
    tone: &'static str,
    /// What follows on the word, which the page sets in bold.
    demonstration: Option<String>,
    headline: String,
    range_note: String,
    control_note: Option<String>,
    objective: Option<String>,
    catch_up: Option<String>,
    rounds: Vec<rounds::Round>,
    round_headings: &'static [&'static str],
    ceilings: Vec<ceilings::Row>,
    ceilings_title: &'static str,
    ceiling_headings: &'static [&'static str],
    /// What the table means.
    ceilings_note: Option<String>,
    phases: Vec<phases::PhaseRow>,
    phase_headings: &'static [&'static str],
    rows: Vec<Row>,
    figures: Vec<Figure>,
    /// What each trial ended with.
    scenario: Option<Section>,
    scenario_headings: &'static [&'static str],
    how_to_read: &'static str,
    palette: String,
    comparisons: Vec<[String; 5]>,
    lanes: Vec<Lane>,
    explanations: Vec<String>,
    factors: &'static str,
    truths: Vec<checks::Truth>,
    findings: Vec<checks::Findings>,
    surge: Vec<[String; 6]>,
    ran: Vec<(&'static str, String)>,
}

/// A chart, its words, and the two ways in which it is drawn.
pub(super) struct Figure {
    pub(super) name: String,
    pub(super) heading: Heading,
    pub(super) alt: String,
    pub(super) page: Drawing,
    pub(super) phone: Drawing,
}

/// What is said of one configuration below the table.
struct Lane {
    name: String,
    lanes: String,
    bottlenecks: Vec<String>,
    shares: Vec<[String; 3]>,
    bound: String,
}

fn figures(result: &RunResult) -> Result<Vec<Figure>, ReportError> {
    let rows = table::rows(result);
    CHARTS.iter().map(|chart| figure(chart, result, &rows)).collect()
}

fn figure(chart: &Chart, result: &RunResult, rows: &[Row]) -> Result<Figure, ReportError> {
    let say = |of: fn(&Row) -> String| {
        rows.iter().map(|r| format!("{}: {}", r.name, of(r))).collect::<Vec<_>>().join("; ")
    };
    let alt = match chart.name {
        "throughput" => format!("Sustained capacity in events/s. {}", say(|r| r.sustained.inline())),
        "latency" => format!(
            "Response time of the steady phase. {}",
            say(|r| {
                let grows = if r.grows { ", grows with duration" } else { "" };
                format!("p50 {}, p99 {}{grows}", r.p50.value, r.p99.value)
            })
        ),
        "lag" => format!("Lag over time. Peak of the surge in records: {}", say(|r| r.peak_lag.inline())),
        _ => format!("Order violations. {}", say(|r| format!("{} {}", r.order.value, r.order.detail))),
    };
    let draw =
        |layout| chart.svg(result, layout).map_err(|source| ReportError::Chart { chart: chart.name, source });
    Ok(Figure {
        name: chart.name.into(),
        heading: chart.heading(result),
        alt,
        page: draw(Layout::Page)?,
        phone: draw(Layout::Phone)?,
    })
}

fn comparisons(result: &RunResult) -> Vec<[String; 5]> {
    let line = |c: &Comparison| {
        [
            format!("{} ÷ {}", c.candidate, c.baseline),
            metric(&c.metric),
            ratio(c.ratio.value),
            format!("{}, n = {}", spread(&c.ratio, number), c.ratio.n),
            table::verdict_word(c.verdict).to_owned(),
        ]
    };
    result.comparisons.iter().map(line).collect()
}

/// Each partition's part of the drain over the rounds; hashing shares every round's orders out anew.
fn shares(configuration: &Configuration) -> Vec<[String; 3]> {
    let drain = |t: &Trial| t.phase(PhaseKind::Drain).map(|drain| drain.partitions.clone());
    let partitions: Vec<PartitionShare> = configuration.trials.iter().filter_map(drain).flatten().collect();
    let all = || partitions.iter();
    let mut ids: Vec<i32> = all().map(|p| p.id).collect();
    ids.sort_unstable();
    ids.dedup();
    ids.into_iter()
        .map(|id| {
            let of = |value: fn(&PartitionShare) -> f64, show: fn(f64) -> String| {
                let values = || all().filter(|p| p.id == id).map(value);
                range(values().fold(f64::INFINITY, f64::min), values().fold(0.0, f64::max), show)
            };
            [id.to_string(), of(|p| p.share, percent), of(|p| p.events as f64, number)]
        })
        .collect()
}

/// A metric's name in plain words; one that is not known here keeps its own.
fn metric(name: &str) -> String {
    match name {
        "sustained_per_s" => "sustained capacity",
        "drain_per_s" => "catch-up",
        "response_time_ns_p50" => "response time, median",
        "response_time_ns_p99" => "response time, p99",
        "surge_max_lag_records" => "peak lag of the surge",
        other => other,
    }
    .to_owned()
}

fn lanes(result: &RunResult) -> Vec<Lane> {
    result
        .configurations
        .iter()
        .map(|c| Lane {
            name: c.name.clone(),
            bottlenecks: words::bottlenecks(c),
            lanes: table::lanes(c),
            shares: shares(c),
            bound: words::share_bound(c).unwrap_or_default(),
        })
        .collect()
}

/// The rounds in which a warning showed.
fn rounds_of(warning: &lanebench_result::Warning) -> String {
    words::rounds_of(warning)
}

/// A message cut at its backticks; what stood between two of them is code.
pub(super) fn pieces(message: &str) -> impl Iterator<Item = (bool, &str)> {
    message.split('`').enumerate().map(|(i, piece)| (i % 2 == 1, piece))
}
