//! `latency.png`: response time of the steady phase as percentile curves, beside it the median of each stage.

use plotters::backend::DrawingBackend;

use super::axis::{Rect, Scale, grid_y, spread_out, x_at, y_at};
use super::canvas::{Canvas, Point};
use super::merged::Merged;
use super::{Area, ChartError, legend, no_data, style};
use crate::record::{Configuration, Distribution, RunResult, Stages, Trial};
use crate::report::units::{counted, duration, duration_tick, number, unit_of};

/// The percentiles that get a tick, with their names.
const TICKS: [(f64, &str); 6] =
    [(0.5, "p50"), (0.75, "p75"), (0.9, "p90"), (0.95, "p95"), (0.99, "p99"), (0.999, "p99.9")];

/// A spread of values beyond which the axis is logarithmic.
const LOG_FROM: f64 = 20.0;

/// Room for the labels at the ends of the curves.
const END_LABELS: f64 = 172.0;

/// Room for the names of the stages.
const NAMES: f64 = 232.0;

/// A stage's name, what it lasts from and to, and where it is in the record.
type Stage = (&'static str, &'static str, fn(&Stages) -> &Distribution);

const STAGES: [Stage; 5] = [
    ("slip", "from due to sent", |s| &s.slip),
    ("ack", "from sent to acked", |s| &s.ack),
    ("wait", "from acked to fetched", |s| &s.wait),
    ("store", "from fetched to stored", |s| &s.store),
    ("view", "from stored to visible", |s| &s.view),
];

/// The steady phases of one configuration that count.
struct Lane<'a> {
    index: usize,
    configuration: &'a Configuration,
    trials: Vec<&'a Trial>,
    merged: Merged,
}

/// Draws the chart.
///
/// # Errors
/// [`ChartError`] when the font or the backend fails.
pub fn draw<DB: DrawingBackend>(area: &Area<DB>, result: &RunResult) -> Result<(), ChartError> {
    let canvas = Canvas::new(area)?;
    let lanes: Vec<Lane<'_>> = result.configurations.iter().enumerate().map(|(i, c)| lane(i, c)).collect();
    let mut rates: Vec<f64> = lanes.iter().flat_map(|l| &l.trials).map(|t| t.steady.offered_per_s).collect();
    rates.sort_by(f64::total_cmp);
    rates.dedup();
    let title = match rates.as_slice() {
        [] => "Response time of the steady phase".to_owned(),
        [rate] => format!("Response time at {} events/s, the same for all", number(*rate)),
        [low, .., high] => format!("Response time at {} to {} events/s", number(*low), number(*high)),
    };
    let void: usize = lanes.iter().map(|l| l.configuration.trials.len() - l.trials.len()).sum();
    let left_out = match void {
        0 => String::new(),
        n => format!(" {} left out.", counted(n as u64, "void trial", "void trials")),
    };
    let top = canvas.heading(
        &title,
        &format!(
            "From the moment an event was due until its status was visible. Bold: all rounds merged. Thin: single \
             rounds.{left_out}"
        ),
    )?;
    if lanes.iter().all(|l| l.merged.count() == 0) {
        let frame =
            Rect::new(style::MARGIN, top + 20.0, style::WIDTH - style::MARGIN, style::HEIGHT - style::MARGIN);
        return no_data(&canvas, frame, "no steady phase counts");
    }
    let used = legend::draw(
        &canvas,
        &entries(&lanes),
        (style::MARGIN, top + 16.0),
        style::WIDTH - 2.0 * style::MARGIN,
    )?;
    let top = top + used + 44.0;
    let bottom = style::HEIGHT - 62.0;
    curves(&canvas, Rect::new(style::MARGIN + 88.0, top, 820.0, bottom), &lanes)?;
    stages(&canvas, Rect::new(1250.0, top, style::WIDTH - 140.0, bottom), &lanes)
}

fn lane(index: usize, configuration: &Configuration) -> Lane<'_> {
    let trials: Vec<&Trial> = configuration.trials.iter().filter(|t| t.verification.passed).collect();
    let merged = Merged::of(trials.iter().map(|t| &t.steady.response_time_ns));
    Lane { index, configuration, trials, merged }
}

