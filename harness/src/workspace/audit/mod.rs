//! Writes of rows, counted by the database itself: triggers on the run's own tables note each, whoever made it.
//!
//! So what a worker says of its rows is held against what became of them. What a trigger costs is in docs/evidence/proof.md.

use std::time::Duration;

use payment_delivery::event::OrderId;
use payment_delivery::kafka::Origin;
use payment_delivery::store::StoreError;
use sqlx::postgres::PgConnection;
use sqlx::sqlite::SqliteConnection;
use sqlx::{AssertSqlSafe, Connection as _, Row as _};

use super::CONNECT_TIMEOUT;
use super::rows::{Patience, Rows};
use crate::error::RunError;
use crate::measure::clock::unix_ns;
use crate::verify::ContentDigest;

const POSTGRES: &str = include_str!("postgres.sql");
const SQLITE: &str = include_str!("sqlite.sql");

/// Rows read at a time.
const PAGE: i64 = 10_000;

/// How often the database's clock is looked at; the look with the shortest round trip counts.
const CLOCK_LOOKS: usize = 9;

/// One write of a row.
pub(crate) struct CountedWrite {
    pub(crate) order_id: OrderId,
    /// The revision that it found; 0 where there was no row.
    pub(crate) before: u32,
    pub(crate) revision: u32,
    pub(crate) origin: Origin,
    pub(crate) content: ContentDigest,
    /// When, in ns of Unix time by the database's clock: when its transaction was committed, or else when it was made.
    pub(crate) unix_ns: i64,
}

/// One event that was parked.
pub(crate) struct CountedPark {
    pub(crate) order_id: OrderId,
    pub(crate) first: u32,
    pub(crate) last: u32,
    pub(crate) origin: Origin,
    pub(crate) content: ContentDigest,
}

/// What the database counted.
pub(crate) enum Counted {
    Write(CountedWrite),
    Park(CountedPark),
    /// What was there from the start: without it the count is not whole.
    Mark,
}

/// The database's clock beside that of this machine.
#[derive(Clone, Copy, Debug)]
pub(crate) struct ClockOffset {
    /// What the database's clock is ahead, in ns.
    pub(crate) ahead_ns: i64,
    /// How wrong that may be.
    pub(crate) within: Duration,
}

fn failed(error: &sqlx::Error) -> RunError {
    StoreError::Unusable(format!("the writes of rows can't be counted there: {error}")).into()
}

/// A row of either database, in the columns of the queries below.
macro_rules! read {
    ($write:ident, $park:ident, $row:ty) => {
        fn $write(row: &$row) -> Result<Counted, RunError> {
            let order_id = match row.try_get(0).map_err(|error| failed(&error))? {
                "" => return Ok(Counted::Mark),
                id => order_id(id)?,
            };
            let us: i64 = row.try_get(6).map_err(|error| failed(&error))?;
            Ok(Counted::Write(CountedWrite {
                order_id,
                before: number(row.try_get(1).map_err(|error| failed(&error))?),
                revision: number(row.try_get(2).map_err(|error| failed(&error))?),
                origin: Origin {
                    partition: row
                        .try_get::<Option<i32>, _>(3)
                        .map_err(|error| failed(&error))?
                        .unwrap_or(-1),
                    offset: row.try_get::<Option<i64>, _>(4).map_err(|error| failed(&error))?.unwrap_or(-1),
                },
                content: content(row.try_get(5).map_err(|error| failed(&error))?),
                unix_ns: us.saturating_mul(1_000),
            }))
        }

        fn $park(row: &$row) -> Result<Counted, RunError> {
            Ok(Counted::Park(CountedPark {
                order_id: order_id(row.try_get(0).map_err(|error| failed(&error))?)?,
                first: number(row.try_get(1).map_err(|error| failed(&error))?),
                last: number(row.try_get(2).map_err(|error| failed(&error))?),
                origin: Origin {
                    partition: row.try_get(3).map_err(|error| failed(&error))?,
                    offset: row.try_get(4).map_err(|error| failed(&error))?,
                },
                content: content(row.try_get(5).map_err(|error| failed(&error))?),
            }))
        }
    };
}

read!(postgres_write, postgres_park, sqlx::postgres::PgRow);
read!(sqlite_write, sqlite_park, sqlx::sqlite::SqliteRow);

fn order_id(text: &str) -> Result<OrderId, RunError> {
    let foreign = |error| StoreError::Unusable(format!("a row was written for {text:?}: {error}"));
    Ok(OrderId::new(text).map_err(foreign)?)
}

fn number(revision: i32) -> u32 {
    u32::try_from(revision).unwrap_or(0)
}

/// A row without a content differs from any.
fn content(text: Option<&str>) -> ContentDigest {
    ContentDigest::of_text(text.unwrap_or_default())
}

