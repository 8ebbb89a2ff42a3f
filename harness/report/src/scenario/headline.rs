//! What stands above all of a page of scenarios: whether the checks of truth held while things were broken.

use crate::units::{count, counted};
use crate::words::{Headline, Tone, sum, truth, what_failed};
use lanebench_result::Verification;
use lanebench_result::scenario::ScenarioRecord;

/// One or a few sentences, and how to read them.
pub(super) fn headline(record: &ScenarioRecord) -> Headline {
    let checks: Vec<(String, &Verification)> = checks(record).collect();
    if checks.is_empty() {
        return Headline { tone: Tone::Undecided, text: "Nothing was broken: no trial was finished.".into() };
    }
    let failed: Vec<&(String, &Verification)> = checks.iter().filter(|(_, v)| !v.passed).collect();
    if !failed.is_empty() {
        let said: Vec<String> =
            failed.iter().map(|(title, v)| format!("{title}: {}.", what_failed(v))).collect();
        let of = format!("{} of {}", count(failed.len() as u64), trials(checks.len()));
        let text = format!("A check of truth failed in {of}. {}", said.join(" "));
        return Headline { tone: Tone::Failed, text };
    }
    if !record.passed {
        let text = "A check of truth failed, so no number here counts.".into();
        return Headline { tone: Tone::Failed, text };
    }
    let scenarios = record.scenarios.iter().filter(|s| s.configurations.iter().any(|c| !c.trials.is_empty()));
    let scenarios = counted(scenarios.count() as u64, "scenario", "scenarios");
    let held = truth(&sum(checks.iter().map(|(_, v)| *v)));
    let text = format!("Broken on purpose in {scenarios}, {}: {held}.", trials(checks.len()));
    if record.complete {
        Headline { tone: Tone::Held, text }
    } else {
        Headline { tone: Tone::Undecided, text: format!("The run did not come to its end. {text}") }
    }
}

/// Every trial's checks, and what the trial is called.
pub(super) fn checks(record: &ScenarioRecord) -> impl Iterator<Item = (String, &Verification)> {
    record.scenarios.iter().flat_map(|scenario| {
        scenario.configurations.iter().flat_map(move |c| {
            c.trials.iter().map(move |trial| {
                (
                    format!("{}, {}, trial {}", scenario.scenario.name, c.name, trial.round),
                    &trial.verification,
                )
            })
        })
    })
}

fn trials(n: usize) -> String {
    counted(n as u64, "trial", "trials")
}
