//! What a run says in plain words: the verdict first, then why a speed-up is as large as it is, and what failed.

use crate::units::{self, confidence, count, counted, number, ratio, spread};
use lanebench_result::{
    Comparison, Configuration, Estimate, Finding, RunResult, Trial, Verdict, Verification,
};

mod demonstration;

pub use demonstration::{
    DEMONSTRATION, control_cost, control_note, demonstration, demonstration_in_short, modelled, not_all_real,
    sentences,
};

/// The metric of the main comparison.
const THROUGHPUT: &str = "throughput_per_s";

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
    let speeds: Vec<&Comparison> = throughput_comparisons(result).collect();
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
    let tone = if decided && result.complete { Tone::Held } else { Tone::Undecided };
    Headline { tone, text }
}

/// Every check of truth of the run, control drains included.
fn verifications(result: &RunResult) -> impl Iterator<Item = &Verification> {
    let control = result.control.iter().flat_map(|c| &c.configurations).flat_map(|row| &row.verifications);
    all_trials(result).map(|t| &t.verification).chain(control)
}

/// The comparisons of drain throughput.
pub fn throughput_comparisons(result: &RunResult) -> impl Iterator<Item = &Comparison> {
    result.comparisons.iter().filter(|c| c.metric == THROUGHPUT)
}

/// One comparison of throughput, with its interval and rounds.
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
            format!("{candidate} worked off the backlog {value} as fast as {baseline} ({evidence})")
        }
        Verdict::Slower => {
            format!(
                "{candidate} worked off the backlog more slowly than {baseline}: {value} as fast ({evidence})"
            )
        }
        Verdict::NotDistinguishable => {
            format!("{candidate} and {baseline} cannot be told apart in throughput: {value} ({evidence})")
        }
        Verdict::TooFewRounds => {
            let values: Vec<String> = c.ratio.values.iter().map(|&v| ratio(v)).collect();
            format!(
                "{candidate} worked off the backlog {} as fast as {baseline} in {}: too few rounds for a verdict",
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
            let e = c.summary.throughput_per_s.as_ref()?;
            Some(format!(
                "{} worked off the backlog at {} events/s ({})",
                c.name,
                number(e.value),
                spread(e, number)
            ))
        })
        .collect();
    if measured.is_empty() { "No throughput was estimated".into() } else { measured.join("; ") }
}

/// Loss and order with their denominators.
pub fn truth(v: &Verification) -> String {
    let order = if v.order_pairs_checked == 0 {
        "no order pairs were there to check".into()
    } else {
        format!(
            "{} in {} checked pairs",
            counted(v.order_violations, "order violation", "order violations"),
            count(v.order_pairs_checked)
        )
    };
    let api = v.api.map_or_else(String::new, |api| {
        format!(
            "; {} of {} answers of the API wrong",
            count(api.mismatches),
            count(api.deliveries + api.histories)
        )
    });
    format!("{} of {} acknowledged events lost; {order}{api}", count(v.lost), count(v.acked))
}

/// What failed, where, and how much of it.
fn failure(result: &RunResult) -> String {
    let void = all_trials(result).filter(|t| !t.verification.passed).count();
    let all = all_trials(result).count();
    let of_control = control_failures(result);
    let mut text = if void == 0 && !of_control.is_empty() {
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
            text.push_str(&format!(" {} ({}): {wrong}.", configuration.name, rounds_of(&failed)));
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
    match &result.workload.inject {
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
        wrong.push(format!(
            "{} in {} checked pairs",
            counted(v.order_violations, "order violation", "order violations"),
            count(v.order_pairs_checked)
        ));
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

fn rounds_of(trials: &[&Trial]) -> String {
    let numbers: Vec<String> = trials.iter().map(|t| t.round.to_string()).collect();
    format!("{} {}", if numbers.len() == 1 { "round" } else { "rounds" }, numbers.join(", "))
}

/// What the three factors of an [`explanation`] are.
pub const FACTORS: &str = "The factors: the bound that hashing sets (1 ÷ the busiest consumer's share of the events), \
     the efficiency of that consumer (events a busy second, against the baseline's), and the tail (consumers that start \
     and end at different times).";

/// How a speed-up comes about, in one line; `None` where it was not explained.
pub fn explanation(c: &Comparison) -> Option<String> {
    let e = c.explained.as_ref()?;
    Some(format!(
        "{} over {}: {} = {} × {} × {}",
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

/// What held a configuration back in each round, identical evidence said once.
pub fn bottlenecks(configuration: &Configuration) -> Vec<String> {
    let mut said: Vec<(String, Vec<u32>)> = Vec::new();
    for trial in &configuration.trials {
        let sentence = format!("{}: {}", trial.bottleneck.name, trial.bottleneck.evidence);
        match said.iter_mut().find(|(s, _)| *s == sentence) {
            Some((_, rounds)) => rounds.push(trial.round),
            None => said.push((sentence, vec![trial.round])),
        }
    }
    said.into_iter()
        .map(|(sentence, rounds)| {
            let numbers: Vec<String> = rounds.iter().map(u32::to_string).collect();
            let word = if numbers.len() == 1 { "round" } else { "rounds" };
            format!("{word} {}: {sentence}", numbers.join(", "))
        })
        .collect()
}

/// The speed-up that the partitions' shares allow; `None` where no trial was finished.
pub fn share_bound(configuration: &Configuration) -> Option<String> {
    let bounds: Vec<f64> = configuration.trials.iter().filter_map(bound).collect();
    let low = bounds.iter().copied().reduce(f64::min)?;
    let high = bounds.iter().copied().reduce(f64::max)?;
    Some(format!("Speed-up over one partition ≤ 1 ÷ largest share = {}.", units::range(low, high, number)))
}

/// 1 ÷ the largest share of a partition.
fn bound(trial: &Trial) -> Option<f64> {
    let largest = trial.partitions.iter().map(|p| p.share).fold(0.0, f64::max);
    (largest > 0.0).then(|| 1.0 / largest)
}

/// What the ranges in the tables are, with their confidence.
pub fn range_note(result: &RunResult) -> String {
    let of_values = result.configurations.iter().filter_map(|c| c.summary.throughput_per_s.as_ref()).next();
    let of_ratios = throughput_comparisons(result).map(|c| &c.ratio).next();
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
        if let Some(api) = v.api {
            let at = sum.api.get_or_insert_default();
            at.deliveries += api.deliveries;
            at.histories += api.histories;
            at.mismatches += api.mismatches;
            at.retried += api.retried;
        }
        sum.findings_total += v.findings_total;
        sum.passed &= v.passed;
        for (gate, c) in &v.order_by_gate {
            let at = sum.order_by_gate.entry(gate.clone()).or_default();
            at.pairs += c.pairs;
            at.violations += c.violations;
        }
    }
    sum
}
