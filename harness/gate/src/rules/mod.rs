//! `gate.toml`: what is judged, and how.
//!
//! ```toml
//! [[metric]]
//! name = "throughput"   # throughput, cpu-per-event, peak-memory, steady-p99
//! tolerance = "6%"      # of the baseline's value; always a string with a percent sign
//! required = true       # false: advisory, shown and not decided on
//! undecided = "fail"    # or "warn": undecided on this metric alone does not fail
//! worse = "lower"       # may be left out: it is a property of the metric, and anything else is an error
//! ```
//!
//! Only `name` has to be there; what is left out is as in [`Rules::built_in`]. A metric that the file does not name is
//! neither judged nor shown. Without a file the built-in rules hold.

use std::path::{Path, PathBuf};

use lanebench_result::gate::{GateRule, Metric, OnUndecided};

mod error;
mod parse;
#[cfg(test)]
mod tests;

pub use error::RulesError;

/// The file that is read where none is named, if it is there.
pub const RULES_FILE: &str = "gate.toml";

/// What is judged, and how: at least one required metric, none twice.
#[derive(Clone, Debug, PartialEq)]
pub struct Rules {
    rules: Vec<GateRule>,
    file: Option<PathBuf>,
}

impl Rules {
    /// The rules where there is no file: throughput, CPU time an event and peak memory required, p99 advisory.
    pub fn built_in() -> Self {
        Self { rules: Metric::ALL.map(built_in).to_vec(), file: None }
    }

    /// The rules of `file`; where none is named those of [`RULES_FILE`] in the working directory, and where that is not
    /// there the built-in ones.
    ///
    /// # Errors
    /// [`RulesError`] if the file can't be read, or says something that is no rule.
    pub fn find(file: Option<&Path>) -> Result<Self, RulesError> {
        match file {
            Some(file) => Self::load(file),
            None if Path::new(RULES_FILE).exists() => Self::load(Path::new(RULES_FILE)),
            None => Ok(Self::built_in()),
        }
    }

    /// The rules of `file`.
    ///
    /// # Errors
    /// [`RulesError`] if the file can't be read, or says something that is no rule.
    pub fn load(file: &Path) -> Result<Self, RulesError> {
        Self::parse(&lanebench_settings::read(file)?, file)
    }

    /// The rules of a text; `file` is what errors and the record call it.
    ///
    /// # Errors
    /// [`RulesError`] if it says something that is no rule.
    pub fn parse(text: &str, file: &Path) -> Result<Self, RulesError> {
        Ok(Self { rules: parse::rules(text, file)?, file: Some(file.to_path_buf()) })
    }

    /// One a metric, in the file's order.
    pub fn as_slice(&self) -> &[GateRule] {
        &self.rules
    }

    /// The file they are from, unless they are built in.
    pub fn file(&self) -> Option<&Path> {
        self.file.as_deref()
    }

    /// Those that the gate decides on.
    pub fn required(&self) -> impl Iterator<Item = &GateRule> {
        self.rules.iter().filter(|rule| rule.required)
    }
}

/// The built-in rule for a metric.
///
/// Tolerances are as small as a spread of 5 % between trials allows: then 6 %, 6 % and 10 % leave 4 % of gates on equal
/// programs undecided, and 10 % more time an event is caught in 99 % (examples/gate_power.rs prints the table); 5 % would
/// leave 17 % undecided. Memory has 10 %, since it moves in steps as buffers double.
fn built_in(metric: Metric) -> GateRule {
    let (tolerance, required) = match metric {
        Metric::Throughput | Metric::CpuPerEvent => (0.06, true),
        Metric::PeakMemory => (0.10, true),
        // A percentile spreads more than a mean, and one that is required would keep all gates undecided.
        Metric::SteadyP99 => (0.15, false),
    };
    GateRule { metric, worse: metric.worse(), tolerance, required, undecided: OnUndecided::Fail }
}
