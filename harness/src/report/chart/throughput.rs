//! `throughput.png`: every round's drain throughput as a dot, below them the estimate with its interval.

use plotters::backend::DrawingBackend;

use super::axis::{AXIS, Rect, Scale, axis_name, grid_x, x_at};
use super::canvas::Canvas;
use super::plane::{Heading, Layout, Plane};
use super::{Area, ChartError, NO_DATA, no_data, style};
use crate::record::{Configuration, Estimate, RunResult};
use crate::report::table::{self, Row};
use crate::report::units::{confidence, counted, number, spread, tick};
use crate::report::words;

/// Height of a line of words above a row's dots.
const LINE: f64 = 30.0;

/// What stands above the chart.
pub fn heading(result: &RunResult) -> Heading {
    let backlog = match result.workload.drain_events {
        0 => String::new(),
        n => format!(" of {}", counted(n, "event", "events")),
    };
    let estimates = || result.configurations.iter().filter_map(|c| c.summary.throughput_per_s.as_ref());
    let interval = match estimates().find(|e| e.low.is_some()) {
        Some(e) => format!(" with its {} interval", confidence(e)),
        None => String::new(),
    };
    Heading {
        title: "Drain throughput, events per second".into(),
        subtitle: format!(
            "A backlog{backlog} worked off, higher is better. Each dot: one round. Diamond: the estimate{interval}."
        ),
    }
}

/// The height it asks for.
pub fn height(result: &RunResult, layout: Layout) -> f64 {
    if !any_drain(result) {
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
    if !any_drain(result) {
        return no_data(&canvas, frame, "no drain was finished");
    }
    let ticks = if canvas.is_wide() { 8 } else { 3 };
    let scale = Scale::linear(highest(result) * 1.04, ticks);
    grid_x(&canvas, frame, scale, ticks, tick)?;
    canvas.line(&[(frame.left, frame.top), (frame.left, frame.bottom)], style::GREY, 1.0, 1.5)?;
    axis_name(&canvas, frame, "events/s")?;
    let rows = table::rows(result);
    let height = frame.height() / result.configurations.len().max(1) as f64;
    for (i, (configuration, row)) in result.configurations.iter().zip(&rows).enumerate() {
        let top = frame.top + i as f64 * height;
        let baseline = result.configurations.first().filter(|_| i > 0).map(|c| c.name.as_str());
        let said = labels(&canvas, (frame.left + 10.0, top + 18.0), configuration, row, baseline)?;
        let strip = Rect { top: top + said + 4.0, bottom: top + height - height * 0.05, ..frame };
        Strip { frame: strip, scale, index: i }.draw(&canvas, configuration)?;
    }
    Ok(())
}

fn any_drain(result: &RunResult) -> bool {
    words::all_trials(result).any(|t| t.throughput_per_s.is_finite())
}

/// The highest value that must be in view. An interval from few noisy rounds may reach far beyond all values: it is
/// then cut, and its bounds stand in the label.
fn highest(result: &RunResult) -> f64 {
    let values =
        words::all_trials(result).map(|t| t.throughput_per_s).filter(|v| v.is_finite()).fold(0.0, f64::max);
    let bounds = result
        .configurations
        .iter()
        .filter_map(|c| c.summary.throughput_per_s.as_ref()?.high)
        .fold(0.0, f64::max);
    bounds.min(values * 1.6).max(values)
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
    let figures = match &configuration.summary.throughput_per_s {
        Some(e) if e.low.is_some() => {
            format!("{} ({}), n = {}{void}", number(e.value), spread(e, number), e.n)
        }
        Some(e) => format!("{}, n = {}{void}", number(e.value), e.n),
        None => format!("n = 0{void}"),
    };
    let against = match baseline {
        Some(baseline) if row.compared => {
            format!("{} {baseline} ({})", row.ratio.value, row.ratio.detail)
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

/// The part of the chart that belongs to one configuration.
struct Strip {
    frame: Rect,
    scale: Scale,
    index: usize,
}

impl Strip {
    fn draw<DB: DrawingBackend>(
        &self,
        canvas: &Canvas<'_, DB>,
        configuration: &Configuration,
    ) -> Result<(), ChartError> {
        let (color, frame) = (style::lane(self.index), self.frame);
        let trials = &configuration.trials;
        if trials.is_empty() {
            let at = (frame.left + 14.0, frame.centre().1);
            return canvas.text("no trial", at, style::text(24.0).grey());
        }
        if let Some(e) = &configuration.summary.throughput_per_s {
            canvas.tint(Rect { right: x_at(frame, self.scale, e.value), ..frame }, color, 0.16)?;
            self.estimate(canvas, e, frame.bottom - frame.height() * 0.2)?;
        }
        // Rounds from the first at the top downwards over the upper part of the strip.
        let room = frame.height() * 0.56;
        let step = (room / trials.len() as f64).min(16.0_f64.max(frame.height() * 0.12));
        let first =
            frame.top + 0.06 * frame.height() + (room - step * trials.len() as f64) / 2.0 + step / 2.0;
        let radius = (step * 0.55).clamp(3.5, 8.0);
        let mut void = None::<(f64, f64)>;
        for (i, trial) in trials.iter().enumerate().filter(|(_, t)| t.throughput_per_s.is_finite()) {
            let at = (x_at(frame, self.scale, trial.throughput_per_s), first + i as f64 * step);
            if trial.verification.passed {
                canvas.dot(at, radius, color)?;
            } else {
                canvas.ring(at, radius + 2.0, style::WRONG)?;
                void = Some(void.map_or(at, |seen| (seen.0.max(at.0), f64::midpoint(seen.1, at.1))));
            }
        }
        if let Some((x, y)) = void {
            let look = style::text(21.0).color(style::WRONG);
            // To the right of the rings if there is room, else to their left.
            if x + 90.0 < canvas.right() {
                canvas.text("void", (x + 18.0, y), look)?;
            } else {
                canvas.text("void", (x - 60.0, y), look.right())?;
            }
        }
        Ok(())
    }

    /// The estimate with its interval; where that leaves the frame it ends in an arrow.
    fn estimate<DB: DrawingBackend>(
        &self,
        canvas: &Canvas<'_, DB>,
        e: &Estimate,
        y: f64,
    ) -> Result<(), ChartError> {
        let x = |value: f64| x_at(self.frame, self.scale, value);
        if let (Some(low), Some(high)) = (e.low, e.high) {
            let (from, to) = (x(low), x(high));
            canvas.line(&[(from, y), (to, y)], style::INK, 1.0, 3.0)?;
            canvas.line(&[(from, y - 10.0), (from, y + 10.0)], style::INK, 1.0, 3.0)?;
            let end = if high <= self.scale.max() {
                [(to, y - 10.0), (to, y + 10.0), (to, y + 10.0)]
            } else {
                [(to - 11.0, y - 9.0), (to, y), (to - 11.0, y + 9.0)]
            };
            canvas.line(&end, style::INK, 1.0, 3.0)?;
        }
        canvas.diamond((x(e.value), y), 9.0, style::INK)
    }
}
