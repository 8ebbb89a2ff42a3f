//! Frames, scales and their ticks.

use plotters::backend::DrawingBackend;

use super::ChartError;
use super::canvas::Canvas;
use super::style;

/// A part of the plane.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Rect {
    /// Left edge.
    pub left: f64,
    /// Upper edge.
    pub top: f64,
    /// Right edge.
    pub right: f64,
    /// Lower edge.
    pub bottom: f64,
}

impl Rect {
    /// From its edges.
    pub fn new(left: f64, top: f64, right: f64, bottom: f64) -> Self {
        Self { left, top, right, bottom }
    }
    /// Its middle.
    pub fn centre(&self) -> (f64, f64) {
        (f64::midpoint(self.left, self.right), f64::midpoint(self.top, self.bottom))
    }
    /// Its width.
    pub fn width(&self) -> f64 {
        self.right - self.left
    }
    /// Its height.
    pub fn height(&self) -> f64 {
        self.bottom - self.top
    }
}

/// Maps values onto a length.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Scale {
    /// From 0 to `max`.
    Linear {
        /// The value at the far end.
        max: f64,
    },
    /// From `min` to `max`, both above 0.
    Log {
        /// The value at the near end.
        min: f64,
        /// The value at the far end.
        max: f64,
    },
}

impl Scale {
    /// From 0 to a tick at or above `max`, with about `ticks` ticks.
    pub fn linear(max: f64, ticks: usize) -> Self {
        let max = if max.is_finite() && max > 0.0 { max } else { 1.0 };
        let step = nice_step(max, ticks);
        Self::Linear { max: (max / step - 1e-9).ceil() * step }
    }

    /// The part of the length, 0 to 1, at which `value` lies; values outside are held at the ends.
    pub fn part(&self, value: f64) -> f64 {
        let part = match *self {
            Self::Linear { max } => value / max,
            Self::Log { min, max } => (value.max(min) / min).ln() / (max / min).ln(),
        };
        if part.is_finite() { part.clamp(0.0, 1.0) } else { 0.0 }
    }

    /// The far end.
    pub fn max(&self) -> f64 {
        match *self {
            Self::Linear { max } | Self::Log { max, .. } => max,
        }
    }

    /// Where ticks belong, about `ticks` of them on a linear scale; on a logarithmic one each decade, with 2 and 5 or
    /// more where there are few decades.
    pub fn ticks(&self, ticks: usize) -> Vec<f64> {
        match *self {
            Self::Linear { max } => {
                let step = nice_step(max, ticks);
                let last = (max / step + 1e-9).floor() as usize;
                (0..=last).map(|i| i as f64 * step).collect()
            }
            Self::Log { min, max } => {
                let decades = min.log10().floor() as i32..=max.log10().ceil() as i32;
                let steps: &[f64] = match (max / min).log10() {
                    wide if wide > 2.5 => &[1.0],
                    ordinary if ordinary > 0.9 => &[1.0, 2.0, 5.0],
                    _ => &[1.0, 1.5, 2.0, 3.0, 4.0, 5.0, 7.0],
                };
                decades
                    .flat_map(|d| steps.iter().map(move |s| s * 10f64.powi(d)))
                    .filter(|v| (min * 0.999..=max * 1.001).contains(v))
                    .collect()
            }
        }
    }
}

/// A step of 1, 2 or 5 times a power of ten that divides `max` into about `ticks` parts.
fn nice_step(max: f64, ticks: usize) -> f64 {
    let rough = max / ticks.max(1) as f64;
    let power = 10f64.powf(rough.log10().floor());
    let factor = [1.0, 2.0, 5.0, 10.0].into_iter().find(|f| f * power >= rough * 0.999).unwrap_or(10.0);
    factor * power
}

/// Horizontal grid lines over `frame` with their labels to its left.
pub fn grid_y<DB: DrawingBackend>(
    canvas: &Canvas<'_, DB>,
    frame: Rect,
    scale: Scale,
    ticks: usize,
    label: impl Fn(f64) -> String,
) -> Result<(), ChartError> {
    for value in scale.ticks(ticks) {
        let y = y_at(frame, scale, value);
        let zero = value == 0.0;
        let color = if zero { style::GREY } else { style::GRID };
        canvas.line(&[(frame.left, y), (frame.right, y)], color, 1.0, if zero { 1.5 } else { 1.0 })?;
        canvas.text(&label(value), (frame.left - 12.0, y), style::text(20.0).grey().right())?;
    }
    Ok(())
}

