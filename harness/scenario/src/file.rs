//! From text to a scenario.

use std::path::Path;
use std::time::Duration;

use lanebench_settings::{DeTable, DeValue, Location, Reader, Spanned};

use super::{Action, Fault, Rate, Scenario, ScenarioError, Target};

/// What the file may hold.
const FILE_KEYS: &[&str] = &["why", "expect", "rate", "length", "fault"];
/// What a fault may hold.
const FAULT_KEYS: &[&str] = &["at", "target", "action", "for"];
const ACTIONS: &[&str] = &[Action::Stop.as_str(), Action::Kill.as_str(), Action::Pause.as_str()];

/// The longest load.
const LENGTH_MAX: Duration = Duration::from_secs(600);
/// Fewer events tell nothing.
const EVENTS_MIN: f64 = 100.0;
/// Between the end of a fault and the next one of the same target.
const BETWEEN: Duration = Duration::from_secs(1);
/// The longest fault.
const LASTS_MAX: Duration = Duration::from_secs(120);
/// The highest rate, events/s, as of any phase.
const RATE_MAX: f64 = 1e6;

/// The scenario that `text` holds; `path` is what errors call the file, and its stem is the scenario's name.
pub(super) fn scenario(text: &str, path: &Path) -> Result<Scenario, ScenarioError> {
    let reader = Reader { text, path };
    let document = reader.document()?;
    let document = document.get_ref();
    reader.only(document, FILE_KEYS)?;
    let whole = || reader.location(0);
    let sentence = |key: &'static str, such_as: &'static str| {
        let value = document.get(key).ok_or_else(|| missing(whole(), key, such_as))?;
        Ok::<_, ScenarioError>(reader.string(value, key, "a sentence in quotes")?.to_owned())
    };
    let why = sentence("why", "why = \"A broker dies: who waits, and for how long?\"")?;
    let expect = sentence("expect", "expect = \"All partitions wait until it counts as dead.\"")?;
    let rate = document.get("rate").ok_or_else(|| missing(whole(), "rate", "rate = \"30%\""))?;
    let rate = self::rate(&reader, rate)?;
    let length = document.get("length").ok_or_else(|| missing(whole(), "length", "length = \"40s\""))?;
    let (at, length) = (reader.at(length), duration(&reader, length, "length")?);
    if length.is_zero() || length > LENGTH_MAX {
        let what = format!("the load can't last {}", seconds(length));
        return Err(ScenarioError::Impossible {
            location: at,
            what,
            hint: "write up to ten minutes, such as \"40s\"",
        });
    }
    if let Rate::PerSecond(per_s) = rate
        && per_s * length.as_secs_f64() < EVENTS_MIN
    {
        let what = format!("{per_s} events a second are fewer than {EVENTS_MIN} in {}", seconds(length));
        return Err(ScenarioError::Impossible { location: at, what, hint: "raise `rate` or `length`" });
    }
    let mut faults = Vec::new();
    for (table, location) in reader.tables(document, "fault", "an array of tables, [[fault]]")? {
        faults.push((fault(&reader, table, &location, length)?, location));
    }
    if faults.is_empty() {
        return Err(missing(whole(), "fault", "[[fault]], and below it at, target, action and for"));
    }
    faults.sort_by_key(|(fault, _)| fault.at);
    apart(&faults)?;
    let faults = faults.into_iter().map(|(fault, _)| fault).collect();
    let name = path.file_stem().unwrap_or_default().to_string_lossy().into_owned();
    Ok(Scenario { name, why, expect, rate, length, faults })
}

/// Refuses faults that meet: what is away can't break, and what has just come back has to be there first.
fn apart(faults: &[(Fault, Location)]) -> Result<(), ScenarioError> {
    for (n, (later, location)) in faults.iter().enumerate() {
        let meets = |(earlier, _): &&(Fault, Location)| {
            earlier.may_be_of(later.target) && later.at < earlier.at + earlier.lasts + BETWEEN
        };
        if let Some((earlier, _)) = faults[..n].iter().find(meets) {
            let (target, until) = (earlier.target, seconds(earlier.at + earlier.lasts));
            let what = format!(
                "{} may break again at {}, and {target} is away until {until}",
                later.target,
                seconds(later.at)
            );
            let hint = "let the later fault begin a second after the earlier one has ended, or leave one out";
            return Err(ScenarioError::Impossible { location: location.clone(), what, hint });
        }
    }
    Ok(())
}

/// As it is written in a file: `1.5s`.
fn seconds(duration: Duration) -> String {
    format!("{}s", duration.as_secs_f64())
}

