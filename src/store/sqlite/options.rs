//! How a [`SqliteStore`](super::SqliteStore) opens its file and how long it waits.

use std::path::Path;
use std::time::Duration;

use sqlx::ConnectOptions;
use sqlx::sqlite::{SqliteConnectOptions, SqliteJournalMode, SqliteSynchronous};

use crate::store::StoreError;

/// How long a [`SqliteStore`](super::SqliteStore) waits.
#[derive(Clone, Debug)]
pub struct SqliteOptions {
    /// A statement that finds the file locked by another store or process gives up after this time. It asks again every
    /// few milliseconds, which costs the measurement; calls on one store queue instead and never come to this.
    pub busy_timeout: Duration,
    /// A call that takes longer in all (waiting for its turn and every statement of it) is given up. Reading all rows
    /// counts each page as a call.
    pub call_timeout: Duration,
}

impl Default for SqliteOptions {
    fn default() -> Self {
        Self { busy_timeout: Duration::from_secs(2), call_timeout: Duration::from_secs(4) }
    }
}

impl SqliteOptions {
    /// The options of a connection to the file at `path`.
    pub(super) fn connect_options(&self, path: &Path) -> Result<SqliteConnectOptions, StoreError> {
        // SQLite reads meaning into some relative names: `file:…` is a URL to it, `:memory:` no file at all.
        let path = std::path::absolute(path)
            .map_err(|error| StoreError::Unusable(format!("{} is no path: {error}", path.display())))?;
        Ok(SqliteConnectOptions::new()
            .filename(path)
            .create_if_missing(true)
            .journal_mode(SqliteJournalMode::Wal)
            .synchronous(SqliteSynchronous::Off)
            .busy_timeout(self.busy_timeout.min(BUSY_TIMEOUT_MAX))
            // What it would log at debug level would cost every event a formatted line.
            .disable_statement_logging())
    }
}

/// SQLite keeps the time in an `int` of milliseconds, and sqlx panics on more.
const BUSY_TIMEOUT_MAX: Duration = Duration::from_millis(i32::MAX as u64);
