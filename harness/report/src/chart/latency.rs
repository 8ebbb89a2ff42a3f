//! `latency.png`: response time of the steady phase as percentile curves, beside it each stage's p50 and p99.

use std::collections::BTreeSet;

use plotters::backend::DrawingBackend;

use super::axis::{AXIS, Rect, Scale, axis_name, grid_x, grid_y, spread_out, x_at, y_at};
use super::canvas::{Canvas, Point};
use super::merged::Merged;
use super::plane::{Heading, Layout, Plane};
use super::{Area, ChartError, NO_DATA, legend, no_data, style};
use crate::units::{counted, duration, duration_tick, number, range};
use lanebench_result::{
    Configuration, Distribution, GrowthVerdict, Phase, PhaseKind, RunResult, Stages, counting_rounds,
};

/// The percentiles that get a tick, with their names.
const TICKS: [(f64, &str); 7] = [
    (0.5, "p50"),
    (0.75, "p75"),
    (0.9, "p90"),
    (0.95, "p95"),
    (0.99, "p99"),
    (0.999, "p99.9"),
    (0.9999, "p99.99"),
];

/// A stage's name, what it lasts from and to, and where it is in the record.
type Stage = (&'static str, &'static str, fn(&Stages) -> &Distribution);

const STAGES: [Stage; 5] = [
    ("send delay", "from due to sent", |s| &s.send_delay),
    ("ack", "from sent to acked", |s| &s.ack),
    ("wait", "from acked to fetched", |s| &s.wait),
    ("store", "from fetched to stored", |s| &s.store),
    ("view", "from stored to visible", |s| &s.view),
];

/// The steady phases of one configuration that count.
struct Lane<'a> {
    index: usize,
    configuration: &'a Configuration,
    phases: Vec<&'a Phase>,
    /// Trials whose steady phase is drawn nowhere, since a check failed in their round.
    void: usize,
    merged: Merged,
}

impl<'a> Lane<'a> {
    fn responses(&self) -> impl Iterator<Item = &'a Distribution> {
        self.phases.iter().filter_map(|phase| phase.response_time_ns.as_ref())
    }
}

/// What stands above the chart.
pub fn heading(result: &RunResult) -> Heading {
    let lanes = lanes(result);
    let steady = &result.warm_up.rates;
    let title = match Some(steady.steady_per_s).filter(|rate| *rate > 0.0 && steady.steady_s > 0.0) {
        None => "Response time of the steady phase".to_owned(),
        Some(rate) => format!("Response time at {} events/s, the same for all", number(rate)),
    };
    let void: usize = lanes.iter().map(|lane| lane.void).sum();
    let left_out = match void {
        0 => String::new(),
        n => format!(
            " {} left out.",
            counted(n as u64, "trial of a void round is", "trials of void rounds are")
        ),
    };
    let growing: Vec<&str> = lanes
        .iter()
        .filter(|l| l.configuration.summary.grows)
        .map(|l| l.configuration.name.as_str())
        .collect();
    let grows = match growing.as_slice() {
        [] => String::new(),
        names => {
            format!(" The backlog of {} grows: its curve says how long the phase was.", names.join(", "))
        }
    };
    let several = if lanes.iter().any(|l| l.phases.len() > 1) {
        "Bold: all rounds merged. Thin: single rounds. "
    } else {
        ""
    };
    Heading {
        title,
        subtitle: format!(
            "From the moment an event was due until its status was visible. {several}A curve ends where fewer than \
             30 events lie beyond.{left_out}{grows}"
        ),
    }
}

/// The height it asks for: curve and stages beside each other, or one below the other.
pub fn height(result: &RunResult, layout: Layout) -> f64 {
    if lanes(result).iter().all(|l| l.merged.count() == 0) {
        return NO_DATA;
    }
    let stages = STAGES.len() as f64 * (result.configurations.len() as f64 * 26.0 + 14.0);
    let entries = result.configurations.len() as f64 * 32.0;
    match layout {
        Layout::Phone => 400.0 + entries + 110.0 + AXIS + stages + STAGES.len() as f64 * 26.0,
        _ => (120.0 + AXIS + stages).max(560.0),
    }
}

