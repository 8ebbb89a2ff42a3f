//! `throughput.png`: every round's sustained capacity as a dot, below them the estimate with its interval.

use std::collections::BTreeSet;

use plotters::backend::DrawingBackend;

use super::axis::{AXIS, Rect, Scale, axis_name, grid_x};
use super::canvas::Canvas;
use super::plane::{Heading, Layout, Plane};
use super::strip::{self, Dot, Strip};
use super::{Area, ChartError, NO_DATA, no_data, style};
use crate::table::{self, Row};
use crate::units::{confidence, number, spread, tick};
use crate::words;
use lanebench_result::{Configuration, PhaseKind, RunResult, Trial, counting_rounds};

/// Height of a line of words above a row's dots.
const LINE: f64 = 30.0;

/// What stands above the chart.
pub fn heading(result: &RunResult) -> Heading {
    let estimates = || result.configurations.iter().filter_map(|c| c.summary.sustained_per_s.as_ref());
    let interval = match estimates().find(|e| e.low.is_some()) {
        Some(e) => format!(" with its {} interval", confidence(e)),
        None => String::new(),
    };
    Heading {
        title: "Sustained while the producer sends, events per second".into(),
        subtitle: format!(
            "Closed loop: one is sent for each that becomes visible; higher is better. Each dot: one round. Diamond: the \
             estimate{interval}."
        ),
    }
}

/// The height it asks for.
pub fn height(result: &RunResult, layout: Layout) -> f64 {
    if !any(result) {
        return NO_DATA;
    }
    let row = if layout == Layout::Phone { 3.0 * LINE + 92.0 } else { LINE + 102.0 };
    AXIS + 10.0 + result.configurations.len().max(1) as f64 * row
}

/// Draws the chart, a row a configuration; throughput starts at 0.
///
/// # Errors
/// [`ChartError`] when the font or the backend fails.
pub fn draw<DB: DrawingBackend>(
    area: &Area<DB>,
    result: &RunResult,
    plane: &Plane,
) -> Result<(), ChartError> {
    let canvas = Canvas::new(area, plane)?;
    let top = canvas.heading()?;
    // The last tick's label is centred on the right edge of the frame.
    let frame = Rect::new(canvas.left() + 10.0, top + 10.0, canvas.right() - 42.0, canvas.bottom() - AXIS);
    if !any(result) {
        return no_data(&canvas, frame, "no trial got so far");
    }
    let ticks = if canvas.is_wide() { 8 } else { 3 };
    let scale = Scale::linear(highest(result) * 1.04, ticks);
    grid_x(&canvas, frame, scale, ticks, tick)?;
    canvas.line(&[(frame.left, frame.top), (frame.left, frame.bottom)], style::GREY, 1.0, 1.5)?;
    axis_name(&canvas, frame, "events/s")?;
    let rows = table::rows(result);
    let counting = counting_rounds(&result.configurations);
    let height = frame.height() / result.configurations.len().max(1) as f64;
    for (i, (configuration, row)) in result.configurations.iter().zip(&rows).enumerate() {
        let top = frame.top + i as f64 * height;
        let compared = words::sustained_comparisons(result).find(|c| c.candidate == configuration.name);
        let baseline = compared.map(|c| c.baseline.as_str());
        let said = labels(&canvas, (frame.left + 10.0, top + 18.0), configuration, row, baseline)?;
        let strip = Rect { top: top + said + 4.0, bottom: top + height - height * 0.05, ..frame };
        let estimate = configuration.summary.sustained_per_s.as_ref();
        Strip { frame: strip, scale, color: style::lane(i) }.draw(
            &canvas,
            &dots(configuration, &counting),
            estimate,
        )?;
    }
    Ok(())
}

/// What a trial sustained, events/s.
fn sustained(trial: &Trial) -> Option<f64> {
    trial.phase(PhaseKind::Sustained).map(|phase| phase.throughput_per_s).filter(|rate| rate.is_finite())
}

fn any(result: &RunResult) -> bool {
    words::all_trials(result).any(|t| sustained(t).is_some())
}

/// The highest value that must be in view.
fn highest(result: &RunResult) -> f64 {
    let values = words::all_trials(result).filter_map(sustained);
    strip::highest(values, result.configurations.iter().filter_map(|c| c.summary.sustained_per_s.as_ref()))
}

/// Every round's capacity, from the first at the top downwards.
fn dots(configuration: &Configuration, counting: &BTreeSet<u32>) -> Vec<Dot> {
    let trials = configuration.trials.iter();
    trials.filter_map(|t| Some(Dot { value: sustained(t)?, counts: counting.contains(&t.round) })).collect()
}

/// Name and figures of a row: side by side where there is room. Returns the height used.
fn labels<DB: DrawingBackend>(
    canvas: &Canvas<'_, DB>,
    at: (f64, f64),
    configuration: &Configuration,
    row: &Row,
    baseline: Option<&str>,
) -> Result<f64, ChartError> {
    let room = canvas.right() - at.0;
    let void = if row.rounds.detail.is_empty() { String::new() } else { format!(", {}", row.rounds.detail) };
    let figures = match &configuration.summary.sustained_per_s {
        Some(e) if e.low.is_some() => {
            format!("{} ({}), n = {}{void}", number(e.value), spread(e, number), e.n)
        }
        Some(e) => format!("{}, n = {}{void}", number(e.value), e.n),
        None => format!("n = 0{void}"),
    };
    let against = match baseline {
        Some(baseline) if row.compared => {
            let detail = row.ratio.detail.trim_end_matches(&format!(", to {baseline}"));
            format!("{} {baseline} ({detail})", row.ratio.value)
        }
        _ => String::new(),
    };
    let (bold, plain) = (style::text(24.0).bold(), style::text(21.0));
    if canvas.is_wide() {
        let said = if against.is_empty() { figures } else { format!("{figures}   ·   {against}") };
        let said = canvas.fitted(&said, plain, room * 0.7)?;
        canvas.text(&said, (canvas.right(), at.1), plain.right())?;
        let rest = room - canvas.width_of(&said, plain)? - 30.0;
        named(canvas, at, configuration, row, rest)?;
        return Ok(LINE);
    }
    named(canvas, at, configuration, row, room)?;
    let mut y = at.1;
    for line in [figures, against].iter().filter(|line| !line.is_empty()) {
        y += LINE * 0.9;
        let look = if y > at.1 + LINE { bold.sized(21.0) } else { plain };
        canvas.label(&canvas.fitted(line, look, room)?, (at.0, y), look)?;
    }
    Ok(y - at.1 + LINE)
}

/// The configuration's name and, where they fit, its partitions and consumers.
fn named<DB: DrawingBackend>(
    canvas: &Canvas<'_, DB>,
    at: (f64, f64),
    configuration: &Configuration,
    row: &Row,
    room: f64,
) -> Result<(), ChartError> {
    let (bold, grey) = (style::text(24.0).bold(), style::text(20.0).grey());
    let name = canvas.fitted(&configuration.name, bold, room)?;
    canvas.label(&name, at, bold)?;
    let used = canvas.width_of(&name, bold)? + 14.0;
    let lanes = canvas.fitted(&row.lanes, grey, room - used)?;
    if lanes.chars().count() > 3 { canvas.label(&lanes, (at.0 + used, at.1), grey) } else { Ok(()) }
}
