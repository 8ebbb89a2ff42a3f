//! `gate.png`: every round's change as a dot, a row a metric, with the bounds that decided and the tolerance.

use plotters::backend::DrawingBackend;

use super::table::{Row, rows};
use super::words;
use crate::chart::axis::{AXIS, Rect, Scale, axis_name, grid_x, x_at};
use crate::chart::canvas::Canvas;
use crate::chart::plane::{Heading, Layout, Plane};
use crate::chart::{Area, ChartError, no_data, picture, style};
use crate::units::{counted, tick};
use lanebench_result::gate::{GateRecord, GateRule, Measured, Worse};

/// Ticks on either side of zero.
const TICKS: usize = 5;

/// Room for a metric's name and verdict, to the left of its dots.
const NAMES: f64 = 330.0;

/// A change beyond this is drawn at the edge, so that one wild round does not flatten all others.
const CHANGE_MAX: f64 = 1.0;

/// The picture as a PNG file.
///
/// # Errors
/// [`ChartError`] when the font, the backend or the encoder fails.
pub fn png(record: &GateRecord) -> Result<Vec<u8>, ChartError> {
    let plane = Plane::new(Layout::Picture, heading(record), 0.0);
    picture(|area| draw(area, record, &plane))
}

fn heading(record: &GateRecord) -> Heading {
    Heading {
        title: words::title(record),
        subtitle: format!(
            "Change of {} against {}, {}. Each dot: one round. Diamond: the estimate with the bounds that the verdict rests \
             on. Shaded: worse than is tolerated. Hollow: beyond the axis.",
            record.candidate.label,
            record.baseline.label,
            counted(record.rounds.len() as u64, "round", "rounds")
        ),
    }
}

fn draw<DB: DrawingBackend>(area: &Area<DB>, record: &GateRecord, plane: &Plane) -> Result<(), ChartError> {
    let canvas = Canvas::new(area, plane)?;
    let top = canvas.heading()?;
    let frame = Rect::new(canvas.left() + NAMES, top + 10.0, canvas.right() - 42.0, canvas.bottom() - AXIS);
    if record.rounds.is_empty() || !words::has_table(record) {
        let why = if record.rounds.is_empty() {
            "no round was finished"
        } else {
            "no speed counts where a check of truth failed"
        };
        return no_data(&canvas, Rect { left: canvas.left(), ..frame }, why);
    }
    let axis = Axis::of(record, frame);
    grid_x(&canvas, frame, axis.scale, 2 * TICKS, |value| axis.label(value))?;
    let zero = axis.at(0.0);
    canvas.line(&[(zero, frame.top), (zero, frame.bottom)], style::GREY, 1.0, 2.0)?;
    axis_name(&canvas, frame, "candidate against baseline, %")?;
    let height = frame.height() / record.rules.len().max(1) as f64;
    for (i, (rule, row)) in record.rules.iter().zip(rows(record)).enumerate() {
        let top = frame.top + i as f64 * height;
        let strip = Rect { top: top + height * 0.08, bottom: top + height * 0.92, ..frame };
        Strip { axis: &axis, frame: strip, rule }.draw(&canvas, record, &row)?;
    }
    Ok(())
}

/// A scale with zero in its middle.
struct Axis {
    frame: Rect,
    scale: Scale,
    half: f64,
}

impl Axis {
    /// Wide enough for every round, bound and tolerance of the required metrics.
    fn of(record: &GateRecord, frame: Rect) -> Self {
        let wide = record
            .rules
            .iter()
            .filter(|rule| rule.required)
            .flat_map(|rule| {
                let bounds = measured(record, rule).map_or([0.0; 2], |m| [m.low - 1.0, m.high - 1.0]);
                changes(record, rule).chain(bounds).chain([rule.tolerance * 1.2]).collect::<Vec<f64>>()
            })
            .map(f64::abs)
            .fold(0.0, f64::max)
            .min(CHANGE_MAX);
        let half = Scale::linear(wide * 100.0, TICKS).max();
        Self { frame, scale: Scale::Linear { max: 2.0 * half }, half }
    }