/// Draws the chart.
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
    if lanes.iter().all(|l| l.merged.count() == 0) {
        let frame = Rect::new(canvas.left(), top + 20.0, canvas.right(), canvas.bottom() - 40.0);
        return no_data(&canvas, frame, "no steady phase counts");
    }
    let room = canvas.right() - canvas.left();
    let used = legend::draw(&canvas, &entries(&lanes), (canvas.left(), top + 16.0), room)?;
    let top = top + used + 44.0;
    let bottom = canvas.bottom() - AXIS;
    let left = canvas.left() + 84.0;
    if canvas.is_wide() {
        let half = canvas.left() + room * 0.45;
        let gutter = gutter(&canvas, &lanes)?.max(96.0);
        curves(&canvas, Rect::new(left, top, half - gutter, bottom), &lanes)?;
        let from = half + 30.0;
        stages(&canvas, Rect::new(from + 196.0, top, canvas.right() - 205.0, bottom), from, &lanes)
    } else {
        let upper = top + 310.0;
        curves(&canvas, Rect::new(left, top, canvas.right() - gutter(&canvas, &lanes)?, upper), &lanes)?;
        let below = Rect::new(canvas.left() + 28.0, upper + AXIS + 66.0, canvas.right() - 205.0, bottom);
        stages(&canvas, below, canvas.left(), &lanes)
    }
}

fn lanes(result: &RunResult) -> Vec<Lane<'_>> {
    let counting = counting_rounds(&result.configurations);
    result.configurations.iter().enumerate().map(|(i, c)| lane(i, c, &counting)).collect()
}

fn lane<'a>(index: usize, configuration: &'a Configuration, counting: &BTreeSet<u32>) -> Lane<'a> {
    let grew = |phase: &&Phase| phase.grows.is_some_and(|growth| growth.verdict == GrowthVerdict::Grows);
    let count = configuration.trials.iter().filter(|trial| counting.contains(&trial.round));
    // Where most rounds keep up, one that grew says nothing of the configuration.
    let quoted = |phase: &&Phase| configuration.summary.grows || !grew(phase);
    let phases: Vec<&Phase> =
        count.clone().filter_map(|t| t.phase(PhaseKind::Steady)).filter(quoted).collect();
    let merged = Merged::of(phases.iter().filter_map(|phase| phase.response_time_ns.as_ref()));
    let void = configuration.trials.len() - count.count();
    Lane { index, configuration, phases, void, merged }
}

fn entries(lanes: &[Lane<'_>]) -> Vec<(plotters::style::RGBColor, String)> {
    lanes
        .iter()
        .map(|l| {
            let rounds = counted(l.phases.len() as u64, "round", "rounds");
            let grows = if l.configuration.summary.grows { ", grows" } else { "" };
            let samples = match l.merged.count() {
                0 => "nothing that counts".into(),
                n => format!("{} in {rounds}{grows}", counted(n, "event", "events")),
            };
            (style::lane(l.index), format!("{}: {samples}", l.configuration.name))
        })
        .collect()
}

/// How far to the right a quantile lies: each nine as wide as the last.
fn nines(quantile: f64) -> f64 {
    -(1.0 - quantile).log10()
}

/// From the end of a curve to the value beside it.
const BESIDE: f64 = 12.0;

fn end_value() -> style::Text {
    style::text(20.0).bold()
}

/// The room right of the curves for the values at their ends.
fn gutter<DB: DrawingBackend>(canvas: &Canvas<'_, DB>, lanes: &[Lane<'_>]) -> Result<f64, ChartError> {
    let mut widest = 0.0_f64;
    for (_, ns) in lanes.iter().filter_map(|l| points(&l.merged).last().copied()) {
        widest = widest.max(canvas.width_of(&duration(ns), end_value())?);
    }
    Ok(BESIDE + widest)
}

