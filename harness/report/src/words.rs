//! What a run says in plain words: the verdict first, then why a speed-up is as large as it is, and what failed.

use crate::units::{self, confidence, count, counted, duration, number, ratio, spread};
use lanebench_result::{
    Comparison, Configuration, Estimate, Finding, OrderCount, PhaseKind, RunResult, Trial, Verdict,
    Verification, Warning,
};

mod demonstration;

pub use demonstration::{
    DEMONSTRATION, control_cost, control_note, demonstration, demonstration_in_short, demonstration_of,
    demonstration_of_in_short, modelled, not_all_real, sentences,
};

/// The metric of the main comparison.
const SUSTAINED: &str = "sustained_per_s";

/// How fast a waiting backlog is worked off.
const DRAIN: &str = "drain_per_s";

/// What stands where a figure could not be had.
pub const NOT_MEASURED: &str = "not measured";

/// Warnings under which a headline is no plain answer.
const RESERVED: [&str; 3] = ["debug-build", "not-settled", "throttled"];

/// How a headline is to be read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Tone {
    /// All checks held and the question is answered.
    Held,
    /// A check of truth failed.
    Failed,
    /// Nothing failed, and nothing can be concluded: too few rounds, an interrupted run, no difference.
    Undecided,
}

/// The verdict of a run.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Headline {
    /// How to read it.
    pub tone: Tone,
    /// One or a few sentences.
    pub text: String,
}

/// The verdict of a run: speed and truth in one breath, or what failed.
pub fn headline(result: &RunResult) -> Headline {
    let trials = all_trials(result).count();
    if trials == 0 {
        return Headline {
            tone: Tone::Undecided,
            text: "Nothing was measured: no trial was finished.".into(),
        };
    }
    if !result.passed || verifications(result).any(|v| !v.passed) {
        return Headline { tone: Tone::Failed, text: failure(result) };
    }
    let speeds: Vec<&Comparison> = sustained_comparisons(result).collect();
    let speed = match speeds.as_slice() {
        [] => alone(result),
        several => several.iter().map(|c| comparison(c)).collect::<Vec<_>>().join("; "),
    };
    let decided = speeds.iter().any(|c| matches!(c.verdict, Verdict::Faster | Verdict::Slower));
    let mut text = format!("{speed}; {}.", truth(&totals(all_trials(result))));
    if !result.complete {
        text = format!(
            "The run was interrupted and holds {}: {text}",
            counted(trials as u64, "trial", "trials")
        );
    }
    let reserved: Vec<&str> =
        RESERVED.into_iter().filter(|code| result.warnings.iter().any(|w| w.code == *code)).collect();
    if !reserved.is_empty() {
        text = format!("With reservations ({}): {text}", reserved.join(", "));
    }
    let tone = if decided && result.complete && reserved.is_empty() { Tone::Held } else { Tone::Undecided };
    Headline { tone, text }
}

/// Every check of truth of the run, control drains included.
fn verifications(result: &RunResult) -> impl Iterator<Item = &Verification> {
    let control = result.control.iter().flat_map(|c| &c.configurations).flat_map(|row| &row.verifications);
    all_trials(result).map(|t| &t.verification).chain(control)
}

/// The comparisons of sustained capacity.
pub fn sustained_comparisons(result: &RunResult) -> impl Iterator<Item = &Comparison> {
    result.comparisons.iter().filter(|c| c.metric == SUSTAINED)
}

/// The comparisons of the speed at which a waiting backlog is worked off.
pub fn drain_comparisons(result: &RunResult) -> impl Iterator<Item = &Comparison> {
    result.comparisons.iter().filter(|c| c.metric == DRAIN)
}

/// How fast each configuration catches up: it works off a waiting backlog, while nothing is sent; and the same without the modelled
/// cost, where that was measured. `None` where no drain counts.
pub fn catch_up(result: &RunResult) -> Option<String> {
    let drains = result.configurations.iter().map(|c| (c.name.as_str(), c.summary.drain_per_s.as_ref()));
    // Where nothing is said, a ratio is one to the first.
    let first = result.configurations.first().map_or("", |c| c.name.as_str());
    let to = |c: &Comparison| if c.baseline == first { String::new() } else { format!(" to {}", c.baseline) };
    let compared = drain_comparisons(result).map(|c| (format!("{}{}", c.candidate, to(c)), &c.ratio));
    let measured = rates(drains, compared)?;
    let control = result.control.as_ref().and_then(|control| {
        let rows = control.configurations.iter().map(|row| (row.name.as_str(), row.drain_per_s.as_ref()));
        let ratios = control.ratios.iter().map(|(name, ratio)| (name.clone(), ratio));
        Some(format!(" Control at {}: {}.", control_cost(control), rates(rows, ratios)?))
    });
    Some(format!(
        "Catch-up (a waiting backlog worked off while nothing is sent), events/s: {measured}.{}",
        control.unwrap_or_default()
    ))
}