    /// Where a change lies, given as a part.
    fn at(&self, change: f64) -> f64 {
        x_at(self.frame, self.scale, change * 100.0 + self.half)
    }

    fn holds(&self, change: f64) -> bool {
        (change * 100.0).abs() <= self.half
    }

    /// A tick's value with its sign.
    fn label(&self, value: f64) -> String {
        let value = value - self.half;
        match value {
            _ if value.abs() < 1e-9 => "0".into(),
            _ if value > 0.0 => format!("+{}", tick(value)),
            _ => format!("−{}", tick(-value)),
        }
    }
}

/// The part of the chart that belongs to one metric.
struct Strip<'a> {
    axis: &'a Axis,
    frame: Rect,
    rule: &'a GateRule,
}

impl Strip<'_> {
    fn draw<DB: DrawingBackend>(
        &self,
        canvas: &Canvas<'_, DB>,
        record: &GateRecord,
        row: &Row,
    ) -> Result<(), ChartError> {
        let frame = self.frame;
        let beyond = match self.rule.worse {
            Worse::Lower => Rect { right: self.axis.at(-self.rule.tolerance), ..frame },
            Worse::Higher => Rect { left: self.axis.at(self.rule.tolerance), ..frame },
        };
        canvas.tint(beyond, style::NEUTRAL, 0.22)?;
        let (x, y) = (canvas.left(), frame.centre().1);
        let room = NAMES - 24.0;
        let bounds = if row.bounds.is_empty() { String::new() } else { format!(" ({})", row.bounds) };
        let said = [
            (row.metric.to_owned(), style::text(24.0).bold()),
            (row.verdict.clone(), style::text(21.0)),
            (row.change.clone() + &bounds, style::text(21.0).grey()),
        ];
        for (i, (text, look)) in said.iter().enumerate() {
            canvas.text(&canvas.fitted(text, *look, room)?, (x, y + (i as f64 - 1.0) * 30.0), *look)?;
        }
        self.dots(canvas, record)?;
        match measured(record, self.rule) {
            Some(m) => self.estimate(canvas, m, frame.bottom - frame.height() * 0.14),
            None => Ok(()),
        }
    }

    /// Rounds from the first at the top downwards.
    fn dots<DB: DrawingBackend>(
        &self,
        canvas: &Canvas<'_, DB>,
        record: &GateRecord,
    ) -> Result<(), ChartError> {
        let changes: Vec<f64> = changes(record, self.rule).collect();
        let step = self.frame.height() * 0.7 / changes.len().max(1) as f64;
        let color = style::lane(if self.rule.required { 0 } else { 4 });
        for (i, &change) in changes.iter().enumerate() {
            let at = (self.axis.at(change), self.frame.top + (i as f64 + 0.5) * step);
            if self.axis.holds(change) { canvas.dot(at, 5.5, color)? } else { canvas.ring(at, 6.5, color)? }
        }
        Ok(())
    }

    fn estimate<DB: DrawingBackend>(
        &self,
        canvas: &Canvas<'_, DB>,
        m: &Measured,
        y: f64,
    ) -> Result<(), ChartError> {
        let (from, to) = (self.axis.at(m.low - 1.0), self.axis.at(m.high - 1.0));
        canvas.line(&[(from, y), (to, y)], style::INK, 1.0, 3.0)?;
        for (x, change) in [(from, m.low - 1.0), (to, m.high - 1.0)] {
            if self.axis.holds(change) {
                canvas.line(&[(x, y - 9.0), (x, y + 9.0)], style::INK, 1.0, 3.0)?;
            }
        }
        canvas.diamond((self.axis.at(m.ratio - 1.0), y), 9.0, style::INK)
    }
}

/// The change of each round in which both values were measured.
fn changes(record: &GateRecord, rule: &GateRule) -> impl Iterator<Item = f64> {
    let metric = rule.metric;
    record
        .rounds
        .iter()
        .filter_map(move |r| Some(r.candidate.values.of(metric)? / r.baseline.values.of(metric)? - 1.0))
}

fn measured<'a>(record: &'a GateRecord, rule: &GateRule) -> Option<&'a Measured> {
    record.looks.last()?.of(rule.metric)?.measured.as_ref()
}
