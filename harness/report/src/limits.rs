//! What each component of a stack can do alone: the terminal's text and `summary.md`. Rendering only.

use std::fmt::Write as _;
use std::path::{Path, PathBuf};

use comfy_table::{CellAlignment, ContentArrangement, Table, presets};
use lanebench_result::limits::{Limit, LimitsRecord};
use lanebench_result::{Estimate, Stack};

use crate::markdown::escape;
use crate::table::Cell;
use crate::text::{WIDTH, plain, wrap};
use crate::units::{NONE, confidence, count, counted, number, spread, tick};
use crate::words::demonstration_of;
use crate::{ReportError, write};

/// The file for a pull request.
pub const MARKDOWN_FILE: &str = "summary.md";

/// How the numbers are meant.
const NOTE: &str = "Each component worked alone; in a run they share the machine. Compare like with like: a \
                    call may write many rows, a row may hold several events of its order, and one fsync may \
                    serve several transactions. Best: the highest of the sizes, and so a little too high.";

/// Writes [`MARKDOWN_FILE`] into `dir`, which is made if it is missing. Returns the file's path.
///
/// # Errors
/// [`ReportError`] with the file that failed.
pub fn render(record: &LimitsRecord, dir: &Path) -> Result<PathBuf, ReportError> {
    std::fs::create_dir_all(dir).map_err(|source| ReportError::Write { path: dir.to_owned(), source })?;
    write(dir, MARKDOWN_FILE, markdown(record).as_bytes())
}

/// What the terminal shows, within 80 columns, ending in a newline; `report` is the file that [`render`] wrote.
pub fn text(record: &LimitsRecord, report: Option<&Path>) -> String {
    let mut out = String::new();
    if let Some(demonstration) = demonstration_of(&record.stack) {
        out.push_str(&wrap(&demonstration, ""));
        out.push('\n');
    }
    out.push_str(&wrap(&headline(record), ""));
    out.push('\n');
    out.push_str(&table(record));
    out.push('\n');
    out.push_str(&wrap(NOTE, ""));
    for said in explained(record) {
        out.push_str(&wrap(&said, "  "));
    }
    // Writing to a String cannot fail. Neither line is wrapped, so that both can be copied.
    let _ = writeln!(out, "\nrepeat: {}", record.command_line);
    if let Some(report) = report {
        let _ = writeln!(out, "report: {}", report.display());
    }
    plain(out)
}

/// `summary.md` as text.
pub fn markdown(record: &LimitsRecord) -> String {
    let mut out = String::new();
    // Writing to a String cannot fail.
    if let Some(demonstration) = demonstration_of(&record.stack) {
        let _ = writeln!(out, "{}\n", escape(&demonstration));
    }
    let _ = writeln!(out, "**{}**\n", escape(&headline(record)));
    out.push_str("| limit | with | a second |\n|---|---|--:|\n");
    for row in rows(record) {
        let cells = [row.name, row.with, row.rate.inline()].map(|cell| escape(&cell));
        let _ = writeln!(out, "| {} |", cells.join(" | "));
    }
    let _ = writeln!(out, "\n{}\n", escape(NOTE));
    for said in explained(record) {
        let _ = writeln!(out, "- {}", escape(&said));
    }
    let _ = writeln!(
        out,
        "\nStarted {}, seed {}. Repeat with:\n\n```sh\n{}\n```",
        record.started_at,
        record.seed,
        record.command_line.replace("```", "'''")
    );
    out
}

/// What was measured on what, how often, and what the range beside a rate is.
fn headline(record: &LimitsRecord) -> String {
    let estimates = || record.limits.iter().filter_map(|limit| limit.estimate.as_ref());
    let rounds = estimates().map(|estimate| estimate.n).max().unwrap_or(0) as u64;
    let each = tick(record.measurement_s);
    let mut said = format!(
        "What each component of the {} stack can do alone, a second: {} of {each} s each, {}.",
        record.stack.name,
        counted(rounds, "measurement", "measurements"),
        range_note(estimates().next())
    );
    if !record.complete {
        let _ = write!(said, " The run was interrupted: {} were asked for.", count(record.rounds.into()));
    }
    let _ = write!(said, " {}", components(&record.stack));
    if record.environment.profile != "release" {
        let _ = write!(said, " A {} build measured it, which is slow.", record.environment.profile);
    }
    said
}