impl Rows {
    /// Makes tables and triggers, beside the run's tables.
    pub(super) async fn start_counting(&self) -> Result<(), RunError> {
        match self {
            Self::Postgres { schema, .. } => {
                self.execute(POSTGRES.replace("@schema@", &quoted(schema))).await?;
            }
            Self::Sqlite { .. } => self.execute(SQLITE.into()).await?,
        }
        self.count_anew().await
    }

    /// Goes on counting, or pauses.
    pub(super) async fn count(&self, counts: bool) -> Result<(), RunError> {
        match self {
            Self::Postgres { .. } => {
                let which = if counts { "ENABLE" } else { "DISABLE" };
                let of = |table| format!("ALTER TABLE {table} {which} TRIGGER USER;");
                self.execute(["deliveries", "parked_events"].map(of).concat()).await
            }
            Self::Sqlite { .. } if counts => self.start_counting().await,
            Self::Sqlite { .. } => self.stop_counting().await,
        }
    }

    /// From here on the count outlives a crash of the database, at the price of its log.
    ///
    /// # Errors
    /// Those of a statement.
    pub(crate) async fn count_durably(&self) -> Result<(), RunError> {
        match self {
            Self::Postgres { .. } => {
                let of = |table| format!("ALTER TABLE {table} SET LOGGED;");
                self.execute(["delivery_writes", "parked_writes"].map(of).concat()).await
            }
            Self::Sqlite { .. } => Ok(()),
        }
    }

    /// Forgets what was counted. A mark is left, without which the count has been lost: tables without a log are emptied by a crash.
    pub(super) async fn count_anew(&self) -> Result<(), RunError> {
        let (forget, now) = match self {
            Self::Postgres { .. } => ("TRUNCATE delivery_writes, parked_writes", "now()"),
            Self::Sqlite { .. } => ("DELETE FROM delivery_writes; DELETE FROM parked_writes", "0"),
        };
        let mark = format!("INSERT INTO delivery_writes VALUES ('', 0, 0, NULL, NULL, NULL, {now})");
        self.execute(format!("{forget}; {mark}")).await
    }

    /// Removes what [`Self::start_counting`] made, but for SQLite's tables, which go with their file.
    pub(super) async fn stop_counting(&self) -> Result<(), RunError> {
        let remove = match self {
            Self::Postgres { .. } => {
                "DROP TABLE IF EXISTS delivery_writes, parked_writes; \
                 DROP FUNCTION IF EXISTS count_delivery_write, count_parked_write CASCADE"
            }
            Self::Sqlite { .. } => {
                "DROP TRIGGER IF EXISTS count_inserts; DROP TRIGGER IF EXISTS count_updates; \
                 DROP TRIGGER IF EXISTS count_parked; DROP TRIGGER IF EXISTS count_parked_again"
            }
        };
        self.execute(remove.into()).await
    }

    /// Runs statements that are short, and waits for nobody's locks for long.
    pub(super) async fn execute(&self, statements: String) -> Result<(), RunError> {
        let statements = sqlx::raw_sql(AssertSqlSafe(statements));
        let executed = async {
            match self {
                Self::Postgres { .. } => {
                    let mut connection = self.postgres(Patience::Short).await?;
                    statements.execute(&mut connection).await.map_err(|error| failed(&error))?;
                    connection.close().await.map_err(|error| failed(&error))
                }
                Self::Sqlite { .. } => {
                    let mut connection = self.sqlite().await?;
                    let executed = statements.execute(&mut connection).await;
                    connection.close().await.map_err(|error| failed(&error))?;
                    executed.map(drop).map_err(|error| failed(&error))
                }
            }
        };
        tokio::time::timeout(CONNECT_TIMEOUT, executed).await.unwrap_or_else(|_| {
            Err(StoreError::Unavailable(format!("no answer within {CONNECT_TIMEOUT:?}")).into())
        })
    }

    /// Whether the database knows when each transaction was committed.
    pub(crate) async fn keeps_commit_times(&self) -> Result<bool, RunError> {
        let Self::Postgres { .. } = self else { return Ok(false) };
        let mut connection = self.postgres(Patience::Short).await?;
        // Null where the server has no such setting.
        let kept = sqlx::query_scalar("SELECT current_setting('track_commit_timestamp', true)");
        let kept: Result<Option<String>, _> = kept.fetch_one(&mut connection).await;
        connection.close().await.map_err(|error| failed(&error))?;
        Ok(kept.map_err(|error| failed(&error))?.is_some_and(|kept| kept == "on"))
    }

