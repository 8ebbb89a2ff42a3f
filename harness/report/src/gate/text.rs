//! The terminal's text: verdict, table, what it rests on, warnings, how to repeat it. Fits 80 columns.

use std::path::Path;

use comfy_table::{Cell, CellAlignment, ContentArrangement, Table, presets};

use super::table::{Row, rows};
use super::words;
use crate::text::{WIDTH, plain, warnings, wrap};
use lanebench_result::gate::GateRecord;

/// The whole text, ending in a newline; `report` is where it was written as Markdown, if it was.
pub fn render(record: &GateRecord, report: Option<&Path>) -> String {
    let mut out = wrap(&words::headline(record), "");
    if words::has_table(record) {
        out.push('\n');
        out.push_str(&table(&rows(record)));
        out.push('\n');
        out.push_str(&wrap(&words::table_note(record), ""));
    }
    out.push('\n');
    for said in words::rests_on(record) {
        out.push_str(&wrap(&said, ""));
    }
    out.push_str(&warnings(&record.warnings));
    // Neither is wrapped, so that both can be copied.
    out.push_str(&format!("\nrepeat: {}\n", record.command_line));
    if let Some(report) = report {
        out.push_str(&format!("report: {}\n", report.display()));
    }
    plain(out)
}

fn table(rows: &[Row]) -> String {
    let mut table = Table::new();
    table.load_style(presets::NOTHING);
    table.set_content_arrangement(ContentArrangement::Dynamic).set_width(WIDTH as u16);
    table.set_header(["metric", "baseline", "candidate", "change", "tolerated", "verdict"]);
    for row in rows {
        let change = if row.bounds.is_empty() {
            row.change.clone()
        } else {
            format!("{}\n{}", row.change, row.bounds)
        };
        let verdict = row.verdict.replace(": ", ":\n").replace(" (", "\n(");
        let cells =
            [row.metric, &row.baseline, &row.candidate, &change, &row.tolerance, &verdict].map(Cell::new);
        table.add_row(cells);
    }
    let last = table.column_count().saturating_sub(1);
    for (i, column) in table.column_iter_mut().enumerate() {
        column.set_padding((0, if i == last { 0 } else { 2 }));
        if i > 0 && i < last {
            column.set_cell_alignment(CellAlignment::Right);
        }
    }
    let lines: Vec<String> = table.lines().map(|l| l.trim_end().to_owned()).collect();
    lines.join("\n") + "\n"
}
