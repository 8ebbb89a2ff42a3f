//! What can be wrong with a directory of criterion's, and what to do then.

use std::io;
use std::path::PathBuf;

/// Why there is nothing to gather.
#[derive(Debug, thiserror::Error)]
pub enum BenchedError {
    /// There is no such directory.
    #[error("there is no directory {}", .path.display())]
    NoDirectory {
        /// The path.
        path: PathBuf,
    },
    /// The pipeline was not measured, or its results are elsewhere.
    #[error("no benchmark of the pipeline lies in {} ({others} others do)", .path.display())]
    NoPipeline {
        /// The directory.
        path: PathBuf,
        /// Benchmarks of something else.
        others: usize,
    },
    /// A file or directory could not be read.
    #[error("{} could not be read: {source}", .path.display())]
    Read {
        /// The path.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// A file is there and says something else than criterion writes.
    #[error("{} is not as criterion 0.7 writes it: {what}", .path.display())]
    Foreign {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        what: String,
    },
}

impl BenchedError {
    /// What to do next.
    pub fn hint(&self) -> String {
        match self {
            Self::NoDirectory { .. } => {
                "run `cargo bench` first, or name the directory where criterion keeps its results".into()
            }
            Self::NoPipeline { .. } => "run `cargo bench -- pipeline`, which measures it".into(),
            Self::Read { .. } => "check that you may read it".into(),
            Self::Foreign { path, .. } => {
                let benchmark = path.ancestors().nth(2).unwrap_or(path);
                format!("remove {}, and run that benchmark again", benchmark.display())
            }
        }
    }
}
