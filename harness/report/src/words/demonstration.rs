//! What stands in for what, and what is modelled: said wherever its numbers are.

use crate::{units, words};
use lanebench_result::{Control, Distribution, RunResult, Stack, Workload};

/// What a demonstration opens with: that it is one, what stands in for what, and what is modelled. `None` where the
/// numbers count.
pub fn demonstration(result: &RunResult) -> Option<String> {
    let mut text = stand_ins(&result.stack)?;
    if let Some(modelled) = modelled(result) {
        text.push_str(&format!(" Modelled: {modelled}."));
    }
    if let Some(control) = control_note(result) {
        text.push(' ');
        text.push_str(&control);
    }
    Some(format!("{text} {NO_EVIDENCE}"))
}

/// The same for what has no model and no control drains.
pub fn demonstration_of(stack: &Stack) -> Option<String> {
    stand_ins(stack).map(|said| format!("{said} {NO_EVIDENCE}"))
}

/// With what every opening of a demonstration ends.
const NO_EVIDENCE: &str = "Never quote these numbers as evidence of speed.";

/// That it is a demonstration, and what stands in for what.
fn stand_ins(stack: &Stack) -> Option<String> {
    let said = &stack.demonstration;
    (!said.is_empty()).then(|| format!("{DEMONSTRATION}: {}", sentences(said)))
}

/// The word with which every output of a demonstration opens.
pub const DEMONSTRATION: &str = "DEMONSTRATION";

/// What must stand beside every chart of a run whose costs are not all real.
pub fn demonstration_in_short(result: &RunResult) -> Option<String> {
    not_all_real(&result.stack, &result.workload)
}

/// The same for anything that ran on a stack: that it is a demonstration, or what is modelled; `None` where all is real.
pub fn not_all_real(stack: &Stack, workload: &Workload) -> Option<String> {
    let modelled = cost(workload);
    if stack.demonstration.is_empty() {
        return modelled.map(|cost| format!("Modelled: {cost}."));
    }
    let cost = modelled.map_or(String::new(), |cost| format!(", modelled: {cost}"));
    Some(on_stand_ins(stack, &cost))
}

/// The same for what has no model; `None` where all is real.
pub fn demonstration_of_in_short(stack: &Stack) -> Option<String> {
    (!stack.demonstration.is_empty()).then(|| on_stand_ins(stack, ""))
}

fn on_stand_ins(stack: &Stack, cost: &str) -> String {
    format!("{DEMONSTRATION} on the {} stack{cost}.", stack.name)
}

/// The modelled cost, if there is one.
pub fn modelled(result: &RunResult) -> Option<String> {
    cost(&result.workload).map(|cost| format!("{cost}{}", as_measured(result)))
}

/// The modelled cost as it was asked for.
fn cost(workload: &Workload) -> Option<String> {
    if let Some([low, high]) = workload.service_time_range_ms {
        let (low, high) = (units::tick(low), units::tick(high));
        return Some(format!("{low}–{high} ms of service time an event, uniform"));
    }
    let ms = workload.service_time_ms;
    (ms > 0.0).then(|| format!("{} ms of service time an event", units::tick(ms)))
}

/// How the modelled call was distributed, from the slowest and the fastest trial; empty where no trial says.
fn as_measured(result: &RunResult) -> String {
    let measured: Vec<&Distribution> =
        words::all_trials(result).filter_map(|t| t.service_time_ns.as_ref()).collect();
    let range = |of: fn(&Distribution) -> u64| {
        let (low, high) = (measured.iter().map(|d| of(d)).min()?, measured.iter().map(|d| of(d)).max()?);
        Some(units::range(low as f64, high as f64, units::duration))
    };
    match (range(|d| d.p50), range(|d| d.p99)) {
        (Some(p50), Some(p99)) => format!(" (as measured a trial: p50 {p50}, p99 {p99})"),
        _ => String::new(),
    }
}

/// What the control rows are; `None` where there are none.
pub fn control_note(result: &RunResult) -> Option<String> {
    let control = result.control.as_ref()?;
    Some(format!(
        "The control rows show the same drains at {}: what they differ by is the model.",
        control_cost(control)
    ))
}

/// The modelled cost of the control drains: `service time 0`.
pub fn control_cost(control: &Control) -> String {
    match control.service_time_ms {
        0.0 => "service time 0".into(),
        ms => format!("service time {} ms", units::tick(ms)),
    }
}

/// Several sentences in one line, each with its full stop.
pub fn sentences(said: &[String]) -> String {
    let stopped = |s: &String| {
        let s = s.trim();
        if s.ends_with(['.', '!', '?']) { s.to_owned() } else { format!("{s}.") }
    };
    said.iter().map(stopped).collect::<Vec<_>>().join(" ")
}
