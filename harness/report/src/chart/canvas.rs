//! Drawing in the plane of the charts, on any backend.

use plotters::backend::DrawingBackend;
use plotters::element::{Circle, PathElement, Polygon, Rectangle};
use plotters::style::text_anchor::{HPos, Pos, VPos};
use plotters::style::{Color, FontDesc, FontFamily, FontStyle, RGBColor, ShapeStyle, TextStyle};

use super::axis::Rect;
use super::plane::Plane;
use super::style::{self, Align, Text};
use super::{Area, ChartError, backend};

/// A point of the plane: x to the right, y down.
pub type Point = (f64, f64);

/// An area, with the plane's units scaled to its pixels.
pub struct Canvas<'a, DB: DrawingBackend> {
    area: &'a Area<DB>,
    plane: &'a Plane,
    scale: f64,
}

impl<'a, DB: DrawingBackend> Canvas<'a, DB> {
    /// Takes an area and paints it white.
    ///
    /// # Errors
    /// [`ChartError`] when the bundled font or the backend fails.
    pub fn new(area: &'a Area<DB>, plane: &'a Plane) -> Result<Self, ChartError> {
        super::register_fonts()?;
        area.fill(&style::PAPER).map_err(backend)?;
        let (width, height) = area.dim_in_pixel();
        let scale = (f64::from(width) / plane.width).min(f64::from(height) / plane.height);
        Ok(Self { area, plane, scale })
    }

    /// Where content begins on the left.
    pub fn left(&self) -> f64 {
        self.plane.margin
    }

    /// Where content ends on the right.
    pub fn right(&self) -> f64 {
        self.plane.width - self.plane.margin
    }

    /// The lower edge of the plane.
    pub fn bottom(&self) -> f64 {
        self.plane.height
    }

    /// Whether there is room for one thing beside another.
    pub fn is_wide(&self) -> bool {
        self.plane.is_wide()
    }

    fn px(&self, (x, y): Point) -> (i32, i32) {
        ((x * self.scale).round() as i32, (y * self.scale).round() as i32)
    }

    fn stroke(&self, color: RGBColor, alpha: f64, width: f64) -> ShapeStyle {
        color.mix(alpha).stroke_width(((width * self.scale).round() as u32).max(1))
    }

    /// A filled rectangle.
    pub fn rect(&self, r: Rect, color: RGBColor) -> Result<(), ChartError> {
        self.tint(r, color, 1.0)
    }

    /// A filled rectangle that lets through what is behind it.
    pub fn tint(&self, r: Rect, color: RGBColor, alpha: f64) -> Result<(), ChartError> {
        let corners = [self.px((r.left, r.top)), self.px((r.right, r.bottom))];
        self.area.draw(&Rectangle::new(corners, color.mix(alpha).filled())).map_err(backend)
    }

    /// A line through `points`; fewer than two draw nothing.
    pub fn line(&self, points: &[Point], color: RGBColor, alpha: f64, width: f64) -> Result<(), ChartError> {
        let mut px: Vec<(i32, i32)> = points.iter().map(|&p| self.px(p)).collect();
        px.dedup();
        if px.len() < 2 {
            return Ok(());
        }
        self.area.draw(&PathElement::new(px, self.stroke(color, alpha, width))).map_err(backend)
    }

    /// A filled dot.
    pub fn dot(&self, at: Point, radius: f64, color: RGBColor) -> Result<(), ChartError> {
        let radius = (radius * self.scale).round() as i32;
        self.area.draw(&Circle::new(self.px(at), radius, color.filled())).map_err(backend)
    }

    /// A hollow dot.
    pub fn ring(&self, at: Point, radius: f64, color: RGBColor) -> Result<(), ChartError> {
        self.dot(at, radius, color)?;
        self.dot(at, radius - 3.0, style::PAPER)
    }

    /// A filled square standing on its corner.
    pub fn diamond(&self, (x, y): Point, radius: f64, color: RGBColor) -> Result<(), ChartError> {
        let corners = [(x, y - radius), (x + radius, y), (x, y + radius), (x - radius, y)];
        let corners: Vec<(i32, i32)> = corners.into_iter().map(|p| self.px(p)).collect();
        self.area.draw(&Polygon::new(corners, color.filled())).map_err(backend)
    }

