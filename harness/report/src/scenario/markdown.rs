//! `summary.md`: whether truth held, and of each scenario what happened to whom.

use std::fmt::Write as _;

use lanebench_result::scenario::{OfferedScenario, ScenarioRecord, ScenarioRun};

use super::headline::headline;
use super::rows::{HEADINGS, rows};
use super::words;
use crate::markdown::escape;
use crate::words::demonstration_of;

/// The whole file as text.
pub fn summary(record: &ScenarioRecord) -> String {
    let mut out = String::new();
    // Writing to a String cannot fail.
    if let Some(demonstration) = demonstration_of(&record.stack) {
        let _ = writeln!(out, "{}\n", escape(&demonstration));
    }
    let _ = writeln!(out, "**{}**", escape(&headline(record).text));
    for scenario in &record.scenarios {
        out.push_str(&section(scenario));
    }
    let _ = writeln!(out, "\n{}", escape(words::NOTE));
    let findings = words::findings(record);
    out.push_str(if findings.is_empty() { "" } else { "\n" });
    for said in findings {
        let _ = writeln!(out, "- {}", escape(&said));
    }
    let _ = writeln!(out, "\nRepeat with:\n\n```sh\n{}\n```", record.command_line.replace("```", "'''"));
    out
}

/// What happened in one scenario.
pub fn section(run: &ScenarioRun) -> String {
    let mut out = String::new();
    let OfferedScenario { name, why, expect, .. } = &run.scenario;
    let _ = writeln!(out, "\n## {}\n\n{}\n", escape(name), escape(why));
    let _ = writeln!(out, "{} Expected: {}\n", escape(&words::offered(run)), escape(expect));
    for configuration in &run.configurations {
        let _ = writeln!(out, "- {}", escape(&words::verdict(configuration)));
    }
    let columns = "---|".repeat(HEADINGS.len() + 1);
    let _ = writeln!(out, "\n| configuration | {} |\n|{columns}", HEADINGS.join(" | "));
    for row in rows(run) {
        let values: Vec<String> = row.values.iter().map(|cell| escape(&cell.inline())).collect();
        let _ = writeln!(out, "| {}, {} | {} |", escape(&row.configuration), row.trial, values.join(" | "));
    }
    out
}
