//! `order.png`: the evidence of order with its denominator: pairs checked and violated at each gate.

use plotters::backend::DrawingBackend;

use super::axis::{Rect, Scale, grid_x, x_at};
use super::canvas::Canvas;
use super::{Area, ChartError, no_data, style};
use crate::record::{Configuration, OrderCount, RunResult};
use crate::report::units::{count, counted, tick};
use crate::report::words;

/// The gates in the order in which an event passes them.
const GATES: [&str; 3] = ["log", "consumer", "row"];

/// Draws the chart. Red stands for violations and nothing else.
///
/// # Errors
/// [`ChartError`] when the font or the backend fails.
pub fn draw<DB: DrawingBackend>(area: &Area<DB>, result: &RunResult) -> Result<(), ChartError> {
    let canvas = Canvas::new(area)?;
    let sum = words::totals(words::all_trials(result));
    let title = format!(
        "Order per key: {} in {} checked pairs",
        counted(sum.order_violations, "violation", "violations"),
        count(sum.order_pairs_checked)
    );
    let top = canvas.heading(
        &title,
        "Adjacent events of one order, compared at each gate, all rounds. Grey: pairs checked. Red: pairs in the wrong \
         order.",
    )?;
    let blocks: Vec<(&Configuration, Vec<(String, OrderCount)>)> =
        result.configurations.iter().map(|c| (c, gates(c))).collect();
    let frame = Rect::new(style::MARGIN + 250.0, top + 20.0, style::WIDTH - 360.0, style::HEIGHT - 66.0);
    let most = blocks.iter().flat_map(|(_, g)| g).map(|(_, c)| c.pairs).max().unwrap_or(0);
    if words::all_trials(result).next().is_none() {
        return no_data(
            &canvas,
            Rect { left: style::MARGIN, right: style::WIDTH - style::MARGIN, ..frame },
            "no trial was finished",
        );
    }
    let scale = Scale::Linear { max: most.max(1) as f64 };
    grid_x(&canvas, frame, scale, 5, tick)?;
    canvas.text(
        "pairs checked",
        (frame.left - 16.0, frame.bottom + 20.0),
        style::text(20.0).grey().right(),
    )?;
    let height = frame.height() / blocks.len().max(1) as f64;
    for (i, (configuration, gates)) in blocks.iter().enumerate() {
        let top = frame.top + i as f64 * height;
        if i > 0 {
            let right = style::WIDTH - style::MARGIN;
            canvas.line(&[(style::MARGIN, top), (right, top)], style::GRID, 1.0, 2.0)?;
        }
        let inset = height * 0.06;
        let block = Rect { top: top + inset, bottom: top + height - inset, ..frame };
        draw_block(&canvas, block, scale, configuration, gates)?;
    }
    Ok(())
}

/// Pairs and violations by gate over all rounds; one line for all gates where they were not told apart.
fn gates(configuration: &Configuration) -> Vec<(String, OrderCount)> {
    let sum = words::totals(configuration.trials.iter());
    if sum.order_by_gate.is_empty() {
        let all = OrderCount { pairs: sum.order_pairs_checked, violations: sum.order_violations };
        return vec![("all gates".into(), all)];
    }
    let mut gates: Vec<(String, OrderCount)> = sum.order_by_gate.into_iter().collect();
    gates.sort_by_key(|(name, _)| GATES.iter().position(|g| g == name).unwrap_or(GATES.len()));
    gates
}

fn draw_block<DB: DrawingBackend>(
    canvas: &Canvas<'_, DB>,
    block: Rect,
    scale: Scale,
    configuration: &Configuration,
    gates: &[(String, OrderCount)],
) -> Result<(), ChartError> {
    let row = block.height() / gates.len() as f64;
    let size = (row * 0.62).clamp(11.0, 25.0);
    let name = canvas.fitted(&configuration.name, style::text(28.0).bold(), 130.0)?;
    canvas.text(
        &name,
        (style::MARGIN, block.centre().1),
        style::text(28.0_f64.min(block.height() * 0.7)).bold(),
    )?;
    if configuration.trials.is_empty() {
        return canvas.text("no trial", (block.left + 14.0, block.centre().1), style::text(size).grey());
    }
    for (i, (gate, pairs)) in gates.iter().enumerate() {
        let middle = block.top + (i as f64 + 0.5) * row;
        let half = (row * 0.32).min(24.0);
        canvas.text(gate, (block.left - 16.0, middle), style::text(size).right())?;
        let end = x_at(block, scale, pairs.pairs as f64);
        let bar = Rect { left: block.left, right: end, top: middle - half, bottom: middle + half };
        canvas.rect(bar, style::NEUTRAL)?;
        let mut label_at = end;
        if pairs.violations > 0 {
            // A handful in a million would be thinner than a hair: never under eight units.
            let red = x_at(block, scale, pairs.violations as f64).max(block.left + 8.0);
            canvas.rect(Rect { right: red, ..bar }, style::WRONG)?;
            label_at = label_at.max(red);
        }
        let label = if pairs.pairs == 0 {
            "nothing checked".to_owned()
        } else {
            format!("{} of {}", count(pairs.violations), count(pairs.pairs))
        };
        let look = if pairs.violations > 0 {
            style::text(size).bold().color(style::WRONG)
        } else {
            style::text(size)
        };
        let room = style::WIDTH - style::MARGIN / 2.0 - label_at - 14.0;
        let label = canvas.fitted(&label, look, room)?;
        canvas.text(&label, (label_at + 14.0, middle), look)?;
    }
    Ok(())
}
