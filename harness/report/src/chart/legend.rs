//! A key to the colours, in rows.

use plotters::backend::DrawingBackend;
use plotters::style::RGBColor;

use super::ChartError;
use super::canvas::{Canvas, Point};
use super::style;

/// Colour and text of each entry, from `at` rightwards, broken into rows within `room`. Returns the height used.
pub fn draw<DB: DrawingBackend>(
    canvas: &Canvas<'_, DB>,
    entries: &[(RGBColor, String)],
    at: Point,
    room: f64,
) -> Result<f64, ChartError> {
    const ROW: f64 = 32.0;
    const SWATCH: f64 = 34.0;
    const GAP: f64 = 36.0;
    let look = style::text(22.0);
    let (mut x, mut y) = at;
    for (color, text) in entries {
        let text = canvas.fitted(text, look, room - SWATCH)?;
        let width = SWATCH + canvas.width_of(&text, look)?;
        if x > at.0 && x + width > at.0 + room {
            x = at.0;
            y += ROW;
        }
        canvas.line(&[(x, y), (x + SWATCH - 10.0, y)], *color, 1.0, 6.0)?;
        canvas.text(&text, (x + SWATCH, y), look)?;
        x += width + GAP;
    }
    Ok(y - at.1 + ROW)
}
