//! What can be wrong with a scenario.

use lanebench_settings::{Location, SettingsError};

/// Why there is no scenario.
#[derive(Debug, thiserror::Error)]
pub enum ScenarioError {
    /// The file can't be read, or is no file of settings.
    #[error(transparent)]
    Settings(#[from] SettingsError),
    /// Neither a file nor one that comes with lanebench.
    #[error("there is no scenario `{name}`: it is no file, and none that comes with lanebench")]
    Unknown {
        /// What was asked for.
        name: String,
        /// The one that is likely to be meant.
        likely: Option<&'static str>,
    },
    /// Something has to be there.
    #[error("{location}: `{key}` is missing")]
    Missing {
        /// Where it should be.
        location: Location,
        /// What.
        key: &'static str,
        /// How it is written.
        such_as: &'static str,
    },
    /// A value that says nothing.
    #[error("{location}: `{key}` is \"{found}\", and has to be {expected}")]
    Value {
        /// Where.
        location: Location,
        /// Of what.
        key: &'static str,
        /// What is there.
        found: String,
        /// What has to be there.
        expected: &'static str,
    },
    /// A fault that can't be.
    #[error("{location}: {what}")]
    Impossible {
        /// Where.
        location: Location,
        /// Why not, in a sentence.
        what: String,
        /// What to do next.
        hint: &'static str,
    },
}

impl ScenarioError {
    /// What to do next.
    pub fn hint(&self) -> String {
        const LIST: &str = "`lanebench run --list` shows those that come with lanebench";
        match self {
            Self::Settings(SettingsError::NotFound { .. }) => format!("check the path; {LIST}"),
            Self::Settings(SettingsError::WrongType { key: "fault", .. }) => {
                "write [[fault]], in two brackets, once for each fault".into()
            }
            Self::Settings(error) => error.hint(),
            Self::Unknown { likely: Some(likely), .. } => format!("did you mean `{likely}`? {LIST}"),
            Self::Unknown { likely: None, .. } => LIST.into(),
            Self::Missing { key: "fault", such_as, .. } => format!("add what breaks: {such_as}"),
            Self::Missing { such_as, .. } => format!("add a line such as: {such_as}"),
            Self::Value { key: "target", .. } => {
                "write \"broker 1\", \"leader 0\", \"coordinator\", \"store\", \"view\", \"consumer 0\", \"topic\" or \"order\""
                    .into()
            }
            Self::Value { key: "rate", .. } => {
                "write \"30%\", or without quotes a number of events a second, such as 300".into()
            }
            Self::Value { key: "partitions", .. } => "write partitions = 2, for one".into(),
            Self::Value { key, .. } => format!("write {key} = \"10s\", for one"),
            Self::Impossible { hint, .. } => (*hint).into(),
        }
    }
}