fn fault<'a>(
    reader: &Reader<'a>,
    table: &DeTable<'a>,
    location: &Location,
    length: Duration,
) -> Result<Fault, ScenarioError> {
    reader.only(table, FAULT_KEYS)?;
    let value = |key: &'static str, such_as: &'static str| {
        table.get(key).ok_or_else(|| missing(location.clone(), key, such_as))
    };
    let at = duration(reader, value("at", "at = \"10s\"")?, "at")?;
    let target = target(reader, value("target", "target = \"consumer 0\"")?)?;
    let action = value("action", "action = \"kill\"")?;
    let action = Action::ALL[reader.word(action, "action", "action", ACTIONS)?];
    let lasts = duration(reader, value("for", "for = \"8s\"")?, "for")?;
    let impossible =
        |what: String, hint| Err(ScenarioError::Impossible { location: location.clone(), what, hint });
    if at >= length {
        return impossible(
            format!("this fault comes at {}, and the load ends after {}", seconds(at), seconds(length)),
            "let it come earlier, or make `length` longer",
        );
    }
    if lasts.is_zero() || lasts > LASTS_MAX {
        return impossible(
            format!("{target} can't be away for {}", seconds(lasts)),
            "write up to two minutes, such as for = \"8s\"",
        );
    }
    if action == Action::Stop && !matches!(target, Target::Consumer(_)) {
        return impossible(
            format!("only a consumer can be stopped; {target} can't"),
            "write \"kill\" or \"pause\"",
        );
    }
    Ok(Fault { at, target, action, lasts })
}

fn missing(location: Location, key: &'static str, such_as: &'static str) -> ScenarioError {
    ScenarioError::Missing { location, key, such_as }
}

fn wrong(location: Location, key: &'static str, found: &str, expected: &'static str) -> ScenarioError {
    ScenarioError::Value { location, key, found: found.into(), expected }
}

fn duration<'a>(
    reader: &Reader<'a>,
    value: &Spanned<DeValue<'a>>,
    key: &'static str,
) -> Result<Duration, ScenarioError> {
    let found = reader.string(value, key, "a duration in quotes, such as \"10s\"")?;
    let parsed =
        found.parse::<jiff::SignedDuration>().ok().and_then(|parsed| Duration::try_from(parsed).ok());
    parsed.ok_or_else(|| wrong(reader.at(value), key, found, "a duration such as \"10s\" or \"500ms\""))
}

fn rate<'a>(reader: &Reader<'a>, value: &Spanned<DeValue<'a>>) -> Result<Rate, ScenarioError> {
    let number = match value.get_ref() {
        DeValue::Integer(number) => number.as_str().replace('_', "").parse::<f64>().ok(),
        DeValue::Float(number) => number.as_str().replace('_', "").parse::<f64>().ok(),
        _ => None,
    };
    if let Some(per_s) = number {
        let found = per_s.to_string();
        let outside =
            || wrong(reader.at(value), "rate", &found, "above 0 and at most 1,000,000 events a second");
        return if per_s > 0.0 && per_s <= RATE_MAX { Ok(Rate::PerSecond(per_s)) } else { Err(outside()) };
    }
    let found = reader.string(value, "rate", "a percentage in quotes or a number of events a second")?;
    let percent = found.trim().strip_suffix('%').and_then(|number| number.trim().parse::<f64>().ok());
    match percent {
        Some(percent) if percent > 0.0 && percent <= 100.0 => Ok(Rate::OfCapacity(percent / 100.0)),
        _ => Err(wrong(
            reader.at(value),
            "rate",
            found,
            "a percentage above 0 % and up to 100 %, of what is sustained",
        )),
    }
}

fn target<'a>(reader: &Reader<'a>, value: &Spanned<DeValue<'a>>) -> Result<Target, ScenarioError> {
    let found = reader.string(value, "target", "a string")?;
    let (word, number) = found.split_once(' ').unwrap_or((found, ""));
    let number = if number.is_empty() { None } else { number.parse::<u32>().ok() };
    match (word, number) {
        ("broker", Some(node)) if node > 0 => Ok(Target::Broker(node)),
        ("leader", Some(partition)) => Ok(Target::Leader(partition)),
        ("consumer", Some(number)) => Ok(Target::Consumer(number)),
        ("coordinator", None) if found == word => Ok(Target::Coordinator),
        ("store", None) if found == word => Ok(Target::Store),
        ("view", None) if found == word => Ok(Target::View),
        _ => Err(wrong(reader.at(value), "target", found, "something that there is")),
    }
}
