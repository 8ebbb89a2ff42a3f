//! `lag.png`: lag over time, in records and in time, each phase from its own start so that configurations line up.

use plotters::backend::DrawingBackend;

use super::axis::{AXIS, Rect, Scale, axis_name, grid_y, y_at};
use super::canvas::{Canvas, Point};
use super::plane::{Heading, Layout, Plane};
use super::ticks::{Tick, phases, ticks};
use super::{Area, ChartError, NO_DATA, legend, no_data, style};
use crate::units::{count, duration, number, tick};
use lanebench_result::{Configuration, RunResult, Trial};

/// Partitions over all configurations up to which each gets a line of its own.
const THIN_LINES: usize = 48;

/// Nanoseconds of the unit of the lower panel.
const MS: f64 = 1e6;

/// Space between two phases.
const GAP: f64 = 26.0;

/// The trial that stands for a configuration.
struct Lane<'a> {
    index: usize,
    configuration: &'a Configuration,
    trial: &'a Trial,
    ticks: Vec<Tick<'a>>,
}

/// One phase on the axis: all lanes share its start, the longest sets its width.
struct Phase {
    name: String,
    length_ms: f64,
    left: f64,
    right: f64,
}

/// What stands above the chart.
pub fn heading(result: &RunResult) -> Heading {
    let thin = if one_each(&lanes(result)) { " Thin: single partitions." } else { "" };
    Heading {
        title: "Lag over time, in records and in milliseconds".into(),
        subtitle: format!(
            "Bold: all partitions, in the round of median throughput.{thin} Offsets are committed every {0} ms, so lag \
             in records has a floor of rate × {0} ms.",
            result.workload.commit_interval_ms
        ),
    }
}

/// The height it asks for.
pub fn height(result: &RunResult, layout: Layout) -> f64 {
    match layout {
        _ if lanes(result).is_empty() => NO_DATA,
        Layout::Phone => 760.0,
        _ => 680.0,
    }
}

/// Draws the chart: the trial of median throughput of each configuration.
///
/// # Errors
/// [`ChartError`] when the font or the backend fails.
pub fn draw<DB: DrawingBackend>(
    area: &Area<DB>,
    result: &RunResult,
    plane: &Plane,
) -> Result<(), ChartError> {
    let canvas = Canvas::new(area, plane)?;
    let lanes = lanes(result);
    let top = canvas.heading()?;
    if lanes.is_empty() {
        let frame = Rect::new(canvas.left(), top + 20.0, canvas.right(), canvas.bottom() - 40.0);
        return no_data(&canvas, frame, "no lag was sampled");
    }
    let entries: Vec<_> = lanes.iter().map(|l| (style::lane(l.index), key(l, canvas.is_wide()))).collect();
    let used = legend::draw(&canvas, &entries, (canvas.left(), top + 16.0), canvas.right() - canvas.left())?;
    // The last second's label is centred on the right edge of the frame.
    let (left, right) = (canvas.left() + 92.0, canvas.right() - 16.0);
    let top = top + used + 62.0;
    let bottom = canvas.bottom() - AXIS;
    let upper = Rect::new(left, top, right, top + (bottom - top) * 0.56);
    let lower = Rect::new(left, upper.bottom + 58.0, right, bottom);
    let on_axis = lay_out(&lanes, left, right);
    for phase in &on_axis {
        let middle = f64::midpoint(phase.left, phase.right);
        let look = style::text(22.0).bold();
        let name = canvas.fitted(&phase.name, look, phase.right - phase.left + GAP)?;
        canvas.text(&name, (middle, upper.top - 44.0), look.centred())?;
    }
    let most = lanes.iter().flat_map(|l| &l.ticks).map(Tick::records).max().unwrap_or(0).max(0) as f64;
    let records = Scale::linear(most.max(1.0), 5);
    panel(&canvas, upper, &on_axis, result)?;
    grid_y(&canvas, upper, records, 5, tick)?;
    canvas.text("lag in records", (canvas.left(), upper.top - 18.0), style::text(20.0).bold())?;
    series(&canvas, upper, records, &lanes, &on_axis, |t| t.records() as f64, |s| s.records.max(0) as f64)?;

    let longest = lanes.iter().flat_map(|l| &l.ticks).map(Tick::ns).max().unwrap_or(0) as f64;
    let time = Scale::Linear { max: Scale::linear((longest / MS).max(1.0), 4).max() * MS };
    panel(&canvas, lower, &on_axis, result)?;
    grid_y(&canvas, lower, time, 4, |ns| tick(ns / MS))?;
    let look = style::text(20.0).bold();
    let what = if canvas.is_wide() {
        "lag in ms: age of the oldest event not yet visible"
    } else {
        "lag in ms: oldest not yet visible"
    };
    canvas.text(what, (canvas.left(), lower.top - 18.0), look)?;
    series(&canvas, lower, time, &lanes, &on_axis, |t| t.ns() as f64, |s| s.ns as f64)?;
    seconds(&canvas, lower.bottom + 20.0, &on_axis)?;
    axis_name(&canvas, lower, "seconds since the start of the phase")
}

fn lanes(result: &RunResult) -> Vec<Lane<'_>> {
    result.configurations.iter().enumerate().filter_map(|(i, c)| lane(i, c)).collect()
}

