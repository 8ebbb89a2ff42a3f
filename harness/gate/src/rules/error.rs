//! What can be wrong with `gate.toml`, where, and what is allowed there.

use std::fmt;
use std::io;
use std::path::{Path, PathBuf};

use super::RULES_FILE;
use lanebench_result::gate::Metric;

/// Where in which file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Place {
    /// The file.
    pub path: PathBuf,
    /// Line, from 1.
    pub line: usize,
    /// Column in characters, from 1.
    pub column: usize,
}

impl Place {
    /// The place of a byte of the file's text.
    pub(super) fn of(path: &Path, text: &str, byte: usize) -> Self {
        let before = text.get(..byte).unwrap_or(text);
        let line = before.matches('\n').count() + 1;
        let column = before.rsplit('\n').next().unwrap_or("").chars().count() + 1;
        Self { path: path.into(), line, column }
    }
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}, line {}, column {}", self.path.display(), self.line, self.column)
    }
}

/// Why there are no rules.
#[derive(Debug, thiserror::Error)]
pub enum RulesError {
    /// There is no such file.
    #[error("there is no file {}", .path.display())]
    NotFound {
        /// The file.
        path: PathBuf,
    },
    /// The file could not be read.
    #[error("{} could not be read: {source}", .path.display())]
    Read {
        /// The file.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// The file is not TOML.
    #[error("{place}: not TOML: {message}")]
    Syntax {
        /// Where.
        place: Place,
        /// What the parser said.
        message: String,
    },
    /// A key that means nothing here.
    #[error("{place}: unknown key `{key}`")]
    UnknownKey {
        /// Where.
        place: Place,
        /// The key.
        key: String,
        /// What may stand there.
        allowed: &'static [&'static str],
    },
    /// A value of another type.
    #[error("{place}: `{key}` is {found}, and has to be {expected}")]
    WrongType {
        /// Where.
        place: Place,
        /// The key.
        key: &'static str,
        /// The type that is there.
        found: String,
        /// What has to be there.
        expected: &'static str,
    },
    /// A word that is none of those allowed.
    #[error("{place}: `{key}` is \"{found}\", and there is no such {what}")]
    UnknownWord {
        /// Where.
        place: Place,
        /// The key.
        key: &'static str,
        /// The word.
        found: String,
        /// What the word should name, such as "metric".
        what: &'static str,
        /// The words there are.
        allowed: &'static [&'static str],
    },
    /// A tolerance that is no percentage, or out of its range.
    #[error("{place}: `tolerance` is \"{found}\", and has to be a percentage above 0 % and below 100 %")]
    Tolerance {
        /// Where.
        place: Place,
        /// What is there.
        found: String,
    },
    /// A direction that contradicts the metric.
    #[error("{place}: `worse` is \"{found}\", but for {} {} is worse", .metric.as_str(), .metric.worse().as_str())]
    Direction {
        /// Where.
        place: Place,
        /// The metric.
        metric: Metric,
        /// What is there.
        found: String,
    },
    /// An entry without a name.
    #[error("{place}: this [[metric]] has no `name`")]
    NoName {
        /// Where.
        place: Place,
    },
    /// A metric with two rules.
    #[error("{place}: {} is named again, after line {first_line}", .metric.as_str())]
    Duplicate {
        /// Where.
        place: Place,
        /// The metric.
        metric: Metric,
        /// Line of the first rule.
        first_line: usize,
    },
    /// Nothing to decide on.
    #[error("{} names no required metric, so the gate would have nothing to decide on", .path.display())]
    NothingRequired {
        /// The file.
        path: PathBuf,
    },
}

impl RulesError {
    /// What to do next.
    pub fn hint(&self) -> String {
        match self {
            Self::NotFound { .. } => {
                format!("name a file, or leave the flag out: then {RULES_FILE} holds if it is there, else the built-in rules")
            }
            Self::Read { .. } => "check that it is a text file that you may read".into(),
            Self::Syntax { .. } => {
                "each metric is an entry such as: [[metric]], and below it name = \"throughput\", tolerance = \"6%\"".into()
            }
            Self::UnknownKey { key, allowed, .. } => choice(key, allowed),
            Self::UnknownWord { found, allowed, .. } => choice(found, allowed),
            Self::WrongType { key: "tolerance", .. } => {
                "write it as a string with a percent sign, such as \"6%\", so that 6 % can't be taken for 600 %".into()
            }
            Self::WrongType { key: "metric", .. } => "write [[metric]], in two brackets, once for each metric".into(),
            Self::WrongType { key, expected, .. } => format!("write {key} = and then {expected}"),
            Self::Tolerance { .. } => "write it as, for example, \"6%\" or \"2.5%\"".into(),
            Self::Direction { metric, .. } => {
                format!("leave `worse` out, or write \"{}\"", metric.worse().as_str())
            }
            Self::NoName { .. } => format!("add name = and one of {}", quoted(METRICS)),
            Self::Duplicate { .. } => "keep one of the two".into(),
            Self::NothingRequired { .. } => {
                "set required = true for at least one metric; to look without deciding, use `lanebench compare`".into()
            }
        }
    }
}

/// The metrics' names.
pub(super) const METRICS: &[&str] = &[
    Metric::Throughput.as_str(),
    Metric::CpuPerEvent.as_str(),
    Metric::PeakMemory.as_str(),
    Metric::SteadyP99.as_str(),
];

/// How alike two words have to be, 0 to 1, for one to be meant by the other.
const ALIKE: f64 = 0.7;

/// What may stand there, and which of it is likely to be meant.
fn choice(found: &str, allowed: &[&str]) -> String {
    let found = found.to_lowercase().replace(['_', ' '], "-");
    let likely = allowed
        .iter()
        .map(|word| (strsim::jaro(&found, word), word))
        .filter(|(alike, _)| *alike >= ALIKE)
        .max_by(|a, b| a.0.total_cmp(&b.0));
    match likely {
        Some((_, word)) => format!("did you mean \"{word}\"? Allowed: {}", quoted(allowed)),
        None => format!("allowed: {}", quoted(allowed)),
    }
}

fn quoted(words: &[&str]) -> String {
    words.iter().map(|word| format!("\"{word}\"")).collect::<Vec<_>>().join(", ")
}
