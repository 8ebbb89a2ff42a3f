//! What can be wrong with `gate.toml`, where, and what is allowed there.

use std::path::PathBuf;

use lanebench_settings::{Location, SettingsError, quoted};

use super::RULES_FILE;
use lanebench_result::gate::Metric;

/// Why there are no rules.
#[derive(Debug, thiserror::Error)]
pub enum RulesError {
    /// The file can't be read, or is no file of settings.
    #[error(transparent)]
    Settings(#[from] SettingsError),
    /// A tolerance that is no percentage, or out of its range.
    #[error("{location}: `tolerance` is \"{found}\", and has to be a percentage above 0 % and below 100 %")]
    Tolerance {
        /// Where.
        location: Location,
        /// What is there.
        found: String,
    },
    /// A direction that contradicts the metric.
    #[error("{location}: `worse` is \"{found}\", but for {} {} is worse", .metric.as_str(), .metric.worse().as_str())]
    Direction {
        /// Where.
        location: Location,
        /// The metric.
        metric: Metric,
        /// What is there.
        found: String,
    },
    /// An entry without a name.
    #[error("{location}: this [[metric]] has no `name`")]
    NoName {
        /// Where.
        location: Location,
    },
    /// A metric with two rules.
    #[error("{location}: {} is named again, after line {first_line}", .metric.as_str())]
    Duplicate {
        /// Where.
        location: Location,
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
            Self::Settings(SettingsError::NotFound { .. }) => {
                format!("name a file, or leave the flag out: then {RULES_FILE} holds if it is there, else the built-in rules")
            }
            Self::Settings(SettingsError::Syntax { .. }) => {
                "each metric is an entry such as: [[metric]], and below it name = \"throughput\", tolerance = \"6%\"".into()
            }
            Self::Settings(SettingsError::WrongType { key: "tolerance", .. }) => {
                "write it as a string with a percent sign, such as \"6%\", so that 6 % can't be taken for 600 %".into()
            }
            Self::Settings(SettingsError::WrongType { key: "metric", .. }) => {
                "write [[metric]], in two brackets, once for each metric".into()
            }
            Self::Settings(error) => error.hint(),
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