/// Vertical grid lines over `frame` with their labels below it.
pub fn grid_x<DB: DrawingBackend>(
    canvas: &Canvas<'_, DB>,
    frame: Rect,
    scale: Scale,
    ticks: usize,
    label: impl Fn(f64) -> String,
) -> Result<(), ChartError> {
    let look = style::text(20.0).grey().centred();
    // A label that would run into the one before it is left out; its line stays.
    let mut free_from = f64::NEG_INFINITY;
    for value in scale.ticks(ticks) {
        let x = x_at(frame, scale, value);
        canvas.line(&[(x, frame.top), (x, frame.bottom)], style::GRID, 1.0, 1.0)?;
        let text = label(value);
        let half = canvas.width_of(&text, look)? / 2.0;
        if x - half >= free_from {
            canvas.text(&text, (x, frame.bottom + 20.0), look)?;
            free_from = x + half + GAP_MIN;
        }
    }
    Ok(())
}

/// Least room between two labels of an axis.
const GAP_MIN: f64 = 12.0;

/// Room below a frame for the ticks of its axis and what they count.
pub const AXIS: f64 = 62.0;

/// What an axis counts, below its ticks.
pub fn axis_name<DB: DrawingBackend>(
    canvas: &Canvas<'_, DB>,
    frame: Rect,
    name: &str,
) -> Result<(), ChartError> {
    canvas.text(name, (frame.centre().0, frame.bottom + 46.0), style::text(20.0).grey().centred())
}

/// The height in `frame` at which `value` lies.
pub fn y_at(frame: Rect, scale: Scale, value: f64) -> f64 {
    frame.bottom - scale.part(value) * frame.height()
}

/// The distance from the left at which `value` lies.
pub fn x_at(frame: Rect, scale: Scale, value: f64) -> f64 {
    frame.left + scale.part(value) * frame.width()
}

/// Moves labels apart that would overlap: each at least `gap` below the one above it, all between `top` and `bottom`
/// as far as they fit. Takes and returns heights in the same order.
pub fn spread_out(wanted: &[f64], gap: f64, top: f64, bottom: f64) -> Vec<f64> {
    let mut order: Vec<usize> = (0..wanted.len()).collect();
    order.sort_by(|&a, &b| wanted[a].total_cmp(&wanted[b]));
    let mut placed = wanted.to_vec();
    let mut floor = top;
    for &i in &order {
        placed[i] = placed[i].max(floor);
        floor = placed[i] + gap;
    }
    let mut ceiling = bottom;
    for &i in order.iter().rev() {
        placed[i] = placed[i].min(ceiling);
        ceiling = placed[i] - gap;
    }
    placed
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn linear_scales_end_on_a_tick() {
        assert_eq!(Scale::linear(5432.0, 6).ticks(6), [0.0, 1000.0, 2000.0, 3000.0, 4000.0, 5000.0, 6000.0]);
        assert_eq!(Scale::linear(0.0, 5).max(), 1.0);
        assert_eq!(Scale::linear(f64::NAN, 5).max(), 1.0);
        assert_eq!(Scale::linear(1e6, 5).max(), 1e6);
    }

    #[test]
    fn log_scales_have_decades() {
        let scale = Scale::Log { min: 1.0, max: 100.0 };
        assert_eq!(scale.part(10.0), 0.5);
        assert_eq!(scale.part(0.0), 0.0);
        assert_eq!(scale.ticks(5), [1.0, 2.0, 5.0, 10.0, 20.0, 50.0, 100.0]);
        assert_eq!(Scale::Log { min: 2.0, max: 6.0 }.ticks(5), [2.0, 3.0, 4.0, 5.0]);
    }

    #[test]
    fn labels_are_moved_apart_and_stay_inside() {
        assert_eq!(spread_out(&[10.0, 12.0, 90.0], 10.0, 0.0, 100.0), [10.0, 20.0, 90.0]);
        assert_eq!(spread_out(&[99.0, 98.0], 10.0, 0.0, 100.0), [100.0, 90.0]);
    }
}
