//! One panel: how long the oldest event of each partition had been due, what was broken meanwhile, and how long each was silent.

use plotters::backend::DrawingBackend;

use super::rows::{fault, spans};
use crate::chart::axis::{AXIS, Rect, Scale, axis_name, grid_x, grid_y, x_at, y_at};
use crate::chart::canvas::{Canvas, Point};
use crate::chart::{ChartError, no_data, style};
use crate::units::{duration, tick};
use lanebench_result::scenario::{ScenarioConfiguration, ScenarioRun};
use lanebench_result::{Phase, PhaseKind, Silence, Trial};

/// Height of the line with the configuration's name.
const TITLE: f64 = 36.0;

/// Height of a line that says what was broken.
const FAULT: f64 = 28.0;

/// Room to the left of a plot, for the labels of its axis.
const GUTTER: f64 = 62.0;

/// Room to the right of a plot, for half a label.
const EDGE: f64 = 16.0;

/// Room below the name of an axis, so that it is not taken for the next panel's.
const BELOW: f64 = 14.0;

/// Between a plot and the bars below it.
const GAP: f64 = 12.0;

/// Height of a partition's row of bars, and of all of them at most: from seven partitions on, rows are lower and have no labels.
const ROW: f64 = 26.0;
const ROWS_MAX: f64 = 6.0 * ROW;

/// What all panels of a scenario share, so that its configurations can be compared.
pub(super) struct Axes {
    /// Seconds since the phase began.
    seconds: Scale,
    /// Seconds for which the oldest event had been due.
    waited: Scale,
    /// Lines above a plot, one a fault.
    faults: usize,
    /// Rows below a plot, one a partition.
    partitions: usize,
}

impl Axes {
    /// Wide enough for the phase that is drawn of each configuration.
    pub(super) fn of(run: &ScenarioRun) -> Self {
        let phases = || run.configurations.iter().filter_map(|c| shown(c).map(|(_, phase)| phase));
        let sampled = phases().flat_map(|phase| phase.lag.series.iter().map(|s| s.t_ms));
        let mended = phases().flat_map(|phase| spans(phase).map(|(_, span)| span.back_ms));
        let silent = phases().flat_map(silences).map(|(_, silence)| silence.from_ms + silence.lasted_ms);
        let last_ms = sampled.chain(mended).chain(silent).fold(run.scenario.length_s * 1e3, f64::max);
        let oldest_ns = phases().flat_map(|phase| phase.lag.series.iter().map(|s| s.ns)).max().unwrap_or(0);
        Self {
            seconds: Scale::Linear { max: if last_ms > 0.0 { last_ms / 1e3 } else { 1.0 } },
            waited: Scale::linear(oldest_ns as f64 / 1e9, 5),
            faults: phases().map(|phase| spans(phase).count()).max().unwrap_or(0),
            partitions: run.configurations.iter().map(partitions).max().unwrap_or(0),
        }
    }

    /// Height of a panel without its plot.
    pub(super) fn around(&self) -> f64 {
        TITLE + self.faults as f64 * FAULT + self.bars() + AXIS + BELOW
    }

    fn row(&self) -> f64 {
        (ROWS_MAX / self.partitions.max(1) as f64).min(ROW)
    }

    fn bars(&self) -> f64 {
        GAP + self.partitions as f64 * self.row()
    }
}

/// The part of a chart that belongs to one configuration.
pub(super) struct Panel<'a> {
    pub(super) configuration: &'a ScenarioConfiguration,
    pub(super) axes: &'a Axes,
    pub(super) frame: Rect,
}

