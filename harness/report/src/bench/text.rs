//! What the terminal shows of benchmarks: the pipelines, and where the page is. Fits 80 columns.

use std::fmt::Write as _;
use std::path::Path;

use crate::text::{plain, wrap};
use crate::units::number;
use lanebench_result::bench::Benched;

use super::{rows, words};

/// The whole text, ending in a newline; `report` is where the page was written, if it was.
pub fn render(benched: &Benched, report: Option<&Path>) -> String {
    let mut out = String::new();
    if let Some(said) = words::demonstration(benched) {
        out.push_str(&wrap(&said, ""));
        out.push('\n');
    }
    for pipeline in &benched.pipelines {
        out.push_str(&wrap(&words::title(pipeline), ""));
        for lane in &pipeline.lanes {
            let rate = rows::cell(&lane.throughput_per_s, number).inline();
            let ratio = lane.ratio.as_ref().map(|r| format!(", {}", rows::ratio_cell(r).inline()));
            // Writing to a String cannot fail.
            let _ = writeln!(out, "  {:6} {rate} events/s{}", lane.name, ratio.unwrap_or_default());
        }
    }
    out.push('\n');
    out.push_str(&wrap(&format!("In brackets: {}.", words::range_note(benched)), ""));
    for (code, message) in words::cautions(benched) {
        out.push_str(&wrap(&format!("warning ({code}): {message}"), "  "));
    }
    if let Some(report) = report {
        // A path is never wrapped, so that it can be copied.
        let _ = writeln!(out, "\nreport: {}", report.display());
    }
    plain(out)
}
