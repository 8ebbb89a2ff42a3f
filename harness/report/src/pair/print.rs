//! Two results as text for a terminal of 80 columns, and as Markdown.

use std::fmt::Write as _;

use comfy_table::{ContentArrangement, Table, presets};

use super::{Pair, Side};
use crate::markdown::escape;
use crate::text::{WIDTH, plain, wrap};

impl Pair {
    /// For a terminal.
    pub fn text(&self) -> String {
        let mut out = String::new();
        for (name, side) in [("A", &self.a), ("B", &self.b)] {
            out.push_str(&wrap(&format!("{name}: {}. {}", described(side), side.verdict), "   "));
        }
        out.push('\n');
        for warning in &self.warnings {
            out.push_str(&wrap(&format!("warning: {warning}"), "  "));
        }
        out.push_str("\nSettings that differ");
        if self.differ.is_empty() {
            out.push_str(": none\n");
        } else {
            out.push('\n');
            let rows = self.differ.iter().map(|s| vec![s.name.clone(), s.a.clone(), s.b.clone()]);
            out.push_str(&table(&["", "A", "B"], rows.collect()));
        }
        let _ = writeln!(out, "({} more are the same)\n", self.same);
        let rows = self.rows.iter().enumerate().map(|(i, row)| {
            let first = i == 0 || self.rows[i - 1].configuration != row.configuration;
            let stacked =
                |(value, range): (String, String)| format!("{value}\n{range}").trim_end().to_owned();
            vec![
                if first { row.configuration.clone() } else { String::new() },
                row.title().into(),
                stacked(row.shown(row.a.as_ref())),
                stacked(row.shown(row.b.as_ref())),
                row.quotient(),
            ]
        });
        out.push_str(&table(&["config", "", "A", "B", "B ÷ A"], rows.collect()));
        plain(out)
    }

    /// For a pull request.
    pub fn markdown(&self) -> String {
        let mut out = String::new();
        for (name, side) in [("A", &self.a), ("B", &self.b)] {
            let _ = writeln!(out, "**{name}**: {}. {}\n", escape(&described(side)), escape(&side.verdict));
        }
        for warning in &self.warnings {
            let _ = writeln!(out, "> {}\n>", escape(warning));
        }
        out.push_str("\n| settings that differ | A | B |\n|---|---|---|\n");
        for s in &self.differ {
            let _ = writeln!(out, "| {} | {} | {} |", escape(&s.name), escape(&s.a), escape(&s.b));
        }
        let _ = writeln!(out, "| {} more | the same | |\n", self.same);
        out.push_str("| configuration | metric | A | B | B ÷ A |\n|---|---|--:|--:|--:|\n");
        for row in &self.rows {
            let inline = |(value, range): (String, String)| {
                if range.is_empty() { value } else { format!("{value} ({range})") }
            };
            let cells = [
                row.configuration.clone(),
                row.title().into(),
                inline(row.shown(row.a.as_ref())),
                inline(row.shown(row.b.as_ref())),
                row.quotient(),
            ];
            let _ = writeln!(out, "| {} |", cells.map(|c| escape(&c)).join(" | "));
        }
        out
    }
}

fn described(side: &Side) -> String {
    format!("{}, started {}", side.file, side.started_at)
}

fn table(header: &[&str], rows: Vec<Vec<String>>) -> String {
    let mut table = Table::new();
    table.load_style(presets::NOTHING);
    table.set_content_arrangement(ContentArrangement::Dynamic).set_width(WIDTH as u16);
    table.set_header(header);
    table.add_rows(rows);
    for column in table.column_iter_mut() {
        column.set_padding((0, 2));
    }
    let lines: Vec<String> = table.lines().map(|l| l.trim_end().to_owned()).collect();
    lines.join("\n") + "\n"
}
