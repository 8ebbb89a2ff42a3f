//! A pipeline's chart: every sample of each configuration as a dot, below them the estimate with its interval.

use plotters::backend::DrawingBackend;

use crate::ReportError;
use crate::chart::axis::{AXIS, Rect, Scale, axis_name, grid_x};
use crate::chart::canvas::Canvas;
use crate::chart::plane::{Heading, Layout, Plane};
use crate::chart::strip::{self, Dot, Strip};
use crate::chart::{Area, ChartError, Drawing, drawing, style};
use crate::units::{number, ratio, tick};
use lanebench_result::bench::{LaneRate, Pipeline};

use super::{rows, words};

/// Height of a line of words above a row's dots.
const LINE: f64 = 30.0;

/// What stands above the chart.
pub(super) fn heading(pipeline: &Pipeline) -> Heading {
    Heading {
        title: format!("{}: events per second", words::title(pipeline)),
        subtitle: words::how_to_read(pipeline),
    }
}

/// The chart as inline SVG.
pub(super) fn svg(pipeline: &Pipeline, layout: Layout) -> Result<Drawing, ReportError> {
    let row = if layout == Layout::Phone { 2.0 * LINE + 92.0 } else { LINE + 102.0 };
    let height = AXIS + 10.0 + pipeline.lanes.len().max(1) as f64 * row;
    let plane = Plane::new(layout, heading(pipeline), height);
    drawing(&plane, |area| draw(area, pipeline, &plane))
        .map_err(|source| ReportError::Chart { chart: "pipeline", source })
}

/// A row a configuration; throughput starts at 0.
fn draw<DB: DrawingBackend>(area: &Area<DB>, pipeline: &Pipeline, plane: &Plane) -> Result<(), ChartError> {
    let canvas = Canvas::new(area, plane)?;
    let top = canvas.heading()?;
    // The last tick's label is centred on the right edge of the frame.
    let frame = Rect::new(canvas.left() + 10.0, top + 10.0, canvas.right() - 42.0, canvas.bottom() - AXIS);
    let ticks = if canvas.is_wide() { 8 } else { 3 };
    let rates = || pipeline.lanes.iter().map(|lane| &lane.throughput_per_s);
    let values = rates().flat_map(|e| e.values.iter().copied().chain([e.value])).filter(|v| v.is_finite());
    let scale = Scale::linear(strip::highest(values, rates()) * 1.04, ticks);
    grid_x(&canvas, frame, scale, ticks, tick)?;
    canvas.line(&[(frame.left, frame.top), (frame.left, frame.bottom)], style::GREY, 1.0, 1.5)?;
    axis_name(&canvas, frame, "events/s")?;
    let height = frame.height() / pipeline.lanes.len().max(1) as f64;
    for (i, lane) in pipeline.lanes.iter().enumerate() {
        let top = frame.top + i as f64 * height;
        let said = label(&canvas, (frame.left + 10.0, top + 18.0), lane)?;
        let place = Rect { top: top + said + 4.0, bottom: top + height - height * 0.05, ..frame };
        let finite = lane.throughput_per_s.values.iter().copied().filter(|v| v.is_finite());
        let dots: Vec<Dot> = finite.map(|value| Dot { value, counts: true }).collect();
        let strip = Strip { frame: place, scale, color: style::lane(i) };
        strip.draw(&canvas, &dots, Some(&lane.throughput_per_s))?;
    }
    Ok(())
}

/// Name and figures of a row: side by side where there is room. Returns the height used.
fn label<DB: DrawingBackend>(
    canvas: &Canvas<'_, DB>,
    at: (f64, f64),
    lane: &LaneRate,
) -> Result<f64, ChartError> {
    let (bold, plain) = (style::text(24.0).bold(), style::text(21.0));
    let room = canvas.right() - at.0;
    let mut figures = rows::cell(&lane.throughput_per_s, number).inline();
    if let Some(r) = &lane.ratio {
        figures.push_str(&format!("   ·   {}", ratio(r.value)));
    }
    let name = canvas.fitted(&lane.name, bold, room * 0.4)?;
    canvas.label(&name, at, bold)?;
    if canvas.is_wide() {
        let said = canvas.fitted(&figures, plain, room * 0.6)?;
        canvas.text(&said, (canvas.right(), at.1), plain.right())?;
        return Ok(LINE);
    }
    canvas.label(&canvas.fitted(&figures, plain, room)?, (at.0, at.1 + LINE * 0.9), plain)?;
    Ok(LINE * 1.9)
}
