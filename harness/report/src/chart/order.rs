//! `order.png`: the evidence of order with its denominator: pairs checked and violated at each place.

use plotters::backend::DrawingBackend;

use super::axis::{AXIS, Rect, Scale, axis_name, grid_x, x_at};
use super::canvas::Canvas;
use super::plane::{Heading, Layout, Plane};
use super::{Area, ChartError, NO_DATA, no_data, style};
use crate::units::{count, counted, tick};
use crate::words;
use lanebench_result::{Configuration, OrderCount, RunResult};

/// The places in the order in which an event passes them.
const PLACES: [&str; 3] = ["log", "consumer", "row"];

/// What stands above the chart.
pub fn heading(result: &RunResult) -> Heading {
    let worst = words::worst_place(&words::totals(words::all_trials(result)));
    let up_to = if worst.violations == 0 { "" } else { "up to " };
    Heading {
        title: format!(
            "Order per key: {up_to}{} in {} adjacent pairs",
            counted(worst.violations, "violation", "violations"),
            count(worst.pairs)
        ),
        subtitle: "Adjacent events of one order, compared at each place, all rounds. Grey: pairs checked. Red: pairs \
                   in the wrong order."
            .into(),
    }
}

/// The height it asks for.
pub fn height(result: &RunResult, layout: Layout) -> f64 {
    if result.configurations.iter().flat_map(places).all(|(_, c)| c.pairs == 0) {
        return NO_DATA;
    }
    let most = result.configurations.iter().map(|c| places(c).len()).max().unwrap_or(1);
    let rows = most * result.configurations.len().max(1);
    let (each, block) = if layout == Layout::Phone { (48.0, 52.0) } else { (34.0, 24.0) };
    AXIS + 10.0 + rows.max(2) as f64 * each + result.configurations.len() as f64 * block
}

/// Draws the chart. Red stands for violations and nothing else.
///
/// # Errors
/// [`ChartError`] when the font or the backend fails.
pub fn draw<DB: DrawingBackend>(
    area: &Area<DB>,
    result: &RunResult,
    plane: &Plane,
) -> Result<(), ChartError> {
    let canvas = Canvas::new(area, plane)?;
    let top = canvas.heading()?;
    let blocks: Vec<(&Configuration, Vec<(String, OrderCount)>)> =
        result.configurations.iter().map(|c| (c, places(c))).collect();
    let (names, figures) = if canvas.is_wide() { (250.0, 300.0) } else { (8.0, 30.0) };
    let frame =
        Rect::new(canvas.left() + names, top + 10.0, canvas.right() - figures, canvas.bottom() - AXIS);
    let most = blocks.iter().flat_map(|(_, g)| g).map(|(_, c)| c.pairs).max().unwrap_or(0);
    if most == 0 {
        let wide = Rect { left: canvas.left(), right: canvas.right(), ..frame };
        return no_data(&canvas, wide, "no pair of events was checked");
    }
    let scale = Scale::Linear { max: most as f64 };
    grid_x(&canvas, frame, scale, if canvas.is_wide() { 5 } else { 3 }, tick)?;
    axis_name(&canvas, frame, "pairs checked")?;
    let height = frame.height() / blocks.len().max(1) as f64;
    for (i, (configuration, places)) in blocks.iter().enumerate() {
        let top = frame.top + i as f64 * height;
        if i > 0 {
            canvas.line(&[(canvas.left(), top), (canvas.right(), top)], style::GRID, 1.0, 2.0)?;
        }
        let block = Rect { top, bottom: top + height, ..frame };
        if canvas.is_wide() {
            let inset = height * 0.06;
            let block = Rect { top: block.top + inset, bottom: block.bottom - inset, ..block };
            draw_block(&canvas, block, scale, configuration, places)?;
        } else {
            draw_narrow(&canvas, block, scale, configuration, places)?;
        }
    }
    Ok(())
}