/// Whether there are few enough partitions for each to get a line of its own.
fn one_each(lanes: &[Lane<'_>]) -> bool {
    let several = lanes.iter().any(|l| l.configuration.partitions > 1);
    let all: i32 = lanes.iter().map(|l| l.configuration.partitions).sum();
    several && usize::try_from(all).is_ok_and(|n| n <= THIN_LINES)
}

/// The trial of median throughput among those that passed and were sampled; where none passed, the first sampled.
fn lane(index: usize, configuration: &Configuration) -> Option<Lane<'_>> {
    let sampled = configuration.trials.iter().filter(|t| !t.lag.series.is_empty());
    let mut passed: Vec<&Trial> = sampled.clone().filter(|t| t.verification.passed).collect();
    passed.sort_by(|a, b| a.throughput_per_s.total_cmp(&b.throughput_per_s));
    let median = passed.len().checked_sub(1).map(|last| passed[last / 2]);
    let trial = median.or_else(|| sampled.clone().next())?;
    Some(Lane { index, configuration, trial, ticks: ticks(&trial.lag) })
}

fn key(lane: &Lane<'_>, wide: bool) -> String {
    let void = if lane.trial.verification.passed { "" } else { ", void" };
    let peak = match &lane.trial.surge {
        Some(s) => format!("peak {} records, {}", count(s.max_lag_records), duration(s.max_lag_ns as f64)),
        None => "no surge".into(),
    };
    let name = &lane.configuration.name;
    if wide {
        format!("{name} (round {}{void}): {peak}", lane.trial.round)
    } else {
        format!("{name}{void}: {peak}")
    }
}

/// Shares the width out among the phases by their length; a very short one keeps enough room for its name.
fn lay_out(lanes: &[Lane<'_>], left: f64, right: f64) -> Vec<Phase> {
    let mut lengths: Vec<(String, f64)> = Vec::new();
    for lane in lanes {
        for (name, from, to) in phases(&lane.ticks) {
            match lengths.iter_mut().find(|(n, _)| n == name) {
                Some((_, length)) => *length = length.max(to - from),
                None => lengths.push((name.to_owned(), to - from)),
            }
        }
    }
    let total: f64 = lengths.iter().map(|(_, l)| l).sum::<f64>().max(1.0);
    let room = right - left - GAP * lengths.len().saturating_sub(1) as f64;
    let weights: Vec<f64> = lengths.iter().map(|(_, l)| (l / total).max(0.14)).collect();
    let weight: f64 = weights.iter().sum();
    let mut at = left;
    lengths
        .into_iter()
        .zip(weights)
        .map(|((name, length_ms), w)| {
            let phase =
                Phase { name, length_ms: length_ms.max(1.0), left: at, right: at + room * w / weight };
            at = phase.right + GAP;
            phase
        })
        .collect()
}

/// The phases as shades, the peak of the surge one step darker.
fn panel<DB: DrawingBackend>(
    canvas: &Canvas<'_, DB>,
    frame: Rect,
    on_axis: &[Phase],
    result: &RunResult,
) -> Result<(), ChartError> {
    for phase in on_axis {
        canvas.rect(Rect { left: phase.left, right: phase.right, ..frame }, style::PALE)?;
        if let (Some(surge), "surge") = (&result.workload.surge, phase.name.as_str()) {
            let x = |s: f64| {
                (phase.left + s * 1000.0 / phase.length_ms * (phase.right - phase.left)).min(phase.right)
            };
            let peak = Rect { left: x(surge.base_s), right: x(surge.base_s + surge.peak_s), ..frame };
            canvas.rect(peak, style::SHADE)?;
            let look = style::text(18.0).grey();
            let label = format!("peak, {} events/s", number(surge.peak_per_s));
            if canvas.width_of(&label, look)? < peak.width() {
                canvas.text(&label, (peak.centre().0, frame.top + 14.0), look.centred())?;
            }
        }
    }
    Ok(())
}

fn series<DB: DrawingBackend>(
    canvas: &Canvas<'_, DB>,
    frame: Rect,
    scale: Scale,
    lanes: &[Lane<'_>],
    on_axis: &[Phase],
    whole: impl Fn(&Tick<'_>) -> f64,
    part: impl Fn(&lanebench_result::LagSample) -> f64,
) -> Result<(), ChartError> {
    let thin = one_each(lanes);
    for lane in lanes {
        let color = style::lane(lane.index);
        for (name, from, _) in phases(&lane.ticks) {
            let Some(phase) = on_axis.iter().find(|p| p.name == name) else {
                continue;
            };
            let at = |t_ms: f64, value: f64| -> Point {
                let x = phase.left + (t_ms - from) / phase.length_ms * (phase.right - phase.left);
                (x.clamp(phase.left, phase.right), y_at(frame, scale, value))
            };
            let ticks = || lane.ticks.iter().filter(|t| t.phase == name);
            if thin && lane.configuration.partitions > 1 {
                for partition in 0..lane.configuration.partitions {
                    let line: Vec<Point> = ticks()
                        .filter_map(|t| {
                            let sample = t.samples.iter().find(|s| s.partition == partition)?;
                            Some(at(t.t_ms, part(sample)))
                        })
                        .collect();
                    canvas.line(&line, color, 0.5, 1.0)?;
                }
            }
            let line: Vec<Point> = ticks().map(|t| at(t.t_ms, whole(t))).collect();
            canvas.line(&line, color, 0.95, 3.5)?;
        }
    }
    Ok(())
}

/// Seconds since the start of each phase.
fn seconds<DB: DrawingBackend>(canvas: &Canvas<'_, DB>, y: f64, on_axis: &[Phase]) -> Result<(), ChartError> {
    for phase in on_axis {
        let width = phase.right - phase.left;
        let scale = Scale::Linear { max: phase.length_ms / 1000.0 };
        let each = if canvas.is_wide() { 110.0 } else { 50.0 };
        let ticks = (width / each).floor().max(1.0) as usize;
        for value in scale.ticks(ticks) {
            let x = phase.left + scale.part(value) * width;
            canvas.text(&tick(value), (x, y), style::text(20.0).grey().centred())?;
        }
    }
    Ok(())
}