fn range_note(estimate: Option<&Estimate>) -> String {
    match estimate.filter(|estimate| estimate.low.is_some()) {
        Some(estimate) => format!("with {} intervals over the rounds", confidence(estimate)),
        None => "without intervals, which need three rounds".into(),
    }
}

/// Versions and replicas.
fn components(stack: &Stack) -> String {
    let (kafka, store, view) = (&stack.kafka, &stack.store, &stack.view);
    format!(
        "Kafka {} ({}, {} of each partition), {} {}, {} {}.",
        kafka.version,
        counted(kafka.nodes as u64, "node", "nodes"),
        counted(kafka.replication.unsigned_abs().into(), "replica", "replicas"),
        store.name,
        store.version,
        view.name,
        view.version
    )
}

/// One limit in the table.
struct Row {
    name: String,
    /// Connections, partitions, or how much each call wrote. The best of several sizes says so.
    with: String,
    /// The rate and its range, or that there is none.
    rate: Cell,
}

fn rows(record: &LimitsRecord) -> Vec<Row> {
    let is_varied = |limit: &Limit| record.limits.iter().filter(|other| other.name == limit.name).count() > 1;
    let row = |limit: &Limit| {
        let mut with = conditions(limit);
        with.extend((limit.is_ceiling && is_varied(limit)).then(|| "best".to_owned()));
        let rate = match &limit.estimate {
            Some(estimate) => Cell::new(number(estimate.value), spread(estimate, number)),
            None if limit.not_measured.is_some() => Cell::new("not measured", ""),
            None => Cell::new(NONE, ""),
        };
        Row { name: limit.name.clone(), with: with.join(", "), rate }
    };
    record.limits.iter().map(row).collect()
}

/// Connections, partitions, and how much each call wrote.
pub(crate) fn conditions(limit: &Limit) -> Vec<String> {
    let connections = limit.connections.filter(|n| *n > 1 || limit.per_call.is_none());
    let connections = connections.map(|n| counted(n.into(), "connection", "connections"));
    let partitions = limit.partitions.map(|n| counted(n.into(), "partition", "partitions"));
    let per_call = limit.per_call.map(|n| format!("{} a call", count(n.into())));
    [connections, partitions, per_call].into_iter().flatten().collect()
}

/// What each name means, and why something was not measured.
fn explained(record: &LimitsRecord) -> Vec<String> {
    let mut said = Vec::new();
    let mut last = "";
    for limit in &record.limits {
        let reason = limit.not_measured.as_ref().map(|reason| format!(" Not measured: {reason}."));
        if limit.name != last || reason.is_some() {
            said.push(format!("{}: {}{}", limit.name, limit.what, reason.unwrap_or_default()));
        }
        last = &limit.name;
    }
    said
}