    /// One line of text whose capitals are centred on `at`'s height.
    pub fn text(&self, text: &str, at: Point, look: Text) -> Result<(), ChartError> {
        let h_pos = match look.align {
            Align::Left => HPos::Left,
            Align::Centre => HPos::Center,
            Align::Right => HPos::Right,
        };
        // Backends differ in where "centre" is. With the bottom as anchor they agree within a pixel: the baseline is
        // then a quarter of the size above the point, and capitals are three fifths of the size high.
        let anchored = (at.0, at.1 + look.size * (0.26 + 0.3));
        let font = self.font(look).pos(Pos::new(h_pos, VPos::Bottom));
        self.area.draw_text(text, &font, self.px(anchored)).map_err(backend)
    }

    /// One line of text from `at` rightwards on a ground of its own, where lines may pass behind it.
    pub fn label(&self, text: &str, at: Point, look: Text) -> Result<(), ChartError> {
        let half = look.size * 0.6;
        let right = at.0 + self.width_of(text, look)? + 4.0;
        self.tint(Rect::new(at.0 - 4.0, at.1 - half, right, at.1 + half), style::PAPER, 0.85)?;
        self.text(text, at, look)
    }

    /// How wide a text is, in units of the plane.
    pub fn width_of(&self, text: &str, look: Text) -> Result<f64, ChartError> {
        let (width, _) = self.area.estimate_text_size(text, &self.font(look)).map_err(backend)?;
        Ok(f64::from(width) / self.scale * self.plane.slack(look.bold))
    }

    /// A text cut to `room` with an ellipsis, if it is longer.
    pub fn fitted(&self, text: &str, look: Text, room: f64) -> Result<String, ChartError> {
        if self.width_of(text, look)? <= room {
            return Ok(text.to_owned());
        }
        let mut kept: Vec<char> = text.chars().collect();
        while kept.pop().is_some() {
            let shorter: String = kept.iter().collect::<String>().trim_end().to_owned() + "…";
            if self.width_of(&shorter, look)? <= room {
                return Ok(shorter);
            }
        }
        Ok(String::new())
    }

    /// A text in as many lines as it needs in `room`, at most `lines`, the last cut; the first at `at`. Returns the
    /// height used.
    pub fn paragraph(
        &self,
        text: &str,
        at: Point,
        look: Text,
        room: f64,
        lines: usize,
    ) -> Result<f64, ChartError> {
        let step = look.size * 1.25;
        let mut rows: Vec<String> = vec![String::new()];
        for word in text.split_whitespace() {
            let row = rows.last().cloned().unwrap_or_default();
            let longer = if row.is_empty() { word.to_owned() } else { format!("{row} {word}") };
            let full = rows.len() >= lines || row.is_empty();
            match rows.last_mut() {
                Some(last) if full || self.width_of(&longer, look)? <= room => *last = longer,
                _ => rows.push(word.to_owned()),
            }
        }
        for (i, row) in rows.iter().enumerate() {
            let row = self.fitted(row, look, room)?;
            self.text(&row, (at.0, at.1 + i as f64 * step), look)?;
        }
        Ok(rows.len() as f64 * step)
    }

    /// Title and subtitle at the top left, if the plane has them. Returns the height at which a chart may begin.
    pub fn heading(&self) -> Result<f64, ChartError> {
        let Some(heading) = &self.plane.heading else {
            return Ok(0.0);
        };
        let room = self.right() - self.left();
        let title_look = style::text(36.0).bold();
        let mut y = 46.0;
        y += self.paragraph(&heading.title, (self.left(), y), title_look, room, 2)?;
        y += self.paragraph(&heading.subtitle, (self.left(), y - 2.0), style::text(23.0).grey(), room, 3)?;
        Ok(y)
    }

    fn font(&self, look: Text) -> TextStyle<'static> {
        let weight = if look.bold { FontStyle::Bold } else { FontStyle::Normal };
        // Not `.style(…)`: that keeps the outlines of the style the font was made with.
        let font = FontDesc::new(FontFamily::from(style::FONT), look.size * self.scale, weight);
        TextStyle { color: look.color.to_backend_color(), ..TextStyle::from(font) }
    }
}
