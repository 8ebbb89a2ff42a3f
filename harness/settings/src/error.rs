//! What can be wrong with a file of settings, where, and what may stand there.

use std::fmt;
use std::io;
use std::path::{Path, PathBuf};

/// Where in which file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Location {
    /// The file.
    pub path: PathBuf,
    /// Line, from 1.
    pub line: usize,
    /// Column in characters, from 1.
    pub column: usize,
}

impl Location {
    /// The location of a byte of the file's text.
    pub(super) fn of(path: &Path, text: &str, byte: usize) -> Self {
        let before = text.get(..byte).unwrap_or(text);
        let line = before.matches('\n').count() + 1;
        let column = before.rsplit('\n').next().unwrap_or("").chars().count() + 1;
        Self { path: path.into(), line, column }
    }
}

impl fmt::Display for Location {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}, line {}, column {}", self.path.display(), self.line, self.column)
    }
}

/// Why a file of settings can't be used.
#[derive(Debug, thiserror::Error)]
pub enum SettingsError {
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
    #[error("{location}: not TOML: {message}")]
    Syntax {
        /// Where.
        location: Location,
        /// What the parser said.
        message: String,
    },
    /// A key that means nothing here.
    #[error("{location}: unknown key `{key}`")]
    UnknownKey {
        /// Where.
        location: Location,
        /// The key.
        key: String,
        /// What may stand there.
        allowed: &'static [&'static str],
    },
    /// A value of another type.
    #[error("{location}: `{key}` is {found}, and has to be {expected}")]
    WrongType {
        /// Where.
        location: Location,
        /// The key.
        key: &'static str,
        /// The type that is there.
        found: String,
        /// What has to be there.
        expected: &'static str,
    },
    /// A word that is none of those allowed.
    #[error("{location}: `{key}` is \"{found}\", and there is no such {what}")]
    UnknownWord {
        /// Where.
        location: Location,
        /// The key.
        key: &'static str,
        /// The word.
        found: String,
        /// What the word should name, such as "metric".
        what: &'static str,
        /// The words there are.
        allowed: &'static [&'static str],
    },
}

impl SettingsError {
    /// What to do next, whatever the file is for.
    pub fn hint(&self) -> String {
        match self {
            Self::NotFound { .. } => "check the path".into(),
            Self::Read { .. } => "check that it is a text file that you may read".into(),
            Self::Syntax { .. } => "TOML is described at https://toml.io".into(),
            Self::UnknownKey { key, allowed, .. } => choice(key, allowed),
            Self::UnknownWord { found, allowed, .. } => choice(found, allowed),
            Self::WrongType { key, expected, .. } => format!("write {key} = and then {expected}"),
        }
    }
}

/// How alike two words have to be, 0 to 1, for one to be meant by the other.
const ALIKE: f64 = 0.7;

/// What may stand there, and which of it is likely to be meant.
fn choice(found: &str, allowed: &[&str]) -> String {
    match likely(found, allowed) {
        Some(word) => format!("did you mean \"{word}\"? Allowed: {}", quoted(allowed)),
        None => format!("allowed: {}", quoted(allowed)),
    }
}

/// Which of the words there are is likely to be meant, if any is.
pub fn likely<'a>(found: &str, allowed: &[&'a str]) -> Option<&'a str> {
    let found = found.to_lowercase().replace(['_', ' '], "-");
    let alike = allowed.iter().map(|word| (strsim::jaro(&found, word), *word));
    let likely = alike.filter(|(alike, _)| *alike >= ALIKE).max_by(|a, b| a.0.total_cmp(&b.0));
    likely.map(|(_, word)| word)
}

/// Words as they stand in a file, one after another.
pub fn quoted(words: &[&str]) -> String {
    words.iter().map(|word| format!("\"{word}\"")).collect::<Vec<_>>().join(", ")
}
