//! From text to rules, by hand: toml's own errors name no allowed words, and every error here has to say where and what.

use std::path::Path;

use toml::Spanned;
use toml::de::{DeTable, DeValue};

use super::built_in;
use super::error::{METRICS, Place, RulesError};
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
    let document = DeTable::parse(text).map_err(|error| {
        let byte = error.span().map_or(0, |span| span.start);
        // The parser's text may go over several lines; an error is said in one.
        let message = error.message().split_whitespace().collect::<Vec<_>>().join(" ");
        RulesError::Syntax { place: reader.place(byte), message }
    })?;
    reader.rules(document.get_ref())
}

/// A file and its text, which know where things are.
struct Reader<'a> {
    text: &'a str,
    path: &'a Path,
}

impl Reader<'_> {
    fn rules(&self, document: &DeTable<'_>) -> Result<Vec<GateRule>, RulesError> {
        self.only(document, FILE_KEYS)?;
        let mut found: Vec<(GateRule, usize)> = Vec::new();
        if let Some(entries) = document.get("metric") {
            let DeValue::Array(array) = entries.get_ref() else {
                return Err(self.wrong_type(entries, "metric", "an array of tables, [[metric]]"));
            };
            for entry in array {
                let DeValue::Table(table) = entry.get_ref() else {
                    return Err(self.wrong_type(entry, "metric", "an array of tables, [[metric]]"));
                };
                let (rule, place) = self.rule(entry, table)?;
                if let Some((_, first_line)) = found.iter().find(|(other, _)| other.metric == rule.metric) {
                    return Err(RulesError::Duplicate {
                        place,
                        metric: rule.metric,
                        first_line: *first_line,
                    });
                }
                found.push((rule, place.line));
            }
        }
        let rules: Vec<GateRule> = found.into_iter().map(|(rule, _)| rule).collect();
        if !rules.iter().any(|rule| rule.required) {
            return Err(RulesError::NothingRequired { path: self.path.into() });
        }
        Ok(rules)
    }

    /// One entry's rule, and the place of its name.
    fn rule(
        &self,
        entry: &Spanned<DeValue<'_>>,
        table: &DeTable<'_>,
    ) -> Result<(GateRule, Place), RulesError> {
        self.only(table, METRIC_KEYS)?;
        let name =
            table.get("name").ok_or_else(|| RulesError::NoName { place: self.place(entry.span().start) })?;
        let metric = Metric::ALL[self.word(name, "name", "metric", METRICS)?];
        let mut rule = built_in(metric);
        if let Some(value) = table.get("tolerance") {
            rule.tolerance = self.tolerance(value)?;
        }
        if let Some(value) = table.get("required") {
            rule.required = value
                .get_ref()
                .as_bool()
                .ok_or_else(|| self.wrong_type(value, "required", "true or false"))?;
        }
        if let Some(value) = table.get("undecided") {
            rule.undecided =
                OnUndecided::ALL[self.word(value, "undecided", "way to take it", ON_UNDECIDED)?];
        }
        if let Some(value) = table.get("worse") {
            let found = DIRECTIONS[self.word(value, "worse", "direction", DIRECTIONS)?];
            if found != metric.worse().as_str() {
                let place = self.place(value.span().start);
                return Err(RulesError::Direction { place, metric, found: found.into() });
            }
        }
        Ok((rule, self.place(name.span().start)))
    }

    /// Refuses keys that mean nothing; the first of them in the file is named.
    fn only(&self, table: &DeTable<'_>, allowed: &'static [&'static str]) -> Result<(), RulesError> {
        let unknown = table.keys().filter(|key| !allowed.contains(&key.get_ref().as_ref()));
        match unknown.min_by_key(|key| key.span().start) {
            None => Ok(()),
            Some(key) => Err(RulesError::UnknownKey {
                place: self.place(key.span().start),
                key: key.get_ref().to_string(),
                allowed,
            }),
        }
    }

    /// The position of a word among those allowed.
    fn word(
        &self,
        value: &Spanned<DeValue<'_>>,
        key: &'static str,
        what: &'static str,
        allowed: &'static [&'static str],
    ) -> Result<usize, RulesError> {
        let found = value.get_ref().as_str().ok_or_else(|| self.wrong_type(value, key, "a string"))?;
        allowed.iter().position(|word| *word == found).ok_or_else(|| RulesError::UnknownWord {
            place: self.place(value.span().start),
            key,
            found: found.into(),
            what,
            allowed,
        })
    }

    /// A percentage as a part.
    fn tolerance(&self, value: &Spanned<DeValue<'_>>) -> Result<f64, RulesError> {
        let found = value
            .get_ref()
            .as_str()
            .ok_or_else(|| self.wrong_type(value, "tolerance", "a percentage in quotes"))?;
        let percent = found.trim().strip_suffix('%').and_then(|number| number.trim().parse::<f64>().ok());
        match percent {
            Some(percent) if percent > 0.0 && percent < 100.0 => Ok(percent / 100.0),
            _ => Err(RulesError::Tolerance { place: self.place(value.span().start), found: found.into() }),
        }
    }

    fn wrong_type(
        &self,
        value: &Spanned<DeValue<'_>>,
        key: &'static str,
        expected: &'static str,
    ) -> RulesError {
        let found = value.get_ref().type_str();
        let article = if found.starts_with(['a', 'e', 'i', 'o', 'u']) { "an" } else { "a" };
        let place = self.place(value.span().start);
        RulesError::WrongType { place, key, found: format!("{article} {found}"), expected }
    }

    fn place(&self, byte: usize) -> Place {
        Place::of(self.path, self.text, byte)
    }
}