    /// Shows each event that was parked, and then each write of a row and the mark, in no order; when writes were committed only where the
    /// database [keeps](Self::keeps_commit_times) that.
    pub(crate) async fn each_counted(
        &self,
        by_commit: bool,
        mut each: impl FnMut(Counted) + Send,
    ) -> Result<(), RunError> {
        match self {
            Self::Postgres { .. } => {
                let mut connection = self.postgres(Patience::Long).await?;
                let parks =
                    "SELECT order_id, first, last, log_partition, log_offset, content FROM parked_writes";
                // A statement's time is before that of its transaction's end.
                let at = if by_commit { "pg_xact_commit_timestamp(xmin)" } else { "written_at" };
                let writes = format!(
                    "SELECT order_id, before, revision, log_partition, log_offset, content, \
                     (extract(epoch FROM {at}) * 1000000)::bigint FROM delivery_writes"
                );
                postgres_pages(&mut connection, parks, |row| postgres_park(row).map(&mut each)).await?;
                postgres_pages(&mut connection, &writes, |row| postgres_write(row).map(&mut each)).await?;
                connection.close().await.map_err(|error| failed(&error))
            }
            Self::Sqlite { .. } => {
                let mut connection = self.sqlite().await?;
                let parks = "SELECT order_id, first, last, log_partition, log_offset, content, rowid \
                             FROM parked_writes WHERE rowid > $1 ORDER BY rowid LIMIT $2";
                let writes = "SELECT order_id, before, revision, log_partition, log_offset, content, written_us, rowid \
                              FROM delivery_writes WHERE rowid > $1 ORDER BY rowid LIMIT $2";
                let mut read =
                    sqlite_pages(&mut connection, parks, |row| sqlite_park(row).map(&mut each)).await;
                if read.is_ok() {
                    read =
                        sqlite_pages(&mut connection, writes, |row| sqlite_write(row).map(&mut each)).await;
                }
                connection.close().await.map_err(|error| failed(&error))?;
                read
            }
        }
    }

    /// What the database's clock is ahead of this machine's.
    pub(crate) async fn clock_offset(&self) -> Result<ClockOffset, RunError> {
        if matches!(self, Self::Sqlite { .. }) {
            // This machine's own, in milliseconds.
            return Ok(ClockOffset { ahead_ns: 0, within: Duration::from_millis(1) });
        }
        let mut connection = self.postgres(Patience::Short).await?;
        let mut best = ClockOffset { ahead_ns: 0, within: Duration::MAX };
        for _ in 0..CLOCK_LOOKS {
            let before = unix_ns();
            let told = sqlx::query_scalar("SELECT (extract(epoch FROM clock_timestamp()) * 1000000)::bigint");
            let told: i64 = told.fetch_one(&mut connection).await.map_err(|error| failed(&error))?;
            let after = unix_ns();
            let within = Duration::from_nanos(after.abs_diff(before) / 2);
            if within < best.within {
                best = ClockOffset { ahead_ns: told.saturating_mul(1_000) - (before + after) / 2, within };
            }
        }
        connection.close().await.map_err(|error| failed(&error))?;
        Ok(best)
    }
}

/// Goes through a query's rows by a cursor, so that they need not be held.
async fn postgres_pages(
    connection: &mut PgConnection,
    query: &str,
    mut each: impl FnMut(&sqlx::postgres::PgRow) -> Result<(), RunError>,
) -> Result<(), RunError> {
    let mut transaction = connection.begin().await.map_err(|error| failed(&error))?;
    let declare = format!("DECLARE counted NO SCROLL CURSOR FOR {query}");
    sqlx::raw_sql(AssertSqlSafe(declare)).execute(&mut *transaction).await.map_err(|error| failed(&error))?;
    let fetch = format!("FETCH {PAGE} FROM counted");
    loop {
        let page = sqlx::query(AssertSqlSafe(fetch.clone())).persistent(false);
        let page = page.fetch_all(&mut *transaction).await.map_err(|error| failed(&error))?;
        if page.is_empty() {
            return transaction.rollback().await.map_err(|error| failed(&error));
        }
        page.iter().try_for_each(&mut each)?;
    }
}

/// The same by the number of each row, which is the query's last column.
async fn sqlite_pages(
    connection: &mut SqliteConnection,
    query: &'static str,
    mut each: impl FnMut(&sqlx::sqlite::SqliteRow) -> Result<(), RunError>,
) -> Result<(), RunError> {
    let mut after = 0_i64;
    loop {
        let page = sqlx::query(query)
            .bind(after)
            .bind(PAGE)
            .fetch_all(&mut *connection)
            .await
            .map_err(|error| failed(&error))?;
        let Some(last) = page.last() else { return Ok(()) };
        after = last.try_get("rowid").map_err(|error| failed(&error))?;
        page.iter().try_for_each(&mut each)?;
    }
}

/// An identifier of PostgreSQL.
fn quoted(name: &str) -> String {
    format!("\"{}\"", name.replace('"', "\"\""))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_schema_is_quoted() {
        assert_eq!(quoted("run_1"), "\"run_1\"");
        assert_eq!(quoted("a\"b"), "\"a\"\"b\"");
    }
}
