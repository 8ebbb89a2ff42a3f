//! A strip of a chart of rates: a dot a measurement, below them the estimate with its interval.

use plotters::backend::DrawingBackend;
use plotters::style::RGBColor;

use super::axis::{Rect, Scale, x_at};
use super::canvas::Canvas;
use super::{ChartError, style};
use lanebench_result::Estimate;

/// One measurement.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Dot {
    /// Where it lies; finite.
    pub value: f64,
    /// Whether it counts; else it is a ring that says so.
    pub counts: bool,
}

/// The part of a chart that belongs to one configuration.
pub struct Strip {
    /// Its place.
    pub frame: Rect,
    /// From left to right.
    pub scale: Scale,
    /// Its colour.
    pub color: RGBColor,
}

/// The highest value that must be in view. An interval from few noisy measurements may reach far beyond all values: it is
/// then cut, and its bounds stand in the label.
pub fn highest<'a>(values: impl Iterator<Item = f64>, estimates: impl Iterator<Item = &'a Estimate>) -> f64 {
    let values = values.fold(0.0, f64::max);
    let bounds = estimates.filter_map(|e| e.high).fold(0.0, f64::max);
    bounds.min(values * 1.6).max(values)
}

impl Strip {
    /// Draws it, the dots from the first at the top downwards.
    ///
    /// # Errors
    /// [`ChartError`] when the font or the backend fails.
    pub fn draw<DB: DrawingBackend>(
        &self,
        canvas: &Canvas<'_, DB>,
        dots: &[Dot],
        estimate: Option<&Estimate>,
    ) -> Result<(), ChartError> {
        let frame = self.frame;
        if dots.is_empty() {
            let at = (frame.left + 14.0, frame.centre().1);
            return canvas.text("no trial", at, style::text(24.0).grey());
        }
        if let Some(e) = estimate {
            canvas.tint(Rect { right: x_at(frame, self.scale, e.value), ..frame }, self.color, 0.16)?;
            self.estimate(canvas, e, frame.bottom - frame.height() * 0.2)?;
        }
        let room = frame.height() * 0.56;
        let step = (room / dots.len() as f64).min(16.0_f64.max(frame.height() * 0.12));
        let first = frame.top + 0.06 * frame.height() + (room - step * dots.len() as f64) / 2.0 + step / 2.0;
        let radius = (step * 0.55).clamp(3.5, 8.0);
        let mut void = None::<(f64, f64)>;
        for (i, dot) in dots.iter().enumerate() {
            let at = (x_at(frame, self.scale, dot.value), first + i as f64 * step);
            if dot.counts {
                canvas.dot(at, radius, self.color)?;
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
