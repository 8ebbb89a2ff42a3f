//! What the terminal shows at the end of a run: verdict, table, warnings, where the report is. Fits 80 columns.

use std::path::Path;

use comfy_table::{Cell as TableCell, CellAlignment, ContentArrangement, Table, presets};

use crate::table::{self, Row};
use crate::{ceilings, scenario, words};
use lanebench_result::{RunResult, Warning};

/// The width that everything is kept to.
pub const WIDTH: usize = 80;

/// The whole text, ending in a newline; `report` is where the report was written, if it was.
pub fn render(result: &RunResult, report: Option<&Path>) -> String {
    let mut out = String::new();
    if let Some(said) = words::demonstration(result) {
        out.push_str(&wrap(&said, ""));
        out.push('\n');
    }
    out.push_str(&wrap(&words::headline(result).text, ""));
    if let Some(said) = words::objective(result) {
        out.push_str(&wrap(&said, ""));
    }
    out.push('\n');
    out.push_str(&main_table(&table::rows(result)));
    out.push('\n');
    out.push_str(&wrap(
        &format!(
            "events/s: sustained while the producer sends. Below it and the ratio: {}. Response: from when an event was \
             due until its status was visible, at one rate for all.{} Lag: peak of the surge, records. Checks: nothing \
             lost, order kept, row and view agree.{}",
            words::range_note(result),
            if result.configurations.iter().any(|c| c.summary.grows) {
                " Grows: the backlog grew, so the value says how long the phase was."
            } else {
                ""
            },
            words::catch_up(result).map(|said| format!(" {said}")).unwrap_or_default()
        ),
        "",
    ));
    if let Some(said) = ceilings::in_short(result) {
        out.push_str(&wrap(&said, ""));
    }
    if let Some(run) = scenario::of_comparison(result) {
        out.push_str(&scenario::text::section(&run));
        out.push('\n');
        out.push_str(&wrap(scenario::words::NOTE, ""));
    }
    out.push_str(&warnings(&result.warnings));
    if let Some(report) = report {
        // A path is never wrapped, so that it can be copied.
        out.push_str(&format!("\nreport: {}\n", report.display()));
    }
    plain(out)
}

/// Warnings, one below the other; empty without any.
pub(super) fn warnings(warnings: &[Warning]) -> String {
    let one =
        |w: &Warning| wrap(&format!("warning ({}): {}{}", w.code, w.message, words::rounds_of(w)), "  ");
    let lines: String = warnings.iter().map(one).collect();
    if lines.is_empty() { lines } else { format!("\n{lines}") }
}

/// Without control characters: a name in a record may not speak to the terminal.
pub(super) fn plain(mut text: String) -> String {
    text.retain(|c| c == '\n' || !c.is_control());
    text
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
        "resp.\np50",
        "resp.\np99",
        "peak\nlag",
        "\nchecks",
        "bottle-\nneck",
    ]);
    for row in rows {
        let cells = [
            row.name.clone(),
            row.sustained.stacked(),
            row.ratio.stacked(),
            marked(&row.p50, row.grows),
            marked(&row.p99, row.grows),
            row.peak_lag.value.clone(),
            checks(row),
            row.bottleneck.stacked(),
        ];
        table.add_row(cells.map(TableCell::new));
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

/// A percentile, below it the range of the rounds, and a word where it says how long the phase was.
fn marked(cell: &table::Cell, grows: bool) -> String {
    let range = cell.detail.split(", ").next().unwrap_or_default();
    // The unit stands with the value.
    let unit = cell.value.rsplit_once(' ').map_or("", |(_, unit)| unit);
    let range = range.strip_suffix(unit).map_or(range, str::trim_end);
    let lines = [cell.value.as_str(), range, if grows { "grows" } else { "" }];
    lines.into_iter().filter(|line| !line.is_empty()).collect::<Vec<_>>().join("\n")
}

/// Whether what was found is true; the headline has the figures.
fn checks(row: &Row) -> String {
    match row.failed_of {
        (0, 0) => String::new(),
        (0, _) => "all held".into(),
        (failed, all) => format!("{failed} of {all}\nfailed"),
    }
}

fn fits(text: &str) -> bool {
    text.lines().all(|l| l.chars().count() <= WIDTH)
}

/// A word in pieces of at most `room` characters; nearly always one.
fn pieces(word: &str, room: usize) -> Vec<String> {
    let characters: Vec<char> = word.chars().collect();
    characters.chunks(room).map(|piece| piece.iter().collect()).collect()
}

/// The words of a text; a percent sign stays with its number.
fn words_of(text: &str) -> Vec<String> {
    let mut words: Vec<String> = Vec::new();
    for word in text.split_whitespace() {
        match words.last_mut() {
            Some(number) if word.starts_with('%') => {
                number.push(' ');
                number.push_str(word);
            }
            _ => words.push(word.to_owned()),
        }
    }
    words
}

/// Breaks text between words so that it fits; later lines start with `indent`.
pub(super) fn wrap(text: &str, indent: &str) -> String {
    let mut out = String::new();
    let mut line = String::new();
    for word in words_of(text).iter().flat_map(|word| pieces(word, WIDTH - indent.len())) {
        if !line.trim().is_empty() && line.chars().count() + 1 + word.chars().count() > WIDTH {
            out.push_str(&line);
            out.push('\n');
            line = indent.to_owned();
            line.push_str(&word);
        } else {
            if !line.is_empty() {
                line.push(' ');
            }
            line.push_str(&word);
        }
    }
    out.push_str(&line);
    out.push('\n');
    out
}