impl Panel<'_> {
    /// Draws it: the first trial that was finished.
    ///
    /// # Errors
    /// [`ChartError`] when the font or the backend fails.
    pub(super) fn draw<DB: DrawingBackend>(&self, canvas: &Canvas<'_, DB>) -> Result<(), ChartError> {
        let (frame, axes) = (self.frame, self.axes);
        let top = frame.top + TITLE + axes.faults as f64 * FAULT;
        let below = Rect::new(frame.left + GUTTER, top, frame.right - EDGE, frame.bottom - AXIS - BELOW);
        let plot = Rect { bottom: below.bottom - axes.bars(), ..below };
        let found = shown(self.configuration);
        self.title(canvas, found.map(|(trial, _)| trial))?;
        let Some((_, phase)) = found else {
            return no_data(canvas, plot, "no trial");
        };
        canvas.rect(plot, style::PALE)?;
        self.faults(canvas, below, phase)?;
        let each = if canvas.is_wide() { 60.0 } else { 50.0 };
        let ticks = (below.width() / each).floor().clamp(1.0, 10.0) as usize;
        grid_x(canvas, below, axes.seconds, ticks, tick)?;
        grid_y(canvas, plot, axes.waited, 5, tick)?;
        axis_name(canvas, below, "seconds since the phase began")?;
        self.lines(canvas, plot, phase)?;
        self.bars(canvas, Rect { top: plot.bottom + GAP, ..below }, phase)
    }

    /// The configuration's name, and what its axis counts.
    fn title<DB: DrawingBackend>(
        &self,
        canvas: &Canvas<'_, DB>,
        trial: Option<&Trial>,
    ) -> Result<(), ChartError> {
        let (bold, grey) = (style::text(24.0).bold(), style::text(20.0).grey());
        let (left, y) = (self.frame.left, self.frame.top + TITLE / 2.0 - 2.0);
        let mut right = self.frame.right;
        if trial.is_some_and(|trial| !trial.verification.passed) {
            let look = style::text(21.0).color(style::WRONG).right();
            canvas.text("void", (right, y), look)?;
            right -= canvas.width_of("void", look)? + 12.0;
        }
        let name = canvas.fitted(&self.configuration.name, bold, (right - left) * 0.6)?;
        canvas.text(&name, (left, y), bold)?;
        let after = left + canvas.width_of(&name, bold)? + 14.0;
        for counts in ["oldest event due and not visible, s", "oldest not yet visible, s", "waited, s"] {
            if canvas.width_of(counts, grey)? <= right - after {
                return canvas.text(counts, (after, y), grey);
            }
        }
        Ok(())
    }

    /// Shades from each fault until what broke answered again, from the line that says what it was downwards.
    fn faults<DB: DrawingBackend>(
        &self,
        canvas: &Canvas<'_, DB>,
        below: Rect,
        phase: &Phase,
    ) -> Result<(), ChartError> {
        let look = style::text(18.0);
        for (i, (broken, span)) in spans(phase).enumerate() {
            let top = below.top - (i + 1) as f64 * FAULT;
            let [left, right] =
                [span.began_ms, span.back_ms].map(|ms| x_at(below, self.axes.seconds, ms / 1e3));
            let shade = Rect { left, right: right.max(left + 2.0), top, ..below };
            canvas.tint(shade, style::NEUTRAL, 0.28)?;
            let text = canvas.fitted(&fault(broken), look, below.width())?;
            // Within the frame where it would run out of it on the right.
            let x = (left + 6.0).min(below.right - canvas.width_of(&text, look)?).max(below.left);
            canvas.text(&text, (x, top + FAULT / 2.0), look)?;
        }
        Ok(())
    }

    /// A line a partition.
    fn lines<DB: DrawingBackend>(
        &self,
        canvas: &Canvas<'_, DB>,
        plot: Rect,
        phase: &Phase,
    ) -> Result<(), ChartError> {
        let axes = self.axes;
        for index in 0..partitions(self.configuration) {
            let of = phase.lag.series.iter().filter(|s| usize::try_from(s.partition) == Ok(index));
            let line: Vec<Point> = of
                .map(|s| (x_at(plot, axes.seconds, s.t_ms / 1e3), y_at(plot, axes.waited, s.ns as f64 / 1e9)))
                .collect();
            canvas.line(&line, style::lane(index), 0.95, 3.0)?;
        }
        Ok(())
    }

    /// The longest silence of each partition as a thick bar on a thin line in its colour.
    fn bars<DB: DrawingBackend>(
        &self,
        canvas: &Canvas<'_, DB>,
        rows: Rect,
        phase: &Phase,
    ) -> Result<(), ChartError> {
        let height = self.axes.row();
        let has_labels = height >= ROW;
        let look = style::text(18.0);
        let middle = |index: usize| rows.top + (index as f64 + 0.5) * height;
        for index in 0..partitions(self.configuration) {
            let y = middle(index);
            canvas.line(&[(rows.left, y), (rows.right, y)], style::lane(index), 0.6, 1.0)?;
            if has_labels {
                canvas.text(&format!("p{index}"), (rows.left - 12.0, y), look.grey().right())?;
            }
        }
        for (index, silence) in silences(phase).filter(|(index, _)| *index < partitions(self.configuration)) {
            let y = middle(index);
            let [from, to] = [silence.from_ms, silence.from_ms + silence.lasted_ms]
                .map(|ms| x_at(rows, self.axes.seconds, ms / 1e3));
            let thick = (height * 0.52).max(1.5);
            let bar = Rect::new(from, y - thick / 2.0, to.max(from + 2.0), y + thick / 2.0);
            canvas.rect(bar, style::lane(index))?;
            if has_labels {
                let text = duration(silence.lasted_ms * 1e6);
                let width = canvas.width_of(&text, look)?;
                let right = bar.right + 8.0;
                let x = if right + width <= rows.right { right } else { bar.left - 8.0 - width };
                canvas.label(&text, (x, y), look)?;
            }
        }
        Ok(())
    }
}

/// The first trial that has something to show.
fn shown(configuration: &ScenarioConfiguration) -> Option<(&Trial, &Phase)> {
    configuration.trials.iter().find_map(|trial| Some((trial, trial.phase(PhaseKind::Scenario)?)))
}

/// As many as the topic had in the end.
fn partitions(configuration: &ScenarioConfiguration) -> usize {
    let first = usize::try_from(configuration.partitions).unwrap_or(0);
    shown(configuration).map_or(first, |(_, phase)| phase.partitions.len().max(first))
}

/// The longest silence of each partition, by its number.
fn silences(phase: &Phase) -> impl Iterator<Item = (usize, Silence)> {
    phase.partitions.iter().filter_map(|p| Some((usize::try_from(p.id).ok()?, p.silence?)))
}
