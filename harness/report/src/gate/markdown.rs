//! `gate.md`: for the comment on a pull request, and for `$GITHUB_STEP_SUMMARY`. Its first line is the verdict.

use std::fmt::Write as _;

use super::{table, words};
use crate::markdown::{escape, warnings};
use lanebench_result::gate::GateRecord;

/// The whole file as text.
pub fn comment(record: &GateRecord) -> String {
    let mut out = format!("**{}**\n", escape(&words::headline(record)));
    // Writing to a String cannot fail.
    if words::has_table(record) {
        out.push_str(
            "\n| metric | baseline | candidate | change | tolerated | verdict |\n|---|--:|--:|--:|--:|---|\n",
        );
        for row in table::rows(record) {
            let change = if row.bounds.is_empty() {
                row.change.clone()
            } else {
                format!("{} ({})", row.change, row.bounds)
            };
            let cells = [row.metric, &row.baseline, &row.candidate, &change, &row.tolerance, &row.verdict]
                .map(escape);
            let _ = writeln!(out, "| {} |", cells.join(" | "));
        }
        let _ = writeln!(out, "\n{}", escape(&words::table_note(record)));
    }
    out.push_str("\nWhat it rests on:\n");
    for said in words::rests_on(record) {
        let _ = writeln!(out, "- {}", escape(&said));
    }
    out.push_str(&warnings(&record.warnings));
    let _ = writeln!(
        out,
        "\nSeed {}. Repeat with:\n\n```sh\n{}\n```",
        record.workload.seed,
        record.command_line.replace("```", "'''")
    );
    out
}