fn curves<DB: DrawingBackend>(
    canvas: &Canvas<'_, DB>,
    frame: Rect,
    lanes: &[Lane<'_>],
) -> Result<(), ChartError> {
    let title = (frame.left - 84.0, frame.top - 24.0);
    canvas.text("response time by percentile", title, style::text(22.0).bold())?;
    let drawn: Vec<(&Lane<'_>, Vec<(f64, f64)>)> =
        lanes.iter().map(|l| (l, points(&l.merged))).filter(|(_, p)| !p.is_empty()).collect();
    let rounds: Vec<(usize, Vec<(f64, f64)>)> = lanes
        .iter()
        .filter(|l| l.phases.len() > 1)
        .flat_map(|l| l.responses().map(move |response| (l.index, points(&Merged::of([response])))))
        .collect();
    if drawn.is_empty() {
        return no_data(canvas, frame, "fewer than 60 events");
    }
    let all = || drawn.iter().flat_map(|(_, p)| p).chain(rounds.iter().flat_map(|(_, p)| p));
    let (low, high) =
        (all().map(|p| p.1).fold(f64::INFINITY, f64::min).max(1.0), all().map(|p| p.1).fold(1.0, f64::max));
    let scale = Scale::Log { min: low / 1.15, max: high * 1.25 };
    grid_y(canvas, frame, scale, 6, duration_tick)?;
    // As far as the samples carry, and p99 at least, so that pages of small runs look alike.
    let (from, to) = (nines(0.5), nines(all().map(|p| p.0).fold(0.99, f64::max)));
    let x = |quantile: f64| frame.left + (nines(quantile) - from) / (to - from) * frame.width();
    let mut free_from = f64::NEG_INFINITY;
    for (quantile, name) in TICKS.into_iter().filter(|(quantile, _)| nines(*quantile) <= to + 0.01) {
        let (at, look) = (x(quantile), style::text(20.0).grey().centred());
        canvas.line(&[(at, frame.top), (at, frame.bottom)], style::GRID, 1.0, 1.0)?;
        let half = canvas.width_of(name, look)? / 2.0;
        if at - half > free_from {
            canvas.text(name, (at, frame.bottom + 20.0), look)?;
            free_from = at + half + 4.0;
        }
    }
    axis_name(canvas, frame, "percentile of events")?;
    let path = |points: &[(f64, f64)]| -> Vec<Point> {
        points.iter().map(|&(q, ns)| (x(q), y_at(frame, scale, ns))).collect()
    };
    for (index, points) in &rounds {
        canvas.line(&path(points), style::lane(*index), 0.45, 1.0)?;
    }
    let mut ends = Vec::new();
    for (lane, points) in &drawn {
        let path = path(points);
        canvas.line(&path, style::lane(lane.index), 1.0, 4.0)?;
        if let (Some(&end), Some(&(_, ns))) = (path.last(), points.last()) {
            canvas.dot(end, 5.0, style::lane(lane.index))?;
            ends.push((end, duration(ns)));
        }
    }
    let wanted: Vec<f64> = ends.iter().map(|(end, _)| end.1).collect();
    let heights = spread_out(&wanted, 26.0, frame.top + 10.0, frame.bottom - 10.0);
    for ((end, value), y) in ends.iter().zip(heights) {
        canvas.label(value, (end.0 + BESIDE, y), end_value())?;
    }
    Ok(())
}

/// The curve from p50 to where the samples thin out, at most p99.99.
fn points(merged: &Merged) -> Vec<(f64, f64)> {
    const STEPS: usize = 160;
    let last = merged.furthest().min(0.9999);
    if last < 0.5 {
        return Vec::new();
    }
    let (from, to) = (nines(0.5), nines(last));
    (0..=STEPS)
        .filter_map(|i| {
            let quantile = 1.0 - 10f64.powf(-(from + (to - from) * i as f64 / STEPS as f64));
            Some((quantile, merged.at(quantile)? as f64))
        })
        .collect()
}

/// p50 and, where there are samples enough, p99 of one stage in one configuration.
type Spread = Option<(f64, Option<f64>)>;

fn spread_of(lane: &Lane<'_>, of: fn(&Stages) -> &Distribution) -> Spread {
    let merged = Merged::of(lane.phases.iter().map(|phase| of(&phase.stages_ns)));
    let p99 = if merged.furthest() >= 0.99 { merged.at(0.99) } else { None };
    Some((merged.at(0.5)? as f64, p99.map(|ns| ns as f64)))
}

/// The stages on one logarithmic axis. Names stand at `names` left of the frame or, where that is narrow, above.
fn stages<DB: DrawingBackend>(
    canvas: &Canvas<'_, DB>,
    frame: Rect,
    names: f64,
    lanes: &[Lane<'_>],
) -> Result<(), ChartError> {
    canvas.text("by stage: dot p50, ring p99", (names, frame.top - 24.0), style::text(22.0).bold())?;
    let spreads: Vec<Vec<Spread>> =
        STAGES.iter().map(|(_, _, of)| lanes.iter().map(|l| spread_of(l, *of)).collect()).collect();
    let values = || spreads.iter().flatten().flatten().flat_map(|(p50, p99)| [*p50, p99.unwrap_or(*p50)]);
    let low = values().fold(f64::INFINITY, f64::min).max(1e3);
    let high = values().fold(low, f64::max);
    if !low.is_finite() {
        return no_data(canvas, Rect { left: names, right: canvas.right(), ..frame }, "no stage was timed");
    }
    // Whole decades, two at least: the axis then needs no more than a handful of labels.
    let min = 10f64.powf(low.log10().floor());
    let scale = Scale::Log { min, max: 10f64.powf(high.log10().ceil()).max(min * 100.0) };
    grid_x(canvas, frame, scale, 4, |ns| if is_decade(ns) { duration_tick(ns) } else { String::new() })?;
    axis_name(canvas, frame, "time in the stage")?;
    let group = frame.height() / STAGES.len() as f64;
    for (i, ((name, between, _), spreads)) in STAGES.iter().zip(&spreads).enumerate() {
        let mut area =
            Rect { top: frame.top + i as f64 * group, bottom: frame.top + (i + 1) as f64 * group, ..frame };
        if i > 0 {
            canvas.line(&[(names, area.top), (canvas.right(), area.top)], style::GRID, 1.0, 1.0)?;
        }
        let (bold, grey) = (style::text(22.0).bold(), style::text(19.0).grey());
        if canvas.is_wide() {
            let (_, middle) = area.centre();
            canvas.text(name, (names, middle - 13.0), bold)?;
            canvas.text(between, (names, middle + 15.0), grey)?;
        } else {
            let at = area.top + 16.0;
            canvas.label(name, (names + 6.0, at), bold)?;
            canvas.label(between, (names + 6.0 + canvas.width_of(name, bold)? + 10.0, at), grey)?;
            area.top += 26.0;
        }
        let row = area.height() * 0.9 / lanes.len().max(1) as f64;
        for (lane, spread) in lanes.iter().zip(spreads) {
            let y = area.top + area.height() * 0.05 + (lane.index as f64 + 0.5) * row;
            dumbbell(
                canvas,
                Rect { top: y - row / 2.0, bottom: y + row / 2.0, ..area },
                scale,
                lane.index,
                *spread,
            )?;
        }
    }
    Ok(())
}

/// Whether a value is a power of ten.
fn is_decade(ns: f64) -> bool {
    (ns.log10() - ns.log10().round()).abs() < 1e-9
}

/// One configuration in one stage: p50 and p99, tied together, with their values to the right of the frame.
fn dumbbell<DB: DrawingBackend>(
    canvas: &Canvas<'_, DB>,
    row: Rect,
    scale: Scale,
    index: usize,
    spread: Spread,
) -> Result<(), ChartError> {
    let (color, (_, y)) = (style::lane(index), row.centre());
    let look = style::text((row.height() * 0.85).clamp(10.0, 20.0));
    let at = (row.right + 14.0, y);
    let Some((p50, p99)) = spread else {
        return canvas.text("no data", at, look.grey());
    };
    let radius = (row.height() * 0.3).clamp(3.5, 7.0);
    let from = x_at(row, scale, p50);
    if let Some(p99) = p99 {
        let to = x_at(row, scale, p99);
        canvas.line(&[(from, y), (to, y)], color, 0.6, 3.0)?;
        canvas.ring((to, y), radius, color)?;
    }
    canvas.dot((from, y), radius, color)?;
    let text = p99.map_or_else(|| duration(p50), |p99| range(p50, p99, duration));
    canvas.text(&canvas.fitted(&text, look, canvas.right() - at.0)?, at, look)
}
