//! From text to rules.

use std::path::Path;

use lanebench_settings::{DeTable, DeValue, Location, Reader, Spanned};

use super::built_in;
use super::error::{METRICS, RulesError};
use lanebench_result::gate::{GateRule, Metric, OnUndecided, Worse};

/// What the file may hold.
const FILE_KEYS: &[&str] = &["metric"];

/// What an entry may hold.
const METRIC_KEYS: &[&str] = &["name", "tolerance", "required", "undecided", "worse"];

const DIRECTIONS: &[&str] = &[Worse::Lower.as_str(), Worse::Higher.as_str()];

const ON_UNDECIDED: &[&str] = &[OnUndecided::Fail.as_str(), OnUndecided::Warn.as_str()];

/// The rules that `text` holds.
pub(super) fn rules(text: &str, path: &Path) -> Result<Vec<GateRule>, RulesError> {
    let reader = Reader { text, path };
    let document = reader.document()?;
    let document = document.get_ref();
    reader.only(document, FILE_KEYS)?;
    let mut found: Vec<(GateRule, usize)> = Vec::new();
    for (table, entry) in reader.tables(document, "metric", "an array of tables, [[metric]]")? {
        let (rule, location) = rule(&reader, table, entry)?;
        if let Some((_, first_line)) = found.iter().find(|(other, _)| other.metric == rule.metric) {
            return Err(RulesError::Duplicate { location, metric: rule.metric, first_line: *first_line });
        }
        found.push((rule, location.line));
    }
    let rules: Vec<GateRule> = found.into_iter().map(|(rule, _)| rule).collect();
    if !rules.iter().any(|rule| rule.required) {
        return Err(RulesError::NothingRequired { path: path.into() });
    }
    Ok(rules)
}

/// One entry's rule, and the location of its name.
fn rule<'a>(
    reader: &Reader<'a>,
    table: &DeTable<'a>,
    entry: Location,
) -> Result<(GateRule, Location), RulesError> {
    reader.only(table, METRIC_KEYS)?;
    let name = table.get("name").ok_or(RulesError::NoName { location: entry })?;
    let metric = Metric::ALL[reader.word(name, "name", "metric", METRICS)?];
    let mut rule = built_in(metric);
    if let Some(value) = table.get("tolerance") {
        rule.tolerance = tolerance(reader, value)?;
    }
    if let Some(value) = table.get("required") {
        rule.required = reader.bool(value, "required")?;
    }
    if let Some(value) = table.get("undecided") {
        rule.undecided = OnUndecided::ALL[reader.word(value, "undecided", "way to take it", ON_UNDECIDED)?];
    }
    if let Some(value) = table.get("worse") {
        let found = DIRECTIONS[reader.word(value, "worse", "direction", DIRECTIONS)?];
        if found != metric.worse().as_str() {
            return Err(RulesError::Direction { location: reader.at(value), metric, found: found.into() });
        }
    }
    Ok((rule, reader.at(name)))
}

/// A percentage as a part.
fn tolerance<'a>(reader: &Reader<'a>, value: &Spanned<DeValue<'a>>) -> Result<f64, RulesError> {
    let found = reader.string(value, "tolerance", "a percentage in quotes")?;
    let percent = found.trim().strip_suffix('%').and_then(|number| number.trim().parse::<f64>().ok());
    match percent {
        Some(percent) if percent > 0.0 && percent < 100.0 => Ok(percent / 100.0),
        _ => Err(RulesError::Tolerance { location: reader.at(value), found: found.into() }),
    }
}
