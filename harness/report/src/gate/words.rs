//! A gate in plain words: the verdict first, then what it rests on.

use super::table::name;
use crate::units::{count, counted, duration, number, percent};
use crate::words::{not_all_real, what_failed};
use lanebench_result::gate::{
    GateLook, GateRecord, GateRound, GateRule, GateTrial, GateVerdict, Measured, MetricLook, MetricVerdict,
    Side, Undecided, Worse,
};

/// The verdict, and what it is about, in a few sentences. The first word is the verdict; only where not everything was
/// real does that stand before it.
pub fn headline(record: &GateRecord) -> String {
    match record.verdict {
        GateVerdict::Undecided => format!("{} {}", title(record), reasons(record)),
        _ => title(record),
    }
}

/// The same without the reasons for which a gate is undecided.
pub fn title(record: &GateRecord) -> String {
    let said = match record.verdict {
        GateVerdict::Held => held(record),
        GateVerdict::Regressed => regressed(record),
        GateVerdict::Undecided => undecided(record),
        GateVerdict::Void => truth(record, "Void", &record.baseline, |round| &round.baseline),
        GateVerdict::TruthFailed => {
            truth(record, "Truth failed", &record.candidate, |round| &round.candidate)
        }
    };
    match not_all_real(&record.stack, &record.workload) {
        Some(first) => format!("{first} {said}"),
        None => said,
    }
}

fn held(record: &GateRecord) -> String {
    let metrics: Vec<&str> = required(record).map(|rule| name(rule.metric)).collect();
    format!(
        "Held: {} is not worse than {} by more than is tolerated, in {}, after {}.",
        record.candidate.label,
        record.baseline.label,
        listed(&metrics),
        rounds(record)
    )
}

fn regressed(record: &GateRecord) -> String {
    let found: Vec<String> = last(record)
        .filter(|(rule, m)| rule.required && m.verdict == MetricVerdict::Regressed)
        .filter_map(|(rule, m)| m.measured.map(|measured| (rule, measured)))
        .map(|(rule, m)| {
            format!(
                "{} {} ({}; tolerated {})",
                name(rule.metric),
                signed(m.ratio - 1.0),
                change(m.low - 1.0, m.high - 1.0),
                tolerance(rule)
            )
        })
        .collect();
    format!(
        "Regressed: {} is worse than {}: {}, after {}.",
        record.candidate.label,
        record.baseline.label,
        listed(&found),
        rounds(record)
    )
}

fn undecided(record: &GateRecord) -> String {
    format!(
        "Undecided: whether {} is worse than {} by more than is tolerated can't be told after {}.",
        record.candidate.label,
        record.baseline.label,
        rounds(record)
    )
}

/// Why a gate is undecided, a sentence a metric, and what that means.
fn reasons(record: &GateRecord) -> String {
    let mut said: Vec<String> = last(record)
        .filter(|(rule, m)| rule.required && m.verdict == MetricVerdict::Undecided)
        .map(|(rule, m)| format!("{}: {}.", capital(name(rule.metric)), why(record, rule, m)))
        .collect();
    if said.is_empty() {
        said.push("No look was reached.".into());
    }
    if !record.complete {
        said.push("It was cut short.".into());
    }
    if record.exit_code == 0 {
        said.push("By the rules this is a warning and no failure.".into());
    }
    said.join(" ")
}

/// Why a metric is undecided, the noise by its size.
fn why(record: &GateRecord, rule: &GateRule, found: &MetricLook) -> String {
    match (found.why, &found.measured) {
        (Some(Undecided::NotMeasured), _) => "not measured in every trial".into(),
        (Some(Undecided::Noise), Some(m)) => noise(record, rule, m),
        (Some(Undecided::NearTolerance), Some(m)) => format!(
            "the change of {} ({}) is too near to the tolerated {} to be told from it",
            signed(m.ratio - 1.0),
            change(m.low - 1.0, m.high - 1.0),
            tolerance(rule)
        ),
        _ => "too few rounds".into(),
    }
}

