//! What PostgreSQL does by itself beside the work that it is given.

use std::time::Duration;

use payment_delivery::store::StoreError;
use sqlx::{AssertSqlSafe, Connection as _};

use super::rows::{Patience, Rows};

/// Counted since the server's start.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Background {
    /// Checkpoints, timed and asked for.
    pub(crate) checkpoints: i64,
    /// Runs of autovacuum on the run's tables.
    pub(crate) autovacuums: i64,
}

/// A store that is frozen must not hold up the trial that finds it so.
const ANSWERS_WITHIN: Duration = Duration::from_secs(2);

/// From this version on checkpoints are counted in a view of their own.
const CHECKPOINTER_SINCE: i32 = 170_000;

impl Rows {
    /// The counters of now; `None` where there is no PostgreSQL, or it doesn't tell.
    pub(crate) async fn background(&self) -> Option<Background> {
        let Self::Postgres { schema, .. } = self else { return None };
        match tokio::time::timeout(ANSWERS_WITHIN, self.ask(schema)).await {
            Ok(Ok(counted)) => Some(counted),
            Ok(Err(error)) => {
                tracing::warn!(%error, "PostgreSQL's counters could not be read");
                None
            }
            Err(_) => {
                tracing::warn!("PostgreSQL's counters were not told within {ANSWERS_WITHIN:?}");
                None
            }
        }
    }

    async fn ask(&self, schema: &str) -> Result<Background, StoreError> {
        let failed = |error: sqlx::Error| StoreError::Unavailable(error.to_string());
        let mut connection = self.postgres(Patience::Short).await?;
        let version = sqlx::query_scalar("SELECT current_setting('server_version_num')::int");
        let version: i32 = version.fetch_one(&mut connection).await.map_err(failed)?;
        let checkpoints = if version >= CHECKPOINTER_SINCE {
            "SELECT num_timed + num_requested FROM pg_stat_checkpointer"
        } else {
            "SELECT checkpoints_timed + checkpoints_req FROM pg_stat_bgwriter"
        };
        let checkpoints = sqlx::query_scalar(AssertSqlSafe(checkpoints)).fetch_one(&mut connection).await;
        let autovacuums = sqlx::query_scalar(
            "SELECT coalesce(sum(autovacuum_count), 0)::bigint FROM pg_stat_all_tables WHERE schemaname = $1",
        );
        let autovacuums = autovacuums.bind(schema).fetch_one(&mut connection).await;
        connection.close().await.map_err(failed)?;
        Ok(Background {
            checkpoints: checkpoints.map_err(failed)?,
            autovacuums: autovacuums.map_err(failed)?,
        })
    }
}

impl Background {
    /// What came since an earlier reading.
    pub(crate) fn since(&self, before: &Self) -> (u64, u64) {
        let grown = |now: i64, before: i64| u64::try_from(now - before).unwrap_or(0);
        (grown(self.checkpoints, before.checkpoints), grown(self.autovacuums, before.autovacuums))
    }
}
