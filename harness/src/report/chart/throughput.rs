//! `throughput.png`: every round's drain throughput as a dot, beside it the estimate with its interval.

use plotters::backend::DrawingBackend;

use super::axis::{Rect, Scale, grid_y, y_at};
use super::canvas::Canvas;
use super::{Area, ChartError, no_data, style};
use crate::record::{Configuration, Estimate, RunResult};
use crate::report::table::{self, Row};
use crate::report::units::{confidence, counted, number, spread, tick};
use crate::report::words;

/// Draws the chart; y starts at 0.
///
/// # Errors
/// [`ChartError`] when the font or the backend fails.
pub fn draw<DB: DrawingBackend>(area: &Area<DB>, result: &RunResult) -> Result<(), ChartError> {
    let canvas = Canvas::new(area)?;
    let backlog = match result.workload.drain_events {
        0 => String::new(),
        n => format!(" of {}", counted(n, "event", "events")),
    };
    let estimates = || result.configurations.iter().filter_map(|c| c.summary.throughput_per_s.as_ref());
    let interval = match estimates().find(|e| e.low.is_some()) {
        Some(e) => format!(", with its {} interval", confidence(e)),
        None => String::new(),
    };
    let top = canvas.heading(
        "Drain throughput, events per second",
        &format!(
            "A backlog{backlog} worked off, higher is better. Dots: rounds. Diamond: estimate{interval}."
        ),
    )?;
    let frame =
        Rect::new(style::MARGIN + 102.0, top + 24.0, style::WIDTH - style::MARGIN, style::HEIGHT - 136.0);
    if words::all_trials(result).next().is_none() {
        return no_data(&canvas, frame, "no trial was finished");
    }
    let scale = Scale::linear(highest(result) * 1.1, 6);
    grid_y(&canvas, frame, scale, 6, tick)?;
    let rows = table::rows(result);
    let band = frame.width() / result.configurations.len().max(1) as f64;
    for (i, (configuration, row)) in result.configurations.iter().zip(&rows).enumerate() {
        let left = frame.left + i as f64 * band;
        let baseline = result.configurations.first().filter(|_| i > 0).map(|c| c.name.as_str());
        let column = Column { band: Rect { left, right: left + band, ..frame }, scale, index: i };
        column.draw(&canvas, configuration)?;
        column.labels(&canvas, configuration, row, baseline)?;
    }
    Ok(())
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

/// The part of the chart that belongs to one configuration.
struct Column {
    band: Rect,
    scale: Scale,
    index: usize,
}

impl Column {
    fn draw<DB: DrawingBackend>(
        &self,
        canvas: &Canvas<'_, DB>,
        configuration: &Configuration,
    ) -> Result<(), ChartError> {
        let color = style::lane(self.index);
        let (middle, _) = self.band.centre();
        let half = (self.band.width() * 0.36).min(170.0);
        let trials = &configuration.trials;
        if trials.is_empty() {
            let at = (middle, self.band.bottom - 40.0);
            return canvas.text("no trial", at, style::text(24.0).grey().centred());
        }
        if let Some(e) = &configuration.summary.throughput_per_s {
            let bar = Rect {
                left: middle - half,
                right: middle + half,
                top: y_at(self.band, self.scale, e.value),
                bottom: self.band.bottom,
            };
            canvas.tint(bar, color, 0.16)?;
            self.estimate(canvas, e, middle + half * 0.55)?;
        }
        // Rounds from left to right over the left part of the bar.
        let step = (half * 1.3 / trials.len() as f64).min(34.0);
        let centre = middle - half * 0.3;
        let first = centre - step * (trials.len() - 1) as f64 / 2.0;
        let mut lowest_void = None::<f64>;
        for (i, trial) in trials.iter().enumerate().filter(|(_, t)| t.throughput_per_s.is_finite()) {
            let at = (first + i as f64 * step, y_at(self.band, self.scale, trial.throughput_per_s));
            if trial.verification.passed {
                canvas.dot(at, 8.0, color)?;
            } else {
                canvas.ring(at, 9.0, style::WRONG)?;
                lowest_void = Some(lowest_void.map_or(at.1, |y| y.max(at.1)));
            }
        }
        if let Some(y) = lowest_void {
            let y = (y + 30.0).min(self.band.bottom - 16.0);
            canvas.text("void", (centre, y), style::text(22.0).color(style::WRONG).centred())?;
        }
        Ok(())
    }

    /// The estimate with its interval and its value.
    fn estimate<DB: DrawingBackend>(
        &self,
        canvas: &Canvas<'_, DB>,
        e: &Estimate,
        x: f64,
    ) -> Result<(), ChartError> {
        let y = y_at(self.band, self.scale, e.value);
        if let (Some(low), Some(high)) = (e.low, e.high) {
            let (low, high_y) = (y_at(self.band, self.scale, low), y_at(self.band, self.scale, high));
            canvas.line(&[(x, low), (x, high_y)], style::INK, 1.0, 3.0)?;
            canvas.line(&[(x - 12.0, low), (x + 12.0, low)], style::INK, 1.0, 3.0)?;
            if high <= self.scale.max() {
                canvas.line(&[(x - 12.0, high_y), (x + 12.0, high_y)], style::INK, 1.0, 3.0)?;
            } else {
                canvas.line(
                    &[(x - 10.0, high_y + 12.0), (x, high_y), (x + 10.0, high_y + 12.0)],
                    style::INK,
                    1.0,
                    3.0,
                )?;
            }
        }
        canvas.diamond((x, y), 10.0, style::INK)?;
        let look = style::text(27.0).bold();
        let label = number(e.value);
        let top = e.high.map_or(y, |high| y_at(self.band, self.scale, high)).min(y) - 30.0;
        if top > self.band.top - 10.0 {
            canvas.text(&label, (x, top), look.centred())
        } else {
            canvas.text(&label, (x + 20.0, y), look)
        }
    }

    fn labels<DB: DrawingBackend>(
        &self,
        canvas: &Canvas<'_, DB>,
        configuration: &Configuration,
        row: &Row,
        baseline: Option<&str>,
    ) -> Result<(), ChartError> {
        let (middle, _) = self.band.centre();
        let room = self.band.width() - 12.0;
        let y = self.band.bottom;
        let line = |text: &str, dy: f64, look: style::Text| {
            let text = canvas.fitted(text, look, room)?;
            canvas.text(&text, (middle, y + dy), look.centred())
        };
        line(&configuration.name, 28.0, style::text(28.0).bold())?;
        line(&row.lanes, 58.0, style::text(21.0).grey())?;
        let interval = match &configuration.summary.throughput_per_s {
            Some(e) if e.low.is_some() => format!("n = {}, {}", e.n, spread(e, number)),
            Some(e) => format!("n = {}", e.n),
            None => "n = 0".into(),
        };
        let void =
            if row.rounds.detail.is_empty() { String::new() } else { format!(", {}", row.rounds.detail) };
        line(&format!("{interval}{void}"), 84.0, style::text(21.0).grey())?;
        if let Some(baseline) = baseline
            && !row.ratio.detail.is_empty()
            && !row.void
        {
            let against = format!("{} {baseline} ({})", row.ratio.value, row.ratio.detail);
            line(&against, 112.0, style::text(22.0).bold())?;
        }
        Ok(())
    }
}
