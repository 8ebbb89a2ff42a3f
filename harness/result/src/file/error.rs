//! What can go wrong with a result's file, and what to do then.

use std::io;
use std::path::PathBuf;

use super::{GATE_FILE, LATEST, REPORTS_DIR, RESULT_FILE, SUFFIX_MAX};

/// Why a result can't be saved or loaded.
#[derive(Debug, thiserror::Error)]
pub enum FileError {
    /// The directory for a result holds something.
    #[error("the directory {} is not empty, and results are never overwritten", .path.display())]
    NotEmpty {
        /// The directory.
        path: PathBuf,
    },
    /// The path for a result directory is something else.
    #[error("{} exists and is not a directory", .path.display())]
    NotADirectory {
        /// The path.
        path: PathBuf,
    },
    /// The directory can't be made or written.
    #[error("the directory {} can't be written: {source}", .path.display())]
    Unwritable {
        /// The directory.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// Every name for a result directory is taken.
    #[error("{} and {SUFFIX_MAX} names after it are taken", .path.display())]
    NoFreeName {
        /// The first name.
        path: PathBuf,
    },
    /// The result could not be written.
    #[error("the result could not be written to {}: {source}", .path.display())]
    Write {
        /// The file.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// The result was written, but can't be loaded again: a number in it is infinite or not a number.
    #[error("the result in {} holds a number that JSON can't: {message}", .path.display())]
    NotANumber {
        /// The file.
        path: PathBuf,
        /// What reading it back said.
        message: String,
    },
    /// There is no such file.
    #[error("there is no file {}", .path.display())]
    NotFound {
        /// The path.
        path: PathBuf,
    },
    /// The path is a directory.
    #[error("{} is a directory, not a result", .path.display())]
    IsADirectory {
        /// The path.
        path: PathBuf,
        /// The name of the file that was looked for.
        file: &'static str,
    },
    /// The file could not be read.
    #[error("{} could not be read: {source}", .path.display())]
    Read {
        /// The file.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// The file ends in the middle.
    #[error("{} is cut off at line {line}, column {column}", .path.display())]
    Truncated {
        /// The file.
        path: PathBuf,
        /// Line, from 1; 0 in an empty file.
        line: usize,
        /// Column.
        column: usize,
    },
    /// The file is not JSON, or not of a result's shape.
    #[error("{} is not a result: line {line}, column {column}: {message}", .path.display())]
    Invalid {
        /// The file.
        path: PathBuf,
        /// Line, from 1.
        line: usize,
        /// Column.
        column: usize,
        /// What is wrong there.
        message: String,
    },
    /// The file says no schema version that this program knows.
    #[error(
        "{} has schema_version {found}; this lanebench ({}) knows {known}",
        .path.display(), env!("CARGO_PKG_VERSION")
    )]
    UnknownVersion {
        /// The file.
        path: PathBuf,
        /// What it says, as JSON.
        found: String,
        /// The version that is known.
        known: u32,
    },
}

impl FileError {
    /// What to do next.
    pub fn hint(&self) -> String {
        match self {
            Self::NotEmpty { .. } => {
                format!(
                    "name another directory with --out, or leave it out: then a new one is made under {REPORTS_DIR}/"
                )
            }
            Self::NotADirectory { .. } => "name a directory with --out, new or empty".into(),
            Self::Unwritable { .. } => {
                "name a directory with --out that you may write to, on a disk with space left".into()
            }
            Self::NoFreeName { .. } => "wait a second, or name a directory with --out".into(),
            Self::Write { path, .. } => {
                format!("free space or fix the permissions where {} lies; nothing half-written was left", path.display())
            }
            Self::NotANumber { .. } => {
                "this is a bug in lanebench; the file is kept, so please report it with the file".into()
            }
            Self::NotFound { .. } => {
                format!(
                    "results are called {RESULT_FILE}, a gate's {GATE_FILE}; the last one is in {REPORTS_DIR}/{LATEST}"
                )
            }
            Self::IsADirectory { path, file } => format!("name the file: {}", path.join(file).display()),
            Self::Read { .. } => "check that you may read the file".into(),
            Self::Truncated { .. } => {
                "it was not copied as a whole, since lanebench never leaves a part of a result: copy it again".into()
            }
            Self::Invalid { .. } => {
                format!("name a {RESULT_FILE} (of a gate a {GATE_FILE}) that lanebench wrote, unedited")
            }
            Self::UnknownVersion { .. } => {
                "load it with the lanebench that wrote it (environment.version and .commit in the file), or run again"
                    .into()
            }
        }
    }
}