/// Which configurations kept to the objective, where one was given: in how many rounds 99 of 100 events took no longer.
pub fn objective(result: &RunResult) -> Option<String> {
    let objective_ns = result.workload.objective_ns?;
    let of = |c: &lanebench_result::Configuration| {
        let Some(p99) = &c.summary.response_time_ns_p99 else {
            return format!("nothing was measured of {}", c.name);
        };
        let kept = p99.values.iter().filter(|ns| **ns <= objective_ns as f64).count();
        let all = p99.values.len();
        let grows =
            if c.summary.grows { "; its backlog grows, so at this rate it keeps to none" } else { "" };
        let merged = c.summary.response_time_ns.as_ref().map(|merged| merged.p99 as f64);
        let merged = merged.map_or_else(String::new, |ns| format!(", over all of them {}", duration(ns)));
        format!(
            "{} kept to it in {kept} of {}{merged}{grows}",
            c.name,
            counted(all as u64, "round", "rounds")
        )
    };
    let said: Vec<String> = result.configurations.iter().map(of).collect();
    let (objective, rate) = (duration(objective_ns as f64), number(result.warm_up.rates.steady_per_s));
    Some(format!("Objective, 99 of 100 events within {objective} at {rate} events/s: {}.", said.join("; ")))
}

/// `1p1c 2,542, 3p3c 4,101; 3p3c 1.61× (1.47–1.77)`; `None` without a rate.
fn rates<'a>(
    rates: impl Iterator<Item = (&'a str, Option<&'a Estimate>)>,
    ratios: impl Iterator<Item = (String, &'a Estimate)>,
) -> Option<String> {
    let rates: Vec<String> =
        rates.filter_map(|(name, rate)| Some(format!("{name} {}", number(rate?.value)))).collect();
    let ratios: Vec<String> =
        ratios.map(|(name, e)| format!("; {name} {} ({})", ratio(e.value), spread(e, number))).collect();
    (!rates.is_empty()).then(|| rates.join(", ") + &ratios.concat())
}

/// The rounds in which a warning showed, where it is not about all of the run.
pub fn rounds_of(warning: &Warning) -> String {
    if warning.rounds.is_empty() { String::new() } else { format!(" ({})", rounds(&warning.rounds)) }
}

/// One comparison of sustained capacity, with its interval and rounds.
pub fn comparison(c: &Comparison) -> String {
    let (candidate, baseline) = (&c.candidate, &c.baseline);
    let value = ratio(c.ratio.value);
    let evidence = format!(
        "{} interval {}, {}",
        confidence(&c.ratio),
        spread(&c.ratio, number),
        counted(c.ratio.n as u64, "round", "rounds")
    );
    match c.verdict {
        Verdict::Faster => {
            format!("{candidate} sustained {value} the throughput of {baseline} ({evidence})")
        }
        Verdict::Slower => {
            format!("{candidate} sustained less than {baseline}: {value} its throughput ({evidence})")
        }
        Verdict::NotDistinguishable => {
            format!(
                "{candidate} and {baseline} cannot be told apart in what they sustained: {value} ({evidence})"
            )
        }
        Verdict::TooFewRounds => {
            let values: Vec<String> = c.ratio.values.iter().map(|&v| ratio(v)).collect();
            format!(
                "{candidate} sustained {} the throughput of {baseline} in {}: too few rounds for a verdict",
                if values.is_empty() { value } else { values.join(" and ") },
                counted(c.ratio.n as u64, "round", "rounds")
            )
        }
    }
}