fn entries(lanes: &[Lane<'_>]) -> Vec<(plotters::style::RGBColor, String)> {
    lanes
        .iter()
        .map(|l| {
            let at = |quantile| match l.merged.at(quantile) {
                Some(ns) if l.merged.furthest() >= quantile => duration(ns as f64),
                _ => "too few".to_owned(),
            };
            let samples = match l.merged.count() {
                0 => "nothing that counts".into(),
                n => format!("p50 {}, p99 {} ({})", at(0.5), at(0.99), counted(n, "event", "events")),
            };
            (style::lane(l.index), format!("{}: {samples}", l.configuration.name))
        })
        .collect()
}

/// How far to the right a quantile lies: each nine as wide as the last.
fn nines(quantile: f64) -> f64 {
    -(1.0 - quantile).log10()
}

fn curves<DB: DrawingBackend>(
    canvas: &Canvas<'_, DB>,
    frame: Rect,
    lanes: &[Lane<'_>],
) -> Result<(), ChartError> {
    canvas.text("percentile curve", (frame.left, frame.top - 24.0), style::text(23.0).bold())?;
    let drawn: Vec<(&Lane<'_>, Vec<(f64, f64)>)> =
        lanes.iter().map(|l| (l, points(&l.merged))).filter(|(_, p)| !p.is_empty()).collect();
    let rounds: Vec<(usize, Vec<(f64, f64)>)> = lanes
        .iter()
        .filter(|l| l.trials.len() > 1)
        .flat_map(|l| {
            l.trials.iter().map(move |t| (l.index, points(&Merged::of([&t.steady.response_time_ns]))))
        })
        .collect();
    if drawn.is_empty() {
        return no_data(canvas, frame, "fewer than 60 events");
    }
    let values = || drawn.iter().flat_map(|(_, p)| p).chain(rounds.iter().flat_map(|(_, p)| p)).map(|p| p.1);
    let (low, high) = (values().fold(f64::INFINITY, f64::min).max(1.0), values().fold(1.0, f64::max));
    let scale = if high / low > LOG_FROM {
        Scale::Log { min: low / 1.15, max: high * 1.25 }
    } else {
        // Ticks in the unit of the axis, so that they are round in it.
        let (_, unit) = unit_of(high);
        match Scale::linear(high * 1.05 / unit, 6) {
            Scale::Linear { max } => Scale::Linear { max: max * unit },
            log => log,
        }
    };
    grid_y(canvas, frame, scale, 6, duration_tick)?;
    let (from, to) = (nines(TICKS[0].0), nines(TICKS[TICKS.len() - 1].0));
    let x = |quantile: f64| frame.left + (nines(quantile) - from) / (to - from) * frame.width();
    for (quantile, name) in TICKS {
        let at = x(quantile);
        canvas.line(&[(at, frame.top), (at, frame.bottom)], style::GRID, 1.0, 1.0)?;
        canvas.text(name, (at, frame.bottom + 22.0), style::text(20.0).grey().centred())?;
    }
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
            ends.push((lane, end, ns));
        }
    }
    let wanted: Vec<f64> = ends.iter().map(|(_, end, _)| end.1).collect();
    let heights = spread_out(&wanted, 26.0, frame.top + 10.0, frame.bottom - 10.0);
    for ((lane, end, ns), y) in ends.iter().zip(heights) {
        let look = style::text(21.0).bold().color(style::lane(lane.index));
        let value = format!(" {}", duration(*ns));
        let room = END_LABELS - canvas.width_of(&value, look)?;
        let name = canvas.fitted(&lane.configuration.name, look, room)?;
        canvas.text(&(name + &value), (end.0 + 14.0, y), look)?;
    }
    Ok(())
}

/// The curve from p50 to where the samples thin out, at most p99.9.
fn points(merged: &Merged) -> Vec<(f64, f64)> {
    const STEPS: usize = 160;
    let last = merged.furthest().min(0.999);
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

fn stages<DB: DrawingBackend>(
    canvas: &Canvas<'_, DB>,
    frame: Rect,
    lanes: &[Lane<'_>],
) -> Result<(), ChartError> {
    canvas.text("median of each stage", (frame.left - NAMES, frame.top - 24.0), style::text(23.0).bold())?;
    let medians: Vec<Vec<Option<f64>>> = STAGES
        .iter()
        .map(|(_, _, of)| {
            let median = |l: &Lane<'_>| Merged::of(l.trials.iter().map(|t| of(&t.steady.stages_ns))).at(0.5);
            lanes.iter().map(|l| median(l).map(|ns| ns as f64)).collect()
        })
        .collect();
    let most = medians.iter().flatten().flatten().copied().fold(0.0, f64::max);
    let scale = Scale::linear(most, 3);
    let group = frame.height() / STAGES.len() as f64;
    for (i, ((name, between, _), medians)) in STAGES.iter().zip(&medians).enumerate() {
        let top = frame.top + i as f64 * group;
        let middle = top + group / 2.0;
        if i > 0 {
            let right = style::WIDTH - style::MARGIN;
            canvas.line(&[(frame.left - NAMES, top), (right, top)], style::GRID, 1.0, 1.0)?;
        }
        canvas.text(name, (frame.left - NAMES, middle - 13.0), style::text(23.0).bold())?;
        canvas.text(between, (frame.left - NAMES, middle + 15.0), style::text(19.0).grey())?;
        let row = group * 0.84 / lanes.len().max(1) as f64;
        for (lane, median) in lanes.iter().zip(medians) {
            let y = top + group * 0.08 + (lane.index as f64 + 0.5) * row;
            let half = (row * 0.36).min(17.0);
            let size = (row * 0.85).clamp(10.0, 21.0);
            let ns = median.unwrap_or(0.0);
            let end = x_at(frame, scale, ns).max(frame.left + 2.0);
            if median.is_some() {
                canvas.rect(Rect::new(frame.left, y - half, end, y + half), style::lane(lane.index))?;
                canvas.text(&duration(ns), (end + 10.0, y), style::text(size))?;
            } else {
                canvas.text("no data", (frame.left + 10.0, y), style::text(size).grey())?;
            }
        }
    }
    canvas.line(&[(frame.left, frame.top), (frame.left, frame.bottom)], style::GREY, 1.0, 1.5)?;
    let note = "Medians do not add up to the whole.";
    canvas.text(note, (frame.left - NAMES, frame.bottom + 22.0), style::text(20.0).grey())
}