fn noise(record: &GateRecord, rule: &GateRule, m: &Measured) -> String {
    let rounds = record.design.looks.last().copied().unwrap_or(0);
    let needed = match m.rounds_needed {
        Some(needed) => format!("about {} rounds", count(u64::from(needed))),
        None => "more rounds than can be run".into(),
    };
    format!(
        "single trials spread by {} (CV); {rounds} rounds tell {} up to a spread of {}, this one needs {needed}",
        percent(m.spread),
        tolerance(rule),
        percent(m.spread_allowed)
    )
}

/// A verdict that rests on a failed check of truth.
fn truth(
    record: &GateRecord,
    verdict: &str,
    side: &Side,
    trial: impl Fn(&GateRound) -> &GateTrial,
) -> String {
    let failed = record.rounds.iter().find(|round| !trial(round).verification.passed);
    let (round, what) = failed.map_or((0, "a check failed".to_owned()), |round| {
        (round.round, what_failed(&trial(round).verification))
    });
    let meaning = if record.verdict == GateVerdict::Void {
        "There is nothing to compare with: choose a baseline that keeps its events."
    } else {
        "No speed counts beside that."
    };
    format!("{verdict}: {} failed its checks in round {round}: {what}. {meaning}", side.label)
}

/// What the verdict rests on, a sentence or two each: rounds and looks, spread, sides, stack and machine.
pub fn rests_on(record: &GateRecord) -> Vec<String> {
    let mut said = vec![looks(record)];
    said.extend(spread(record));
    said.push(format!(
        "Baseline: {}. Candidate: {}.{}",
        side(&record.baseline),
        side(&record.candidate),
        ran_as(record)
    ));
    let (stack, machine) = (&record.stack, &record.environment);
    said.push(format!(
        "Measured by lanebench {} ({}{}, {}) on the {} stack: Kafka {} with {}, {} {}, {} {}; {}, {}, load {} before and up to \
         {} during the {} it took from {}.",
        machine.version,
        short(&machine.commit),
        if machine.dirty { ", dirty" } else { "" },
        machine.profile,
        stack.name,
        stack.kafka.version,
        counted(stack.kafka.nodes as u64, "node", "nodes"),
        stack.store.name,
        stack.store.version,
        stack.view.name,
        stack.view.version,
        machine.cpu,
        cores(record),
        number(machine.load_before),
        number(machine.load_max),
        duration(record.took_s * 1e9),
        record.started_at
    ));
    said
}

/// What both sides ran as, a sentence; nothing where the record does not say.
fn ran_as(record: &GateRecord) -> String {
    match record.configuration.as_str() {
        "" => String::new(),
        name => format!(" Configuration of both: {name}."),
    }
}

/// A commit as people write it; the record has the whole.
fn short(commit: &str) -> &str {
    commit.get(..12).unwrap_or(commit)
}

/// The machine's cores, and on how many of them it ran.
fn cores(record: &GateRecord) -> String {
    let all = counted(record.environment.cores as u64, "core", "cores");
    match record.cpus.len() {
        0 => all,
        kept => format!("on {kept} of {all}"),
    }
}

fn looks(record: &GateRecord) -> String {
    let design = &record.design;
    let planned: Vec<String> = design.looks.iter().map(u32::to_string).collect();
    let order = match record.turn_ms {
        Some((low, high)) => format!("in turns of {low} to {high} ms in a drain"),
        None => "in random order within a round".into(),
    };
    format!(
        "{} of both, {order} and with the same events; looked at after {} rounds. Over all looks and \
         the {}, a candidate like its baseline is called regressed in at most {} of gates: a lower bound has a one-sided \
         level of {} a look, an upper one {}.",
        counted(record.rounds.len() as u64, "round", "rounds"),
        listed(&planned),
        counted(design.required as u64, "required metric", "required metrics"),
        percent(design.error_rate),
        level(design.regressed_p),
        level(design.held_p)
    )
}

/// A level in per cent, to two digits: `0.24 %`.
fn level(p: f64) -> String {
    format!("{:.2} %", p * 100.0)
}

