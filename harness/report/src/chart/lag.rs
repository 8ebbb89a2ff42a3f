//! `lag.png`: lag over time, in records and in time, each phase from its own start so that configurations line up.

use plotters::backend::DrawingBackend;

use super::axis::{AXIS, Rect, Scale, axis_name, grid_y, y_at};
use super::canvas::{Canvas, Point};
use super::plane::{Heading, Layout, Plane};
use super::ticks::{Tick, ticks};
use super::{Area, ChartError, NO_DATA, legend, no_data, style};
use crate::units::{count, duration, number, tick};
use lanebench_result::{Configuration, PhaseKind, RunResult, Trial};

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
    phases: Vec<Sampled<'a>>,
}

impl<'a> Lane<'a> {
    fn ticks(&self) -> impl Iterator<Item = &Tick<'a>> {
        self.phases.iter().flat_map(|phase| &phase.ticks)
    }
}

/// A phase of a trial with its samples.
struct Sampled<'a> {
    name: &'a str,
    ticks: Vec<Tick<'a>>,
}

/// One phase on the axis: all lanes share its start, the longest sets its width.
struct OnAxis {
    name: String,
    kind: PhaseKind,
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
            "Bold: all partitions, in the round of median sustained capacity.{thin} Offsets are committed every {0} ms, so lag \
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

/// Draws the chart: the trial of median sustained capacity of each configuration.
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
    let look = style::text(if canvas.is_wide() { 22.0 } else { 17.0 }).bold();
    let on_axis = lay_out(&lanes, left, right, |name| canvas.width_of(name, look).unwrap_or_default());
    for phase in &on_axis {
        let middle = f64::midpoint(phase.left, phase.right);
        let name = canvas.fitted(&phase.name, look, phase.right - phase.left + GAP)?;
        canvas.text(&name, (middle, upper.top - 44.0), look.centred())?;
    }
    let most = lanes.iter().flat_map(Lane::ticks).map(Tick::records).max().unwrap_or(0).max(0) as f64;
    let records = Scale::linear(most.max(1.0), 5);
    panel(&canvas, upper, &on_axis, result)?;
    grid_y(&canvas, upper, records, 5, tick)?;
    canvas.text("lag in records", (canvas.left(), upper.top - 18.0), style::text(20.0).bold())?;
    series(&canvas, upper, records, &lanes, &on_axis, |t| t.records() as f64, |s| s.records.max(0) as f64)?;

    let longest = lanes.iter().flat_map(Lane::ticks).map(Tick::ns).max().unwrap_or(0) as f64;
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

/// The trial of median sustained capacity among those that passed and were sampled; where none passed, the first sampled.
fn lane(index: usize, configuration: &Configuration) -> Option<Lane<'_>> {
    // Of the rounds that have a surge, if any has: it is what lag is about.
    let with_surge = configuration.trials.iter().any(|t| t.phase(PhaseKind::Surge).is_some());
    let sampled = configuration.trials.iter().filter(|t| {
        let some = t.phases.iter().any(|phase| !phase.lag.series.is_empty());
        some && (!with_surge || t.phase(PhaseKind::Surge).is_some())
    });
    let mut passed: Vec<&Trial> = sampled.clone().filter(|t| t.verification.passed).collect();
    passed.sort_by(|a, b| throughput(a).total_cmp(&throughput(b)));
    let median = passed.len().checked_sub(1).map(|last| passed[last / 2]);
    let trial = median.or_else(|| sampled.clone().next())?;
    let phases = trial.phases.iter().filter(|phase| !phase.lag.series.is_empty());
    let phases = phases.map(|phase| Sampled { name: &phase.name, ticks: ticks(&phase.lag) }).collect();
    Some(Lane { index, configuration, trial, phases })
}

/// What a trial sustained; 0 where it was not measured.
fn throughput(trial: &Trial) -> f64 {
    trial.phase(PhaseKind::Sustained).map_or(0.0, |phase| phase.throughput_per_s)
}

fn key(lane: &Lane<'_>, wide: bool) -> String {
    let void = if lane.trial.verification.passed { "" } else { ", void" };
    let peak = match lane.trial.phase(PhaseKind::Surge) {
        Some(s) => format!("peak {} records, {}", count(s.lag.max_records), duration(s.lag.max_ns as f64)),
        None => "no surge".into(),
    };
    let name = &lane.configuration.name;
    if wide {
        format!("{name} (round {}{void}): {peak}", lane.trial.round)
    } else {
        format!("{name}{void}: {peak}")
    }
}

/// Gives each phase the room that its name needs, and shares what is left out by their length.
fn lay_out(lanes: &[Lane<'_>], left: f64, right: f64, width_of: impl Fn(&str) -> f64) -> Vec<OnAxis> {
    let mut lengths: Vec<(String, PhaseKind, f64)> = Vec::new();
    for (lane, sampled) in lanes.iter().flat_map(|lane| lane.phases.iter().map(move |phase| (lane, phase))) {
        let last = sampled.ticks.last().map_or(0.0, |tick| tick.t_ms);
        let kind = lane.trial.phases.iter().find(|p| p.name == sampled.name).map(|p| p.kind);
        match lengths.iter_mut().find(|(name, _, _)| name == sampled.name) {
            Some((_, _, length)) => *length = length.max(last),
            None => lengths.push((sampled.name.to_owned(), kind.unwrap_or(PhaseKind::Drain), last)),
        }
    }
    let total: f64 = lengths.iter().map(|(_, _, l)| l).sum::<f64>().max(1.0);
    let room = right - left - GAP * lengths.len().saturating_sub(1) as f64;
    let most = room / lengths.len().max(1) as f64;
    let named: Vec<f64> = lengths.iter().map(|(name, _, _)| width_of(name).min(most)).collect();
    let rest = (room - named.iter().sum::<f64>()).max(0.0);
    let mut at = left;
    lengths
        .into_iter()
        .zip(named)
        .map(|((name, kind, length_ms), width)| {
            let right = at + width + rest * length_ms / total;
            let phase = OnAxis { name, kind, length_ms: length_ms.max(1.0), left: at, right };
            at = phase.right + GAP;
            phase
        })
        .collect()
}

/// The phases as shades, the peak of the surge one step darker.
fn panel<DB: DrawingBackend>(
    canvas: &Canvas<'_, DB>,
    frame: Rect,
    on_axis: &[OnAxis],
    result: &RunResult,
) -> Result<(), ChartError> {
    for phase in on_axis {
        canvas.rect(Rect { left: phase.left, right: phase.right, ..frame }, style::PALE)?;
        if let (Some(surge), PhaseKind::Surge) = (&result.warm_up.rates.surge, phase.kind) {
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
    on_axis: &[OnAxis],
    whole: impl Fn(&Tick<'_>) -> f64,
    part: impl Fn(&lanebench_result::LagSample) -> f64,
) -> Result<(), ChartError> {
    let thin = one_each(lanes);
    for lane in lanes {
        let color = style::lane(lane.index);
        for sampled in &lane.phases {
            let Some(phase) = on_axis.iter().find(|p| p.name == sampled.name) else {
                continue;
            };
            let at = |t_ms: f64, value: f64| -> Point {
                let x = phase.left + t_ms / phase.length_ms * (phase.right - phase.left);
                (x.clamp(phase.left, phase.right), y_at(frame, scale, value))
            };
            let ticks = || sampled.ticks.iter();
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
fn seconds<DB: DrawingBackend>(
    canvas: &Canvas<'_, DB>,
    y: f64,
    on_axis: &[OnAxis],
) -> Result<(), ChartError> {
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
