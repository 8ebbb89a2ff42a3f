//! What PostgreSQL does by itself beside the work that it is given.

use std::str::FromStr;
use std::time::Duration;

use payment_delivery::tls;
use sqlx::postgres::{PgConnectOptions, PgConnection};
use sqlx::{AssertSqlSafe, ConnectOptions as _, Connection as _};

use super::rows::Rows;

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
        let Self::Postgres { url, schema, .. } = self else { return None };
        match tokio::time::timeout(ANSWERS_WITHIN, ask(url, schema)).await {
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
}

async fn ask(url: &str, schema: &str) -> Result<Background, sqlx::Error> {
    tls::provide();
    let mut connection: PgConnection = PgConnectOptions::from_str(url)?.connect().await?;
    let version: i32 = sqlx::query_scalar("SELECT current_setting('server_version_num')::int")
        .fetch_one(&mut connection)
        .await?;
    let checkpoints = if version >= CHECKPOINTER_SINCE {
        "SELECT num_timed + num_requested FROM pg_stat_checkpointer"
    } else {
        "SELECT checkpoints_timed + checkpoints_req FROM pg_stat_bgwriter"
    };
    let checkpoints = sqlx::query_scalar(AssertSqlSafe(checkpoints)).fetch_one(&mut connection).await?;
    let autovacuums = sqlx::query_scalar(
        "SELECT coalesce(sum(autovacuum_count), 0)::bigint FROM pg_stat_all_tables WHERE schemaname = $1",
    )
    .bind(schema)
    .fetch_one(&mut connection)
    .await?;
    connection.close().await?;
    Ok(Background { checkpoints, autovacuums })
}

impl Background {
    /// What came since an earlier reading.
    pub(crate) fn since(&self, before: &Self) -> (u64, u64) {
        let grown = |now: i64, before: i64| u64::try_from(now - before).unwrap_or(0);
        (grown(self.checkpoints, before.checkpoints), grown(self.autovacuums, before.autovacuums))
    }
}