/// What there is to say where nothing is compared.
fn alone(result: &RunResult) -> String {
    let measured: Vec<String> = result
        .configurations
        .iter()
        .filter_map(|c| {
            let e = c.summary.sustained_per_s.as_ref()?;
            Some(format!("{} sustained {} events/s ({})", c.name, number(e.value), spread(e, number)))
        })
        .collect();
    if measured.is_empty() { "No sustained capacity was estimated".into() } else { measured.join("; ") }
}

/// Loss and order with their denominators.
pub fn truth(v: &Verification) -> String {
    let order =
        if v.order_pairs_checked == 0 { "no order pairs were there to check".into() } else { order(v) };
    let api = v.api.map_or_else(String::new, |api| {
        format!(
            "; {} of {} answers of the API wrong",
            count(api.mismatches),
            count(api.deliveries + api.histories)
        )
    });
    format!("{} of {} acknowledged events lost; {order}{api}", count(v.lost), count(v.acked))
}

/// Order violations by place, never added up over places: `0 order violations in 61,233 adjacent pairs, at each of log, consumer, row`.
fn order(v: &Verification) -> String {
    let worst = worst_place(v);
    let violations = counted(worst.violations, "order violation", "order violations");
    let pairs = count(worst.pairs);
    let places = places(v);
    if places.is_empty() {
        return format!("{violations} in {pairs} checked pairs");
    }
    if v.order_violations == 0 {
        let names: Vec<&str> = places.iter().map(|(name, _)| *name).collect();
        // As many as the place with the fewest.
        let pairs = count(places.iter().map(|(_, place)| place.pairs).min().unwrap_or(worst.pairs));
        return format!("{violations} in {pairs} adjacent pairs, each checked at {}", names.join(", "));
    }
    let said: Vec<String> = places
        .iter()
        .map(|(name, c)| format!("{} of {} pairs at {name}", count(c.violations), count(c.pairs)))
        .collect();
    format!("order violations: {}", said.join(", "))
}

/// The places where order is checked, in the order in which an event passes them.
fn places(v: &Verification) -> Vec<(&'static str, OrderCount)> {
    ["log", "consumer", "row"]
        .into_iter()
        .filter_map(|name| Some((name, *v.order_checks.get(name)?)))
        .collect()
}

/// Pairs and violations of the place with most violations; where none was told apart, of all together.
pub fn worst_place(v: &Verification) -> OrderCount {
    let all = OrderCount { pairs: v.order_pairs_checked, violations: v.order_violations };
    places(v).into_iter().map(|(_, count)| count).max_by_key(|c| (c.violations, c.pairs)).unwrap_or(all)
}

/// What failed, where, and how much of it.
fn failure(result: &RunResult) -> String {
    let void = all_trials(result).filter(|t| !t.verification.passed).count();
    let all = all_trials(result).count();
    let of_control = control_failures(result);
    let of_warm_up: Vec<&str> = result.warm_up.untrue().into_iter().collect();
    let mut text = if void == 0 && !of_warm_up.is_empty() {
        format!(
            "A check of truth failed in the warm-up of {}, so no number of this run counts.",
            of_warm_up.join(", ")
        )
    } else if void == 0 && !of_control.is_empty() {
        "A check of truth failed in the control drains.".to_owned()
    } else if void == 0 {
        "A check of truth failed, so no number of this run counts.".to_owned()
    } else {
        let verb = if void == 1 { "is" } else { "are" };
        format!("A check of truth failed: the numbers of {void} of {all} trials {verb} void.")
    };
    for configuration in &result.configurations {
        let failed: Vec<&Trial> = configuration.trials.iter().filter(|t| !t.verification.passed).collect();
        if !failed.is_empty() {
            let wrong = what_failed(&totals(failed.iter().copied()));
            let numbers: Vec<u32> = failed.iter().map(|t| t.round).collect();
            text.push_str(&format!(" {} ({}): {wrong}.", configuration.name, rounds(&numbers)));
        }
    }
    text.push_str(&of_control);
    if let Some(cause) = on_purpose(result) {
        text.push_str(&format!(" This was asked for with {cause}."));
    }
    text
}

/// What failed in the control drains, a sentence a configuration.
fn control_failures(result: &RunResult) -> String {
    let mut text = String::new();
    for row in result.control.iter().flat_map(|c| &c.configurations) {
        let failed: Vec<&Verification> = row.verifications.iter().filter(|v| !v.passed).collect();
        if !failed.is_empty() {
            let wrong = what_failed(&sum(failed.into_iter()));
            text.push_str(&format!(" Control of {}: {wrong}.", row.name));
        }
    }
    text
}

