//! `faults.png`: how long each partition waited while things were broken. A row a scenario, a panel a configuration.

use plotters::backend::DrawingBackend;

use super::panel::{Axes, Panel};
use crate::ReportError;
use crate::chart::axis::Rect;
use crate::chart::canvas::Canvas;
use crate::chart::plane::{Heading, Layout, Plane};
use crate::chart::{Area, ChartError, Drawing, drawing, no_data, picture_of, style};
use crate::units::{number, tick};
use crate::words::demonstration_of_in_short;
use lanebench_result::Stack;
use lanebench_result::scenario::{OfferedScenario, ScenarioRecord, ScenarioRun};

/// The picture's file.
pub const PICTURE_FILE: &str = "faults.png";

/// Panels beside each other where there is room.
const COLUMNS: usize = 3;

/// Between two panels beside each other.
const GAP: f64 = 40.0;

/// Height of a panel's plot: in a picture, on a page, on a telephone.
const PLOTS: [f64; 3] = [260.0, 280.0, 200.0];

/// Height of the picture's heading, at most.
const HEADING: f64 = 180.0;

/// Height of a scenario's name and its question in the picture.
const NAME: f64 = 102.0;

/// Room below the last panel of a picture.
const BOTTOM: f64 = 8.0;

/// Least height of a picture, so that what has nothing to show can say so.
const LEAST: f64 = 500.0;

/// The picture as a PNG file, as high as it needs to be.
///
/// # Errors
/// [`ChartError`] when the font, the backend or the encoder fails.
pub fn png(record: &ScenarioRecord) -> Result<Vec<u8>, ChartError> {
    picture(&record.scenarios, &record.stack)
}

/// The same of one scenario of a comparison, or of several.
///
/// # Errors
/// As [`png()`].
pub fn picture(runs: &[ScenarioRun], stack: &Stack) -> Result<Vec<u8>, ChartError> {
    let rows = runs.iter().map(|run| NAME + height(run, &Axes::of(run), COLUMNS, PLOTS[0]));
    let plane = Plane::picture(heading(stack), (HEADING + rows.sum::<f64>() + BOTTOM).max(LEAST).ceil());
    picture_of((plane.width as u32, plane.height as u32), |area| draw(area, runs, &plane))
}

/// One scenario's row as inline SVG, for a page that says the rest.
pub(super) fn svg(run: &ScenarioRun, layout: Layout) -> Result<Drawing, ReportError> {
    let axes = Axes::of(run);
    let (columns, plot) = if layout == Layout::Phone { (1, PLOTS[2]) } else { (COLUMNS, PLOTS[1]) };
    let heading = Heading { title: run.scenario.name.clone(), subtitle: String::new() };
    let plane = Plane::new(layout, heading, height(run, &axes, columns, plot));
    drawing(&plane, |area| grid(&Canvas::new(area, &plane)?, run, &axes, 0.0, columns, plot))
        .map_err(|source| ReportError::Chart { chart: "faults", source })
}

/// How to read it.
pub(crate) const HOW_TO_READ: &str = "Lines: how long the oldest event of each partition had been due and was not visible. Shaded: from the fault until what \
     broke answered again. Bars: the longest silence of each partition, in which something of it was due and nothing became \
     visible. Of each configuration the first trial.";

fn heading(stack: &Stack) -> Heading {
    let first = demonstration_of_in_short(stack).map_or_else(String::new, |said| format!("{said} "));
    Heading {
        title: "Who waits while something is broken, and for how long".into(),
        subtitle: format!("{first}{HOW_TO_READ}"),
    }
}

/// All scenarios, one below the other; plots share what room there is.
fn draw<DB: DrawingBackend>(area: &Area<DB>, runs: &[ScenarioRun], plane: &Plane) -> Result<(), ChartError> {
    let canvas = Canvas::new(area, plane)?;
    let top = canvas.heading()?;
    let bottom = canvas.bottom() - BOTTOM;
    let drawn: Vec<(&ScenarioRun, Axes)> = runs.iter().map(|run| (run, Axes::of(run))).collect();
    let lines: usize = drawn.iter().map(|(run, _)| lines(run, COLUMNS)).sum();
    if lines == 0 {
        let frame = Rect::new(canvas.left(), top + 20.0, canvas.right(), bottom - 24.0);
        return no_data(&canvas, frame, "no scenario was run");
    }
    let around: f64 = drawn.iter().map(|(run, axes)| NAME + height(run, axes, COLUMNS, 0.0)).sum();
    let plot = (bottom - top - around) / lines as f64;
    let mut y = top;
    for (run, axes) in &drawn {
        name(&canvas, run, y)?;
        grid(&canvas, run, axes, y + NAME, COLUMNS, plot)?;
        y += NAME + height(run, axes, COLUMNS, plot);
    }
    Ok(())
}

/// A scenario's name, what was offered, and why anybody wants to know.
fn name<DB: DrawingBackend>(canvas: &Canvas<'_, DB>, run: &ScenarioRun, top: f64) -> Result<(), ChartError> {
    let (bold, plain) = (style::text(28.0).bold(), style::text(21.0));
    let (left, room) = (canvas.left(), canvas.right() - canvas.left());
    canvas.line(&[(left, top + 12.0), (canvas.right(), top + 12.0)], style::GRID, 1.0, 1.5)?;
    let OfferedScenario { name, why, rate_per_s, length_s, .. } = &run.scenario;
    let offered = format!("{} events/s for {} s", number(*rate_per_s), tick(*length_s));
    let used = canvas.width_of(&offered, plain)? + 30.0;
    canvas.text(&canvas.fitted(name, bold, room - used)?, (left, top + 42.0), bold)?;
    canvas.text(&offered, (canvas.right(), top + 42.0), plain.grey().right())?;
    canvas.text(&canvas.fitted(why, plain, room)?, (left, top + 74.0), plain.grey())
}

/// The panels of one scenario, from `top` on.
fn grid<DB: DrawingBackend>(
    canvas: &Canvas<'_, DB>,
    run: &ScenarioRun,
    axes: &Axes,
    top: f64,
    columns: usize,
    plot: f64,
) -> Result<(), ChartError> {
    let beside = run.configurations.len().clamp(1, columns);
    let width = (canvas.right() - canvas.left() - GAP * (beside - 1) as f64) / beside as f64;
    let height = axes.around() + plot;
    for (i, configuration) in run.configurations.iter().enumerate() {
        let left = canvas.left() + (i % beside) as f64 * (width + GAP);
        let top = top + (i / beside) as f64 * height;
        let frame = Rect::new(left, top, left + width, top + height);
        Panel { configuration, axes, frame }.draw(canvas)?;
    }
    Ok(())
}

/// Panels below each other.
fn lines(run: &ScenarioRun, columns: usize) -> usize {
    run.configurations.len().div_ceil(columns)
}

/// Height of a scenario's panels with plots of the height `plot`.
fn height(run: &ScenarioRun, axes: &Axes, columns: usize, plot: f64) -> f64 {
    lines(run, columns) as f64 * (axes.around() + plot)
}
