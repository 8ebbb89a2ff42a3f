//! From text to a scenario.

use std::path::Path;
use std::time::Duration;

use lanebench_settings::{DeValue, Location, Reader, Spanned};

use super::fault::fault;
use super::{Fault, Rate, Scenario, ScenarioError, Target};

/// What the file may hold.
const FILE_KEYS: &[&str] = &["why", "expect", "rate", "length", "fault"];

/// The longest load.
const LENGTH_MAX: Duration = Duration::from_secs(600);
/// Fewer events tell nothing.
const EVENTS_MIN: f64 = 100.0;
/// Between the end of a fault and the next one of the same target.
const BETWEEN: Duration = Duration::from_secs(1);
/// The highest rate, as a percentage of what is sustained.
const PERCENT_MAX: f64 = 300.0;
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
    added_once(&faults)?;
    all_there(&faults)?;
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

/// Refuses what does not go with partitions that are added.
fn added_once(faults: &[(Fault, Location)]) -> Result<(), ScenarioError> {
    let adds = || faults.iter().filter_map(|(fault, location)| Some((fault.adds()?, location)));
    let impossible = |location: &Location, what: &str, hint| {
        Err(ScenarioError::Impossible { location: location.clone(), what: what.into(), hint })
    };
    if let Some((_, location)) = adds().nth(1) {
        return impossible(location, "partitions are added twice", "add all of them at once");
    }
    let Some((added, location)) = adds().next() else { return Ok(()) };
    let at =
        faults.iter().find(|(fault, _)| fault.adds().is_some()).map_or(Duration::ZERO, |(fault, _)| fault.at);
    if let Some((away, _)) = faults.iter().find(|(fault, _)| fault.of_broker() && is_under_way(fault, at)) {
        let what = format!("partitions are added at {}, and {} is away then", seconds(at), away.target);
        let hint = "let them be added a second before a broker goes, or a second after it is back";
        return impossible(location, &what, hint);
    }
    if added.noticed.is_some() && faults.iter().any(|(fault, _)| fault.of_consumer()) {
        return impossible(
            location,
            "`noticed` is for consumers in one process, and where one of them breaks each is a process of its own",
            "leave `noticed` out, or the fault of a consumer",
        );
    }
    Ok(())
}

/// Whether a fault has begun at that time, or is about to, and is not yet over for long enough.
fn is_under_way(fault: &Fault, at: Duration) -> bool {
    fault.at <= at + BETWEEN && at < fault.at + fault.lasts + BETWEEN
}

/// Refuses what is done to an order while a part is away that it takes.
fn all_there(faults: &[(Fault, Location)]) -> Result<(), ScenarioError> {
    for (fault, location) in faults.iter().filter(|(fault, _)| fault.target == Target::Order) {
        let is_taken =
            |other: &Fault| other.of_broker() || matches!(other.target, Target::Store | Target::View);
        let mut taken = faults.iter().filter(|(other, _)| is_taken(other));
        if let Some((away, _)) = taken.find(|(other, _)| is_under_way(other, fault.at)) {
            let what = format!(
                "something is done to an order at {}, and {} is away then",
                seconds(fault.at),
                away.target
            );
            let hint = "let it come a second before, or a second after it is back";
            return Err(ScenarioError::Impossible { location: location.clone(), what, hint });
        }
    }
    Ok(())
}

/// As it is written in a file: `1.5s`.
pub(super) fn seconds(duration: Duration) -> String {
    format!("{}s", duration.as_secs_f64())
}

pub(super) fn missing(location: Location, key: &'static str, such_as: &'static str) -> ScenarioError {
    ScenarioError::Missing { location, key, such_as }
}

pub(super) fn wrong(
    location: Location,
    key: &'static str,
    found: &str,
    expected: &'static str,
) -> ScenarioError {
    ScenarioError::Value { location, key, found: found.into(), expected }
}

pub(super) fn duration<'a>(
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
        Some(percent) if percent > 0.0 && percent <= PERCENT_MAX => Ok(Rate::OfCapacity(percent / 100.0)),
        _ => Err(wrong(
            reader.at(value),
            "rate",
            found,
            "a percentage above 0 % and up to 300 %, of what is sustained",
        )),
    }
}