/// Pairs and violations by place over all rounds; one line for all places where they were not told apart.
fn places(configuration: &Configuration) -> Vec<(String, OrderCount)> {
    let sum = words::totals(configuration.trials.iter());
    if sum.order_checks.is_empty() {
        let all = OrderCount { pairs: sum.order_pairs_checked, violations: sum.order_violations };
        return vec![("all places".into(), all)];
    }
    let mut places: Vec<(String, OrderCount)> = sum.order_checks.into_iter().collect();
    places.sort_by_key(|(name, _)| PLACES.iter().position(|g| g == name).unwrap_or(PLACES.len()));
    places
}

/// Name at the left, places beside it, figures at the end of the bars.
fn draw_block<DB: DrawingBackend>(
    canvas: &Canvas<'_, DB>,
    block: Rect,
    scale: Scale,
    configuration: &Configuration,
    places: &[(String, OrderCount)],
) -> Result<(), ChartError> {
    let row = block.height() / places.len() as f64;
    let size = (row * 0.62).clamp(11.0, 25.0);
    let look = style::text(28.0_f64.min(block.height() * 0.7)).bold();
    let name = canvas.fitted(&configuration.name, look, block.left - canvas.left() - 120.0)?;
    canvas.text(&name, (canvas.left(), block.centre().1), look)?;
    if configuration.trials.is_empty() {
        return canvas.text("no trial", (block.left + 14.0, block.centre().1), style::text(size).grey());
    }
    for (i, (place, pairs)) in places.iter().enumerate() {
        let middle = block.top + (i as f64 + 0.5) * row;
        let half = (row * 0.32).min(24.0);
        canvas.text(place, (block.left - 16.0, middle), style::text(size).right())?;
        let end = bar(canvas, Rect { top: middle - half, bottom: middle + half, ..block }, scale, *pairs)?;
        let look = looks(*pairs, size);
        let label = canvas.fitted(&figure(*pairs), look, canvas.right() - end - 14.0)?;
        canvas.text(&label, (end + 14.0, middle), look)?;
    }
    Ok(())
}

/// Each place a line of text above its bar.
fn draw_narrow<DB: DrawingBackend>(
    canvas: &Canvas<'_, DB>,
    block: Rect,
    scale: Scale,
    configuration: &Configuration,
    places: &[(String, OrderCount)],
) -> Result<(), ChartError> {
    let look = style::text(24.0).bold();
    let room = canvas.right() - block.left;
    let name = canvas.fitted(&configuration.name, look, room)?;
    canvas.text(&name, (block.left, block.top + 24.0), look)?;
    let top = block.top + 42.0;
    if configuration.trials.is_empty() {
        return canvas.text("no trial", (block.left, top + 14.0), style::text(20.0).grey());
    }
    let row = (block.bottom - 4.0 - top) / places.len() as f64;
    for (i, (place, pairs)) in places.iter().enumerate() {
        let top = top + i as f64 * row;
        let look = looks(*pairs, 20.0);
        let text = canvas.fitted(&format!("{place}: {}", figure(*pairs)), look, room)?;
        canvas.label(&text, (block.left, top + 12.0), look)?;
        bar(canvas, Rect { top: top + row * 0.56, bottom: top + row * 0.86, ..block }, scale, *pairs)?;
    }
    Ok(())
}

/// The pairs checked and, in red, those in the wrong order. Returns where the bar ends.
fn bar<DB: DrawingBackend>(
    canvas: &Canvas<'_, DB>,
    row: Rect,
    scale: Scale,
    pairs: OrderCount,
) -> Result<f64, ChartError> {
    let end = x_at(row, scale, pairs.pairs as f64);
    canvas.rect(Rect { right: end, ..row }, style::NEUTRAL)?;
    if pairs.violations == 0 {
        return Ok(end);
    }
    // A handful in a million would be thinner than a hair: never under eight units.
    let red = x_at(row, scale, pairs.violations as f64).max(row.left + 8.0);
    canvas.rect(Rect { right: red, ..row }, style::WRONG)?;
    Ok(end.max(red))
}

fn figure(pairs: OrderCount) -> String {
    if pairs.pairs == 0 {
        "nothing checked".to_owned()
    } else {
        format!("{} of {}", count(pairs.violations), count(pairs.pairs))
    }
}

fn looks(pairs: OrderCount, size: f64) -> style::Text {
    if pairs.violations > 0 { style::text(size).bold().color(style::WRONG) } else { style::text(size) }
}