/// The flag by which a failure was asked for, if it was.
fn on_purpose(result: &RunResult) -> Option<String> {
    const FOUND: [&str; 3] = ["loss", "reorder", "stale-view"];
    let trials = result.configurations.iter().flat_map(|configuration| &configuration.trials);
    let mut faults = trials.flat_map(|trial| &trial.phases).flat_map(|phase| &phase.faults);
    match &result.workload.inject {
        None if result.scenario.is_some() && faults.any(|fault| FOUND.contains(&fault.action.as_str())) => {
            Some("--scenario".into())
        }
        Some(inject) => Some(format!("--inject {inject}")),
        None if result.workload.key == "none" => Some("--key none".into()),
        None => None,
    }
}

/// The kinds of failure in `v`, each with its denominator.
pub(super) fn what_failed(v: &Verification) -> String {
    let mut wrong = Vec::new();
    if v.lost > 0 {
        wrong.push(format!("{} of {} acknowledged events lost", count(v.lost), count(v.acked)));
    }
    if v.order_violations > 0 {
        wrong.push(order(v));
    }
    if v.view_mismatches > 0 {
        wrong.push(format!(
            "view, row or expectation disagree for {} of {} orders",
            count(v.view_mismatches),
            count(v.views_checked)
        ));
    }
    if let Some(api) = v.api.filter(|api| api.mismatches > 0) {
        let asked = count(api.deliveries + api.histories);
        wrong.push(format!("the API was wrong in {} of {asked} answers", count(api.mismatches)));
    }
    for (kind, words) in [
        ("applied-twice", "applied twice"),
        ("content", "with another content than was sent"),
        ("row", "that contradict their row or the log"),
        ("offset", "committed before its work or not at all"),
        ("unexpected", "that nobody sent"),
    ] {
        if let Some(found) = v.findings_by_kind.get(kind) {
            wrong.push(format!("{} {words}", counted(*found, "finding", "findings")));
        }
    }
    if v.parked > 0 {
        wrong.push(format!("{} left parked", counted(v.parked, "event", "events")));
    }
    if v.dead_lettered > 0 {
        wrong.push(format!("{} in the dead-letter topic", counted(v.dead_lettered, "event", "events")));
    }
    if wrong.is_empty() {
        wrong.push(counted(v.findings_total, "finding", "findings"));
    }
    wrong.join(", ")
}

/// `round 3`, `rounds 1, 2`.
fn rounds(numbers: &[u32]) -> String {
    let said: Vec<String> = numbers.iter().map(u32::to_string).collect();
    format!("{} {}", if said.len() == 1 { "round" } else { "rounds" }, said.join(", "))
}

/// What the three factors of an [`explanation`] are.
pub const FACTORS: &str = "The factors: the bound that hashing sets (1 ÷ the busiest consumer's share of the events), \
     the efficiency of that consumer (events a busy second, against the baseline's), and the tail (consumers that start \
     and end at different times).";

/// How a speed-up comes about, in one line; `None` where it was not explained.
pub fn explanation(c: &Comparison) -> Option<String> {
    let e = c.explained.as_ref()?;
    Some(format!(
        "Catch-up of {} over {}: {} = {} × {} × {}",
        c.candidate,
        c.baseline,
        ratio(c.ratio.value),
        number(e.bound),
        number(e.efficiency),
        number(e.tail)
    ))
}

/// One finding: its kind, its event and where it lies.
pub fn finding(f: &Finding) -> String {
    let place = match (f.partition, f.offset) {
        (Some(p), Some(o)) => format!(", partition {p} offset {o}"),
        (Some(p), None) => format!(", partition {p}"),
        _ => String::new(),
    };
    format!("{}: order {} revision {}{place}: {}", f.kind, f.order_id, f.revision, f.message)
}

