//! `summary.md`: verdict, table and warnings, to paste into an issue or a pull request.

use std::fmt::Write as _;

use crate::{ceilings, scenario, table, words};
use lanebench_result::{RunResult, Warning};

/// The whole file as text.
pub fn summary(result: &RunResult) -> String {
    let mut out = String::new();
    if let Some(said) = words::demonstration(result) {
        // The word stands first, before any markup.
        out.push_str(&format!("{}\n\n", escape(&said)));
    }
    out.push_str(&format!("**{}**\n\n", escape(&words::headline(result).text)));
    out.push_str(
        "| configuration | rounds | sustained, events/s | ratio | catch-up, events/s | response p50 | response p99 \
         | peak lag, records | order violations | lost | bottleneck |\n|---|--:|--:|--:|--:|--:|--:|--:|--:|--:|---|\n",
    );
    for row in table::rows_and_control(result) {
        let cells = [
            if row.control { format!("{} ({})", row.name, row.lanes) } else { row.name.clone() },
            row.rounds.inline(),
            row.sustained.inline(),
            row.ratio.inline(),
            row.catch_up.inline(),
            row.p50.inline(),
            row.p99.inline(),
            row.peak_lag.inline(),
            format!("{} {}", row.order.value, row.order.detail),
            format!("{} {}", row.lost.value, row.lost.detail),
            row.bottleneck.inline(),
        ];
        let cells: Vec<String> = cells.iter().map(|c| escape(c.trim())).collect();
        // Writing to a String cannot fail.
        let _ = writeln!(out, "| {} |", cells.join(" | "));
    }
    let _ = writeln!(
        out,
        "\nIn brackets: {}; of response times, the range of the rounds.",
        words::range_note(result)
    );
    for said in [words::objective(result), words::catch_up(result)].into_iter().flatten() {
        let _ = writeln!(out, "{}", escape(&said));
    }
    out.push_str(&beside_ceilings(result));
    if let Some(run) = scenario::of_comparison(result) {
        out.push_str(&scenario::markdown::section(&run));
        let _ = writeln!(out, "\n{}", escape(scenario::words::NOTE));
    }
    out.push_str(&warnings(&result.warnings));
    let _ = writeln!(
        out,
        "\nStack {}, started {}, seed {}. Repeat with:\n\n```sh\n{}\n```",
        result.stack.name,
        result.started_at,
        result.workload.seed,
        result.command_line.replace("```", "'''")
    );
    out
}

/// Shares of ceilings; empty where nothing was measured.
fn beside_ceilings(result: &RunResult) -> String {
    let Some(note) = ceilings::note(result) else { return String::new() };
    let [with, alone, share] = ceilings::HEADINGS;
    let mut out = format!("\n{}:\n\n", ceilings::TITLE);
    // Writing to a String cannot fail.
    let _ =
        writeln!(out, "| configuration | component | {with} | {alone} | {share} |\n|---|---|---|--:|--:|");
    for row in ceilings::rows(result) {
        let cells =
            [row.configuration, row.component, row.measured_with, row.alone.inline(), row.share.inline()];
        let _ = writeln!(out, "| {} |", cells.map(|cell| escape(&cell)).join(" | "));
    }
    let _ = writeln!(out, "\n{}", escape(&note));
    out
}

/// A list of warnings below a word; empty without any.
pub(super) fn warnings(warnings: &[Warning]) -> String {
    let list =
        |w: &Warning| format!("- `{}`: {}{}\n", w.code, escape(&w.message), escape(&words::rounds_of(w)));
    let lines: String = warnings.iter().map(list).collect();
    if lines.is_empty() { lines } else { format!("\nWarnings:\n{lines}") }
}

/// Keeps text from being read as Markdown structure or HTML.
pub(super) fn escape(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '|' | '*' | '_' | '`' | '\\' | '[' | ']' => {
                out.push('\\');
                out.push(c);
            }
            '<' => out.push_str("&lt;"),
            '>' => out.push_str("&gt;"),
            '\n' | '\r' => out.push(' '),
            c => out.push(c),
        }
    }
    out
}
