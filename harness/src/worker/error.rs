//! Why a consumer process can't work, and what to do then.

use std::path::PathBuf;

use payment_delivery::consumer::ConsumerError;
use payment_delivery::kafka::admin::AdminError;
use payment_delivery::store::StoreError;
use payment_delivery::view::ViewError;

use crate::measure::run_file::RunFileError;

/// Why a consumer process ended other than by being stopped.
#[derive(Debug, thiserror::Error)]
pub enum ProcessError {
    /// No broker answered, or it refused.
    #[error("Kafka: {0}")]
    Admin(#[from] AdminError),
    /// There is no such topic.
    #[error("there is no topic {topic}")]
    NoTopic {
        /// Its name.
        topic: String,
    },
    /// There is no such file.
    #[error("there is no database {}", .file.display())]
    NoFile {
        /// Where it should be.
        file: PathBuf,
    },
    /// The store can't be reached, or its tables are missing.
    #[error("store: {0}")]
    Store(#[from] StoreError),
    /// The view can't be reached.
    #[error("view: {0}")]
    View(#[from] ViewError),
    /// A consumer ended by itself.
    #[error(transparent)]
    Worker(#[from] ConsumerError),
    /// What happened could not be recorded.
    #[error(transparent)]
    RunFile(#[from] RunFileError),
    /// What is planted could not be written down.
    #[error("the file of `--planted` can't be written: {0}")]
    Planted(#[source] std::io::Error),
}

impl ProcessError {
    /// What to do next, where that is known.
    pub fn hint(&self) -> Option<String> {
        const TABLES: &str = "a worker creates no tables, since whoever measures it owns them; docs/worker.md says \
                              what they look like";
        // Both stores name it where a table is missing.
        const NO_TABLE: &str = "prepare()";
        let hint = match self {
            Self::Admin(AdminError::Forbidden { .. }) => "grant it, as docs/external.md has it",
            Self::Admin(_) => "is the cluster up? `lanebench stack up` holds a local one up",
            Self::NoTopic { .. } => "create it first: a worker creates none",
            Self::NoFile { .. } => TABLES,
            Self::Planted(_) => "name a file in a directory that can be written",
            Self::Store(StoreError::Unusable(told)) if told.contains(NO_TABLE) => TABLES,
            Self::Store(StoreError::Unusable(_)) => {
                "check the database URL, its password, and the rights of its user: docs/external.md"
            }
            Self::Store(_) => "check the database URL, and that the database is up",
            Self::View(_) => {
                "check the Redis URL, its password, and the rights of its user: docs/external.md"
            }
            Self::Worker(ConsumerError::Panicked { .. }) => return None,
            Self::Worker(_) => "see its log with `LANEBENCH_LOG=payment_delivery=debug`",
            Self::RunFile(RunFileError::Exists { .. }) => "name another file with --run-file",
            Self::RunFile(_) => {
                "its numbers are not whole: free space, or name a file elsewhere, and run again"
            }
        };
        Some(hint.into())
    }
}
