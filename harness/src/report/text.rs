//! What the terminal shows at the end of a run: verdict, table, warnings, where the report is. Fits 80 columns.

use std::path::Path;

use comfy_table::{Cell as TableCell, CellAlignment, ContentArrangement, Table, presets};

use crate::record::RunResult;
use crate::report::table::{self, Row};
use crate::report::words;

/// The width that everything is kept to.
pub const WIDTH: usize = 80;

/// The whole text, ending in a newline; `report` is where the report was written, if it was.
pub fn render(result: &RunResult, report: Option<&Path>) -> String {
    let mut out = wrap(&words::headline(result).text, "");
    out.push('\n');
    out.push_str(&main_table(&table::rows(result)));
    out.push('\n');
    out.push_str(&wrap(
        &format!(
            "Below each value: its range, {}. Lag: peak of the surge, in records.",
            words::range_note(result)
        ),
        "",
    ));
    if !result.warnings.is_empty() {
        out.push('\n');
        for w in &result.warnings {
            out.push_str(&wrap(&format!("warning ({}): {}", w.code, w.message), "  "));
        }
    }
    if let Some(report) = report {
        // A path is never wrapped, so that it can be copied.
        out.push_str(&format!("\nreport: {}\n", report.display()));
    }
    out
}

fn main_table(rows: &[Row]) -> String {
    // A gap of two where it fits, of one where the numbers are long; only beyond that are cells wrapped.
    let roomy = lay_out(rows, 2, false);
    if fits(&roomy) {
        return roomy;
    }
    let tight = lay_out(rows, 1, false);
    if fits(&tight) { tight } else { lay_out(rows, 1, true) }
}

fn lay_out(rows: &[Row], gap: u16, squeeze: bool) -> String {
    let mut table = Table::new();
    table.load_style(presets::NOTHING);
    if squeeze {
        table.set_content_arrangement(ContentArrangement::Dynamic).set_width(WIDTH as u16);
    } else {
        table.set_content_arrangement(ContentArrangement::Disabled);
    }
    table.set_header([
        "\nconfig",
        "\nevents/s",
        "\nratio",
        "response\np50",
        "response\np99",
        "peak\nlag",
        "order\nviolations",
        "\nlost",
        "held\nback by",
    ]);
    for row in rows {
        table.add_row(
            [
                row.name.clone(),
                row.throughput.stacked(),
                row.ratio.stacked(),
                row.p50.value.clone(),
                row.p99.value.clone(),
                row.peak_lag.value.clone(),
                row.order.stacked(),
                row.lost.stacked(),
                row.bottleneck.stacked(),
            ]
            .map(TableCell::new),
        );
    }
    let last = table.column_count().saturating_sub(1);
    for (i, column) in table.column_iter_mut().enumerate() {
        column.set_padding((0, if i == last { 0 } else { gap }));
        if i > 0 && i < last {
            column.set_cell_alignment(CellAlignment::Right);
        }
    }
    let lines: Vec<String> = table.lines().map(|l| l.trim_end().to_owned()).collect();
    lines.join("\n") + "\n"
}

fn fits(text: &str) -> bool {
    text.lines().all(|l| l.chars().count() <= WIDTH)
}

/// Breaks text between words so that it fits; later lines start with `indent`.
fn wrap(text: &str, indent: &str) -> String {
    let mut out = String::new();
    let mut line = String::new();
    for word in text.split_whitespace() {
        if !line.trim().is_empty() && line.chars().count() + 1 + word.chars().count() > WIDTH {
            out.push_str(&line);
            out.push('\n');
            line = indent.to_owned();
            line.push_str(word);
        } else {
            if !line.is_empty() {
                line.push(' ');
            }
            line.push_str(word);
        }
    }
    out.push_str(&line);
    out.push('\n');
    out
}