/// How far single trials lie apart.
fn spread(record: &GateRecord) -> Option<String> {
    let each: Vec<String> = last(record)
        .filter_map(|(rule, m)| Some(format!("{} in {}", percent(m.measured?.spread), name(rule.metric))))
        .collect();
    (has_table(record) && !each.is_empty())
        .then(|| format!("Trials of one program spread by {} (CV).", listed(&each)))
}

fn side(side: &Side) -> String {
    match &side.commit {
        Some(commit) if !side.label.contains(commit.as_str()) => {
            format!("{} ({}), run as {}", side.label, short(commit), side.command)
        }
        _ => format!("{}, run as {}", side.label, side.command),
    }
}

/// Whether there are figures to show: after a look, unless truth failed, beside which no speed counts.
pub fn has_table(record: &GateRecord) -> bool {
    !record.looks.is_empty() && !matches!(record.verdict, GateVerdict::Void | GateVerdict::TruthFailed)
}

/// What the columns of the table are.
pub fn table_note(record: &GateRecord) -> String {
    let file = match &record.rules_file {
        Some(file) => format!("rules from {file}"),
        None => "built-in rules".to_owned(),
    };
    format!(
        "Change: candidate against baseline, from each round's ratio, with its bounds at the level of one look; the verdict \
         compares them with zero and with the tolerance ({file})."
    )
}

fn required(record: &GateRecord) -> impl Iterator<Item = &GateRule> {
    record.rules.iter().filter(|rule| rule.required)
}

/// Each rule with what was concluded at the last look.
fn last(record: &GateRecord) -> impl Iterator<Item = (&GateRule, &MetricLook)> {
    let look: Option<&GateLook> = record.looks.last();
    record.rules.iter().filter_map(move |rule| Some((rule, look?.of(rule.metric)?)))
}

/// `10 of up to 30 paired rounds`.
fn rounds(record: &GateRecord) -> String {
    let max = record.design.looks.last().copied().unwrap_or(0);
    let run = record.rounds.len();
    if run == max as usize {
        format!("{max} paired rounds")
    } else {
        format!("{run} of up to {max} paired rounds")
    }
}

/// A word for what may be concluded.
pub fn verdict_word(found: &MetricLook) -> &'static str {
    match (found.verdict, found.why) {
        (MetricVerdict::Regressed, _) => "regressed",
        (MetricVerdict::Held, _) => "held",
        (_, Some(Undecided::NotMeasured)) => "not measured",
        (_, Some(Undecided::Noise)) => "undecided: noise",
        (_, Some(Undecided::NearTolerance)) => "undecided: near tolerance",
        (_, Some(Undecided::TooFewRounds) | None) => "undecided: too few rounds",
    }
}

/// The change that a rule tolerates, in the direction that is worse: `−6 %`, `+6 %`.
pub fn tolerance(rule: &GateRule) -> String {
    signed(match rule.worse {
        Worse::Lower => -rule.tolerance,
        Worse::Higher => rule.tolerance,
    })
}

/// A change with its sign: `+4.2 %`, `−0.3 %`, `0 %`.
pub fn signed(part: f64) -> String {
    let text = percent(part);
    if part > 0.0 && text != "0 %" { format!("+{text}") } else { text }
}

/// A change's bounds: `−11.3 to −6.8 %`.
pub fn change(low: f64, high: f64) -> String {
    let low = signed(low);
    format!("{} to {}", low.strip_suffix(" %").unwrap_or(&low), signed(high))
}

/// `a, b and c`.
fn listed<S: AsRef<str>>(words: &[S]) -> String {
    match words {
        [] => String::new(),
        [one] => one.as_ref().to_owned(),
        [first @ .., last] => {
            let first: Vec<&str> = first.iter().map(AsRef::as_ref).collect();
            format!("{} and {}", first.join(", "), last.as_ref())
        }
    }
}

fn capital(text: &str) -> String {
    let mut letters = text.chars();
    letters.next().map_or(String::new(), |first| first.to_uppercase().chain(letters).collect())
}
