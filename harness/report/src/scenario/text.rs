//! The terminal's text: whether truth held, and of each scenario what happened to whom. Fits 80 columns.

use std::path::Path;

use comfy_table::{CellAlignment, ContentArrangement, Table, presets};
use lanebench_result::scenario::{OfferedScenario, ScenarioRecord, ScenarioRun};

use super::headline::headline;
use super::rows::rows;
use super::words;
use crate::text::{WIDTH, plain, wrap};
use crate::words::demonstration_of;

/// Of the table's values, those that a terminal has room for, and how they are called there.
const COLUMNS: [(usize, &str); 5] =
    [(0, "silent, s"), (2, "reassigned"), (3, "drained"), (4, "redelivered"), (9, "truth")];

/// The whole text, ending in a newline; `report` is the page, if it was written.
pub fn render(record: &ScenarioRecord, report: Option<&Path>) -> String {
    let mut out = String::new();
    if let Some(demonstration) = demonstration_of(&record.stack) {
        out.push_str(&wrap(&demonstration, ""));
        out.push('\n');
    }
    out.push_str(&wrap(&headline(record).text, ""));
    for scenario in &record.scenarios {
        out.push_str(&section(scenario));
    }
    out.push('\n');
    out.push_str(&wrap(words::NOTE, ""));
    for said in words::findings(record) {
        out.push_str(&wrap(&said, "  "));
    }
    // Neither is wrapped, so that both can be copied.
    out.push_str(&format!("\nrepeat: {}\n", record.command_line));
    if let Some(report) = report {
        out.push_str(&format!("report: {}\n", report.display()));
    }
    plain(out)
}

/// What happened in one scenario.
pub fn section(run: &ScenarioRun) -> String {
    let OfferedScenario { name, why, expect, .. } = &run.scenario;
    let mut out = format!("\n{}", wrap(&format!("{name}: {why}"), ""));
    out.push_str(&wrap(&words::offered(run), "  "));
    out.push_str(&wrap(&format!("Expected: {expect}"), "  "));
    for configuration in &run.configurations {
        out.push_str(&wrap(&words::verdict(configuration), "  "));
    }
    out.push('\n');
    out.push_str(&table(run));
    out
}

fn table(scenario: &ScenarioRun) -> String {
    let mut table = Table::new();
    table.load_style(presets::NOTHING);
    table.set_content_arrangement(ContentArrangement::Dynamic).set_width(WIDTH as u16);
    table.set_header(["", ""].into_iter().chain(COLUMNS.map(|(_, name)| name)));
    for row in rows(scenario) {
        let values = COLUMNS.map(|(at, _)| row.values[at].value.clone());
        table.add_row([row.configuration, row.trial].into_iter().chain(values));
    }
    for (i, column) in table.column_iter_mut().enumerate() {
        column.set_padding((0, 2));
        if (3..6).contains(&i) {
            column.set_cell_alignment(CellAlignment::Right);
        }
    }
    let lines: Vec<String> = table.lines().map(|l| l.trim_end().replace('\u{a0}', " ")).collect();
    lines.join("\n") + "\n"
}