/// What held each phase of a configuration back in each round, identical evidence said once.
pub fn bottlenecks(configuration: &Configuration) -> Vec<String> {
    let mut said: Vec<(&str, String, Vec<u32>)> = Vec::new();
    for trial in &configuration.trials {
        for phase in trial.phases.iter().filter(|phase| phase.kind != PhaseKind::WarmUp) {
            let sentence = format!("{}: {}", phase.bottleneck.name, phase.bottleneck.evidence);
            match said.iter_mut().find(|(name, s, _)| *name == phase.name && *s == sentence) {
                Some((_, _, rounds)) => rounds.push(trial.round),
                None => said.push((&phase.name, sentence, vec![trial.round])),
            }
        }
    }
    // A stable sort: phases in the order in which they first came, rounds within.
    let order: Vec<&str> = said.iter().map(|(name, _, _)| *name).collect();
    said.sort_by_key(|(name, _, _)| order.iter().position(|n| n == name));
    said.into_iter()
        .map(|(name, sentence, numbers)| format!("{name}, {}: {sentence}", rounds(&numbers)))
        .collect()
}

/// The speed-up that the partitions' shares allow; `None` where no trial was finished.
pub fn share_bound(configuration: &Configuration) -> Option<String> {
    let bounds: Vec<f64> = configuration.trials.iter().filter_map(bound).collect();
    let low = bounds.iter().copied().reduce(f64::min)?;
    let high = bounds.iter().copied().reduce(f64::max)?;
    Some(format!(
        "Ideal speed-up over one partition in the same mode, if every consumer works as fast as the one alone: 1 ÷ largest share = {}.",
        units::range(low, high, number)
    ))
}

/// 1 ÷ the largest share of a partition.
fn bound(trial: &Trial) -> Option<f64> {
    let largest = trial.phase(PhaseKind::Drain)?.partitions.iter().map(|p| p.share).fold(0.0, f64::max);
    (largest > 0.0).then(|| 1.0 / largest)
}

/// What the ranges in the tables are, with their confidence.
pub fn range_note(result: &RunResult) -> String {
    let of_values = result.configurations.iter().filter_map(|c| c.summary.sustained_per_s.as_ref()).next();
    let of_ratios = sustained_comparisons(result).map(|c| &c.ratio).next();
    let with_interval = |e: Option<&Estimate>| e.filter(|e| e.low.is_some()).map(confidence);
    let interval = match (with_interval(of_values), with_interval(of_ratios)) {
        (None, None) => return "the rounds' values, since an interval needs three rounds".into(),
        (Some(value), Some(ratio)) if value != ratio => {
            format!("the {value} interval over the rounds, of ratios the {ratio} interval")
        }
        (Some(confidence), _) | (None, Some(confidence)) => {
            format!("the {confidence} interval over the rounds")
        }
    };
    format!("{interval} (Student's t on the logarithm)")
}

/// All trials of all configurations.
pub fn all_trials(result: &RunResult) -> impl Iterator<Item = &Trial> {
    result.configurations.iter().flat_map(|c| &c.trials)
}

/// The counts of several trials added up; findings stay with their trials.
pub fn totals<'a>(trials: impl Iterator<Item = &'a Trial>) -> Verification {
    sum(trials.map(|t| &t.verification))
}

/// The counts of several checks added up.
pub fn sum<'a>(verifications: impl Iterator<Item = &'a Verification>) -> Verification {
    let mut sum = Verification { passed: true, ..Verification::default() };
    for v in verifications {
        sum.produced += v.produced;
        sum.acked += v.acked;
        sum.applied += v.applied;
        sum.parked += v.parked;
        sum.dead_lettered += v.dead_lettered;
        sum.lost += v.lost;
        sum.resent += v.resent;
        sum.redelivered += v.redelivered;
        sum.order_pairs_checked += v.order_pairs_checked;
        sum.order_violations += v.order_violations;
        sum.view_mismatches += v.view_mismatches;
        sum.views_checked += v.views_checked;
        sum.writes_counted += v.writes_counted;
        sum.contents_checked += v.contents_checked;
        sum.offsets_checked += v.offsets_checked;
        if let Some(api) = v.api {
            let at = sum.api.get_or_insert_default();
            at.deliveries += api.deliveries;
            at.histories += api.histories;
            at.mismatches += api.mismatches;
            at.retried += api.retried;
        }
        sum.findings_total += v.findings_total;
        for (kind, count) in &v.findings_by_kind {
            *sum.findings_by_kind.entry(kind.clone()).or_default() += count;
        }
        sum.passed &= v.passed;
        for (place, c) in &v.order_checks {
            let at = sum.order_checks.entry(place.clone()).or_default();
            at.pairs += c.pairs;
            at.violations += c.violations;
        }
    }
    sum
}
