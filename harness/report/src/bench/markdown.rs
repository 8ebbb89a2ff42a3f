//! `summary.md` of benchmarks, to paste into an issue or a pull request.

use std::fmt::Write as _;

use crate::markdown::escape;
use lanebench_result::bench::Benched;

use super::{rows, words};

/// The whole file as text.
pub fn summary(benched: &Benched) -> String {
    // Writing to a String cannot fail.
    let mut out = String::new();
    if let Some(said) = words::demonstration(benched) {
        // The word stands first, before any markup.
        let _ = writeln!(out, "{}\n", escape(&said));
    }
    let _ = writeln!(out, "**{}**\n", escape(&words::headline(benched)));
    out.push_str("| pipeline | configuration | samples | events/s | ratio |\n|---|---|--:|--:|--:|\n");
    for row in rows::rows(benched) {
        let cells = [row.pipeline, row.name, row.n, row.throughput.inline(), row.ratio.inline()];
        let _ = writeln!(out, "| {} |", cells.map(|c| escape(&c)).join(" | "));
    }
    let _ = writeln!(out, "\nIn brackets: {}.", escape(&words::range_note(benched)));
    let parts = rows::parts(benched);
    if !parts.is_empty() {
        out.push_str("\n| part | a second | one takes |\n|---|--:|--:|\n");
        for part in parts {
            let cells = [part.name, part.rate.inline(), part.one];
            let _ = writeln!(out, "| {} |", cells.map(|c| escape(&c)).join(" | "));
        }
    }
    out.push_str("\nWarnings:\n");
    for (code, message) in words::cautions(benched) {
        let _ = writeln!(out, "- `{code}`: {message}");
    }
    let (from, to) = &benched.measured;
    let _ = writeln!(out, "\nMeasured from {from} to {to}. Repeat with:\n\n```sh\ncargo bench\n```");
    out
}