fn table(record: &LimitsRecord) -> String {
    let mut table = Table::new();
    table.load_style(presets::NOTHING);
    table.set_content_arrangement(ContentArrangement::Dynamic).set_width(WIDTH as u16);
    table.set_header(["limit", "with", "a second", "range"]);
    for row in rows(record) {
        table.add_row([row.name, row.with, row.rate.value, row.rate.detail]);
    }
    let last = table.column_count().saturating_sub(1);
    for (i, column) in table.column_iter_mut().enumerate() {
        column.set_padding((0, if i == last { 0 } else { 2 }));
        if i == 2 {
            column.set_cell_alignment(CellAlignment::Right);
        }
    }
    let lines: Vec<String> = table.lines().map(|l| l.trim_end().to_owned()).collect();
    lines.join("\n") + "\n"
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fixture;

    fn estimate(value: f64) -> Estimate {
        Estimate {
            n: 5,
            value,
            low: Some(value * 0.9),
            high: Some(value * 1.1),
            confidence: 0.95,
            values: vec![value; 5],
        }
    }

    fn limit(name: &str, rate: Option<f64>) -> Limit {
        let what = format!("What {name} counts.");
        Limit { is_ceiling: rate.is_some(), estimate: rate.map(estimate), ..Limit::new(name, &what) }
    }

    fn bulk(rows: u32, rate: f64, is_ceiling: bool) -> Limit {
        Limit { connections: Some(1), per_call: Some(rows), is_ceiling, ..limit("store_bulk", Some(rate)) }
    }

    fn record() -> LimitsRecord {
        let run = fixture::ordinary();
        LimitsRecord {
            schema_version: 1,
            command: "limits".into(),
            command_line: "lanebench limits --stack native".into(),
            started_at: "2026-11-24T22:10:04Z".into(),
            complete: true,
            environment: run.environment,
            stack: run.stack,
            seed: 1,
            rounds: 5,
            measurement_s: 1.0,
            value_bytes: 300,
            limits: vec![
                Limit { not_measured: Some("there is no disk".into()), ..limit("fsync", None) },
                Limit { connections: Some(3), ..limit("store_N", Some(8_123.4)) },
                bulk(100, 30_000.0, false),
                bulk(1_000, 52_345.6, true),
                Limit { partitions: Some(1), ..limit("produce_1", Some(165_000.0)) },
            ],
        }
    }

    /// With single spaces in place of padding and line breaks.
    fn unwrapped(text: &str) -> String {
        text.split_whitespace().collect::<Vec<_>>().join(" ")
    }

    /// The first line that begins so.
    #[track_caller]
    fn line(text: &str, begins: &str) -> String {
        let found = text.lines().map(unwrapped).find(|line| line.starts_with(begins));
        found.unwrap_or_else(|| panic!("no line begins with {begins}:\n{text}"))
    }

    #[test]
    fn each_limit_has_a_line_and_the_best_size_is_marked() {
        let text = text(&record(), Some("reports/latest/summary.md".as_ref()));
        assert_eq!(line(&text, "store_N"), "store_N 3 connections 8,123 7,311–8,936");
        assert_eq!(line(&text, "store_bulk 100"), "store_bulk 100 a call 30,000 27,000–33,000");
        assert_eq!(line(&text, "store_bulk 1,000"), "store_bulk 1,000 a call, best 52,346 47,111–57,580");
        assert_eq!(line(&text, "produce_1"), "produce_1 1 partition 165,000 148,500–181,500");
        assert_eq!(text.matches("What store_bulk counts.").count(), 1);
        assert!(unwrapped(&text).contains("5 measurements of 1 s each, with 95 % intervals"), "{text}");
        assert!(text.ends_with("report: reports/latest/summary.md\n"), "{text}");
        for line in text.lines() {
            assert!(line.chars().count() <= WIDTH, "{line}");
        }
    }

    #[test]
    fn a_missing_limit_has_a_reason_and_no_number() {
        let (text, markdown) = (text(&record(), None), markdown(&record()));
        assert_eq!(line(&text, "fsync not"), "fsync not measured");
        assert_eq!(line(&text, "fsync:"), "fsync: What fsync counts. Not measured: there is no disk.");
        assert!(markdown.contains("| fsync |  | not measured |"), "{markdown}");
        assert!(markdown.contains("| store\\_N | 3 connections | 8,123 (7,311–8,936) |"), "{markdown}");
    }

    #[test]
    fn what_was_cut_short_and_what_stands_in_is_said() {
        let demonstration = fixture::demonstration().stack;
        let cut = LimitsRecord { complete: false, rounds: 9, stack: demonstration, ..record() };
        let text = text(&cut, None);
        assert!(text.starts_with("DEMONSTRATION: "), "{text}");
        assert!(unwrapped(&text).contains("The run was interrupted: 9 were asked for."), "{text}");
        assert!(markdown(&cut).starts_with("DEMONSTRATION: "));
    }
}
